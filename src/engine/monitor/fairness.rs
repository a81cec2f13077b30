//! Groups side by side: each against those that a rule of fairness compares it with, in the same panes.
//!
//! Guarantees: a group is compared once per pane and measure; rows without a value in one of the dimensions belong to no group.
//! Never: compares groups that the cap on segments has refused.
//! Comes from: segments of a closed pane. Goes to: streams of the form `disparity`, one per group and measure.

use super::Monitor;
use super::close::MISSING_VALUE;
use super::shared::Segment;
use crate::engine::alert::Alert;
use crate::engine::baseline::disparity::{Disparity, Limit};
use crate::engine::baseline::reference::Observed;
use crate::engine::definitions::{Fairness, ModelRules, Task};
use crate::engine::detect::stream::Rules;
use crate::engine::summary::aged::AgedCounts;
use crate::engine::summary::category::Categories;
use crate::engine::summary::cell::{CellSummary, Counts, PairCounts};
use crate::engine::summary::form::CategoryForm;
use crate::engine::types::{PaneId, PaneKind};
use std::collections::BTreeMap;

/// The signal of predicted classes.
const LABEL: &str = "label";

/// What is compared, by the name of its signal.
#[derive(Clone, Copy)]
enum Measure {
    /// How often the favourable class is predicted.
    Selection,
    /// Wrong classes.
    Error,
    /// Positives that were called something else.
    MissRate,
    /// Others that were called positive.
    FalsePositiveRate,
    /// The positive class is observed more often than for others with the same score.
    Underscored,
    /// Less often.
    Overscored,
}

impl Measure {
    fn of_panes(kind: PaneKind) -> &'static [Measure] {
        use Measure::{Error, FalsePositiveRate, MissRate, Overscored, Selection, Underscored};
        match kind {
            PaneKind::Input => &[Selection],
            PaneKind::Pair => &[Error, MissRate, FalsePositiveRate, Underscored, Overscored],
        }
    }

    fn signal(self) -> &'static str {
        match self {
            Measure::Selection => SELECTION,
            Measure::Error => "fairness:error",
            Measure::MissRate => "fairness:miss_rate",
            Measure::FalsePositiveRate => "fairness:false_positive_rate",
            Measure::Underscored => "fairness:underscored",
            Measure::Overscored => "fairness:overscored",
        }
    }

    fn limit(self, rule: &Fairness) -> Limit {
        match self {
            Measure::Selection => Limit::Ratio(rule.ratio),
            _ => Limit::Difference(rule.difference),
        }
    }

    /// Events and those with the property, by stratum. Empty if nothing is known.
    fn strata(self, summary: &CellSummary, selected: Option<&Selected>) -> Vec<(u64, u64)> {
        match (self, &summary.counts) {
            (Measure::Selection, Counts::Input(_)) => selected.and_then(|s| s.count(summary)).into_iter().collect(),
            (Measure::Error, Counts::Pair(c)) => by_age(&c.errors),
            (Measure::MissRate, Counts::Pair(c)) => by_age(&c.positives),
            (Measure::FalsePositiveRate, Counts::Pair(c)) => by_age(&c.negatives),
            (Measure::Underscored, Counts::Pair(c)) => by_score(c, true),
            (Measure::Overscored, Counts::Pair(c)) => by_score(c, false),
            _ => Vec::new(),
        }
    }
}

/// The signal of predicted favourable classes.
pub(super) const SELECTION: &str = "fairness:selection";

fn by_age(counts: &AgedCounts) -> Vec<(u64, u64)> {
    if counts.n() == 0 { Vec::new() } else { counts.pairs.iter().copied().zip(counts.errors).collect() }
}

fn by_score(counts: &PairCounts, positive: bool) -> Vec<(u64, u64)> {
    if counts.scores.n() == 0 {
        return Vec::new();
    }
    let [negatives, positives] = counts.scores.by_class();
    let with = if positive { positives } else { negatives };
    (0..with.len()).map(|bin| (negatives[bin] + positives[bin], with[bin])).collect()
}

