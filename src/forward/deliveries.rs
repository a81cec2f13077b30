//! What a webhook is told of the alerts topic, when, and what its answers mean.
//!
//! Guarantees: a function of the events, their Kafka timestamps, the answers and the times given. An event is told if its window ended not long before its record was
//! written; the end of an episode also then if its beginning was told. One event at a time: the next one only after this one was taken or refused.
//! Never: reads a clock, looks at more of an event than who it is, whether it fires and when it was: words and fields of later versions pass.
//! Comes from: the alerts topic, each partition in order. Goes to: `cli::forward_webhooks`, which sends.

use super::backoff::Backoff;
use crate::engine::types::Span;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A target that is away is asked at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Bytes of an event's id, which goes into a header.
const LONGEST_ID: usize = 512;

/// What the topic has said so far: open episodes by fingerprint, and whether they were told.
pub struct Heard {
    open: BTreeMap<String, (String, bool)>,
    stale_after: Span,
}

impl Heard {
    /// Of a topic that has not been read.
    pub fn new(stale_after: Span) -> Heard {
        Heard { open: BTreeMap::new(), stale_after }
    }

    /// The next event of a partition, written at `written` (ms since 1970): the id to tell it under, nothing if it is too old to be told, an
    /// error if it is no event.
    pub fn observe(&mut self, event: &Value, written: i64) -> Result<Option<String>, &'static str> {
        let text = |field: &str| event.get(field).and_then(Value::as_str);
        let fingerprint = text("fingerprint").ok_or("field \"fingerprint\" is no text")?;
        let episode = text("alert_id").ok_or("field \"alert_id\" is no text")?;
        let sequence = event.get("sequence").and_then(Value::as_u64).ok_or("field \"sequence\" is no number")?;
        let status = text("status").ok_or("field \"status\" is no text")?;
        let end = text("window_end").and_then(|t| t.parse::<jiff::Timestamp>().ok()).ok_or("field \"window_end\" is no time")?;
        let id = format!("{episode}/{sequence}");
        if id.len() > LONGEST_ID || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("field \"alert_id\" is longer than 500 bytes, or has characters that a header can't have");
        }
        let fresh = written.saturating_sub(end.as_millisecond()) <= self.stale_after.0;
        let told = self.open.get(fingerprint).filter(|open| open.0 == episode).map(|open| open.1);
        if status == "RESOLVED" {
            if told.is_some() {
                self.open.remove(fingerprint);
            }
            // of a beginning that the topic has no more, nobody knows whether it was told
            return Ok(told.unwrap_or(fresh).then_some(id));
        }
        self.open.insert(fingerprint.to_string(), (episode.to_string(), fresh || told == Some(true)));
        Ok(fresh.then_some(id))
    }
}

/// What an answer means for the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Taken,
    /// It will never be taken: told again, the answer would be the same.
    Refused,
    /// It is told again after this long.
    Later(Duration),
}

/// Whose turn it is: the event at hand waits until it is sent (again).
pub struct Turn {
    backoff: Backoff,
    /// Not before then.
    due: Duration,
}

impl Default for Turn {
    fn default() -> Turn {
        Turn { backoff: Backoff::up_to(LONGEST_WAIT), due: Duration::ZERO }
    }
}

