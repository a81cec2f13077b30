//! The formats that lie in Kafka are frozen: what an older build wrote is read, and written again byte by byte.
//!
//! Each file in `tests/fixtures/formats` is one record in hex, as the build that introduced the format wrote it.

use driftline::baseline::build::{Cell, Look, Names};
use driftline::codec::wire::{Kind, Reader};
use driftline::engine::alert::Severity;
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::baseline::loda::{Loda, Sampled};
use driftline::engine::baseline::profile::Profile;
use driftline::engine::baseline::rarity::Rarity;
use driftline::engine::baseline::sample::Sample;
use driftline::engine::cell::{CellId, CellKey, Cells};
use driftline::engine::command::Command;
use driftline::engine::definitions::limit::{BadSide, Billionths, Limit};
use driftline::engine::definitions::{BaselineRule, Budget, Definitions, Fairness, JoinRules, ModelRules, Outliers, Task, Tolerance};
use driftline::engine::detect::stream::{Form, Rules, Stream, StreamKey};
use driftline::engine::drill::Order;
use driftline::engine::join::{NewOutcome, NewPrediction};
use driftline::engine::journal::{Activity, Changes, EdgeDecision, Epoch, open, read_cell_key};
use driftline::engine::mark::Mark;
use driftline::engine::monitor::restore::Restore;
use driftline::engine::monitor::state::Rewrite;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::partial::{Origin, PartialEntry, encode, read};
use driftline::engine::plan::{Bins, EdgesRecord, PlanKind, PlanRecord, Progress, Versioned};
use driftline::engine::summary::aged::AgedCounts;
use driftline::engine::summary::category::{Categories, CategoryCounts};
use driftline::engine::summary::cell::{CellSummary, Counts, InputCounts, PairCounts, SignalSummary};
use driftline::engine::summary::form::{CategoryForm, NumericForm};
use driftline::engine::summary::scores::ScoreCounts;
use driftline::engine::types::{EpochSeq, EventTime, Input, Offset, PaneId, PaneSize, Partition, RequestKey, Span};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(format!("{name}.hex"))
}

