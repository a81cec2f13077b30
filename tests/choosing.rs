//! Which records count (`when`), and what texts stand for (`map`).

use driftline::codec::decoder::{Events, OutcomeDecoder, PredictionDecoder};
use driftline::codec::event::Reason;
use driftline::codec::framing::SchemaId;
use driftline::codec::writers::{Answer, SchemaKind, Schemas, Written};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::types::{Offset, Partition};
use driftline::log::{Record, TopicIx};
use std::path::Path;
use std::sync::Arc;

const T: i64 = 1_760_000_000_000;

fn load(predictions: &str, outcomes: &str) -> Result<Settings, String> {
    let registry = if predictions.contains("registry") { "registry: { url: 'http://r:1' }\n" } else { "" };
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\n{registry}predictions:\n  topic: p\n{predictions}\noutcomes:\n  topic: o\n{outcomes}\n"
    );
    load_text("d.yaml", &text, &|_| None, Path::new("")).map_err(|e| e.to_string())
}

type Headers = Vec<(String, Option<Vec<u8>>)>;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| (name.to_string(), Some(value.as_bytes().to_vec()))).collect()
}

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a Headers) -> Record<'a> {
    let (topic, partition, offset) = (TopicIx(0), Partition(0), Offset(0));
    Record { topic, partition, offset, timestamp: T, append_time: true, key, value, headers }
}

const FIELDS: &str = "  fields: { request_id: id, event_time: at, model: { const: m } }";

