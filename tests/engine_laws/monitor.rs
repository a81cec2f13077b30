//! A monitor that dies anywhere and is built again from head, shared part, chunks of different age and summaries says what it would
//! have said, once.

use driftline::codec::event::{FeatureIx, Prediction, Value};
use driftline::engine::alert::Severity;
use driftline::engine::book::Book;
use driftline::engine::cell::Cells;
use driftline::engine::definitions::limit::{BadSide, Billionths, Limit};
use driftline::engine::definitions::{BaselineRule, Budget, Definitions, Fairness, JoinRules, ModelRules, Outliers, Task, Tolerance};
use driftline::engine::drill::Order;
use driftline::engine::join::{Decision, PairKind, Pairing};
use driftline::engine::journal::Activity;
use driftline::engine::mark::Mark;
use driftline::engine::monitor::chunks::CHUNKS;
use driftline::engine::monitor::restore::Restore;
use driftline::engine::monitor::state::{Rewrite, StateRecord};
use driftline::engine::monitor::{Effects, Monitor, Raised};
use driftline::engine::partial::Origin;
use driftline::engine::plan::{Plan, PlanRecord, Versioned};
use driftline::engine::types::{EpochSeq, EventTime, Offset, PaneId, PaneSize, Partition, RequestKey, Span, class_hash};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

const SOURCES: usize = 3;
const PANES: i64 = 760;
const SIZE: PaneSize = PaneSize(Span::seconds(1));
/// Panes in which everything is different.
const CHANGED: std::ops::Range<i64> = 560..680;

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        (RequestKey::of(&self.0.to_string()).0 >> 32) as u64
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
    /// About normal: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
    }
}

pub fn definitions() -> Definitions {
    let rules = |task, positive: Option<&str>| ModelRules { positive: positive.map(Into::into), ..ModelRules::of(task) };
    Definitions {
        app: "laws".into(),
        revision: 0,
        pane: SIZE,
        join: JoinRules {
            lateness: [Span::seconds(2); 2],
            window: Span::minutes(5),
            early: Span::seconds(1),
            duplicates: Span::minutes(1),
            settle: Span::minutes(1),
            hold: Span::hours(1),
        },
        models: BTreeMap::from([("fraud".into(), rules(Task::Binary, Some("yes"))), ("price".into(), rules(Task::Regression, None))]),
        dimensions: vec!["country".into()],
        segments: vec![vec!["country".into()]],
        segment_cap: 6,
        baseline: BaselineRule::Range { from: EventTime(0), to: SIZE.start(PaneId(480)) },
        budget: Budget { false_alarms: 1.0, per: Span::minutes(20) },
        streams_cap: 64,
        // the reference is short: five times this may be the time of day
        tolerance: Tolerance { location: 0.02, scale: 0.01, rate_relative: 0.02, rate_points: 0.0004, psi: 0.004 },
        reminder: Span::seconds(40),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        fairness: vec![Fairness { groups: vec!["country".into()], reference: None, ratio: 0.8, difference: 0.1 }],
        outliers: Some(Outliers { share: 0.01 }),
    }
}

fn class(positive: bool) -> u64 {
    class_hash(Some(if positive { "yes" } else { "no" }))
}

fn name(ix: FeatureIx) -> String {
    ["x", "t", "late"][ix.0 as usize].to_string()
}

/// One join task, as far as a summaries partition can see.
struct Source {
    number: i32,
    pane: i64,
    seq: u64,
    book: Book,
    cells: Cells,
}

