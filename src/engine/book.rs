//! The join task's book of one epoch: partial summaries by (pane, cell), flushed with each epoch.
//!
//! Guarantees: an event touches one entry; between epochs the book is empty, so nothing of it needs a journal.
//! Never: decides a verdict, sums floating point numbers.
//! Comes from: `join` (verdicts), `codec` (values), `plan` (bins in force). Goes to: `partial`.

use super::cell::{CellId, CellKey, Cells};
use super::definitions::{Definitions, Task};
use super::join::{Decision, PairKind, Pairing};
use super::partial::{Origin, PartialEntry, encode};
use super::plan::Plan;
use super::summary::category::Categories;
use super::summary::cell::{CellSummary, Counts, InputCounts, PairCounts, SignalSummary};
use super::summary::form::{CategoryForm, NumericForm};
use super::summary::numeric::NumericEdges;
use super::types::{EventTime, PaneId, PaneKind, RequestKey, Span};
use crate::codec::event::{FeatureIx, Prediction, Value};
use crate::planted::{Bug, planted};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Signal of the score.
pub const SCORE: &str = "score";
/// Signal of the predicted class.
pub const LABEL: &str = "label";
/// Signal of |score − observed|.
pub const ABS_ERROR: &str = "abs_error";
/// Signal of score − observed.
pub const BIAS: &str = "bias";

/// The signal of a feature.
pub fn feature_signal(name: &str) -> String {
    format!("feature:{name}")
}

#[derive(Default)]
struct Accumulator {
    numeric: Option<(NumericForm, Option<Rc<NumericEdges>>)>,
    category: Option<(CategoryForm, Option<Rc<Categories>>)>,
}

impl Accumulator {
    fn number(&mut self, x: f64, hash: u64, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) {
        let (form, edges) = self.numeric.get_or_insert_with(|| {
            let edges = edges();
            (NumericForm::empty(edges.as_deref()), edges)
        });
        form.add(x, hash, edges.as_deref());
    }

    fn text(&mut self, value: &str, hash: u64, categories: impl FnOnce() -> Option<Rc<Categories>>) {
        let (form, categories) = self.category.get_or_insert_with(|| {
            let categories = categories();
            (CategoryForm::empty(categories.as_deref()), categories)
        });
        form.add(value, hash, categories.as_deref());
    }

    /// `None` if nothing was seen.
    fn summary(self) -> Option<SignalSummary> {
        (self.numeric.is_some() || self.category.is_some())
            .then(|| SignalSummary { numeric: self.numeric.map(|n| n.0), category: self.category.map(|c| c.0) })
    }
}

struct InputEntry {
    counts: InputCounts,
    score: Accumulator,
    label: Accumulator,
    features: Vec<Accumulator>,
}

struct PairEntry {
    counts: PairCounts,
    abs_error: Accumulator,
    bias: Accumulator,
}

/// Cell of what belongs to no model (orphans); real cells' numbers stay below it.
const NOBODY: CellId = CellId(u32::MAX);

/// Partial summaries of one epoch.
#[derive(Default)]
pub struct Book {
    input: HashMap<(PaneId, CellId), InputEntry>,
    pair: HashMap<(PaneId, CellId), PairEntry>,
    names: SignalNames,
}

/// Names of signals, made once.
struct SignalNames {
    features: Vec<Arc<str>>,
    own: [Arc<str>; 4],
}

impl Default for SignalNames {
    fn default() -> Self {
        SignalNames { features: Vec::new(), own: [SCORE, LABEL, ABS_ERROR, BIAS].map(Arc::from) }
    }
}

impl SignalNames {
    /// Knows all features below `count`.
    fn extend(&mut self, count: usize, name: impl Fn(FeatureIx) -> String) {
        (self.features.len()..count).for_each(|ix| self.features.push(feature_signal(&name(FeatureIx(ix as u32))).into()));
    }
}

/// Names of features by their index.
pub type Names<'a> = &'a dyn Fn(FeatureIx) -> &'a str;

