//! What the newest records of both inputs say of a configuration: pure, data in, sentences out.
//!
//! Guarantees: each finding that is not fine says what to do; nothing is said of what too few records can't show.
//! Comes from: `connect` (what was read). Goes to: the screen.

use crate::config::settings::Settings;
use crate::engine::definitions::Definitions;
use crate::engine::definitions::change::Change;
use crate::engine::detect::describe::number;
use crate::engine::types::{EventTime, RequestKey, Span};
use crate::sizing::{Load, ROW, smallest};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Worth a look.
    Note,
    /// It will not work so.
    Wrong,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How good.
    pub level: Level,
    /// What was seen.
    pub text: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

impl Finding {
    fn new(level: Level, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level, text: text.into(), remedy: remedy.into() }
    }

    /// As it should be.
    pub fn fine(text: impl Into<String>) -> Finding {
        Finding::new(Level::Fine, text, "")
    }

    /// Worth a look.
    pub fn note(text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(Level::Note, text, remedy)
    }

    /// It will not work so.
    pub fn wrong(text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(Level::Wrong, text, remedy)
    }
}

/// One decoded record.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Its request id.
    pub key: RequestKey,
    /// Its partition.
    pub partition: i32,
    /// Its event time.
    pub time: EventTime,
    /// Kafka's timestamp, ms; -1 if it has none.
    pub timestamp: i64,
}

/// What was seen of one field.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// Records that have it.
    pub present: usize,
    /// One of its values.
    pub example: String,
}

/// The newest records of one input.
#[derive(Debug, Default)]
pub struct Seen {
    /// Decoded ones, each partition in order.
    pub events: Vec<Event>,
    /// By reason: how many, and what the first one said.
    pub faults: BTreeMap<&'static str, (usize, String)>,
    /// Records that `when` leaves out.
    pub skipped: usize,
    /// Records whose schema the registry did not say: nothing is known of them.
    pub unknown: usize,
    /// Ids of schemas that stand before values, and how many records have each.
    pub schemas: BTreeMap<u32, usize>,
    /// By name, as in the configuration.
    pub fields: BTreeMap<String, Field>,
    /// Combinations of dimensions that are segments (predictions).
    pub segments: BTreeSet<Vec<String>>,
    /// Models (predictions).
    pub models: BTreeSet<String>,
}

impl Seen {
    /// Records; of exploded ones, their rows.
    fn records(&self) -> usize {
        self.events.len() + self.faults.values().map(|f| f.0).sum::<usize>()
    }

    /// Records a second, by Kafka's timestamps.
    fn rate(&self) -> Option<f64> {
        let times = || self.events.iter().map(|e| e.timestamp).filter(|t| *t > 0);
        let seconds = (times().max()? - times().min()?) as f64 / 1_000.0;
        (seconds >= 1.0 && self.events.len() > 50).then(|| self.events.len() as f64 / seconds)
    }
}

/// Fewer records show nothing of rates and orders.
const ENOUGH: usize = 200;
/// Schemas that are listed.
const SCHEMAS: usize = 8;

fn percent(part: usize, all: usize) -> String {
    format!("{} %", number(100.0 * part as f64 / all.max(1) as f64))
}

/// Whether the records of an input can be used, and what is in them.
pub fn of_records(input: &str, topic: &str, seen: &Seen) -> Vec<Finding> {
    let all = seen.records();
    if all == 0 && seen.skipped > 0 {
        let text = format!("{input}: `when` leaves out each of the newest {} records of {topic}", seen.skipped);
        return vec![Finding::wrong(text, "compare it with the records that are there")];
    }
    if all == 0 && seen.unknown > 0 {
        return Vec::new(); // `connect` says why
    }
    if all == 0 {
        return vec![Finding::note(
            format!("{input}: {topic} is empty"),
            "nothing can be said of its fields; look again when something is in it",
        )];
    }
    let bad: usize = seen.faults.values().map(|f| f.0).sum();
    let mut found = vec![if bad == 0 {
        Finding::fine(format!("{input}: the newest {all} records of {topic} can be read"))
    } else {
        let told: Vec<String> = seen.faults.iter().map(|(reason, (n, said))| format!("{n} {reason}: {said}")).collect();
        let text =
            format!("{input}: {} of the newest {all} records of {topic} would be dead letters. {}", percent(bad, all), told.join("; "));
        let level = if bad * 20 > all { Level::Wrong } else { Level::Note };
        Finding::new(level, text, "correct the mapping under `fields`, the `format`, or the producer")
    }];
    if seen.skipped > 0 {
        found.push(Finding::fine(format!("{input}: `when` leaves out {} of the newest records of {topic}", seen.skipped)));
    }
    if !seen.schemas.is_empty() {
        let told: Vec<String> = seen.schemas.iter().take(SCHEMAS).map(|(id, n)| format!("{n} with schema id {id}")).collect();
        let more = seen.schemas.len().saturating_sub(SCHEMAS);
        let more = if more > 0 { format!(", the others with {more} more") } else { String::new() };
        found.push(Finding::fine(format!("{input}: written {}{more}", told.join(", "))));
    }
    let n = seen.events.len();
    for (name, field) in seen.fields.iter().filter(|_| n > 0) {
        let text = format!("{input}.fields.{name}: in {} of the records, for example {}", percent(field.present, n), field.example);
        found.push(if field.present == 0 {
            Finding::note(
                format!("{input}.fields.{name}: in none of {n} records"),
                "is it called otherwise? Without it what needs it is not watched",
            )
        } else {
            Finding::fine(text)
        });
    }
    found
}

