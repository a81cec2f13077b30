//! Matching predictions with outcomes, by request id, in event time.
//!
//! Guarantees: a verdict depends on one log's prefix or on both logs below the mark, never on how they interleave
//! (`tests/join_laws` holds it against a model under random interleavings and crashes).
//! Never: reads a clock, forgets a row before both its lives are over, decides anything twice.
//! Comes from: `codec` (decoded events). Goes to: `book` (pairs, counts), `journal` (what changed).
//!
//! Entries are removed lazily, in `expire`: an entry that should have gone already can't change a verdict, because every verdict
//! compares with the watermarks itself.

mod copy_forward;
mod release;

pub use self::copy_forward::{Cleaning, Limits};
use super::cell::{CellId, CellKey, Cells};
use super::definitions::JoinRules;
use super::journal::{Changes, Epoch};
use super::pending::{Entry, NONE, Row, Said, Since, Store, Waiting, Wheel};
use super::time::InputClock;
use super::types::{EpochSeq, EventTime, Input, Offset, RequestKey, Span};
use crate::planted::{self, Bug, planted};
use std::collections::HashMap;

/// An accepted prediction as the join keeps it.
#[derive(Clone, Copy, Debug)]
pub struct NewPrediction {
    /// Its offset.
    pub offset: Offset,
    /// Request key.
    pub key: RequestKey,
    /// Event time.
    pub time: EventTime,
    /// Its cell.
    pub cell: CellId,
    /// Score; NaN if there is none.
    pub score: f64,
    /// XXH3-64 of the predicted class; 0 if there is none.
    pub label: u64,
}

/// An outcome as the join sees it.
#[derive(Clone, Copy, Debug)]
pub struct NewOutcome {
    /// Its offset.
    pub offset: Offset,
    /// Request key.
    pub key: RequestKey,
    /// Event time.
    pub time: EventTime,
    /// XXH3-64 of the observed class; 0 if there is none.
    pub label: u64,
    /// Observed number; NaN if there is none.
    pub value: f64,
}

/// What became of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionVerdict {
    /// Kept; the pairs it made with waiting outcomes are in the caller's list.
    Accepted,
    /// An earlier prediction has the same id.
    Duplicate,
    /// Below its own watermark, which is given.
    Late(EventTime),
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutcomeVerdict {
    /// It belongs to a prediction.
    Paired(Pairing),
    /// No prediction yet; it waits, or will be an orphan.
    Waiting,
}

/// How an outcome relates to the prediction it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairKind {
    /// The first: this pair counts.
    First,
    /// A further one that says the same.
    Duplicate,
    /// A further one that says something else.
    Conflicting,
}

/// A prediction and an outcome that belong together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairing {
    /// Does it count?
    pub kind: PairKind,
    /// The request key.
    pub key: RequestKey,
    /// The prediction's cell.
    pub cell: CellId,
    /// The prediction's time.
    pub time: EventTime,
    /// The outcome's effective time.
    pub e: EventTime,
    /// The prediction's score; NaN if there is none.
    pub score: f64,
    /// Hash of the predicted class.
    pub label: u64,
    /// Hash of the observed class.
    pub outcome_label: u64,
    /// Observed number.
    pub outcome_value: f64,
}

/// What time has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A prediction of `cell` whose outcome did not come within the window; books at `at` = t_p + window.
    Unlabelled {
        /// Its cell.
        cell: CellId,
        /// t_p + window.
        at: EventTime,
    },
    /// An outcome without prediction; books at `at` = e + early.
    Orphan {
        /// e + early.
        at: EventTime,
    },
    /// The same, but from before the first prediction of this partition: nobody's fault.
    BeforeStart {
        /// e + early.
        at: EventTime,
    },
}

/// The join of one partition.
pub struct Join {
    rules: JoinRules,
    /// Clocks by `Input::index`.
    pub clocks: [InputClock; 2],
    /// The cells that rows refer to.
    pub cells: Cells,
    rows: Store<Row>,
    waiting: Store<Waiting>,
    by_window: Wheel,
    by_settle: Wheel,
    by_duplicates: Wheel,
    by_early: Wheel,
    first_prediction: Option<EventTime>,
    /// Everything up to these times was let go, by input.
    released: [EventTime; 2],
    rows_since: Since,
    waiting_since: Since,
    /// The running epoch.
    pub epoch: EpochSeq,
    digest: u64,
    /// What changed since the last epoch, for the journal.
    pub changes: Changes,
    /// What keeps the journal short.
    pub cleaning: Cleaning,
    popped: Vec<u32>,
}

