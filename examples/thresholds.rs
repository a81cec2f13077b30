//! Makes `src/engine/detect/tables.rs`: the level that each statistic stays below for 10^3, 10^4 and 10^5 folds with
//! probability 1/e when nothing changes, from the folds themselves.
//!
//! `cargo run --release --example thresholds > src/engine/detect/tables.rs` (`-- quick` for a rough look). Fixed seeds: the same
//! output on every machine. Each run draws its own reference of 200 panes, as a young stream has it.

#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use driftline::engine::detect::bernoulli::RateUp;
use driftline::engine::detect::category::{Groups, Mix};
use driftline::engine::detect::focus::Focus;
use driftline::engine::detect::normal_scores::Scores;
use driftline::engine::detect::{Fold, Gathered};
use driftline::engine::types::PaneId;
use split_mix::SplitMix64 as Draw;

/// Panes in each simulated reference.
const REFERENCE_PANES: u64 = 200;
/// Events a fold.
const EVENTS: [u64; 3] = [32, 100, 1_000];
/// Folds of the three levels.
const FOLDS: [u64; 3] = [1_000, 10_000, 100_000];

impl Draw {
    fn uniform(&mut self, n: u64, cells: usize) -> Vec<u64> {
        let mut counts = vec![0; cells];
        (0..n).for_each(|_| counts[((u128::from(self.next()) * cells as u128) >> 64) as usize] += 1);
        counts
    }
    fn binomial(&mut self, n: u64, p: f64) -> u64 {
        // jumps from success to success
        let (mut at, mut k) = (0.0, 0);
        loop {
            at += (self.inside().ln() / (-p).ln_1p()).floor() + 1.0;
            if at > n as f64 {
                return k;
            }
            k += 1;
        }
    }
}

type Stepper = Box<dyn FnMut(&mut Draw) -> [f64; 2]>;
type Start = Box<dyn Fn(&mut Draw) -> Stepper>;

fn at(t: u64) -> Gathered {
    Gathered::one(PaneId(t as i64))
}

fn numeric(n: u64, bins: usize) -> impl Fn(&mut Draw) -> Stepper {
    move |draw| {
        let scores = Scores::of(&draw.uniform(n * REFERENCE_PANES, bins));
        let mut location = Focus::new(scores.family(0), scores.m);
        let mut scale = Focus::new(scores.family(1), scores.m);
        let mut t = 0;
        Box::new(move |draw| {
            let (n, a, b) = scores.sums(&draw.uniform(n, bins));
            t += 1;
            location.observe(&[n, a, b], at(t));
            scale.observe(&[n, b, a], at(t));
            [location.statistic(), scale.statistic()]
        })
    }
}

fn mix(n: u64, groups: usize) -> impl Fn(&mut Draw) -> Stepper {
    move |draw| {
        let mut mix = Mix::new(draw.uniform(n * REFERENCE_PANES, groups));
        let mut t = 0;
        Box::new(move |draw| {
            t += 1;
            mix.observe(&Groups { counts: draw.uniform(n, groups), sum: 0, squares: 0 }, at(t));
            [mix.statistic(), 0.0]
        })
    }
}

fn rate(n: u64, p: f64) -> impl Fn(&mut Draw) -> Stepper {
    move |draw| {
        let m = n * REFERENCE_PANES;
        let mut rate = RateUp::new(m as f64, draw.binomial(m, p) as f64);
        let mut t = 0;
        Box::new(move |draw| {
            t += 1;
            rate.observe(&[n as f64, draw.binomial(n, p) as f64, 0.0], at(t));
            [rate.statistic(), 0.0]
        })
    }
}

