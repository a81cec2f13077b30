//! `driftline size`: how many processes, how much memory and CPU a stream asks for, and what would be found in it.
//!
//! Guarantees: asks nobody: arithmetic on what is typed and on the configuration. Comes from: the command line. Goes to: standard output.

use super::{Failure, Output, say};
use crate::config::settings::Settings;
use crate::config::{duration, load, load_text};
use crate::engine::detect::describe::number;
use crate::engine::types::Span;
use crate::sizing::{Load, Need, need};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Flags of `size`.
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// Configuration file; without one the defaults count
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Predictions a second, of all models together, in the busiest hour
    #[arg(long, value_name = "N")]
    pub rate: f64,
    /// How long predictions wait for their outcomes (instead of the configuration's join.window)
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub window: Option<Span>,
    /// Share of predictions whose outcome comes; 0 is the worst for memory
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub labelled: f64,
    /// How long outcomes take to come, on average
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0s")]
    pub delay: Span,
    /// Features of a prediction
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub features: usize,
    /// Segments of a model: for each entry of segments.by, how many combinations of values there are
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub segments: usize,
    /// Models
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub models: usize,
    /// Memory of a process (its container's limit), in GiB
    #[arg(long, value_name = "GIB", default_value_t = 4.0)]
    pub memory: f64,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

const GIB: f64 = (1u64 << 30) as f64;

/// Prints what is needed.
pub fn size(args: &SizeArgs) -> Result<(), Failure> {
    let wrong = |what: &str| Err(Failure::Runtime(what.to_string()));
    if !(args.rate > 0.0 && args.rate.is_finite()) {
        return wrong("--rate must be more than 0: predictions a second");
    }
    if !(0.0..=1.0).contains(&args.labelled) {
        return wrong("--labelled is a share of 1: .9 if nine of ten predictions get their outcome");
    }
    if !(args.memory > 0.0 && args.memory.is_finite()) {
        return wrong("--memory must be more than 0: GiB of one process");
    }
    let mut definitions = settings(args.config.as_deref())?.definitions;
    definitions.join.window = args.window.unwrap_or(definitions.join.window);
    let load = Load {
        rate: args.rate,
        features: args.features,
        segments: args.segments,
        models: args.models,
        labelled: args.labelled,
        delay: args.delay,
    };
    let need = need(&load, &definitions, args.memory * GIB);
    let mib = |bytes: f64| format!("{} MiB", number((bytes / 1_048_576.0).ceil()));
    match args.output {
        Output::Json => say(&json!({
            "processes": need.processes, "memory_gib": args.memory, "cores": need.cores, "rows": need.rows, "row_bytes": need.row_bytes,
            "streams": need.streams, "stream_bytes": need.stream_bytes, "budget_streams": definitions.streams_cap, "smallest_change_sigma": need.smallest,
            "join_window_ms": definitions.join.window.0, "pane_ms": definitions.pane.0.0,
        })
        .to_string()),
        Output::Text => {
            let streams = match need.streams as u64 > u64::from(definitions.streams_cap) {
                true => format!("set budget.streams to {} or more, it is {}", need.streams, definitions.streams_cap),
                false => format!("budget.streams is {}", definitions.streams_cap),
            };
            for (name, text) in [
                ("processes", format!("{} of {} GiB, and as many partitions of the inputs or more", need.processes, number(args.memory))),
                ("CPU", format!("{} cores in all while it keeps up; twice that to catch up", number(need.cores))),
                ("rows", format!("up to {} wait for their outcomes, {}", number(need.rows.ceil()), mib(need.row_bytes))),
                ("streams", format!("{}, {} while they learn; {streams}", need.streams, mib(need.stream_bytes))),
                ("found", found(&need, definitions.tolerance.location)),
                ("kubernetes", kubernetes(&need, args.memory)),
            ] {
                say(&format!("{name:<11}{text}"))?;
            }
            say("Measured with records of 258 B Avro (docs/performance.md); JSON, longer records and many segments cost more CPU.")
        }
    }
}

fn found(need: &Need, tolerance: f64) -> String {
    let (smallest, tolerance) = (number(need.smallest), number(tolerance));
    format!(
        "a change of a feature's mean by {smallest} sigma within a day, in a whole model; less than tolerance.location, {tolerance}, never alerts"
    )
}

fn kubernetes(need: &Need, memory: f64) -> String {
    let each = (need.cores / need.processes as f64).max(0.1);
    let (cpu, memory) = ((each * 10.0).ceil() / 10.0, (memory * 1_024.0).ceil());
    format!(
        "replicas: {}, resources: {{ requests: {{ cpu: \"{}\", memory: {memory}Mi }}, limits: {{ memory: {memory}Mi }} }}",
        need.processes,
        number(cpu)
    )
}

fn settings(file: Option<&Path>) -> Result<Settings, Failure> {
    let text = "app: size\nkafka: { brokers: 'none:1' }\npredictions: { topic: p }\noutcomes: { topic: o }\n";
    match file {
        Some(file) => load(file),
        None => load_text("defaults", text, &|_| None, Path::new("")),
    }
    .map_err(Failure::Config)
}
