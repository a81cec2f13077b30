//! One pod with both stages, a cluster in memory, and a clock that only the test moves.

use driftline::codec::writers::Schemas;
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::types::Partition;
use driftline::kafka::topics::{Inputs, own_topics};
use driftline::log::memory::{MemberOptions, MemoryLog, SharedCluster};
use driftline::stage::counters::JoinTally;
use driftline::stage::detect::DetectStage;
use driftline::stage::join::JoinStage;
use driftline::stage::join_task::JoinTask;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const PARTITIONS: i32 = 2;
/// 2023-11-14T00:00:00Z.
pub const START: i64 = 1_699_920_000_000;
pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;

const CONFIG: &str = "\
app: shop
kafka: { brokers: 'nowhere:9092' }
predictions: { topic: p }
outcomes: { topic: o }
join: { window: 30m, hold: 1h }
models:
  fraud: { task: binary, positive: 'yes' }
baseline: { from: 2023-11-14T00:00:00Z, to: 2023-11-14T02:00:00Z }
summaries: { partitions: 1 }
alerts: { topic: shop.alerts, format: json }
";

/// One pod, the cluster and the clock.
pub struct World {
    pub cluster: SharedCluster,
    pub settings: Arc<Settings>,
    pub now: i64,
    pub join: (MemoryLog, JoinStage),
    pub detect: (MemoryLog, DetectStage),
    /// What members counted that are no longer.
    before: JoinTally,
}

fn member(cluster: &SharedCluster, group: &str, name: &str, topics: &[String], follow: Option<String>) -> MemoryLog {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    MemoryLog::open(cluster.clone(), MemberOptions { follow, ..MemberOptions::new(group, name, &topics) }).expect("opened")
}

impl World {
    pub fn new(now: i64, adapt: impl FnOnce(&mut Settings)) -> World {
        World::with(now, None, adapt)
    }

    /// The same, with a place that schemas come from.
    pub fn with(now: i64, schemas: Option<Arc<dyn Schemas>>, adapt: impl FnOnce(&mut Settings)) -> World {
        let mut settings = load_text("shop.yaml", CONFIG, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
        adapt(&mut settings);
        let (settings, cluster) = (Arc::new(settings), SharedCluster::new());
        for topic in ["p", "o"] {
            cluster.create_topic(topic, PARTITIONS, &[("retention.ms", "-1")]).expect("made");
        }
        for spec in own_topics(&settings, Inputs { partitions: PARTITIONS, max_bytes: 1_048_588 }) {
            let config: Vec<(&str, &str)> = spec.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            cluster.create_topic(&spec.name, spec.partitions, &config).expect("made");
        }
        cluster.advance(now);
        let (join, detect) = (World::join_with(&cluster, &settings, "pod", schemas), World::detect(&cluster, &settings));
        World { cluster, settings, now, join, detect, before: JoinTally::default() }
    }

    /// A member of the join stage.
    pub fn join(cluster: &SharedCluster, settings: &Arc<Settings>, name: &str) -> (MemoryLog, JoinStage) {
        World::join_with(cluster, settings, name, None)
    }

    fn join_with(
        cluster: &SharedCluster,
        settings: &Arc<Settings>,
        name: &str,
        schemas: Option<Arc<dyn Schemas>>,
    ) -> (MemoryLog, JoinStage) {
        let stage = JoinStage::with(settings.clone(), PARTITIONS as u32, false, schemas).expect("a stage");
        (member(cluster, "shop-join", name, &JoinStage::topics(settings), Some(settings.topic("plan"))), stage)
    }

    fn detect(cluster: &SharedCluster, settings: &Arc<Settings>) -> (MemoryLog, DetectStage) {
        (member(cluster, "shop-detect", "pod", &DetectStage::topics(settings), None), DetectStage::new(settings.clone(), false))
    }

    pub fn predict(&self, partition: i32, at: i64, id: &str) {
        let value = prediction(at, id);
        self.cluster.write("p", Some(Partition(partition)), at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    }

    pub fn outcome(&self, partition: i32, at: i64, id: &str) {
        let value = outcome(at, id);
        self.cluster.write("o", Some(Partition(partition)), at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    }

    /// Moves the clock in steps; both members have a turn after each.
    pub fn pass(&mut self, span: i64, step: i64, mut after: impl FnMut(&World)) {
        let end = self.now + span;
        while self.now < end {
            self.now += step;
            self.cluster.advance(self.now);
            self.join.1.step(&mut self.join.0, Duration::ZERO).expect("the join stage goes on");
            self.detect.1.step(&mut self.detect.0, Duration::ZERO).expect("the detect stage goes on");
            after(self);
        }
    }

    /// The join member dies; its successor has read its journal.
    pub fn restart_join(&mut self) {
        self.before.add(&self.join.1.counters.join);
        self.join = World::join(&self.cluster, &self.settings, "pod");
        for _ in 0..50 {
            if self.join.1.ready() {
                break;
            }
            self.now += SECOND;
            self.cluster.advance(self.now);
            self.join.1.step(&mut self.join.0, Duration::ZERO).expect("recovers");
        }
        assert!(self.join.1.ready() && self.join.1.counters.restores_ms.len() == PARTITIONS as usize);
        assert_eq!(self.join.1.counters.digest_mismatches, 0);
    }

    pub fn tasks(&self) -> Vec<&JoinTask> {
        self.join.1.tasks().collect()
    }

    pub fn rows(&self) -> u64 {
        self.tasks().iter().map(|t| t.join.census().0).sum()
    }

    pub fn tally(&self) -> JoinTally {
        let mut sum = self.before;
        sum.add(&self.join.1.counters.join);
        sum
    }

    pub fn pair_time(&self) -> i64 {
        let (_, monitor) = self.detect.1.monitors().next().expect("a monitor");
        let size = monitor.definitions().expect("definitions").pane;
        monitor.progress().map_or(i64::MIN, |p| size.end(p.pair).0)
    }
}

pub fn prediction(at: i64, id: &str) -> String {
    format!(r#"{{"request_id":"{id}","event_time":{at},"model":"fraud","score":0.5,"label":"yes","features":{{"x":1}},"segments":{{}}}}"#)
}

pub fn outcome(at: i64, id: &str) -> String {
    format!(r#"{{"request_id":"{id}","event_time":{at},"label":"yes"}}"#)
}