impl Source {
    fn events(&mut self, pane: i64, definitions: &Definitions, plan: &Plan, r: &mut Draw) {
        let changed = CHANGED.contains(&pane);
        for i in 0..7 {
            let fraud = i < 4;
            let model = if fraud { "fraud" } else { "price" };
            // a segment and a feature that come late, and a segment that comes after the cap is reached
            let country = match pane {
                300.. if r.percent(10) => "IT",
                320.. if r.percent(10) => "ES",
                _ => ["FR", "FR", "DE", "", "AT", "CH"][r.below(6) as usize],
            };
            // a second version of one model, which is worse for some time
            let second = fraud && pane >= 200 && i == 0;
            let values = [country, ["north", "south"][i % 2]].map(Cow::Borrowed);
            let known = plan.dimensions_in(PaneId(pane), &values);
            let cell = self.cells.intern(model, fraud.then_some(if second { "2" } else { "1" }), known);
            let x = r.normal() + if changed && country == "FR" { 2.0 } else { 0.0 };
            let text = ["a", "a", "b", if changed { "new" } else { "c" }][r.below(4) as usize];
            let mut features = vec![(FeatureIx(0), Value::Number(x))];
            if !r.percent(if changed { 60 } else { 20 }) {
                features.push((FeatureIx(1), Value::Text(text.into())));
            }
            if pane >= 250 {
                features.push((FeatureIx(2), Value::Number(x * x)));
            }
            let key = RequestKey(u128::from(r.next()) << 64);
            let p = Prediction {
                key,
                request_id: "".into(),
                time: SIZE.start(PaneId(pane)),
                model: model.into(),
                version: None,
                score: Some(x / 10.0),
                label: fraud.then_some(if x > 1.0 { "yes" } else { "no" }.into()),
                dimensions: vec![country.into()],
                features,
                doubles: vec![],
            };
            self.book.accepted(PaneId(pane), cell, &p, plan, name);
            if r.percent(80) {
                let e = SIZE.start(PaneId(pane - r.below(3) as i64));
                let wrong = r.percent(if changed || second && (380..480).contains(&pane) { 60 } else { 20 });
                let pair = Pairing {
                    kind: if r.percent(95) { PairKind::First } else { PairKind::Conflicting },
                    key,
                    cell,
                    time: e.minus(Span::seconds(r.below(100) as i64)),
                    e,
                    score: x / 10.0 + if fraud { 0.5 } else { 0.0 },
                    label: if fraud { class(x > 1.0) } else { 0 },
                    outcome_label: if fraud { class((x > 1.0) != wrong) } else { 0 },
                    outcome_value: r.normal() / 10.0 + if changed { 0.5 } else { 0.0 },
                };
                self.book.paired(&pair, &self.cells, definitions, plan);
            }
            if r.percent(5) {
                let at = SIZE.start(PaneId(pane));
                let decision = if r.percent(50) { Decision::Unlabelled { cell, at } } else { Decision::Orphan { at } };
                self.book.decided(decision, definitions);
            }
        }
    }

    /// What an epoch that reached `self.pane` publishes.
    fn epoch(&mut self, activity: Activity, plan: &Plan) -> Vec<Vec<u8>> {
        self.seq += 1;
        let origin = Origin { source: Partition(self.number), seq: EpochSeq(self.seq), definitions: 1 };
        let mut records: Vec<Vec<u8>> = self.book.flush(origin, &self.cells, plan).into_iter().map(|r| r.1).collect();
        let highest = SIZE.start(PaneId(self.pane));
        let mark = Mark {
            source: Partition(self.number),
            sources: SOURCES as u32,
            seq: EpochSeq(self.seq),
            watermark: [highest.minus(Span::seconds(2)); 2],
            highest: [highest; 2],
            activity: [activity, activity],
            wall: 0,
            definitions: 1,
        };
        records.push(mark.to_bytes());
        records
    }
}

/// A summaries log, and what a monitor that read it without a break said.
pub struct Told {
    pub log: Vec<Vec<u8>>,
    pub said: Said,
}

#[derive(Default, PartialEq, Debug)]
pub struct Said {
    pub alerts: Vec<String>,
    pub edges: Vec<String>,
    /// Definitions after the first ones; a log that has them already is not answered again.
    versions: Vec<(u32, PaneId)>,
    progress: String,
    /// Proposals that were in force before, or change what can't change.
    not_adopted: (u64, u64),
    /// Everything that the monitor knows in the end, by key.
    state: BTreeMap<String, Vec<u8>>,
}

impl Said {
    fn add(&mut self, effects: &mut Effects) {
        self.alerts.extend(effects.alerts.drain(..).map(|Raised { kind, alert }| format!("{kind:?} {alert:?}")));
        self.edges.extend(effects.edges.drain(..).map(|e| format!("{e:?}")));
        *effects = Effects::default();
    }

    fn end(&mut self, monitor: &mut Monitor, next: Offset) {
        self.progress = format!("{:?}", monitor.progress());
        self.state = monitor
            .state(EpochSeq(u64::MAX), next, Rewrite::ALL)
            .0
            .into_iter()
            .map(|r| (String::from_utf8(r.key).unwrap(), r.value))
            .collect();
    }
}

