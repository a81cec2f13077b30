//! A profile of rows: first bins, from a sample of each signal, then counts in these bins.
//!
//! Guarantees: equal rows in equal order give equal profiles; each value is either counted or told to be left out, with why.
//! Never: holds rows: memory is that of the samples (16,384 values a signal).
//! Comes from: `table`, or a topic. Goes to: `engine::baseline::profile`.

use crate::engine::baseline::edges::{categories, numeric_edges};
use crate::engine::baseline::loda::{Loda, Sampled};
use crate::engine::baseline::profile::{LEAST_VALUES, MOST_BYTES, MOST_SIGNALS, Profile, SignalProfile, Values};
use crate::engine::baseline::rarity::Rarity;
use crate::engine::baseline::sample::{POOL_SIZE, Sample};
use crate::engine::summary::category::{Categories, CategoryCounts};
use crate::engine::summary::numeric::{NumericBins, NumericEdges};
use crate::engine::types::RequestKey;
use std::collections::BTreeMap;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// A text; a truth value is `true` or `false`.
    Text(String),
}

/// The values of a row, by their signals (`score`, `label`, `feature:NAME`); what is missing is not there.
pub type Row = Vec<(usize, Cell)>;

/// Names of signals, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<String>,
    known: BTreeMap<String, usize>,
}

