//! Release: rows that wait for an input which has stopped are let go, so that memory ends somewhere.
//!
//! Rows leave when the *other* input's time has passed them. If that input stops, they would stay for ever. When one input is further
//! ahead of the other than `window` + `hold`, or memory is full, everything up to a time is released: predictions are unlabelled and
//! their later outcomes orphans; waiting outcomes are orphans and their later predictions unlabelled.
//!
//! Guarantees: what is released is a set of rows given by one time, which lies before everything that can still be accepted; the time
//! is state (`released`), recorded with every epoch, so a recovery lets go of the same rows and nothing is decided again.
//! Never: decides when (the edge does, at an epoch's end, because where epochs end is no function of the inputs).
//! Comes from: `flow` and the stage's memory limit. Goes to: `book` (decisions), `journal` (`EdgeDecision::Released`).

use super::super::journal::EdgeDecision;
use super::super::pending::{Entry, Store};
use super::super::types::{EventTime, Input, Span};
use super::{Decision, Join};
use crate::planted::{Bug, planted};

/// Bytes that a row takes with its place in the index and the wheels.
const ROW_BYTES: usize = 104;
/// The same of a waiting outcome.
const WAITING_BYTES: usize = 76;
/// A store is made anew when it has so many more free places than entries. A small one is, often: that costs little.
const FREE_PLACES: usize = 8;

impl Join {
    /// What time has overtaken: the input whose rows wait for the other one in vain, and up to when.
    pub fn overdue(&self) -> impl Iterator<Item = (Input, EventTime)> {
        let patience = Span(self.rules.window.0.saturating_add(self.rules.hold.0));
        let first = [
            self.by_window.earliest().map(|due| due.minus(self.rules.window)),
            self.by_early.earliest().map(|due| due.minus(self.rules.early)),
        ];
        let clocks = self.clocks;
        Input::BOTH.into_iter().filter_map(move |input| {
            let (own, other) = (clocks[input.index()].before(), clocks[1 - input.index()].watermark());
            let up_to = own.minus(patience);
            let waits = first[input.index()].is_some_and(|at| at <= up_to);
            (own > EventTime::MIN && own.since(other) > patience && waits).then_some((input, up_to))
        })
    }

    /// The time up to which the `n` oldest live rows (waiting outcomes) of an input lie, as far as nothing can still be accepted there.
    pub fn oldest(&self, input: Input, n: usize) -> Option<EventTime> {
        let mut times: Vec<EventTime> = match input {
            Input::Predictions => self.rows.iter().map(|(_, r)| r.time).collect(),
            Input::Outcomes => self.waiting.iter().map(|(_, w)| w.e).collect(),
        };
        let last = n.min(times.len()).checked_sub(1)?;
        let at = *times.select_nth_unstable(last).1;
        Some(at.min(EventTime(self.clocks[input.index()].before().0.saturating_sub(1))))
    }

    /// Lets go of everything of `input` up to a time; how much that was. Call it at an epoch's end, before `expire`.
    pub fn release(&mut self, input: Input, up_to: EventTime, decisions: &mut Vec<Decision>) -> u64 {
        let released = &mut self.released[input.index()];
        *released = up_to.max(*released);
        let before = self.rows.len() + self.waiting.len();
        match input {
            Input::Predictions => self.release_rows(up_to, decisions),
            Input::Outcomes => self.release_waiting(up_to, decisions),
        }
        debug_assert!(input == Input::Outcomes || self.rows.iter().all(|(_, r)| r.time > up_to), "a row was not let go");
        debug_assert!(input == Input::Predictions || self.waiting.iter().all(|(_, w)| w.e > up_to), "an outcome was not let go");
        let gone = before - self.rows.len() - self.waiting.len();
        self.give_back();
        gone as u64
    }

    /// What was released so far, as every epoch records it: a recovery may begin after the epoch that decided it.
    pub fn released(&self) -> impl Iterator<Item = EdgeDecision> + '_ {
        let said = |i: &Input| self.released[i.index()] > EventTime::MIN && !planted(Bug::ReleaseNotRecorded);
        Input::BOTH.into_iter().filter(said).map(|input| EdgeDecision::Released { input, up_to: self.released[input.index()] })
    }

    /// What the live rows and waiting outcomes take, whatever room is kept for more.
    pub fn live_bytes(&self) -> usize {
        self.rows.len() * ROW_BYTES + self.waiting.len() * WAITING_BYTES
    }

    fn release_rows(&mut self, up_to: EventTime, decisions: &mut Vec<Decision>) {
        let (window, duplicates) = (self.rules.window, self.rules.duplicates);
        let mut popped = std::mem::take(&mut self.popped);
        self.by_window.pop(up_to.plus(window).plus(Span(1)), |s| self.rows.get(s).map(|r| r.time.plus(window)), &mut popped);
        for slot in &popped {
            let Some(row) = self.rows.get(*slot).copied() else { continue };
            if row.first().is_none() && !row.is_unlabelled() {
                decisions.push(Decision::Unlabelled { cell: row.cell, at: row.time.plus(window) });
            }
            self.remove_row(*slot);
        }
        // rows whose window is over wait for their last duplicates alone
        self.by_duplicates.pop(up_to.plus(duplicates).plus(Span(1)), |s| self.rows.get(s).map(|r| r.time.plus(duplicates)), &mut popped);
        for slot in &popped {
            if self.rows.get(*slot).is_some() {
                self.remove_row(*slot);
            }
        }
        self.popped = popped;
    }

    fn release_waiting(&mut self, up_to: EventTime, decisions: &mut Vec<Decision>) {
        let early = self.rules.early;
        let mut popped = std::mem::take(&mut self.popped);
        self.by_early.pop(up_to.plus(early).plus(Span(1)), |s| self.waiting.get(s).map(|w| w.e.plus(early)), &mut popped);
        self.orphaned(&popped, decisions);
        self.popped = popped;
    }

    /// Makes stores anew that are mostly free places: what was let go must not stay in memory.
    fn give_back(&mut self) {
        if self.rows.free() > self.rows.len() + FREE_PLACES {
            let live: Vec<_> = self.rows.iter().map(|(slot, row)| (*row, self.rows.beside(slot))).collect();
            self.rows = Store::default();
            for wheel in [&mut self.by_window, &mut self.by_settle, &mut self.by_duplicates] {
                wheel.clear();
            }
            for (row, said) in live {
                let slot = self.rows.insert(row);
                self.rows.set_beside(slot, said);
                // if the window is over, the next `expire` finds it there and knows that it was decided
                self.by_window.push(row.time.plus(self.rules.window), slot);
                if let Some(first) = row.first() {
                    self.by_settle.push(first.plus(self.rules.settle), slot);
                }
            }
            self.cleaning.forget_copy();
        }
        if self.waiting.free() > self.waiting.len() + FREE_PLACES {
            let live: Vec<_> = self.waiting.iter().map(|(_, w)| *w).collect();
            self.waiting = Store::default();
            self.by_early.clear();
            for w in live {
                debug_assert!(w.offset() >= 0);
                let slot = self.waiting.insert(w);
                self.by_early.push(w.e.plus(self.rules.early), slot);
            }
            self.cleaning.forget_copy();
        }
    }
}
