//! What looking for outliers costs: booking a prediction of 20 numbers with and without it, alternating in one run.
//!
//! `cargo bench --bench outliers`. Features are read as one run of doubles; each book holds 4,096 predictions of one cell.

#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use driftline::codec::event::{Doubles, FeatureIx, Prediction};
use driftline::config::load_text;
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::baseline::loda::{Loda, Sampled};
use driftline::engine::baseline::rarity::Rarity;
use driftline::engine::book::{Book, OUTLIER_SCORE, feature_signal};
use driftline::engine::cell::Cells;
use driftline::engine::partial::Origin;
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord, Versioned};
use driftline::engine::types::{EpochSeq, EventTime, PaneId, Partition, RequestKey};
use split_mix::SplitMix64;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FEATURES: usize = 20;
const ROWS: usize = 4_096;
const ROUNDS: usize = 41;

fn name(ix: usize) -> String {
    format!("f{ix:02}")
}

fn plan(rows: &[[f64; FEATURES]], outliers: bool) -> Plan {
    let text = format!(
        "app: a\nkafka: {{ brokers: nowhere }}\npredictions: {{ topic: p }}\noutcomes: {{ topic: o }}\n{}",
        if outliers { "outliers: {}\n" } else { "" }
    );
    let definitions = load_text("c.yaml", &text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}")).definitions;
    let mut plan = Plan::default();
    plan.observe(PlanRecord::Definitions(Box::new(Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions })));
    let mut say = |signal: String, bins| {
        let (model, kind, effective_from) = ("m".to_string(), PlanKind::Input, PaneId(0));
        plan.observe(PlanRecord::Edges(EdgesRecord { model, signal, kind, effective_from, bins }));
    };
    let column = |j: usize| {
        let kept: Vec<(u64, f64)> = rows.iter().enumerate().map(|(i, row)| (i as u64, row[j])).collect();
        let edges = numeric_edges(1, &kept.iter().map(|k| k.1).collect::<Vec<_>>());
        (feature_signal(&name(j)), edges, kept)
    };
    let columns: Vec<_> = (0..FEATURES).map(column).collect();
    for (signal, edges, kept) in &columns {
        say(signal.clone(), Bins::Numeric(edges.clone()));
        say(signal.clone(), Bins::Rarity(Rarity::of_numbers(edges, &kept.iter().map(|k| k.1).collect::<Vec<_>>())));
    }
    let sampled: Vec<Sampled<'_>> =
        columns.iter().map(|(signal, edges, kept)| Sampled { signal, edges, kept, threshold: ROWS as u64 }).collect();
    say(OUTLIER_SCORE.into(), Bins::Loda(Loda::of(&sampled).expect("enough rows")));
    let scores: Vec<f64> = (0..ROWS).map(|i| i as f64).collect();
    let edges = numeric_edges(1, &scores);
    say(OUTLIER_SCORE.into(), Bins::Rarity(Rarity::of_numbers(&edges, &scores)));
    say(OUTLIER_SCORE.into(), Bins::Numeric(edges));
    plan
}

/// Nanoseconds a prediction.
fn booked(rows: &[[[u8; 8]; FEATURES]], plan: &Plan) -> f64 {
    let (mut book, mut cells) = (Book::default(), Cells::default());
    let cell = cells.intern("m", None, &[]);
    let began = Instant::now();
    for (i, row) in rows.iter().enumerate() {
        let p = Prediction {
            key: RequestKey(u128::from(i as u64) << 64),
            request_id: "id".into(),
            time: EventTime(0),
            model: "m".into(),
            version: None,
            score: None,
            label: None,
            dimensions: vec![],
            features: vec![],
            doubles: vec![Doubles { first: FeatureIx(0), numbers: row }],
        };
        book.accepted(PaneId(0), cell, &p, plan, |ix| name(ix.0 as usize));
        std::hint::black_box(book.take_outlier());
    }
    let took = began.elapsed().as_nanos() as f64 / rows.len() as f64;
    std::hint::black_box(book.flush(Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 }, &cells, plan));
    took
}

fn main() {
    let draw = &mut SplitMix64(3);
    let rows: Vec<[f64; FEATURES]> = (0..ROWS).map(|_| std::array::from_fn(|_| draw.unit() + draw.unit())).collect();
    let bytes: Vec<[[u8; 8]; FEATURES]> = rows.iter().map(|row| row.map(f64::to_le_bytes)).collect();
    let plans = [plan(&rows, false), plan(&rows, true)];
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        (0..2).for_each(|i| took[i].push(booked(&bytes, &plans[i])));
    }
    let [without, with] = took.map(|mut of| {
        of.sort_by(f64::total_cmp);
        of[ROUNDS / 2]
    });
    println!(
        "a prediction of {FEATURES} numbers booked: {without:.0} ns without, {with:.0} ns with outliers: {:.0} ns for its score",
        with - without
    );
}
