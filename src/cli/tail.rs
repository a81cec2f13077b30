//! `driftline tail`: the alerts topic as people read it.
//!
//! Guarantees: shows committed events only, each once, sorted by the time they were detected at as far as they are at hand; a record that is
//! no alert is told on standard error, with its place, and the rest is shown.
//! Never: joins a group, commits anything, needs more than Read on the topic.

use super::{ConfigArg, Failure, Output, settings, tail_line};
use crate::codec::alert::{Format, decode, encode};
use crate::config::duration;
use crate::config::raw::Time;
use crate::config::settings::{AlertFormat, Settings};
use crate::engine::types::Span;
use crate::kafka::subscriber::Subscriber;
use crate::log::{Fatal, Record};
use crate::ops::http::now_ms;
use crate::ops::logs;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// Without `--follow`, reading ends with an error if Kafka has said nothing for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of `tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only this model
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Only this severity and higher ones
    #[arg(long, value_enum, ignore_case = true)]
    pub severity: Option<SeverityArg>,
    /// Only what was detected since then (event time, the first column): a length before now (2h) or a time (2026-01-31T08:00:00Z)
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub since: Option<When>,
    /// Wait for more
    #[arg(short, long)]
    pub follow: bool,
    /// How to print events: a line each, or one JSON object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// A severity, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum SeverityArg {
    /// From 1x the tolerance.
    Info,
    /// From 2x the tolerance.
    Warning,
    /// From 5x the tolerance.
    Critical,
}

/// A point in time as people type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long before now.
    Ago(Span),
    /// Then, in ms since 1970.
    At(i64),
}

impl When {
    fn parse(text: &str) -> Result<When, String> {
        let at = || Time::parse(text).map(|t| When::At(t.0.as_millisecond()));
        duration::parse(text)
            .map(When::Ago)
            .or_else(|_| at())
            .map_err(|_| format!("\"{text}\" is neither a length of time (30m, 2h, 7d) nor a time (2026-01-31T08:00:00Z)"))
    }

    fn ms(self, now_ms: i64) -> i64 {
        match self {
            When::Ago(span) => now_ms.saturating_sub(span.0),
            When::At(ms) => ms,
        }
    }
}

/// What is shown.
struct Wanted<'a> {
    model: Option<&'a str>,
    severity: Option<SeverityArg>,
    since_ms: Option<i64>,
}

impl Wanted<'_> {
    /// A time that can't be read is shown: better than missed.
    fn takes(&self, event: &Value) -> bool {
        let time = || tail_line::detected_at(event).parse::<jiff::Timestamp>().map_or(i64::MAX, |t| t.as_millisecond());
        self.model.is_none_or(|model| event.get("model").and_then(Value::as_str) == Some(model))
            && self.severity.is_none_or(|least| tail_line::severity(event) >= least)
            && self.since_ms.is_none_or(|since| time() >= since)
    }
}

/// An event that was read: what it says, and its text in JSON.
struct Event {
    value: Value,
    json: String,
}

/// Prints what is in the topic, and with `--follow` what comes.
pub fn tail(args: &TailArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("warn");
    let fatal = |e: Fatal| Failure::Runtime(e.0);
    let topic = &settings.alerts.topic;
    // the client wants a group's name; nobody is in it
    let mut subscriber = Subscriber::new(&settings.kafka, &format!("{}-tail", settings.app), topic).map_err(fatal)?;
    let wanted = Wanted { model: args.model.as_deref(), severity: args.severity, since_ms: args.since.map(|s| s.ms(now_ms())) };
    let screen = Screen::new(args.output);
    let (mut fresh, mut read, mut shown) = (Vec::new(), 0u64, 0u64);
    loop {
        subscriber
            .poll(STEP, &mut |record| {
                read += 1;
                fresh.extend(event(&settings, &record).filter(|e| wanted.takes(&e.value)));
            })
            .map_err(fatal)?;
        if subscriber.has_caught_up() {
            shown += fresh.len() as u64;
            if !screen.show(&mut fresh)? {
                return Ok(()); // nobody reads any more
            }
            if !args.follow {
                break;
            }
        } else if subscriber.silence() > PATIENCE && !args.follow {
            let (s, brokers) = (PATIENCE.as_secs(), &settings.kafka.brokers);
            return Err(Failure::Runtime(format!(
                "reading {topic} made no progress for {s} s: are all of the brokers at {brokers} there?"
            )));
        }
    }
    if shown == 0 {
        let filtered = args.model.is_some() || args.severity.is_some() || args.since.is_some();
        let why = if read > 0 && filtered { "none of them matches --model, --severity and --since" } else { "no alert yet" };
        writeln!(std::io::stderr(), "{topic} holds {read} record(s): {why}").ok();
    }
    Ok(())
}

