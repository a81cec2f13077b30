//! The page of one episode: what changed, since when, from what to what, where in the distribution, how sure, what to do.
//!
//! Guarantees: everything comes from the events; a field that an event does not have is left out, a word that this version does not know is
//! shown as it is. The figures are those of the newest event that fires, and the page says which one that is.
//! Never: reads a clock, so the page of the same events is the same for ever.
//! Comes from: `cli::explain` (an episode's events in order). Goes to: `cli::sheet`.

use super::demo_show::advice;
use super::explain_context::{Brief, context};
use super::explain_life::{life, others};
use super::explain_words::{Scale, chance, interval, length, reference, times, tolerance, value};
use super::sheet::{BOLD, Column, DIM, GREEN, Ink, PLAIN, Row, Sheet, bar, clip, colour, natural, whiskers};
use crate::engine::alert::{Contributor, Effect, Side, is_limit};
use crate::engine::detect::describe::number;
use crate::engine::monitor::kind_of;
use crate::engine::types::PaneKind;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Bars and whiskers that are longer say no more, shorter ones nothing.
const LONGEST: usize = 30;
const SHORTEST: usize = 6;

/// A text of an event.
pub fn text<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event.pointer(pointer).and_then(Value::as_str).filter(|t| !t.is_empty())
}

/// A number of an event.
fn float(event: &Value, pointer: &str) -> Option<f64> {
    event.pointer(pointer).and_then(Value::as_f64)
}

/// A part of an event, if it is whole.
pub fn part<T: DeserializeOwned>(event: &Value, name: &str) -> Option<T> {
    event.get(name).and_then(|v| serde_json::from_value(v.clone()).ok())
}

