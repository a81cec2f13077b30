//! Errors by label age: one stream over all ages, so that a nightly label file does not look like decay.
//!
//! Labels that come late are a biased sample: each age a has its own error rate p_a in the reference. A pane with n_a pairs of
//! age a is expected to hold `E = Σ n_a p_a` errors; it counts as an exposure of `n' = E / p̄` pairs at the overall rate p̄, and
//! `bernoulli` compares the errors with that exposure. Indirect standardisation: Breslow, Day, "Statistical Methods in Cancer
//! Research", vol. 2 (1987). Rates of ages with few reference pairs are drawn to p̄ by 20 pseudo-pairs; without any they are p̄.
//!
//! ```
//! # use driftline::engine::{detect::errors::AgeRates, summary::aged::AgedCounts, types::Span};
//! let mut reference = AgedCounts::default();
//! (0..1_000).for_each(|i| reference.add(Span::minutes(1), i < 300)); // early labels: 30 % wrong
//! (0..9_000).for_each(|i| reference.add(Span::days(5), i < 300)); // late ones: 3.3 %
//! let rates = AgeRates::of(&reference);
//! let mut night = AgedCounts::default();
//! (0..100).for_each(|i| night.add(Span::minutes(1), i < 30));
//! // by hand: p̄ = .06, early rate (300 + 20·.06)/1,020 = .29529; 100 early pairs weigh as much as 492.2 average ones
//! assert!((rates.exposure(&night) - 492.2).abs() < 0.1);
//! ```

use crate::engine::summary::aged::{AGES, AgedCounts};

/// Weight of the overall rate in each age's rate, in pairs.
const PSEUDO_PAIRS: f64 = 20.0;

/// Error rates of a reference by label age.
#[derive(Clone, Debug, PartialEq)]
pub struct AgeRates {
    /// Of all pairs.
    pub overall: f64,
    by_age: [f64; AGES.len() + 1],
}

impl AgeRates {
    /// The rates of a reference.
    pub fn of(reference: &AgedCounts) -> AgeRates {
        let overall = if reference.n() == 0 { 0.0 } else { reference.k() as f64 / reference.n() as f64 };
        let mut by_age = [overall; AGES.len() + 1];
        for (i, rate) in by_age.iter_mut().enumerate() {
            *rate = (reference.errors[i] as f64 + PSEUDO_PAIRS * overall) / (reference.pairs[i] as f64 + PSEUDO_PAIRS);
        }
        AgeRates { overall, by_age }
    }

    /// Pairs of average age that would be expected to hold as many errors.
    pub fn exposure(&self, pane: &AgedCounts) -> f64 {
        if self.overall == 0.0 {
            return pane.n() as f64;
        }
        let expected: f64 = pane.pairs.iter().zip(&self.by_age).map(|(n, p)| *n as f64 * p).sum();
        expected / self.overall
    }
}
