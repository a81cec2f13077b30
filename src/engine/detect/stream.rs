//! One stream: one signal in one segment, from its first pane to its alerts.
//!
//! It learns its reference, watches as soon as that can promise something, and learns on until it is complete; an episode opens, stays
//! open, is recovered.
//! Guarantees: state and alerts are a function of the panes passed in, in order, and the definitions; equal histories have equal bytes.
//! Never: compares a newborn segment with anybody else's reference; opens a second episode while one is open.

pub use super::super::baseline::reference::Observed;
use super::channels::{Detector, Verdict, Watch};
use super::describe::{describe, number};
use super::episode::Episode;
use super::learning::{Learning, Learnt, Rung, makes_a_fold};
use super::limit::{Counted, Limiter};
use super::opened::{Opening, opened};
use super::season::Place;
pub use super::stream_key::StreamKey;
use super::volume::SLEEP;
use super::{FOLD_EVENTS, Gathered, effect};
use crate::engine::alert::{Alert, Effect, Reason, Severity, Status};
use crate::engine::baseline::disparity::Disparity;
use crate::engine::baseline::gap::Gap;
use crate::engine::baseline::reference::Tally;
use crate::engine::budget::per_day;
use crate::engine::definitions::limit::Limit;
use crate::engine::definitions::{BaselineRule, Definitions};
use crate::engine::types::{EventTime, PaneId, Span};
use serde::{Deserialize, Serialize};

/// Events that a reference needs at least.
pub const LEAST_REFERENCE: u64 = 100;
/// What a newborn stream learns from before it is watched: this many panes and ...
pub const NEWBORN_PANES: i64 = 200;
/// ... this many events, whichever comes later.
pub const NEWBORN_EVENTS: u64 = 2_000;
/// Its reference grows for so long.
pub const NEWBORN_SPAN: Span = Span::days(7);

/// Said of alerts whose reference a file gave.
const FROM_FILE: &str = " What is normal is a baseline file's.";

/// How a signal is summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// Numbers in bins.
    Numeric,
    /// Counted categories.
    Categorical,
    /// k of n.
    Rate,
    /// Errors by label age.
    Errors,
    /// Rows a pane.
    Volume,
    /// Errors beside those of others.
    Gap,
    /// A group beside others.
    Disparity,
    /// Counts beside a limit that somebody has set: `Limit::id`.
    Limit(u64),
}

impl Form {
    /// Whether it is compared with its own past; otherwise with others at the same time, or with a fixed number.
    pub fn has_a_past(self) -> bool {
        !matches!(self, Form::Gap | Form::Disparity | Form::Limit(_))
    }

    /// Whether it tests something, and so may raise a false alarm.
    pub fn shares_the_budget(self) -> bool {
        !matches!(self, Form::Limit(_))
    }

    /// Its name: the definition part of a signal's id.
    pub fn word(self) -> &'static str {
        match self {
            Form::Numeric => "numeric",
            Form::Categorical => "categorical",
            Form::Rate => "rate",
            Form::Errors => "errors",
            Form::Volume => "volume",
            Form::Gap => "gap",
            Form::Disparity => "disparity",
            Form::Limit(_) => "limit",
        }
    }
}

/// What holds for a pane.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The definitions in force.
    pub definitions: &'a Definitions,
    /// Their hash, put on alerts.
    pub definition_hash: &'a str,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// Its reference is not complete.
    Learning,
    /// It is compared with its reference.
    Watching,
    /// An episode is open.
    Alarming,
}

/// What the status page shows of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamStatus {
    /// Where it stands.
    pub phase: Phase,
    /// Events in its reference so far.
    pub reference_events: u64,
    /// The channel closest to its threshold.
    pub detector: Option<&'static str>,
    /// Its statistic, in nats.
    pub statistic: f64,
    /// That channel's threshold, in nats; 0 while learning.
    pub threshold: f64,
    /// That channel's effect.
    pub effect: Option<Effect>,
    /// The smallest effect that a change must have to be found by it within a day, and its unit.
    pub smallest_detectable: Option<(f64, &'static str)>,
    /// What its reference can promise.
    pub rung: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum State {
    Learning(Option<Box<Learning>>),
    Watching {
        watch: Box<Watch>,
        episode: Option<Box<Episode>>,
        /// A reference that still grows.
        learning: Option<Box<Learning>>,
    },
    /// It needs no reference.
    Limit(Box<Limiter>),
}

/// Panes of the next fold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    pub first: PaneId,
    pub tally: Tally,
    /// What was expected of them (`Watch::expected`).
    pub expected: [f64; 2],
}

