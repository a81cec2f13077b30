//! What `driftline infer` proposes for Avro by a file, Avro by ids and JSON by ids, and what it says where it can propose nothing.
//!
//! `fixtures/infer/NAME.yaml` holds the proposals. `DRIFTLINE_NEW_FIXTURES=1` writes them anew, to be read before they are committed.

use crate::decode::Shelf;
use crate::encoded::avro;
use crate::framed;
use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::codec::framing::Framing;
use driftline::codec::writers::{SchemaKind, Schemas};
use driftline::config::load_text;
use driftline::config::settings::{Format, TimeUnit};
use driftline::infer::page::{Scene, page};
use driftline::infer::records::{Means, SchemaFile, Stored, Taken, take};
use driftline::infer::roles::{Task, roles, task};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const T: i64 = 1_760_000_000_000;
const HOPSWORKS: &str = include_str!("../../examples/mappings/hopsworks.avsc");

/// Logical types, an enum, nullable unions, docs; names say little of the score and nothing of the country.
const NEW: &str = r#"{"type":"record","name":"Decision","namespace":"com.acme","fields":[
    {"name":"trace","type":{"type":"string","logicalType":"uuid"}},
    {"name":"made","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the decision was made"},
    {"name":"signed_up","type":["null",{"type":"int","logicalType":"date"}]},
    {"name":"service","type":"string"},
    {"name":"p","type":"double","doc":"Predicted probability of fraud, calibrated on the test set of the last release of the model"},
    {"name":"explanation","type":["null","string"],"default":null},
    {"name":"origin","type":["null",{"type":"record","name":"Origin","fields":[
        {"name":"market","type":{"type":"enum","name":"Market","symbols":["DE","FR","AT"]}}]}]},
    {"name":"input","type":{"type":"record","name":"Input","fields":[
        {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
        {"name":"age","type":["null","int"]},{"name":"card","type":"string"}]}}]}"#;

fn field(i: i64) -> Value {
    json!({ "trace": format!("00000000-0000-4000-8000-{i:012}"), "made": (T + i * 1_000) * 1_000, "signed_up": (i % 3 > 0).then_some(20_000 - i), "service": "fraud",
            "p": (i % 97) as f64 / 97.0, "explanation": null, "origin": { "market": "DE" },
            "input": { "amount": format!("{}\u{1}", char::from(1 + (i % 100) as u8)), "age": (i % 5 > 0).then_some(i % 60), "card": if i % 2 == 0 { "visa" } else { "amex" } } })
}

fn stored(values: impl Iterator<Item = Vec<u8>>) -> Vec<Stored> {
    values.enumerate().map(|(i, v)| Stored { key: None, value: Some(v), headers: Vec::new(), timestamp: T + i as i64 * 1_000 }).collect()
}

fn taken(topic: &str, stored: &[Stored], file: Option<&SchemaFile>, schemas: Option<&Arc<Shelf>>) -> Result<Taken, String> {
    let schemas = schemas.map(|shelf| shelf.as_ref() as &dyn Schemas);
    take(stored, &Means { topic, format: &Format::Json, file, schemas })
}

fn file(path: &str, text: &str) -> SchemaFile {
    SchemaFile { path: PathBuf::from(path), text: text.to_string(), own: false }
}

