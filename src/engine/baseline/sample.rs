//! A uniform sample of a signal's values that does not depend on the order in which they came.
//!
//! Bottom-k by a hash of the request id: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007. An event is in
//! the sample iff its hash lies below `threshold`, so samples with different thresholds merge by thinning all of them to the
//! smallest one: what stays is a uniform sample of the union.
//!
//! Guarantees: `merge` is associative, commutative and has the empty sample as identity; the sample of two lists is the merged
//! sample of both; equal samples have equal bytes.

use crate::planted::{Bug, planted};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Values kept per pane of a cell or segment.
pub const SAMPLE_SIZE: usize = 32;
/// Values kept in a pool over many panes.
pub const POOL_SIZE: usize = 16_384;

/// What can be sampled: a value with a total order, so that ties of the hash have one canonical order.
pub trait Value: Clone {
    /// A total order.
    fn order(&self, other: &Self) -> Ordering;
}

impl Value for f64 {
    fn order(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }
}

impl Value for String {
    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// The values with the smallest hashes.
///
/// ```
/// # use driftline::engine::baseline::sample::Sample;
/// let mut s = Sample::with_size(2);
/// for (hash, value) in [(70, 7.0), (10, 1.0), (40, 4.0)] {
///     s.offer(hash, value);
/// }
/// // by hand: 10 and 40 stay, 70 is the smallest hash that did not
/// assert_eq!((s.threshold(), s.values().copied().collect::<Vec<_>>()), (70, vec![1.0, 4.0]));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample<T> {
    threshold: u64,
    size: u32,
    kept: Vec<(u64, T)>,
}

impl<T: Value> Default for Sample<T> {
    fn default() -> Self {
        Sample::new()
    }
}

impl<T: Value> Sample<T> {
    /// Of no events, with room for `SAMPLE_SIZE` values.
    pub fn new() -> Sample<T> {
        Sample::with_size(SAMPLE_SIZE)
    }

    /// Of no events, with room for `size` values.
    pub fn with_size(size: usize) -> Sample<T> {
        Sample { threshold: u64::MAX, size: size as u32, kept: Vec::new() }
    }

    /// Rebuilds a sample from its threshold and values (what a codec carried); values at or above the threshold are dropped.
    pub fn from_parts(threshold: u64, mut kept: Vec<(u64, T)>) -> Sample<T> {
        kept.sort_by(place);
        let mut sample = Sample { threshold, size: SAMPLE_SIZE as u32, kept };
        sample.thin(threshold);
        sample
    }

    /// Offers the value of an event whose hash is `hash` (`RequestKey::sample_hash`).
    pub fn offer(&mut self, hash: u64, value: T) {
        if hash >= self.threshold {
            return;
        }
        let item = (hash, value);
        if self.kept.capacity() == 0 {
            self.kept.reserve_exact(self.size.min(SAMPLE_SIZE as u32) as usize + 1);
        }
        let at = self.kept.partition_point(|k| place(k, &item) == Ordering::Less);
        self.kept.insert(at, item);
        cap(&mut self.threshold, &mut self.kept, self.size as usize);
    }

    /// Offers the values of many events, the smallest hashes first.
    pub fn offer_all(&mut self, events: impl Iterator<Item = (u64, T)>) {
        let mut offered: Vec<(u64, T)> = Vec::with_capacity(self.size as usize + 1);
        for (hash, value) in events {
            // the first one without room sets the threshold; those that share its hash change nothing
            if hash >= self.threshold || offered.len() > self.size as usize {
                break;
            }
            offered.push((hash, value));
        }
        offered.sort_by(place); // equal hashes come in any order
        if self.kept.is_empty() {
            self.kept = offered;
        } else {
            union(&mut self.kept, &offered, self.threshold);
        }
        cap(&mut self.threshold, &mut self.kept, self.size as usize);
    }

    /// The smallest hash that is not kept; `u64::MAX` if nothing was dropped.
    pub fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Hashes and values in canonical order.
    pub fn items(&self) -> &[(u64, T)] {
        &self.kept
    }

    /// The values, in the order of their hashes.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().map(|(_, v)| v)
    }

    /// Adds another sample of other events. What stays is the sample of all of them as if they had been offered one by one: where
    /// an epoch ends, and so how many partials a pane has, must not show in what is learned.
    pub fn merge(&mut self, other: &Sample<T>) {
        self.size = self.size.min(other.size);
        self.thin(other.threshold);
        union(&mut self.kept, &other.kept, self.threshold);
        cap(&mut self.threshold, &mut self.kept, self.size as usize);
    }

    fn thin(&mut self, threshold: u64) {
        self.threshold = self.threshold.min(threshold);
        let below = self.kept.partition_point(|(h, _)| *h < self.threshold);
        self.kept.truncate(below);
    }
}

/// Samples of many panes and sources, merged, with a cap on the number of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool<T> {
    threshold: u64,
    size: u32,
    kept: Vec<(u64, T)>,
}

impl<T: Value> Default for Pool<T> {
    fn default() -> Self {
        Pool::with_size(POOL_SIZE)
    }
}

impl<T: Value> Pool<T> {
    /// Of no samples, with room for `size` values.
    pub fn with_size(size: usize) -> Pool<T> {
        Pool { threshold: u64::MAX, size: size as u32, kept: Vec::new() }
    }

    /// Adds a pane's sample; beyond the cap the threshold falls to the first hash that has no room.
    pub fn absorb(&mut self, sample: &Sample<T>) {
        self.take(sample.threshold, &sample.kept);
    }

    /// Adds another pool.
    pub fn merge(&mut self, other: &Pool<T>) {
        self.take(other.threshold, &other.kept);
    }

