//! The rules of the join, written down naively: whole inputs in memory, no expiry, no epochs, nothing of `engine::join`. And the sum of
//! it all: each record of an input ends in exactly one counter.

use super::audit::{Audit, Decided, Release};
use super::compare::Published;
use super::supply::{Supply, Written};
use driftline::config::settings::Settings;
use driftline::engine::definitions::Definitions;
use driftline::engine::journal::EdgeDecision;
use driftline::engine::summary::cell::Counts;
use driftline::engine::types::{EventTime, Input, Offset, PaneKind};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Nothing that is meant happens later.
const YEAR_10000: i64 = 253_402_300_800_000;

/// Counts of a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    accepted: u64,
    late: u64,
    repeated: u64,
    pairs: u64,
    duplicates: u64,
    conflicting: u64,
    unlabelled: u64,
    orphans: u64,
    before_start: u64,
}

/// By whether it is a pair pane, and pane.
type Counted = BTreeMap<(bool, i64), Count>;

/// A record that can be read.
struct Event {
    offset: Offset,
    id: String,
    time: i64,
    /// What an outcome says.
    says: String,
    /// The highest time before it.
    highest: Option<i64>,
}

/// What an input of a partition holds.
#[derive(Default)]
struct Told {
    events: Vec<Event>,
    highest: Option<i64>,
    unreadable: u64,
}

struct Row {
    offset: Offset,
    time: i64,
    /// What let it go.
    gone: Option<Release>,
    first: Option<(i64, String)>,
}

/// Compares a run with the rules. `audit` says what was decided at the edge.
pub fn check(supply: &Supply, audit: &Audit, settings: &Settings) -> Result<(), String> {
    let mut expected = Counted::new();
    let (mut told, mut unreadable) = ([0u64; 2], 0u64);
    for (p, task) in audit.tasks.iter().enumerate() {
        let inputs = Input::BOTH.map(|input| read(&supply.written[input.index()][p], input, &task.decisions));
        for (sum, input) in told.iter_mut().zip(&inputs) {
            *sum += input.events.len() as u64;
            unreadable += input.unreadable;
        }
        judge(&inputs, &task.releases, &settings.definitions, &mut expected);
    }
    let counted = of_summaries(&audit.published);
    for pane in expected.keys().chain(counted.keys()) {
        let (run, rules) = (counted.get(pane), expected.get(pane));
        if run.copied().unwrap_or_default() != rules.copied().unwrap_or_default() {
            return Err(format!("(is a pair pane, pane) {pane:?}: the run counts {run:?}, the rules {rules:?}"));
        }
    }
    let sum = |field: fn(&Count) -> u64| counted.values().map(field).sum::<u64>();
    let waiting: u64 = audit.tasks.iter().filter_map(|t| t.last.as_ref()).map(|l| l.census.1).sum();
    let outcomes = sum(|c| c.pairs + c.duplicates + c.conflicting + c.orphans + c.before_start) + waiting;
    let verdicts = [sum(|c| c.accepted + c.late + c.repeated), outcomes];
    let letters = audit.published.letters.0.len() as u64;
    if verdicts != told || letters != unreadable {
        return Err(format!(
            "{told:?} records can be read and {unreadable} can't; there are verdicts {verdicts:?}, dead letters {letters}"
        ));
    }
    Ok(())
}

/// Everything that was not lost, in order.
fn read(written: &[Written], input: Input, decided: &[Decided]) -> Told {
    let mut told = Told::default();
    let losses: Vec<(Offset, Offset, EventTime)> = decided
        .iter()
        .filter_map(|d| match d.decision {
            EdgeDecision::Lost { input: i, from, to } if i == input => Some((from, to, d.shown)),
            _ => None,
        })
        .collect();
    let mut obeyed = 0;
    let mut obey = |told: &mut Told, before: Offset| {
        while let Some((_, _, shown)) = losses.get(obeyed).filter(|l| l.0 <= before) {
            if *shown > EventTime::MIN {
                told.highest = told.highest.max(Some(shown.0));
            }
            obeyed += 1;
        }
    };
    for w in written.iter().filter(|w| w.visible) {
        obey(&mut told, w.offset);
        if losses.iter().any(|l| (l.0..l.1).contains(&w.offset)) {
            continue;
        }
        let future = decided.iter().any(|d| d.decision == EdgeDecision::Future { input, offset: w.offset });
        match w.value.as_deref().and_then(event).filter(|_| !future) {
            Some((id, time, says)) => {
                told.events.push(Event { offset: w.offset, id, time, says, highest: told.highest });
                told.highest = told.highest.max(Some(time));
            }
            None => told.unreadable += 1,
        }
    }
    obey(&mut told, Offset(i64::MAX));
    told
}