impl Book {
    /// True if nothing was booked.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.pair.is_empty()
    }

    /// Entries booked: a measure of the size of the next flush.
    pub fn len(&self) -> usize {
        self.input.len() + self.pair.len()
    }

    fn input(&mut self, pane: PaneId, cell: CellId) -> &mut InputEntry {
        self.input.entry((pane, cell)).or_insert_with(|| InputEntry {
            counts: InputCounts::default(),
            score: Accumulator::default(),
            label: Accumulator::default(),
            features: Vec::new(),
        })
    }

    fn pair(&mut self, pane: PaneId, cell: CellId) -> &mut PairEntry {
        self.pair.entry((pane, cell)).or_insert_with(|| PairEntry {
            counts: PairCounts::default(),
            abs_error: Accumulator::default(),
            bias: Accumulator::default(),
        })
    }

    /// An accepted prediction.
    pub fn accepted(&mut self, pane: PaneId, cell: CellId, p: &Prediction<'_>, plan: &Plan, name: impl Fn(FeatureIx) -> String) {
        let hash = p.key.sample_hash();
        let model = p.model.as_ref();
        let entry = self.input(pane, cell);
        entry.counts.rows += 1;
        if let Some(score) = p.score {
            entry.score.number(score, hash, || plan.numeric(model, SCORE, pane));
        }
        if let Some(label) = &p.label {
            entry.label.text(label, hash, || plan.categories(model, LABEL, pane));
        }
        for (ix, value) in &p.features {
            let at = ix.0 as usize;
            if entry.features.len() <= at {
                entry.features.resize_with(at + 1, Accumulator::default);
            }
            let accumulator = &mut entry.features[at];
            let signal = || feature_signal(&name(*ix));
            match value {
                Value::Null => {}
                Value::Number(x) => accumulator.number(*x, hash, || plan.numeric(model, &signal(), pane)),
                Value::Bool(b) => accumulator.text(if *b { "true" } else { "false" }, hash, || plan.categories(model, &signal(), pane)),
                Value::Text(t) => accumulator.text(t, hash, || plan.categories(model, &signal(), pane)),
            }
        }
    }

    /// A late prediction, counted in the pane of the watermark that it is below.
    pub fn late(&mut self, pane: PaneId, cell: CellId) {
        self.input(pane, cell).counts.late += 1;
    }

    /// A prediction with the id of an earlier one.
    pub fn duplicate(&mut self, pane: PaneId, cell: CellId) {
        self.input(pane, cell).counts.duplicates += 1;
    }

    /// A pair; it belongs to the pane of max(t_p, e).
    pub fn paired(&mut self, pair: &Pairing, cells: &Cells, definitions: &Definitions, plan: &Plan) {
        let pane = definitions.pane.pane_of(if planted(Bug::PairByOutcome) { pair.e } else { pair.time.max(pair.e) });
        let model = &cells.key(pair.cell).model;
        let task = definitions.models.get(model).map_or(Task::Unknown, |m| m.task);
        let entry = self.pair(pane, pair.cell);
        match pair.kind {
            PairKind::Duplicate => entry.counts.duplicates += 1,
            PairKind::Conflicting => entry.counts.conflicting += 1,
            PairKind::First => {
                let delay = pair.e.since(pair.time).max(Span::ZERO);
                entry.counts.matched += 1;
                entry.counts.delay_ms += delay.0 as u64;
                match task {
                    Task::Binary | Task::Multiclass if pair.label != 0 && pair.outcome_label != 0 => {
                        entry.counts.errors.add(delay, pair.label != pair.outcome_label)
                    }
                    Task::Regression if !pair.score.is_nan() && !pair.outcome_value.is_nan() => {
                        entry.difference(pair.score - pair.outcome_value, pair.key, model, pane, plan)
                    }
                    _ => {}
                }
            }
        }
    }

    /// What time has decided.
    pub fn decided(&mut self, decision: Decision, definitions: &Definitions) {
        let pane = |at: EventTime| definitions.pane.pane_of(at);
        match decision {
            Decision::Unlabelled { cell, at } => self.pair(pane(at), cell).counts.unlabelled += 1,
            Decision::Orphan { at } => self.pair(pane(at), NOBODY).counts.orphans += 1,
            Decision::BeforeStart { at } => self.pair(pane(at), NOBODY).counts.before_start += 1,
        }
    }

    /// Empties the book into records, by model in the order of names.
    pub fn flush(&mut self, origin: Origin, cells: &Cells, name: impl Fn(FeatureIx) -> String) -> Vec<(String, Vec<u8>)> {
        let mut models: BTreeMap<String, Vec<PartialEntry>> = BTreeMap::new();
        self.names.extend(self.input.values().map(|e| e.features.len()).max().unwrap_or(0), name);
        let names = &self.names;
        for ((pane, cell), e) in self.input.drain() {
            let cell = cells.key(cell).clone();
            let summary = CellSummary { counts: Counts::Input(e.counts), signals: e.signals(names) };
            models.entry(cell.model.clone()).or_default().push(PartialEntry { pane, cell, summary });
        }
        for ((pane, cell), e) in self.pair.drain() {
            let cell =
                if cell == NOBODY { CellKey { model: String::new(), version: None, values: Vec::new() } } else { cells.key(cell).clone() };
            let summary = CellSummary { counts: Counts::Pair(e.counts), signals: e.signals(names) };
            models.entry(cell.model.clone()).or_default().push(PartialEntry { pane, cell, summary });
        }
        models
            .into_iter()
            .flat_map(|(model, entries)| encode(origin, &model, entries).into_iter().map(move |bytes| (model.clone(), bytes)))
            .collect()
    }

    /// Which panes of `kind` have entries.
    pub fn panes(&self, kind: PaneKind) -> Vec<PaneId> {
        match kind {
            PaneKind::Input => self.input.keys().map(|k| k.0).collect(),
            PaneKind::Pair => self.pair.keys().map(|k| k.0).collect(),
        }
    }
}

impl InputEntry {
    fn signals(self, names: &SignalNames) -> BTreeMap<Arc<str>, SignalSummary> {
        let features = names.features.iter().zip(self.features);
        let own = names.own.iter().zip([self.score, self.label]);
        features.chain(own).filter_map(|(name, a)| Some((name.clone(), a.summary()?))).collect()
    }
}

impl PairEntry {
    fn difference(&mut self, difference: f64, key: RequestKey, model: &str, pane: PaneId, plan: &Plan) {
        let hash = key.sample_hash();
        self.abs_error.number(difference.abs(), hash, || plan.numeric(model, ABS_ERROR, pane));
        self.bias.number(difference, hash, || plan.numeric(model, BIAS, pane));
    }

    fn signals(self, names: &SignalNames) -> BTreeMap<Arc<str>, SignalSummary> {
        let own = names.own[2..].iter().zip([self.abs_error, self.bias]);
        own.filter_map(|(name, a)| Some((name.clone(), a.summary()?))).collect()
    }
}