/// One stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stream {
    pub(super) key: StreamKey,
    pub(super) first: Option<PaneId>,
    pub(super) edges: u32,
    pub(super) state: State,
    pub(super) pending: Option<Pending>,
}

impl Stream {
    /// A stream that has seen nothing.
    pub fn new(key: StreamKey) -> Stream {
        Stream { key, first: None, edges: 0, state: State::Learning(None), pending: None }
    }

    /// A stream that is held against a limit.
    pub fn limited(key: StreamKey, limit: &Limit) -> Stream {
        Stream { state: State::Limit(Box::new(Limiter::new(limit.clone()))), ..Stream::new(key) }
    }

    /// Which stream it is.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// One closed pane with events (or, where rows are counted, with or without any). Panes come in order.
    pub fn close(&mut self, pane: PaneId, seen: &Observed<'_>, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        self.close_beside(None, pane, seen, rules, out);
    }

    /// The same where a file says what is normal: from the stream it then learns only how panes vary.
    pub fn close_beside(
        &mut self,
        given: Option<Observed<'_>>,
        pane: PaneId,
        seen: &Observed<'_>,
        rules: &Rules<'_>,
        out: &mut Vec<Alert>,
    ) {
        let (tally, before) = (seen.to_tally(), out.len());
        if tally.weight() > 0 {
            self.follow_edges(seen.version(), pane, rules, out);
            if let Some(tally) = self.learn(pane, tally, given, rules) {
                self.gather(pane, tally, seen, rules, out);
            }
        }
        self.remind(pane, rules, out);
        if given.is_some() {
            let open = match &mut self.state {
                State::Watching { episode: Some(episode), .. } => Some(&mut episode.last),
                _ => None,
            };
            let unsaid = |a: &&mut Alert| !a.summary.ends_with(FROM_FILE);
            out[before..].iter_mut().chain(open).filter(unsaid).for_each(|a| a.summary.push_str(FROM_FILE));
        }
    }

    /// Time passed without events for this stream: reminders only.
    pub fn tick(&mut self, pane: PaneId, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        self.remind(pane, rules, out);
    }

    /// One closed pane of a limit's stream, with or without events. Panes come in order.
    pub fn close_limit(&mut self, pane: PaneId, seen: Counted, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        if let State::Limit(limiter) = &mut self.state {
            limiter.close(&self.key, pane, seen, rules, out);
        }
    }

    /// It is watched no more, or anew, from `now` on: the end of what is open.
    pub(crate) fn end(&mut self, why: Reason, now: EventTime) -> Option<Alert> {
        match &mut self.state {
            State::Watching { episode: Some(episode), .. } => Some(next(episode, Status::Resolved, why, now)),
            State::Limit(limiter) => limiter.end(why, now),
            _ => None,
        }
    }

    /// Whether a pane without rows would tell it something: where rows are counted, unless none have come for long, or `pane` was seen.
    pub(crate) fn awaits(&self, pane: PaneId) -> bool {
        let (quiet, through) = match &self.state {
            State::Watching { watch, .. } => watch.silence().map_or((SLEEP, None), |s| (s.panes(), s.through)),
            State::Learning(Some(learning)) => (learning.quiet(), Some(learning.last)),
            State::Learning(None) => (0, None),
            State::Limit(limiter) => return limiter.awaits(pane),
        };
        self.key.form == Form::Volume && quiet < SLEEP && through < Some(pane)
    }

    /// New edges or categories: counts no longer compare, the stream starts anew.
    fn follow_edges(&mut self, edges: u32, pane: PaneId, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        if self.first.is_some() && self.edges != edges {
            out.extend(self.end(Reason::Redefined, rules.definitions.pane.end(pane)));
            *self = Stream::new(self.key.clone());
        }
        self.edges = edges;
    }

    /// Adds a pane to a reference that still grows; gives it back if the stream watches.
    fn learn(&mut self, pane: PaneId, tally: Tally, given: Option<Observed<'_>>, rules: &Rules<'_>) -> Option<Tally> {
        let size = rules.definitions.pane;
        match &mut self.state {
            State::Learning(_) => self.grow(pane, tally, given, rules),
            State::Watching { learning: Some(learning), episode: None, .. } => {
                learning.add(pane, tally.clone(), size);
                self.climb(pane, given, rules);
                Some(tally)
            }
            State::Limit(_) => None,
            State::Watching { .. } => Some(tally), // its reference is complete, or the change that is open must not become normal
        }
    }