/// What somebody orders when the slowest source has reached a pane, last first: the second is known already, the third can't be obeyed.
fn drills() -> Vec<(i64, Order)> {
    let of = |id: &str, panes| Order { id: id.into(), model: "fraud".into(), severity: Severity::Warning, panes };
    [(500, of("c", 0)), (305, of("b", 1)), (300, of("b", 90)), (100, of("a", 3))].into()
}

pub fn told(seed: u64) -> Told {
    told_with(seed, definitions(), Vec::new())
}

/// The same with proposals that come when the slowest source has reached a pane.
fn told_with(seed: u64, definitions: Definitions, proposals: Vec<(i64, Definitions)>) -> Told {
    told_of(seed, definitions, proposals.into_iter().map(|(at, proposal)| (at, proposal.to_proposal())).collect())
}

/// The same with any records, last first.
pub fn told_of(seed: u64, definitions: Definitions, mut others: Vec<(i64, Vec<u8>)>) -> Told {
    let (r, mut plan) = (&mut Draw(seed * 1_000_000_000), Plan::default());
    let mut monitor = Monitor::new(Partition(0));
    let (mut log, mut said, mut effects) = (Vec::new(), Said::default(), Effects::default());
    let mut write = |monitor: &mut Monitor, plan: &mut Plan, record: Vec<u8>| {
        monitor.observe(Offset(log.len() as i64), &record, &mut effects).unwrap();
        log.push(record);
        effects.edges.iter().for_each(|e| plan.observe(PlanRecord::Edges(e.clone())));
        let answers = std::mem::take(&mut effects.definitions);
        said.add(&mut effects);
        for answer in answers {
            plan.observe(PlanRecord::Definitions(Box::new(answer.clone())));
            monitor.observe(Offset(log.len() as i64), &answer.to_bytes(), &mut effects).unwrap();
            log.push(answer.to_bytes());
            said.versions.push((answer.version, answer.effective_from));
        }
    };
    let mut drills = drills();
    let first = Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: definitions.clone() };
    plan.observe(PlanRecord::Definitions(Box::new(first.clone())));
    write(&mut monitor, &mut plan, first.to_bytes());
    let mut sources: Vec<Source> =
        (0..SOURCES).map(|n| Source { number: n as i32, pane: 0, seq: 0, book: Book::default(), cells: Cells::default() }).collect();
    if let Some((_, record)) = others.pop_if(|(at, _)| *at < 0) {
        write(&mut monitor, &mut plan, record); // before anybody has said anything
    }
    for s in &mut sources {
        s.epoch(Activity::Active, &plan).into_iter().for_each(|record| write(&mut monitor, &mut plan, record));
    }
    while sources.iter().any(|s| s.pane < PANES) {
        let slowest = sources.iter().map(|s| s.pane).min().unwrap();
        if let Some((_, order)) = drills.pop_if(|(at, _)| *at <= slowest) {
            write(&mut monitor, &mut plan, order.to_bytes());
        }
        if let Some((_, record)) = others.pop_if(|(at, _)| *at <= slowest) {
            write(&mut monitor, &mut plan, record);
        }
        let i = r.below(SOURCES as u64) as usize;
        let s = &mut sources[i];
        if s.pane >= PANES || s.pane > slowest + 12 {
            continue;
        }
        for _ in 0..1 + r.below(3) {
            s.events(s.pane, &definitions, &plan, r);
            s.pane += 1;
        }
        if r.percent(10) {
            // what an input that was idle brings late: rows for closed panes, pairs for closed panes
            s.events((s.pane - 30).max(0), &definitions, &plan, r);
        }
        let activity = if r.percent(5) { Activity::Idle } else { Activity::Active };
        s.epoch(activity, &plan).into_iter().for_each(|record| write(&mut monitor, &mut plan, record));
    }
    for s in &mut sources {
        s.epoch(Activity::Finished, &plan).into_iter().for_each(|record| write(&mut monitor, &mut plan, record));
    }
    assert!(monitor.finished());
    said.end(&mut monitor, Offset(log.len() as i64));
    let tally = monitor.take_tally();
    said.not_adopted = (tally.stale_definitions, tally.refused_definitions);
    assert_eq!(tally.refused_commands, 2, "one drill is under way already, one can't be");
    assert!(tally.late_rows > 100 && tally.moved_pairs > 100 && tally.refused_segments > 100, "{tally:?}");
    Told { log, said }
}

