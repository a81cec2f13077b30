//! One partition: batches in offset order, which of them are decided, and the sequences of their writers.
//!
//! Guarantees: offsets rise without gaps; a batch of an idempotent producer is taken once and in order; nothing at or after
//! the first record of an undecided transaction lies below the last stable offset.
//! Never: looks into a batch, compacts.

use super::Answer;
use super::batch::{Batch, Head, Producer, Stored};
use crate::engine::types::Offset;
use crate::log::Ends;
use kafka_protocol::ResponseError;
use std::collections::{BTreeMap, VecDeque};

/// How many batches of a producer are remembered to recognise a repeated one; clients keep no more in flight.
const REMEMBERED: usize = 5;

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything that is written.
    Uncommitted,
    /// What lies below the last stable offset; the reader leaves out what the index of aborted transactions names.
    Committed,
}

/// An aborted transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The producer's id.
    pub producer: i64,
    /// Its first record.
    pub first: Offset,
    /// Its marker.
    pub marker: Offset,
}

/// Limits on how long records are kept; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this go.
    pub age_ms: Option<i64>,
    /// The oldest batches go while at least this much would be left.
    pub bytes: Option<usize>,
}

/// What a partition remembers of one producer.
#[derive(Debug, Default)]
struct Sequences {
    epoch: i16,
    last: Option<i32>,
    recent: VecDeque<(i32, i32, Offset)>,
}

/// What to do with a batch that was checked.
enum Admission {
    Take,
    Repeated(Offset),
}

/// One partition's log.
#[derive(Debug, Default)]
pub struct PartitionLog {
    batches: VecDeque<Stored>,
    low: i64,
    high: i64,
    bytes: usize,
    open: BTreeMap<i64, Offset>,
    aborted: Vec<Aborted>,
    producers: BTreeMap<i64, Sequences>,
}

/// The sequence number `by` after `from`; after the greatest comes 0.
fn sequence_after(from: i32, by: i32) -> i32 {
    if from > i32::MAX - by { by - (i32::MAX - from) - 1 } else { from + by }
}

fn last_sequence(head: &Head) -> i32 {
    sequence_after(head.sequence, head.count - 1)
}

impl PartitionLog {
    /// First offset, last stable offset, high watermark.
    pub fn ends(&self) -> Ends {
        let stable = self.open.values().map(|first| first.0.max(self.low)).min().unwrap_or(self.high);
        Ends { low: Offset(self.low), last_stable: Offset(stable), high: Offset(self.high) }
    }

    /// Takes a batch and returns its first offset; a repeated one is not taken again.
    pub fn append(&mut self, batch: Batch, append_time_ms: Option<i64>) -> Answer<Offset> {
        let head = batch.head;
        if head.producer.id < 0 {
            return Ok(self.push(batch, append_time_ms));
        }
        if let Admission::Repeated(base) = self.admit(&head)? {
            return Ok(base);
        }
        let base = self.push(batch, append_time_ms);
        if head.transactional {
            self.open.entry(head.producer.id).or_insert(base);
        }
        let known = self.at_epoch(head.producer);
        known.last = Some(last_sequence(&head));
        known.recent.push_back((head.sequence, last_sequence(&head), base));
        if known.recent.len() > REMEMBERED {
            known.recent.pop_front();
        }
        Ok(base)
    }

    /// Ends the transaction of `producer`: a marker, and an entry in the index if it was aborted.
    pub fn end(&mut self, producer: Producer, commit: bool, now_ms: i64) {
        let first = self.open.remove(&producer.id);
        let marker = self.push(Batch::marker(producer, commit, now_ms), None);
        self.at_epoch(producer);
        if let (Some(first), false) = (first, commit) {
            self.aborted.push(Aborted { producer: producer.id, first, marker });
        }
    }

    /// Batches from the one that holds `from`, at least one if there is any, else no more than `room` bytes.
    pub fn read(&self, from: Offset, room: usize, isolation: Isolation) -> impl Iterator<Item = &Stored> {
        let stop = self.stop(isolation);
        let begin = self.batches.partition_point(|stored| stored.next() <= from);
        let mut used = 0;
        self.batches.range(begin..).take_while(move |stored| {
            let first = used == 0;
            used += stored.batch.size();
            stored.base < stop && (first || used <= room)
        })
    }

