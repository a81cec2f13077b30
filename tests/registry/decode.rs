//! Old and new writers in one topic, read as apache-avro reads them.

use crate::{framed, record, settings};
use apache_avro::Schema;
use apache_avro::types::Value;
use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::codec::event::{BadRecord, Prediction, Reason, Value as Feature};
use driftline::codec::framing::SchemaId;
use driftline::codec::writers::{Answer, MAX_WRITERS, SchemaKind, Schemas, Written};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const OLD: &str = r#"{"type":"record","name":"Prediction","fields":[
    {"name":"request_id","type":"string"},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"model","type":"string"},
    {"name":"label","type":["null","string"],"default":null},
    {"name":"score","type":"double"},
    {"name":"features","type":{"type":"record","name":"F","fields":[
        {"name":"amount","type":"double"},{"name":"age","type":"double"},{"name":"items","type":"int"}]}},
    {"name":"segments","type":{"type":"map","values":"string"}}]}"#;

/// Fields in another order, of other types; one feature gone and two new, one of them with a default; no label any more.
const NEW: &str = r#"{"type":"record","name":"Prediction","fields":[
    {"name":"trace","type":{"type":"array","items":"string"},"default":[]},
    {"name":"segments","type":{"type":"record","name":"S","fields":[
        {"name":"channel","type":"string","default":"web"},{"name":"country","type":{"type":"enum","name":"C","symbols":["DE","FR"]}}]}},
    {"name":"features","type":{"type":"record","name":"F","fields":[
        {"name":"items","type":["null","int"],"default":null},{"name":"age","type":"double"},{"name":"amount","type":"float"},
        {"name":"income","type":"double","default":0.5},{"name":"vip","type":"boolean"}]}},
    {"name":"score","type":["null","float"]},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"model","type":"string"},
    {"name":"request_id","type":"string"}]}"#;

/// Schemas by id, all known.
#[derive(Default)]
pub struct Shelf {
    schemas: BTreeMap<u32, Written>,
    asked: AtomicUsize,
}

impl Shelf {
    pub fn of(schemas: &[(u32, SchemaKind, &str)]) -> Arc<Shelf> {
        let written = |kind: &SchemaKind, text: &str| Written {
            kind: kind.clone(),
            text: text.to_string(),
            references: Vec::new(),
            subject: Some("p-value".to_string()),
        };
        let schemas = schemas.iter().map(|(id, kind, text)| (*id, written(kind, text))).collect();
        Arc::new(Shelf { schemas, ..Shelf::default() })
    }
}

impl Schemas for Shelf {
    fn answer(&self, id: SchemaId) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.schemas.get(&id.0) {
            Some(schema) => Answer::Is(Arc::new(schema.clone())),
            None => Answer::Absent("the registry does not have it, error 40403".to_string()),
        }
    }
    fn news(&self) -> u64 {
        0
    }
    fn is_away(&self) -> bool {
        false
    }
}

fn decoder(shelf: &Arc<Shelf>, fields: &str) -> PredictionDecoder {
    let settings = settings("http://nowhere:1", "", fields);
    PredictionDecoder::with(&settings.predictions, &settings.definitions.dimensions, Some(shelf.clone())).expect("a decoder")
}

fn decoded<T>(
    decoder: &mut PredictionDecoder,
    value: &[u8],
    look: impl FnOnce(&PredictionDecoder, &Prediction<'_>) -> T,
) -> Result<T, BadRecord> {
    assert!(decoder.ready(&record(value)), "the shelf knows at once");
    let event = decoder.decode(&record(value))?;
    let seen = look(decoder, &event);
    decoder.recycle(event);
    Ok(seen)
}

/// What matters of an event, in the words of both readers.
type Plain = (String, i64, Option<f64>, Option<String>, Vec<String>, BTreeMap<String, String>);

fn ours(decoder: &PredictionDecoder, p: &Prediction<'_>) -> Plain {
    let word = |value: &Feature<'_>| match value {
        Feature::Number(x) => x.to_string(),
        Feature::Bool(b) => b.to_string(),
        other => format!("{other:?}"),
    };
    let mut features: BTreeMap<String, String> =
        p.features.iter().map(|(ix, v)| (decoder.feature_name(*ix).to_string(), word(v))).collect();
    features.extend(p.doubles.iter().flat_map(|d| d.features()).map(|(ix, x)| (decoder.feature_name(ix).to_string(), x.to_string())));
    let dimensions = p.dimensions.iter().map(|d| d.to_string()).collect();
    (p.request_id.to_string(), p.time.0, p.score, p.label.as_ref().map(|l| l.to_string()), dimensions, features)
}