/// The state topic, compacted.
#[derive(Default)]
struct StateTopic(Vec<StateRecord>);

impl StateTopic {
    fn write(&mut self, records: Vec<StateRecord>) {
        for record in records {
            self.0.retain(|r| r.key != record.key);
            self.0.push(record);
        }
    }
}

/// How an epoch chooses what it rewrites: a random number of chunks, up to so many bytes, in so many percent of the epochs.
#[derive(Clone, Copy)]
struct Pace {
    percent: u64,
    chunks: (u64, u64),
    bytes: usize,
}

const EACH: u64 = CHUNKS as u64;

/// Nothing is ever rewritten; everything now and then; a few chunks often; at most a few bytes each time; everything always.
const PACES: [Pace; 5] = [
    Pace { percent: 0, chunks: (0, 0), bytes: 0 },
    Pace { percent: 5, chunks: (EACH, EACH), bytes: usize::MAX },
    Pace { percent: 60, chunks: (0, 3), bytes: usize::MAX },
    Pace { percent: 100, chunks: (1, EACH), bytes: 2_000 },
    Pace { percent: 100, chunks: (EACH, EACH), bytes: usize::MAX },
];

/// Reads the log in epochs of random length, with crashes. With `forgets` a replay begins where the head stands, without the partials
/// of panes that were open then.
fn with_crashes(log: &[Vec<u8>], r: &mut Draw, pace: Pace, forgets: bool) -> (Said, u64) {
    let (mut said, mut topic, mut crashes) = (Said::default(), StateTopic::default(), 0);
    let (mut monitor, mut next, mut seq) = (Monitor::new(Partition(0)), 0usize, EpochSeq(0));
    let mut effects = Effects::default();
    while next < log.len() {
        monitor.observe(Offset(next as i64), &log[next], &mut effects).unwrap();
        next += 1;
        if r.percent(30) || next == log.len() {
            seq = EpochSeq(seq.0 + 1);
            let (least, most) = pace.chunks;
            let chunks = if r.percent(pace.percent) { (least + r.below(most - least + 1)) as usize } else { 0 };
            topic.write(monitor.state(seq, Offset(next as i64), Rewrite { chunks, bytes: pace.bytes }).0);
            said.add(&mut effects);
        }
        // without chunks each replay begins at the first record: fewer of them
        if seq.0 > 0 && r.below(if pace.percent == 0 { 500 } else { 80 }) == 0 {
            crashes += 1;
            let mut restore = Restore::default();
            topic.0.iter().for_each(|record| restore.observe(&record.value).unwrap());
            assert_eq!(restore.seq(), Some(seq));
            let mut replay = restore.begin(Partition(0)).unwrap();
            next = replay.next.0 as usize;
            let from = if forgets { next } else { replay.from.map_or(0, |o| o.0 as usize) };
            (from..next).for_each(|o| replay.observe(Offset(o as i64), &log[o]).unwrap());
            monitor = replay.finish().unwrap();
            effects = Effects::default();
        }
    }
    said.end(&mut monitor, Offset(next as i64));
    (said, crashes)
}

/// Every crash and pace: the same alerts, bins, progress and, in the end, state.
pub fn must_say_the_same(seed: u64, log: &[Vec<u8>], said: &Said) {
    for (i, pace) in PACES.into_iter().enumerate() {
        let (mut again, crashes) = with_crashes(log, &mut Draw(seed * 77 + i as u64), pace, false);
        assert!(crashes > 2, "{crashes} crashes");
        let differs = again.alerts.iter().zip(&said.alerts).position(|(a, b)| a != b);
        assert_eq!(differs, None, "log {seed}, pace {i}: alert {differs:?} differs");
        assert_eq!(again.alerts.len(), said.alerts.len(), "log {seed}, pace {i}");
        let differs: Vec<_> = said.state.iter().filter(|(key, value)| again.state.get(*key) != Some(value)).map(|d| d.0).collect();
        (again.versions, again.not_adopted) = (said.versions.clone(), said.not_adopted);
        assert!(again == *said, "log {seed}, pace {i}: edges, progress or the state in the end: {differs:?}");
    }
}

