//! Judging one record: decode it, see whether it may be booked yet, book it; or make a dead letter of it.
//!
//! Guarantees: a record that waits changes nothing but the time that its input shows; a bad record moves nothing at all.
//! Comes from: `log` (the record), `codec`. Goes to: `flow`, or the dead-letters topic.

use super::counters::Counters;
use super::join_task::JoinTask;
use crate::codec::decoder::{Events, OutcomeDecoder, PredictionDecoder};
use crate::codec::event::{BadRecord, Prediction, Reason};
use crate::codec::rows::MAX_ROWS;
use crate::config::settings::Settings;
use crate::engine::definitions::Definitions;
use crate::engine::journal::{Activity, EdgeDecision};
use crate::engine::plan::Plan;
use crate::engine::types::{EventTime, Input, Offset, PaneId, PaneKind, Span};
use crate::flow;
use crate::log::{OutRecord, Record};
use crate::planted::{Bug, planted};

/// Event time may advance by this much at once without a warning.
const JUMP: Span = Span::days(1);

/// Bad records of one reason that are shown in the log between two takings of the counters.
const SHOWN: u64 = 3;

/// What became of a record.
enum Judged {
    /// It is booked; the flag says that event time advanced by more than a day at once.
    Done {
        /// By more than a day.
        jumped: bool,
    },
    /// It lies beyond the look-ahead and stays; the flag says that its time is news.
    Waits(bool),
    /// Nobody knows yet how to read it.
    AwaitsSchema,
    /// It does not count.
    Skipped,
}

/// The last pane of each kind that may be booked; `None` while nothing may.
pub type Limit = Option<[PaneId; 2]>;

/// Whether a record of `time` may be booked; otherwise only its time is shown.
fn admitted(
    task: &mut JoinTask,
    input: Input,
    time: EventTime,
    d: &Definitions,
    limit: Limit,
    latest: EventTime,
) -> Result<Option<Judged>, BadRecord> {
    // what was shown is decided: a clock that goes back, or another member's, must not take back a time that a mark carries
    if time > latest && time > task.join.clocks[input.index()].peeked {
        let ahead = time.since(latest).0 / 1_000;
        let detail = format!(
            "event time {} ms lies {ahead} s beyond what `max_ahead` allows; check the producer's clock and the `unit` of `event_time`",
            time.0
        );
        return Err(BadRecord { reason: Reason::Future, detail });
    }
    let clock = &mut task.join.clocks[input.index()];
    let kind = if input == Input::Predictions { PaneKind::Input } else { PaneKind::Pair };
    let effective = if kind == PaneKind::Pair { time.max(clock.before()) } else { time };
    let late = kind == PaneKind::Input && time < clock.before();
    if !late && limit.is_none_or(|l| d.pane.pane_of(effective) > l[input.index()]) {
        let new = time > clock.peeked;
        if planted(Bug::PeekCounts) {
            clock.consume(time)
        } else {
            clock.peek(time)
        }
        return Ok(Some(Judged::Waits(new)));
    }
    Ok(None)
}

fn jumped(task: &JoinTask, input: Input, time: EventTime) -> bool {
    let max = task.join.clocks[input.index()].max;
    max > EventTime::MIN && time > max.plus(JUMP)
}

/// What judging needs besides the task: the member's decoders, the rules in force, and where counts and bad records go.
pub struct Judge<'a> {
    /// Decoder of predictions.
    pub predictions: &'a mut PredictionDecoder,
    /// Decoder of outcomes.
    pub outcomes: &'a mut OutcomeDecoder,
    /// The member's settings.
    pub settings: &'a Settings,
    /// Definitions in force.
    pub definitions: &'a Definitions,
    /// Bins in force.
    pub plan: &'a Plan,
    /// What may be booked.
    pub limit: Limit,
    /// The wall clock at the start of the turn, ms.
    pub now: i64,
    /// Counts of the epoch.
    pub counters: &'a mut Counters,
    /// Counts of the epochs before that nobody has taken yet.
    pub before: &'a Counters,
    /// Bad records of the epoch.
    pub dead_letters: &'a mut Vec<OutRecord>,
    /// Records judged by this value.
    pub judged: u64,
    /// True once a task has something to say that others wait for.
    pub urgent: bool,
}

