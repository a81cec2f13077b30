//! `driftline demo`: the very service that `run` runs, on real data, with a broker of its own.

use super::demo_data::{DemoData, Message, load};
use super::demo_show::{Summary, block};
use super::{Failure, say};
use crate::audit;
use crate::broker::{Embedded, Options};
use crate::config::load_text;
use crate::config::settings::Settings;
use crate::engine::types::{Offset, Partition};
use crate::kafka::reader::Reader;
use crate::kafka::topics::{self, TopicSpec};
use crate::ops::logs;
use crate::ops::service::{AtEnd, Service, Stages};
use clap::Args;
use rdkafka::config::FromClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONFIG: &str = include_str!("../../examples/car-loan.yaml");
const INPUT_PARTITIONS: i32 = 4;

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End when the data is through
    #[arg(long)]
    pub once: bool,
    /// Also write the alert events to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub alerts: Option<PathBuf>,
    /// Use this broker instead of the embedded one; topics get a prefix of their own
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Outcomes come together with their predictions instead of 1 to 14 days later
    #[arg(long, hide = true)]
    pub no_delay: bool,
}

/// Runs the demo.
pub fn demo(args: &DemoArgs) -> Result<(), Failure> {
    logs::start("error");
    let began = Instant::now();
    let mut sink = args.alerts.as_deref().map(AlertFile::open).transpose()?;
    let embedded = match &args.brokers {
        Some(_) => None,
        None => Some(Embedded::start(Options::default()).map_err(|e| Failure::Runtime(format!("starting the embedded broker: {e}")))?),
    };
    let brokers = args.brokers.clone().or_else(|| embedded.as_ref().map(Embedded::address)).unwrap_or_default();
    let settings = settings(&brokers, embedded.is_none())?;
    let data = load(!args.no_delay).map_err(Failure::Runtime)?;
    say(&format!(
        "driftline {}: a car-loan model, 100,000 predictions with outcomes, January 2018 to August 2019",
        env!("CARGO_PKG_VERSION")
    ))?;
    say(&format!("broker {brokers}{}", if embedded.is_some() { " (embedded: for demos and tests, in memory)" } else { "" }))?;
    let filled = fill(&settings, &data);
    if embedded.is_none() {
        let objects = [settings.predictions.topic.clone(), settings.outcomes.topic.clone(), format!("{}.*", settings.app)];
        audit::record(&settings, "demo: create topics and write to them", &objects, if filled.is_ok() { "done" } else { "failed" });
    }
    filled?;
    drop(data);
    let at_end = if args.once { AtEnd::Exit } else { AtEnd::Stay };
    let service = Service::start(Arc::new(settings.clone()), Stages { join: true, detect: true }, at_end)?;
    say("looking for changes (one false alarm in ten years is allowed) ...\n")?;
    let mut watch = Watch::new(&settings)?;
    loop {
        let finished = service.has_finished();
        if watch.turn(&mut sink, began)? == 0 && finished {
            break;
        }
        std::thread::sleep(Duration::from_millis(100)); // the pace of the screen
    }
    farewell(&settings, &service, &watch.summary, &brokers, began, args.once)?;
    service.wait()?;
    Ok(())
}

/// Where `--alerts` writes.
struct AlertFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl AlertFile {
    fn open(path: &Path) -> Result<AlertFile, Failure> {
        let file = File::create(path).map(BufWriter::new);
        file.map(|file| AlertFile { path: path.into(), file }).map_err(|e| Failure::Runtime(format!("--alerts {}: {e}", path.display())))
    }

    /// Whole lines only: what is written is on its way to the device.
    fn write(&mut self, alerts: &[Vec<u8>]) -> Result<(), Failure> {
        let written = alerts.iter().try_for_each(|alert| self.file.write_all(alert).and_then(|()| self.file.write_all(b"\n")));
        written.and_then(|()| self.file.flush()).map_err(|e| Failure::Runtime(format!("--alerts {}: {e}", self.path.display())))
    }
}

/// The demo's settings on a broker; with a topic prefix of its own if the broker may hold an earlier run.
pub fn settings(brokers: &str, own_prefix: bool) -> Result<Settings, Failure> {
    let env = |name: &str| if name == "DRIFTLINE_BROKERS" { Some(brokers.to_string()) } else { std::env::var(name).ok() };
    let mut settings = load_text("the demo's configuration", CONFIG, &env, Path::new(".")).map_err(Failure::Config)?;
    if own_prefix {
        let app = format!("car-loan-demo-{}", crate::ops::http::now_ms() / 1_000);
        settings.predictions.topic = format!("{app}.predictions");
        settings.outcomes.topic = format!("{app}.outcomes");
        settings.alerts.topic = format!("{app}.alerts");
        settings.definitions.app.clone_from(&app);
        settings.app = app;
    }
    if let Some(http) = settings.http.as_mut().filter(|http| TcpListener::bind(http.listen).is_err()) {
        http.listen = SocketAddr::from(([127, 0, 0, 1], 0)); // the usual port is taken
    }
    Ok(settings)
}

