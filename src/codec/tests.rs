//! From records to events: our own schemas, other people's mappings, and every reason for a dead letter.

use super::decoder::{OutcomeDecoder, PredictionDecoder};
use super::event::{BadRecord, Outcome, Prediction, Reason, Value};
use super::schemas;
use crate::config::load_text;
use crate::config::settings::{Settings, Source};
use crate::engine::types::{EventTime, Offset, Partition, RequestKey};
use crate::log::{NoHeaders, Record, TopicIx};
use apache_avro::Schema;
use apache_avro::types::Value as AvroValue;
use std::collections::HashMap;
use std::path::Path;

const T: i64 = 1_760_000_000_000;

fn settings(predictions: &str, outcomes: &str, rest: &str) -> Settings {
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\npredictions:\n  topic: p\n{predictions}\noutcomes:\n  topic: o\n{outcomes}\n{rest}\n"
    );
    load_text("d.yaml", &text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"))
}

/// Indented as a block below `predictions`.
fn fields(text: &str) -> String {
    format!("  fields: {text}")
}

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
    Record {
        topic: TopicIx(0),
        partition: Partition(3),
        offset: Offset(7),
        timestamp: T,
        append_time: true,
        key,
        value,
        headers: &NoHeaders,
    }
}

fn decoder(source: &Source, dimensions: &[&str]) -> PredictionDecoder {
    PredictionDecoder::new(source, &dimensions.iter().map(|d| d.to_string()).collect::<Vec<_>>()).unwrap()
}

/// Decodes JSON by `fields`, with "id", "at" and a constant model unless `mapping` says otherwise.
fn refused(mapping: &str, json: &str) -> BadRecord {
    let settings = settings(&fields(mapping), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    let first = decoder.decode(&record(Some(b"k"), Some(json.as_bytes()))).expect_err("accepted");
    assert_eq!(decoder.decode(&record(Some(b"k"), Some(json.as_bytes()))), Err(first.clone()), "the second verdict differs");
    first
}

const PLAIN: &str = "{ request_id: id, event_time: at, model: { const: m } }";

fn features<'d>(decoder: &'d PredictionDecoder, event: &'d Prediction<'_>) -> HashMap<&'d str, &'d Value<'d>> {
    event.features.iter().map(|(ix, value)| (decoder.feature_name(*ix), value)).collect()
}

/// A prediction of our own schema, as apache-avro writes it.
fn own_prediction() -> Vec<u8> {
    let text = |t: &str| AvroValue::String(t.to_string());
    let some = |i: u32, v: AvroValue| AvroValue::Union(i, Box::new(v));
    let map = |entries: Vec<(&str, AvroValue)>| AvroValue::Map(entries.into_iter().map(|(k, v)| (k.to_string(), v)).collect());
    let value = AvroValue::Record(vec![
        ("request_id".to_string(), text("r-1")),
        ("event_time".to_string(), AvroValue::TimestampMillis(T)),
        ("model".to_string(), text("fraud")),
        ("model_version".to_string(), some(1, text("7"))),
        ("score".to_string(), some(1, AvroValue::Double(0.25))),
        ("label".to_string(), some(1, text("legit"))),
        ("class_scores".to_string(), some(0, AvroValue::Null)),
        ("features".to_string(), map(vec![("amount", some(1, AvroValue::Double(12.5)))])),
        ("segments".to_string(), map(vec![("country", text("DE"))])),
        ("attributes".to_string(), map(vec![])),
    ]);
    #[allow(deprecated)]
    apache_avro::to_avro_datum(&Schema::parse_str(schemas::PREDICTION).unwrap(), value).unwrap()
}

/// The bytes of `own_prediction`, frozen: other programs write them. Made by hand from the specification.
const OWN_PREDICTION: &str = "06722d318080e682b9660a667261756402023702000000000000d03f020a6c6567697400020c616d6f756e74020000000000\
    00294000020e636f756e7472790444450000";

