//! One join task: the state of one partition of the two inputs, and which of its waiting records is judged next.
//!
//! Guarantees: records of an input are judged in offset order; a record beyond the look-ahead stays next in line and shows only its
//! time, and one whose schema is not known yet shows nothing; the two inputs stay within five minutes of event time while the one behind
//! still has records to read.
//! Never: decides by wall clock anything that is not recorded in the epoch.

use super::counters::JoinTally;
use super::quiet::Hanging;
use crate::engine::book::Book;
use crate::engine::definitions::JoinRules;
use crate::engine::join::{Decision, Join, NewOutcome, Pairing};
use crate::engine::journal::{Activity, EdgeDecision};
use crate::engine::types::{EpochSeq, EventTime, Input, Offset, Partition, Span};

/// An input may be this far ahead of the other one while that one is backlogged.
const ALIGNMENT: Span = Span::minutes(5);
/// Predictions that are judged in one go although outcomes of the same time wait: to change sides with every record costs more than to
/// judge it.
const IN_ONE_GO: u64 = 256;

/// State of one partition.
pub struct JoinTask {
    /// Which one.
    pub partition: Partition,
    /// Rows, waiting outcomes, clocks.
    pub join: Join,
    /// Partial summaries of the running epoch.
    pub book: Book,
    /// Next offsets to judge, by `Input::index`.
    pub next: [Offset; 2],
    /// Recorded activity, by input.
    pub activity: [Activity; 2],
    /// Wall clock (ms) since which an input has brought nothing.
    pub quiet_since: [i64; 2],
    /// The first record waits for the look-ahead.
    pub blocked: [bool; 2],
    /// The first record waits for the schema that it was written with.
    pub awaits_schema: [bool; 2],
    /// Something must be published.
    pub changed: bool,
    /// Decisions of the edge in this epoch.
    pub edge_decisions: Vec<EdgeDecision>,
    /// What memory has no room for, by input up to a time: let go at the epoch's end.
    pub to_release: Vec<(Input, EventTime)>,
    /// Whether a transaction that nobody ends holds an input up.
    pub hanging: [Hanging; 2],
    /// Wall clock (ms) of the last warning about released rows.
    pub warned: i64,
    /// The first epoch that a recovery needs, as last published.
    pub floor: EpochSeq,
    /// An epoch, and where it begins in a journal with records before it that no recovery needs: as it was when the journal was read.
    pub begins: Option<(EpochSeq, Offset)>,
    /// Watermarks at the last published mark.
    pub marked: [EventTime; 2],
    /// Counts since the last epoch.
    pub tally: JoinTally,
    /// Outcomes with their effective times that are judged together, within one run.
    pub outcomes: Vec<(NewOutcome, EventTime)>,
    /// Outliers of the running epoch: request id and record.
    pub outliers: Vec<(String, Vec<u8>)>,
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
            next,
            activity,
            quiet_since: [now; 2],
            blocked: [false; 2],
            awaits_schema: [false; 2],
            changed: false,
            edge_decisions: Vec::new(),
            to_release: Vec::new(),
            hanging: [Hanging::default(); 2],
            warned: i64::MIN,
            floor: EpochSeq(1),
            begins: None,
            marked,
            tally: JoinTally::default(),
            outcomes: Vec::new(),
            outliers: Vec::new(),
            pairs: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// A task without history.
    pub fn fresh(partition: Partition, rules: JoinRules, next: [Offset; 2], now: i64) -> JoinTask {
        JoinTask::new(partition, Join::new(rules), next, [Activity::Active; 2], now)
    }

    /// The input that is judged next, if any may be. `waits`: it has records; `at_end`: it has none, and the reader stands at its end.
    pub fn choose(&self, waits: [bool; 2], at_end: [bool; 2]) -> Option<Run> {
        let ready = [0, 1].map(|i| waits[i] && !self.blocked[i] && !self.awaits_schema[i]);
        let time = |i: usize| self.join.clocks[i].peeked;
        let (i, until, at_least) = match ready {
            [false, false] => return None,
            [true, true] if time(1) < time(0) => (1, EventTime(time(0).0 - 1), 0),
            [true, true] => (0, time(1), IN_ONE_GO),
            [first, _] => {
                let (i, other) = if first { (0, 1) } else { (1, 0) };
                // who waits for a schema may have much to say yet: running off meanwhile would release rows that it speaks of
                let backlogged = self.awaits_schema[other] || !waits[other] && !at_end[other];
                (i, if backlogged { time(other).plus(ALIGNMENT) } else { EventTime::MAX }, 0)
            }
        };
        (time(i) <= until).then_some(Run { input: Input::BOTH[i], until, at_least })
    }
}

/// Records of one input that are judged one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which input.
    pub input: Input,
    /// The run ends when the input's highest event time is above it,
    until: EventTime,
    /// but not before so many records, unless event time runs off.
    at_least: u64,
}

impl Run {
    /// True while the next record is judged in this run, after `judged` ones.
    pub fn goes_on(&self, task: &JoinTask, judged: u64) -> bool {
        let time = task.join.clocks[self.input.index()].peeked;
        time <= self.until || judged < self.at_least && time <= self.until.plus(ALIGNMENT)
    }
}
