//! The join task's book of one epoch: partial summaries by (pane, cell), flushed with each epoch.
//!
//! Guarantees: an event touches one entry; between epochs the book is empty, so nothing of it needs a journal; what is published
//! depends on the events of each pane and cell alone, not on their order.
//! Never: decides a verdict, sums floating point numbers.
//! Comes from: `join` (verdicts), `codec` (values), `plan` (bins in force). Goes to: `partial`.

use super::baseline::rarity::NAT;
use super::cell::{CellId, CellKey, Cells};
use super::definitions::{Definitions, Outliers};
use super::join::{Decision, PairKind, Pairing};
use super::partial::{Encoder, Origin};
use super::plan::Plan;
use super::summary::cell::{Counts, InputCounts, PairCounts};
use super::summary::numeric::NumericEdges;
use super::types::{EventTime, PaneId, PaneKind, Span};
use crate::codec::event::{FeatureIx, Prediction, Value};
use crate::planted::{Bug, planted};
use hashbrown::HashMap;
use names::SignalNames;
use outliers::{Outlier, Scorer};
use rows::Rows;
use signal::{Column, Signal};
use std::rc::Rc;

mod names;
pub mod outliers;
mod pairs;
mod rows;
mod signal;

/// Signal of the score.
pub const SCORE: &str = "score";
/// Signal of the predicted class.
pub const LABEL: &str = "label";
/// Signal of |score − observed|.
pub const ABS_ERROR: &str = "abs_error";
/// Signal of score − observed.
pub const BIAS: &str = "bias";
/// Signal of score − 1 where the observed class is the positive one, of the score itself where it is another.
pub const CALIBRATION: &str = "calibration";

/// Signal of how far out predictions lie, in nats.
pub const OUTLIER_SCORE: &str = "outlier_score";

/// Places of signals among those of an input entry; features follow.
const INPUT: [&str; 3] = [SCORE, LABEL, OUTLIER_SCORE];
/// The same of a pair entry.
const PAIR: [&str; 3] = [ABS_ERROR, BIAS, CALIBRATION];

/// The signal of a feature.
pub fn feature_signal(name: &str) -> String {
    format!("feature:{name}")
}

/// What was booked of one cell in one pane.
#[derive(Default)]
struct Entry<C> {
    counts: C,
    rows: Rows,
    signals: Vec<Signal>,
}

/// Cell of what belongs to no model (orphans); real cells' numbers stay below it.
const NOBODY: CellId = CellId(u32::MAX);

/// Emptied entries that are kept for the next epoch at most,
const SPARE: usize = 256;
/// and how many bytes of rows each may hold: those of a model with thousands of features are given back.
const SPARE_BYTES: usize = 64 * 1024;

/// A record of a wide model that has only so many of its features, one in so many, is counted at once: rows would be mostly empty.
const SPARSE: (usize, usize) = (64, 4);

/// Partial summaries of one epoch.
pub struct Book {
    input: HashMap<(PaneId, CellId), Entry<InputCounts>>,
    pair: HashMap<(PaneId, CellId), Entry<PairCounts>>,
    input_names: SignalNames,
    pair_names: SignalNames,
    spare: Vec<Entry<InputCounts>>,
    column: Column,
    /// By pane and model, where outliers are looked for; the last one used at the end.
    scorers: Vec<Scorer>,
    outlier: Option<Outlier>,
}