    /// How many bytes `read` would return.
    pub fn readable(&self, from: Offset, room: usize, isolation: Isolation) -> usize {
        self.read(from, room, isolation).map(|stored| stored.batch.size()).sum()
    }

    /// Aborted transactions that a reader of `[from, to)` must know.
    pub fn aborted(&self, from: Offset, to: Offset) -> impl Iterator<Item = &Aborted> {
        self.aborted.iter().filter(move |aborted| aborted.marker >= from && aborted.first < to)
    }

    /// The batches with a record of `timestamp_ms` or later.
    pub fn since(&self, timestamp_ms: i64, isolation: Isolation) -> impl Iterator<Item = &Stored> {
        let stop = self.stop(isolation);
        self.batches.iter().filter(move |stored| stored.base < stop && stored.max_timestamp_ms() >= timestamp_ms)
    }

    /// Deletes everything below `before`. A batch that reaches beyond it stays in memory, its head out of sight.
    pub fn trim(&mut self, before: Offset) -> Answer<()> {
        if before.0 > self.high {
            return Err(ResponseError::OffsetOutOfRange);
        }
        self.low = self.low.max(before.0);
        while let Some(oldest) = self.batches.front().filter(|stored| stored.next().0 <= self.low) {
            self.bytes -= oldest.batch.size();
            self.batches.pop_front();
        }
        self.aborted.retain(|aborted| aborted.marker.0 >= self.low);
        Ok(())
    }

    /// Deletes what retention no longer keeps. Kafka waits for whole segments to age; here each batch goes on its own.
    pub fn expire(&mut self, now_ms: i64, retention: Retention) {
        let stable = self.ends().last_stable;
        while let Some(oldest) = self.batches.front() {
            let aged = retention.age_ms.is_some_and(|age| oldest.max_timestamp_ms() < now_ms - age);
            let crowded = retention.bytes.is_some_and(|keep| self.bytes - oldest.batch.size() >= keep);
            let next = oldest.next();
            if next > stable || !(aged || crowded) || self.trim(next).is_err() {
                return;
            }
        }
    }

