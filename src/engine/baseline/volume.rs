//! Volume: how many rows panes held, and how long they held none.
//!
//! Guarantees: merge is associative with the default as identity; it is *not* commutative: the other one follows in time, so that a
//! pause that spans both is one.
//! Never: leaves out a pane without rows between two that are merged.
//! Comes from: counts of closed panes, empty ones included. Goes to: `baseline::reference`, `detect::volume`.
//!
//! ```
//! # use driftline::engine::baseline::volume::Volume;
//! let mut seen = Volume::default();
//! [3, 0, 0, 5, 0].iter().for_each(|rows| seen.merge(&Volume::of_pane(*rows)));
//! assert_eq!((seen.panes, seen.busy, seen.rows, seen.quiet_now, seen.quiet_longest), (5, 2, 8, 1, 2));
//! ```

use serde::{Deserialize, Serialize};

/// Rows of neighbouring panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Panes.
    pub panes: u64,
    /// Panes with rows.
    pub busy: u64,
    /// Rows.
    pub rows: u64,
    /// Panes without rows before the first row.
    quiet_first: u64,
    /// Panes without rows since the last row.
    pub quiet_now: u64,
    /// The longest run of panes without rows.
    pub quiet_longest: u64,
}

impl Volume {
    /// Of one pane.
    pub fn of_pane(rows: u64) -> Volume {
        let quiet = u64::from(rows == 0);
        Volume { panes: 1, busy: 1 - quiet, rows, quiet_first: quiet, quiet_now: quiet, quiet_longest: quiet }
    }

    /// Adds the panes that follow.
    pub fn merge(&mut self, later: &Volume) {
        let between = self.quiet_now + later.quiet_first;
        *self = Volume {
            panes: self.panes + later.panes,
            busy: self.busy + later.busy,
            rows: self.rows + later.rows,
            quiet_first: if self.busy == 0 { between } else { self.quiet_first },
            quiet_now: if later.busy == 0 { between } else { later.quiet_now },
            quiet_longest: self.quiet_longest.max(later.quiet_longest).max(between),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(panes: &[u64]) -> Volume {
        let mut all = Volume::default();
        panes.iter().for_each(|rows| all.merge(&Volume::of_pane(*rows)));
        all
    }

    proptest! {
        /// Wherever a history is cut, its halves merge to what counting it by hand gives.
        #[test]
        fn halves_merge_to_the_whole(panes in prop::collection::vec(prop_oneof![Just(0u64), 0u64..4], 0..30), cut in 0usize..30) {
            let (a, b) = panes.split_at(cut.min(panes.len()));
            let mut merged = of(a);
            merged.merge(&of(b));
            let quiet = |run: &[u64]| run.len() as u64;
            let longest = panes.split(|rows| *rows > 0).map(quiet).max().unwrap_or(0);
            let now = panes.iter().rev().take_while(|rows| **rows == 0).count() as u64;
            prop_assert_eq!(merged, of(&panes));
            prop_assert_eq!((merged.quiet_longest, merged.quiet_now), (longest, now));
            prop_assert_eq!((merged.panes, merged.rows), (panes.len() as u64, panes.iter().sum::<u64>()));
            prop_assert_eq!(merged.busy, panes.iter().filter(|rows| **rows > 0).count() as u64);
        }
    }
}
