//! `driftline explain`: one alert of the alerts topic, on a page.
//!
//! Guarantees: shows one episode, whole as far as the topic still holds it, from committed events alone; says so if what was typed fits none
//! or several. Never: joins a group, commits anything, needs more than Read on the topic, shows what the events do not say.
//! Comes from: `cli::events`. Goes to: standard output, by `cli::explain_page`.

use super::events::{Event, Reading, detected_at};
use super::explain_context::Episodes;
use super::explain_page::{self, text, time};
use super::sheet::{self, clip, harmless};
use super::{ConfigArg, Failure, Output, settings, still_read};
use crate::ops::logs;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// Widest page, and its width where COLUMNS says nothing: longer lines are hard to read.
const WIDEST: usize = 100;
/// So many of the episodes that fit are named.
const NAMED: usize = 20;

/// Flags of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// The alert_id of an episode, or a fingerprint (its newest episode); a beginning that no other has is enough
    #[arg(value_name = "ALERT_ID", value_parser = NonEmptyStringValueParser::new())]
    pub alert: String,
    /// How to print the episode: a page, or its events, one JSON object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// An episode: its events in order, each once.
struct Episode {
    id: String,
    events: Vec<Event>,
}

impl Episode {
    fn newest(&self) -> &Value {
        &self.events[self.events.len() - 1].value
    }

    fn fingerprint(&self) -> &str {
        text(self.newest(), "/fingerprint").unwrap_or("")
    }

    fn opened_at(&self) -> &str {
        text(self.newest(), "/opened_at").unwrap_or("")
    }
}

/// What was typed and what it fits.
enum Found {
    One(usize),
    Several(Vec<usize>),
    Nothing,
}

/// Shows the episode.
pub fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("warn");
    let wanted = args.alert.trim().to_lowercase();
    let mut reading = Reading::begin(&settings, "explain")?;
    let (mut events, mut all) = (Vec::new(), Episodes::default());
    reading.read_all(&mut |event| {
        all.observe(&event.value);
        events.extend(Some(event).filter(|e| fits(&e.value, &wanted)));
    })?;
    let episodes = episodes(events);
    let topic = &settings.alerts.topic;
    let page = match find(&episodes, &wanted) {
        Found::One(i) => show(&episodes, i, args.output, &all),
        Found::Several(fitting) => return Err(Failure::Runtime(several(&episodes, &fitting, &args.alert))),
        Found::Nothing => return Err(Failure::Runtime(nothing(topic, reading.records, &args.alert))),
    };
    let mut out = std::io::stdout().lock();
    still_read(out.write_all(page.as_bytes()).and_then(|()| out.flush())).map(|_| ())
}

/// Whether an event is of an episode that is wanted, or of the same fingerprint.
fn fits(event: &Value, wanted: &str) -> bool {
    let fingerprint = text(event, "/fingerprint").unwrap_or("");
    let beyond = wanted.strip_prefix(fingerprint).is_some_and(|rest| rest.starts_with('-'));
    text(event, "/alert_id").is_some_and(|id| id.starts_with(wanted)) || (!fingerprint.is_empty() && beyond)
}

/// Episodes by the time they opened at; an event that was read twice counts once.
fn episodes(events: Vec<Event>) -> Vec<Episode> {
    let mut by_id: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events {
        let id = text(&event.value, "/alert_id").unwrap_or("").to_owned();
        by_id.entry(id).or_default().push(event);
    }
    let sequence = |e: &Event| e.value.get("sequence").and_then(Value::as_i64);
    let ordered = by_id.into_iter().map(|(id, mut events)| {
        events.sort_by(|a, b| (sequence(a), detected_at(&a.value)).cmp(&(sequence(b), detected_at(&b.value))));
        events.dedup_by(|a, b| sequence(a).is_some() && sequence(a) == sequence(b));
        Episode { id, events }
    });
    let mut episodes: Vec<Episode> = ordered.collect();
    episodes.sort_by(|a, b| a.opened_at().cmp(b.opened_at())); // stable: ties by id
    episodes
}

