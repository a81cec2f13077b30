//! Brokers and processes: a fresh broker for each run, two `driftline run --once` on it, and somebody who kills them.

use super::compare::{Alerts, Published};
use super::scene::{Message, PANE_MS, PARTITIONS, REFERENCE, START_MS, Scene, SplitMix64};
use driftline::broker::{Embedded, Options};
use driftline::codec::wire::{Kind, Reader};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::plan::PlanRecord;
use driftline::engine::types::Partition;
use driftline::kafka::topics::{TopicSpec, create_topic};
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No run takes this long, not even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(400);
/// A younger process may still be looking for its topics, and simply dies of a signal.
const AWAKE: Duration = Duration::from_secs(2);
/// Predictions that one process can't get through without the partitions of the other: twice what the look-ahead lets in.
const ALONE: i64 = 15_000;
/// A process that is asked to end does so within this.
const GRACE: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(30);

/// The application's configuration; broker and instance come from the environment.
pub fn config() -> String {
    let time = |pane: i64| jiff::Timestamp::from_millisecond(START_MS + pane * PANE_MS).expect("a time");
    format!(
        "app: eos
kafka:
  brokers: ${{DRIFTLINE_BROKERS}}
  client: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 500 }}
predictions: {{ topic: eos.predictions, format: json, fields: {{ model: {{ const: loans }} }} }}
outcomes: {{ topic: eos.outcomes, format: json }}
join: {{ window: 40m, early: 1m, duplicates: 10m, settle: 15m }}
models: {{ loans: {{ task: binary, positive: \"1\" }} }}
segments: {{ by: [[country]], cap: 4 }}
baseline: {{ from: {}, to: {} }}
budget: {{ false_alarms: 1, per: 30d }}
alerts: {{ topic: eos.alerts, format: json, reminder: 2h }}
http: {{ listen: \"off\" }}
epoch: {{ records: 2000, time: 200ms }}
instance: ${{DRIFTLINE_INSTANCE}}
",
        time(0),
        time(REFERENCE)
    )
}

/// The settings that a process with this configuration has.
pub fn settings(brokers: &str) -> Settings {
    let env = |name: &str| Some(if name == "DRIFTLINE_BROKERS" { brokers } else { "0" }.to_string());
    load_text("the configuration of the test", &config(), &env, Path::new(".")).expect("a configuration without mistakes")
}

/// A broker of one run.
enum Broker {
    Embedded(Embedded),
    Kafka { dir: PathBuf, address: String },
}

fn kafka_sh(verb: &str, dir: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kafka.sh");
    let done = Command::new(script).arg(verb).arg(dir).stderr(Stdio::inherit()).output().expect("bash");
    assert!(done.status.success(), "{script} {verb}: {}", done.status);
    String::from_utf8_lossy(&done.stdout).trim().to_string()
}

impl Broker {
    /// Embedded, or Apache Kafka if DRIFTLINE_TEST_KAFKA is set.
    fn start(dir: &Path) -> Broker {
        if std::env::var_os("DRIFTLINE_TEST_KAFKA").is_none() {
            return Broker::Embedded(Embedded::start(Options::default()).expect("a free port"));
        }
        let dir = dir.join("kafka");
        let address = kafka_sh("start", &dir);
        Broker::Kafka { dir, address }
    }

    fn address(&self) -> String {
        match self {
            Broker::Embedded(e) => e.address(),
            Broker::Kafka { address, .. } => address.clone(),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Broker::Kafka { dir, .. } = self {
            let _ = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kafka.sh")).arg("stop").arg(dir).status();
        }
    }
}

/// One `driftline run --once`, over all its lives.
struct Process {
    instance: String,
    brokers: String,
    dir: PathBuf,
    child: Child,
    since: Instant,
}

impl Process {
    fn start(instance: &str, brokers: &str, dir: &Path) -> Process {
        let (instance, brokers, dir) = (instance.to_string(), brokers.to_string(), dir.to_path_buf());
        let child = spawn(&instance, &brokers, &dir);
        Process { instance, brokers, dir, child, since: Instant::now() }
    }

    fn restart(&mut self) {
        self.child = spawn(&self.instance, &self.brokers, &self.dir);
        self.since = Instant::now();
    }

    /// As a power cut would; false if it had ended before.
    fn kill(&mut self) -> bool {
        if self.ended().is_some() {
            return false;
        }
        self.child.kill().expect("a child can be killed");
        !self.child.wait().expect("a child ends").success()
    }

    /// As Kubernetes would; how it ended, or None if it had not done so in time.
    fn terminate(&mut self) -> Option<ExitStatus> {
        std::thread::sleep(AWAKE.saturating_sub(self.since.elapsed()));
        let done = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().expect("kill");
        assert!(done.success(), "kill -TERM: {done}");
        let began = Instant::now();
        while began.elapsed() < GRACE {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("instance-{}.log", self.instance))
    }
}

fn spawn(instance: &str, brokers: &str, dir: &Path) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(dir.join(format!("instance-{instance}.log"))).expect("a log file");
    driftline(brokers, instance, dir).args(["run", "--once", "-c", "driftline.yaml"]).stderr(log).spawn().expect("driftline starts")
}

fn driftline(brokers: &str, instance: &str, dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    command
        .current_dir(dir)
        .env("DRIFTLINE_BROKERS", brokers)
        .env("DRIFTLINE_INSTANCE", instance)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let text = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- the end of what instance {} said\n{}", self.instance, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// kill -9; it is back at once, with the same instance.
    Kill,
    /// kill -9; it is back only after the other one has taken its partitions over.
    Absence,
    /// SIGTERM, as Kubernetes does; it is back once it has ended.
    Stop,
}

/// Blows by the number of committed predictions at which they fall.
#[derive(Default)]
pub struct Violence {
    pub blows: Vec<(i64, Blow)>,
    /// Decides which of the two processes is hit, and when exactly.
    pub seed: u64,
}

/// What happened in a run, and what it has published.
pub struct Run {
    pub published: Published,
    pub kills: usize,
    /// Kills before the last prediction was committed.
    pub kills_in_the_stream: usize,
    pub took: Duration,
}

/// Runs the scene to its end on a fresh broker.
pub fn run(scene: &Scene, violence: &Violence) -> Run {
    let mut dir = TempDir::new().expect("a scratch folder");
    dir.disable_cleanup(std::env::var_os("DRIFTLINE_TEST_KEEP").is_some());
    let broker = Broker::start(dir.path());
    let (address, path) = (broker.address(), dir.path());
    std::fs::write(path.join("driftline.yaml"), config()).expect("a configuration file");
    let settings = settings(&address);
    load(scene, &settings);
    let created = driftline(&address, "0", path).args(["topics", "create", "-c", "driftline.yaml"]).status().expect("driftline starts");
    assert!(created.success(), "driftline topics create: {created}");
    let began = Instant::now();
    let mut processes = ["0", "1"].map(|instance| Process::start(instance, &address, path));
    let mut run = Run { published: Published::default(), kills: 0, kills_in_the_stream: 0, took: Duration::ZERO };
    do_violence(&mut processes, violence, &settings, Scene::count(&scene.predictions) as i64, &mut run);
    for process in &mut processes {
        let status = until("both processes end", began, || process.ended());
        assert!(status.success(), "instance {} ended with {status}", process.instance);
    }
    run.took = began.elapsed();
    run.published = read_published(&settings);
    run
}

fn until<T>(what: &str, began: Instant, mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn do_violence(processes: &mut [Process; 2], violence: &Violence, settings: &Settings, predictions: i64, run: &mut Run) {
    let progress = Progress::of(settings);
    let mut draw = SplitMix64(violence.seed);
    let mut blows = violence.blows.clone();
    blows.sort();
    let began = Instant::now();
    for (threshold, blow) in blows {
        let committed = progress.reaches(threshold, began, processes);
        std::thread::sleep(Duration::from_millis(draw.between(0, 150) as u64)); // not always right after a commit
        let hit = draw.between(0, 2) as usize;
        println!("{:6.2} s: {committed} predictions are committed, {blow:?} {hit}", began.elapsed().as_secs_f64());
        match blow {
            Blow::Stop => {
                let status = processes[hit].terminate();
                assert!(status.is_some_and(|s| s.success()), "a process that was asked to end: {status:?}");
            }
            Blow::Kill | Blow::Absence => {
                let killed = processes[hit].kill();
                run.kills += usize::from(killed);
                run.kills_in_the_stream += usize::from(killed && committed < predictions);
            }
        }
        if blow == Blow::Absence {
            progress.reaches(committed + ALONE, began, &mut processes[1 - hit..2 - hit]);
        }
        processes[hit].restart();
    }
}

/// Committed positions of the join's group.
struct Progress {
    consumer: BaseConsumer,
    list: TopicPartitionList,
}

impl Progress {
    fn of(settings: &Settings) -> Progress {
        // read_uncommitted: the answer must not wait for the open transactions of a process that was just killed
        let consumer = client(&settings.kafka.brokers)
            .set("group.id", "eos-join")
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for p in 0..PARTITIONS as i32 {
            list.add_partition(&settings.predictions.topic, p);
        }
        Progress { consumer, list }
    }

    /// Waits until so many predictions are committed; how many are. Nobody may have failed.
    fn reaches(&self, threshold: i64, began: Instant, processes: &mut [Process]) -> i64 {
        until(&format!("{threshold} predictions are committed"), began, || {
            for p in processes.iter_mut() {
                let ended = p.ended();
                assert!(ended.is_none_or(|s| s.success()), "instance {} ended with {ended:?}", p.instance);
            }
            Some(self.committed()).filter(|c| *c >= threshold)
        })
    }

    fn committed(&self) -> i64 {
        let Ok(answer) = self.consumer.committed_offsets(self.list.clone(), REQUEST) else { return 0 };
        answer.elements().iter().map(|e| if let Offset::Offset(o) = e.offset() { o } else { 0 }).sum()
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Creates the input topics and fills them.
fn load(scene: &Scene, settings: &Settings) {
    let mut config = client(&settings.kafka.brokers);
    config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", "lz4"); // offsets must be those of the scene
    let producer = BaseProducer::from_config(&config).expect("a producer");
    for (topic, partitions) in [(&settings.predictions.topic, &scene.predictions), (&settings.outcomes.topic, &scene.outcomes)] {
        let config = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
        create_topic(settings, &TopicSpec { name: topic.clone(), partitions: PARTITIONS as i32, config }).expect("a topic");
        for (p, messages) in partitions.iter().enumerate() {
            messages.iter().for_each(|m| produce(&producer, topic, p as i32, m));
        }
    }
    producer.flush(REQUEST).expect("the inputs arrive");
}

fn produce(producer: &BaseProducer, topic: &str, partition: i32, message: &Message) {
    loop {
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition).key(&message.key);
        record.payload = message.value.as_deref();
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(Duration::from_millis(5)),
            Err((e, _)) => panic!("loading the inputs: {e}"),
        }
    }
}

fn read_published(settings: &Settings) -> Published {
    let mut published = Published { alerts: Alerts::new(settings.summaries_partitions), ..Published::default() };
    read(settings, &settings.alerts.topic, |m| {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = m.headers().map(|h| h.iter().map(|h| (h.key.to_string(), text(h.value))).collect());
        published.alerts.add(
            Partition(m.partition()),
            text(m.key()),
            headers.unwrap_or_default(),
            m.payload().unwrap_or_default().to_vec(),
        );
    });
    read(settings, &settings.topic("summaries"), |m| {
        let bytes = m.payload().unwrap_or_default();
        if Reader::open(bytes).expect("a record of our own").0 == Kind::Partial as u8 {
            published.partials.push(bytes.to_vec());
        }
    });
    read(settings, &settings.topic("plan"), |m| {
        if let PlanRecord::Edges(edges) = PlanRecord::read(m.payload().unwrap_or_default()).expect("a record of our own") {
            published.edges.push(edges);
        }
    });
    read(settings, &settings.topic("dead-letters"), |m| published.letters.0.push(letter(m, settings)));
    published
}

fn letter(m: &BorrowedMessage<'_>, settings: &Settings) -> (String, i32, i64, String) {
    let headers: BTreeMap<&str, &str> = m
        .headers()
        .iter()
        .flat_map(|h| h.iter())
        .map(|h| (h.key, std::str::from_utf8(h.value.unwrap_or_default()).expect("text")))
        .collect();
    let input = if headers["source.topic"] == settings.predictions.topic { "predictions" } else { "outcomes" };
    let number = |name: &str| headers[name].parse::<i64>().expect("a number");
    (input.to_string(), number("source.partition") as i32, number("source.offset"), headers["error.reason"].to_string())
}

/// Hands over what a reader of committed records sees in a topic, partition by partition in order.
fn read(settings: &Settings, topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let mut config = client(&settings.kafka.brokers);
    config.set("group.id", "the-test").set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let reader: BaseConsumer = config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10").create().expect("a consumer");
    let metadata = reader.fetch_metadata(Some(topic), REQUEST).expect("metadata");
    for p in 0..metadata.topics()[0].partitions().len() as i32 {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, p, Offset::Beginning).expect("an offset");
        reader.assign(&list).expect("assigned");
        let began = Instant::now();
        loop {
            match reader.poll(REQUEST) {
                Some(Ok(m)) => take(&m),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(e)) => panic!("{topic}[{p}]: {e}"),
                None => assert!(began.elapsed() < DEADLINE, "{topic}[{p}] has no end"),
            }
        }
    }
}

/// The settings without a broker, for the oracle.
pub fn offline() -> Settings {
    settings("nowhere:9092")
}
