//! `Log` without Kafka: members, readers and transactional producers directly on the broker's state machine.
//!
//! Guarantees: the same calls give the same answers; records, generations, fencing and positions behave as with a broker.
//! Time is the cluster's, and passes only when the test says so. `poll` never waits: an empty answer means that nothing is
//! there yet. Each `poll` is also the member's sign of life, so a test that moves the clock polls at least once a session.
//! `committed` doesn't wait either: a transaction that holds a position is aborted there and then, as its timeout would.
//! Never: opens a socket, starts a thread, reads a clock. Comes from: `stage`, `tests/sim`. Goes to: `broker::Cluster`.

mod cluster;
mod commit;
mod inbox;
mod membership;
mod reader;
#[cfg(test)]
mod tests;

pub use cluster::{MemoryRecord, SharedCluster};
pub use commit::{CommitFault, Step};

use super::{Commit, CommittedPosition, Ends, Fatal, Handed, Log, OutRecord, Polled, Position, Record, Sink, TopicIx};
use crate::broker::{Committed, Producer, Refusal};
use crate::engine::types::{Offset, Partition};
use commit::Transactions;
use kafka_protocol::ResponseError;
use membership::Seat;
use reader::Reader;
use std::rc::Rc;
use std::time::Duration;

/// Who a member is.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The consumer group.
    pub group: String,
    /// `group.instance.id`, which makes it a static member.
    pub instance: Option<String>,
    /// `transactional.id` of its producer.
    pub transactional_id: String,
    /// The topics that it subscribes to; `TopicIx` counts them.
    pub topics: Vec<String>,
    /// Without a poll for this long it is out of the group.
    pub session: Duration,
    /// How long a rebalance waits for it, and how long its transactions may stay open.
    pub patience: Duration,
    /// The most records that one poll hands over.
    pub most_per_poll: usize,
    /// A topic whose partition 0 is followed from its beginning.
    pub follow: Option<String>,
}

impl MemberOptions {
    /// A static member `instance` of `group` with Kafka's usual times.
    pub fn new(group: &str, instance: &str, topics: &[&str]) -> MemberOptions {
        MemberOptions {
            group: group.to_string(),
            instance: Some(instance.to_string()),
            transactional_id: format!("{group}-{instance}"),
            topics: topics.iter().map(|topic| topic.to_string()).collect(),
            session: Duration::from_secs(45),
            patience: Duration::from_secs(30),
            most_per_poll: 500,
            follow: None,
        }
    }
}

/// One group member with one transactional producer. Dropping it is a crash: the group and its transaction learn nothing.
pub struct MemoryLog {
    cluster: SharedCluster,
    options: MemberOptions,
    seat: Seat,
    reader: Reader,
    transactions: Transactions,
    followed: Offset,
}

impl MemoryLog {
    /// Fences older producers with the same transactional id. The member joins its group at the first poll.
    pub fn open(cluster: SharedCluster, options: MemberOptions) -> Result<MemoryLog, Fatal> {
        let timeout_ms = options.patience.as_millis() as i64;
        let transactions = Transactions::begin(&cluster, &options.transactional_id, timeout_ms)?;
        Ok(MemoryLog { cluster, options, seat: Seat::default(), reader: Reader::default(), transactions, followed: Offset(0) })
    }

    /// Makes the next commit end in this way.
    pub fn fail_next_commit(&mut self, fault: CommitFault) {
        self.transactions.fault = Some(fault);
    }

    /// Calls `hook` at every step of every commit, while the cluster is free for others: they may act inside of it.
    pub fn between_steps(&mut self, hook: Rc<dyn Fn(Step)>) {
        self.transactions.between = Some(hook);
    }

    /// Takes in what has arrived, as a client's own thread does at any time between two calls.
    pub fn fetch(&mut self) -> Result<(), Fatal> {
        if self.seat.reads() { self.reader.take_in(&self.cluster, &self.options) } else { Ok(()) }
    }

