//! Numbers with names: the vocabulary that every other module speaks.
//!
//! Guarantees: each type is a plain copyable value with a total order; nothing here depends on a clock or a machine.
//! Never: converts silently between two of these (a function that takes two `i64` is a bug that waits).

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Event time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before everything: the maximum of no records at all.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After everything: what an input that constrains nobody reports.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// This time moved by `span`, saturating at both ends.
    pub fn plus(self, span: Span) -> EventTime {
        if self == Self::MIN || self == Self::MAX { self } else { EventTime(self.0.saturating_add(span.0)) }
    }

    /// This time moved back by `span`; `MIN` and `MAX` stay what they are.
    pub fn minus(self, span: Span) -> EventTime {
        self.plus(Span(-span.0))
    }

    /// The span from `earlier` to this time.
    pub fn since(self, earlier: EventTime) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of event time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(pub i64);

impl Span {
    /// Nothing.
    pub const ZERO: Span = Span(0);
    /// `n` seconds.
    pub const fn seconds(n: i64) -> Span {
        Span(n * 1_000)
    }
    /// `n` minutes.
    pub const fn minutes(n: i64) -> Span {
        Span(n * 60_000)
    }
    /// `n` hours.
    pub const fn hours(n: i64) -> Span {
        Span(n * 3_600_000)
    }
    /// `n` days of 24 hours.
    pub const fn days(n: i64) -> Span {
        Span(n * 86_400_000)
    }
}

/// The units of a span as people type them, smallest first, in milliseconds.
pub const UNITS: [(&str, i64); 6] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("y", 365 * 86_400_000)];

impl std::fmt::Display for Span {
    /// The shortest way to type it: `90s`, `1h`; a year is 365 days.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match UNITS.iter().rev().find(|u| self.0 % u.1 == 0) {
            Some((unit, millis)) if self.0 != 0 => write!(f, "{}{unit}", self.0 / millis),
            _ => f.write_str("0s"),
        }
    }
}

/// A tumbling pane: the number of the half-open interval `[id * size, (id + 1) * size)` of event time since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaneId(pub i64);

/// The one width of all panes of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaneSize(pub Span);

impl PaneSize {
    /// The pane that holds `time`.
    pub fn pane_of(self, time: EventTime) -> PaneId {
        PaneId(time.0.div_euclid(self.0.0))
    }
    /// First instant of a pane.
    pub fn start(self, pane: PaneId) -> EventTime {
        EventTime(pane.0.saturating_mul(self.0.0))
    }
    /// First instant after a pane.
    pub fn end(self, pane: PaneId) -> EventTime {
        EventTime((pane.0.saturating_add(1)).saturating_mul(self.0.0))
    }
    /// The last pane that lies wholly before `time` (a watermark): it can close.
    pub fn last_closed_by(self, time: EventTime) -> PaneId {
        self.pane_of(time).offset(-1)
    }
    /// How many whole panes cover `span`, rounded up.
    pub fn panes_in(self, span: Span) -> i64 {
        (span.0 + self.0.0 - 1).div_euclid(self.0.0)
    }
}

impl PaneId {
    /// The pane `n` panes later (earlier for negative `n`).
    pub fn offset(self, n: i64) -> PaneId {
        PaneId(self.0.saturating_add(n))
    }
}

/// An offset in a partition of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub i64);

/// A partition's number. A join task's partition is the number of its two input partitions and of its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(pub i32);

/// Sequence number of an epoch of one task; 0 is "none yet", the first epoch is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct EpochSeq(pub u64);

/// The join's key: XXH3-128 (seed 0) of the request id's UTF-8 bytes. Fixed for ever: the journal holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKey(pub u128);

impl RequestKey {
    /// Hashes a request id.
    ///
    /// ```
    /// # use driftline::engine::types::RequestKey;
    /// // XXH3-128 with seed 0 of the empty input, from the published test vectors
    /// assert_eq!(RequestKey::of("").0, 0x99aa06d3014798d86001c324468d497f);
    /// ```
    pub fn of(request_id: &str) -> RequestKey {
        RequestKey(xxh3_128(request_id.as_bytes()))
    }

    /// The order of the bottom-k samples: a uniform number that depends on the request id alone.
    pub fn sample_hash(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// Identity of a class: XXH3-64 of its text; 0 stands for none.
pub fn class_hash(label: Option<&str>) -> u64 {
    label.map_or(0, |l| xxh3_64(l.as_bytes()).max(1))
}

/// Identity of a signal: XXH3-64 of model, name and definition, separated by zero bytes. Seeds and fingerprints derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignalId(pub u64);

impl SignalId {
    /// The id of signal `name` of `model` under `definition` (for built-in signals the name of its form, such as `numeric`).
    pub fn of(model: &str, name: &str, definition: &str) -> SignalId {
        SignalId(xxh3_64(format!("{model}\0{name}\0{definition}").as_bytes()))
    }
}

/// Which of a task's two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Input {
    /// What the model said.
    Predictions,
    /// What really happened.
    Outcomes,
}

impl Input {
    /// Both, in the order used by arrays indexed by input.
    pub const BOTH: [Input; 2] = [Input::Predictions, Input::Outcomes];

    /// 0 for predictions, 1 for outcomes.
    pub fn index(self) -> usize {
        match self {
            Input::Predictions => 0,
            Input::Outcomes => 1,
        }
    }

    /// The word used in configuration, metrics and messages.
    pub fn word(self) -> &'static str {
        match self {
            Input::Predictions => "predictions",
            Input::Outcomes => "outcomes",
        }
    }
}

/// The two kinds of pane: inputs and scores close with the predictions' time, performance with the pair time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PaneKind {
    /// Features, scores, predicted classes, volume: by the prediction's time.
    Input,
    /// Errors, label coverage, orphans: by max(prediction's time, outcome's effective time).
    Pair,
}
