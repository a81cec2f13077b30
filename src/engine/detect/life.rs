//! A stream's life as stories.

use super::calibration::{Draw, definitions};
use super::stream::{Form, Observed, Phase, Rules, Stream, StreamKey};
use crate::engine::alert::{Alert, Reason, Severity, Status};
use crate::engine::baseline::edges::{categories, numeric_edges};
use crate::engine::definitions::{BaselineRule, Budget, Definitions, Tolerance};
use crate::engine::summary::aged::AgedCounts;
use crate::engine::summary::category::CategoryCounts;
use crate::engine::summary::numeric::{NumericBins, NumericEdges};
use crate::engine::types::{EventTime, PaneId, PaneSize, Span};
use std::collections::BTreeMap;

fn key(signal: &str, form: Form) -> StreamKey {
    StreamKey { model: "fraud".into(), version: None, segment: BTreeMap::new(), signal: signal.into(), form }
}

/// One false alarm in 10^6 panes of half an hour, the usual tolerances, a reference of panes 0 to 199: four days.
fn strict() -> Definitions {
    let pane = PaneSize(Span::minutes(30));
    Definitions {
        pane,
        baseline: BaselineRule::Range { from: EventTime(0), to: pane.start(PaneId(200)) },
        budget: Budget { false_alarms: 1.0, per: Span::minutes(30_000_000) },
        tolerance: Tolerance::default(),
        reminder: Span::hours(60),
        ..definitions(1)
    }
}

fn close(stream: &mut Stream, pane: i64, seen: &Observed<'_>, definitions: &Definitions) -> Vec<Alert> {
    let mut out = Vec::new();
    stream.close(PaneId(pane), seen, &Rules { definitions, definition_hash: "d" }, &mut out);
    out
}

fn edges() -> NumericEdges {
    let draw = &mut Draw(1);
    numeric_edges(1, &(0..6_400).map(|_| 100.0 + 10.0 * draw.normal()).collect::<Vec<_>>())
}

/// A numeric stream of `events` a pane around a mean that `mean` gives, and all its alerts.
fn numeric(panes: i64, events: u64, definitions: &Definitions, mean: impl Fn(i64) -> f64) -> (Stream, Vec<Alert>) {
    numeric_of(panes, |_| events, definitions, mean)
}

/// The same with other numbers of events in other panes.
fn numeric_of(panes: i64, events: impl Fn(i64) -> u64, definitions: &Definitions, mean: impl Fn(i64) -> f64) -> (Stream, Vec<Alert>) {
    let (edges, draw) = (edges(), &mut Draw(7));
    let mut stream = Stream::new(key("feature:amount", Form::Numeric));
    let mut alerts = Vec::new();
    for pane in 0..panes {
        let mut bins = NumericBins::empty(edges.bins());
        (0..events(pane)).for_each(|_| bins.add(mean(pane) + 10.0 * draw.normal(), &edges));
        alerts.extend(close(&mut stream, pane, &Observed::Numeric(&bins, &edges), definitions));
    }
    (stream, alerts)
}

fn reasons(alerts: &[Alert]) -> Vec<Reason> {
    alerts.iter().map(|a| a.reason).collect()
}

#[test]
fn a_shift_opens_one_episode_that_lasts_until_the_shift_is_gone() {
    let definitions = strict();
    let (stream, alerts) = numeric(700, 50, &definitions, |pane| if (400..600).contains(&pane) { 105.0 } else { 100.0 });
    let mut life = reasons(&alerts);
    life.retain(|r| *r != Reason::Escalated);
    assert_eq!(life, [Reason::Opened, Reason::Reminder, Reason::Recovered]);
    let (opened, recovered) = (&alerts[0], &alerts[alerts.len() - 1]);
    let pane = |a: &Alert| definitions.pane.pane_of(a.detected_at).0 - 1;
    assert!((400..420).contains(&pane(opened)) && (600..640).contains(&pane(recovered)), "{} {}", pane(opened), pane(recovered));
    assert!((definitions.pane.pane_of(opened.change_point.unwrap()).0 - 400).abs() <= 3);
    assert_eq!((opened.status, recovered.status), (Status::Firing, Status::Resolved));
    assert!(alerts.iter().zip(0..).all(|(a, sequence)| a.sequence == sequence));
    assert!(alerts.iter().all(|a| a.alert_id == opened.alert_id && a.fingerprint == opened.fingerprint));
    let means = (opened.baseline.value.unwrap(), opened.current.value.unwrap());
    assert!((means.0 - 100.0).abs() < 1.0 && (means.1 - 105.0).abs() < 4.0, "{means:?} in {}", opened.summary);
    assert!((opened.effect.value - 0.5).abs() < 0.3 && opened.effect.low > 0.0);
    let status = stream.status(&Rules { definitions: &definitions, definition_hash: "d" });
    assert_eq!((status.phase, status.reference_events), (Phase::Watching, 10_000));
}

