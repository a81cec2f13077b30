//! Distances between the counts of a reference and of a window: shown with every alert, never thresholded raw.
//!
//! All take equally long lists of counts: `p` the reference (m events), `q` the window (n events). Natural logarithms.
//! PSI of 100 events in 20 bins exceeds .1 in 92 % of windows without any change: hence the unbiased one.

use libm::{fabs, log, sqrt};

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

fn shares(p: &[u64], q: &[u64]) -> Option<Vec<(f64, f64)>> {
    let (m, n) = (total(p), total(q));
    if m == 0.0 || n == 0.0 {
        return None;
    }
    Some(p.iter().zip(q).map(|(a, b)| (*a as f64 / m, *b as f64 / n)).collect())
}

fn sum(p: &[u64], q: &[u64], f: impl Fn(f64, f64) -> f64) -> f64 {
    shares(p, q).map_or(0.0, |s| s.into_iter().map(|(a, b)| f(a, b)).sum())
}

/// Shares with half an event added to every cell, so that empty cells stay finite.
fn smoothed(p: &[u64], q: &[u64]) -> Vec<(f64, f64)> {
    let half = 0.5 * p.len() as f64;
    let (m, n) = (total(p) + half, total(q) + half);
    p.iter().zip(q).map(|(a, b)| ((*a as f64 + 0.5) / m, (*b as f64 + 0.5) / n)).collect()
}

/// Population stability index `Σ (q - p) ln(q/p)`, half an event added to every cell.
///
/// ```
/// # use driftline::engine::detect::distance::psi;
/// // by hand: shares .5 and .5 against .3002 and .6998: .1998 · ln(.6998/.3002) = .1691
/// assert!((psi(&[500, 500], &[300, 700]) - 0.1691).abs() < 1e-4);
/// ```
pub fn psi(p: &[u64], q: &[u64]) -> f64 {
    if total(p) == 0.0 || total(q) == 0.0 {
        return 0.0;
    }
    smoothed(p, q).into_iter().map(|(a, b)| (b - a) * log(b / a)).sum()
}

/// PSI without what sampling alone adds: minus `(B-1)(1/n + 1/m)`, B the cells with events. May be negative.
///
/// ```
/// # use driftline::engine::detect::distance::{psi, psi_unbiased};
/// // by hand: one degree of freedom, 1/1000 + 1/1000
/// assert!((psi(&[500, 500], &[300, 700]) - psi_unbiased(&[500, 500], &[300, 700]) - 0.002).abs() < 1e-12);
/// ```
pub fn psi_unbiased(p: &[u64], q: &[u64]) -> f64 {
    let (m, n) = (total(p), total(q));
    if m == 0.0 || n == 0.0 {
        return 0.0;
    }
    psi(p, q) - free(p, q) * (1.0 / n + 1.0 / m)
}

/// Standard error of PSI: the delta method plus the spread that it has without any change, 2 (B-1) (1/n + 1/m)².
pub fn psi_error(p: &[u64], q: &[u64]) -> f64 {
    let (m, n) = (total(p), total(q));
    if m == 0.0 || n == 0.0 {
        return 0.0;
    }
    let cells = smoothed(p, q);
    let variance = |f: &dyn Fn(f64, f64) -> (f64, f64)| {
        let (mut mean, mut square) = (0.0, 0.0);
        for (a, b) in &cells {
            let (weight, slope) = f(*a, *b);
            mean += weight * slope;
            square += weight * slope * slope;
        }
        (square - mean * mean).max(0.0)
    };
    let of_q = variance(&|a, b| (b, log(b / a) + 1.0 - a / b));
    let of_p = variance(&|a, b| (a, log(a / b) + 1.0 - b / a));
    let noise = 1.0 / n + 1.0 / m;
    sqrt(of_q / n + of_p / m + 2.0 * free(p, q) * noise * noise)
}

/// Cells with events on either side, minus one.
fn free(p: &[u64], q: &[u64]) -> f64 {
    (p.iter().zip(q).filter(|(a, b)| **a + **b > 0).count() as f64 - 1.0).max(0.0)
}

/// Jensen-Shannon divergence in nats, 0 to ln 2.
///
/// ```
/// # use driftline::engine::detect::distance::js;
/// assert!((js(&[1, 0], &[0, 1]) - 2f64.ln()).abs() < 1e-12); // nothing in common
/// // by hand: .5 [.5 ln(.5/.75) + .5 ln(.5/.25)] + .5 ln(1/.75) = .2158
/// assert!((js(&[1, 1], &[2, 0]) - 0.2158).abs() < 1e-4);
/// ```
pub fn js(p: &[u64], q: &[u64]) -> f64 {
    let part = |x: f64, mid: f64| if x > 0.0 { x * log(x / mid) } else { 0.0 };
    sum(p, q, |a, b| 0.5 * (part(a, 0.5 * (a + b)) + part(b, 0.5 * (a + b))))
}

