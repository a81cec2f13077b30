//! The recipes of `examples/mappings`: each passes `check`, and turns what a serving system writes into the events beside it.
//!
//! `fixtures/mappings/NAME.json` holds records as the system writes them, `NAME.txt` what they are; a recipe without them fails.
//! `DRIFTLINE_NEW_FIXTURES=1` writes the `.txt` anew, to be read before it is committed.

use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::codec::event::{BadRecord, Outcome, Prediction, Value};
use driftline::config::load;
use driftline::config::settings::{Format, Source};
use driftline::engine::types::{Offset, Partition};
use driftline::log::{Record, TopicIx};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[path = "kit/encoded.rs"]
mod encoded;
use encoded::{avro, protobuf};

const KAFKA_TIME: i64 = 1_760_000_100_000;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn recipes() -> Vec<String> {
    let files = std::fs::read_dir(in_repository("examples/mappings")).expect("recipes").map(|f| f.unwrap().path());
    let yaml = files.filter(|f| f.extension().is_some_and(|e| e == "yaml"));
    let mut names: Vec<String> = yaml.map(|f| f.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A record as a broker would hold it.
struct Written {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Written {
    fn of(record: &Json, format: &Format) -> Written {
        let bytes = |text: &Json| text.as_str().map(|t| t.as_bytes().to_vec());
        let headers = record["headers"].as_object().into_iter().flatten().map(|(name, text)| (name.clone(), bytes(text))).collect();
        let value = record.get("value").map(|value| match format {
            Format::Avro { schema, .. } => avro(schema, value),
            Format::Protobuf { set, message, .. } => protobuf(set, message, value),
            _ => value.to_string().into_bytes(),
        });
        Written { key: bytes(&record["key"]), value, headers }
    }

    fn record(&self) -> Record<'_> {
        Record {
            topic: TopicIx(0),
            partition: Partition(0),
            offset: Offset(0),
            timestamp: KAFKA_TIME,
            append_time: true,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

fn written(fixture: &Json, input: &str, source: &Source) -> Vec<Written> {
    fixture[input].as_array().expect("records").iter().map(|r| Written::of(r, &source.format)).collect()
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Number(x) => x.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Text(text) => format!("{text:?}"),
    }
}

fn prediction(decoder: &PredictionDecoder, dimensions: &[String], p: &Prediction<'_>) -> String {
    let mut features: BTreeMap<String, String> =
        p.features.iter().map(|(ix, value)| (decoder.feature_name(*ix).to_string(), shown(value))).collect();
    let doubles = p.doubles.iter().flat_map(|d| d.features());
    features.extend(doubles.map(|(ix, x)| (decoder.feature_name(ix).to_string(), x.to_string())));
    let named: BTreeMap<&String, &str> = dimensions.iter().zip(p.dimensions.iter().map(AsRef::as_ref)).collect();
    format!(
        "prediction {} at {} model {} version {:?} score {:?} label {:?} dimensions {named:?} features {features:?}",
        p.request_id,
        p.time.0,
        p.model,
        p.version.as_deref(),
        p.score,
        p.label.as_deref()
    )
}

fn outcome(o: &Outcome<'_>) -> String {
    format!("outcome {} at {} label {:?} value {:?}", o.request_id, o.time.0, o.label.as_deref(), o.value)
}

fn bad(e: BadRecord) -> String {
    format!("dead letter {}: {}", e.reason.word(), e.detail)
}

/// A line for each event, and for each record that is none.
fn events(name: &str) -> Vec<String> {
    let settings = load(&in_repository(&format!("examples/mappings/{name}.yaml"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let fixture =
        std::fs::read_to_string(in_repository(&format!("tests/fixtures/mappings/{name}.json"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let fixture: Json = serde_json::from_str(&fixture).unwrap();
    let dimensions = &settings.definitions.dimensions;
    let mut lines = Vec::new();
    let mut decoder = PredictionDecoder::new(&settings.predictions, dimensions).unwrap();
    for written in written(&fixture, "predictions", &settings.predictions) {
        let mut line = |decoder: &PredictionDecoder, p: Result<Prediction<'_>, BadRecord>| {
            lines.push(p.map(|p| prediction(decoder, dimensions, &p)).unwrap_or_else(bad));
        };
        if !decoder.each(&written.record(), &mut line) {
            lines.push("skipped prediction".to_string());
        }
    }
    let mut decoder = OutcomeDecoder::new(&settings.outcomes).unwrap();
    for written in written(&fixture, "outcomes", &settings.outcomes) {
        if !decoder.each(&written.record(), |_, o| lines.push(o.map(|o| outcome(&o)).unwrap_or_else(bad))) {
            lines.push("skipped outcome".to_string());
        }
    }
    lines
}

#[test]
fn each_recipe_turns_what_is_written_into_events() {
    let names = recipes();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let path = in_repository(&format!("tests/fixtures/mappings/{name}.txt"));
        let lines = events(&name).join("\n") + "\n";
        if std::env::var_os("DRIFTLINE_NEW_FIXTURES").is_some() {
            std::fs::write(&path, &lines).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(lines == expected, "{name}:\n{lines}\ninstead of\n{expected}");
    }
}

#[test]
fn outcomes_find_their_predictions() {
    for name in recipes() {
        let lines = events(&name);
        let ids = |kind: &str| -> BTreeSet<String> {
            lines.iter().filter_map(|l| l.strip_prefix(kind)?.split(' ').next().map(str::to_string)).collect()
        };
        let (predictions, outcomes) = (ids("prediction "), ids("outcome "));
        assert!(!outcomes.is_empty() && outcomes.is_subset(&predictions), "{name}: {outcomes:?} of {predictions:?}");
    }
}
