//! `driftline tail`: the alerts topic as people read it.
//!
//! Guarantees: shows committed events only, each once, sorted by the time they were detected at as far as they are at hand.
//! Never: shows what was not asked for; ends because nobody reads its output any more with anything but success.
//! Comes from: `cli::events`. Goes to: standard output, a line by `cli::tail_line`.

use super::events::{Event, Reading, detected_at};
use super::{ConfigArg, Failure, Output, settings, sheet, still_read, tail_line};
use crate::config::duration;
use crate::config::raw::Time;
use crate::engine::types::Span;
use crate::ops::http::now_ms;
use crate::ops::logs;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::Write;

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
        let time = || detected_at(event).parse::<jiff::Timestamp>().map_or(i64::MAX, |t| t.as_millisecond());
        self.model.is_none_or(|model| event.get("model").and_then(Value::as_str) == Some(model))
            && self.severity.is_none_or(|least| tail_line::severity(event) >= least)
            && self.since_ms.is_none_or(|since| time() >= since)
    }
}

/// Prints what is in the topic, and with `--follow` what comes.
pub fn tail(args: &TailArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("warn");
    let mut reading = Reading::begin(&settings, "tail")?;
    let wanted = Wanted { model: args.model.as_deref(), severity: args.severity, since_ms: args.since.map(|s| s.ms(now_ms())) };
    let screen = Screen { output: args.output, coloured: sheet::coloured() };
    let (mut fresh, mut shown) = (Vec::new(), 0u64);
    loop {
        let caught_up = reading.step(&mut |event| fresh.extend(Some(event).filter(|e| wanted.takes(&e.value))))?;
        if caught_up {
            shown += fresh.len() as u64;
            if !screen.show(&mut fresh)? {
                return Ok(()); // nobody reads any more
            }
            if !args.follow {
                break;
            }
        } else if !args.follow {
            reading.moves()?;
        }
    }
    if shown == 0 {
        let (topic, read) = (&settings.alerts.topic, reading.records);
        let filtered = args.model.is_some() || args.severity.is_some() || args.since.is_some();
        let why = if read > 0 && filtered { "none of them matches --model, --severity and --since" } else { "no alert yet" };
        writeln!(std::io::stderr(), "{topic} holds {read} record(s): {why}").ok();
    }
    Ok(())
}

/// Standard output.
struct Screen {
    output: Output,
    coloured: bool,
}

impl Screen {
    /// Prints events in order of time; false if nobody reads them any more (`driftline tail | head`).
    fn show(&self, events: &mut Vec<Event>) -> Result<bool, Failure> {
        events.sort_by(|a, b| detected_at(&a.value).cmp(detected_at(&b.value))); // stable: a partition's order stays
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let written = events.drain(..).try_for_each(|event| match self.output {
            Output::Json => writeln!(out, "{}", event.json),
            Output::Text => writeln!(out, "{}", tail_line::line(&event.value, self.coloured)),
        });
        still_read(written.and_then(|()| out.flush()))
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