/// The proposal must be the fixture, be right, and read all records that it was made of but so many.
fn golden(name: &str, stored: [&[Stored]; 2], taken: [&Taken; 2], schemas: Option<&Arc<Shelf>>, folder: &str, but: usize) {
    let (predictions, outcomes) = roles((&taken[0].places, &taken[0].samples), (&taken[1].places, &taken[1].samples));
    let scene = Scene {
        app: "shop".to_string(),
        kafka: "kafka: { brokers: \"kafka:9092\" }".to_string(),
        registry: schemas.map_or(String::new(), |_| "registry: { url: \"http://registry:8081\" }".to_string()),
        topics: ["shop.p", "shop.o"],
        formats: taken.map(|t| &t.format),
        schemas: taken.map(|t| t.schemas.as_slice()),
        records: taken.map(|t| t.samples.len()),
    };
    let text = page(&scene, taken.map(|t| &t.places), &predictions, &outcomes);
    let in_repository = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let path = in_repository(&format!("tests/fixtures/infer/{name}.yaml"));
    if std::env::var_os("DRIFTLINE_NEW_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, &text).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(text == expected, "{name}:\n{text}\ninstead of\n{expected}");

    let settings = load_text(name, &text, &|_| None, &in_repository(folder)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let schemas = || schemas.map(|shelf| shelf.clone() as Arc<dyn Schemas>);
    let mut decoder = PredictionDecoder::with(&settings.predictions, &settings.definitions.dimensions, schemas()).expect("a decoder");
    let mut ids = Vec::new();
    for stored in stored[0] {
        assert!(decoder.ready(&stored.record()));
        ids.extend(decoder.decode(&stored.record()).map(|p| p.request_id.to_string()));
    }
    let mut decoder = OutcomeDecoder::with(&settings.outcomes, schemas()).expect("a decoder");
    for stored in stored[1] {
        assert!(decoder.ready(&stored.record()));
        let id = decoder.decode(&stored.record()).unwrap_or_else(|e| panic!("{e}\n{text}")).request_id.to_string();
        assert!(ids.contains(&id), "{id} joins with nothing");
    }
    assert_eq!(ids.len() + but, stored[0].len());
}

/// What Hopsworks logs of a response.
fn log(i: i64) -> Value {
    let payload = json!({ "predictions": [(i % 91) as f64 / 91.0] }).to_string();
    json!({ "servingId": 7, "modelName": "fraud", "modelVersion": 2, "requestTimestamp": T + i * 1_000, "responseHttpCode": 200,
            "inferenceId": format!("f3a{i}"), "messageType": "response", "payload": payload })
}

#[test]
fn the_same_records_have_the_same_roles_in_json_and_in_avro() {
    let by = file("hopsworks.avsc", HOPSWORKS);
    let all = [stored((0..120).map(|i| avro(HOPSWORKS, &log(i)))), stored((0..120).map(|i| log(i).to_string().into_bytes()))];
    let roles_of = |stored: &[Stored]| {
        let taken = taken("p", stored, Some(&by), None).unwrap();
        let (p, _) = roles((&taken.places, &taken.samples), (&taken.places, &taken.samples));
        let singles = [p.id, p.time.map(|t| t.0), p.model, p.version, p.score, p.label].map(|f| f.map(|f| f.0.clone()));
        (matches!(taken.format, Format::Json), (singles, p.features, p.dimensions.len()))
    };
    let [(avro_is_json, in_avro), (json_is_json, in_json)] = all.map(|stored| roles_of(&stored));
    assert!(!avro_is_json && json_is_json && in_avro == in_json && in_json.0[0].is_some(), "{in_avro:?}\n{in_json:?}");
}

#[test]
fn avro_by_a_file_is_looked_into_as_deep_as_json() {
    let p = stored((0..120).map(|i| avro(HOPSWORKS, &log(i))));
    let o = stored((0..40).map(|i| {
        json!({ "request_id": format!("f3a{}", i * 3), "label": if i % 2 == 0 { "none" } else { "fraud" } }).to_string().into_bytes()
    }));
    let by = file("hopsworks.avsc", HOPSWORKS);
    let (of_p, of_o) = (taken("shop.p", &p, Some(&by), None).unwrap(), taken("shop.o", &o, Some(&by), None).unwrap());
    golden("avro-file", [&p, &o], [&of_p, &of_o], None, "examples/mappings", 0);
}

#[test]
fn schemas_by_ids_are_evidence_and_fields_that_few_records_lack_are_told() {
    let old = NEW.replace(r#"{"name":"p","type":"double""#, r#"{"name":"p_old","type":"double""#);
    let shelf = Shelf::of(&[(11, SchemaKind::Avro, &old), (12, SchemaKind::Avro, NEW), (13, SchemaKind::Json, "{}")]);
    let p = stored((0..200).map(|i| match i {
        0..4 => {
            let mut value = field(i);
            value["p_old"] = value["p"].take();
            framed(11, &avro(&old, &value))
        }
        _ => framed(12, &avro(NEW, &field(i))),
    }));
    let o = stored((4..104).map(|i| framed(13, json!({ "decision": field(i)["trace"], "chargeback": i % 9 == 0 }).to_string().as_bytes())));
    let (of_p, of_o) = (taken("shop.p", &p, None, Some(&shelf)).unwrap(), taken("shop.o", &o, None, Some(&shelf)).unwrap());
    golden("registry", [&p, &o], [&of_p, &of_o], Some(&shelf), "", 4);
}

#[test]
fn what_a_good_part_of_the_records_lacks_is_not_mapped() {
    let old = NEW.replace(r#"{"name":"p","type":"double""#, r#"{"name":"p_old","type":"double""#);
    let shelf = Shelf::of(&[(11, SchemaKind::Avro, &old), (12, SchemaKind::Avro, NEW)]);
    let p = stored((0..200).map(|i| match i % 2 {
        0 => {
            let mut value = field(i);
            value["p_old"] = value["p"].take();
            framed(11, &avro(&old, &value))
        }
        _ => framed(12, &avro(NEW, &field(i))),
    }));
    let of_p = taken("shop.p", &p, None, Some(&shelf)).unwrap();
    let (roles, _) = roles((&of_p.places, &of_p.samples), (&of_p.places, &of_p.samples));
    assert!(roles.score.is_none() && roles.id.is_some_and(|f| f.1.name() == "trace"), "{:?}", roles.score);
    assert_eq!(of_p.schemas, [("schema id 11 of p-value".to_string(), 100), ("schema id 12 of p-value".to_string(), 100)]);
}

#[test]
fn an_instant_that_was_a_plain_number_before_is_one_time() {
    let new = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"int"},
        {"name":"a","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
        {"name":"b","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
    let old = new.replace(r#"{"type":"long","logicalType":"timestamp-micros"}"#, r#""long""#);
    let shelf = Shelf::of(&[(1, SchemaKind::Avro, &old), (2, SchemaKind::Avro, new)]);
    let p = stored((0..40).map(|i| {
        let (id, schema, factor) = if i < 20 { (1, old.as_str(), 1) } else { (2, new, 1_000) };
        framed(id, &avro(schema, &json!({ "id": i, "a": T + i, "b": (T + i) * factor })))
    }));
    let taken = taken("p", &p, None, Some(&shelf)).unwrap();
    let (roles, _) = roles((&taken.places, &taken.samples), (&taken.places, &taken.samples));
    // both are times near those of the records; one of them may be null
    assert_eq!(roles.time.map(|(found, unit)| (found.1.name(), unit)), Some(("b", TimeUnit::Auto)));
}

#[test]
fn an_enum_says_which_classes_there_are_even_if_few_were_seen() {
    let task_of = |symbols: &str, seen: &[&str]| {
        let schema = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"id","type":"int"}},{{"name":"label","type":{{"type":"enum","name":"E","symbols":{symbols}}}}}]}}"#
        );
        let o = stored((0..20).map(|i| avro(&schema, &json!({ "id": i, "label": seen[i % seen.len()] }))));
        let taken = taken("o", &o, Some(&file("o.avsc", &schema)), None).unwrap();
        task(&roles((&taken.places, &taken.samples), (&taken.places, &taken.samples)).1)
    };
    assert_eq!(task_of(r#"["GOOD","FRAUD"]"#, &["GOOD"]), Some(Task::Binary("FRAUD".to_string())));
    assert_eq!(task_of(r#"["A","B","C"]"#, &["A", "B"]), Some(Task::Multiclass));
    assert_eq!(task_of(r#"["A"]"#, &["A"]), None, "one class is nothing to tell apart");
}

#[test]
fn a_file_reads_values_behind_ids_too_and_the_registry_goes_before_a_file_for_both() {
    let p = stored((0..20).map(|i| framed(12, &avro(NEW, &field(i)))));
    let by = file("new.avsc", NEW);
    let format = |file: &SchemaFile, shelf| taken("p", &p, Some(file), shelf).unwrap().format;
    let shelf = Shelf::of(&[(12, SchemaKind::Avro, NEW)]);
    assert!(matches!(format(&by, None), Format::Avro { framing: Framing::Confluent, .. }));
    assert!(matches!(format(&by, Some(&shelf)), Format::Registry { .. }));
    assert!(matches!(format(&SchemaFile { own: true, ..by.clone() }, Some(&shelf)), Format::Avro { framing: Framing::Confluent, .. }));
}

#[test]
fn single_objects_and_values_of_glue_are_recognised_by_what_stands_before_them() {
    let fingerprint = Schema::parse_str(NEW).unwrap().fingerprint::<Rabin>().bytes;
    let heads = [(Framing::SingleObject, [&[0xc3, 0x01][..], &fingerprint].concat()), (Framing::Glue, [&[3, 0][..], &[9; 16]].concat())];
    for (expected, head) in heads.into_iter().chain([(Framing::Bare, Vec::new())]) {
        let p = stored((0..20).map(|i| [&head[..], &avro(NEW, &field(i))].concat()));
        let taken = taken("p", &p, Some(&file("new.avsc", NEW)), None).unwrap();
        assert!(matches!(taken.format, Format::Avro { framing, .. } if framing == expected), "{expected:?}");
        assert_eq!(taken.samples.len(), 20);
    }
}

#[test]
fn what_can_not_be_read_is_told_with_what_to_do() {
    let said = |stored: &[Stored], file: Option<&SchemaFile>, shelf: Option<&Arc<Shelf>>| match taken("shop.p", stored, file, shelf) {
        Ok(taken) => panic!("{} samples by {:?}", taken.samples.len(), taken.format),
        Err(why) => why,
    };
    let by_id = stored((0..20).map(|i| framed(12, &avro(NEW, &field(i)))));
    let bare = stored((0..20).map(|i| avro(NEW, &field(i))));
    let protobuf = Shelf::of(&[(12, SchemaKind::Protobuf, "message P {}")]);
    let other = Shelf::of(&[(12, SchemaKind::Other("XSD".to_string()), "<schema/>")]);
    for (why, words) in [
        (said(&by_id, None, None), ["begin with a schema id (12)", "--registry URL"]),
        (said(&by_id, None, Some(&protobuf)), ["schema id 12 of p-value is of type PROTOBUF", "write the fields yourself"]),
        (said(&by_id, None, Some(&other)), ["schema id 12 of p-value is of type XSD", "let the producer write Avro, Protobuf or JSON"]),
        (said(&by_id, None, Some(&Shelf::of(&[]))), ["schema id 12 is not to be had", "40403"]),
        (said(&bare, None, None), ["neither JSON objects nor", "--schema FILE"]),
        (said(&bare, Some(&file("h.avsc", HOPSWORKS)), None), ["20 of the newest 20 records", "does not fit the Avro schema"]),
        (said(&bare, Some(&file("h.avsc", "{")), None), ["h.avsc", "no Avro schema"]),
    ] {
        assert!(words.iter().all(|word| why.contains(word)), "{words:?}: {why}");
    }
}
