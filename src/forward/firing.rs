//! What fires now, as the alerts topic says it.
//!
//! Guarantees: a function of the events and their Kafka timestamps; an event that comes twice changes nothing.
//! Never: reads a clock. Comes from: the alerts topic, each partition in order. Goes to: `alertmanager`.

use super::alertmanager::{Labels, labels};
use crate::engine::alert::{Alert, Status};
use crate::engine::types::Span;
use std::collections::BTreeMap;

/// The end of an alert is told for so long after it: longer than an outage of a restart, shorter than anybody would start anew.
const TOLD_AFTER: Span = Span::minutes(15);

/// An alert as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The event that says most of it.
    pub alert: Alert,
    /// What it is known by.
    pub labels: Labels,
    /// When it ended, ms since 1970; `None` while it fires.
    pub ended: Option<i64>,
}

struct Latest {
    told: Told,
    /// False if it was over long before it was written.
    live: bool,
}

/// What the topic has said so far.
pub struct Firing {
    /// By fingerprint.
    latest: BTreeMap<String, Latest>,
    /// Ends of what goes on under other labels.
    superseded: Vec<Told>,
    stale_after: Span,
}

impl Firing {
    /// Of a topic that has not been read. Alerts whose window ended more than `stale_after` before their record was written are told to nobody.
    pub fn new(stale_after: Span) -> Firing {
        Firing { latest: BTreeMap::new(), superseded: Vec::new(), stale_after }
    }

    /// The next event of a partition, written at `written` (ms since 1970). True if there is something new to tell.
    pub fn observe(&mut self, alert: Alert, written: i64) -> bool {
        let fires = alert.status == Status::Firing;
        let fresh = written.saturating_sub(alert.window_end.0) <= self.stale_after.0;
        let told = Told { labels: labels(&alert), ended: (!fires).then_some(written), alert };
        let before = self.latest.get(&told.alert.fingerprint);
        if before.is_some_and(|b| b.told.alert.alert_id == told.alert.alert_id && b.told.alert.sequence >= told.alert.sequence) {
            return false;
        }
        let fired = before.filter(|b| b.live && b.told.ended.is_none());
        // an end is told to whom the beginning was told
        let live = if fires { fresh } else { fired.is_some() };
        if let Some(before) = fired.filter(|b| !live || b.told.labels != told.labels) {
            self.superseded.push(Told { ended: Some(written), ..before.told.clone() });
        }
        self.latest.insert(told.alert.fingerprint.clone(), Latest { told, live });
        live
    }

    /// Everything to tell at `now` (ms since 1970).
    pub fn due(&mut self, now: i64) -> Vec<&Told> {
        let over = |told: &Told| told.ended.is_some_and(|ended| now.saturating_sub(ended) > TOLD_AFTER.0);
        self.latest.retain(|_, l| !over(&l.told));
        self.superseded.retain(|told| !over(told));
        let mut all: Vec<&Told> = self.latest.values().filter(|l| l.live).map(|l| &l.told).collect();
        let ends = self.superseded.iter().filter(|told| !all.iter().any(|a| a.labels == told.labels)).collect::<Vec<_>>();
        all.extend(ends);
        all
    }

    /// Alerts that fire and are told.
    pub fn firing(&self) -> usize {
        self.latest.values().filter(|l| l.live && l.told.ended.is_none()).count()
    }

    /// Alerts that fire and are too old to be told.
    pub fn stale(&self) -> usize {
        self.latest.values().filter(|l| !l.live && l.told.ended.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::alert::{Format, decode};
    use crate::engine::alert::{Reason, Severity};
    use crate::engine::types::EventTime;

    const HOUR: i64 = 3_600_000;

    /// An event of an episode whose window ended at `at`.
    fn event(episode: u32, sequence: u32, severity: Severity, status: Status, at: i64) -> Alert {
        let frozen = decode(include_bytes!("../../tests/fixtures/alert.json"), Format::Json).unwrap();
        let reason = if status == Status::Firing { Reason::Opened } else { Reason::Recovered };
        let alert_id = format!("{}-{episode}", frozen.fingerprint);
        Alert { alert_id, sequence, severity, status, reason, window_end: EventTime(at), ..frozen }
    }

    fn told(firing: &mut Firing, now: i64) -> Vec<(String, Option<i64>)> {
        firing.due(now).iter().map(|t| (t.labels["severity"].clone(), t.ended)).collect()
    }

    #[test]
    fn what_fires_is_told_until_a_while_after_it_ended() {
        let mut f = Firing::new(Span::hours(1));
        assert!(f.observe(event(1, 0, Severity::Info, Status::Firing, 0), 1_000));
        for now in [1_000, 90 * 24 * HOUR] {
            assert_eq!(told(&mut f, now), [("info".to_string(), None)], "as long as nobody says that it ended");
        }
        assert!(!f.observe(event(1, 0, Severity::Info, Status::Firing, 0), 1_000), "a repeat");
        assert!(f.observe(event(1, 1, Severity::Info, Status::Resolved, HOUR), HOUR));
        assert_eq!(told(&mut f, HOUR + TOLD_AFTER.0), [("info".to_string(), Some(HOUR))]);
        assert_eq!(told(&mut f, HOUR + TOLD_AFTER.0 + 1), []);
    }

    #[test]
    fn an_escalation_ends_the_lower_severity_and_a_return_to_it_does_not_end_itself() {
        let mut f = Firing::new(Span::hours(1));
        f.observe(event(1, 0, Severity::Info, Status::Firing, 0), 0);
        f.observe(event(1, 1, Severity::Critical, Status::Firing, 10), 10);
        assert_eq!(told(&mut f, 10), [("critical".to_string(), None), ("info".to_string(), Some(10))]);
        f.observe(event(1, 2, Severity::Critical, Status::Resolved, 20), 20);
        f.observe(event(2, 0, Severity::Info, Status::Firing, 30), 30);
        assert_eq!(told(&mut f, 30), [("info".to_string(), None)], "the end of the first episode must not end the second");
    }

    #[test]
    fn nobody_is_told_of_what_was_over_long_before_it_was_written() {
        let mut f = Firing::new(Span::hours(1));
        assert!(!f.observe(event(1, 0, Severity::Info, Status::Firing, 0), HOUR + 1));
        assert_eq!((told(&mut f, HOUR + 1), f.firing(), f.stale()), (vec![], 0, 1));
        assert!(!f.observe(event(1, 1, Severity::Info, Status::Resolved, 0), HOUR + 2), "neither of its end");
        assert_eq!(told(&mut f, HOUR + 2), []);
        // what goes on until now is told, however old its beginning is
        f.observe(event(2, 0, Severity::Info, Status::Firing, 0), 5 * HOUR);
        assert!(f.observe(event(2, 1, Severity::Info, Status::Firing, 5 * HOUR), 5 * HOUR + 1));
        assert_eq!((told(&mut f, 5 * HOUR + 1).len(), f.firing()), (1, 1));
    }
}
