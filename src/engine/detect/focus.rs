//! FOCuS: has the mean changed, at any time, by any amount?
//!
//! Romano, Eckley, Fearnhead, Rigaill, "Fast online changepoint detection via functional pruning CUSUM", JMLR 24 (2023); for
//! exponential families Ward, Dilillo, Eckley, Fearnhead, "Poisson-FOCuS", JASA (2023).
//!
//! Statistic: the maximum over windows (n2, s2) that end now, against the reference and all history before them (n1, s1), of
//! the two-sample likelihood ratio + ½ ln w, w = folds in the window, at most 1,000.
//! - Normal family, values of unit variance: `LR = n1 n2/(n1+n2) (s1/n1 - s2/n2)² / 2`.
//! - Skewed values (skewness g): the gamma family with the same three moments,
//!   `LR = 4/g² [(n1+n2) l(x) - n1 l(x1) - n2 l(x2)]`, `l(x) = ln(1 + g x/2)`, x, x1, x2 the means; its limit for g = 0 is the above.
//! - Heavier tails than the gamma's (excess kurtosis k > 1.5 g²): g is moved by `√((k - 1.5 g²)/1.5)` towards the side that the
//!   window lies on, so that a rare value at both ends is no more evidence than one at one end.
//! - Counts: Poisson, `LR = s1 ln(s1/n1) + s2 ln(s2/n2) - (s1+s2) ln((s1+s2)/(n1+n2))`, n the exposure.
//! - Variance estimated with f degrees of freedom: `LR' = (f+1)/2 ln(1 + 2 LR/f)`.
//!
//! Only corners of the convex hull of the prefix sums can win (both sides): about 2 ln T points after T folds.
//! Blind to: changes that leave the mean as it is; changes inside one pane; anything that came before the reference.
//!
//! ```
//! # use driftline::engine::{detect::{focus::{Family, Focus}, noise::Noise, Fold, Gathered}, types::PaneId};
//! let mut f = Focus::new(Family::NORMAL, 100.0); // a reference of 100 values of mean 0 and variance 1
//! f.observe(&[10.0, 0.0, 0.0], Gathered::one(PaneId(0))); // 10 values, sum 0
//! f.observe(&[10.0, 10.0, 0.0], Gathered::one(PaneId(1))); // 10 values of mean 1
//! // by hand: window of the last pane: 110·10/120·1²/2 = 4.5833; of both: 100·20/120·.5²/2 + ½ ln 2 = 2.4299
//! let best = f.best(&Noise::INDEPENDENT).unwrap();
//! assert!((best.statistic - 4.5833).abs() < 1e-4 && best.first == PaneId(1));
//! ```

use super::bernoulli::{LEAST_EXPECTED, LEAST_OBSERVED};
use super::noise::{Noise, WORN, Window};
use super::{Candidate, Fold, Gathered, bonus, certainly_below};
use crate::engine::types::PaneId;
use serde::{Deserialize, Serialize};

/// Corners of one side's hull at most. 64 corners would need e^32 panes of noise; a long trend is thinned instead.
pub const HULL_CAP: usize = 64;

/// The likelihood behind the ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Family {
    /// Values of mean 0 and variance 1 in the reference.
    Standardised {
        /// Their skewness in the reference.
        skew: f64,
        /// Skewness that stands for tails heavier than the gamma's, on the side of the window; 0 for most.
        tail: f64,
        /// Degrees of freedom of the reference's variance; infinite if it is known.
        freedom: f64,
    },
    /// Zeros and ones.
    Bernoulli,
    /// Counts, n being the exposure.
    Poisson,
}

impl Family {
    /// Symmetric values of known variance.
    pub const NORMAL: Family = Family::Standardised { skew: 0.0, tail: 0.0, freedom: f64::INFINITY };

