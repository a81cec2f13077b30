//! Profile: what a file of a model's past predictions (most often what it was trained on) says is normal.
//!
//! Guarantees: whoever reads a profile finds it possible: counts fit to their bins, and add up without overflow. Equal rows in any order
//! give equal profiles, equal profiles equal bytes, and so the same id.
//! Never: says how much panes vary: a file has no panes. That is learnt from the stream (`detect::learning`).
//! Comes from: `driftline baseline build`. Goes to: `monitor::profiles`, as a command in `<app>.summaries`.

use super::loda::Loda;
use super::rarity::Rarity;
use super::reference::Observed;
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use crate::engine::command;
use crate::engine::detect::stream::Form;
use crate::engine::summary::category::{Categories, CategoryCounts, MAX_KNOWN, MAX_PINNED};
use crate::engine::summary::numeric::{MAX_BINS, NumericBins, NumericEdges};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of its record at most: what brokers take unless told otherwise is 1 MiB.
pub const MOST_BYTES: usize = 900_000;
/// Values that a signal needs at least.
pub const LEAST_VALUES: u64 = 100;
/// Signals at most.
pub const MOST_SIGNALS: usize = 10_000;
/// Rows at most: sums of standardised values stay exact.
pub const MOST_ROWS: u64 = 1 << 40;
/// Bytes of a name at most.
const LONGEST_NAME: usize = 256;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The model.
    pub model: String,
    /// Told apart by it, the same content can be given once more.
    pub revision: u64,
    /// Predictions behind it.
    pub rows: u64,
    /// By name; of one name, numbers before texts.
    pub signals: Vec<SignalProfile>,
    /// How far out all numbers are together.
    pub together: Option<Loda>,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalProfile {
    /// Its name: `score`, `label`, `feature:NAME`.
    pub signal: String,
    /// Its values.
    pub values: Values,
}

/// How a signal's values are counted from then on, and what the file counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// Numbers.
    Numbers {
        /// Their bins; the version is given where they take effect.
        edges: NumericEdges,
        /// The file's.
        bins: NumericBins,
        /// How rare values are.
        rarity: Rarity,
    },
    /// Texts.
    Texts {
        /// What is counted one by one; the version is given where they take effect.
        categories: Categories,
        /// The file's.
        counts: CategoryCounts,
        /// How rare values are.
        rarity: Rarity,
    },
}

impl Values {
    /// Values that are there, NaN included.
    pub fn present(&self) -> u64 {
        match self {
            Values::Numbers { bins, .. } => bins.n + bins.nan,
            Values::Texts { counts, .. } => counts.n,
        }
    }

    fn are_possible(&self) -> bool {
        match self {
            Values::Numbers { edges, bins, rarity } => {
                let ordered = edges.cuts.iter().all(|c| !c.is_nan()) && edges.cuts.is_sorted_by(|a, b| a < b);
                let scaled = edges.median.is_finite() && edges.mad.is_finite() && edges.mad > 0.0;
                let counted = edges.bins() <= MAX_BINS && bins.counts.len() == edges.bins() && adds_up(&bins.counts, bins.n);
                let most = |n: u64| n <= MOST_ROWS;
                // z² is at most 2^80 and there are at most 2^40 values
                let sums = bins.sum.unsigned_abs() <= 1 << 80 && (0..=1 << 120).contains(&bins.sum_squares);
                ordered
                    && scaled
                    && counted
                    && sums
                    && [bins.n, bins.nan, bins.clipped].into_iter().all(most)
                    && !bins.min.is_nan()
                    && !bins.max.is_nan()
                    && fits(rarity, true)
            }
            Values::Texts { categories: Categories { pinned, known, .. }, counts, rarity } => {
                let few = pinned.len() <= MAX_PINNED && known.len() <= MAX_KNOWN && known.is_sorted_by(|a, b| a < b);
                let rest = counts.other.checked_add(counts.unseen).and_then(|rest| counts.n.checked_sub(rest));
                let counted = counts.counts.len() == pinned.len() && rest.is_some_and(|rest| adds_up(&counts.counts, rest));
                few && counted && counts.n <= MOST_ROWS && fits(rarity, false)
            }
        }
    }
}

fn adds_up(counts: &[u64], sum: u64) -> bool {
    counts.iter().try_fold(0u64, |sum, c| sum.checked_add(*c)) == Some(sum)
}

