//! What a monitor writes with an epoch is bounded, whatever the number of its streams, and every chunk comes round.

use driftline::engine::cell::CellKey;
use driftline::engine::definitions::{BaselineRule, Budget, Definitions, JoinRules, ModelRules, Task, Tolerance};
use driftline::engine::detect::stream::{Form, StreamKey};
use driftline::engine::journal::Activity;
use driftline::engine::mark::Mark;
use driftline::engine::monitor::chunks::{CHUNKS, of_stream};
use driftline::engine::monitor::state::Rewrite;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::monitor::{MAX_MODELS, MAX_VERSIONS};
use driftline::engine::partial::{Origin, PartialEntry, encode};
use driftline::engine::plan::Versioned;
use driftline::engine::summary::aged::AgedCounts;
use driftline::engine::summary::cell::{CellSummary, Counts, InputCounts, PairCounts, SignalSummary};
use driftline::engine::summary::form::NumericForm;
use driftline::engine::types::{EpochSeq, Offset, PaneId, PaneSize, Partition, Span};
use std::collections::{BTreeMap, BTreeSet};

const SIZE: PaneSize = PaneSize(Span::minutes(1));
const SEGMENTS: usize = 127;
const FEATURES: usize = 32;

fn definitions() -> Definitions {
    let minute = Span::minutes(1);
    Definitions {
        app: "many".into(),
        revision: 0,
        pane: SIZE,
        join: JoinRules { lateness: [minute; 2], window: minute, early: minute, duplicates: minute, settle: minute, hold: minute },
        models: BTreeMap::new(),
        dimensions: vec!["shop".into()],
        segments: vec![vec!["shop".into()]],
        segment_cap: 1_000,
        baseline: BaselineRule::Learn { span: Span::hours(8) },
        budget: Budget { false_alarms: 1.0, per: Span::days(1) },
        streams_cap: 4_096,
        tolerance: Tolerance::default(),
        reminder: Span::hours(1),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        fairness: Vec::new(),
        outliers: None,
    }
}

fn mark(pane: i64, seq: u64) -> Vec<u8> {
    let time = SIZE.start(PaneId(pane));
    let (watermark, highest, activity) = ([time; 2], [time; 2], [Activity::Active; 2]);
    Mark { source: Partition(0), sources: 1, seq: EpochSeq(seq), watermark, highest, activity, wall: 0, definitions: 1 }.to_bytes()
}

/// One pane in which every shop shows every feature now and then.
fn pane(pane: i64) -> Vec<Vec<u8>> {
    let entry = |shop: usize| {
        let seen = (0..FEATURES).filter(|f| (f + shop) as i64 % 3 != pane % 3);
        let rows = |f: usize| SignalSummary { numeric: Some(NumericForm::Rows(vec![f as f64; 2])), category: None };
        let signals = seen.map(|f| (format!("feature:{f:02}").into(), rows(f))).collect();
        let cell = CellKey { model: "m".into(), version: None, values: vec![format!("shop {shop:03}")] };
        let counts = Counts::Input(InputCounts { rows: 40, late: 0, duplicates: 0 });
        PartialEntry { pane: PaneId(pane), cell, summary: CellSummary { counts, signals } }
    };
    let origin = Origin { source: Partition(0), seq: EpochSeq(pane as u64), definitions: 1 };
    encode(origin, "m", (0..SEGMENTS).map(entry).collect())
}

/// A monitor of about 4,000 streams, and its next offset.
fn many_streams() -> (Monitor, Offset) {
    let mut log = vec![Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: definitions() }.to_bytes(), mark(0, 1)];
    for p in 0..5 {
        log.extend(pane(p));
        log.push(mark(p + 1, p as u64 + 2));
    }
    let mut monitor = Monitor::new(Partition(0));
    for (offset, record) in log.iter().enumerate() {
        monitor.observe(Offset(offset as i64), record, &mut Effects::default()).unwrap();
    }
    assert!((4_000..5_000).contains(&monitor.streams().count()), "{} streams", monitor.streams().count());
    (monitor, Offset(log.len() as i64))
}

#[test]
fn an_epoch_writes_a_bounded_part_of_the_state_and_every_chunk_comes_round() {
    let (mut monitor, next) = many_streams();
    let bytes = |m: &mut Monitor, seq, rewrite| m.state(EpochSeq(seq), next, rewrite).0.iter().map(|r| r.value.len()).sum::<usize>();
    let whole = bytes(&mut monitor, 1, Rewrite::ALL);
    let (mut epochs, mut most) = (1, 0);
    while monitor.oldest_chunk() == EpochSeq(1) {
        epochs += 1;
        most = most.max(bytes(&mut monitor, epochs, Rewrite { chunks: CHUNKS, bytes: whole / 32 }));
    }
    assert!(whole > 200_000, "{whole} bytes in all: the law says nothing");
    assert!(most < whole / 8, "an epoch wrote {most} of {whole} bytes");
    assert!((8..=CHUNKS as u64 + 1).contains(&epochs), "{epochs} epochs for a round");
}

#[test]
fn an_epoch_without_a_rewrite_writes_the_head_alone() {
    let (mut monitor, next) = many_streams();
    monitor.state(EpochSeq(1), next, Rewrite::ALL);
    let (records, written) = monitor.state(EpochSeq(2), next, Rewrite { chunks: 0, bytes: usize::MAX });
    let keys: Vec<_> = records.iter().map(|r| String::from_utf8_lossy(&r.key).into_owned()).collect();
    assert_eq!((keys, written), (vec!["head/0000".to_string()], 0));
    assert!(records[0].value.len() < 2_000, "{} bytes", records[0].value.len());
}

