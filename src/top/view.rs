//! Samples of all processes, as one picture of the application.
//!
//! Guarantees: a function of the samples alone; what is counted is summed, what is a time is the one furthest behind; no rate is negative: a
//! counter that fell, or a process without an earlier sample of the same life, has no rate. An alert that two processes show is shown once.
//! Never: reads a clock; guesses what nobody said.
//! Comes from: `sample`. Goes to: `cli::top_page`, or out as JSON.

use super::sample::{Budget, Open, Phases, Sample, Side, State};
use crate::engine::types::Input;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A process and what it says.
pub struct Seen<'a> {
    /// Its address.
    pub url: &'a str,
    /// Its newest sample, or why there is none.
    pub now: Result<&'a Sample, &'a str>,
    /// What to compare it with.
    pub before: Option<&'a Sample>,
}

/// The picture.
#[derive(Debug, PartialEq, Serialize)]
pub struct View {
    /// When it was taken, by the clock here.
    pub at_ms: i64,
    /// Names of the applications: one, if the addresses are right.
    pub apps: BTreeSet<String>,
    /// In the order of their addresses.
    pub processes: Vec<Process>,
    /// Predictions and outcomes.
    pub inputs: Vec<InputLine>,
    /// Join and detect.
    pub stages: Vec<Stage>,
    /// Input panes and pair panes.
    pub panes: Vec<Panes>,
    /// What became of records.
    pub shares: Vec<Share>,
    /// By name.
    pub models: BTreeMap<String, Phases>,
    /// If somebody knows it.
    pub budget: Option<Spent>,
    /// Open alerts, of which `alerts` are the newest.
    pub active_alerts: u64,
    /// Newest first.
    pub alerts: Vec<Open>,
}

/// A line of a process.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// Its address.
    pub url: String,
    /// Why it does not answer.
    pub silent: Option<String>,
    /// Of the program.
    pub version: Option<String>,
    /// It has its partitions and their state.
    pub ready: bool,
    /// If not: what it waits for.
    pub waits_for: Option<String>,
    /// Records of both inputs.
    pub records_per_second: Option<f64>,
    /// Resident.
    pub memory_bytes: Option<f64>,
    /// Of rows that wait.
    pub rows_bytes: Option<f64>,
    /// What they may take.
    pub rows_limit_bytes: Option<u64>,
    /// Monitored.
    pub streams: u64,
    /// Open.
    pub active_alerts: u64,
}

/// An input.
#[derive(Debug, PartialEq, Serialize)]
pub struct InputLine {
    /// `predictions` or `outcomes`.
    pub input: &'static str,
    /// Records.
    pub per_second: Option<f64>,
    /// Records that are written and not judged, as far as processes have heard.
    pub unread: Option<u64>,
    /// The clock less the highest event time read, of the partition furthest behind.
    pub behind_seconds: Option<f64>,
    /// Partitions whose reading a transaction holds up that nobody ends.
    pub stuck: usize,
    /// Partitions whose next record waits for its schema.
    pub waits_for_schema: usize,
}

/// A stage.
#[derive(Debug, PartialEq, Serialize)]
pub struct Stage {
    /// `join` or `detect`.
    pub stage: &'static str,
    /// Commits.
    pub per_second: Option<f64>,
    /// Epochs committed since processes started.
    pub committed: u64,
    /// Attempts that failed or had no clear answer since then, by outcome.
    pub failed: BTreeMap<&'static str, u64>,
}

/// A kind of pane.
#[derive(Debug, PartialEq, Serialize)]
pub struct Panes {
    /// `input` or `pair`.
    pub kind: &'static str,
    /// Panes that hold something and are not closed.
    pub open: u64,
    /// End of the last closed pane, where least is closed.
    pub closed_through_ms: Option<i64>,
    /// The source that holds them back.
    pub held_back_by: Option<String>,
}