fn event(value: &str) -> Option<(String, i64, String)> {
    let json: Value = serde_json::from_str(value).ok()?;
    let id = json["request_id"].as_str().filter(|id| !id.is_empty())?.to_string();
    let time = json["event_time"].as_i64().filter(|t| *t < YEAR_10000)?;
    Some((id, time, format!("{} {}", json["label"], json["value"])))
}

fn judge(inputs: &[Told; 2], releases: &[Release], d: &Definitions, counted: &mut Counted) {
    let mut add = |pair: bool, time: i64, what: fn(&mut Count) -> &mut u64| {
        *what(counted.entry((pair, d.pane.pane_of(EventTime(time)).0)).or_default()) += 1;
    };
    let (window, early, settle) = (d.join.window.0, d.join.early.0, d.join.settle.0);
    let last = [0, 1].map(|i| inputs[i].highest.map(|h| h - d.join.lateness[i].0));
    // what let go of a record: the first release that finds it and covers it
    let gone = |input: Input, offset: Offset, time: i64| {
        releases.iter().find(|r| r.input == input && offset < r.next[input.index()] && time <= r.up_to.0).copied()
    };
    let mut rows: HashMap<&str, Vec<Row>> = HashMap::new();
    let mut start: Option<(Offset, i64)> = None;
    for p in &inputs[0].events {
        let all = rows.entry(&p.id).or_default();
        let same: Vec<&Row> = all.iter().filter(|r| r.gone.is_none_or(|g| p.offset < g.next[0])).collect();
        match p.highest.map(|h| h - d.join.lateness[0].0) {
            Some(w) if p.time < w => add(false, w, |c| &mut c.late),
            Some(w) if same.iter().any(|r| w <= r.time + d.join.duplicates.0) => add(false, p.time, |c| &mut c.repeated),
            None if !same.is_empty() => add(false, p.time, |c| &mut c.repeated),
            _ => {
                start.get_or_insert((p.offset, p.time));
                add(false, p.time, |c| &mut c.accepted);
                all.push(Row { offset: p.offset, time: p.time, gone: gone(Input::Predictions, p.offset, p.time), first: None });
            }
        }
    }
    for o in &inputs[1].events {
        let e = o.highest.map_or(o.time, |h| o.time.max(h - d.join.lateness[1].0));
        let left = gone(Input::Outcomes, o.offset, e);
        let meets = |r: &Row| left.is_none_or(|g| r.offset < g.next[0]) && r.gone.is_none_or(|g| o.offset < g.next[1]);
        let fits =
            |r: &&mut Row| meets(r) && e >= r.time - early && e <= r.time + window && r.first.as_ref().is_none_or(|f| e <= f.0 + settle);
        match rows.get_mut(o.id.as_str()).and_then(|rows| rows.iter_mut().find(fits)) {
            Some(row) => match &row.first {
                None => {
                    add(true, row.time.max(e), |c| &mut c.pairs);
                    row.first = Some((e, o.says.clone()));
                }
                Some((_, says)) if *says == o.says => add(true, row.time.max(e), |c| &mut c.duplicates),
                Some(_) => add(true, row.time.max(e), |c| &mut c.conflicting),
            },
            None if left.is_none() && last[0].is_none_or(|w| e + early >= w) => {} // not decided when the inputs end
            None if start.filter(|s| left.is_none_or(|g| s.0 < g.next[0])).is_none_or(|s| e + early < s.1) => {
                add(true, e + early, |c| &mut c.before_start)
            }
            None => add(true, e + early, |c| &mut c.orphans),
        }
    }
    let over = |r: &&Row| r.gone.is_some() || last[1].is_some_and(|w| r.time + window < w);
    for row in rows.values().flatten().filter(|r| r.first.is_none()).filter(over) {
        add(true, row.time + window, |c| &mut c.unlabelled);
    }
}

fn of_summaries(published: &Published) -> Counted {
    let mut counted = Counted::new();
    for ((kind, pane, _), summary) in published.merged() {
        let c = counted.entry((*kind == PaneKind::Pair, pane.0)).or_default();
        match &summary.counts {
            Counts::Input(i) => {
                c.accepted += i.rows;
                c.late += i.late;
                c.repeated += i.duplicates;
            }
            Counts::Pair(p) => {
                c.pairs += p.matched;
                c.duplicates += p.duplicates;
                c.conflicting += p.conflicting;
                c.unlabelled += p.unlabelled;
                c.orphans += p.orphans;
                c.before_start += p.before_start;
            }
        }
    }
    counted
}