    fn stop(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::Uncommitted => Offset(self.high),
            Isolation::Committed => self.ends().last_stable,
        }
    }

    fn push(&mut self, batch: Batch, append_time_ms: Option<i64>) -> Offset {
        let base = Offset(self.high);
        self.high += i64::from(batch.head.count);
        self.bytes += batch.size();
        self.batches.push_back(Stored { base, append_time_ms, batch });
        base
    }

    fn at_epoch(&mut self, producer: Producer) -> &mut Sequences {
        let known = self.producers.entry(producer.id).or_default();
        if known.epoch < producer.epoch {
            *known = Sequences { epoch: producer.epoch, ..Sequences::default() };
        }
        known
    }

    fn admit(&self, head: &Head) -> Answer<Admission> {
        let Some(known) = self.producers.get(&head.producer.id) else { return Ok(Admission::Take) };
        if head.producer.epoch < known.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let mut expected = known.last.map_or(0, |last| sequence_after(last, 1));
        if head.producer.epoch > known.epoch {
            expected = 0;
        } else if let Some(seen) = known.recent.iter().find(|seen| (seen.0, seen.1) == (head.sequence, last_sequence(head))) {
            return Ok(Admission::Repeated(seen.2));
        }
        if head.sequence == expected { Ok(Admission::Take) } else { Err(ResponseError::OutOfOrderSequenceNumber) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::batch::Content;
    use bytes::Bytes;

    fn batch(producer: Producer, sequence: i32, count: i32, transactional: bool) -> Batch {
        let head = Head { count, max_timestamp_ms: 1_000, producer, sequence, transactional };
        Batch { head, content: Content::Records(Bytes::from_static(b"opaque")) }
    }
    fn plain() -> Batch {
        batch(Producer::NONE, -1, 1, false)
    }
    const A: Producer = Producer { id: 1, epoch: 0 };
    const B: Producer = Producer { id: 2, epoch: 0 };

    #[test]
    fn a_repeated_batch_is_taken_once_and_a_gap_is_refused() {
        let mut log = PartitionLog::default();
        assert_eq!(log.append(batch(A, 0, 3, false), None), Ok(Offset(0)));
        assert_eq!(log.append(batch(A, 3, 2, false), None), Ok(Offset(3)));
        assert_eq!(log.append(batch(A, 0, 3, false), None), Ok(Offset(0)));
        assert_eq!(log.append(batch(A, 6, 1, false), None), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(log.ends().high, Offset(5));
    }

    #[test]
    fn an_older_epoch_is_refused_and_a_newer_one_begins_at_zero() {
        let mut log = PartitionLog::default();
        log.append(batch(A, 0, 1, false), None).expect("first");
        let newer = Producer { id: 1, epoch: 1 };
        assert_eq!(log.append(batch(newer, 1, 1, false), None), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(log.append(batch(newer, 0, 1, false), None), Ok(Offset(1)));
        assert_eq!(log.append(batch(A, 1, 1, false), None), Err(ResponseError::InvalidProducerEpoch));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 3), 1);
        assert_eq!(sequence_after(7, 3), 10);
    }

    #[test]
    fn the_oldest_open_transaction_holds_the_last_stable_offset_back() {
        let mut log = PartitionLog::default();
        log.append(plain(), None).expect("plain");
        log.append(batch(A, 0, 1, true), None).expect("a");
        log.append(batch(B, 0, 1, true), None).expect("b");
        log.end(B, true, 5);
        assert_eq!(log.ends(), Ends { low: Offset(0), last_stable: Offset(1), high: Offset(4) });
        assert_eq!(log.read(Offset(0), 1_000, Isolation::Committed).count(), 1);
        assert_eq!(log.read(Offset(0), 1_000, Isolation::Uncommitted).count(), 4);
        log.end(A, false, 6);
        assert_eq!(log.ends().last_stable, Offset(5));
        let aborted: Vec<_> = log.aborted(Offset(0), Offset(5)).copied().collect();
        assert_eq!(aborted, [Aborted { producer: 1, first: Offset(1), marker: Offset(4) }]);
    }

    #[test]
    fn trimming_inside_a_batch_moves_the_low_end_and_keeps_the_batch() {
        let mut log = PartitionLog::default();
        log.append(batch(Producer::NONE, -1, 10, false), None).expect("batch");
        assert_eq!(log.trim(Offset(4)), Ok(()));
        assert_eq!((log.ends().low, log.read(Offset(4), 100, Isolation::Committed).count()), (Offset(4), 1));
        assert_eq!(log.trim(Offset(11)), Err(ResponseError::OffsetOutOfRange));
    }

    #[test]
    fn retention_goes_by_age_and_by_size_and_none_is_for_ever() {
        let mut log = PartitionLog::default();
        (0..4).for_each(|offset| assert_eq!(log.append(plain(), None), Ok(Offset(offset))));
        log.expire(i64::MAX / 2, Retention { age_ms: None, bytes: None });
        assert_eq!(log.ends().low, Offset(0));
        log.expire(1_000, Retention { age_ms: None, bytes: Some(12) });
        assert_eq!(log.ends().low, Offset(2));
        log.expire(3_001, Retention { age_ms: Some(2_000), bytes: None });
        assert_eq!(log.ends(), Ends { low: Offset(4), last_stable: Offset(4), high: Offset(4) });
    }

    #[test]
    fn a_read_returns_at_least_one_batch_however_small_the_room() {
        let mut log = PartitionLog::default();
        (0..3).for_each(|offset| assert_eq!(log.append(plain(), None), Ok(Offset(offset))));
        assert_eq!(log.readable(Offset(0), 1, Isolation::Committed), 6);
        assert_eq!(log.readable(Offset(1), 12, Isolation::Committed), 12);
        assert_eq!(log.readable(Offset(3), 12, Isolation::Committed), 0);
    }
}
