//! Inputs that stop, in both stages on the in-memory log with a clock of its own: memory ends somewhere, panes go on, and what was
//! decided holds after a restart.

use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::journal::{Activity, open};
use driftline::engine::types::{EventTime, Input, Offset, Partition};
use driftline::kafka::topics::{Inputs, own_topics};
use driftline::log::memory::{CommitFault, MemberOptions, MemoryLog, SharedCluster};
use driftline::log::{Commit, Log, OutRecord};
use driftline::stage::counters::JoinTally;
use driftline::stage::detect::DetectStage;
use driftline::stage::join::JoinStage;
use driftline::stage::join_task::JoinTask;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: i32 = 2;
/// 2023-11-14T00:00:00Z.
const START: i64 = 1_699_920_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

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
struct World {
    cluster: SharedCluster,
    settings: Arc<Settings>,
    now: i64,
    join: (MemoryLog, JoinStage),
    detect: (MemoryLog, DetectStage),
    /// What members counted that are no longer.
    before: JoinTally,
}

fn member(cluster: &SharedCluster, group: &str, topics: &[String], follow: Option<String>) -> MemoryLog {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    MemoryLog::open(cluster.clone(), MemberOptions { follow, ..MemberOptions::new(group, "pod", &topics) }).expect("opened")
}

impl World {
    fn new(now: i64, adapt: impl FnOnce(&mut Settings)) -> World {
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
        let (join, detect) = (World::join(&cluster, &settings), World::detect(&cluster, &settings));
        World { cluster, settings, now, join, detect, before: JoinTally::default() }
    }

    fn join(cluster: &SharedCluster, settings: &Arc<Settings>) -> (MemoryLog, JoinStage) {
        let stage = JoinStage::new(settings.clone(), PARTITIONS as u32, false).expect("a stage");
        (member(cluster, "shop-join", &JoinStage::topics(settings), Some(settings.topic("plan"))), stage)
    }

    fn detect(cluster: &SharedCluster, settings: &Arc<Settings>) -> (MemoryLog, DetectStage) {
        (member(cluster, "shop-detect", &DetectStage::topics(settings), None), DetectStage::new(settings.clone(), false))
    }