#[test]
fn a_change_that_comes_back_is_a_new_episode_of_the_same_alert() {
    let (_, alerts) = numeric(900, 50, &strict(), |pane| if (300..350).contains(&pane) || pane >= 800 { 110.0 } else { 100.0 });
    let opened: Vec<&Alert> = alerts.iter().filter(|a| a.reason == Reason::Opened).collect();
    assert_eq!(opened.len(), 2);
    assert_ne!(opened[0].alert_id, opened[1].alert_id);
    if opened[0].detector == opened[1].detector {
        assert_eq!(opened[0].fingerprint, opened[1].fingerprint);
    }
}

#[test]
fn a_growing_change_escalates_and_never_steps_back() {
    let (_, alerts) = numeric(500, 100, &strict(), |pane| 100.0 + (pane - 300).clamp(0, 150) as f64 * 0.1);
    assert!(alerts.iter().any(|a| a.reason == Reason::Escalated && a.severity == Severity::Critical), "{:?}", reasons(&alerts));
    assert!(alerts.windows(2).all(|w| w[0].severity <= w[1].severity));
}

#[test]
fn a_significant_change_within_the_tolerance_is_nobodys_business() {
    // .06 sigma: far beyond any threshold after 100 panes of 10,000 events
    let (stream, alerts) = numeric(400, 10_000, &strict(), |pane| if pane >= 300 { 100.6 } else { 100.0 });
    assert_eq!(reasons(&alerts), []);
    let definitions = strict();
    let status = stream.status(&Rules { definitions: &definitions, definition_hash: "d" });
    assert!(status.statistic > status.threshold, "{status:?}");
}

#[test]
fn a_jump_is_found_behind_a_change_within_the_tolerance() {
    let mean = |pane| {
        if pane >= 3_000 {
            104.0
        } else if pane >= 300 {
            100.6
        } else {
            100.0
        }
    };
    let (_, alerts) = numeric(3_040, 200, &strict(), mean);
    assert_eq!(reasons(&alerts), [Reason::Opened]);
}

#[test]
fn a_sparse_stream_gathers_panes_until_it_has_32_events() {
    let definitions = strict();
    let (_, alerts) = numeric(900, 5, &definitions, |pane| if pane >= 600 { 115.0 } else { 100.0 });
    assert_eq!(reasons(&alerts)[0], Reason::Opened);
    assert!(alerts[0].current.count >= 32);
    assert_eq!(alerts[0].window_end, alerts[0].detected_at);
}

/// With 10 events a pane in the reference one fold ends in four panes, however many events come later: so there are no more false alarms.
#[test]
fn a_sparse_stream_keeps_its_pace_when_its_traffic_grows() {
    let definitions = strict();
    for change in 400..408 {
        let events = |pane| if pane < 300 { 10 } else { 100 };
        let (_, alerts) = numeric_of(420, events, &definitions, |pane| if pane >= change { 200.0 } else { 100.0 });
        let found = definitions.pane.pane_of(alerts[0].detected_at).0 - 1;
        assert_eq!(found, change.div_euclid(4) * 4 + 3, "the last pane of four, for a change in pane {change}");
    }
}

#[test]
fn a_newborn_stream_learns_200_panes_and_2_000_events_of_its_own() {
    let definitions = strict();
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let mut stream = Stream::new(key("null:amount", Form::Rate));
    let watching = |stream: &Stream| stream.status(&rules).phase == Phase::Watching;
    for pane in 5_000..5_200 {
        close(&mut stream, pane, &Observed::Rate { n: 20, k: 10 }, &definitions);
        assert!(!watching(&stream), "pane {pane}");
    }
    close(&mut stream, 5_200, &Observed::Rate { n: 20, k: 10 }, &definitions);
    assert!(watching(&stream));
    assert_eq!(stream.status(&rules).reference_events, 4_000);
}

