//! Closing a pane: cells become segments, segments feed streams, samples feed learners.

use super::chunks::{of_learner, of_stream};
use super::fairness::SELECTION;
use super::learn::{Fixed, Learner, has_begun, published};
use super::shared::{Closing, Segment};
use super::{Effects, Kept, Monitor, Raised, at};

use crate::engine::baseline::volume::Volume;
use crate::engine::book::OUTLIER_SCORE;
use crate::engine::cell::CellKey;
use crate::engine::definitions::Definitions;
use crate::engine::detect::stream::{Form, Observed, Rules, Stream, StreamKey};
use crate::engine::plan::{EdgesRecord, PlanRecord};
use crate::engine::summary::cell::{CellSummary, Counts, SignalSummary};
use crate::engine::summary::form::{CategoryForm, NumericForm};
use crate::engine::types::{PaneId, PaneKind};
use crate::planted::{Bug, planted};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a segment value is called where predictions had none.
pub const MISSING_VALUE: &str = "(none)";

/// The kind of pane that a signal is summarised in.
pub fn kind_of(signal: &str) -> PaneKind {
    match signal {
        "error" | "miss_rate" | "false_positive_rate" | "false_discovery_rate" => PaneKind::Pair,
        "abs_error" | "bias" | "calibration" | LABELS => PaneKind::Pair,
        s if s.starts_with("fairness:") && s != SELECTION => PaneKind::Pair,
        _ => PaneKind::Input,
    }
}

/// Signal of the share of predictions that are far out.
const OUTLIERS: &str = "outliers";

/// Signal of predictions a pane.
const VOLUME: &str = "volume";
/// Signal of pairs a pane.
pub(super) const LABELS: &str = "labels";

/// The signal that counts the rows of a kind of pane.
fn counted(kind: PaneKind) -> &'static str {
    match kind {
        PaneKind::Input => VOLUME,
        PaneKind::Pair => LABELS,
    }
}

impl Monitor {
    /// Closes all panes of a kind up to `through`, one after the other: what is in it, then those who count rows and found none and limits
    /// without events, then reminders that fall due. So it is no matter which mark closes a pane. Panes in which nothing of this happens cost nothing.
    pub(super) fn close_kind(&mut self, kind: PaneKind, through: PaneId, effects: &mut Effects) {
        let Some(closed) = &mut self.closed else { return };
        let mut next = closed[at(kind)].offset(1);
        closed[at(kind)] = through.max(closed[at(kind)]);
        while next <= through {
            self.begin_pane(kind, next, effects);
            let Some(force) = self.force.of(kind, next).cloned() else { return };
            let until = through.min(self.unchanged_until(kind, next));
            let content = self.open[at(kind)].first_key_value().map(|p| *p.0);
            let reminder = self.next_reminder(kind, force.rules().definitions).map(|due| due.max(next));
            let rows = self.awaits_rows(kind, next) || self.awaits_limits(kind, next, force.rules().definitions);
            let awaited = rows || self.awaits_drills(kind);
            let counting = awaited.then_some(next);
            let Some(pane) = [content, reminder, counting].into_iter().flatten().min().filter(|p| *p <= until) else {
                next = until.offset(1);
                continue;
            };
            if content == Some(pane) {
                let open = self.open[at(kind)].remove(&pane).unwrap_or_default();
                self.tally.panes[at(kind)] += 1;
                self.close_pane(kind, pane, open.cells, &force.rules(), effects);
            }
            self.close_without_rows(kind, pane, &force.rules(), effects);
            self.close_limits_without_events(kind, pane, &force.rules(), effects);
            self.close_drills(kind, pane, &force.rules(), effects);
            if reminder == Some(pane) {
                self.remind(kind, pane, &force.rules(), effects);
            }
            next = pane.offset(1);
        }
    }

    /// Whether the rows of a pane are counted: labels only as far as predictions are closed, since those that trickle in after the last
    /// prediction of all (the data ends, or the whole topic is silent) say nothing about labels.
    pub(super) fn counts_rows(&self, kind: PaneKind, pane: PaneId) -> bool {
        kind == PaneKind::Input || self.closed.is_some_and(|closed| pane <= closed[at(PaneKind::Input)])
    }

    /// Whether somebody counts rows to whom a pane without any would say something.
    fn awaits_rows(&self, kind: PaneKind, pane: PaneId) -> bool {
        self.counts_rows(kind, pane) && self.streams.counting(counted(kind)).any(|s| s.stream.awaits(pane) && self.takes(s.chunk))
    }

