//! The folds against slow twins that look at every window, as properties.

use super::bernoulli::{LEAST_EXPECTED, LEAST_OBSERVED, RateUp};
use super::category::{Groups, Mix, evidence, evidence_from};
use super::focus::{Family, Focus};
use super::noise::Noise;
use super::{Candidate, Fold, Gathered, bonus};
use crate::engine::types::PaneId;
use proptest::prelude::*;

fn at(t: usize) -> Gathered {
    Gathered::one(PaneId(t as i64))
}

fn candidates(fold: &impl Fold) -> Vec<Candidate> {
    let mut all = Vec::new();
    fold.candidates(&Noise::INDEPENDENT, 0.0, &mut |c| all.push(c));
    all
}

/// Every window (first pane, folds, ratio, n, sum) of panes (n, s) after a reference, by the definition.
fn every_window(family: Family, reference: (f64, f64), panes: &[(f64, f64)]) -> Vec<(usize, u32, f64, f64, f64)> {
    let sum = |part: &[(f64, f64)]| part.iter().fold((0.0, 0.0), |(a, b), (n, s)| (a + n, b + s));
    let windows = (0..panes.len()).map(|start| {
        let before = sum(&panes[..start]);
        let before = (before.0 + reference.0, before.1 + reference.1);
        let window = sum(&panes[start..]);
        (start, (panes.len() - start) as u32, family.ratio(before, window), window.0, window.1)
    });
    windows.collect()
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn standardised() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let pane = (1u32..60, -1.5f64..1.5).prop_map(|(n, mean)| (f64::from(n), f64::from(n) * mean));
    prop::collection::vec(pane, 1..80)
}

fn families() -> impl Strategy<Value = Family> {
    (-1.2f64..1.2, prop_oneof![Just(0.0), 0.0f64..1.0], prop_oneof![Just(f64::INFINITY), 50.0f64..1e5])
        .prop_map(|(skew, tail, freedom)| Family::Standardised { skew, tail, freedom })
}

fn noises() -> impl Strategy<Value = Noise> {
    let waves = (5u32..2_000, 20.0f64..500.0, prop::collection::vec(0.0f64..0.2, 1..8), prop_oneof![Just(0.0), 0.0f64..0.3]);
    prop_oneof![
        Just(Noise::INDEPENDENT),
        waves.prop_map(|(folds, events, excess, allowance)| Noise::new(folds, events, &excess, allowance))
    ]
}

/// A fold whatever it reads.
trait Shows {
    fn shown(&self, noise: &Noise, floor: f64) -> Vec<Candidate>;
}

impl<F: Fold> Shows for F {
    fn shown(&self, noise: &Noise, floor: f64) -> Vec<Candidate> {
        let mut all = Vec::new();
        self.candidates(noise, floor, &mut |c| all.push(c));
        all
    }
}

