//! Memory of the join: rows (accepted predictions) and waiting outcomes, found by request key, forgotten by time.
//!
//! Guarantees: of one key, entries are visited in input-offset order; an entry is a fixed number of bytes; `digest` and `len` depend
//! on the live entries alone, not on the order of changes.
//! Never: decides anything (that is `join`).

use super::cell::CellId;
use super::index::Index;
use super::types::{EpochSeq, EventTime, Offset, RequestKey};
use crate::planted::{Bug, planted};
use crate::prefetch::prefetch;
use std::collections::{BTreeMap, BTreeSet, btree_map};

/// No entry.
pub const NONE: u32 = u32::MAX;

/// An entry of a `Store`.
pub trait Entry: Copy {
    /// What is kept for it at some distance, because it is seldom read.
    type Beside: Copy + Default;
    /// Its request key.
    fn key(&self) -> RequestKey;
    /// Its input offset; -1 marks a free place.
    fn offset(&self) -> i64;
    /// The next entry with the same key.
    fn next(&self) -> u32;
    /// Sets `next`.
    fn set_next(&mut self, next: u32);
    /// Marks the place as free.
    fn clear(&mut self);
}

/// An accepted prediction: 48 bytes and two stored values, in one line of the cache. What its first outcome said is beside it
/// (`Said`): written once, read only for later outcomes of the same request.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Row {
    key: [u64; 2],
    offset: i64,
    /// t_p.
    pub time: EventTime,
    /// e_1, or one of the two marks below.
    first: i64,
    /// Its cell.
    pub cell: CellId,
    next: u32,
    /// Score; NaN if there is none.
    pub score: f64,
    /// XXH3-64 of the predicted class; 0 if there is none.
    pub label: u64,
}
const _: () = assert!(std::mem::size_of::<Row>() == 64, "48 bytes and two values of 8");

/// What a row's first outcome said.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// XXH3-64 of the observed class; 0 if there is none.
    pub label: u64,
    /// Observed number; NaN if there is none.
    pub value: f64,
}

impl Default for Said {
    fn default() -> Said {
        Said { label: 0, value: f64::NAN }
    }
}

impl Said {
    /// Whether both say the same, bit for bit.
    pub fn same(self, other: Said) -> bool {
        self.label == other.label && self.value.to_bits() == other.value.to_bits()
    }
}

const UNMATCHED: i64 = i64::MIN;
const UNLABELLED: i64 = i64::MIN + 1;

impl Row {
    /// A row without outcome.
    pub fn new(key: RequestKey, offset: Offset, time: EventTime, cell: CellId, score: f64, label: u64) -> Row {
        let key = [key.0 as u64, (key.0 >> 64) as u64];
        Row { key, offset: offset.0, time, first: UNMATCHED, cell, next: NONE, score, label }
    }

    /// Effective time of the first outcome.
    pub fn first(&self) -> Option<EventTime> {
        (self.first > UNLABELLED).then_some(EventTime(self.first))
    }

    /// Remembers the first outcome.
    pub fn set_first(&mut self, e: EventTime) {
        self.first = e.0.max(UNLABELLED + 1);
    }

    /// Whether it was decided that no outcome came in time.
    pub fn is_unlabelled(&self) -> bool {
        self.first == UNLABELLED
    }

    /// Decides it.
    pub fn set_unlabelled(&mut self) {
        self.first = UNLABELLED;
    }

    /// A hash of what never changes in the row.
    pub fn digest(&self, cell_hash: u64) -> u64 {
        let who = fold(self.key[0], self.key[1] ^ self.offset as u64);
        let what = fold(self.time.0 as u64 ^ SEEDS[0], cell_hash ^ SEEDS[1]);
        let said = fold(self.score.to_bits() ^ SEEDS[2], self.label ^ SEEDS[3]);
        fold(who ^ SEEDS[4], what ^ said.rotate_left(23))
    }

    /// A hash of its first outcome; 0 if it has none. With `digest` it is everything that later verdicts depend on.
    pub fn match_digest(&self, said: Said) -> u64 {
        let Some(first) = self.first() else { return 0 };
        let label = if planted(Bug::DigestWithoutOutcome) { 0 } else { said.label };
        let said = fold(said.value.to_bits() ^ SEEDS[2], label ^ SEEDS[3]);
        fold(self.key[0] ^ self.offset as u64 ^ SEEDS[5], first.0 as u64 ^ said.rotate_left(23))
    }
}

