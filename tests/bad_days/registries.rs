//! A service whose schemas come from a registry: two writers in one topic, outages, and a start that can't succeed.

use crate::kafka::Given;
use crate::kit::{Running, ended};
use crate::registry::FakeRegistry;
use crate::scene::{Scene, given};
use apache_avro::Schema;
use apache_avro::types::Value;
use serde_json::Value as Json;
use std::time::Duration;

const OLD: &str = r#"{"type":"record","name":"P","fields":[{"name":"request_id","type":"string"},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"model","type":"string"},
    {"name":"features","type":{"type":"record","name":"F","fields":[{"name":"amount","type":"double"}]}}]}"#;
/// Another order, and more.
const NEW: &str = r#"{"type":"record","name":"P","fields":[
    {"name":"features","type":{"type":"record","name":"F","fields":[{"name":"age","type":"int"},{"name":"amount","type":"double"}]}},
    {"name":"score","type":"double","default":0.5},{"name":"model","type":"string"},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"request_id","type":"string"}]}"#;
/// Ids: the two above, JSON outcomes, an unknown kind, a schema without a model.
const OLD_ID: u32 = 1;
const NEW_ID: u32 = 2;
const JSON_ID: u32 = 3;
const UNKNOWN_ID: u32 = 4;
const WRONG_ID: u32 = 5;

fn framed(id: u32, value: Vec<u8>) -> Given {
    given([vec![0], id.to_be_bytes().to_vec(), value].concat())
}

fn avro(schema: &str, value: Json) -> Vec<u8> {
    let record = |fields: Vec<(&str, Value)>| Value::Record(fields.into_iter().map(|(n, v)| (n.to_string(), v)).collect());
    let text = |name: &str| Value::String(value[name].as_str().expect("text").to_string());
    let number = |v: &Json| Value::Double(v.as_f64().expect("a number"));
    let fields = record(vec![
        ("request_id", text("request_id")),
        ("event_time", Value::TimestampMillis(value["event_time"].as_i64().expect("a time"))),
        ("model", text("model")),
        ("score", number(&value["score"])),
        ("features", record(vec![("amount", number(&value["features"]["amount"])), ("age", Value::Int(7))])),
    ]);
    let schema = Schema::parse_str(schema).expect("a schema");
    let value = fields.resolve(&schema).expect("the value fits");
    #[allow(deprecated)]
    apache_avro::to_avro_datum(&schema, value).expect("the value fits")
}

fn registry() -> FakeRegistry {
    let fake = FakeRegistry::start();
    fake.has(OLD_ID, "AVRO", OLD);
    fake.has(NEW_ID, "AVRO", NEW);
    fake.has(JSON_ID, "JSON", "{}");
    fake.has(UNKNOWN_ID, "XSD", "<schema/>");
    fake.has(WRONG_ID, "AVRO", &OLD.replace("\"model\"", "\"modell\""));
    fake
}

fn scene(what: &str, fake: &FakeRegistry, auth: &str) -> Scene {
    Scene::new(what)
        .inputs("{ topic: TOPIC, format: registry }", "{ topic: TOPIC, format: registry }")
        .with(&format!("registry: {{ url: \"{}\"{auth} }}", fake.url))
}

/// Writes `n` pairs from `seconds` on, old and new writers in turn.
fn write_pairs(scene: &Scene, name: &str, seconds: i64, n: i64) {
    let predictions: Vec<Given> = (0..n)
        .map(|i| {
            let value = scene.prediction(&format!("{name}-{i}"), seconds + i);
            if i % 2 == 0 { framed(OLD_ID, avro(OLD, value)) } else { framed(NEW_ID, avro(NEW, value)) }
        })
        .collect();
    let outcomes: Vec<Given> =
        (0..n).map(|i| framed(JSON_ID, scene.outcome(&format!("{name}-{i}"), seconds + i + 1).to_string().into_bytes())).collect();
    scene.pen.write(&scene.topic("predictions"), &predictions);
    scene.pen.write(&scene.topic("outcomes"), &outcomes);
}

fn warnings(service: &Running) -> Vec<String> {
    service.messages().into_iter().filter(|m| m.0 != "INFO").map(|m| m.1).collect()
}

