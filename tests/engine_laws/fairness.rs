//! Groups are compared with whom a rule of fairness says, by each measure that a pane knows, and nobody else is.

use super::monitor::definitions;
use driftline::engine::cell::CellKey;
use driftline::engine::definitions::{Definitions, Fairness, ModelRules, Task, Tolerance};
use driftline::engine::journal::Activity;
use driftline::engine::mark::Mark;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::partial::{Origin, PartialEntry, encode};
use driftline::engine::plan::Versioned;
use driftline::engine::summary::cell::{CellSummary, Counts, InputCounts, PairCounts};
use driftline::engine::types::{EpochSeq, EventTime, Offset, PaneId, PaneSize, Partition, Span};
use std::collections::{BTreeMap, BTreeSet};

const SIZE: PaneSize = PaneSize(Span::minutes(10));
const PANES: i64 = 200;

fn rules(reference: Option<&str>) -> Definitions {
    let loans = ModelRules { positive: Some("1".into()), ..ModelRules::of(Task::Binary) };
    let fairness =
        Fairness { groups: vec!["gender".into()], reference: reference.map(|value| vec![value.into()]), ratio: 0.8, difference: 0.1 };
    Definitions {
        pane: SIZE,
        models: BTreeMap::from([("loans".to_string(), loans)]),
        dimensions: vec!["gender".into()],
        segments: vec![vec!["gender".into()]],
        tolerance: Tolerance::default(),
        fairness: vec![fairness],
        ..definitions()
    }
}

/// 20 pairs a pane: `wrong` are wrong, half of those missed; the positive class is observed in `positives` of 20, each with the score .5.
fn pairs(wrong: u64, positives: u64) -> PairCounts {
    let mut c = PairCounts { matched: 20, ..PairCounts::default() };
    for i in 0..20 {
        let (is, right) = (i < positives, i % 10 >= wrong / 2);
        c.errors.add(Span::minutes(1), !right);
        if is { &mut c.positives } else { &mut c.negatives }.add(Span::minutes(1), !right);
        c.scores.add(0.5, is);
    }
    c
}

/// (signal, group) of everything that was reported of fairness.
fn reported(reference: Option<&str>, groups: &[(&str, PairCounts)]) -> BTreeSet<(String, String)> {
    let (mut monitor, mut effects, mut offset) = (Monitor::new(Partition(0)), Effects::default(), 0);
    let mut observe = |bytes: &[u8]| {
        monitor.observe(Offset(offset), bytes, &mut effects).unwrap();
        offset += 1;
    };
    observe(&Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: rules(reference) }.to_bytes());
    for pane in 0..=PANES {
        let time: EventTime = SIZE.start(PaneId(pane));
        let entry = |value: &str, counts: Counts| PartialEntry {
            pane: PaneId(pane),
            cell: CellKey { model: "loans".into(), version: None, values: vec![value.into()] },
            summary: CellSummary { counts, signals: BTreeMap::new() },
        };
        let predicted = |c: &PairCounts| Counts::Input(InputCounts { rows: c.matched, ..InputCounts::default() });
        let both = |(value, c): &(&str, PairCounts)| [entry(value, predicted(c)), entry(value, Counts::Pair(c.clone()))];
        let origin = Origin { source: Partition(0), seq: EpochSeq(pane as u64 + 1), definitions: 1 };
        let (mut inputs, pairs): (Vec<_>, Vec<_>) = groups.iter().map(both).map(|[input, pair]| (input, pair)).unzip();
        inputs.extend(pairs);
        encode(origin, "loans", inputs).iter().for_each(|bytes| observe(bytes));
        let mark = Mark {
            source: Partition(0),
            sources: 1,
            seq: EpochSeq(pane as u64 + 1),
            watermark: [time; 2],
            highest: [time; 2],
            activity: [Activity::Active; 2],
            wall: 0,
            definitions: 1,
        };
        observe(&mark.to_bytes());
    }
    let told = effects.alerts.iter().filter(|r| r.alert.signal.starts_with("fairness:"));
    told.map(|r| (r.alert.signal.clone(), r.alert.segment.get("gender").cloned().unwrap_or_default())).collect()
}

fn of(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    expected.iter().map(|(signal, group)| (format!("fairness:{signal}"), group.to_string())).collect()
}

#[test]
fn a_group_with_more_errors_is_reported_and_the_others_are_not() {
    // rows without a value are worse still, and are nobody's group
    let groups = [("f", pairs(8, 10)), ("m", pairs(2, 10)), ("", pairs(20, 10))];
    let expected = of(&[("error", "f"), ("miss_rate", "f"), ("false_positive_rate", "f")]);
    assert_eq!(reported(None, &groups), expected);
    assert_eq!(reported(Some("m"), &groups), expected);
    assert_eq!(reported(Some("f"), &groups), of(&[]), "those who are treated better than the reference");
    assert_eq!(reported(Some("x"), &groups), of(&[]), "a reference that nobody belongs to");
}

#[test]
fn equal_scores_that_mean_different_things_are_reported_on_both_sides() {
    let groups = [("f", pairs(0, 14)), ("m", pairs(0, 8))];
    // the outcomes of f are positive more often than its scores say, compared with m
    assert_eq!(reported(None, &groups), of(&[("underscored", "f"), ("overscored", "m")]));
}

#[test]
fn groups_within_the_limits_are_nobodys_business() {
    assert_eq!(reported(None, &[("f", pairs(4, 10)), ("m", pairs(2, 9)), ("d", pairs(3, 10))]), of(&[]));
}