    /// True while a transaction is open that holds a position of this member's group in one of these places: `committed` waits for it.
    pub fn is_undecided(&self, of: &[(TopicIx, Partition)]) -> Result<bool, Fatal> {
        for (topic, partition) in of {
            let place = (self.name(*topic)?.to_string(), partition.0);
            if self.cluster.with(|cluster| cluster.is_undecided(&self.options.group, &place)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The connection broke: answers of the group that it waits for will never come, it asks again.
    pub fn lose_connection(&mut self) {
        self.seat.ask_again();
    }

    /// Its transactional id and producer, for a request of it that is still on its way.
    pub fn producer(&self) -> (&str, Producer) {
        (&self.options.transactional_id, self.transactions.producer())
    }

    /// Changes how many records a poll hands over at most.
    pub fn set_most_per_poll(&mut self, records: usize) {
        self.options.most_per_poll = records;
    }

    /// The generation that it is a member of; -1 if of none.
    pub fn generation(&self) -> i32 {
        self.seat.generation()
    }

    fn name(&self, topic: TopicIx) -> Result<&str, Fatal> {
        let found = self.options.topics.get(usize::from(topic.0)).map(String::as_str);
        found.ok_or_else(|| Fatal(format!("the member has no topic number {}", topic.0)))
    }
}

/// What a refusal outside of commits means to the caller.
fn fatal(what: &str, error: ResponseError) -> Fatal {
    Fatal(format!("{what}: {error}"))
}

impl Log for MemoryLog {
    fn poll(&mut self, _: Duration) -> Result<Polled, Fatal> {
        if let Some(change) = self.seat.turn(&self.cluster, &self.options)? {
            if matches!(change, Polled::Assigned(_)) {
                self.reader.clear();
            }
            return Ok(change);
        }
        self.fetch()?;
        Ok(Polled::Records)
    }

    fn waits(&self, topic: TopicIx, partition: Partition) -> bool {
        self.reader.waits(topic, partition)
    }

    fn hand_over(&mut self, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) -> Result<(), Fatal> {
        self.reader.hand_over(topic, partition, sink);
        Ok(())
    }

    fn follow(&mut self, sink: &mut Sink<'_>) -> Result<(), Fatal> {
        let Some(topic) = self.options.follow.clone() else { return Ok(()) };
        self.followed = reader::scan(&self.cluster, &topic, Partition(0), Some(self.followed), &mut |record| {
            sink(record);
            true
        })?;
        Ok(())
    }

    fn start(&mut self, at: &[(TopicIx, Partition, Offset)]) -> Result<(), Fatal> {
        self.reader.clear();
        for (topic, partition, offset) in at {
            if !self.seat.owns(self.name(*topic)?, *partition) {
                return Err(Fatal(format!("partition {} of topic {} is not assigned", partition.0, topic.0)));
            }
            self.reader.start(*topic, *partition, *offset);
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fatal> {
        self.reader.clear();
        self.seat.release();
        Ok(())
    }

    fn leave(&mut self) {
        self.reader.clear();
        self.seat.leave(&self.cluster, &self.options);
    }

    fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset> {
        self.reader.rests_at(topic, partition)
    }

    fn ends(&mut self, topic: TopicIx, partition: Partition) -> Result<Ends, Fatal> {
        let name = self.name(topic)?;
        let ends = self.cluster.with(|cluster| cluster.partition(name, partition.0).map(|log| log.ends()));
        ends.map_err(|error| fatal(&format!("ends of {name}[{}]", partition.0), error))
    }

    fn end_of(&mut self, topic: &str, partition: Partition) -> Result<Offset, Fatal> {
        let ends = self.cluster.with(|cluster| cluster.partition(topic, partition.0).map(|log| log.ends()));
        ends.map(|e| e.last_stable).map_err(|error| fatal(&format!("end of {topic}[{}]", partition.0), error))
    }

    fn committed(&mut self, of: &[(TopicIx, Partition)]) -> Result<Vec<CommittedPosition>, Fatal> {
        let group = &self.options.group;
        let mut positions = Vec::with_capacity(of.len());
        for (topic, partition) in of {
            let place = (self.name(*topic)?.to_string(), partition.0);
            let found = self.cluster.with(|cluster| {
                // waiting for an undecided transaction ends with its timeout: here at once, as nobody else can act meanwhile
                cluster.abort_holders(group, &place);
                cluster.fetch_offset(group, &place, true).map(|found| found.cloned())
            });
            let found = found.map_err(|error| fatal("committed positions", error))?;
            positions.push(match found {
                Some(Committed { offset, metadata, .. }) => CommittedPosition { next: Some(Offset(offset)), metadata },
                None => CommittedPosition { next: None, metadata: String::new() },
            });
        }
        Ok(positions)
    }

    fn begin_epoch(&mut self) {
        self.transactions.captured = Some(self.seat.membership(&self.options));
    }

    fn commit(&mut self, records: &[OutRecord], positions: &[Position]) -> Result<Commit, Fatal> {
        let named: Result<Vec<_>, Fatal> = positions
            .iter()
            .map(|position| {
                let metadata = position.metadata.clone();
                let committed = Committed { offset: position.next.0, leader_epoch: -1, metadata };
                Ok(((self.name(position.topic)?.to_string(), position.partition.0), committed))
            })
            .collect();
        let named = named?;
        self.transactions.commit(&self.cluster, &self.options.group, records, named)
    }

    fn renew_producer(&mut self) -> Result<(), Fatal> {
        self.transactions.renew(&self.cluster)
    }

    fn scan(
        &mut self,
        topic: &str,
        partition: Partition,
        from: Option<Offset>,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal> {
        reader::scan(&self.cluster, topic, partition, from, sink)
    }

    fn trim(&mut self, topic: &str, partition: Partition, before: Offset) -> Result<(), Fatal> {
        let answer = self.cluster.with(|cluster| cluster.delete_records(topic, partition.0, Some(before)));
        answer.map(drop).map_err(|Refusal { text, .. }| Fatal(format!("deleting records of {topic}[{}]: {text}", partition.0)))
    }

    fn now_ms(&self) -> i64 {
        self.cluster.with(|cluster| cluster.now_ms())
    }
}
