//! Numeric signals: exact, mergeable, order-free.
//!
//! Guarantees: merge is associative and commutative with `NumericBins::empty` as identity; integers only, so any order of
//! events, partitions and restarts gives the same bytes. Sums stay exact for 2^47 rows (z is clamped to ±2^20, fixed point 2^-20).
//! Never: adds floating point numbers.

use super::cuts::Cuts;
use serde::{Deserialize, Serialize};

/// Bins of a numeric signal at most.
pub const MAX_BINS: usize = 64;
/// Fixed point: one unit of z is 2^20 steps.
pub const Z_ONE: f64 = 1_048_576.0;
/// |z| is clamped to this on entry (and counted in `clipped`).
pub const Z_LIMIT: f64 = 1_048_576.0;

/// Values that are counted together.
const RUN: usize = 64;
/// Of so many values below 2^28, squares sum up to less than 2^62.
const SMALL: u32 = 28;

/// Where the bins of a (model, signal) lie: quantiles of its reference, fixed with a version in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericEdges {
    /// Version in the plan.
    pub version: u32,
    /// Median of the sample that fixed them.
    pub median: f64,
    /// Median absolute deviation; never 0 (1 where the sample has none).
    pub mad: f64,
    /// Ascending and distinct. Bin i holds values x with exactly i cuts below or equal to x; there are `cuts.len() + 1` bins.
    pub cuts: Cuts,
}

impl NumericEdges {
    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.cuts.len() + 1
    }

    /// The bin of a value that is not NaN.
    #[inline(always)]
    pub fn bin_of(&self, x: f64) -> usize {
        self.cuts.at_or_below(x)
    }

    /// Standardised value in fixed point, and whether it had to be clamped.
    #[inline(always)]
    pub fn z(&self, x: f64) -> (i64, bool) {
        let z = (x - self.median) / self.mad;
        let clamped = z.clamp(-Z_LIMIT, Z_LIMIT);
        (nearest_even(clamped * Z_ONE), clamped != z)
    }

    /// The value that a mean of z (in fixed point) stands for.
    pub fn value_of(&self, mean_z: f64) -> f64 {
        self.median + self.mad * mean_z / Z_ONE
    }
}

/// The nearest whole number, halves to even, for |v| < 2^51: in 1.5 · 2^52 + v the last bit counts ones, and the addition rounds.
#[inline(always)]
fn nearest_even(v: f64) -> i64 {
    const ONES: f64 = 6_755_399_441_055_744.0;
    (v + ONES).to_bits() as i64 - ONES.to_bits() as i64
}

/// The summary of a numeric signal under one version of its edges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericBins {
    /// Values counted in the bins (infinities are, at the ends; NaN is not).
    pub n: u64,
    /// NaN values.
    pub nan: u64,
    /// Values whose z was clamped.
    pub clipped: u64,
    /// Sum of z, fixed point 2^-20.
    pub sum: i128,
    /// Sum of z², fixed point 2^-40.
    pub sum_squares: i128,
    /// Smallest value; +∞ if there is none.
    pub min: f64,
    /// Largest value; -∞ if there is none.
    pub max: f64,
    /// Events per bin.
    pub counts: Vec<u64>,
}

impl Default for NumericBins {
    fn default() -> NumericBins {
        NumericBins::empty(0)
    }
}

impl NumericBins {
    /// Of no events.
    pub fn empty(bins: usize) -> NumericBins {
        NumericBins { n: 0, nan: 0, clipped: 0, sum: 0, sum_squares: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, counts: vec![0; bins] }
    }

    /// Makes it what `empty` gives; the memory stays.
    pub fn reset(&mut self, bins: usize) {
        let mut counts = std::mem::take(&mut self.counts);
        counts.clear();
        counts.resize(bins, 0);
        *self = NumericBins { counts, ..NumericBins::empty(0) };
    }

