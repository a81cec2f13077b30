//! The wall between driftline and Kafka: a transactional view of some partitions for one group member.
//!
//! Two implementations: `kafka::KafkaLog` (rdkafka) and `log::memory::MemoryLog` (the embedded broker's state machine, no
//! sockets, no threads). The stages are written against this trait alone.
//!
//! Guarantees: records come in offset order per partition and only when committed (read_committed); what `publish` sends
//! becomes visible together with the positions, or not at all; everything that can go wrong is in the return values.
//! Never: retries behind the caller's back, commits on its own, moves a position that the caller did not give it.

pub mod epoch;
pub mod memory;
pub mod partitioner;

use crate::engine::types::{EpochSeq, Offset, Partition};
use std::time::Duration;

/// A topic of the member, by its place in the list that the log was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIx(pub u8);

/// One record, borrowed from the client's memory for the length of a call.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Which topic of the member.
    pub topic: TopicIx,
    /// Partition it lies in.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Kafka's timestamp in ms (producer's or broker's, see `append_time`); -1 if it has none.
    pub timestamp: i64,
    /// True if `timestamp` was set by the broker (LogAppendTime).
    pub append_time: bool,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, read on demand.
    pub headers: &'a dyn Headers,
}

/// A record's headers, in order.
pub trait Headers {
    /// How many there are.
    fn len(&self) -> usize;
    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Name and value of header `i`.
    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)>;
    /// The last header called `name`.
    fn find(&self, name: &str) -> Option<&[u8]> {
        (0..self.len()).rev().filter_map(|i| self.get(i)).find(|h| h.0 == name).and_then(|h| h.1)
    }
}

/// No headers.
pub struct NoHeaders;
impl Headers for NoHeaders {
    fn len(&self) -> usize {
        0
    }
    fn get(&self, _: usize) -> Option<(&str, Option<&[u8]>)> {
        None
    }
}

/// Owned headers.
impl Headers for [(String, Option<Vec<u8>>)] {
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)> {
        <[_]>::get(self, i).map(|(n, v)| (n.as_str(), v.as_deref()))
    }
}
impl Headers for Vec<(String, Option<Vec<u8>>)> {
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)> {
        <[_]>::get(self, i).map(|(n, v)| (n.as_str(), v.as_deref()))
    }
}

/// A record to publish in the running epoch's transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Topic name.
    pub topic: String,
    /// Partition; `None` lets Kafka's murmur2 of the key decide.
    pub partition: Option<Partition>,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OutRecord {
    /// Bytes that it holds, about.
    pub fn bytes(&self) -> usize {
        let header = |h: &(String, Option<Vec<u8>>)| h.0.len() + h.1.as_ref().map_or(0, Vec::len) + 64;
        let content = self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len);
        content + self.headers.iter().map(header).sum::<usize>()
    }
}

/// Where a member continues in one partition, written in the epoch's transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which topic of the member.
    pub topic: TopicIx,
    /// Its partition.
    pub partition: Partition,
    /// The next offset to read.
    pub next: Offset,
    /// At most 512 bytes of text that come back from `committed`.
    pub metadata: String,
}

/// What a poll ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing but records (perhaps none).
    Records,
    /// The group gives this member these partitions (of every subscribed topic). Nothing is read from them until `start`.
    Assigned(Vec<Partition>),
    /// The group takes all partitions back. The member ends its epoch, then calls `release`.
    Revoked,
    /// All partitions are already somebody else's: drop the state, commit nothing, call `release`.
    Lost,
}

/// How an attempt to commit ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Commit {
    /// Records and positions are visible.
    Done,
    /// Aborted for certain; the same bytes may be published again.
    Aborted(String),
    /// It may or may not have happened: renew the producer and ask `committed`.
    Unknown(String),
    /// The group has moved on (stale generation or unknown member): drop the state and join again.
    Stale(String),
    /// A younger instance with the same transactional id is at work: this process must end.
    Fenced(String),
}

/// A committed position as it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPosition {
    /// The next offset to read; `None` if nothing is committed (first start, or expired).
    pub next: Option<Offset>,
    /// What `Position::metadata` held.
    pub metadata: String,
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that is still there.
    pub low: Offset,
    /// Everything below it is decided (no open transaction).
    pub last_stable: Offset,
    /// Everything below it is written and replicated.
    pub high: Offset,
}

/// Kafka can't go on with this member; the text says what to do. The process ends with exit code 4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

/// What became of a record that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// Taken; the next one, please.
    Next,
    /// Taken; no more for now.
    Enough,
    /// Not taken: it stays the first of its partition.
    Stays,
}

/// Receives records; it must copy what it keeps.
pub type Sink<'s> = dyn FnMut(Record<'_>) + 's;

/// One group member with one transactional producer. See the module's guarantees.
pub trait Log {
    /// Takes in what has arrived, waiting at most `patience` for something new. Ends early at a change of assignment.
    fn poll(&mut self, patience: Duration) -> Result<Polled, Fatal>;

