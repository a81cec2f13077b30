//! The transactional producer: one epoch, one transaction.
//!
//! Guarantees: records and positions become visible together or not at all; the member that `begin_epoch` captured goes with
//! the positions, so that a generation that has passed is refused. Between two steps of a commit others may use the cluster: whoever
//! wants to act there leaves a hook.

use super::{Fatal, SharedCluster, fatal};
use crate::broker::records::{NewRecord, encode};
use crate::broker::{Answer, Cluster, Committed, Membership, Producer, TopicPartition};
use crate::log::{Commit, OutRecord};
use crate::planted::{Bug, planted};
use kafka_protocol::ResponseError;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Records of one batch together are not much larger than this.
const BATCH_BYTES: usize = 256 * 1024;

/// What a test makes of the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It is aborted for certain.
    Aborted,
    /// The answer is lost.
    Unknown {
        /// True if the transaction was committed; otherwise it is left open.
        happened: bool,
    },
    /// The process dies there: `commit` returns `Fatal`, and the caller must not go on.
    Killed(Step),
    /// Each batch is sent twice, as by a producer that missed the answer.
    Retried,
    /// So many ms pass before the end is asked for.
    Slow(i64),
}

/// How far a commit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is written.
    Begun,
    /// Some partitions have their records.
    HalfPublished,
    /// All records are written.
    Published,
    /// The positions are staged.
    OffsetsSent,
    /// It is committed, but the producer has not heard of it.
    Committed,
}

/// Why an attempt ended early.
enum Cut {
    Refused(ResponseError),
    Killed,
}

impl From<ResponseError> for Cut {
    fn from(error: ResponseError) -> Cut {
        Cut::Refused(error)
    }
}

/// A producer and what its next transaction needs to know.
pub(super) struct Transactions {
    id: String,
    timeout_ms: i64,
    producer: Producer,
    sequences: BTreeMap<TopicPartition, i32>,
    pub(super) captured: Option<Membership>,
    pub(super) fault: Option<CommitFault>,
    /// Called whenever a commit has come so far, with the cluster free for others.
    pub(super) between: Option<Rc<dyn Fn(Step)>>,
}

type Batches<'a> = BTreeMap<TopicPartition, Vec<&'a OutRecord>>;

impl Transactions {
    pub(super) fn begin(cluster: &SharedCluster, id: &str, timeout_ms: i64) -> Result<Transactions, Fatal> {
        let mut transactions = Transactions {
            id: id.to_string(),
            timeout_ms,
            producer: Producer::NONE,
            sequences: BTreeMap::new(),
            captured: None,
            fault: None,
            between: None,
        };
        transactions.renew(cluster)?;
        Ok(transactions)
    }

    /// A new producer with the same id: the old one is fenced, what it left open is aborted.
    pub(super) fn renew(&mut self, cluster: &SharedCluster) -> Result<(), Fatal> {
        let producer = cluster.with(|cluster| cluster.init_producer(Some(&self.id), self.timeout_ms, None));
        self.producer = producer.map_err(|error| fatal("init_transactions", error))?;
        self.sequences.clear();
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        cluster: &SharedCluster,
        group: &str,
        records: &[OutRecord],
        positions: Vec<(TopicPartition, Committed)>,
    ) -> Result<Commit, Fatal> {
        let fault = self.fault.take();
        if fault == Some(CommitFault::Aborted) {
            return Ok(Commit::Aborted("as the test wished".to_string()));
        }
        if records.is_empty() && positions.is_empty() {
            return Ok(Commit::Done);
        }
        let batches = self.place(cluster, records)?;
        match self.attempt(cluster, group, batches, positions, fault) {
            Ok(commit) => Ok(commit),
            Err(Cut::Killed) => Err(Fatal("killed, as the test wished".to_string())),
            Err(Cut::Refused(error)) => self.verdict(cluster, error),
        }
    }

    pub(super) fn producer(&self) -> Producer {
        self.producer
    }

    fn attempt(
        &mut self,
        cluster: &SharedCluster,
        group: &str,
        batches: Batches<'_>,
        positions: Vec<(TopicPartition, Committed)>,
        fault: Option<CommitFault>,
    ) -> Result<Commit, Cut> {
        let between = self.between.clone();
        let lives = |step| {
            between.iter().for_each(|hook| hook(step));
            if fault == Some(CommitFault::Killed(step)) { Err(Cut::Killed) } else { Ok(()) }
        };
        let (id, producer) = (self.id.clone(), self.producer);
        let end = || cluster.with(|cluster| cluster.end_transaction(&id, producer, true));
        let unknown = || Ok(Commit::Unknown("as the test wished: the answer is lost".to_string()));
        lives(Step::Begun)?;
        if planted(Bug::OffsetsFirst) && !positions.is_empty() {
            cluster.with(|cluster| self.send_offsets(cluster, group, positions.clone()))?;
            end()?;
        }
        let half = batches.len() / 2;
        let published = !batches.is_empty();
        for (n, (place, records)) in batches.into_iter().enumerate() {
            if n == half {
                lives(Step::HalfPublished)?;
            }
            cluster.with(|cluster| self.publish(cluster, place, &records, fault == Some(CommitFault::Retried)))?;
        }
        if planted(Bug::OutputFirst) && published {
            end()?;
        }
        lives(Step::Published)?;
        if !positions.is_empty() {
            cluster.with(|cluster| self.send_offsets(cluster, group, positions))?;
        }
        lives(Step::OffsetsSent)?;
        match fault {
            Some(CommitFault::Unknown { happened: false }) => return unknown(),
            Some(CommitFault::Slow(ms)) => cluster.with(|cluster| cluster.advance(cluster.now_ms() + ms)),
            _ => {}
        }
        end()?;
        lives(Step::Committed)?;
        if matches!(fault, Some(CommitFault::Unknown { .. })) { unknown() } else { Ok(Commit::Done) }
    }

