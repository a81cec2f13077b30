//! A limit's life as stories, and against the plainest program that says the same.

use super::calibration::definitions;
use super::limit::Counted;
use super::stream::{Form, Phase, Rules, Stream, StreamKey};
use crate::engine::alert::{Alert, Reason, Severity, Status};
use crate::engine::definitions::Definitions;
use crate::engine::definitions::limit::{BadSide, Billionths, Limit};
use crate::engine::types::{PaneId, PaneSize, Span};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// More than 10 % over four minutes for three; good again at 8 %. At least 50 events.
fn error() -> Limit {
    Limit {
        signal: "error".into(),
        bad: BadSide::Above,
        bound: Billionths::of(0.1).unwrap(),
        clear: Billionths::of(0.08).unwrap(),
        over: Span::minutes(4),
        lasts: Span::minutes(3),
        at_least: 50,
        by: Vec::new(),
        severity: Severity::Critical,
    }
}

/// At once, pane by pane, whatever it is of.
fn at_once() -> Limit {
    Limit { over: Span::minutes(1), lasts: Span::ZERO, clear: error().bound, at_least: 1, ..error() }
}

/// Fewer than 100 predictions in five minutes.
fn volume() -> Limit {
    let bound = Billionths::of(100.0).unwrap();
    let (bad, over, lasts) = (BadSide::Below, Span::minutes(5), Span::ZERO);
    Limit { signal: "volume".into(), bad, bound, clear: bound, over, lasts, at_least: 0, ..error() }
}

/// Panes of a minute, a reminder after so many.
fn minutes(reminder: i64) -> Definitions {
    Definitions { pane: PaneSize(Span::minutes(1)), reminder: Span::minutes(reminder), ..definitions(1) }
}

/// What is asked of a limit's stream, as a monitor asks it.
struct Watched {
    stream: Stream,
    definitions: Definitions,
    rows: bool,
    said: Vec<(i64, Reason)>,
    alerts: Vec<Alert>,
}

impl Watched {
    fn by(limit: &Limit, definitions: Definitions) -> Watched {
        let (signal, form) = (limit.signal.clone(), Form::Limit(limit.id()));
        let key = StreamKey { model: "fraud".into(), version: None, segment: BTreeMap::new(), signal, form };
        let stream = Stream::limited(key, limit);
        Watched { stream, definitions, rows: limit.counts_rows(), said: Vec::new(), alerts: Vec::new() }
    }

    fn pane(&mut self, pane: i64, n: u64, k: u64) {
        let (rules, mut out) = (Rules { definitions: &self.definitions, definition_hash: "d" }, Vec::new());
        let seen = Counted { n, k: if self.rows { n } else { k } };
        if n > 0 || self.stream.awaits(PaneId(pane)) {
            self.stream.close_limit(PaneId(pane), seen, &rules, &mut out);
        }
        if self.stream.next_reminder(&self.definitions).is_some_and(|due| due <= PaneId(pane)) {
            self.stream.tick(PaneId(pane), &rules, &mut out);
        }
        self.said.extend(out.iter().map(|a| (pane, a.reason)));
        self.alerts.extend(out);
    }

    /// Panes from one on, each of 100 events (rows) with so many bad ones.
    fn of_100(&mut self, from: i64, bad: &[u64]) -> &mut Watched {
        bad.iter().zip(from..).for_each(|(k, pane)| self.pane(pane, 100, *k));
        self
    }

    fn restarted(&mut self) {
        self.stream = postcard::from_bytes(&postcard::to_stdvec(&self.stream).unwrap()).unwrap();
    }
}

