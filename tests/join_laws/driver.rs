//! The engine's join, driven through a history record by record, with epochs that end and records that are only peeked at random.

use crate::history::{Booking, Bookings, Draw, Event, History, PANE};
use driftline::engine::cell::CellId;
use driftline::engine::definitions::JoinRules;
use driftline::engine::join::{Decision, Join, NewOutcome, NewPrediction, OutcomeVerdict, PairKind, Pairing, PredictionVerdict};
use driftline::engine::types::{EpochSeq, EventTime, Input, Offset};
use std::borrow::Cow;

/// How one run goes through a history.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    pub seed: u64,
    /// How often, in percent, the next record is a prediction.
    pub predictions: u64,
    /// How often an epoch ends after a record.
    pub epochs: u64,
    /// How often the next record shows its time before it is judged.
    pub peeks: u64,
}

pub struct Driver<'h> {
    pub history: &'h History,
    pub join: Join,
    pub next: [usize; 2],
    /// Of ended epochs.
    pub booked: Bookings,
    /// Of the running epoch.
    pub open: Bookings,
    /// Input time and pair time as last published.
    pub mark: [EventTime; 2],
    /// Bookings in panes that the mark had closed.
    pub below: Vec<(EventTime, Booking)>,
}

impl<'h> Driver<'h> {
    pub fn new(rules: JoinRules, history: &'h History) -> Driver<'h> {
        let (booked, open) = (Bookings::default(), Bookings::default());
        Driver { history, join: Join::new(rules), next: [0; 2], booked, open, mark: [EventTime::MIN; 2], below: Vec::new() }
    }

    /// The whole history on one course; bookings, and those below the mark.
    pub fn run(rules: JoinRules, history: &'h History, course: Course) -> (Bookings, Vec<(EventTime, Booking)>) {
        let (mut driver, mut r) = (Driver::new(rules, history), Draw(course.seed));
        while let Some(input) = driver.choose(&mut r, course.predictions) {
            if r.percent(course.peeks) {
                driver.peek(input);
                if r.percent(50) {
                    driver.end_epoch();
                }
            }
            driver.step(input);
            if r.percent(course.epochs) {
                driver.end_epoch();
            }
        }
        driver.end_epoch();
        (driver.booked, driver.below)
    }

    pub fn choose(&self, r: &mut Draw, predictions: u64) -> Option<usize> {
        let left = [0, 1].map(|i| self.next[i] < self.history.inputs[i].len());
        match left {
            [false, false] => None,
            [true, false] => Some(0),
            [false, true] => Some(1),
            [true, true] => Some(usize::from(!r.percent(predictions))),
        }
    }

    /// As the stage does with a record beyond the look-ahead: its time shows, unless it is late anyway.
    pub fn peek(&mut self, input: usize) {
        let time = self.history.inputs[input][self.next[input]].time();
        let clock = &mut self.join.clocks[input];
        if input == 1 || time >= clock.before() {
            clock.peek(time);
        }
    }

    pub fn step(&mut self, input: usize) {
        let (offset, event) = (Offset(self.next[input] as i64), self.history.inputs[input][self.next[input]]);
        self.next[input] += 1;
        if input == 0 { self.predict(offset, event) } else { self.outcome(offset, event) }
    }

    fn book(&mut self, at: EventTime, what: Booking) {
        if PANE.end(PANE.pane_of(at)) <= self.mark[what.kind()] {
            self.below.push((at, what.clone()));
        }
        self.open.add(at, what);
    }

    fn cell(&self, cell: CellId) -> String {
        self.join.cells.key(cell).values[0].clone()
    }

    fn predict(&mut self, offset: Offset, event: Event) {
        let cell = self.join.cells.intern("model", None, &[Cow::Borrowed(event.cell())]);
        let p = NewPrediction { offset, key: event.key(), time: event.time(), cell, score: f64::NAN, label: event.said };
        let mut pairs = Vec::new();
        match self.join.predict(&p, &mut pairs) {
            PredictionVerdict::Accepted => self.book(p.time, Booking::Accepted { cell: event.cell().into(), said: event.said }),
            PredictionVerdict::Duplicate => self.book(p.time, Booking::DuplicatePrediction),
            PredictionVerdict::Late(watermark) => self.book(watermark, Booking::Late),
        }
        pairs.iter().for_each(|pair| self.pair(pair));
    }

    fn outcome(&mut self, offset: Offset, event: Event) {
        let o = NewOutcome { offset, key: event.key(), time: event.time(), label: event.said, value: event.value() };
        if let (OutcomeVerdict::Paired(pair), _) = self.join.outcome(&o) {
            self.pair(&pair);
        }
    }

    fn pair(&mut self, p: &Pairing) {
        let what = match p.kind {
            PairKind::First => {
                let (cell, value) = (self.cell(p.cell), p.outcome_value.to_bits());
                Booking::Pair { cell, said: p.label, observed: p.outcome_label, value }
            }
            PairKind::Duplicate => Booking::DuplicateOutcome,
            PairKind::Conflicting => Booking::ConflictingOutcome,
        };
        self.book(p.time.max(p.e), what);
    }

    /// Lets go of everything of an input up to a time, as the edge decides at an epoch's end.
    pub fn release(&mut self, input: Input, up_to: EventTime) -> u64 {
        let mut decisions = Vec::new();
        let gone = self.join.release(input, up_to, &mut decisions);
        self.decided(decisions);
        gone
    }

    fn decided(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Unlabelled { cell, at } => self.book(at, Booking::Unlabelled { cell: self.cell(cell) }),
                Decision::Orphan { at } => self.book(at, Booking::Orphan),
                Decision::BeforeStart { at } => self.book(at, Booking::BeforeStart),
            }
        }
    }

    /// Decides what time has settled and publishes the mark; what was booked counts from now on.
    pub fn end_epoch(&mut self) {
        let mut decisions = Vec::new();
        self.join.expire(&mut decisions);
        self.decided(decisions);
        let [p, o] = self.join.clocks.map(|c| c.watermark());
        self.mark = [self.mark[0].max(p), self.mark[1].max(p.min(o))];
        self.booked.merge(std::mem::take(&mut self.open));
        self.join.epoch = EpochSeq(self.join.epoch.0 + 1);
    }
}
