//! Area under the ROC curve: how often a positive pair has a higher score than a negative one.
//!
//! From the bins of `summary::scores`: two pairs in one bin count as half right. The truth lies within `error` of that, half the share of
//! such couples; with scores that spread over many bins, chance evens most of it out (Hanley, McNeil, Radiology 143, 1982).
//!
//! ```
//! # use driftline::engine::performance::ranking::roc_auc;
//! let mut bins = [[0; 64]; 2];
//! (bins[0][10], bins[0][20], bins[1][20], bins[1][30]) = (3, 1, 2, 2);
//! // by hand, of 4·4 couples: 4·2 with the positives of bin 30, 3·2 of bin 20 above bin 10, and 1·2 halves
//! let auc = roc_auc(&bins).unwrap();
//! assert_eq!((auc.value, auc.error), (15.0 / 16.0, 1.0 / 16.0));
//! ```

use crate::engine::summary::scores::SCORE_BINS;

/// A number and how far the truth can be from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Within {
    /// The number.
    pub value: f64,
    /// The truth lies within this, either way.
    pub error: f64,
}

/// The area; none without pairs of both classes.
pub fn roc_auc([negatives, positives]: &[[u64; SCORE_BINS]; 2]) -> Option<Within> {
    let couples = negatives.iter().sum::<u64>() as f64 * positives.iter().sum::<u64>() as f64;
    let (mut below, mut above, mut same) = (0u64, 0u128, 0u128);
    for (n, p) in negatives.iter().zip(positives) {
        above += u128::from(*p) * u128::from(below);
        same += u128::from(*p) * u128::from(*n);
        below += n;
    }
    let half = 0.5 * same as f64;
    (couples > 0.0).then(|| Within { value: (above as f64 + half) / couples, error: half / couples })
}
