//! `driftline check`: is the configuration right? With `--connect`: does it fit the cluster and what is in the inputs?

use super::connect::findings;
use super::findings::Level;
use super::{ConfigArg, Failure, Output, say};
use crate::config::load;
use crate::config::settings::{Http, Settings, TlsFiles};
use crate::identity;
use crate::ops::door::ending;
use crate::ops::http::now_ms;
use crate::ops::logs;
use crate::registry::probe;
use clap::Args;
use serde_json::json;

/// Flags of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Look at the cluster too: topics, rights, and the newest records of both inputs. Reads and asks only
    #[arg(long)]
    pub connect: bool,
    /// With --connect: about so many records of each input
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), requires = "connect")]
    pub records: u32,
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
    if let Ok(Settings { http: Some(Http { tls: Some(tls), .. }), .. }) = &loaded {
        unexpired(tls)?;
    }
    if let (Ok(settings), true) = (&loaded, args.connect) {
        return report(settings, args);
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

/// An expired certificate of the listener is an error here; a process that restarts with one goes on, with a warning.
fn unexpired(tls: &TlsFiles) -> Result<(), Failure> {
    let now = now_ms();
    let until = std::fs::read(&tls.certificate).ok().and_then(|pem| identity::until(&pem));
    match (ending(until, now), until < Some(now)) {
        (Some(why), true) => Err(Failure::Runtime(format!("http.tls: the certificate in {} {why}", tls.certificate.display()))),
        (Some(why), false) => {
            eprintln!("note: http.tls: the certificate in {} {why}", tls.certificate.display());
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// Prints what was found; an error if something is wrong.
fn report(settings: &Settings, args: &CheckArgs) -> Result<(), Failure> {
    logs::start("error"); // what goes wrong is a finding
    let found = findings(settings, args.records as usize);
    let wrong = found.iter().filter(|f| f.level == Level::Wrong).count();
    match args.output {
        Output::Json => say(&json!({ "ok": wrong == 0, "findings": found }).to_string())?,
        Output::Text => {
            for f in &found {
                let mark = match f.level {
                    Level::Fine => "ok   ",
                    Level::Note => "note ",
                    Level::Wrong => "WRONG",
                };
                say(&format!("{mark}  {}", f.text))?;
                if !f.remedy.is_empty() {
                    say(&format!("       -> {}", f.remedy))?;
                }
            }
        }
    }
    match wrong {
        0 => Ok(()),
        n => Err(Failure::Runtime(format!("{n} finding(s) must be put right before `driftline run`"))),
    }
}
