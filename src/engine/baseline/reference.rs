//! The reference of one stream: everything its reference panes held, added up.
//!
//! Guarantees: integers until it is finished; finished once, then pinned (only a redefinition or an operator replaces it).
//! Comes from: panes of the reference range. Goes to: `detect::channels`, which derives scores and rates from it.

use super::disparity::Disparity;
use super::gap::Gap;
use super::volume::Volume;
use crate::engine::detect::limit::Counted;
use crate::engine::summary::aged::AgedCounts;
use crate::engine::summary::category::{Categories, CategoryCounts};
use crate::engine::summary::numeric::{NumericBins, NumericEdges};
use serde::{Deserialize, Serialize};

/// A closed pane's summary of one stream, borrowed from whoever merged it.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// A number's bins and where they lie.
    Numeric(&'a NumericBins, &'a NumericEdges),
    /// A categorical signal's counts and what they count.
    Categorical(&'a CategoryCounts, &'a Categories),
    /// `k` of `n` events had the property (null, unseen).
    Rate {
        /// Events.
        n: u64,
        /// Events with the property.
        k: u64,
    },
    /// Errors by label age.
    Errors(&'a AgedCounts),
    /// Rows of a pane, empty ones included.
    Volume(Volume),
    /// Errors beside those of others.
    Gap(Gap),
    /// A group beside others.
    Disparity(Disparity),
}

impl Observed<'_> {
    /// Version of the edges or categories behind the counts; 0 for rates.
    pub fn version(&self) -> u32 {
        match self {
            Observed::Numeric(_, edges) => edges.version,
            Observed::Categorical(_, categories) => categories.version,
            Observed::Rate { .. } | Observed::Errors(_) | Observed::Volume(_) => 0,
            Observed::Gap(_) | Observed::Disparity(_) => 0,
        }
    }

    /// Events and those among them that a limit may be set for, of a rate; rows twice where they are counted.
    pub fn counted(&self) -> Option<Counted> {
        match self {
            Observed::Rate { n, k } => Some(Counted { n: *n, k: *k }),
            Observed::Errors(counts) => Some(Counted { n: counts.n(), k: counts.errors.iter().sum() }),
            Observed::Volume(volume) => Some(Counted { n: volume.rows, k: volume.rows }),
            Observed::Numeric(..) | Observed::Categorical(..) | Observed::Gap(_) | Observed::Disparity(_) => None,
        }
    }

    /// A copy that can be added to.
    pub fn to_tally(&self) -> Tally {
        match *self {
            Observed::Numeric(bins, _) => Tally::Numeric(bins.clone()),
            Observed::Categorical(counts, _) => Tally::Categorical(counts.clone()),
            Observed::Rate { n, k } => Tally::Rate { n, k },
            Observed::Errors(counts) => Tally::Errors(*counts),
            Observed::Volume(volume) => Tally::Volume(volume),
            Observed::Gap(gap) => Tally::Gap(gap),
            Observed::Disparity(disparity) => Tally::Disparity(disparity),
        }
    }
}

/// Summaries of several panes of one stream, added up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tally {
    /// Of a number.
    Numeric(NumericBins),
    /// Of a categorical signal.
    Categorical(CategoryCounts),
    /// Of a rate.
    Rate {
        /// Events.
        n: u64,
        /// Events with the property.
        k: u64,
    },
    /// Of errors by label age.
    Errors(AgedCounts),
    /// Of rows.
    Volume(Volume),
    /// Of errors beside those of others.
    Gap(Gap),
    /// Of a group beside others.
    Disparity(Disparity),
}

impl Tally {
    /// Events behind it.
    pub fn n(&self) -> u64 {
        match self {
            Tally::Numeric(bins) => bins.n,
            Tally::Categorical(counts) => counts.n,
            Tally::Rate { n, .. } => *n,
            Tally::Errors(counts) => counts.n(),
            Tally::Volume(volume) => volume.rows,
            Tally::Gap(gap) | Tally::Disparity(Disparity { gap, .. }) => gap.n,
        }
    }

    /// What the length of a window is measured in: events, or panes where rows are counted.
    pub fn weight(&self) -> u64 {
        match self {
            Tally::Volume(volume) => volume.panes,
            _ => self.n(),
        }
    }

    /// Whether both are of one form, under the same edges.
    pub fn compares_with(&self, other: &Tally) -> bool {
        match (self, other) {
            (Tally::Numeric(a), Tally::Numeric(b)) => a.counts.len() == b.counts.len(),
            (Tally::Categorical(a), Tally::Categorical(b)) => a.counts.len() == b.counts.len(),
            (Tally::Rate { .. }, Tally::Rate { .. }) => true,
            _ => false,
        }
    }

    /// Adds another tally of the same stream, of later panes, under the same edges. False (and nothing added) if they do not fit together.
    #[must_use]
    pub fn merge(&mut self, other: &Tally) -> bool {
        match (self, other) {
            (Tally::Numeric(a), Tally::Numeric(b)) if a.counts.len() == b.counts.len() => a.merge(b),
            (Tally::Categorical(a), Tally::Categorical(b)) if a.counts.len() == b.counts.len() => a.merge(b),
            (Tally::Rate { n, k }, Tally::Rate { n: n2, k: k2 }) => {
                *n += n2;
                *k += k2;
            }
            (Tally::Errors(a), Tally::Errors(b)) => a.merge(b),
            (Tally::Volume(a), Tally::Volume(b)) => a.merge(b),
            (Tally::Gap(a), Tally::Gap(b)) => a.merge(b),
            (Tally::Disparity(a), Tally::Disparity(b)) => a.gap.merge(&b.gap),
            _ => return false,
        }
        true
    }
}
