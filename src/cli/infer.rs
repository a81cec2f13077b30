//! `driftline infer`: looks at the newest records of two topics, and proposes a configuration with the reason beside each line.
//!
//! Guarantees: reads only; what is printed was tried on the records that were read, and how many of them it fits is told.
//! Never: joins a group, commits, writes. Comes from: the command line. Goes to: standard output (the page), standard error (how it fits).

use super::{Failure, say};
use crate::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use crate::codec::event::BadRecord;
use crate::codec::framing::unframe;
use crate::config::settings::{Kafka, Settings};
use crate::config::{load, load_text};
use crate::engine::types::{Offset, Partition};
use crate::infer::page::{Scene, page};
use crate::infer::places::{Places, Sample, quoted};
use crate::infer::roles::roles;
use crate::kafka::subscriber::Subscriber;
use crate::log::{Record, TopicIx};
use crate::ops::logs;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// A broker that says nothing for so long has said enough.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of `infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// A configuration file of which `kafka` and both topics are taken; app, kafka and topics are enough
    #[arg(short = 'c', long = "config", value_name = "FILE", required_unless_present = "brokers")]
    pub config: Option<PathBuf>,
    /// Addresses of brokers that need neither TLS nor a password
    #[arg(long, value_name = "HOST:PORT,...", conflicts_with = "config")]
    pub brokers: Option<String>,
    /// Topic of the predictions
    #[arg(long, value_name = "TOPIC", required_unless_present = "config")]
    pub predictions: Option<String>,
    /// Topic of the outcomes
    #[arg(long, value_name = "TOPIC", required_unless_present = "config")]
    pub outcomes: Option<String>,
    /// About so many records of each topic, the newest ones
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub records: u32,
}

/// A record as it was read.
struct Stored {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: i64,
}

/// Prints a proposal.
pub fn infer(args: &InferArgs) -> Result<(), Failure> {
    logs::start("error");
    let base = base(args)?;
    let topics = [
        args.predictions.clone().unwrap_or_else(|| base.predictions.topic.clone()),
        args.outcomes.clone().unwrap_or_else(|| base.outcomes.topic.clone()),
    ];
    let [p, o] = [read(&base, &topics[0], args.records)?, read(&base, &topics[1], args.records)?];
    let (of_p, of_o) = (samples(&topics[0], &p)?, samples(&topics[1], &o)?);
    let (places_p, places_o) = (Places::of(&of_p), Places::of(&of_o));
    let (predictions, outcomes) = roles((&places_p, &of_p), (&places_o, &of_o));
    let scene = Scene {
        app: base.app.clone(),
        kafka: kafka_section(args, &base.kafka)?,
        topics: [&topics[0], &topics[1]],
        records: [of_p.len(), of_o.len()],
    };
    let text = page(&scene, [&places_p, &places_o], &predictions, &outcomes);
    say(text.trim_end())?;
    let verdict = tried(&text, args.config.as_deref(), &p, &o);
    writeln!(std::io::stderr(), "{verdict}").ok();
    Ok(())
}

/// Settings that say how Kafka is reached.
fn base(args: &InferArgs) -> Result<Settings, Failure> {
    if let Some(file) = &args.config {
        return load(file).map_err(Failure::Config);
    }
    let given = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
    let topics = [&args.predictions, &args.outcomes].map(given);
    let topic = args.predictions.as_deref().unwrap_or_default().to_lowercase();
    let stem = topic.split_once('.').or_else(|| topic.rsplit_once(['-', '_'])).map_or(topic.as_str(), |parts| parts.0);
    let app = if stem.starts_with(|c: char| c.is_ascii_lowercase()) { stem } else { "driftline" };
    let brokers = given(&args.brokers);
    let text = format!(
        "app: {app}\nkafka: {{ brokers: {brokers} }}\npredictions: {{ topic: {} }}\noutcomes: {{ topic: {} }}\n",
        topics[0], topics[1]
    );
    load_text("the command line", &text, &|_| None, Path::new("")).map_err(Failure::Config)
}

/// The section `kafka` of the file, letter by letter: what it holds (secrets by file or variable) is nobody's to be printed otherwise.
fn kafka_section(args: &InferArgs, kafka: &Kafka) -> Result<String, Failure> {
    let Some(file) = &args.config else {
        return Ok(format!("kafka: {{ brokers: {} }}", quoted(&kafka.brokers)));
    };
    let text = std::fs::read_to_string(file).map_err(|e| Failure::Runtime(format!("{}: {e}", file.display())))?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with("kafka:"));
    let first = lines.next().map(str::to_string);
    let rest = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#', '}']));
    let section: Vec<String> = first.into_iter().chain(rest.map(str::to_string)).collect();
    Ok(if section.is_empty() { format!("# kafka: as in {}", file.display()) } else { section.join("\n") })
}

