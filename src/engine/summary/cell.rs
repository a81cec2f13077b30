//! What a cell's rows of one pane become: counts, and one summary per signal.
//!
//! Guarantees: merge is associative and commutative. A signal's nulls are not stored: they are the cell's rows less the present values.

use super::aged::AgedCounts;
use super::form::{CategoryForm, NumericForm};
use super::numeric::NumericEdges;
use super::scores::ScoreCounts;
use crate::codec::wire::{Malformed, Reader, Writer};
use crate::engine::types::PaneKind;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The values of one signal: numbers and texts apart, so that its form is no matter of which came first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalSummary {
    /// Its numbers.
    pub numeric: Option<NumericForm>,
    /// Its texts and booleans.
    pub category: Option<CategoryForm>,
}

impl SignalSummary {
    /// Values seen.
    pub fn present(&self) -> u64 {
        self.numeric.as_ref().map_or(0, NumericForm::present) + self.category.as_ref().map_or(0, CategoryForm::present)
    }
}

/// Counts of an input pane of a cell, by name in the order they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputCounts {
    /// Accepted predictions.
    pub rows: u64,
    /// Late predictions.
    pub late: u64,
    /// Predictions with the id of an earlier one.
    pub duplicates: u64,
}

/// Counts of a pair pane of a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairCounts {
    /// First outcomes of predictions.
    pub matched: u64,
    /// Further outcomes that say the same.
    pub duplicates: u64,
    /// Further outcomes that say something else.
    pub conflicting: u64,
    /// Predictions whose window passed without an outcome.
    pub unlabelled: u64,
    /// Outcomes without prediction (in the cell of no model).
    pub orphans: u64,
    /// The same from before the first prediction.
    pub before_start: u64,
    /// Sum of label delays of `matched`, ms (early outcomes count 0).
    pub delay_ms: u64,
    /// Pairs and errors by label age.
    pub errors: AgedCounts,
    /// Of a binary model: pairs whose observed class is the positive one; the errors were called something else.
    pub positives: AgedCounts,
    /// And those whose observed class is another; the errors were called positive.
    pub negatives: AgedCounts,
    /// Scores by observed class.
    pub scores: ScoreCounts,
}

impl PairCounts {
    /// Wrong ones by label age, by the name of their signal: of all pairs, of the positive, of the others, of those called positive.
    pub fn error_rates(&self) -> [(&'static str, AgedCounts); 4] {
        let (missed, false_alarms) = (self.positives, self.negatives);
        let mut called = AgedCounts { errors: false_alarms.errors, pairs: false_alarms.errors };
        for (pairs, (of, wrong)) in called.pairs.iter_mut().zip(missed.pairs.iter().zip(missed.errors)) {
            *pairs += of.saturating_sub(wrong);
        }
        [("error", self.errors), ("miss_rate", missed), ("false_positive_rate", false_alarms), ("false_discovery_rate", called)]
    }

    /// Whether anything is known by class: only then are those counts written.
    pub fn has_classes(&self) -> bool {
        self.positives.n() > 0 || self.negatives.n() > 0 || !self.scores.is_empty()
    }
}

/// Counts of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // a box would cost an allocation for each cell of each pane
pub enum Counts {
    /// Of an input pane.
    Input(InputCounts),
    /// Of a pair pane.
    Pair(PairCounts),
}

impl From<InputCounts> for Counts {
    fn from(counts: InputCounts) -> Counts {
        Counts::Input(counts)
    }
}

impl From<PairCounts> for Counts {
    fn from(counts: PairCounts) -> Counts {
        Counts::Pair(counts)
    }
}

impl Counts {
    /// The kind of pane that has such counts.
    pub fn kind(&self) -> PaneKind {
        match self {
            Counts::Input(_) => PaneKind::Input,
            Counts::Pair(_) => PaneKind::Pair,
        }
    }

    /// Of the same kind, without anything.
    pub fn empty(&self) -> Counts {
        match self {
            Counts::Input(_) => Counts::Input(InputCounts::default()),
            Counts::Pair(_) => Counts::Pair(PairCounts::default()),
        }
    }