fn find(episodes: &[Episode], wanted: &str) -> Found {
    if let Some(i) = episodes.iter().position(|e| e.id == wanted) {
        return Found::One(i);
    }
    let fitting: Vec<usize> = (0..episodes.len()).filter(|i| episodes[*i].id.starts_with(wanted)).collect();
    let Some(&newest) = fitting.last() else { return Found::Nothing };
    let fingerprint = episodes[newest].fingerprint();
    let of_one = fingerprint.starts_with(wanted) && fitting.iter().all(|i| episodes[*i].fingerprint() == fingerprint);
    if fitting.len() == 1 || of_one { Found::One(newest) } else { Found::Several(fitting) }
}

fn show(episodes: &[Episode], i: usize, output: Output, all: &Episodes) -> String {
    let episode = &episodes[i];
    if output == Output::Json {
        return episode.events.iter().map(|e| format!("{}\n", e.json)).collect();
    }
    let events: Vec<&Value> = episode.events.iter().map(|e| &e.value).collect();
    let same = |e: &&Episode| e.id != episode.id && e.fingerprint() == episode.fingerprint();
    let others: Vec<&Value> = episodes.iter().filter(same).map(Episode::newest).collect();
    let beside = all.beside(episode.newest());
    explain_page::page(&events, &others, &beside, sheet::width(WIDEST)).print(sheet::coloured())
}

/// The episodes that fit, newest first, a line each.
fn several(episodes: &[Episode], fitting: &[usize], typed: &str) -> String {
    let mut out = format!("{} episodes begin with \"{}\": type more of the ALERT_ID.", fitting.len(), harmless(typed));
    for i in fitting.iter().rev().take(NAMED) {
        let event = episodes[*i].newest();
        let field = |pointer| text(event, pointer).unwrap_or("-");
        let opened = time(event, "/opened_at").unwrap_or_default();
        let about = [field("/severity"), field("/status"), field("/model"), field("/signal"), &explain_page::segment(event)].join(" ");
        let line = format!("{}  {opened}  {about}", enough(episodes, fitting, *i, typed));
        write!(out, "\n  {}", clip(&harmless(&line), sheet::width(WIDEST).saturating_sub(2))).unwrap_or_default();
    }
    if fitting.len() > NAMED {
        write!(out, "\n  and {} older ones", fitting.len() - NAMED).unwrap_or_default();
    }
    out
}

/// As much of an episode's id as has to be typed: all of it if its fingerprint has others, else at least eight characters.
fn enough<'a>(episodes: &'a [Episode], fitting: &[usize], i: usize, typed: &str) -> &'a str {
    let (id, fingerprint) = (episodes[i].id.as_str(), episodes[i].fingerprint());
    let others = || fitting.iter().filter(|o| **o != i).map(|o| &episodes[*o]);
    if others().any(|o| o.fingerprint() == fingerprint) {
        return id;
    }
    let beginnings = (typed.len().max(8)..id.len()).filter_map(|n| id.get(..n));
    beginnings.into_iter().find(|b| !others().any(|o| o.id.starts_with(b))).unwrap_or(id)
}