/// `counts`, `skipped` or the reason of the dead letter.
fn verdict(when: &str, record: &Record<'_>) -> &'static str {
    let settings = load(&format!("  when: {when}\n{FIELDS}"), "").unwrap_or_else(|e| panic!("{e}"));
    let mut decoder = PredictionDecoder::new(&settings.predictions, &[]).unwrap();
    let mut once = || match decoder.events(record, |_| {}) {
        Ok(Events::One(_)) => "counts",
        Ok(Events::Skipped) => "skipped",
        Ok(Events::Rows(_)) => "rows",
        Err(bad) => bad.reason.word(),
    };
    let first = once();
    assert_eq!(first, once(), "a warm decoder says something else");
    first
}

#[test]
fn only_records_count_that_are_what_when_says() {
    let response = headers(&[("ce_type", "response"), ("ce_type", "org.response")]);
    let good = format!(r#"{{"id":1,"at":{T},"status":200,"ok":true,"after":{{"x":1}},"op":"c","gone":null,"json":"{{\"k\":\"v\"}}"}}"#);
    for (when, expected) in [
        ("{ header:ce_type: org.response }", "counts"),
        ("{ header:ce_type: response }", "skipped"), // of several headers the last
        ("{ header:ce_type: [org.request, org.response] }", "counts"),
        ("{ header:none: x }", "skipped"),
        ("{ header:ce_type: { present: true }, header:none: { present: false } }", "counts"),
        ("{ key: k }", "counts"),
        ("{ key: other }", "skipped"),
        ("{ status: 200, ok: true, op: [c, r, u] }", "counts"),
        ("{ status: 200, op: d }", "skipped"),
        ("{ after: { present: true }, gone: { present: false }, nowhere: { present: false } }", "counts"),
        ("{ after: { present: false } }", "skipped"),
        ("{ gone: { present: true } }", "skipped"),
        ("{ after: x }", "skipped"),
        ("{ json(json).k: v }", "counts"),
        ("{ id: 1 }", "counts"), // a field's place, too
    ] {
        assert_eq!(verdict(when, &record(Some(b"k"), Some(good.as_bytes()), &response)), expected, "{when}");
    }
}

#[test]
fn a_text_that_can_not_be_read_is_a_fault_unless_the_record_does_not_count_anyway() {
    let none = headers(&[]);
    let value = format!(r#"{{"id":1,"at":{T},"body":"no json","csv":"\"a","status":500}}"#);
    let record = record(None, Some(value.as_bytes()), &none);
    for (when, expected) in [
        ("{ json(body).k: v, status: 200 }", "skipped"),
        ("{ json(body).k: v, status: 500 }", "undecodable"),
        ("{ json(body).k: { present: false } }", "undecodable"),
        ("{ 'csv(csv)[0]': b, status: 200 }", "skipped"),
        ("{ json(base64(body)).k: v, status: 500 }", "undecodable"),
    ] {
        assert_eq!(verdict(when, &record), expected, "{when}");
    }
}

#[test]
fn what_does_not_count_is_no_dead_letter_whatever_it_is() {
    let request = headers(&[("ce_type", "request")]);
    for value in [Some(&b"no json"[..]), Some(b"{}"), Some(b"\xff"), None] {
        assert_eq!(verdict("{ header:ce_type: response }", &record(None, value, &request)), "skipped");
    }
    let none = headers(&[]);
    assert_eq!(verdict("{ op: [c, u] }", &record(None, None, &none)), "skipped", "a tombstone has no op");
    assert_eq!(verdict("{ op: { present: false } }", &record(None, None, &none)), "tombstone");
    assert_eq!(verdict("{ op: c }", &record(None, Some(b"{"), &none)), "undecodable", "nobody knows its op");
    assert_eq!(verdict("{ op: c }", &record(None, Some(br#"{"op":"d","features":7}"#), &none)), "skipped");
    assert_eq!(verdict("{ op: c }", &record(None, Some(br#"{"op":"c"}"#), &none)), "missing_field");
    assert_eq!(verdict("{ key: k }", &record(Some(b"\xff"), Some(b"{}"), &none)), "skipped");
}

/// Schema 1 is of predictions, schema 2 of something else in the same topic, 3 is not known yet.
struct Two;

impl Schemas for Two {
    fn answer(&self, id: SchemaId) -> Answer {
        let fields = match id.0 {
            1 => {
                r#"{"name":"id","type":"string"},{"name":"at","type":"long"},{"name":"features","type":{"type":"map","values":"double"}},{"name":"score","type":"double"}"#
            }
            2 => r#"{"name":"other","type":"string"}"#,
            _ => return Answer::Unknown,
        };
        let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        Answer::Is(Arc::new(Written { kind: SchemaKind::Avro, text, references: Vec::new(), subject: None }))
    }
    fn news(&self) -> u64 {
        0
    }
    fn is_away(&self) -> bool {
        false
    }
}

#[test]
fn a_topic_may_hold_records_of_schemas_that_do_not_count() {
    let settings = load(&format!("  format: registry\n  when: {{ score: {{ present: true }}, header:kind: p }}\n{FIELDS}"), "").unwrap();
    let mut decoder = PredictionDecoder::with(&settings.predictions, &[], Some(Arc::new(Two))).unwrap();
    let (ours, others) = (headers(&[("kind", "p")]), headers(&[("kind", "q")]));
    let mut verdict = |bytes: &[u8], headers: &Headers| {
        let record = record(None, Some(bytes), headers);
        decoder.ready(&record).then(|| match decoder.events(&record, |_| {}) {
            Ok(Events::One(p)) => p.request_id.to_string(),
            Ok(_) => "skipped".to_string(),
            Err(bad) => bad.detail,
        })
    };
    let mut prediction = vec![0, 0, 0, 0, 1, 2, b'r', 0x80, 0x80, 0xe6, 0x82, 0xb9, 0x66, 0];
    prediction.extend(0.5f64.to_le_bytes());
    let said = |text: &str| Some(text.to_string());
    assert_eq!(verdict(&prediction, &ours), said("r"));
    assert_eq!(verdict(&[0, 0, 0, 0, 2, 2, b'x'], &ours), said("skipped"), "its schema has no score");
    assert_eq!(verdict(&[0, 0, 0, 0, 3], &ours), None, "nobody knows it yet");
    assert_eq!(verdict(&[0, 0, 0, 0, 3], &others), said("skipped"), "for what does not count no schema is waited for");
    assert_eq!(verdict(&prediction, &ours), said("r"));
}

#[test]
fn texts_stand_for_what_the_map_says() {
    let predictions = "  fields: { request_id: id, event_time: at, model: { path: m, map: { x: fraud } }, \
        label: { path: label, map: { 1: approved, 'true': approved, '0': declined } }, \
        dimensions: { tier: { path: t, map: { g: gold } } } }";
    let settings = load(predictions, "  fields: { label: { path: [l.x], map: { 1: approved } } }").unwrap_or_else(|e| panic!("{e}"));
    let mut decoder = PredictionDecoder::new(&settings.predictions, &["tier".to_string()]).unwrap();
    let none = headers(&[]);
    for (label, expected) in [
        ("1", Some("approved")),
        ("1.0", Some("approved")),
        ("\"0\"", Some("declined")),
        ("true", Some("approved")),
        ("2", Some("2")),
        ("null", None),
    ] {
        let value = format!(r#"{{"id":1,"at":{T},"m":"x","label":{label},"t":"g"}}"#);
        let event = decoder.decode(&record(None, Some(value.as_bytes()), &none)).unwrap();
        assert_eq!((event.label.as_deref(), event.model.as_ref(), event.dimensions[0].as_ref()), (expected, "fraud", "gold"), "{label}");
    }
    let mut decoder = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let value = format!(r#"{{"request_id":1,"event_time":{T},"l.x":1}}"#);
    let outcome = decoder.decode(&record(None, Some(value.as_bytes()), &none)).unwrap();
    assert_eq!(outcome.label.as_deref(), Some("approved"));
    let absent = decoder.decode(&record(None, Some(format!(r#"{{"request_id":1,"event_time":{T}}}"#).as_bytes()), &none)).unwrap_err();
    assert_eq!(absent.reason, Reason::MissingField);
}

#[test]
fn what_can_t_be_chosen_or_mapped_is_refused() {
    for (predictions, words) in [
        ("  when: { timestamp: 1 }", "nothing can be chosen by the timestamp"),
        ("  when: { topic: p }", "nothing can be chosen by the topic"),
        ("  when: { op: [] }", "no record would count"),
        ("  when: { a..b: 1 }", "\"a..b\" is no path"),
        ("  when: { op: { there: true } }", "unknown key \"there\""),
        ("  fields: { score: { path: s, map: { a: b } } }", "only labels, models, versions and dimensions"),
        ("  fields: { request_id: { path: s, map: { a: b } } }", "only labels, models, versions and dimensions"),
        ("  fields: { label: { path: s, map: { a: '' } } }", "names have 1 to 256"),
        ("  format: avro\n  when: { nowhere: x }", "the schema has no \"nowhere\""),
    ] {
        let said = load(predictions, "").err().unwrap_or_default();
        assert!(said.contains(words), "{predictions}: {said}");
    }
}