#[test]
fn panes_before_the_range_are_ignored() {
    let mut definitions = strict();
    let start = definitions.pane.start(PaneId(100));
    definitions.baseline = BaselineRule::Range { from: start, to: definitions.pane.start(PaneId(200)) };
    let mut stream = Stream::new(key("null:amount", Form::Rate));
    for pane in 0..200 {
        close(&mut stream, pane, &Observed::Rate { n: 10, k: 1 }, &definitions);
    }
    let status = stream.status(&Rules { definitions: &definitions, definition_hash: "d" });
    assert_eq!(status.reference_events, 1_000);
}

#[test]
fn a_learnt_reference_ends_after_its_span() {
    let mut definitions = strict();
    definitions.baseline = BaselineRule::Learn { span: Span::hours(25) };
    let mut stream = Stream::new(key("null:amount", Form::Rate));
    for pane in 1_000..1_051 {
        close(&mut stream, pane, &Observed::Rate { n: 10, k: 1 }, &definitions);
    }
    let status = stream.status(&Rules { definitions: &definitions, definition_hash: "d" });
    assert_eq!((status.phase, status.reference_events), (Phase::Watching, 500));
}

#[test]
fn errors_in_a_nightly_file_are_no_decay_but_worse_ones_are() {
    let definitions = strict();
    let mut stream = Stream::new(key("error", Form::Errors));
    let mut alerts = Vec::new();
    let draw = &mut Draw(3);
    for pane in 0..1_500 {
        let mut counts = AgedCounts::default();
        // early labels are wrong in 30 %, late ones in 3 %; which come depends on the hour
        let (early, late) = if (pane / 6) % 2 == 0 { (40, 5) } else { (2, 60) };
        let worse = if pane >= 1_200 { 2.0 } else { 1.0 };
        (0..early).for_each(|_| counts.add(Span::minutes(5), draw.inside() < 0.3 * worse));
        (0..late).for_each(|_| counts.add(Span::days(2), draw.inside() < 0.03 * worse));
        alerts.extend(close(&mut stream, pane, &Observed::Errors(&counts), &definitions));
    }
    let first = definitions.pane.pane_of(alerts[0].opened_at).0;
    assert!((1_200..1_260).contains(&first), "opened in pane {first}");
    assert!(alerts[0].summary.starts_with("Error rate of fraud: "), "{}", alerts[0].summary);
}

#[test]
fn new_edges_end_an_episode_and_start_the_stream_anew() {
    let definitions = strict();
    let old = categories(1, &BTreeMap::from([("a".to_owned(), 9), ("b".to_owned(), 1)]));
    let new = categories(2, &BTreeMap::from([("b".to_owned(), 9), ("a".to_owned(), 1)]));
    let mut stream = Stream::new(key("feature:plan", Form::Categorical));
    let mut alerts = Vec::new();
    for pane in 0..320 {
        let now = if pane < 310 { &old } else { &new };
        let mut counts = CategoryCounts::empty(2);
        counts.add_many("a", if pane < 300 { 90 } else { 10 }, now);
        counts.add_many("b", if pane < 300 { 10 } else { 90 }, now);
        alerts.extend(close(&mut stream, pane, &Observed::Categorical(&counts, now), &definitions));
    }
    assert_eq!(reasons(&alerts), [Reason::Opened, Reason::Redefined]);
    assert_eq!(alerts[1].status, Status::Resolved);
    assert_eq!(alerts[0].contributors.len(), 2);
    assert_eq!(stream.status(&Rules { definitions: &definitions, definition_hash: "d" }).phase, Phase::Learning);
}

#[test]
fn reminders_come_while_nothing_else_does() {
    let definitions = strict();
    let (mut stream, alerts) = numeric(310, 50, &definitions, |pane| if pane >= 300 { 120.0 } else { 100.0 });
    assert_eq!(reasons(&alerts), [Reason::Opened]);
    let mut out = Vec::new();
    for pane in 310..700 {
        stream.tick(PaneId(pane), &Rules { definitions: &definitions, definition_hash: "d" }, &mut out);
    }
    assert_eq!(reasons(&out), [Reason::Reminder; 3]);
    assert_eq!(out[0].detected_at.since(alerts[0].detected_at), Span::hours(60));
}