impl Judge<'_> {
    /// Judges a record of a task's input. False: it has to wait.
    pub fn record(&mut self, task: &mut JoinTask, input: Input, r: &Record<'_>) -> bool {
        let i = input.index();
        let bound = if r.append_time && r.timestamp >= 0 { r.timestamp.min(self.now) } else { self.now };
        let latest = EventTime(bound).plus(self.settings.max_ahead);
        let verdict = match input {
            Input::Predictions => self.prediction(task, r, latest),
            Input::Outcomes => self.outcome(task, r, latest),
        };
        let skipped = matches!(verdict, Ok(Judged::Skipped));
        match verdict {
            Ok(Judged::Waits(new_time)) => {
                task.blocked[i] = true;
                task.changed |= new_time || task.activity[i] != Activity::Active;
                task.activity[i] = Activity::Active;
                self.urgent |= task.changed;
                return false;
            }
            Ok(Judged::AwaitsSchema) => {
                // it holds the others back as a record does whose time is known: an hour without a registry must not make it late
                task.awaits_schema[i] = true;
                task.changed |= task.activity[i] != Activity::Active;
                task.activity[i] = Activity::Active;
                self.urgent |= task.changed;
                return false;
            }
            Ok(Judged::Done { jumped }) => self.counters.time_jumped += u64::from(jumped),
            Ok(Judged::Skipped) => self.counters.skipped[i] += 1,
            Err(bad) => self.set_aside(task, input, r, &bad),
        }
        self.judged += 1;
        self.counters.records[i] += 1;
        task.next[i] = Offset(r.offset.0 + 1);
        task.changed = true;
        if skipped {
            return true; // it says nothing about the input: one that brings nothing else is quiet
        }
        if task.activity[i] != Activity::Stuck || !planted(Bug::StuckStays) {
            task.activity[i] = Activity::Active;
        }
        task.quiet_since[i] = i64::MAX;
        true
    }

    fn prediction(&mut self, task: &mut JoinTask, r: &Record<'_>, latest: EventTime) -> Result<Judged, BadRecord> {
        if !self.predictions.ready(r) {
            return Ok(Judged::AwaitsSchema);
        }
        let p = match self.predictions.events(r, |key| task.join.expect_prediction(key))? {
            Events::One(p) => p,
            Events::Skipped => return Ok(Judged::Skipped),
            Events::Rows(mut rows) => {
                return self.rows(
                    task,
                    (r, Input::Predictions, rows.count()),
                    latest,
                    |judge, row| {
                        judge.predictions.row(r, &mut rows, row).map(|p| {
                            let time = p.time;
                            (p, time)
                        })
                    },
                    |judge, task, offset, p| judge.take_prediction(task, offset, p),
                );
            }
        };
        let waits = admitted(task, Input::Predictions, p.time, self.definitions, self.limit, latest);
        if let Ok(None) = waits {
            let jumped = jumped(task, Input::Predictions, p.time);
            self.take_prediction(task, r.offset, p);
            return Ok(Judged::Done { jumped });
        }
        self.predictions.recycle(p);
        waits.map(|w| w.unwrap_or(Judged::Waits(false)))
    }

    fn take_prediction(&mut self, task: &mut JoinTask, offset: Offset, p: Prediction<'_>) {
        flow::prediction(task, offset, &p, self.definitions, self.plan, |ix| self.predictions.feature_name(ix).to_string());
        self.predictions.recycle(p);
    }

    fn outcome(&mut self, task: &mut JoinTask, r: &Record<'_>, latest: EventTime) -> Result<Judged, BadRecord> {
        if !self.outcomes.ready(r) {
            return Ok(Judged::AwaitsSchema);
        }
        let o = match self.outcomes.events(r)? {
            Events::One(o) => o,
            Events::Skipped => return Ok(Judged::Skipped),
            Events::Rows(mut rows) => {
                return self.rows(
                    task,
                    (r, Input::Outcomes, rows.count()),
                    latest,
                    |judge, row| {
                        judge.outcomes.row(r, &mut rows, row).map(|o| {
                            let time = o.time;
                            (o, time)
                        })
                    },
                    |judge, task, offset, o| flow::outcome(task, offset, &o, judge.definitions, judge.plan),
                );
            }
        };
        if let Some(waits) = admitted(task, Input::Outcomes, o.time, self.definitions, self.limit, latest)? {
            return Ok(waits);
        }
        let jumped = jumped(task, Input::Outcomes, o.time);
        flow::outcome(task, r.offset, &o, self.definitions, self.plan);
        Ok(Judged::Done { jumped })
    }

    /// The rows of a record, each by its number: all of one time, so that all are admitted or none is. A bad row is set aside and the others
    /// go on.
    fn rows<E>(
        &mut self,
        task: &mut JoinTask,
        (r, input, count): (&Record<'_>, Input, usize),
        latest: EventTime,
        mut decode: impl FnMut(&mut Self, usize) -> Result<(E, EventTime), BadRecord>,
        mut take: impl FnMut(&mut Self, &mut JoinTask, Offset, E),
    ) -> Result<Judged, BadRecord> {
        let (mut bad, mut jump) = (BadRows::default(), None);
        for row in 0..count {
            let (event, time) = match decode(self, row) {
                Ok(event) => event,
                Err(e) => {
                    bad.add(row, e);
                    continue;
                }
            };
            if jump.is_none() {
                if let Some(waits) = admitted(task, input, time, self.definitions, self.limit, latest)? {
                    return Ok(waits);
                }
                jump = Some(jumped(task, input, time));
            }
            take(self, task, offset_of_row(r.offset, row), event);
        }
        if let Some(bad) = bad.letter(count) {
            self.set_aside(task, input, r, &bad);
        }
        // a turn ends after so many events, however many records they come in; the record itself is counted by the caller
        self.judged += (count as u64).saturating_sub(1);
        Ok(Judged::Done { jumped: jump.unwrap_or(false) })
    }

    /// A bad record: counted, shown, kept.
    fn set_aside(&mut self, task: &mut JoinTask, input: Input, r: &Record<'_>, bad: &BadRecord) {
        if bad.reason == Reason::Future && !planted(Bug::FutureNotRecorded) {
            task.edge_decisions.push(EdgeDecision::Future { input, offset: r.offset });
        }
        let what = (input.index(), bad.reason);
        let count = self.counters.dead_letters.entry(what).or_default();
        *count += 1;
        let count = *count + self.before.dead_letters.get(&what).copied().unwrap_or(0);
        if count <= SHOWN {
            let more = if count == SHOWN { "; more of this kind are only counted for a while" } else { "" };
            tracing::warn!(
                "{}[{}]@{}: {}; {} in {}{more}",
                topic_of(self.settings, input),
                r.partition.0,
                r.offset.0,
                bad.detail,
                if self.settings.source(input).keeps_records() { "kept" } else { "its position is kept" },
                self.settings.topic("dead-letters")
            );
        }
        self.dead_letters.push(dead_letter(bad, r, self.settings, input));
    }
}

