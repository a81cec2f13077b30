//! Batches as Kafka's clients write and read them (message format v2): heads, stamps, markers.
//!
//! Guarantees: a batch is taken only if its length, magic, count and CRC32C are right; what readers get differs from what was
//! sent in base offset, leader epoch and, under LogAppendTime, the timestamp, as with Kafka.
//! Comes from: `front` (requests) and `log::memory`. Goes to: `partition` (by way of `Cluster::produce`), `front` (answers).

use super::batch::{Batch, Content, Head, Producer, Stored};
use crate::engine::types::Offset;
use bytes::{BufMut, Bytes, BytesMut};

/// Where the records begin.
pub(crate) const HEAD_BYTES: usize = 61;
const LENGTH_AT: usize = 8;
/// What the length field doesn't count: base offset and itself.
const BEFORE_LENGTH: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Too short, or the length field disagrees.
    #[error("a batch of the wrong length")]
    Length,
    /// Not message format v2.
    #[error("a batch of another format than v2")]
    Magic,
    /// The checksum disagrees.
    #[error("a batch with a wrong checksum")]
    Checksum,
    /// A count that disagrees with the offsets, or a marker from a client.
    #[error("a batch with an impossible head")]
    Head,
}

/// A value of the head; the caller has checked that `bytes` hold a head.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

/// Checks one batch and copies it: a copy has no part in the memory of the request.
pub fn parse(bytes: &[u8]) -> Result<Batch, Malformed> {
    if bytes.len() < HEAD_BYTES {
        return Err(Malformed::Length);
    }
    if bytes[MAGIC_AT] != 2 {
        return Err(Malformed::Magic);
    }
    let length = usize::try_from(i32::from_be_bytes(field(bytes, LENGTH_AT))).map_err(|_| Malformed::Length)?;
    if length + BEFORE_LENGTH != bytes.len() {
        return Err(Malformed::Length);
    }
    if crc32c::crc32c(&bytes[ATTRIBUTES_AT..]) != u32::from_be_bytes(field(bytes, CRC_AT)) {
        return Err(Malformed::Checksum);
    }
    let attributes = i16::from_be_bytes(field(bytes, ATTRIBUTES_AT));
    let last_delta = i32::from_be_bytes(field(bytes, 23));
    let count = i32::from_be_bytes(field(bytes, 57));
    if count < 1 || last_delta != count - 1 || attributes & CONTROL != 0 {
        return Err(Malformed::Head);
    }
    let head = Head {
        count,
        max_timestamp_ms: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)),
        producer: Producer { id: i64::from_be_bytes(field(bytes, 43)), epoch: i16::from_be_bytes(field(bytes, 51)) },
        sequence: i32::from_be_bytes(field(bytes, 53)),
        transactional: attributes & TRANSACTIONAL != 0,
    };
    Ok(Batch { head, content: Content::Records(Bytes::copy_from_slice(bytes)) })
}