fn frozen(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{}: {e}", path(name).display()));
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

/// With `DRIFTLINE_NEW_FIXTURES` set, writes the fixture of a format that has none yet. It never replaces one.
fn write_if_new(name: &str, sample: &[u8]) {
    if std::env::var_os("DRIFTLINE_NEW_FIXTURES").is_some() && !path(name).exists() {
        std::fs::write(path(name), hex(sample)).unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    let line = |l: &[u8]| l.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
    bytes.chunks(40).map(line).collect()
}

/// Decodes the frozen record, encodes it again, and encodes the sample anew: all three must be the same bytes.
fn assert_frozen(name: &str, sample: &[u8], again: impl Fn(&[u8]) -> Vec<u8>) {
    write_if_new(name, sample);
    let bytes = frozen(name);
    let what_to_do = format!(
        "the format of `{name}` has changed, but records of the old one lie in every user's Kafka. Formats are frozen: raise the \
         version of this kind, read both, write the old one until every reader knows the new one, and add a fixture of the new \
         version beside {} (never edit that file)",
        path(name).display()
    );
    assert!(hex(&again(&bytes)) == hex(&bytes), "read and written again it differs: {what_to_do}");
    assert!(hex(sample) == hex(&bytes), "the same content is written differently: {what_to_do}");
}

fn cell(version: Option<&str>, country: &str) -> CellKey {
    CellKey { model: "fraud".into(), version: version.map(Into::into), values: vec![country.into(), "".into()] }
}

fn definitions() -> Definitions {
    let rules = |task, positive: Option<&str>| ModelRules { positive: positive.map(Into::into), ..ModelRules::of(task) };
    Definitions {
        app: "shop".into(),
        revision: 3,
        pane: PaneSize(Span::minutes(1)),
        join: JoinRules {
            lateness: [Span::minutes(1), Span::minutes(2)],
            window: Span::hours(24),
            early: Span::minutes(1),
            duplicates: Span::hours(1),
            settle: Span::hours(1),
            hold: Span::hours(24),
        },
        models: BTreeMap::from([
            ("fraud".into(), rules(Task::Binary, Some("yes"))),
            ("price".into(), rules(Task::Regression, None)),
            ("intent".into(), rules(Task::Multiclass, None)),
            ("other".into(), rules(Task::Unknown, None)),
        ]),
        dimensions: vec!["channel".into(), "country".into()],
        segments: vec![vec!["country".into()], vec!["channel".into(), "country".into()]],
        segment_cap: 500,
        baseline: BaselineRule::Range { from: EventTime(0), to: EventTime(600_000) },
        budget: Budget { false_alarms: 1.0, per: Span::days(1) },
        streams_cap: 4_096,
        tolerance: Tolerance::default(),
        reminder: Span::hours(24),
        labels: BTreeMap::from([("team".into(), "risk".into())]),
        annotations: BTreeMap::from([("runbook".into(), "https://example.org".into())]),
        fairness: Vec::new(),
        outliers: None,
    }
}

fn journal_epoch() -> Epoch {
    Epoch {
        seq: EpochSeq(300),
        floor: EpochSeq(250),
        next: [Offset(1_000_000), Offset(17)],
        clocks: [(EventTime(1_700_000_000_000), EventTime(1_700_000_060_000)), (EventTime::MIN, EventTime(-5))],
        first_prediction: Some(EventTime(1_699_999_000_000)),
        activity: [Activity::Active, Activity::Silent],
        definitions: 2,
        decisions: vec![
            EdgeDecision::Future { input: Input::Outcomes, offset: Offset(16) },
            EdgeDecision::Lost { input: Input::Predictions, from: Offset(3), to: Offset(900) },
        ],
        census: (2, 1, 0xfeed_beef_0000_0001),
    }
}

fn journal() -> Vec<u8> {
    let (mut changes, mut cells) = (Changes::default(), Cells::default());
    let [a, b] = [cell(Some("7"), "FR"), cell(None, "é")].map(|c| cells.intern_key(&c));
    let row = |offset, cell, score, label| NewPrediction {
        offset: Offset(offset),
        key: RequestKey::of(&offset.to_string()),
        time: EventTime(1_700_000_000_000 + offset),
        cell,
        score,
        label,
    };
    changes.row(&mut cells, &row(999_998, a, 0.25, 77));
    changes.row(&mut cells, &row(999_999, b, f64::NAN, 0));
    changes.row(&mut cells, &row(1_000_000, a, f64::INFINITY, 0));
    changes.matched(Offset(999_998), EventTime(1_700_000_003_000), 78, f64::NAN);
    changes.matched(Offset(999_999), EventTime(-1), 0, -0.5);
    let waiting = NewOutcome { offset: Offset(15), key: RequestKey::of("w"), time: EventTime(1), label: u64::MAX, value: 2.0 };
    changes.waiting(&waiting, EventTime(1_700_000_000_001));
    changes.consumed(Offset(14));
    changes.take(&journal_epoch()).remove(0)
}

/// What copy-forward writes.
fn copies() -> Vec<u8> {
    let (mut changes, mut cells) = (Changes::default(), Cells::default());
    let [a, b] = [cell(Some("7"), "FR"), cell(None, "é")].map(|c| cells.intern_key(&c));
    let row = |offset, cell| NewPrediction {
        offset: Offset(offset),
        key: RequestKey::of(&offset.to_string()),
        time: EventTime(1_700_000_000_000 + offset),
        cell,
        score: 0.75,
        label: 77,
    };
    changes.row(&mut cells, &row(1_000_000, a));
    changes.copy(&mut cells, &row(12, b), None);
    changes.copy(&mut cells, &row(13, a), Some((EventTime(1_700_000_003_000), 78, f64::NAN)));
    changes.copy(&mut cells, &row(14, a), Some((EventTime(-1), 0, -0.5)));
    changes.copied(Input::Predictions, 80_952, EpochSeq(297));
    changes.copied(Input::Outcomes, -3, EpochSeq(300));
    changes.take(&journal_epoch()).remove(0)
}

/// What the edge decides about inputs that stop.
fn decisions() -> Vec<u8> {
    let released = |input, up_to| EdgeDecision::Released { input, up_to: EventTime(up_to) };
    let epoch = Epoch {
        activity: [Activity::Stuck, Activity::Idle],
        decisions: vec![released(Input::Predictions, 1_699_999_000_000), released(Input::Outcomes, -1)],
        ..journal_epoch()
    };
    Changes::default().take(&epoch).remove(0)
}

/// Decodes a journal record's changes and drives a writer with them.
fn journal_again(bytes: &[u8]) -> Vec<u8> {
    let facts = open(bytes).unwrap().facts.unwrap();
    let (mut changes, mut cells) = (Changes::default(), Cells::default());
    let mut r = Reader::open_as(bytes, Kind::Journal).unwrap();
    let head = Changes::default().take(&facts)[0].len() - 6;
    (0..head).for_each(|_| assert!(r.byte().is_ok()));
    let values = |r: &mut Reader<'_>| {
        let there = r.byte().unwrap();
        let label = if there & 1 != 0 { r.fixed64().unwrap() } else { 0 };
        (label, if there & 2 != 0 { r.float().unwrap() } else { f64::NAN })
    };
    let mut dictionary: Vec<CellId> = Vec::new();
    while !r.is_empty() {
        match r.byte().unwrap() {
            0 => dictionary.push(cells.intern_key(&read_cell_key(&mut r).unwrap())),
            tag @ (1 | 5) => {
                let (offset, key) = (Offset(r.int().unwrap()), RequestKey(r.key().unwrap()));
                let (time, cell) = (EventTime(r.int().unwrap()), dictionary[r.uint().unwrap() as usize]);
                let (label, score) = values(&mut r);
                let p = NewPrediction { offset, key, time, cell, score, label };
                let first = (tag == 5 && r.byte().unwrap() == 1).then(|| (EventTime(r.int().unwrap()), values(&mut r)));
                match tag {
                    1 => changes.row(&mut cells, &p),
                    _ => changes.copy(&mut cells, &p, first.map(|(e, (label, value))| (e, label, value))),
                }
            }
            2 => {
                let (row, e) = (Offset(r.int().unwrap()), EventTime(r.int().unwrap()));
                let (label, value) = values(&mut r);
                changes.matched(row, e, label, value);
            }
            3 => {
                let (offset, key, e) = (Offset(r.int().unwrap()), RequestKey(r.key().unwrap()), EventTime(r.int().unwrap()));
                let (label, value) = values(&mut r);
                changes.waiting(&NewOutcome { offset, key, time: e, label, value }, e);
            }
            4 => changes.consumed(Offset(r.int().unwrap())),
            6 => {
                let input = Input::BOTH[usize::from(r.byte().unwrap())];
                changes.copied(input, r.int().unwrap(), EpochSeq(r.uint().unwrap()));
            }
            other => panic!("a change of kind {other}"),
        }
    }
    changes.take(&facts).remove(0)
}

#[test]
fn journal_records_are_frozen() {
    assert_frozen("journal", &journal(), journal_again);
    assert_frozen("journal_copies", &copies(), journal_again);
    assert_frozen("journal_decisions", &decisions(), journal_again);
}

/// Counts by class are what the second format has and the first has not.
fn partial(by_class: PairCounts) -> Vec<u8> {
    let mut sample = Sample::new();
    let mut words = Sample::new();
    for i in 0..40u64 {
        sample.offer(RequestKey::of(&i.to_string()).sample_hash(), i as f64 / 8.0);
        words.offer(RequestKey::of(&i.to_string()).sample_hash(), ["a", "bé"][i as usize % 2].to_string());
    }
    let edges = numeric_edges(2, &[1.0, 2.0, 2.0, 3.0, 5.0, 8.0]);
    let mut bins = NumericForm::empty(Some(&edges));
    [f64::NAN, -1e300, 0.0, 1.5, 2.0, 2.0, 3.0, 9.0, f64::INFINITY, 4.0].iter().for_each(|x| bins.add(*x, 0, Some(&edges)));
    let rows = NumericForm::Rows(vec![3.5, f64::NAN, -0.0, f64::NEG_INFINITY]);
    let learning = NumericForm::Learning { n: 40, nan: 2, sample };
    let counts = CategoryForm::Counts { version: 1, counts: CategoryCounts { n: 400, counts: vec![300, 90], other: 7, unseen: 3 } };
    let learning_words = CategoryForm::Learning { n: 40, sample: words };
    let signal = |numeric: Option<&NumericForm>, category: Option<&CategoryForm>| SignalSummary {
        numeric: numeric.cloned(),
        category: category.cloned(),
    };
    let input = CellSummary {
        counts: Counts::Input(InputCounts { rows: 410, late: 2, duplicates: 1 }),
        signals: BTreeMap::from([
            ("score".into(), signal(Some(&bins), None)),
            ("label".into(), signal(None, Some(&counts))),
            ("feature:both".into(), signal(Some(&learning), Some(&learning_words))),
            ("feature:rows".into(), signal(Some(&rows), None)),
            ("feature:mixed".into(), signal(Some(&NumericForm::Mixed { n: 12 }), Some(&CategoryForm::Mixed { n: 13 }))),
        ]),
    };
    let mut errors = AgedCounts::default();
    [(1, false), (700, true), (100_000, false), (4_000_000, true)].iter().for_each(|(s, wrong)| errors.add(Span::seconds(*s), *wrong));
    let [matched, duplicates, conflicting, unlabelled, orphans, before_start] = [4, 1, 2, 3, 5, 6];
    let pair =
        PairCounts { matched, duplicates, conflicting, unlabelled, orphans, before_start, delay_ms: 4_100_701_000, errors, ..by_class };
    let pair = CellSummary { counts: Counts::Pair(pair), signals: BTreeMap::from([("bias".into(), signal(Some(&rows), None))]) };
    let entry = |pane, cell: CellKey, summary: &CellSummary| PartialEntry { pane: PaneId(pane), cell, summary: summary.clone() };
    let entries = vec![
        entry(28_333_334, cell(None, "é"), &pair),
        entry(28_333_333, cell(Some("7"), "FR"), &input),
        entry(-1, cell(Some("7"), "FR"), &pair),
    ];
    encode(Origin { source: Partition(5), seq: EpochSeq(300), definitions: 2 }, "fraud", entries).remove(0)
}

#[test]
fn partials_of_all_forms_are_frozen() {
    let again = |bytes: &[u8]| {
        let p = read(&mut Reader::open_as(bytes, Kind::Partial).unwrap()).unwrap();
        encode(Origin { source: p.source, seq: p.seq, definitions: p.definitions }, &p.model, p.entries).remove(0)
    };
    assert_frozen("partial", &partial(PairCounts::default()), again);
    let (mut positives, mut negatives, mut scores) = (AgedCounts::default(), AgedCounts::default(), ScoreCounts::default());
    [(1, false), (700, true), (700, false)].iter().for_each(|(s, missed)| positives.add(Span::seconds(*s), *missed));
    [(100_000, false), (4_000_000, true)].iter().for_each(|(s, wrong)| negatives.add(Span::seconds(*s), *wrong));
    [0.0, 0.25, 0.3, 0.3, 1.0, 1.5].iter().for_each(|s| scores.add(*s, *s != 0.25));
    let by_class = PairCounts { positives, negatives, scores, ..PairCounts::default() };
    assert_frozen("partial_2", &partial(by_class), again);
}

#[test]
fn partials_without_counts_by_class_are_readable_by_the_first_format() {
    let version = |by_class| partial(by_class)[1];
    let mut negatives = AgedCounts::default();
    negatives.add(Span::ZERO, false);
    assert_eq!([version(PairCounts::default()), version(PairCounts { negatives, ..PairCounts::default() })], [1, 2]);
}

#[test]
fn marks_are_frozen() {
    let mark = Mark {
        source: Partition(5),
        sources: 64,
        seq: EpochSeq(300),
        watermark: [EventTime(1_700_000_000_000), EventTime::MIN],
        highest: [EventTime(1_700_000_060_000), EventTime(-1)],
        activity: [Activity::Idle, Activity::Finished],
        wall: 1_700_000_061_234,
        definitions: 2,
    };
    let again = |bytes: &[u8]| Mark::read(&mut Reader::open_as(bytes, Kind::Mark).unwrap()).unwrap().to_bytes();
    assert_frozen("mark", &mark.to_bytes(), again);
}

fn plan_again(bytes: &[u8]) -> Vec<u8> {
    match PlanRecord::read(bytes).unwrap() {
        PlanRecord::Edges(e) => e.to_bytes(),
        PlanRecord::Progress(p) => p.to_bytes(),
        PlanRecord::Definitions(d) => d.to_bytes(),
    }
}

#[test]
fn definitions_and_proposals_are_frozen() {
    let versioned = Versioned { version: 2, effective_from: PaneId(i64::MIN), definitions: definitions() };
    assert_frozen("definitions", &versioned.to_bytes(), plan_again);
    assert_frozen("proposal", &definitions().to_proposal(), |bytes| Definitions::from_proposal(bytes).unwrap().to_proposal());
    // the second format, for what the first has no place for
    let mut fair = definitions();
    let groups = vec!["country".to_string()];
    fair.fairness = vec![Fairness { groups, reference: Some(vec!["FR".into()]), ratio: 0.8, difference: 0.1 }];
    fair.models.get_mut("fraud").unwrap().favourable = Some("no".into());
    let odd = Definitions { outliers: Some(Outliers { share: 0.001 }), ..definitions() };
    assert_frozen("proposal_2_outliers", &odd.to_proposal(), |bytes| Definitions::from_proposal(bytes).unwrap().to_proposal());
    let mut meant = definitions();
    meant.models.get_mut("fraud").unwrap().accepted = [Some(EventTime(1_700_000_000_000)), None];
    assert_frozen("proposal_2_accepted", &meant.to_proposal(), |bytes| Definitions::from_proposal(bytes).unwrap().to_proposal());
    assert_frozen("proposal_2_limits", &limited().to_proposal(), |bytes| Definitions::from_proposal(bytes).unwrap().to_proposal());
    let versioned = Versioned { version: 2, effective_from: PaneId(i64::MIN), definitions: fair.clone() };
    assert_frozen("definitions_2", &versioned.to_bytes(), plan_again);
    assert_frozen("proposal_2", &fair.to_proposal(), |bytes| Definitions::from_proposal(bytes).unwrap().to_proposal());
}

/// With a limit that fires in `log`, and one that does not.
fn limited() -> Definitions {
    let limit = |bad, bound, by: Vec<String>| Limit {
        signal: "error".into(),
        bad,
        bound: Billionths(bound),
        clear: Billionths(bound),
        over: Span::minutes(5),
        lasts: Span::minutes(2),
        at_least: 50,
        by,
        severity: Severity::Critical,
    };
    let mut limited = definitions();
    limited.models.get_mut("fraud").unwrap().limits =
        vec![limit(BadSide::Above, 200_000_000, Vec::new()), limit(BadSide::Below, 1, vec!["country".into()])];
    limited
}

#[test]
fn the_hash_of_definitions_is_frozen() {
    assert_eq!(definitions().hash(), "2a3184afffb17427", "pods would not recognise definitions that are in force; see `assert_frozen`");
}

#[test]
fn edges_and_categories_are_frozen() {
    let record = |signal: &str, kind, bins| {
        EdgesRecord { model: "fraud".into(), signal: signal.into(), kind, effective_from: PaneId(28_333_400), bins }.to_bytes()
    };
    let numeric = Bins::Numeric(numeric_edges(1, &[1.0, 2.0, 2.0, 3.0, 5.0, f64::INFINITY]));
    let sample = [1.0, 2.0, 2.0, 3.0, 5.0];
    let numbers = Bins::Rarity(Rarity::of_numbers(&numeric_edges(1, &sample), &sample));
    let kept: Vec<(u64, f64)> = (0..60).map(|i| (i, f64::from(i as u32 % 7))).collect();
    let edges = numeric_edges(1, &sample);
    let sampled = ["feature:x", "feature:y"].map(|signal| Sampled { signal, edges: &edges, kept: &kept, threshold: 60 });
    let loda = Bins::Loda(Loda::of(&sampled).unwrap());
    let texts = Bins::Rarity(Rarity::Texts { pinned: vec![("b".into(), 7), ("é".into(), 2)], other: 1 });
    let pinned = vec!["b".into(), "é".into()];
    let categories = Bins::Categories(Categories { version: 1, pinned, known: vec!["c".into(), "d".into()] });
    assert_frozen("edges", &record("bias", PlanKind::Pair, numeric), plan_again);
    assert_frozen("categories", &record("label", PlanKind::Input, categories), plan_again);
    assert_frozen("rarity_numbers", &record("feature:x", PlanKind::Input, numbers), plan_again);
    assert_frozen("loda", &record("outlier_score", PlanKind::Input, loda), plan_again);
    assert_frozen("rarity_texts", &record("label", PlanKind::Input, texts), plan_again);
}

#[test]
fn progress_is_frozen() {
    let progress = Progress { partition: 7, input: PaneId(28_333_333), pair: PaneId(-1) };
    assert_frozen("progress", &progress.to_bytes(), plan_again);
}

/// Summaries that give streams that learn and streams that watch, learners, edges, segments, an open pane.
fn log() -> Vec<Vec<u8>> {
    log_under(definitions())
}

fn log_under(definitions: Definitions) -> Vec<Vec<u8>> {
    let mut log = Vec::new();
    let mut observe = |bytes: Vec<u8>| log.push(bytes);
    observe(Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions }.to_bytes());
    let mark = |pane: i64, seq: u64| {
        let time = EventTime(pane * 60_000);
        let (watermark, highest) = ([time; 2], [time.plus(Span::minutes(1)); 2]);
        Mark {
            source: Partition(0),
            sources: 1,
            seq: EpochSeq(seq),
            watermark,
            highest,
            activity: [Activity::Active; 2],
            wall: 5,
            definitions: 1,
        }
    };
    observe(mark(0, 1).to_bytes());
    let edges = numeric_edges(1, &[0.0, 1.0, 2.0, 3.0]);
    for pane in (0..14).chain(90..92) {
        let edges = (pane >= 90).then_some(&edges);
        let mut x = NumericForm::empty(edges);
        (0..30u64).for_each(|i| x.add((i % 4) as f64, RequestKey::of(&format!("{pane} {i}")).sample_hash(), edges));
        let mut errors = AgedCounts::default();
        (0..20).for_each(|i| errors.add(Span::minutes(i), i % 4 == 0));
        let signals = BTreeMap::from([("feature:x".into(), SignalSummary { numeric: Some(x), category: None })]);
        let input = CellSummary { counts: Counts::Input(InputCounts { rows: 40, late: 0, duplicates: 0 }), signals };
        let pair = PairCounts { matched: 20, errors, ..PairCounts::default() };
        let entry = |summary| PartialEntry { pane: PaneId(pane), cell: cell(None, "FR"), summary };
        let entries = vec![entry(input), entry(CellSummary { counts: Counts::Pair(pair), signals: BTreeMap::new() })];
        let seq = pane as u64 + 2;
        encode(Origin { source: Partition(0), seq: EpochSeq(seq), definitions: 1 }, "fraud", entries).into_iter().for_each(&mut observe);
        observe(mark(pane, seq).to_bytes());
    }
    log
}

