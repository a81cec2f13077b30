//! Records that were read and not taken yet: one queue per partition.
//!
//! Guarantees: records keep their order; memory is reused; a record leaves only by `pop`.
//! Why: a record beyond the look-ahead stays next in line. (The Kafka client keeps such records itself.)

use crate::engine::types::{Offset, Partition};
use crate::log::{Headers, Record, TopicIx};
use std::collections::VecDeque;

/// A record by its place in the queue's bytes.
#[derive(Clone, Copy)]
struct Meta {
    offset: Offset,
    timestamp: i64,
    append_time: bool,
    key: Option<(usize, usize)>,
    value: Option<(usize, usize)>,
    headers: Option<(usize, usize)>,
}

/// A queue of records of one partition of one topic.
pub struct Inbox {
    topic: TopicIx,
    partition: Partition,
    bytes: Vec<u8>,
    queue: VecDeque<Meta>,
}

/// Headers inside an inbox: (name, value) with lengths in front.
struct Packed<'a>(&'a [u8]);

impl Headers for Packed<'_> {
    fn len(&self) -> usize {
        (0..).take_while(|i| self.get(*i).is_some()).count()
    }
    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)> {
        let mut rest = self.0;
        for at in 0.. {
            let (name, after) = chunk(rest)?;
            let (there, after) = after.split_first()?;
            let (value, after) = chunk(after)?;
            if at == i {
                return Some((std::str::from_utf8(name).unwrap_or(""), (*there == 1).then_some(value)));
            }
            rest = after;
        }
        None
    }
}

fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

impl Inbox {
    /// Of a partition of a topic.
    pub fn new(topic: TopicIx, partition: Partition) -> Inbox {
        Inbox { topic, partition, bytes: Vec::new(), queue: VecDeque::new() }
    }

    /// Copies a record to the end.
    pub fn push(&mut self, record: &Record<'_>) {
        if self.queue.is_empty() {
            self.bytes.clear();
        }
        let bytes = &mut self.bytes;
        let mut keep = |part: Option<&[u8]>| {
            part.map(|p| {
                let at = bytes.len();
                bytes.extend_from_slice(p);
                (at, at + p.len())
            })
        };
        let (key, value) = (keep(record.key), keep(record.value));
        let headers = (!record.headers.is_empty()).then(|| {
            let at = self.bytes.len();
            for (name, value) in (0..record.headers.len()).filter_map(|i| record.headers.get(i)) {
                self.bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
                self.bytes.extend_from_slice(name.as_bytes());
                self.bytes.push(u8::from(value.is_some()));
                self.bytes.extend_from_slice(&(value.map_or(0, <[u8]>::len) as u32).to_le_bytes());
                self.bytes.extend_from_slice(value.unwrap_or_default());
            }
            (at, self.bytes.len())
        });
        self.queue.push_back(Meta {
            offset: record.offset,
            timestamp: record.timestamp,
            append_time: record.append_time,
            key,
            value,
            headers,
        });
    }

    /// Calls `f` with the first record.
    pub fn with_first<T>(&self, f: impl FnOnce(Record<'_>) -> T) -> Option<T> {
        let m = self.queue.front()?;
        let headers = Packed(m.headers.map_or(&[], |(a, b)| &self.bytes[a..b]));
        let slice = |r: Option<(usize, usize)>| r.map(|(a, b)| &self.bytes[a..b]);
        Some(f(Record {
            topic: self.topic,
            partition: self.partition,
            offset: m.offset,
            timestamp: m.timestamp,
            append_time: m.append_time,
            key: slice(m.key),
            value: slice(m.value),
            headers: &headers,
        }))
    }

    /// Removes the first record.
    pub fn pop(&mut self) {
        self.queue.pop_front();
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::NoHeaders;

    #[test]
    fn records_come_out_as_they_went_in() {
        let mut inbox = Inbox::new(TopicIx(0), Partition(3));
        let headers = vec![("a".to_string(), Some(b"1".to_vec())), ("b".to_string(), None)];
        let record = |offset, key, value, headers| Record {
            topic: TopicIx(0),
            partition: Partition(3),
            offset: Offset(offset),
            timestamp: 7,
            append_time: true,
            key,
            value,
            headers,
        };
        inbox.push(&record(5, Some(b"k"), None, &headers));
        inbox.push(&record(6, None, Some(b"value"), &NoHeaders));
        inbox.with_first(|r| {
            assert_eq!((r.offset, r.key, r.value, r.headers.len()), (Offset(5), Some(&b"k"[..]), None, 2));
            assert_eq!((r.headers.get(0), r.headers.get(1)), (Some(("a", Some(&b"1"[..]))), Some(("b", None))));
        });
        inbox.pop();
        inbox.with_first(|r| assert_eq!((r.offset, r.key, r.value, r.headers.len()), (Offset(6), None, Some(&b"value"[..]), 0)));
        inbox.pop();
        assert!(inbox.is_empty());
    }
}
