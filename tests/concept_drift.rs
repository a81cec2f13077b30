//! Labels flip in one segment while inputs, scores and predicted classes stay what they were: found among the pairs, nowhere else.

use driftline::codec::event::{FeatureIx, Prediction, Value};
use driftline::engine::alert::{Alert, Kind, Reason};
use driftline::engine::book::Book;
use driftline::engine::cell::Cells;
use driftline::engine::definitions::{Definitions, ModelRules, Task};
use driftline::engine::join::{PairKind, Pairing};
use driftline::engine::journal::Activity;
use driftline::engine::mark::Mark;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::partial::Origin;
use driftline::engine::performance::confusion::Confusion;
use driftline::engine::plan::{Plan, PlanRecord, Versioned};
use driftline::engine::types::{EpochSeq, EventTime, Offset, PaneId, PaneSize, Partition, RequestKey, Span, class_hash};
use split_mix::SplitMix64;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

#[path = "kit/offline.rs"]
mod offline;
#[path = "kit/split_mix.rs"]
mod split_mix;

/// Panes are hours: a reference of 25 days, 100 hours later the change, and four days to find it.
const REFERENCE: i64 = 600;
const CHANGE: i64 = 700;
const PANES: i64 = 800;
const EVENTS: usize = 60;
const SIZE: PaneSize = PaneSize(Span::hours(1));

fn definitions() -> Definitions {
    let mut definitions = offline::definitions(
        "panes: { size: 1h }
segments: { by: [[country]] }
baseline: { from: 1970-01-01T00:00:00Z, to: 1970-01-26T00:00:00Z }
budget: { false_alarms: 1, per: 3650d }
",
    );
    assert_eq!(SIZE.start(PaneId(REFERENCE)), EventTime(25 * 86_400_000), "the reference ends there");
    definitions.models = BTreeMap::from([("m".to_string(), ModelRules { positive: Some("yes".into()), ..ModelRules::of(Task::Binary) })]);
    definitions
}

fn word(positive: bool) -> &'static str {
    if positive { "yes" } else { "no" }
}

/// One source of calibrated scores, and the monitor that reads it.
struct World {
    definitions: Definitions,
    monitor: Monitor,
    plan: Plan,
    book: Book,
    cells: Cells,
    offset: i64,
    alerts: Vec<Alert>,
    confusion: Confusion,
}

