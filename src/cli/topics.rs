//! `driftline topics create`: driftline's own topics, with the settings that they need.

use super::{ConfigArg, Failure, Output, say, settings};
use crate::audit;
use crate::config::settings::Settings;
use crate::kafka::topics::{Created, TopicSpec, create};
use crate::ops::logs;
use clap::{Args, Subcommand};
use serde_json::json;

/// Flags of `topics`.
#[derive(Debug, Args)]
pub struct TopicsArgs {
    /// What to do with them
    #[command(subcommand)]
    pub verb: TopicsVerb,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum TopicsVerb {
    /// Create those that are missing; existing ones are never changed
    #[command(after_help = "Example:\n  driftline topics create -c driftline.yaml --dry-run")]
    Create(CreateArgs),
}

/// Flags of `topics create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only say what would be created
    #[arg(long)]
    pub dry_run: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// The audit's line.
fn account(settings: &Settings, report: &Result<Vec<(TopicSpec, Created)>, String>) {
    let (objects, result) = match report {
        Ok(all) => {
            let new: Vec<String> = all.iter().filter(|t| t.1 == Created::Created).map(|t| t.0.name.clone()).collect();
            let result = format!("{} created, {} there already", new.len(), all.len() - new.len());
            (new, result)
        }
        Err(why) => (vec![format!("{}.*", settings.app)], format!("failed, some may be created: {why}")),
    };
    audit::record(settings, "topics create", &objects, &result);
}

/// Creates topics.
pub fn topics(args: &TopicsArgs) -> Result<(), Failure> {
    let TopicsVerb::Create(args) = &args.verb;
    let settings = settings(&args.config)?;
    logs::start("warn");
    let report = create(&settings, args.dry_run);
    if !args.dry_run {
        account(&settings, &report);
    }
    let report = report.map_err(Failure::Runtime)?;
    if args.output == Output::Json {
        let rows: Vec<_> = report.iter().map(|(spec, created)| json!({ "topic": spec, "result": created })).collect();
        return say(&json!(rows).to_string());
    }
    for (spec, created) in report {
        let word = match created {
            Created::Created => "created",
            Created::Exists => "exists",
            Created::Would => "would create",
        };
        let config: Vec<String> = spec.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
        say(&format!("{word:<12} {:<28} {:>3} partition(s)  {}", spec.name, spec.partitions, config.join(" ")))?;
    }
    Ok(())
}