/// Memory of an entry is asked for so many entries before its turn.
const AHEAD: usize = 4;

fn bucket_width(span: i64) -> i64 {
    (span / 4096).clamp(1_000, 3_600_000)
}

impl Join {
    /// Of a partition without history.
    pub fn new(rules: JoinRules) -> Join {
        Join {
            rules,
            clocks: [InputClock::new(rules.lateness[0]), InputClock::new(rules.lateness[1])],
            cells: Cells::default(),
            rows: Store::default(),
            waiting: Store::default(),
            by_window: Wheel::new(bucket_width(rules.window.0)),
            by_settle: Wheel::new(bucket_width(rules.settle.0)),
            by_duplicates: Wheel::new(bucket_width(rules.duplicates.0)),
            by_early: Wheel::new(bucket_width(rules.early.0)),
            first_prediction: None,
            released: [EventTime::MIN; 2],
            rows_since: Since::new(bucket_width(rules.window.0)),
            waiting_since: Since::new(bucket_width(rules.window.0)),
            epoch: EpochSeq(1),
            digest: 0,
            changes: Changes::default(),
            cleaning: Cleaning::default(),
            popped: Vec::new(),
        }
    }

    /// Judges a prediction. Pairs with waiting outcomes are appended to `pairs`, in the outcomes' offset order.
    pub fn predict(&mut self, p: &NewPrediction, pairs: &mut Vec<Pairing>) -> PredictionVerdict {
        let watermark = self.clocks[0].before();
        self.clocks[0].consume(p.time);
        if p.time < watermark || p.time == watermark && planted(Bug::LatenessOffByOne) {
            return PredictionVerdict::Late(watermark);
        }
        if self.has_twin(p.key, watermark) {
            return PredictionVerdict::Duplicate;
        }
        debug_assert!(p.time > self.released[0], "what was let go comes again");
        self.first_prediction.get_or_insert(p.time);
        let slot = self.insert_row(Row::new(p.key, p.offset, p.time, p.cell, p.score, p.label));
        self.by_window.push(p.time.plus(self.rules.window), slot);
        self.rows_since.note(p.time, self.epoch);
        self.changes.row(&mut self.cells, p);
        let mut next = self.waiting.first(p.key);
        while next != NONE {
            let (at, w) = (next, *self.waiting.at(next));
            next = w.next();
            if self.fits(slot, w.e) {
                let offset = Offset(w.offset());
                self.digest = self.digest.wrapping_sub(w.digest());
                self.waiting.remove(at);
                if !planted(Bug::ConsumedNotJournalled) {
                    self.changes.consumed(offset);
                }
                pairs.push(self.pair(slot, w.e, w.label, w.value));
            }
        }
        PredictionVerdict::Accepted
    }

    /// Judges an outcome. The flag says that its time was raised to the watermark (its topic is not sorted by time).
    pub fn outcome(&mut self, o: &NewOutcome) -> (OutcomeVerdict, bool) {
        let e = self.outcome_time(o.time);
        (self.outcome_at(o, e), e != o.time)
    }

    /// An outcome of this time has come: its effective time. Judge it with `outcome_at`, in the same order; nothing but other outcomes
    /// may come between the two.
    pub fn outcome_time(&mut self, time: EventTime) -> EventTime {
        let e = if planted(Bug::OwnTime) { time } else { time.max(self.clocks[1].before()) };
        self.clocks[1].consume(time);
        e
    }

    /// Judges an outcome whose effective time is known.
    pub fn outcome_at(&mut self, o: &NewOutcome, e: EventTime) -> OutcomeVerdict {
        let mut slot = self.rows.first(o.key);
        while slot != NONE {
            if self.fits(slot, e) {
                return OutcomeVerdict::Paired(self.pair(slot, e, o.label, o.value));
            }
            slot = self.rows.at(slot).next();
        }
        let w = Waiting::new(o.key, o.offset, e, o.label, o.value);
        self.insert_waiting(w);
        self.waiting_since.note(e, self.epoch);
        if !planted(Bug::WaitingNotJournalled) {
            self.changes.waiting(o, e);
        }
        OutcomeVerdict::Waiting
    }

