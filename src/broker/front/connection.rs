//! One connection: frames in, frames out, in order.

use super::{Broker, SERVED, admin, fetch, groups, metadata, offsets, produce, shape, transactions};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, RequestHeader, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Kafka's `socket.request.max.bytes`.
const LARGEST_REQUEST: usize = 100 * 1024 * 1024;

/// Why a connection ends from this side.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hangup {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("{0}")]
    Malformed(String),
}

/// Serves one connection until the client closes it, sends something unreadable, or the broker is paused.
pub(super) async fn serve(broker: Arc<Broker>, stream: TcpStream) {
    let mut paused = broker.paused.subscribe();
    let ended = tokio::select! {
        ended = answer_all(&broker, stream) => ended,
        _ = paused.wait_for(|paused| *paused) => Ok(()),
    };
    match ended {
        Err(Hangup::Malformed(reason)) => tracing::warn!(reason, "the embedded broker closed a connection"),
        Err(Hangup::Socket(error)) => tracing::debug!(%error, "a connection to the embedded broker ended"),
        Ok(()) => {}
    }
}

async fn answer_all(broker: &Broker, mut stream: TcpStream) -> Result<(), Hangup> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::with_capacity(1 << 14, reader);
    loop {
        let length = match reader.read_i32().await {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let length = usize::try_from(length).ok().filter(|length| (8..=LARGEST_REQUEST).contains(length));
        let length = length.ok_or_else(|| Hangup::Malformed("a request of impossible length".to_string()))?;
        // memory grows with what has come, not with what was announced
        let mut frame = Vec::new();
        if (&mut reader).take(length as u64).read_to_end(&mut frame).await? < length {
            return Ok(());
        }
        if let Some(answer) = answer(broker, frame.into()).await? {
            writer.write_all(&answer).await?;
        }
    }
}

pub(super) async fn answer(broker: &Broker, frame: Bytes) -> Result<Option<BytesMut>, Hangup> {
    // the length was checked: at least a key, a version and a correlation id
    let (key, version) = ((&frame[..2]).get_i16(), (&frame[2..4]).get_i16());
    let key = ApiKey::try_from(key).map_err(|_| Hangup::Malformed(format!("a request of unknown kind {key}")))?;
    let malformed = |what: &str, error: &dyn std::fmt::Display| Hangup::Malformed(format!("{key:?} v{version}: {what}: {error}"));
    let mut out = BytesMut::with_capacity(256);
    out.put_i32(0);
    if !SERVED.iter().any(|served| served.0 == key && (served.1..=served.2).contains(&version)) {
        if key != ApiKey::ApiVersions {
            return Err(malformed("request", &"not served"));
        }
        // the one question to which a client may not know the right version: it is answered in the oldest one
        out.put_i32((&frame[4..8]).get_i32());
        let refused = metadata::api_versions().with_error_code(kafka_protocol::ResponseError::UnsupportedVersion.code());
        ApiVersionsResponse::encode(&refused, &mut out, 0).map_err(|error| malformed("answer", &error))?;
        return Ok(Some(sealed(out)));
    }
    let (header, request) = decode(key, version, frame).map_err(|error| malformed("request", &error))?;
    let client = header.client_id.as_deref().unwrap_or_default();
    let Some(response) = dispatch(broker, request, version, client).await else { return Ok(None) };
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut out, key.response_header_version(version))
        .map_err(|error| malformed("answer", &error))?;
    response.encode(&mut out, version).map_err(|error| malformed("answer", &error))?;
    Ok(Some(sealed(out)))
}

fn decode(key: ApiKey, version: i16, mut frame: Bytes) -> Result<(RequestHeader, RequestKind), String> {
    let header_version = key.request_header_version(version);
    let left = shape::body_of(&frame, header_version).and_then(|body| shape::left_over(key, version, body));
    left.ok_or("it ends before its lists do")?;
    let header = RequestHeader::decode(&mut frame, header_version).map_err(|error| error.to_string())?;
    let request = RequestKind::decode(key, &mut frame, version).map_err(|error| error.to_string())?;
    debug_assert_eq!(left, Some(frame.len()), "{key:?} {version} has another shape");
    Ok((header, request))
}

fn sealed(mut out: BytesMut) -> BytesMut {
    let length = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// `None` if the client wants no answer.
async fn dispatch(broker: &Broker, request: RequestKind, version: i16, client: &str) -> Option<ResponseKind> {
    use RequestKind as Q;
    use ResponseKind as A;
    Some(match request {
        Q::ApiVersions(_) => A::ApiVersions(metadata::api_versions()),
        Q::Metadata(request) => A::Metadata(metadata::describe(broker, &request, version)),
        Q::FindCoordinator(_) => A::FindCoordinator(metadata::coordinator(broker)),
        Q::Produce(request) => return produce::produce(broker, &request).map(A::Produce),
        Q::Fetch(request) => A::Fetch(fetch::fetch(broker, &request).await),
        Q::ListOffsets(request) => A::ListOffsets(fetch::list_offsets(broker, request)),
        Q::JoinGroup(request) => A::JoinGroup(groups::join(broker, request, version, client).await),
        Q::SyncGroup(request) => A::SyncGroup(groups::sync(broker, request).await),
        Q::Heartbeat(request) => A::Heartbeat(groups::heartbeat(broker, request)),
        Q::LeaveGroup(request) => A::LeaveGroup(groups::leave(broker, request, version)),
        Q::DescribeGroups(request) => A::DescribeGroups(groups::describe(broker, request)),
        Q::ListGroups(_) => A::ListGroups(groups::list(broker)),
        Q::OffsetCommit(request) => A::OffsetCommit(offsets::commit(broker, request)),
        Q::OffsetFetch(request) => A::OffsetFetch(offsets::fetch(broker, request)),
        Q::TxnOffsetCommit(request) => A::TxnOffsetCommit(offsets::stage(broker, request, version)),
        Q::InitProducerId(request) => A::InitProducerId(transactions::init(broker, &request, version)),
        Q::AddPartitionsToTxn(request) => A::AddPartitionsToTxn(transactions::add_partitions(broker, request, version)),
        Q::AddOffsetsToTxn(request) => A::AddOffsetsToTxn(transactions::add_group(broker, &request, version)),
        Q::EndTxn(request) => return transactions::end(broker, &request, version).map(A::EndTxn),
        Q::CreateTopics(request) => A::CreateTopics(admin::create_topics(broker, request)),
        Q::DeleteTopics(request) => A::DeleteTopics(admin::delete_topics(broker, request)),
        Q::CreatePartitions(request) => A::CreatePartitions(admin::create_partitions(broker, request)),
        Q::DeleteRecords(request) => A::DeleteRecords(admin::delete_records(broker, request)),
        Q::DescribeConfigs(request) => A::DescribeConfigs(admin::describe_configs(broker, request)),
        // `SERVED` has no others
        _ => return None,
    })
}
