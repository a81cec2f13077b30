//! What is written about who changed what: one line an act, whatever the log's level is, and none for what only reads.

use crate::kafka::make_topic;
use crate::kit::{driftline, free_port};
use crate::scene::Scene;
use serde_json::Value;

/// The audit's lines in a log.
fn lines(log: &str) -> Vec<Value> {
    let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line["target"] == "audit").map(|line| line["fields"].clone()).collect()
}

/// Runs a verb, with a log that is asked for nothing but errors.
fn ended(arguments: &[&str]) -> Vec<Value> {
    let output = driftline(arguments).env("DRIFTLINE_LOG", "error").output().expect("the program starts");
    lines(&String::from_utf8_lossy(&output.stderr))
}

fn says_who(line: &Value, scene: &Scene) {
    assert_eq!((&line["app"], &line["instance"]), (&scene.app.as_str().into(), &"one-0".into()), "{line}");
    for who in ["user", "host"] {
        assert!(line[who].as_str().is_some_and(|text| !text.is_empty()), "{line}");
    }
}

#[test]
fn created_topics_are_told_by_name_and_a_second_time_there_are_none() {
    let scene = Scene::new("audit-topics");
    ["predictions", "outcomes"].iter().for_each(|input| make_topic(&scene.brokers, &scene.topic(input), 1, &[]));
    let config = scene.config();
    assert_eq!(ended(&["topics", "create", "-c", &config, "--dry-run"]), [Value::Null; 0], "nothing is changed");
    let first = ended(&["topics", "create", "-c", &config]);
    assert_eq!(first.len(), 1, "{first:?}");
    says_who(&first[0], &scene);
    assert_eq!(first[0]["action"], "topics create");
    let objects = first[0]["objects"].as_str().expect("a list");
    assert!(
        objects.split(", ").any(|topic| topic == scene.topic("summaries")) && !objects.contains(&scene.topic("predictions")),
        "{objects}"
    );
    assert!(first[0]["result"].as_str().is_some_and(|r| r.ends_with(" created, 0 there already")), "{first:?}");
    let second = ended(&["topics", "create", "-c", &config]);
    assert!(
        second.len() == 1 && second[0]["objects"] == "" && second[0]["result"].as_str().is_some_and(|r| r.starts_with("0 created, ")),
        "{second:?}"
    );
}

#[test]
fn what_fails_is_told_as_failed() {
    let scene = Scene::new("audit-failure"); // without inputs
    let told = ended(&["topics", "create", "-c", &scene.config()]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["result"].as_str().is_some_and(|r| r.starts_with("failed") && r.contains(&scene.topic("predictions"))), "{told:?}");
}

#[test]
fn proposed_definitions_are_told_by_their_hash() {
    let scene = Scene::new("audit-definitions").topics(1);
    scene.write_pairs("a", 0, 5);
    let told = |scene: &Scene| {
        let exit = scene.run_once();
        assert_eq!(exit.code, Some(0), "{}", exit.err);
        lines(&exit.err)
    };
    let first = told(&scene);
    assert!(!first.is_empty() && first.iter().all(|line| line["action"] == "propose definitions"), "{first:?}");
    says_who(&first[0], &scene);
    let hash = first[0]["objects"].as_str().expect("a hash").to_string();
    assert_eq!(hash.len(), 16, "{first:?}");
    assert!(first[0]["result"].as_str().is_some_and(|r| r.starts_with("committed")), "{first:?}");
    // a start may propose what is in force already, before it has read that it is
    assert!(told(&scene).iter().all(|line| line["objects"] == hash.as_str()));
    let second = told(&scene.with("tolerance: { psi: 0.07 }"));
    assert!(second.iter().any(|line| line["objects"] != hash.as_str() && line["result"] == first[0]["result"]), "{second:?}");
}

#[test]
fn who_is_told_alerts_is_told_too_without_what_is_secret_in_an_address() {
    let scene = Scene::new("audit-forward").topics(1);
    let webhook = format!("http://127.0.0.1:{}/hooks/secret", free_port());
    let told = ended(&["forward", "-c", &scene.config(), "--webhook", &webhook, "--once"]);
    assert_eq!(told.iter().map(|line| line["action"].as_str()).collect::<Vec<_>>(), [Some("forward"); 2], "{told:?}");
    says_who(&told[0], &scene);
    let objects = told[0]["objects"].as_str().expect("a list");
    assert!(objects.contains("127.0.0.1") && !objects.contains("secret"), "{objects}");
    assert_eq!((&told[0]["result"], &told[1]["result"]), (&"begins to tell alerts".into(), &"has ended".into()));
}
