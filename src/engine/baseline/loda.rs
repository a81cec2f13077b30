//! LODA: how far out a prediction lies in all its numbers together.
//!
//! Pevný, "Loda: Lightweight on-line detector of anomalies", Machine Learning 102 (2016): sparse random projections of the standardised
//! numbers, a histogram of each over the reference; the score is the mean of `-ln` of the densities, here times the number of features, so
//! that it stands beside sums of rarities. Beyond a histogram's ends `ln(1 + distance in bins)` is added.
//! Guarantees: projections are drawn from fixed seeds; a projection is summed in the order of its features and scores are in steps of 2^-20
//! nats, so a score does not depend on how a prediction is read. A number that is missing counts as the median.
//! Never: sees texts (`rarity` does).
//! Comes from: samples of all features that hold the same events (`monitor::learn`). Goes to: the plan, `book::outliers`.

use super::rarity::NAT;
use crate::engine::summary::numeric::NumericEdges;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Projections.
pub const PROJECTIONS: usize = 200;
/// Features that are projected at most; more are left to their rarities.
pub const FEATURES: usize = 256;
/// Fewer events in common tell nothing.
const LEAST: usize = 50;
/// No number lies further out, in standard deviations.
const FARTHEST: f64 = 1e6;

/// A feature as it is standardised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The signal.
    pub signal: String,
    /// Its median.
    pub middle: f64,
    /// Its standard deviation.
    pub scale: f64,
}

/// One projection: its features and weights follow from its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Histogram {
    low: f64,
    width: f64,
    counts: Vec<u32>,
}

/// What the plan says of a model's numbers together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loda {
    /// The features, by name.
    pub axes: Vec<Axis>,
    histograms: Vec<Histogram>,
}

/// A sample of one signal: hashes of events with their values, and the hash from which on events are not in it.
pub struct Sampled<'a> {
    /// The signal.
    pub signal: &'a str,
    /// Its edges.
    pub edges: &'a NumericEdges,
    /// Ascending hashes with values.
    pub kept: &'a [(u64, f64)],
    /// Every event with a smaller hash that has a value is kept.
    pub threshold: u64,
}

fn uniform(seed: u64, what: u64) -> f64 {
    (xxh3_64_with_seed(&what.to_le_bytes(), seed) >> 11) as f64 / (1u64 << 53) as f64
}

/// About normal: the sum of twelve uniform numbers, less six.
fn weight(projection: u64, feature: u64) -> f64 {
    (0..12).map(|i| uniform(projection, feature * 16 + i)).sum::<f64>() - 6.0
}

/// Features and weights of a projection: about √d of d features, all of up to three.
fn sparse(projection: u64, d: usize) -> Projection {
    let k = if d <= 3 { d } else { libm::rint(libm::sqrt(d as f64)) as usize };
    let mut order: Vec<(u64, usize)> = (0..d).map(|j| (xxh3_64_with_seed(&(j as u64).to_le_bytes(), !projection), j)).collect();
    order.sort();
    let mut chosen: Vec<usize> = order.into_iter().take(k).map(|o| o.1).collect();
    chosen.sort();
    chosen.into_iter().map(|j| (j, weight(projection, j as u64))).collect()
}

