//! What follows from a reference: scores, groups, rates by age; and what a tally is worth in these terms.
//!
//! Guarantees: a function of the reference's counts alone, so it is never written down.

use super::category::Groups;
use super::errors::AgeRates;
use super::groups;
use super::normal_scores::Scores;
use crate::engine::baseline::disparity::{Disparity, Limit};
use crate::engine::baseline::reference::Tally;
use crate::engine::baseline::volume::Volume;
use crate::engine::summary::category::CategoryCounts;

/// What follows from a reference.
#[derive(Clone, Debug)]
pub enum Derived {
    /// Of a number: scores of its bins, the group of each bin, events per group.
    Numeric {
        /// What each bin is worth.
        scores: Scores,
        /// The group of each bin.
        groups: Vec<u8>,
        /// Events per group.
        counts: Vec<u64>,
    },
    /// Of categories: events per category, other and unseen last.
    Categorical {
        /// Events per category.
        counts: Vec<u64>,
    },
    /// Of a rate: `k` of `n`.
    Rate {
        /// Events.
        n: f64,
        /// Events with the property.
        k: f64,
    },
    /// Of errors: rates by label age, `k` of `n` in all.
    Errors {
        /// Rates by label age.
        rates: AgeRates,
        /// Pairs.
        n: f64,
        /// Errors.
        k: f64,
    },
    /// Of a volume: it stands for itself.
    Volume(Volume),
    /// Of a difference: it is compared with none.
    Gap,
    /// Of a group beside others: the limit.
    Disparity(Limit),
}

/// Events per category, other and unseen last.
pub fn category_groups(counts: &CategoryCounts) -> Vec<u64> {
    counts.counts.iter().copied().chain([counts.other, counts.unseen]).collect()
}

impl Derived {
    /// Of a reference.
    pub fn of(reference: &Tally) -> Derived {
        match reference {
            Tally::Numeric(bins) => {
                let groups = groups::group(&bins.counts);
                let counts = groups::grouped(&bins.counts, &groups);
                Derived::Numeric { scores: Scores::of(&bins.counts), groups, counts }
            }
            Tally::Categorical(counts) => Derived::Categorical { counts: category_groups(counts) },
            Tally::Rate { n, k } => Derived::Rate { n: *n as f64, k: *k as f64 },
            Tally::Errors(counts) => Derived::Errors { rates: AgeRates::of(counts), n: counts.n() as f64, k: counts.k() as f64 },
            Tally::Volume(volume) => Derived::Volume(*volume),
            Tally::Gap(_) => Derived::Gap,
            Tally::Disparity(disparity) => Derived::Disparity(disparity.limit),
        }
    }

    /// Events (exposure for errors, panes for volumes) and sums of what is looked at: location and scale scores, events with the property, rows. Zero for
    /// categories.
    pub fn sums(&self, tally: &Tally) -> [f64; 3] {
        match (self, tally) {
            (Derived::Numeric { scores, .. }, Tally::Numeric(bins)) => {
                let (n, a, b) = scores.sums(&bins.counts);
                [n, a, b]
            }
            (Derived::Rate { .. }, Tally::Rate { n, k }) => [*n as f64, *k as f64, 0.0],
            (Derived::Errors { rates, .. }, Tally::Errors(counts)) => [rates.exposure(counts), counts.k() as f64, 0.0],
            (_, Tally::Volume(volume)) => [volume.panes as f64, volume.rows as f64, 0.0],
            _ => [tally.n() as f64, 0.0, 0.0],
        }
    }

    /// The first of `sums`.
    pub fn events(&self, tally: &Tally) -> f64 {
        match (self, tally) {
            (Derived::Errors { rates, .. }, Tally::Errors(counts)) => rates.exposure(counts),
            _ => tally.weight() as f64,
        }
    }

    /// Counts per group or category; none for rates and volumes.
    pub fn grouped(&self, tally: &Tally) -> Option<Groups> {
        match (self, tally) {
            (Derived::Numeric { groups, .. }, Tally::Numeric(bins)) => {
                let counts = groups::grouped(&bins.counts, groups);
                Some(Groups { counts, sum: bins.sum, squares: bins.sum_squares })
            }
            (_, Tally::Gap(gap) | Tally::Disparity(Disparity { gap, .. })) => {
                Some(Groups { counts: gap.counts().to_vec(), sum: 0, squares: 0 })
            }
            (_, Tally::Categorical(counts)) => Some(Groups { counts: category_groups(counts), sum: 0, squares: 0 }),
            _ => None,
        }
    }

    /// Mean and variance of one event of `tally`, for both sums.
    pub fn moments(&self, tally: &Tally) -> [(f64, f64); 2] {
        match (self, tally) {
            (Derived::Numeric { scores, .. }, Tally::Numeric(bins)) => [&scores.location, &scores.scale].map(|scores| {
                let n = bins.counts.iter().sum::<u64>() as f64;
                let mean = scores.iter().zip(&bins.counts).map(|(x, c)| x * *c as f64).sum::<f64>() / n;
                let squares = scores.iter().zip(&bins.counts).map(|(x, c)| (x - mean) * (x - mean) * *c as f64).sum::<f64>();
                (mean, squares / n)
            }),
            (Derived::Volume(_), _) => {
                let [panes, rows, _] = self.sums(tally);
                [(rows / panes, rows / panes), (0.0, 0.0)] // Poisson
            }
            _ => {
                let [n, k, _] = self.sums(tally);
                let p = k / n;
                [(p, p * (1.0 - p)), (0.0, 0.0)]
            }
        }
    }
}