#[test]
fn state_that_went_through_bytes_says_the_same() {
    let (definitions, edges, draw) = (strict(), edges(), &mut Draw(11));
    let mut whole = Stream::new(key("score", Form::Numeric));
    let mut broken = whole.clone();
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    let mut longest = 0;
    for pane in 0..500 {
        let mut bins = NumericBins::empty(edges.bins());
        let mean = if (300..400).contains(&pane) { 108.0 } else { 100.0 };
        (0..50).for_each(|_| bins.add(mean + 10.0 * draw.normal(), &edges));
        expected.extend(close(&mut whole, pane, &Observed::Numeric(&bins, &edges), &definitions));
        seen.extend(close(&mut broken, pane, &Observed::Numeric(&bins, &edges), &definitions));
        let bytes = postcard::to_stdvec(&broken).unwrap();
        longest = longest.max(bytes.len());
        broken = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(postcard::to_stdvec(&whole).unwrap(), bytes);
    }
    assert!(expected.len() >= 2);
    assert_eq!(expected, seen);
    assert!(longest < 8_192, "{longest} bytes");
}

#[test]
fn a_constant_feature_that_starts_to_vary_is_seen() {
    let definitions = strict();
    let edges = numeric_edges(1, &[3.0; 500]);
    let mut stream = Stream::new(key("feature:flag", Form::Numeric));
    let mut alerts = Vec::new();
    for pane in 0..320 {
        let mut bins = NumericBins::empty(edges.bins());
        (0..50).for_each(|i| bins.add(if pane >= 300 && i % 10 == 0 { 4.0 } else { 3.0 }, &edges));
        alerts.extend(close(&mut stream, pane, &Observed::Numeric(&bins, &edges), &definitions));
    }
    assert_eq!(reasons(&alerts)[0], Reason::Opened);
    assert_eq!(alerts[0].detector, "g_shape");
}

/// Panes of five minutes, a reference of the first seven days.
fn learning() -> Definitions {
    Definitions { pane: PaneSize(Span::minutes(5)), baseline: BaselineRule::Learn { span: Span::days(7) }, ..strict() }
}

/// A rate of `of(pane)` in panes of 400 events.
fn rates(stream: &mut Stream, panes: std::ops::Range<i64>, definitions: &Definitions, of: impl Fn(i64) -> f64) -> Vec<Alert> {
    let draw = &mut Draw(panes.start as u64);
    let mut alerts = Vec::new();
    for pane in panes {
        let k = (0..400).filter(|_| draw.inside() < of(pane)).count() as u64;
        alerts.extend(close(stream, pane, &Observed::Rate { n: 400, k }, definitions));
    }
    alerts
}

#[test]
fn a_stream_is_watched_while_it_learns_and_climbs_the_ladder() {
    let definitions = learning();
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let mut stream = Stream::new(key("null:amount", Form::Rate));
    let mut smallest = f64::INFINITY;
    let mut from = 0;
    for (until, rung) in
        [(200, None), (201, Some("short")), (287, Some("short")), (288, Some("days")), (2_015, Some("days")), (2_016, Some("daily"))]
    {
        assert_eq!(reasons(&rates(&mut stream, from..until, &definitions, |_| 0.05)), []);
        from = until;
        let status = stream.status(&rules);
        assert_eq!(status.rung, rung, "after {until} panes");
        if let Some((value, unit)) = status.smallest_detectable {
            assert!(value <= smallest && unit == "points", "after {until} panes: {value} {unit}, before {smallest}");
            smallest = value;
        }
    }
}

#[test]
fn what_may_be_the_time_of_day_is_no_alarm_on_the_first_day_but_a_gross_change_is() {
    let definitions = learning();
    let shifted = |to: f64| {
        let mut stream = Stream::new(key("null:amount", Form::Rate));
        rates(&mut stream, 0..280, &definitions, |pane| if pane >= 240 { to } else { 0.05 })
    };
    assert_eq!(reasons(&shifted(0.06)), []);
    let alerts = shifted(0.15);
    assert_eq!(alerts[0].reason, Reason::Opened);
    assert_eq!(alerts[0].baseline_rung, "short");
    assert!(alerts[0].summary.contains("The reference is shorter than a day"), "{}", alerts[0].summary);
}

#[test]
fn a_change_that_is_open_is_not_learnt_as_normal() {
    let definitions = learning();
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let mut stream = Stream::new(key("null:amount", Form::Rate));
    let alerts = rates(&mut stream, 0..2_500, &definitions, |pane| if pane >= 250 { 0.2 } else { 0.05 });
    assert_eq!(alerts.iter().filter(|a| a.reason == Reason::Opened).count(), 1);
    assert!(alerts.iter().all(|a| a.status == Status::Firing));
    assert_eq!((stream.phase(), stream.status(&rules).rung), (Phase::Alarming, Some("short")));
}
