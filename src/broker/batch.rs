//! A batch of records as the state machine sees it: a head that it reads, and content that it only keeps.
//!
//! Guarantees: nothing in here depends on how a client encodes records.
//! Comes from: `wire` (what clients send) and `partition` (markers). Goes to: `partition`.

use crate::engine::types::Offset;
use bytes::Bytes;

/// Bytes that a marker takes on the wire; counted in limits, though a marker has no bytes in memory.
pub const MARKER_BYTES: usize = 78;

/// Who wrote a batch: a producer id and the epoch that fences its predecessors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// The id that the cluster gave out.
    pub id: i64,
    /// Rises with each instance of a transactional producer.
    pub epoch: i16,
}

impl Producer {
    /// A producer that asked for no guarantees.
    pub const NONE: Producer = Producer { id: -1, epoch: -1 };
}

/// What the cluster must know of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many offsets it takes.
    pub count: i32,
    /// The highest timestamp of its records, in ms.
    pub max_timestamp_ms: i64,
    /// Its writer.
    pub producer: Producer,
    /// Sequence number of its first record; -1 without a producer id.
    pub sequence: i32,
    /// True if it belongs to a transaction.
    pub transactional: bool,
}

/// What a batch holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A client's records, in a form that the state machine doesn't read.
    Records(Bytes),
    /// The end of a transaction.
    Marker {
        /// True for a commit, false for an abort.
        commit: bool,
    },
}

/// A batch on its way into a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the cluster must know of it.
    pub head: Head,
    /// What it holds.
    pub content: Content,
}

impl Batch {
    /// The end of a transaction, written by the cluster.
    pub fn marker(producer: Producer, commit: bool, now_ms: i64) -> Batch {
        let head = Head { count: 1, max_timestamp_ms: now_ms, producer, sequence: -1, transactional: true };
        Batch { head, content: Content::Marker { commit } }
    }

    /// Its size for limits on fetches and for retention.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Records(bytes) => bytes.len(),
            Content::Marker { .. } => MARKER_BYTES,
        }
    }
}

/// A batch in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Offset of its first record.
    pub base: Offset,
    /// When the broker took it, if the topic has LogAppendTime; replaces every timestamp in it.
    pub append_time_ms: Option<i64>,
    /// The batch.
    pub batch: Batch,
}

impl Stored {
    /// The first offset after it.
    pub fn next(&self) -> Offset {
        Offset(self.base.0 + i64::from(self.batch.head.count))
    }

    /// The highest timestamp of its records as readers see it.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.append_time_ms.unwrap_or(self.batch.head.max_timestamp_ms)
    }
}
