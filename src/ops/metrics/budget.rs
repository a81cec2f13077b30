//! The budget of false alarms: what is allowed, and whether there are more streams than thresholds are made for.
//!
//! Comes from: definitions in force, streams of this process. Goes to: `driftline_budget_*`, one warning.

use super::Metrics;
use crate::engine::definitions::Definitions;
use std::sync::atomic::Ordering;

impl Metrics {
    /// What all thresholds are made for.
    pub(super) fn show_budget(&self, d: &Definitions) {
        self.budget.set(d.budget.false_alarms * 86_400_000.0 / d.budget.per.0 as f64);
        self.budget_streams.set(i64::from(d.streams_cap));
    }

    /// Says when there are more streams than thresholds are made for, and again when there are twice as many.
    pub(super) fn compare_with_budget(&self, streams: i64) {
        let meant = self.budget_streams.get();
        if streams > meant.max(self.warned_of.load(Ordering::Relaxed)) {
            self.warned_of.store(2 * streams, Ordering::Relaxed);
            tracing::warn!(
                "this process alone watches {streams} streams, and budget.streams is {meant}: there will be up to {:.1} times as many false alarms as budget.false_alarms allows. Set budget.streams to what `sum(driftline_streams)` shows over all processes, with room to grow, and restart the processes one after the other",
                streams as f64 / meant.max(1) as f64
            );
        }
    }
}
