//! Volume and silence as stories: panes of five minutes that hold Poisson numbers of rows.

use super::calibration::{Draw, definitions};
use super::stream::{Form, Observed, Phase, Rules, Stream, StreamKey};
use super::volume::SLEEP;
use crate::engine::alert::{Alert, Kind, Reason, Severity};
use crate::engine::baseline::volume::Volume;
use crate::engine::definitions::{BaselineRule, Budget, Definitions, Tolerance};
use crate::engine::types::{EventTime, PaneId, PaneSize, Span};
use std::collections::BTreeMap;

const DAY: i64 = 288;

/// The reference is so many days; one false alarm a day for 4,096 streams.
fn learning(days: i64) -> Definitions {
    let pane = PaneSize(Span::minutes(5));
    Definitions { baseline: BaselineRule::Range { from: EventTime(0), to: pane.start(PaneId(days * DAY)) }, ..newborn() }
}

/// What each stream shows in its first week is its reference.
fn newborn() -> Definitions {
    Definitions {
        pane: PaneSize(Span::minutes(5)),
        baseline: BaselineRule::Learn { span: Span::days(7) },
        budget: Budget { false_alarms: 1.0, per: Span::days(1) },
        streams_cap: 4_096,
        tolerance: Tolerance::default(),
        reminder: Span::days(30),
        ..definitions(1)
    }
}

/// Panes in which `mean` rows come on average.
fn told(days: i64, panes: i64, seed: u64, mean: impl Fn(i64, &mut Draw) -> f64) -> (Stream, Vec<Alert>) {
    told_by(&learning(days), panes, seed, mean)
}

fn told_by(definitions: &Definitions, panes: i64, seed: u64, mean: impl Fn(i64, &mut Draw) -> f64) -> (Stream, Vec<Alert>) {
    let draw = &mut Draw(seed);
    let rules = Rules { definitions, definition_hash: "d" };
    let key = StreamKey { model: "fraud".into(), version: None, segment: BTreeMap::new(), signal: "volume".into(), form: Form::Volume };
    let (mut stream, mut alerts) = (Stream::new(key), Vec::new());
    for pane in 0..panes {
        let mean = mean(pane, draw);
        let rows = draw.poisson(mean);
        if rows > 0 || stream.awaits(PaneId(pane)) {
            stream.close(PaneId(pane), &Observed::Volume(Volume::of_pane(rows)), &rules, &mut alerts);
        }
    }
    (stream, alerts)
}

/// Five times as much at noon as at midnight.
fn tide(pane: i64) -> f64 {
    120.0 * (1.0 - 2.0 / 3.0 * (std::f64::consts::TAU * pane as f64 / DAY as f64).cos())
}

fn reasons(alerts: &[Alert]) -> Vec<Reason> {
    alerts.iter().map(|a| a.reason).collect()
}

#[test]
fn a_model_that_falls_silent_is_noticed_at_once_and_that_it_speaks_again_too() {
    let (stream, alerts) = told(7, 10 * DAY, 1, |pane, _| if (8 * DAY + 100..8 * DAY + 160).contains(&pane) { 0.0 } else { tide(pane) });
    assert_eq!(reasons(&alerts), [Reason::Opened, Reason::Recovered]);
    let opened = &alerts[0];
    assert_eq!((opened.kind, opened.severity, opened.effect.value), (Kind::Volume, Severity::Critical, -1.0));
    let delay = opened.detected_at.since(PaneSize(Span::minutes(5)).start(PaneId(8 * DAY + 100)));
    assert!(delay <= Span::minutes(15), "after {delay:?}");
    assert!(alerts[1].detected_at.since(opened.detected_at) <= Span::minutes(60 * 5 + 60));
    assert_eq!((opened.current.count, stream.phase()), (0, Phase::Watching));
    assert!(opened.summary.starts_with("Predictions of fraud: ") && opened.action == "fix_pipeline", "{}", opened.summary);
}

#[test]
fn what_has_not_seen_a_day_says_nothing() {
    // watched from panes 200 on; night begins with pane 216
    let (stream, alerts) = told_by(&newborn(), 280, 2, |pane, _| if pane < 216 { 200.0 } else { 0.0 });
    assert!(alerts.is_empty() && stream.phase() == Phase::Watching, "{alerts:?}");
    let definitions = newborn();
    assert_eq!(stream.status(&Rules { definitions: &definitions, definition_hash: "" }).smallest_detectable, None);
    // with a day of it the same night is nothing new, a day without rows is
    let night = |pane: i64| pane.rem_euclid(DAY) >= 216;
    let (_, alerts) = told_by(&newborn(), 4 * DAY, 2, |pane, _| if night(pane) || pane > 2 * DAY + 20 { 0.0 } else { 200.0 });
    assert_eq!(reasons(&alerts), [Reason::Opened]);
    assert!(alerts[0].detected_at > PaneSize(Span::minutes(5)).start(PaneId(2 * DAY + 21)), "{}", alerts[0].summary);
}