#[test]
fn it_fires_in_the_pane_with_which_the_value_was_beyond_the_limit_for_long_enough() {
    let mut watched = Watched::by(&error(), minutes(1_000));
    // the last four panes together: 0, 0, 0, 0, 30/400, 60/400 (beyond), 90/400, 120/400
    watched.of_100(0, &[0, 0, 0, 0, 30, 30, 30]);
    assert_eq!(watched.said, []);
    watched.of_100(7, &[30]);
    assert_eq!(watched.said, [(7, Reason::Opened)]);
    let alert = &watched.alerts[0];
    let size = watched.definitions.pane;
    assert_eq!((alert.window_start, alert.window_end), (size.start(PaneId(4)), size.end(PaneId(7))));
    assert_eq!(alert.change_point, Some(size.start(PaneId(5))), "the first pane beyond the limit");
    assert_eq!((alert.statistic, alert.threshold, alert.severity), (0.3, 0.1, Severity::Critical));
    assert_eq!((alert.false_alarms_per_day, alert.baseline_rung.as_str()), (0.0, "limit"));
    assert_eq!(alert.detector, "limit:above=0.1,over=4m,for=3m");
    assert_eq!((alert.current.count, alert.effect.unit.as_str()), (400, "points"));
    assert!((alert.effect.value - 20.0).abs() < 1e-9 && alert.effect.low < 20.0 && alert.effect.high > 20.0);
    assert_eq!(alert.summary, "Error rate of fraud: 30 % over 4m, above the limit of 10 % since 1970-01-01 00:05 UTC; 400 events.");
}

#[test]
fn a_value_on_the_limit_is_not_beyond_it() {
    let mut watched = Watched::by(&at_once(), minutes(1_000));
    watched.of_100(0, &[10, 10, 10]);
    assert_eq!(watched.said, []);
    watched.of_100(3, &[11]);
    assert_eq!(watched.said, [(3, Reason::Opened)]);
    watched.of_100(4, &[10]);
    assert_eq!(watched.said[1..], [(4, Reason::Recovered)]);
    let below = Limit { bad: BadSide::Below, clear: error().bound, ..at_once() };
    let mut watched = Watched::by(&below, minutes(1_000));
    watched.of_100(0, &[10, 9, 10]);
    assert_eq!(watched.said, [(1, Reason::Opened), (2, Reason::Recovered)]);
}

#[test]
fn it_resolves_only_when_the_value_was_within_clear_for_long_enough() {
    let mut watched = Watched::by(&Limit { over: Span::minutes(1), ..error() }, minutes(1_000));
    watched.of_100(0, &[20, 20, 20]);
    assert_eq!(watched.said, [(2, Reason::Opened)]);
    // 9 % is neither beyond the limit nor within clear; two panes within it are too few
    watched.of_100(3, &[9, 9, 9, 9, 8, 8, 9, 8, 8]);
    assert_eq!(watched.said.len(), 1);
    watched.of_100(12, &[8]);
    assert_eq!(watched.said[1..], [(12, Reason::Recovered)]);
    let recovered = watched.alerts[1].clone();
    assert_eq!((recovered.status, recovered.sequence, recovered.statistic), (Status::Resolved, 1, 0.08));
    assert_eq!(recovered.alert_id, watched.alerts[0].alert_id);
    assert_eq!(recovered.summary, "Error rate of fraud: 8 % over 1m, not above the limit of 10 %; 100 events.");
    // and it may come back: the same alert, another episode
    watched.of_100(13, &[20, 20, 20]);
    assert_eq!(watched.said[2..], [(15, Reason::Opened)]);
    assert_eq!(watched.alerts[2].fingerprint, recovered.fingerprint);
    assert_ne!(watched.alerts[2].alert_id, recovered.alert_id);
}

#[test]
fn too_few_events_have_no_verdict_and_end_a_row_of_panes() {
    let limit = Limit { over: Span::minutes(1), at_least: 50, ..error() };
    let mut watched = Watched::by(&limit, minutes(1_000));
    for (pane, n) in [(0, 100), (1, 100), (2, 49), (3, 50), (4, 100)] {
        watched.pane(pane, n, n / 2);
    }
    assert_eq!(watched.said, [], "the pane of 49 events stands between two and two");
    watched.pane(5, 100, 50);
    assert_eq!(watched.said, [(5, Reason::Opened)]);
    // what is open stays open: nothing is known to be good
    for (pane, n) in [(6, 100), (7, 100), (8, 0), (9, 100), (10, 100)] {
        watched.pane(pane, n, 0);
    }
    assert_eq!(watched.said.len(), 1);
    watched.pane(11, 100, 0);
    assert_eq!(watched.said[1..], [(11, Reason::Recovered)]);
}

