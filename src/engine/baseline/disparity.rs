//! Disparity: by how much a group is treated worse than others, beyond what is tolerated.
//!
//! In each stratum (a pane; a pane and label age; a pane and score bin) n events of the group and m of those it is compared with, k and r of
//! them with the property, N = n + m. With Mantel-Haenszel weights, so that what all groups of a stratum share drops out, the excess beyond the limit is
//! - for a difference d: `k m/N - r n/N - d nm/N`, weight `nm/N`; its variance where the rates differ by just d: `(nm/N)² (p1 q1/n + p2 q2/m)`,
//!   `p2 = (k + r - n d)/N`, `p1 = p2 + d`;
//! - for a ratio c: `c r n/N - k m/N`, weight `r n/N`; its variance where they stand in just that ratio: `(m/N)² n p1 q1 + c² (n/N)² m p2 q2`,
//!   `p2 = (k + r)/(m + c n)`, `p1 = c p2`;
//!
//! both variances times N/(N-1), since the rates are estimated from the stratum. Mantel, Haenszel, J. National Cancer Institute 22 (1959);
//! Greenland, Robins, Biometrics 41 (1985).
//! Guarantees: merge adds; the order of panes decides the last bits of the three sums, so panes come in order.
//! Comes from: closed panes, by group. Goes to: `detect::disparity`.
//!
//! ```
//! # use driftline::engine::baseline::disparity::{Disparity, Limit};
//! // 20 of 100 women and 30 of 100 men get a loan: at least .8 · .3 = .24 is tolerated
//! let d = Disparity::between(&[(100, 20)], &[(100, 30)], Limit::Ratio(0.8));
//! // by hand: .8·30·.5 - 20·.5 = 2; weight 30·.5; p2 = 50/180 = .2778, p1 = .2222: (.25·100·.1728 + .64·.25·100·.2006)·200/199 = 7.568
//! assert_eq!((d.gap.excess, d.gap.weight), (2.0, 15.0));
//! assert!((d.gap.variance - 7.568).abs() < 1e-3 && (0.8 - d.gap.excess / d.gap.weight - 20.0 / 30.0).abs() < 1e-12);
//! ```

use super::gap::Gap;
use serde::{Deserialize, Serialize};

/// What is tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// The group's rate is at least this many times that of the others.
    Ratio(f64),
    /// The group's rate is at most so much above that of the others.
    Difference(f64),
}

/// A group beside others over some panes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disparity {
    /// Both sides; `excess` is what lies beyond the limit.
    pub gap: Gap,
    /// The limit.
    pub limit: Limit,
}

impl Disparity {
    /// No events.
    pub fn none(limit: Limit) -> Disparity {
        Disparity { gap: Gap::default(), limit }
    }

    /// Of the strata of one pane: events and those with the property, of the group and of those it is compared with. Strata that only one
    /// side has say nothing.
    pub fn between(group: &[(u64, u64)], others: &[(u64, u64)], limit: Limit) -> Disparity {
        let mut gap = Gap::default();
        for (this, that) in group.iter().zip(others).filter(|(this, that)| this.0 > 0 && that.0 > 0) {
            gap.merge(&stratum(*this, *that, limit));
        }
        Disparity { gap, limit }
    }
}

fn stratum((group, with): (u64, u64), (others, others_with): (u64, u64), limit: Limit) -> Gap {
    let [n, k, m, r] = [group, with, others, others_with].map(|count| count as f64);
    let all = n + m;
    let binomial = |p: f64| p * (1.0 - p);
    let (excess, weight, variance) = match limit {
        Limit::Difference(d) => {
            let weight = n * m / all;
            let p = ((k + r - n * d) / all).clamp(0.0, 1.0 - d);
            (k * m / all - r * n / all - d * weight, weight, weight * weight * (binomial(p + d) / n + binomial(p) / m))
        }
        Limit::Ratio(c) => {
            let (a, b) = (m / all, n / all);
            let p = ((k + r) / (m + c * n)).min(1.0);
            (c * r * b - k * a, r * b, a * a * n * binomial(c * p) + c * c * b * b * m * binomial(p))
        }
    };
    let variance = variance * all / (all - 1.0);
    Gap { n: group, k: with, others_n: others, others_k: others_with, excess, variance, weight }
}
