//! How well models did of late: root counts of closed pair panes, hour by hour.
//!
//! Guarantees: the newest 24 hours of event time at most, by the start of each pane; older ones are forgotten.
//! Never: part of the state, or of anything that is decided: after a restart it fills again from the panes that close then.
//! Comes from: `close`. Goes to: `ops::metrics`.

use super::{Monitor, at};
use crate::engine::definitions::Definitions;
use crate::engine::performance::Performance;
use crate::engine::plan::Plan;
use crate::engine::summary::cell::{CellSummary, Counts};
use crate::engine::summary::form::NumericForm;
use crate::engine::types::{PaneId, PaneKind, Span};
use std::collections::BTreeMap;

/// Hours that are remembered.
pub const HOURS: i64 = 24;

/// By model, then hour since 1970.
#[derive(Default)]
pub(super) struct Recent(BTreeMap<String, BTreeMap<i64, Performance>>);

impl Recent {
    /// Hours of each model's memory, for the last closed pane's hour `now`.
    fn within(&self, now: i64) -> impl Iterator<Item = (&str, impl Iterator<Item = &Performance>)> {
        self.0.iter().map(move |(model, hours)| (model.as_str(), hours.range(now - HOURS + 1..).map(|h| h.1)))
    }
}

impl Monitor {
    /// Adds the root's summary of a closed pair pane. Models without a task have nothing to remember.
    pub(super) fn remember(&mut self, model: &str, pane: PaneId, root: &CellSummary, definitions: &Definitions) {
        let Counts::Pair(counts) = &root.counts else { return };
        if self.replaying || !definitions.models.contains_key(model) {
            return;
        }
        if !self.recent.0.contains_key(model) {
            self.recent.0.insert(model.to_string(), BTreeMap::new());
        }
        let Some(hours) = self.recent.0.get_mut(model) else { return };
        let hour = definitions.pane.start(pane).0.div_euclid(Span::hours(1).0);
        let sum = hours.entry(hour).or_default();
        sum.add(counts);
        differences(&self.plan, model, pane, root, sum);
        while hours.first_key_value().is_some_and(|(oldest, _)| *oldest <= hour - HOURS) {
            hours.pop_first();
        }
    }

    /// How well each listed model did in the newest 24 hours that this process saw closing; models without pairs in them are left out.
    pub fn performance(&self) -> Vec<(&str, Performance)> {
        let (Some(definitions), Some(closed)) = (self.definitions(), self.closed) else { return Vec::new() };
        let now = definitions.pane.start(closed[at(PaneKind::Pair)]).0.div_euclid(Span::hours(1).0);
        let sum = |hours: &mut dyn Iterator<Item = &Performance>| {
            hours.fold(None, |sum: Option<Performance>, hour| {
                let mut sum = sum.unwrap_or_default();
                sum.merge(hour);
                Some(sum)
            })
        };
        self.recent.within(now).filter_map(|(model, mut hours)| sum(&mut hours).map(|p| (model, p))).collect()
    }
}

/// A regression's differences, once their bins are known.
fn differences(plan: &Plan, model: &str, pane: PaneId, root: &CellSummary, to: &mut Performance) {
    for (signal, add) in [("abs_error", Performance::add_absolute as fn(&mut _, &_, &_)), ("bias", Performance::add_signed)] {
        let form = root.signals.get(signal).and_then(|s| s.numeric.clone());
        let (Some(mut form), Some(edges)) = (form, plan.numeric(model, signal, pane)) else { continue };
        if matches!(form, NumericForm::Rows(_)) {
            form.to_bins(&edges);
        }
        match &form {
            NumericForm::Bins { version, bins } if *version == edges.version => add(to, bins, &edges),
            _ => {}
        }
    }
}