fn nothing(topic: &str, records: u64, typed: &str) -> String {
    format!(
        "no alert in {topic} has an ALERT_ID that begins with \"{}\" ({records} record(s) read). `driftline tail -c FILE -o json | jq -r '.alert_id + \" \" + .summary'` \
         lists what is there. Alerts leave the topic when its retention has passed (30 days if `driftline topics create` made it); is it the right configuration?",
        harmless(typed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(fingerprint: &str, pane: i64, sequence: i64) -> Event {
        let value = json!({
            "alert_id": format!("{fingerprint}-{pane}"), "fingerprint": fingerprint, "sequence": sequence, "severity": "INFO", "status": "FIRING",
            "model": "fraud", "signal": "score", "segment": {}, "opened_at": format!("2026-01-01T00:{pane:02}:00.000Z")
        });
        Event { json: value.to_string(), value }
    }

    /// Two episodes of `aa11`, the second with two events of which one was read twice, and one of `ab22`.
    fn read(wanted: &str) -> Vec<Episode> {
        let all = [event("aa11", 12, 1), event("ab22", 5, 0), event("aa11", 1, 0), event("aa11", 12, 0), event("aa11", 12, 1)];
        episodes(all.into_iter().filter(|e| fits(&e.value, wanted)).collect())
    }

    fn found(wanted: &str) -> Vec<String> {
        let episodes = read(wanted);
        match find(&episodes, wanted) {
            Found::One(i) => vec![episodes[i].id.clone()],
            Found::Several(fitting) => fitting.iter().map(|i| episodes[*i].id.clone()).collect(),
            Found::Nothing => vec![],
        }
    }

    #[test]
    fn an_episode_is_found_by_its_id_and_a_fingerprint_means_its_newest_one() {
        assert_eq!(found("aa11-12"), ["aa11-12"]);
        assert_eq!(found("aa11-1"), ["aa11-1"], "it is the beginning of another one, too, but it is one itself");
        assert_eq!(found("aa11"), ["aa11-12"]);
        assert_eq!(found("ab"), ["ab22-5"], "a beginning that only one has");
    }

    #[test]
    fn a_beginning_of_several_finds_all_of_them_and_an_unknown_one_nothing() {
        assert_eq!(found("a"), ["aa11-1", "ab22-5", "aa11-12"]);
        assert_eq!(found("aa11-"), ["aa11-1", "aa11-12"]);
        assert!(found("b").is_empty() && found("aa11-3").is_empty());
    }

    #[test]
    fn events_are_in_order_and_one_that_was_read_twice_is_shown_once() {
        let episodes = read("aa11-12");
        let shown: String = show(&episodes, episodes.len() - 1, Output::Json, &Episodes::default());
        assert_eq!(shown, format!("{}\n{}\n", event("aa11", 12, 0).json, event("aa11", 12, 1).json));
    }

    #[test]
    fn what_is_named_is_enough_to_be_typed() {
        let all = ["aaaaaaaaaa11", "aaaaaaaaab22", "aaaaaaaaac33"].map(|f| event(f, 1, 0)).into_iter();
        let episodes = episodes(all.chain([event("aaaaaaaaac33", 2, 0), event("abbbbbbbbbbb", 3, 0)]).collect());
        let fitting: Vec<usize> = (0..episodes.len()).collect();
        let named: Vec<&str> = fitting.iter().map(|i| enough(&episodes, &fitting, *i, "a")).collect();
        assert_eq!(named, ["aaaaaaaaaa", "aaaaaaaaab", "aaaaaaaaac33-1", "aaaaaaaaac33-2", "abbbbbbb"]);
        for (i, name) in named.iter().enumerate() {
            assert!(matches!(find(&episodes, name), Found::One(found) if found == i), "{name}");
        }
    }

    #[test]
    fn several_are_named_newest_first_and_no_more_than_fit_on_a_screen() {
        let said = several(&read("a"), &[0, 1, 2], "a");
        assert_eq!(
            said,
            "3 episodes begin with \"a\": type more of the ALERT_ID.\n  aa11-12  2026-01-01 00:12 UTC  INFO FIRING fraud score all traffic\n  \
             ab22-5  2026-01-01 00:05 UTC  INFO FIRING fraud score all traffic\n  aa11-1  2026-01-01 00:01 UTC  INFO FIRING fraud score all traffic"
        );
        let many = episodes((0..50).map(|pane| event("aa11", pane, 0)).collect());
        let said = several(&many, &(0..50).collect::<Vec<_>>(), "\x1b[2J");
        assert!(said.ends_with("and 30 older ones") && said.lines().count() == 22, "{said}");
        assert!(said.starts_with("50 episodes begin with \"\\u{1b}[2J\""), "{said}");
    }
}
