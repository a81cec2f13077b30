//! Randomness from one seed.

use super::split_mix::SplitMix64;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Draw(SplitMix64);

impl Draw {
    /// The stream `purpose` of `seed`: adding draws for one purpose moves no other.
    pub fn new(seed: u64, purpose: &str) -> Draw {
        Draw(SplitMix64(xxhash_rust::xxh3::xxh3_64_with_seed(purpose.as_bytes(), seed)))
    }

    /// In [from, to).
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.between(from, to)
    }

    /// In [0, n).
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of `items`.
    pub fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    /// Another order of `items`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
