//! G on dyadic windows: has the mix of categories changed?
//!
//! Likelihood-ratio test of homogeneity, Sokal and Rohlf, "Biometry" (1995), section 17.4; Williams' correction, Biometrika 63 (1976).
//!
//! For each window of `dyadic` with counts o (n in all) against the reference counts r (m in all), `q = (o + r)/(n + m)`: groups
//! that can expect fewer than 2 events in the smaller sample are counted as one; with B groups left and n >= 5B,
//! `G = 2 Σ [o ln(o/(n q)) + r ln(r/(m q))]`, divided by `1 + (N/n + N/m - 1)(Σ 1/q - 1)/(6 N (B-1))`, N = n + m. Statistic: the maximum over windows of -ln p, p the chi-square tail with B-1 degrees of freedom.
//! Also read for grouped bins of numbers, where it sees changes of shape. Blind to: windows between powers of two (at most a
//! factor 2 longer than the best one); order among categories.
//!
//! ```
//! # use driftline::engine::detect::category::evidence;
//! // by hand: 30 of 40 against 500 of 1,000: G = 10.0803; Williams 1 + (26 + 1.04 - 1)(4.0015 - 1)/6240 = 1.0125; -ln P(chi² > 9.9556) = 6.4355
//! assert!((evidence(&[30, 10], &[500, 500]) - 6.4355).abs() < 1e-3);
//! ```

use super::dyadic::{Block, History};
use super::noise::{Noise, WORN, Window};
use super::normal::{chi_square_nats, chi_square_surely_below};
use super::{Candidate, Fold, Gathered};
use serde::{Deserialize, Serialize};

/// Groups that can expect fewer events in the smaller sample are counted as one.
pub const LEAST_EXPECTED: f64 = 2.0;
/// A window counts with this many events per group.
pub const EVENTS_PER_GROUP: f64 = 5.0;

/// -ln p that `window` and `reference` are samples of the same mix; 0 if the window is too small to say.
pub fn evidence(window: &[u64], reference: &[u64]) -> f64 {
    evidence_from(window, reference, 1.0, 0.0)
}

/// `evidence`, or 0 where it is certainly below `floor`: most windows are, and a bound without logarithms says so.
///
/// `phi` is the variance factor of a mix whose waves go in one direction (`noise`): of the k degrees of freedom one varies by so much
/// more. G is then about `a` times a chi-square with `b` degrees of freedom, `a = Σ λ²/Σ λ`, `b = (Σ λ)²/Σ λ²`, λ = (phi, 1, … 1):
/// Satterthwaite, Biometrics Bulletin 2 (1946); Rao and Scott, Annals of Statistics 12 (1984). Far out that is too light: there the one
/// direction is alone, and no more evidence is left than it has, with two standard deviations of the others taken off.
pub fn evidence_from(window: &[u64], reference: &[u64], phi: f64, floor: f64) -> f64 {
    evidence_of((window, total(window)), (reference, total(reference)), phi, floor)
}

/// The same for counts whose sums are known.
fn evidence_of((window, n): (&[u64], f64), (reference, m): (&[u64], f64), phi: f64, floor: f64) -> f64 {
    if n == 0.0 || m == 0.0 {
        return 0.0;
    }
    let all = n + m;
    let smaller = n.min(m);
    let small = |o: f64, r: f64| (o + r) * smaller < LEAST_EXPECTED * all;
    // X² of both samples is the sum of (o m - r n)²/(o + r), over n m
    let squared = |o: f64, r: f64, share: f64| (o * m - r * n) * (o * m - r * n) * share;
    let (mut pearson, mut groups, mut inverse) = (0.0, 0u32, 0.0);
    let (mut rest_o, mut rest_r) = (0.0, 0.0);
    for (o, r) in counts(window, reference) {
        if small(o, r) {
            rest_o += o;
            rest_r += r;
        } else {
            let share = all / (o + r);
            pearson += squared(o, r, share);
            inverse += share;
            groups += 1;
        }
    }
    if rest_o + rest_r > 0.0 {
        pearson += squared(rest_o, rest_r, all / (rest_o + rest_r));
        inverse += 1.0 / ((rest_o + rest_r) / all).max(LEAST_EXPECTED / smaller);
        groups += 1;
    }
    if groups < 2 || n < EVENTS_PER_GROUP * f64::from(groups) {
        return 0.0;
    }
    let freedom = groups - 1;
    let williams = 1.0 + (all / n + all / m - 1.0) * (inverse - 1.0) / (6.0 * all * f64::from(freedom));
    // G <= 2 X², as a Kullback-Leibler divergence is at most Pearson's
    if chi_square_surely_below(2.0 * pearson / (all * n * m) / williams, freedom, floor) {
        return 0.0;
    }
    let part = |x: f64, expected: f64| if x > 0.0 { x * libm::log(x / expected) } else { 0.0 };
    let term = |o: f64, r: f64| {
        let q = (o + r) / all;
        part(o, n * q) + part(r, m * q)
    };
    let mut g = counts(window, reference).filter(|(o, r)| !small(*o, *r)).fold(0.0, |g, (o, r)| g + term(o, r));
    if rest_o + rest_r > 0.0 {
        g += term(rest_o, rest_r);
    }
    tail(2.0 * g / williams, freedom, phi)
}

