//! Is a new version worse than the older ones, in the same panes, at the same label age?
//!
//! Concurrent, so no reference is needed, and what both sides share (season, hard days, early labels) is no difference: `baseline::gap` says
//! by how many errors U this side exceeds its share, and with which variance V. *Statistic*: `focus` on (V, U) with the known mean 0,
//!
//! `max over windows of LR + ½ ln w`, LR that of a gamma family of skewness 1 per unit of V towards the window's side (rare errors come like
//! Poisson counts); its limit for many errors is `U²/(2V)`.
//!
//! Valid at any time, as every fold is looked at under the same average run length. Alarms only when the new version is worse.
//! *Effect*: the difference of both error rates over the window, `U/W` in points, standard error `√V/W`.
//!
//! Cost: as `focus`, and a dyadic history of four counts. Blind to: why (a router that gives one version harder requests makes it look worse);
//! versions that never have pairs in the same panes; anything but errors.
//!
//! ```
//! # use driftline::engine::{baseline::gap::Gap, detect::{Fold, Gathered, versions::Versions}, types::PaneId};
//! let mut folds = Versions::new();
//! let gap = Gap { n: 1_000, k: 140, others_n: 9_000, others_k: 900, excess: 36.0, variance: 83.9, weight: 900.0 };
//! folds.observe(&gap, Gathered::one(PaneId(0)));
//! // by hand: x = 36/83.9 = .42908; 4·83.9·(.42908/2 - ln(1 + .42908/2)) = 6.7711
//! assert!((folds.statistic() - 6.7711).abs() < 1e-3, "{}", folds.statistic());
//! ```

use super::category::{Groups, Mix};
use super::focus::{Family, Focus};
use super::noise::Noise;
use super::{Candidate, Fold, Gathered, bonus};
use crate::engine::baseline::gap::Gap;
use serde::{Deserialize, Serialize};

/// A fold has gathered at least this variance: the errors of two are expected to be told apart.
pub const LEAST_VARIANCE: f64 = 1.0;
/// Weight of the known mean: that both sides are alike.
const KNOWN: f64 = 1e12;
/// Errors come like Poisson counts, whichever side they are rare on.
const FAMILY: Family = Family::Standardised { skew: 0.0, tail: 1.0, freedom: f64::INFINITY };

/// Compares one version with the older ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    difference: Focus,
    /// What both sides held: right and wrong.
    pub(super) counts: Mix,
}

impl Default for Versions {
    fn default() -> Self {
        Versions::new()
    }
}

impl Versions {
    /// Before the first pane.
    pub fn new() -> Versions {
        Versions { difference: Focus::new(FAMILY, KNOWN), counts: Mix::new(vec![0; 4]) }
    }

    /// The statistic of one window.
    pub(super) fn statistic_of(gap: &Gap, folds: u32) -> f64 {
        if gap.excess <= 0.0 || gap.variance <= 0.0 {
            return 0.0;
        }
        FAMILY.ratio((KNOWN, 0.0), (gap.variance, gap.excess)) + bonus(folds)
    }
}

impl Fold for Versions {
    type Pane = Gap;

    fn observe(&mut self, gap: &Gap, at: Gathered) {
        self.difference.observe(&[gap.variance, gap.excess, gap.weight], at);
        self.counts.observe(&Groups { counts: gap.counts().to_vec(), sum: 0, squares: 0 }, at);
    }

    fn candidates(&self, noise: &Noise, floor: f64, visit: &mut dyn FnMut(Candidate)) {
        self.difference.candidates(noise, floor, &mut |c| {
            if c.sum > 0.0 {
                visit(c);
            }
        });
    }
}
