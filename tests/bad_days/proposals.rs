//! `driftline infer`: what it proposes for topics of nobody knows which shape.

use crate::kafka::{Given, make_topic, now_ms};
use crate::kit::{Exit, ended};
use crate::scene::{Scene, given};
use serde_json::{Value, json};

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
fn what_can_not_be_looked_at_is_told_with_what_to_do() {
    let scene = Scene::new("infer-unfit");
    topics(&scene);
    let empty = infer(&scene, &[]);
    assert!(empty.code == Some(1) && empty.err.contains("predictions is empty: write some records to it"), "{}{}", empty.out, empty.err);
    let framed: Vec<Given> = (0..9).map(|_| given("\0\0\0\0\u{7}x".to_string())).collect();
    scene.pen.write(&scene.topic("predictions"), &framed);
    write(&scene, "outcomes", 9, |i| json!({ "id": i }));
    let framed = infer(&scene, &[]);
    assert!(framed.code == Some(1) && framed.err.contains("begin with a schema id (7)"), "{}{}", framed.out, framed.err);
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
