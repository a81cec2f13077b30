//! `driftline check --connect`: what it says of a cluster and of records that fit the configuration, and of those that don't.

use crate::encoded::avro;
use crate::kafka::{Given, make_topic, now_ms};
use crate::kit::{Exit, ended};
use crate::registry::FakeRegistry;
use crate::scene::{Scene, given};
use serde_json::{Value, json};

fn check(scene: &Scene, flags: &[&str]) -> Exit {
    let config = scene.config();
    ended(&[&["check", "-c", &config, "--connect"], flags].concat())
}

/// The findings in JSON: (level, text, remedy).
fn found(scene: &Scene) -> (Option<i32>, Vec<(String, String, String)>) {
    let exit = check(scene, &["-o", "json"]);
    let said: Value = serde_json::from_str(exit.out.trim()).unwrap_or_else(|e| panic!("{e}: {}{}", exit.out, exit.err));
    let text = |f: &Value, name: &str| f[name].as_str().expect("text").to_string();
    let all = said["findings"].as_array().expect("a list").iter();
    (exit.code, all.map(|f| (text(f, "level"), text(f, "text"), text(f, "remedy"))).collect())
}

fn has(found: &[(String, String, String)], level: &str, words: &[&str]) {
    let fits = |f: &(String, String, String)| f.0 == level && words.iter().all(|w| f.1.contains(w) || f.2.contains(w));
    assert!(found.iter().any(fits), "no finding {level} with {words:?} in {found:#?}");
}

/// 300 pairs that end now, in partition i of 2 by number; outcomes may be moved to the other partition.
fn write(scene: &Scene, moved: bool, change: impl Fn(i64, Value) -> Value) {
    let seconds = (now_ms() - scene.at(0)) / 1_000;
    let record = |i: i64, other: bool, value: Value| Given { partition: ((i + i64::from(other)) % 2) as i32, ..given(value.to_string()) };
    let predictions: Vec<Given> =
        (0..300).map(|i| record(i, false, change(i, scene.prediction(&format!("id-{i}"), seconds - 300 + i)))).collect();
    let outcomes: Vec<Given> = (0..300).map(|i| record(i, moved, scene.outcome(&format!("id-{i}"), seconds - 300 + i))).collect();
    scene.pen.write(&scene.topic("predictions"), &predictions);
    scene.pen.write(&scene.topic("outcomes"), &outcomes);
}

#[test]
fn all_is_well() {
    let scene = Scene::new("connect-well").with("models: { m: { task: binary, positive: '1' } }").topics(2);
    write(&scene, false, |_, p| p);
    let (code, found) = found(&scene);
    assert_eq!((code, found.iter().filter(|f| f.0 != "fine").count()), (Some(0), 0), "{found:#?}");
    has(&found, "fine", &["2 partitions"]);
    has(&found, "fine", &["predictions: the newest 300 records", "can be read"]);
    has(&found, "fine", &["predictions.fields.features.amount: in 100 % of the records, for example 10.5"]);
    has(&found, "fine", &["100 % of the newest 300 outcomes are of the newest 300 predictions"]);
    let text = check(&scene, &["--records", "100"]);
    assert!(text.code == Some(0) && text.out.contains("ok     predictions: the newest 100 records"), "{}{}", text.out, text.err);
}

#[test]
fn records_that_do_not_fit_are_told_with_place_and_remedy() {
    let scene = Scene::new("connect-unfit").inputs("{ topic: TOPIC, fields: { score: probability } }", "{ topic: TOPIC }").topics(2);
    write(&scene, true, |i, mut p| {
        if i % 3 == 0 {
            p["event_time"] = json!("yesterday");
        }
        p
    });
    let (code, found) = found(&scene);
    assert_eq!(code, Some(1));
    has(&found, "wrong", &["33.3", "would be dead letters", "bad_time", "event_time", "correct the mapping"]);
    has(&found, "note", &["predictions.fields.score: in none of 200 records"]);
    has(&found, "wrong", &["lie in another partition than their predictions", "murmur2"]);
    let text = check(&scene, &[]);
    assert!(text.out.contains("WRONG  ") && text.err.contains("finding(s) must be put right"), "{}{}", text.out, text.err);
}

