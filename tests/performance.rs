//! How well a model does, from counts by class and bins of scores: held against scikit-learn (tests/fixtures/performance/make.py made its
//! numbers), through the book and the bytes of a partial.

use driftline::codec::wire::{Kind, Reader};
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::book::{ABS_ERROR, BIAS, Book};
use driftline::engine::cell::Cells;
use driftline::engine::definitions::{ModelRules, Task};
use driftline::engine::join::{PairKind, Pairing};
use driftline::engine::partial::{Origin, read};
use driftline::engine::performance::{Performance, calibration, ranking, scoring};
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord};
use driftline::engine::summary::cell::{CellSummary, Counts};
use driftline::engine::summary::form::NumericForm;
use driftline::engine::types::{EpochSeq, EventTime, PaneId, Partition, RequestKey, class_hash};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;

#[path = "kit/offline.rs"]
mod offline;

const ORIGIN: Origin = Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 };

fn published() -> Value {
    serde_json::from_str(include_str!("fixtures/performance/sklearn.json")).unwrap()
}

fn classes(called: bool, observed: bool) -> [u64; 2] {
    [called, observed].map(|c| class_hash(Some(if c { "yes" } else { "no" })))
}

/// What comes out of the partial of one epoch with these pairs.
fn booked(model: &str, plan: &Plan, pairs: impl Iterator<Item = (f64, [u64; 2], f64)>) -> CellSummary {
    let mut definitions = offline::definitions("");
    definitions.models.insert("price".into(), ModelRules::of(Task::Regression));
    let (mut book, mut cells) = (Book::default(), Cells::default());
    let (cell, e) = (cells.intern(model, None, &[]), EventTime(0));
    for (i, (score, [label, outcome_label], outcome_value)) in pairs.enumerate() {
        let key = RequestKey::of(&i.to_string());
        book.paired(
            &Pairing { kind: PairKind::First, key, cell, time: e, e, score, label, outcome_label, outcome_value },
            &cells,
            &definitions,
            plan,
        );
    }
    let records = book.flush(ORIGIN, &cells, plan);
    read(&mut Reader::open_as(&records[0].1, Kind::Partial).unwrap()).unwrap().entries.remove(0).summary
}

fn performance(pairs: impl Iterator<Item = (f64, bool, bool)>) -> Performance {
    let summary = booked("m", &Plan::default(), pairs.map(|(score, called, observed)| (score, classes(called, observed), f64::NAN)));
    let Counts::Pair(counts) = &summary.counts else { panic!("pairs lie in pair panes") };
    let mut performance = Performance::default();
    performance.add(counts);
    performance
}

fn table(file: &str) -> Vec<BTreeMap<String, String>> {
    let path = format!("{}/data/car-loan/{file}.csv.zst", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap().read_to_string(&mut text).unwrap();
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

fn car_loan(file: &str) -> Performance {
    let late: Vec<_> = if file == "reference" { Vec::new() } else { table("analysis_target") };
    let late: BTreeMap<&str, &str> = late.iter().map(|r| (r["id"].as_str(), r["repaid"].as_str())).collect();
    let number = |text: &str| text.parse::<f64>().unwrap();
    let rows = table(file);
    performance(rows.iter().map(|r| {
        let observed = r.get("repaid").map_or_else(|| late[r["id"].as_str()], String::as_str);
        (number(&r["y_pred_proba"]), number(&r["y_pred"]) == 1.0, number(observed) == 1.0)
    }))
}

fn drawn(expected: &Value) -> Performance {
    let pairs = expected["score_called_observed"].as_array().unwrap();
    performance(pairs.iter().map(|p| (p[0].as_f64().unwrap(), p[1] == 1, p[2] == 1)))
}

fn assert_near(ours: f64, theirs: &Value, within: f64, what: &str) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what} is not in the fixture"));
    assert!((ours - theirs).abs() <= within, "{what}: {ours}, scikit-learn says {theirs}");
}

