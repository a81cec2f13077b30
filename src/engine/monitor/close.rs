//! Closing a pane: cells become segments, segments feed streams, samples feed learners.

use super::learn::{Learner, has_begun};
use super::{Effects, Monitor, Raised, at};

use crate::engine::cell::CellKey;
use crate::engine::definitions::Definitions;
use crate::engine::detect::stream::{Form, Observed, Rules, Stream, StreamKey};
use crate::engine::plan::{Bins, EdgesRecord, PlanRecord};
use crate::engine::summary::cell::{CellSummary, Counts, SignalSummary};
use crate::engine::summary::form::{CategoryForm, NumericForm};
use crate::engine::types::{PaneId, PaneKind};
use crate::planted::{Bug, planted};
use std::collections::BTreeMap;

type Segment = BTreeMap<String, String>;

/// What a segment value is called where predictions had none.
pub const MISSING_VALUE: &str = "(none)";

/// Signals that live in pair panes.
fn kind_of(signal: &str) -> PaneKind {
    if matches!(signal, "error" | "abs_error" | "bias") { PaneKind::Pair } else { PaneKind::Input }
}

impl Monitor {
    /// Closes all panes of a kind up to `through`; empty ones cost nothing but the reminders that fall due in them.
    pub(super) fn close_kind(&mut self, kind: PaneKind, through: PaneId, effects: &mut Effects) {
        let Some(closed) = &mut self.closed else { return };
        if through <= closed[at(kind)] {
            return;
        }
        closed[at(kind)] = through;
        loop {
            let content = self.open[at(kind)].first_key_value().map(|p| *p.0).filter(|p| *p <= through);
            let reminder = self.next_reminder(kind).filter(|p| *p <= through);
            match (content, reminder) {
                (None, None) => return,
                (content, Some(due)) if content.is_none_or(|c| due < c) => self.remind(kind, due, effects),
                (Some(pane), _) => {
                    let open = self.open[at(kind)].remove(&pane).unwrap_or_default();
                    self.tally.panes[at(kind)] += 1;
                    self.close_pane(kind, pane, open.cells, effects);
                }
                (None, Some(due)) => self.remind(kind, due, effects),
            }
        }
    }

    fn next_reminder(&self, kind: PaneKind) -> Option<PaneId> {
        let definitions = self.definitions()?;
        self.streams.iter().filter(|(k, _)| kind_of(&k.signal) == kind).filter_map(|(_, s)| s.next_reminder(definitions)).min()
    }

