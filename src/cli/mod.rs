//! The command line: one file per verb, one kind of failure with the exit code that it means.
//!
//! Exit codes: 0 ok, 1 runtime, 2 usage or configuration, 4 fatal Kafka error (restart me).

pub mod baseline;
pub mod check;
mod connect;
pub mod demo;
pub mod demo_data;
mod demo_show;
pub mod drill;
mod events;
pub mod explain;
mod explain_context;
mod explain_life;
mod explain_page;
mod explain_words;
mod findings;
pub mod forward;
mod forward_alertmanagers;
mod forward_webhooks;
pub mod infer;
pub mod run;
pub mod schema;
mod sheet;
pub mod size;
pub mod tail;
mod tail_line;
pub mod top;
mod top_page;
pub mod top_screen;
pub mod topics;

use crate::config::settings::Settings;
use crate::config::{Diagnostics, load};
use crate::ops::service::ServiceError;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Watches machine-learning models in production: joins predictions and outcomes from Kafka, detects drift per segment,
/// publishes each alert exactly once.
#[derive(Debug, Parser)]
#[command(name = "driftline", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the service
    #[command(after_help = "Example:\n  driftline run -c driftline.yaml\n  driftline run -c driftline.yaml --stage detect")]
    Run(run::RunArgs),
    /// See it work: real data with a known change, an embedded broker, no set-up
    #[command(
        after_help = "Example:\n  driftline demo\n  driftline demo --once --alerts alerts.jsonl\n  driftline demo --brokers localhost:9092"
    )]
    Demo(demo::DemoArgs),
    /// Check a configuration file, every mistake at once; with --connect against the cluster and its newest records
    #[command(
        after_help = "Example:\n  driftline check -c driftline.yaml\n  driftline check -c driftline.yaml -o json\n  driftline check -c driftline.yaml --connect"
    )]
    Check(check::CheckArgs),
    /// Propose a configuration from the newest records of two topics, with the reason beside each line
    #[command(
        after_help = "Example:\n  driftline infer --brokers localhost:9092 --predictions fraud.predictions --outcomes fraud.labels > driftline.yaml\n  driftline infer -c kafka-only.yaml --records 20000\n  driftline infer --brokers localhost:9092 --predictions P --outcomes O --registry http://localhost:8081\n  driftline infer --brokers localhost:9092 --predictions P --outcomes O --schema predictions=p.avsc --schema outcomes=o.avsc"
    )]
    Infer(infer::InferArgs),
    /// How many processes, how much memory and CPU a stream asks for, and how small a change would be found in it
    #[command(
        after_help = "Example:\n  driftline size --rate 2000 --window 30d --features 40 --segments 25\n  driftline size -c driftline.yaml --rate 2000"
    )]
    Size(size::SizeArgs),
    /// Print the JSON Schema of the configuration
    #[command(after_help = "Example:\n  driftline schema > driftline.schema.json")]
    Schema,
    /// Create driftline's own topics
    #[command(after_help = "Example:\n  driftline topics create -c driftline.yaml --dry-run")]
    Topics(topics::TopicsArgs),
    /// Print the alerts topic as people read it, one event a line
    #[command(
        after_help = "Example:\n  driftline tail -c driftline.yaml --since 7d --severity warning\n  driftline tail -c driftline.yaml -f\n  driftline tail -c driftline.yaml --model fraud -o json | jq .summary"
    )]
    Tail(tail::TailArgs),
    /// Show one alert of the alerts topic on a page: since when, from what to what, where in the distribution, how sure
    #[command(
        after_help = "Example:\n  driftline explain -c driftline.yaml 40676ea85575c45b4e36f86801ee8522-71946\n  driftline explain -c driftline.yaml 40676e\n  driftline explain -c driftline.yaml 40676e -o json | jq .effect"
    )]
    Explain(explain::ExplainArgs),
    /// Watch running processes: throughput, lag, commits, panes, streams, budget, memory, open alerts; q ends it
    #[command(
        after_help = "Example:\n  driftline top\n  driftline top --url http://driftline-0.driftline:9464,http://driftline-1.driftline:9464\n  driftline top --once -o json | jq .inputs"
    )]
    Top(top::TopArgs),
    /// Say by a file what is normal for a model: build it from training data or a topic, look at it, give it to a running application
    #[command(
        after_help = "Example:\n  driftline baseline build -c driftline.yaml --model fraud --from train.csv --score p_fraud --out fraud.baseline\n  driftline baseline build -c driftline.yaml --model fraud --from-topic --out fraud.baseline\n  driftline baseline show fraud.baseline\n  driftline baseline load -c driftline.yaml fraud.baseline"
    )]
    Baseline(baseline::BaselineArgs),
    /// Order an alert that is marked as a drill, and see how long it takes to arrive, and to be resolved
    #[command(
        after_help = "Example:\n  driftline drill -c driftline.yaml\n  driftline drill -c driftline.yaml --model fraud --severity critical --panes 5\n  driftline drill -c driftline.yaml --alertmanager http://alertmanager:9093"
    )]
    Drill(drill::DrillArgs),
    /// Tell Alertmanager what fires, until it is resolved, and webhooks each event once
    #[command(
        after_help = "Example:\n  driftline forward -c driftline.yaml --alertmanager http://alertmanager:9093\n  driftline forward -c driftline.yaml --alertmanager https://am-0:9093 --alertmanager https://am-1:9093 --ca-file ca.pem --token-file token\n  driftline forward -c driftline.yaml --webhook on-call=https://chat.example/hooks/7 --webhook-secret-file secret"
    )]
    Forward(forward::ForwardArgs),
}

/// The configuration file.
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// Configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "DRIFTLINE_CONFIG")]
    pub config: PathBuf,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Why a verb ended early.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1.
    Runtime(String),
    /// Exit code 2.
    Config(Diagnostics),
    /// Exit code 4.
    Kafka(String),
}

impl Failure {
    /// Says it on standard error; a standard error that is full or closed is no reason to fail in another way.
    pub fn report(self) -> ExitCode {
        use std::io::Write;
        let mut err = std::io::stderr();
        let (text, code) = match self {
            Failure::Runtime(why) => (format!("driftline: {why}"), 1),
            Failure::Config(diagnostics) => (diagnostics.to_string(), 2),
            Failure::Kafka(why) => (format!("driftline: {why}\nThis process can't go on; restart it (exit code 4)."), 4),
        };
        writeln!(err, "{text}").ok();
        ExitCode::from(code)
    }
}

impl From<ServiceError> for Failure {
    fn from(e: ServiceError) -> Failure {
        match e {
            ServiceError::Kafka(why) => Failure::Kafka(why),
            other => Failure::Runtime(other.to_string()),
        }
    }
}

/// Loads the settings of a file.
pub fn settings(config: &ConfigArg) -> Result<Arc<Settings>, Failure> {
    load(&config.config).map(Arc::new).map_err(Failure::Config)
}

/// Whether somebody still reads standard output after this was written; a full one ends the verb with a message.
fn still_read(written: std::io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::Runtime(format!("writing to standard output: {e}"))),
    }
}

/// Prints a line; a full or closed standard output ends the verb with a message.
pub fn say(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").map_err(|e| Failure::Runtime(format!("writing to standard output: {e}")))
}
