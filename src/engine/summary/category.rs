//! Categorical signals: counts of pinned values, the rest in two buckets.
//!
//! Guarantees: merge is associative and commutative with `CategoryCounts::empty` as identity.

use serde::{Deserialize, Serialize};

/// Pinned values of a categorical signal at most.
pub const MAX_PINNED: usize = 64;
/// Values remembered as known beyond the pinned ones at most.
pub const MAX_KNOWN: usize = 1_000;

/// Which values of a (model, signal) are counted one by one: fixed from its reference with a version in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Categories {
    /// Version in the plan.
    pub version: u32,
    /// Counted one by one, most frequent first (ties by name).
    pub pinned: Vec<String>,
    /// Seen in the reference, counted together as `other`; sorted.
    pub known: Vec<String>,
}

/// The summary of a categorical signal under one version of its categories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryCounts {
    /// All events.
    pub n: u64,
    /// Events per pinned value.
    pub counts: Vec<u64>,
    /// Events with a known value that is not pinned.
    pub other: u64,
    /// Events with a value that the reference did not have.
    pub unseen: u64,
}

impl CategoryCounts {
    /// Of no events.
    pub fn empty(pinned: usize) -> CategoryCounts {
        CategoryCounts { n: 0, counts: vec![0; pinned], other: 0, unseen: 0 }
    }

    /// Counts one value.
    pub fn add(&mut self, value: &str, categories: &Categories) {
        self.add_many(value, 1, categories);
    }

    /// Counts `times` events of one value.
    pub fn add_many(&mut self, value: &str, times: u64, categories: &Categories) {
        self.n += times;
        if let Some(i) = categories.pinned.iter().position(|p| p == value) {
            self.counts[i] += times;
        } else if categories.known.binary_search_by(|k| k.as_str().cmp(value)).is_ok() {
            self.other += times;
        } else {
            self.unseen += times;
        }
    }

    /// Adds what another summary under the same categories has seen.
    pub fn merge(&mut self, other: &CategoryCounts) {
        debug_assert_eq!(self.counts.len(), other.counts.len(), "summaries of different categories do not merge");
        self.n += other.n;
        self.other += other.other;
        self.unseen += other.unseen;
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}