/// The newest records of a topic.
fn read(base: &Settings, topic: &str, most: u32) -> Result<Vec<Stored>, Failure> {
    let fatal = |e: crate::log::Fatal| Failure::Runtime(e.0);
    let mut subscriber = Subscriber::newest(&base.kafka, &format!("{}-infer", base.app), topic, i64::from(most)).map_err(fatal)?;
    let mut stored = Vec::new();
    while !subscriber.has_caught_up() {
        subscriber.poll(STEP, &mut |record| stored.push(Stored::of(&record))).map_err(fatal)?;
        if subscriber.silence() > PATIENCE {
            let s = PATIENCE.as_secs();
            return Err(Failure::Runtime(format!("reading {topic} made no progress for {s} s: are all brokers there?")));
        }
    }
    stored.sort_by_key(|s| std::cmp::Reverse(s.timestamp));
    stored.truncate(most as usize);
    if stored.is_empty() {
        return Err(Failure::Runtime(format!("{topic} is empty: write some records to it, or name another topic")));
    }
    Ok(stored)
}

impl Stored {
    fn of(record: &Record<'_>) -> Stored {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = (0..record.headers.len()).filter_map(|i| record.headers.get(i)).map(|(name, value)| (name.to_string(), owned(value)));
        Stored { key: owned(record.key), value: owned(record.value), headers: headers.collect(), timestamp: record.timestamp }
    }

    fn record(&self) -> Record<'_> {
        Record {
            topic: TopicIx(0),
            partition: Partition(0),
            offset: Offset(0),
            timestamp: self.timestamp,
            append_time: false,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

/// Records whose values are JSON objects. If most are something else: what it is, and what to do.
fn samples(topic: &str, stored: &[Stored]) -> Result<Vec<Sample>, Failure> {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().and_then(|b| String::from_utf8(b.clone()).ok());
    let sample = |s: &Stored| {
        let value = serde_json::from_slice(s.value.as_ref()?).ok().filter(serde_json::Value::is_object)?;
        let headers = s.headers.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?)));
        Some(Sample { key: text(&s.key), headers: headers.collect(), timestamp: s.timestamp, value })
    };
    let samples: Vec<Sample> = stored.iter().filter_map(sample).collect();
    if samples.len() * 2 >= stored.len() {
        return Ok(samples);
    }
    let framed = stored.iter().filter_map(|s| s.value.as_deref()).find_map(|v| unframe(v).ok());
    Err(Failure::Runtime(match framed {
        Some((id, _)) => format!(
            "values of {topic} begin with a schema id ({}): only JSON can be looked at here. Take examples/registry.yaml, name the fields of the schema, and try `driftline check --connect`",
            id.0
        ),
        None => format!(
            "values of {topic} are no JSON objects: only those can be looked at here. For Avro take `format: {{ avro: {{ schema: FILE }} }}` (docs/configuration.md), and try `driftline check --connect`"
        ),
    }))
}

/// How much of what was read the proposal fits.
fn tried(text: &str, file: Option<&Path>, p: &[Stored], o: &[Stored]) -> String {
    let base_dir = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let settings = match load_text("proposal", text, &|name| std::env::var(name).ok(), base_dir) {
        Ok(settings) => settings,
        Err(e) => return format!("The proposal is not complete yet; what is missing:\n{e}"),
    };
    let dimensions = &settings.definitions.dimensions;
    let (Ok(mut predictions), Ok(mut outcomes)) =
        (PredictionDecoder::new(&settings.predictions, dimensions), OutcomeDecoder::new(&settings.outcomes))
    else {
        return "The proposal can't be tried".to_string();
    };
    let mut why = None;
    let mut fits = |fault: Option<BadRecord>| fault.map(|bad| why.get_or_insert(bad.detail)).is_none();
    let good_p = p.iter().filter(|s| fits(predictions.decode(&s.record()).err())).count();
    let good_o = o.iter().filter(|s| fits(outcomes.decode(&s.record()).err())).count();
    let why = why.map_or(String::new(), |why| format!("\nThe first that can't: {why}"));
    format!("With it {good_p} of {} predictions and {good_o} of {} outcomes can be read.{why}", p.len(), o.len())
}
