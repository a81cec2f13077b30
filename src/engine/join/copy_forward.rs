//! Copy-forward: keeps the journal short although a few old rows live long.
//!
//! A bucket of time remembers the first epoch that holds one of its rows, and the journal's floor is the earliest of these. When the
//! journal from its floor is more than twice what its live rows need, the bucket with the oldest first epoch is written again, a
//! bounded number of bytes an epoch: whole rows with their match state, and waiting outcomes. When the bucket is through, its first
//! epoch is the one in which the copy began (`bucket b copied since epoch s`), and the floor moves.
//!
//! Guarantees: a crash at any epoch's end finds the bucket either at its old first epoch or copied as a whole; a row that changes while
//! its bucket is copied is right either way, because its change is in the journal after the copy began.
//! Never: changes a verdict, the live rows or their digest; only the journal's length depends on it, so its pace need not be recorded.
//! Comes from: `Join` (rows, waiting outcomes). Goes to: `journal`.

use super::super::journal::Changes;
use super::super::pending::{Entry, Row, Said};
use super::super::types::{EpochSeq, Input, Offset};
use super::{Join, NewOutcome, NewPrediction};
use crate::planted::{Bug, planted};
use std::collections::VecDeque;

/// When and how fast the journal is cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A journal of fewer bytes is left alone: it is read within a second.
    pub least: u64,
    /// A journal of up to so many times what its live rows need is left alone.
    pub times: u64,
    /// Bytes that are copied in an epoch, or as many as the epoch itself wrote (up to 16 MiB) if these are more: cleaning must keep up.
    pub per_epoch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { least: 4 * 1024 * 1024, times: 2, per_epoch: 256 * 1024 }
    }
}

/// However much an epoch wrote, it copies no more than this: its transaction must end in time.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Buckets that are begun in one epoch at most: looking for the oldest one costs time too.
const BUCKETS: usize = 64;
/// What an entry is taken for until enough have been copied to know.
const TYPICAL_BYTES: u64 = 48;
/// Copied entries that give an average.
const ENOUGH: u64 = 256;

/// A bucket that is being copied.
struct Copying {
    input: Input,
    bucket: i64,
    began: EpochSeq,
    /// Slots of its entries that are still to come.
    left: Vec<u32>,
}

/// What the journal weighs, and the bucket that is being copied.
#[derive(Default)]
pub struct Cleaning {
    /// When and how fast.
    pub limits: Limits,
    sizes: VecDeque<(EpochSeq, u64)>,
    total: u64,
    copying: Option<Copying>,
    copied: (u64, u64), // bytes, entries
    copies: u64,
}

impl Cleaning {
    /// Bytes of the journal from its floor.
    pub fn journal_bytes(&self) -> u64 {
        self.total
    }

    /// Entries that this task has copied since it was built.
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// Epoch `seq` has written so many bytes (more of the same epoch are added).
    pub(super) fn wrote(&mut self, seq: EpochSeq, bytes: u64) {
        self.total += bytes;
        match self.sizes.back_mut() {
            Some(last) if last.0 == seq => last.1 += bytes,
            _ => self.sizes.push_back((seq, bytes)),
        }
    }

    /// Slots have other entries now: the bucket that was being copied is begun again.
    pub(super) fn forget_copy(&mut self) {
        self.copying = None;
    }

    fn forget_below(&mut self, floor: EpochSeq) {
        while let Some((_, bytes)) = self.sizes.front().copied().filter(|s| s.0 < floor) {
            self.total -= bytes;
            self.sizes.pop_front();
        }
    }

    /// What `entries` live entries would take in the journal.
    fn needed(&self, entries: u64) -> u64 {
        let (bytes, copies) = self.copied;
        if copies < ENOUGH { entries * TYPICAL_BYTES } else { (entries as u128 * u128::from(bytes) / u128::from(copies)) as u64 }
    }

    fn note_copy(&mut self, bytes: usize) {
        self.copies += 1;
        self.copied = (self.copied.0 + bytes as u64, self.copied.1 + 1);
        if self.copied.1 > 1 << 16 {
            self.copied = (self.copied.0 / 2, self.copied.1 / 2); // what is typical may change
        }
    }
}

