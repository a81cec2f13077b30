//! Cuts between bins, laid out for fast search.
//!
//! Guarantees: `at_or_below(x)` is the number of cuts c with c <= x, whatever x is; written and compared as the plain list.
//! Why: every number of every record is looked up here. Two times eight comparisons without a branch are half the time of a binary
//! search, whose steps wait for each other.

use serde::{Deserialize, Serialize};
use std::ops::Deref;

const WIDTH: usize = 8;

/// Ascending cuts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Vec<f64>", into = "Vec<f64>")]
pub struct Cuts {
    cuts: Vec<f64>,
    /// The last cut of each full block of eight; +inf where there is none.
    coarse: [f64; WIDTH],
    /// Blocks of eight, filled up with +inf.
    fine: Box<[[f64; WIDTH]; WIDTH]>,
}

impl From<Vec<f64>> for Cuts {
    fn from(cuts: Vec<f64>) -> Cuts {
        let cut = |i: usize| cuts.get(i).copied().unwrap_or(f64::INFINITY);
        let fine = Box::new(std::array::from_fn(|block| std::array::from_fn(|i| cut(block * WIDTH + i))));
        let coarse = std::array::from_fn(|block| cut(block * WIDTH + WIDTH - 1));
        Cuts { cuts, coarse, fine }
    }
}

impl From<Cuts> for Vec<f64> {
    fn from(cuts: Cuts) -> Vec<f64> {
        cuts.cuts
    }
}

impl std::fmt::Debug for Cuts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cuts.fmt(f)
    }
}

impl PartialEq for Cuts {
    fn eq(&self, other: &Cuts) -> bool {
        self.cuts == other.cuts
    }
}

impl Deref for Cuts {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        &self.cuts
    }
}

#[inline(always)]
fn count(block: &[f64; WIDTH], x: f64) -> usize {
    block.iter().map(|c| u64::from(*c <= x)).sum::<u64>() as usize
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
#[inline]
fn count_wide(block: &[f64; WIDTH], x: f64) -> usize {
    use std::arch::x86_64::{_CMP_LE_OQ, _mm256_cmp_pd, _mm256_loadu_pd, _mm256_movemask_pd, _mm256_set1_pd};
    let x = _mm256_set1_pd(x);
    // SAFETY: a block is eight doubles.
    let (low, high) = unsafe { (_mm256_loadu_pd(block.as_ptr()), _mm256_loadu_pd(block.as_ptr().add(WIDTH / 2))) };
    let [low, high] = [low, high].map(|cuts| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LE_OQ>(cuts, x)) as u32);
    (low | high << (WIDTH / 2)).count_ones() as usize
}

impl Cuts {
    /// How many cuts lie at or below `x`.
    #[inline(always)]
    pub fn at_or_below(&self, x: f64) -> usize {
        if self.cuts.len() >= WIDTH * WIDTH || x == f64::INFINITY {
            return self.cuts.partition_point(|c| *c <= x);
        }
        let block = count(&self.coarse, x);
        block * WIDTH + count(&self.fine[block], x)
    }

    /// The same, with wide registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    #[inline]
    pub(super) fn at_or_below_wide(&self, x: f64) -> usize {
        if self.cuts.len() >= WIDTH * WIDTH || x == f64::INFINITY {
            return self.cuts.partition_point(|c| *c <= x);
        }
        let block = count_wide(&self.coarse, x);
        block * WIDTH + count_wide(&self.fine[block], x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_plain_count_finds(mut list in prop::collection::vec(-50i32..50, 0..90), xs in prop::collection::vec(any::<f64>(), 20)) {
            list.sort_unstable();
            list.dedup();
            let plain: Vec<f64> = list.iter().map(|x| f64::from(*x)).collect();
            let cuts = Cuts::from(plain.clone());
            let own = plain.iter().flat_map(|c| [*c, c.next_up(), c.next_down()]);
            for x in own.chain(xs).chain([f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, -0.0]) {
                let counted = plain.iter().filter(|c| **c <= x).count();
                prop_assert_eq!(cuts.at_or_below(x), counted, "{} in {:?}", x, plain);
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
                    // SAFETY: the machine has what the function is compiled for.
                    prop_assert_eq!(unsafe { cuts.at_or_below_wide(x) }, counted, "{} in {:?}", x, plain);
                }
            }
        }
    }
}
