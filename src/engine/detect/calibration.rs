//! Do the thresholds keep their promise? Independent data without any change, references estimated from 200 panes, the real
//! channels and tables: the share of streams that raise a false alarm within one ARL is 1 - 1/e.

#[path = "../../../tests/kit/split_mix.rs"]
mod split_mix;

use super::channels::{Detector, Watch};
use super::learning::Learnt;
use super::parity::side;
use super::season::Place;
use super::stream::Observed;
use super::{FOLD_EVENTS, Gathered};
use crate::engine::baseline::disparity::{Disparity, Limit};
use crate::engine::baseline::edges::{categories, numeric_edges};
use crate::engine::baseline::gap::Gap;
use crate::engine::baseline::reference::Tally;
use crate::engine::baseline::volume::Volume;
use crate::engine::definitions::{BaselineRule, Budget, Definitions, JoinRules, Tolerance};
use crate::engine::summary::aged::AgedCounts;
use crate::engine::summary::category::{Categories, CategoryCounts};
use crate::engine::summary::numeric::{NumericBins, NumericEdges};
use crate::engine::types::{EventTime, PaneId, PaneSize, Span};
pub(super) use split_mix::SplitMix64 as Draw;
use std::collections::BTreeMap;

const ARL: i64 = 1_000;
const RUNS: u64 = 60;
const EVENTS: u64 = 40;

impl Draw {
    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.inside().ln()).sqrt() * (std::f64::consts::TAU * self.inside()).cos()
    }

    /// Poisson, by inversion; of a large mean the sum of two halves.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return self.poisson(0.5 * mean) + self.poisson(0.5 * mean);
        }
        let (mut left, mut part, mut k) = (self.inside(), (-mean).exp(), 0);
        while left > part && k < 300 {
            left -= part;
            k += 1;
            part *= mean / k as f64;
        }
        k
    }
}

/// Definitions under which a stream of one channel has an ARL of `panes`, and every effect counts.
pub(super) fn definitions(panes: i64) -> Definitions {
    Definitions {
        app: "test".into(),
        revision: 0,
        pane: PaneSize(Span::minutes(1)),
        join: JoinRules {
            lateness: [Span::ZERO; 2],
            window: Span::days(1),
            early: Span::ZERO,
            duplicates: Span::days(1),
            settle: Span::ZERO,
            hold: Span::days(1),
        },
        models: BTreeMap::new(),
        dimensions: Vec::new(),
        segments: Vec::new(),
        segment_cap: 1,
        baseline: BaselineRule::Range { from: EventTime(0), to: PaneSize(Span::minutes(1)).start(PaneId(200)) },
        budget: Budget { false_alarms: 1.0, per: Span::minutes(panes) },
        streams_cap: 1,
        tolerance: Tolerance { location: 0.0, scale: 0.0, rate_relative: 0.0, rate_points: 0.0, psi: -1.0 },
        reminder: Span::days(1),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        fairness: Vec::new(),
        outliers: None,
    }
}

/// Share of runs in which each channel passes its threshold within an ARL of its own (channels share the stream's budget).
fn false_alarms(pane: &dyn Fn(&mut Draw) -> Tally) -> Vec<(Detector, f64)> {
    false_alarms_after(200, pane)
}