fn monitor() -> (Monitor, Offset) {
    monitor_of(log())
}

fn monitor_of(log: Vec<Vec<u8>>) -> (Monitor, Offset) {
    let mut monitor = Monitor::new(Partition(0));
    log.iter().zip(0..).for_each(|(bytes, o)| monitor.observe(Offset(o), bytes, &mut Effects::default()).unwrap());
    (monitor, Offset(log.len() as i64))
}

/// Definitions that take the place of the first ones while a pane of theirs is open: the proposal and its answer.
fn amendment() -> Vec<Vec<u8>> {
    let mut next = Definitions { segments: vec![vec!["country".into()], vec!["city".into()]], revision: 4, ..definitions() };
    next.dimensions = vec!["city".into(), "country".into()];
    let proposal = next.to_proposal();
    next.dimensions = vec!["channel".into(), "country".into(), "city".into()]; // cells have the first two
    vec![proposal, Versioned { version: 2, effective_from: PaneId(159), definitions: next }.to_bytes()]
}

/// The whole state of a monitor: chunks, shared part and head, one record after the other.
fn state(monitor: &mut Monitor, next: Offset) -> Vec<u8> {
    monitor.state(EpochSeq(9), next, Rewrite::ALL).0.into_iter().flat_map(|r| r.value).collect()
}