/// A time of an event.
pub fn stamp(event: &Value, pointer: &str) -> Option<Timestamp> {
    text(event, pointer).and_then(|t| t.parse().ok())
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn clock(at: Timestamp) -> String {
    let format = if at.as_second() % 60 == 0 { "%H:%M" } else { "%H:%M:%S" };
    at.strftime(format).to_string()
}

/// A time as people write it, one that can't be read as it is.
pub fn time(event: &Value, pointer: &str) -> Option<String> {
    text(event, pointer).map(|raw| raw.parse().map_or_else(|_| raw.to_owned(), |at| format!("{} {} UTC", day(at), clock(at))))
}

/// How much later the second time is.
pub fn between(event: &Value, from: &str, to: &str) -> Option<String> {
    let ms = stamp(event, to)?.as_millisecond().checked_sub(stamp(event, from)?.as_millisecond())?;
    (ms > 0).then(|| length(ms))
}

/// `2019-08-28 06:00 to 18:00 UTC (12 h)`.
fn window(event: &Value) -> Option<String> {
    let (from, to) = (time(event, "/window_start")?, time(event, "/window_end")?);
    let (start, end) = (stamp(event, "/window_start"), stamp(event, "/window_end"));
    let both = match (start, end) {
        (Some(start), Some(end)) if day(start) == day(end) => format!("{} {} to {} UTC", day(start), clock(start), clock(end)),
        _ => format!("{} to {to}", from.trim_end_matches(" UTC")),
    };
    Some(between(event, "/window_start", "/window_end").map_or(both.clone(), |length| format!("{both} ({length})")))
}

/// The segment, or a word for everything.
pub fn segment(event: &Value) -> String {
    named(event, "segment", ", ").unwrap_or_else(|| "all traffic".into())
}

/// `name=value` of a map with something in it.
fn named(event: &Value, map: &str, separator: &str) -> Option<String> {
    let map = event.get(map)?.as_object().filter(|m| !m.is_empty())?;
    let shown = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    Some(map.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect::<Vec<_>>().join(separator))
}

/// What the two sides are called: before and after, if not two sides of the same time.
fn sides(event: &Value) -> (&'static str, &'static str) {
    match text(event, "/detector") {
        Some("focus_version") => ("older versions", "this version"),
        Some("focus_disparity") => ("others", "this group"),
        Some(detector) if is_limit(detector) => ("limit", "value"),
        _ => ("before", "after"),
    }
}

/// The page of the events of an episode; `before` are the newest events of other episodes of its fingerprint, `beside` those that were there
/// at the same time.
pub fn page(events: &[&Value], before: &[&Value], beside: &[&Brief], width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let Some(last) = events.last() else { return sheet };
    let resolved = |e: &Value| text(e, "/status") == Some("RESOLVED");
    let shown = events.iter().rev().find(|e| !resolved(e)).unwrap_or(last);
    let severity = text(last, "/severity").unwrap_or("-");
    let ink = if resolved(last) { GREEN } else { colour(severity) };
    heading(&mut sheet, last, shown, ink);
    facts(&mut sheet, shown);
    if events.len() > 1 || resolved(last) {
        let newest = if resolved(last) && !resolved(shown) { "the newest one that fires" } else { "the newest one" };
        let (n, reason) = (shown.get("sequence").and_then(Value::as_i64).unwrap_or(0), text(shown, "/reason").unwrap_or("-"));
        sheet.row("figures", &format!("of event {n} ({reason}, {}), {newest}", time(shown, "/detected_at").unwrap_or_default()));
    }
    recovery(&mut sheet, last);
    values(&mut sheet, shown, ink);
    contributors(&mut sheet, shown, ink);
    context(&mut sheet, shown, beside);
    next_steps(&mut sheet, shown, resolved(last));
    life(&mut sheet, events);
    others(&mut sheet, before);
    sheet.line(Vec::new());
    for (name, pointer) in [("alert_id", "/alert_id"), ("app", "/app"), ("definition", "/definition")] {
        text(last, pointer).into_iter().for_each(|t| sheet.row(name, t));
    }
    sheet
}

fn heading(sheet: &mut Sheet, last: &Value, shown: &Value, ink: Ink) {
    let (severity, status) = (text(last, "/severity").unwrap_or("-"), text(last, "/status").unwrap_or("-"));
    let since = match status {
        "RESOLVED" => {
            let after = between(last, "/opened_at", "/detected_at").map_or(String::new(), |t| format!(", after {t}"));
            format!("  {} ({}){after}", time(last, "/detected_at").unwrap_or_default(), text(last, "/reason").unwrap_or("-"))
        }
        _ => time(last, "/opened_at").map_or(String::new(), |t| format!("  since {t}")),
    };
    sheet.line(vec![(ink, format!("{severity} {status}")), (PLAIN, since)]);
    text(shown, "/summary").into_iter().for_each(|s| sheet.prose(BOLD, s));
    sheet.line(Vec::new());
}

fn facts(sheet: &mut Sheet, event: &Value) {
    let version = text(event, "/model_version").map_or(String::new(), |v| format!(", version {v}"));
    sheet.row("model", &format!("{}{version}", text(event, "/model").unwrap_or("-")));
    sheet.row("segment", &segment(event));
    let kind = text(event, "/kind").unwrap_or("-");
    sheet.row("signal", &format!("{} ({kind}), by {}", text(event, "/signal").unwrap_or("-"), text(event, "/detector").unwrap_or("-")));
    let later = between(event, "/change_point", "/opened_at").map_or(String::new(), |t| format!(" {t} later,"));
    let found = time(event, "/opened_at").map(|t| format!("found{later} {t}"));
    let limit = text(event, "/detector").is_some_and(is_limit);
    let (title, guess) = if limit { ("beyond", "") } else { ("changed", " (estimate)") };
    let changed: Vec<String> = time(event, "/change_point").map(|t| format!("{t}{guess}")).into_iter().chain(found).collect();
    if !changed.is_empty() {
        sheet.row(title, &changed.join("; "));
    }
    let against = text(event, "/baseline_rung").map_or(String::new(), |r| format!(" against {}", reference(r)));
    window(event).into_iter().for_each(|w| sheet.row("compared", &format!("{w}{against}")));
    if let Some(effect) = part::<Effect>(event, "effect") {
        sheet.row("effect", &effect_in_words(&effect));
    }
    evidence(sheet, event);
    if let Some(mature) = float(event, "/label_maturity") {
        sheet.row("maturity", &format!("{} % of the expected labels are behind it", number(100.0 * mature)));
    }
}

fn effect_in_words(e: &Effect) -> String {
    if e.name == Effect::LIMIT {
        return format!("{} from the limit (95 %: {})", value(e), interval(e));
    }
    let what = match e.name.as_str() {
        "location" => "mean shifted by ",
        "scale" => "spread changed by ",
        "psi" => "PSI ",
        "rate_difference" | "volume" | Effect::RATIO => "",
        other => &format!("{other} "),
    };
    let after = match e.name.as_str() {
        "volume" => " against what is expected at that time",
        Effect::RATIO => " times the rate of the others",
        _ => "",
    };
    let tolerated = match e.is_ratio() {
        true => format!("at least {} is tolerated", tolerance(e)),
        false if e.tolerance > 0.0 => format!("{} times the tolerance of {}", times(e.times_tolerance()), tolerance(e)),
        false => "nothing is tolerated".into(),
    };
    format!("{what}{}{after} (95 %: {}); {tolerated}", value(e), interval(e))
}

/// What the last window of an episode showed that is over because it is back to normal.
fn recovery(sheet: &mut Sheet, last: &Value) {
    if let (Some("recovered"), Some(effect), Some(window)) = (text(last, "/reason"), part::<Effect>(last, "effect"), window(last)) {
        sheet.row("recovered", &format!("{window}: {}", effect_in_words(&effect)));
    }
}

/// The statistic beside its threshold (not of a limit: its value stands beside it already), and how often that much would be seen without any change.
fn evidence(sheet: &mut Sheet, event: &Value) {
    if text(event, "/detector").is_some_and(is_limit) {
        return;
    }
    let (Some(statistic), Some(threshold)) = (float(event, "/statistic"), float(event, "/threshold")) else { return };
    let (has, needs) = (format!("{statistic:.1} nats"), format!("{threshold:.1}"));
    if statistic < threshold {
        let open = match text(event, "/status") {
            Some("RESOLVED") => "",
            _ => " An open alert stays open until they are below half of that and the effect is below its tolerance.",
        };
        return sheet.row("evidence", &format!("{has}; {needs} open an alert.{open}"));
    }
    let chance = float(event, "/false_alarms_per_day")
        .map_or(String::new(), |p| format!(" By chance alone in the whole application: {}.", chance(p)));
    sheet.row("evidence", &format!("{has}; {needs} open an alert.{chance}"));
}

/// The two sides beside each other: value, interval, events.
fn values(sheet: &mut Sheet, event: &Value, ink: Ink) {
    let (Some(before), Some(after)) = (part::<Side>(event, "baseline"), part::<Side>(event, "current")) else { return };
    let names = sides(event);
    let count = |s: &Side| number(s.count as f64);
    if before.value.is_none() && after.value.is_none() {
        return sheet.row("events", &format!("{} {}, {} {}", names.0, count(&before), names.1, count(&after)));
    }
    let scale = Scale::of(text(event, "/effect/name").unwrap_or(""), text(event, "/effect/unit").unwrap_or(""));
    let shown = |x: Option<f64>| x.map_or("-".into(), |x| scale.shown(x));
    let interval = |s: &Side| match (s.low, s.high) {
        (Some(low), Some(high)) => scale.interval(low, high),
        _ => "-".into(),
    };
    let cells = |name: &str, s: &Side| vec![name.to_owned(), shown(s.value), interval(s), count(s)];
    let mut rows = [cells(names.0, &before), cells(names.1, &after)];
    let column = |head, right, ink| Column { head, right, ink };
    let mut shape = vec![
        column("", false, PLAIN),
        column(scale.title(), true, BOLD),
        column("95 % interval", true, PLAIN),
        column("events", true, PLAIN),
    ];
    let room = sheet.width().saturating_sub(natural(&shape, rows.iter().map(Vec::as_slice)) + 2).min(LONGEST);
    let ends = |s: &Side| s.value.map(|v| (s.low.unwrap_or(v).min(v), v, s.high.unwrap_or(v).max(v)));
    if let (Some(b), Some(a), true) = (ends(&before), ends(&after), room >= SHORTEST) {
        let axis = (b.0.min(a.0), b.2.max(a.2));
        rows[0].push(whiskers(b, axis, room));
        rows[1].push(whiskers(a, axis, room));
        shape.push(column("", false, ink));
    }
    sheet.line(Vec::new());
    sheet.table(&shape, rows.into_iter().map(Row::Cells).collect());
}

/// A share of events, with one decimal, and never 0 if it is not.
fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.0005 => "<0.1 %".into(),
        s => format!("{:.1} %", 100.0 * s),
    }
}