fn assert_same(name: &str, ours: &Performance, expected: &Value) {
    let (theirs, metrics) = (&expected["metrics"], BTreeMap::from_iter(ours.metrics()));
    assert_eq!(Some(metrics["pairs"] as u64), expected["pairs"].as_u64(), "{name}");
    for exact in ["accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy", "mcc", "brier"] {
        assert_near(metrics[exact], &theirs[exact], 1e-9, &format!("{name}: {exact}"));
    }
    let c = ours.confusion;
    for (same, rate) in [(c.accuracy(), "accuracy"), (c.precision(), "precision"), (c.recall(), "recall"), (c.specificity(), "specificity")]
    {
        assert_near(same.unwrap(), &theirs[rate], 1e-9, &format!("{name}: {rate} of the matrix"));
        assert!(metrics[&*format!("{rate}_low")] < metrics[rate] && metrics[rate] < metrics[&*format!("{rate}_high")], "{name}: {rate}");
    }
    assert_near(c.f_beta(2.0).unwrap(), &theirs["f2"], 1e-9, &format!("{name}: f2"));
    let auc = ranking::roc_auc(&ours.scores.by_class()).unwrap();
    assert_near(auc.value, &theirs["roc_auc"], auc.error.min(0.002), &format!("{name}: area under the curve"));
    assert_near(metrics["ece"], &theirs["ece"], 1.0 / 128.0, &format!("{name}: expected calibration error"));
    let curve = calibration::curve(&ours.scores.by_class());
    let their_curve = expected["curve"].as_array().unwrap();
    assert_eq!(curve.len(), their_curve.len(), "{name}: bins with pairs");
    for (ours, theirs) in curve.iter().zip(their_curve) {
        assert_near(ours.score, &theirs[0], 1.0 / 128.0 + 1e-9, &format!("{name}: score of a bin"));
        assert_near(ours.rate, &theirs[1], 1e-9, &format!("{name}: rate of the bin at {}", ours.score));
    }
}

#[test]
fn numbers_of_classifiers_are_those_of_scikit_learn() {
    let published = published();
    assert_same("drawn", &drawn(&published["drawn"]), &published["drawn"]);
    for file in ["reference", "analysis"] {
        assert_same(file, &car_loan(file), &published[file]);
    }
}

#[test]
fn log_loss_from_bins_is_near_where_no_score_is_certain() {
    let published = published();
    let ours = scoring::log_loss(&drawn(&published["drawn"]).scores.by_class()).unwrap();
    assert_near(ours, &published["drawn"]["metrics"]["log_loss"], 0.005, "log loss");
    // .00 and 1.00 that are wrong lose 36 nats there (its smallest probability) and 4.85 here
    let ours = scoring::log_loss(&car_loan("analysis").scores.by_class()).unwrap();
    assert!(ours < published["analysis"]["metrics"]["log_loss"].as_f64().unwrap(), "{ours}");
}

#[test]
fn numbers_of_a_regression_are_those_of_scikit_learn() {
    let published = &published()["numbers"];
    let mut plan = Plan::default();
    for (signal, sample) in [(ABS_ERROR, [0.0, 10.0, 25.0, 40.0, 90.0]), (BIAS, [-60.0, -10.0, 5.0, 20.0, 80.0])] {
        let bins = Bins::Numeric(numeric_edges(1, &sample));
        let record = EdgesRecord { model: "price".into(), signal: signal.into(), kind: PlanKind::Pair, effective_from: PaneId(0), bins };
        plan.observe(PlanRecord::Edges(record));
    }
    let pairs = published["predicted_observed"].as_array().unwrap().iter();
    let summary = booked("price", &plan, pairs.map(|p| (p[0].as_f64().unwrap(), [0; 2], p[1].as_f64().unwrap())));
    let mut performance = Performance::default();
    for (signal, add) in [(ABS_ERROR, Performance::add_absolute as fn(&mut Performance, &_, &_)), (BIAS, Performance::add_signed)] {
        let Some(NumericForm::Bins { bins, .. }) = &summary.signals[signal].numeric else { panic!("bins of {signal}") };
        add(&mut performance, bins, &plan.numeric("price", signal, PaneId(0)).unwrap());
    }
    let metrics = BTreeMap::from_iter(performance.metrics());
    assert_eq!(metrics["pairs"], 500.0);
    for name in ["mae", "rmse", "bias"] {
        assert_near(metrics[name], &published["metrics"][name], 1e-5, name); // steps of 2^-20 of the edges' spread
    }
}

#[test]
fn what_is_undefined_is_not_shown() {
    let names = |p: Performance| p.metrics().into_iter().map(|m| m.0).collect::<Vec<_>>();
    assert!(names(Performance::default()).is_empty());
    let all_positive = names(performance([(0.9, true, true), (0.2, false, true)].into_iter()));
    let undefined = ["specificity", "balanced_accuracy", "mcc", "roc_auc", "mae"];
    assert!(undefined.iter().all(|n| !all_positive.contains(n)) && all_positive.contains(&"recall"), "{all_positive:?}");
}