fn fits(rarity: &Rarity, numbers: bool) -> bool {
    rarity.possible() && matches!(rarity, Rarity::Numbers { .. }) == numbers
}

/// The signals that a stream's name speaks of: itself, or those whose nulls or unseen values it counts.
fn subject(stream: &str) -> (&str, bool) {
    match stream.split_once(':') {
        Some(("null" | "unseen", of)) => (of, true),
        _ => (stream, false),
    }
}

impl Profile {
    /// Tells it apart from all others.
    pub fn id(&self) -> u64 {
        xxh3_64(&self.to_bytes())
    }

    /// Its record: also what the file holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(command::BASELINE);
        w.bytes.extend(postcard::to_stdvec(self).expect("plain data encodes"));
        w.sealed(Kind::Command)
    }

    /// Reads the file that `driftline baseline build` wrote.
    pub fn from_file(bytes: &[u8]) -> Result<Profile, Malformed> {
        match command::Command::read(&mut Reader::open_as(bytes, Kind::Command)?) {
            Some(command::Command::Baseline(profile)) => Ok(*profile),
            _ => Err(Malformed::Value("no baseline")),
        }
    }

    /// Reads a command's body behind its number: nothing if it can't be obeyed.
    pub(crate) fn read(bytes: &[u8]) -> Option<Profile> {
        postcard::from_bytes(bytes).ok().filter(Profile::is_possible)
    }

    fn is_possible(&self) -> bool {
        let named = |name: &str| (1..=LONGEST_NAME).contains(&name.len());
        let place = |s: &SignalProfile| (s.signal.clone(), matches!(s.values, Values::Texts { .. }));
        named(&self.model)
            && (LEAST_VALUES..=MOST_ROWS).contains(&self.rows)
            && (1..=MOST_SIGNALS).contains(&self.signals.len())
            && self.signals.is_sorted_by(|a, b| place(a) < place(b))
            && self.signals.iter().all(|s| named(&s.signal) && s.values.are_possible() && s.values.present() <= self.rows)
            && self.together.as_ref().is_none_or(Loda::possible)
    }

    /// The values of a signal, numbers or texts or both.
    pub fn values_of<'a, 'n>(&'a self, signal: &'n str) -> impl Iterator<Item = &'a Values> + use<'a, 'n> {
        let from = self.signals.partition_point(|s| s.signal.as_str() < signal);
        self.signals[from..].iter().take_while(move |s| s.signal == signal).map(|s| &s.values)
    }

    fn feature(of: &str) -> String {
        format!("feature:{of}")
    }

    /// Whether a stream is compared with the file.
    pub fn speaks_of(&self, stream: &str) -> bool {
        let (of, rate) = subject(stream);
        self.values_of(of).next().is_some() || rate && self.values_of(&Profile::feature(of)).next().is_some()
    }

    /// What the file says of a stream of all rows: nothing if it has no such signal in this form, or too little of it.
    pub fn reference(&self, stream: &str, form: Form) -> Option<Observed<'_>> {
        let enough = |n: u64| n >= LEAST_VALUES;
        let seen = |values: &Values| match values {
            Values::Numbers { .. } => form == Form::Numeric,
            Values::Texts { .. } => form == Form::Categorical,
        };
        match self.values_of(stream).find(|values| seen(values)) {
            Some(Values::Numbers { edges, bins, .. }) => Some(Observed::Numeric(bins, edges)).filter(|_| enough(bins.n)),
            Some(Values::Texts { categories, counts, .. }) => Some(Observed::Categorical(counts, categories)).filter(|_| enough(counts.n)),
            None if form == Form::Rate => self.rate(stream).filter(|(n, _)| enough(*n)).map(|(n, k)| Observed::Rate { n, k }),
            None => None,
        }
    }

    /// Events of a stream that counts nulls or unseen values, and how many of them are.
    fn rate(&self, stream: &str) -> Option<(u64, u64)> {
        let (of, _) = subject(stream);
        let feature = Profile::feature(of);
        let own = self.values_of(of);
        let mut values = self.values_of(&feature).chain(own).peekable();
        values.peek()?;
        if stream.starts_with("null:") {
            let present: u64 = values.map(Values::present).sum();
            return Some((self.rows, self.rows.saturating_sub(present)));
        }
        values.find_map(|values| match values {
            Values::Texts { counts, .. } if stream.starts_with("unseen:") => Some((counts.n, counts.unseen)),
            _ => None,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::baseline::edges::{categories, numeric_edges};
    use crate::engine::baseline::reference::Tally;
    use std::collections::BTreeMap;

    /// 400 rows: amounts 0 to 299 in 300 of them, plans a (three of four) and b.
    pub(crate) fn profile() -> Profile {
        let amounts: Vec<f64> = (0..300).map(f64::from).collect();
        let edges = numeric_edges(1, &amounts);
        let mut bins = NumericBins::empty(edges.bins());
        bins.add_all(&amounts, &edges);
        let rarity = Rarity::of_numbers(&edges, &amounts);
        let plans = BTreeMap::from([("a".to_string(), 300), ("b".to_string(), 100)]);
        let named = categories(1, &plans);
        let mut counts = CategoryCounts::empty(named.pinned.len());
        plans.iter().for_each(|(plan, n)| counts.add_many(plan, *n, &named));
        let of_texts = Rarity::of_texts(&named, &plans);
        Profile {
            model: "fraud".into(),
            revision: 0,
            rows: 400,
            signals: vec![
                SignalProfile { signal: "feature:amount".into(), values: Values::Numbers { edges, bins, rarity } },
                SignalProfile { signal: "feature:plan".into(), values: Values::Texts { categories: named, counts, rarity: of_texts } },
            ],
            together: None,
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let profile = profile();
        assert_eq!(Profile::from_file(&profile.to_bytes()), Ok(profile.clone()));
        let again = Profile { revision: 1, ..profile.clone() };
        assert_ne!(profile.id(), again.id(), "the same content, given once more");
    }

    #[test]
    fn it_says_what_the_file_counts_of_each_stream() {
        let profile = profile();
        let tally = |stream: &str, form| profile.reference(stream, form).map(|seen| seen.to_tally());
        let n = |stream: &str, form| tally(stream, form).map(|t| t.n());
        assert_eq!([n("feature:amount", Form::Numeric), n("feature:plan", Form::Categorical)], [Some(300), Some(400)]);
        assert_eq!(tally("null:amount", Form::Rate), Some(Tally::Rate { n: 400, k: 100 }));
        assert_eq!(tally("null:plan", Form::Rate), Some(Tally::Rate { n: 400, k: 0 }));
        assert_eq!(tally("unseen:plan", Form::Rate), Some(Tally::Rate { n: 400, k: 0 }));
        for nothing in ["unseen:amount", "null:age", "outliers", "feature:age"] {
            assert_eq!(tally(nothing, Form::Rate), None, "{nothing}");
        }
        assert_eq!([n("feature:amount", Form::Categorical), n("volume", Form::Volume)], [None, None]);
        assert!(["feature:amount", "null:amount", "unseen:plan"].iter().all(|s| profile.speaks_of(s)));
        assert!(!["volume", "score", "null:age", "error"].iter().any(|s| profile.speaks_of(s)));
    }

    #[test]
    fn what_no_file_can_have_given_is_none() {
        type Change = fn(&mut Profile);
        let wrong: [(Change, &str); 9] = [
            (|p| p.model.clear(), "no model"),
            (|p| p.rows = 99, "hardly any rows"),
            (|p| p.rows = 350, "more values than rows"),
            (|p| p.signals.clear(), "no signal"),
            (|p| p.signals.reverse(), "another order"),
            (|p| p.signals[1] = p.signals[0].clone(), "a signal twice"),
            (
                |p| {
                    if let Values::Numbers { bins, .. } = &mut p.signals[0].values {
                        bins.counts[0] += 1;
                    }
                },
                "bins that hold more than all",
            ),
            (
                |p| {
                    if let Values::Numbers { edges, .. } = &mut p.signals[0].values {
                        edges.mad = 0.0;
                    }
                },
                "no scale",
            ),
            (
                |p| {
                    if let Values::Texts { counts, .. } = &mut p.signals[1].values {
                        counts.unseen = u64::MAX;
                    }
                },
                "counts beyond all numbers",
            ),
        ];
        for (change, what) in wrong {
            let mut profile = profile();
            change(&mut profile);
            assert!(Profile::from_file(&profile.to_bytes()).is_err(), "{what}");
        }
    }
}