/// So many of so many.
#[derive(Debug, PartialEq, Serialize)]
pub struct Share {
    /// What is counted.
    pub what: &'static str,
    /// Since processes started.
    pub count: u64,
    /// Of what.
    pub of: &'static str,
    /// Of so many; None if there were none.
    pub share: Option<f64>,
    /// Lately.
    pub per_second: Option<f64>,
}

/// The budget and how much of it is used.
#[derive(Debug, PartialEq, Serialize)]
pub struct Spent {
    /// False alarms that are allowed ...
    pub false_alarms: f64,
    /// ... in so much event time.
    pub per_ms: i64,
    /// Streams over which it is split.
    pub streams: u64,
    /// Streams that are monitored.
    pub live_streams: u64,
    /// Those that can alarm: past learning.
    pub armed_streams: u64,
    /// False alarms that they may raise in that time: each stream has an equal part.
    pub expected: f64,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

/// Counts of some series over all processes that answer.
struct Counted<'a>(Vec<&'a Seen<'a>>);

/// By how much a counter has risen a second.
fn rate(seen: &Seen<'_>, name: &str, labels: Labels<'_>) -> Option<f64> {
    let (now, before) = (seen.now.ok()?, seen.before?);
    let seconds = (now.at_ms - before.at_ms) as f64 / 1_000.0;
    let rise = now.metrics.sum(name, labels)? - before.metrics.sum(name, labels).unwrap_or(0.0); // a series begins with its first event
    (seconds > 0.0 && rise >= 0.0 && now.life() == before.life()).then_some(rise / seconds)
}

impl Counted<'_> {
    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter_map(|seen| seen.now.ok())
    }

    fn states(&self) -> impl Iterator<Item = &State> {
        self.samples().flat_map(|s| s.status.members.values()).filter_map(|m| m.state.as_ref())
    }

    fn count(&self, name: &str, labels: Labels<'_>) -> u64 {
        self.samples().filter_map(|s| s.metrics.sum(name, labels)).sum::<f64>() as u64
    }

    /// Of those that have one.
    fn rate(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        self.0.iter().filter_map(|seen| rate(seen, name, labels)).reduce(|a, b| a + b)
    }

    fn input(&self, input: Input) -> InputLine {
        let word = input.word();
        let sides: Vec<&Side> = self.states().flat_map(|s| &s.tasks).filter_map(|task| task.inputs.get(word)).collect();
        let behind = self.samples().filter_map(|s| s.metrics.largest("driftline_event_time_lag_seconds", &[("input", word)]));
        InputLine {
            input: word,
            per_second: self.rate("driftline_records_read_total", &[("input", word)]),
            unread: sides.iter().filter_map(|side| side.unread).reduce(u64::saturating_add),
            behind_seconds: behind.reduce(f64::max),
            stuck: sides.iter().filter(|side| side.activity == "Stuck").count(),
            waits_for_schema: sides.iter().filter(|side| side.waits_for_schema).count(),
        }
    }

    fn stage(&self, stage: &'static str) -> Stage {
        let name = "driftline_transactions_total";
        let failed = ["aborted", "unknown", "stale", "fenced"].map(|o| (o, self.count(name, &[("stage", stage), ("outcome", o)])));
        Stage {
            stage,
            per_second: self.rate("driftline_epochs_total", &[("stage", stage)]),
            committed: self.count("driftline_epochs_total", &[("stage", stage)]),
            failed: failed.into_iter().filter(|(_, n)| *n > 0).collect(),
        }
    }

    fn panes(&self, kind: &'static str, i: usize) -> Panes {
        let monitors = || self.states().flat_map(|s| &s.monitors);
        let through = |m: &super::sample::Monitor| m.closed.map(|c| [c.input_through_ms, c.pair_through_ms][i]);
        let last = monitors().filter(|m| m.closed.is_some()).min_by_key(|m| through(m));
        let blocker = last.and_then(|m| m.held_back_by.get(kind)?.as_ref()).map(|b| format!("{}[{}]", b.input, b.source));
        Panes { kind, open: monitors().map(|m| m.open_panes[i]).sum(), closed_through_ms: last.and_then(through), held_back_by: blocker }
    }

    fn shares(&self) -> Vec<Share> {
        const RECORDS: &str = "driftline_records_total";
        let verdict = |input: Input, word| self.count(RECORDS, &[("input", input.word()), ("verdict", word)]);
        let predictions = |word| verdict(Input::Predictions, word);
        let (joined, late) = ("driftline_joined_total", ("driftline_late_total", [("reason", "below_watermark")]));
        let pairs = self.count(joined, &[]);
        let came = predictions("accepted") + predictions("duplicate") + predictions("late");
        let orphan: Labels<'_> = &[("input", Input::Outcomes.word()), ("verdict", "orphan")];
        let orphans = self.count(RECORDS, orphan);
        let share = |what, (name, labels): (&str, Labels<'_>), of, all: u64| {
            let count = self.count(name, labels);
            Share { what, count, of, share: (all > 0).then(|| count as f64 / all as f64), per_second: self.rate(name, labels) }
        };
        vec![
            share("joined", (joined, &[]), "accepted predictions", predictions("accepted")),
            share("late", (late.0, &late.1), "predictions", came),
            share("orphans", (RECORDS, orphan), "decided outcomes", pairs + orphans),
            share("dead letters", ("driftline_dead_letters_total", &[]), "records", self.count("driftline_records_read_total", &[])),
        ]
    }

    fn models(&self) -> BTreeMap<String, Phases> {
        let mut models: BTreeMap<String, Phases> = BTreeMap::new();
        for (name, phases) in self.states().flat_map(|s| &s.models) {
            let all = models.entry(name.clone()).or_default();
            all.learning += phases.learning;
            all.watching += phases.watching;
            all.alarming += phases.alarming;
        }
        models
    }

    /// A budget that is in force is the same everywhere; without one, what the configurations say.
    fn budget(&self, models: &BTreeMap<String, Phases>) -> Option<Spent> {
        let typed = |s: &Sample| {
            let false_alarms = s.metrics.largest("driftline_budget_false_alarms_per_day", &[])?;
            let streams = s.metrics.largest("driftline_budget_streams", &[])?;
            Some(Budget { false_alarms, per_ms: 86_400_000, streams: streams as u64 })
        };
        let budget = self.states().find_map(|s| s.budget).or_else(|| self.samples().find_map(typed))?;
        let live: u64 = models.values().map(|m| m.streams()).sum();
        let armed: u64 = models.values().map(|m| m.watching + m.alarming).sum();
        let expected = budget.false_alarms * armed as f64 / budget.streams.max(1) as f64;
        let Budget { false_alarms, per_ms, streams } = budget;
        Some(Spent { false_alarms, per_ms, streams, live_streams: live, armed_streams: armed, expected })
    }

    /// How many are open, and the newest of them.
    fn alerts(&self) -> (u64, Vec<Open>) {
        let said = || self.states().flat_map(|s| &s.alerts);
        let by_id: BTreeMap<&str, &Open> = said().map(|a| (a.alert_id.as_str(), a)).collect();
        let twice = (said().count() - by_id.len()) as u64;
        let open: u64 = self.states().flat_map(|s| s.active_alerts.values()).sum();
        let mut alerts: Vec<Open> = by_id.into_values().cloned().collect();
        let rank = |a: &Open| ["INFO", "WARNING"].iter().position(|s| *s == a.severity).unwrap_or(2); // an unknown one counts as the worst
        alerts.sort_by(|a, b| b.opened_at_ms.cmp(&a.opened_at_ms).then(rank(b).cmp(&rank(a)))); // stable: ties by id
        (open.saturating_sub(twice), alerts)
    }
}

