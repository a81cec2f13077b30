//! A scene: an application with a configuration of its own, its topics, and records that a user's services would write.

use crate::kafka::{Given, Pen, Seen, make_topics, now_ms, read_all, shared, unique};
use crate::kit::{Exit, Running, driftline, free_port};
use driftline::codec::wire::{Kind, Reader};
use driftline::config::load;
use driftline::engine::partial::{self, Partial};
use driftline::engine::summary::cell::Counts;
use driftline::kafka::topics::{Inputs, TopicSpec, own_topics};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Everything that one test needs.
pub struct Scene {
    pub brokers: String,
    pub app: String,
    pub http: u16,
    pub pen: Pen,
    dir: TempDir,
    extra: Vec<String>,
    client: String,
    predictions: String,
    outcomes: String,
    door: String,
    began: i64,
}

impl Scene {
    /// On the shared broker, under a name of its own.
    pub fn new(what: &str) -> Scene {
        Scene::on(&shared(), &unique(what))
    }

    /// On a broker, as the application `app`.
    pub fn on(brokers: &str, app: &str) -> Scene {
        Scene {
            brokers: brokers.to_string(),
            app: app.to_string(),
            http: free_port(),
            pen: Pen::new(brokers),
            dir: TempDir::new().expect("a folder"),
            extra: Vec::new(),
            client: String::new(),
            predictions: "{ topic: TOPIC }".to_string(),
            outcomes: "{ topic: TOPIC }".to_string(),
            door: String::new(),
            began: (now_ms() / 60_000 - 60) * 60_000, // an hour ago, on a pane's border
        }
    }

    /// Adds lines to the configuration.
    pub fn with(mut self, yaml: &str) -> Scene {
        self.extra.push(yaml.to_string());
        self
    }

    /// Puts other lines in the place of those that `with` has added.
    pub fn rewrite(&mut self, yaml: &str) {
        self.extra = vec![yaml.to_string()];
    }

    /// Properties of the Kafka client.
    pub fn client(mut self, properties: &str) -> Scene {
        self.client = properties.to_string();
        self
    }

    /// Settings of the two inputs; `TOPIC` stands for the topic's name.
    pub fn inputs(mut self, predictions: &str, outcomes: &str) -> Scene {
        (self.predictions, self.outcomes) = (predictions.to_string(), outcomes.to_string());
        self
    }

    /// Further settings of the HTTP listener.
    pub fn door(mut self, settings: &str) -> Scene {
        self.door = settings.to_string();
        self
    }

    /// Event times count from here.
    pub fn beginning(mut self, began: i64) -> Scene {
        self.began = began;
        self
    }

    /// Full name of a topic of the application.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.app)
    }

    /// A file in the scene's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration; its path.
    pub fn config(&self) -> String {
        let path = self.file("driftline.yaml");
        let side = |text: &str, name: &str| text.replace("TOPIC", &self.topic(name));
        let text = format!(
            "app: {}\nkafka: {{ brokers: \"{}\", client: {{ {} }} }}\npredictions: {}\noutcomes: {}\nhttp: {{ listen: \"127.0.0.1:{}\" {} }}\n\
             epoch: {{ time: 200ms }}\nsummaries: {{ partitions: 1 }}\ninstance: one-0\n{}\n",
            self.app,
            self.brokers,
            self.client,
            side(&self.predictions, "predictions"),
            side(&self.outcomes, "outcomes"),
            self.http,
            self.door,
            self.extra.join("\n")
        );
        std::fs::write(&path, text).expect("the configuration is written");
        path.display().to_string()
    }

    /// Makes the inputs and driftline's own topics (`driftline topics create` has its tests in `topics`; one request is quicker).
    pub fn topics(self, partitions: i32) -> Scene {
        make_topics(&self.brokers, &self.all_topics(partitions));
        self
    }

    /// The inputs, with room for long records, and driftline's own topics.
    pub fn all_topics(&self, partitions: i32) -> Vec<TopicSpec> {
        let max_bytes = 10_000_000;
        let settings = load(Path::new(&self.config())).expect("the configuration is right");
        let config = BTreeMap::from([("max.message.bytes".to_string(), max_bytes.to_string())]);
        let input = |name| TopicSpec { name: self.topic(name), partitions, config: config.clone() };
        let mut all = own_topics(&settings, Inputs { partitions, max_bytes });
        all.extend(["predictions", "outcomes"].map(input));
        all
    }

    /// Starts `driftline run`.
    pub fn run(&self, flags: &[&str]) -> Running {
        self.run_as("run.log", &[], flags)
    }

    /// Starts `driftline run` with its log in `log` and further variables in its environment.
    pub fn run_as(&self, log: &str, env: &[(&str, &str)], flags: &[&str]) -> Running {
        let config = self.config();
        let mut command = driftline(&["run", "-c", &config]);
        command.args(flags).envs(env.iter().copied());
        Running::start(command, &self.file(log), self.http)
    }

    /// Runs to the end of the data.
    pub fn run_once(&self) -> Exit {
        self.run_as("once.log", &[], &["--once"]).end(crate::kit::PATIENCE)
    }

    /// A point of event time, in ms.
    pub fn at(&self, seconds: i64) -> i64 {
        self.began + seconds * 1_000
    }

    /// A good prediction.
    pub fn prediction(&self, id: &str, seconds: i64) -> Value {
        json!({ "request_id": id, "event_time": self.at(seconds), "model": "m", "score": 0.25, "label": "1", "features": { "amount": 10.5 }, "segments": {} })
    }

    /// A good outcome.
    pub fn outcome(&self, id: &str, seconds: i64) -> Value {
        json!({ "request_id": id, "event_time": self.at(seconds), "label": "1" })
    }

    /// Writes to partition 0 of an input.
    pub fn write(&self, input: &str, values: impl IntoIterator<Item = Value>) {
        let records: Vec<Given> = values.into_iter().map(|v| given(v.to_string())).collect();
        self.pen.write(&self.topic(input), &records);
    }

    /// Writes `n` good pairs whose ids begin with `name`, a second apart, from `seconds` on.
    pub fn write_pairs(&self, name: &str, seconds: i64, n: i64) {
        self.write("predictions", (0..n).map(|i| self.prediction(&format!("{name}-{i}"), seconds + i)));
        self.write("outcomes", (0..n).map(|i| self.outcome(&format!("{name}-{i}"), seconds + i + 1)));
    }

    /// All committed records of a topic of the application.
    pub fn read(&self, topic: &str) -> Vec<Seen> {
        read_all(&self.brokers, &self.topic(topic))
    }

    /// The partial summaries published so far.
    pub fn summaries(&self) -> Vec<Partial> {
        let values = self.read("summaries").into_iter().filter_map(|r| r.value);
        values.filter_map(|v| Reader::open_as(&v, Kind::Partial).ok().map(|mut r| partial::read(&mut r).expect("a partial"))).collect()
    }

    /// (accepted predictions, matched pairs) in the summaries.
    pub fn counts(&self) -> (u64, u64) {
        self.summaries().iter().flat_map(|p| &p.entries).fold((0, 0), |(rows, matched), e| match &e.summary.counts {
            Counts::Input(c) => (rows + c.rows, matched),
            Counts::Pair(c) => (rows, matched + c.matched),
        })
    }
}

/// A record of partition 0.
pub fn given(value: impl Into<Vec<u8>>) -> Given {
    Given { partition: 0, key: Some("key".to_string()), value: Some(value.into()) }
}