    /// Adds what another cell summary of the same kind has seen.
    pub fn merge(&mut self, other: &Counts) {
        match (self, other) {
            (Counts::Input(a), Counts::Input(b)) => {
                a.rows += b.rows;
                a.late += b.late;
                a.duplicates += b.duplicates;
            }
            (Counts::Pair(a), Counts::Pair(b)) => {
                a.matched += b.matched;
                a.duplicates += b.duplicates;
                a.conflicting += b.conflicting;
                a.unlabelled += b.unlabelled;
                a.orphans += b.orphans;
                a.before_start += b.before_start;
                a.delay_ms = a.delay_ms.saturating_add(b.delay_ms);
                a.errors.merge(&b.errors);
                a.positives.merge(&b.positives);
                a.negatives.merge(&b.negatives);
                a.scores.merge(&b.scores);
            }
            _ => debug_assert!(false, "input and pair panes do not merge"),
        }
    }
}

/// The summary of one cell in one pane.
#[derive(Clone, Debug, PartialEq)]
pub struct CellSummary {
    /// Its counts.
    pub counts: Counts,
    /// Its signals by name; names are shared between summaries.
    pub signals: BTreeMap<Arc<str>, SignalSummary>,
}

impl CellSummary {
    /// Adds another summary of the same cell (or of a cell of the same segment) and pane. `edges`: those of a signal in that pane.
    pub fn merge(&mut self, other: &CellSummary, edges: impl Fn(&str) -> Option<Rc<NumericEdges>>) {
        self.counts.merge(&other.counts);
        for (name, signal) in &other.signals {
            let mine = self.signals.entry(name.clone()).or_default();
            match (&mut mine.numeric, &signal.numeric) {
                (Some(a), Some(b)) => a.merge(b, || edges(name)),
                (none @ None, Some(b)) => *none = Some(b.clone()),
                _ => {}
            }
            match (&mut mine.category, &signal.category) {
                (Some(a), Some(b)) => a.merge(b),
                (none @ None, Some(b)) => *none = Some(b.clone()),
                _ => {}
            }
        }
    }
}

impl SignalSummary {
    /// Adds a signal that stands on the wire. `edges`: those of the signal in its pane.
    pub fn merge_read(&mut self, r: &mut Reader<'_>, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) -> Result<(), Malformed> {
        let forms = r.byte()?;
        if forms & 1 != 0 {
            match &mut self.numeric {
                Some(mine) => mine.merge_read(r, edges)?,
                none => *none = Some(NumericForm::read(r)?),
            }
        }
        if forms & 2 != 0 {
            let theirs = CategoryForm::read(r)?;
            match &mut self.category {
                Some(mine) => mine.merge(&theirs),
                none => *none = Some(theirs),
            }
        }
        Ok(())
    }
}

/// Writes counts; those by class only if there are any.
pub fn write_counts(w: &mut Writer, counts: &Counts) {
    match counts {
        Counts::Input(c) => [c.rows, c.late, c.duplicates].iter().for_each(|v| w.uint(*v)),
        Counts::Pair(c) => {
            [c.matched, c.duplicates, c.conflicting, c.unlabelled, c.orphans, c.before_start, c.delay_ms].iter().for_each(|v| w.uint(*v));
            c.errors.write(w);
            if c.has_classes() {
                c.positives.write(w);
                c.negatives.write(w);
                c.scores.write(w);
            }
        }
    }
}

/// Reads counts of an input pane.
pub fn read_input_counts(r: &mut Reader<'_>) -> Result<InputCounts, Malformed> {
    Ok(InputCounts { rows: r.tally()?, late: r.tally()?, duplicates: r.tally()? })
}

/// Reads counts of a pair pane. `classes`: those by class follow.
pub fn read_pair_counts(r: &mut Reader<'_>, classes: bool) -> Result<PairCounts, Malformed> {
    let mut c = PairCounts {
        matched: r.tally()?,
        duplicates: r.tally()?,
        conflicting: r.tally()?,
        unlabelled: r.tally()?,
        orphans: r.tally()?,
        before_start: r.tally()?,
        delay_ms: r.uint()?,
        errors: AgedCounts::read(r)?,
        ..PairCounts::default()
    };
    if classes {
        (c.positives, c.negatives, c.scores) = (AgedCounts::read(r)?, AgedCounts::read(r)?, ScoreCounts::read(r)?);
        if !c.has_classes() {
            return Err(Malformed::Value("counts by class without any pair"));
        }
    }
    Ok(c)
}