fn process(seen: &Seen<'_>) -> Process {
    let url = seen.url.to_string();
    let sample = match seen.now {
        Ok(sample) => sample,
        Err(why) => return Process { url, silent: Some(why.to_string()), ..Process::default() },
    };
    let (metrics, status) = (&sample.metrics, &sample.status);
    let states = || status.members.values().filter_map(|m| m.state.as_ref());
    Process {
        url,
        silent: None,
        version: Some(status.version.clone()),
        ready: status.ready,
        waits_for: status.waits_for.clone(),
        records_per_second: rate(seen, "driftline_records_read_total", &[]),
        memory_bytes: metrics.largest("process_resident_memory_bytes", &[]),
        rows_bytes: metrics.sum("driftline_pending_bytes", &[]),
        rows_limit_bytes: status.memory_limit_bytes,
        streams: states().flat_map(|s| s.models.values()).map(|m| m.streams()).sum(),
        active_alerts: states().flat_map(|s| s.active_alerts.values()).sum(),
    }
}

/// The picture of what processes say at `at_ms`.
pub fn view(all: &[Seen<'_>], at_ms: i64) -> View {
    let counted = Counted(all.iter().collect());
    let (models, (active_alerts, alerts)) = (counted.models(), counted.alerts());
    View {
        at_ms,
        apps: counted.samples().map(|s| s.status.app.clone()).collect(),
        processes: all.iter().map(process).collect(),
        inputs: Input::BOTH.into_iter().map(|input| counted.input(input)).collect(),
        stages: ["join", "detect"].into_iter().map(|stage| counted.stage(stage)).collect(),
        panes: [("input", 0), ("pair", 1)].into_iter().map(|(kind, i)| counted.panes(kind, i)).collect(),
        shares: counted.shares(),
        budget: counted.budget(&models),
        active_alerts,
        alerts,
        models,
    }
}

#[cfg(test)]
pub mod fixed {
    //! Samples that stand in files, for the tests of the picture and of the page.

    use super::super::page::Page;
    use super::*;

    /// The clock of the tests: 2027-01-15 08:00:00 UTC.
    pub const NOW: i64 = 1_800_000_000_000;

    /// What a process has said ten seconds ago ...
    pub fn before() -> Sample {
        let metrics = Page::read(include_str!("../../tests/fixtures/top/before.metrics"));
        Sample { at_ms: NOW - 10_000, metrics, status: Default::default() }
    }

    /// ... and says now.
    pub fn now() -> Sample {
        let metrics = Page::read(include_str!("../../tests/fixtures/top/now.metrics"));
        let status = serde_json::from_str(include_str!("../../tests/fixtures/top/status.json")).expect("the fixture is a status");
        Sample { at_ms: NOW, metrics, status }
    }

    /// Two that answer, one of which has just begun, and one that does not.
    pub fn three() -> View {
        let (before, now, mut fresh) = (before(), now(), now());
        (fresh.status.ready, fresh.status.waits_for) = (false, Some("waiting for partitions or restoring state".into()));
        view(
            &[
                Seen { url: "http://driftline-0.driftline:9464", now: Ok(&now), before: Some(&before) },
                Seen { url: "http://driftline-1.driftline:9464", now: Ok(&fresh), before: None },
                Seen { url: "http://driftline-2.driftline:9464", now: Err("nobody listens there"), before: None },
            ],
            NOW,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::fixed::{NOW, before, now, three};
    use super::*;
    use crate::top::page::Page;

    fn of_one(now: &Sample, before: Option<&Sample>) -> View {
        view(&[Seen { url: "http://a:9464", now: Ok(now), before }], NOW)
    }

    #[test]
    fn two_samples_give_rates_lags_and_shares() {
        let view = of_one(&now(), Some(&before()));
        // by hand, from the fixtures: (22,340 - 10,000)/10 s, (9,050 - 9,000)/10 s; the partition furthest behind; 1,200 + 34, 0 + not known
        let inputs: Vec<_> = view.inputs.iter().map(|i| (i.per_second, i.unread, i.behind_seconds, i.stuck)).collect();
        assert_eq!(inputs, [(Some(1_234.0), Some(1_234), Some(3.75), 0), (Some(5.0), Some(0), Some(4_000.5), 1)]);
        let stages: Vec<_> = view.stages.iter().map(|s| (s.per_second, s.committed, s.failed.len())).collect();
        assert_eq!(stages, [(Some(1.2), 212, 2), (Some(0.4), 104, 0)]);
        let panes: Vec<_> = view.panes.iter().map(|p| (p.open, p.closed_through_ms, p.held_back_by.as_deref())).collect();
        let expected = [(3, Some(1_799_999_940_000), Some("predictions[1]")), (119, Some(1_799_996_000_000), Some("outcomes[0]"))];
        assert_eq!(panes, expected);
        // 8,050 of 20,125; 20 of 20,125 + 55 + 20; 805 of 8,050 + 805; 30 of 22,340 + 9,050
        let shares: Vec<_> = view.shares.iter().map(|s| (s.count, s.share, s.per_second)).collect();
        let expected = [
            (8_050, Some(0.4), Some(5.0)),
            (20, Some(20.0 / 20_200.0), Some(1.0)),
            (805, Some(805.0 / 8_855.0), Some(80.5)),
            (30, Some(30.0 / 31_390.0), Some(3.0)),
        ];
        assert_eq!(shares, expected);
        // 42 of 70 streams can alarm, each with 1/4,096 of one false alarm
        let spent = view.budget.unwrap();
        assert_eq!((spent.armed_streams, spent.live_streams, spent.expected), (42, 70, 42.0 / 4_096.0));
    }

    #[test]
    fn a_counter_that_fell_has_no_rate() {
        let mut earlier = before();
        earlier.metrics = Page::read(include_str!("../../tests/fixtures/top/before.metrics").replace("10000", "99999").as_str());
        let view = of_one(&now(), Some(&earlier));
        assert_eq!((view.inputs[0].per_second, view.inputs[1].per_second), (None, Some(5.0)));
        assert_eq!(view.processes[0].records_per_second, None);
    }

    #[test]
    fn a_process_that_was_restarted_has_no_rate_even_if_its_counters_are_higher() {
        let mut earlier = before();
        earlier.metrics = Page::read(include_str!("../../tests/fixtures/top/before.metrics").replace("1799990000", "1799000000").as_str());
        let view = of_one(&now(), Some(&earlier));
        assert!(view.inputs.iter().all(|i| i.per_second.is_none()) && view.shares.iter().all(|s| s.per_second.is_none()));
    }

    #[test]
    fn two_processes_are_added_up_and_an_alert_that_both_show_is_one() {
        let view = three();
        let states: Vec<_> = view.processes.iter().map(|p| (p.silent.is_some(), p.ready)).collect();
        assert_eq!(states, [(false, true), (false, false), (true, false)]);
        assert_eq!((view.inputs[0].per_second, view.inputs[0].unread), (Some(1_234.0), Some(2_468)), "who has no rate yet adds none");
        assert_eq!((view.stages[0].committed, view.stages[0].failed["aborted"]), (424, 4));
        assert_eq!((view.panes[0].open, view.panes[0].closed_through_ms), (6, Some(1_799_999_940_000)), "times are those furthest behind");
        assert_eq!((view.active_alerts, view.alerts.len()), (2, 2));
        assert_eq!(view.alerts[0].signal, "feature:amount", "newest first");
        assert_eq!(view.models["card"], Phases { learning: 16, watching: 80, alarming: 4 });
        assert_eq!(view.apps.len(), 1);
    }

    #[test]
    fn without_definitions_in_force_the_budget_is_that_of_the_configuration() {
        let mut sample = now();
        sample.status.members.clear();
        let spent = of_one(&sample, None).budget.unwrap();
        assert_eq!((spent.false_alarms, spent.per_ms, spent.streams, spent.expected), (1.0, 86_400_000, 4_096, 0.0));
    }

    #[test]
    fn nobody_says_nothing() {
        let view = view(&[Seen { url: "http://a:9464", now: Err("away"), before: None }], NOW);
        assert_eq!((view.inputs[0].per_second, view.inputs[0].unread, view.panes[0].closed_through_ms), (None, None, None));
        assert!(view.budget.is_none() && view.alerts.is_empty() && view.shares.iter().all(|s| s.share.is_none()));
    }
}
