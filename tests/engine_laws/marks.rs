//! Marks: what is certain only grows, what constrains nobody holds nobody back, silence everywhere closes the last panes.

use driftline::codec::wire::{Kind, Reader};
use driftline::engine::journal::Activity::{self, Active, Finished, Idle, Silent, Stuck};
use driftline::engine::mark::{Mark, Marks};
use driftline::engine::types::{EpochSeq, EventTime, PaneKind, PaneSize, Partition, Span};
use proptest::prelude::*;

const SIZE: PaneSize = PaneSize(Span(10));
const KINDS: [PaneKind; 2] = [PaneKind::Input, PaneKind::Pair];
const LATENESS: i64 = 3;

/// Highest event times and activities of both inputs; no time is an input without records.
type Said = [(Option<i64>, Activity); 2];

fn mark(source: i32, sources: u32, seq: u64, said: Said) -> Mark {
    let highest = said.map(|s| s.0.map_or(EventTime::MIN, EventTime));
    let watermark = highest.map(|t| t.minus(Span(LATENESS)));
    Mark {
        source: Partition(source),
        sources,
        seq: EpochSeq(seq),
        watermark,
        highest,
        activity: said.map(|s| s.1),
        wall: 0,
        definitions: 1,
    }
}

fn marks(said: &[Said]) -> Marks {
    let mut marks = Marks::default();
    said.iter().zip(0..).for_each(|(s, i)| marks.observe(mark(i, said.len() as u32, 1, *s)));
    marks
}

fn activity() -> impl Strategy<Value = Activity> {
    prop::sample::select(vec![Active, Active, Active, Idle, Stuck, Silent, Finished])
}

fn input() -> impl Strategy<Value = (Option<i64>, Activity)> {
    (prop::option::weighted(0.9, -100i64..100), activity())
}

fn sources() -> impl Strategy<Value = Vec<Said>> {
    prop::collection::vec((input(), input()).prop_map(|(p, o)| [p, o]), 1..5)
}

fn inputs(kind: PaneKind) -> &'static [usize] {
    if kind == PaneKind::Input { &[0] } else { &[0, 1] }
}

