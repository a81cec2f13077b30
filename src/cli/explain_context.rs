//! What else was wrong with the model at the same time: often the cause, or the smallest part of the traffic that shows it.
//!
//! Guarantees: of each other episode the newest event counts; those whose change lies nearest to the one on the page are shown.
//! Never: says that one is the cause of another; holds more of an episode than its line.
//! Comes from: `cli::explain` (all events of the topic). Goes to: `cli::sheet`.

use super::explain_page::{part, segment, stamp, text, time};
use super::explain_words::value;
use super::sheet::{Column, PLAIN, Row, Sheet};
use crate::engine::alert::Effect;
use crate::engine::drill;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Lines at most.
const MOST: usize = 12;
/// Characters of an id that are shown: `explain` takes a beginning.
const SHOWN: usize = 12;

/// An episode, in short.
#[derive(Clone, Debug)]
pub struct Brief {
    id: String,
    sequence: i64,
    fingerprint: String,
    model: String,
    signal: String,
    segment: String,
    severity: String,
    changed: Option<(Timestamp, String)>,
    /// None while it is open.
    over: Option<Timestamp>,
    effect: Option<Effect>,
}

impl Brief {
    fn of(event: &Value) -> Option<Brief> {
        let field = |pointer| text(event, pointer).unwrap_or("-").to_owned();
        let at = |pointer| stamp(event, pointer).zip(time(event, pointer));
        let over = (text(event, "/status") == Some("RESOLVED")).then(|| stamp(event, "/detected_at")).flatten();
        Some(Brief {
            id: text(event, "/alert_id")?.to_owned(),
            sequence: event.get("sequence").and_then(Value::as_i64).unwrap_or(0),
            fingerprint: field("/fingerprint"),
            model: field("/model"),
            signal: field("/signal"),
            segment: segment(event),
            severity: field("/severity"),
            changed: at("/change_point").or_else(|| at("/opened_at")),
            over,
            effect: part(event, "effect"),
        })
    }

    fn since(&self) -> Option<Timestamp> {
        self.changed.as_ref().map(|c| c.0)
    }

    /// Whether both were there at some time; nobody knows when one was that says nothing of it.
    fn overlaps(&self, other: &Brief) -> bool {
        let Some((mine, theirs)) = self.since().zip(other.since()) else { return false };
        other.over.is_none_or(|end| mine <= end) && self.over.is_none_or(|end| theirs <= end)
    }
}

/// The episodes of a topic.
#[derive(Default)]
pub struct Episodes(BTreeMap<String, Brief>);

impl Episodes {
    /// Takes an event in. The end of an episode leaves what it was like: a recovered one shows no effect.
    pub fn observe(&mut self, event: &Value) {
        let Some(mut new) = Brief::of(event) else { return };
        if let Some(known) = self.0.get(&new.id) {
            if known.sequence > new.sequence {
                return;
            }
            if new.over.is_some() {
                new = Brief { over: new.over, sequence: new.sequence, ..known.clone() };
            }
        }
        self.0.insert(new.id.clone(), new);
    }

    /// Those of the model that were there while the episode of `event` was, but for drills and its own fingerprint; by the time they changed at.
    pub fn beside(&self, event: &Value) -> Vec<&Brief> {
        let this = text(event, "/alert_id").and_then(|id| self.0.get(id)).filter(|b| b.signal != drill::LABEL);
        let Some(this) = this else { return Vec::new() };
        let related = |b: &&Brief| b.model == this.model && b.fingerprint != this.fingerprint && b.signal != drill::LABEL;
        let mut all: Vec<&Brief> = self.0.values().filter(related).filter(|b| b.overlaps(this)).collect();
        let distance = |b: &Brief| b.since().zip(this.since()).map_or(u64::MAX, |(a, b)| a.as_millisecond().abs_diff(b.as_millisecond()));
        all.sort_by_key(|b| distance(b)); // stable: ties by id
        all
    }
}

/// The section; `event` is the newest one of the page's episode that fires.
pub fn context(sheet: &mut Sheet, event: &Value, beside: &[&Brief]) {
    let (Some(this), false) = (Brief::of(event), beside.is_empty()) else { return };
    let mut shown: Vec<&Brief> = beside.iter().take(MOST).copied().collect();
    shown.sort_by_key(|b| b.since());
    let column = |head, right| Column { head, right, ink: PLAIN };
    let shape = [
        column("changed", false),
        column("signal", false),
        column("segment", false),
        column("severity", false),
        column("effect", true),
        column("ALERT_ID", false),
    ];
    let cells = |b: &Brief| {
        let changed = b.changed.as_ref().map_or("-".into(), |c| c.1.trim_end_matches(" UTC").to_owned());
        let effect = b.effect.as_ref().map_or("-".into(), |e| format!("{} {}", e.name, value(e)));
        let id = b.id.get(..SHOWN).unwrap_or(&b.id).to_owned();
        Row::Cells(vec![changed, b.signal.clone(), b.segment.clone(), b.severity.clone(), effect, id])
    };
    sheet.title("At the same time in this model");
    sheet.table(&shape, shown.iter().map(|b| cells(b)).chain(more(beside.len())).collect());
    let all = || beside.iter().copied().chain([&this]);
    if let Some((first, since)) = all().filter_map(|b| Some((b, b.changed.as_ref()?))).min_by_key(|(_, since)| since.0) {
        let what = if first.id == this.id { "this one".to_owned() } else { format!("{} ({})", first.signal, first.segment) };
        sheet.row("first", &format!("{what}, {}", since.1));
    }
    if let Some(text) = strongest(&this, all()) {
        sheet.row("strongest", &text);
    }
}

