//! From a pooled sample to bins and pinned categories.
//!
//! Guarantees: deterministic, safe for infinities, ties and constants. A value that takes more than a 64th of the sample has
//! a bin of its own, so that counts, flags and zeros-with-a-tail stay visible.

use crate::engine::summary::category::{Categories, MAX_KNOWN, MAX_PINNED};
use crate::engine::summary::numeric::{MAX_BINS, NumericEdges};
use std::collections::BTreeMap;

/// Median, median absolute deviation and quantile cuts of a sample; NaN is ignored.
///
/// ```
/// # use driftline::engine::baseline::edges::numeric_edges;
/// // by hand: median 3, deviations 2 1 0 1 97 have the median 1
/// let edges = numeric_edges(1, &[1.0, 2.0, 3.0, 4.0, 100.0]);
/// assert_eq!((edges.median, edges.mad), (3.0, 1.0));
/// // a constant: below it, exactly it, above it
/// assert_eq!(*numeric_edges(1, &[7.0; 90]).cuts, [7.0, 7.0f64.next_up()]);
/// ```
pub fn numeric_edges(version: u32, values: &[f64]) -> NumericEdges {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).map(|x| x + 0.0).collect(); // + 0.0: no negative zero
    sorted.sort_by(f64::total_cmp);
    let finite: Vec<f64> = sorted.iter().copied().filter(|x| x.is_finite()).collect();
    let median = middle(&finite);
    let mut deviations: Vec<f64> = finite.iter().map(|x| (x - median).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    let mad = middle(&deviations);
    let mad = if mad == 0.0 { 1.0 } else { mad.min(f64::MAX) };
    NumericEdges { version, median, mad, cuts: cuts(&sorted).into() }
}

/// Middle of a sorted list (mean of the middle two); 0 for none.
fn middle(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => sorted[n / 2 - 1] * 0.5 + sorted[n / 2] * 0.5,
    }
}

/// The values at i/64, distinct. One that stands for several quantiles is cut off above, too: at the next value of the sample.
fn cuts(sorted: &[f64]) -> Vec<f64> {
    let mut cuts: Vec<f64> = Vec::new();
    if sorted.is_empty() {
        return cuts;
    }
    let mut i = 1;
    while i < MAX_BINS {
        let value = sorted[i * sorted.len() / MAX_BINS];
        let mut repeats = 1;
        while i + repeats < MAX_BINS && sorted[(i + repeats) * sorted.len() / MAX_BINS] == value {
            repeats += 1;
        }
        cuts.push(value);
        if repeats > 1 {
            let above = sorted.partition_point(|x| *x <= value);
            cuts.push(sorted.get(above).copied().unwrap_or(value.next_up()));
        }
        i += repeats;
    }
    cuts.retain(|c| *c != f64::NEG_INFINITY && !c.is_nan());
    cuts.dedup();
    cuts
}

/// The values counted one by one (the 64 most frequent, ties by name) and up to 1,000 further ones known by name.
///
/// ```
/// # use driftline::engine::baseline::edges::categories;
/// let counts = [("b", 5), ("a", 5), ("c", 9)].map(|(v, n)| (v.to_owned(), n)).into();
/// assert_eq!(categories(1, &counts).pinned, ["c", "a", "b"]);
/// ```
pub fn categories(version: u32, counts: &BTreeMap<String, u64>) -> Categories {
    let mut order: Vec<(&String, u64)> = counts.iter().map(|(v, n)| (v, *n)).collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let mut values = order.into_iter().map(|(v, _)| v.clone());
    let pinned = values.by_ref().take(MAX_PINNED).collect();
    let mut known: Vec<String> = values.take(MAX_KNOWN).collect();
    known.sort();
    Categories { version, pinned, known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_smooth_sample_gets_64_equal_bins() {
        let values: Vec<f64> = (0..6_400).map(f64::from).collect();
        let edges = numeric_edges(1, &values);
        let mut counts = vec![0; edges.bins()];
        values.iter().for_each(|x| counts[edges.bin_of(*x)] += 1);
        assert_eq!(counts, vec![100; 64]);
    }

    #[test]
    fn a_rare_flag_keeps_a_bin_of_its_own() {
        let mut values = vec![0.0; 997];
        values.extend([1.0; 3]);
        let edges = numeric_edges(1, &values);
        assert_eq!([0.0, 1.0, -1.0].map(|x| edges.bin_of(x)), [1, 2, 0]);
    }

    #[test]
    fn infinities_leave_median_and_scale_finite() {
        let edges = numeric_edges(1, &[f64::NEG_INFINITY, 1.0, 2.0, 3.0, f64::INFINITY]);
        assert_eq!((edges.median, edges.mad), (2.0, 1.0));
        assert!(edges.cuts.iter().all(|c| !c.is_nan()));
        let none = numeric_edges(1, &[f64::NAN]);
        assert_eq!((none.median, none.mad, none.bins()), (0.0, 1.0, 1));
    }

    proptest! {
        #[test]
        fn cuts_ascend_and_there_are_64_bins_at_most(xs in prop::collection::vec(prop_oneof![(0i8..6).prop_map(f64::from), any::<f64>()], 0..300)) {
            let edges = numeric_edges(1, &xs);
            prop_assert!(edges.bins() <= MAX_BINS);
            prop_assert!(edges.cuts.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(edges.mad > 0.0 && edges.mad.is_finite() && edges.median.is_finite());
        }
    }
}