    /// The two-sample likelihood ratio of (n1, s1) and (n2, s2), in nats.
    pub fn ratio(&self, before: (f64, f64), window: (f64, f64)) -> f64 {
        match *self {
            Family::Standardised { skew, tail, freedom } => {
                let up = window.1 / window.0 > before.1 / before.0;
                let skew = if up { skew + tail } else { skew - tail };
                let ratio = if skew.abs() < 0.02 { normal(before, window) } else { gamma(skew, before, window) };
                if freedom.is_finite() { (freedom + 1.0) * 0.5 * libm::log1p(2.0 * ratio / freedom) } else { ratio }
            }
            Family::Bernoulli => bernoulli(before, window),
            Family::Poisson => poisson(before, window),
        }
    }
}

impl Family {
    /// The likelihood ratio, less what chance takes of it.
    ///
    /// Traffic and rare events vary by factors. As far as phi is waves (the part `a = (phi-1)/phi`), a rise by the factor r counts as the
    /// logarithm's shift by ln r (of a rate: the odds'), `(ln r)²/2` instead of `r ln r - r + 1` times the expected events: a wave doubles as
    /// often as it halves.
    pub fn evidence(&self, before: (f64, f64), window: (f64, f64), noise: &Noise, at: &Window) -> f64 {
        let mut nats = self.ratio(before, window);
        if let Some(of_logarithms) = self.of_logarithms(before, window) {
            let phi = noise.phi(at);
            nats -= (nats - of_logarithms).max(0.0) * (phi - 1.0) / phi;
        }
        noise.tempered(nats, at)
    }

    /// The ratio of a rise, if what is counted varied by factors.
    fn of_logarithms(&self, (n1, s1): (f64, f64), (n2, s2): (f64, f64)) -> Option<f64> {
        let standing = |events: f64, n: f64| if matches!(self, Family::Bernoulli) { events / (n - events) } else { events / n };
        let rises =
            !matches!(self, Family::Standardised { .. }) && s1 > 0.0 && s2 * n1 > s1 * n2 && (s2 < n2 || matches!(self, Family::Poisson));
        rises.then(|| {
            let shift = libm::log(standing(s2, n2) / standing(s1, n1));
            let free = if matches!(self, Family::Bernoulli) { 1.0 - s1 / n1 } else { 1.0 };
            0.5 * shift * shift * free * s1 * n2 / (n1 + n2)
        })
    }

    /// No less than `ratio`, without logarithms.
    ///
    /// The gamma's l has the second derivative `-(g/2)²/(1 + g x/2)²`, at most that at the end of [x1, x2] where it is largest; of zeros and ones, and of counts,
    /// Pearson's X² is at least the likelihood ratio. What the variance's degrees of freedom add is at most `WORN`.
    pub fn bound(&self, before: (f64, f64), window: (f64, f64)) -> f64 {
        let known = normal(before, window);
        match *self {
            Family::Standardised { skew, tail, freedom } => {
                let (x1, x2) = (before.1 / before.0, window.1 / window.0);
                let skew = if x2 > x1 { skew + tail } else { skew - tail };
                let least = 1.0 + 0.5 * (skew * x1).min(skew * x2);
                match (skew.abs() < 0.02, least > 0.001 && freedom >= 1.0) {
                    (_, false) => f64::INFINITY,
                    (true, _) => known.max(WORN),
                    (false, _) => (known / (least * least)).max(WORN),
                }
            }
            Family::Bernoulli => {
                let p = (before.1 + window.1) / (before.0 + window.0);
                if p > 0.0 && p < 1.0 { 2.0 * known / (p * (1.0 - p)) } else { f64::INFINITY }
            }
            Family::Poisson => {
                let mean = (before.1 + window.1) / (before.0 + window.0);
                if mean > 0.0 { 2.0 * known / mean } else { f64::INFINITY }
            }
        }
    }
}

fn normal((n1, s1): (f64, f64), (n2, s2): (f64, f64)) -> f64 {
    let d = s1 / n1 - s2 / n2;
    n1 * n2 / (n1 + n2) * d * d * 0.5
}

