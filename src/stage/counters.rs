//! Plain counts of a member, taken over by the metrics once per epoch. No atomics on the record path.

use crate::codec::event::Reason;
use crate::engine::join::{Decision, PairKind, Pairing};

/// Verdicts of one join task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinTally {
    /// Predictions accepted.
    pub accepted: u64,
    /// Predictions with the id of an earlier one.
    pub duplicates: u64,
    /// Predictions below their own watermark.
    pub late: u64,
    /// Accepted predictions that are outliers.
    pub outliers: u64,
    /// Pairs.
    pub joined: u64,
    /// Outcomes that repeat the first one.
    pub duplicate_outcomes: u64,
    /// Outcomes that contradict the first one.
    pub conflicting_outcomes: u64,
    /// Outcomes that wait for their prediction.
    pub waiting: u64,
    /// Outcomes whose time was raised to the watermark: their topic is not sorted by time.
    pub outcome_time_raised: u64,
    /// Predictions whose window passed without an outcome.
    pub unlabelled: u64,
    /// Outcomes without prediction.
    pub orphans: u64,
    /// Outcomes from before the first prediction.
    pub before_start: u64,
    /// Predictions and waiting outcomes that were let go because the other input stopped or memory was full.
    pub released: [u64; 2],
    /// Label delays of pairs, by upper end in seconds as in `DELAY_BUCKETS`.
    pub delays: [u64; DELAY_BUCKETS.len() + 1],
    /// Sum of label delays, ms.
    pub delay_ms: u64,
}

/// Upper ends of the label-delay histogram, seconds.
pub const DELAY_BUCKETS: [f64; 8] = [1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

impl JoinTally {
    /// Counts a pair.
    pub fn pair(&mut self, pair: &Pairing) {
        match pair.kind {
            PairKind::First => {
                self.joined += 1;
                let delay = pair.e.since(pair.time).0.max(0);
                self.delay_ms += delay as u64;
                let seconds = delay as f64 / 1_000.0;
                self.delays[DELAY_BUCKETS.iter().position(|b| seconds <= *b).unwrap_or(DELAY_BUCKETS.len())] += 1;
            }
            PairKind::Duplicate => self.duplicate_outcomes += 1,
            PairKind::Conflicting => self.conflicting_outcomes += 1,
        }
    }

    /// Counts what time has decided.
    pub fn decided(&mut self, decision: &Decision) {
        match decision {
            Decision::Unlabelled { .. } => self.unlabelled += 1,
            Decision::Orphan { .. } => self.orphans += 1,
            Decision::BeforeStart { .. } => self.before_start += 1,
        }
    }

    /// Adds another task's counts.
    pub fn add(&mut self, other: &JoinTally) {
        let JoinTally {
            accepted,
            duplicates,
            late,
            outliers,
            joined,
            duplicate_outcomes,
            conflicting_outcomes,
            waiting,
            outcome_time_raised,
            unlabelled,
            orphans,
            before_start,
            released,
            delays,
            delay_ms,
        } = other;
        self.accepted += accepted;
        self.duplicates += duplicates;
        self.late += late;
        self.outliers += outliers;
        self.joined += joined;
        self.duplicate_outcomes += duplicate_outcomes;
        self.conflicting_outcomes += conflicting_outcomes;
        self.waiting += waiting;
        self.outcome_time_raised += outcome_time_raised;
        self.unlabelled += unlabelled;
        self.orphans += orphans;
        self.before_start += before_start;
        (self.released[0], self.released[1]) = (self.released[0] + released[0], self.released[1] + released[1]);
        self.delay_ms += delay_ms;
        for (mine, theirs) in self.delays.iter_mut().zip(delays) {
            *mine += theirs;
        }
    }
}

/// Counts of one member since they were last taken.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Verdicts of all its join tasks.
    pub join: JoinTally,
    /// Records read, by input.
    pub records: [u64; 2],
    /// Those of them that `when` left out.
    pub skipped: [u64; 2],
    /// Dead letters by (input, reason).
    pub dead_letters: std::collections::BTreeMap<(usize, Reason), u64>,
    /// Epochs committed.
    pub epochs: u64,
    /// Attempts to commit by outcome word.
    pub transactions: std::collections::BTreeMap<&'static str, u64>,
    /// Wall-clock time of each committed transaction, ms.
    pub transaction_ms: Vec<f64>,
    /// Times a task's state was rebuilt from the log, with the wall-clock time of each, ms.
    pub restores_ms: Vec<f64>,
    /// Rebuilt states whose count or digest differed from the journal's.
    pub digest_mismatches: u64,
    /// Jumps of event time by more than a day.
    pub time_jumped: u64,
    /// Journal bytes published.
    pub journal_bytes: u64,
    /// Alerts published by (kind, severity, status).
    pub alerts: std::collections::BTreeMap<(String, String, String), u64>,
    /// What monitors counted.
    pub monitor: crate::engine::monitor::Tally,
}

impl Counters {
    /// Adds what a join epoch has counted, now that it is committed. Before, it might be judged once more.
    pub fn add_epoch(&mut self, epoch: Counters) {
        self.join.add(&epoch.join);
        (self.records[0], self.records[1]) = (self.records[0] + epoch.records[0], self.records[1] + epoch.records[1]);
        (self.skipped[0], self.skipped[1]) = (self.skipped[0] + epoch.skipped[0], self.skipped[1] + epoch.skipped[1]);
        self.time_jumped += epoch.time_jumped;
        self.journal_bytes += epoch.journal_bytes;
        for (what, n) in epoch.dead_letters {
            *self.dead_letters.entry(what).or_default() += n;
        }
    }
}
