//! Judging one record: decode it, see whether it may be booked yet, book it; or make a dead letter of it.
//!
//! Guarantees: a record that waits changes nothing but the time that its input shows; a bad record moves nothing at all.
//! Comes from: `inbox` (the record), `codec`. Goes to: `flow`, or the dead-letters topic.

use super::join_task::JoinTask;
use crate::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use crate::codec::event::{BadRecord, Reason};
use crate::config::settings::Settings;
use crate::engine::definitions::Definitions;
use crate::engine::plan::Plan;
use crate::engine::types::{EventTime, Input, PaneId, PaneKind, Span};
use crate::flow;
use crate::log::{OutRecord, Record};
use crate::planted::{Bug, planted};

/// Event time may advance by this much at once without a warning.
const JUMP: Span = Span::days(1);

/// What became of the first record of an inbox.
pub enum Judged {
    /// It is booked; the flag says that event time advanced by more than a day at once.
    Done {
        /// By more than a day.
        jumped: bool,
    },
    /// It lies beyond the look-ahead and stays; the flag says that its time is news.
    Waits(bool),
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
    if time > latest {
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

/// Decodes, judges and books a prediction.
pub fn judge_prediction(
    task: &mut JoinTask,
    decoder: &mut PredictionDecoder,
    r: &Record<'_>,
    d: &Definitions,
    plan: &Plan,
    limit: Limit,
    latest: EventTime,
) -> Result<Judged, BadRecord> {
    let p = decoder.decode(r)?;
    if let Some(waits) = admitted(task, Input::Predictions, p.time, d, limit, latest)? {
        decoder.recycle(p);
        return Ok(waits);
    }
    let jumped = jumped(task, Input::Predictions, p.time);
    flow::prediction(task, r.offset, &p, d, plan, |ix| decoder.feature_name(ix).to_string());
    decoder.recycle(p);
    Ok(Judged::Done { jumped })
}

/// Decodes, judges and books an outcome.
pub fn judge_outcome(
    task: &mut JoinTask,
    decoder: &mut OutcomeDecoder,
    r: &Record<'_>,
    d: &Definitions,
    plan: &Plan,
    limit: Limit,
    latest: EventTime,
) -> Result<Judged, BadRecord> {
    let o = decoder.decode(r)?;
    if let Some(waits) = admitted(task, Input::Outcomes, o.time, d, limit, latest)? {
        return Ok(waits);
    }
    let jumped = jumped(task, Input::Outcomes, o.time);
    flow::outcome(task, r.offset, &o, d, plan);
    Ok(Judged::Done { jumped })
}

/// The topic of an input.
pub fn topic_of(settings: &Settings, input: Input) -> &str {
    match input {
        Input::Predictions => &settings.predictions.topic,
        Input::Outcomes => &settings.outcomes.topic,
    }
}

/// The original record with what was wrong with it.
pub fn dead_letter(bad: &BadRecord, r: &Record<'_>, settings: &Settings, input: Input) -> OutRecord {
    let text = |name: &str, value: String| (name.to_string(), Some(value.into_bytes()));
    let mut headers: Vec<(String, Option<Vec<u8>>)> =
        (0..r.headers.len()).filter_map(|i| r.headers.get(i)).map(|(n, v)| (n.to_string(), v.map(<[u8]>::to_vec))).collect();
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
        key: r.key.map(<[u8]>::to_vec),
        value: r.value.map(<[u8]>::to_vec),
        headers,
    }
}