impl World {
    fn new() -> World {
        let definitions = definitions();
        let mut world = World {
            monitor: Monitor::new(Partition(0)),
            plan: Plan::default(),
            book: Book::default(),
            cells: Cells::default(),
            offset: 0,
            alerts: Vec::new(),
            confusion: Confusion::default(),
            definitions: definitions.clone(),
        };
        world.observe(&Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions }.to_bytes());
        world
    }

    fn observe(&mut self, bytes: &[u8]) {
        let mut effects = Effects::default();
        self.monitor.observe(Offset(self.offset), bytes, &mut effects).unwrap();
        self.offset += 1;
        effects.edges.into_iter().for_each(|e| self.plan.observe(PlanRecord::Edges(e)));
        self.alerts.extend(effects.alerts.into_iter().map(|raised| raised.alert));
    }

    /// A pane's predictions with their outcomes. `flips`: what was yes in France is no, and the other way round.
    fn events(&mut self, pane: i64, flips: bool, draw: &mut SplitMix64) {
        for i in 0..EVENTS {
            let country = if i % 3 == 0 { "FR" } else { "DE" };
            let cell = self.cells.intern("m", None, &[Cow::Borrowed(country)]);
            let key = RequestKey::of(&format!("{pane} {i}"));
            let (score, time) = (0.05 + 0.9 * draw.unit(), SIZE.start(PaneId(pane)));
            let called = score > 0.5;
            let p = Prediction {
                key,
                request_id: "".into(),
                time,
                model: "m".into(),
                version: None,
                score: Some(score),
                label: Some(word(called).into()),
                dimensions: vec![country.into()],
                features: vec![(FeatureIx(0), Value::Number(score * 2.0 + draw.unit()))],
                doubles: vec![],
            };
            self.book.accepted(PaneId(pane), cell, &p, &self.plan, |_| "x".to_string());
            let observed = draw.chance(score) != (flips && country == "FR");
            let [label, outcome_label] = [called, observed].map(|c| class_hash(Some(word(c))));
            let (e, outcome_value) = (time.plus(Span::minutes(draw.between(0, 60))), f64::NAN);
            let pair = Pairing { kind: PairKind::First, key, cell, time, e, score, label, outcome_label, outcome_value };
            self.book.paired(&pair, &self.cells, &self.definitions, &self.plan);
            if pane >= PANES - 24 {
                let count = match (called, observed) {
                    (true, true) => &mut self.confusion.true_positives,
                    (false, true) => &mut self.confusion.false_negatives,
                    (true, false) => &mut self.confusion.false_positives,
                    (false, false) => &mut self.confusion.true_negatives,
                };
                *count += 1;
            }
        }
    }

    /// Publishes what was booked; all panes before `pane` close.
    fn epoch(&mut self, pane: i64, activity: Activity) {
        let seq = EpochSeq(pane as u64 + 1);
        let origin = Origin { source: Partition(0), seq, definitions: 1 };
        for (_, record) in self.book.flush(origin, &self.cells, &self.plan) {
            self.observe(&record);
        }
        let time = SIZE.start(PaneId(pane));
        let (watermark, highest) = ([time; 2], [time.minus(Span(1)); 2]);
        let mark = Mark { source: Partition(0), sources: 1, seq, watermark, highest, activity: [activity; 2], wall: 0, definitions: 1 };
        self.observe(&mark.to_bytes());
    }
}

fn run(flips: bool) -> World {
    let (mut world, mut draw) = (World::new(), SplitMix64(7));
    world.epoch(0, Activity::Active);
    for pane in 0..PANES {
        world.events(pane, flips && pane >= CHANGE, &mut draw);
        world.epoch(pane + 1, Activity::Active);
    }
    world
}

#[test]
fn flipped_labels_in_one_segment_are_found_there_and_inputs_stay_quiet() {
    let world = run(true);
    let opened: Vec<&Alert> = world.alerts.iter().filter(|a| a.reason == Reason::Opened).collect();
    let france = BTreeMap::from([("country".to_string(), "FR".to_string())]);
    let found: BTreeSet<&str> = opened.iter().filter(|a| a.segment == france).map(|a| a.signal.as_str()).collect();
    assert_eq!(found, BTreeSet::from(["calibration", "error", "false_discovery_rate", "false_positive_rate", "miss_rate"]));
    for alert in &opened {
        assert_eq!((alert.kind, alert.action.as_str()), (Kind::Performance, "retrain"), "{}", alert.summary);
        assert!(alert.segment == france || alert.segment.is_empty(), "nothing has changed there: {}", alert.summary);
        assert!(alert.detected_at > SIZE.start(PaneId(CHANGE)), "before the change: {}", alert.summary);
    }
    let first = opened.iter().find(|a| a.segment == france).unwrap();
    assert!(first.detected_at <= SIZE.start(PaneId(CHANGE + 12)), "within half a day: {}", first.summary);
}

#[test]
fn labels_that_keep_their_meaning_raise_nothing() {
    assert_eq!(run(false).alerts, []);
}

#[test]
fn a_monitor_knows_the_matrix_of_the_newest_24_hours() {
    let world = run(true);
    let known = world.monitor.performance();
    assert_eq!(known.len(), 1);
    let (model, performance) = &known[0];
    assert_eq!((*model, performance.confusion), ("m", world.confusion));
    assert_eq!(performance.scores.n(), 24 * EVENTS as u64);
}
