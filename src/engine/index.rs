//! From request key to the first entry of that key: one cell of eight bytes holds a tag of 32 bits of the key beside the slot.
//!
//! Guarantees: `find` asks `same` only about slots whose tag is the key's (of n others, n / 2^32 by chance); order of changes does not
//! matter to what is found.
//! Why not a general hash table: its control bytes and its slots lie apart, so each look-up of a key that was not used lately waits for
//! memory twice, and one in eight looks at a wrong entry as well. This one waits once.
//! Never: holds a key twice (entries of one key are chained by `Store`).

use super::types::RequestKey;
use crate::prefetch::{LINE, prefetch};

/// Linear probing; at most three of four cells are in use.
pub struct Index {
    /// 0: empty. Else the tag above, slot + 1 below. A power of two of cells, sorted by tag as far as collisions allow.
    cells: Vec<u64>,
    /// A tag's home is `tag >> shift`.
    shift: u32,
    used: usize,
}

const LEAST: usize = 16;

impl Default for Index {
    fn default() -> Index {
        Index { cells: vec![0; LEAST], shift: 32 - LEAST.trailing_zeros(), used: 0 }
    }
}

/// The key is a hash already: any 32 bits of it do.
#[inline]
fn tag(key: RequestKey) -> u32 {
    key.0 as u32
}

#[inline]
fn cell(tag: u32, slot: u32) -> u64 {
    u64::from(tag) << 32 | (u64::from(slot) + 1)
}

#[inline]
fn tag_in(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline]
fn slot_in(cell: u64) -> u32 {
    cell as u32 - 1
}

impl Index {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>()
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        (tag >> self.shift) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    /// The slot of `key`, which `same` confirms.
    #[inline]
    pub fn find(&self, key: RequestKey, same: impl Fn(u32) -> bool) -> Option<u32> {
        self.place(key, same).map(|at| slot_in(self.cells[at]))
    }

    /// `find` is asked for this key soon.
    #[inline]
    pub fn expect(&self, key: RequestKey) {
        prefetch(&raw const self.cells[self.home(tag(key))], LINE);
    }

    /// A slot that `find` would have to look at for this key.
    #[inline]
    pub fn likely(&self, key: RequestKey) -> Option<u32> {
        self.find(key, |_| true)
    }

    #[inline]
    fn place(&self, key: RequestKey, same: impl Fn(u32) -> bool) -> Option<usize> {
        let tag = tag(key);
        let mut at = self.home(tag);
        loop {
            let cell = self.cells[at];
            if cell == 0 {
                return None;
            }
            if tag_in(cell) == tag && same(slot_in(cell)) {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    /// Adds a key that is not there.
    pub fn insert(&mut self, key: RequestKey, slot: u32) {
        if (self.used + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.used += 1;
        self.put(cell(tag(key), slot));
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home(tag_in(cell));
        while self.cells[at] != 0 {
            at = self.next(at);
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let twice = self.cells.len() * 2;
        let before = std::mem::replace(&mut self.cells, vec![0; twice]);
        self.shift = 32 - twice.trailing_zeros();
        before.into_iter().filter(|cell| *cell != 0).for_each(|cell| self.put(cell));
    }

    /// Another slot for a key that is there.
    pub fn replace(&mut self, key: RequestKey, slot: u32, same: impl Fn(u32) -> bool) {
        if let Some(at) = self.place(key, same) {
            self.cells[at] = cell(tag(key), slot);
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: RequestKey, same: impl Fn(u32) -> bool) {
        let Some(mut hole) = self.place(key, same) else { return };
        self.used -= 1;
        // what probed past the hole moves up, so that no look-up stops too early
        let mut at = self.next(hole);
        while self.cells[at] != 0 {
            let from_home = at.wrapping_sub(self.home(tag_in(self.cells[at]))) & (self.cells.len() - 1);
            let from_hole = at.wrapping_sub(hole) & (self.cells.len() - 1);
            if from_home >= from_hole {
                self.cells[hole] = self.cells[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.cells[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Few tags in few places, so that they collide, wrap around the end, and share tags.
    fn key(n: u8) -> RequestKey {
        let tag = [0u32, 1, 2, u32::MAX, u32::MAX - 1, 0x8000_0000, 0x8000_0001, 0x7fff_ffff][usize::from(n % 8)];
        RequestKey(u128::from(tag) | u128::from(n / 8) << 64)
    }

    proptest! {
        #[test]
        fn it_knows_what_an_ordered_map_knows(steps in prop::collection::vec((any::<bool>(), 0u8..64), 0..400)) {
            let (mut index, mut map) = (Index::default(), BTreeMap::new());
            let mut keys: Vec<RequestKey> = Vec::new();
            for (add, n) in steps {
                let key = key(n);
                match (add, map.contains_key(&key.0)) {
                    (true, false) => {
                        keys.push(key);
                        index.insert(key, keys.len() as u32 - 1);
                        map.insert(key.0, keys.len() as u32 - 1);
                    }
                    (true, true) => {
                        keys.push(key);
                        let slot = keys.len() as u32 - 1;
                        index.replace(key, slot, |s| keys[s as usize] == key);
                        map.insert(key.0, slot);
                    }
                    (false, _) => {
                        index.remove(key, |s| keys[s as usize] == key);
                        map.remove(&key.0);
                    }
                }
                for n in 0..64 {
                    let key = super::tests::key(n);
                    prop_assert_eq!(index.find(key, |s| keys[s as usize] == key), map.get(&key.0).copied());
                }
            }
        }
    }

    #[test]
    fn it_grows_before_it_is_full() {
        let mut index = Index::default();
        for n in 0..100_000u32 {
            index.insert(RequestKey(u128::from(n.wrapping_mul(0x9e37_79b9))), n);
        }
        let key = |n: u32| n.wrapping_mul(0x9e37_79b9);
        for n in 0..100_000 {
            assert_eq!(index.find(RequestKey(u128::from(key(n))), |s| s == n), Some(n));
        }
        assert_eq!(index.bytes(), 8 << 18, "three of four cells at most: 2^18 for 100,000");
    }
}