proptest! {
    #[test]
    fn focus_finds_the_likeliest_of_all_windows(panes in standardised(), family in families(), m in 50.0f64..5_000.0) {
        let mut focus = Focus::new(family, m);
        panes.iter().enumerate().for_each(|(t, (n, s))| focus.observe(&[*n, *s, 0.0], at(t)));
        let found = largest(candidates(&focus).iter().map(|c| c.statistic - bonus(c.folds)));
        let all = every_window(family, (m, 0.0), &panes);
        let truth = largest(all.iter().map(|w| w.2));
        prop_assert!((found - truth).abs() <= 1e-6 * truth.max(1.0), "{found} but the best window has {truth}");
        // with the bonus for length the hull is a lower bound: it never shows more than there is
        let with_bonus = largest(all.iter().map(|w| w.2 + bonus(w.1)));
        prop_assert!(focus.statistic() <= with_bonus + 1e-6);
    }

    #[test]
    fn a_change_of_counts_is_found_in_the_likeliest_of_all_windows(
        panes in prop::collection::vec((0.2f64..3.0, 0u32..60), 1..80), m in 50.0f64..5_000.0, mean in 12.0f64..60.0,
    ) {
        // 12 rows a pane: every window has enough expected rows to count
        let reference = (m, (m * mean).round());
        let panes: Vec<(f64, f64)> = panes.iter().map(|(n, s)| (*n, f64::from(*s))).collect();
        let mut focus = Focus::after(Family::Poisson, reference.0, reference.1);
        panes.iter().enumerate().for_each(|(t, (n, s))| focus.observe(&[*n, *s, 1.0], at(t)));
        let shown = candidates(&focus);
        prop_assert!(shown.iter().all(|c| c.sum < c.n * mean || c.n * mean >= LEAST_EXPECTED || c.sum >= LEAST_OBSERVED));
        let found = largest(shown.iter().map(|c| c.statistic - bonus(c.folds)));
        let all = every_window(Family::Poisson, reference, &panes);
        let truth = largest(all.iter().map(|w| w.2));
        prop_assert!((found - truth).abs() <= 1e-6 * truth.max(1.0), "{found} but the best window has {truth}");
        for w in &all {
            let before = (reference.0 + all[0].3 - w.3, reference.1 + all[0].4 - w.4);
            prop_assert!(Family::Poisson.bound(before, (w.3, w.4)) >= w.2 - 1e-6, "{w:?}");
        }
    }

    #[test]
    fn every_candidate_is_a_true_window(panes in standardised(), m in 50.0f64..5_000.0) {
        let mut focus = Focus::new(Family::NORMAL, m);
        panes.iter().enumerate().for_each(|(t, (n, s))| focus.observe(&[*n, *s, 2.0 * s], at(t)));
        let all = every_window(Family::NORMAL, (m, 0.0), &panes);
        for c in candidates(&focus) {
            let (_, folds, ratio, n, sum) = all[c.first.0 as usize];
            prop_assert_eq!(c.folds, folds);
            prop_assert!((c.statistic - ratio - bonus(folds)).abs() < 1e-6);
            prop_assert!((c.n - n).abs() < 1e-6 && (c.sum - sum).abs() < 1e-6 && (c.along - 2.0 * sum).abs() < 1e-6);
        }
    }

    #[test]
    fn a_rise_of_a_rate_is_found_in_the_likeliest_of_all_windows(
        panes in prop::collection::vec((40u32..200, 0.2f64..0.9), 1..80), m in 100u32..5_000, rate in 0.1f64..0.9,
    ) {
        // 40 events at 10 % or more: every window has enough expected events to count
        let reference = (f64::from(m), (f64::from(m) * rate).round());
        let panes: Vec<(f64, f64)> = panes.iter().map(|(n, p)| (f64::from(*n), (f64::from(*n) * p).round())).collect();
        let mut up = RateUp::new(reference.0, reference.1);
        panes.iter().enumerate().for_each(|(t, (n, k))| up.observe(&[*n, *k, *n], at(t)));
        let found = largest(candidates(&up).iter().map(|c| c.statistic - bonus(c.folds)));
        let mut before = reference;
        let mut truth: f64 = 0.0;
        for (w, (n, k)) in every_window(Family::Bernoulli, reference, &panes).iter().zip(&panes) {
            if w.4 / w.3 > before.1 / before.0 {
                truth = truth.max(w.2);
            }
            before = (before.0 + n, before.1 + k);
        }
        prop_assert!((found - truth).abs() <= 1e-6 * truth.max(1.0), "{found} but the best window has {truth}");
    }

    #[test]
    fn too_few_errors_are_no_evidence(panes in prop::collection::vec((32u32..100, 0u32..3), 1..60), k in 0u32..5) {
        let rate = f64::from(k) / 1_000.0;
        let mut up = RateUp::new(1_000.0, f64::from(k));
        for (t, (n, k)) in panes.iter().enumerate() {
            up.observe(&[f64::from(*n), f64::from(*k), 0.0], at(t));
        }
        for c in candidates(&up) {
            prop_assert!(c.n * rate >= LEAST_EXPECTED || c.sum >= LEAST_OBSERVED);
        }
    }

    #[test]
    fn dyadic_windows_are_the_digits_of_the_fold_count(panes in prop::collection::vec(prop::collection::vec(0u64..40, 3), 1..200)) {
        let reference = vec![900, 600, 300];
        let mut mix = Mix::new(reference.clone());
        panes.iter().enumerate().for_each(|(t, counts)| mix.observe(&Groups { counts: counts.clone(), sum: 0, squares: 0 }, at(t)));
        // t in base two with the digits 1 and 2
        let (mut rest, mut place, mut length, mut truth) = (panes.len(), 1, 0, Vec::new());
        while rest > 0 {
            let digit = if rest % 2 == 0 { 2 } else { 1 };
            rest = (rest - digit) / 2;
            length += digit * place;
            place *= 2;
            let mut sums = vec![0; 3];
            panes[panes.len() - length..].iter().for_each(|p| sums.iter_mut().zip(p).for_each(|(a, b)| *a += b));
            truth.push((panes.len() - length, evidence(&sums, &reference)));
        }
        let mut shown = Vec::new();
        mix.windows(&Noise::INDEPENDENT, 0.0, &mut |nats, block| shown.push((block.first.0 as usize, nats)));
        prop_assert_eq!(shown, truth);
    }

    #[test]
    fn windows_that_are_left_out_lie_below_the_floor(
        panes in standardised(), family in families(), noise in noises(), m in 50.0f64..5_000.0, rate in 0.0f64..1.0, floor in 0.0f64..30.0,
    ) {
        let (mut focus, mut up) = (Focus::new(family, m), RateUp::new(m.round(), (m * rate).round()));
        let mut mix = Mix::new(vec![m as u64, (m * rate) as u64, 30]);
        for (t, (n, s)) in panes.iter().enumerate() {
            focus.observe(&[*n, *s, 0.0], at(t));
            let k = ((s / n / 3.0 + 0.5) * n).round();
            up.observe(&[*n, k, 0.0], at(t));
            mix.observe(&Groups { counts: vec![*n as u64, k as u64, 1], sum: 0, squares: 0 }, at(t));
        }
        let above = |fold: &dyn Shows, asked: f64| fold.shown(&noise, asked).into_iter().filter(|c| c.statistic >= floor).collect::<Vec<_>>();
        for fold in [&focus as &dyn Shows, &up, &mix] {
            prop_assert_eq!(above(fold, floor), above(fold, 0.0));
        }
    }

    #[test]
    fn evidence_that_is_left_out_lies_below_the_floor(
        window in prop::collection::vec(0u64..60, 2..24),
        reference in prop::collection::vec(0u64..4_000, 24),
        phi in prop_oneof![Just(1.0), 1.0f64..30.0],
        floor in 0.0f64..40.0,
    ) {
        let reference = &reference[..window.len()];
        let (exact, asked) = (evidence_from(&window, reference, phi, 0.0), evidence_from(&window, reference, phi, floor));
        prop_assert!(asked == exact || asked == 0.0 && exact < floor, "{exact} {asked} {floor}");
    }
}

