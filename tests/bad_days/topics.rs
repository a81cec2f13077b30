//! Topics and configurations that are not as they must be: the program ends at once and says what to do.

use crate::kafka::{make_topic, unique};
use crate::kit::{driftline, ended};
use crate::scene::Scene;

/// Ends with code 1 and says all of `words`.
fn refuses(scene: &Scene, words: &[&str]) {
    let exit = scene.run_once();
    assert_eq!(exit.code, Some(1), "{}", exit.err);
    words.iter().for_each(|w| assert!(exit.err.contains(w), "no {w:?} in: {}", exit.err));
    assert!(!exit.err.contains("panicked"), "{}", exit.err);
}

#[test]
fn unequal_partition_counts() {
    let scene = Scene::new("unequal");
    let (predictions, outcomes) = (scene.topic("predictions"), scene.topic("outcomes"));
    make_topic(&scene.brokers, &predictions, 2, &[]);
    make_topic(&scene.brokers, &outcomes, 3, &[]);
    refuses(&scene, &[&format!("{predictions} has 2 partitions, {outcomes} has 3"), "same number", "Re-create"]);
    let made = ended(&["topics", "create", "-c", &scene.config()]);
    assert_eq!(made.code, Some(1));
    assert!(made.err.contains("Re-create"), "{}", made.err);
}

#[test]
fn a_missing_input_topic() {
    let scene = Scene::new("no-input");
    make_topic(&scene.brokers, &scene.topic("predictions"), 1, &[]);
    refuses(&scene, &[&format!("topic {} does not exist", scene.topic("outcomes")), "create it", "or correct the name"]);
}

#[test]
fn missing_own_topics() {
    let scene = Scene::new("no-own");
    for input in ["predictions", "outcomes"] {
        make_topic(&scene.brokers, &scene.topic(input), 1, &[]);
    }
    let names =
        ["journal", "summaries", "plan", "state", "alerts", "dead-letters"].map(|t| format!("topic {} does not exist", scene.topic(t)));
    let mut words: Vec<&str> = names.iter().map(String::as_str).collect();
    words.push("driftline topics create");
    refuses(&scene, &words);
}

#[test]
fn a_compacted_input_topic() {
    let scene = Scene::new("compacted");
    make_topic(&scene.brokers, &scene.topic("predictions"), 1, &[("cleanup.policy", "compact")]);
    make_topic(&scene.brokers, &scene.topic("outcomes"), 1, &[]);
    refuses(&scene, &[&format!("{} is compacted", scene.topic("predictions")), "cleanup.policy=delete"]);
}

#[test]
fn an_own_topic_that_would_lose_data() {
    let scene = Scene::new("loses");
    for input in ["predictions", "outcomes"] {
        make_topic(&scene.brokers, &scene.topic(input), 1, &[]);
    }
    make_topic(&scene.brokers, &scene.topic("journal"), 1, &[("retention.ms", "3600000")]);
    make_topic(&scene.brokers, &scene.topic("state"), 2, &[("cleanup.policy", "compact")]);
    assert_eq!(ended(&["topics", "create", "-c", &scene.config()]).code, Some(0));
    refuses(
        &scene,
        &[
            &format!("{} must keep everything (retention.ms=-1", scene.topic("journal")),
            &format!("topic {} has 2 partitions and needs 1", scene.topic("state")),
        ],
    );
}

#[test]
fn dead_letters_that_could_not_hold_every_record() {
    let scene = Scene::new("small-letters");
    for input in ["predictions", "outcomes"] {
        make_topic(&scene.brokers, &scene.topic(input), 1, &[("max.message.bytes", "20000000")]);
    }
    make_topic(&scene.brokers, &scene.topic("dead-letters"), 1, &[("max.message.bytes", "4000000")]);
    assert_eq!(ended(&["topics", "create", "-c", &scene.config()]).code, Some(0));
    refuses(&scene, &[&scene.topic("dead-letters"), "4000000", "20000000", "max.message.bytes=40000000"]);
}

#[test]
fn mistakes_in_the_configuration_are_reported_all_at_once() {
    let scene =
        Scene::new("typos").with("idle_timout: 5s\npanes: { size: 7s }\nsegments: { by: [[contry]] }\nbudget: { false_alarms: -1 }");
    let path = scene.config();
    let exit = scene.run_once();
    assert_eq!(exit.code, Some(2), "{}", exit.err);
    let line = |text: &str| std::fs::read_to_string(&path).expect("the file").lines().position(|l| l.contains(text)).expect("a line") + 1;
    for (text, word) in [("idle_timout", "idle_timeout"), ("size: 7s", "day"), ("false_alarms: -1", "false_alarms")] {
        let place = format!("{path}:{}: ", line(text));
        let said = exit.err.lines().find(|l| l.starts_with(&place)).unwrap_or_else(|| panic!("nothing about {place} in: {}", exit.err));
        let block = exit.err.split_once(said).map_or("", |b| b.1);
        assert!(said.contains(word) || block.contains(word), "no {word:?} at {place}: {}", exit.err);
    }
}

#[test]
fn a_configuration_that_is_not_there() {
    let name = format!("/tmp/{}.yaml", unique("nowhere"));
    let exit = ended(&["run", "-c", &name]);
    assert_eq!(exit.code, Some(2), "{}", exit.err);
    assert!(exit.err.contains(&name), "{}", exit.err);
}

#[test]
fn an_http_port_that_is_taken() {
    let scene = Scene::new("port").topics(1);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let config = std::fs::read_to_string(scene.config()).expect("the file").replace(&format!(":{}\"", scene.http), &format!(":{port}\""));
    let path = scene.file("taken.yaml");
    std::fs::write(&path, config).expect("written");
    let output = driftline(&["run", "-c", &path.display().to_string()]).output().expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains(&format!("http.listen 127.0.0.1:{port}")) && err.contains("in use"), "{err}");
}

#[cfg(not(any(feature = "tls", feature = "tls-vendored")))]
#[test]
fn a_secured_cluster_and_a_build_without_tls() {
    let scene = Scene::new("no-tls").client("security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, sasl.username: driftline");
    refuses(&scene, &["this driftline was built without TLS and SCRAM", "--features tls-vendored"]);
    let scene = Scene::new("no-scram").client("security.protocol: SASL_PLAINTEXT, sasl.mechanism: SCRAM-SHA-512, sasl.username: driftline");
    refuses(&scene, &["this driftline was built without TLS and SCRAM", "--features tls-vendored"]);
}