#[test]
fn times_in_another_unit_and_topics_that_are_not_there_are_told() {
    let scene = Scene::new("connect-times").topics(2);
    write(&scene, false, |_, mut p| {
        p["event_time"] = json!(p["event_time"].as_i64().expect("a time") / 1_000);
        p
    });
    has(&found(&scene).1, "wrong", &["would be dead letters", "bad_time", "Seconds? Set `unit: seconds`"]);
    let bare = Scene::new("connect-bare");
    has(&found(&bare).1, "wrong", &[&format!("topic {} does not exist: create it (it is yours", bare.topic("predictions"))]);
    for input in ["predictions", "outcomes"] {
        make_topic(&bare.brokers, &bare.topic(input), 1, &[]);
    }
    let (code, found) = found(&bare);
    assert_eq!(code, Some(1));
    has(&found, "wrong", &["journal does not exist", "driftline topics create"]);
    has(&found, "note", &["predictions: ", "is empty"]);
}

#[test]
fn a_field_that_a_schema_lacks_is_told_with_those_it_has() {
    const OLD: &str = r#"{"type":"record","name":"P","fields":[{"name":"request_id","type":"string"},{"name":"event_time","type":"long"},
        {"name":"model","type":"string"},{"name":"probabilty","type":"double"}]}"#;
    let fake = FakeRegistry::start();
    fake.has(7, "AVRO", OLD);
    fake.has(8, "AVRO", &OLD.replace("probabilty", "probability"));
    let inputs = ("{ topic: TOPIC, format: registry, fields: { score: probability } }", "{ topic: TOPIC }");
    let scene = Scene::new("connect-ids").inputs(inputs.0, inputs.1).with(&format!("registry: {{ url: \"{}\" }}", fake.url)).topics(1);
    let seconds = (now_ms() - scene.at(0)) / 1_000 - 300;
    let prediction = |i: i64| {
        let mut value = scene.prediction(&format!("id-{i}"), seconds + i);
        let (id, name) = if i < 20 { (7u32, "probabilty") } else { (8, "probability") };
        value[name] = value["score"].take();
        value.as_object_mut().expect("an object").retain(|k, _| ["request_id", "event_time", "model", name].contains(&k.as_str()));
        given([vec![0], id.to_be_bytes().to_vec(), avro(&OLD.replace("probabilty", name), &value)].concat())
    };
    scene.pen.write(&scene.topic("predictions"), &(0..300).map(prediction).collect::<Vec<_>>());
    scene.write("outcomes", (20..300).map(|i| scene.outcome(&format!("id-{i}"), seconds + i)));
    let (code, found) = found(&scene);
    assert_eq!(code, Some(1));
    let lacks = [
        "20 missing_field",
        "schema id 7 has no field \"probability\"",
        "did you mean \"probabilty\"? known: request_id, event_time, model",
    ];
    has(&found, "wrong", &lacks);
    has(&found, "fine", &["predictions: written 20 with schema id 7, 280 with schema id 8"]);
    has(&found, "fine", &["predictions.fields.score: in 100 % of the records, for example 0.25"]);
    has(&found, "fine", &["100 % of the newest 280 outcomes are of the newest 280 predictions"]);
    assert_eq!([7, 8].map(|id| fake.asked_for(id)), [1, 1]);

    // a registry that lets us in and then fails is no fault of the records, and no reason to call the topic empty
    fake.script().fails_at = Some(("/schemas/ids/7".to_string(), 500));
    let (code, found) = self::found(&scene);
    assert_eq!(code, Some(1));
    has(&found, "wrong", &["300 records could not be looked at", &fake.url, "status 500", "look again"]);
    assert!(!found.iter().any(|f| ["dead letters", "is empty"].iter().any(|w| f.1.contains(w))), "{found:#?}");
    has(&found, "fine", &["outcomes: the newest 280 records"]);
}

#[test]
fn nobody_at_the_address_is_told_soon() {
    let scene = Scene::on(&format!("127.0.0.1:{}", crate::kit::free_port()), "connect-nobody");
    let (code, found) = found(&scene);
    assert_eq!(code, Some(1));
    has(&found, "wrong", &["no broker answers at"]);
}