/// Labels that trickle in after the last prediction of all are not counted: whoever waits for them hears of a later pane.
#[test]
fn a_pane_that_nobody_has_counted_ends_a_row_of_panes() {
    let limit = Limit { over: Span::minutes(1), ..error() };
    let mut watched = Watched::by(&limit, minutes(1_000));
    watched.of_100(0, &[20, 20]);
    watched.of_100(3, &[20, 20]);
    assert_eq!(watched.said, []);
    watched.of_100(4, &[20]);
    assert_eq!(watched.said, [], "pane 4 is known");
    watched.of_100(5, &[20]);
    assert_eq!(watched.said, [(5, Reason::Opened)]);
}

#[test]
fn panes_without_events_slide_the_window_for_as_long_as_it_holds_any() {
    let mut watched = Watched::by(&error(), minutes(1_000));
    watched.pane(0, 100, 50);
    watched.pane(1, 0, 0);
    assert_eq!(watched.said, []);
    watched.pane(2, 0, 0);
    assert_eq!(watched.said, [(2, Reason::Opened)], "the last four minutes were bad three times");
    watched.pane(3, 0, 0);
    watched.pane(4, 0, 0);
    assert!(!watched.stream.awaits(PaneId(5)), "now there is nothing left to look at");
    assert_eq!(watched.stream.phase(), Phase::Alarming);
}

#[test]
fn a_number_of_rows_is_known_as_soon_as_over_is_whole_and_also_when_none_come() {
    let mut watched = Watched::by(&volume(), minutes(1_000));
    watched.of_100(10, &[0; 1]);
    (11..14).for_each(|pane| watched.pane(pane, 0, 0));
    assert_eq!(watched.said, [], "of 10 to 14 the last one is missing");
    watched.pane(14, 0, 0);
    assert_eq!(watched.said, [], "100 are not fewer than 100");
    watched.pane(15, 0, 0);
    assert_eq!(watched.said, [(15, Reason::Opened)]);
    assert_eq!(watched.alerts[0].summary, "Predictions of fraud: 0 over 5m, below the limit of 100 since 1970-01-01 00:15 UTC; 0 events.");
    assert_eq!((watched.alerts[0].effect.unit.as_str(), watched.alerts[0].effect.value), ("rows", -100.0));
    assert!(!watched.stream.awaits(PaneId(16)), "it can't get worse");
    watched.pane(5_000, 99, 0);
    assert_eq!(watched.said[watched.said.len() - 1].1, Reason::Reminder);
    watched.pane(5_001, 1, 0);
    assert_eq!(watched.said[watched.said.len() - 1], (5_001, Reason::Recovered));
}

#[test]
fn what_fires_is_repeated_and_without_a_verdict_for_a_whole_reminder_it_is_gone() {
    let mut watched = Watched::by(&at_once(), minutes(10));
    (0..25).for_each(|pane| watched.pane(pane, 100, 50));
    assert_eq!(watched.said, [(0, Reason::Opened), (10, Reason::Reminder), (20, Reason::Reminder)]);
    (25..60).for_each(|pane| watched.pane(pane, 0, 0));
    // the last verdict is of pane 24: at the end of pane 30 it is 6 minutes old, at the end of pane 40 more than ten
    assert_eq!(watched.said[3..], [(30, Reason::Reminder), (40, Reason::Gone)]);
    assert_eq!(watched.stream.phase(), Phase::Watching);
    watched.pane(60, 100, 50);
    assert_eq!(watched.said[5..], [(60, Reason::Opened)]);
}

#[test]
fn no_rows_at_all_are_repeated_for_ever() {
    let mut watched = Watched::by(&volume(), minutes(10));
    watched.pane(0, 1, 0);
    (1..60).for_each(|pane| watched.pane(pane, 0, 0));
    let reasons: Vec<Reason> = watched.said.iter().map(|s| s.1).collect();
    assert_eq!(reasons, [[Reason::Opened].as_slice(), &[Reason::Reminder; 5]].concat());
    assert_eq!(watched.alerts[5].window_end, watched.alerts[5].detected_at);
}

