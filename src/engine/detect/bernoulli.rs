//! One-sided Bernoulli FOCuS: has a rate gone up?
//!
//! The method of `focus`, with zeros and ones. Statistic: the maximum over windows (n2, k2) with a higher rate than the
//! reference and history (n1, k1) before them of `n1 KL(k1/n1 ‖ p) + n2 KL(k2/n2 ‖ p) + ½ ln w`, `p = (k1+k2)/(n1+n2)`,
//! `KL(a ‖ b) = a ln(a/b) + (1-a) ln((1-a)/(1-b))`. A window counts with at least 2 expected or at least 5 observed events, so
//! that one error is no evidence and a reference without any error is not blind. As far as the reference shows waves, rises count by
//! factors (`Family::evidence`): rare errors come in bursts.
//! Cost: about ln T corners. Blind to: falls of the rate; changes inside one pane.
//!
//! ```
//! # use driftline::engine::{detect::{bernoulli::RateUp, Fold, Gathered}, types::PaneId};
//! let mut d = RateUp::new(1_000.0, 50.0); // reference: 50 of 1,000
//! d.observe(&[100.0, 12.0, 0.0], Gathered::one(PaneId(0)));
//! // by hand: p = 62/1100; 1000·KL(.05 ‖ p) + 100·KL(.12 ‖ p) = .3950 + 2.9239
//! assert!((d.statistic() - 3.3189).abs() < 1e-3);
//! ```

use super::focus::{Family, Hull, Prefix};
use super::noise::{Noise, Window};
use super::{Candidate, Fold, Gathered, bonus, certainly_below};
use crate::engine::types::PaneId;
use serde::{Deserialize, Serialize};

/// A window counts with this many expected events ...
pub const LEAST_EXPECTED: f64 = 2.0;
/// ... or with this many observed ones.
pub const LEAST_OBSERVED: f64 = 5.0;

/// Watches a rate for rises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateUp {
    rate: f64,
    now: Prefix,
    rises: Hull,
}

impl RateUp {
    /// Against a reference of `k` in `n` events.
    pub fn new(n: f64, k: f64) -> RateUp {
        let now = Prefix { n, s: k, along: 0.0, folds: 0, next: PaneId(i64::MIN) };
        RateUp { rate: k / n, now, rises: Hull::new(true) }
    }
}

impl Fold for RateUp {
    /// Events (or exposure), events with the property, what travels along.
    type Pane = [f64; 3];

    fn observe(&mut self, &[n, k, along]: &[f64; 3], at: Gathered) {
        self.rises.push(Prefix { next: at.first, ..self.now });
        let now = &mut self.now;
        *now = Prefix { n: now.n + n, s: now.s + k, along: now.along + along, folds: now.folds + 1, next: at.last.offset(1) };
    }

    fn candidates(&self, noise: &Noise, floor: f64, visit: &mut dyn FnMut(Candidate)) {
        let now = self.now;
        self.rises.windows(&now, &mut |p, n, sum| {
            if n * self.rate < LEAST_EXPECTED && sum < LEAST_OBSERVED {
                return;
            }
            let folds = now.folds - p.folds;
            let window = Window { folds, n, before: p.n, history: p.folds };
            if certainly_below(floor, Family::Bernoulli.bound((p.n, p.s), (n, sum)), noise, &window) {
                return;
            }
            let statistic = Family::Bernoulli.evidence((p.n, p.s), (n, sum), noise, &window) + bonus(folds);
            visit(Candidate { statistic, first: p.next, folds, n, sum, along: now.along - p.along });
        });
    }
}
