//! A new version beside an old one, as stories: panes of a minute in which the new one has a part of the pairs.

use super::calibration::{Draw, definitions};
use super::stream::{Form, Observed, Rules, Stream, StreamKey};
use crate::engine::alert::{Alert, Kind, Reason, Status};
use crate::engine::baseline::gap::Gap;
use crate::engine::definitions::{Budget, Definitions, Tolerance};
use crate::engine::summary::aged::AgedCounts;
use crate::engine::types::{PaneId, PaneSize, Span};
use std::collections::BTreeMap;

const DAY: i64 = 1_440;

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

/// `n` pairs on average at each of two label ages, wrong with these probabilities.
fn pairs(draw: &mut Draw, n: f64, wrong: [f64; 2]) -> AgedCounts {
    let mut counts = AgedCounts::default();
    for (age, p) in [Span::minutes(1), Span::days(3)].into_iter().zip(wrong) {
        for _ in 0..draw.poisson(n) {
            counts.add(age, draw.inside() < p);
        }
    }
    counts
}

fn new_stream() -> Stream {
    let key =
        StreamKey { model: "fraud".into(), version: Some("7".into()), segment: BTreeMap::new(), signal: "error".into(), form: Form::Gap };
    Stream::new(key)
}

/// What is said of a new version with `n` pairs a pane beside an old one with 200, pane by pane: (new, old) error rates by label age.
fn told(panes: i64, seed: u64, n: f64, rates: impl Fn(i64) -> ([f64; 2], [f64; 2])) -> Vec<Alert> {
    let (definitions, draw) = (usual(), &mut Draw(seed));
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let (mut stream, mut alerts) = (new_stream(), Vec::new());
    for pane in 0..panes {
        let (new, old) = rates(pane);
        let (this, others) = (pairs(draw, n, new), pairs(draw, 100.0, old));
        if this.n() > 0 && others.n() > 0 {
            stream.close(PaneId(pane), &Observed::Gap(Gap::between(&this, &others)), &rules, &mut alerts);
        }
    }
    alerts
}

#[test]
fn a_canary_with_more_errors_is_found_within_hours_and_without_any_reference() {
    for seed in 0..5 {
        let alerts = told(DAY, seed, 5.0, |_| ([0.08; 2], [0.05; 2]));
        let opened = &alerts[0];
        assert_eq!((opened.reason, opened.kind, opened.detector.as_str()), (Reason::Opened, Kind::Performance, "focus_version"));
        assert_eq!((opened.model_version.as_deref(), opened.action.as_str()), (Some("7"), "rollback"));
        assert_eq!(opened.baseline_rung, "concurrent");
        let delay = opened.detected_at.since(PaneSize(Span::minutes(1)).start(PaneId(0)));
        assert!(delay < Span::hours(12), "after {delay:?}");
        assert!((opened.effect.low..opened.effect.high).contains(&4.0) || (opened.effect.value - 3.0).abs() < 2.0, "{:?}", opened.effect);
        let (now, before) = (opened.current.value.unwrap(), opened.baseline.value.unwrap());
        assert!(now > before && (before - 0.05).abs() < 0.01, "{}", opened.summary);
        assert!(opened.summary.starts_with("Error rate of fraud 7: "), "{}", opened.summary);
    }
}

#[test]
fn what_both_versions_share_is_no_difference() {
    // bad hours, and early labels that are wrong more often, of which the new version has none at first
    let hard = |pane: i64| if pane % 300 < 60 { 0.3 } else { 0.05 };
    for seed in 0..5 {
        let alerts = told(10 * DAY, 50 + seed, 10.0, |pane| ([hard(pane), 0.02], [hard(pane), 0.02]));
        assert!(alerts.is_empty(), "{}", alerts[0].summary);
    }
}

#[test]
fn a_better_version_and_one_that_is_hardly_worse_are_nobodys_business() {
    for new in [0.03, 0.0505] {
        let alerts = told(5 * DAY, 9, 50.0, |_| ([new; 2], [0.05; 2]));
        assert!(alerts.is_empty(), "{}", alerts[0].summary);
    }
}

#[test]
fn rare_errors_are_no_alarm() {
    for seed in 0..10 {
        let alerts = told(10 * DAY, 100 + seed, 1.0, |_| ([0.002; 2], [0.002; 2]));
        assert!(alerts.is_empty(), "{}", alerts[0].summary);
    }
}

#[test]
fn an_alarm_of_a_version_that_is_rolled_back_ends_instead_of_reminding_for_ever() {
    let (definitions, draw) = (usual(), &mut Draw(3));
    let rules = Rules { definitions: &definitions, definition_hash: "d" };
    let (mut stream, mut alerts) = (new_stream(), Vec::new());
    for pane in 0..2 * DAY {
        if pane < DAY {
            let gap = Gap::between(&pairs(draw, 20.0, [0.2; 2]), &pairs(draw, 100.0, [0.05; 2]));
            stream.close(PaneId(pane), &Observed::Gap(gap), &rules, &mut alerts);
        } else if stream.next_reminder(&definitions) == Some(PaneId(pane)) {
            stream.tick(PaneId(pane), &rules, &mut alerts);
        }
    }
    (2 * DAY..4 * DAY).for_each(|pane| stream.tick(PaneId(pane), &rules, &mut alerts));
    let last = alerts.last().unwrap();
    assert_eq!((last.status, last.reason), (Status::Resolved, Reason::Gone), "{alerts:#?}");
    assert_eq!(stream.next_reminder(&definitions), None);
}
