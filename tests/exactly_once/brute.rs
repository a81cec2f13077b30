//! The rules of the join, written down naively: whole inputs in memory, no expiry, no epochs, nothing of `engine::join`.

use super::compare::Place;
use super::scene::{Event, Message, PANE_MS, Scene};
use driftline::engine::definitions::JoinRules;
use driftline::engine::summary::cell::{CellSummary, Counts};
use driftline::engine::types::PaneKind;
use std::collections::{BTreeMap, HashMap};

/// Counts of all cells of a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub accepted: u64,
    pub late: u64,
    pub duplicates: u64,
    pub pairs: u64,
    pub errors: u64,
    pub positives: u64,
    pub missed: u64,
    pub false_positives: u64,
    pub scored: u64,
    pub repeated: u64,
    pub conflicting: u64,
    pub unlabelled: u64,
    pub orphans: u64,
    pub before_start: u64,
}

/// By whether it is a pair pane, and pane.
pub type Counted = BTreeMap<(bool, i64), Count>;

struct Row<'s> {
    event: &'s Event,
    first: Option<(i64, &'static str)>,
}

/// Events of a partition in order, each with the watermark before it; the watermark at the end.
fn timed(messages: &[Message], lateness: i64) -> (Vec<(&Event, Option<i64>)>, i64) {
    let mut highest: Option<i64> = None;
    let mut events = Vec::new();
    for event in messages.iter().filter_map(|m| m.event.as_ref()) {
        events.push((event, highest.map(|h| h - lateness)));
        highest = Some(highest.map_or(event.time, |h| h.max(event.time)));
    }
    (events, highest.expect("a partition with records") - lateness)
}

/// Counts of a scene by the rules alone.
pub fn count(scene: &Scene, rules: &JoinRules) -> Counted {
    let mut counted = Counted::new();
    for (predictions, outcomes) in scene.predictions.iter().zip(&scene.outcomes) {
        count_partition(predictions, outcomes, rules, &mut counted);
    }
    counted
}

fn count_partition(predictions: &[Message], outcomes: &[Message], rules: &JoinRules, counted: &mut Counted) {
    let mut add = |pair: bool, time: i64, what: fn(&mut Count) -> &mut u64| {
        *what(counted.entry((pair, time.div_euclid(PANE_MS))).or_default()) += 1;
    };
    let (window, early, settle) = (rules.window.0, rules.early.0, rules.settle.0);
    let (predictions, last_p) = timed(predictions, rules.lateness[0].0);
    let (outcomes, last_o) = timed(outcomes, rules.lateness[1].0);
    let mut rows: HashMap<&str, Vec<Row<'_>>> = HashMap::new();
    let mut start = None;
    for (event, watermark) in predictions {
        let same = rows.entry(&event.id).or_default();
        match watermark {
            Some(w) if event.time < w => add(false, w, |c| &mut c.late),
            Some(w) if same.iter().any(|r| w <= r.event.time + rules.duplicates.0) => add(false, event.time, |c| &mut c.duplicates),
            _ => {
                start.get_or_insert(event.time);
                add(false, event.time, |c| &mut c.accepted);
                same.push(Row { event, first: None });
            }
        }
    }
    for (event, watermark) in outcomes {
        let e = watermark.map_or(event.time, |w| w.max(event.time));
        let fits = |r: &&mut Row<'_>| {
            let t = r.event.time;
            e >= t - early && e <= t + window && r.first.is_none_or(|f| e <= f.0 + settle)
        };
        match rows.get_mut(event.id.as_str()).and_then(|rows| rows.iter_mut().find(fits)) {
            Some(row) => {
                let time = row.event.time.max(e);
                match row.first {
                    None => {
                        row.first = Some((e, event.label));
                        add(true, time, |c| &mut c.pairs);
                        if row.event.label != event.label {
                            add(true, time, |c| &mut c.errors);
                        }
                        add(true, time, |c| &mut c.scored); // each prediction has a score
                        match (event.label, row.event.label) {
                            ("1", "1") => add(true, time, |c| &mut c.positives),
                            ("1", _) => {
                                add(true, time, |c| &mut c.positives);
                                add(true, time, |c| &mut c.missed);
                            }
                            (_, "1") => add(true, time, |c| &mut c.false_positives),
                            _ => {}
                        }
                    }
                    Some((_, label)) if label == event.label => add(true, time, |c| &mut c.repeated),
                    Some(_) => add(true, time, |c| &mut c.conflicting),
                }
            }
            None if e + early >= last_p => {} // undecided when the inputs end
            None if start.is_none_or(|s| e + early < s) => add(true, e + early, |c| &mut c.before_start),
            None => add(true, e + early, |c| &mut c.orphans),
        }
    }
    for row in rows.values().flatten().filter(|r| r.first.is_none() && r.event.time + window < last_o) {
        add(true, row.event.time + window, |c| &mut c.unlabelled);
    }
}

/// The same counts out of merged summaries.
pub fn of_summaries(merged: &BTreeMap<Place, CellSummary>) -> Counted {
    let mut counted = Counted::new();
    for ((kind, pane, _), summary) in merged {
        let c = counted.entry((*kind == PaneKind::Pair, pane.0)).or_default();
        match &summary.counts {
            Counts::Input(i) => {
                c.accepted += i.rows;
                c.late += i.late;
                c.duplicates += i.duplicates;
            }
            Counts::Pair(p) => {
                c.pairs += p.matched;
                c.errors += p.errors.k();
                c.positives += p.positives.n();
                c.missed += p.positives.k();
                c.false_positives += p.negatives.k();
                c.scored += p.scores.n();
                c.repeated += p.duplicates;
                c.conflicting += p.conflicting;
                c.unlabelled += p.unlabelled;
                c.orphans += p.orphans;
                c.before_start += p.before_start;
            }
        }
    }
    counted
}

/// All panes together.
pub fn total(counted: &Counted) -> Count {
    counted.values().fold(Count::default(), |a, c| Count {
        accepted: a.accepted + c.accepted,
        late: a.late + c.late,
        duplicates: a.duplicates + c.duplicates,
        pairs: a.pairs + c.pairs,
        errors: a.errors + c.errors,
        positives: a.positives + c.positives,
        missed: a.missed + c.missed,
        false_positives: a.false_positives + c.false_positives,
        scored: a.scored + c.scored,
        repeated: a.repeated + c.repeated,
        conflicting: a.conflicting + c.conflicting,
        unlabelled: a.unlabelled + c.unlabelled,
        orphans: a.orphans + c.orphans,
        before_start: a.before_start + c.before_start,
    })
}