impl Default for Book {
    fn default() -> Self {
        Book {
            input: HashMap::new(),
            pair: HashMap::new(),
            input_names: SignalNames::of(&INPUT),
            pair_names: SignalNames::of(&PAIR),
            spare: Vec::new(),
            column: Column::default(),
            scorers: Vec::new(),
            outlier: None,
        }
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

    fn input(&mut self, pane: PaneId, cell: CellId) -> &mut Entry<InputCounts> {
        self.input.entry((pane, cell)).or_insert_with(|| self.spare.pop().unwrap_or_default())
    }

    fn pair(&mut self, pane: PaneId, cell: CellId) -> &mut Entry<PairCounts> {
        self.pair.entry((pane, cell)).or_default()
    }

    /// How far out a prediction of a pane lies, if that is known; remembers it if it is an outlier.
    fn score(&mut self, pane: PaneId, p: &Prediction<'_>, plan: &Plan, width: usize, rule: Outliers) -> Option<i64> {
        let model = p.model.as_ref();
        match self.scorers.iter().rposition(|s| s.is_of(model, pane)) {
            Some(known) => {
                let last = self.scorers.len() - 1;
                self.scorers.swap(known, last);
            }
            None => self.scorers.push(Scorer::of(plan, model, pane)?),
        }
        let scorer = self.scorers.last_mut()?;
        let steps = scorer.score(p, plan, &self.input_names, width)?;
        self.outlier = scorer.outlier(steps, rule.share, p, &self.input_names);
        Some(steps)
    }

    /// The prediction that was accepted last, if it is an outlier.
    pub fn take_outlier(&mut self) -> Option<Outlier> {
        self.outlier.take()
    }

    /// An accepted prediction.
    pub fn accepted(&mut self, pane: PaneId, cell: CellId, p: &Prediction<'_>, plan: &Plan, name: impl Fn(FeatureIx) -> String) {
        let (hash, model) = (p.key.sample_hash(), p.model.as_ref());
        let singles = p.features.iter().map(|f| f.0.0 as usize + 1).max().unwrap_or(0);
        let doubles = p.doubles.iter().map(|d| d.first.0 as usize + d.numbers.len()).max().unwrap_or(0);
        let width = INPUT.len() + singles.max(doubles);
        self.input_names.extend(width, name);
        let far_out = plan.outliers().and_then(|rule| self.score(pane, p, plan, width, rule));
        let (names, column) = (&self.input_names, &mut self.column);
        let entry = self.input.entry((pane, cell)).or_insert_with(|| self.spare.pop().unwrap_or_default());
        entry.counts.rows += 1;
        entry.widen(width);
        let edges = |place: usize| plan.numeric(model, names.at(place), pane);
        let sparse = width > SPARSE.0 && p.feature_count() * SPARSE.1 < width;
        if !sparse && entry.rows.is_full(width) {
            entry.count(column, edges);
        }
        let Entry { rows, signals, .. } = entry;
        let mut row = if sparse { None } else { Some(rows.open(width, hash)) };
        let text = |place: usize, text: &str, signals: &mut [Signal]| {
            signals[place].text(text, hash, || plan.categories(model, names.at(place), pane))
        };
        if let Some(label) = &p.label {
            text(1, label, signals);
        }
        match &mut row {
            Some(row) => p.doubles.iter().for_each(|d| row.set_all(INPUT.len() + d.first.0 as usize, d.numbers)),
            None => {
                for (ix, x) in p.doubles.iter().flat_map(|d| d.features()) {
                    let place = INPUT.len() + ix.0 as usize;
                    signals[place].number(x, hash, || edges(place));
                }
            }
        }
        let mut number = |place: usize, x: f64, signals: &mut [Signal]| match &mut row {
            Some(row) => row.set(place, x),
            None => signals[place].number(x, hash, || edges(place)),
        };
        if let Some(score) = p.score {
            number(0, score, signals);
        }
        if let Some(steps) = far_out {
            number(2, steps as f64 / NAT, signals);
        }
        for (ix, value) in &p.features {
            let place = INPUT.len() + ix.0 as usize;
            match value {
                Value::Null => {}
                Value::Number(x) => number(place, *x, signals),
                Value::Bool(b) => text(place, if *b { "true" } else { "false" }, signals),
                Value::Text(t) => text(place, t, signals),
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
        let entry = self.pair.entry((pane, pair.cell)).or_default();
        match pair.kind {
            PairKind::Duplicate => entry.counts.duplicates += 1,
            PairKind::Conflicting => entry.counts.conflicting += 1,
            PairKind::First => {
                let delay = pair.e.since(pair.time).max(Span::ZERO);
                entry.counts.matched += 1;
                entry.counts.delay_ms += delay.0 as u64;
                let model = &cells.key(pair.cell).model;
                if let Some(rules) = plan.definitions_in(pane).unwrap_or(definitions).models.get(model) {
                    entry.judged(pair, delay, rules, &mut self.column, |place| plan.numeric(model, PAIR[place], pane));
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

    /// Empties the book into records, by model in the order of names. `plan`: it gives the panes of the book the bins that it gave them
    /// when they were booked.
    pub fn flush(&mut self, origin: Origin, cells: &Cells, plan: &Plan) -> Vec<(String, Vec<u8>)> {
        let nobody = CellKey { model: String::new(), version: None, values: Vec::new() };
        let key = |cell: CellId| if cell == NOBODY { &nobody } else { cells.key(cell) };
        let mut entries: Vec<(&CellKey, PaneId, Booked)> = Vec::with_capacity(self.len());
        entries.extend(self.input.drain().map(|((pane, cell), e)| (key(cell), pane, Booked::Input(e))));
        entries.extend(self.pair.drain().map(|((pane, cell), e)| (key(cell), pane, Booked::Pair(e))));
        entries.sort_by(|a, b| (&a.0.model, a.2.kind(), a.1, a.0).cmp(&(&b.0.model, b.2.kind(), b.1, b.0)));
        let mut records = Vec::new();
        for of_model in entries.chunk_by_mut(|a, b| a.0.model == b.0.model) {
            let model = of_model[0].0.model.as_str();
            let mut encoder = Encoder::new(origin, model);
            for (cell, pane, entry) in of_model {
                match entry {
                    Booked::Input(e) => e.write(&mut encoder, (*pane, cell), &self.input_names, &mut self.column, plan),
                    Booked::Pair(e) => e.write(&mut encoder, (*pane, cell), &self.pair_names, &mut self.column, plan),
                }
            }
            records.extend(encoder.finish().into_iter().map(|bytes| (model.to_string(), bytes)));
        }
        let room = SPARE.saturating_sub(self.spare.len());
        self.spare.extend(entries.into_iter().filter_map(|(_, _, e)| e.emptied()).take(room));
        self.scorers.clear();
        records
    }

    /// Which panes of `kind` have entries.
    pub fn panes(&self, kind: PaneKind) -> Vec<PaneId> {
        match kind {
            PaneKind::Input => self.input.keys().map(|k| k.0).collect(),
            PaneKind::Pair => self.pair.keys().map(|k| k.0).collect(),
        }
    }
}

/// An entry of either kind of pane.
#[allow(clippy::large_enum_variant)] // a box would cost an allocation for each entry of each epoch
enum Booked {
    Input(Entry<InputCounts>),
    Pair(Entry<PairCounts>),
}

impl Booked {
    fn kind(&self) -> PaneKind {
        match self {
            Booked::Input(_) => PaneKind::Input,
            Booked::Pair(_) => PaneKind::Pair,
        }
    }

    /// Its memory, for another input entry. Pair entries are small.
    fn emptied(self) -> Option<Entry<InputCounts>> {
        match self {
            Booked::Input(mut e) => {
                e.rows.clear();
                (e.rows.bytes() <= SPARE_BYTES).then_some(e)
            }
            Booked::Pair(_) => None,
        }
    }
}

impl<C> Entry<C> {
    fn widen(&mut self, width: usize) {
        if self.signals.len() < width {
            self.signals.resize_with(width, Signal::default);
        }
    }

    /// Counts what stands in rows, column by column.
    fn count(&mut self, column: &mut Column, edges: impl Fn(usize) -> Option<Rc<NumericEdges>>) {
        for (place, signal) in self.signals.iter_mut().enumerate().take(self.rows.width()) {
            signal.numbers(&mut self.rows, place, column, || edges(place));
        }
        self.rows.clear();
    }
}

impl<C: Default + Into<Counts>> Entry<C> {
    /// Writes the entry; its counts and signals are empty afterwards.
    fn write<'a>(
        &mut self,
        encoder: &mut Encoder<'a>,
        (pane, cell): (PaneId, &'a CellKey),
        names: &'a SignalNames,
        column: &mut Column,
        plan: &Plan,
    ) {
        for place in names.sorted().iter().copied() {
            let Some(signal) = self.signals.get_mut(place) else { continue };
            self.rows.values(place, &mut column.values);
            let name = names.at(place);
            let forms = signal.forms(column);
            if forms != 0 {
                let rows = (&mut self.rows, place);
                signal.write(encoder.signal(name, forms), rows, column, || plan.numeric(&cell.model, name, pane));
            }
        }
        encoder.entry(pane, cell, &std::mem::take(&mut self.counts).into());
    }
}
