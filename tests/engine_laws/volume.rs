//! Rows are counted pane by pane, in those without any too, and it is no matter which mark closes a pane.

use super::monitor::definitions;
use driftline::engine::cell::CellKey;
use driftline::engine::definitions::{BaselineRule, Budget, Definitions, Tolerance};
use driftline::engine::detect::volume::SLEEP;
use driftline::engine::journal::Activity;
use driftline::engine::mark::Mark;
use driftline::engine::monitor::{Effects, Monitor, Raised};
use driftline::engine::partial::{Origin, PartialEntry, encode};
use driftline::engine::plan::Versioned;
use driftline::engine::summary::cell::{CellSummary, Counts, InputCounts, PairCounts};
use driftline::engine::types::{EpochSeq, EventTime, Offset, PaneId, PaneKind, PaneSize, Partition, Span};
use std::collections::BTreeMap;

const SIZE: PaneSize = PaneSize(Span::minutes(10));
const DAY: i64 = 144;
/// France falls silent here, and
const FRANCE_ENDS: i64 = 4 * DAY;
/// everybody for longer than a stream stays awake.
const ALL_QUIET: std::ops::Range<i64> = 5 * DAY..5 * DAY + SLEEP as i64 + 2_000;
const END: i64 = ALL_QUIET.end + 2 * DAY;

fn rules() -> Definitions {
    Definitions {
        pane: SIZE,
        baseline: BaselineRule::Range { from: EventTime(0), to: SIZE.start(PaneId(3 * DAY)) },
        budget: Budget { false_alarms: 1.0, per: Span::days(1) },
        tolerance: Tolerance::default(),
        reminder: Span::days(3),
        ..definitions()
    }
}

fn rows(pane: i64, country: &str) -> u64 {
    match country {
        "FR" if pane >= FRANCE_ENDS => 0,
        _ if ALL_QUIET.contains(&pane) => 0,
        _ => 40 + (pane * 7 % 11) as u64,
    }
}

/// What a monitor says that reads a mark after each pane for which `marked` holds, and what its streams are in the end.
fn said(marked: impl Fn(i64) -> bool) -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut monitor, mut effects, mut offset) = (Monitor::new(Partition(0)), Effects::default(), 0);
    let mut observe = |bytes: &[u8]| {
        monitor.observe(Offset(offset), bytes, &mut effects).unwrap();
        offset += 1;
    };
    observe(&Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: rules() }.to_bytes());
    let mark = |pane: i64, seq: u64| {
        let time = SIZE.start(PaneId(pane));
        let activity = [Activity::Active; 2];
        let (watermark, highest) = ([time; 2], [time; 2]);
        Mark { source: Partition(0), sources: 1, seq: EpochSeq(seq), watermark, highest, activity, wall: 0, definitions: 1 }.to_bytes()
    };
    observe(&mark(0, 1));
    for pane in 0..=END {
        let cell = |country: &str| CellKey { model: "fraud".into(), version: None, values: vec![country.into()] };
        let entries = ["FR", "DE"].into_iter().filter(|country| rows(pane, country) > 0).flat_map(|country| {
            let n = rows(pane, country);
            let input = Counts::Input(InputCounts { rows: n, ..InputCounts::default() });
            let pair = Counts::Pair(PairCounts { matched: n / 2, ..PairCounts::default() });
            [input, pair].map(|counts| PartialEntry {
                pane: PaneId(pane),
                cell: cell(country),
                summary: CellSummary { counts, signals: BTreeMap::new() },
            })
        });
        let (origin, entries) =
            (Origin { source: Partition(0), seq: EpochSeq(pane as u64 + 2), definitions: 1 }, entries.collect::<Vec<_>>());
        if !entries.is_empty() {
            encode(origin, "fraud", entries).iter().for_each(|bytes| observe(bytes));
        }
        if marked(pane) || pane == END {
            observe(&mark(pane, pane as u64 + 2));
        }
    }
    let line = |Raised { kind, alert }: &Raised| {
        let segment = alert.segment.get("country").map_or("all", String::as_str);
        let pane = SIZE.last_closed_by(alert.detected_at);
        assert_eq!(alert.signal, if *kind == PaneKind::Input { "volume" } else { "labels" });
        format!("{} {segment} {:?} {} in pane {}", alert.signal, alert.reason, alert.summary, pane.0)
    };
    let mut lines: Vec<String> = effects.alerts.iter().map(line).collect();
    // each kind of pane has its own order
    lines.sort_by_key(|l| l.starts_with("labels"));
    (lines, monitor.streams().map(|(_, stream)| postcard::to_stdvec(stream).unwrap()).collect())
}

#[test]
fn what_is_said_of_volumes_does_not_depend_on_which_mark_closes_a_pane() {
    let each = said(|_| true);
    assert_eq!(each, said(|_| false), "all panes closed by one mark");
    for step in [2, 7, 144, 1_000] {
        assert_eq!(each, said(|pane| pane % step == 0), "a mark every {step} panes");
    }
}

#[test]
fn a_segment_that_falls_silent_alone_alarms_alone() {
    let (lines, _) = said(|_| true);
    let opened = |what: &str, from: i64, to: i64| {
        lines.iter().any(|l| {
            let pane: i64 = l.rsplit(' ').next().unwrap().parse().unwrap();
            l.starts_with(what) && l.contains("Opened") && (from..to).contains(&pane)
        })
    };
    for signal in ["volume", "labels"] {
        assert!(opened(&format!("{signal} FR"), FRANCE_ENDS, FRANCE_ENDS + 6), "{lines:#?}");
        assert!(!opened(&format!("{signal} DE"), 0, ALL_QUIET.start), "{lines:#?}");
        assert!(opened(&format!("{signal} DE"), ALL_QUIET.start, ALL_QUIET.start + 6), "{lines:#?}");
    }
    let reminders = lines.iter().filter(|l| l.starts_with("volume FR Reminder")).count();
    assert_eq!(reminders as i64, (END - 1 - FRANCE_ENDS) / (3 * DAY), "one in three days, whoever sleeps: {lines:#?}");
}