/// Whether event times can be right.
pub fn of_times(input: &str, lateness: Span, max_ahead: Span, seen: &Seen, now: i64) -> Vec<Finding> {
    let events: Vec<&Event> = seen.events.iter().collect();
    let bound = |e: &Event| if e.timestamp > 0 { e.timestamp.min(now) } else { now };
    let ahead: Vec<&&Event> = events.iter().filter(|e| e.time.0 > bound(e).saturating_add(max_ahead.0)).collect();
    if let Some(e) = ahead.first() {
        let what = format!(
            "{input}: {} of the event times lie in the future, for example {}",
            percent(ahead.len(), events.len()),
            shown(e.time.0)
        );
        return vec![Finding::wrong(
            what,
            "the wrong `unit` of event_time, or a producer's clock that is ahead: such records are dead letters",
        )];
    }
    let mut found = Vec::new();
    let mut behind: Vec<i64> = events.iter().filter(|e| e.timestamp > 0).map(|e| e.timestamp - e.time.0).collect();
    behind.sort_unstable();
    if let Some(middle) = behind.get(behind.len() / 2).filter(|m| **m > Span::days(1).0) {
        let what = format!("{input}: half of the records came {} or more after their event time", length(*middle));
        found.push(Finding::note(what, "right for a backfill; otherwise another field is the event time"));
    }
    if events.len() >= ENOUGH {
        found.push(out_of_order(input, lateness, &events));
    }
    found
}

/// How much out of order the records of a partition are.
fn out_of_order(input: &str, lateness: Span, events: &[&Event]) -> Finding {
    let mut highest: BTreeMap<i32, i64> = BTreeMap::new();
    let mut behind = Vec::with_capacity(events.len());
    for e in events {
        let high = highest.entry(e.partition).or_insert(e.time.0);
        *high = e.time.0.max(*high);
        behind.push(*high - e.time.0);
    }
    let late = behind.iter().filter(|b| **b > lateness.0).count();
    behind.sort_unstable();
    let nearly_all = behind[(behind.len() * 999 / 1_000).min(behind.len() - 1)];
    if late * 1_000 <= events.len() {
        return Finding::fine(format!("{input}: out of order by at most {} (all but one in 1,000 records)", length(nearly_all)));
    }
    let what = format!("{input}: {} of the records are more out of order than {input}.lateness allows", percent(late, events.len()));
    let remedy = match input {
        "predictions" => format!("they would be late and not be watched: set predictions.lateness to {} or more", length(nearly_all)),
        _ => format!(
            "they count as known later than they were: set outcomes.lateness to {} or more, or write the topic in order",
            length(nearly_all)
        ),
    };
    Finding::note(what, remedy)
}

/// Whether outcomes find their predictions.
pub fn of_ids(predictions: &Seen, outcomes: &Seen, partitions: i32) -> Vec<Finding> {
    let mut of: BTreeMap<RequestKey, i32> = BTreeMap::new();
    of.extend(predictions.events.iter().map(|e| (e.key, e.partition)));
    let (mut same, mut elsewhere) = (0, 0);
    for e in &outcomes.events {
        match of.get(&e.key) {
            Some(p) if *p == e.partition => same += 1,
            Some(_) => elsewhere += 1,
            None => {}
        }
    }
    let n = outcomes.events.len();
    if n == 0 || predictions.events.is_empty() {
        return Vec::new();
    }
    let twice = predictions.events.len() - of.len();
    let mut found = Vec::new();
    if twice * 10 > predictions.events.len() {
        let what = format!("{} of the predictions have the id of another one", percent(twice, predictions.events.len()));
        found.push(Finding::note(what, "is request_id unique for each prediction? Repeats within join.duplicates are not counted"));
    }
    if elsewhere > 0 && partitions > 1 {
        let what = format!("{} outcomes lie in another partition than their predictions, {same} in the same", elsewhere);
        let why = "both producers must use the same partitioner and the same key: Java's default is murmur2, librdkafka's is CRC32 (set partitioner=murmur2_random there)";
        found.push(if elsewhere > same / 100 { Finding::wrong(what, why) } else { Finding::note(what, why) });
    } else if same > 0 {
        found.push(Finding::fine(format!(
            "{} of the newest {n} outcomes are of the newest {} predictions",
            percent(same, n),
            predictions.events.len()
        )));
    } else {
        let what = format!("none of the newest {n} outcomes is of one of the newest {} predictions", predictions.events.len());
        found.push(Finding::note(
            what,
            "right if labels come much later than predictions; otherwise compare the ids shown above, and look at more (--records)",
        ));
    }
    found
}