impl Loda {
    /// Of samples of the same events; `None` if they have too few in common, or there are fewer than two features.
    pub fn of(samples: &[Sampled<'_>]) -> Option<Loda> {
        let samples = &samples[..samples.len().min(FEATURES)];
        let threshold = samples.iter().map(|s| s.threshold).min()?;
        // an event without a value has the median there
        let mut rows: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let axes: Vec<Axis> = samples.iter().map(axis).collect();
        for (j, (sample, axis)) in samples.iter().zip(&axes).enumerate() {
            for (hash, x) in sample.kept.iter().take_while(|(hash, _)| *hash < threshold) {
                rows.entry(*hash).or_insert_with(|| vec![0.0; axes.len()])[j] = axis.z(*x);
            }
        }
        if rows.len() < LEAST || axes.len() < 2 {
            return None;
        }
        let histograms = (0..PROJECTIONS as u64).map(|p| Histogram::of(&sparse(p, axes.len()), &rows)).collect();
        Some(Loda { axes, histograms })
    }

    /// Whether samples can have given it: asked of what is read from the plan.
    pub fn possible(&self) -> bool {
        let wide = |width: f64| width.is_finite() && width > 0.0;
        (2..=FEATURES).contains(&self.axes.len())
            && self.histograms.len() == PROJECTIONS
            && self.axes.iter().all(|a| a.middle.is_finite() && wide(a.scale))
            && self.histograms.iter().all(|h| h.low.is_finite() && wide(h.width) && !h.counts.is_empty())
    }
}

fn axis(sample: &Sampled<'_>) -> Axis {
    let finite = || sample.kept.iter().map(|(_, x)| x - sample.edges.median).filter(|x| x.is_finite());
    let n = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / n;
    let deviation = libm::sqrt(finite().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n);
    let scale = if deviation > 0.0 && deviation.is_finite() { deviation } else { 1.0 };
    let middle = if sample.edges.median.is_finite() { sample.edges.median } else { 0.0 };
    Axis { signal: sample.signal.to_string(), middle, scale }
}

impl Axis {
    /// Standardised; a NaN is as good as none.
    #[inline]
    pub fn z(&self, x: f64) -> f64 {
        if x.is_nan() { 0.0 } else { ((x - self.middle) / self.scale).clamp(-FARTHEST, FARTHEST) }
    }
}

impl Histogram {
    fn of(projection: &[(usize, f64)], rows: &BTreeMap<u64, Vec<f64>>) -> Histogram {
        let values: Vec<f64> = rows.values().map(|row| project(projection, row)).collect();
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let bins = (libm::rint(2.0 * libm::cbrt(values.len() as f64)) as usize).clamp(8, 32);
        let width = (high - low) / bins as f64;
        let width = if width > 0.0 { width } else { 1.0 };
        let mut counts = vec![0; bins];
        values.iter().for_each(|v| counts[(((v - low) / width) as usize).min(bins - 1)] += 1);
        Histogram { low, width, counts }
    }
}

#[inline]
fn project(projection: &[(usize, f64)], row: &[f64]) -> f64 {
    projection.iter().map(|(j, w)| w * row[*j]).sum()
}

/// Features and their weights.
type Projection = Vec<(usize, f64)>;

/// LODA, ready to score.
#[derive(Debug)]
pub struct Projections {
    axes: Vec<Axis>,
    /// Each with the low end and the width of its histogram.
    projections: Vec<(Projection, f64, f64)>,
    /// Per projection and bin; the last one for what lies outside.
    steps: Vec<Vec<i64>>,
}

impl Projections {
    /// Of what the plan says.
    pub fn of(loda: &Loda) -> Projections {
        let d = loda.axes.len();
        let steps = |h: &Histogram| {
            let n = h.counts.iter().map(|c| f64::from(*c)).sum::<f64>();
            let of = |count: f64| steps_of(-libm::log((count + 0.5) / (n + 0.5 * h.counts.len() as f64)), d);
            h.counts.iter().map(|c| of(f64::from(*c))).chain([of(0.0)]).collect()
        };
        let projections = loda.histograms.iter().enumerate().map(|(p, h)| (sparse(p as u64, d), h.low, h.width));
        Projections { axes: loda.axes.clone(), projections: projections.collect(), steps: loda.histograms.iter().map(steps).collect() }
    }

