//! Outliers: a score depends on the values of a prediction and on what the plan says for its pane, and on nothing else.

use driftline::codec::event::{Doubles, FeatureIx, Prediction, Value};
use driftline::engine::baseline::edges::{categories, numeric_edges};
use driftline::engine::baseline::rarity::Rarity;
use driftline::engine::book::outliers::{Outlier, OutlierValue};
use driftline::engine::book::{Book, OUTLIER_SCORE, SCORE};
use driftline::engine::cell::Cells;
use driftline::engine::definitions::{Definitions, Outliers};
use driftline::engine::partial::{Origin, read};
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord, Versioned};
use driftline::engine::summary::form::NumericForm;
use driftline::engine::types::{EpochSeq, EventTime, PaneId, Partition, RequestKey};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Rarities of everything but `late` hold from here,
const KNOWN: PaneId = PaneId(10);
/// scores are compared from here,
const COMPARED: PaneId = PaneId(20);
/// and the rarity of `late` is known from here on.
const LATER: PaneId = PaneId(30);

fn sample(n: i32) -> Vec<f64> {
    (0..n).map(|i| f64::from(i % 1_000) / 10.0).collect()
}

fn plan(share: f64) -> Plan {
    let mut plan = Plan::default();
    let definitions = Definitions { outliers: Some(Outliers { share }), ..super::monitor::definitions() };
    plan.observe(PlanRecord::Definitions(Box::new(Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions })));
    let mut say = |signal: &str, effective_from, rarity| {
        let (model, signal, bins) = ("m".into(), signal.to_string(), Bins::Rarity(rarity));
        plan.observe(PlanRecord::Edges(EdgesRecord { model, signal, kind: PlanKind::Input, effective_from, bins }));
    };
    let numbers = |values: &[f64]| Rarity::of_numbers(&numeric_edges(1, values), values);
    for signal in ["feature:x", "feature:y", SCORE] {
        say(signal, KNOWN, numbers(&sample(6_400)));
    }
    let texts: BTreeMap<String, u64> = [("a", 900), ("b", 99), ("c", 1)].map(|(v, n)| (v.to_string(), n)).into();
    say("feature:t", KNOWN, Rarity::of_texts(&categories(1, &texts), &texts));
    say("feature:late", LATER, numbers(&sample(6_400)));
    say(OUTLIER_SCORE, COMPARED, numbers(&sample(6_400)));
    plan
}

const NAMES: [&str; 4] = ["x", "y", "t", "late"];

/// The score that is booked of a prediction, and what is reported of it.
fn scored(pane: PaneId, features: Vec<(FeatureIx, Value<'_>)>, doubles: Vec<Doubles<'_>>, plan: &Plan) -> (Option<f64>, Option<Outlier>) {
    let (mut book, mut cells) = (Book::default(), Cells::default());
    let cell = cells.intern("m", None, &[]);
    let p = Prediction {
        key: RequestKey::of("id"),
        request_id: "id".into(),
        time: EventTime(0),
        model: "m".into(),
        version: None,
        score: Some(50.0),
        label: None,
        dimensions: vec![],
        features,
        doubles,
    };
    book.accepted(pane, cell, &p, plan, |ix| NAMES[ix.0 as usize].to_string());
    let outlier = book.take_outlier();
    let records = book.flush(Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 }, &cells, plan);
    let partial = read(&mut driftline::codec::wire::Reader::open(&records[0].1).unwrap().1).unwrap();
    let signal = partial.entries[0].summary.signals.get(OUTLIER_SCORE).and_then(|s| s.numeric.clone());
    let score = signal.map(|form| match form {
        NumericForm::Learning { sample, .. } => *sample.values().next().unwrap(),
        other => panic!("no edges are known: {other:?}"),
    });
    (score, outlier)
}

fn features(x: f64, y: f64, t: &'static str) -> Vec<(FeatureIx, Value<'static>)> {
    vec![(FeatureIx(0), Value::Number(x)), (FeatureIx(1), Value::Number(y)), (FeatureIx(2), Value::Text(t.into()))]
}

proptest! {
    #[test]
    fn neither_the_order_of_features_nor_the_way_they_are_read_moves_a_score(
        x in -50.0f64..200.0, y in -50.0f64..200.0, t in prop::sample::select(vec!["a", "b", "c", "d"]), swap in any::<bool>(), pane in 10i64..40,
    ) {
        let plan = plan(0.001);
        let plain = scored(PaneId(pane), features(x, y, t), vec![], &plan);
        prop_assert!(plain.0.is_some());
        let mut other = features(x, y, t);
        other.reverse();
        other.swap(0, usize::from(swap));
        prop_assert_eq!(&scored(PaneId(pane), other, vec![], &plan), &plain);
        let numbers = [x.to_le_bytes(), y.to_le_bytes()];
        let run = Doubles { first: FeatureIx(0), numbers: &numbers };
        prop_assert_eq!(&scored(PaneId(pane), features(x, y, t).split_off(2), vec![run], &plan), &plain);
    }
}

#[test]
fn a_feature_that_comes_after_scores_are_compared_moves_no_score() {
    let plan = plan(0.001);
    let with = |pane: PaneId, late: f64| {
        let mut all = features(50.0, 50.0, "a");
        all.push((FeatureIx(3), Value::Number(late)));
        scored(pane, all, vec![], &plan).0.unwrap()
    };
    for pane in [KNOWN, COMPARED, LATER, LATER.offset(100)] {
        assert_eq!(with(pane, 1e9), with(pane, 50.0), "pane {}", pane.0);
    }
}

#[test]
fn before_rarities_are_known_nothing_is_scored_and_before_scores_are_compared_nothing_is_reported() {
    let plan = plan(0.001);
    let far = || features(1e6, -1e6, "never seen");
    assert_eq!(scored(KNOWN.offset(-1), far(), vec![], &plan), (None, None));
    let (score, outlier) = scored(COMPARED.offset(-1), far(), vec![], &plan);
    assert!(score.is_some() && outlier.is_none(), "{score:?} {outlier:?}");
    assert!(scored(COMPARED, far(), vec![], &plan).1.is_none(), "scores of the reference reach 100: that is not among the last thousandth");
}

#[test]
fn an_outlier_is_reported_with_what_makes_it_one_most_first() {
    let (score, outlier) = scored(COMPARED, features(1e9, 99.0, "c"), vec![], &plan(0.9));
    let outlier = outlier.expect("nine in ten are told");
    assert_eq!(Some(outlier.score), score);
    let reasons: Vec<&str> = outlier.reasons.iter().map(|r| r.signal.as_str()).collect();
    assert_eq!(reasons, ["feature:x", "feature:t", "feature:y"]);
    assert_eq!(outlier.reasons[0].value, OutlierValue::Number(1e9));
    assert_eq!(outlier.reasons[1].value, OutlierValue::Text("c".into()));
    let (low, high) = outlier.reasons[0].usual.unwrap();
    assert!(low < 3.0 && high > 97.0 && outlier.reasons[1].usual.is_none());
    assert!(scored(COMPARED, features(50.0, 50.0, "a"), vec![], &plan(0.001)).1.is_none());
}
