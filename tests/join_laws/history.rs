//! Random histories of the two inputs of one partition: repeated ids, early, late and contradicting outcomes, times out of order.

use driftline::engine::definitions::JoinRules;
use driftline::engine::types::{EventTime, PaneId, PaneSize, RequestKey, Span};
use std::collections::BTreeMap;

/// One step of time in a history; several steps share a bucket of the engine's wheels (1 s).
pub const STEP: i64 = 300;
pub const PANE: PaneSize = PaneSize(Span(10 * STEP));

/// The same histories on every machine.
pub use crate::split_mix::SplitMix64 as Draw;

impl Draw {
    pub fn of(&mut self, choices: &[i64]) -> i64 {
        choices[self.below(choices.len() as u64) as usize]
    }
    /// True in `percent` of all cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A record of either input; `said` is the class that a prediction or an outcome names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub id: u64,
    pub at: i64,
    pub said: u64,
}

impl Event {
    pub fn time(&self) -> EventTime {
        EventTime(self.at * STEP)
    }
    /// Pairs of ids share half of their key, the half that the engine's index hashes by.
    pub fn key(&self) -> RequestKey {
        RequestKey(u128::from(self.id) << 64 | u128::from(self.id / 2))
    }
    /// An outcome's number; some have none.
    pub fn value(&self) -> f64 {
        if self.said == 0 { f64::NAN } else { self.said as f64 / 4.0 }
    }
    /// The cell of a prediction.
    pub fn cell(&self) -> &'static str {
        ["a", "b", "c"][self.id as usize % 3]
    }
}

#[derive(Clone, Debug)]
pub struct History {
    /// Predictions and outcomes, each in offset order.
    pub inputs: [Vec<Event>; 2],
}

impl History {
    pub fn random(seed: u64) -> History {
        let r = &mut Draw(seed);
        let (mut predictions, mut outcomes, mut now) = (Vec::new(), Vec::new(), 100);
        let jitter = [0, 0, 0, -2, -5, -9, -14];
        for i in 0..60 {
            now += r.of(&[0, 1, 2, 3, 8]);
            let id = r.below(25);
            predictions.push(Event { id, at: now + r.of(&jitter), said: i % 4 });
            if r.percent(15) {
                predictions.push(Event { id, at: now + r.of(&jitter), said: (i + 1) % 4 });
            }
            if r.percent(80) {
                outcomes.push(Event { id, at: now + r.of(&[-9, -3, 0, 2, 10, 40, 58, 61, 75]), said: i % 3 });
            }
            if r.percent(20) {
                outcomes.push(Event { id, at: now + r.of(&[-20, 5, 30, 59, 62, 90]), said: (i + r.below(2)) % 3 });
            }
        }
        outcomes.sort_by_cached_key(|o| o.at + r.of(&[0, 0, -3, 4]));
        outcomes.iter_mut().for_each(|o| o.at += r.of(&[0, 0, -4, -12]));
        // two records each, far ahead, settle everything that came before them
        let (end, far) = (now + 500, now + 800);
        predictions.extend([Event { id: 90, at: end, said: 0 }, Event { id: 91, at: far, said: 0 }]);
        outcomes.extend([Event { id: 92, at: end, said: 0 }, Event { id: 93, at: far, said: 0 }]);
        History { inputs: [predictions, outcomes] }
    }

    /// The shortest history that still fails, found by leaving out one record after the other.
    pub fn shrunk(mut self, fails: impl Fn(&History) -> bool) -> History {
        loop {
            let before = self.inputs[0].len() + self.inputs[1].len();
            for input in 0..2 {
                for i in (0..self.inputs[input].len()).rev() {
                    let mut shorter = self.clone();
                    shorter.inputs[input].remove(i);
                    if fails(&shorter) {
                        self = shorter;
                    }
                }
            }
            if self.inputs[0].len() + self.inputs[1].len() == before {
                return self;
            }
        }
    }
}

/// Rules in steps: `duplicates` and `settle` vary, the rest is fixed.
pub fn rules(duplicates: i64, settle: i64) -> JoinRules {
    JoinRules {
        lateness: [Span(8 * STEP), Span(6 * STEP)],
        window: Span(60 * STEP),
        early: Span(15 * STEP),
        duplicates: Span(duplicates * STEP),
        settle: Span(settle * STEP),
        hold: Span::hours(24),
    }
}

/// All combinations that are tried: `settle` never, in the middle, at once.
pub fn all_rules() -> Vec<JoinRules> {
    [75, 20, 5].into_iter().flat_map(|d| [1_000_000, 30, 0].map(|s| rules(d, s))).collect()
}

/// One thing that is booked in a pane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Booking {
    Accepted { cell: String, said: u64 },
    Late,
    DuplicatePrediction,
    Pair { cell: String, said: u64, observed: u64, value: u64 },
    DuplicateOutcome,
    ConflictingOutcome,
    Unlabelled { cell: String },
    Orphan,
    BeforeStart,
}

impl Booking {
    /// Does it belong to input panes (0) or to pair panes (1)?
    pub fn kind(&self) -> usize {
        usize::from(!matches!(self, Booking::Accepted { .. } | Booking::Late | Booking::DuplicatePrediction))
    }
}

/// How often what was booked in which pane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bookings(pub BTreeMap<PaneId, BTreeMap<Booking, u64>>);

impl Bookings {
    pub fn add(&mut self, at: EventTime, what: Booking) {
        *self.0.entry(PANE.pane_of(at)).or_default().entry(what).or_default() += 1;
    }
    pub fn merge(&mut self, other: Bookings) {
        for (pane, counts) in other.0 {
            for (what, n) in counts {
                *self.0.entry(pane).or_default().entry(what).or_default() += n;
            }
        }
    }
}