/// Bins and categories with their bars, before beside after.
fn contributors(sheet: &mut Sheet, event: &Value, ink: Ink) {
    let Some(parts) = part::<Vec<Contributor>>(event, "contributors").filter(|p| !p.is_empty()) else { return };
    let names = sides(event);
    let column = |head, right, ink| Column { head, right, ink };
    let texts = [column("", false, PLAIN), column(names.0, true, PLAIN), column(names.1, true, PLAIN), column("of the PSI", true, PLAIN)];
    let what = |c: &Contributor| clip(&super::sheet::harmless(&c.what), (sheet.width() / 3).max(8)).into_owned();
    let rows: Vec<[String; 4]> =
        parts.iter().map(|c| [what(c), percent(c.baseline), percent(c.current), format!("{:.0} %", 100.0 * c.share)]).collect();
    let room = sheet.width().saturating_sub(natural(&texts, rows.iter().map(<[String; 4]>::as_slice)) + 4) / 2;
    let full = parts.iter().flat_map(|c| [c.baseline, c.current]).fold(0.0, f64::max);
    let (length, bars) = (room.min(LONGEST), room >= SHORTEST);
    let shape = match bars {
        true => vec![texts[0], texts[1], column("", false, DIM), texts[2], column("", false, ink), texts[3]],
        false => texts.to_vec(),
    };
    let of = |([what, before, after, share], c): ([String; 4], &Contributor)| match bars {
        true => vec![what, before, bar(c.baseline, full, length), after, bar(c.current, full, length), share],
        false => vec![what, before, after, share],
    };
    sheet.title("Where: shares of events, largest part of the change first");
    let rows = rows.into_iter().zip(&parts).map(|both| Row::Cells(of(both))).collect();
    sheet.table(&shape, rows);
}

