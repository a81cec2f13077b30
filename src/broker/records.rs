//! Records inside a batch (message format v2, uncompressed), for writers and readers without a Kafka client.
//!
//! Guarantees: what `encode` writes, any Kafka client reads, and `decode` gives back unchanged.
//! Never: compresses or decompresses. Comes from and goes to: `log::memory`.

use super::batch::{Batch, Content, Head, Producer, Stored};
use super::wire::{self, HEAD_BYTES};
use crate::engine::types::Offset;
use crate::log::Headers;
use bytes::{BufMut, BytesMut};

/// A record to encode.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Kafka's timestamp in ms.
    pub timestamp_ms: i64,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

/// A record in its place, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct StoredRecord<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp as readers see it.
    pub timestamp_ms: i64,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, read on demand.
    pub headers: EncodedHeaders<'a>,
}

/// The batch is compressed, or not as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a compressed or damaged batch, which only a Kafka client can judge")]
pub struct Unreadable;

/// Headers in their encoded form.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeaders<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl Headers for EncodedHeaders<'_> {
    fn len(&self) -> usize {
        self.count
    }
    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)> {
        if i >= self.count {
            return None;
        }
        let mut rest = self.bytes;
        for _ in 0..i {
            take_header(&mut rest)?;
        }
        take_header(&mut rest)
    }
}

/// Encodes records as one batch; `sequence` and `transactional` count only with a producer id.
pub fn encode(records: &[NewRecord<'_>], producer: Producer, sequence: i32, transactional: bool) -> Batch {
    let base_ms = records.first().map_or(-1, |record| record.timestamp_ms);
    let max_timestamp_ms = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(-1);
    let head = Head { count: records.len() as i32, max_timestamp_ms, producer, sequence, transactional };
    let mut out = BytesMut::with_capacity(HEAD_BYTES + records.iter().map(size_hint).sum::<usize>());
    wire::write_head(&head, 0, base_ms, &mut out);
    let mut body = BytesMut::new();
    for (delta, record) in records.iter().enumerate() {
        body.clear();
        put_record(&mut body, record, record.timestamp_ms - base_ms, delta as i64);
        put_number(&mut out, body.len() as i64);
        out.extend_from_slice(&body);
    }
    wire::seal(&mut out);
    Batch { head, content: Content::Records(out.freeze()) }
}

/// The records of a batch; none in a marker.
pub fn decode(stored: &Stored) -> impl Iterator<Item = Result<StoredRecord<'_>, Unreadable>> {
    let bytes: &[u8] = match &stored.batch.content {
        Content::Records(bytes) => bytes,
        Content::Marker { .. } => &[],
    };
    let compressed = bytes.get(22).is_some_and(|attributes| attributes & 0x07 != 0);
    let base_ms = bytes.get(27..35).and_then(|field| field.try_into().ok()).map_or(-1, i64::from_be_bytes);
    let mut rest = bytes.get(HEAD_BYTES..).unwrap_or_default();
    let count = if bytes.is_empty() { 0 } else { stored.batch.head.count };
    let mut failed = false;
    (0..count).map_while(move |_| {
        if failed {
            return None;
        }
        let record = if compressed { None } else { take_record(&mut rest, stored, base_ms) };
        failed = record.is_none();
        Some(record.ok_or(Unreadable))
    })
}

fn size_hint(record: &NewRecord<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 6).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers + 24
}

fn put_record(out: &mut BytesMut, record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i64) {
    out.put_u8(0);
    put_number(out, timestamp_delta);
    put_number(out, offset_delta);
    put_bytes(out, record.key);
    put_bytes(out, record.value);
    put_number(out, record.headers.len() as i64);
    for (name, value) in record.headers {
        put_bytes(out, Some(name.as_bytes()));
        put_bytes(out, value.as_deref());
    }
}

/// A length and so many bytes; length -1 for nothing.
fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    put_number(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// Zigzag, then seven bits a byte, the lowest first.
fn put_number(out: &mut BytesMut, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn take_record<'a>(rest: &mut &'a [u8], stored: &Stored, base_ms: i64) -> Option<StoredRecord<'a>> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (mut body, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    body = body.get(1..)?;
    let timestamp_delta = take_number(&mut body)?;
    let offset_delta = take_number(&mut body)?;
    let key = take_bytes(&mut body)?;
    let value = take_bytes(&mut body)?;
    let count = usize::try_from(take_number(&mut body)?).ok().filter(|count| *count <= body.len())?;
    Some(StoredRecord {
        offset: Offset(stored.base.0.checked_add(offset_delta)?),
        timestamp_ms: stored.append_time_ms.unwrap_or(base_ms.checked_add(timestamp_delta)?),
        key,
        value,
        headers: EncodedHeaders { count, bytes: body },
    })
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Option<&'a [u8]>)> {
    let name = std::str::from_utf8(take_bytes(rest)??).ok()?;
    Some((name, take_bytes(rest)?))
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_number(rest)?;
    if length < 0 {
        return Some(None);
    }
    let (bytes, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(Some(bytes))
}

fn take_number(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::RecordBatchDecoder;
    use proptest::prelude::*;

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

    fn stored(records: &[Owned]) -> Stored {
        let borrowed: Vec<_> = records
            .iter()
            .map(|record| NewRecord { timestamp_ms: record.0, key: record.1.as_deref(), value: record.2.as_deref(), headers: &record.3 })
            .collect();
        Stored { base: Offset(100), append_time_ms: None, batch: encode(&borrowed, Producer::NONE, -1, false) }
    }

    fn owned(record: &StoredRecord<'_>) -> Owned {
        let header = |i| record.headers.get(i).map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec)));
        let headers = (0..record.headers.len()).filter_map(header).collect();
        (record.timestamp_ms, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers)
    }

    fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200))
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            records in proptest::collection::vec(
                (0i64..4_000_000_000_000, bytes(), bytes(), proptest::collection::vec(("[a-z]{0,9}", bytes()), 0..4)),
                1..20,
            )
        ) {
            let stored = stored(&records);
            let decoded: Vec<Owned> = decode(&stored).map(|record| owned(&record.expect("readable"))).collect();
            prop_assert_eq!(&decoded, &records);
            let mut out = BytesMut::new();
            wire::write(&stored, &mut out);
            prop_assert!(wire::parse(&out).is_ok());
            let foreign = RecordBatchDecoder::decode(&mut out.freeze()).expect("a foreign decoder reads it");
            prop_assert_eq!(foreign.records.len(), records.len());
            for (index, (theirs, ours)) in foreign.records.iter().zip(&records).enumerate() {
                prop_assert_eq!(theirs.offset, 100 + index as i64);
                prop_assert_eq!(theirs.timestamp, ours.0);
                prop_assert_eq!((theirs.key.as_deref(), theirs.value.as_deref()), (ours.1.as_deref(), ours.2.as_deref()));
            }
        }
    }

    #[test]
    fn a_damaged_batch_is_reported_once_and_not_read_on() {
        let mut stored = stored(&[(1, None, Some(b"v".to_vec()), vec![])]);
        stored.batch.head.count = 3;
        let results: Vec<bool> = decode(&stored).map(|record| record.is_ok()).collect();
        assert_eq!(results, [true, false]);
    }
}
