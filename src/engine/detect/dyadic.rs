//! Counts of the recent past in windows of about 1, 2, 4 ... 1,024 folds, in logarithmic space.
//!
//! Blocks of 1, 2, 4 ... 1,024 folds, one or two of each size, the newest last: on the third block of a size the two older ones
//! become one of the next size (the exponential histogram of Datar, Gionis, Indyk, Motwani, SIAM J. Comput. 31, 2002). The number
//! of blocks per size after t folds are the digits of t written with the digits 1 and 2 only, so the windows are a function of t.
//! Guarantees: sums are exact. Never: remembers more than two blocks of 1,024 folds.
//!
//! ```
//! # use driftline::engine::{detect::{dyadic::History, Gathered}, types::PaneId};
//! let mut h = History::default();
//! (0..6).for_each(|t| h.push(&[t, 1], 0, 0, Gathered::one(PaneId(t as i64))));
//! // by hand: 6 = 2·1 + 2·2: two blocks of one fold, two of two folds; windows of 2 and of 6 folds
//! let mut windows = Vec::new();
//! h.windows(|w| windows.push((w.folds, w.counts.clone())));
//! assert_eq!(windows, [(2, vec![9, 2]), (6, vec![15, 6])]);
//! ```

use super::Gathered;
use crate::engine::types::PaneId;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Folds in the largest block.
pub const LARGEST: u32 = 1_024;

/// Sums over neighbouring folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// How many folds.
    pub folds: u32,
    /// The first pane.
    pub first: PaneId,
    /// Events per group.
    pub counts: Vec<u64>,
    /// Sum of z in fixed point, for numeric signals.
    pub sum: i128,
    /// Sum of z² in fixed point, for numeric signals.
    pub squares: i128,
}

impl Block {
    /// Events in it.
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What a block is beside its counts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    folds: u32,
    first: PaneId,
    sum: i128,
    squares: i128,
}

impl Head {
    /// Adds a block that ends just before this one.
    fn prepend(&mut self, older: &Head) {
        self.folds += older.folds;
        self.first = older.first;
        self.sum += older.sum;
        self.squares += older.squares;
    }
}

/// The recent past in blocks of growing size. The counts of all blocks lie side by side, block after block: a fold reads all of them, and
/// memory comes one line after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    heads: Vec<Head>,
    counts: Vec<u64>,
}

impl History {
    /// Adds a fold. All folds have as many groups.
    pub fn push(&mut self, counts: &[u64], sum: i128, squares: i128, at: Gathered) {
        let groups = counts.len();
        debug_assert!(self.counts.len() == self.heads.len() * groups, "folds of one history have as many groups");
        self.heads.push(Head { folds: 1, first: at.first, sum, squares });
        self.counts.extend_from_slice(counts);
        let mut size = 1;
        // `end` is one past the newest block of this size
        let mut end = self.heads.len();
        while end >= 3 && self.heads[end - 3].folds == size {
            let older = self.heads.remove(end - 3);
            let place = (end - 3) * groups;
            if size == LARGEST {
                self.counts.drain(place..place + groups);
                break;
            }
            self.heads[end - 3].prepend(&older);
            let (older, newer) = self.counts[place..].split_at_mut(groups);
            newer.iter_mut().zip(older).for_each(|(a, b)| *a += *b);
            self.counts.drain(place..place + groups);
            end -= 2;
            size *= 2;
        }
    }

    fn groups(&self) -> usize {
        self.counts.len().checked_div(self.heads.len()).unwrap_or(0)
    }

    /// Shows the windows that end now, shortest first: all blocks up to each size.
    pub fn windows(&self, visit: impl FnMut(&Block)) {
        self.sums(|older, newest| older > newest, visit)
    }

    /// Shows all windows that end now and start with a block, shortest first.
    pub fn suffixes(&self, visit: impl FnMut(&Block)) {
        self.sums(|_, _| true, visit)
    }

    /// Sums of the newest blocks, where `wanted` (folds of the next older block, folds of the oldest one in the sum); and of all.
    fn sums(&self, wanted: fn(u32, u32) -> bool, mut visit: impl FnMut(&Block)) {
        let groups = self.groups();
        let mut all = Head { folds: 0, first: PaneId(0), sum: 0, squares: 0 };
        let mut sum = Block { folds: 0, first: PaneId(0), counts: vec![0; groups], sum: 0, squares: 0 };
        for (i, head) in self.heads.iter().enumerate().rev() {
            all.prepend(head);
            sum.counts.iter_mut().zip(&self.counts[i * groups..]).for_each(|(a, b)| *a += b);
            if i == 0 || wanted(self.heads[i - 1].folds, head.folds) {
                (sum.folds, sum.first, sum.sum, sum.squares) = (all.folds, all.first, all.sum, all.squares);
                visit(&sum);
            }
        }
    }

    /// The sum of the blocks whose first pane lies nearest to `first`.
    pub fn since(&self, first: PaneId) -> Option<Block> {
        let mut nearest: Option<Block> = None;
        self.suffixes(|block| {
            if nearest.as_ref().is_none_or(|n| block.first.0.abs_diff(first.0) < n.first.0.abs_diff(first.0)) {
                nearest = Some(block.clone());
            }
        });
        nearest
    }
}

/// A history as it is written: each block with its counts.
#[derive(Serialize, Deserialize)]
#[serde(rename = "History")]
struct Written {
    blocks: Vec<Block>,
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let groups = self.groups();
        let block = |(i, head): (usize, &Head)| {
            let counts = self.counts[i * groups..(i + 1) * groups].to_vec();
            Block { folds: head.folds, first: head.first, counts, sum: head.sum, squares: head.squares }
        };
        Written { blocks: self.heads.iter().enumerate().map(block).collect() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<History, D::Error> {
        let blocks = Written::deserialize(from)?.blocks;
        if blocks.windows(2).any(|pair| pair[0].counts.len() != pair[1].counts.len()) {
            return Err(D::Error::custom("blocks of one history have as many groups"));
        }
        let head = |b: &Block| Head { folds: b.folds, first: b.first, sum: b.sum, squares: b.squares };
        Ok(History { heads: blocks.iter().map(head).collect(), counts: blocks.iter().flat_map(|b| b.counts.iter().copied()).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(blocks: &[&[u64]]) -> Vec<u8> {
        let block = |counts: &&[u64]| Block { folds: 1, first: PaneId(0), counts: counts.to_vec(), sum: 0, squares: 0 };
        postcard::to_stdvec(&Written { blocks: blocks.iter().map(block).collect() }).expect("plain data")
    }

    #[test]
    fn a_history_is_written_block_by_block_and_read_again() {
        let mut history = History::default();
        (0..2).for_each(|t| history.push(&[t, 1], 0, 0, Gathered::one(PaneId(0))));
        let bytes = postcard::to_stdvec(&history).expect("plain data");
        assert_eq!(bytes, written(&[&[0, 1], &[1, 1]]));
        assert_eq!(postcard::from_bytes::<History>(&bytes), Ok(history));
    }

    #[test]
    fn blocks_with_different_groups_are_refused() {
        assert!(postcard::from_bytes::<History>(&written(&[&[0, 1], &[1]])).is_err());
        assert!(postcard::from_bytes::<History>(&written(&[])).is_ok_and(|empty| empty == History::default()));
    }
}
