//! What is shipped for Kubernetes, against the program: the rights and topics that Strimzi is asked for are those that driftline needs and
//! makes; the configurations are valid.

use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::kafka::rights::{Resource, needed};
use driftline::kafka::topics::{Inputs, own_topics};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Kafka's default for `max.message.bytes`, which the inputs have unless somebody says otherwise.
const MAX_BYTES: i64 = 1_048_588;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A configuration as a pod reads it, its password beside it.
fn settings(name: &str) -> Settings {
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("password"), "secret").expect("written");
    let text = text(name).replace("/run/secrets/driftline/password", &folder.path().join("password").display().to_string());
    let env = |name: &str| (name == "POD_NAME").then(|| "driftline-7".to_string());
    load_text(name, &text, &env, folder.path()).unwrap_or_else(|e| panic!("{e}"))
}

fn words(value: &Value) -> BTreeSet<String> {
    value.as_array().expect("a list").iter().map(|v| v.as_str().expect("a word").to_string()).collect()
}

#[test]
fn configurations_are_valid_and_take_the_pods_name() {
    for name in ["base/driftline.yaml", "components/strimzi/driftline.yaml"] {
        assert_eq!(settings(name).instance, "driftline-7", "{name}");
    }
}

#[test]
fn both_configurations_describe_the_same_application() {
    let (plain, strimzi) = (settings("base/driftline.yaml"), settings("components/strimzi/driftline.yaml"));
    assert_eq!(plain.definitions.hash(), strimzi.definitions.hash());
    assert_eq!(plain.predictions.topic, strimzi.predictions.topic);
}

#[test]
fn the_user_has_the_rights_that_are_needed_and_no_others() {
    let user = &documents("components/strimzi/user.yaml")[0];
    let rights: BTreeSet<(String, BTreeSet<String>)> = user["spec"]["authorization"]["acls"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|rule| {
            let word = |name: &str| rule["resource"][name].as_str().unwrap_or("literal").to_string();
            (format!("{} {} {}", word("type"), word("name"), word("patternType")), words(&rule["operations"]))
        })
        .collect();
    let expected = needed(&settings("components/strimzi/driftline.yaml"))
        .into_iter()
        .map(|(resource, operations)| {
            let on = match resource {
                Resource::Topic(name) => format!("topic {name} literal"),
                Resource::Group(name) => format!("group {name} literal"),
                Resource::TransactionalIds(name) => format!("transactionalId {name} prefix"),
            };
            (on, operations.iter().map(|o| format!("{o:?}")).collect())
        })
        .collect();
    assert_eq!(rights, expected);
    assert_eq!(user["metadata"]["name"], "driftline", "`sasl.username` of the configuration");
}

#[test]
fn the_topics_are_those_that_topics_create_makes() {
    let topics = documents("components/strimzi/topics.yaml");
    let named = |name: &str| topics.iter().find(|t| t["metadata"]["name"] == name);
    let journal = named("fraud.journal").expect("a journal");
    let partitions = journal["spec"]["partitions"].as_i64().expect("its partitions") as i32;
    let expected = own_topics(&settings("components/strimzi/driftline.yaml"), Inputs { partitions, max_bytes: MAX_BYTES });
    assert_eq!(topics.len(), expected.len());
    for spec in expected {
        let topic = named(&spec.name).unwrap_or_else(|| panic!("no topic {}", spec.name));
        assert_eq!(topic["spec"]["partitions"], spec.partitions, "{}", spec.name);
        let config = topic["spec"]["config"].as_object().expect("settings").iter();
        let config = config.map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_string))).collect();
        assert_eq!(spec.config, config, "{}", spec.name);
    }
}

#[test]
fn keda_looks_at_the_lag_of_the_group_that_joins_and_asks_for_no_more_pods_than_partitions() {
    let (settings, topics) = (settings("base/driftline.yaml"), documents("components/strimzi/topics.yaml"));
    let scaled = &documents("components/keda/scaledobject.yaml")[0]["spec"];
    let trigger = &scaled["triggers"][0]["metadata"];
    assert_eq!(trigger["bootstrapServers"], settings.kafka.brokers);
    assert_eq!(trigger["topic"], settings.predictions.topic);
    let group = trigger["consumerGroup"].as_str().expect("a group");
    let read: Vec<Resource> = needed(&settings).into_iter().map(|right| right.0).collect();
    assert!(read.iter().any(|r| matches!(r, Resource::Group(name) if name == group)) && group.ends_with("-join"), "{group}");
    // the journal has as many partitions as the inputs
    let journal = topics.iter().find(|t| t["metadata"]["name"] == "fraud.journal").expect("a journal");
    assert_eq!(scaled["maxReplicaCount"], journal["spec"]["partitions"]);
    assert!(scaled["minReplicaCount"].as_i64().expect("a number") >= 1);
    let stateful = &documents("base/statefulset.yaml")[0];
    assert_eq!(scaled["scaleTargetRef"]["kind"], stateful["kind"]);
    assert_eq!(scaled["scaleTargetRef"]["name"], stateful["metadata"]["name"]);
}
