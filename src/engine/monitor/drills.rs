//! Drills of a partition: each closing of an input pane is a pane of theirs, whatever it held.
//!
//! Guarantees: the head carries them, so a rebuilt monitor goes on with them; a replay folds nothing into them.
//! Comes from: commands in `<app>.summaries`. Goes to: alerts, among those of input panes.

use super::{Effects, Monitor, Raised};
use crate::engine::detect::stream::Rules;
use crate::engine::drill::{Drill, MOST, Order};
use crate::engine::types::{PaneId, PaneKind};

impl Monitor {
    /// Obeys an order, unless it can't be, or is known already.
    pub(super) fn drill(&mut self, order: Order) {
        let known = self.drills.iter().any(|drill| drill.id() == order.id);
        match self.definitions().map(|d| d.pane).filter(|_| !known && self.drills.len() < MOST) {
            Some(size) => self.drills.push(Drill::begin(order, size)),
            None => self.tally.refused_commands += 1,
        }
    }

    /// Whether a drill looks at the next pane of a kind.
    pub(super) fn awaits_drills(&self, kind: PaneKind) -> bool {
        kind == PaneKind::Input && !self.replaying && !self.drills.is_empty()
    }

    /// A pane for all drills.
    pub(super) fn close_drills(&mut self, kind: PaneKind, pane: PaneId, rules: &Rules<'_>, effects: &mut Effects) {
        if self.awaits_drills(kind) {
            let mut out = Vec::new();
            self.drills.retain_mut(|drill| !drill.close(pane, rules, &mut out));
            effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
        }
    }
}