const OWN_OUTCOME: &str = "06722d31809880bfbd6602066261640000000000000000f03f0000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn check_own(event: Prediction<'_>, decoder: &PredictionDecoder) {
    assert_eq!((event.request_id.as_ref(), event.key), ("r-1", RequestKey::of("r-1")));
    assert_eq!((event.time, event.model.as_ref(), event.version.as_deref()), (EventTime(T), "fraud", Some("7")));
    assert_eq!((event.score, event.label.as_deref()), (Some(0.25), Some("legit")));
    assert_eq!(event.dimensions, ["", "DE"]);
    assert_eq!(features(decoder, &event), HashMap::from([("amount", &Value::Number(12.5))]));
}

#[test]
fn our_own_avro_is_read_without_any_mapping() {
    assert_eq!(own_prediction(), bytes(OWN_PREDICTION), "the encoding of our own schema has changed");
    let settings = settings("  format: avro", "  format: avro", "segments: { by: [[channel, country]] }");
    let mut decoder = decoder(&settings.predictions, &["channel", "country"]);
    for _ in 0..3 {
        let value = bytes(OWN_PREDICTION);
        let event = decoder.decode(&record(None, Some(&value))).unwrap();
        check_own(event, &decoder);
    }
    let mut outcomes = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let value = bytes(OWN_OUTCOME);
    let event = outcomes.decode(&record(None, Some(&value))).unwrap();
    let expected = Outcome {
        key: RequestKey::of("r-1"),
        request_id: "r-1".into(),
        time: EventTime(T + 600_000_000),
        label: Some("bad".into()),
        value: None,
    };
    assert_eq!(event, expected);
}

