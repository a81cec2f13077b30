//! What a reference shows of chance: against slow twins, and against processes whose variance is known.

use super::batches::{Batches, GroupBatches};
use super::calibration::Draw;
use super::learning::{Learning, Rung};
use super::noise::{LEAST_BATCHES, Noise, Window};
use crate::engine::baseline::edges::numeric_edges;
use crate::engine::baseline::reference::Tally;
use crate::engine::definitions::Tolerance;
use crate::engine::summary::numeric::NumericBins;
use crate::engine::types::{PaneId, PaneSize, Span};
use proptest::prelude::*;

/// U of the batches of 2^k folds, by the definition.
fn slow(folds: &[(f64, f64)], k: usize, variance: f64) -> Option<f64> {
    let batches: Vec<(f64, f64)> = folds.chunks_exact(1 << k).map(|b| b.iter().fold((0.0, 0.0), |(n, s), f| (n + f.0, s + f.1))).collect();
    if batches.len() < LEAST_BATCHES as usize {
        return None;
    }
    let (n, s) = batches.iter().fold((0.0, 0.0), |(n, s), b| (n + b.0, s + b.1));
    let between: f64 = batches.iter().map(|(n_j, s_j)| n_j * (s_j / n_j - s / n).powi(2)).sum();
    let groups = batches.len() as f64 - 1.0;
    let typical = (n - batches.iter().map(|b| b.0 * b.0).sum::<f64>() / n) / groups;
    Some(((between / groups / variance - 1.0) / typical).max(0.0) * f64::from(1u32 << k))
}

proptest! {
    #[test]
    fn batches_are_those_of_the_definition(folds in prop::collection::vec((1u32..90, -50i32..50), 1..200)) {
        let folds: Vec<(f64, f64)> = folds.into_iter().map(|(n, s)| (f64::from(n), f64::from(s))).collect();
        let mut batches = Batches::default();
        folds.iter().for_each(|(n, s)| batches.add(*n, *s));
        let found = batches.excess(0.7);
        for k in 0..11 {
            match slow(&folds, k, 0.7) {
                None => prop_assert!(found.len() <= k),
                Some(u) => prop_assert!((found[k] - u).abs() <= 1e-9 * u.max(1.0), "scale {k}: {} instead of {u}", found[k]),
            }
        }
    }

    #[test]
    fn two_groups_vary_as_a_rate_does(folds in prop::collection::vec((20u64..90, 0.2f64..0.8), 64..65)) {
        let (mut rate, mut groups, mut all) = (Batches::default(), GroupBatches::default(), [0, 0]);
        for (n, p) in folds {
            let k = (n as f64 * p) as u64;
            rate.add(n as f64, k as f64);
            groups.add(&[k, n - k]);
            all = [all[0] + k, all[1] + n - k];
        }
        let p = all[0] as f64 / (all[0] + all[1]) as f64;
        // X² of two groups is the square of the rate's deviation over p (1 - p): one degree of freedom
        for (k, (a, b)) in rate.excess(p * (1.0 - p)).iter().zip(groups.excess(&all)).enumerate() {
            prop_assert!((a - b).abs() <= 0.1 * a.max(0.05), "scale {k}: {a} and {b}");
        }
    }

    #[test]
    fn there_is_never_more_evidence_than_independent_events_would_give(
        excess in prop::collection::vec(0.0f64..0.2, 0..11), folds in 1u32..3_000, n in 1.0f64..1e5, nats in 0.0f64..200.0,
        allowance in prop_oneof![Just(0.0), 0.0f64..0.5],
    ) {
        let noise = Noise::new(500, 40.0, &excess, allowance);
        let window = Window { folds, n, before: 20_000.0, history: 7 };
        let left = noise.tempered(nats, &window);
        prop_assert!((0.0..=nats).contains(&left));
        prop_assert!(noise.phi(&window) >= 1.0);
        // what is visible with so many nats leaves so many
        let change = noise.visible(left, &window);
        let independent = 0.5 * change * change / (1.0 / n + 1.0 / 20_000.0);
        prop_assert!((noise.tempered(independent, &window) - left).abs() <= 1e-3 * left.max(1e-3), "{left}");
    }
}

