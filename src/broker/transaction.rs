//! Producer ids and transactions.
//!
//! Guarantees: of all producers with one transactional id only the youngest can write, commit or send offsets; records and
//! offsets of a transaction become visible together or not at all; a transaction older than its timeout is aborted.
//! Comes from: the producer's requests. Goes to: `partition` (markers), `offsets` (staged positions).

use super::Answer;
use super::batch::Producer;
use super::offsets::Committed;
use super::state::{Cluster, TopicPartition};
use kafka_protocol::ResponseError;
use std::collections::{BTreeMap, BTreeSet};

/// Kafka's `transaction.max.timeout.ms`.
const LONGEST_TIMEOUT_MS: i64 = 900_000;

/// What the coordinator knows of one transactional id.
#[derive(Debug)]
pub struct Transaction {
    producer: Producer,
    timeout_ms: i64,
    started_ms: Option<i64>,
    partitions: BTreeSet<TopicPartition>,
    groups: BTreeSet<String>,
    staged: BTreeMap<(String, TopicPartition), Committed>,
    last_commit: Option<bool>,
}

impl Transaction {
    fn begin(&mut self, now_ms: i64) {
        self.started_ms.get_or_insert(now_ms);
        self.last_commit = None;
    }
}

impl Cluster {
    /// Gives out a producer id. With a transactional id: fences older producers with it and aborts what they left open.
    /// `current` is what the caller already holds, if it wants to go on with it.
    pub fn init_producer(&mut self, transactional_id: Option<&str>, timeout_ms: i64, current: Option<Producer>) -> Answer<Producer> {
        let Some(id) = transactional_id else { return Ok(self.new_producer()) };
        if !(1..=LONGEST_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let Some(known) = self.transactions.get(id).map(|transaction| transaction.producer) else {
            let producer = self.new_producer();
            self.register(id, producer, timeout_ms);
            return Ok(producer);
        };
        if current.is_some_and(|current| current != known) {
            return Err(ResponseError::ProducerFenced);
        }
        self.fence(id);
        self.finish_markers(id);
        if known.epoch >= i16::MAX - 2 {
            let producer = self.new_producer();
            self.register(id, producer, timeout_ms);
            return Ok(producer);
        }
        let transaction = self.transactions.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        transaction.timeout_ms = timeout_ms;
        transaction.last_commit = None;
        Ok(transaction.producer)
    }

    /// Registers a partition with the producer's transaction, which begins if none is open.
    pub fn add_partition(&mut self, id: &str, producer: Producer, place: TopicPartition) -> Answer<()> {
        self.check_producer(id, producer)?;
        self.partition(&place.0, place.1)?;
        self.finish_markers(id);
        let now_ms = self.now_ms;
        let transaction = self.owned(id, producer)?;
        transaction.begin(now_ms);
        transaction.partitions.insert(place);
        Ok(())
    }

    /// Registers a consumer group with the producer's transaction, which begins if none is open.
    pub fn add_group(&mut self, id: &str, producer: Producer, group: &str) -> Answer<()> {
        self.check_producer(id, producer)?;
        self.finish_markers(id);
        let now_ms = self.now_ms;
        let transaction = self.owned(id, producer)?;
        transaction.begin(now_ms);
        transaction.groups.insert(group.to_string());
        Ok(())
    }

    /// Stages a position that the transaction's commit will make visible. The member must have been checked before.
    pub fn stage_offset(&mut self, id: &str, producer: Producer, group: &str, place: TopicPartition, position: Committed) -> Answer<()> {
        // the group's log, not the coordinator, refuses here in Kafka: hence the other error for a fenced producer
        let transaction = self.owned(id, producer).map_err(|refusal| match refusal {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        if transaction.started_ms.is_none() || !transaction.groups.contains(group) {
            return Err(ResponseError::InvalidTxnState);
        }
        transaction.staged.insert((group.to_string(), place), position);
        Ok(())
    }

    /// Commits or aborts. Repeating the last decision is no error.
    pub fn end_transaction(&mut self, id: &str, producer: Producer, commit: bool) -> Answer<()> {
        let transaction = self.owned(id, producer)?;
        if transaction.started_ms.is_some() {
            self.decide(id, commit);
            return Ok(());
        }
        if transaction.last_commit == Some(commit) { Ok(()) } else { Err(ResponseError::InvalidTxnState) }
    }

    /// True while an open transaction holds a position of `group` in `place`.
    pub fn is_undecided(&self, group: &str, place: &TopicPartition) -> bool {
        self.holders(group, place).next().is_some()
    }

    /// Aborts the transactions that hold positions of `group` in `place`, as their timeouts would.
    pub fn abort_holders(&mut self, group: &str, place: &TopicPartition) {
        let holders: Vec<String> = self.holders(group, place).map(str::to_string).collect();
        holders.iter().for_each(|id| self.fence(id));
    }

    pub(super) fn abort_overdue_transactions(&mut self) {
        let now_ms = self.now_ms;
        let overdue = |transaction: &Transaction| transaction.started_ms.is_some_and(|at| now_ms - at > transaction.timeout_ms);
        let ids: Vec<String> = self.transactions.iter().filter(|entry| overdue(entry.1)).map(|entry| entry.0.clone()).collect();
        ids.iter().for_each(|id| self.fence(id));
    }

    pub(super) fn check_in_transaction(&self, id: &str, producer: Producer, place: &TopicPartition) -> Answer<()> {
        self.check_producer(id, producer).map_err(|refusal| match refusal {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        let known = self.transactions.get(id).is_some_and(|transaction| transaction.partitions.contains(place));
        if known { Ok(()) } else { Err(ResponseError::InvalidTxnState) }
    }

    fn holders<'a>(&'a self, group: &str, place: &TopicPartition) -> impl Iterator<Item = &'a str> {
        let key = (group.to_string(), place.clone());
        self.transactions.iter().filter(move |entry| entry.1.staged.contains_key(&key)).map(|entry| entry.0.as_str())
    }

    fn check_producer(&self, id: &str, producer: Producer) -> Answer<()> {
        match self.transactions.get(id).map(|transaction| transaction.producer) {
            Some(known) if known == producer => Ok(()),
            Some(known) if known.id == producer.id => Err(ResponseError::ProducerFenced),
            _ => Err(ResponseError::InvalidProducerIdMapping),
        }
    }

    fn owned(&mut self, id: &str, producer: Producer) -> Answer<&mut Transaction> {
        self.check_producer(id, producer)?;
        self.transactions.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)
    }

    fn new_producer(&mut self) -> Producer {
        Producer { id: 1_000 + self.next_id() as i64, epoch: 0 }
    }

    fn register(&mut self, id: &str, producer: Producer, timeout_ms: i64) {
        let fresh = Transaction {
            producer,
            timeout_ms,
            started_ms: None,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            staged: BTreeMap::new(),
            last_commit: None,
        };
        self.transactions.insert(id.to_string(), fresh);
    }

    /// Raises the epoch and aborts what is open; its markers carry the new epoch, so late writes of the old one are refused.
    fn fence(&mut self, id: &str) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.producer.epoch = transaction.producer.epoch.saturating_add(1);
        if transaction.started_ms.is_some() {
            self.decide(id, false);
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.last_commit = None;
            }
        }
    }

