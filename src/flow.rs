//! The whole pipeline on one screen. Read this first; each line is a room of the house.
//!
//! A record's way: `log` hands it over → `codec` decodes it (or says why not) → `engine::join` judges it → `engine::book` adds it to
//! one cell of one pane → at the epoch's end the book becomes partial summaries, memory becomes a journal, time becomes a mark →
//! `engine::monitor` merges partials, closes panes, feeds streams → `engine::detect` decides → `engine::alert` is published.
//! Everything that an epoch publishes becomes visible in one transaction with the input positions (`log::epoch`).

use crate::codec::event::{Outcome, Prediction};
use crate::codec::outlier;
use crate::engine::definitions::Definitions;
use crate::engine::join::{NewOutcome, NewPrediction, OutcomeVerdict, PredictionVerdict};
use crate::engine::journal::Epoch;
use crate::engine::mark::Mark;
use crate::engine::partial::Origin;
use crate::engine::plan::Plan;
pub use crate::engine::types::class_hash;
use crate::engine::types::{EpochSeq, Offset};
use crate::planted::{Bug, planted};
use crate::stage::join_task::JoinTask;

/// One prediction, judged and booked.
pub fn prediction(
    task: &mut JoinTask,
    offset: Offset,
    p: &Prediction<'_>,
    d: &Definitions,
    plan: &Plan,
    name: impl Fn(crate::codec::event::FeatureIx) -> String,
) {
    let dimensions = plan.dimensions_in(d.pane.pane_of(p.time), &p.dimensions);
    let cell = task.join.cells.intern(&p.model, p.version.as_deref(), dimensions);
    let new =
        NewPrediction { offset, key: p.key, time: p.time, cell, score: p.score.unwrap_or(f64::NAN), label: class_hash(p.label.as_deref()) };
    let mut pairs = std::mem::take(&mut task.pairs);
    match task.join.predict(&new, &mut pairs) {
        PredictionVerdict::Accepted => {
            task.tally.accepted += 1;
            task.book.accepted(d.pane.pane_of(p.time), cell, p, plan, name);
            if let Some(found) = task.book.take_outlier() {
                task.tally.outliers += 1;
                task.outliers.push((p.request_id.to_string(), outlier::encode(&found, p, &d.dimensions)));
            }
        }
        PredictionVerdict::Duplicate => {
            task.tally.duplicates += 1;
            task.book.duplicate(d.pane.pane_of(p.time), cell);
        }
        PredictionVerdict::Late(watermark) => {
            task.tally.late += 1;
            task.book.late(d.pane.pane_of(if planted(Bug::LateInItsOwnPane) { p.time } else { watermark }), cell);
        }
    }
    for pair in pairs.drain(..) {
        task.tally.pair(&pair);
        task.book.paired(&pair, &task.join.cells, d, plan);
    }
    task.pairs = pairs;
}

/// Outcomes that are judged together: enough to ask for all their rows before the first one is needed.
const TOGETHER: usize = 16;

/// One outcome: its time counts at once, it is judged with those after it. `outcomes` ends that.
pub fn outcome(task: &mut JoinTask, offset: Offset, o: &Outcome<'_>, d: &Definitions, plan: &Plan) {
    let e = task.join.outcome_time(o.time);
    task.tally.outcome_time_raised += u64::from(e != o.time);
    let new = NewOutcome { offset, key: o.key, time: o.time, label: class_hash(o.label.as_deref()), value: o.value.unwrap_or(f64::NAN) };
    task.join.expect_outcome(o.key, false);
    task.outcomes.push((new, e));
    if task.outcomes.len() == TOGETHER {
        outcomes(task, d, plan);
    }
}

/// The outcomes that are not judged yet, judged and booked. Call it before anything else happens to the task.
pub fn outcomes(task: &mut JoinTask, d: &Definitions, plan: &Plan) {
    task.outcomes.iter().for_each(|(o, _)| task.join.expect_outcome(o.key, true));
    for (o, e) in task.outcomes.drain(..) {
        match task.join.outcome_at(&o, e) {
            OutcomeVerdict::Paired(pair) => {
                task.tally.pair(&pair);
                task.book.paired(&pair, &task.join.cells, d, plan);
            }
            OutcomeVerdict::Waiting => task.tally.waiting += 1,
        }
    }
}

/// What a join task publishes at an epoch's end.
pub struct JoinOutput {
    /// Partial summaries with the model that decides their partition.
    pub partials: Vec<(String, Vec<u8>)>,
    /// Journal records.
    pub journal: Vec<Vec<u8>>,
    /// How far time is certain.
    pub mark: Mark,
    /// The first epoch that a recovery needs.
    pub floor: EpochSeq,
}

/// The end of a join task's epoch: let go of what waits in vain, decide what time has settled, then partials, journal, mark.
pub fn end_join_epoch(task: &mut JoinTask, d: &Definitions, definitions: u32, sources: u32, wall: i64, plan: &Plan) -> JoinOutput {
    let seq = task.join.epoch;
    let mut decisions = std::mem::take(&mut task.decisions);
    let overdue: Vec<_> = task.join.overdue().chain(task.to_release.drain(..)).collect();
    for (input, up_to) in overdue {
        task.tally.released[input.index()] += task.join.release(input, up_to, &mut decisions);
    }
    task.join.expire(&mut decisions);
    for decision in decisions.drain(..) {
        task.tally.decided(&decision);
        task.book.decided(decision, d);
    }
    task.decisions = decisions;
    let origin = Origin { source: task.partition, seq, definitions };
    let partials = task.book.flush(origin, &task.join.cells, plan);
    task.join.copy_forward();
    let floor = task.join.floor(seq);
    let epoch = Epoch {
        seq,
        floor,
        next: task.next,
        clocks: task.join.clocks.map(|c| (c.max, c.peeked)),
        first_prediction: task.join.first_prediction(),
        activity: task.activity,
        definitions,
        decisions: task.edge_decisions.drain(..).chain(task.join.released()).collect(),
        census: task.join.census(),
    };
    let journal = task.join.changes.take(&epoch);
    task.join.wrote(seq, journal.iter().map(|part| part.len() as u64).sum());
    let mark = Mark {
        source: task.partition,
        sources,
        seq,
        watermark: task.join.clocks.map(|c| c.watermark()),
        highest: task.join.clocks.map(|c| c.peeked),
        activity: task.activity,
        wall,
        definitions,
    };
    if task.join.cells.len() > 4_096 {
        task.join.cells.sweep();
    }
    task.join.epoch = EpochSeq(seq.0 + 1);
    JoinOutput { partials, journal, mark, floor }
}