    fn remind(&mut self, kind: PaneKind, pane: PaneId, effects: &mut Effects) {
        let Some((versioned, hash)) = &self.definitions else { return };
        let rules = Rules { definitions: &versioned.definitions, definition_hash: hash };
        let mut out = Vec::new();
        for (_, stream) in self.streams.iter_mut().filter(|(k, _)| kind_of(&k.signal) == kind) {
            stream.tick(pane, &rules, &mut out);
        }
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    fn close_pane(&mut self, kind: PaneKind, pane: PaneId, cells: BTreeMap<CellKey, CellSummary>, effects: &mut Effects) {
        let Some((versioned, hash)) = self.definitions.clone() else { return };
        let definitions = &versioned.definitions;
        let mut models: BTreeMap<&str, Vec<(&CellKey, &CellSummary)>> = BTreeMap::new();
        for (key, summary) in &cells {
            self.count_labels(summary);
            if !key.model.is_empty() {
                models.entry(&key.model).or_default().push((key, summary));
            }
        }
        for (model, cells) in models {
            let segments = self.segments_of(model, pane, &cells, definitions);
            if let Some(root) = segments.get(&Segment::new()) {
                self.learn(kind, model, pane, root, definitions, effects);
            }
            let rules = Rules { definitions, definition_hash: &hash };
            for (segment, summary) in &segments {
                self.feed(model, pane, segment, summary, &rules, kind, effects);
            }
        }
    }

    fn count_labels(&mut self, summary: &CellSummary) {
        if let Counts::Pair(c) = summary.counts {
            self.tally.labels.0 += c.matched;
            self.tally.labels.1 += c.unlabelled;
            self.tally.labels.2 += c.delay_ms;
        }
    }

    /// Rolls cells up to the root and the configured segments. New segments are admitted largest first while there is room.
    fn segments_of(
        &mut self,
        model: &str,
        pane: PaneId,
        cells: &[(&CellKey, &CellSummary)],
        definitions: &Definitions,
    ) -> BTreeMap<Segment, CellSummary> {
        let mut segments: BTreeMap<Segment, CellSummary> = BTreeMap::new();
        for (key, summary) in cells {
            for by in std::iter::once(&Vec::new()).chain(&definitions.segments) {
                let segment = segment_of(key, by, &definitions.dimensions);
                match segments.get_mut(&segment) {
                    Some(known) => known.merge(summary, |signal| self.plan.numeric(model, signal, pane)),
                    None => {
                        segments.insert(segment, (*summary).clone());
                    }
                }
            }
        }
        let admitted = self.segments.entry(model.to_string()).or_default();
        let mut new: Vec<(u64, Segment)> =
            segments.iter().filter(|(s, _)| !s.is_empty() && !admitted.contains(*s)).map(|(s, c)| (rows(c), s.clone())).collect();
        new.sort_by(|a, b| if planted(Bug::SegmentsByName) { a.1.cmp(&b.1) } else { b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)) });
        for (_, segment) in new {
            if admitted.len() < definitions.segment_cap as usize {
                admitted.insert(segment);
            } else {
                self.tally.refused_segments += 1;
                segments.remove(&segment);
            }
        }
        segments
    }

    fn learn(&mut self, kind: PaneKind, model: &str, pane: PaneId, root: &CellSummary, definitions: &Definitions, effects: &mut Effects) {
        if !has_begun(pane, definitions) {
            return;
        }
        for (name, signal) in &root.signals {
            if let Some(NumericForm::Learning { n, sample, .. }) = &signal.numeric {
                let key = (model.to_string(), name.clone(), false);
                self.learners.entry(key).or_insert_with(|| Learner::numeric(pane)).numbers(*n, sample);
            }
            if let Some(CategoryForm::Learning { n, sample }) = &signal.category {
                let key = (model.to_string(), name.clone(), true);
                self.learners.entry(key).or_insert_with(|| Learner::categories(pane)).texts(*n, sample);
            }
        }
        // A pair can lie up to `early` beyond the outcome that the look-ahead has let in.
        let margin = if kind == PaneKind::Pair { definitions.pane.panes_in(definitions.join.early) + 1 } else { 0 };
        let ahead = if planted(Bug::EdgesAtOnce) { 0 } else { definitions.look_ahead() };
        let effective_from = pane.offset(ahead + 1 + margin);
        let mut fixed: Vec<(String, Bins)> = Vec::new();
        for ((_, name, _), learner) in self.learners.iter_mut().filter(|(k, _)| k.0 == model && kind_of(&k.1) == kind) {
            fixed.extend(learner.fix(pane, definitions).map(|bins| (name.clone(), bins)));
        }
        for (signal, bins) in fixed {
            let record = EdgesRecord { model: model.to_string(), signal, kind: kind.into(), effective_from, bins };
            self.plan.observe(PlanRecord::Edges(record.clone()));
            self.edges.push(record.clone());
            effects.edges.push(record);
        }
    }

    #[allow(clippy::too_many_arguments)] // one segment's pane with everything it is judged by
    fn feed(
        &mut self,
        model: &str,
        pane: PaneId,
        segment: &Segment,
        summary: &CellSummary,
        rules: &Rules<'_>,
        kind: PaneKind,
        effects: &mut Effects,
    ) {
        let mut out = Vec::new();
        match &summary.counts {
            Counts::Input(c) if c.rows > 0 => {
                if segment.is_empty() {
                    let known = self.features.entry(model.to_string()).or_default();
                    known.extend(summary.signals.keys().filter(|k| k.starts_with("feature:")).cloned());
                }
                for feature in self.features.get(model).cloned().unwrap_or_default() {
                    let present = summary.signals.get(&feature).map_or(0, SignalSummary::present);
                    let name = format!("null:{}", feature.trim_start_matches("feature:"));
                    self.close_stream(
                        model,
                        segment,
                        name,
                        pane,
                        &Observed::Rate { n: c.rows, k: c.rows - present.min(c.rows) },
                        rules,
                        &mut out,
                    );
                }
            }
            Counts::Pair(c) if c.errors.n() > 0 => {
                self.close_stream(model, segment, "error".into(), pane, &Observed::Errors(&c.errors), rules, &mut out)
            }
            _ => {}
        }
        for (name, signal) in &summary.signals {
            self.feed_signal(model, segment, name, signal, pane, rules, &mut out);
        }
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    #[allow(clippy::too_many_arguments)]
    fn feed_signal(
        &mut self,
        model: &str,
        segment: &Segment,
        name: &str,
        signal: &SignalSummary,
        pane: PaneId,
        rules: &Rules<'_>,
        out: &mut Vec<crate::engine::alert::Alert>,
    ) {
        let edges = self.plan.numeric(model, name, pane);
        if let (Some(form), Some(edges)) = (&signal.numeric, edges) {
            let mut form = form.clone();
            form.to_bins(&edges);
            match form {
                NumericForm::Bins { version, bins } if version == edges.version => {
                    if bins.n > 0 {
                        self.close_stream(model, segment, name.into(), pane, &Observed::Numeric(&bins, &edges), rules, out);
                    }
                }
                _ => self.tally.mixed += 1,
            }
        }
        let categories = self.plan.categories(model, name, pane);
        if let (Some(form), Some(categories)) = (&signal.category, categories) {
            match form {
                CategoryForm::Counts { version, counts } if *version == categories.version => {
                    self.close_stream(model, segment, name.into(), pane, &Observed::Categorical(counts, &categories), rules, out);
                    let unseen = format!("unseen:{}", name.trim_start_matches("feature:"));
                    self.close_stream(model, segment, unseen, pane, &Observed::Rate { n: counts.n, k: counts.unseen }, rules, out);
                }
                _ => self.tally.mixed += 1,
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn close_stream(
        &mut self,
        model: &str,
        segment: &Segment,
        signal: String,
        pane: PaneId,
        seen: &Observed<'_>,
        rules: &Rules<'_>,
        out: &mut Vec<crate::engine::alert::Alert>,
    ) {
        let form = match seen {
            Observed::Numeric(..) => Form::Numeric,
            Observed::Categorical(..) => Form::Categorical,
            Observed::Rate { .. } => Form::Rate,
            Observed::Errors(_) => Form::Errors,
        };
        let key = StreamKey { model: model.to_string(), version: None, segment: segment.clone(), signal, form };
        self.streams.entry(key.clone()).or_insert_with(|| Stream::new(key)).close(pane, seen, rules, out);
    }
}

fn rows(summary: &CellSummary) -> u64 {
    match summary.counts {
        Counts::Input(c) => c.rows,
        Counts::Pair(c) => c.matched,
    }
}

fn segment_of(cell: &CellKey, by: &[String], dimensions: &[String]) -> Segment {
    by.iter()
        .map(|name| {
            let value = dimensions.iter().position(|d| d == name).and_then(|i| cell.values.get(i)).map_or("", String::as_str);
            (name.clone(), if value.is_empty() { MISSING_VALUE.to_string() } else { value.to_string() })
        })
        .collect()
}