    /// Counts values: the same numbers on every machine, sooner on one with wide registers.
    pub fn add_all(&mut self, values: &[f64], edges: &NumericEdges) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the machine has what the function is compiled for.
            return unsafe { self.add_all_wide(values, edges) };
        }
        values.chunks(RUN).for_each(|run| self.add_run(run, edges, |x| edges.bin_of(x)));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn add_all_wide(&mut self, values: &[f64], edges: &NumericEdges) {
        values.chunks(RUN).for_each(|run| self.add_run(run, edges, |x| edges.cuts.at_or_below_wide(x)));
    }

    /// Counts a run of values step by step instead of one by one: each step is the same for several values, side by side.
    #[inline(always)] // so that `add_all_wide` has it in its own words
    fn add_run(&mut self, run: &[f64], edges: &NumericEdges, bin_of: impl Fn(f64) -> usize) {
        if run.iter().any(|x| x.is_nan()) {
            return run.iter().for_each(|x| self.add(*x, edges));
        }
        let mut room = [0; RUN];
        let z = &mut room[..run.len()];
        for (z, x) in z.iter_mut().zip(run) {
            let (value, clipped) = edges.z(*x);
            *z = value;
            self.clipped += u64::from(clipped);
        }
        let (min, max) = run.iter().fold((self.min, self.max), |(min, max), x| (min.min(*x + 0.0), max.max(*x + 0.0)));
        let bits = z.iter().fold(0, |bits, z| bits | (z ^ (z >> 63)));
        (self.n, self.min, self.max) = (self.n + run.len() as u64, min, max);
        if bits < 1 << SMALL {
            self.sum += i128::from(z.iter().sum::<i64>());
            self.sum_squares += i128::from(z.iter().map(|z| i64::from(*z as i32) * i64::from(*z as i32)).sum::<i64>());
        } else {
            z.iter().for_each(|z| {
                (self.sum, self.sum_squares) = (self.sum + i128::from(*z), self.sum_squares + i128::from(*z) * i128::from(*z))
            });
        }
        run.iter().for_each(|x| self.counts[bin_of(*x + 0.0)] += 1);
    }

    /// Counts one value.
    pub fn add(&mut self, x: f64, edges: &NumericEdges) {
        if x.is_nan() {
            self.nan += 1;
            return;
        }
        let x = x + 0.0; // -0.0 becomes 0.0: which of the two a minimum keeps would depend on the order
        let (z, clipped) = edges.z(x);
        self.n += 1;
        self.clipped += u64::from(clipped);
        self.sum += i128::from(z);
        self.sum_squares += i128::from(z) * i128::from(z);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
        self.counts[edges.bin_of(x)] += 1;
    }

    /// Adds what another summary under the same edges has seen.
    pub fn merge(&mut self, other: &NumericBins) {
        debug_assert_eq!(self.counts.len(), other.counts.len(), "summaries of different edges do not merge");
        self.n += other.n;
        self.nan += other.nan;
        self.clipped += other.clipped;
        self.sum += other.sum;
        self.sum_squares += other.sum_squares;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::edges::numeric_edges;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f64> {
        let odd = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300, 300.0, 1e7]);
        prop_oneof![8 => -4.0f64..4.0, 1 => odd]
    }

    proptest! {
        #[test]
        fn many_values_are_counted_as_one_by_one(runs in prop::collection::vec(prop::collection::vec(number(), 0..150), 1..4)) {
            let edges = numeric_edges(1, &[-2.0, -1.0, 0.0, 0.5, 1.0, 2.5]);
            let (mut together, mut singly) = (NumericBins::empty(edges.bins()), NumericBins::empty(edges.bins()));
            for run in runs {
                together.add_all(&run, &edges);
                run.iter().for_each(|x| singly.add(*x, &edges));
                prop_assert_eq!(&together, &singly);
                prop_assert_eq!((together.min.to_bits(), together.max.to_bits()), (singly.min.to_bits(), singly.max.to_bits()));
            }
        }
    }
}