/// The same by apache-avro, from the same bytes.
fn theirs(schema: &Schema, mut bytes: &[u8]) -> Plain {
    #[allow(deprecated)]
    let value = apache_avro::from_avro_datum(schema, &mut bytes, None).expect("its own bytes");
    let text = |v: &Value| match v {
        Value::String(s) | Value::Enum(_, s) => s.clone(),
        other => panic!("{other:?}"),
    };
    let millis = match at(&value, &["event_time"]) {
        Some(Value::TimestampMillis(ms)) => ms,
        Some(Value::TimestampMicros(us)) => us.div_euclid(1_000),
        other => panic!("{other:?}"),
    };
    let number = |v: Value| match v {
        Value::Double(x) => Some(x),
        Value::Float(x) => Some(f64::from(x)),
        Value::Int(i) => Some(f64::from(i)),
        _ => None,
    };
    let Some(Value::Record(entries)) = at(&value, &["features"]) else { panic!("{value:?}") };
    let features = entries.into_iter().filter_map(|(name, v)| {
        let v = inner(v);
        let word = match v {
            Value::Boolean(b) => b.to_string(),
            other => number(other)?.to_string(),
        };
        Some((name, word))
    });
    let label = at(&value, &["label"]).filter(|v| *v != Value::Null).map(|v| text(&v));
    let country = at(&value, &["segments", "country"]).map_or(String::new(), |v| text(&v));
    let id = text(&at(&value, &["request_id"]).expect("an id"));
    (id, millis, at(&value, &["score"]).and_then(number), label, vec![country], features.collect())
}

fn inner(value: Value) -> Value {
    match value {
        Value::Union(_, inner) => *inner,
        other => other,
    }
}

fn at(value: &Value, path: &[&str]) -> Option<Value> {
    let Some((name, rest)) = path.split_first() else { return Some(inner(value.clone())) };
    match value {
        Value::Record(entries) => entries.iter().find(|e| e.0 == *name).and_then(|e| at(&e.1, rest)),
        Value::Map(entries) => entries.get(*name).and_then(|v| at(v, rest)),
        _ => None,
    }
}

fn double(x: f64) -> Value {
    Value::Double(x)
}

fn entries(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(fields.into_iter().map(|(n, v)| (n.to_string(), v)).collect())
}

fn old(n: i64, x: f64, label: Option<&str>) -> Value {
    let label = label.map_or(Value::Union(0, Box::new(Value::Null)), |l| Value::Union(1, Box::new(Value::String(l.into()))));
    entries(vec![
        ("request_id", Value::String(format!("old-{n}"))),
        ("event_time", Value::TimestampMillis(1_760_000_000_000 + n)),
        ("model", Value::String("m".into())),
        ("label", label),
        ("score", double(x / 3.0)),
        ("features", entries(vec![("amount", double(x)), ("age", double(-x)), ("items", Value::Int(n as i32))])),
        ("segments", Value::Map([("country".to_string(), Value::String("DE".into()))].into())),
    ])
}

fn new(n: i64, x: f64, items: Option<i32>) -> Value {
    let items = items.map_or(Value::Union(0, Box::new(Value::Null)), |i| Value::Union(1, Box::new(Value::Int(i))));
    let features = vec![
        ("items", items),
        ("age", double(x * 7.0)),
        ("amount", Value::Float(x as f32)),
        ("income", double(x + 1.0)),
        ("vip", Value::Boolean(n % 2 == 0)),
    ];
    entries(vec![
        ("trace", Value::Array(vec![Value::String("a".into()), Value::String("b".into())])),
        ("segments", entries(vec![("channel", Value::String("app".into())), ("country", Value::Enum(1, "FR".into()))])),
        ("features", entries(features)),
        ("score", Value::Union(1, Box::new(Value::Float(x as f32)))),
        ("event_time", Value::TimestampMicros((1_760_000_000_000 + n) * 1_000)),
        ("model", Value::String("m".into())),
        ("request_id", Value::String(format!("new-{n}"))),
    ])
}