impl Join {
    /// Continues or begins a copy. Call it at an epoch's end, after `expire` and before the floor is asked for.
    pub fn copy_forward(&mut self) {
        let floor = self.floor(self.epoch);
        self.cleaning.forget_below(floor);
        let own = self.changes.bytes();
        let until = own + own.min(MOST_BYTES).max(self.cleaning.limits.per_epoch);
        for _ in 0..BUCKETS {
            let Some(mut copying) = self.cleaning.copying.take().or_else(|| self.begin_copy()) else { return };
            if !self.copy_some(&mut copying, until) && !planted(Bug::CopiedAtOnce) {
                self.cleaning.copying = Some(copying);
                return;
            }
            self.since(copying.input).begins(copying.bucket, copying.began);
            self.changes.copied(copying.input, copying.bucket, copying.began);
        }
    }

    /// The epoch's record is written: it has so many bytes.
    pub fn wrote(&mut self, seq: EpochSeq, bytes: u64) {
        self.cleaning.wrote(seq, bytes);
    }

    fn since(&mut self, input: Input) -> &mut super::super::pending::Since {
        match input {
            Input::Predictions => &mut self.rows_since,
            Input::Outcomes => &mut self.waiting_since,
        }
    }

    /// The bucket with the oldest first epoch, if the journal is too long and something is older than this epoch.
    fn begin_copy(&mut self) -> Option<Copying> {
        let floor = self.floor(self.epoch);
        self.cleaning.forget_below(floor);
        let bytes = self.cleaning.total + self.changes.bytes() as u64;
        let needed = self.cleaning.needed(self.rows.len() as u64 + self.waiting.len() as u64);
        if bytes <= self.cleaning.limits.least.max(self.cleaning.limits.times * needed) {
            return None;
        }
        let oldest = |input: Input| self.since_of(input).oldest().map(|(first, bucket)| (first, input, bucket));
        let (first, input, bucket) = Input::BOTH.into_iter().filter_map(oldest).min()?;
        let left = if first < self.epoch { self.slots_of(input, bucket) } else { return None };
        Some(Copying { input, bucket, began: self.epoch, left })
    }

    fn since_of(&self, input: Input) -> &super::super::pending::Since {
        match input {
            Input::Predictions => &self.rows_since,
            Input::Outcomes => &self.waiting_since,
        }
    }

    /// Slots of the live entries of a bucket. A live row is in the wheel of its window, or of its duplicates if the window is over;
    /// a waiting outcome is in its only wheel.
    fn slots_of(&self, input: Input, bucket: i64) -> Vec<u32> {
        let (from, to) = self.since_of(input).span(bucket);
        let mut slots = Vec::new();
        match input {
            Input::Predictions => {
                self.by_window.slots(from.plus(self.rules.window), to.plus(self.rules.window), &mut slots);
                self.by_duplicates.slots(from.plus(self.rules.duplicates), to.plus(self.rules.duplicates), &mut slots);
            }
            Input::Outcomes => self.by_early.slots(from.plus(self.rules.early), to.plus(self.rules.early), &mut slots),
        }
        slots.retain(|slot| self.is_in(input, bucket, *slot));
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn is_in(&self, input: Input, bucket: i64, slot: u32) -> bool {
        let time = match input {
            Input::Predictions => self.rows.get(slot).map(|r| r.time),
            Input::Outcomes => self.waiting.get(slot).map(|w| w.e),
        };
        time.is_some_and(|t| self.since_of(input).bucket_of(t) == bucket)
    }

    /// Copies entries while the epoch's changes are shorter than `until`; true when the bucket is through.
    fn copy_some(&mut self, copying: &mut Copying, until: usize) -> bool {
        while let Some(slot) = copying.left.last().copied() {
            let before = self.changes.bytes();
            if before >= until {
                return false;
            }
            copying.left.pop();
            // an entry may have gone since the copy began, and another may have taken its place
            if self.is_in(copying.input, copying.bucket, slot) {
                match copying.input {
                    Input::Predictions => copy_row(&mut self.changes, &mut self.cells, self.rows.at(slot), self.rows.beside(slot)),
                    Input::Outcomes => {
                        let w = self.waiting.at(slot);
                        let o = NewOutcome { offset: Offset(w.offset()), key: w.key(), time: w.e, label: w.label, value: w.value };
                        self.changes.waiting(&o, w.e);
                    }
                }
                self.cleaning.note_copy(self.changes.bytes() - before);
            }
        }
        true
    }
}

fn copy_row(changes: &mut Changes, cells: &mut super::Cells, row: &Row, said: Said) {
    let p =
        NewPrediction { offset: Offset(row.offset()), key: row.key(), time: row.time, cell: row.cell, score: row.score, label: row.label };
    changes.copy(cells, &p, row.first().filter(|_| !planted(Bug::CopyWithoutMatch)).map(|e| (e, said.label, said.value)));
}
