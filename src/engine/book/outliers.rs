//! Scores of predictions: how far out their numbers are together (`loda`), and the rarities of everything else, added up; and which of them
//! are outliers.
//!
//! Guarantees: a score depends on the prediction's values and on what the plan says for its pane, on nothing else: not on the order of
//! features, not on other predictions, not on how they are read. The features that count are those whose rarity held when scores
//! began to be compared: a feature that comes later moves no score.
//! Never: scores before the plan says how rare values are.
//! Comes from: `book::accepted`, `plan`. Goes to: the signal `outlier_score`, the outliers topic.

use super::names::SignalNames;
use super::{INPUT, LABEL, OUTLIER_SCORE, SCORE};
use crate::codec::event::{FeatureIx, Prediction, Value};
use crate::engine::baseline::loda::Projections;
use crate::engine::baseline::rarity::{NAT, Table};
use crate::engine::plan::Plan;
use crate::engine::types::PaneId;
use std::rc::Rc;

/// Features that an outlier's report names at most.
const REASONS: usize = 3;

/// What is known of rarity in a pane of a model, by place of the signal.
pub struct Scorer {
    model: String,
    pane: PaneId,
    /// From this pane on scores are compared; until then, the pane itself.
    anchor: PaneId,
    places: Vec<[Option<Rc<Table>>; 2]>,
    own: Option<Rc<Table>>,
    /// What scores numbers together, which of them each place holds, and room for a row.
    together: Option<Rc<Projections>>,
    axes: Vec<Option<usize>>,
    row: Vec<f64>,
}

const NUMBERS: usize = 0;
const TEXTS: usize = 1;

/// A prediction that lies far out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// How far out it is, in nats.
    pub score: f64,
    /// Share of the reference's predictions with a higher score.
    pub chance: f64,
    /// What made it so, most first.
    pub reasons: Vec<OutlierReason>,
}

/// A feature of an outlier.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierReason {
    /// The signal: `feature:NAME`, `score`, `label`.
    pub signal: String,
    /// Its value.
    pub value: OutlierValue,
    /// Its rarity, in nats.
    pub rarity: f64,
    /// Where most of a number's reference lies.
    pub usual: Option<(f64, f64)>,
}

/// A value in an outlier's report.
#[derive(Clone, Debug, PartialEq)]
pub enum OutlierValue {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Scorer {
    /// Of a pane of a model; `None` as long as nothing is known of it.
    pub fn of(plan: &Plan, model: &str, pane: PaneId) -> Option<Scorer> {
        if !plan.knows_rarity(model) {
            return None; // asked for each prediction until then: nothing is allocated
        }
        let since = plan.rare_since(model, OUTLIER_SCORE).filter(|since| *since <= pane);
        let own = since.and_then(|_| plan.rarity(model, OUTLIER_SCORE, false, pane));
        let (model, anchor) = (model.to_string(), since.unwrap_or(pane));
        let together = plan.together(&model, anchor);
        let row = vec![0.0; together.as_ref().map_or(0, |t| t.axes().len())];
        Some(Scorer { model, pane, anchor, places: Vec::new(), own, together, axes: Vec::new(), row })
    }

    /// Whether it is that of a pane of a model.
    pub fn is_of(&self, model: &str, pane: PaneId) -> bool {
        self.pane == pane && self.model == model
    }

    fn extend(&mut self, plan: &Plan, names: &SignalNames, width: usize) {
        for place in self.places.len()..width {
            let name = names.at(place);
            let rarity = |texts| plan.rarity(&self.model, name, texts, self.anchor).filter(|_| &**name != OUTLIER_SCORE);
            self.places.push([rarity(false), rarity(true)]);
            self.axes.push(self.together.as_ref().and_then(|t| t.axes().iter().position(|axis| axis.signal == **name)));
        }
    }

    /// The score in steps of 2^-20 nats; none if no value of the prediction has a known rarity.
    pub fn score(&mut self, p: &Prediction<'_>, plan: &Plan, names: &SignalNames, width: usize) -> Option<i64> {
        self.extend(plan, names, width);
        let (mut sum, mut known, mut row) = (0, false, std::mem::take(&mut self.row));
        row.fill(0.0);
        self.each(p, &mut |place, value, steps| {
            known = true;
            match (self.axes[place], value, &self.together) {
                (Some(j), Shown::Number(x), Some(together)) => row[j] = together.axes()[j].z(x),
                _ => sum += steps,
            }
        });
        sum += self.together.as_ref().map_or(0, |t| t.score(&row));
        self.row = row;
        known.then_some(sum)
    }

    /// Shows every value whose rarity is known: its place, the value, its rarity.
    fn each<'p>(&self, p: &'p Prediction<'_>, visit: &mut dyn FnMut(usize, Shown<'p>, i64)) {
        let mut number = |place: usize, x: f64| {
            if let Some([Some(table), _]) = self.places.get(place)
                && !x.is_nan()
            {
                visit(place, Shown::Number(x), table.of_number(x));
            }
        };
        p.score.into_iter().for_each(|x| number(0, x));
        p.doubles.iter().flat_map(|d| d.features()).for_each(|(ix, x)| number(place(ix), x));
        p.features.iter().for_each(|(ix, value)| {
            if let Value::Number(x) = value {
                number(place(*ix), *x);
            }
        });
        let mut text = |place: usize, text: &'p str| {
            if let Some([_, Some(table)]) = self.places.get(place) {
                visit(place, Shown::Text(text), table.of_text(text));
            }
        };
        p.label.iter().for_each(|label| text(1, label));
        p.features.iter().for_each(|(ix, value)| match value {
            Value::Text(t) => text(place(*ix), t),
            Value::Bool(b) => text(place(*ix), if *b { "true" } else { "false" }),
            _ => {}
        });
    }

    /// What to report, if no more than `share` of the reference lies as far out.
    pub fn outlier(&self, steps: i64, share: f64, p: &Prediction<'_>, names: &SignalNames) -> Option<Outlier> {
        let score = steps as f64 / NAT;
        let chance = self.own.as_ref()?.share_above(score);
        (chance <= share).then(|| Outlier { score, chance, reasons: self.reasons(p, names) })
    }

    fn reasons(&self, p: &Prediction<'_>, names: &SignalNames) -> Vec<OutlierReason> {
        let mut all: Vec<(i64, usize, Shown<'_>)> = Vec::new();
        self.each(p, &mut |place, value, steps| all.push((steps, place, value)));
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| names.at(a.1).cmp(names.at(b.1))));
        let reason = |(steps, place, value): (i64, usize, Shown<'_>)| OutlierReason {
            signal: names.at(place).to_string(),
            usual: self.places[place][if matches!(value, Shown::Number(_)) { NUMBERS } else { TEXTS }].as_ref().and_then(|t| t.usual()),
            value: match value {
                Shown::Number(x) => OutlierValue::Number(x),
                Shown::Text(t) => OutlierValue::Text(t.to_string()),
            },
            rarity: steps as f64 / NAT,
        };
        all.into_iter().take(REASONS).map(reason).collect()
    }
}

#[derive(Clone, Copy)]
enum Shown<'a> {
    Number(f64),
    Text(&'a str),
}

fn place(ix: FeatureIx) -> usize {
    debug_assert!(INPUT[0] == SCORE && INPUT[1] == LABEL);
    INPUT.len() + ix.0 as usize
}
