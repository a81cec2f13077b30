//! A broker with an alerts topic, events on it, and the program beside it.

use driftline::broker::{Embedded, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The alerts topic.
pub const TOPIC: &str = "shop.alerts";

/// A broker with an alerts topic of two partitions, and a configuration that names it.
#[allow(dead_code)] // not all who use it need all of it
pub struct Scene {
    pub broker: Embedded,
    pub dir: TempDir,
}

#[allow(dead_code)]
impl Scene {
    pub fn new() -> Scene {
        let scene = Scene::without_topic();
        scene.make_topic(TOPIC, 2);
        scene
    }

    pub fn make_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(&self.client()).expect("an admin client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new())).expect("an answer");
        made.into_iter().for_each(|m| drop(m.expect("a new topic")));
    }

    pub fn without_topic() -> Scene {
        let scene = Scene { broker: Embedded::start(Options::default()).expect("a free port"), dir: TempDir::new().expect("a folder") };
        scene.configure(&scene.broker.address(), "json");
        scene
    }

    pub fn configure(&self, brokers: &str, format: &str) {
        let text = format!(
            "app: shop\nkafka: {{ brokers: \"{brokers}\" }}\npredictions: {{ topic: p }}\noutcomes: {{ topic: o }}\nalerts: {{ format: {format} }}\n"
        );
        std::fs::write(self.config(), text).expect("written");
    }

    pub fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("driftline.yaml")
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.address());
        config
    }

    /// Publishes values to partitions as driftline does: in one transaction, which is committed or given up.
    pub fn publish(&self, values: &[(i32, &[u8])], commit: bool) {
        self.publish_at(values, commit, None);
    }

    /// The same, with a timestamp of Kafka's (ms since 1970).
    pub fn publish_at(&self, values: &[(i32, &[u8])], commit: bool, written: Option<i64>) {
        let mut config = self.client();
        config.set("transactional.id", "shop-detect-one-0000-0000");
        let producer = BaseProducer::from_config(&config).expect("a producer");
        producer.init_transactions(PATIENCE).expect("a producer's id");
        producer.begin_transaction().expect("a transaction");
        for (partition, value) in values {
            let record: BaseRecord<'_, str, [u8]> = BaseRecord::to(TOPIC).partition(*partition).key("fingerprint");
            let record = BaseRecord { timestamp: written, ..record };
            producer.send(record.payload(value)).map_err(|e| e.0).expect("queued");
        }
        producer.flush(PATIENCE).expect("delivered");
        let end = if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
        end.expect("an end");
    }

    /// The program with a verb, this scene's configuration and flags.
    pub fn command(&self, verb: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
        command.arg(verb).arg("-c").arg(self.config()).args(flags).env_remove("DRIFTLINE_LOG").stdin(Stdio::null());
        command
    }

    /// What the program has said when it has ended; on a screen of 90 columns.
    pub fn said(&self, verb: &str, flags: &[&str]) -> Said {
        let output = self.command(verb, flags).env("COLUMNS", "90").output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// What a finished process has said.
#[allow(dead_code)] // not all who use it need all of it
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The alert whose bytes are frozen, with these fields.
pub fn alert(fields: Value) -> Vec<u8> {
    let mut alert: Value = serde_json::from_str(include_str!("../fixtures/alert.json")).expect("a fixture");
    for (name, value) in fields.as_object().expect("fields") {
        alert[name] = value.clone();
    }
    serde_json::to_vec(&alert).expect("JSON")
}
