//! Rarity: how far out in a signal's reference a value lies, in nats: what outliers are told by.
//!
//! - Numbers: `-ln(2 min(F(x), 1-F(x)))`, F the reference's distribution, middle of the bin; beyond the outermost cuts
//!   `+ 2 ln(1 + z)`, z the distance to the cut in mean excesses: a generalised Pareto tail of shape ½, so that neither light nor heavy tails
//!   swamp the other features.
//! - Texts: `-ln` of the share of the reference whose values are as rare or rarer.
//!
//! The rarities of a prediction's features are added (tail probabilities, per feature: Li et al., "ECOD", IEEE TKDE 35, 2023).
//! Guarantees: fixed point (2^-20 nats), so a sum does not depend on the order of features; equal samples give equal rarities.
//! Never: sees more than one signal: what is rare only together is not rare here.
//! Comes from: `monitor::learn` (the sample that fixes bins). Goes to: the plan, `book::outliers`.
//!
//! ```
//! # use driftline::engine::baseline::{edges::numeric_edges, rarity::{Rarity, Table, NAT}};
//! let sample: Vec<f64> = (0..6_400).map(f64::from).collect();
//! let table = Table::of(Rarity::of_numbers(&numeric_edges(1, &sample), &sample));
//! // by hand: the bin of 3,200 has its middle at 3,250: -ln(2·3,150.5/6,401) = .0157; above the last cut 6,300 lie 100 values
//! // with a mean excess of 49.5: 6,399 is two of them further out, -ln(2·100.5/6,401) + 2 ln(1 + 2)
//! let nats = |x: f64| table.of_number(x) as f64 / NAT;
//! assert!((nats(3_200.0) - 0.0157).abs() < 1e-4 && (nats(6_399.0) - 3.4609 - 2.1972).abs() < 1e-3, "{} {}", nats(3_200.0), nats(6_399.0));
//! ```

use crate::engine::summary::category::Categories;
use crate::engine::summary::cuts::Cuts;
use crate::engine::summary::numeric::NumericEdges;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One nat in steps.
pub const NAT: f64 = 1_048_576.0;
/// Largest values that are kept: by them the share above a value is counted.
const TOP: usize = 64;
/// No value is rarer, in nats.
const LIMIT: f64 = 64.0;

/// What a signal's reference says of rarity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rarity {
    /// Of numbers.
    Numbers {
        /// Borders of bins, as in the signal's edges.
        cuts: Cuts,
        /// Values of the reference per bin.
        counts: Vec<u64>,
        /// Mean distance of the values below the first cut to it.
        below: f64,
        /// Mean distance of the values above the last cut to it.
        above: f64,
        /// The largest values, ascending.
        top: Vec<f64>,
    },
    /// Of texts.
    Texts {
        /// Frequent values and how often they came.
        pinned: Vec<(String, u64)>,
        /// All others together.
        other: u64,
    },
}

impl Rarity {
    /// Of a sample of numbers and the edges made of it.
    pub fn of_numbers(edges: &NumericEdges, sample: &[f64]) -> Rarity {
        let mut counts = vec![0; edges.bins()];
        let (first, last) = (edges.cuts.first().copied().unwrap_or(0.0), edges.cuts.last().copied().unwrap_or(0.0));
        let (mut below, mut above) = ((0.0, 0.0), (0.0, 0.0));
        for x in sample.iter().map(|x| x + 0.0).filter(|x| !x.is_nan()) {
            let bin = edges.bin_of(x);
            counts[bin] += 1;
            if x.is_finite() && bin == 0 {
                below = (below.0 + (first - x), below.1 + 1.0);
            } else if x.is_finite() && bin + 1 == edges.bins() {
                above = (above.0 + (x - last), above.1 + 1.0);
            }
        }
        let mean = |(sum, n): (f64, f64)| if n > 0.0 && (sum / n).is_finite() { sum / n } else { 0.0 };
        let mut top: Vec<f64> = sample.iter().map(|x| x + 0.0).filter(|x| !x.is_nan()).collect();
        top.sort_by(f64::total_cmp);
        top.drain(..top.len().saturating_sub(TOP));
        Rarity::Numbers { cuts: edges.cuts.clone(), counts, below: mean(below), above: mean(above), top }
    }

