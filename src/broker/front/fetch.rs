//! Reading records, and finding offsets.

use super::{Broker, code, milliseconds};
use crate::broker::partition::{Isolation, PartitionLog};
use crate::broker::state::Cluster;
use crate::broker::wire;
use crate::engine::types::Offset;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, ProducerId};

/// No answer is larger, unless a single batch is.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
/// `ListOffsets` for the end and for the beginning.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::Committed } else { Isolation::Uncommitted }
}

/// Answers at once if there is enough to read, else when there is, or at the deadline with what there is.
pub(super) async fn fetch(broker: &Broker, request: &FetchRequest) -> FetchResponse {
    let deadline = tokio::time::Instant::now() + milliseconds(request.max_wait_ms);
    let wanted = usize::try_from(request.min_bytes).unwrap_or(0);
    loop {
        // waits for changes from here on, so that none is missed between the look and the wait
        let changed = broker.records.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let ready = broker.with(|cluster| enough(cluster, request, wanted).then(|| collect(cluster, request)));
        if let Some(response) = ready {
            return response;
        }
        if tokio::time::timeout_at(deadline, changed).await.is_err() {
            return broker.with(|cluster| collect(cluster, request));
        }
    }
}

/// Counts without copying: an idle reader costs nothing but the look.
fn enough(cluster: &Cluster, request: &FetchRequest, wanted: usize) -> bool {
    let level = isolation(request.isolation_level);
    let mut found = 0;
    for topic in &request.topics {
        for partition in &topic.partitions {
            let at = Offset(partition.fetch_offset);
            if cluster.fetch(topic.topic.as_str(), partition.partition, at).is_err() {
                return true;
            }
            found += cluster.fetchable(topic.topic.as_str(), partition.partition, at, wanted.max(1), level);
        }
    }
    found >= wanted
}

fn collect(cluster: &Cluster, request: &FetchRequest) -> FetchResponse {
    let mut room = usize::try_from(request.max_bytes).unwrap_or(0).min(LARGEST_ANSWER);
    let level = isolation(request.isolation_level);
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let read = |partition| read(cluster, topic.topic.as_str(), partition, &mut room, level);
        let partitions = topic.partitions.iter().map(read).collect();
        responses.push(FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions));
    }
    FetchResponse::default().with_responses(responses)
}

fn read(cluster: &Cluster, topic: &str, wanted: &FetchPartition, room: &mut usize, level: Isolation) -> PartitionData {
    let at = Offset(wanted.fetch_offset);
    let found = cluster.fetch(topic, wanted.partition, at);
    let data = PartitionData::default()
        .with_partition_index(wanted.partition)
        .with_error_code(code(&found))
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(Bytes::new()));
    let ends = cluster.partition(topic, wanted.partition).map(PartitionLog::ends);
    let Ok(ends) = ends else { return data.with_high_watermark(-1).with_last_stable_offset(-1).with_log_start_offset(-1) };
    let data = data.with_high_watermark(ends.high.0).with_last_stable_offset(ends.last_stable.0).with_log_start_offset(ends.low.0);
    let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(*room);
    let (Ok(log), true) = (found, *room > 0) else { return data };
    let size = log.readable(at, limit, level);
    *room = room.saturating_sub(size);
    let mut records = BytesMut::with_capacity(size);
    let mut end = at;
    for stored in log.read(at, limit, level) {
        wire::write(stored, &mut records);
        end = stored.next();
    }
    let known = |aborted: &crate::broker::Aborted| {
        AbortedTransaction::default().with_producer_id(ProducerId(aborted.producer)).with_first_offset(aborted.first.0)
    };
    let aborted = (level == Isolation::Committed).then(|| log.aborted(at, end).map(known).collect());
    data.with_records(Some(records.freeze())).with_aborted_transactions(aborted)
}

/// The ends of partitions, or the first record since a time.
pub(super) fn list_offsets(broker: &Broker, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let level = isolation(request.isolation_level);
    let topics = broker.with(|cluster| {
        let topic = |topic: kafka_protocol::messages::list_offsets_request::ListOffsetsTopic| {
            let find = |partition: &ListOffsetsPartition| find(cluster, topic.name.as_str(), partition, level);
            let partitions = topic.partitions.iter().map(find).collect();
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        };
        request.topics.into_iter().map(topic).collect()
    });
    ListOffsetsResponse::default().with_topics(topics)
}

fn find(cluster: &Cluster, topic: &str, wanted: &ListOffsetsPartition, level: Isolation) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index).with_timestamp(-1);
    let log = match cluster.partition(topic, wanted.partition_index) {
        Ok(log) => log,
        Err(error) => return response.with_error_code(error.code()).with_offset(-1),
    };
    let ends = log.ends();
    match (wanted.timestamp, level) {
        (LATEST, Isolation::Committed) => response.with_offset(ends.last_stable.0),
        (LATEST, Isolation::Uncommitted) => response.with_offset(ends.high.0),
        (EARLIEST, _) => response.with_offset(ends.low.0),
        (time_ms, _) => {
            let found = log.since(time_ms, level).find_map(|stored| wire::first_since(stored, time_ms, ends.low));
            let (offset, time_ms) = found.unwrap_or((Offset(-1), -1));
            response.with_offset(offset.0).with_timestamp(time_ms)
        }
    }
}
