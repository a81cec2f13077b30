//! Means of the differences between a number and what was observed.
//!
//! Guarantees: sums stay integers, apart for each version of the signal's edges; floating point begins when a mean is asked for.
//! Differences are kept in steps of 2^-20 of the edges' spread (`summary::numeric`): a mean is off by half a step at most. What lies
//! beyond 2^20 spreads counts as that.

use crate::engine::summary::numeric::{NumericBins, NumericEdges, Z_ONE};
use std::collections::BTreeMap;

/// Sums under one version of the edges.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    median: f64,
    mad: f64,
    n: u64,
    sum: i128,
    squares: i128,
}

/// Differences of some panes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences(BTreeMap<u32, Part>);

impl Differences {
    /// Adds a pane's.
    pub fn add(&mut self, bins: &NumericBins, edges: &NumericEdges) {
        let (median, mad) = (edges.median, edges.mad);
        self.part(edges.version, &Part { median, mad, n: bins.n, sum: bins.sum, squares: bins.sum_squares });
    }

    /// Adds those of other panes.
    pub fn merge(&mut self, other: &Differences) {
        other.0.iter().for_each(|(version, part)| self.part(*version, part));
    }

    fn part(&mut self, version: u32, other: &Part) {
        let part = self.0.entry(version).or_insert(Part { n: 0, sum: 0, squares: 0, ..*other });
        (part.n, part.sum, part.squares) = (part.n + other.n, part.sum + other.sum, part.squares + other.squares);
    }

    /// How many.
    pub fn n(&self) -> u64 {
        self.0.values().map(|p| p.n).sum()
    }

    fn mean_of(&self, sum: impl Fn(&Part) -> f64) -> Option<f64> {
        let n = self.n();
        (n > 0).then(|| self.0.values().map(sum).sum::<f64>() / n as f64)
    }

    /// Their mean.
    pub fn mean(&self) -> Option<f64> {
        self.mean_of(|p| p.n as f64 * p.median + p.mad * (p.sum as f64 / Z_ONE))
    }

    /// The root of the mean of their squares.
    pub fn root_mean_square(&self) -> Option<f64> {
        let squares = self.mean_of(|p| {
            let (first, second) = (p.sum as f64 / Z_ONE, p.squares as f64 / (Z_ONE * Z_ONE));
            p.n as f64 * p.median * p.median + 2.0 * p.median * p.mad * first + p.mad * p.mad * second
        });
        squares.map(|s| libm::sqrt(s.max(0.0)))
    }
}