fn more(of: usize) -> Option<Row> {
    (of > MOST).then(|| Row::Note(format!("   and {} more: driftline tail -c FILE --model MODEL", of - MOST)))
}

/// The segments that show the same signal by the same measure, the largest effect first, if there are several.
fn strongest<'a>(this: &'a Brief, all: impl Iterator<Item = &'a Brief>) -> Option<String> {
    let measure = |e: &Effect| (e.name.clone(), e.unit.clone());
    let mine = this.effect.as_ref()?;
    let mut same: Vec<(&Brief, &Effect)> = all
        .filter(|b| b.signal == this.signal)
        .filter_map(|b| Some((b, b.effect.as_ref().filter(|e| measure(e) == measure(mine))?)))
        .collect();
    let size = |e: &Effect| if e.is_ratio() { -e.value } else { e.value.abs() };
    same.sort_by(|a, b| size(b.1).total_cmp(&size(a.1)));
    let told: Vec<String> = same.iter().take(4).map(|(b, e)| format!("{} {}", b.segment, value(e))).collect();
    (same.len() > 1).then(|| format!("{} by {}: {}", this.signal, mine.name, told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An event of an episode, with the minutes at which it changed and of this event.
    fn event(id: &str, signal: &str, country: &str, [changed, now]: [u32; 2], status: &str, effect: f64) -> Value {
        let at = |minute: u32| format!("2026-03-01T01:{minute:02}:00.000Z");
        let segment = if country.is_empty() { json!({}) } else { json!({ "country": country }) };
        json!({
            "alert_id": format!("{id}-1"), "fingerprint": id, "sequence": u32::from(status == "RESOLVED"), "model": "fraud", "signal": signal,
            "segment": segment, "severity": "WARNING", "status": status, "opened_at": at(changed), "change_point": at(changed), "detected_at": at(now),
            "effect": { "name": "location", "unit": "sigma", "value": effect, "low": 0.1, "high": 2.0, "tolerance": 0.1 }
        })
    }

    fn page_of(this: &Value, others: &[Value]) -> String {
        let mut episodes = Episodes::default();
        others.iter().chain([this]).for_each(|e| episodes.observe(e));
        let mut sheet = Sheet::new(100);
        context(&mut sheet, this, &episodes.beside(this));
        sheet.print(false)
    }

    #[test]
    fn what_was_wrong_at_the_same_time_is_told_with_the_first_and_the_strongest() {
        let this = event("this", "score", "", [20, 30], "FIRING", 0.3);
        let said = page_of(
            &this,
            &[
                event("amount", "feature:amount", "FR", [15, 40], "FIRING", 1.5),
                event("score-fr", "score", "FR", [19, 22], "FIRING", 0.9),
                event("score-fr", "score", "FR", [19, 40], "RESOLVED", 0.01),
                event("before", "score", "DE", [1, 2], "FIRING", 5.0),
                event("before", "score", "DE", [1, 10], "RESOLVED", 0.0),
                event("drill", "drill", "", [20, 30], "FIRING", 50.0),
            ],
        );
        let lines: Vec<&str> = said.lines().filter(|l| !l.is_empty()).collect();
        assert!(lines[0].starts_with("At the same time in this model"), "{said}");
        assert!(lines[2].contains("2026-03-01 01:15") && lines[2].contains("feature:amount") && lines[2].contains("country=FR"), "{said}");
        assert!(
            lines[3].contains("2026-03-01 01:19") && lines[3].contains("location +0.9 sigma"),
            "its end says nothing of its size: {said}"
        );
        assert!(lines[4].contains("first") && lines[4].contains("feature:amount (country=FR), 2026-03-01 01:15 UTC"), "{said}");
        assert!(
            lines[5].contains("strongest") && lines[5].contains("score by location: country=FR +0.9 sigma; all traffic +0.3 sigma"),
            "{said}"
        );
        assert_eq!(lines.len(), 6, "neither what was over before nor a drill: {said}");
    }

    #[test]
    fn who_is_alone_has_no_such_section_and_of_many_the_nearest_are_shown() {
        let this = event("this", "score", "", [30, 31], "FIRING", 0.3);
        assert_eq!(page_of(&this, &[]), "");
        let of = |minute: u32| event(&format!("e{minute:02}"), &format!("feature:f{minute:02}"), "", [minute, 59], "FIRING", 1.0);
        let said = page_of(&this, &(0..59).filter(|m| *m != 30).map(of).collect::<Vec<_>>());
        assert!(said.contains("feature:f24") && said.contains("feature:f36") && said.contains("and 46 more"), "{said}");
        assert!(!said.contains("feature:f23 ") && !said.contains("feature:f37 "), "{said}");
        assert!(said.contains("first") && said.contains("feature:f00 (all traffic)"), "of all, not only of those that are shown: {said}");
    }

    #[test]
    fn an_event_without_most_of_its_fields_is_told_by_what_it_has() {
        let bare = json!({ "alert_id": "x-1", "fingerprint": "x", "model": "fraud" });
        let said = page_of(&event("this", "score", "", [20, 30], "FIRING", 0.3), std::slice::from_ref(&bare));
        assert_eq!(said, "", "without a time nobody knows when it was");
        assert_eq!(page_of(&bare, &[]), "");
    }
}
