//! Protobuf behind ids: old and new writers, message indexes, imports, and what can't be used.

use crate::decode::Shelf;
use crate::registry::FakeRegistry;
use crate::wait::within;
use crate::{framed, record, settings};
use driftline::codec::decoder::PredictionDecoder;
use driftline::codec::event::{BadRecord, Reason};
use driftline::codec::framing::SchemaId;
use driftline::codec::shape::Referred;
use driftline::codec::writers::{Answer, SchemaKind, Schemas, Written};
use driftline::registry::Registry;
use driftline::registry::gauges::Gauges;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const OLD: &str = r#"syntax = "proto3"; package shop;
    import "google/protobuf/timestamp.proto";
    message Prediction { string request_id = 1; google.protobuf.Timestamp event_time = 2; string model = 3; Features features = 4; double score = 5;
                         map<string, string> segments = 6; }
    message Features { double amount = 1; int32 age = 2; }"#;

/// Another number for each field, an enum for a text, a message of its own for segments; and it is not the first message.
const NEW: &str = r#"syntax = "proto3"; package shop;
    import "google/protobuf/wrappers.proto";
    message Other { string text = 1;
      message Prediction { int64 event_time = 9; string model = 8; string request_id = 7; Features features = 6; Segments segments = 5;
                           google.protobuf.DoubleValue score = 4; string text = 3; } }
    message Features { float amount = 3; optional int32 age = 2; bool vip = 1; }
    message Segments { Country country = 1; }
    enum Country { UNKNOWN = 0; FR = 1; }"#;

