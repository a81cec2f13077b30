//! Gap: the errors of some pairs beside those of others in the same panes.
//!
//! Each pane and label age is a stratum: of N pairs, K of them wrong, n belong to the one side. Were both sides alike, the wrong ones would
//! be a draw without replacement: `E = n K/N` of them on this side, with the variance `n (N-n) K (N-K) / (N² (N-1))`. What is common to
//! both sides (a hard day, early labels) drops out. Mantel, Haenszel, J. National Cancer Institute 22 (1959).
//!
//! Guarantees: merge adds; the order of panes decides the last bits of the three sums, so panes come in order.
//! Comes from: closed pair panes, by version. Goes to: `detect::versions`.
//!
//! ```
//! # use driftline::engine::{baseline::gap::Gap, summary::aged::AgedCounts, types::Span};
//! let of = |n: u64, k: u64| {
//!     let mut counts = AgedCounts::default();
//!     (0..n).for_each(|i| counts.add(Span::minutes(1), i < k));
//!     counts
//! };
//! let gap = Gap::between(&of(20, 4), &of(80, 6));
//! // by hand: E = 20·10/100 = 2; variance 20·80·10·90/(100²·99) = 1.4545; weight 20·80/100 = 16: 4 of 20 is 2/16 above 6 of 80
//! assert_eq!((gap.excess, gap.weight), (2.0, 16.0));
//! assert!((gap.variance - 1.4545).abs() < 1e-4 && (gap.excess / gap.weight - (0.2 - 0.075)).abs() < 1e-12);
//! ```

use crate::engine::summary::aged::AgedCounts;
use serde::{Deserialize, Serialize};

/// Two sides over some panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Pairs of this side.
    pub n: u64,
    /// Wrong ones.
    pub k: u64,
    /// Pairs of the others.
    pub others_n: u64,
    /// Wrong ones.
    pub others_k: u64,
    /// Wrong ones of this side beyond those that would be expected.
    pub excess: f64,
    /// Variance of `excess` if both sides are alike.
    pub variance: f64,
    /// `excess / weight` is the difference of both rates, weighted by strata.
    pub weight: f64,
}

impl Gap {
    /// One pane.
    pub fn between(this: &AgedCounts, others: &AgedCounts) -> Gap {
        let (n, k) = (this.n(), this.k());
        let mut gap = Gap { n, k, others_n: others.n(), others_k: others.k(), ..Gap::default() };
        for age in 0..this.pairs.len() {
            let (n, m) = (this.pairs[age] as f64, others.pairs[age] as f64);
            let (all, wrong) = (n + m, (this.errors[age] + others.errors[age]) as f64);
            if n > 0.0 && m > 0.0 {
                gap.excess += this.errors[age] as f64 - n * wrong / all;
                gap.variance += n * m * wrong * (all - wrong) / (all * all * (all - 1.0));
                gap.weight += n * m / all;
            }
        }
        gap
    }

    /// Adds later panes.
    pub fn merge(&mut self, later: &Gap) {
        self.n += later.n;
        self.k += later.k;
        self.others_n += later.others_n;
        self.others_k += later.others_k;
        self.excess += later.excess;
        self.variance += later.variance;
        self.weight += later.weight;
    }

    /// Right and wrong ones of both sides: of this one first.
    pub fn counts(&self) -> [u64; 4] {
        [self.n - self.k, self.k, self.others_n - self.others_k, self.others_k]
    }
}