impl Entry for Row {
    type Beside = Said;
    fn key(&self) -> RequestKey {
        RequestKey(u128::from(self.key[0]) | u128::from(self.key[1]) << 64)
    }
    fn offset(&self) -> i64 {
        self.offset
    }
    fn next(&self) -> u32 {
        self.next
    }
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
    fn clear(&mut self) {
        self.offset = -1;
    }
}

/// An outcome whose prediction has not come yet.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    key: [u64; 2],
    offset: i64,
    /// Effective time.
    pub e: EventTime,
    /// XXH3-64 of the observed class; 0 if there is none.
    pub label: u64,
    /// Observed number; NaN if there is none.
    pub value: f64,
    next: u32,
}

impl Waiting {
    /// A new one.
    pub fn new(key: RequestKey, offset: Offset, e: EventTime, label: u64, value: f64) -> Waiting {
        Waiting { key: [key.0 as u64, (key.0 >> 64) as u64], offset: offset.0, e, label, value, next: NONE }
    }

    /// A hash of everything that later verdicts depend on.
    pub fn digest(&self) -> u64 {
        let who = fold(self.key[0], self.key[1] ^ self.offset as u64);
        let said = fold(self.value.to_bits() ^ SEEDS[2], self.label ^ SEEDS[3]);
        fold(who ^ SEEDS[1], self.e.0 as u64 ^ said.rotate_left(23))
    }
}

impl Entry for Waiting {
    type Beside = ();
    fn key(&self) -> RequestKey {
        RequestKey(u128::from(self.key[0]) | u128::from(self.key[1]) << 64)
    }
    fn offset(&self) -> i64 {
        self.offset
    }
    fn next(&self) -> u32 {
        self.next
    }
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
    fn clear(&mut self) {
        self.offset = -1;
    }
}

/// Odd constants without pattern (fractional bits of the golden ratio and of square roots), so that equal words in different places
/// don't cancel.
const SEEDS: [u64; 6] = [
    0x9e37_79b9_7f4a_7c15,
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
];

/// Mixes two words: both halves of their product.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Entries in a slab, with one index from key to the first entry of that key.
pub struct Store<E: Entry> {
    entries: Vec<E>,
    beside: Vec<E::Beside>,
    free: Vec<u32>,
    index: Index,
    live: usize,
}

impl<E: Entry> Default for Store<E> {
    fn default() -> Self {
        Store { entries: Vec::new(), beside: Vec::new(), free: Vec::new(), index: Index::default(), live: 0 }
    }
}

impl<E: Entry> Store<E> {
    /// Live entries.
    pub fn len(&self) -> usize {
        self.live
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Places that wait for new entries.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Bytes held, free places included.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * (size_of::<E>() + size_of::<E::Beside>()) + self.free.capacity() * 4 + self.index.bytes()
    }

    /// The entry at `slot` if it is live.
    pub fn get(&self, slot: u32) -> Option<&E> {
        self.entries.get(slot as usize).filter(|e| e.offset() >= 0)
    }

    /// A live entry.
    pub fn at(&self, slot: u32) -> &E {
        &self.entries[slot as usize]
    }

    /// A live entry, to change.
    pub fn at_mut(&mut self, slot: u32) -> &mut E {
        &mut self.entries[slot as usize]
    }

    /// What is kept beside a live entry.
    pub fn beside(&self, slot: u32) -> E::Beside {
        self.beside[slot as usize]
    }

    /// Keeps something beside a live entry.
    pub fn set_beside(&mut self, slot: u32, beside: E::Beside) {
        self.beside[slot as usize] = beside;
    }

    /// The first entry of a key, or `NONE`.
    pub fn first(&self, key: RequestKey) -> u32 {
        self.index.find(key, |s| self.entries[s as usize].key() == key).unwrap_or(NONE)
    }

    /// Entries of this key are looked for soon.
    #[inline]
    pub fn expect(&self, key: RequestKey) {
        self.index.expect(key);
    }

