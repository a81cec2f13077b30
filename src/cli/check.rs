//! `driftline check`: is the configuration right?

use super::{ConfigArg, Failure, Output, say};
use crate::config::load;
use crate::config::settings::Settings;
use crate::registry::probe;
use clap::Args;
use serde_json::json;

/// Flags of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Reads the file, reports every mistake, or says what it means; a registry that it names is asked once.
pub fn check(args: &CheckArgs) -> Result<(), Failure> {
    let loaded = load(&args.config.config);
    if let Ok(Settings { registry: Some(at), .. }) = &loaded {
        probe(at).map_err(|trouble| Failure::Runtime(format!("the schema registry {}: {trouble}", at.url)))?;
    }
    match (loaded, args.output) {
        (Err(diagnostics), Output::Json) => {
            say(&diagnostics.to_json())?;
            Err(Failure::Config(diagnostics))
        }
        (Err(diagnostics), Output::Text) => Err(Failure::Config(diagnostics)),
        (Ok(s), Output::Json) => say(
            &json!({ "ok": true, "app": s.app, "definition": s.definitions.hash(), "predictions": s.predictions.topic, "outcomes": s.outcomes.topic, "alerts": s.alerts.topic, "segments": s.definitions.segments, "look_ahead_panes": s.definitions.look_ahead() }).to_string(),
        ),
        (Ok(s), Output::Text) => {
            let d = &s.definitions;
            let registry = s.registry.as_ref().map_or(String::new(), |r| format!("\n  registry     {}", r.url));
            let segments: Vec<String> = d.segments.iter().map(|by| by.join(" x ")).collect();
            say(&format!(
                "{}: ok\n  app          {}\n  reads        {} and {}{registry}\n  publishes    {}\n  models       {}\n  segments     {}\n  panes        {} s\n  budget       {} false alarm(s) in {} days, split over {} streams",
                args.config.config.display(),
                s.app,
                s.predictions.topic,
                s.outcomes.topic,
                s.alerts.topic,
                d.models.keys().cloned().collect::<Vec<_>>().join(", "),
                if segments.is_empty() { "none".to_string() } else { segments.join(", ") },
                d.pane.0.0 / 1_000,
                d.budget.false_alarms,
                d.budget.per.0 / 86_400_000,
                d.streams_cap
            ))
        }
    }
}