    /// A prediction with this key is judged soon.
    #[inline]
    pub fn expect_prediction(&self, key: RequestKey) {
        self.rows.expect(key);
        self.rows.expect_insert();
    }

    /// Outcomes with these keys are judged soon. First for all of them, then once more with `near`.
    #[inline]
    pub fn expect_outcome(&self, key: RequestKey, near: bool) {
        if near { self.rows.expect_entry(key) } else { self.rows.expect(key) }
    }

    /// Takes out what time has decided. Call it at an epoch's end, before the journal is written.
    pub fn expire(&mut self, decisions: &mut Vec<Decision>) {
        self.expire_rows(decisions);
        self.expire_waiting(decisions);
    }

    /// The first epoch that a recovery needs when epoch `now` is the newest: no live entry is older.
    pub fn floor(&mut self, now: EpochSeq) -> EpochSeq {
        let rows = self.clocks[1].watermark().minus(self.rules.window).min(self.clocks[0].before().minus(self.rules.duplicates));
        let waiting = self.clocks[0].watermark().minus(self.rules.early);
        // what was let go is over, wherever the other input's clock has stopped
        let [rows, waiting] = [(rows, 0), (waiting, 1)].map(|(over, i)| over.max(self.released[i].plus(Span(1))));
        let floor = self.rows_since.floor(rows).min(self.waiting_since.floor(waiting)).min(now);
        if planted(Bug::FloorTooFar) { EpochSeq(floor.0 + 1).min(now) } else { floor }
    }

    /// Live rows, waiting outcomes, and a digest of their content that does not depend on order.
    pub fn census(&self) -> (u64, u64, u64) {
        (self.rows.len() as u64, self.waiting.len() as u64, self.digest)
    }