    /// A pane for those who count rows and for whom it held none.
    fn close_without_rows(&mut self, kind: PaneKind, pane: PaneId, rules: &Rules<'_>, effects: &mut Effects) {
        if !self.counts_rows(kind, pane) {
            return;
        }
        let (replaying, ages, now) = (self.replaying, &self.ages, self.now);
        let (mut out, none) = (Vec::new(), Observed::Volume(Volume::of_pane(0)));
        for s in self.streams.counting_mut(counted(kind)).filter(|s| s.stream.awaits(pane)) {
            if !replaying || ages.lacks(s.chunk, now) {
                s.stream.close(pane, &none, rules, &mut out);
            }
        }
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    fn next_reminder(&self, kind: PaneKind, definitions: &Definitions) -> Option<PaneId> {
        let mine = self.streams.iter().filter(|s| kind_of(&s.stream.key().signal) == kind && self.takes(s.chunk));
        mine.filter_map(|s| s.stream.next_reminder(definitions)).min()
    }

    fn remind(&mut self, kind: PaneKind, pane: PaneId, rules: &Rules<'_>, effects: &mut Effects) {
        let mut out = Vec::new();
        let (replaying, ages, now) = (self.replaying, &self.ages, self.now);
        let mine = |s: &Kept| kind_of(&s.stream.key().signal) == kind && (!replaying || ages.lacks(s.chunk, now));
        for s in self.streams.iter_mut().filter(|s| mine(s)) {
            s.stream.tick(pane, rules, &mut out);
        }
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    fn close_pane(
        &mut self,
        kind: PaneKind,
        pane: PaneId,
        cells: BTreeMap<CellKey, CellSummary>,
        rules: &Rules<'_>,
        effects: &mut Effects,
    ) {
        let definitions = rules.definitions;
        let mut models: BTreeMap<&str, Vec<(&CellKey, &CellSummary)>> = BTreeMap::new();
        for (key, summary) in &cells {
            self.count_labels(summary);
            if !key.model.is_empty() {
                models.entry(&key.model).or_default().push((key, summary));
            }
        }
        for (model, cells) in models {
            let segments = self.segments_of(kind, model, pane, &cells, definitions);
            if let Some(root) = segments.get(&Segment::new()) {
                self.learn(kind, model, pane, root, definitions, effects);
                self.remember(model, pane, root, definitions);
            }
            for (segment, summary) in &segments {
                self.feed(model, pane, segment, summary, rules, kind, effects);
            }
            let mut out = Vec::new();
            if kind == PaneKind::Pair && !segments.is_empty() {
                self.compare_versions((model, pane), &cells, rules, &mut out);
            }
            self.compare_groups((model, kind, pane), &segments, rules, &mut out);
            effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
        }
    }

    fn count_labels(&mut self, summary: &CellSummary) {
        if let Counts::Pair(c) = &summary.counts {
            self.tally.labels.0 += c.matched;
            self.tally.labels.1 += c.unlabelled;
            self.tally.labels.2 = self.tally.labels.2.saturating_add(c.delay_ms);
            self.tally.outside += c.scores.outside;
        }
    }

    /// Rolls cells up to the root and the configured segments. New segments are admitted largest first while there is room.
    fn segments_of(
        &mut self,
        kind: PaneKind,
        model: &str,
        pane: PaneId,
        cells: &[(&CellKey, &CellSummary)],
        definitions: &Definitions,
    ) -> BTreeMap<Segment, CellSummary> {
        let mut segments: BTreeMap<Segment, CellSummary> = BTreeMap::new();
        let closing = Closing { at: self.now, kind: kind.into(), pane };
        if !self.shared.has_room_for(model, definitions, closing) {
            self.tally.refused_models += 1;
            return segments;
        }
        for (key, summary) in cells {
            for by in std::iter::once(&Vec::new()).chain(&definitions.segments) {
                let Some(segment) = segment_of(key, by, &definitions.dimensions) else { continue };
                match segments.get_mut(&segment) {
                    Some(known) => known.merge(summary, |signal| self.plan.numeric(model, signal, pane)),
                    None => {
                        segments.insert(segment, (*summary).clone());
                    }
                }
            }
        }
        if !self.replaying {
            // whatever has pairs had predictions: input panes alone admit, so that it's no matter how far behind pair panes are
            let mine = segments.iter().filter(|(s, _)| kind == PaneKind::Input && !s.is_empty());
            let room = (definitions.segments.as_slice(), definitions.segment_cap as usize);
            self.shared.admit(model, mine.map(|(s, c)| (rows(c), s.clone())).collect(), room, closing);
        }
        let before = segments.len();
        segments.retain(|s, _| self.shared.is_admitted(model, s, closing));
        self.tally.refused_segments += (before - segments.len()) as u64;
        segments
    }

    fn learn(&mut self, kind: PaneKind, model: &str, pane: PaneId, root: &CellSummary, definitions: &Definitions, effects: &mut Effects) {
        if !has_begun(pane, definitions) {
            return;
        }
        for (name, signal) in &root.signals {
            if let Some(NumericForm::Learning { n, sample, .. }) = &signal.numeric {
                let key = (model.to_string(), name.to_string(), false);
                if self.takes_learner(&key) {
                    self.learners.entry(key).or_insert_with(|| Learner::numeric(pane)).numbers(*n, sample);
                }
            }
            if let Some(CategoryForm::Learning { n, sample }) = &signal.category {
                let key = (model.to_string(), name.to_string(), true);
                if self.takes_learner(&key) {
                    self.learners.entry(key).or_insert_with(|| Learner::categories(pane)).texts(*n, sample);
                }
            }
        }
        self.forget_learners();
        // A pair can lie up to `early` beyond the outcome that the look-ahead has let in.
        let margin = if kind == PaneKind::Pair { definitions.pane.panes_in(definitions.join.early) + 1 } else { 0 };
        let ahead = if planted(Bug::EdgesAtOnce) { 0 } else { definitions.look_ahead() };
        let effective_from = pane.offset(ahead + 1 + margin);
        let mut fixed: Vec<(String, Fixed)> = Vec::new();
        let (replaying, ages, now) = (self.replaying, &self.ages, self.now);
        for (key, learner) in self.learners.iter_mut().filter(|(k, _)| k.0 == model && kind_of(&k.1) == kind) {
            if !replaying || ages.lacks(of_learner(key), now) {
                fixed.extend(learner.fix(pane, definitions).map(|learnt| (key.1.clone(), learnt)));
            }
        }
        // a replay finds the same bins once more; they are known
        let outliers = definitions.outliers.is_some() && kind == PaneKind::Input;
        let together = self.plan.knows_together(model);
        for (signal, bins) in published(fixed, outliers, together).into_iter().filter(|_| !replaying) {
            let record = EdgesRecord { model: model.to_string(), signal, kind: kind.into(), effective_from, bins };
            self.plan.observe(PlanRecord::Edges(record.clone()));
            self.shared.edges.push(record.clone());
            self.shared.changed = true;
            effects.edges.push(record);
        }
    }

    fn takes_learner(&self, key: &super::LearnerKey) -> bool {
        self.takes(of_learner(key)) && !self.shared.profiles.fixes(key, self.now)
    }

    /// Those whose bins a file has given since.
    fn forget_learners(&mut self) {
        if !self.shared.profiles.is_empty() {
            let (replaying, ages, now, profiles) = (self.replaying, &self.ages, self.now, &self.shared.profiles);
            self.learners.retain(|key, _| !profiles.fixes(key, now) || replaying && !ages.lacks(of_learner(key), now));
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
        if rows(summary) > 0 && self.counts_rows(kind, pane) {
            let seen = Observed::Volume(Volume::of_pane(rows(summary)));
            self.close_stream(model, segment, counted(kind), pane, &seen, rules, &mut out);
        }
        match &summary.counts {
            Counts::Input(c) if c.rows > 0 => self.feed_nulls(model, pane, segment, summary, c.rows, rules, &mut out),
            Counts::Pair(c) => {
                for (signal, errors) in c.error_rates().iter().filter(|(_, e)| e.n() > 0) {
                    self.close_stream(model, segment, signal, pane, &Observed::Errors(errors), rules, &mut out);
                }
            }
            _ => {}
        }
        for (name, signal) in &summary.signals {
            self.feed_signal(model, segment, name, signal, pane, rules, &mut out);
        }
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    /// Null rates of all features that the model is known to have: a signal's nulls are the rows less its values.
    #[allow(clippy::too_many_arguments)]
    fn feed_nulls(
        &mut self,
        model: &str,
        pane: PaneId,
        segment: &Segment,
        summary: &CellSummary,
        rows: u64,
        rules: &Rules<'_>,
        out: &mut Vec<crate::engine::alert::Alert>,
    ) {
        if segment.is_empty() && !self.replaying {
            self.shared.add_features(model, summary.signals.keys().map(|k| &**k), pane);
        }
        let Some(features) = self.shared.take_features(model) else { return };
        let mut name = String::from("null:");
        for (feature, _) in features.iter().filter(|(_, from)| **from <= pane) {
            let present = summary.signals.get(feature.as_str()).map_or(0, SignalSummary::present);
            name.truncate("null:".len());
            name.push_str(feature.trim_start_matches("feature:"));
            let seen = Observed::Rate { n: rows, k: rows - present.min(rows) };
            self.close_stream(model, segment, &name, pane, &seen, rules, out);
        }
        self.shared.give_features_back(model, features);
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
            let mut form = Cow::Borrowed(form);
            if matches!(*form, NumericForm::Rows(_)) {
                form.to_mut().to_bins(&edges);
            }
            match &*form {
                NumericForm::Bins { version, bins } if *version == edges.version => {
                    if name == OUTLIER_SCORE {
                        let far_out = Observed::Rate { n: bins.n, k: bins.counts.last().copied().unwrap_or(0) };
                        self.close_stream(model, segment, OUTLIERS, pane, &far_out, rules, out);
                    } else if bins.n > 0 {
                        self.close_stream(model, segment, name, pane, &Observed::Numeric(bins, &edges), rules, out);
                    }
                }
                _ => self.tally.mixed += 1,
            }
        }
        let categories = self.plan.categories(model, name, pane);
        if let (Some(form), Some(categories)) = (&signal.category, categories) {
            match form {
                CategoryForm::Counts { version, counts } if *version == categories.version => {
                    self.close_stream(model, segment, name, pane, &Observed::Categorical(counts, &categories), rules, out);
                    let unseen = format!("unseen:{}", name.trim_start_matches("feature:"));
                    self.close_stream(model, segment, &unseen, pane, &Observed::Rate { n: counts.n, k: counts.unseen }, rules, out);
                }
                _ => self.tally.mixed += 1,
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn close_stream(
        &mut self,
        model: &str,
        segment: &Segment,
        signal: &str,
        pane: PaneId,
        seen: &Observed<'_>,
        rules: &Rules<'_>,
        out: &mut Vec<crate::engine::alert::Alert>,
    ) {
        if let Some(counted) = seen.counted() {
            self.close_limits((model, segment, signal), pane, counted, rules, out);
        }
        let form = match seen {
            Observed::Numeric(..) => Form::Numeric,
            Observed::Categorical(..) => Form::Categorical,
            Observed::Rate { .. } => Form::Rate,
            Observed::Errors(_) => Form::Errors,
            Observed::Volume(_) => Form::Volume,
            Observed::Gap(_) => Form::Gap,
            Observed::Disparity(_) => Form::Disparity,
        };
        let (replaying, now, ages) = (self.replaying, self.now, &self.ages);
        let takes = |chunk| !replaying || ages.lacks(chunk, now);
        let given = || self.shared.profiles.reference(model, signal, form, pane, &self.force).filter(|_| segment.is_empty());
        if let Some(kept) = self.streams.get_mut(model, None, segment, signal, form) {
            if takes(kept.chunk) {
                kept.stream.close_beside(given(), pane, seen, rules, out);
            }
            return;
        }
        let key = StreamKey { model: model.to_string(), version: None, segment: segment.clone(), signal: signal.to_string(), form };
        let chunk = of_stream(&key);
        if takes(chunk) {
            self.streams.insert(Kept { chunk, stream: Stream::new(key) }).stream.close_beside(given(), pane, seen, rules, out);
        }
    }
}

fn rows(summary: &CellSummary) -> u64 {
    match &summary.counts {
        Counts::Input(c) => c.rows,
        Counts::Pair(c) => c.matched,
    }
}

/// The segment of a cell; none if the cell is older than one of the dimensions.
fn segment_of(cell: &CellKey, by: &[String], dimensions: &[String]) -> Option<Segment> {
    let named = |name: &String| {
        let value = cell.values.get(dimensions.iter().position(|d| d == name)?)?;
        Some((name.clone(), if value.is_empty() { MISSING_VALUE.to_string() } else { value.clone() }))
    };
    by.iter().map(named).collect()
}
