//! `driftline infer`: what it proposes for topics of nobody knows which shape.

use crate::encoded::avro;
use crate::kafka::{Given, make_topic, now_ms};
use crate::kit::{Exit, PATIENCE, Running, driftline, ended};
use crate::registry::FakeRegistry;
use crate::scene::{Scene, given};
use serde_json::{Value, json};

const DECISION: &str = r#"{"type":"record","name":"Decision","fields":[
    {"name":"ref","type":{"type":"string","logicalType":"uuid"}},{"name":"made","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"model","type":"string"},{"name":"probability","type":["null","double"]},
    {"name":"market","type":{"type":"enum","name":"Market","symbols":["DE","FR"]}},
    {"name":"input","type":{"type":"record","name":"Input","fields":[{"name":"amount","type":"double"},{"name":"age","type":["null","int"]}]}}]}"#;

fn infer(scene: &Scene, flags: &[&str]) -> Exit {
    let (p, o) = (scene.topic("predictions"), scene.topic("outcomes"));
    ended(&[&["infer", "--brokers", &scene.brokers, "--predictions", &p, "--outcomes", &o], flags].concat())
}

fn write(scene: &Scene, topic: &str, n: i64, value: impl Fn(i64) -> Value) {
    let records: Vec<Given> = (0..n).map(|i| given(value(i).to_string())).collect();
    scene.pen.write(&scene.topic(topic), &records);
}

