//! Proper scores of probabilities: Brier, exact, and log loss, from bins.

use crate::engine::summary::scores::{SCORE_BINS, SCORE_ONE, ScoreCounts};
use libm::log;

/// Mean squared difference of score and class (Brier, Monthly Weather Review 78, 1950). Off by 2.4e-10 at most: scores are kept in steps of
/// 2^-32.
pub fn brier(scores: &ScoreCounts) -> Option<f64> {
    let n = scores.n();
    (n > 0).then(|| scores.squares() as f64 / (SCORE_ONE * SCORE_ONE) / n as f64)
}

/// Mean of -ln of the probability that was given to the observed class, each score being taken as the middle of its bin.
///
/// A pair whose class was given a probability in bin i is off by at most ln((2i + 1)/2i): .41 nats in the second bin, .008 in the last.
/// In the first bin it is off by any amount above, because a score of 0 for what happened is an infinite loss; it counts as 4.85 here.
pub fn log_loss([negatives, positives]: &[[u64; SCORE_BINS]; 2]) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0);
    for (bin, (no, yes)) in negatives.iter().zip(positives).enumerate() {
        let middle = (bin as f64 + 0.5) / SCORE_BINS as f64;
        sum -= *yes as f64 * log(middle) + *no as f64 * log(1.0 - middle);
        n += no + yes;
    }
    (n > 0).then(|| sum / n as f64)
}
