//! The cluster: one machine of state behind the in-memory log, the demo's broker and the tests.
//!
//! Guarantees: pure. The same calls in the same order give the same answers; time passes only in `advance`; nothing waits,
//! sleeps, opens a socket or starts a thread. A call that must wait for others (join, sync) gives a ticket to ask with later.
//! Never: keeps anything on disk, has more than one replica, compacts, forgets committed offsets or producers by age.
//! Goes to: `front` (sockets and the wire format), `log::memory` (direct calls).

use super::Answer;
use super::batch::Batch;
use super::group::Group;
use super::markers::Markers;
use super::partition::{Isolation, PartitionLog};
use super::settings::Settings;
use super::transaction::Transaction;
use crate::engine::types::Offset;
use kafka_protocol::ResponseError;
use std::collections::BTreeMap;

/// A partition of a topic, by name and number.
pub type TopicPartition = (String, i32);

/// A promise of an answer that depends on others. See `Cluster::joined` and `Cluster::synced`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What has changed since somebody last asked: who waits for it may look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Records were written or decided.
    pub records: bool,
    /// A group answered a ticket.
    pub groups: bool,
}

/// A topic: its settings and partitions.
#[derive(Debug)]
pub struct Topic {
    /// What was chosen for it.
    pub settings: Settings,
    /// Its partitions by number.
    pub partitions: Vec<PartitionLog>,
}

/// The whole state.
#[derive(Debug, Default)]
pub struct Cluster {
    pub(super) now_ms: i64,
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) transactions: BTreeMap<String, Transaction>,
    pub(super) first_rebalance_delay_ms: i64,
    pub(super) changes: Changes,
    pub(super) markers: Markers,
    last_id: u64,
}

impl Cluster {
    /// An empty cluster at time 0.
    pub fn new() -> Cluster {
        Cluster::default()
    }

    /// How long an empty group waits for further members before its first rebalance (Kafka:
    /// `group.initial.rebalance.delay.ms`). 0 unless set.
    pub fn set_first_rebalance_delay_ms(&mut self, delay_ms: i64) {
        self.first_rebalance_delay_ms = delay_ms;
    }

    /// The cluster's clock.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Moves the clock (never back) and does what has become due: sessions, rebalances, transactions, retention.
    pub fn advance(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        let mut answered = false;
        for group in self.groups.values_mut() {
            answered |= group.advance(self.now_ms);
        }
        self.changes.groups |= answered;
        self.abort_overdue_transactions();
        self.write_due_markers();
        for topic in self.topics.values_mut() {
            let retention = topic.settings.retention();
            topic.partitions.iter_mut().for_each(|partition| partition.expire(self.now_ms, retention));
        }
    }

    /// What a restart does to groups: requests that waited are forgotten, every session begins anew at this time.
    pub fn restarted(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.groups.values_mut().for_each(|group| group.restarted(self.now_ms));
    }

    /// Returns what has changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Names of all topics.
    pub fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Answer<&Topic> {
        self.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)
    }

    /// A partition by topic name and number.
    pub fn partition(&self, topic: &str, partition: i32) -> Answer<&PartitionLog> {
        let index = usize::try_from(partition).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
        self.topic(topic)?.partitions.get(index).ok_or(ResponseError::UnknownTopicOrPartition)
    }

    pub(super) fn partition_mut(&mut self, topic: &str, partition: i32) -> Answer<&mut PartitionLog> {
        let found = self.topics.get_mut(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let index = usize::try_from(partition).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
        found.partitions.get_mut(index).ok_or(ResponseError::UnknownTopicOrPartition)
    }

    /// Appends a batch; `transactional_id` names the transaction that it belongs to. Returns its first offset, and the
    /// broker's timestamp if the topic has LogAppendTime.
    pub fn produce(&mut self, topic: &str, partition: i32, transactional_id: Option<&str>, batch: Batch) -> Answer<(Offset, Option<i64>)> {
        self.partition(topic, partition)?;
        if batch.head.transactional {
            let id = transactional_id.ok_or(ResponseError::InvalidTxnState)?;
            self.check_in_transaction(id, batch.head.producer, &(topic.to_string(), partition))?;
        }
        let now_ms = self.now_ms;
        let settings = &self.topic(topic)?.settings;
        if batch.size() > settings.max_batch_bytes() {
            return Err(ResponseError::MessageTooLarge);
        }
        let append_time = settings.append_time().then_some(now_ms);
        if append_time.is_none() && batch.head.max_timestamp_ms.saturating_sub(now_ms) > settings.max_ahead_ms() {
            return Err(ResponseError::InvalidTimestamp);
        }
        let base = self.partition_mut(topic, partition)?.append(batch, append_time)?;
        self.changes.records = true;
        Ok((base, append_time))
    }

    /// Checks that a reader may continue at `offset`, and returns the partition to read it from.
    pub fn fetch(&self, topic: &str, partition: i32, offset: Offset) -> Answer<&PartitionLog> {
        let log = self.partition(topic, partition)?;
        let ends = log.ends();
        if offset < ends.low || offset > ends.high { Err(ResponseError::OffsetOutOfRange) } else { Ok(log) }
    }

    /// How many bytes a fetch would return; 1 if it would return an error, which must not wait.
    pub fn fetchable(&self, topic: &str, partition: i32, offset: Offset, room: usize, isolation: Isolation) -> usize {
        self.fetch(topic, partition, offset).map_or(1, |log| log.readable(offset, room, isolation))
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
