//! One join task: the state of one partition of the two inputs, and which of its waiting records is judged next.
//!
//! Guarantees: records of an input are judged in offset order; a record beyond the look-ahead stays next in line and shows only its
//! time; the two inputs stay within five minutes of event time while the one behind still has records to read.
//! Never: decides by wall clock anything that is not recorded in the epoch.

use super::counters::JoinTally;
use super::inbox::Inbox;
use crate::engine::book::Book;
use crate::engine::definitions::JoinRules;
use crate::engine::join::{Decision, Join, Pairing};
use crate::engine::journal::{Activity, EdgeDecision};
use crate::engine::types::{EpochSeq, EventTime, Input, Offset, Partition, Span};
use crate::log::TopicIx;
use crate::planted::{Bug, planted};

/// An input may be this far ahead of the other one while that one is backlogged.
const ALIGNMENT: Span = Span::minutes(5);
/// Records that wait in an inbox before its partition is paused.
const INBOX_RECORDS: usize = 20_000;
/// Bytes that wait in an inbox before its partition is paused.
const INBOX_BYTES: usize = 8 * 1024 * 1024;

/// State of one partition.
pub struct JoinTask {
    /// Which one.
    pub partition: Partition,
    /// Rows, waiting outcomes, clocks.
    pub join: Join,
    /// Partial summaries of the running epoch.
    pub book: Book,
    /// Records handed over but not judged, by `Input::index`.
    pub inbox: [Inbox; 2],
    /// Next offsets to judge, by input.
    pub next: [Offset; 2],
    /// Recorded activity, by input.
    pub activity: [Activity; 2],
    /// Wall clock (ms) since which an input has brought nothing.
    pub quiet_since: [i64; 2],
    /// The first record waits for the look-ahead.
    pub blocked: [bool; 2],
    /// Something must be published.
    pub changed: bool,
    /// Decisions of the edge in this epoch.
    pub edge_decisions: Vec<EdgeDecision>,
    /// The first epoch that a recovery needs, as last published.
    pub floor: EpochSeq,
    /// Watermarks at the last published mark.
    pub marked: [EventTime; 2],
    /// Counts since the last epoch.
    pub tally: JoinTally,
    /// Scratch.
    pub pairs: Vec<Pairing>,
    /// Scratch.
    pub decisions: Vec<Decision>,
}

impl JoinTask {
    /// A task with the given join, positions and activity.
    pub fn new(partition: Partition, join: Join, next: [Offset; 2], activity: [Activity; 2], now: i64) -> JoinTask {
        let marked = join.clocks.map(|c| c.watermark());
        JoinTask {
            partition,
            join,
            book: Book::default(),
            inbox: Input::BOTH.map(|i| Inbox::new(TopicIx(i.index() as u8), partition)),
            next,
            activity,
            quiet_since: [now; 2],
            blocked: [false; 2],
            changed: false,
            edge_decisions: Vec::new(),
            floor: EpochSeq(1),
            marked,
            tally: JoinTally::default(),
            pairs: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// A task without history.
    pub fn fresh(partition: Partition, rules: JoinRules, next: [Offset; 2], now: i64) -> JoinTask {
        JoinTask::new(partition, Join::new(rules), next, [Activity::Active; 2], now)
    }

    /// The input whose first record is judged next, if any may be. `at_end`: the reader stands at the end of the input.
    pub fn choose(&self, at_end: [bool; 2]) -> Option<Input> {
        let ready = [0, 1].map(|i| !self.inbox[i].is_empty() && !self.blocked[i]);
        let time = |i: usize| self.join.clocks[i].peeked;
        let input = match ready {
            [false, false] => return None,
            [true, true] if time(1) < time(0) => 1,
            [true, _] => 0,
            [false, true] => 1,
        };
        let other = 1 - input;
        let other_backlogged = self.inbox[other].is_empty() && !at_end[other];
        let ahead = time(input) > time(other).plus(ALIGNMENT);
        (!(other_backlogged && ahead)).then_some(Input::BOTH[input])
    }

    /// Whether the log should pause (true) or resume (false) an input; `None`: as it is.
    pub fn pressure(&self, input: Input) -> Option<bool> {
        let inbox = &self.inbox[input.index()];
        let full = inbox.len() >= INBOX_RECORDS || inbox.bytes() >= INBOX_BYTES;
        match inbox.paused {
            false if full => Some(true),
            true if inbox.len() < INBOX_RECORDS / 4 && (inbox.is_empty() || inbox.bytes() < 2 * INBOX_BYTES && !full) => Some(false),
            _ => None,
        }
    }

    /// True if nothing waits and the reader stands at the end.
    pub fn at_rest(&self, input: Input, at_end: bool) -> bool {
        at_end && (self.inbox[input.index()].is_empty() || planted(Bug::RestWithInbox))
    }
}