#[test]
fn old_and_new_writers_are_joined_and_bad_ids_are_dead_letters() {
    let fake = registry();
    let scene = scene("writers", &fake, "").topics(1);
    write_pairs(&scene, "a", 0, 6);
    let value = || avro(OLD, scene.prediction("bad", 10));
    let bad = [(99, "40403"), (UNKNOWN_ID, "XSD"), (WRONG_ID, "did you mean \"modell\"")];
    let records: Vec<Given> = bad.iter().map(|(id, _)| framed(*id, value())).collect();
    scene.pen.write(&scene.topic("predictions"), &records);
    write_pairs(&scene, "b", 20, 6);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 12.0);
    service.reaches("driftline_dead_letters_total", &[("input", "predictions"), ("reason", "undecodable")], 2.0);
    service.reaches("driftline_dead_letters_total", &[("input", "predictions"), ("reason", "missing_field")], 1.0);
    service.reaches("driftline_registry_schemas", &[], 5.0);
    service.stop();
    assert_eq!(scene.counts(), (12, 12));
    let letters = scene.read("dead-letters");
    for ((id, word), letter) in bad.iter().zip(&letters) {
        let message = &letter.headers["error.message"];
        assert!(message.contains(&format!("schema id {id}")) && message.contains(word), "{message}");
    }
    assert_eq!(letters.len(), 3);
    assert_eq!([OLD_ID, NEW_ID, JSON_ID].map(|id| fake.asked_for(id)), [1, 1, 1]);
}

#[test]
fn a_registry_that_fails_is_waited_for_and_nothing_is_lost_or_doubled() {
    let fake = registry();
    let scene = scene("outage", &fake, "").topics(1);
    fake.script().fails_with = Some(500);
    write_pairs(&scene, "a", 0, 6);
    let mut service = scene.run(&[]);
    service.says(&["schema registry", &fake.url, "records wait"]);
    service.says(&["schema registry", &fake.url, "status 500", "nothing is lost"]);
    let (status, body) = service.until("a page that says why", |me| me.get("/readyz").filter(|a| a.1.contains(&fake.url)));
    assert!(status == 503 && body.contains("status 500"), "{status} {body}");
    assert!(service.metric("driftline_registry_away_since_seconds", &[]) > 1.0);
    assert_eq!(service.get("/livez").map(|a| a.0), Some(200));
    write_pairs(&scene, "b", 20, 6);
    fake.script().fails_with = None;
    service.reaches("driftline_joined_total", &[], 12.0);
    service.ready();
    assert_eq!(service.metric("driftline_registry_away_since_seconds", &[]), 0.0);

    // what is known needs no registry
    fake.script().fails_with = Some(503);
    write_pairs(&scene, "c", 40, 6);
    service.reaches("driftline_joined_total", &[], 18.0);
    assert_eq!(warnings(&service).len(), 2, "one at the start and one for the outage: {:#?}", warnings(&service));
    service.stop();
    assert_eq!((scene.counts(), scene.read("dead-letters").len()), ((18, 18), 0));
}

#[test]
fn a_slow_registry_only_takes_its_time() {
    let fake = registry();
    fake.script().slow = Duration::from_millis(700);
    let scene = scene("slow", &fake, "").topics(1);
    write_pairs(&scene, "a", 0, 4);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 4.0);
    assert_eq!(warnings(&service), Vec::<String>::new());
    service.stop();
    assert_eq!(scene.counts(), (4, 4));
}

#[test]
fn a_registry_that_never_lets_us_in_ends_the_start_and_the_check() {
    let fake = registry();
    let auth = ", auth: { basic: { user: me, password: { file: password } } }";
    let scene = scene("refused", &fake, auth);
    std::fs::write(scene.file("password"), "swordfish\n").expect("written");
    let scene = scene.topics(1);
    fake.script().wants = Some("Basic bWU6c3dvcmRmaXNo".to_string()); // me:swordfish
    assert_eq!(ended(&["check", "-c", &scene.config()]).code, Some(0));
    std::fs::write(scene.file("password"), "carp\n").expect("written");
    for verb in ["check", "run"] {
        let exit = ended(&[verb, "-c", &scene.config()]);
        assert_eq!(exit.code, Some(1), "{}", exit.err);
        for word in [fake.url.as_str(), "status 401", "correct registry.auth.basic"] {
            assert!(exit.err.contains(word), "{verb}: no {word:?} in: {}", exit.err);
        }
        assert!(!exit.err.contains("carp"), "{}", exit.err);
    }
}