/// Hellinger distance, 0 to 1.
///
/// ```
/// # use driftline::engine::detect::distance::hellinger;
/// // by hand: √(½ [(√.5 - 1)² + (√.5)²]) = √.29289
/// assert!((hellinger(&[1, 1], &[2, 0]) - 0.5412).abs() < 1e-4);
/// ```
pub fn hellinger(p: &[u64], q: &[u64]) -> f64 {
    sqrt(0.5 * sum(p, q, |a, b| (sqrt(a) - sqrt(b)) * (sqrt(a) - sqrt(b))))
}

/// Kolmogorov-Smirnov distance over the ordered cells: at most the largest cell's share below the exact one.
///
/// ```
/// # use driftline::engine::detect::distance::ks;
/// assert!((ks(&[1, 1, 2], &[2, 1, 1]) - 0.25).abs() < 1e-12); // by hand: cumulated .25 .5 1 and .5 .75 1
/// ```
pub fn ks(p: &[u64], q: &[u64]) -> f64 {
    let (mut ahead, mut most) = (0.0, 0.0f64);
    for (a, b) in shares(p, q).unwrap_or_default() {
        ahead += b - a;
        most = most.max(fabs(ahead));
    }
    most
}

/// First Wasserstein distance over ordered cells, in cells.
///
/// ```
/// # use driftline::engine::detect::distance::wasserstein;
/// assert!((wasserstein(&[1, 1, 2], &[2, 1, 1]) - 0.5).abs() < 1e-12); // by hand: .25 + .25
/// ```
pub fn wasserstein(p: &[u64], q: &[u64]) -> f64 {
    let width = vec![1.0; p.len()];
    wasserstein_between(p, q, &width)
}

/// First Wasserstein distance in the signal's unit; `steps[i]` is the distance from cell i to cell i + 1.
///
/// ```
/// # use driftline::engine::detect::distance::wasserstein_between;
/// assert!((wasserstein_between(&[1, 1, 2], &[2, 1, 1], &[10.0, 20.0]) - 7.5).abs() < 1e-12); // by hand: 2.5 + 5
/// ```
pub fn wasserstein_between(p: &[u64], q: &[u64], steps: &[f64]) -> f64 {
    let mut ahead = 0.0;
    shares(p, q)
        .unwrap_or_default()
        .iter()
        .zip(steps)
        .map(|((a, b), step)| {
            ahead += b - a;
            fabs(ahead) * step
        })
        .sum()
}

/// Total variation distance, 0 to 1: the share of events that would have to move.
///
/// ```
/// # use driftline::engine::detect::distance::tvd;
/// assert!((tvd(&[1, 1, 2], &[2, 1, 1]) - 0.25).abs() < 1e-12); // by hand
/// ```
pub fn tvd(p: &[u64], q: &[u64]) -> f64 {
    0.5 * sum(p, q, |a, b| fabs(a - b))
}

/// Likelihood-ratio statistic G of homogeneity; twice a likelihood ratio in nats.
///
/// ```
/// # use driftline::engine::detect::distance::g;
/// // by hand: 2 [30 ln(30/(40·530/1040)) + 10 ln(10/(40·510/1040)) + 500 ln(500/(1000·530/1040)) + 500 ln(500/(1000·510/1040))]
/// // = 2 [11.5925 - 6.7373 - 9.5241 + 9.7090]
/// assert!((g(&[500, 500], &[30, 10]) - 10.0803).abs() < 1e-3);
/// ```
pub fn g(p: &[u64], q: &[u64]) -> f64 {
    let (m, n) = (total(p), total(q));
    let part = |x: f64, expected: f64| if x > 0.0 { x * log(x / expected) } else { 0.0 };
    let each = p.iter().zip(q).map(|(a, b)| {
        let (a, b) = (*a as f64, *b as f64);
        let share = (a + b) / (m + n);
        part(a, m * share) + part(b, n * share)
    });
    if m == 0.0 || n == 0.0 { 0.0 } else { 2.0 * each.sum::<f64>() }
}

/// Pearson's chi-square of homogeneity.
///
/// ```
/// # use driftline::engine::detect::distance::chi_square;
/// // by hand: N (ad - bc)² / (product of the four totals) = 100·(40·40 - 10·10)²/50⁴ = 36
/// assert!((chi_square(&[40, 10], &[10, 40]) - 36.0).abs() < 1e-9);
/// ```
pub fn chi_square(p: &[u64], q: &[u64]) -> f64 {
    let (m, n) = (total(p), total(q));
    if m == 0.0 || n == 0.0 {
        return 0.0;
    }
    let cell = |x: f64, expected: f64| (x - expected) * (x - expected) / expected;
    let each = p.iter().zip(q).filter(|(a, b)| **a + **b > 0).map(|(a, b)| {
        let (a, b) = (*a as f64, *b as f64);
        let share = (a + b) / (m + n);
        cell(a, m * share) + cell(b, n * share)
    });
    each.sum()
}