/// Appends a batch to an answer, with its place and time in it.
pub fn write(stored: &Stored, out: &mut BytesMut) {
    let begin = out.len();
    match &stored.batch.content {
        Content::Records(bytes) => out.extend_from_slice(bytes),
        Content::Marker { commit } => write_marker(&stored.batch.head, *commit, out),
    }
    let written = &mut out[begin..];
    written[..8].copy_from_slice(&stored.base.0.to_be_bytes());
    written[12..16].copy_from_slice(&0i32.to_be_bytes());
    if let Some(time_ms) = stored.append_time_ms {
        written[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&time_ms.to_be_bytes());
        let attributes = i16::from_be_bytes(field(written, ATTRIBUTES_AT)) | APPEND_TIME;
        written[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
        seal(written);
    }
}

/// A control batch of one record: key (version 0, 0 abort or 1 commit), value (version 0, coordinator epoch 0).
fn write_marker(head: &Head, commit: bool, out: &mut BytesMut) {
    let record: [u8; 17] = [32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12, 0, 0, 0, 0, 0, 0, 0];
    let begin = out.len();
    write_head(head, CONTROL, head.max_timestamp_ms, out);
    out.extend_from_slice(&record);
    seal(&mut out[begin..]);
}

/// A head with nothing in the places that `seal` and `write` fill; `base_ms` is what record timestamps count from.
pub(crate) fn write_head(head: &Head, further: i16, base_ms: i64, out: &mut BytesMut) {
    out.put_i64(0);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i8(2);
    out.put_u32(0);
    out.put_i16(further | if head.transactional { TRANSACTIONAL } else { 0 });
    out.put_i32(head.count - 1);
    out.put_i64(base_ms);
    out.put_i64(head.max_timestamp_ms);
    out.put_i64(head.producer.id);
    out.put_i16(head.producer.epoch);
    out.put_i32(head.sequence);
    out.put_i32(head.count);
}

/// Sets length and checksum of the one batch in `bytes`.
pub(crate) fn seal(bytes: &mut [u8]) {
    let length = (bytes.len() - BEFORE_LENGTH) as i32;
    bytes[LENGTH_AT..BEFORE_LENGTH].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Offset and timestamp of the first record of a batch that is of `timestamp_ms` or later, at `low` or behind it. A marker is one, and a
/// compressed batch is not opened: both stand for their first record.
pub fn first_since(stored: &Stored, timestamp_ms: i64, low: Offset) -> Option<(Offset, i64)> {
    if let Some(time_ms) = stored.append_time_ms {
        return Some((stored.base.max(low), time_ms));
    }
    let mut records = super::records::decode(stored).peekable();
    let marker = matches!(stored.batch.content, Content::Marker { .. });
    if marker || matches!(records.peek(), Some(Err(_))) {
        return Some((stored.base.max(low), stored.max_timestamp_ms()));
    }
    let fits = |record: &super::records::StoredRecord<'_>| record.timestamp_ms >= timestamp_ms && record.offset >= low;
    records.map_while(Result::ok).find(fits).map(|found| (found.offset, found.timestamp_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::RecordBatchDecoder;

    #[test]
    fn a_marker_is_a_control_record_that_a_foreign_decoder_reads() {
        let producer = Producer { id: 7, epoch: 3 };
        let stored = Stored { base: Offset(41), append_time_ms: None, batch: Batch::marker(producer, true, 99) };
        let mut out = BytesMut::new();
        write(&stored, &mut out);
        assert_eq!(out.len(), stored.batch.size());
        let set = RecordBatchDecoder::decode(&mut out.freeze()).expect("decodes");
        let record = &set.records[0];
        assert!(record.control && record.transactional);
        assert_eq!((record.offset, record.timestamp, record.producer_id, record.producer_epoch), (41, 99, 7, 3));
        assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, 1][..]));
    }

    #[test]
    fn a_marker_has_a_time_as_any_record() {
        let stored = Stored { base: Offset(41), append_time_ms: None, batch: Batch::marker(Producer { id: 7, epoch: 3 }, true, 99) };
        assert_eq!(first_since(&stored, 50, Offset(0)), Some((Offset(41), 99)));
    }

    #[test]
    fn a_record_that_announces_too_many_headers_is_not_believed() {
        let head = Head { count: 1, max_timestamp_ms: 5, producer: Producer::NONE, sequence: -1, transactional: false };
        let found = |headers: &[u8]| {
            let mut bytes = BytesMut::new();
            write_head(&head, 0, 5, &mut bytes);
            bytes.extend_from_slice(&[(5 + headers.len() as u8) * 2, 0, 0, 0, 1, 1]);
            bytes.extend_from_slice(headers);
            seal(&mut bytes);
            let stored = Stored { base: Offset(3), append_time_ms: None, batch: parse(&bytes).expect("a batch") };
            first_since(&stored, 5, Offset(0))
        };
        assert_eq!(found(&[0]), Some((Offset(3), 5)));
        assert_eq!(found(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), Some((Offset(3), 5)), "as a batch that can't be read: its first record");
    }

    #[test]
    fn damaged_batches_are_refused() {
        assert_eq!(parse(b"GET / HTTP/1.1"), Err(Malformed::Length));
        let head = Head { count: 1, max_timestamp_ms: 0, producer: Producer::NONE, sequence: -1, transactional: false };
        let mut good = BytesMut::new();
        write_head(&head, 0, 0, &mut good);
        good.extend_from_slice(&[12, 0, 0, 0, 1, 1, 0]);
        seal(&mut good);
        assert_eq!(parse(&good).map(|batch| batch.head), Ok(head));
        let damaged = |at: usize| {
            let mut copy = good.to_vec();
            copy[at] ^= 1;
            parse(&copy)
        };
        assert_eq!(damaged(MAGIC_AT), Err(Malformed::Magic));
        assert_eq!(damaged(11), Err(Malformed::Length));
        assert_eq!(damaged(65), Err(Malformed::Checksum));
    }
}