/// How to say that a change is meant, where a stream is compared with its own past.
fn acceptance(event: &Value) -> Option<String> {
    let (model, signal, since) = (text(event, "/model")?, text(event, "/signal")?, stamp(event, "/change_point")?);
    if sides(event).0 != "before" {
        return None;
    }
    let panes = if kind_of(signal) == PaneKind::Input { "predictions" } else { "outcomes" };
    Some(format!("set models.{model}.accepted.{panes}: {since} and restart (docs/operations.md, Accepting a change)"))
}

/// What to look at and what to do, as far as the event knows.
fn next_steps(sheet: &mut Sheet, event: &Value, over: bool) {
    let ids: Vec<String> = part(event, "sample_request_ids").unwrap_or_default();
    let action = text(event, "/action").map(|a| match advice(a) {
        said if a == "none" || said == a => said.to_owned(),
        said => format!("{a}: {said}"),
    });
    let rows = [
        ("advice", action),
        ("if meant", acceptance(event).filter(|_| !over)),
        ("runbook", text(event, "/runbook").map(str::to_owned)),
        ("requests", Some(ids.join(", ")).filter(|t| !t.is_empty())),
        ("labels", named(event, "labels", ", ")),
    ];
    let notes = event.get("annotations").and_then(Value::as_object).into_iter().flatten();
    let notes = notes.map(|(name, note)| ("note", format!("{name}: {}", note.as_str().unwrap_or("-"))));
    let all: Vec<_> = rows.into_iter().filter_map(|(name, text)| Some((name, text?))).chain(notes).collect();
    if !all.is_empty() {
        sheet.title("What to do");
    }
    all.iter().for_each(|(name, text)| sheet.row(name, text));
}

#[cfg(test)]
mod tests {
    use super::super::sheet::columns;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/explain");