fn datum(schema: &Schema, value: Value) -> Vec<u8> {
    #[allow(deprecated)]
    apache_avro::to_avro_datum(schema, value).expect("the value fits")
}

proptest! {
    #[test]
    fn old_and_new_writers_in_one_topic_are_read_as_apache_avro_reads_them(
        writes in prop::collection::vec((any::<bool>(), 0i64..1_000_000, -1e6..1e6, prop::option::of(0i32..100)), 1..40),
    ) {
        let shelf = Shelf::of(&[(7, SchemaKind::Avro, OLD), (1 << 30, SchemaKind::Avro, NEW)]);
        let mut decoder = decoder(&shelf, "");
        let schemas = [OLD, NEW].map(|text| Schema::parse_str(text).expect("a schema"));
        for (is_new, n, x, option) in writes {
            let schema = &schemas[usize::from(is_new)];
            let value = if is_new { new(n, x, option) } else { old(n, x, option.map(|_| "yes")) };
            let bytes = datum(schema, value);
            let id = if is_new { 1 << 30 } else { 7 };
            prop_assert_eq!(decoded(&mut decoder, &framed(id, &bytes), ours), Ok(theirs(schema, &bytes)));
        }
        prop_assert!(shelf.asked.load(Ordering::Relaxed) <= 2, "each id is asked for once");
    }
}

fn refused(kind: SchemaKind, schema: &str, fields: &str) -> BadRecord {
    let mut decoder = decoder(&Shelf::of(&[(3, kind, schema)]), fields);
    let first = decoded(&mut decoder, &framed(3, b"?"), |_, _| ()).expect_err("accepted");
    assert_eq!(decoded(&mut decoder, &framed(3, b"!"), |_, _| ()), Err(first.clone()), "the same for each record of the id");
    first
}

#[test]
fn a_schema_without_a_mapped_field_makes_dead_letters_that_name_both() {
    for (fields, words) in [
        ("score: output.prob", ["schema id 3", "p-value", "output.prob", "fields.score"]),
        ("request_id: reqest_id", ["schema id 3", "did you mean \"request_id\"", "reqest_id", "fields.request_id"]),
        ("features: inputs", ["schema id 3", "p-value", "\"inputs\"", "fields.features"]),
        ("features: model", ["schema id 3", "p-value", "neither a record nor a map", "fields.features"]),
        ("dimensions: { country: segments.shop.country }", ["schema id 3", "p-value", "segments.shop.country", "dimensions.country"]),
    ] {
        let bad = refused(SchemaKind::Avro, OLD, fields);
        assert_eq!(bad.reason, Reason::MissingField);
        words.iter().for_each(|w| assert!(bad.detail.contains(w), "no {w:?} in: {bad}"));
    }
}

#[test]
fn a_schema_may_lack_what_nobody_asked_for_and_an_event_can_do_without() {
    let shelf = Shelf::of(&[(3, SchemaKind::Avro, NEW)]); // it has no label and no version
    let bytes = datum(&Schema::parse_str(NEW).expect("a schema"), new(1, 1.0, None));
    assert_eq!(decoded(&mut decoder(&shelf, ""), &framed(3, &bytes), |_, p| p.label.is_none() && p.version.is_none()), Ok(true));
    let bad = decoded(&mut decoder(&shelf, "label: label"), &framed(3, &bytes), |_, _| ()).expect_err("it was asked for");
    assert!(bad.detail.contains("\"label\""), "{bad}");
}

#[test]
fn what_is_no_schema_or_another_kind_is_said_for_each_record_of_the_id() {
    let broken = refused(SchemaKind::Avro, "{\"type\":\"recor\"}", "");
    assert!(broken.reason == Reason::Undecodable && broken.detail.contains("schema id 3") && broken.detail.contains("no Avro schema"));
    let other = refused(SchemaKind::Other("XSD".into()), "<schema/>", "");
    assert!(other.detail.contains("XSD, which is not supported"), "{other}");
    let absent = decoded(&mut decoder(&Shelf::of(&[]), ""), &framed(4, b"?"), |_, _| ()).expect_err("nobody has it");
    assert!(absent.detail.contains("schema id 4") && absent.detail.contains("40403"), "{absent}");
}