fn gamma(skew: f64, (n1, s1): (f64, f64), (n2, s2): (f64, f64)) -> f64 {
    // A mean beyond the end of the gamma's support cannot be told from one at its end.
    let l = |n: f64, s: f64| n * libm::log1p((skew * 0.5 * s / n).max(-0.999));
    (4.0 / (skew * skew) * (l(n1 + n2, s1 + s2) - l(n1, s1) - l(n2, s2))).max(0.0)
}

fn bernoulli((n1, k1): (f64, f64), (n2, k2): (f64, f64)) -> f64 {
    let l = |n: f64, k: f64| {
        let part = |a: f64| if a <= 0.0 { 0.0 } else { a * libm::log(a / n) };
        part(k) + part(n - k)
    };
    (l(n1, k1) + l(n2, k2) - l(n1 + n2, k1 + k2)).max(0.0)
}

fn poisson((n1, s1): (f64, f64), (n2, s2): (f64, f64)) -> f64 {
    let l = |n: f64, s: f64| if s <= 0.0 { 0.0 } else { s * libm::log(s / n) };
    (l(n1, s1) + l(n2, s2) - l(n1 + n2, s1 + s2)).max(0.0)
}

/// Sums over the reference and everything folded up to some pane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prefix {
    /// Events.
    pub n: f64,
    /// Sum of the values.
    pub s: f64,
    /// Sum of what travels along.
    pub along: f64,
    /// Folds.
    pub folds: u32,
    /// First pane that is not in it.
    pub next: PaneId,
}

/// Lower (`up`) or upper hull of the prefix sums: the only change points from which the mean can have risen (fallen).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hull {
    up: bool,
    corners: Vec<Prefix>,
}

impl Hull {
    /// An empty hull for rises (`up`) or falls.
    pub fn new(up: bool) -> Hull {
        Hull { up, corners: Vec::new() }
    }

    /// Adds the newest prefix, dropping those that can never win again.
    pub fn push(&mut self, q: Prefix) {
        while let [.., a, b] = self.corners.as_slice() {
            let bend = (q.s - b.s) / (q.n - b.n) - (b.s - a.s) / (b.n - a.n);
            if (self.up && bend > 0.0) || (!self.up && bend < 0.0) {
                break;
            }
            self.corners.pop();
        }
        self.corners.push(q);
        if self.corners.len() > HULL_CAP {
            // every second corner of the older half, never the reference itself
            let mut at = 0;
            self.corners.retain(|_| {
                at += 1;
                at > HULL_CAP / 2 || at % 2 == 1
            });
        }
    }

    /// Shows (prefix, events, sum) of each window from a corner to `now` whose mean lies on this hull's side.
    pub fn windows(&self, now: &Prefix, visit: &mut dyn FnMut(&Prefix, f64, f64)) {
        for p in self.corners.iter().rev() {
            let (n2, s2) = (now.n - p.n, now.s - p.s);
            let d = s2 / n2 - p.s / p.n;
            if (self.up && d > 0.0) || (!self.up && d < 0.0) {
                visit(p, n2, s2);
            }
        }
    }

    /// Number of corners.
    pub fn len(&self) -> usize {
        self.corners.len()
    }

    /// True before the first fold.
    pub fn is_empty(&self) -> bool {
        self.corners.is_empty()
    }
}

/// Two-sided FOCuS on standardised values or counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Focus {
    family: Family,
    now: Prefix,
    rises: Hull,
    falls: Hull,
}

impl Focus {
    /// Against a reference of `m` values with mean 0 and variance 1.
    pub fn new(family: Family, m: f64) -> Focus {
        Focus::after(family, m, 0.0)
    }

    /// Against a reference of `m` values whose sum is `sum`.
    pub fn after(family: Family, m: f64, sum: f64) -> Focus {
        let now = Prefix { n: m, s: sum, along: 0.0, folds: 0, next: PaneId(i64::MIN) };
        Focus { family, now, rises: Hull::new(true), falls: Hull::new(false) }
    }