    /// When its reference is complete; and whether it may be watched before.
    fn ends(&self, first: PaneId, definitions: &Definitions) -> (EventTime, bool) {
        let begins = definitions.pane.start(first);
        match definitions.baseline {
            BaselineRule::Range { to, .. } if begins < to => (to, false),
            BaselineRule::Range { .. } => (begins.plus(NEWBORN_SPAN), true),
            BaselineRule::Learn { span } => (begins.plus(span), true),
        }
    }

    fn grow(&mut self, pane: PaneId, tally: Tally, given: Option<Observed<'_>>, rules: &Rules<'_>) -> Option<Tally> {
        let beside = match &tally {
            Tally::Gap(_) => Some(Tally::Gap(Gap::default())),
            Tally::Disparity(disparity) => Some(Tally::Disparity(Disparity::none(disparity.limit))),
            _ => None,
        };
        if let Some(nothing) = beside {
            // what it is compared with comes along
            let watch = Box::new(Watch::new(nothing, 1, Learnt::NOTHING));
            self.state = State::Watching { watch, episode: None, learning: None };
            return Some(tally);
        }
        let definitions = rules.definitions;
        let (size, start) = (definitions.pane, definitions.pane.start(pane));
        if let BaselineRule::Range { from, .. } = definitions.baseline
            && start < from
        {
            return None;
        }
        let first = *self.first.get_or_insert(pane);
        let (ends, early) = self.ends(first, definitions);
        let State::Learning(learning) = &mut self.state else { return Some(tally) };
        let events = learning.as_ref().map_or(0, |l| l.reference.n());
        let newborn = early && matches!(definitions.baseline, BaselineRule::Range { .. });
        let over = start >= ends;
        let enough = over && events >= LEAST_REFERENCE && !newborn;
        let grown = early && events >= NEWBORN_EVENTS && pane.0 - first.0 >= NEWBORN_PANES;
        if over && !enough && !grown {
            self.first = Some(pane); // too little until now: it learns on as a newborn, with what it has
        }
        if enough || grown {
            let learnt = learning.take().expect("a reference with events exists");
            let watch = Box::new(learnt.watch(size, &definitions.tolerance, given));
            self.state = State::Watching { watch, episode: None, learning: Some(learnt).filter(|_| !over) };
            return Some(tally);
        }
        match learning {
            None => *learning = Some(Box::new(Learning::new(pane, tally))),
            Some(learning) => learning.add(pane, tally, size),
        }
        None
    }

    /// Watches against more of its reference when that can promise more, or is complete.
    fn climb(&mut self, pane: PaneId, given: Option<Observed<'_>>, rules: &Rules<'_>) {
        let size = rules.definitions.pane;
        let (ends, _) = self.ends(self.first.unwrap_or(pane), rules.definitions);
        let State::Watching { watch, learning, .. } = &mut self.state else { return };
        let over = size.end(pane) >= ends;
        let Some(grown) = learning.as_ref().filter(|l| over || l.rung(size) > watch.rung()) else { return };
        let mut higher = grown.watch(size, &rules.definitions.tolerance, given);
        higher.follow(watch);
        **watch = higher;
        if over {
            *learning = None;
        }
        if let Some(pending) = &mut self.pending {
            pending.expected = watch.expected(&pending.tally, Place::of(pending.first, size));
        }
    }

    /// Gathers panes until there are enough events for a fold.
    fn gather(&mut self, pane: PaneId, tally: Tally, seen: &Observed<'_>, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        let State::Watching { watch, .. } = &self.state else { return };
        let expected = watch.expected(&tally, Place::of(pane, rules.definitions.pane));
        let pace = watch.pace();
        match &mut self.pending {
            None => self.pending = Some(Pending { first: pane, tally, expected }),
            Some(pending) => {
                let fits = pending.tally.merge(&tally);
                debug_assert!(fits, "panes of one version fit together");
                (0..2).for_each(|i| pending.expected[i] += expected[i]);
            }
        }
        if let Some(fold) = self.pending.take_if(|p| pace.ends(p.first, pane) && makes_a_fold(&p.tally)) {
            let at = Gathered { first: fold.first, last: pane };
            self.fold(fold, at, seen, rules, out);
        }
    }

