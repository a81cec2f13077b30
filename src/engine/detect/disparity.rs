//! Is a group treated worse than others by more than is tolerated, in the same panes?
//!
//! Concurrent, as `versions`: no reference is needed, and what all groups share is no difference. But groups may differ by as much as the limit
//! for ever, so the test is at the limit, not at equality: `baseline::disparity` says by how much U the group lies beyond it, and
//! with which variance V at the limit itself. *Statistic*: that of `versions` on (V, U), `max over windows of LR + ½ ln w`.
//!
//! Alarms only on the side that is beyond the limit.
//! *Effect*: the ratio of rates `c - U/W`, or their difference `d + U/W` in points, W the weight. Its 95 % interval holds at all times since
//! the window's beginning together, `± √((V+ρ) ln((V+ρ)/(ρ α²)))/W`, ρ = 6: Robbins, Ann. Math. Statist. 41 (1970); Howard, Ramdas, McAuliffe,
//! Sekhon, Ann. Statist. 49 (2021). (A window that was chosen because it looks bad still makes the effect look a little worse.)
//!
//! Cost: as `versions`. Blind to: why; groups that never have events in the same panes; people whose group is not known; what outcomes would
//! have been for those who were given none (rejected applicants have no label: their error rates are not seen).
//!
//! ```
//! # use driftline::engine::{baseline::{disparity::Limit, gap::Gap}, detect::disparity::effect};
//! // 2,000 of 10,000 against 3,000 of 10,000: excess .8·3,000/2 - 2,000/2 = 200, weight 1,500, variance 757
//! let gap = Gap { n: 10_000, k: 2_000, others_n: 10_000, others_k: 3_000, excess: 200.0, variance: 757.0, weight: 1_500.0 };
//! let e = effect(&gap, Limit::Ratio(0.8));
//! // by hand: √(763·ln(763/(6·.0025))) = √(763·10.837) = 90.93, /1,500 = .0606
//! assert!((e.value - 2.0 / 3.0).abs() < 1e-12 && (e.high - e.value - 0.0606).abs() < 1e-4);
//! ```

use crate::engine::alert::Effect;
use crate::engine::baseline::disparity::Limit;
use crate::engine::baseline::gap::Gap;

/// The interval is narrowest, for its variance, at about eight times this one.
const RHO: f64 = 6.0;
/// 1 - .95, squared.
const ALPHA_SQUARED: f64 = 0.05 * 0.05;

/// By how much the group differs.
pub fn effect(gap: &Gap, limit: Limit) -> Effect {
    let grown = gap.variance + RHO;
    let half = libm::sqrt(grown * libm::log(grown / (RHO * ALPHA_SQUARED))) / gap.weight;
    let beyond = gap.excess / gap.weight;
    match limit {
        Limit::Ratio(c) => {
            let value = c - beyond;
            Effect {
                name: Effect::RATIO.into(),
                unit: "ratio".into(),
                value,
                low: (value - half).max(0.0),
                high: value + half,
                tolerance: c,
            }
        }
        Limit::Difference(d) => {
            let (value, half) = (100.0 * (d + beyond), 100.0 * half);
            Effect {
                name: "rate_difference".into(),
                unit: "points".into(),
                value,
                low: value - half,
                high: value + half,
                tolerance: 100.0 * d,
            }
        }
    }
}
