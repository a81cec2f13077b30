//! The book keeps numbers in rows and counts them late, column by column. What it publishes is what counting each at once gives.

use driftline::codec::event::{Doubles, FeatureIx, Prediction, Value};
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::book::{ABS_ERROR, BIAS, Book, CALIBRATION, LABEL, SCORE, feature_signal};
use driftline::engine::cell::Cells;
use driftline::engine::join::{PairKind, Pairing};
use driftline::engine::partial::{Origin, PartialEntry, encode};
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord};
use driftline::engine::summary::category::Categories;
use driftline::engine::summary::cell::{CellSummary, Counts, InputCounts, PairCounts, SignalSummary};
use driftline::engine::summary::form::{CategoryForm, NumericForm};
use driftline::engine::types::{EpochSeq, EventTime, PaneId, Partition, RequestKey, Span, class_hash};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

const ORIGIN: Origin = Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 };
const PANE: PaneId = PaneId(0);
/// A regression among the definitions,
const MODEL: &str = "price";
/// and a binary model, whose positive class is `yes`.
const BINARY: &str = "fraud";

type Features = Vec<(FeatureIx, Value<'static>)>;
/// Neighbouring doubles: the first feature and the numbers.
type Runs = Vec<(FeatureIx, Vec<[u8; 8]>)>;

fn value() -> impl Strategy<Value = Value<'static>> {
    let odd = prop::sample::select(vec![f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300]);
    prop_oneof![
        6 => (-4i8..5).prop_map(|x| Value::Number(f64::from(x))),
        1 => odd.prop_map(Value::Number),
        1 => any::<u64>().prop_map(|bits| Value::Number(f64::from_bits(bits))),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => prop::sample::select(vec!["a", "b", "z"]).prop_map(|t| Value::Text(Cow::Borrowed(t))),
    ]
}

/// Features of a record: some of the first few, or a few of very many.
fn features() -> impl Strategy<Value = Features> {
    let of = |range: std::ops::Range<u32>, n: usize| {
        prop::collection::btree_map(range, value(), 0..n).prop_map(|m| m.into_iter().map(|(ix, v)| (FeatureIx(ix), v)).collect())
    };
    prop_oneof![3 => of(0..4, 5), 1 => of(0..200, 6)]
}

/// Numbers of neighbouring features, as a record of doubles has them, and all other features.
fn in_runs(features: &Features) -> (Features, Runs) {
    let (mut others, mut runs) = (Features::new(), Runs::new());
    for (ix, value) in features {
        let Value::Number(x) = value else {
            others.push((*ix, value.clone()));
            continue;
        };
        match runs.last_mut() {
            Some((first, numbers)) if first.0 as usize + numbers.len() == ix.0 as usize => numbers.push(x.to_le_bytes()),
            _ => runs.push((*ix, vec![x.to_le_bytes()])),
        }
    }
    (others, runs)
}

fn name(ix: FeatureIx) -> String {
    format!("f{}", ix.0)
}

/// Bins for the score, every third feature and both differences; categories for every second feature.
fn plan() -> Plan {
    let mut plan = Plan::default();
    let edges = || Bins::Numeric(numeric_edges(1, &[-2.0, -1.0, 0.0, 0.0, 1.0, 2.5]));
    let pinned = || Bins::Categories(Categories { version: 1, pinned: vec!["a".into(), "true".into()], known: vec!["b".into()] });
    let mut fix = |signal: String, kind, bins| {
        plan.observe(PlanRecord::Edges(EdgesRecord { model: MODEL.into(), signal, kind, effective_from: PANE, bins }))
    };
    fix(SCORE.into(), PlanKind::Input, edges());
    [ABS_ERROR, BIAS, CALIBRATION].iter().for_each(|signal| fix(signal.to_string(), PlanKind::Pair, edges()));
    (0..200).step_by(3).for_each(|ix| fix(feature_signal(&name(FeatureIx(ix))), PlanKind::Input, edges()));
    (0..200).step_by(2).for_each(|ix| fix(feature_signal(&name(FeatureIx(ix))), PlanKind::Input, pinned()));
    plan
}

/// Counts every value at once.
#[derive(Default)]
struct Plain(BTreeMap<Arc<str>, SignalSummary>);

impl Plain {
    fn number(&mut self, signal: &str, x: f64, hash: u64, plan: &Plan) {
        let edges = plan.numeric(MODEL, signal, PANE);
        let form = &mut self.0.entry(signal.into()).or_default().numeric;
        form.get_or_insert_with(|| NumericForm::empty(edges.as_deref())).add(x, hash, edges.as_deref());
    }

    fn text(&mut self, signal: &str, text: &str, hash: u64, plan: &Plan) {
        let categories = plan.categories(MODEL, signal, PANE);
        let form = &mut self.0.entry(signal.into()).or_default().category;
        form.get_or_insert_with(|| CategoryForm::empty(categories.as_deref())).add(text, hash, categories.as_deref());
    }
}