/// Where the favourable class is counted.
struct Selected {
    version: u32,
    place: usize,
}

impl Selected {
    fn find(rules: &ModelRules, categories: &Categories) -> Option<Selected> {
        let positive = rules.positive.as_ref().filter(|_| rules.task == Task::Binary);
        let favourable = rules.favourable.as_ref().or(positive)?;
        let place = categories.pinned.iter().position(|class| class == favourable)?;
        Some(Selected { version: categories.version, place })
    }

    fn count(&self, summary: &CellSummary) -> Option<(u64, u64)> {
        match summary.signals.get(LABEL)?.category.as_ref()? {
            CategoryForm::Counts { version, counts } if *version == self.version => Some((counts.n, counts.counts[self.place])),
            _ => None,
        }
    }
}

fn add(sum: &mut Vec<(u64, u64)>, more: &[(u64, u64)]) {
    sum.resize(sum.len().max(more.len()), (0, 0));
    for (mine, theirs) in sum.iter_mut().zip(more) {
        *mine = (mine.0 + theirs.0, mine.1 + theirs.1);
    }
}

/// What is left of `all` without `part`, which is in it.
fn without(all: &[(u64, u64)], part: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let of = |i: usize| part.get(i).copied().unwrap_or((0, 0));
    all.iter().enumerate().map(|(i, a)| (a.0 - of(i).0, a.1 - of(i).1)).collect()
}

impl Monitor {
    /// Feeds the differences between groups in a pane to their streams.
    pub(super) fn compare_groups(
        &mut self,
        (model, kind, pane): (&str, PaneKind, PaneId),
        segments: &BTreeMap<Segment, CellSummary>,
        rules: &Rules<'_>,
        out: &mut Vec<Alert>,
    ) {
        if rules.definitions.fairness.is_empty() {
            return;
        }
        let categories = if kind == PaneKind::Input { self.plan.categories(model, LABEL, pane) } else { None };
        let selected = categories.and_then(|c| Selected::find(&rules.definitions.model(model), &c));
        for rule in &rules.definitions.fairness {
            let is_group = |s: &Segment| {
                s.len() == rule.groups.len() && rule.groups.iter().all(|g| s.get(g).is_some_and(|value| value != MISSING_VALUE))
            };
            let groups: Vec<(&Segment, &CellSummary)> = segments.iter().filter(|(s, _)| is_group(s)).collect();
            for measure in Measure::of_panes(kind) {
                self.compare_by(*measure, rule, &groups, selected.as_ref(), (model, pane), rules, out);
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // one measure of one pane with everything it is judged by
    fn compare_by(
        &mut self,
        measure: Measure,
        rule: &Fairness,
        groups: &[(&Segment, &CellSummary)],
        selected: Option<&Selected>,
        (model, pane): (&str, PaneId),
        rules: &Rules<'_>,
        out: &mut Vec<Alert>,
    ) {
        let counted: Vec<(&Segment, Vec<(u64, u64)>)> = groups.iter().map(|(s, c)| (*s, measure.strata(c, selected))).collect();
        let is_reference = |group: &Segment| rule.reference.as_ref().is_some_and(|values| values.iter().eq(group.values()));
        let mut compared_with = Vec::new();
        for (_, strata) in counted.iter().filter(|(group, _)| rule.reference.is_none() || is_reference(group)) {
            add(&mut compared_with, strata);
        }
        for (group, strata) in counted.iter().filter(|(group, strata)| !strata.is_empty() && !is_reference(group)) {
            let others = if rule.reference.is_none() { without(&compared_with, strata) } else { compared_with.clone() };
            let seen = Disparity::between(strata, &others, measure.limit(rule));
            if seen.gap.n > 0 {
                self.close_stream(model, group, measure.signal(), pane, &Observed::Disparity(seen), rules, out);
            }
        }
    }
}