    fn fold(&mut self, fold: Pending, at: Gathered, seen: &Observed<'_>, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        let State::Watching { watch, episode, .. } = &mut self.state else { return };
        match episode {
            None => {
                watch.observe(&fold.tally, fold.expected, at);
                let verdicts = watch.alarms(rules.definitions);
                // the channel that passes its threshold by most; the first of equals
                let mut winner: Option<&Verdict> = None;
                for v in &verdicts {
                    if winner.is_none_or(|w| excess(v) > excess(w)) {
                        winner = Some(v);
                    }
                }
                if let Some(verdict) = winner {
                    let opened = open(&self.key, watch, verdict, at, seen, rules);
                    out.push(opened.last.clone());
                    *episode = Some(Box::new(opened));
                }
            }
            Some(open) => {
                watch.pause(&fold.tally, fold.expected, at);
                if persist(open, watch, fold, at, seen, rules, out) {
                    *episode = None;
                    watch.restart();
                }
            }
        }
    }

    fn remind(&mut self, pane: PaneId, rules: &Rules<'_>, out: &mut Vec<Alert>) {
        if let State::Limit(limiter) = &mut self.state {
            return limiter.remind(pane, rules.definitions, out);
        }
        if let State::Watching { episode: Some(episode), .. } = &mut self.state {
            let now = rules.definitions.pane.end(pane);
            if now.since(episode.written_at) < rules.definitions.reminder {
                return;
            }
            // a version that nobody uses any more is no worse than others, and so is a group without members
            let gone = !self.key.form.has_a_past() && now.since(episode.last.window_end) >= rules.definitions.reminder;
            let (status, reason) = if gone { (Status::Resolved, Reason::Gone) } else { (Status::Firing, Reason::Reminder) };
            out.push(next(episode, status, reason, now));
            if gone {
                *self = Stream::new(self.key.clone());
            }
        }
    }

    /// The pane in which the next reminder falls due if nothing else happens.
    pub fn next_reminder(&self, definitions: &Definitions) -> Option<PaneId> {
        let written_at = match &self.state {
            State::Watching { episode, .. } => episode.as_ref()?.written_at,
            State::Limit(limiter) => limiter.alert()?.detected_at,
            State::Learning(_) => return None,
        };
        let due = written_at.plus(definitions.reminder);
        Some(definitions.pane.last_closed_by(due.plus(Span(definitions.pane.0.0 - 1))))
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Learning(_) => Phase::Learning,
            State::Watching { episode: None, .. } => Phase::Watching,
            State::Limit(limiter) if limiter.alert().is_none() => Phase::Watching,
            State::Watching { .. } | State::Limit(_) => Phase::Alarming,
        }
    }

    /// The last event of its open episode.
    pub fn alert(&self) -> Option<&Alert> {
        match &self.state {
            State::Watching { episode, .. } => episode.as_ref().map(|e| &e.last),
            State::Limit(limiter) => limiter.alert(),
            State::Learning(_) => None,
        }
    }

    /// What the status page shows.
    pub fn status(&self, rules: &Rules<'_>) -> StreamStatus {
        match &self.state {
            State::Learning(learning) => StreamStatus {
                phase: self.phase(),
                reference_events: learning.as_ref().map_or(0, |l| l.reference.n()),
                detector: None,
                statistic: 0.0,
                threshold: 0.0,
                effect: None,
                smallest_detectable: None,
                rung: None,
            },
            State::Limit(limiter) => limiter.status(rules.definitions),
            State::Watching { watch, episode, .. } => {
                let verdicts = watch.verdicts(rules.definitions);
                let ratio = |v: &Verdict| if v.threshold > 0.0 { v.statistic / v.threshold } else { 0.0 };
                let mut nearest = &verdicts[0];
                for v in &verdicts[1..] {
                    if ratio(v) > ratio(nearest) {
                        nearest = v;
                    }
                }
                let (detector, statistic, effect) = match episode {
                    Some(e) => (e.detector, e.statistic, Some(e.last.effect.clone())),
                    None => {
                        let effect = nearest.best.map(|c| watch.effect(nearest.detector, &c, &rules.definitions.tolerance));
                        (nearest.detector, nearest.statistic, effect)
                    }
                };
                StreamStatus {
                    phase: self.phase(),
                    reference_events: watch.reference().n(),
                    detector: Some(detector.word()),
                    statistic,
                    threshold: watch.threshold(detector, rules.definitions),
                    effect,
                    smallest_detectable: Some((watch.smallest_detectable(detector, rules.definitions), detector.unit()))
                        .filter(|(smallest, _)| smallest.is_finite()),
                    rung: Some(rung(watch, rules.definitions.baseline)),
                }
            }
        }
    }
}