    /// Bytes held by rows and waiting outcomes.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.waiting.bytes()
    }

    /// Time of the first accepted prediction of this partition.
    pub fn first_prediction(&self) -> Option<EventTime> {
        self.first_prediction
    }

    fn has_twin(&self, key: RequestKey, watermark: EventTime) -> bool {
        let watermark = if planted(Bug::DuplicatesByWallClock) { EventTime(planted::told_time()) } else { watermark };
        let mut slot = self.rows.first(key);
        while slot != NONE {
            let row = self.rows.at(slot);
            if watermark.plus(Span(i64::from(planted(Bug::DuplicatesOffByOne)))) <= row.time.plus(self.rules.duplicates) {
                return true;
            }
            slot = row.next();
        }
        false
    }

    /// −early ≤ e − t_p ≤ window, and not later than `settle` after a first match.
    fn fits(&self, slot: u32, e: EventTime) -> bool {
        let row = self.rows.at(slot);
        e >= row.time.minus(self.rules.early)
            && !(planted(Bug::EarlyOffByOne) && e == row.time.minus(self.rules.early))
            && e <= row.time.plus(self.rules.window)
            && !(planted(Bug::WindowOffByOne) && e == row.time.plus(self.rules.window))
            && row.first().is_none_or(|first| e.plus(Span(i64::from(planted(Bug::SettleOffByOne)))) <= first.plus(self.rules.settle))
    }

    fn pair(&mut self, slot: u32, e: EventTime, label: u64, value: f64) -> Pairing {
        let (row, said) = (*self.rows.at(slot), Said { label, value });
        let kind = match row.first() {
            None => PairKind::First,
            Some(_) if self.rows.beside(slot).same(said) => PairKind::Duplicate,
            Some(_) => PairKind::Conflicting,
        };
        if kind == PairKind::First {
            self.match_row(slot, e, said);
            if !planted(Bug::MatchNotJournalled) {
                self.changes.matched(Offset(row.offset()), e, label, value);
            }
        }
        Pairing {
            kind,
            key: row.key(),
            cell: row.cell,
            time: row.time,
            e,
            score: row.score,
            label: row.label,
            outcome_label: label,
            outcome_value: value,
        }
    }

    fn insert_row(&mut self, row: Row) -> u32 {
        self.digest = self.digest.wrapping_add(row.digest(self.cells.content_hash(row.cell)));
        self.cells.hold(row.cell);
        self.rows.insert(row)
    }

    fn match_row(&mut self, slot: u32, e: EventTime, said: Said) {
        let before = self.match_digest(slot);
        self.rows.at_mut(slot).set_first(e);
        self.rows.set_beside(slot, said);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(self.match_digest(slot));
        // a row whose window passes first is found there
        let (settled, passed) = (e.plus(self.rules.settle), self.rows.at(slot).time.plus(self.rules.window));
        if settled < passed {
            self.by_settle.push(settled, slot);
        }
    }

    fn match_digest(&self, slot: u32) -> u64 {
        self.rows.at(slot).match_digest(self.rows.beside(slot))
    }

    fn insert_waiting(&mut self, w: Waiting) {
        self.digest = self.digest.wrapping_add(w.digest());
        let slot = self.waiting.insert(w);
        self.by_early.push(w.e.plus(self.rules.early), slot);
    }

    /// Its outcomes are over: the window has passed, or it is matched and settled.
    fn outcomes_over(&self, row: &Row) -> bool {
        let w = self.clocks[1].watermark();
        w > row.time.plus(self.rules.window) || row.first().is_some_and(|first| w > first.plus(self.rules.settle))
    }

    /// No later prediction can be its duplicate. By what is consumed: a record that was only peeked is still judged by the watermark
    /// before it, and may be the row's last duplicate.
    fn twins_over(&self, row: &Row) -> bool {
        self.clocks[0].before() > row.time.plus(self.rules.duplicates)
    }

    fn expire_rows(&mut self, decisions: &mut Vec<Decision>) {
        let (rules, wp, wo) =
            (self.rules, self.clocks[0].before(), self.clocks[usize::from(!planted(Bug::UnlabelledByPredictions))].watermark());
        let mut popped = std::mem::take(&mut self.popped);
        self.by_window.pop(wo, |s| self.rows.get(s).map(|r| r.time.plus(rules.window)), &mut popped);
        for (at, slot) in popped.iter().enumerate() {
            self.expect_popped(&popped, at);
            let Some(row) = self.rows.get(*slot).copied() else { continue };
            if row.first().is_none() && !row.is_unlabelled() {
                self.rows.at_mut(*slot).set_unlabelled();
                decisions.push(Decision::Unlabelled { cell: row.cell, at: row.time.plus(rules.window) });
            }
            self.forget_or_wait(*slot);
        }
        self.by_settle.pop(wo, |s| self.rows.get(s).and_then(|r| r.first()).map(|first| first.plus(rules.settle)), &mut popped);
        for slot in &popped {
            self.forget_or_wait(*slot);
        }
        self.by_duplicates.pop(wp, |s| self.rows.get(s).map(|r| r.time.plus(rules.duplicates)), &mut popped);
        for slot in &popped {
            self.forget_or_wait(*slot);
        }
        self.popped = popped;
    }

    /// Removes a row whose both lives are over; one that only waits for W_p is put where W_p will find it.
    fn forget_or_wait(&mut self, slot: u32) {
        let Some(row) = self.rows.get(slot).copied() else { return };
        if !self.outcomes_over(&row) {
            return; // a stale entry: the wheel of its outcomes still holds it
        }
        if self.twins_over(&row) {
            self.remove_row(slot);
        } else {
            self.by_duplicates.push(row.time.plus(self.rules.duplicates), slot);
        }
    }

    /// Memory of the entry that is `AHEAD` in a list of slots.
    fn expect_popped(&self, popped: &[u32], at: usize) {
        if let Some(slot) = popped.get(at + 2 * AHEAD) {
            self.rows.expect_slot(*slot);
        }
        if let Some(row) = popped.get(at + AHEAD).and_then(|slot| self.rows.get(*slot)) {
            self.rows.expect(row.key());
        }
    }

    fn remove_row(&mut self, slot: u32) {
        let row = *self.rows.at(slot);
        let digest = row.digest(self.cells.content_hash(row.cell)).wrapping_add(self.match_digest(slot));
        self.digest = self.digest.wrapping_sub(digest);
        self.cells.let_go(row.cell);
        self.rows.remove(slot);
    }

    fn expire_waiting(&mut self, decisions: &mut Vec<Decision>) {
        let (early, wp) = (self.rules.early, self.clocks[usize::from(planted(Bug::OrphanByOutcomes))].watermark());
        let mut popped = std::mem::take(&mut self.popped);
        self.by_early.pop(wp, |s| self.waiting.get(s).map(|w| w.e.plus(early)), &mut popped);
        self.orphaned(&popped, decisions);
        self.popped = popped;
    }

    /// Waiting outcomes at these slots are orphans.
    fn orphaned(&mut self, slots: &[u32], decisions: &mut Vec<Decision>) {
        for slot in slots {
            let Some(w) = self.waiting.get(*slot).copied() else { continue };
            let at = w.e.plus(self.rules.early);
            let before_start = self.first_prediction.is_none_or(|first| at < first);
            decisions.push(if before_start { Decision::BeforeStart { at } } else { Decision::Orphan { at } });
            self.digest = self.digest.wrapping_sub(w.digest());
            self.waiting.remove(*slot);
        }
    }
}