    /// Of a counted sample of texts and the categories made of it.
    pub fn of_texts(categories: &Categories, sample: &BTreeMap<String, u64>) -> Rarity {
        let count = |value: &String| sample.get(value).copied().unwrap_or(0);
        let pinned: Vec<(String, u64)> = categories.pinned.iter().map(|value| (value.clone(), count(value))).collect();
        let other = sample.values().sum::<u64>() - pinned.iter().map(|p| p.1).sum::<u64>();
        Rarity::Texts { pinned, other }
    }

    /// Whether a sample can have given it: asked of what is read from the plan.
    pub fn possible(&self) -> bool {
        let ascending = |values: &[f64]| values.iter().all(|x| !x.is_nan()) && values.is_sorted();
        match self {
            Rarity::Numbers { cuts, counts, below, above, top } => {
                counts.len() == cuts.len() + 1
                    && countable(counts.iter().copied())
                    && [below, above].iter().all(|mean| mean.is_finite() && **mean >= 0.0)
                    && ascending(cuts)
                    && ascending(top)
            }
            Rarity::Texts { pinned, other } => countable(pinned.iter().map(|p| p.1).chain([*other])),
        }
    }
}

/// A rarity, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Table {
    rarity: Rarity,
    /// Per bin, or per pinned value and then for all others.
    steps: Vec<i64>,
}

fn countable(mut counts: impl Iterator<Item = u64>) -> bool {
    counts.try_fold(0u64, |sum, c| sum.checked_add(c)).is_some()
}

fn steps(nats: f64) -> i64 {
    libm::rint(nats.clamp(0.0, LIMIT) * NAT) as i64
}

/// Of a share of `n` values of which `k` were found.
fn share(k: f64, n: f64) -> f64 {
    (k + 0.5) / (n + 1.0)
}

impl Table {
    /// Of a rarity.
    pub fn of(rarity: Rarity) -> Table {
        let steps = match &rarity {
            Rarity::Numbers { counts, .. } => {
                let n = counts.iter().sum::<u64>() as f64;
                let last = counts.len() - 1;
                let mut before = 0.0;
                let of_bin = |(i, count): (usize, f64)| {
                    // an end is as far out as its border: what lies beyond is added
                    let tail = match i {
                        0 => count,
                        _ if i == last => n - before,
                        _ => (before + 0.5 * count).min(n - before - 0.5 * count),
                    };
                    before += count;
                    steps(-libm::log((2.0 * share(tail, n)).min(1.0)))
                };
                counts.iter().map(|c| *c as f64).enumerate().map(of_bin).collect()
            }
            Rarity::Texts { pinned, other } => {
                let n = (pinned.iter().map(|p| p.1).sum::<u64>() + other) as f64;
                let as_rare = |count: u64| pinned.iter().map(|p| p.1).filter(|c| *c <= count).sum::<u64>() as f64 + *other as f64;
                let of = |k: f64| steps(-libm::log(share(k, n).min(1.0)));
                pinned.iter().map(|p| of(as_rare(p.1))).chain([of(*other as f64)]).collect()
            }
        };
        Table { rarity, steps }
    }

    /// Of a number, in steps of `NAT`. A NaN is none: it is no value.
    #[inline]
    pub fn of_number(&self, x: f64) -> i64 {
        let Rarity::Numbers { cuts, below, above, .. } = &self.rarity else { return 0 };
        if x.is_nan() {
            return 0;
        }
        let bin = cuts.at_or_below(x + 0.0);
        let within = self.steps[bin];
        let (Some(first), Some(last)) = (cuts.first(), cuts.last()) else { return within };
        if bin == 0 {
            within + beyond(first - x, *below)
        } else if bin == cuts.len() {
            within + beyond(x - last, *above)
        } else {
            within
        }
    }

    /// Of a text.
    pub fn of_text(&self, text: &str) -> i64 {
        let Rarity::Texts { pinned, .. } = &self.rarity else { return 0 };
        self.steps[pinned.iter().position(|(value, _)| value == text).unwrap_or(pinned.len())]
    }

    /// Share of the reference that is at least `x`: counted among its largest values, and beyond the largest one by the tail of shape ½.
    /// What the chance of a score is.
    pub fn share_above(&self, x: f64) -> f64 {
        let Rarity::Numbers { cuts, counts, above, top, .. } = &self.rarity else { return 1.0 };
        let n = counts.iter().sum::<u64>() as f64;
        let as_large = top.len() - top.partition_point(|t| *t < x);
        match (as_large, top.last()) {
            (0, Some(largest)) => share(0.0, n) * libm::exp(-(beyond(x - largest, *above) as f64) / NAT),
            (all, _) if all == top.len() => share(counts[cuts.at_or_below(x)..].iter().sum::<u64>() as f64, n),
            (some, _) => share(some as f64, n),
        }
    }