/// The records of which `state` is made: each says its length after kind and version.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = bytes.split_at(6 + u32::from_le_bytes(bytes[2..6].try_into().unwrap()) as usize);
        all.push(record);
        bytes = rest;
    }
    all
}

/// The monitor that a state restores, with what lies between its oldest open pane and the head from the summaries.
fn restored(state: &[u8]) -> Monitor {
    restored_from(state, &[log(), amendment()].concat())
}

fn restored_from(state: &[u8], log: &[Vec<u8>]) -> Monitor {
    let mut restore = Restore::default();
    records(state).into_iter().for_each(|record| restore.observe(record).unwrap());
    let mut replay = restore.begin(Partition(0)).unwrap();
    let from = replay.from.unwrap().0;
    (from..replay.next.0).for_each(|o| replay.observe(Offset(o), &log[o as usize]).unwrap());
    replay.finish().unwrap()
}

#[test]
fn the_state_of_a_monitor_is_frozen() {
    let (mut live, next) = monitor();
    write_if_new("state_2", &state(&mut live, next));
    // not compared with the state of today: a better detector may hold other numbers in the same format
    assert_frozen("state_2", &frozen("state_2"), |bytes| state(&mut restored(bytes), next));
    // the same with streams that count rows
    write_if_new("state_2_volume", &state(&mut live, next));
    assert_frozen("state_2_volume", &frozen("state_2_volume"), |bytes| state(&mut restored(bytes), next));
    // with two versions of definitions, of which both still count
    let mut effects = Effects::default();
    let more = amendment();
    more.iter().zip(next.0..).for_each(|(bytes, o)| live.observe(Offset(o), bytes, &mut effects).unwrap());
    assert!(effects.definitions.iter().map(Versioned::to_bytes).eq(more[1..].iter().cloned()), "the answer is {:?}", effects.definitions);
    let next = Offset(next.0 + more.len() as i64);
    write_if_new("state_3", &state(&mut live, next));
    assert_frozen("state_3", &frozen("state_3"), |bytes| state(&mut restored(bytes), next));
    assert_eq!(restored(&frozen("state_3")).versions().len(), 2);
}