    /// The likelihood that it uses.
    pub fn family(&self) -> Family {
        self.family
    }
}

impl Fold for Focus {
    /// Events, sum of the values, sum of what travels along.
    type Pane = [f64; 3];

    fn observe(&mut self, &[n, s, along]: &[f64; 3], at: Gathered) {
        let before = Prefix { next: at.first, ..self.now };
        self.rises.push(before);
        self.falls.push(before);
        let now = &mut self.now;
        *now = Prefix { n: now.n + n, s: now.s + s, along: now.along + along, folds: now.folds + 1, next: at.last.offset(1) };
    }

    fn candidates(&self, noise: &Noise, floor: f64, visit: &mut dyn FnMut(Candidate)) {
        let now = self.now;
        for hull in [&self.rises, &self.falls] {
            hull.windows(&now, &mut |p, n, sum| {
                if self.family == Family::Poisson && hull.up && n * p.s / p.n < LEAST_EXPECTED && sum < LEAST_OBSERVED {
                    return; // one row is no evidence
                }
                let folds = now.folds - p.folds;
                let window = Window { folds, n, before: p.n, history: p.folds };
                if certainly_below(floor, self.family.bound((p.n, p.s), (n, sum)), noise, &window) {
                    return;
                }
                let statistic = self.family.evidence((p.n, p.s), (n, sum), noise, &window) + bonus(folds);
                visit(Candidate { statistic, first: p.next, folds, n, sum, along: now.along - p.along });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_by_factors_is_seen_as_logarithms_when_it_rises() {
        let rate = |before, window| (Family::Bernoulli.ratio(before, window), Family::Bernoulli.of_logarithms(before, window));
        // by hand: p = 130/11000, 1000 KL(.03 | p) + 10000 KL(.01 | p) = 9.933 + 1.493; the odds' logarithm moves by 1.1190,
        // 1.1190^2/2 * .99 * 100 * 1000/11000 = 5.635
        let (nats, of_logarithms) = rate((10_000.0, 100.0), (1_000.0, 30.0));
        assert!((nats - 11.426).abs() < 0.002 && (of_logarithms.unwrap() - 5.635).abs() < 0.002, "{nats} {of_logarithms:?}");
        // small changes of common ones are as much evidence either way
        let (nats, of_logarithms) = rate((1e6, 3e5), (1e4, 3_050.0));
        assert!((of_logarithms.unwrap() / nats - 1.0).abs() < 0.01, "{nats} {of_logarithms:?}");
        // a fall, nothing before, all of the window, values: nothing to take off
        assert_eq!(rate((10_000.0, 100.0), (1_000.0, 5.0)).1, None);
        assert_eq!(rate((10_000.0, 0.0), (1_000.0, 5.0)).1, None);
        assert_eq!(rate((10_000.0, 100.0), (10.0, 10.0)).1, None);
        assert_eq!(Family::NORMAL.of_logarithms((100.0, 1.0), (10.0, 10.0)), None);
    }

    #[test]
    fn bursts_of_a_rare_event_are_less_evidence_than_as_many_single_ones() {
        let (before, window) = ((100_000.0, 100.0), (2_000.0, 12.0));
        let at = Window { folds: 20, n: 2_000.0, before: 100_000.0, history: 1_000 };
        let waves = Noise::new(1_000, 100.0, &[0.01, 0.02, 0.03, 0.04, 0.04], 0.0);
        let seen = Family::Bernoulli.evidence(before, window, &waves, &at);
        assert!(seen < 0.9 * waves.tempered(Family::Bernoulli.ratio(before, window), &at), "{seen}");
        let single = Family::Bernoulli.evidence(before, window, &Noise::INDEPENDENT, &at);
        assert_eq!(single, Noise::INDEPENDENT.tempered(Family::Bernoulli.ratio(before, window), &at));
    }
}