/// What this file would change in an application that has run already.
pub fn of_definitions(in_force: &Definitions, file: &Definitions) -> Finding {
    match in_force.change_to(file) {
        Change::None => Finding::fine("the definitions are those in force".to_string()),
        Change::Possible { keys, joined, .. } => {
            let from = if joined { "from a pane on that no input has reached yet" } else { "with the next pane" };
            Finding::note(
                format!("{} differ from the definitions in force", keys.join(", ")),
                format!("right if it is meant: the first process that restarts with this file proposes them, and they hold {from}"),
            )
        }
        Change::Fixed(keys) => Finding::wrong(
            format!("{} can't change in a running application", keys.join(", ")),
            "undo the change, or start an application under another `app` (docs/operations.md, Changed configuration)",
        ),
    }
}

/// What the stream will ask for.
pub fn of_size(settings: &Settings, predictions: &Seen) -> Vec<Finding> {
    let d = &settings.definitions;
    let mut found = Vec::new();
    let features = predictions.fields.keys().filter(|name| name.starts_with("features.")).count();
    if features > 0 {
        let (segments, models) = (predictions.segments.len(), predictions.models.len());
        let streams = Load { rate: 0.0, features, segments, models, labelled: 0.0, delay: Span(0) }.streams();
        let what = format!("about {streams} streams ({features} features, {} segments among these records)", predictions.segments.len());
        found.push(if streams as u64 > u64::from(d.streams_cap) {
            let remedy = format!(
                "budget.streams is {}: set it to {} or more, or false alarms are more than the budget allows",
                d.streams_cap,
                streams * 2
            );
            Finding::note(what, remedy)
        } else {
            Finding::fine(format!("{what}; budget.streams is {}", d.streams_cap))
        });
    }
    let Some(rate) = predictions.rate() else { return found };
    let rows = rate * (d.join.window.0 as f64 / 1_000.0);
    let (bytes, limit) = (rows * ROW, settings.memory_limit as f64);
    let what = format!(
        "{} predictions a second: up to {} wait for their outcomes, {} MiB",
        number(rate),
        number(rows.round()),
        number(bytes / 1_048_576.0)
    );
    let have = format!("memory.limit is {} MiB a process", number((limit / 1_048_576.0).round()));
    found.push(if bytes > limit {
        Finding::note(
            format!("{what}; {have}"),
            "one process would release rows early: run more processes, raise it, or shorten join.window",
        )
    } else {
        Finding::fine(format!("{what}; {have}"))
    });
    let smallest = smallest(rate, d);
    found.push(Finding::fine(format!(
        "a change of a feature's mean by {} sigma would be found within a day, if panes are independent (docs/detectors.md); smaller ones than tolerance.location, {}, never alert",
        number(smallest),
        number(d.tolerance.location)
    )));
    found
}

fn shown(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |t| t.to_string())
}