    fn predict(&self, partition: i32, at: i64, id: &str) {
        let value = format!(
            r#"{{"request_id":"{id}","event_time":{at},"model":"fraud","score":0.5,"label":"yes","features":{{"x":1}},"segments":{{}}}}"#
        );
        self.cluster.write("p", Some(Partition(partition)), at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    }

    fn outcome(&self, partition: i32, at: i64, id: &str) {
        let value = outcome(at, id);
        self.cluster.write("o", Some(Partition(partition)), at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    }

    /// Moves the clock in steps; both members have a turn after each.
    fn pass(&mut self, span: i64, step: i64, mut after: impl FnMut(&World)) {
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
    fn restart_join(&mut self) {
        self.before.add(&self.join.1.counters.join);
        self.join = World::join(&self.cluster, &self.settings);
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

    fn tasks(&self) -> Vec<&JoinTask> {
        self.join.1.tasks().collect()
    }

    fn rows(&self) -> u64 {
        self.tasks().iter().map(|t| t.join.census().0).sum()
    }

    fn tally(&self) -> JoinTally {
        let mut sum = self.before;
        sum.add(&self.join.1.counters.join);
        sum
    }

    fn pair_time(&self) -> i64 {
        let (_, monitor) = self.detect.1.monitors().next().expect("a monitor");
        let size = monitor.definitions().expect("definitions").pane;
        monitor.progress().map_or(i64::MIN, |p| size.end(p.pair).0)
    }
}

fn outcome(at: i64, id: &str) -> String {
    format!(r#"{{"request_id":"{id}","event_time":{at},"label":"yes"}}"#)
}

/// Six hours of predictions, one every 20 s and partition; outcomes for those of the first hour alone.
fn outcomes_stop(adapt: impl FnOnce(&mut Settings)) -> World {
    let world = World::new(START + 6 * HOUR, adapt);
    for i in 0..6 * 180 {
        let at = START + i * 20 * SECOND;
        for p in 0..PARTITIONS {
            world.predict(p, at, &format!("{p}-{i}"));
            if at < START + HOUR {
                world.outcome(p, at + SECOND, &format!("{p}-{i}"));
            }
        }
    }
    world
}

#[test]
fn predictions_whose_outcomes_have_stopped_are_released_after_window_and_hold() {
    let mut world = outcomes_stop(|s| s.epoch.records = 100);
    world.pass(5 * MINUTE, 100, |_| {});
    let tally = world.tally();
    assert_eq!((tally.accepted, tally.joined), (2 * 6 * 180, 2 * 180), "{tally:?}");
    // what is younger than window + hold (90 minutes) and the lateness still waits
    let young = 2 * 90 * 3;
    assert!((young..young + 20).contains(&world.rows()), "{} rows, {tally:?}", world.rows());
    assert_eq!(tally.unlabelled + tally.joined + world.rows(), tally.accepted, "every prediction is one of these: {tally:?}");
    assert!(tally.released[0] > 0 && tally.released[1] == 0, "{tally:?}");

    // their outcomes come after all: nobody waits for them, but those of younger predictions are welcome
    let census: Vec<_> = world.tasks().iter().map(|t| t.join.census()).collect();
    world.restart_join();
    assert_eq!(world.tasks().iter().map(|t| t.join.census()).collect::<Vec<_>>(), census, "the rows that were let go do not come back");
    let (old, young) = (START + 2 * HOUR, START + 6 * HOUR - 10 * MINUTE);
    for at in [old, young] {
        for p in 0..PARTITIONS {
            (0..6).for_each(|i| world.outcome(p, at + i * 20 * SECOND, &format!("{p}-{}", (at - START) / 20 / SECOND + i)));
        }
    }
    world.pass(5 * MINUTE, 100, |_| {});
    let later = world.tally();
    assert_eq!((later.joined - tally.joined, later.orphans - tally.orphans), (12, 12), "{later:?}");
}

#[test]
fn a_full_memory_lets_the_oldest_rows_go() {
    let most_rows = 200;
    let mut world = outcomes_stop(|s| (s.epoch.records, s.memory_limit) = (50, 100 * most_rows));
    let mut most = 0;
    world.pass(5 * MINUTE, 100, |w| most = most.max(w.rows()));
    let tally = world.tally();
    assert_eq!(tally.accepted, 2 * 6 * 180, "{tally:?}");
    // within an epoch there may be more: what one turn judges
    assert!(world.rows() <= most_rows && most < 800, "{} rows, {most} at most; {tally:?}", world.rows());
    assert!(tally.released[0] > 1_000, "{tally:?}");
    let census: Vec<_> = world.tasks().iter().map(|t| t.join.census()).collect();
    world.restart_join();
    assert_eq!(world.tasks().iter().map(|t| t.join.census()).collect::<Vec<_>>(), census);
}

/// Begins a transaction in the outcomes of partition 0 that nobody ends; where it begins.
fn hang(world: &World) -> Offset {
    let options = MemberOptions { patience: Duration::from_secs(900), ..MemberOptions::new("labels", "job", &["o"]) };
    let mut producer = MemoryLog::open(world.cluster.clone(), options).expect("opened");
    producer.fail_next_commit(CommitFault::Unknown { happened: false });
    let (key, value) = (Some(b"late".to_vec()), Some(outcome(world.now, "late").into_bytes()));
    let at = world.cluster.with(|c| c.partition("o", 0).map(|log| log.ends().high)).expect("there");
    let record = OutRecord { topic: "o".into(), partition: Some(Partition(0)), key, value, headers: Vec::new() };
    assert!(matches!(producer.commit(&[record], &[]), Ok(Commit::Unknown(_))));
    at
}

#[test]
fn an_input_behind_a_transaction_that_nobody_ends_is_stuck_after_ten_minutes_and_holds_nobody_back() {
    let mut world = World::new(START, |_| {});
    let live = |w: &World| {
        if w.now % (5 * SECOND) == 0 {
            for p in 0..PARTITIONS {
                w.predict(p, w.now, &format!("{p}-{}", w.now));
                w.outcome(p, w.now, &format!("{p}-{}", w.now));
            }
        }
    };
    world.pass(5 * MINUTE, SECOND, live);
    let (hung, at) = (world.now, hang(&world));
    let activity = |w: &World| w.tasks()[0].activity;
    world.pass(9 * MINUTE + 30 * SECOND, SECOND, |w| {
        live(w);
        assert_eq!(activity(w), [Activity::Active; 2], "never idle while a transaction is open");
    });
    assert!(world.pair_time() <= hung, "until then it holds pair panes back: what it hides may come");
    world.pass(2 * MINUTE, SECOND, live);
    assert_eq!((activity(&world), world.tasks()[0].hanging[1].stuck_at), ([Activity::Active, Activity::Stuck], Some(at)));
    assert!(world.pair_time() > hung + 9 * MINUTE, "panes go on");

    let journal = world.cluster.read_committed("shop.journal").expect("read");
    let last = journal.iter().filter(|r| r.partition == Partition(0)).filter_map(|r| open(r.value.as_deref()?).ok()?.facts).last();
    assert_eq!(last.expect("an epoch").activity[Input::Outcomes.index()], Activity::Stuck, "it is recorded");
    world.restart_join();
    assert_eq!(activity(&world)[1], Activity::Stuck, "and obeyed by a successor");

    // the broker ends the transaction after 15 minutes
    world.pass(5 * MINUTE, SECOND, live);
    assert_eq!((activity(&world), world.tasks()[0].hanging[1].stuck_at), ([Activity::Active; 2], None));
    let clock = world.tasks()[0].join.clocks[1].watermark();
    assert!(clock > EventTime(hung + 11 * MINUTE), "what it held back is read: {clock:?}");
    assert!(world.tally().orphans > 0 || world.tally().joined > 0);
}