fn saved(scene: &Scene, name: &str, text: &str) -> String {
    let path = scene.file(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn id(i: i64) -> String {
    format!("00000000-0000-4000-8000-{i:012}")
}

/// 120 predictions in the bytes of `DECISION`, and the outcomes of every second one, in JSON; something stands before each.
fn write_decisions(scene: &Scene, before: impl Fn(u32) -> Vec<u8>) {
    let decision = |i: i64| {
        let value = json!({"ref": id(i), "made": scene.at(i) * 1_000, "model": "fraud", "probability": (i % 97) as f64 / 97.0,
                           "market": if i % 2 == 0 { "DE" } else { "FR" }, "input": {"amount": i as f64 * 1.5, "age": 20 + i % 40}});
        given([before(1), avro(DECISION, &value)].concat())
    };
    let outcome = |i: i64| {
        let value = json!({"decision": id(2 * i), "known_at": scene.at(2 * i + 1), "chargeback": i % 9 == 0});
        given([before(2), value.to_string().into_bytes()].concat())
    };
    scene.pen.write(&scene.topic("predictions"), &(0..120).map(decision).collect::<Vec<_>>());
    scene.pen.write(&scene.topic("outcomes"), &(0..60).map(outcome).collect::<Vec<_>>());
}

fn framing(id: u32) -> Vec<u8> {
    [vec![0], id.to_be_bytes().to_vec()].concat()
}

fn decisions() -> FakeRegistry {
    let fake = FakeRegistry::start();
    fake.has(1, "AVRO", DECISION);
    fake.has(2, "JSON", "{}");
    fake
}

/// What is printed passes `check` as it is, fits the cluster, and joins every outcome.
fn joins(scene: &Scene, page: &str) {
    let file = saved(scene, "proposed.yaml", page);
    for arguments in [&["check", "-c", &file][..], &["topics", "create", "-c", &file], &["check", "-c", &file, "--connect"]] {
        let exit = ended(arguments);
        assert_eq!(exit.code, Some(0), "{arguments:?}: {}{}\n{page}", exit.out, exit.err);
        if arguments.contains(&"--connect") {
            for line in [
                "predictions: the newest 120 records",
                "predictions.fields.score: in 100 % of the records, for example 0",
                "predictions.fields.dimensions.market: in 100 % of the records, for example \"DE\"",
                "predictions.fields.features.amount: in 100 %",
                "outcomes.fields.label: in 100 % of the records, for example \"true\"",
                "100 % of the newest 60 outcomes are of the newest 120 predictions",
            ] {
                assert!(exit.out.contains(line), "no {line} in\n{}", exit.out);
            }
            assert_eq!(exit.out.contains("predictions: written 120 with schema id 1"), page.contains("format: registry"), "{}", exit.out);
        }
    }
    let file = saved(scene, "run.yaml", &format!("{page}\nhttp: {{ listen: \"127.0.0.1:{}\" }}\n", scene.http));
    let exit = Running::start(driftline(&["run", "-c", &file, "--once"]), &scene.file("run.log"), scene.http).end(PATIENCE);
    assert_eq!(exit.code, Some(0), "{}", exit.err);
    assert_eq!((scene.counts(), scene.read("dead-letters").len()), ((120, 60), 0));
}

fn topics(scene: &Scene) {
    for input in ["predictions", "outcomes"] {
        make_topic(&scene.brokers, &scene.topic(input), 1, &[]);
    }
}

#[test]
fn a_proposal_passes_check_and_reads_the_records_it_was_made_of() {
    let scene = Scene::new("infer");
    topics(&scene);
    let second = now_ms() / 1_000 - 600;
    write(&scene, "predictions", 300, |i| {
        let country = if i % 2 == 0 { "FR" } else { "DE" };
        json!({"meta": {"ref": format!("r-{i}"), "made": second + i, "country": country}, "model": "fraud",
               "probability": (i % 97) as f64 / 97.0, "body": json!({"input": {"amount": i as f64 * 1.5, "card": "visa"}}).to_string()})
    });
    write(&scene, "outcomes", 120, |i| json!({"prediction": format!("r-{}", i * 2), "chargeback": i % 9 == 0, "note": null}));
    let said = infer(&scene, &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for line in [
        "request_id: meta.ref",
        "event_time: { path: meta.made, unit: seconds }",
        "model: model",
        "score: probability",
        "features: { path: \"json(body).input\" }",
        "country: meta.country",
        "request_id: prediction",
        "event_time: timestamp",
        "label: chargeback",
        "fraud: { task: binary, positive: \"true\" }",
        "segments: { by: [[country]] }",
        "120 of 120 ids of outcomes are among them",
    ] {
        assert!(said.out.contains(line), "no {line} in\n{}", said.out);
    }
    assert!(said.err.contains("300 of 300 predictions and 120 of 120 outcomes can be read"), "{}", said.err);
    let file = saved(&scene, "proposed.yaml", &said.out);
    let checked = ended(&["check", "-c", &file]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
}

#[test]
fn how_kafka_is_reached_comes_from_a_file_and_is_kept_letter_by_letter() {
    let scene = Scene::new("infer-file");
    topics(&scene);
    write(&scene, "predictions", 50, |i| json!({"id": i, "at": now_ms() - i, "y": i as f64 * 0.5, "input": {"x": i}}));
    write(&scene, "outcomes", 50, |i| json!({"id": i, "at": now_ms(), "actual": i as f64 * 0.7}));
    let kafka = format!("kafka:\n  brokers: \"{}\"   # ours\n  client: {{ client.id: looks }}", scene.brokers);
    let text = format!(
        "app: shop\n{kafka}\npredictions: {{ topic: {} }}\noutcomes: {{ topic: {} }}\n",
        scene.topic("predictions"),
        scene.topic("outcomes")
    );
    let file = saved(&scene, "kafka.yaml", &text);
    let said = ended(&["infer", "-c", &file, "--records", "20"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains(&kafka) && said.out.contains("value: actual") && said.out.contains("task: regression"), "{}", said.out);
    assert!(said.out.contains("from 20 records"), "{}", said.out);
}

#[test]
fn a_proposal_for_values_behind_ids_is_taken_by_check_and_run() {
    let (scene, fake) = (Scene::new("infer-ids"), decisions());
    topics(&scene);
    write_decisions(&scene, framing);
    let said = infer(&scene, &["--registry", &fake.url]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.err.contains("120 of 120 predictions and 60 of 60 outcomes can be read"), "{}", said.err);
    for line in [format!("registry: {{ url: \"{}\" }}", fake.url).as_str(), "request_id: ref", "event_time: made", "score: probability"] {
        assert!(said.out.contains(line), "no {line} in\n{}", said.out);
    }
    assert_eq!([1, 2].map(|id| fake.asked_for(id)), [1, 1], "each id is asked for once");
    joins(&scene, &said.out);
}

#[test]
fn a_proposal_for_values_by_a_schema_file_is_taken_by_check_and_run() {
    let scene = Scene::new("infer-file-avro");
    topics(&scene);
    write_decisions(&scene, |_| Vec::new());
    let schema = saved(&scene, "decision.avsc", DECISION);
    let said = infer(&scene, &["--schema", &format!("predictions={schema}")]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("format: { avro: { schema: ") && !said.out.contains("registry"), "{}", said.out);
    joins(&scene, &said.out);
}

#[test]
fn who_we_are_to_a_registry_comes_from_a_file_and_is_not_shown() {
    let (scene, fake) = (Scene::new("infer-auth"), decisions());
    topics(&scene);
    write_decisions(&scene, framing);
    fake.script().wants = Some("Basic bWU6c3dvcmRmaXNo".to_string()); // me:swordfish
    saved(&scene, "password", "swordfish\n");
    let registry = format!("registry:\n  url: {}\n  auth: {{ basic: {{ user: me, password: {{ file: password }} }} }}", fake.url);
    let input = |name: &str| format!("{name}: {{ topic: {}, format: registry }}\n", scene.topic(name));
    let text = format!("app: shop\nkafka: {{ brokers: \"{}\" }}\n{registry}\n{}{}", scene.brokers, input("predictions"), input("outcomes"));
    let said = ended(&["infer", "-c", &saved(&scene, "base.yaml", &text)]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains(&registry) && said.out.contains("request_id: ref"), "{}", said.out);
    assert!(!said.out.contains("swordfish") && !said.err.contains("swordfish"), "{}{}", said.out, said.err);
    let nobody = infer(&scene, &["--registry", &fake.url]);
    assert!(nobody.code == Some(1) && nobody.err.contains("status 401") && nobody.err.contains(&fake.url), "{}", nobody.err);
    fake.script().fails_with = Some(503);
    let away = infer(&scene, &["--registry", &fake.url]);
    assert!(away.code == Some(1) && away.err.contains("status 503") && away.err.contains(&fake.url), "{}", away.err);
}

#[test]
fn what_can_not_be_looked_at_is_told_with_what_to_do() {
    let scene = Scene::new("infer-unfit");
    topics(&scene);
    let empty = infer(&scene, &[]);
    assert!(empty.code == Some(1) && empty.err.contains("predictions is empty: write some records to it"), "{}{}", empty.out, empty.err);
    let framed: Vec<Given> = (0..9).map(|_| given("\0\0\0\0\u{7}x".to_string())).collect();
    scene.pen.write(&scene.topic("predictions"), &framed);
    write(&scene, "outcomes", 9, |i| json!({ "id": i }));
    let framed = infer(&scene, &[]);
    assert!(
        framed.code == Some(1) && framed.err.contains("begin with a schema id (7)") && framed.err.contains("--registry URL"),
        "{}{}",
        framed.out,
        framed.err
    );
    let usage = ended(&["infer", "--brokers", "b:1"]);
    assert!(usage.code == Some(2) && usage.err.contains("--predictions"), "{}{}", usage.out, usage.err);
}

#[test]
fn sizes_follow_the_configuration_unless_something_else_is_typed() {
    let scene = Scene::new("size").with("join: { window: 2h }");
    let config = scene.config();
    let said = |flags: &[&str]| -> Value {
        let exit = ended(&[&["size", "--rate", "2000", "-o", "json"], flags].concat());
        serde_json::from_str(&exit.out).unwrap_or_else(|e| panic!("{e}: {}{}", exit.out, exit.err))
    };
    assert_eq!(said(&["-c", &config])["rows"], json!(2_000.0 * 7_200.0));
    assert_eq!(said(&["-c", &config, "--window", "30d"])["rows"], json!(2_000.0 * 30.0 * 86_400.0));
    assert_eq!(said(&["--features", "40", "--segments", "25"])["streams"], json!(26 * 88));
    let text = ended(&["size", "--rate", "2000", "--window", "30d", "--features", "400", "--segments", "25"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    for part in ["processes  ", "set budget.streams to 21008 or more", "sigma within a day", "replicas: "] {
        assert!(text.out.contains(part), "no {part} in {}", text.out);
    }
    assert_eq!(said(&["-c", &config, "--labelled", "1", "--delay", "30m"])["rows"], json!(2_000.0 * 5_400.0), "half an hour, and settle");
    let none = ended(&["size", "--rate", "0"]);
    assert!(none.code == Some(1) && none.err.contains("--rate must be more than 0"), "{}{}", none.out, none.err);
}