/// Builds a join again from its journal. Nothing is decided: what the watermarks have settled is taken out silently.
pub struct Recovery {
    join: Join,
    rows: HashMap<Offset, u32>,
    waiting: HashMap<Offset, u32>,
}

impl Recovery {
    /// Begins with nothing.
    pub fn new(rules: JoinRules) -> Recovery {
        Recovery { join: Join::new(rules), rows: HashMap::new(), waiting: HashMap::new() }
    }

    /// What follows belongs to this epoch.
    pub fn epoch(&mut self, seq: EpochSeq) {
        self.join.epoch = seq;
    }

    /// A record of this epoch has so many bytes.
    pub fn read(&mut self, seq: EpochSeq, bytes: usize) {
        self.join.wrote(seq, bytes as u64);
    }

    /// A bucket of rows (or of waiting outcomes) was copied: nothing of it is needed from before `since`.
    pub fn copied(&mut self, input: Input, bucket: i64, since: EpochSeq) {
        match input {
            Input::Predictions => self.join.rows_since.begins(bucket, since),
            Input::Outcomes => self.join.waiting_since.begins(bucket, since),
        }
    }

    /// A row (an upsert by input offset); with its match state if it is a copy.
    pub fn row(&mut self, p: &NewPrediction, cell: &CellKey, matched: Option<(EventTime, u64, f64)>) {
        let cell = self.join.cells.intern_key(cell);
        if let Some(slot) = self.rows.remove(&p.offset) {
            self.join.remove_row(slot);
        }
        let slot = self.join.insert_row(Row::new(p.key, p.offset, p.time, cell, p.score, p.label));
        self.join.by_window.push(p.time.plus(self.join.rules.window), slot);
        self.join.rows_since.note(p.time, self.join.epoch);
        self.rows.insert(p.offset, slot);
        if let Some((e, label, value)) = matched {
            self.join.match_row(slot, e, Said { label, value });
        }
    }

    /// The first match of a row; ignored if the row is not known (it left before the floor).
    pub fn matched(&mut self, row: Offset, e: EventTime, label: u64, value: f64) {
        if let Some(slot) = self.rows.get(&row) {
            self.join.match_row(*slot, e, Said { label, value });
        }
    }

    /// A waiting outcome.
    pub fn waiting(&mut self, key: RequestKey, offset: Offset, e: EventTime, label: u64, value: f64) {
        self.consumed(offset);
        let w = Waiting::new(key, offset, e, label, value);
        self.join.digest = self.join.digest.wrapping_add(w.digest());
        let slot = self.join.waiting.insert(w);
        self.join.by_early.push(e.plus(self.join.rules.early), slot);
        self.join.waiting_since.note(e, self.join.epoch);
        self.waiting.insert(offset, slot);
    }

    /// A waiting outcome found its prediction.
    pub fn consumed(&mut self, offset: Offset) {
        if let Some(slot) = self.waiting.remove(&offset) {
            let w = *self.join.waiting.at(slot);
            self.join.digest = self.join.digest.wrapping_sub(w.digest());
            self.join.waiting.remove(slot);
        }
    }

    /// Ends with the facts of the last epoch: its clocks, the first prediction's time, what was released.
    pub fn finish(mut self, facts: &Epoch) -> Join {
        for input in Input::BOTH {
            let (i, (max, peeked)) = (input.index(), facts.clocks[input.index()]);
            let peeked = if planted(Bug::RestoredClockBehind) { max } else { peeked };
            self.join.clocks[i] = InputClock::restored(self.join.rules.lateness[i], max, peeked);
        }
        self.join.first_prediction = facts.first_prediction.filter(|_| !planted(Bug::FirstPredictionForgotten));
        self.join.epoch = EpochSeq(self.join.epoch.0 + 1);
        for (input, up_to) in facts.released() {
            self.join.release(input, up_to, &mut Vec::new());
        }
        self.join.expire(&mut Vec::new());
        self.join
    }
}
