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
use serde::{Deserialize, Serialize};

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
    /// Adds a block that ends just before this one.
    fn prepend(&mut self, older: &Block) {
        self.folds += older.folds;
        self.first = older.first;
        self.sum += older.sum;
        self.squares += older.squares;
        self.counts.iter_mut().zip(&older.counts).for_each(|(a, b)| *a += b);
    }

    /// Events in it.
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The recent past in blocks of growing size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    blocks: Vec<Block>,
}

impl History {
    /// Adds a fold.
    pub fn push(&mut self, counts: &[u64], sum: i128, squares: i128, at: Gathered) {
        self.blocks.push(Block { folds: 1, first: at.first, counts: counts.to_vec(), sum, squares });
        let mut size = 1;
        // `end` is one past the newest block of this size
        let mut end = self.blocks.len();
        while end >= 3 && self.blocks[end - 3].folds == size {
            if size == LARGEST {
                self.blocks.remove(end - 3);
                break;
            }
            let older = self.blocks.remove(end - 3);
            self.blocks[end - 3].prepend(&older);
            end -= 2;
            size *= 2;
        }
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
        let Some(mut sum) = self.blocks.last().cloned() else { return };
        for (i, block) in self.blocks.iter().enumerate().rev() {
            if i + 1 < self.blocks.len() {
                sum.prepend(block);
            }
            if i == 0 || wanted(self.blocks[i - 1].folds, block.folds) {
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
