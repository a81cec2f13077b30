//! Outliers on labelled sets: how well scores tell rare classes from the usual one, beside what scikit-learn and River make of the same rows.
//!
//! `tests/fixtures/outliers/make.py` made the sets and the reference values. No set is of real outliers: a rare class is one if it lies apart.

use driftline::codec::event::{FeatureIx, Prediction, Value};
use driftline::codec::wire::Reader;
use driftline::config::load_text;
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::baseline::loda::{Loda, Sampled};
use driftline::engine::baseline::rarity::Rarity;
use driftline::engine::book::{Book, OUTLIER_SCORE, feature_signal};
use driftline::engine::cell::Cells;
use driftline::engine::partial::{Origin, read};
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord, Versioned};
use driftline::engine::summary::form::NumericForm;
use driftline::engine::types::{EpochSeq, EventTime, PaneId, Partition, RequestKey};
use std::path::{Path, PathBuf};

const CONFIG: &str = "\
app: a
kafka: { brokers: nowhere }
predictions: { topic: p }
outcomes: { topic: o }
models: { m: { task: regression } }
outliers: {}
";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/outliers").join(name)
}

fn name(ix: usize) -> String {
    format!("{ix:02}")
}

/// Rows and whether each is of the rare class.
fn rows(set: &str) -> (Vec<Vec<f64>>, Vec<bool>) {
    let text = std::fs::read_to_string(fixture(&format!("{set}.csv"))).unwrap();
    let row = |line: &str| {
        let mut values: Vec<f64> = line.split(',').map(|v| v.parse().unwrap()).collect();
        let rare = values.pop() == Some(1.0);
        (values, rare)
    };
    text.lines().map(row).unzip()
}

/// What the plan says after the reference has been seen.
fn learnt(reference: &[Vec<f64>]) -> Plan {
    let mut plan = Plan::default();
    let definitions = load_text("c.yaml", CONFIG, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}")).definitions;
    plan.observe(PlanRecord::Definitions(Box::new(Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions })));
    let mut say = |signal: String, bins| {
        let (model, kind, effective_from) = ("m".to_string(), PlanKind::Input, PaneId(0));
        plan.observe(PlanRecord::Edges(EdgesRecord { model, signal, kind, effective_from, bins }));
    };
    let mut columns = Vec::new();
    for j in 0..reference[0].len() {
        let kept: Vec<(u64, f64)> = reference.iter().enumerate().map(|(i, row)| (i as u64, row[j])).collect();
        let values: Vec<f64> = kept.iter().map(|k| k.1).collect();
        let edges = numeric_edges(1, &values);
        say(feature_signal(&name(j)), Bins::Rarity(Rarity::of_numbers(&edges, &values)));
        columns.push((feature_signal(&name(j)), edges, kept));
    }
    let sampled: Vec<Sampled<'_>> =
        columns.iter().map(|(signal, edges, kept)| Sampled { signal, edges, kept, threshold: reference.len() as u64 }).collect();
    say(OUTLIER_SCORE.into(), Bins::Loda(Loda::of(&sampled).expect("enough rows")));
    plan
}

fn score(row: &[f64], plan: &Plan) -> f64 {
    let (mut book, mut cells) = (Book::default(), Cells::default());
    let cell = cells.intern("m", None, &[]);
    let p = Prediction {
        key: RequestKey::of("id"),
        request_id: "id".into(),
        time: EventTime(0),
        model: "m".into(),
        version: None,
        score: None,
        label: None,
        dimensions: vec![],
        features: row.iter().enumerate().map(|(j, x)| (FeatureIx(j as u32), Value::Number(*x))).collect(),
        doubles: vec![],
    };
    book.accepted(PaneId(0), cell, &p, plan, |ix| name(ix.0 as usize));
    let records = book.flush(Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 }, &cells, plan);
    let partial = read(&mut Reader::open(&records[0].1).unwrap().1).unwrap();
    match &partial.entries[0].summary.signals[OUTLIER_SCORE].numeric {
        Some(NumericForm::Learning { sample, .. }) => *sample.values().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Area under the ROC curve: how often a rare row scores higher than a usual one (ties half).
fn auc(scores: &[(f64, bool)]) -> f64 {
    let of = |rare: bool| scores.iter().filter(move |s| s.1 == rare).map(|s| s.0);
    let pairs = of(true).flat_map(|a| of(false).map(move |b| if a > b { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 }));
    let (mut sum, mut n) = (0.0, 0.0);
    pairs.for_each(|won| (sum, n) = (sum + won, n + 1.0));
    sum / n
}

#[test]
fn scores_tell_rare_classes_apart_as_well_as_forests_do() {
    let reference: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(fixture("reference.json")).unwrap()).unwrap();
    let (mut ours, mut forest, mut trees) = (0.0, 0.0, 0.0);
    let sets = reference.as_object().unwrap();
    for (set, of) in sets {
        let (rows, rare) = rows(set);
        let half = rows.len() / 2;
        let plan = learnt(&rows[..half]);
        let scores: Vec<(f64, bool)> = rows[half..].iter().zip(&rare[half..]).map(|(row, rare)| (score(row, &plan), *rare)).collect();
        let (mine, f, t) = (auc(&scores), of["isolation_forest"].as_f64().unwrap(), of["half_space_trees"].as_f64().unwrap());
        println!("{set:16} {mine:.3}, IsolationForest {f:.3}, HalfSpaceTrees {t:.3}");
        (ours, forest, trees) = (ours + mine, forest + f, trees + t);
    }
    let n = sets.len() as f64;
    println!("mean             {:.3}, IsolationForest {:.3}, HalfSpaceTrees {:.3}", ours / n, forest / n, trees / n);
    assert!(ours >= forest.max(trees), "{ours} {forest} {trees}");
}
