//! Groups beside each other, as stories: panes of a minute with two groups, judged at four fifths and at ten points.

use super::calibration::{Draw, definitions};
use super::stream::{Form, Observed, Rules, Stream, StreamKey};
use crate::engine::alert::{Alert, Kind, Reason, Severity, Status};
use crate::engine::baseline::disparity::{Disparity, Limit};
use crate::engine::definitions::{Budget, Definitions, Tolerance};
use crate::engine::types::{PaneId, PaneSize, Span};
use std::collections::BTreeMap;

const DAY: i64 = 1_440;
const FOUR_FIFTHS: Limit = Limit::Ratio(0.8);
const TEN_POINTS: Limit = Limit::Difference(0.1);

/// One false alarm a day for 4,096 streams.
fn usual() -> Definitions {
    Definitions {
        budget: Budget { false_alarms: 1.0, per: Span::days(1) },
        streams_cap: 4_096,
        tolerance: Tolerance::default(),
        reminder: Span::days(1),
        ..definitions(1)
    }
}

/// Events of a pane, and those with the property.
pub(super) fn side(draw: &mut Draw, mean: f64, rate: f64) -> (u64, u64) {
    let n = draw.poisson(mean);
    (n, (0..n).filter(|_| draw.inside() < rate).count() as u64)
}

fn new_stream(limit: Limit) -> Stream {
    let signal = if limit == FOUR_FIFTHS { "fairness:selection" } else { "fairness:error" };
    let segment = BTreeMap::from([("gender".to_string(), "f".to_string())]);
    Stream::new(StreamKey { model: "loans".into(), version: None, segment, signal: signal.into(), form: Form::Disparity })
}

/// What is said of a group with `n` events a pane beside one with 60: (group, others) rates by pane.
fn told(panes: i64, seed: u64, n: f64, limit: Limit, rates: impl Fn(i64) -> (f64, f64)) -> Vec<Alert> {
    let (definitions, draw) = (usual(), &mut Draw(seed));
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let (mut stream, mut alerts) = (new_stream(limit), Vec::new());
    for pane in 0..panes {
        let (group, others) = rates(pane);
        let seen = Disparity::between(&[side(draw, n, group)], &[side(draw, 60.0, others)], limit);
        if seen.gap.n > 0 {
            stream.close(PaneId(pane), &Observed::Disparity(seen), &rules, &mut alerts);
        }
    }
    alerts
}

#[test]
fn a_group_that_is_selected_less_than_four_fifths_as_often_is_found_without_any_reference() {
    for seed in 0..5 {
        let alerts = told(DAY, seed, 20.0, FOUR_FIFTHS, |_| (0.18, 0.3));
        let opened = &alerts[0];
        assert_eq!((opened.reason, opened.kind, opened.detector.as_str()), (Reason::Opened, Kind::Fairness, "focus_disparity"));
        assert_eq!((opened.effect.name.as_str(), opened.effect.tolerance), ("selection_ratio", 0.8));
        let delay = opened.detected_at.since(PaneSize(Span::minutes(1)).start(PaneId(0)));
        assert!(delay < Span::hours(8), "after {delay:?}");
        assert!(opened.effect.high < 0.8 && (opened.effect.value - 0.6).abs() < 0.12, "{:?}", opened.effect);
        assert!(opened.current.value < opened.baseline.value, "{}", opened.summary);
        assert!(opened.summary.starts_with("Share given the favourable class of loans (gender=f): "), "{}", opened.summary);
    }
}

#[test]
fn a_difference_that_is_tolerated_never_alarms_however_long_it_lasts() {
    // as much as is allowed, all the time, with hard hours that all groups share
    let hard = |pane: i64| if pane % 300 < 60 { 0.5 } else { 1.0 };
    for seed in 0..4 {
        for n in [2.0, 30.0] {
            let ratio = told(10 * DAY, 20 + seed, n, FOUR_FIFTHS, |pane| (0.8 * 0.4 * hard(pane), 0.4 * hard(pane)));
            let difference = told(10 * DAY, 40 + seed, n, TEN_POINTS, |pane| (0.05 + 0.1 * hard(pane), 0.05));
            assert!(ratio.is_empty() && difference.is_empty(), "{:?} {:?}", ratio.first(), difference.first());
        }
    }
}

#[test]
fn a_group_that_is_treated_better_is_nobodys_business() {
    assert!(told(3 * DAY, 7, 30.0, FOUR_FIFTHS, |_| (0.5, 0.3)).is_empty());
    assert!(told(3 * DAY, 8, 30.0, TEN_POINTS, |_| (0.05, 0.3)).is_empty());
}

#[test]
fn a_model_that_becomes_unfair_is_reported_from_then_on_until_it_is_mended() {
    let alerts = told(4 * DAY, 5, 30.0, TEN_POINTS, |pane| if (DAY..2 * DAY).contains(&pane) { (0.35, 0.1) } else { (0.12, 0.1) });
    let (first, last) = (&alerts[0], alerts.last().unwrap());
    let size = PaneSize(Span::minutes(1));
    let since = first.change_point.unwrap();
    assert!(since >= size.start(PaneId(DAY - 30)) && first.detected_at < size.start(PaneId(DAY + 120)), "{}", first.summary);
    assert_eq!((last.status, last.reason, last.severity), (Status::Resolved, Reason::Recovered, Severity::Warning), "{alerts:#?}");
    assert!(last.detected_at < size.start(PaneId(2 * DAY + 600)), "{}", last.summary);
}

#[test]
fn rare_selections_and_tiny_groups_are_no_alarm() {
    for seed in 0..5 {
        assert!(told(10 * DAY, 100 + seed, 1.0, FOUR_FIFTHS, |_| (0.0016, 0.002)).is_empty());
        assert!(told(10 * DAY, 200 + seed, 0.2, TEN_POINTS, |_| (0.12, 0.02)).is_empty());
    }
}