    /// The features, in the order of a row.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The score of a row of standardised numbers, in steps of `NAT`.
    pub fn score(&self, row: &[f64]) -> i64 {
        let mut sum = 0;
        for ((projection, low, width), steps) in self.projections.iter().zip(&self.steps) {
            let (at, bins) = ((project(projection, row) - low) / width, steps.len() - 1);
            let far = if at < 0.0 { -at } else { at - bins as f64 };
            sum += match far >= 0.0 {
                false => steps[(at as usize).min(bins - 1)],
                true if far == 0.0 => steps[bins - 1],
                true => steps[bins] + steps_of(libm::log1p(far), self.axes.len()),
            };
        }
        sum
    }
}

/// A projection's part of a score.
fn steps_of(nats: f64, features: usize) -> i64 {
    libm::rint(nats * NAT * features as f64 / PROJECTIONS as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::edges::numeric_edges;

    /// x from -3 to 3, y = x: what is usual for each alone is not together.
    fn line() -> Loda {
        let xs: Vec<(u64, f64)> = (0..600).map(|i| (i, (i * 7 % 600) as f64 / 100.0 - 3.0)).collect();
        let edges = numeric_edges(1, &xs.iter().map(|x| x.1).collect::<Vec<_>>());
        Loda::of(&["a", "b"].map(|signal| Sampled { signal, edges: &edges, kept: &xs, threshold: 600 })).unwrap()
    }

    #[test]
    fn what_is_usual_alone_but_not_together_is_far_out() {
        let loda = line();
        let projections = Projections::of(&loda);
        let score = |a: f64, b: f64| projections.score(&[loda.axes[0].z(a), loda.axes[1].z(b)]) as f64 / NAT;
        let usual = [-2.5, -1.0, 0.0, 1.0, 2.5].map(|x| score(x, x)).into_iter().fold(0.0, f64::max);
        assert!(score(2.5, -2.5) > usual + 1.0 && score(-2.5, 2.5) > usual + 1.0, "{usual} {}", score(2.5, -2.5));
        assert!(score(1e9, 1e9) > score(100.0, 100.0) && score(100.0, 100.0) > score(4.0, 4.0));
        assert!(score(f64::INFINITY, 0.0).is_finite() && (score(f64::NAN, 0.0) - score(0.0, 0.0)).abs() < 0.2);
    }

    #[test]
    fn a_score_is_the_mean_surprise_of_the_projections_times_the_features() {
        let loda = line();
        let row = [0.7, 0.7];
        let mut by_hand = 0.0;
        for (p, h) in loda.histograms.iter().enumerate() {
            let value: f64 = sparse(p as u64, 2).iter().map(|(j, w)| w * row[*j]).sum();
            let count = h.counts.get(((value - h.low) / h.width) as usize).filter(|_| value >= h.low).copied();
            let density = (f64::from(count.unwrap()) + 0.5) / (600.0 + 0.5 * h.counts.len() as f64);
            by_hand -= libm::log(density) * 2.0 / PROJECTIONS as f64;
        }
        assert!((Projections::of(&loda).score(&row) as f64 / NAT - by_hand).abs() < 1e-3);
    }

    #[test]
    fn few_events_in_common_and_single_features_are_no_ground() {
        let xs: Vec<(u64, f64)> = (0..200).map(|i| (i, i as f64)).collect();
        let edges = numeric_edges(1, &[1.0, 2.0, 3.0]);
        let of = |signal, threshold| Sampled { signal, edges: &edges, kept: &xs, threshold };
        assert!(Loda::of(&[of("a", 200), of("b", 49)]).is_none() && Loda::of(&[of("a", 200)]).is_none() && Loda::of(&[]).is_none());
        assert!(Loda::of(&[of("a", 200), of("b", 50)]).is_some());
    }

    #[test]
    fn what_is_learnt_of_extreme_values_is_possible_and_what_is_cut_short_is_not() {
        let values = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0];
        for a in values {
            for b in values {
                let xs: Vec<(u64, f64)> = (0..100).map(|i| (i, if i % 3 == 0 { a } else { b })).collect();
                let edges = numeric_edges(1, &xs.iter().map(|x| x.1).collect::<Vec<_>>());
                let loda = Loda::of(&["a", "b"].map(|signal| Sampled { signal, edges: &edges, kept: &xs, threshold: 600 })).unwrap();
                assert!(loda.possible(), "{a} {b}: {loda:?}");
            }
        }
        let changes: [fn(&mut Loda); 4] = [
            |l| l.histograms[0].counts.clear(),
            |l| l.histograms.truncate(PROJECTIONS - 1),
            |l| l.axes[0].scale = 0.0,
            |l| l.histograms[1].width = f64::NAN,
        ];
        for change in changes {
            let mut loda = line();
            change(&mut loda);
            assert!(!loda.possible());
        }
    }
}
