//! Scores of pairs by observed class: what calibration, the Brier score and the ROC curve are made of.
//!
//! Guarantees: merge is associative and commutative with the default as identity; integers only; equal content has equal bytes, and
//! few pairs take few of them, because empty bins are neither kept nor written.
//! Never: drops a score silently: what is no probability is counted apart, and in nothing else.
//! Comes from: `book` (pairs of binary models whose positive class is known). Goes to: `cell`, `engine::performance`.

use crate::codec::wire::{Malformed, Reader, Writer};

/// Equal bins of `[0, 1]`; the last one holds 1 as well.
pub const SCORE_BINS: usize = 64;
/// Fixed point of a score: one is 2^32 steps, so that a score is off by 2^-33 at most and a squared difference by 2.4e-10.
pub const SCORE_ONE: f64 = 4_294_967_296.0;

/// What squares of 2^40 pairs take at most in one record, in bits.
const SQUARES_BITS: u32 = 104;
/// Bins of a pane that few pairs have; more ask for memory again, at most three times.
const FEW: usize = 16;

/// Pairs with a score and an observed class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreCounts {
    /// Pairs by place (bin, and `SCORE_BINS` more where the observed class is the positive one): ascending, none of them 0.
    places: Vec<(u8, u64)>,
    squares: u128,
    /// Pairs whose score lies outside of `[0, 1]`.
    pub outside: u64,
}

/// Whether a score can be a probability.
pub fn is_probability(score: f64) -> bool {
    (0.0..=1.0).contains(&score)
}

impl ScoreCounts {
    /// Counts a pair.
    pub fn add(&mut self, score: f64, positive: bool) {
        if !is_probability(score) {
            self.outside += 1;
            return;
        }
        // exact: a power of two moves no bit of a number
        let bin = ((score * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1);
        self.count((bin + if positive { SCORE_BINS } else { 0 }) as u8, 1);
        let difference = libm::rint(score * SCORE_ONE) as i128 - if positive { SCORE_ONE as i128 } else { 0 };
        self.squares = self.squares.saturating_add((difference * difference) as u128);
    }

    fn count(&mut self, place: u8, n: u64) {
        match self.places.binary_search_by_key(&place, |p| p.0) {
            Ok(at) => self.places[at].1 += n,
            Err(at) => {
                if self.places.capacity() == 0 {
                    self.places.reserve_exact(FEW);
                }
                self.places.insert(at, (place, n));
            }
        }
    }

    /// Adds what another summary has seen.
    pub fn merge(&mut self, other: &ScoreCounts) {
        other.places.iter().for_each(|(place, n)| self.count(*place, *n));
        self.squares = self.squares.saturating_add(other.squares);
        self.outside += other.outside;
    }

    /// True if no pair was counted.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.outside == 0
    }

    /// Pairs in the bins.
    pub fn n(&self) -> u64 {
        self.places.iter().map(|p| p.1).sum()
    }

    /// Pairs per bin: of the negative class, of the positive one.
    pub fn by_class(&self) -> [[u64; SCORE_BINS]; 2] {
        let mut bins = [[0; SCORE_BINS]; 2];
        self.places.iter().for_each(|(place, n)| bins[usize::from(*place) / SCORE_BINS][usize::from(*place) % SCORE_BINS] = *n);
        bins
    }

    /// Sum of (score - class)², the class being 1 or 0, in steps of 2^-64.
    pub fn squares(&self) -> u128 {
        self.squares
    }

    /// Writes it.
    pub fn write(&self, w: &mut Writer) {
        w.uint(self.outside);
        w.uint(self.places.len() as u64);
        for (place, n) in &self.places {
            w.byte(*place);
            w.uint(*n);
        }
        if !self.places.is_empty() {
            w.int128(self.squares as i128);
        }
    }

    /// Reads what `write` wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<ScoreCounts, Malformed> {
        let outside = r.tally()?;
        let bins = r.count()?;
        if bins > 2 * SCORE_BINS {
            return Err(Malformed::Value("so many bins of scores"));
        }
        let mut places: Vec<(u8, u64)> = Vec::with_capacity(bins);
        for _ in 0..bins {
            let (place, n) = (r.byte()?, r.tally()?);
            let follows = places.last().is_none_or(|last| last.0 < place);
            if !follows || n == 0 || usize::from(place) >= 2 * SCORE_BINS {
                return Err(Malformed::Value("a bin of scores"));
            }
            places.push((place, n));
        }
        let squares = if places.is_empty() { 0 } else { r.sum(SQUARES_BITS)? };
        let squares = u128::try_from(squares).map_err(|_| Malformed::Value("a sum of squares below zero"))?;
        Ok(ScoreCounts { places, squares, outside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(f64, bool)]) -> ScoreCounts {
        let mut counts = ScoreCounts::default();
        pairs.iter().for_each(|(score, positive)| counts.add(*score, *positive));
        counts
    }

    #[test]
    fn a_score_on_a_border_lies_above_it_and_one_in_the_last_bin() {
        let [negative, positive] = of(&[(0.0, false), (1.0 / 64.0, false), (63.0 / 64.0, true), (1.0, true), (-0.0, false)]).by_class();
        assert_eq!((negative[0], negative[1], positive[63]), (2, 1, 2));
    }

    #[test]
    fn what_is_no_probability_is_counted_apart() {
        let counts = of(&[(-1e-9, true), (1.0 + 1e-9, false), (f64::INFINITY, true), (0.5, true)]);
        assert_eq!((counts.outside, counts.n()), (3, 1));
        assert_eq!(counts.squares(), 1 << 62, "(.5 - 1)² in steps of 2^-64");
    }

    #[test]
    fn one_pair_takes_a_dozen_bytes() {
        let mut w = Writer::new();
        of(&[(0.3, true)]).write(&mut w);
        assert!(w.bytes.len() <= 14, "{}", w.bytes.len());
    }

    #[test]
    fn bins_in_another_order_or_twice_are_refused() {
        for places in [[3u8, 2], [2, 2], [2, 128]] {
            let mut w = Writer::new();
            w.uint(0);
            w.uint(2);
            places.iter().for_each(|place| (w.byte(*place), w.uint(1)).1);
            w.int128(5);
            assert!(ScoreCounts::read(&mut Reader::new(&w.bytes)).is_err(), "{places:?}");
        }
    }
}