fn excess(verdict: &Verdict) -> f64 {
    verdict.beyond.as_ref().map_or(f64::NEG_INFINITY, |(c, _)| c.statistic - verdict.threshold)
}

/// The next event of an episode: what was known last, with a new reason.
fn next(episode: &mut Episode, status: Status, reason: Reason, now: EventTime) -> Alert {
    episode.written_at = now;
    episode.last.follow(status, reason, now)
}

/// What the reference can promise.
fn rung(watch: &Watch, rule: BaselineRule) -> &'static str {
    match (watch.rung(), rule) {
        _ if matches!(watch.reference(), Tally::Gap(_) | Tally::Disparity(_)) => "concurrent",
        (Rung::Unknown, BaselineRule::Learn { span }) if span < Span::days(1) => Rung::Short.word(),
        (Rung::Unknown, BaselineRule::Learn { .. }) => Rung::Days.word(),
        (known, _) => known.word(),
    }
}

/// What a short reference cannot see.
fn caveat(watch: &Watch, detector: Detector, definitions: &Definitions) -> String {
    if watch.rung() != Rung::Short {
        return String::new();
    }
    let smallest = number(watch.smallest_detectable(detector, definitions));
    format!(" The reference is shorter than a day: changes below {smallest} {} are not seen yet.", detector.unit())
}

fn false_alarms_per_day(watch: &Watch, detector: Detector, statistic: f64, threshold: f64, definitions: &Definitions) -> f64 {
    per_day(&definitions.budget) * libm::exp(-(statistic - threshold) / watch.slope(detector))
}

fn open(key: &StreamKey, watch: &Watch, verdict: &Verdict, at: Gathered, seen: &Observed<'_>, rules: &Rules<'_>) -> Episode {
    let definitions = rules.definitions;
    let size = definitions.pane;
    let (window, effect) = verdict.beyond.clone().expect("an alarming channel has a window");
    let detector = verdict.detector;
    let (first, end) = (size.start(window.first), size.end(at.last));
    let severity = Severity::of(effect.times_tolerance());
    let opening = Opening { key, detector: detector.word().to_owned(), pane: at.last, window: (first, end), severity, effect };
    let mut alert = opened(opening, rules);
    alert.change_point = Some(first);
    alert.statistic = window.statistic;
    alert.threshold = verdict.threshold;
    alert.false_alarms_per_day = false_alarms_per_day(watch, detector, window.statistic, verdict.threshold, definitions);
    alert.baseline_rung = rung(watch, definitions.baseline).to_owned();
    if key.form == Form::Gap {
        alert.action = "rollback".to_owned();
    }
    describe(&mut alert, detector, watch, &watch.content_since(&window), seen);
    alert.summary.push_str(&caveat(watch, detector, definitions));
    let length = match key.form {
        Form::Volume => u64::from(window.folds),
        _ => alert.current.count.max(FOLD_EVENTS),
    };
    Episode::new(detector, alert, length)
}

/// A fold while an episode is open; true if it is over.
fn persist(
    episode: &mut Episode,
    watch: &Watch,
    fold: Pending,
    at: Gathered,
    seen: &Observed<'_>,
    rules: &Rules<'_>,
    out: &mut Vec<Alert>,
) -> bool {
    let definitions = rules.definitions;
    let detector = episode.detector;
    let Some(window) = episode.observe(fold.tally, fold.expected, at.first) else { return false };
    let (statistic, effect) = watch.compare(detector, &window.tally, window.expected, window.folds, &definitions.tolerance);
    let threshold = watch.threshold(detector, definitions);
    let over = statistic < 0.5 * threshold && !effect::beyond(&effect);
    let severity = Severity::of(effect.surely_times_tolerance());
    episode.statistic = statistic;
    let end = definitions.pane.end(at.last);
    let last = &mut episode.last;
    last.window_start = definitions.pane.start(window.first);
    last.window_end = end;
    last.statistic = statistic;
    last.threshold = threshold;
    last.false_alarms_per_day = false_alarms_per_day(watch, detector, statistic, threshold, definitions);
    last.effect = effect;
    last.definition = rules.definition_hash.to_owned();
    let escalated = severity > last.severity;
    last.severity = last.severity.max(severity);
    describe(last, detector, watch, &watch.content(&window.tally), seen);
    last.summary.push_str(&caveat(watch, detector, definitions));
    if over {
        out.push(next(episode, Status::Resolved, Reason::Recovered, end));
    } else if escalated {
        out.push(next(episode, Status::Firing, Reason::Escalated, end));
    }
    over
}
