//! One alert event as one line, as people read it.
//!
//! Guarantees: every event is one line, whatever its texts hold: a control character is shown, never obeyed by a terminal. Words that this
//! version does not know are shown as they are (docs/alerts.md says that new ones may come).
//! Never: shortens a text; colours unless it is asked to.
//! Comes from: `cli::tail`. Goes to: standard output.

use super::events::detected_at;
use super::sheet::{GREEN, OFF, colour, harmless};
use super::tail::SeverityArg;
use serde_json::Value;
use std::borrow::Cow;

fn field<'a>(event: &'a Value, pointer: &str) -> Cow<'a, str> {
    event.pointer(pointer).and_then(Value::as_str).map_or(Cow::Borrowed("-"), harmless)
}

/// The rank of its severity; one that this version does not know counts as the highest: better shown than missed.
pub fn severity(event: &Value) -> SeverityArg {
    match event.get("severity").and_then(Value::as_str) {
        Some("INFO") => SeverityArg::Info,
        Some("WARNING") => SeverityArg::Warning,
        _ => SeverityArg::Critical,
    }
}

fn segment(event: &Value) -> String {
    match event.get("segment").and_then(Value::as_object) {
        Some(map) if !map.is_empty() => {
            let parts: Vec<String> = map.iter().map(|(k, v)| format!("{}={}", harmless(k), harmless(v.as_str().unwrap_or("?")))).collect();
            parts.join(",")
        }
        _ => "(all)".into(),
    }
}

/// `location 0.62 sigma`, `psi 0.854`: three digits, as many as an interval leaves certain.
fn effect(event: &Value) -> String {
    let Some(value) = event.pointer("/effect/value").and_then(Value::as_f64) else { return "-".into() };
    let (name, unit) = (field(event, "/effect/name"), field(event, "/effect/unit"));
    let whole = if value == 0.0 { 2.0 } else { value.abs().log10().floor().clamp(-3.0, 2.0) };
    let number = format!("{value:.*}", (2.0 - whole) as usize);
    if name == unit { format!("{name} {number}") } else { format!("{name} {number} {unit}") }
}

/// The line, without its end.
pub fn line(event: &Value, coloured: bool) -> String {
    let (severity, status) = (field(event, "/severity"), format!("{}/{}", field(event, "/status"), field(event, "/reason")));
    let time = match detected_at(event) {
        "" => "-".into(),
        text => harmless(text),
    };
    let time = time.strip_suffix(".000Z").map_or_else(|| time.to_string(), |whole| format!("{whole}Z"));
    let (on, off) = match (coloured, colour(&severity)) {
        (true, on) if !on.is_empty() && !status.starts_with("RESOLVED") => (on, OFF),
        (true, _) if status.starts_with("RESOLVED") => (GREEN, OFF),
        _ => ("", ""),
    };
    format!(
        "{time:<20} {on}{severity:<8} {status:<18}{off} {} {} {} {} [{}] {}",
        field(event, "/model"),
        segment(event),
        field(event, "/signal"),
        field(event, "/detector"),
        effect(event),
        field(event, "/summary")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event whose bytes are frozen (`codec::alert`).
    fn event() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/alert.json")).unwrap()
    }

    #[test]
    fn a_line_says_when_how_bad_where_what_and_how_much() {
        assert_eq!(
            line(&event(), false),
            "2025-11-24T17:01:00Z CRITICAL FIRING/escalated   fraud channel=web,country=FR feature:amount focus_location \
             [location 0.625 sigma] amount of fraud v7 (channel=web, country=FR): mean 48 instead of 31.5 €"
        );
    }

    #[test]
    fn all_traffic_has_a_word_and_a_unit_that_repeats_the_name_is_left_out() {
        let mut event = event();
        event["segment"] = serde_json::json!({});
        event["effect"] = serde_json::json!({ "name": "psi", "unit": "psi", "value": 0.853_61 });
        let line = line(&event, false);
        assert!(line.contains(" fraud (all) feature:amount ") && line.contains(" [psi 0.854] "), "{line}");
    }

    #[test]
    fn an_effect_has_three_digits() {
        let said = |value: f64| {
            let mut event = event();
            event["effect"]["value"] = value.into();
            effect(&event)
        };
        let expected = [(-0.041_26, "-0.0413"), (3.456_78, "3.46"), (12.345, "12.3"), (12_345.6, "12346"), (0.0, "0")];
        for (value, digits) in expected {
            assert_eq!(said(value), format!("location {digits} sigma"));
        }
    }

    #[test]
    fn a_text_from_a_record_can_neither_break_the_line_nor_command_the_terminal() {
        let mut event = event();
        event["segment"] = serde_json::json!({ "country": "FR\n\u{1b}[2J\u{9b}31m" });
        let line = line(&event, false);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains(r"country=FR\n\u{1b}[2J\u{9b}31m"), "{line}");
    }

    #[test]
    fn colours_are_by_severity_and_only_on_request() {
        assert!(line(&event(), true).contains("\x1b[1;31mCRITICAL FIRING/escalated  \x1b[0m "));
        let mut over = event();
        over["status"] = "RESOLVED".into();
        assert!(line(&over, true).contains("\x1b[32mCRITICAL RESOLVED/escalated\x1b[0m "));
        assert!(!line(&event(), false).contains('\x1b'));
    }

    #[test]
    fn words_of_a_later_version_are_shown() {
        let mut event = event();
        event["reason"] = "merged".into();
        event["severity"] = "PAGE".into();
        let line = line(&event, true);
        assert!(line.contains("PAGE     FIRING/merged "), "{line}");
        assert_eq!(severity(&event), SeverityArg::Critical);
    }
}
