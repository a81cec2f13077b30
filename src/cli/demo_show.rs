//! What the demo prints: one readable block per alert, and a closing summary. Reads the alert events as a subscriber would.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

fn text<'a>(alert: &'a Value, field: &str) -> &'a str {
    alert.get(field).and_then(Value::as_str).unwrap_or("-")
}

fn number(alert: &Value, pointer: &str) -> Option<f64> {
    alert.pointer(pointer).and_then(Value::as_f64)
}

/// `2019-03-31 03:00` of an RFC 3339 time.
fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

fn segment(alert: &Value) -> String {
    match alert.get("segment").and_then(Value::as_object) {
        Some(map) if !map.is_empty() => {
            map.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("?"))).collect::<Vec<_>>().join(", ")
        }
        _ => "all traffic".to_string(),
    }
}

fn short(x: f64) -> String {
    let digits = if x.abs() >= 1_000.0 {
        0
    } else if x.abs() >= 10.0 {
        1
    } else {
        4
    };
    format!("{x:.digits$}")
}

/// What a suggested action means; a word of a later version is shown as it is.
pub fn advice(action: &str) -> &str {
    match action {
        "retrain" => "retrain the model on recent data, or check what changed upstream",
        "rollback" => "roll the model back to the version that was there before",
        "fix_pipeline" => "look at the pipeline that fills this field",
        "none" => "look at what changed upstream; nothing may be wrong with the model",
        other => other,
    }
}

/// One block: what, where, since when, from what to what, how sure, what to do.
pub fn block(alert: &Value) -> String {
    let mut out = String::new();
    let line = |out: &mut String, name: &str, value: String| writeln!(out, "    {name:<10} {value}").unwrap_or_default();
    writeln!(out, "{} {} {}: {}", text(alert, "severity"), text(alert, "status"), text(alert, "signal"), text(alert, "summary"))
        .unwrap_or_default();
    line(&mut out, "where", format!("model {}, {}", text(alert, "model"), segment(alert)));
    line(&mut out, "since", format!("{} (found {})", minute(text(alert, "change_point")), minute(text(alert, "detected_at"))));
    if let (Some(before), Some(now)) = (number(alert, "/baseline/value"), number(alert, "/current/value")) {
        let rows = |p: &str| number(alert, p).unwrap_or_default();
        line(
            &mut out,
            "from, to",
            format!("{} -> {} ({} and {} rows)", short(before), short(now), rows("/baseline/count"), rows("/current/count")),
        );
    }
    if let (Some(value), Some(low), Some(high)) =
        (number(alert, "/effect/value"), number(alert, "/effect/low"), number(alert, "/effect/high"))
    {
        let unit = alert.pointer("/effect/unit").and_then(Value::as_str).unwrap_or("");
        let name = alert.pointer("/effect/name").and_then(Value::as_str).unwrap_or("effect");
        line(&mut out, "effect", format!("{name} {} {unit} (95 %: {} to {})", short(value), short(low), short(high)));
    }
    let statistic = number(alert, "/statistic").unwrap_or_default();
    let threshold = number(alert, "/threshold").unwrap_or_default();
    let rate = number(alert, "/false_alarms_per_day").unwrap_or_default();
    line(&mut out, "how sure", format!("{statistic:.1} nats against {threshold:.1}; by chance {rate:.1e} times a day in the whole app"));
    line(&mut out, "do", advice(text(alert, "action")).to_string());
    out
}

/// Counts for the closing summary.
#[derive(Default)]
pub struct Summary {
    events: u64,
    opened: BTreeMap<(String, String), u64>,
    root: Vec<String>,
}

impl Summary {
    /// Takes an alert event in; true if it deserves a block of its own (reminders do not).
    pub fn take(&mut self, alert: &Value) -> bool {
        self.events += 1;
        let reason = text(alert, "reason");
        if reason == "opened" {
            *self.opened.entry((text(alert, "kind").to_string(), text(alert, "severity").to_string())).or_default() += 1;
            if alert.get("segment").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
                self.root.push(format!(
                    "{:<34} change {}, found {}",
                    text(alert, "signal"),
                    minute(text(alert, "change_point")),
                    minute(text(alert, "detected_at"))
                ));
            }
        }
        reason != "reminder"
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut out = format!("{} alert events; episodes opened:\n", self.events);
        for ((kind, severity), n) in &self.opened {
            writeln!(out, "  {n:>4}  {kind:<18} first seen as {severity}").unwrap_or_default();
        }
        writeln!(out, "on all traffic (segments have theirs, too):").unwrap_or_default();
        self.root.iter().for_each(|r| writeln!(out, "  {r}").unwrap_or_default());
        out
    }
}
