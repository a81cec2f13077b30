//! Normal scores of bins: a number's location and scale without its tails.
//!
//! Van der Waerden scores, as in Hájek, Šidák, "Theory of Rank Tests" (1967), on bins: bin i of the reference counts r (m in all) has
//! the score `a_i = Φ⁻¹((r_0 + … + r_(i-1) + r_i/2 + 1/2) / (m + 1))`, standardised by the reference's own mean and variance; ties
//! share their mid-rank. Location channel: sum of a. Scale channel: sum of a², standardised likewise. Both are read by `focus`.
//! Distribution-free: under no change the scores do not depend on the signal's unit, shape or tails.
//! Blind to: changes that leave mean and variance of the scores as they are (`category` on grouped bins sees those).
//!
//! ```
//! # use driftline::engine::detect::normal_scores::Scores;
//! let s = Scores::of(&[10, 20, 10]);
//! // by hand: raw scores Φ⁻¹(5.5/41), 0, Φ⁻¹(35.5/41); their variance is half the square of the outer ones: ±√2
//! assert!((s.location[0] + 2f64.sqrt()).abs() < 1e-12 && s.location[1].abs() < 1e-12);
//! // squares 2, 0, 2 have mean 1 and variance 1
//! assert!((s.scale[0] - 1.0).abs() < 1e-12 && (s.scale[1] + 1.0).abs() < 1e-12);
//! ```

use super::focus::Family;
use super::normal::quantile;

/// What each bin is worth, derived from the reference counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Per bin; mean 0 and variance 1 over the reference. All zero if the reference has fewer than two bins with events.
    pub location: Vec<f64>,
    /// Per bin: squared location scores, mean 0 and variance 1. All zero if they do not vary.
    pub scale: Vec<f64>,
    /// Third moments over the reference: skewness of location and of scale scores.
    pub skew: [f64; 2],
    /// Excess kurtosis of both: how well a reference of m events knows their variance.
    pub kurtosis: [f64; 2],
    /// Standard deviation of the squared location scores: turns sums of `scale` back into variances.
    pub spread: f64,
    /// Bins with events in the reference.
    pub real_bins: usize,
    /// Events in the reference.
    pub m: f64,
}

impl Scores {
    /// The scores of a reference.
    pub fn of(reference: &[u64]) -> Scores {
        let m = reference.iter().sum::<u64>() as f64;
        let real_bins = reference.iter().filter(|r| **r > 0).count();
        let mut below = 0.0;
        let mut location: Vec<f64> = reference
            .iter()
            .map(|r| {
                let r = *r as f64;
                let rank = below + r * 0.5 + 0.5;
                below += r;
                quantile(rank / (m + 1.0))
            })
            .collect();
        standardise(&mut location, reference, m);
        let mut scale: Vec<f64> = location.iter().map(|a| a * a).collect();
        let spread = if real_bins > 2 { standardise(&mut scale, reference, m) } else { 0.0 };
        if spread == 0.0 {
            scale.iter_mut().for_each(|b| *b = 0.0);
        }
        let moment = |scores: &[f64], power: i32| weighted(scores, reference, m, |x| libm::pow(x, f64::from(power)));
        let skew = [moment(&location, 3), moment(&scale, 3)];
        let kurtosis = [moment(&location, 4) - 3.0, moment(&scale, 4) - 3.0];
        Scores { location, scale, skew, kurtosis, spread, real_bins, m }
    }

    /// Events and both sums of a pane's bins: (n, location, scale).
    pub fn sums(&self, counts: &[u64]) -> (f64, f64, f64) {
        let (mut n, mut a, mut b) = (0u64, 0.0, 0.0);
        for ((c, location), scale) in counts.iter().zip(&self.location).zip(&self.scale) {
            n += c;
            a += *c as f64 * location;
            b += *c as f64 * scale;
        }
        (n as f64, a, b)
    }

    /// The likelihood of a channel (0 location, 1 scale): its skewness and tails, and the variance's degrees of freedom 2m / (kurtosis + 2).
    pub fn family(&self, channel: usize) -> Family {
        let freedom = 2.0 * self.m / (self.kurtosis[channel] + 2.0).max(1e-3);
        let skew = self.skew[channel];
        let tail = libm::sqrt((self.kurtosis[channel] / 1.5 - skew * skew).max(0.0));
        Family::Standardised { skew, tail, freedom: if freedom > 1e7 { f64::INFINITY } else { freedom } }
    }
}

/// Mean over the reference of f(score).
fn weighted(scores: &[f64], reference: &[u64], m: f64, f: impl Fn(f64) -> f64) -> f64 {
    scores.iter().zip(reference).map(|(x, r)| *r as f64 * f(*x)).sum::<f64>() / m
}

/// To mean 0 and variance 1 over the reference (all zero if the variance is); returns the old standard deviation.
fn standardise(scores: &mut [f64], reference: &[u64], m: f64) -> f64 {
    let mean = weighted(scores, reference, m, |x| x);
    let variance = weighted(scores, reference, m, |x| (x - mean) * (x - mean));
    let deviation = if variance < 1e-9 { 0.0 } else { libm::sqrt(variance) };
    scores.iter_mut().for_each(|x| *x = if deviation == 0.0 { 0.0 } else { (*x - mean) / deviation });
    deviation
}