#[test]
fn the_state_of_limits_is_frozen_and_only_chunks_that_hold_some_are_of_a_newer_format() {
    let log = log_under(limited());
    let (mut live, next) = monitor_of(log.clone());
    let fires = |monitor: &Monitor| {
        let limits = monitor.streams().filter(|(key, _)| matches!(key.form, Form::Limit(_)));
        limits.map(|(_, stream)| stream.alert().is_some()).collect::<Vec<_>>()
    };
    assert_eq!(fires(&live), [true, false]);
    let written = state(&mut live, next);
    write_if_new("state_3_limits", &written);
    let again = |bytes: &[u8]| state(&mut restored_from(bytes, &log), next);
    assert_frozen("state_3_limits", &frozen("state_3_limits"), again);
    assert_eq!(fires(&restored_from(&frozen("state_3_limits"), &log)), [true, false]);
    let chunks = records(&written).into_iter().filter(|r| r[0] == Kind::Chunk as u8).map(|r| r[1]).collect::<Vec<u8>>();
    assert!(chunks.contains(&2) && chunks.contains(&3) && chunks.iter().all(|v| [2, 3].contains(v)), "{chunks:?}");
}

#[test]
fn orders_and_the_state_of_a_drill_are_frozen() {
    let order = Order { id: "monday-7".into(), model: "fraud".into(), severity: Severity::Critical, panes: 300 };
    let again = |bytes: &[u8]| match Command::read(&mut Reader::open_as(bytes, Kind::Command).unwrap()) {
        Some(Command::Drill(order)) => order.to_bytes(),
        other => panic!("{other:?}"),
    };
    assert_frozen("command", &order.to_bytes(), again);
    let mut log = log();
    log.insert(log.len() - 1, order.to_bytes()); // the last mark closes panes
    let (mut live, next) = monitor_of(log.clone());
    let written = state(&mut live, next);
    write_if_new("state_4_drill", &written);
    assert_frozen("state_4_drill", &frozen("state_4_drill"), |bytes| state(&mut restored_from(bytes, &log), next));
    let heads = records(&written).into_iter().filter(|r| r[0] == Kind::Head as u8).map(|r| r[1]).collect::<Vec<u8>>();
    assert_eq!(heads, [4], "without a drill a head is of an older format");
}