impl Names {
    /// The number of a name.
    pub fn number(&mut self, name: &str) -> usize {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        self.names.push(name.to_string());
        self.known.insert(name.to_string(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// The name of a number.
    pub fn name(&self, number: usize) -> &str {
        &self.names[number]
    }
}

/// What the first look keeps of a signal.
#[derive(Default)]
struct Looked {
    numbers: Option<Sample<f64>>,
    texts: Option<Sample<String>>,
}

/// The first look at all rows.
#[derive(Default)]
pub struct Look {
    rows: u64,
    signals: Vec<Looked>,
}

/// The second look: counts.
pub struct Count {
    rows: u64,
    signals: Vec<[Option<Values>; 2]>,
    together: Option<Loda>,
}

/// A signal that is not in the profile, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// Its name.
    pub signal: String,
    /// Why.
    pub why: String,
}

impl Look {
    /// Looks at a row.
    pub fn row(&mut self, row: Row) {
        let hash = RequestKey::of(&self.rows.to_string()).sample_hash();
        self.rows += 1;
        for (number, cell) in row {
            if self.signals.len() <= number {
                self.signals.resize_with(number + 1, Looked::default);
            }
            let signal = &mut self.signals[number];
            match cell {
                Cell::Number(x) => signal.numbers.get_or_insert_with(|| Sample::with_size(POOL_SIZE)).offer(hash, x),
                Cell::Text(text) => signal.texts.get_or_insert_with(|| Sample::with_size(POOL_SIZE)).offer(hash, text),
            }
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Fixes bins.
    pub fn fix(self, names: &Names) -> Count {
        let mut edges: Vec<Option<NumericEdges>> = Vec::new();
        let signals = self.signals.iter().map(|looked| {
            let numbers = looked.numbers.as_ref().map(|sample| {
                let values: Vec<f64> = sample.values().copied().collect();
                let edges = numeric_edges(1, &values);
                let rarity = Rarity::of_numbers(&edges, &values);
                Values::Numbers { bins: NumericBins::empty(edges.bins()), edges, rarity }
            });
            edges.push(numbers.as_ref().and_then(|v| if let Values::Numbers { edges, .. } = v { Some(edges.clone()) } else { None }));
            [numbers, looked.texts.as_ref().map(texts)]
        });
        let signals = signals.collect();
        let together = together(&self.signals, &edges, names);
        Count { rows: 0, signals, together }
    }
}

fn texts(sample: &Sample<String>) -> Values {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    sample.values().for_each(|text| *seen.entry(text.clone()).or_default() += 1);
    let categories: Categories = categories(1, &seen);
    let rarity = Rarity::of_texts(&categories, &seen);
    Values::Texts { counts: CategoryCounts::empty(categories.pinned.len()), categories, rarity }
}

fn together(signals: &[Looked], edges: &[Option<NumericEdges>], names: &Names) -> Option<Loda> {
    let with_numbers = signals.iter().zip(edges).enumerate().filter_map(|(number, (looked, edges))| {
        let (sample, edges) = (looked.numbers.as_ref()?, edges.as_ref()?);
        Some(Sampled { signal: names.name(number), edges, kept: sample.items(), threshold: sample.threshold() })
    });
    let mut sampled: Vec<Sampled<'_>> = with_numbers.collect();
    sampled.sort_by_key(|s| s.signal);
    Loda::of(&sampled)
}

impl Count {
    /// Counts a row.
    pub fn row(&mut self, row: Row) {
        self.rows += 1;
        for (number, cell) in row {
            let Some([numbers, texts]) = self.signals.get_mut(number) else { continue };
            match (cell, numbers, texts) {
                (Cell::Number(x), Some(Values::Numbers { edges, bins, .. }), _) => bins.add(x, edges),
                (Cell::Text(text), _, Some(Values::Texts { categories, counts, .. })) => counts.add(&text, categories),
                _ => {} // rows that were not there at the first look
            }
        }
    }

    /// The profile, and what is not in it.
    pub fn profile(self, model: &str, revision: u64, names: &Names) -> Result<(Profile, Vec<LeftOut>), String> {
        let mut left_out = Vec::new();
        let mut signals = Vec::new();
        for (number, values) in self.signals.into_iter().enumerate() {
            for values in values.into_iter().flatten() {
                let (signal, n) = (names.name(number).to_string(), values.present());
                match n < LEAST_VALUES {
                    true => {
                        left_out.push(LeftOut { signal, why: format!("{n} value(s) in {} rows; {LEAST_VALUES} are needed", self.rows) })
                    }
                    false => signals.push(SignalProfile { signal, values }),
                }
            }
        }
        signals.sort_by(|a, b| (&a.signal, is_text(a)).cmp(&(&b.signal, is_text(b))));
        if self.rows < LEAST_VALUES {
            return Err(format!("{} row(s) are too few to say what is normal; {LEAST_VALUES} are needed", self.rows));
        }
        if signals.is_empty() {
            return Err("no signal is left: name the columns' signals (--score, --label), or look at what is left out".to_string());
        }
        if signals.len() > MOST_SIGNALS {
            return Err(format!("{} signals are too many; at most {MOST_SIGNALS}: leave columns out (--ignore)", signals.len()));
        }
        let mut profile = Profile { model: model.to_string(), revision, rows: self.rows, signals, together: self.together };
        if profile.to_bytes().len() > MOST_BYTES && profile.together.take().is_some() {
            let why = format!("it would make the file larger than {MOST_BYTES} bytes; outliers are then told by each signal alone");
            left_out.push(LeftOut { signal: "outliers of all numbers together".into(), why });
        }
        match profile.to_bytes().len() {
            bytes if bytes > MOST_BYTES => {
                Err(format!("the file would have {bytes} bytes, more than a record may ({MOST_BYTES}): leave columns out (--ignore)"))
            }
            _ => Ok((profile, left_out)),
        }
    }
}

fn is_text(signal: &SignalProfile) -> bool {
    matches!(signal.values, Values::Texts { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> (Names, Vec<Row>) {
        let mut names = Names::default();
        let [amount, plan, rare] = ["feature:amount", "feature:plan", "feature:rare"].map(|n| names.number(n));
        let row = |i: u32| {
            let mut row = vec![(plan, Cell::Text(if i.is_multiple_of(4) { "b" } else { "a" }.into()))];
            row.extend((!i.is_multiple_of(5)).then(|| (amount, Cell::Number(f64::from(i)))));
            row.extend((i < 99).then_some((rare, Cell::Number(1.0))));
            row
        };
        (names, (0..1_000).map(row).collect())
    }

    fn built(names: &Names, rows: &[Row]) -> Result<(Profile, Vec<LeftOut>), String> {
        let mut look = Look::default();
        rows.iter().for_each(|row| look.row(row.clone()));
        let mut count = look.fix(names);
        rows.iter().for_each(|row| count.row(row.clone()));
        count.profile("fraud", 0, names)
    }

    #[test]
    fn each_value_is_counted_or_its_signal_left_out_with_the_reason() {
        let (names, rows) = rows();
        let (profile, left_out) = built(&names, &rows).unwrap();
        assert_eq!(
            profile.signals.iter().map(|s| (s.signal.as_str(), s.values.present())).collect::<Vec<_>>(),
            [("feature:amount", 800), ("feature:plan", 1_000)]
        );
        assert_eq!(left_out.len(), 1);
        assert!(left_out[0].signal == "feature:rare" && left_out[0].why.starts_with("99 value(s)"), "{left_out:?}");
        let Values::Texts { categories, counts, .. } = &profile.signals[1].values else { panic!("a text") };
        assert_eq!(
            (categories.pinned.as_slice(), counts.counts.as_slice()),
            (["a".to_string(), "b".to_string()].as_slice(), [750, 250].as_slice())
        );
        let Values::Numbers { bins, edges, .. } = &profile.signals[0].values else { panic!("a number") };
        assert!(bins.counts.iter().all(|n| *n > 0) && edges.bins() > 32, "{bins:?}");
        assert_eq!(Profile::from_file(&profile.to_bytes()), Ok(profile));
    }

    #[test]
    fn too_few_rows_are_an_error() {
        let (names, rows) = rows();
        assert!(built(&names, &rows[..99]).unwrap_err().starts_with("99 row(s) are too few"));
        assert!(built(&names, &vec![Row::new(); 200]).unwrap_err().starts_with("no signal is left"));
    }
}
