//! A limit that somebody has set: is a rate, or a number of rows, beyond a fixed number?
//!
//! The value of a pane is that of the last `over`, this pane included: k of n, or rows. It fires when the value was beyond the limit in as
//! many panes in a row as `for` holds, and resolves when it was within `clear` in as many. Plain comparisons of whole numbers.
//! A pane without a verdict (too few events; rows of less than a whole `over`) ends a row of panes of either sort, and changes nothing
//! else: missing data neither fire nor resolve. Only when there was no verdict for a whole reminder is an open alert `gone`.
//! Guarantees: a function of the counts of panes, in order. Nothing is learnt, so it holds from the first pane, and also while something
//! else of the same signal alarms. Costs: two additions a pane; the counts of `over` are kept.
//! Never: tests anything. A limit is a promise, not a test: it is not part of the budget of false alarms (docs/adr/0037).
//! Comes from: `monitor::limits`. Goes to: `engine::alert`.

use super::channels::Content;
use super::describe::{number, share, side, subject, time};
use super::opened::{Opening, opened};
use super::stream::{Phase, Rules, StreamKey, StreamStatus};
use crate::engine::alert::{Alert, Effect, Reason, Side, Status};
use crate::engine::baseline::reference::Observed;
use crate::engine::definitions::Definitions;
use crate::engine::definitions::limit::{BadSide, Billionths, Limit};
use crate::engine::types::{EventTime, PaneId, PaneSize};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// What is counted for a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Events.
    pub n: u64,
    /// Those that the rate is of; rows, where rows are limited.
    pub k: u64,
}

/// A pane of `over` that held something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    pane: PaneId,
    counted: Counted,
}

/// One rule in one segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limiter {
    rule: Limit,
    /// The first pane with events, and the last one that was looked at.
    seen: Option<(PaneId, PaneId)>,
    /// The panes of the last `over` with events, oldest first.
    window: VecDeque<Held>,
    /// All of them together.
    sum: Counted,
    /// Panes in a row beyond the limit, as far as they matter.
    beyond: u32,
    /// Panes in a row within `clear`, as far as they matter.
    within: u32,
    /// Panes without events change nothing any more: there are none left in `over`, and all that follows from that is known.
    rests: bool,
    /// The last event of the open episode.
    open: Option<Box<Alert>>,
}

impl Limiter {
    /// Of a rule that has seen nothing.
    pub fn new(rule: Limit) -> Limiter {
        Limiter { rule, seen: None, window: VecDeque::new(), sum: Counted::default(), beyond: 0, within: 0, rests: false, open: None }
    }

    /// The last event of its open episode.
    pub fn alert(&self) -> Option<&Alert> {
        self.open.as_deref()
    }

    /// One closed pane, with or without events.
    pub(super) fn close(&mut self, key: &StreamKey, pane: PaneId, seen: Counted, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        if !self.passes_to(pane) {
            return;
        }
        let size = rules.definitions.pane;
        self.slide(pane, seen, size);
        let value = self.value(size);
        if let Some(value) = value {
            self.count(value, size);
            self.judge(key, pane, value, rules, out);
        } else {
            (self.beyond, self.within) = (0, 0);
        }
        let known = value.is_some() && self.beyond.max(self.within) == self.rule.run(size);
        self.rests = self.window.is_empty() && (known || !self.rule.counts_rows());
        self.remind(pane, rules.definitions, out);
    }

    /// Goes on to a pane; false if it was looked at. Panes in between that nobody has counted have no verdict.
    fn passes_to(&mut self, pane: PaneId) -> bool {
        let Some((begun, through)) = self.seen else {
            self.seen = Some((pane, pane));
            return true;
        };
        if pane > through.offset(1) && !self.rests {
            (self.beyond, self.within) = (0, 0);
        }
        self.seen = Some((begun, pane.max(through)));
        pane > through
    }

    fn slide(&mut self, pane: PaneId, seen: Counted, size: PaneSize) {
        let oldest = pane.offset(1 - self.rule.panes(size));
        while let Some(left) = self.window.front().filter(|held| held.pane < oldest) {
            self.sum = Counted { n: self.sum.n - left.counted.n, k: self.sum.k - left.counted.k };
            self.window.pop_front();
        }
        if seen.n > 0 {
            self.sum = Counted { n: self.sum.n + seen.n, k: self.sum.k + seen.k };
            self.window.push_back(Held { pane, counted: seen });
        }
    }

    /// Numerator and denominator of the value, if there is a verdict.
    fn value(&self, size: PaneSize) -> Option<(u64, u64)> {
        let (begun, through) = self.seen?;
        match self.rule.counts_rows() {
            true => (through.0 - begun.0 + 1 >= self.rule.panes(size)).then_some((self.sum.k, 1)),
            false => (self.sum.n >= self.rule.at_least.max(1)).then_some((self.sum.k, self.sum.n)),
        }
    }

    /// Whether a value is on the bad side of a number.
    fn is_bad(&self, (k, n): (u64, u64), bound: Billionths) -> bool {
        let bad = if self.rule.bad == BadSide::Above { Ordering::Greater } else { Ordering::Less };
        bound.compared_with(k, n) == bad
    }

    fn count(&mut self, value: (u64, u64), size: PaneSize) {
        let run = self.rule.run(size);
        let next = |holds: bool, so_far: u32| if holds { (so_far + 1).min(run) } else { 0 };
        (self.beyond, self.within) =
            (next(self.is_bad(value, self.rule.bound), self.beyond), next(!self.is_bad(value, self.rule.clear), self.within));
    }