/// Creates all topics and produces the data.
pub fn fill(settings: &Settings, data: &DemoData) -> Result<(), Failure> {
    for topic in [&settings.predictions.topic, &settings.outcomes.topic] {
        let config = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
        topics::create_topic(settings, &TopicSpec { name: topic.clone(), partitions: INPUT_PARTITIONS, config })
            .map_err(Failure::Runtime)?;
    }
    topics::create(settings, false).map_err(Failure::Runtime)?;
    let mut config = crate::kafka::client::base(&settings.kafka);
    // in order and once, whatever the broker answers: what the demo finds depends on it
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("compression.type", "lz4").set("linger.ms", "20");
    let producer = BaseProducer::from_config(&config).map_err(|e| Failure::Kafka(e.to_string()))?;
    let total = data.predictions.len() + data.outcomes.len();
    let mut progress = Progress::new("loading", total);
    for (topic, messages) in [(&settings.predictions.topic, &data.predictions), (&settings.outcomes.topic, &data.outcomes)] {
        for message in messages {
            produce(&producer, topic, message)?;
            progress.step()?;
        }
    }
    producer.flush(Duration::from_secs(60)).map_err(|e| Failure::Kafka(format!("loading the data: {e}")))?;
    progress.done()
}

fn produce(producer: &BaseProducer, topic: &str, message: &Message) -> Result<(), Failure> {
    loop {
        match producer.send(BaseRecord::to(topic).key(&message.key).payload(&message.value)) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(Duration::from_millis(5)),
            Err((e, _)) => return Err(Failure::Kafka(format!("loading the data: {e}"))),
        }
    }
}

/// A line that moves on a terminal, a few lines elsewhere.
struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    terminal: bool,
}

impl Progress {
    fn new(what: &'static str, total: usize) -> Progress {
        Progress { what, total, done: 0, terminal: std::io::stdout().is_terminal() }
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.done += 1;
        let every = if self.terminal { self.total / 100 } else { self.total / 4 };
        if self.done.is_multiple_of(every.max(1)) && self.terminal {
            print!("\r{} {:>3} %", self.what, self.done * 100 / self.total);
            std::io::stdout().flush().ok();
        } else if self.done.is_multiple_of(every.max(1)) {
            say(&format!("{} {:>3} %", self.what, self.done * 100 / self.total))?;
        }
        Ok(())
    }

    fn done(&self) -> Result<(), Failure> {
        if self.terminal { say("") } else { Ok(()) }
    }
}

/// Reads the alerts topic as any subscriber would.
struct Watch {
    reader: Reader,
    topic: String,
    next: Vec<Offset>,
    first: bool,
    summary: Summary,
}

impl Watch {
    fn new(settings: &Settings) -> Result<Watch, Failure> {
        let reader = Reader::new(&settings.kafka, &format!("{}-watch", settings.app), None).map_err(|e| Failure::Kafka(e.0))?;
        let partitions = settings.summaries_partitions as usize * 2;
        Ok(Watch {
            reader,
            topic: settings.alerts.topic.clone(),
            next: vec![Offset(0); partitions],
            first: true,
            summary: Summary::default(),
        })
    }

    /// Shows what is new; how many events that was.
    fn turn(&mut self, sink: &mut Option<AlertFile>, began: Instant) -> Result<usize, Failure> {
        let mut values: Vec<Vec<u8>> = Vec::new();
        for (p, next) in self.next.iter_mut().enumerate() {
            let read = self.reader.scan(&self.topic, Partition(p as i32), Some(*next), &mut |r| {
                values.extend(r.value.map(<[u8]>::to_vec));
                true
            });
            *next = read.map_err(|e| Failure::Kafka(e.0))?;
        }
        for value in &values {
            let alert: Value = serde_json::from_slice(value).map_err(|e| Failure::Runtime(format!("an alert is no JSON: {e}")))?;
            if std::mem::take(&mut self.first) {
                say(&format!("first alert {:.1} s after the start\n", began.elapsed().as_secs_f64()))?;
            }
            if self.summary.take(&alert) {
                say(&block(&alert))?;
            }
        }
        if let Some(file) = sink {
            file.write(&values)?;
        }
        Ok(values.len())
    }
}

fn farewell(settings: &Settings, service: &Service, summary: &Summary, brokers: &str, began: Instant, once: bool) -> Result<(), Failure> {
    say(&format!("the data is through, {:.0} s after the start: {}", began.elapsed().as_secs_f64(), summary.table()))?;
    if once {
        return Ok(());
    }
    say(&format!("subscribe   kcat -b {brokers} -t {} -C -X isolation.level=read_committed", settings.alerts.topic))?;
    if let Some(http) = service.http {
        say(&format!("scrape      curl http://{http}/metrics    (also /status, /readyz, /livez)"))?;
    }
    say("stop        Ctrl-C")
}