/// What 14 days of panes of ten minutes with 200 values and a wandering mean leave.
fn learnt(panes: i64, mean: impl Fn(i64, &mut Draw) -> f64) -> super::learning::Learnt {
    let draw = &mut Draw(5);
    let size = PaneSize(Span::minutes(10));
    let edges = numeric_edges(1, &(0..6_400).map(|_| draw.normal()).collect::<Vec<_>>());
    let mut learning: Option<Learning> = None;
    for pane in 0..panes {
        let mut bins = NumericBins::empty(edges.bins());
        let mean = mean(pane, draw);
        (0..200).for_each(|_| bins.add(mean + draw.normal(), &edges));
        match &mut learning {
            None => learning = Some(Learning::new(PaneId(pane), Tally::Numeric(bins))),
            Some(learning) => learning.add(PaneId(pane), Tally::Numeric(bins), size),
        }
    }
    learning.unwrap().learnt(size, &Tolerance::default())
}

fn phi(noise: &Noise, folds: u32) -> f64 {
    noise.phi(&Window { folds, n: 200.0 * f64::from(folds), before: 1e9, history: 100_000_000 })
}

#[test]
fn independent_panes_have_nearly_no_further_noise() {
    let learnt = learnt(2_016, |_, _| 0.0);
    assert_eq!((learnt.rung, learnt.noise.len()), (Rung::Daily, 3));
    for noise in &learnt.noise {
        assert!(phi(noise, 1) < 1.15 && phi(noise, 32) < 2.0, "{noise:?}");
    }
    assert!(learnt.hours.iter().all(|h| h[0].abs() < 0.02), "{:?}", learnt.hours);
}

#[test]
fn waves_from_pane_to_pane_are_measured_at_every_length() {
    // AR(1), .1 sigma, .8: the mean of w panes has the variance .01 (1 + 2 Σ (1 - k/w) .8^k)/w
    let state = std::cell::Cell::new(0.0);
    let learnt = learnt(4_032, |_, draw| {
        state.set(0.8 * state.get() + 0.1 * 0.6 * draw.normal());
        state.get()
    });
    for w in [1u32, 4, 16] {
        let sum: f64 = (1..w).map(|k| (1.0 - f64::from(k) / f64::from(w)) * 0.8f64.powi(k as i32)).sum();
        let truth = 1.0 + 200.0 * 0.01 * (1.0 + 2.0 * sum);
        let found = phi(&learnt.noise[0], w);
        assert!((found / truth - 1.0).abs() < 0.3, "{w} panes: {found} instead of {truth}");
    }
}

#[test]
fn a_daily_wave_is_noise_at_first_and_known_by_the_hour_after_a_week() {
    let wave = |pane: i64| 0.2 * (std::f64::consts::TAU * pane as f64 / 144.0).sin();
    let [short, days, daily] = [100, 3 * 144, 14 * 144].map(|panes| learnt(panes, |pane, _| wave(pane)));
    assert_eq!([short.rung, days.rung, daily.rung], [Rung::Short, Rung::Days, Rung::Daily]);
    // variance .02 of a mean of 200 events is four times theirs, and grows with the window
    assert!(phi(&days.noise[0], 1) > 3.0 && phi(&days.noise[0], 16) > 30.0, "{:?}", days.noise[0]);
    assert!(phi(&daily.noise[0], 1) < 1.5 && phi(&daily.noise[0], 16) < 4.0, "{:?}", daily.noise[0]);
    assert!((daily.hours[6][0] - 0.19).abs() < 0.03 && (daily.hours[18][0] + 0.19).abs() < 0.03, "{:?}", daily.hours);
    // gross changes only: half a sigma is nothing, a whole one is seen
    let window = Window { folds: 4, n: 800.0, before: 20_000.0, history: 0 };
    let nats = |change: f64| 0.5 * change * change / (1.0 / window.n + 1.0 / window.before);
    let seen = [0.5, 2.0].map(|change| short.noise[0].tempered(nats(change), &window));
    assert!(seen[0] < 0.1 && seen[1] > 15.0, "{seen:?}");
}