    fn place<'a>(&self, cluster: &SharedCluster, records: &'a [OutRecord]) -> Result<Batches<'a>, Fatal> {
        let mut batches = Batches::new();
        for record in records {
            let partition = match record.partition {
                Some(partition) => partition,
                None => cluster.partition_of(&record.topic, record.key.as_deref())?,
            };
            batches.entry((record.topic.clone(), partition.0)).or_default().push(record);
        }
        Ok(batches)
    }

    /// Writes the records of one partition; with `twice` each batch again.
    fn publish(&mut self, cluster: &mut Cluster, place: TopicPartition, records: &[&OutRecord], twice: bool) -> Answer<()> {
        cluster.add_partition(&self.id, self.producer, place.clone())?;
        let mut rest = records;
        while !rest.is_empty() {
            let (first, behind) = rest.split_at(first_batch(rest));
            self.write(cluster, &place, first, twice)?;
            rest = behind;
        }
        Ok(())
    }

    fn send_offsets(&mut self, cluster: &mut Cluster, group: &str, positions: Vec<(TopicPartition, Committed)>) -> Answer<()> {
        cluster.add_group(&self.id, self.producer, group)?;
        // an epoch that was begun outside of a group has no generation to show
        let member = self.captured.as_ref().ok_or(ResponseError::UnknownMemberId)?;
        if member.generation < 0 {
            return Err(ResponseError::UnknownMemberId);
        }
        let fresh = cluster.group(group).map_or(-1, |g| g.generation());
        let member = if planted(Bug::FreshMetadata) { &Membership { generation: fresh, ..member.clone() } } else { member };
        cluster.check_committer(group, member, true)?;
        for (place, position) in positions {
            cluster.check_position(&place, &position)?;
            cluster.stage_offset(&self.id, self.producer, group, place, position)?;
        }
        Ok(())
    }

    fn write(&mut self, cluster: &mut Cluster, place: &TopicPartition, records: &[&OutRecord], twice: bool) -> Answer<()> {
        let timestamp_ms = cluster.now_ms();
        let encoded: Vec<_> = records.iter().map(|record| borrowed(record, timestamp_ms)).collect();
        let sequence = self.sequences.entry(place.clone()).or_default();
        let batch = encode(&encoded, self.producer, *sequence, true);
        if twice {
            cluster.produce(&place.0, place.1, Some(&self.id), batch.clone())?;
        }
        cluster.produce(&place.0, place.1, Some(&self.id), batch)?;
        *sequence += records.len() as i32;
        Ok(())
    }

    /// Ends the transaction after an error, and says what the error means.
    fn verdict(&self, cluster: &SharedCluster, error: ResponseError) -> Result<Commit, Fatal> {
        // if this is refused too, a younger producer has ended the transaction already
        let _ = cluster.with(|cluster| cluster.end_transaction(&self.id, self.producer, false));
        let text = error.to_string();
        match error {
            ResponseError::IllegalGeneration | ResponseError::UnknownMemberId | ResponseError::FencedInstanceId => Ok(Commit::Stale(text)),
            ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch | ResponseError::InvalidProducerIdMapping => {
                Ok(Commit::Fenced(text))
            }
            ResponseError::UnknownTopicOrPartition | ResponseError::MessageTooLarge | ResponseError::OffsetMetadataTooLarge => {
                Err(Fatal(text))
            }
            _ => Ok(Commit::Aborted(text)),
        }
    }
}

fn borrowed(record: &OutRecord, timestamp_ms: i64) -> NewRecord<'_> {
    NewRecord { timestamp_ms, key: record.key.as_deref(), value: record.value.as_deref(), headers: &record.headers }
}

/// How many of `records` go into the next batch; at least one.
fn first_batch(records: &[&OutRecord]) -> usize {
    let size = |record: &OutRecord| record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + 64;
    let mut used = 0;
    let fits = |record: &&&OutRecord| {
        used += size(record);
        used <= BATCH_BYTES
    };
    records.iter().take_while(fits).count().max(1)
}