/// Of 400 rows of the model in `log`.
fn profile() -> Profile {
    let mut names = Names::default();
    let [score, plan] = ["score", "feature:plan"].map(|name| names.number(name));
    let rows =
        || (0..400u32).map(|i| vec![(score, Cell::Number(f64::from(i) / 400.0)), (plan, Cell::Text(["a", "b"][(i % 2) as usize].into()))]);
    let mut look = Look::default();
    rows().for_each(|row| look.row(row));
    let mut count = look.fix(&names);
    rows().for_each(|row| count.row(row));
    count.profile("fraud", 7, &names).unwrap().0
}

#[test]
fn baseline_files_and_the_state_of_one_that_was_given_are_frozen() {
    assert_frozen("command_baseline", &profile().to_bytes(), |bytes| Profile::from_file(bytes).unwrap().to_bytes());
    let mut log = log();
    log.insert(1, profile().to_bytes());
    let (mut live, next) = monitor_of(log.clone());
    let written = state(&mut live, next);
    write_if_new("state_4_baseline", &written);
    assert_frozen("state_4_baseline", &frozen("state_4_baseline"), |bytes| state(&mut restored_from(bytes, &log), next));
    let restored = restored_from(&frozen("state_4_baseline"), &log);
    assert!(restored.knows_baseline(profile().id()) && restored.baselines().all(|given| given.2.is_some()));
    let shared = records(&written).into_iter().filter(|r| r[0] == Kind::Shared as u8).map(|r| r[1]).collect::<Vec<u8>>();
    assert_eq!(shared, [2], "without a baseline it is of the older format");
}

#[test]
fn streams_of_the_first_format_go_on() {
    let (live, next) = monitor();
    let mut old = restored(&frozen("state"));
    let shown = |monitor: &Monitor| {
        let rules = Rules { definitions: monitor.definitions().unwrap(), definition_hash: "" };
        let of = |(key, stream): (&StreamKey, &Stream)| (key.clone(), stream.status(&rules).phase, stream.status(&rules).reference_events);
        // nobody counted rows then
        monitor.streams().filter(|(key, _)| key.form != Form::Volume).map(of).collect::<Vec<_>>()
    };
    assert!(shown(&old).len() > 3);
    assert_eq!(shown(&old), shown(&live));
    let written = state(&mut old, next);
    assert_eq!(hex(&state(&mut restored(&written), next)), hex(&written), "what was read is written in the second format");
}
