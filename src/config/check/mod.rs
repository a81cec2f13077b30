//! From what was typed to what it means: contradictions, defaults that depend on other keys, secrets, schema files.
//!
//! Guarantees: goes on after a mistake, so that all are reported together; a default never hides a mistake.
//! Comes from: `shape` (keys and types are right). Goes to: `Settings`.

mod baselines;
mod explode;
mod fairness;
mod fields;
mod http;
mod kafka;
mod limits;
mod protect;
mod registry;
mod rules;
mod schema_files;
mod schema_paths;
mod sources;

use super::bytes::memory_of_this_machine;
use super::expand::Env;
use super::place::Fault;
use super::raw;
use super::settings::*;
use super::shape::Path;
use crate::engine::join::Limits;
use crate::engine::monitor::chunks::Pace;
use crate::engine::types::Span;
use std::path::PathBuf;

/// A contradiction.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The setting.
    pub path: Path,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The part of the setting's text that is wrong, if it is not all of it.
    pub part: Option<Part>,
}

/// A part of a setting's text.
#[derive(Clone, Debug)]
pub struct Part {
    /// The text.
    pub text: String,
    /// Its first wrong character, from 0.
    pub at: usize,
    /// How many characters are wrong.
    pub width: usize,
}

/// What a check may look at, and where it puts what it finds.
pub struct Context<'e> {
    /// Environment variables.
    pub env: Env<'e>,
    /// Folder that relative paths start from.
    pub base_dir: PathBuf,
    /// Maps that hold a reported mistake: nothing that seems to be missing in them is reported again.
    pub broken: Vec<Path>,
    /// What was found.
    pub problems: Vec<Problem>,
}

impl Context<'_> {
    fn problem(&mut self, path: Path, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem { path, message: message.into(), hint: hint.into(), part: None });
    }

    /// Reports what is wrong with a place in a record, and marks that part of it.
    fn no_place(&mut self, path: Path, text: &str, fault: &Fault) {
        let message = format!("{path}: \"{text}\" is no path: {fault}");
        let part = Some(Part { text: text.to_string(), at: fault.at, width: fault.width });
        self.problems.push(Problem { path, message, hint: fault.allowed.to_string(), part });
    }

    /// Reports that `path` has no entry `key`, unless a misspelt one was reported there.
    fn missing(&mut self, path: Path, message: impl Into<String>, hint: impl Into<String>) {
        if !self.broken.contains(&path) {
            self.problem(path, message, hint);
        }
    }

    fn within<T: PartialOrd + std::fmt::Display>(&mut self, path: &[&str], value: T, low: T, high: T) -> T {
        if value < low || value > high {
            self.problem(Path::of(path), format!("{} is {value}: it must be {low} to {high}", path.join(".")), "");
        }
        value
    }

    fn at_least(&mut self, path: &[&str], value: Span, low: Span) -> Span {
        if value < low {
            let low = super::duration::format(low);
            self.problem(Path::of(path), format!("{} must be at least {low}", path.join(".")), "");
        }
        value
    }
}

/// Builds the settings; they are right only if `context.problems` stays empty.
pub fn check(config: &raw::Config, context: &mut Context<'_>) -> Settings {
    let app = sources::app(config, context);
    let kafka = kafka::kafka(&config.kafka.clone().unwrap_or_default(), context);
    let dimensions = rules::dimensions_used(config);
    let mut predictions = sources::predictions(&config.predictions.clone().unwrap_or_default(), &dimensions, context);
    let mut outcomes = sources::outcomes(&config.outcomes.clone().unwrap_or_default(), context);
    let protect = protect::protect(config, &predictions, context);
    outcomes.protect.clone_from(&protect);
    predictions.protect = protect;
    let registry = registry::registry(config, [&predictions, &outcomes], context);
    let definitions = rules::definitions(config, &app, &predictions, context);
    if context.problems.is_empty()
        && let Err(what) = definitions.possible()
    {
        context.problem(Path::root(), format!("{what}: nothing may be longer than 10,000 years"), "");
    }
    let alerts = sources::alerts(config, &app, context);
    sources::distinct_topics(config, &app, &alerts, context);
    let silence_after = context.at_least(&["silence_after"], config.silence_after.span(), config.idle_timeout.span());
    Settings {
        kafka,
        registry,
        predictions,
        outcomes,
        definitions,
        baselines: baselines::baselines(config, context),
        max_ahead: config.max_ahead.span(),
        idle_timeout: context.at_least(&["idle_timeout"], config.idle_timeout.span(), Span::seconds(1)),
        silence_after,
        start_from: match config.start_from {
            raw::StartFrom::Earliest => StartFrom::Earliest,
            raw::StartFrom::Latest => StartFrom::Latest,
        },
        epoch: epoch(&config.epoch, context),
        alerts,
        http: http::http(&config.http, context),
        max_series: context.within(&["metrics", "max_series"], config.metrics.max_series, 10, 1_000_000),
        summaries_partitions: context.within(&["summaries", "partitions"], config.summaries.partitions, 1, 256),
        replication: replication(config.topics.replication, context),
        instance: instance(config, context),
        threads: Threads {
            join: context.within(&["threads", "join"], config.threads.join, 1, 256),
            detect: context.within(&["threads", "detect"], config.threads.detect, 1, 256),
        },
        memory_limit: memory(config.memory.limit.map(|b| b.0), context),
        journal: Limits::default(),
        state: Pace::default(),
        app,
    }
}

fn epoch(typed: &raw::Epoch, context: &mut Context<'_>) -> EpochLimits {
    let time = context.at_least(&["epoch", "time"], typed.time.0, Span(100));
    if time > Span::minutes(1) {
        let why = "a transaction that is open longer is aborted by the broker";
        context.problem(Path::of(&["epoch", "time"]), "epoch.time must be at most 1m", why);
    }
    EpochLimits { records: context.within(&["epoch", "records"], typed.records, 1, 100_000_000), time }
}

fn replication(typed: i32, context: &mut Context<'_>) -> i32 {
    if typed != -1 && !(1..=100).contains(&typed) {
        let message = format!("topics.replication is {typed}: it must be -1 (the broker's default) or at least 1");
        context.problem(Path::of(&["topics", "replication"]), message, "");
    }
    typed
}

fn instance(config: &raw::Config, context: &mut Context<'_>) -> String {
    let typed = config.instance.clone().map(|t| t.0);
    let name = typed.or_else(|| (context.env)("HOSTNAME")).filter(|n| !n.is_empty()).unwrap_or_else(|| "0".to_string());
    if !sources::legal_name(&name) {
        let message = format!("instance \"{name}\" has other characters than letters, digits, \".\", \"_\" and \"-\"");
        context.problem(Path::of(&["instance"]), message, "it becomes part of Kafka's group.instance.id");
    }
    name
}

fn memory(typed: Option<u64>, context: &mut Context<'_>) -> u64 {
    let limit = typed.unwrap_or_else(memory_of_this_machine);
    if limit < 16 << 20 {
        context.problem(Path::of(&["memory", "limit"]), "memory.limit must be at least 16MiB", "");
    }
    limit
}