    fn take(&mut self, threshold: u64, items: &[(u64, T)]) {
        if !planted(Bug::PoolNotThinned) {
            self.threshold = self.threshold.min(threshold);
        }
        let below = self.kept.partition_point(|(h, _)| *h < self.threshold);
        self.kept.truncate(below);
        union(&mut self.kept, items, self.threshold);
        cap(&mut self.threshold, &mut self.kept, self.size as usize);
    }

    /// The smallest hash that is not kept.
    pub fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Hashes with their values, ascending.
    pub fn kept(&self) -> &[(u64, T)] {
        &self.kept
    }

    /// The values, in the order of their hashes.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().map(|(_, v)| v)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// True if there is no value.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

fn place<T: Value>(a: &(u64, T), b: &(u64, T)) -> Ordering {
    a.0.cmp(&b.0).then_with(|| a.1.order(&b.1))
}

fn union<T: Value>(kept: &mut Vec<(u64, T)>, more: &[(u64, T)], threshold: u64) {
    let below = more.partition_point(|(h, _)| *h < threshold);
    let mut more = &more[..below];
    // from the end, in place: what stays where it is costs nothing
    let (mut left, mut at) = (kept.len(), kept.len() + more.len());
    kept.extend_from_slice(more);
    while let Some((last, before)) = more.split_last() {
        at -= 1;
        if left > 0 && place(&kept[left - 1], last) == Ordering::Greater {
            left -= 1;
            kept.swap(at, left);
        } else {
            kept[at] = last.clone();
            more = before;
        }
    }
}

/// Keeps `size` values at most. Values that share the first hash without room all go, so the order of arrival never shows.
fn cap<T: Value>(threshold: &mut u64, kept: &mut Vec<(u64, T)>, size: usize) {
    if kept.len() > size {
        *threshold = kept[size].0;
        let below = kept.partition_point(|(h, _)| *h < *threshold);
        kept.truncate(below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(size: usize, items: &[(u64, i8)]) -> Sample<f64> {
        let mut s = Sample::with_size(size);
        items.iter().for_each(|(h, v)| s.offer(*h, f64::from(*v)));
        s
    }

    fn pool(size: usize, samples: &[Sample<f64>]) -> Pool<f64> {
        let mut p = Pool::with_size(size);
        samples.iter().for_each(|s| p.absorb(s));
        p
    }

    fn items() -> impl Strategy<Value = Vec<(u64, i8)>> {
        prop::collection::vec((0u64..60, any::<i8>()), 0..40)
    }

    proptest! {
        #[test]
        fn the_order_of_offers_does_not_show(mut xs in items(), size in 1usize..12, seed in any::<u64>()) {
            let before = sample(size, &xs);
            xs.sort_by_key(|(h, v)| (h ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(*v as u8));
            prop_assert_eq!(sample(size, &xs), before);
        }

        #[test]
        fn many_offers_are_as_many_single_ones(before in items(), mut xs in items(), size in 1usize..12) {
            let mut together = sample(size, &before);
            let mut singly = together.clone();
            xs.sort_by_key(|(h, _)| *h);
            xs.iter().for_each(|(h, v)| singly.offer(*h, f64::from(*v)));
            together.offer_all(xs.iter().map(|(h, v)| (*h, f64::from(*v))));
            prop_assert_eq!(together, singly);
        }

        #[test]
        fn merge_is_associative_and_commutative(a in items(), b in items(), c in items(), size in 1usize..12) {
            let [a, b, c] = [a, b, c].map(|x| sample(size, &x));
            let merged = |x: &Sample<f64>, y: &Sample<f64>| { let mut m = x.clone(); m.merge(y); m };
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        }

        #[test]
        fn the_empty_sample_is_the_identity(a in items(), size in 1usize..12) {
            let a = sample(size, &a);
            let mut m = a.clone();
            m.merge(&Sample::with_size(size));
            prop_assert_eq!(m, a);
        }

        #[test]
        fn a_pool_forgets_the_order_of_its_panes(xs in prop::collection::vec(items(), 0..6), size in 1usize..12, cap in 1usize..30) {
            let samples: Vec<_> = xs.iter().map(|x| sample(size, x)).collect();
            let forward = pool(cap, &samples);
            let backward = pool(cap, &samples.iter().rev().cloned().collect::<Vec<_>>());
            prop_assert_eq!(&forward, &backward);
            let (left, right) = samples.split_at(samples.len() / 2);
            let mut halves = pool(cap, left);
            halves.merge(&pool(cap, right));
            prop_assert_eq!(&halves, &forward);
            prop_assert!(forward.len() <= cap);
        }
    }

    #[test]
    fn a_pool_of_unequal_panes_is_uniform_over_events() {
        // 40 panes of 1,000 events with value 1 and 40 panes of 50 events with value 0: 4.8 % zeros in the truth.
        let mut pool = Pool::with_size(POOL_SIZE);
        let mut key = 1u64;
        for pane in 0..80 {
            let (events, value) = if pane % 2 == 0 { (1_000, 1.0) } else { (50, 0.0) };
            let mut s = Sample::new();
            for _ in 0..events {
                key = key.wrapping_add(1);
                s.offer(xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes()), value);
            }
            pool.absorb(&s);
        }
        let zeros = pool.values().filter(|v| **v == 0.0).count() as f64;
        let share = zeros / pool.len() as f64;
        let sigma = (0.048f64 * 0.952 / pool.len() as f64).sqrt();
        assert!(pool.len() > 500 && (share - 0.0476).abs() < 4.0 * sigma, "{share} of {}", pool.len());
    }
}