    /// Where most of a number's reference lies: between its first and its last cut.
    pub fn usual(&self) -> Option<(f64, f64)> {
        let Rarity::Numbers { cuts, .. } = &self.rarity else { return None };
        Some((*cuts.first()?, *cuts.last()?))
    }
}

fn beyond(distance: f64, scale: f64) -> i64 {
    match (distance > 0.0, scale > 0.0) {
        (false, _) => 0,
        (true, false) => steps(LIMIT) / 8, // nothing of the reference lies there
        (true, true) => steps(2.0 * libm::log1p(distance / scale)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::edges::{categories, numeric_edges};
    use proptest::prelude::*;

    fn table(sample: &[f64]) -> Table {
        Table::of(Rarity::of_numbers(&numeric_edges(1, sample), sample))
    }

    #[test]
    fn what_is_learnt_is_possible_and_what_can_not_be_counted_is_not() {
        for sample in [&[][..], &[f64::NAN], &[f64::INFINITY, 1.0, 2.0], &[f64::MIN, f64::MAX, 0.0], &[-0.0; 9]] {
            let rarity = Rarity::of_numbers(&numeric_edges(1, sample), sample);
            assert!(rarity.possible(), "{rarity:?}");
        }
        for change in 0..4 {
            let sample: Vec<f64> = (0..640).map(f64::from).collect();
            let mut rarity = Rarity::of_numbers(&numeric_edges(1, &sample), &sample);
            let Rarity::Numbers { counts, top, .. } = &mut rarity else { unreachable!() };
            match change {
                0 => counts.clear(),
                1 => counts.fill(u64::MAX),
                2 => top[0] = f64::NAN,
                _ => top[0] = f64::INFINITY,
            }
            assert!(!rarity.possible(), "{rarity:?}");
        }
        assert!(!Rarity::Texts { pinned: vec![("a".into(), u64::MAX)], other: 1 }.possible());
    }

    #[test]
    fn a_flag_that_is_seldom_set_is_rare_when_it_is_set() {
        let mut sample = vec![0.0; 998];
        sample.extend([1.0; 2]);
        let of = table(&sample);
        // by hand: -ln(2·2.5/1,001) = 5.2993
        assert!((of.of_number(1.0) as f64 / NAT - 5.2993).abs() < 1e-3 && of.of_number(0.0) < steps(0.01));
        assert!(of.of_number(2.0) > of.of_number(1.0) && of.of_number(-1.0) > of.of_number(1.0), "what never was is rarer");
    }

    #[test]
    fn texts_are_as_rare_as_all_that_are_not_more_frequent() {
        let sample: BTreeMap<String, u64> = [("a", 900), ("b", 90), ("c", 9)].map(|(v, n)| (v.to_owned(), n)).into();
        let of = Table::of(Rarity::of_texts(&categories(1, &sample), &sample));
        let nats = |text: &str| of.of_text(text) as f64 / NAT;
        // by hand: -ln(99.5/1,000), -ln(9.5/1,000), -ln(.5/1,000)
        assert!(nats("a") < 0.01 && (nats("b") - 2.3076).abs() < 1e-3 && (nats("c") - 4.6565).abs() < 1e-3);
        assert!((nats("never seen") - 7.6009).abs() < 1e-3);
    }

    #[test]
    fn nothing_breaks_on_odd_references_and_values() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 0.0, 7.0];
        for sample in [vec![], vec![7.0; 50], odd.to_vec(), vec![f64::MAX, f64::MIN, 0.0]] {
            let of = table(&sample);
            assert!(odd.iter().all(|x| (0..=steps(2.0 * LIMIT)).contains(&of.of_number(*x))), "{sample:?}");
            assert!(odd.iter().filter(|x| !x.is_nan()).all(|x| (0.0..=1.0).contains(&of.share_above(*x))), "{sample:?}");
        }
    }

    proptest! {
        #[test]
        fn farther_out_is_never_less_rare(sample in prop::collection::vec(-1e3f64..1e3, 30..400), x in 0.0f64..1e4, more in 0.0f64..1e4) {
            let of = table(&sample);
            let top = sample.iter().copied().fold(f64::MIN, f64::max);
            prop_assert!(of.of_number(top + x + more) >= of.of_number(top + x));
            prop_assert!(of.share_above(top + x + more) <= of.share_above(top + x));
        }
    }
}