/// -ln P(G > g) with `freedom` degrees of freedom, one of which varies `phi` times as much.
fn tail(g: f64, freedom: u32, phi: f64) -> f64 {
    if phi <= 1.0 {
        return chi_square_nats(g, freedom);
    }
    let others = f64::from(freedom) - 1.0;
    let (sum, squares) = (others + phi, others + phi * phi);
    let (whole, g, b) = (g, g * sum / squares, sum * sum / squares);
    let below = b.floor().max(1.0);
    let [low, high] = [below, below + 1.0].map(|k| chi_square_nats(g, k as u32));
    let together = low + (high - low) * (b - below).max(0.0);
    let alone = (whole - others - 2.0 * libm::sqrt(2.0 * others)) / phi;
    together.min(chi_square_nats(alone, 1))
}

fn counts<'a>(window: &'a [u64], reference: &'a [u64]) -> impl Iterator<Item = (f64, f64)> + 'a {
    // by way of i64: counts are far below 2^63, and one instruction takes those
    window.iter().zip(reference).map(|(o, r)| (*o as i64 as f64, *r as i64 as f64))
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

/// Watches the mix of groups against reference counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    reference: Vec<u64>,
    history: History,
}

/// What `Mix` reads of a pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// Events per group.
    pub counts: Vec<u64>,
    /// Sum of z in fixed point (kept for descriptions; 0 for categories).
    pub sum: i128,
    /// Sum of z² in fixed point.
    pub squares: i128,
}

impl Mix {
    /// Against reference counts per group.
    pub fn new(reference: Vec<u64>) -> Mix {
        Mix { reference, history: History::default() }
    }

    /// The reference counts.
    pub fn reference(&self) -> &[u64] {
        &self.reference
    }

    /// Shows each window that ends now with its -ln p, or with 0 where that is certainly below `floor`.
    pub fn windows(&self, noise: &Noise, floor: f64, visit: &mut dyn FnMut(f64, &Block)) {
        let m = total(&self.reference);
        let inverse: Vec<f64> = self.reference.iter().map(|r| if *r > 0 { 1.0 / *r as f64 } else { 0.0 }).collect();
        self.history.windows(|block| {
            let n = block.n() as f64;
            if floor > 0.0 && self.surely_below((&block.counts, n), m, &inverse, floor) {
                return visit(0.0, block);
            }
            let window = Window { folds: block.folds, n: n.max(1.0), before: m.max(1.0), history: 0 };
            let phi = noise.phi(&window);
            let nats = evidence_of((&block.counts, n), (&self.reference, m), phi, floor);
            visit(noise.certain(nats, phi, &window), block);
        });
    }

    /// Whether the evidence of a window is below `floor`, without a division: `(o m - r n)²/(o + r)` is at most that over r, and neither adding
    /// up small groups nor Williams nor phi make more of it. `inverse`: 1/r, or 0.
    fn surely_below(&self, (window, n): (&[u64], f64), m: f64, inverse: &[f64], floor: f64) -> bool {
        let (scale, all, smaller) = (n / m, n + m, n.min(m));
        let (mut pearson, mut large, mut rest, mut new) = (0.0, 0u32, false, false);
        for ((o, r), inverse) in counts(window, &self.reference).zip(inverse) {
            let away = o - r * scale;
            pearson += away * away * inverse;
            new |= r == 0.0 && o > 0.0;
            let small = (o + r) * smaller < LEAST_EXPECTED * all;
            large += u32::from(!small);
            rest |= small && o + r > 0.0;
        }
        let groups = large + u32::from(rest);
        if groups < 2 || n < EVENTS_PER_GROUP * f64::from(groups) {
            return true; // too little to say
        }
        !new && WORN < floor && chi_square_surely_below(2.0 * pearson / scale, groups - 1, floor)
    }

    /// The start that fits best among all block borders: finer than the windows that are tested.
    pub fn refine(&self) -> Option<Block> {
        let mut best: Option<(f64, Block)> = None;
        self.history.suffixes(|block| {
            let nats = evidence(&block.counts, &self.reference);
            if best.as_ref().is_none_or(|(b, _)| nats > *b) {
                best = Some((nats, block.clone()));
            }
        });
        best.map(|(_, block)| block)
    }

    /// Counts since about `first`.
    pub fn since(&self, first: crate::engine::types::PaneId) -> Option<Block> {
        self.history.since(first)
    }
}

impl Fold for Mix {
    type Pane = Groups;

    fn observe(&mut self, pane: &Groups, at: Gathered) {
        self.history.push(&pane.counts, pane.sum, pane.squares, at);
    }

    fn candidates(&self, noise: &Noise, floor: f64, visit: &mut dyn FnMut(Candidate)) {
        self.windows(noise, floor, &mut |statistic, block| {
            if statistic > 0.0 {
                let n = block.n() as f64;
                visit(Candidate { statistic, first: block.first, folds: block.folds, n, sum: 0.0, along: 0.0 });
            }
        });
    }
}