#[test]
fn on_the_first_days_silence_is_told_from_the_night_by_the_pauses_that_were_seen() {
    // nothing comes at night; two days of reference know no hours
    let night = |pane: i64| (pane + DAY / 4).rem_euclid(DAY) < DAY / 2;
    let (_, calm) = told(2, 6 * DAY, 3, |pane, _| if night(pane) { 0.0 } else { 40.0 });
    assert!(calm.is_empty(), "{calm:?}");
    let (_, alerts) = told(2, 6 * DAY, 3, |pane, _| if night(pane) || pane > 4 * DAY { 0.0 } else { 40.0 });
    assert_eq!(reasons(&alerts), [Reason::Opened]);
    assert_eq!(alerts[0].detector, "silence");
    assert!(alerts[0].summary.contains("none in"), "{}", alerts[0].summary);
}

#[test]
fn traffic_that_halves_or_doubles_is_found_within_two_hours_and_the_day_is_no_change() {
    // traffic varies by 10 % from pane to pane beyond Poisson
    let rough = |pane: i64, draw: &mut Draw| tide(pane) * (1.0 + 0.1 * draw.normal()).max(0.0);
    for seed in 0..4 {
        let (_, calm) = told(7, 21 * DAY, 10 + seed, rough);
        assert!(calm.is_empty(), "seed {seed}: {}", calm[0].summary);
        for factor in [0.5, 2.0] {
            let from = 9 * DAY + 77;
            let (_, alerts) = told(7, 10 * DAY, 20 + seed, |pane, draw| rough(pane, draw) * if pane < from { 1.0 } else { factor });
            let opened = alerts.first().expect("a changed volume is found");
            assert_eq!(opened.detector, "focus_volume");
            let delay = opened.detected_at.since(PaneSize(Span::minutes(5)).start(PaneId(from)));
            assert!(delay > Span::ZERO && delay <= Span::hours(2), "times {factor}: after {delay:?}");
            // the first hour of it, chosen because it looks changed
            assert!((opened.effect.value - (factor - 1.0)).abs() < 0.25 * factor, "{:?}", opened.effect);
        }
    }
}

#[test]
fn a_tenth_less_is_nobodys_business() {
    let (_, alerts) = told(7, 20 * DAY, 5, |pane, _| tide(pane) * if pane < 8 * DAY { 1.0 } else { 0.9 });
    assert!(alerts.is_empty(), "{}", alerts[0].summary);
}

#[test]
fn a_sparse_stream_is_silent_only_after_many_pauses_worth() {
    let sparse = |until: i64| move |pane: i64, _: &mut Draw| if pane < until { 0.5 } else { 0.0 };
    let (_, calm) = told(20, 60 * DAY, 6, sparse(60 * DAY));
    assert!(calm.is_empty(), "{}", calm[0].summary);
    let (_, alerts) = told(20, 60 * DAY, 6, sparse(30 * DAY));
    let delay = alerts[0].detected_at.since(PaneSize(Span::minutes(5)).start(PaneId(30 * DAY)));
    assert!(delay > Span::minutes(30) && delay < Span::hours(6), "{delay:?}");
}

#[test]
fn a_stream_sleeps_after_a_long_silence_and_a_row_wakes_it() {
    let definitions = learning(1);
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let quiet = |stream: &Stream, from: i64| (from..).find(|pane| !stream.awaits(PaneId(*pane)));
    let (mut stream, _) = told(1, 3 * DAY, 8, |pane, _| if pane < 2 * DAY { 30.0 } else { 0.0 });
    let mut pane = 3 * DAY;
    while stream.awaits(PaneId(pane)) {
        stream.close(PaneId(pane), &Observed::Volume(Volume::of_pane(0)), &rules, &mut Vec::new());
        pane += 1;
    }
    assert_eq!(pane, 2 * DAY + SLEEP as i64);
    assert_eq!(quiet(&stream, pane), Some(pane));
    let mut alerts = Vec::new();
    stream.close(PaneId(pane + 50_000), &Observed::Volume(Volume::of_pane(30)), &rules, &mut alerts);
    assert!(stream.awaits(PaneId(pane + 50_001)) && !stream.awaits(PaneId(pane + 50_000)));
    let bytes = postcard::to_stdvec(&stream).unwrap();
    let again: Stream = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(postcard::to_stdvec(&again).unwrap(), bytes);
}
