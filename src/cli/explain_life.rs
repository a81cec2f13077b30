//! The events of an episode as a table, and the other episodes of its fingerprint as a line.
//!
//! Guarantees: every event has a line, but for those in the middle of many reminders, which are counted; events that the topic no longer
//! holds are told by their numbers.
//! Comes from: `cli::explain_page`. Goes to: `cli::sheet`.

use super::explain_page::{between, part, text, time};
use super::explain_words::{interval, value};
use super::sheet::{Column, PLAIN, Row, Sheet};
use crate::engine::alert::{Effect, Side, is_limit};
use crate::engine::detect::describe::number;
use serde_json::Value;

/// More reminders in a row than this are told by the first, the last, and how many there are.
const REMINDERS: usize = 3;

/// The table.
pub fn life(sheet: &mut Sheet, events: &[&Value]) {
    let column = |head, right| Column { head, right, ink: PLAIN };
    let shape = [
        column("#", true),
        column("time (UTC)", false),
        column("event", false),
        column("severity", false),
        column("effect", true),
        column("95 % interval", true),
        column("statistic", true),
        column("events", true),
    ];
    let sequence = |e: &Value| e.get("sequence").and_then(Value::as_i64);
    let (mut rows, mut expected, mut rest) = (Vec::new(), 0, events);
    while let Some(first) = rest.first() {
        rows.extend(sequence(first).and_then(|n| missing(expected, n)));
        rows.push(Row::Cells(cells(first)));
        let run = rest.iter().take_while(|e| text(e, "/reason") == Some("reminder")).count();
        let told = if run > REMINDERS { run - 2 } else { 0 }; // between the first and the last one
        if told > 0 {
            rows.push(Row::Note(format!("   {told} more reminders")));
        }
        expected = sequence(rest[told]).map_or(expected, |n| n + 1);
        rest = &rest[1 + told..];
    }
    sheet.title("Events");
    sheet.table(&shape, rows);
}

/// Says which events lie between two that are there.
fn missing(expected: i64, sequence: i64) -> Option<Row> {
    let numbers = match sequence - expected {
        ..1 => return None,
        1 => format!("{expected}"),
        _ => format!("{expected} to {}", sequence - 1),
    };
    Some(Row::Note(format!("   {numbers}: not in the topic, which keeps the newest event of each fingerprint longest")))
}

fn cells(event: &Value) -> Vec<String> {
    let word = |pointer| text(event, pointer).unwrap_or("-").to_owned();
    let effect: Option<Effect> = part(event, "effect");
    let shown = |of: &dyn Fn(&Effect) -> String| effect.as_ref().map_or("-".into(), of);
    vec![
        event.get("sequence").and_then(Value::as_i64).map_or("-".into(), |n| n.to_string()),
        time(event, "/detected_at").map_or("-".into(), |t| t.trim_end_matches(" UTC").to_owned()),
        format!("{}/{}", word("/status"), word("/reason")),
        word("/severity"),
        shown(&value),
        shown(&interval),
        event.get("statistic").and_then(Value::as_f64).map_or("-".into(), |x| statistic(event, x)),
        part::<Side>(event, "current").map_or("-".into(), |s| number(s.count as f64)),
    ]
}

/// In nats; of a limit the value, of which tenths may say nothing.
fn statistic(event: &Value, x: f64) -> String {
    if text(event, "/detector").is_some_and(is_limit) { number(x) } else { format!("{x:.1}") }
}

/// Other episodes of the same fingerprint: how many, and the newest.
pub fn others(sheet: &mut Sheet, others: &[&Value]) {
    let Some(newest) = others.last() else { return };
    let n = others.len();
    let over = text(newest, "/status") == Some("RESOLVED");
    let lasted = between(newest, "/opened_at", "/detected_at").filter(|_| over).map_or(String::new(), |t| format!(" for {t}"));
    let opened = time(newest, "/opened_at").unwrap_or_default();
    let id = text(newest, "/alert_id").unwrap_or("-");
    sheet.line(Vec::new());
    sheet.row("also", &format!("{n} other episode(s) of this fingerprint in the topic; the newest: {opened}{lasted}, {id}"));
}