#[test]
fn a_long_trend_keeps_the_hull_small_and_the_reference_in_it() {
    let mut focus = Focus::new(Family::NORMAL, 1_000.0);
    for t in 0..2_000 {
        let mean = t as f64 / 1_000.0; // each pane higher than the last: every prefix is a corner
        focus.observe(&[10.0, 10.0 * mean, 0.0], at(t));
    }
    let shown = candidates(&focus);
    assert!(shown.len() <= super::focus::HULL_CAP);
    assert!(shown.iter().any(|c| c.first == PaneId(0)), "the window since the reference is still there");
}

#[test]
fn a_clean_reference_is_not_blind() {
    let mut up = RateUp::new(10_000.0, 0.0);
    up.observe(&[100.0, 4.0, 0.0], at(0));
    assert_eq!(up.statistic(), 0.0, "four errors are not enough to count");
    up.observe(&[100.0, 4.0, 0.0], at(1));
    // by hand: 8 of 200 against 0 of 10,000: 8 ln(8/200) + 192 ln(192/200) - 8 ln(8/10200) - 10192 ln(10192/10200) + ½ ln 2
    assert!((up.statistic() - 32.0).abs() < 0.5, "{}", up.statistic());
}

#[test]
fn a_rare_category_does_not_look_like_a_change() {
    // one event of a category with one reference event in 10,000: happens in 1 of 250 windows of 40
    assert!(evidence(&[39, 1], &[9_999, 1]) < 6.0);
    assert_eq!(evidence(&[40, 0], &[9_999, 1]), evidence(&[40, 0], &[10_000, 0]).max(evidence(&[40, 0], &[9_999, 1])));
}