/// The 1/e quantile of the maximum over each of the three lengths, for both statistics of a stepper.
fn levels(runs: [usize; 3], start: &dyn Fn(&mut Draw) -> Stepper) -> [[f64; 3]; 2] {
    let mut levels = [[0.0; 3]; 2];
    for (i, folds) in FOLDS.iter().enumerate() {
        let mut maxima = [Vec::new(), Vec::new()];
        for run in 0..runs[i] {
            let draw = &mut Draw((1_000_003 * (i as u64 + 1)).wrapping_add((run as u64).wrapping_mul(0x5851_f42d_4c95_7f2d)));
            let mut step = start(draw);
            let mut most = [0.0f64; 2];
            for _ in 0..*folds {
                let now = step(draw);
                most = [most[0].max(now[0]), most[1].max(now[1])];
            }
            maxima[0].push(most[0]);
            maxima[1].push(most[1]);
        }
        for (channel, maxima) in maxima.iter_mut().enumerate() {
            maxima.sort_by(f64::total_cmp);
            let place = (maxima.len() as f64 / std::f64::consts::E - 0.5).max(0.0);
            let (low, part) = (place.floor() as usize, place.fract());
            levels[channel][i] = if maxima.is_empty() { f64::NAN } else { maxima[low] * (1.0 - part) + maxima[low + 1] * part };
        }
    }
    levels
}

fn print(name: &str, doc: &str, classes: &[f64], rows: &[[f64; 3]]) {
    let mut rows: Vec<[f64; 3]> = rows.iter().map(|row| row.map(|x| (x * 100.0).round() / 100.0)).collect();
    for i in (0..rows.len() - 1).rev() {
        if rows[i] == [0.0; 3] {
            rows[i] = rows[i + 1]; // a statistic that does not exist for this class
        }
    }
    // the rise from 10^4 to 10^5, averaged over the table
    let slope = rows.iter().map(|l| (l[2] - l[1]) / 10f64.ln()).sum::<f64>() / rows.len() as f64;
    let events: Vec<f64> = EVENTS.iter().map(|e| *e as f64).collect();
    println!("\n/// {doc}");
    println!("pub const {name}: Table = Table {{");
    println!("    events: &{events:?},\n    classes: &{classes:?},\n    nats: &[");
    for row in rows {
        println!("        [{:.2}, {:.2}, {:.2}],", row[0], row[1], row[2]);
    }
    println!("    ],\n    slope: {:.3},\n}};", slope);
}

fn table(classes: &[f64], [runs, few]: [[usize; 3]; 2], slow: bool, start: &dyn Fn(u64, f64) -> Start) -> [Vec<[f64; 3]>; 2] {
    let mut rows = [Vec::new(), Vec::new()];
    for n in EVENTS {
        for class in classes {
            let began = std::time::Instant::now();
            let both = levels(if *class >= 20.0 && slow { few } else { runs }, &*start(n, *class));
            eprintln!("n {n} class {class}: {both:.2?} in {:.1?}", began.elapsed());
            rows[0].push(both[0]);
            rows[1].push(both[1]);
        }
    }
    rows
}

fn main() {
    let which: Vec<String> = std::env::args().skip(1).collect();
    let quick = which.iter().any(|w| w == "quick");
    let wanted = |name: &str| which.iter().all(|w| w == "quick") || which.iter().any(|w| w == name);
    let runs = if quick { [200, 60, 6] } else { [800, 250, 50] };
    let few = if quick { runs } else { [300, 100, 15] }; // G of many groups is slow
    println!("//! Generated by `cargo run --release --example thresholds`; do not edit. Nats at an ARL of 10^3, 10^4, 10^5 folds,");
    println!("//! for each number of events a fold all classes. 1/e quantiles of {runs:?} maxima (G of 20 groups and more: {few:?}).");
    println!("\nuse super::thresholds::Table;");
    let bins = [2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    if wanted("numeric") {
        let [location, scale] = table(&bins, [runs, few], false, &|n, c| Box::new(numeric(n, c as usize)));
        print("LOCATION", "Location channel; classes: bins with reference events.", &bins, &location);
        print("SCALE", "Scale channel; classes: bins with reference events (two bins have no scale).", &bins, &scale);
    }
    let groups = [2.0, 3.0, 5.0, 10.0, 20.0, 64.0];
    if wanted("mix") {
        let [rows, _] = table(&groups, [runs, few], true, &|n, c| Box::new(mix(n, c as usize)));
        print("MIX", "G on dyadic windows; classes: groups with reference events.", &groups, &rows);
    }
    let rates = [0.001, 0.003, 0.01, 0.05, 0.2, 0.5];
    if wanted("rate") {
        let [rows, _] = table(&rates, [runs, few], false, &|n, c| Box::new(rate(n, c)));
        print("RATE", "One-sided Bernoulli; classes: the reference's rate.", &rates, &rows);
    }
}
