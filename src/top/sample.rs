//! What a process says of itself at one time, and its last few samples.
//!
//! Guarantees: what a `/status` of another version lacks is empty, what it has more is passed over; two samples are compared only if they are
//! of one life of the process.
//! Comes from: `ask`. Goes to: `view`.

use super::page::Page;
use crate::engine::alert::Effect;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Rates are over so much time, if samples go back so far: counters move with epochs, which may last ten seconds.
const WINDOW_MS: i64 = 10_000;

/// `/status`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The application.
    pub app: String,
    /// Of the program.
    pub version: String,
    /// Every member has its partitions.
    pub ready: bool,
    /// If not: what it waits for.
    pub waits_for: Option<String>,
    /// What rows that wait may take.
    pub memory_limit_bytes: Option<u64>,
    /// Threads by name.
    pub members: BTreeMap<String, Member>,
}

/// A thread of the process.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Member {
    /// None until its loop has turned for a while.
    pub state: Option<State>,
}

/// What it does: the fields of both stages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct State {
    /// Of the join stage.
    pub tasks: Vec<Task>,
    /// Of the detect stage.
    pub monitors: Vec<Monitor>,
    /// Streams by model.
    pub models: BTreeMap<String, Phases>,
    /// Open alerts by model, all of them.
    pub active_alerts: BTreeMap<String, u64>,
    /// The newest of them.
    pub alerts: Vec<Open>,
    /// In force.
    pub budget: Option<Budget>,
}

/// A partition of both inputs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Task {
    /// By `predictions`, `outcomes`.
    pub inputs: BTreeMap<String, Side>,
}

/// A partition of one input.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Side {
    /// Records to its end.
    pub unread: Option<u64>,
    /// `Active`, `Idle`, `Stuck`, ...
    pub activity: String,
    /// Its next record is of a schema that is asked for.
    pub waits_for_schema: bool,
}

/// A summaries partition.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Monitor {
    /// None before the first mark of all sources.
    pub closed: Option<Closed>,
    /// Of input panes and pair panes.
    pub open_panes: [u64; 2],
    /// By `input`, `pair`.
    pub held_back_by: BTreeMap<String, Option<Blocker>>,
}

/// How far panes are closed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Closed {
    /// End of the last input pane.
    pub input_through_ms: i64,
    /// End of the last pair pane.
    pub pair_through_ms: i64,
}

/// What holds panes back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Blocker {
    /// Partition.
    pub source: i32,
    /// Which input.
    pub input: String,
}

/// Streams by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Their reference is not complete.
    pub learning: u64,
    /// Compared with it.
    pub watching: u64,
    /// With an open alert.
    pub alarming: u64,
}

impl Phases {
    /// All of them.
    pub fn streams(self) -> u64 {
        self.learning + self.watching + self.alarming
    }
}

/// False alarms that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Budget {
    /// So many ...
    pub false_alarms: f64,
    /// ... in this much event time, ...
    pub per_ms: i64,
    /// ... over so many streams.
    pub streams: u64,
}

/// An open alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// What `driftline explain` takes.
    pub alert_id: String,
    /// INFO, WARNING or CRITICAL.
    pub severity: String,
    /// `data_drift`, ...
    pub kind: String,
    /// Whose.
    pub model: String,
    /// If it is of one version.
    pub model_version: Option<String>,
    /// Empty: all traffic.
    pub segment: BTreeMap<String, String>,
    /// What has changed.
    pub signal: String,
    /// When it was found.
    pub opened_at_ms: i64,
    /// When it began, if that is known.
    pub change_point_ms: Option<i64>,
    /// By how much.
    #[serde(deserialize_with = "if_whole")]
    pub effect: Option<Effect>,
    /// In a sentence.
    pub summary: String,
}

/// A number of it may be none that JSON has.
fn if_whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Effect>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// Both pages of a process at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Of the clock here.
    pub at_ms: i64,
    /// `/metrics`.
    pub metrics: Page,
    /// `/status`.
    pub status: Status,
}

impl Sample {
    /// When the process started, by its clock: another time is another life.
    pub fn life(&self) -> Option<f64> {
        self.metrics.largest("process_start_time_seconds", &[])
    }
}

/// The last samples of one process, and whether it answers now.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// Why there is no sample of now.
    silent: Option<String>,
}

impl History {
    /// Takes in an answer, or why there is none.
    pub fn take(&mut self, answer: Result<Sample, String>) {
        match answer {
            Err(why) => self.silent = Some(why),
            Ok(sample) => {
                self.silent = None;
                if self.samples.back().is_some_and(|last| last.life() != sample.life() || last.at_ms >= sample.at_ms) {
                    self.samples.clear();
                }
                while self.samples.get(1).is_some_and(|next| sample.at_ms - next.at_ms >= WINDOW_MS) {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }

    /// The newest answer, or why there is none.
    pub fn now(&self) -> Result<&Sample, &str> {
        match &self.silent {
            Some(why) => Err(why),
            None => self.samples.back().ok_or("not asked yet"),
        }
    }

    /// What to compare the newest answer with.
    pub fn before(&self) -> Option<&Sample> {
        self.samples.front().filter(|_| self.samples.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: i64, started: i64) -> Result<Sample, String> {
        let metrics = Page::read(&format!("process_start_time_seconds {started}"));
        Ok(Sample { at_ms, metrics, status: Status::default() })
    }

    fn compared(history: &History) -> Option<(i64, i64)> {
        Some((history.before()?.at_ms, history.now().ok()?.at_ms))
    }

    #[test]
    fn rates_are_over_ten_seconds_once_there_are_so_many() {
        let mut history = History::default();
        let mut after = |at_ms: i64| {
            history.take(sample(at_ms, 1));
            compared(&history)
        };
        let shown: Vec<_> = (0..10).map(|i| after(i * 2_000)).collect();
        assert_eq!(shown[..3], [None, Some((0, 2_000)), Some((0, 4_000))]);
        assert_eq!(shown[5..], [(0, 10_000), (2_000, 12_000), (4_000, 14_000), (6_000, 16_000), (8_000, 18_000)].map(Some));
    }

    #[test]
    fn a_process_that_began_anew_is_not_compared_with_its_former_life() {
        let mut history = History::default();
        [sample(0, 1), sample(2_000, 1), sample(4_000, 3)].into_iter().for_each(|s| history.take(s));
        assert_eq!((history.before(), history.now().map(|s| s.at_ms)), (None, Ok(4_000)));
        history.take(sample(6_000, 3));
        assert_eq!(compared(&history), Some((4_000, 6_000)));
    }

    #[test]
    fn who_was_silent_for_a_while_is_compared_with_what_it_said_before() {
        let mut history = History::default();
        history.take(sample(0, 1));
        history.take(Err("away".into()));
        assert_eq!(history.now(), Err("away"));
        history.take(sample(60_000, 1));
        assert_eq!(compared(&history), Some((0, 60_000)));
    }

    #[test]
    fn a_status_of_another_version_is_read_as_far_as_it_goes() {
        let text = r#"{"app":"a","new":1,"members":{"join-0":{"ready":true,"state":null},
            "detect-0":{"state":{"stage":"detect","monitors":[{"partition":0}],"alerts":[{"signal":"s","effect":{"value":null}}]}}}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!((status.app.as_str(), status.ready, status.members.len()), ("a", false, 2));
        let state = status.members["detect-0"].state.as_ref().unwrap();
        assert_eq!((state.monitors.len(), state.alerts[0].signal.as_str(), &state.alerts[0].effect), (1, "s", &None));
    }
}