impl Turn {
    /// How long the event at hand still waits at `now`, a time since the start.
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }

    /// An answer came at `now`, with a status if it was one of HTTP and the pause that it asks for.
    pub fn answered(&mut self, status: Option<u16>, pause: Duration, now: Duration) -> Verdict {
        match status {
            Some(200..=299) => self.dealt(Verdict::Taken),
            // too slow, too early, too much: all of them pass
            None | Some(408 | 425 | 429) => self.later(pause, now),
            Some(400..=499) => self.dealt(Verdict::Refused),
            Some(_) => self.later(pause, now),
        }
    }

    fn dealt(&mut self, verdict: Verdict) -> Verdict {
        self.backoff.over();
        self.due = Duration::ZERO;
        verdict
    }

    fn later(&mut self, pause: Duration, now: Duration) -> Verdict {
        let wait = self.backoff.failed(pause);
        self.due = now + wait;
        Verdict::Later(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOUR: i64 = 3_600_000;

    /// An event of an episode of stream `s` whose window ended at `end`.
    fn event(episode: &str, sequence: u64, status: &str, end: i64) -> Value {
        let end = jiff::Timestamp::from_millisecond(end).unwrap().to_string();
        json!({ "fingerprint": "s", "alert_id": episode, "sequence": sequence, "status": status, "window_end": end })
    }

    fn told(heard: &mut Heard, event: &Value, written: i64) -> Option<String> {
        heard.observe(event, written).unwrap()
    }

    #[test]
    fn each_event_is_told_under_its_id_if_it_is_not_too_old() {
        let mut heard = Heard::new(Span::hours(1));
        assert_eq!(told(&mut heard, &event("a", 0, "FIRING", 0), HOUR).as_deref(), Some("a/0"));
        assert_eq!(told(&mut heard, &event("a", 1, "FIRING", 0), HOUR + 1), None);
        assert_eq!(told(&mut heard, &event("a", 2, "RESOLVED", 5 * HOUR), 5 * HOUR).as_deref(), Some("a/2"));
    }

    #[test]
    fn a_late_end_is_told_if_its_beginning_was_and_a_fresh_one_unless_it_was_not() {
        let late = |first: i64| {
            let mut heard = Heard::new(Span::hours(1));
            told(&mut heard, &event("a", 0, "FIRING", 0), first);
            told(&mut heard, &event("a", 1, "RESOLVED", 5 * HOUR), 9 * HOUR).is_some()
        };
        assert!(late(0), "whoever heard the beginning would wait for ever");
        assert!(!late(2 * HOUR), "old history, replayed");
        let mut heard = Heard::new(Span::hours(1));
        told(&mut heard, &event("a", 0, "FIRING", 0), 2 * HOUR);
        assert_eq!(told(&mut heard, &event("a", 1, "RESOLVED", 5 * HOUR), 5 * HOUR), None, "nobody has heard of its beginning");
        // retention or compaction may have taken the beginning
        assert!(told(&mut heard, &event("b", 7, "RESOLVED", 5 * HOUR), 5 * HOUR).is_some());
        assert!(told(&mut heard, &event("c", 7, "RESOLVED", 5 * HOUR), 9 * HOUR).is_none());
    }

    #[test]
    fn an_old_beginning_that_still_fires_is_told_from_then_on() {
        let mut heard = Heard::new(Span::hours(1));
        assert_eq!(told(&mut heard, &event("a", 0, "FIRING", 0), 9 * HOUR), None);
        assert!(told(&mut heard, &event("a", 1, "FIRING", 9 * HOUR), 9 * HOUR).is_some());
        assert_eq!(told(&mut heard, &event("a", 2, "FIRING", 10 * HOUR), 20 * HOUR), None, "a late reminder does not undo it");
        assert!(told(&mut heard, &event("a", 3, "RESOLVED", 11 * HOUR), 20 * HOUR).is_some());
        assert_eq!(heard.open.len(), 0, "what is over is forgotten");
    }

    #[test]
    fn words_and_fields_of_later_versions_pass_and_what_is_no_event_is_said() {
        let mut heard = Heard::new(Span::hours(1));
        let mut later = event("a", 0, "ACKNOWLEDGED", 0);
        later["kind"] = json!("of tomorrow");
        assert_eq!(told(&mut heard, &later, 0).as_deref(), Some("a/0"));
        for (field, wrong) in [
            ("fingerprint", Value::Null),
            ("alert_id", json!("a\r\nx: y")),
            ("alert_id", json!("a".repeat(600))),
            ("sequence", json!(-1)),
            ("status", json!(1)),
            ("window_end", json!("yesterday")),
        ] {
            let mut odd = event("a", 0, "FIRING", 0);
            odd[field] = wrong;
            assert!(heard.observe(&odd, 0).unwrap_err().contains(field), "{odd}");
        }
    }

    #[test]
    fn an_event_is_sent_until_it_is_taken_or_refused() {
        let (mut turn, at) = (Turn::default(), Duration::from_secs);
        let mut answer = |status: Option<u16>, pause: u64, now: u64| {
            let verdict = turn.answered(status, at(pause), at(now));
            (verdict, turn.wait(at(now)).as_secs())
        };
        assert_eq!(answer(None, 0, 10), (Verdict::Later(at(1)), 1));
        assert_eq!(answer(Some(500), 0, 20), (Verdict::Later(at(2)), 2));
        assert_eq!(answer(Some(302), 0, 30), (Verdict::Later(at(4)), 4), "where it leads to may be told later");
        for passing in [408, 425, 429] {
            assert_eq!(answer(Some(passing), 40, 40), (Verdict::Later(at(40)), 40));
        }
        assert_eq!(answer(Some(503), 0, 50), (Verdict::Later(at(60)), 60));
        assert_eq!(answer(Some(204), 0, 60), (Verdict::Taken, 0));
        assert_eq!(answer(Some(503), 0, 70), (Verdict::Later(at(1)), 1), "patience is new with each event");
        for lasting in [400, 401, 404, 410, 413, 422] {
            assert_eq!(answer(Some(lasting), 40, 80), (Verdict::Refused, 0));
        }
    }
}