#[test]
fn streams_are_spread_over_all_chunks_evenly() {
    let (monitor, _) = many_streams();
    let mut counts = BTreeMap::new();
    monitor.streams().for_each(|(key, _)| *counts.entry(of_stream(key)).or_insert(0) += 1);
    let most = counts.values().max().unwrap();
    assert!(counts.len() == CHUNKS && *most < 2 * monitor.streams().count() / CHUNKS, "{counts:?}");
}

#[test]
fn the_chunk_of_a_stream_is_frozen() {
    let (monitor, _) = many_streams();
    let first: Vec<_> = monitor.streams().map(|(key, _)| of_stream(key)).take(6).collect();
    assert_eq!(first, [18, 19, 10, 19, 39, 41], "a stream would be looked for in another chunk than the one that holds it");
}

/// A row of a model and shop with one feature, so with one stream of nulls.
fn one_row(model: &str, shop: &str, pane: i64) -> Vec<u8> {
    let signals = BTreeMap::from([("feature:a".into(), SignalSummary { numeric: Some(NumericForm::Rows(vec![1.0])), category: None })]);
    let cell = CellKey { model: model.to_string(), version: None, values: vec![shop.to_string()] };
    let counts = Counts::Input(InputCounts { rows: 1, late: 0, duplicates: 0 });
    let origin = Origin { source: Partition(0), seq: EpochSeq(pane as u64), definitions: 1 };
    encode(origin, model, vec![PartialEntry { pane: PaneId(pane), cell, summary: CellSummary { counts, signals } }]).remove(0)
}

/// A monitor under these definitions that has read the records.
fn told(definitions: Definitions, records: Vec<Vec<u8>>) -> Monitor {
    let begin = [Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions }.to_bytes(), mark(0, 1)];
    let mut monitor = Monitor::new(Partition(0));
    for (offset, record) in begin.into_iter().chain(records).enumerate() {
        monitor.observe(Offset(offset as i64), &record, &mut Effects::default()).unwrap();
    }
    monitor
}

#[test]
fn the_last_segment_of_the_cap_is_watched_and_the_next_is_not() {
    let capped = Definitions { segment_cap: 3, ..definitions() };
    let shops = |names: &[&str], pane: i64| names.iter().map(|shop| one_row("m", shop, pane)).collect::<Vec<_>>();
    let log = |more: &[&str]| [shops(&["a", "b"], 0), vec![mark(1, 2)], shops(more, 1), vec![mark(2, 3)]].concat();
    for (more, refused) in [(&["b", "c"][..], 0), (&["a", "b", "c", "d"], 1)] {
        let mut monitor = told(capped.clone(), log(more));
        let segments: BTreeSet<String> = monitor.streams().map(|(key, _)| format!("{:?}", key.segment)).collect();
        assert_eq!((segments.len(), monitor.take_tally().refused_segments), (3 + 1, refused), "{segments:?}");
        assert!(segments.iter().all(|s| !s.contains("\"d\"")), "{segments:?}");
    }
}

#[test]
fn the_thousandth_unlisted_model_is_watched_and_the_next_is_not() {
    let listed =
        Definitions { models: BTreeMap::from([("z".to_string(), ModelRules::of(Task::Unknown))]), segments: Vec::new(), ..definitions() };
    // the last two come a pane later, one of them is listed
    let mut records: Vec<_> = (0..MAX_MODELS).map(|i| one_row(&format!("m{i:04}"), "", 0)).collect();
    records.push(mark(1, 2));
    records.extend(["n", "z", "m0000"].map(|model| one_row(model, "", 1)));
    records.push(mark(2, 3));
    let mut monitor = told(listed, records);
    let models: BTreeSet<&str> = monitor.streams().map(|(key, _)| key.model.as_str()).collect();
    assert_eq!((models.len(), models.contains("z"), models.contains("n")), (MAX_MODELS + 1, true, false));
    assert_eq!(monitor.take_tally().refused_models, 1);
}

#[test]
fn the_256th_version_is_compared_and_the_next_is_not() {
    for (versions, compared) in [(MAX_VERSIONS, MAX_VERSIONS - 1), (MAX_VERSIONS + 1, MAX_VERSIONS - 1)] {
        let entry = |v: usize| {
            let mut errors = AgedCounts::default();
            (0..20).for_each(|i| errors.add(Span::ZERO, i < 10));
            let cell = CellKey { model: "m".into(), version: Some(format!("v{v:04}")), values: vec![String::new()] };
            let counts = Counts::Pair(PairCounts { matched: 20, errors, ..PairCounts::default() });
            PartialEntry { pane: PaneId(0), cell, summary: CellSummary { counts, signals: BTreeMap::new() } }
        };
        let origin = Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 };
        let mut records = encode(origin, "m", (0..versions).map(entry).collect());
        records.push(mark(1, 2));
        let monitor = told(definitions(), records);
        let streams: Vec<&StreamKey> = monitor.streams().map(|(key, _)| key).filter(|key| key.version.is_some()).collect();
        assert_eq!(streams.len(), compared, "the oldest is compared with nobody");
        assert!(streams.iter().all(|key| key.form == Form::Gap && key.segment.is_empty()));
    }
}