/// The same with a reference of so many panes.
fn false_alarms_after(panes: u64, pane: &dyn Fn(&mut Draw) -> Tally) -> Vec<(Detector, f64)> {
    let mut counts: Vec<(Detector, f64)> = Vec::new();
    for run in 0..RUNS {
        let draw = &mut Draw(0x5eed + run.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let mut reference = pane(draw);
        (1..panes).for_each(|_| assert!(reference.merge(&pane(draw))));
        let mut watch = Watch::new(reference, panes, Learnt::NOTHING);
        let channels = watch.verdicts(&definitions(ARL)).len() as i64;
        let definitions = definitions(ARL / channels);
        let mut passed = vec![false; channels as usize];
        for t in 0..ARL {
            let pane = pane(draw);
            watch.observe(&pane, watch.expected(&pane, Place::ANY), Gathered::one(PaneId(t)));
            for (i, v) in watch.verdicts(&definitions).iter().enumerate() {
                passed[i] |= v.statistic >= v.threshold;
                if counts.len() <= i {
                    counts.push((v.detector, 0.0));
                }
            }
        }
        counts.iter_mut().zip(&passed).for_each(|(c, p)| c.1 += f64::from(u8::from(*p)) / RUNS as f64);
    }
    counts
}

const NOMINAL: f64 = 0.632;

fn sigma() -> f64 {
    (NOMINAL * (1.0 - NOMINAL) / RUNS as f64).sqrt()
}

/// Edges from a sample of 6,400 values, as the plan would have them.
fn edges(value: fn(&mut Draw) -> f64) -> NumericEdges {
    let draw = &mut Draw(99);
    numeric_edges(1, &(0..6_400).map(|_| value(draw)).collect::<Vec<_>>())
}

fn numeric(name: &str, value: fn(&mut Draw) -> f64) {
    let edges = edges(value);
    let shares = false_alarms(&|draw| {
        let mut bins = NumericBins::empty(edges.bins());
        (0..EVENTS).for_each(|_| bins.add(value(draw), &edges));
        Observed::Numeric(&bins, &edges).to_tally()
    });
    for (detector, share) in shares {
        assert!((share - NOMINAL).abs() < 3.0 * sigma(), "{name}, {}: {share:.2} instead of {NOMINAL}", detector.word());
    }
}

#[test]
fn normal_values_keep_the_false_alarm_promise() {
    numeric("normal", |d| d.normal());
}

#[test]
fn heavy_tails_keep_the_false_alarm_promise() {
    // Student's t with three degrees of freedom
    numeric("t3", |d| d.normal() / ((0..3).map(|_| d.normal().powi(2)).sum::<f64>() / 3.0).sqrt());
}

#[test]
fn lognormal_values_keep_the_false_alarm_promise() {
    numeric("lognormal", |d| (2.0 * d.normal()).exp());
}

#[test]
fn exponential_values_keep_the_false_alarm_promise() {
    numeric("exponential", |d| -d.inside().ln());
}

#[test]
fn scores_with_two_decimals_and_ties_at_both_ends_keep_the_false_alarm_promise() {
    numeric("ties", |d| {
        let logit = 5.0 * d.normal();
        (100.0 / (1.0 + (-logit).exp())).round() / 100.0
    });
}

#[test]
fn rates_keep_the_false_alarm_promise() {
    for (rate, least) in [(0.01, 0.3), (0.05, 0.5), (0.3, 0.5)] {
        let shares = false_alarms(&|draw| Tally::Rate { n: EVENTS, k: (0..EVENTS).filter(|_| draw.inside() < rate).count() as u64 });
        let share = shares[0].1;
        // counts are coarse: below the nominal share is fine, above is not
        assert!(share < NOMINAL + 3.0 * sigma() && share > least, "rate {rate}: {share:.2}");
    }
}

#[test]
fn volumes_keep_the_false_alarm_promise() {
    // rows a pane; a reference has 2,000 rows and 200 panes at least
    for (mean, least) in [(0.05f64, 0.1), (0.5, 0.3), (4.0, 0.4), (25.0, 0.4)] {
        let panes = (2_000.0 / mean).max(200.0) as u64;
        let shares = false_alarms_after(panes, &|draw| Tally::Volume(Volume::of_pane(draw.poisson(mean))));
        let [(Detector::Volume, rows), (Detector::Silence, silence)] = shares[..] else { panic!("two channels: {shares:?}") };
        assert!(rows < NOMINAL + 3.0 * sigma() && rows > least, "{mean} rows a pane: {rows:.2}");
        assert!(silence < NOMINAL + 3.0 * sigma(), "silence with {mean} rows a pane: {silence:.2}");
    }
}

#[test]
fn versions_keep_the_false_alarm_promise() {
    // pairs of the new version a pane beside 200 others, and how often both are wrong
    for (pairs, rate, least) in [(20u64, 0.05, 0.1), (200, 0.2, 0.2)] {
        let shares = false_alarms(&|draw| {
            let mut side = |n: u64| {
                let mut counts = AgedCounts::default();
                (0..n).for_each(|_| counts.add(Span::ZERO, draw.inside() < rate));
                counts
            };
            Tally::Gap(Gap::between(&side(pairs), &side(200)))
        });
        // one side of a two-sided threshold
        let share = shares[0].1;
        assert!(share < NOMINAL + 3.0 * sigma() && share > least, "{pairs} pairs, {rate}: {share:.2}");
    }
}

#[test]
fn groups_at_the_limit_keep_the_false_alarm_promise() {
    // events of the group a pane beside 60 others, the limit, both rates: at the limit itself
    let cases = [
        (8.0, Limit::Ratio(0.8), (0.24, 0.3), 0.05),
        (40.0, Limit::Ratio(0.8), (0.72, 0.9), 0.1),
        (10.0, Limit::Difference(0.1), (0.12, 0.02), 0.05),
        (40.0, Limit::Difference(0.1), (0.4, 0.3), 0.1),
    ];
    for (n, limit, (group, others), least) in cases {
        let shares =
            false_alarms(&|draw| Tally::Disparity(Disparity::between(&[side(draw, n, group)], &[side(draw, 60.0, others)], limit)));
        let share = shares[0].1;
        assert!(share < NOMINAL + 3.0 * sigma() && share > least, "{n} events, {limit:?}: {share:.2}");
    }
}

#[test]
fn categories_keep_the_false_alarm_promise() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let weights = [0.45, 0.3, 0.15, 0.07, 0.025, 0.005];
    let pinned: Categories = categories(1, &names.iter().zip(weights).map(|(n, w)| ((*n).to_owned(), (1e6 * w) as u64)).collect());
    let shares = false_alarms(&|draw| {
        let mut counts = CategoryCounts::empty(pinned.pinned.len());
        for _ in 0..EVENTS {
            let (mut u, mut i) = (draw.inside(), 0);
            while i + 1 < weights.len() && u >= weights[i] {
                u -= weights[i];
                i += 1;
            }
            counts.add(names[i], &pinned);
        }
        Tally::Categorical(counts)
    });
    let share = shares[0].1;
    assert!(share < NOMINAL + 3.0 * sigma() && share > 0.35, "categories: {share:.2}");
}

#[test]
fn a_fold_holds_enough_events_for_the_tables() {
    const { assert!(EVENTS >= FOLD_EVENTS) };
}
