//! `driftline infer`: looks at the newest records of two topics, and proposes a configuration with the reason beside each line.
//!
//! Guarantees: reads only; what is printed was tried on the records that were read, and how many of them it fits is told.
//! Never: joins a group, commits, writes. Comes from: the command line. Goes to: standard output (the page), standard error (how it fits).

use super::{Failure, say};
use crate::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use crate::codec::event::BadRecord;
use crate::codec::writers::Schemas;
use crate::config::settings::{Format, Registry, Settings};
use crate::config::{load, load_text};
use crate::infer::page::{Scene, page};
use crate::infer::places::quoted;
use crate::infer::records::{Means, SchemaFile, Stored, Taken, take};
use crate::infer::roles::roles;
use crate::kafka::subscriber::Subscriber;
use crate::ops::logs;
use crate::registry::AtOnce;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// A broker that says nothing for so long has said enough.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of `infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// A configuration file of which `kafka`, `registry`, topics and formats are taken; app, kafka and topics are enough
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
    /// Address of the schema registry, if values begin with ids of schemas and it needs no password (otherwise: `registry` in the file of -c)
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// The schema (.avsc) of Avro values, of both topics or of one: `predictions=FILE`, `outcomes=FILE`
    #[arg(long, value_name = "[INPUT=]FILE")]
    pub schema: Vec<String>,
}