fn records(cells: &Cells, counts: Counts, plain: Plain, cell: driftline::engine::cell::CellId) -> Vec<(String, Vec<u8>)> {
    let entry = PartialEntry { pane: PANE, cell: cells.key(cell).clone(), summary: CellSummary { counts, signals: plain.0 } };
    encode(ORIGIN, MODEL, vec![entry]).into_iter().map(|bytes| (MODEL.to_string(), bytes)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_of_predictions_become_what_counting_each_value_gives(
        epochs in prop::collection::vec(prop::collection::vec((features(), prop::option::of(-3i8..4), any::<u64>()), 1..150), 1..3),
    ) {
        let (mut book, mut cells, plan) = (Book::default(), Cells::default(), plan());
        let cell = cells.intern(MODEL, None, &[]);
        for rows in epochs { // the second epoch has the first one's memory
            let mut plain = Plain::default();
            for (features, score, id) in &rows {
                let key = RequestKey(u128::from(*id) << 64);
                let (hash, score) = (key.sample_hash(), score.map(f64::from));
                let (others, runs) = if id % 2 == 0 { in_runs(features) } else { (features.clone(), vec![]) };
                let p = Prediction {
                    key, request_id: "".into(), time: EventTime(0), model: MODEL.into(), version: None,
                    score, label: Some("a".into()), dimensions: vec![], features: others,
                    doubles: runs.iter().map(|(first, numbers)| Doubles { first: *first, numbers }).collect(),
                };
                book.accepted(PANE, cell, &p, &plan, name);
                score.into_iter().for_each(|x| plain.number(SCORE, x, hash, &plan));
                plain.text(LABEL, "a", hash, &plan);
                for (ix, value) in features {
                    let signal = feature_signal(&name(*ix));
                    match value {
                        Value::Number(x) => plain.number(&signal, *x, hash, &plan),
                        Value::Bool(b) => plain.text(&signal, if *b { "true" } else { "false" }, hash, &plan),
                        Value::Text(t) => plain.text(&signal, t, hash, &plan),
                        Value::Null => {}
                    }
                }
            }
            let counts = Counts::Input(InputCounts { rows: rows.len() as u64, ..InputCounts::default() });
            prop_assert_eq!(book.flush(ORIGIN, &cells, &plan), records(&cells, counts, plain, cell));
        }
    }

    #[test]
    fn rows_of_differences_become_what_counting_each_value_gives(pairs in prop::collection::vec((-4i8..5, -4i8..5, any::<u64>()), 1..200)) {
        let (mut book, mut cells, plan) = (Book::default(), Cells::default(), plan());
        let cell = cells.intern(MODEL, None, &[]);
        let definitions = super::monitor::definitions();
        let (mut plain, mut counts) = (Plain::default(), PairCounts::default());
        for (score, outcome, id) in pairs {
            let (key, e) = (RequestKey(u128::from(id) << 64), EventTime(0));
            let (score, outcome_value) = (f64::from(score), f64::from(outcome));
            let pair = Pairing { kind: PairKind::First, key, cell, time: e, e, score, label: 0, outcome_label: 0, outcome_value };
            book.paired(&pair, &cells, &definitions, &plan);
            plain.number(ABS_ERROR, (score - outcome_value).abs(), key.sample_hash(), &plan);
            plain.number(BIAS, score - outcome_value, key.sample_hash(), &plan);
            counts.matched += 1;
        }
        prop_assert_eq!(book.flush(ORIGIN, &cells, &plan), records(&cells, Counts::Pair(counts), plain, cell));
    }

    #[test]
    fn pairs_of_a_binary_model_are_counted_by_class_age_and_score(
        pairs in prop::collection::vec((score(), prop::sample::select(CLASSES.to_vec()), prop::sample::select(CLASSES.to_vec()), 0i64..200_000), 1..150),
    ) {
        let (mut book, mut cells, plan) = (Book::default(), Cells::default(), Plan::default());
        let cell = cells.intern(BINARY, None, &[]);
        let definitions = super::monitor::definitions();
        let mut plain = Plain::default();
        let mut counts = PairCounts { matched: pairs.len() as u64, ..PairCounts::default() };
        for (i, (score, called, observed, age)) in pairs.into_iter().enumerate() {
            let (key, e) = (RequestKey((i as u128) << 64), EventTime(0));
            let [label, outcome_label] = [called, observed].map(class_hash);
            let time = e.minus(Span::seconds(age));
            let pair = Pairing { kind: PairKind::First, key, cell, time, e, score, label, outcome_label, outcome_value: f64::NAN };
            book.paired(&pair, &cells, &definitions, &plan);
            counts.delay_ms += age as u64 * 1_000;
            let Some(observed) = observed else { continue };
            let is = observed == "yes";
            if let Some(called) = called {
                counts.errors.add(Span::seconds(age), called != observed);
                match is {
                    true => counts.positives.add(Span::seconds(age), called != "yes"),
                    false => counts.negatives.add(Span::seconds(age), called == "yes"),
                }
            }
            if !score.is_nan() {
                counts.scores.add(score, is);
                if (0.0..=1.0).contains(&score) {
                    plain.number(CALIBRATION, if is { score - 1.0 } else { score }, key.sample_hash(), &plan);
                }
            }
        }
        let entry = PartialEntry { pane: PANE, cell: cells.key(cell).clone(), summary: CellSummary { counts: Counts::Pair(counts), signals: plain.0 } };
        let expected: Vec<_> = encode(ORIGIN, BINARY, vec![entry]).into_iter().map(|bytes| (BINARY.to_string(), bytes)).collect();
        prop_assert_eq!(book.flush(ORIGIN, &cells, &plan), expected);
    }
}

const CLASSES: [Option<&str>; 4] = [None, Some("yes"), Some("no"), Some("maybe")];

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..=1.0, 1 => prop::sample::select(vec![f64::NAN, 0.0, 1.0, -0.5, 1.5, f64::INFINITY])]
}
