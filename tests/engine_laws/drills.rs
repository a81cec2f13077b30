//! A drill's alerts: as many panes as somebody has ordered, marked as what they are, and over by themselves. That they come once whoever dies
//! is shown with all other alerts (`monitor`).

use super::monitor::{definitions, detected_at, told};
use driftline::engine::alert::Severity;
use driftline::engine::drill::{MOST, Order};
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::plan::Versioned;
use driftline::engine::types::{Offset, PaneId, Partition};

#[test]
fn a_drill_fires_for_the_panes_that_were_ordered_and_resolves() {
    let said = told(1).said;
    let events = |id: &str| -> Vec<(String, i64)> {
        let of = said.alerts.iter().filter(|a| a.contains(&format!("\"drill\": \"{id}\"")));
        of.map(|a| {
            for word in ["kind: Drill", "model: \"fraud\"", "severity: Warning", "A drill, nothing is wrong", "action: \"none\"", "Input "]
            {
                assert!(a.contains(word), "no {word} in {a}");
            }
            assert_eq!(a.matches(&format!("{{\"drill\": \"{id}\"}}")).count(), 2, "as label and as segment: {a}");
            let reason = a.split_once("reason: ").unwrap().1.split_once(',').unwrap().0;
            (reason.to_string(), detected_at(a))
        })
        .collect()
    };
    let after = |id: &str| {
        let events = events(id);
        let begun = events[0].1;
        events.into_iter().map(|(reason, at)| (reason, at - begun)).collect::<Vec<_>>()
    };
    let told = |all: &[(&str, i64)]| all.iter().map(|(reason, s)| (reason.to_string(), s * 1_000)).collect::<Vec<_>>();
    assert_eq!(after("a"), told(&[("Opened", 0), ("Recovered", 3)]));
    assert_eq!(after("b"), told(&[("Opened", 0), ("Reminder", 40), ("Reminder", 80), ("Recovered", 90)]));
    assert_eq!(events("c"), [], "no panes were ordered");
}

#[test]
fn sixteen_drills_at_a_time_are_enough() {
    let (mut monitor, mut effects) = (Monitor::new(Partition(0)), Effects::default());
    let first = Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: definitions() };
    let order = |n: usize| Order { id: format!("d{n}"), model: "m".into(), severity: Severity::Info, panes: 1 };
    let records = std::iter::once(order(99).to_bytes()).chain([first.to_bytes()]).chain((0..MOST + 1).map(|n| order(n).to_bytes()));
    for (offset, record) in records.enumerate() {
        monitor.observe(Offset(offset as i64), &record, &mut effects).unwrap();
    }
    assert_eq!(monitor.take_tally().refused_commands, 2, "one before there are definitions, one too many");
}