#[test]
fn an_id_that_has_no_schema_may_have_one_later() {
    let shelf = Shelf::of(&[(7, SchemaKind::Avro, OLD)]);
    let mut decoder = decoder(&shelf, "");
    let bytes = datum(&Schema::parse_str(OLD).expect("a schema"), old(1, 1.0, None));
    for _ in 0..2 {
        assert!(decoded(&mut decoder, &framed(8, b"?"), |_, _| ()).is_err());
        assert!(decoded(&mut decoder, &framed(7, &bytes), |_, _| ()).is_ok());
    }
    assert_eq!(shelf.asked.load(Ordering::Relaxed), 3, "7 once, 8 each time");
}

#[test]
fn json_behind_an_id_is_read_as_json_beside_avro() {
    let shelf = Shelf::of(&[(1, SchemaKind::Json, "{}"), (2, SchemaKind::Avro, OLD)]);
    let mut decoder = decoder(&shelf, "");
    let json =
        br#"{"request_id":"j","event_time":1760000000000,"model":"m","features":{"amount":2.5,"extra":1},"segments":{"country":"AT"}}"#;
    let bytes = datum(&Schema::parse_str(OLD).expect("a schema"), old(1, 1.5, None));
    for _ in 0..2 {
        let seen = decoded(&mut decoder, &framed(1, json), ours).expect("JSON");
        assert_eq!((seen.0.as_str(), seen.4[0].as_str(), seen.5["amount"].as_str(), seen.5["extra"].as_str()), ("j", "AT", "2.5", "1"));
        assert_eq!(decoded(&mut decoder, &framed(2, &bytes), ours).expect("Avro").5["amount"], "1.5");
    }
    let bad = decoded(&mut decoder, json, |_, _| ()).expect_err("no five bytes");
    assert!(bad.detail.contains("no schema id"), "{bad}");
}

#[test]
fn a_producer_with_a_schema_for_every_record_does_not_fill_the_memory() {
    let schema = |i: usize| OLD.replace("\"doc\"", "").replacen("\"name\":\"F\"", &format!("\"name\":\"F{i}\""), 1);
    let texts: Vec<String> = (0..MAX_WRITERS + 10).map(schema).collect();
    let all: Vec<(u32, SchemaKind, &str)> = texts.iter().enumerate().map(|(i, t)| (i as u32, SchemaKind::Avro, t.as_str())).collect();
    let shelf = Shelf::of(&all);
    let mut decoder = decoder(&shelf, "");
    let bytes = datum(&Schema::parse_str(OLD).expect("a schema"), old(1, 1.5, None));
    for id in (0..all.len() as u32).chain([0, 1]) {
        assert_eq!(decoded(&mut decoder, &framed(id, &bytes), ours).expect("read").5.len(), 3, "{id}");
    }
    assert_eq!(shelf.asked.load(Ordering::Relaxed), all.len() + 2, "the first ones were forgotten, and are asked for again");
}

#[test]
fn outcomes_are_read_by_id_as_well() {
    let schema = r#"{"type":"record","name":"O","fields":[{"name":"value","type":"double"},{"name":"request_id","type":"string"},
        {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
    let settings = settings("http://nowhere:1", "", "");
    let mut decoder = OutcomeDecoder::with(&settings.outcomes, Some(Shelf::of(&[(5, SchemaKind::Avro, schema)]))).expect("a decoder");
    let value = entries(vec![
        ("value", double(2.5)),
        ("request_id", Value::String("a".into())),
        ("event_time", Value::TimestampMillis(1_760_000_000_000)),
    ]);
    let bytes = framed(5, &datum(&Schema::parse_str(schema).expect("a schema"), value));
    assert!(decoder.ready(&record(&bytes)));
    let outcome = decoder.decode(&record(&bytes)).expect("read");
    assert_eq!((outcome.value, outcome.label, decoder_id(&bytes)), (Some(2.5), None, 5));
    let without = Shelf::of(&[(6, SchemaKind::Avro, &schema.replace("value", "truth"))]);
    let mut decoder = OutcomeDecoder::with(&settings.outcomes, Some(without)).expect("a decoder");
    let bytes = framed(6, &bytes[5..]);
    assert!(decoder.ready(&record(&bytes)));
    let bad = decoder.decode(&record(&bytes)).expect_err("neither label nor value");
    assert!(bad.reason == Reason::MissingField && bad.detail.contains("a label or a value"), "{bad}");
}

fn decoder_id(bytes: &[u8]) -> u32 {
    driftline::codec::framing::unframe(bytes).expect("five bytes").0.0
}
