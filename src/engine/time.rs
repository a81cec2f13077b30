//! Time of one input in one partition: its watermark, from its own log alone.
//!
//! Guarantees: `watermark` never goes back; verdicts use `before`, which knows only records earlier in the same partition, so a
//! record that was peeked (its time shown early, see look-ahead) gets the verdict it would have got without the peek.
//! Never: looks at a clock or at the other input.

use super::types::{EventTime, Span};

/// The clock of one input of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputClock {
    lateness: Span,
    /// Highest event time of the consumed records.
    pub max: EventTime,
    /// Highest event time of all records seen, the peeked one included.
    pub peeked: EventTime,
}

impl InputClock {
    /// Of an input without records.
    pub fn new(lateness: Span) -> InputClock {
        InputClock { lateness, max: EventTime::MIN, peeked: EventTime::MIN }
    }

    /// Set to what a journal holds.
    pub fn restored(lateness: Span, max: EventTime, peeked: EventTime) -> InputClock {
        InputClock { lateness, max, peeked: peeked.max(max) }
    }

    /// The watermark that the next record is judged by: of consumed records only.
    pub fn before(&self) -> EventTime {
        self.max.minus(self.lateness)
    }

    /// No later record can have an effective time below this.
    pub fn watermark(&self) -> EventTime {
        self.peeked.minus(self.lateness)
    }

    /// A record was consumed.
    pub fn consume(&mut self, time: EventTime) {
        self.max = self.max.max(time);
        self.peeked = self.peeked.max(time);
    }

    /// A record is next but may not be consumed yet.
    pub fn peek(&mut self, time: EventTime) {
        self.peeked = self.peeked.max(time);
    }
}