/// The bad rows of a record: the first with its fault, and how many more.
#[derive(Default)]
struct BadRows {
    first: Option<(usize, BadRecord)>,
    more: usize,
}

impl BadRows {
    fn add(&mut self, row: usize, bad: BadRecord) {
        match self.first {
            None => self.first = Some((row, bad)),
            Some(_) => self.more += 1,
        }
    }

    /// What goes with the record into the dead-letters topic: one letter, however many rows are bad.
    fn letter(self, count: usize) -> Option<BadRecord> {
        let (row, BadRecord { reason, detail }) = self.first?;
        let more = if self.more > 0 { format!("; {} more of its rows are bad", self.more) } else { String::new() };
        Some(BadRecord { reason, detail: format!("row {row} of {count}: {detail}{more}") })
    }
}

/// Bits that number the rows of a record.
const ROW_BITS: u32 = 14;
const _: () = assert!(MAX_ROWS <= 1 << ROW_BITS);

/// By what the join knows a row: its record's offset and its number, in the order of both; never the offset of a record that is an event
/// itself, so that `explode` can come and go (docs/adr/0031).
fn offset_of_row(offset: Offset, row: usize) -> Offset {
    Offset(1 << 62 | offset.0 << ROW_BITS | row as i64)
}

/// The topic of an input.
pub fn topic_of(settings: &Settings, input: Input) -> &str {
    &settings.source(input).topic
}

/// What was wrong with a record and where it is, and the record itself unless it holds what nobody may see.
fn dead_letter(bad: &BadRecord, r: &Record<'_>, settings: &Settings, input: Input) -> OutRecord {
    let text = |name: &str, value: String| (name.to_string(), Some(value.into_bytes()));
    let whole = settings.source(input).keeps_records();
    let all = if whole { r.headers.len() } else { 0 };
    let mut headers: Vec<(String, Option<Vec<u8>>)> =
        (0..all).filter_map(|i| r.headers.get(i)).map(|(n, v)| (n.to_string(), v.map(<[u8]>::to_vec))).collect();
    headers.extend([
        text("error.reason", bad.reason.word().to_string()),
        text("error.message", bad.detail.clone()),
        text("source.topic", topic_of(settings, input).to_string()),
        text("source.partition", r.partition.0.to_string()),
        text("source.offset", r.offset.0.to_string()),
        text("source.timestamp", r.timestamp.to_string()),
    ]);
    OutRecord {
        topic: settings.topic("dead-letters"),
        partition: Some(r.partition),
        key: r.key.filter(|_| whole).map(<[u8]>::to_vec),
        value: r.value.filter(|_| whole).map(<[u8]>::to_vec),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_each_other_in_the_order_of_the_log_and_are_no_records() {
        let ids: Vec<i64> = [(0, 0), (0, 1), (0, MAX_ROWS - 1), (1, 0), (2, 0), (1 << 40, 0), ((1 << 47) - 1, MAX_ROWS - 1)]
            .map(|(offset, row)| offset_of_row(Offset(offset), row).0)
            .to_vec();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ids.iter().all(|id| *id > 1 << 61), "no topic has such offsets");
    }

    #[test]
    fn a_record_with_bad_rows_is_one_letter_that_names_the_first() {
        let fault = |what: &str| BadRecord { reason: Reason::WrongType, detail: what.to_string() };
        let mut bad = BadRows::default();
        bad.add(2, fault("first"));
        bad.add(5, fault("second"));
        assert_eq!(bad.letter(8), Some(fault("row 2 of 8: first; 1 more of its rows are bad")));
        assert_eq!(BadRows::default().letter(8), None);
    }
}