/// What somebody changes while everything is different: a segment by a dimension that no cell has yet, and another model; then other
/// segments, groups and limits; then a model goes. Then an old file is heard again, and one that changes what can't change.
fn amended() -> Vec<(i64, Definitions)> {
    let by = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let rules = ModelRules::of(Task::Regression);
    let mut more = Definitions { segments: vec![by(&["country"]), by(&["city"])], segment_cap: 9, ..definitions() };
    more.dimensions = by(&["city", "country"]);
    more.models.insert("churn".into(), rules);
    let other = Definitions {
        segments: vec![by(&["city"])],
        dimensions: by(&["city"]),
        fairness: Vec::new(),
        budget: Budget { false_alarms: 3.0, ..more.budget },
        tolerance: Tolerance { location: 0.05, ..more.tolerance },
        reminder: Span::seconds(20),
        ..more.clone()
    };
    let mut fewer = other.clone();
    fewer.models.remove("price");
    let mut fixed = fewer.clone();
    fixed.join.window = Span::hours(2);
    let mut proposals = vec![(470, more.clone()), (590, other), (600, fewer), (640, definitions()), (645, more), (650, fixed)];
    proposals.reverse();
    proposals
}

#[test]
fn changed_definitions_hold_from_one_pane_on_whoever_dies() {
    for seed in 1..=3 {
        let Told { log, said } = told_with(seed, definitions(), amended());
        let [(2, more), (3, other), (4, fewer)] = said.versions[..] else { panic!("{:?}", said.versions) };
        assert!((530..560).contains(&more.0) && more == other && (650..690).contains(&fewer.0), "{:?}", said.versions);
        assert_eq!(said.not_adopted, (2, 1));
        must_say_the_same(seed, &log, &said);
        let by_country = |a: &&String| a.contains("segment: {\"country\"");
        let ends = |of: &dyn Fn(&&String) -> bool| said.alerts.iter().filter(|a| a.contains("reason: Redefined")).filter(of).count();
        assert!(ends(&by_country) > 2, "open alerts of segments that are no longer listed");
        let errors_of_price = |a: &&String| a.contains("model: \"price\"") && ["abs_error", "bias"].iter().any(|s| a.contains(s));
        assert_eq!(ends(&|a| !by_country(a) && !errors_of_price(a)), 0);
        // after them nobody speaks of countries any more
        let last = said.alerts.iter().rposition(|a| by_country(&a)).unwrap();
        assert!(said.alerts[last].contains("reason: Redefined"), "{}", said.alerts[last]);
        let state: Vec<u8> = said.state.values().flatten().copied().collect();
        let there = |text: &[u8]| state.windows(text.len()).any(|w| w == text);
        assert!(there(b"north") && there(b"south"), "streams by city");
    }
}

/// While everything is different: of one model it is said before that this is meant, of its pairs from later on; of the other one afterwards.
#[test]
fn accepted_changes_are_learnt_anew_from_one_pane_on_whoever_dies() {
    let first = Definitions { baseline: BaselineRule::Learn { span: Span::seconds(60) }, ..definitions() };
    let (inputs, pairs) = (SIZE.start(PaneId(600)), SIZE.start(PaneId(619)).plus(Span(1)));
    let mut before = first.clone();
    before.models.get_mut("fraud").unwrap().accepted = [Some(inputs), Some(pairs)];
    let mut after = before.clone();
    after.models.get_mut("price").unwrap().accepted = [Some(SIZE.start(PaneId(561))), None];
    for seed in 1..=2 {
        let Told { log, said } = told_with(seed, first.clone(), vec![(640, after.clone()), (570, before.clone())]);
        assert_eq!((said.versions.len(), said.not_adopted), (2, (0, 0)));
        must_say_the_same(seed, &log, &said);
        let compared = |a: &str| ["focus_version", "focus_disparity"].iter().any(|with| a.contains(with));
        let told = |of: &str, what: &str| -> Vec<i64> {
            let fits = |a: &&String| a.starts_with(of) && a.contains(what) && !compared(a);
            said.alerts.iter().filter(fits).map(|a| detected_at(a)).collect()
        };
        let ended = |kind: &str, model: &str| -> BTreeSet<i64> {
            let of_model = format!("model: \"{model}\"");
            let fits = |a: &&String| a.starts_with(kind) && a.contains("reason: Accepted") && a.contains(&of_model);
            said.alerts.iter().filter(fits).map(|a| detected_at(a)).collect()
        };
        // what is open ends with the pane that is named, or with the first one after the version has come
        assert_eq!(ended("Input", "fraud"), BTreeSet::from([inputs.0]));
        assert_eq!(ended("Pair", "fraud"), BTreeSet::from([SIZE.start(PaneId(620)).0]));
        let late = ended("Input", "price");
        assert!(
            late.len() == 1 && late.iter().all(|t| (SIZE.start(PaneId(625))..SIZE.start(PaneId(645))).contains(&EventTime(*t))),
            "{late:?}"
        );
        assert_eq!(ended("Pair", "price"), BTreeSet::new());
        assert!(!said.alerts.iter().any(|a| a.contains("reason: Accepted") && compared(a)), "others at the same time are no past");
        // then it learns, in peace
        let fraud = told("Input", "model: \"fraud\"");
        let learning = inputs.0 + 1..=inputs.0 + 60_000;
        assert!(fraud.contains(&inputs.0) && !fraud.iter().any(|t| learning.contains(t)), "{fraud:?}");
    }
}