/// Everything again from the beginning for each pane.
fn plainly(limit: &Limit, panes: &[(u64, u64)], reminder: i64) -> Vec<(i64, Reason)> {
    let (over, run) = (limit.over.0 / 60_000, (limit.lasts.0 / 60_000).max(1));
    let Some(first) = panes.iter().position(|p| p.0 > 0).map(|p| p as i64) else { return Vec::new() };
    let of = |pane: i64| {
        let window = (pane - over + 1).max(0)..=pane;
        window.map(|p| panes[p as usize]).fold((0, 0), |sum, p| (sum.0 + p.0, sum.1 + p.1))
    };
    let value = |pane: i64| -> Option<f64> {
        let (n, k) = of(pane);
        let known = if limit.counts_rows() { pane - first + 1 >= over } else { n >= limit.at_least };
        (pane >= first && known).then(|| if limit.counts_rows() { n as f64 } else { k as f64 / n as f64 })
    };
    let (bound, clear) = (limit.bound.value(), limit.clear.value());
    let above = limit.bad == BadSide::Above;
    let beyond = |p: i64| value(p).is_some_and(|x| if above { x > bound } else { x < bound });
    let within = |p: i64| value(p).is_some_and(|x| if above { x <= clear } else { x >= clear });
    let (mut said, mut written) = (Vec::new(), None);
    for pane in first..panes.len() as i64 {
        let long = |holds: &dyn Fn(i64) -> bool| (pane - run + 1..=pane).all(holds);
        if written.is_none() && long(&beyond) {
            written = Some(pane);
            said.push((pane, Reason::Opened));
        } else if written.is_some() && long(&within) {
            written = None;
            said.push((pane, Reason::Recovered));
        } else if written.is_some_and(|w| pane - w >= reminder) {
            let known = (first..=pane).rev().find(|p| value(*p).is_some()).unwrap();
            let gone = pane - known >= reminder;
            written = Some(pane).filter(|_| !gone);
            said.push((pane, if gone { Reason::Gone } else { Reason::Reminder }));
        }
    }
    said
}

fn limits() -> impl Strategy<Value = Limit> {
    let bound = prop_oneof![Just(0.1), Just(0.25), Just(0.5)];
    (bound, 0..3u32, 1..6i64, 0..5i64, 1..40u64, any::<[bool; 2]>()).prop_map(|(bound, looser, over, lasts, at_least, [above, rows])| {
        // rows: 6, 15 and 30 a window
        let scale = if rows { 60.0 } else { 1.0 };
        let aside = f64::from(looser) * 0.05 * if above { -1.0 } else { 1.0 };
        Limit {
            signal: if rows { "volume" } else { "error" }.into(),
            bad: if above { BadSide::Above } else { BadSide::Below },
            bound: Billionths::of(bound * scale).unwrap(),
            clear: Billionths::of(((bound + aside) * scale * 100.0).round() / 100.0).unwrap(),
            over: Span::minutes(over),
            lasts: Span::minutes(lasts),
            at_least: if rows { 0 } else { at_least },
            ..error()
        }
    })
}

/// Stretches of one sort: nothing; some events, of which few or many are bad.
fn counts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let sort = prop_oneof![Just((0u64, 0u64)), (1..30u64, Just(0)), (1..30u64, 1..101u64)];
    let stretch = (sort, 1..12usize, any::<[u8; 12]>()).prop_map(|((most, percent), panes, noise)| {
        let of = |x: u8| (most * u64::from(x % 4 + 1)).div_euclid(4);
        noise[..panes].iter().map(|x| (of(*x), of(*x) * percent / 100)).collect::<Vec<_>>()
    });
    prop::collection::vec(stretch, 1..20).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn it_says_what_the_plainest_program_says_whenever_it_is_restarted(
        limit in limits(), panes in counts(), reminder in 2..30i64, restarts in 1..20usize,
    ) {
        prop_assume!(limit.possible(PaneSize(Span::minutes(1))));
        let mut watched = Watched::by(&limit, minutes(reminder));
        let mut unbroken = Watched::by(&limit, minutes(reminder));
        for (pane, (n, k)) in panes.iter().enumerate() {
            watched.pane(pane as i64, *n, *k);
            unbroken.pane(pane as i64, *n, *k);
            if pane % restarts == 0 {
                watched.restarted();
            }
        }
        prop_assert_eq!(&watched.said, &plainly(&limit, &panes, reminder));
        prop_assert_eq!(&watched.alerts, &unbroken.alerts);
    }
}