/// Prints a proposal.
pub fn infer(args: &InferArgs) -> Result<(), Failure> {
    logs::start("error");
    let base = base(args)?;
    let topics = [
        args.predictions.clone().unwrap_or_else(|| base.predictions.topic.clone()),
        args.outcomes.clone().unwrap_or_else(|| base.outcomes.topic.clone()),
    ];
    let at = registry(args, &base)?;
    let asked = at.as_ref().map(AtOnce::new).transpose().map_err(|trouble| Failure::Runtime(trouble.to_string()))?.map(Arc::new);
    let [p, o] = [read(&base, &topics[0], args.records)?, read(&base, &topics[1], args.records)?];
    let taken = |at: usize, stored: &[Stored]| {
        let source = [&base.predictions, &base.outcomes][at];
        let format = relative(&source.format, args.config.as_deref());
        let file = schema_file(args, ["predictions", "outcomes"][at])?;
        let schemas = asked.as_deref().map(|asked| asked as &dyn Schemas);
        let means = Means { topic: &topics[at], format: &format, file: file.as_ref(), schemas };
        take(stored, &means).map_err(|why| Failure::Runtime(asked.as_ref().and_then(|asked| asked.trouble()).unwrap_or(why)))
    };
    let (of_p, of_o) = (taken(0, &p)?, taken(1, &o)?);
    let (predictions, outcomes) = roles((&of_p.places, &of_p.samples), (&of_o.places, &of_o.samples));
    let by_id = |taken: &Taken| matches!(taken.format, Format::Registry { .. });
    let registry = at.filter(|_| by_id(&of_p) || by_id(&of_o)).map(|at| format!("registry: {{ url: {} }}", quoted(&at.url)));
    let scene = Scene {
        app: base.app.clone(),
        kafka: section(args, "kafka", format!("kafka: {{ brokers: {} }}", quoted(&base.kafka.brokers)))?,
        registry: match (registry, &base.registry) {
            (None, _) => String::new(),
            (Some(typed), None) => typed,
            (Some(typed), Some(_)) => section(args, "registry", typed)?,
        },
        topics: [&topics[0], &topics[1]],
        formats: [&of_p.format, &of_o.format],
        schemas: [&of_p.schemas, &of_o.schemas],
        records: [of_p.samples.len(), of_o.samples.len()],
    };
    let text = page(&scene, [&of_p.places, &of_o.places], &predictions, &outcomes);
    say(text.trim_end())?;
    let verdict = tried(&text, args.config.as_deref(), asked, &p, &o);
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

/// The registry of the command line, or else of the file.
fn registry(args: &InferArgs, base: &Settings) -> Result<Option<Registry>, Failure> {
    let Some(url) = &args.registry else { return Ok(base.registry.clone()) };
    if base.registry.is_some() {
        return Err(Failure::Runtime(
            "the configuration names a registry already: leave --registry out, or the section `registry`".to_string(),
        ));
    }
    let text = format!(
        "app: a\nkafka: {{ brokers: b }}\nregistry: {{ url: {} }}\npredictions: {{ topic: p, format: registry }}\noutcomes: {{ topic: o }}\n",
        quoted(url)
    );
    load_text("--registry", &text, &|_| None, Path::new("")).map(|settings| settings.registry).map_err(Failure::Config)
}

/// The schema file that was named for an input, or for both.
fn schema_file(args: &InferArgs, input: &str) -> Result<Option<SchemaFile>, Failure> {
    let own = args.schema.iter().rev().find_map(|named| Some((named.strip_prefix(input)?.strip_prefix('=')?, true)));
    let others = |named: &&String| !["predictions=", "outcomes="].iter().any(|input| named.starts_with(input));
    let both = || args.schema.iter().rev().find(others).map(|named| (named.as_str(), false));
    let Some((name, own)) = own.or_else(both) else { return Ok(None) };
    let unread = |e: std::io::Error| Failure::Runtime(format!("--schema: {name} can't be read: {e}"));
    let text = crate::config::load::read_text(Path::new(name)).map_err(unread)?;
    // in a configuration, paths begin at its folder
    let elsewhere = args.config.as_deref().and_then(Path::parent).is_some_and(|folder| !folder.as_os_str().is_empty());
    let path = if elsewhere { std::path::absolute(name).map_err(unread)? } else { PathBuf::from(name) };
    Ok(Some(SchemaFile { path, text, own }))
}

/// A format with the path of its schema as it was typed.
fn relative(format: &Format, config: Option<&Path>) -> Format {
    let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
    match format.clone() {
        Format::Avro { path, schema, framing } => {
            let path = path.strip_prefix(folder).map_or(path.clone(), Path::to_path_buf);
            Format::Avro { path, schema, framing }
        }
        other => other,
    }
}

/// A section of the file, letter by letter: what it holds (secrets by file or variable) is nobody's to be printed otherwise. Without a file as
/// it is typed.
fn section(args: &InferArgs, name: &str, typed: String) -> Result<String, Failure> {
    let Some(file) = &args.config else { return Ok(typed) };
    let text = std::fs::read_to_string(file).map_err(|e| Failure::Runtime(format!("{}: {e}", file.display())))?;
    let mut lines = text.lines().skip_while(|line| !line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    let first = lines.next().map(str::to_string);
    let rest = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#', '}']));
    let section: Vec<String> = first.into_iter().chain(rest.map(str::to_string)).collect();
    Ok(if section.is_empty() { format!("# {name}: as in {}", file.display()) } else { section.join("\n") })
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

/// How much of what was read the proposal fits.
fn tried(text: &str, file: Option<&Path>, asked: Option<Arc<AtOnce>>, p: &[Stored], o: &[Stored]) -> String {
    let base_dir = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let settings = match load_text("proposal", text, &|name| std::env::var(name).ok(), base_dir) {
        Ok(settings) => settings,
        Err(e) => return format!("The proposal is not complete yet; what is missing:\n{e}"),
    };
    let dimensions = &settings.definitions.dimensions;
    let schemas = || asked.clone().map(|asked| asked as Arc<dyn Schemas>);
    let (Ok(mut predictions), Ok(mut outcomes)) =
        (PredictionDecoder::with(&settings.predictions, dimensions, schemas()), OutcomeDecoder::with(&settings.outcomes, schemas()))
    else {
        return "The proposal can't be tried".to_string();
    };
    let mut why = None;
    let mut fits = |fault: Option<BadRecord>| fault.map(|bad| why.get_or_insert(bad.detail)).is_none();
    let good_p = p.iter().filter(|s| predictions.ready(&s.record()) && fits(predictions.decode(&s.record()).err())).count();
    let good_o = o.iter().filter(|s| outcomes.ready(&s.record()) && fits(outcomes.decode(&s.record()).err())).count();
    let why = why.map_or(String::new(), |why| format!("\nThe first that can't: {why}"));
    format!("With it {good_p} of {} predictions and {good_o} of {} outcomes can be read.{why}", p.len(), o.len())
}