proptest! {
    #[test]
    fn later_marks_make_more_certain_while_anything_is_active(first in sources(), steps in prop::collection::vec((0usize..4, 0usize..2, 0i64..50), 0..30)) {
        let (mut now, mut seq) = (first.clone(), 1);
        let mut all = marks(&first);
        let mut before = KINDS.map(|k| all.certain(k, SIZE));
        for (source, input, step) in steps {
            seq += 1;
            let source = source % now.len();
            now[source][input].0 = Some(now[source][input].0.unwrap_or(-100) + step);
            all.observe(mark(source as i32, now.len() as u32, seq, now[source]));
            let after = KINDS.map(|k| all.certain(k, SIZE));
            prop_assert!(after[0] >= before[0] && after[1] >= before[1], "{before:?} then {after:?}");
            before = after;
        }
    }

    #[test]
    fn certain_is_the_least_watermark_of_the_active_inputs(said in sources()) {
        for kind in KINDS {
            let active = said.iter().flat_map(|s| inputs(kind).iter().map(|i| s[*i])).filter(|s| s.1 == Active);
            if let Some(least) = active.map(|s| s.0.map_or(EventTime::MIN, |t| EventTime(t - LATENESS))).min() {
                prop_assert_eq!(marks(&said).certain(kind, SIZE), least);
                prop_assert_eq!(marks(&said).blocker(kind).map(|b| b.2), Some(least));
            }
        }
    }

    #[test]
    fn an_idle_input_holds_nobody_back(said in sources(), idle in 0usize..4, times in prop::array::uniform2(prop::option::of(-100i64..100))) {
        let idle = idle % said.len();
        let with = |times: [Option<i64>; 2]| {
            let mut said = said.clone();
            said[idle] = times.map(|t| (t, Idle));
            marks(&said)
        };
        for kind in KINDS {
            let others = said.iter().enumerate().any(|(i, s)| i != idle && inputs(kind).iter().any(|i| s[*i].1 == Active));
            if others {
                prop_assert_eq!(with(times).certain(kind, SIZE), with([None; 2]).certain(kind, SIZE));
            }
        }
    }

    #[test]
    fn silence_everywhere_closes_through_the_highest_event_time(times in prop::collection::vec(prop::array::uniform2(-100i64..100), 1..5), finished: bool) {
        let activity = if finished { Finished } else { Silent };
        let said: Vec<Said> = times.iter().map(|t| t.map(|t| (Some(t), activity))).collect();
        for kind in KINDS {
            let highest = times.iter().flat_map(|t| inputs(kind).iter().map(|i| t[*i])).max().unwrap();
            let certain = marks(&said).certain(kind, SIZE);
            prop_assert_eq!(SIZE.last_closed_by(certain), SIZE.pane_of(EventTime(highest)));
        }
        prop_assert_eq!(marks(&said).finished(), finished);
    }

    #[test]
    fn idleness_everywhere_closes_nothing(times in prop::collection::vec(prop::array::uniform2(-100i64..100), 1..5)) {
        let said: Vec<Said> = times.iter().map(|t| t.map(|t| (Some(t), Idle))).collect();
        prop_assert_eq!(KINDS.map(|k| marks(&said).certain(k, SIZE)), [EventTime::MIN; 2]);
    }

    #[test]
    fn nothing_is_certain_before_every_source_has_spoken(said in sources()) {
        let mut some = Marks::default();
        for (i, s) in said.iter().enumerate() {
            prop_assert!(!some.complete() && some.beginning().is_none());
            prop_assert_eq!(KINDS.map(|k| some.certain(k, SIZE)), [EventTime::MIN; 2]);
            some.observe(mark(i as i32, said.len() as u32, 1, *s));
        }
        prop_assert!(some.complete());
    }

    #[test]
    fn the_beginning_is_the_earliest_watermark_once_every_active_input_has_one(said in sources()) {
        let all: Vec<_> = said.iter().flatten().copied().collect();
        let waits = all.iter().any(|s| s.1 == Active && s.0.is_none());
        let earliest = all.iter().filter_map(|s| s.0).min().map(|t| EventTime(t - LATENESS));
        prop_assert_eq!(marks(&said).beginning(), if waits { None } else { earliest });
    }

    #[test]
    fn the_order_of_marks_of_different_sources_does_not_matter_and_old_ones_are_ignored(said in sources(), old in sources()) {
        let n = said.len() as u32;
        let mut backward = Marks::default();
        for (i, s) in said.iter().enumerate().rev() {
            backward.observe(mark(i as i32, n, 5, *s));
            if let Some(o) = old.get(i) {
                backward.observe(mark(i as i32, n, 4, *o));
            }
        }
        for kind in KINDS {
            prop_assert_eq!(backward.certain(kind, SIZE), marks(&said).certain(kind, SIZE));
        }
        prop_assert_eq!(backward.beginning(), marks(&said).beginning());
    }

    #[test]
    fn marks_go_through_bytes_unchanged(said in sources()) {
        let m = mark(1, 4, 77, said[0]);
        let bytes = m.to_bytes();
        let back = Mark::read(&mut Reader::open_as(&bytes, Kind::Mark).unwrap()).unwrap();
        prop_assert_eq!(back, m);
        prop_assert_eq!(back.to_bytes(), bytes);
    }
}

#[test]
fn a_stuck_input_holds_nobody_back_but_is_no_silence() {
    let with = |activity| marks(&[[(Some(50), activity), (Some(90), Active)], [(Some(70), Active), (Some(80), Active)]]);
    for kind in KINDS {
        assert_eq!(with(Stuck).certain(kind, SIZE), with(Idle).certain(kind, SIZE));
        assert!(with(Active).certain(kind, SIZE) < with(Stuck).certain(kind, SIZE));
    }
    let everywhere = |activity| marks(&[[(Some(50), activity); 2]]).certain(PaneKind::Input, SIZE);
    assert_eq!((everywhere(Stuck), everywhere(Idle)), (EventTime::MIN, EventTime::MIN));
    assert!(everywhere(Silent) > EventTime::MIN);
    assert!(Active < Stuck && Stuck < Idle && Idle < Silent && Silent < Finished);
}