fn length(ms: i64) -> String {
    let of = |unit: i64, word: &str| format!("{} {word}", number((ms as f64 / unit as f64 * 10.0).ceil() / 10.0));
    match ms {
        ..=999 => format!("{ms} ms"),
        1_000..60_000 => of(1_000, "s"),
        60_000..3_600_000 => of(60_000, "min"),
        3_600_000..86_400_000 => of(3_600_000, "h"),
        _ => of(86_400_000, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    /// `n` events a second apart, the newest one now, written as they happened.
    fn events(n: i64) -> Vec<Event> {
        let at = |i: i64| NOW - (n - i) * 1_000;
        (0..n)
            .map(|i| Event { key: RequestKey::of(&i.to_string()), partition: (i % 4) as i32, time: EventTime(at(i)), timestamp: at(i) })
            .collect()
    }

    fn seen(events: Vec<Event>) -> Seen {
        Seen { events, ..Seen::default() }
    }

    fn times(events: Vec<Event>) -> Vec<Finding> {
        of_times("predictions", Span::minutes(1), Span::minutes(5), &seen(events), NOW)
    }

    #[test]
    fn records_that_cannot_be_read_are_wrong_when_they_are_many() {
        let faulty =
            |bad| Seen { faults: BTreeMap::from([("wrong_type", (bad, "field \"ts\" is text".to_string()))]), ..seen(events(100)) };
        let level = |bad| of_records("predictions", "p", &faulty(bad))[0].level;
        assert_eq!([level(1), level(50)], [Level::Note, Level::Wrong]);
        assert!(of_records("predictions", "p", &faulty(50))[0].text.contains("50 wrong_type: field \"ts\" is text"));
        assert_eq!(of_records("predictions", "p", &Seen::default())[0].level, Level::Note);
    }

    #[test]
    fn a_field_that_no_record_has_is_noted() {
        let fields = BTreeMap::from([
            ("score".to_string(), Field { present: 0, example: String::new() }),
            ("label".to_string(), Field { present: 50, example: "\"1\"".into() }),
        ]);
        let found = of_records("predictions", "p", &Seen { fields, ..seen(events(100)) });
        assert!(found[1].level == Level::Fine && found[1].text.contains("in 50 % of the records, for example \"1\""), "{found:?}");
        assert!(found[2].level == Level::Note && found[2].text.contains("score: in none of 100"), "{found:?}");
    }

    #[test]
    fn times_that_are_ahead_are_wrong_and_old_ones_are_noted() {
        let scaled = |f: fn(i64) -> i64| times(events(300).into_iter().map(|e| Event { time: EventTime(f(e.time.0)), ..e }).collect());
        let ahead = scaled(|t| t + 3_600_000);
        assert!(ahead[0].level == Level::Wrong && ahead[0].remedy.contains("`unit`"), "{ahead:?}");
        let usual = times(events(300));
        assert!(usual.len() == 1 && usual[0].level == Level::Fine, "{usual:?}");
        let backfill = scaled(|t| t - 30 * 86_400_000);
        assert!(backfill[0].level == Level::Note && backfill[0].text.contains("30 d"), "{backfill:?}");
    }

    #[test]
    fn disorder_beyond_the_lateness_says_which_would_do() {
        let disordered = events(1_000).into_iter().enumerate().map(|(i, e)| match i % 50 {
            0 => Event { time: e.time.minus(Span::minutes(10)), ..e },
            _ => e,
        });
        let found = times(disordered.collect());
        assert!(found[0].level == Level::Note && found[0].remedy.contains("set predictions.lateness to 10 min"), "{found:?}");
    }

    #[test]
    fn ids_that_lie_in_other_partitions_name_the_partitioner() {
        let moved = |by: i32| seen(events(300).into_iter().map(|e| Event { partition: (e.partition + by) % 4, ..e }).collect());
        let of = |outcomes: &Seen| of_ids(&seen(events(300)), outcomes, 4);
        assert_eq!(of(&moved(0))[0].level, Level::Fine);
        let wrong = of(&moved(1));
        assert!(wrong[0].level == Level::Wrong && wrong[0].remedy.contains("murmur2"), "{wrong:?}");
        let others = seen(events(300).into_iter().map(|e| Event { key: RequestKey(e.key.0 ^ 1), ..e }).collect());
        assert_eq!(of(&others)[0].level, Level::Note);
        let twice = seen(events(300).into_iter().chain(events(300)).collect());
        assert!(of_ids(&twice, &moved(0), 4)[0].text.contains("have the id of another one"));
    }

    #[test]
    fn rates_say_what_memory_and_streams_will_be_asked_for() {
        let settings = |more: &str| {
            let text = format!("app: a\nkafka: {{ brokers: b }}\npredictions: {{ topic: p }}\noutcomes: {{ topic: o }}\n{more}");
            crate::config::load_text("c.yaml", &text, &|_| None, std::path::Path::new("")).unwrap_or_else(|e| panic!("{e}"))
        };
        let fields = BTreeMap::from([("features.x".to_string(), Field { present: 300, example: "1".into() })]);
        let seen = Seen { fields, models: BTreeSet::from(["m".to_string()]), ..seen(events(300)) };
        // one a second; by hand: 86,400 rows of 104 bytes are 8.569 MiB, 2 + 8 streams
        let fine = of_size(&settings("memory: { limit: 1GiB }\n"), &seen);
        assert!(fine.iter().all(|f| f.level == Level::Fine) && fine.len() == 3, "{fine:?}");
        assert!(fine[0].text.contains("about 10 streams") && fine[1].text.contains("8.5") && fine[2].text.contains("sigma"), "{fine:?}");
        let tight = of_size(&settings("memory: { limit: 16MiB }\njoin: { window: 30d }\nbudget: { streams: 5 }\n"), &seen);
        assert!(tight[0].level == Level::Note && tight[0].remedy.contains("set it to 20"), "{tight:?}");
        assert!(tight[1].level == Level::Note && tight[1].remedy.contains("release rows early"), "{tight:?}");
    }
}