    fn decide(&mut self, id: &str, commit: bool) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let producer = transaction.producer;
        let partitions = std::mem::take(&mut transaction.partitions);
        let staged = std::mem::take(&mut transaction.staged);
        transaction.groups.clear();
        transaction.started_ms = None;
        transaction.last_commit = Some(commit);
        for place in partitions {
            self.send_marker(id, place, producer, commit);
        }
        if commit {
            for ((group, place), position) in staged {
                self.groups.entry(group).or_default().store(place, position);
            }
        }
        self.changes.records = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Batch, Content, Head, NewTopic};
    use crate::engine::types::Offset;
    use bytes::Bytes;

    const TX: &str = "tx";

    fn cluster() -> Cluster {
        let mut cluster = Cluster::new();
        let topic = NewTopic { name: "t".into(), partitions: 2, replication: 1, settings: BTreeMap::new() };
        cluster.create_topic(topic, false).expect("made");
        cluster
    }

    fn begin(cluster: &mut Cluster) -> Producer {
        cluster.init_producer(Some(TX), 10_000, None).expect("a producer")
    }

    fn place() -> TopicPartition {
        ("t".to_string(), 0)
    }

    fn write(cluster: &mut Cluster, producer: Producer, sequence: i32) -> Answer<Offset> {
        let head = Head { count: 1, max_timestamp_ms: 0, producer, sequence, transactional: true };
        let batch = Batch { head, content: Content::Records(Bytes::from_static(b"opaque")) };
        cluster.produce("t", 0, Some(TX), batch).map(|written| written.0)
    }

    fn stable(cluster: &Cluster) -> i64 {
        cluster.partition("t", 0).expect("there").ends().last_stable.0
    }

    fn position(offset: i64) -> Committed {
        Committed { offset, leader_epoch: -1, metadata: String::new() }
    }

    #[test]
    fn only_registered_partitions_may_be_written() {
        let mut cluster = cluster();
        let producer = begin(&mut cluster);
        assert_eq!(write(&mut cluster, producer, 0), Err(ResponseError::InvalidTxnState));
        assert_eq!(cluster.add_partition(TX, producer, ("none".into(), 0)), Err(ResponseError::UnknownTopicOrPartition));
        cluster.add_partition(TX, producer, place()).expect("added");
        assert_eq!(write(&mut cluster, producer, 0), Ok(Offset(0)));
    }

    #[test]
    fn the_last_decision_may_be_repeated_but_not_reversed() {
        let mut cluster = cluster();
        let producer = begin(&mut cluster);
        assert_eq!(cluster.end_transaction(TX, producer, true), Err(ResponseError::InvalidTxnState));
        cluster.add_partition(TX, producer, place()).expect("added");
        assert_eq!(cluster.end_transaction(TX, producer, true), Ok(()));
        assert_eq!(cluster.end_transaction(TX, producer, true), Ok(()));
        assert_eq!(cluster.end_transaction(TX, producer, false), Err(ResponseError::InvalidTxnState));
    }

    #[test]
    fn a_younger_producer_aborts_and_fences_the_older_one() {
        let mut cluster = cluster();
        let old = begin(&mut cluster);
        cluster.add_partition(TX, old, place()).expect("added");
        write(&mut cluster, old, 0).expect("written");
        assert_eq!(stable(&cluster), 0);
        let young = begin(&mut cluster);
        assert_eq!((young.id, young.epoch, stable(&cluster)), (old.id, old.epoch + 1, 2));
        assert_eq!(write(&mut cluster, old, 1), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(cluster.add_partition(TX, old, place()), Err(ResponseError::ProducerFenced));
        assert_eq!(cluster.end_transaction(TX, old, true), Err(ResponseError::ProducerFenced));
        assert_eq!(cluster.init_producer(Some(TX), 10_000, Some(old)), Err(ResponseError::ProducerFenced));
        cluster.add_partition(TX, young, place()).expect("added");
        assert_eq!(write(&mut cluster, young, 0), Ok(Offset(2)), "the new epoch begins at sequence 0");
    }

    #[test]
    fn a_transaction_that_is_open_for_too_long_is_aborted() {
        let mut cluster = cluster();
        let producer = begin(&mut cluster);
        cluster.add_partition(TX, producer, place()).expect("added");
        write(&mut cluster, producer, 0).expect("written");
        cluster.advance(10_000);
        assert_eq!(stable(&cluster), 0);
        cluster.advance(10_001);
        assert_eq!(stable(&cluster), 2);
        assert_eq!(cluster.end_transaction(TX, producer, true), Err(ResponseError::ProducerFenced));
    }

    #[test]
    fn staged_positions_are_unstable_until_the_end_and_vanish_with_an_abort() {
        let mut cluster = cluster();
        let producer = begin(&mut cluster);
        let stage = |cluster: &mut Cluster, offset| {
            cluster.add_group(TX, producer, "g").expect("added");
            cluster.stage_offset(TX, producer, "g", place(), position(offset)).expect("staged");
        };
        assert_eq!(cluster.stage_offset(TX, producer, "g", place(), position(1)), Err(ResponseError::InvalidTxnState));
        stage(&mut cluster, 1);
        assert_eq!(cluster.fetch_offset("g", &place(), true), Err(ResponseError::UnstableOffsetCommit));
        assert_eq!(cluster.fetch_offset("g", &place(), false), Ok(None));
        assert_eq!(cluster.fetch_offset("g", &("t".into(), 1), true), Ok(None), "other partitions are decided");
        cluster.end_transaction(TX, producer, true).expect("committed");
        stage(&mut cluster, 2);
        cluster.end_transaction(TX, producer, false).expect("aborted");
        assert_eq!(cluster.fetch_offset("g", &place(), true), Ok(Some(&position(1))));
    }

    #[test]
    fn epochs_that_run_out_lead_to_a_new_producer_id() {
        let mut cluster = cluster();
        let first = begin(&mut cluster);
        let mut last = first;
        for _ in 0..40_000 {
            last = begin(&mut cluster);
            assert!((0..i16::MAX).contains(&last.epoch));
        }
        assert_ne!(last.id, first.id);
    }

    #[test]
    fn a_deleted_topic_does_not_stop_a_transaction_from_ending() {
        let mut cluster = cluster();
        let producer = begin(&mut cluster);
        cluster.add_partition(TX, producer, place()).expect("added");
        cluster.delete_topic("t").expect("deleted");
        assert_eq!(cluster.end_transaction(TX, producer, true), Ok(()));
    }

    #[test]
    fn impossible_timeouts_are_refused() {
        let mut cluster = cluster();
        for timeout_ms in [0, -1, 900_001] {
            assert_eq!(cluster.init_producer(Some(TX), timeout_ms, None), Err(ResponseError::InvalidTransactionTimeout));
        }
    }
}
