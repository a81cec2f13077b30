//! Decoding an ordinary record, and booking a pair, needs no memory once there was one like it. Counted, not believed: this binary's
//! allocator counts.

use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::config::{load_text, settings::Settings};
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::book::{Book, CALIBRATION};
use driftline::engine::cell::Cells;
use driftline::engine::join::{PairKind, Pairing};
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord};
use driftline::engine::types::{EventTime, Offset, PaneId, Partition, RequestKey, class_hash};
use driftline::log::{NoHeaders, Record, TopicIx};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

#[path = "kit/avro.rs"]
mod avro_bytes;
use avro_bytes::{long, text};

struct Counting;

thread_local! {
    // per thread: the test harness has threads of its own
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = COUNT.try_with(|c| c.set(c.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

fn settings(format: &str) -> Settings {
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\npredictions: {{ topic: p, format: {format} }}\noutcomes: {{ topic: o, format: {format} }}\n\
         models: {{ fraud: {{ task: binary, positive: '1' }} }}\nsegments: {{ by: [[country], [channel]] }}\n"
    );
    load_text("d.yaml", &text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"))
}

fn record<'a>(key: &'a [u8], value: &'a [u8]) -> Record<'a> {
    let (topic, partition, offset) = (TopicIx(0), Partition(0), Offset(0));
    Record { topic, partition, offset, timestamp: 0, append_time: false, key: Some(key), value: Some(value), headers: &NoHeaders }
}

/// Decodes and recycles all records twice; returns the allocations of the second time.
fn predictions(settings: &Settings, records: &[Vec<u8>]) -> u64 {
    let mut decoder = PredictionDecoder::new(&settings.predictions, &settings.definitions.dimensions).unwrap();
    let mut pass = || {
        for value in records {
            let event = decoder.decode(&record(b"k", value)).unwrap_or_else(|e| panic!("{e}"));
            assert!(event.feature_count() >= 20 && event.dimensions.len() == 2);
            decoder.recycle(event);
        }
    };
    pass();
    allocations(pass)
}

fn json(i: usize) -> Vec<u8> {
    let features: Vec<String> = (0..20).map(|f| format!("\"feature_{f:02}\":{}", (i * 31 + f * 17) as f64 / 977.0)).collect();
    format!(
        "{{\"request_id\":\"request-{i:08}\",\"event_time\":{},\"model\":\"fraud\",\"model_version\":\"7\",\"score\":0.{i:03},\"label\":{},\
         \"features\":{{{},\"text\":\"grün\",\"flag\":true,\"none\":null}},\"segments\":{{\"country\":\"DE\",\"channel\":\"web\"}},\"other\":[1,{{\"a\":\"\\n\"}}]}}",
        1_760_000_000_000u64 + i as u64,
        i % 2,
        features.join(",")
    )
    .into_bytes()
}

fn avro(i: usize) -> Vec<u8> {
    let mut bytes = [text(&format!("request-{i:08}")), long(1_760_000_000_000 + i as i64), text("fraud"), long(1), text("7")].concat();
    bytes.extend([long(1), 0.5f64.to_le_bytes().to_vec(), long(1), text("legit"), long(0), long(20)].concat());
    for f in 0..20 {
        bytes.extend([text(&format!("feature_{f:02}")), long(1), (i as f64 / (f + 1) as f64).to_le_bytes().to_vec()].concat());
    }
    bytes.extend([long(0), long(2), text("country"), text("DE"), text("channel"), text("web"), long(0), long(0)].concat());
    bytes
}

#[test]
fn a_warm_decoder_needs_no_memory_for_json() {
    let records: Vec<Vec<u8>> = (0..1000).map(json).collect();
    assert_eq!(predictions(&settings("json"), &records), 0);
}

#[test]
fn a_warm_decoder_needs_no_memory_for_avro() {
    let records: Vec<Vec<u8>> = (0..1000).map(avro).collect();
    assert_eq!(predictions(&settings("avro"), &records), 0);
}

/// Protobuf: nested messages, a map, repeated numbers, fields that are not there.
fn protobuf(i: usize) -> Vec<u8> {
    let sized = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let mut features = Vec::new();
    for f in 1..14 {
        features.extend([&[f << 3 | 1], &(i as f64 / f64::from(f)).to_le_bytes()[..]].concat());
    }
    let segments = ["country", "DE", "channel", "web"].chunks(2).map(|e| [sized(1, e[0].as_bytes()), sized(2, e[1].as_bytes())].concat());
    let time = [0x08, 0x80, 0xf0, 0x9d, 0xc7, 0x06]; // 1,760,000,000 seconds in sevens of bits
    let head =
        [sized(1, format!("request-{i:08}").as_bytes()), sized(2, &time), sized(3, b"fraud"), sized(4, &[0; 16]), sized(5, &features)];
    head.into_iter().chain(segments.map(|entry| sized(6, &entry))).collect::<Vec<_>>().concat()
}

#[test]
fn a_warm_decoder_needs_no_memory_for_protobuf() {
    let folder = tempfile::tempdir().unwrap();
    let fields: String = (1..21).map(|f| format!("double feature_{f:02} = {f}; ")).collect();
    let schema = format!(
        "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\";\n\
         message P {{ string request_id = 1; google.protobuf.Timestamp event_time = 2; string model = 3; repeated double scores = 4;\n\
         F features = 5; map<string, string> segments = 6; string label = 7; }}\nmessage F {{ {fields} }}"
    );
    std::fs::write(folder.path().join("p.proto"), schema).unwrap();
    let text = "app: a\nkafka: { brokers: 'b:1' }\npredictions:\n  topic: p\n  format: { protobuf: { descriptors: p.proto, message: P } }\n  \
                fields: { score: 'scores[1]' }\noutcomes: { topic: o }\nsegments: { by: [[country], [channel]] }\n";
    let settings = load_text("d.yaml", text, &|_| None, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let records: Vec<Vec<u8>> = (0..1000).map(protobuf).collect();
    assert_eq!(predictions(&settings, &records), 0);
}

/// JSON and Avro whose fields lie in lists and in texts that need no escapes: `seconds` is what the second of two equal passes allocates.
fn seconds(format: &str, fields: &str, records: &[Vec<u8>]) -> u64 {
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\npredictions:\n  topic: p\n  format: {format}\n  fields: {fields}\noutcomes: {{ topic: o }}\n"
    );
    let settings = load_text("d.yaml", &text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    let mut decoder = PredictionDecoder::new(&settings.predictions, &[]).unwrap();
    let mut pass = || {
        for value in records {
            let event = decoder.decode(&record(b"k", value)).unwrap_or_else(|e| panic!("{e}"));
            assert!(event.score == Some(0.5) && event.feature_count() == 2);
            decoder.recycle(event);
        }
    };
    pass();
    allocations(pass)
}

#[test]
fn lists_and_texts_of_the_record_s_own_bytes_need_no_memory_either() {
    let fields = "{ request_id: id, event_time: at, model: { const: m }, score: 'o[n=p].d[1]', label: 'csv(line)[1]', features: f }";
    let json = |i: usize| {
        format!("{{\"id\":\"r-{i}\",\"at\":1760000000000,\"o\":[{{\"d\":[1,0.5],\"n\":\"p\"}},{{}}],\"line\":\"a,b\",\"f\":[{i},2]}}")
    };
    assert_eq!(seconds("json", fields, &(0..100).map(|i| json(i).into_bytes()).collect::<Vec<_>>()), 0);
    // our own schema's label is a text that nobody escapes: JSON inside
    let fields = "{ request_id: request_id, event_time: event_time, model: model, score: json(label).s, label: model_version, features: json(label).f }";
    let text = |t: &str| [vec![(t.len() * 2) as u8], t.as_bytes().to_vec()].concat();
    let at = [0x80, 0x80, 0xe6, 0x82, 0xb9, 0x66];
    let avro = |i: usize| {
        let inner = format!("{{\"s\":0.5,\"f\":{{\"a\":\"x\",\"b\":{i}}}}}");
        [text("r"), at.to_vec(), text("m"), vec![0, 0, 2], text(&inner), vec![0, 0, 0, 0]].concat()
    };
    assert_eq!(seconds("avro", fields, &(0..100).map(avro).collect::<Vec<_>>()), 0);
}

#[test]
fn a_warm_decoder_of_outcomes_needs_no_memory() {
    let settings = settings("json");
    let mut decoder = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let records: Vec<String> =
        (0..1000).map(|i| format!("{{\"request_id\":\"r-{i}\",\"event_time\":1760000000000,\"label\":{}}}", i % 2)).collect();
    let mut pass = || {
        for value in &records {
            let event = decoder.decode(&record(b"k", value.as_bytes())).unwrap();
            decoder.recycle(event);
        }
    };
    pass();
    assert_eq!(allocations(pass), 0);
}

#[test]
fn a_recycled_event_s_memory_serves_the_next_one_even_after_a_bad_record() {
    let settings = settings("json");
    let mut decoder = PredictionDecoder::new(&settings.predictions, &settings.definitions.dimensions).unwrap();
    let good = json(1);
    for _ in 0..3 {
        let event = decoder.decode(&record(b"k", &good)).unwrap();
        decoder.recycle(event);
        assert!(decoder.decode(&record(b"k", b"{\"features\":{\"feature_00\":1}}")).is_err());
    }
    let used = allocations(|| {
        let event = decoder.decode(&record(b"k", &good)).unwrap();
        decoder.recycle(event);
    });
    assert_eq!(used, 0);
}

#[test]
fn a_pair_of_a_binary_model_needs_no_memory_where_its_cell_has_had_such_ones() {
    let (definitions, mut plan) = (settings("json").definitions, Plan::default());
    let bins = Bins::Numeric(numeric_edges(1, &[-0.5, 0.0, 0.25, 0.5]));
    let edges = EdgesRecord { model: "fraud".into(), signal: CALIBRATION.into(), kind: PlanKind::Pair, effective_from: PaneId(0), bins };
    plan.observe(PlanRecord::Edges(edges));
    let (mut book, mut cells) = (Book::default(), Cells::default());
    let (cell, e) = (cells.intern("fraud", None, &["DE".into(), "web".into()]), EventTime(1_760_000_000_000));
    let classes = ["0", "1"].map(|c| class_hash(Some(c)));
    let mut pass = || {
        for i in 0..1_000usize {
            let (key, score) = (RequestKey(i as u128), i as f64 / 1_000.0);
            let [label, outcome_label] = [classes[i % 2], classes[i % 3 % 2]];
            let pair = Pairing { kind: PairKind::First, key, cell, time: e, e, score, label, outcome_label, outcome_value: f64::NAN };
            book.paired(&pair, &cells, &definitions, &plan);
        }
    };
    pass();
    assert_eq!(allocations(pass), 0);
}
