//! Versions of a model side by side: each against all that came before it, in the same panes.
//!
//! Guarantees: which version is older is decided once, by the closing that first showed pairs of it (versions of one closing by name), so a
//! replay compares as was compared; predictions without a version count as the oldest.
//! Never: compares a version twice with the same pairs: the older one of two is not judged by the newer.
//! Comes from: cells of a closed pair pane. Goes to: streams of the form `gap`, one a version.

use super::Monitor;
use super::chunks::of_stream;
use super::shared::{Closing, Segment};
use crate::engine::alert::Alert;
use crate::engine::baseline::gap::Gap;
use crate::engine::cell::CellKey;
use crate::engine::detect::stream::{Form, Observed, Rules, Stream, StreamKey};
use crate::engine::monitor::Kept;
use crate::engine::summary::aged::AgedCounts;
use crate::engine::summary::cell::{CellSummary, Counts};
use crate::engine::types::{PaneId, PaneKind};
use std::collections::BTreeMap;

impl Monitor {
    /// Feeds the errors of a pair pane to the streams of its versions.
    pub(super) fn compare_versions(
        &mut self,
        (model, pane): (&str, PaneId),
        cells: &[(&CellKey, &CellSummary)],
        rules: &Rules<'_>,
        out: &mut Vec<Alert>,
    ) {
        let mut of: BTreeMap<Option<&str>, AgedCounts> = BTreeMap::new();
        for (key, summary) in cells {
            if let Counts::Pair(c) = &summary.counts
                && c.errors.n() > 0
            {
                of.entry(key.version.as_deref()).or_default().merge(&c.errors);
            }
        }
        let closing = Closing { at: self.now, kind: PaneKind::Pair.into(), pane };
        if !self.replaying {
            of.keys().flatten().for_each(|version| self.shared.admit_version(model, version, closing));
        }
        // in order of age; those that found no room are not compared
        let mut by_age: Vec<(Option<Closing>, Option<&str>)> = Vec::with_capacity(of.len());
        for version in of.keys() {
            let since = version.map(|v| self.shared.version_since(model, v, closing));
            by_age.extend(since.is_none_or(|s| s.is_some()).then(|| (since.flatten(), *version)));
        }
        by_age.sort();
        let mut older = AgedCounts::default();
        for (_, version) in by_age {
            let this = &of[&version];
            if let Some(version) = version.filter(|_| older.n() > 0) {
                let seen = Observed::Gap(Gap::between(this, &older));
                self.close_version(model, version, pane, &seen, rules, out);
            }
            older.merge(this);
        }
    }

    fn close_version(&mut self, model: &str, version: &str, pane: PaneId, seen: &Observed<'_>, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        const SIGNAL: &str = "error";
        let (replaying, now, ages, root) = (self.replaying, self.now, &self.ages, Segment::new());
        if let Some(kept) = self.streams.get_mut(model, Some(version), &root, SIGNAL, Form::Gap) {
            if !replaying || ages.lacks(kept.chunk, now) {
                kept.stream.close(pane, seen, rules, out);
            }
            return;
        }
        let key = StreamKey {
            model: model.to_string(),
            version: Some(version.to_string()),
            segment: root,
            signal: SIGNAL.to_string(),
            form: Form::Gap,
        };
        let chunk = of_stream(&key);
        if self.takes(chunk) {
            self.streams.insert(Kept { chunk, stream: Stream::new(key) }).stream.close(pane, seen, rules, out);
        }
    }
}