    fn judge(&mut self, key: &StreamKey, pane: PaneId, value: (u64, u64), rules: &Rules<'_>, out: &mut Vec<Alert>) {
        let size = rules.definitions.pane;
        let run = self.rule.run(size);
        match self.open.take() {
            None if self.beyond == run => {
                let window = self.window_of(pane, size);
                let severity = self.rule.severity;
                let opening = Opening { key, detector: self.rule.word(), pane, window, severity, effect: self.effect(value) };
                let mut alert = opened(opening, rules);
                alert.change_point = Some(size.start(pane.offset(1 - i64::from(run))));
                alert.baseline_rung = "limit".to_owned();
                self.show(&mut alert, value);
                out.push(alert.clone());
                self.open = Some(Box::new(alert));
            }
            None => {}
            Some(mut alert) => {
                (alert.window_start, alert.window_end) = self.window_of(pane, size);
                alert.definition = rules.definition_hash.to_owned();
                self.show(&mut alert, value);
                if self.within == run {
                    out.push(alert.follow(Status::Resolved, Reason::Recovered, size.end(pane)));
                } else {
                    self.open = Some(alert);
                }
            }
        }
    }

    fn window_of(&self, pane: PaneId, size: PaneSize) -> (EventTime, EventTime) {
        (size.start(pane.offset(1 - self.rule.panes(size))), size.end(pane))
    }

    /// The value and its interval. The interval is shown only; nothing is decided by it.
    fn side(&self, (k, n): (u64, u64)) -> Side {
        let nothing = Observed::Rate { n, k };
        match self.rule.counts_rows() {
            true => side(&Content::Volume { panes: 1, rows: k }, &nothing),
            false => side(&Content::Rate { n, k }, &nothing),
        }
    }

    /// How far from the limit.
    fn effect(&self, value: (u64, u64)) -> Effect {
        let (bound, side) = (self.rule.bound.value(), self.side(value));
        let (unit, scale) = if self.rule.counts_rows() { ("rows", 1.0) } else { ("points", 100.0) };
        let from_limit = |x: Option<f64>| scale * (x.unwrap_or(bound) - bound);
        let (value, low, high) = (from_limit(side.value), from_limit(side.low), from_limit(side.high));
        Effect { name: Effect::LIMIT.into(), unit: unit.into(), value, low, high, tolerance: 0.0 }
    }

    /// Fills in what depends on the value.
    fn show(&self, alert: &mut Alert, value: (u64, u64)) {
        alert.current = self.side(value);
        alert.baseline = Side { count: 0, value: Some(self.rule.bound.value()), low: None, high: None };
        alert.statistic = alert.current.value.unwrap_or(0.0);
        alert.threshold = self.rule.bound.value();
        alert.effect = self.effect(value);
        alert.summary = self.summary(alert, value);
    }

    /// One sentence with numbers and units.
    fn summary(&self, alert: &Alert, value: (u64, u64)) -> String {
        let shown = |x: f64| if self.rule.counts_rows() { number(x) } else { share(x) };
        let (now, limit) = (shown(alert.statistic), shown(alert.threshold));
        let place = match self.is_bad(value, self.rule.bound) {
            true => {
                let since = alert.change_point.map_or(String::new(), |t| format!(" since {}", time(t)));
                format!("{} the limit of {limit}{since}", self.rule.bad.word())
            }
            false => format!("not {} the limit of {limit}", self.rule.bad.word()),
        };
        format!("{}: {now} over {}, {place}; {} events.", subject(alert), self.rule.over, number(alert.current.count as f64))
    }

    /// It is watched no more from `now` on: the end of what is open.
    pub(super) fn end(&mut self, why: Reason, now: EventTime) -> Option<Alert> {
        self.open.take().map(|mut alert| alert.follow(Status::Resolved, why, now))
    }

    pub(super) fn remind(&mut self, pane: PaneId, definitions: &Definitions, out: &mut Vec<Alert>) {
        let now = definitions.pane.end(pane);
        let window = self.window_of(pane, definitions.pane);
        let Some(open) = self.open.as_mut().filter(|alert| now.since(alert.detected_at) >= definitions.reminder) else { return };
        if self.rests && self.rule.counts_rows() {
            (open.window_start, open.window_end) = window; // no rows: that is known although nobody has to look
        }
        if now.since(open.window_end) >= definitions.reminder {
            out.extend(self.end(Reason::Gone, now));
        } else {
            out.push(open.follow(Status::Firing, Reason::Reminder, now));
        }
    }

    /// Whether a pane without events would tell it something.
    pub(super) fn awaits(&self, pane: PaneId) -> bool {
        !self.rests && self.seen.is_some_and(|(_, through)| pane > through)
    }

    /// What the status page shows.
    pub(super) fn status(&self, definitions: &Definitions) -> StreamStatus {
        let value = self.value(definitions.pane);
        StreamStatus {
            phase: if self.open.is_some() { Phase::Alarming } else { Phase::Watching },
            reference_events: 0,
            detector: Some("limit"),
            statistic: value.map_or(0.0, |(k, n)| k as f64 / n as f64),
            threshold: self.rule.bound.value(),
            effect: value.map(|value| self.effect(value)),
            smallest_detectable: None,
            rung: Some("limit"),
        }
    }
}