    /// The same, when the index has been waited for.
    #[inline]
    pub fn expect_entry(&self, key: RequestKey) {
        if let Some(slot) = self.index.likely(key) {
            self.expect_slot(slot);
        }
    }

    /// This place is looked at soon.
    #[inline]
    pub fn expect_slot(&self, slot: u32) {
        if let Some(entry) = self.entries.get(slot as usize) {
            prefetch(entry, size_of::<E>());
        }
    }

    /// An entry is added soon.
    #[inline]
    pub fn expect_insert(&self) {
        if let Some(slot) = self.free.last() {
            self.expect_slot(*slot);
        }
    }

    /// Adds an entry in its place by offset among those with its key; returns its slot.
    pub fn insert(&mut self, entry: E) -> u32 {
        let (key, offset, head) = (entry.key(), entry.offset(), self.first(entry.key()));
        let slot = self.place(entry);
        if head == NONE {
            self.entries[slot as usize].set_next(NONE);
            self.index.insert(key, slot);
        } else if self.entries[head as usize].offset() > offset || planted(Bug::LastFirst) {
            self.entries[slot as usize].set_next(head);
            let entries = &self.entries;
            self.index.replace(key, slot, |s| entries[s as usize].key() == key);
        } else {
            let mut before = head;
            loop {
                let next = self.entries[before as usize].next();
                if next == NONE || self.entries[next as usize].offset() > offset {
                    break;
                }
                before = next;
            }
            let after = self.entries[before as usize].next();
            self.entries[slot as usize].set_next(after);
            self.entries[before as usize].set_next(slot);
        }
        slot
    }

    /// Finds room.
    fn place(&mut self, entry: E) -> u32 {
        self.live += 1;
        match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                self.beside[slot as usize] = E::Beside::default();
                slot
            }
            None => {
                self.entries.push(entry);
                self.beside.push(E::Beside::default());
                self.entries.len() as u32 - 1
            }
        }
    }

    /// Removes a live entry.
    pub fn remove(&mut self, slot: u32) {
        let (key, next) = (self.entries[slot as usize].key(), self.entries[slot as usize].next());
        let head = self.first(key);
        let entries = &mut self.entries;
        if head != slot {
            let mut before = head;
            while entries[before as usize].next() != slot {
                before = entries[before as usize].next();
            }
            entries[before as usize].set_next(next);
        } else if next == NONE {
            self.index.remove(key, |s| s == slot);
        } else {
            self.index.replace(key, next, |s| s == slot);
        }
        self.entries[slot as usize].clear();
        self.free.push(slot);
        self.live -= 1;
    }

    /// Live entries with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &E)> {
        self.entries.iter().enumerate().filter(|(_, e)| e.offset() >= 0).map(|(s, e)| (s as u32, e))
    }
}

/// Whether a time lies outside the bucket that begins at `begin`. Asked first, because to divide costs as much as the rest of a push.
fn outside(time: EventTime, begin: i64, width: i64) -> bool {
    time.0 < begin || time.0.abs_diff(begin) >= width as u64
}

/// When to look at an entry again: lists of slots by time bucket. Entries may be stale; whoever pops them checks.
pub struct Wheel {
    width: i64,
    buckets: BTreeMap<i64, Vec<u32>>,
    /// The bucket that was pushed to last, taken out of the map: the next push mostly goes there.
    last: (i64, Vec<u32>),
    /// Its first time.
    begin: i64,
}

impl Wheel {
    /// With buckets of `width` ms.
    pub fn new(width: i64) -> Wheel {
        Wheel { width, buckets: BTreeMap::new(), last: (i64::MIN, Vec::new()), begin: i64::MAX }
    }

    /// Look at `slot` once a watermark passes `due`.
    pub fn push(&mut self, due: EventTime, slot: u32) {
        if outside(due, self.begin, self.width) {
            let bucket = due.0.div_euclid(self.width);
            self.put_back();
            self.last = (bucket, self.buckets.remove(&bucket).unwrap_or_default());
            self.begin = bucket.saturating_mul(self.width);
        }
        self.last.1.push(slot);
    }

    fn put_back(&mut self) {
        if !self.last.1.is_empty() {
            self.buckets.insert(self.last.0, std::mem::take(&mut self.last.1));
        }
        self.last.0 = i64::MIN;
        self.begin = i64::MAX;
    }

