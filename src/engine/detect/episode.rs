//! The life of an alarm: it stays open while the change persists and ends when the last window looks normal again.
//!
//! The last window is as long as the one that opened the episode (at least 32 events). Recovered: its statistic is below half the
//! threshold and its effect below the tolerance. Escalated: the lower end of its effect's interval reaches a higher severity
//! (the estimate alone would climb by chance in a long episode).

use super::channels::Detector;
use crate::engine::alert::Alert;
use crate::engine::baseline::reference::Tally;
use crate::engine::types::{EventTime, PaneId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The last window is kept in about this many parts, so that it slides in steps.
const PARTS: u64 = 4;

/// Neighbouring folds of an open episode, added up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// First pane.
    pub first: PaneId,
    /// Folds.
    pub folds: u32,
    /// What they held.
    pub tally: Tally,
    /// What was expected of them.
    pub expected: [f64; 2],
}

impl Part {
    fn add(&mut self, later: &Part) {
        self.folds += later.folds;
        let fits = self.tally.merge(&later.tally);
        debug_assert!(fits, "panes of one stream fit together");
        (0..2).for_each(|i| self.expected[i] += later.expected[i]);
    }
}

/// An open episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Who opened it.
    pub detector: Detector,
    /// The last event written.
    pub last: Alert,
    /// When it was written, in event time.
    pub written_at: EventTime,
    /// Statistic of the last window.
    pub statistic: f64,
    pub(super) length: u64,
    pub(super) parts: VecDeque<Part>,
}

impl Episode {
    /// Opened by `alert`, whose window held `length` events (panes where rows are counted).
    pub fn new(detector: Detector, alert: Alert, length: u64) -> Episode {
        let (written_at, statistic) = (alert.detected_at, alert.statistic);
        Episode { detector, last: alert, written_at, statistic, length, parts: VecDeque::new() }
    }

    /// Adds a fold; the last window if it is long enough.
    pub fn observe(&mut self, pane: Tally, expected: [f64; 2], first: PaneId) -> Option<Part> {
        match self.parts.back_mut().filter(|part| part.tally.weight() * PARTS < self.length) {
            Some(part) => part.add(&Part { first, folds: 1, tally: pane, expected }),
            None => self.parts.push_back(Part { first, folds: 1, tally: pane, expected }),
        }
        let mut held: u64 = self.parts.iter().map(|p| p.tally.weight()).sum();
        while let Some(oldest) = self.parts.front().filter(|p| held - p.tally.weight() >= self.length) {
            held -= oldest.tally.weight();
            self.parts.pop_front();
        }
        if held < self.length {
            return None;
        }
        let mut parts = self.parts.iter().cloned();
        let mut window = parts.next()?;
        parts.for_each(|part| window.add(&part));
        Some(window)
    }
}