#[test]
fn our_own_json_is_read_without_any_mapping() {
    let settings = settings("", "", "segments: { by: [[channel, country]] }");
    let mut decoder = decoder(&settings.predictions, &["channel", "country"]);
    let value = br#"{"request_id":"r-1","event_time":1760000000000,"model":"fraud","model_version":"7","score":0.25,"label":"legit",
        "class_scores":null,"features":{"amount":12.5,"gone":null},"segments":{"country":"DE"},"attributes":{}}"#;
    for _ in 0..3 {
        let event = decoder.decode(&record(None, Some(value))).unwrap();
        check_own(event, &decoder);
    }
    let mut outcomes = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let event = outcomes.decode(&record(None, Some(br#"{"request_id":"r-1","event_time":"2025-10-09T08:53:20Z","value":3}"#))).unwrap();
    assert_eq!((event.time, event.label, event.value), (EventTime(T), None, Some(3.0)));
}

#[test]
fn confluent_framing_is_taken_off_and_its_id_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.avsc"), schemas::PREDICTION).unwrap();
    let text = "app: a\nkafka: { brokers: 'b:1' }\npredictions: { topic: p, format: { avro: { schema: p.avsc, framing: confluent } } }\noutcomes: { topic: o }\n";
    let settings = load_text("d.yaml", text, &|_| None, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let mut decoder = decoder(&settings.predictions, &[]);
    let mut value = vec![0, 0, 0, 1, 2];
    value.extend(bytes(OWN_PREDICTION));
    assert_eq!(decoder.decode(&record(None, Some(&value))).unwrap().request_id, "r-1");
    assert_eq!(decoder.schema_id().map(|id| id.0), Some(258));
    let bare = decoder.decode(&record(None, Some(&bytes(OWN_PREDICTION)))).unwrap_err();
    assert_eq!(bare.reason, Reason::Undecodable);
    assert!(bare.detail.contains("is the framing bare?"), "{}", bare.detail);
}

#[test]
fn single_objects_and_values_of_glue_are_read_by_the_schema_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.avsc"), schemas::PREDICTION).unwrap();
    let by = |framing: &str| {
        let text = format!(
            "app: a\nkafka: {{ brokers: 'b:1' }}\npredictions: {{ topic: p, format: {{ avro: {{ schema: p.avsc, framing: {framing} }} }} }}\noutcomes: {{ topic: o }}\n"
        );
        decoder(&load_text("d.yaml", &text, &|_| None, folder.path()).unwrap_or_else(|e| panic!("{e}")).predictions, &[])
    };
    let fingerprint = apache_avro::Schema::parse_str(schemas::PREDICTION).unwrap().fingerprint::<apache_avro::rabin::Rabin>();
    let single = [&[0xc3, 0x01][..], &fingerprint.bytes, &bytes(OWN_PREDICTION)].concat();
    let glue = [&[3, 0][..], &[9; 16], &bytes(OWN_PREDICTION)].concat();
    for (framing, value, others) in [("single_object", &single, &glue), ("glue", &glue, &single)] {
        let mut decoder = by(framing);
        assert_eq!(decoder.decode(&record(None, Some(value))).unwrap().request_id, "r-1", "{framing}");
        let bad = decoder.decode(&record(None, Some(others))).unwrap_err();
        assert_eq!(bad.reason, Reason::Undecodable);
        assert!(bad.detail.contains("is the framing "), "{}", bad.detail);
        assert_eq!(decoder.schema_id(), None);
    }
}

#[test]
fn the_example_s_mapping_reads_the_example_s_records() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/car-loan.yaml")).unwrap();
    let settings = load_text("car-loan.yaml", &text, &|_| None, Path::new("")).unwrap();
    let mut decoder = PredictionDecoder::new(&settings.predictions, &settings.definitions.dimensions).unwrap();
    let value =
        br#"{"id":43000,"timestamp":1514764800000,"car_value":23000.5,"salary_range":"20K - 40K \u20ac","debt_to_income_ratio":null,
        "loan_length":19,"repaid_loan_on_prev_car":true,"size_of_downpayment":"10%","driver_tenure":3,"y_pred_proba":0.91,"y_pred":1}"#;
    let event = decoder.decode(&record(Some(b"43000"), Some(value))).unwrap();
    assert_eq!((event.request_id.as_ref(), event.model.as_ref(), event.time), ("43000", "car-loan", EventTime(1_514_764_800_000)));
    assert_eq!((event.score, event.label.as_deref(), event.version.as_deref()), (Some(0.91), Some("1"), None));
    assert_eq!(event.dimensions, ["20K - 40K €", "10%"]);
    let found = features(&decoder, &event);
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found["repaid_loan_on_prev_car"], &Value::Bool(true));
    assert_eq!(found["salary_range"], &Value::Text("20K - 40K €".into()));
    assert!(!found.contains_key("debt_to_income_ratio") && !found.contains_key("y_pred"));
    let mut outcomes = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let event = outcomes.decode(&record(Some(b"43000"), Some(br#"{"known_at":"2018-01-02 00:00:00","repaid":1.0}"#))).unwrap();
    assert_eq!((event.request_id.as_ref(), event.label.as_deref(), event.time), ("43000", Some("1"), EventTime(1_514_851_200_000)));
}

#[test]
fn keys_headers_and_timestamps_are_sources() {
    let mapping = "{ request_id: 'header:x-id', event_time: timestamp, model: key, version: 'header:v' }";
    let settings = settings(&fields(mapping), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    let headers = vec![("x-id".to_string(), Some(b"first".to_vec())), ("x-id".to_string(), Some(b"last".to_vec()))];
    let event = decoder.decode(&Record { headers: &headers, ..record(Some(b"m"), Some(b"{}")) }).unwrap();
    assert_eq!((event.request_id.as_ref(), event.model.as_ref(), event.version, event.time), ("last", "m", None, EventTime(T)));
    let without = decoder.decode(&record(Some(b"m"), Some(b"{}"))).unwrap_err();
    assert_eq!((without.reason, without.detail.contains("header \"x-id\" is absent")), (Reason::MissingField, true), "{without}");
    let binary = decoder.decode(&Record { headers: &headers, ..record(Some(b"\xff"), Some(b"{}")) }).unwrap_err();
    assert_eq!((binary.reason, binary.detail.contains("the key is not UTF-8")), (Reason::Undecodable, true), "{binary}");
    let empty = decoder.decode(&Record { headers: &vec![("x-id".to_string(), None)], ..record(Some(b"m"), Some(b"{}")) }).unwrap_err();
    assert_eq!(empty.reason, Reason::EmptyId);
    let untimed = decoder.decode(&Record { headers: &headers, timestamp: -1, ..record(Some(b"m"), Some(b"{}")) }).unwrap_err();
    assert_eq!(untimed.reason, Reason::MissingField);
}

#[test]
fn every_reason_names_the_field_what_was_found_and_what_to_do() {
    let at = format!("\"at\":{T}");
    for (mapping, json, reason, words) in [
        (PLAIN, "{", Reason::Undecodable, &["no JSON object", "byte 1"][..]),
        (PLAIN, "[]", Reason::Undecodable, &["expected `{`"]),
        (PLAIN, &format!("{{{at}}}"), Reason::MissingField, &["field \"id\" is absent", "fields.request_id"]),
        (PLAIN, "{\"id\":1}", Reason::MissingField, &["field \"at\" is absent", "fields.event_time"]),
        (
            "{ request_id: id, event_time: at }",
            &format!("{{\"id\":1,{at}}}"),
            Reason::MissingField,
            &["field \"model\" is absent", "const"],
        ),
        (PLAIN, &format!("{{\"id\":null,{at}}}"), Reason::EmptyId, &["field \"id\" is null"]),
        (PLAIN, &format!("{{\"id\":\"\",{at}}}"), Reason::EmptyId, &["field \"id\" is empty"]),
        (PLAIN, &format!("{{\"id\":1.5,{at}}}"), Reason::WrongType, &["field \"id\" is the number 1.5", "text or a whole number"]),
        (PLAIN, &format!("{{\"id\":true,{at}}}"), Reason::WrongType, &["field \"id\" is true"]),
        (PLAIN, &format!("{{\"id\":{{}},{at}}}"), Reason::WrongType, &["field \"id\" is an object"]),
        (
            PLAIN,
            &format!("{{\"id\":1,{at},\"score\":\"0.5\"}}"),
            Reason::WrongType,
            &["field \"score\" is the text \"0.5\"", "a number is wanted"],
        ),
        (PLAIN, &format!("{{\"id\":1,{at},\"score\":true}}"), Reason::WrongType, &["field \"score\" is true"]),
        (PLAIN, &format!("{{\"id\":1,{at},\"label\":[1]}}"), Reason::WrongType, &["field \"label\" is a list"]),
        (
            PLAIN,
            &format!("{{\"id\":1,{at},\"features\":7}}"),
            Reason::WrongType,
            &["field \"features\" must be an object or a list", "a number"],
        ),
        (PLAIN, "{\"id\":1,\"at\":null}", Reason::WrongType, &["field \"at\" is null"]),
        (PLAIN, "{\"id\":1,\"at\":\"soon\"}", Reason::BadTime, &["field \"at\" is the text \"soon\"", "RFC 3339"]),
        (PLAIN, &format!("{{\"id\":1,\"at\":{}}}", T * 1000), Reason::BadTime, &["55,715 years after", "unit: micros"]),
        (PLAIN, &format!("{{\"id\":1,\"at\":{}}}", T / 1000), Reason::BadTime, &["unit: seconds"]),
    ] {
        let bad = refused(mapping, json);
        assert_eq!(bad.reason, reason, "{json}: {bad}");
        assert!(words.iter().all(|w| bad.detail.contains(w)), "{json}: {bad}");
    }
    let settings = settings(&fields(PLAIN), "", "");
    let tombstone = decoder(&settings.predictions, &[]).decode(&record(Some(b"k"), None)).unwrap_err();
    assert_eq!(tombstone.reason, Reason::Tombstone);
    let neither = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let value = format!("{{\"request_id\":1,\"event_time\":{T},\"label\":null}}");
    let neither = { neither }.decode(&record(None, Some(value.as_bytes()))).unwrap_err();
    assert_eq!(neither.reason, Reason::MissingField);
    assert!(neither.detail.contains("field \"label\"") && neither.detail.contains("field \"value\""), "{neither}");
}

#[test]
fn a_record_has_at_most_1024_features() {
    let settings = settings(&fields(PLAIN), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    let json = |n: usize| {
        let features: Vec<String> = (0..n).map(|i| format!("\"f{i}\":{i}")).collect();
        format!("{{\"id\":1,\"at\":{T},\"features\":{{{},\"f0\":7,\"none\":null}}}}", features.join(","))
    };
    assert_eq!(decoder.decode(&record(None, Some(json(1024).as_bytes()))).unwrap().features.len(), 1024);
    assert_eq!(decoder.decode(&record(None, Some(json(1025).as_bytes()))).unwrap_err().reason, Reason::TooManyFeatures);
}

#[test]
fn names_have_256_bytes_and_values_16_mebibytes() {
    let settings = settings(&fields("{ request_id: id, event_time: at, version: v, dimensions: { shop: shop } }"), "", "");
    let mut decoder = decoder(&settings.predictions, &["shop"]);
    let mut verdict = |entries: &str| {
        let json = format!("{{\"id\":1,\"at\":{T},{entries}}}");
        decoder.decode(&record(None, Some(json.as_bytes()))).map(drop).map_err(|e| (e.reason, e.detail))
    };
    for (field, place) in [("model", "model"), ("v", "v"), ("shop", "shop"), ("label", "label")] {
        let with = |n: usize| format!("\"model\":\"m\",\"{field}\":\"{}\"", "x".repeat(n));
        assert_eq!(verdict(&with(256)), Ok(()), "{field}");
        let (reason, detail) = verdict(&with(257)).unwrap_err();
        assert_eq!(reason, Reason::TooLong);
        assert!(detail.contains(place) && detail.contains("257") && detail.contains("256"), "{detail}");
    }
    let feature = |n: usize| format!("\"model\":\"m\",\"features\":{{\"{}\":1}}", "x".repeat(n));
    assert_eq!(verdict(&feature(256)), Ok(()));
    assert_eq!(verdict(&feature(257)).unwrap_err().0, Reason::TooLong);
    // whole values: the rest of one is 52 bytes
    let value = |n: usize| {
        format!("\"model\":\"m\",\"x\":\"{}\"", "x".repeat(n - format!("{{\"id\":1,\"at\":{T},\"model\":\"m\",\"x\":\"\"}}").len()))
    };
    assert_eq!(verdict(&value(16 << 20)), Ok(()));
    assert_eq!(verdict(&value((16 << 20) + 1)).unwrap_err().0, Reason::TooLong);
}

#[test]
fn texts_of_features_are_told_apart_by_256_bytes() {
    let settings = settings(&fields(PLAIN), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    for (text, kept) in
        [("x".repeat(256), "x".repeat(256)), ("x".repeat(257), "x".repeat(256)), (format!("{}ü", "x".repeat(255)), "x".repeat(255))]
    {
        for escape in ["", "\\n"] {
            let json = format!("{{\"id\":1,\"at\":{T},\"features\":{{\"a\":\"{text}{escape}\"}}}}");
            let event = decoder.decode(&record(None, Some(json.as_bytes()))).unwrap();
            assert_eq!(event.features[0].1, Value::Text(kept.as_str().into()));
        }
    }
}

#[test]
fn ids_used_as_names_of_features_do_not_fill_the_memory() {
    let settings = settings(&fields(PLAIN), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    let mut refused = 0;
    for i in 0..80_000 {
        let json = format!("{{\"id\":1,\"at\":{T},\"features\":{{\"user-{i}\":1}}}}");
        refused += usize::from(decoder.decode(&record(None, Some(json.as_bytes()))).is_err_and(|e| e.reason == Reason::TooManyFeatures));
    }
    assert_eq!((refused, decoder.feature_count()), (80_000 - 65_536, 65_536));
}

#[test]
fn keys_in_any_order_and_absent_keys_are_found() {
    let settings = settings(&fields(PLAIN), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    for json in [
        "{\"id\":1,\"at\":1760000000000,\"features\":{\"a\":1,\"b\":2,\"c\":3}}",
        "{\"features\":{\"c\":3,\"b\":2,\"a\":1},\"at\":1760000000000,\"id\":1}",
        "{\"features\":{\"a\":1,\"c\":3,\"b\":2},\"x\":[1,{\"id\":9}],\"id\":1,\"at\":1760000000000}",
        "{\"id\":2,\"id\":1,\"at\":1760000000000,\"features\":{\"z\":1},\"features\":{\"b\":2,\"a\":9,\"\\u0061\":1,\"c\":3,\"d\":4,\"d\":null}}",
    ] {
        let event = decoder.decode(&record(None, Some(json.as_bytes()))).unwrap();
        assert_eq!(event.request_id, "1");
        let mut found: Vec<_> = features(&decoder, &event).into_iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let number = |name: &str, x: f64| (name.to_string(), Value::Number(x));
        assert_eq!(found, [number("a", 1.0), number("b", 2.0), number("c", 3.0)], "{json}");
        decoder.recycle(event);
    }
}

#[test]
fn labels_are_canonical_text() {
    let settings = settings(&fields(PLAIN), "", "");
    let mut decoder = decoder(&settings.predictions, &[]);
    for (json, text) in [
        ("1", "1"),
        ("1.0", "1"),
        ("\"1\"", "1"),
        ("-0.0", "0"),
        ("true", "true"),
        ("2.5", "2.5"),
        ("12", "12"),
        ("1e2", "100"),
        ("\"x\"", "x"),
    ] {
        let value = format!("{{\"id\":1,\"at\":{T},\"label\":{json}}}");
        assert_eq!(decoder.decode(&record(None, Some(value.as_bytes()))).unwrap().label.as_deref(), Some(text), "{json}");
    }
}

const PROTECTED: &str = "protect: { key: { env: KEY }, request_id: true, dimensions: [country], features: [b, age] }";

/// `settings` with a key for `PROTECTED`.
fn protected(predictions: &str, outcomes: &str) -> Settings {
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\npredictions:\n  topic: p\n{predictions}\noutcomes:\n  topic: o\n{outcomes}\n{PROTECTED}\n"
    );
    load_text("d.yaml", &text, &|_| Some("0123456789abcdef".to_string()), Path::new("")).unwrap_or_else(|e| panic!("{e}"))
}

/// Pseudonyms of "r#0" and "42", as `openssl dgst -sha256 -hmac 0123456789abcdef` says them.
const OF_ROW: &str = "2123b60ce2fcedf0ab098a9f";
const OF_42: &str = "8d24a2a526d5f556469db8b6";

#[test]
fn rows_have_the_same_pseudonyms_in_both_inputs_and_numbers_become_categories() {
    let list = |fields: &str| format!("  explode: rows\n  fields: {{ request_id: id, event_time: at, {fields} }}");
    let features = "model: { const: m }, features: 'rows[*]', dimensions: { country: land }";
    let settings = protected(&list(features), &list("label: 'rows[*].label'"));
    let value = format!(r#"{{"id":"r","at":{T},"land":"DE","rows":[{{"age":42,"sum":1.5,"label":"x"}}]}}"#);
    let value = record(None, Some(value.as_bytes()));
    let mut predictions = decoder(&settings.predictions, &["country"]);
    let mut seen = Vec::new();
    predictions.each(&value, |decoder, event| {
        let event = event.unwrap();
        assert_eq!((event.request_id.as_ref(), event.key), (OF_ROW, RequestKey::of(OF_ROW)));
        assert!(event.dimensions[0].len() == 24 && event.dimensions[0] != "DE");
        let found = self::features(decoder, &event);
        assert_eq!(found["age"], &Value::Text(OF_42.into()));
        assert_eq!(found["sum"], &Value::Number(1.5));
        seen.push(event.key);
    });
    OutcomeDecoder::new(&settings.outcomes).unwrap().each(&value, |_, event| seen.push(event.unwrap().key));
    assert_eq!(seen, [RequestKey::of(OF_ROW); 2]);
}

/// Neighbouring doubles stay in the record, but not if one of them is protected.
#[test]
fn a_protected_double_among_others_becomes_a_category() {
    let mut settings = protected(
        &fields("{ request_id: id, event_time: at, model: { const: m }, features: { path: f }, dimensions: { country: id } }"),
        "",
    );
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"string"},{"name":"at","type":"long"},{"name":"f","type":
        {"type":"record","name":"F","fields":[{"name":"a","type":"double"},{"name":"b","type":"double"},{"name":"c","type":"double"}]}}]}"#;
    settings.predictions.format =
        crate::config::settings::Format::Avro { path: "x".into(), schema: schema.to_string(), framing: Default::default() };
    let number = |name: &str, x: f64| (name.to_string(), AvroValue::Double(x));
    let f = AvroValue::Record(vec![number("a", 1.0), number("b", 42.0), number("c", f64::NAN)]);
    let id = ("id".to_string(), AvroValue::String("r".to_string()));
    let value = AvroValue::Record(vec![id, ("at".to_string(), AvroValue::Long(T)), ("f".to_string(), f)]);
    #[allow(deprecated)]
    let bytes = apache_avro::to_avro_datum(&Schema::parse_str(schema).unwrap(), value).unwrap();
    let mut decoder = decoder(&settings.predictions, &["country"]);
    for _ in 0..2 {
        let event = decoder.decode(&record(None, Some(&bytes))).unwrap();
        let found = features(&decoder, &event);
        assert_eq!((found["a"], found["b"]), (&Value::Number(1.0), &Value::Text(OF_42.into())));
        assert!(matches!(found["c"], Value::Number(x) if x.is_nan()) && event.feature_count() == 3);
    }
}

/// Faults say of what kind a value is, not the value.
#[test]
fn faults_of_a_protected_source_show_no_values() {
    let mapping = "{ request_id: id, event_time: at, model: { const: m }, score: s, features: f, dimensions: { country: land } }";
    let settings = protected(&fields(mapping), "");
    let mut decoder = decoder(&settings.predictions, &["country"]);
    for (json, kind) in [
        (r#"{"id":true}"#, "a truth value"),
        (r#"{"id":"hush","at":"hush"}"#, "a text"),
        (r#"{"id":"hush","at":71234}"#, "a number"),
        (r#"{"id":"hush","at":1760000000000,"s":"hush"}"#, "a text"),
        (r#"{"id":"hush","at":1760000000000,"land":["hush"]}"#, "a list"),
    ] {
        let fault = decoder.decode(&record(None, Some(json.as_bytes()))).unwrap_err().detail;
        assert!(fault.contains(kind), "{fault}");
        assert!(!fault.contains("hush") && !fault.contains("71234") && !fault.contains("true"), "{fault}");
    }
}

#[test]
fn a_schema_that_is_none_is_an_error() {
    let source = Source {
        topic: "p".to_string(),
        format: crate::config::settings::Format::Avro { path: "x".into(), schema: "{".to_string(), framing: Default::default() },
        fields: Default::default(),
        when: Vec::new(),
        explode: None,
        protect: None,
    };
    assert!(PredictionDecoder::new(&source, &[]).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(value: Vec<u8>, key: Option<Vec<u8>>) {
        for format in ["json", "avro"] {
            let settings = settings(&format!("  format: {format}"), "", "segments: { by: [[country]] }");
            let mut decoder = decoder(&settings.predictions, &["country"]);
            let bad = decoder.decode(&record(key.as_deref(), Some(&value))).map(drop);
            proptest::prop_assert!(bad.is_err_and(|e| e.reason != Reason::Panic));
        }
    }
}