    /// True if a record of this partition waits to be handed over.
    fn waits(&self, topic: TopicIx, partition: Partition) -> bool;

    /// Hands over records of one partition, in offset order, for as long as the sink wants more.
    fn hand_over(&mut self, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) -> Result<(), Fatal>;

    /// Hands over what has newly come in the followed topic (partition 0, from its first record on); never waits.
    fn follow(&mut self, sink: &mut Sink<'_>) -> Result<(), Fatal>;

    /// Begins reading the partitions of the last `Assigned`, each at the given offset.
    fn start(&mut self, at: &[(TopicIx, Partition, Offset)]) -> Result<(), Fatal>;

    /// Lets go of the partitions of the last `Revoked` or `Lost`.
    fn release(&mut self) -> Result<(), Fatal>;

    /// Leaves the group for good (a clean stop).
    fn leave(&mut self);

    /// True if no record waits and the reader stands at the last stable offset of the partition (as far as it knows without asking).
    fn at_end(&self, topic: TopicIx, partition: Partition) -> bool {
        self.rests_at(topic, partition).is_some()
    }

    /// The offset at which `at_end` is true. The end may have moved since: compare with `ends` where that matters.
    fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset>;

    /// Asks the broker for the ends of a partition.
    fn ends(&mut self, topic: TopicIx, partition: Partition) -> Result<Ends, Fatal>;

    /// The last stable offset of a partition of any topic, by name.
    fn end_of(&mut self, topic: &str, partition: Partition) -> Result<Offset, Fatal>;

    /// Waits for undecided transactions, then returns the group's positions.
    fn committed(&mut self, of: &[(TopicIx, Partition)]) -> Result<Vec<CommittedPosition>, Fatal>;

    /// Marks the start of an epoch: the group's generation as it is now goes with the epoch's commit, and with each retry.
    fn begin_epoch(&mut self);

    /// Publishes `records` and `positions` in one transaction.
    fn commit(&mut self, records: &[OutRecord], positions: &[Position]) -> Result<Commit, Fatal>;

    /// A new producer with the same transactional id: aborts what the old one left open, fences it.
    fn renew_producer(&mut self) -> Result<(), Fatal>;

    /// Reads committed records of any topic by name, from `from` (or the first one), until `sink` returns false or the
    /// last stable offset at the time of the call is reached. Returns the next offset.
    fn scan(
        &mut self,
        topic: &str,
        partition: Partition,
        from: Option<Offset>,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal>;

    /// Deletes everything below `before` in a partition of a topic that the application owns.
    fn trim(&mut self, topic: &str, partition: Partition, before: Offset) -> Result<(), Fatal>;

    /// The wall clock in ms. The edge's clock: it never reaches the engine except as a recorded decision.
    fn now_ms(&self) -> i64;
}

/// Text of a position's metadata: which epoch of the task it belongs to and where its journal begins to matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The task's last epoch.
    pub seq: EpochSeq,
    /// The first epoch that recovery needs.
    pub floor: EpochSeq,
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "driftline/1 seq={} floor={}", self.seq.0, self.floor.0)
    }
}

impl std::str::FromStr for Pointer {
    type Err = String;
    fn from_str(text: &str) -> Result<Pointer, String> {
        if let Some(newer) = newer_than_this(text) {
            return Err(format!("offset metadata {text:?} has format version {newer}; this driftline reads version 1: upgrade it"));
        }
        let wrong = || {
            format!(
                "offset metadata {text:?} is not driftline's: the group's offsets were reset or belong to another application; see \
                 docs/operations.md, `Offsets were reset`"
            )
        };
        let rest = text.strip_prefix("driftline/1 ").ok_or_else(wrong)?;
        let field =
            |name: &str| rest.split(' ').find_map(|p| p.strip_prefix(name)).and_then(|v| v.parse().ok()).map(EpochSeq).ok_or_else(wrong);
        Ok(Pointer { seq: field("seq=")?, floor: field("floor=")? })
    }
}

/// The version of a pointer that a newer driftline has written.
fn newer_than_this(text: &str) -> Option<u32> {
    text.strip_prefix("driftline/")?.split(' ').next()?.parse().ok().filter(|version| *version > 1)
}

#[cfg(test)]
mod tests {
    use super::Pointer;

    #[test]
    fn positions_of_a_newer_driftline_ask_for_an_upgrade_not_for_a_reset() {
        let said = |text: &str| text.parse::<Pointer>().unwrap_err();
        assert!(said("driftline/2 seq=7 floor=3 shards=1").contains("format version 2; this driftline reads version 1: upgrade it"));
        for foreign in ["", "driftline", "driftline/1 seq=x floor=1", "somebody else's"] {
            assert!(said(foreign).contains("reset") && !said(foreign).contains("upgrade"), "{foreign}");
        }
        assert_eq!("driftline/1 seq=7 floor=3".parse::<Pointer>().map(|p| (p.seq.0, p.floor.0)), Ok((7, 3)));
    }
}
