//! Errors by label age: how many pairs, and how many of them wrong, per age of the label.
//!
//! Guarantees: merge is associative and commutative with the default as identity.

use crate::codec::wire::{Malformed, Reader, Writer};
use crate::engine::types::Span;
use serde::{Deserialize, Serialize};

/// Upper ends of the label ages, inclusive; the last age has none.
pub const AGES: [Span; 6] = [Span::minutes(10), Span::hours(1), Span::hours(6), Span::days(1), Span::days(7), Span::days(30)];

/// Pairs and errors per label age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgedCounts {
    /// Pairs with a predicted and an observed class.
    pub pairs: [u64; AGES.len() + 1],
    /// Those whose classes differ.
    pub errors: [u64; AGES.len() + 1],
}

/// The age class of a label that came `age` after its prediction.
pub fn age_class(age: Span) -> usize {
    AGES.iter().position(|end| age <= *end).unwrap_or(AGES.len())
}

impl AgedCounts {
    /// Counts one pair.
    pub fn add(&mut self, age: Span, wrong: bool) {
        let class = age_class(age);
        self.pairs[class] += 1;
        self.errors[class] += u64::from(wrong);
    }

    /// Adds what another summary has seen.
    pub fn merge(&mut self, other: &AgedCounts) {
        for i in 0..self.pairs.len() {
            self.pairs[i] += other.pairs[i];
            self.errors[i] += other.errors[i];
        }
    }

    /// Writes the ages that have pairs.
    pub fn write(&self, w: &mut Writer) {
        let ages = || (0..self.pairs.len()).filter(|i| self.pairs[*i] > 0);
        w.uint(ages().count() as u64);
        for i in ages() {
            w.uint(i as u64);
            w.uint(self.pairs[i]);
            w.uint(self.errors[i]);
        }
    }

    /// Reads what `write` wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<AgedCounts, Malformed> {
        let mut counts = AgedCounts::default();
        for _ in 0..r.count()? {
            let age = r.uint()? as usize;
            if age >= counts.pairs.len() {
                return Err(Malformed::Value("a label age"));
            }
            (counts.pairs[age], counts.errors[age]) = (r.tally()?, r.tally()?);
            if counts.errors[age] > counts.pairs[age] {
                return Err(Malformed::Value("more errors than pairs"));
            }
        }
        Ok(counts)
    }

    /// All pairs.
    pub fn n(&self) -> u64 {
        self.pairs.iter().sum()
    }

    /// All errors.
    pub fn k(&self) -> u64 {
        self.errors.iter().sum()
    }
}