/// The event in a record; what is none is told.
fn event(settings: &Settings, record: &Record<'_>) -> Option<Event> {
    let value = record.value?; // a tombstone
    let read = match settings.alerts.format {
        AlertFormat::Json => String::from_utf8(value.to_vec()).map_err(|e| e.to_string()),
        AlertFormat::Avro => decode(value, Format::Avro)
            .and_then(|alert| encode(&alert, Format::Json))
            .map_err(|e| e.to_string())
            .and_then(|json| String::from_utf8(json).map_err(|e| e.to_string())),
    };
    let parsed = read.and_then(|json| match serde_json::from_str::<Value>(&json) {
        // a line of its own, whoever wrote it
        Ok(value) if value.is_object() => Ok(Event { json: if json.contains('\n') { value.to_string() } else { json }, value }),
        Ok(_) => Err("no JSON object".to_string()),
        Err(e) => Err(e.to_string()),
    });
    parsed
        .inspect_err(|why| {
            let (topic, p, offset) = (&settings.alerts.topic, record.partition.0, record.offset.0);
            tracing::warn!("{topic}[{p}]@{offset} is passed over, it is no alert ({why}). Is alerts.format what its writer has?");
        })
        .ok()
}

/// Standard output.
struct Screen {
    output: Output,
    coloured: bool,
}

impl Screen {
    fn new(output: Output) -> Screen {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Screen { output, coloured }
    }

    /// Prints events in order of time; false if nobody reads them any more (`driftline tail | head`).
    fn show(&self, events: &mut Vec<Event>) -> Result<bool, Failure> {
        events.sort_by(|a, b| tail_line::detected_at(&a.value).cmp(tail_line::detected_at(&b.value))); // stable: a partition's order stays
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let written = events.drain(..).try_for_each(|event| match self.output {
            Output::Json => writeln!(out, "{}", event.json),
            Output::Text => writeln!(out, "{}", tail_line::line(&event.value, self.coloured)),
        });
        match written.and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Failure::Runtime(format!("writing to standard output: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn since_is_a_length_before_now_or_a_time() {
        assert_eq!(When::parse("2h").map(|w| w.ms(10_000_000)), Ok(2_800_000));
        assert_eq!(When::parse("1970-01-01T00:00:05Z").map(|w| w.ms(0)), Ok(5_000));
        let why = When::parse("yesterday").unwrap_err();
        assert!(why.contains("\"yesterday\"") && why.contains("2h") && why.contains("2026-01-31T08:00:00Z"), "{why}");
    }

    #[test]
    fn an_event_is_taken_if_model_severity_and_time_fit() {
        let event = json!({ "model": "fraud", "severity": "WARNING", "detected_at": "1970-01-01T00:00:10.000Z" });
        let all = || Wanted { model: None, severity: None, since_ms: None };
        assert!(all().takes(&event));
        assert!(Wanted { model: Some("fraud"), ..all() }.takes(&event) && !Wanted { model: Some("frau"), ..all() }.takes(&event));
        let severity = |s| Wanted { severity: Some(s), ..all() }.takes(&event);
        assert_eq!([SeverityArg::Info, SeverityArg::Warning, SeverityArg::Critical].map(severity), [true, true, false]);
        let since = |ms| Wanted { since_ms: Some(ms), ..all() }.takes(&event);
        assert_eq!([9_999, 10_000, 10_001].map(since), [true, true, false]);
    }
}
