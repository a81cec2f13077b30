//! Whether a score of .3 means three in ten: the calibration curve, and how far it lies from the diagonal.
//!
//! A bin's score is its middle, at most 1/128 from each score in it; its rate is exact.

use crate::engine::detect::effect::wilson;
use crate::engine::summary::scores::SCORE_BINS;

/// A bin that has pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Middle of the bin.
    pub score: f64,
    /// Pairs in it.
    pub pairs: u64,
    /// Share of positive ones.
    pub rate: f64,
    /// Its 95 % interval (Wilson).
    pub interval: (f64, f64),
}

/// Rate of the positive class by score, bins without pairs left out.
pub fn curve([negatives, positives]: &[[u64; SCORE_BINS]; 2]) -> Vec<Point> {
    let bins = negatives.iter().zip(positives).enumerate().filter(|(_, (no, yes))| *no + *yes > 0);
    bins.map(|(bin, (no, yes))| {
        let (pairs, yes) = (no + yes, *yes as f64);
        let score = (bin as f64 + 0.5) / SCORE_BINS as f64;
        Point { score, pairs, rate: yes / pairs as f64, interval: wilson(pairs as f64, yes) }
    })
    .collect()
}

/// Expected calibration error: mean distance of score and rate, each bin weighing as many as it has pairs (Naeini, Cooper, Hauskrecht, AAAI
/// 2015). At most 1/128 from what the mean score of each bin gives; with few pairs a bin it is too large, as it always is.
///
/// ```
/// # use driftline::engine::performance::calibration::expected_error;
/// let mut bins = [[0; 64]; 2];
/// (bins[0][32], bins[1][32], bins[0][0]) = (1, 3, 4);
/// // by hand: 4 pairs at 65/128 with rate 96/128, 4 at 1/128 with rate 0
/// assert_eq!(expected_error(&bins), Some((4.0 * 31.0 / 128.0 + 4.0 / 128.0) / 8.0));
/// ```
pub fn expected_error(bins: &[[u64; SCORE_BINS]; 2]) -> Option<f64> {
    let curve = curve(bins);
    let pairs: u64 = curve.iter().map(|p| p.pairs).sum();
    let sum: f64 = curve.iter().map(|p| p.pairs as f64 * (p.score - p.rate).abs()).sum();
    (pairs > 0).then(|| sum / pairs as f64)
}