/// Limits of everything that can have one, in the whole and by country; the errors' are beyond theirs while everything is different.
fn limits() -> Vec<Limit> {
    let limit = |signal: &str, bad, percent: u64, [over, lasts]: [i64; 2], by: &[&str]| Limit {
        signal: signal.into(),
        bad,
        bound: Billionths(percent * 10_000_000),
        clear: Billionths((percent - 2) * 10_000_000),
        over: Span::seconds(over),
        lasts: Span::seconds(lasts),
        at_least: 20,
        by: by.iter().map(|n| n.to_string()).collect(),
        severity: Severity::Warning,
    };
    let rows = |signal: &str, bad, rows: u64, by: &[&str]| {
        let bound = Billionths(rows * Billionths::ONE.0);
        Limit { bound, clear: bound, at_least: 0, ..limit(signal, bad, 2, [6, 2], by) }
    };
    vec![
        limit("error", BadSide::Above, 40, [20, 5], &[]),
        limit("error", BadSide::Above, 45, [30, 0], &["country"]),
        limit("miss_rate", BadSide::Above, 60, [40, 10], &[]),
        limit("null:t", BadSide::Above, 40, [10, 10], &[]),
        limit("null:t", BadSide::Above, 30, [3, 0], &["country"]),
        limit("unseen:t", BadSide::Above, 10, [30, 3], &[]),
        rows("volume", BadSide::Below, 60, &[]),
        rows("volume", BadSide::Below, 8, &["country"]),
        rows("labels", BadSide::Above, 9, &["country"]),
    ]
}

fn limited(limits: Vec<Limit>) -> Definitions {
    let mut limited = definitions();
    limited.models.get_mut("fraud").unwrap().limits = limits;
    limited
}

fn events_of_limits<'a>(said: &'a Said, signal: &str) -> Vec<&'a String> {
    let signal = format!("signal: \"{signal}\"");
    said.alerts.iter().filter(|a| a.contains("detector: \"limit:") && a.contains(&signal)).collect()
}

#[test]
fn limits_say_the_same_whoever_dies_and_change_nothing_else() {
    for seed in 1..=3 {
        let plain = told(seed);
        let Told { log, said } = told_with(seed, limited(limits()), Vec::new());
        for signal in ["error", "miss_rate", "null:t", "unseen:t", "volume", "labels"] {
            let events = events_of_limits(&said, signal);
            for reason in ["Opened", "Recovered"] {
                assert!(events.iter().any(|a| a.contains(&format!("reason: {reason}"))), "{signal}: nothing {reason}");
            }
        }
        assert!(events_of_limits(&said, "error").iter().any(|a| a.contains("segment: {\"country\"")));
        // long before a reference is complete
        let early = events_of_limits(&said, "volume").into_iter().filter(|a| detected_at(a) < SIZE.start(PaneId(300)).0);
        assert!(early.count() > 2);
        must_say_the_same(seed, &log, &said);
        let without = |a: &String| a.split_once("definition: ").unwrap().0.to_string();
        let drill = |a: &&String| a.contains("kind: Drill"); // a limit, too, in both
        let others = said.alerts.iter().filter(|a| drill(a) || !a.contains("detector: \"limit:")).map(without);
        assert!(others.eq(plain.said.alerts.iter().map(without)), "log {seed}: other alerts differ");
    }
}