    /// The event whose bytes are frozen (`codec::alert`): something in every field.
    fn full() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/alert.json")).unwrap()
    }

    /// An episode of `driftline demo`.
    fn demo(name: &str) -> Vec<Value> {
        let lines = std::fs::read_to_string(format!("{FOLDER}/{name}.jsonl")).unwrap();
        lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Holds a page against the one that somebody has looked at; `DRIFTLINE_WRITE_FIXTURES=1` writes it.
    fn looks_like(name: &str, events: &[Value], others: &[Value], width: usize) {
        let shown = page(&events.iter().collect::<Vec<_>>(), &others.iter().collect::<Vec<_>>(), &[], width).print(false);
        let path = format!("{FOLDER}/{name}.txt");
        if std::env::var_os("DRIFTLINE_WRITE_FIXTURES").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(&path).unwrap(), "{path}");
    }

    #[test]
    fn a_number_whose_distribution_changed() {
        looks_like("number", &demo("number"), &[], 100);
        let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(
            read("docs/alerts.md").contains(&read("tests/fixtures/explain/number.txt")),
            "the example of docs/alerts.md is another page"
        );
    }

    #[test]
    fn a_mix_of_categories_that_got_worse() {
        looks_like("mix", &demo("mix"), &[], 100);
    }

    #[test]
    fn a_rate_in_a_segment() {
        looks_like("rate", &demo("rate"), &[], 100);
    }

    #[test]
    fn predictions_that_do_not_come() {
        looks_like("volume", &demo("volume"), &[], 80);
    }

    #[test]
    fn everything_that_an_event_can_hold_and_events_that_are_gone() {
        looks_like("full", &[full()], &[], 100);
    }

    #[test]
    fn a_page_for_a_narrow_terminal() {
        looks_like("narrow", &demo("number"), &[], 48);
    }

    #[test]
    fn an_episode_that_is_over_shows_the_figures_of_the_newest_event_that_fired() {
        let mut events = demo("number");
        events.truncate(2);
        let mut over = events[1].clone();
        for (field, value) in [
            ("sequence", json!(2)),
            ("status", json!("RESOLVED")),
            ("reason", json!("recovered")),
            ("detected_at", json!("2019-05-02T00:00:00.000Z")),
            ("statistic", json!(3.25)),
            ("window_start", json!("2019-05-01T06:00:00.000Z")),
            ("window_end", json!("2019-05-02T00:00:00.000Z")),
            ("effect", json!({ "name": "psi", "unit": "psi", "value": 0.004, "low": -0.01, "high": 0.018, "tolerance": 0.02 })),
        ] {
            over[field] = value;
        }
        events.push(over);
        let mut before = events[2].clone();
        before["alert_id"] = "40676ea85575c45b4e36f86801ee8522-70000".into();
        looks_like("resolved", &events, &[before], 100);
    }

    #[test]
    fn a_group_is_shown_beside_the_others() {
        let mut event = full();
        for (field, value) in [
            ("kind", json!("fairness")),
            ("signal", json!("fairness:selection")),
            ("detector", json!("focus_disparity")),
            ("baseline_rung", json!("concurrent")),
            ("baseline", json!({ "count": 10_000, "value": 0.3, "low": 0.291, "high": 0.309 })),
            ("current", json!({ "count": 10_000, "value": 0.2, "low": 0.192, "high": 0.208 })),
            (
                "effect",
                json!({ "name": "selection_ratio", "unit": "ratio", "value": 0.667, "low": 0.606, "high": 0.727, "tolerance": 0.8 }),
            ),
            ("contributors", json!([])),
            ("sequence", json!(0)),
        ] {
            event[field] = value;
        }
        looks_like("group", &[event], &[], 100);
    }

    #[test]
    fn a_value_is_shown_beside_its_limit() {
        let limit = |unit: &str, side: [f64; 3], bound: f64, effect: [f64; 3]| {
            let mut event = full();
            let fields = json!({
                "kind": "performance", "signal": "error", "detector": "limit:above=0.1,over=1h,for=30m", "baseline_rung": "limit",
                "baseline": { "count": 0, "value": bound, "low": null, "high": null },
                "current": { "count": 4210, "value": side[0], "low": side[1], "high": side[2] },
                "effect": { "name": "limit", "unit": unit, "value": effect[0], "low": effect[1], "high": effect[2], "tolerance": 0.0 },
                "contributors": [], "sequence": 0, "reason": "opened", "statistic": side[0], "threshold": bound, "distances": {},
                "summary": "Error rate of fraud: 12.3 % over 1h, above the limit of 10 %; 4,210 events.",
            });
            fields.as_object().unwrap().iter().for_each(|(field, value)| event[field] = value.clone());
            event
        };
        looks_like("limit", &[limit("points", [0.123, 0.1134, 0.1333], 0.1, [2.3, 1.34, 3.33])], &[], 100);
        let rows = page(&[&limit("rows", [37.0, 26.85, 50.99], 100.0, [-63.0, -73.15, -49.01])], &[], &[], 100).print(false);
        assert!(rows.contains("-63 rows from the limit (95 %: -73.15 to -49.01)"), "{rows}");
        assert!(!rows.contains("nats") && !rows.contains("if meant"), "{rows}");
    }

    #[test]
    fn words_of_a_later_version_are_shown_and_what_is_absent_is_left_out() {
        let event =
            json!({ "severity": "PAGE", "status": "MERGED", "reason": "joined", "detector": "oracle", "effect": { "name": "bits" } });
        let shown = page(&[&event], &[], &[], 80).print(false);
        for word in ["PAGE MERGED", "by oracle", "MERGED/joined"] {
            assert!(shown.contains(word), "{shown}");
        }
        for absent in ["\n  evidence", "\n  effect", "\n  compared", "\n  changed", "\n  runbook", "\nWhat to do", "\nWhere"] {
            assert!(!shown.contains(absent) && page(&[&full()], &[], &[], 80).print(false).contains(absent), "{absent}:\n{shown}");
        }
        assert_eq!(page(&[], &[], &[], 80).print(false), "");
    }

    #[test]
    fn colours_are_those_of_the_severity_and_add_nothing_else() {
        let event = full();
        let (plain, coloured) = (page(&[&event], &[], &[], 80).print(false), page(&[&event], &[], &[], 80).print(true));
        assert!(coloured.starts_with("\u{1b}[1;31mCRITICAL FIRING\u{1b}[0m"), "{coloured}");
        let bare = coloured.split('\u{1b}').enumerate().map(|(i, t)| if i == 0 { t } else { t.split_once('m').unwrap().1 });
        let spaces = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(spaces(&bare.collect::<String>()), spaces(&plain));
    }

    /// What may stand in a field: texts that attack a terminal, numbers without sense, other types.
    fn anything() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            "[a-z \u{1b}\u{9b}\n\t\u{202e}漢🚗]{0,300}".prop_map(Value::from),
            any::<f64>().prop_map(|x| json!(x)),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            prop::collection::vec(any::<String>(), 0..4).prop_map(|t| json!(t)),
            prop::collection::btree_map(any::<String>(), any::<String>(), 0..3).prop_map(|m| json!(m)),
            (any::<String>(), any::<f64>(), any::<f64>(), any::<f64>())
                .prop_map(|(what, a, b, share)| json!([{ "what": what, "baseline": a, "current": b, "share": share }])),
            (any::<String>(), any::<f64>(), any::<f64>(), any::<f64>()).prop_map(
                |(unit, a, b, c)| json!({ "name": unit, "unit": unit, "count": 3, "value": a, "low": b, "high": c, "tolerance": a })
            ),
        ]
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_and_none_commands_it(
            changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 0..12),
            copies in 1usize..9,
            width in 24usize..=100,
        ) {
            let mut event = full();
            let names: Vec<String> = event.as_object().unwrap().keys().cloned().collect();
            for (name, value) in &changes {
                event[name.get(&names).as_str()] = value.clone();
            }
            for line in page(&vec![&event; copies], &[&event], &[], width).print(false).lines() {
                prop_assert!(columns(line) <= width, "{} of {width}: {line:?}", columns(line));
                prop_assert!(!line.contains(char::is_control), "{line:?}");
            }
        }

        #[test]
        fn bars_stay_in_their_columns(
            shares in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0), 1..10),
            width in 60usize..=100,
        ) {
            let mut event = full();
            let parts = shares.iter().map(|(b, c, s)| json!({ "what": "[10, 20)", "baseline": b, "current": c, "share": s }));
            event["contributors"] = Value::Array(parts.collect());
            let shown = page(&[&event], &[], &[], width).print(false);
            let lines: Vec<Vec<char>> = shown.lines().skip_while(|l| !l.starts_with("Where")).skip(2).take(shares.len()).map(|l| l.chars().collect()).collect();
            // the signs of percent stand below each other, and each bar between two of them
            let signs = |l: &[char]| l.iter().enumerate().filter(|(_, c)| **c == '%').map(|(i, _)| i).collect::<Vec<_>>();
            prop_assert_eq!(lines.len(), shares.len());
            for line in &lines {
                prop_assert_eq!(signs(line), signs(&lines[0]), "{}", shown);
                prop_assert_eq!(signs(line).len(), 3);
            }
        }
    }
}