/// Tags and values as protoc's runtimes write them, by hand.
fn sized(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn double(number: u8, x: f64) -> Vec<u8> {
    [&[number << 3 | 1], &x.to_le_bytes()[..]].concat()
}

fn varint(number: u8, mut value: u64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    while value > 127 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn old(id: &str, amount: f64) -> Vec<u8> {
    let features = [double(1, amount), varint(2, 44)].concat();
    let entry = [sized(1, b"country"), sized(2, b"DE")].concat();
    [sized(1, id.as_bytes()), sized(2, &varint(1, 1_760_000_000)), sized(3, b"m"), sized(4, &features), double(5, 0.25), sized(6, &entry)]
        .concat()
}

fn new(id: &str, amount: f32) -> Vec<u8> {
    let features = [vec![3 << 3 | 5], amount.to_le_bytes().to_vec(), varint(1, 1)].concat();
    let all = [varint(9, 1_760_000_000_500), sized(8, b"m"), sized(7, id.as_bytes()), sized(6, &features), sized(5, &varint(1, 1))];
    all.concat()
}

/// Behind an id and message indexes.
fn behind(id: u32, indexes: &[u8], value: &[u8]) -> Vec<u8> {
    framed(id, &[indexes, value].concat())
}

/// An event in words: id, time, score, country, features.
fn decoded(decoder: &mut PredictionDecoder, value: &[u8]) -> Result<String, BadRecord> {
    assert!(decoder.ready(&record(value)), "the shelf knows at once");
    let event = decoder.decode(&record(value))?;
    let mut features: Vec<String> = event.features.iter().map(|(ix, value)| format!("{} {value:?}", decoder.feature_name(*ix))).collect();
    features.sort();
    let words = format!("{} at {} score {:?} in {} {features:?}", event.request_id, event.time.0, event.score, event.dimensions[0]);
    decoder.recycle(event);
    Ok(words)
}

fn decoder(schemas: Arc<dyn Schemas>, fields: &str) -> PredictionDecoder {
    let settings = settings("http://nowhere:1", "", fields);
    PredictionDecoder::with(&settings.predictions, &settings.definitions.dimensions, Some(schemas)).expect("a decoder")
}

#[test]
fn old_and_new_writers_in_one_topic_are_read_by_their_own_schemas() {
    let shelf = Shelf::of(&[(7, SchemaKind::Protobuf, OLD), (8, SchemaKind::Protobuf, NEW), (9, SchemaKind::Json, "{}")]);
    let mut decoder = decoder(shelf, "");
    for _ in 0..3 {
        assert_eq!(
            decoded(&mut decoder, &behind(7, &[0], &old("a", 2.5))).unwrap(),
            "a at 1760000000000 score Some(0.25) in DE [\"age Number(44.0)\", \"amount Number(2.5)\"]"
        );
        // an age that is not there is missing, because it is optional; so is the score, a wrapper. The message is [0, 0]: 2, 0, 0 as zig-zag is 4, 0, 0
        assert_eq!(
            decoded(&mut decoder, &behind(8, &[4, 0, 0], &new("b", 1.5))).unwrap(),
            "b at 1760000000500 score None in FR [\"amount Number(1.5)\", \"vip Bool(true)\"]"
        );
        let json = br#"{"request_id":"c","event_time":1760000000000,"model":"m","segments":{"country":"AT"}}"#;
        assert!(decoded(&mut decoder, &framed(9, json)).unwrap().contains("in AT"));
    }
}

#[test]
fn messages_of_one_schema_may_take_turns() {
    let both = r#"syntax = "proto3"; message A { string request_id = 1; int64 event_time = 2; string model = 3; map<string, string> segments = 4; Features features = 5; }
                  message B { string model = 1; string request_id = 3; int64 event_time = 2; map<string, string> segments = 4; Features features = 5; }
                  message Features { double x = 1; }"#;
    let shelf = Shelf::of(&[(3, SchemaKind::Protobuf, both)]);
    let mut decoder = decoder(shelf, "");
    let value = [sized(1, b"one"), varint(2, 1_760_000_000_000), sized(3, b"two")].concat();
    for _ in 0..2 {
        assert!(decoded(&mut decoder, &behind(3, &[0], &value)).unwrap().starts_with("one at"));
        assert!(decoded(&mut decoder, &behind(3, &[2, 2], &value)).unwrap().starts_with("two at"));
        assert!(decoded(&mut decoder, &behind(3, &[2, 0], &value)).unwrap().starts_with("one at"), "the long form of [0]");
    }
}

#[test]
fn a_schema_with_more_messages_than_are_kept_is_read_all_the_same() {
    let fields = "{ string request_id = 1; int64 event_time = 2; string model = 3; map<string, string> segments = 4; map<string, double> features = 5; }";
    let all: String = (0..70).map(|i| format!("message M{i} {fields} ")).collect();
    let shelf = Shelf::of(&[(3, SchemaKind::Protobuf, &format!("syntax = \"proto3\"; {all}"))]);
    let mut decoder = decoder(shelf, "");
    let value = [sized(1, b"a"), varint(2, 1_760_000_000_000), sized(3, b"m")].concat();
    // by hand: an index n is 2 n as zig-zag, from 64 on in two bytes
    let index = |n: u8| if n < 64 { vec![2, 2 * n] } else { vec![2, (2 * n) | 0x80, 1] };
    for n in (0..70).chain([0, 69]) {
        assert!(decoded(&mut decoder, &behind(3, &index(n), &value)).unwrap().starts_with("a at"), "{n}");
    }
}

fn refused(schema: &str, fields: &str, value: &[u8]) -> BadRecord {
    let mut decoder = decoder(Shelf::of(&[(3, SchemaKind::Protobuf, schema)]), fields);
    let first = decoded(&mut decoder, &framed(3, value)).expect_err("accepted");
    assert_eq!(decoded(&mut decoder, &framed(3, value)), Err(first.clone()), "the same for each record");
    first
}

#[test]
fn what_can_not_be_read_names_the_id_and_the_reason() {
    let value = [vec![0], old("a", 1.0)].concat();
    for (schema, fields, value, reason, words) in [
        ("message {", "", &value[..], Reason::Undecodable, ["schema id 3", "p-value", "no .proto file"]),
        ("import \"gone.proto\"; message M {}", "", &value, Reason::Undecodable, ["schema id 3", "gone.proto", "can't be used"]),
        (
            OLD,
            "score: output.prob",
            &value,
            Reason::MissingField,
            ["message shop.Prediction of schema id 3", "output.prob", "fields.score"],
        ),
        (OLD, "request_id: reqest_id", &value, Reason::MissingField, ["schema id 3", "did you mean \"request_id\"", "fields.request_id"]),
        (OLD, "features: model", &value, Reason::MissingField, ["schema id 3", "neither a record nor a map", "fields.features"]),
        (OLD, "", &[], Reason::Undecodable, ["schema id 3", "no message indexes", "Confluent"]),
        (OLD, "", &[2, 8], Reason::Undecodable, ["schema id 3", "no message [4]", "before the value"]),
        (OLD, "", &[0, 0x0a, 9], Reason::Undecodable, ["Protobuf message", "ends too early", "at byte"]),
        (OLD, "", &[0, 0x08, 9], Reason::Undecodable, ["\"request_id\" is written as a varint", "another schema", "at byte"]),
    ] {
        let bad = refused(schema, fields, value);
        assert_eq!(bad.reason, reason, "{bad}");
        words.iter().for_each(|w| assert!(bad.detail.contains(w), "no {w:?} in: {bad}"));
    }
}

#[test]
fn imports_are_fetched_by_their_names_and_compiled() {
    let types = r#"syntax = "proto3"; package shop; import "shop/country.proto"; message Segments { Country country = 1; }"#;
    let country = r#"syntax = "proto3"; package shop; enum Country { UNKNOWN = 0; DE = 1; }"#;
    let main = r#"syntax = "proto3"; package shop; import "shop/types.proto";
        message P { string request_id = 1; int64 event_time = 2; string model = 3; Segments segments = 4; map<string, double> features = 5; }"#;
    let fake = FakeRegistry::start();
    let to = |name: &str, version: i64| json!({ "name": format!("shop/{name}.proto"), "subject": format!("{name}-subject"), "version": version });
    fake.has_with(9, "PROTOBUF", main, json!([to("types", 2)]));
    fake.has_version("types-subject", 2, types, json!([to("country", 1)]));
    fake.has_version("country-subject", 1, country, json!([]));
    let at = settings(&fake.url, "", "").registry.expect("a registry");
    let registry = Arc::new(Registry::start(&at, Gauges::default()).expect("a thread"));
    let known = within(Duration::from_secs(20), || match registry.answer(SchemaId(9)) {
        Answer::Is(schema) => Some(schema),
        _ => None,
    });
    let names: Vec<String> = known.expect("a schema").references.iter().map(|r| r.name.clone()).collect();
    assert_eq!(names, ["shop/types.proto", "shop/country.proto"]);
    let value = [sized(1, b"a"), varint(2, 1_760_000_000_000), sized(3, b"m"), sized(4, &varint(1, 1))].concat();
    assert!(decoded(&mut decoder(registry, ""), &behind(9, &[0], &value)).unwrap().contains("in DE"));
}

/// A shelf whose schema has references.
struct One(Arc<Written>);

impl Schemas for One {
    fn answer(&self, _: SchemaId) -> Answer {
        Answer::Is(self.0.clone())
    }
    fn news(&self) -> u64 {
        0
    }
    fn is_away(&self) -> bool {
        false
    }
}

#[test]
fn a_reference_that_is_no_proto_file_is_the_schemas_fault() {
    let references = vec![Referred { name: "shop/types.proto".into(), text: "mesage".into() }];
    let text = "import \"shop/types.proto\"; message M {}".to_string();
    let shelf = One(Arc::new(Written { kind: SchemaKind::Protobuf, text, references, subject: None }));
    let bad = decoded(&mut decoder(Arc::new(shelf), ""), &behind(3, &[0], b"")).expect_err("it can't be compiled");
    assert!(bad.detail.contains("schema id 3 can't be used") && bad.detail.contains("types.proto"), "{bad}");
}