    /// The earliest time at which something may be due.
    pub fn earliest(&self) -> Option<EventTime> {
        self.buckets.first_key_value().map(|(bucket, _)| EventTime(bucket.saturating_mul(self.width)))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.clear();
    }

    /// Adds the slots of all buckets that overlap `[from, to)`, stale ones included.
    pub fn slots(&self, from: EventTime, to: EventTime, slots: &mut Vec<u32>) {
        let (first, last) = (from.0.div_euclid(self.width), to.0.div_euclid(self.width));
        self.buckets.range(first..=last).for_each(|(_, bucket)| slots.extend_from_slice(bucket));
        if (first..=last).contains(&self.last.0) {
            slots.extend_from_slice(&self.last.1);
        }
    }

    /// Pops every slot whose `due` (asked of the caller; `None` drops a stale one) lies below `watermark`, in bucket order.
    pub fn pop(&mut self, watermark: EventTime, mut due: impl FnMut(u32) -> Option<EventTime>, popped: &mut Vec<u32>) {
        popped.clear();
        self.put_back();
        while let Some(mut first) = self.buckets.first_entry() {
            let bucket = *first.key();
            if bucket.saturating_mul(self.width) >= watermark.0 {
                return;
            }
            let width = self.width;
            first.get_mut().retain(|slot| match due(*slot) {
                Some(at) if at.0.div_euclid(width) != bucket => false,
                Some(at) if at < watermark => {
                    popped.push(*slot);
                    false
                }
                Some(_) => true,
                None => false,
            });
            if !first.get().is_empty() {
                return; // the bucket that the watermark stands in
            }
            first.remove();
        }
    }
}

/// Which epoch first held an entry of each time bucket: what the journal may forget.
pub struct Since {
    width: i64,
    first: BTreeMap<i64, EpochSeq>,
    /// The same, the oldest epoch first.
    by_epoch: BTreeSet<(EpochSeq, i64)>,
    /// The first time of the bucket that was noted last.
    begin: i64,
}

impl Since {
    /// With buckets of `width` ms.
    pub fn new(width: i64) -> Since {
        Since { width, first: BTreeMap::new(), by_epoch: BTreeSet::new(), begin: i64::MAX }
    }

    /// An entry of `time` came in `epoch`.
    pub fn note(&mut self, time: EventTime, epoch: EpochSeq) {
        if outside(time, self.begin, self.width) {
            let bucket = time.0.div_euclid(self.width);
            self.begin = bucket.saturating_mul(self.width);
            if let btree_map::Entry::Vacant(place) = self.first.entry(bucket) {
                place.insert(epoch);
                self.by_epoch.insert((epoch, bucket));
            }
        }
    }

    /// The bucket that holds entries of `time`.
    pub fn bucket_of(&self, time: EventTime) -> i64 {
        time.0.div_euclid(self.width)
    }

    /// The times of a bucket: from the first to the first after it.
    pub fn span(&self, bucket: i64) -> (EventTime, EventTime) {
        (EventTime(bucket.saturating_mul(self.width)), EventTime((bucket + 1).saturating_mul(self.width)))
    }

    /// The bucket with the oldest first epoch, and that epoch.
    pub fn oldest(&self) -> Option<(EpochSeq, i64)> {
        self.by_epoch.first().copied()
    }

    /// Nothing of a bucket is needed from before `epoch`.
    pub fn begins(&mut self, bucket: i64, epoch: EpochSeq) {
        if let Some(before) = self.first.insert(bucket, epoch) {
            self.by_epoch.remove(&(before, bucket));
        }
        self.by_epoch.insert((epoch, bucket));
    }

    /// The oldest epoch that still matters when entries before `horizon` are over; forgets their buckets.
    pub fn floor(&mut self, horizon: EventTime) -> EpochSeq {
        let width = self.width;
        self.begin = i64::MAX; // its bucket may go
        while let Some(oldest) = self.first.first_entry().filter(|e| (e.key() + 1).saturating_mul(width) <= horizon.0) {
            let (bucket, epoch) = oldest.remove_entry();
            self.by_epoch.remove(&(epoch, bucket));
        }
        self.oldest().map_or(EpochSeq(u64::MAX), |oldest| oldest.0)
    }
}