/// While everything is different: the first limit goes, the second one has another number, the third is new.
#[test]
fn a_changed_limit_begins_and_a_removed_one_ends_with_the_pane_from_which_the_version_holds() {
    let [one, two, ..] = &limits()[..] else { panic!("limits") };
    let other = Limit { bound: Billionths(440_000_000), ..two.clone() };
    let new = Limit { signal: "null:t".into(), over: Span::seconds(10), ..one.clone() };
    for seed in 1..=3 {
        let first = limited(vec![one.clone(), two.clone()]);
        let Told { log, said } = told_with(seed, first, vec![(620, limited(vec![other.clone(), new.clone()]))]);
        assert_eq!(said.versions.len(), 1);
        must_say_the_same(seed, &log, &said);
        let of = |limit: &Limit, reason: &str| -> BTreeSet<i64> {
            let (word, reason, signal) = (format!("{:?}", limit.word()), format!("reason: {reason}"), format!("{:?}", limit.signal));
            let fits = |a: &&String| a.contains(&word) && a.contains(&reason) && a.contains(&signal);
            said.alerts.iter().filter(fits).map(|a| detected_at(a)).collect()
        };
        let ends: BTreeSet<i64> = of(one, "Redefined").union(&of(two, "Redefined")).copied().collect();
        let [end] = ends.iter().copied().collect::<Vec<_>>()[..] else { panic!("one pane: {ends:?}") };
        assert!((SIZE.start(PaneId(600))..SIZE.start(PaneId(660))).contains(&EventTime(end)), "{end}");
        for old in [one, two] {
            assert!(
                !of(old, "Opened").is_empty() && ["Opened", "Reminder", "Recovered"].iter().all(|r| of(old, r).iter().all(|t| *t <= end))
            );
        }
        for begun in [&other, &new] {
            assert!(!of(begun, "Opened").is_empty() && of(begun, "Opened").iter().all(|t| *t > end), "{}", begun.word());
            assert!(of(begun, "Redefined").is_empty());
        }
    }
}

/// From how an alert is written.
pub fn detected_at(alert: &str) -> i64 {
    let (_, rest) = alert.split_once("detected_at: EventTime(").unwrap();
    rest.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn a_monitor_that_dies_anywhere_says_the_same_once() {
    for seed in 1..=3 {
        let Told { log, said } = told(seed);
        assert!(said.alerts.len() > 20 && said.edges.len() > 6, "{} alerts, {} edges", said.alerts.len(), said.edges.len());
        for kind in ["DataDrift", "Performance", "Fairness"] {
            assert!(said.alerts.iter().any(|a| a.contains(&format!("kind: {kind}"))), "no alert of the kind {kind}");
        }
        assert!(said.alerts.iter().any(|a| a.contains("signal: \"fairness:selection\"")), "a group that is selected less often");
        must_say_the_same(seed, &log, &said);
    }
}

#[test]
fn a_replay_without_the_partials_of_open_panes_would_be_noticed() {
    let Told { log, said } = told(1);
    assert!(with_crashes(&log, &mut Draw(5), PACES[4], true).0.alerts != said.alerts);
}

#[test]
fn the_scene_shows_every_kind_of_alert() {
    let Told { said, .. } = told(1);
    let of_pairs = ["\"error\"", "\"false_positive_rate\"", "\"false_discovery_rate\"", "\"calibration\"", "\"bias\""];
    let of_inputs = ["\"score\"", "\"label\"", "null:t", "unseen:t", "feature:x", "fairness:selection"];
    for word in ["focus_version", "Opened", "Recovered", "Reminder", "\"FR\""].into_iter().chain(of_pairs).chain(of_inputs) {
        assert!(said.alerts.iter().any(|a| a.contains(word)), "no alert with {word}");
    }
    // a signal has bins and rarities, each once
    let learnt: BTreeSet<_> =
        said.edges.iter().map(|e| e.split_once("bins: ").unwrap()).map(|(of, what)| (of, what.split(['(', '{']).next())).collect();
    assert_eq!(learnt.len(), said.edges.len(), "bins of a signal are fixed once");
}
