//! The join stage of one member: hands records to its tasks, ends epochs, recovers tasks.
//!
//! Guarantees: everything that an epoch changed is published with its positions in one transaction, or the tasks are rebuilt from
//! what was; nothing is booked before definitions are in force or beyond the look-ahead.
//! Never: blocks longer than its patience except to commit or to recover.
//! Comes from: `log` (predictions, outcomes, the plan). Goes to: `log` (summaries, marks, journal, dead letters).

use super::counters::Counters;
use super::join_task::JoinTask;
use super::judge::{Judged, Limit, dead_letter, judge_outcome, judge_prediction, topic_of};
use super::recover::{Recovered, recover_join};
use crate::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use crate::codec::event::Reason;
use crate::config::settings::Settings;
use crate::engine::definitions::Definitions;
use crate::engine::journal::{Activity, EdgeDecision};
use crate::engine::plan::{Plan, PlanRecord, Versioned, sealed};
use crate::engine::types::{EventTime, Input, Offset, Partition, Span};
use crate::flow;
use crate::log::epoch::{Ended, commit_epoch};
use crate::log::{Commit, Fatal, Log, OutRecord, Pointer, Polled, Position, Record, TopicIx};
use crate::planted::{self, Bug, planted};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Records that one task judges before the log is polled again.
const TURN: usize = 4_096;
/// Bad records of one reason that are shown in the log between two takings of the counters.
const SHOWN: u64 = 3;
/// Bytes of summaries (entries times a typical size) that end an epoch early.
const ENTRIES: usize = 16 * 1024;
/// Bytes of all outputs that end an epoch early.
const BYTES: usize = 64 * 1024 * 1024;

/// The stage of one member.
pub struct JoinStage {
    settings: Arc<Settings>,
    sources: u32,
    predictions: PredictionDecoder,
    outcomes: OutcomeDecoder,
    plan: Plan,
    tasks: BTreeMap<Partition, JoinTask>,
    parked: BTreeMap<Partition, JoinTask>,
    assigned: Option<Vec<Partition>>,
    owned: Vec<Partition>,
    started: bool,
    proposed: bool,
    once: bool,
    epoch: Option<OpenEpoch>,
    dead_letters: Vec<OutRecord>,
    trims: BTreeMap<Partition, Trim>,
    next_quiet_check: i64,
    /// Counts for the metrics.
    pub counters: Counters,
}

/// The running epoch.
struct OpenEpoch {
    began: i64,
    records: u64,
    /// When a mark passed a pane's end, or a task had to wait.
    hurry: Option<i64>,
}

/// What is known about the journal's offsets: everything of epoch `seq` and before lies below `below`.
struct Trim {
    asked: i64,
    known: Vec<(u64, Offset)>,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more to do.
    Again,
    /// Both inputs of every task are finished and published.
    Finished,
}

impl JoinStage {
    /// Topics that a member of this stage subscribes to, in the order of `TopicIx`.
    pub fn topics(settings: &Settings) -> Vec<String> {
        vec![settings.predictions.topic.clone(), settings.outcomes.topic.clone()]
    }

    /// A stage over `sources` input partitions. `once`: inputs that stand at their end are finished.
    pub fn new(settings: Arc<Settings>, sources: u32, once: bool) -> Result<JoinStage, String> {
        Ok(JoinStage {
            sources,
            predictions: PredictionDecoder::new(&settings.predictions, &settings.definitions.dimensions).map_err(|e| e.to_string())?,
            outcomes: OutcomeDecoder::new(&settings.outcomes).map_err(|e| e.to_string())?,
            plan: Plan::default(),
            tasks: BTreeMap::new(),
            parked: BTreeMap::new(),
            assigned: None,
            owned: Vec::new(),
            started: false,
            proposed: false,
            once,
            epoch: None,
            dead_letters: Vec::new(),
            trims: BTreeMap::new(),
            next_quiet_check: 0,
            counters: Counters::default(),
            settings,
        })
    }

    /// The tasks of this member.
    pub fn tasks(&self) -> impl Iterator<Item = &JoinTask> {
        self.tasks.values()
    }

    /// Whether partitions are assigned and their state is there.
    pub fn ready(&self) -> bool {
        self.started
    }

    /// One turn: follow the plan, poll, judge, end the epoch if it is due.
    pub fn step(&mut self, log: &mut dyn Log, patience: Duration) -> Result<Step, Fatal> {
        self.follow_plan(log)?;
        let patience = if self.has_work(log) { Duration::ZERO } else { patience };
        let (tasks, records) = (&mut self.tasks, &mut self.counters.records);
        let mut arrived = false;
        let polled = log.poll(patience, &mut |r: Record<'_>| {
            arrived = true;
            if let Some(task) = tasks.get_mut(&r.partition) {
                let i = usize::from(r.topic.0);
                records[i] += 1;
                task.quiet_since[i] = i64::MAX;
                task.inbox[i].push(&r);
            }
        })?;
        let changed = polled != Polled::Records;
        match polled {
            Polled::Records => {}
            Polled::Revoked => self.revoked(log)?,
            Polled::Lost => {
                self.drop_state();
                log.release()?;
            }
            Polled::Assigned(partitions) => {
                // The group waits for an answer; definitions may take long (they need a detect stage somewhere).
                if self.plan.definitions.is_none() {
                    log.start(&[])?;
                }
                self.assigned = Some(partitions);
            }
        }
        // never after a change of assignment: the generation that goes with the epoch would be the one before it
        if arrived && self.epoch.is_none() && !changed {
            self.open_epoch(log);
        }
        self.begin_assigned(log)?;
        self.judge(log)?;
        self.watch_quiet(log)?;
        self.relieve(log);
        if self.is_due(log.now_ms()) {
            self.end_epoch(log)?;
        }
        Ok(if self.once && self.finished() { Step::Finished } else { Step::Again })
    }

    /// A clean stop: ends the epoch, commits, leaves the group.
    pub fn stop(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        self.end_epoch(log)?;
        log.leave();
        Ok(())
    }

    fn finished(&self) -> bool {
        self.ready() && self.epoch.is_none() && self.tasks.values().all(|t| t.activity == [Activity::Finished; 2] && !t.changed)
    }

    fn open_epoch(&mut self, log: &mut dyn Log) {
        if !planted(Bug::StaleMetadata) || self.counters.epochs == 0 {
            log.begin_epoch();
        }
        self.epoch = Some(OpenEpoch { began: log.now_ms(), records: 0, hurry: None });
    }

    fn follow_plan(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let (plan, tasks) = (&mut self.plan, &mut self.tasks);
        let mut broken = None;
        log.follow(&mut |r: Record<'_>| {
            let Some(value) = r.value else { return };
            match PlanRecord::read(value) {
                Ok(record) => {
                    plan.observe(record);
                    tasks.values_mut().for_each(|t| t.blocked = [false; 2]);
                }
                Err(e) => broken = Some(format!("plan offset {}: {e}", r.offset.0)),
            }
        })?;
        broken.map_or(Ok(()), |b| Err(Fatal(b)))
    }

    fn has_work(&self, log: &dyn Log) -> bool {
        self.tasks.values().any(|t| t.choose(at_end(log, t.partition)).is_some())
    }

    /// Recovers the tasks of the last assignment once definitions are in force; until then they are proposed.
    fn begin_assigned(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let Some(partitions) = self.assigned.clone() else { return Ok(()) };
        let Some(versioned) = self.plan.definitions.clone() else { return self.propose(log) };
        // cells have the dimensions of the definitions in force, whatever this process's file says; features are numbered anew, so books
        // must be empty: they are, between assignments
        self.predictions =
            PredictionDecoder::new(&self.settings.predictions, &versioned.definitions.dimensions).map_err(|e| Fatal(e.to_string()))?;
        let settings = self.settings.clone();
        let d = if planted(Bug::OwnDefinitions) { &settings.definitions } else { &versioned.definitions };
        let began = log.now_ms();
        let mut at = Vec::new();
        for p in &partitions {
            let parked = self.parked.remove(p);
            let recovered = recover_join(log, &self.settings, *p, d, parked)?;
            if let Recovered::Rebuilt { digest_differs, .. } = &recovered {
                self.counters.restores_ms.push((log.now_ms() - began) as f64);
                self.counters.digest_mismatches += u64::from(*digest_differs);
            }
            let task = recovered.into_task();
            at.extend(Input::BOTH.map(|i| (TopicIx(i.index() as u8), *p, task.next[i.index()])));
            self.tasks.insert(*p, task);
        }
        self.parked.clear();
        self.assigned = None;
        self.owned = partitions;
        self.started = true;
        self.epoch = None;
        log.start(&at)
    }

    fn propose(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        if self.proposed {
            return Ok(());
        }
        self.proposed = true;
        log.begin_epoch();
        let proposal = proposal(&self.settings);
        commit_epoch(log, &[proposal], &[], |_| {}).map(|_| ())
    }

    fn judge(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let Some(versioned) = self.plan.definitions.clone() else { return Ok(()) };
        let d = &versioned.definitions;
        let limit = self
            .plan
            .closed(self.settings.summaries_partitions)
            .map(|(input, pair)| [input.offset(d.look_ahead()), pair.offset(d.look_ahead())]);
        let limit = if planted(Bug::NoLookAhead) { Some([crate::engine::types::PaneId(i64::MAX); 2]) } else { limit };
        let now = log.now_ms();
        planted::tell_time(now);
        let partitions: Vec<Partition> = self.tasks.keys().copied().collect();
        for p in partitions {
            let ends = at_end(log, p);
            for _ in 0..TURN {
                let Some(input) = self.tasks[&p].choose(ends) else { break };
                if self.epoch.is_none() {
                    self.open_epoch(log);
                }
                self.judge_one(p, input, d, limit, now);
                if let Some(e) = &mut self.epoch {
                    e.records += 1;
                }
            }
        }
        Ok(())
    }

    /// Judges the first record of an input's inbox, or finds that it has to wait.
    fn judge_one(&mut self, partition: Partition, input: Input, d: &Definitions, limit: Limit, now: i64) {
        let i = input.index();
        let max_ahead = self.settings.max_ahead;
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        let inbox = std::mem::replace(&mut task.inbox[i], super::inbox::Inbox::new(TopicIx(i as u8), partition));
        let (predictions, outcomes, plan) = (&mut self.predictions, &mut self.outcomes, &self.plan);
        let judged = inbox.with_first(|r| {
            let bound = if r.append_time && r.timestamp >= 0 { r.timestamp.min(now) } else { now };
            let latest = EventTime(bound).plus(max_ahead);
            let verdict = match input {
                Input::Predictions => judge_prediction(task, predictions, r, d, plan, limit, latest),
                Input::Outcomes => judge_outcome(task, outcomes, r, d, plan, limit, latest),
            };
            (r.offset, verdict.map_err(|bad| (dead_letter(&bad, r, &self.settings, input), bad)))
        });
        task.inbox[i] = inbox;
        let Some((offset, verdict)) = judged else { return };
        match verdict {
            Ok(Judged::Waits(new_time)) => {
                task.blocked[i] = true;
                task.changed |= new_time || task.activity[i] != Activity::Active;
                task.activity[i] = Activity::Active;
                if let Some(e) = self.epoch.as_mut().filter(|_| task.changed) {
                    e.hurry.get_or_insert(now);
                }
                return;
            }
            Ok(Judged::Done { jumped }) => self.counters.time_jumped += u64::from(jumped),
            Err((letter, bad)) => {
                if bad.reason == Reason::Future && !planted(Bug::FutureNotRecorded) {
                    task.edge_decisions.push(EdgeDecision::Future { input, offset });
                }
                let count = self.counters.dead_letters.entry((i, bad.reason)).or_default();
                *count += 1;
                if *count <= SHOWN {
                    let more = if *count == SHOWN { "; more of this kind are only counted for a while" } else { "" };
                    tracing::warn!(
                        "{}[{}]@{}: {}; kept in {}{more}",
                        topic_of(&self.settings, input),
                        partition.0,
                        offset.0,
                        bad.detail,
                        self.settings.topic("dead-letters")
                    );
                }
                self.dead_letters.push(letter);
            }
        }
        task.inbox[i].pop();
        task.next[i] = Offset(offset.0 + 1);
        task.changed = true;
        task.activity[i] = Activity::Active;
        if passed_a_pane(task, d)
            && let Some(e) = &mut self.epoch
        {
            e.hurry.get_or_insert(now + 50);
        }
    }

    /// Declares inputs idle, silent or finished by wall clock; the decision goes into the epoch's journal and mark.
    fn watch_quiet(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let now = log.now_ms();
        if now < self.next_quiet_check || self.plan.definitions.is_none() {
            return Ok(());
        }
        self.next_quiet_check = now + 100;
        let pane = self.plan.definitions.as_ref().map_or(Span::ZERO, |v| v.definitions.pane.0);
        let silent_after = self.settings.silence_after.0.max(pane.0);
        let mut quiet = Vec::new();
        for task in self.tasks.values_mut() {
            for input in Input::BOTH {
                let i = input.index();
                if !task.at_rest(input, log.at_end(TopicIx(i as u8), task.partition)) {
                    task.quiet_since[i] = i64::MAX;
                    continue;
                }
                task.quiet_since[i] = task.quiet_since[i].min(now);
                let for_ms = now - task.quiet_since[i];
                let wanted = match for_ms {
                    _ if self.once => Activity::Finished,
                    ms if ms >= silent_after => Activity::Silent,
                    ms if ms >= self.settings.idle_timeout.0 => Activity::Idle,
                    _ => Activity::Active,
                };
                if wanted > task.activity[i] {
                    quiet.push((task.partition, input, wanted));
                }
            }
        }
        for (partition, input, wanted) in quiet {
            let topic = TopicIx(input.index() as u8);
            let ends = log.ends(topic, partition)?;
            // an open transaction at the end is no silence: what it holds may still come
            if (ends.last_stable == ends.high || planted(Bug::IdleBelowHigh)) && log.at_end(topic, partition) {
                self.declare(log, partition, input, wanted);
            }
        }
        Ok(())
    }

    fn declare(&mut self, log: &mut dyn Log, partition: Partition, input: Input, activity: Activity) {
        if self.epoch.is_none() {
            self.open_epoch(log);
        }
        if let Some(task) = self.tasks.get_mut(&partition) {
            task.activity[input.index()] = activity;
            task.changed = true;
        }
        if let Some(e) = &mut self.epoch {
            e.hurry.get_or_insert(log.now_ms() + 50);
        }
    }

    fn relieve(&mut self, log: &mut dyn Log) {
        for task in self.tasks.values_mut() {
            for input in Input::BOTH {
                let topic = TopicIx(input.index() as u8);
                match task.pressure(input) {
                    Some(true) => log.pause(topic, task.partition),
                    Some(false) => log.resume(topic, task.partition),
                    None => continue,
                }
                task.inbox[input.index()].paused = !task.inbox[input.index()].paused;
            }
        }
    }

    fn is_due(&self, now: i64) -> bool {
        let Some(e) = &self.epoch else { return false };
        let changed = self.tasks.values().any(|t| t.changed);
        let size = || {
            self.tasks.values().map(|t| t.join.changes.bytes()).sum::<usize>()
                + self.dead_letters.iter().map(|d| d.value.as_ref().map_or(0, Vec::len)).sum::<usize>()
        };
        let full = || {
            e.records >= self.settings.epoch.records
                || self.tasks.values().map(|t| t.book.len()).sum::<usize>() >= ENTRIES
                || size() >= BYTES
        };
        changed && (e.hurry.is_some_and(|at| now >= at) || now - e.began >= self.settings.epoch.time.0 || full())
    }

    /// Publishes what the epoch changed. On return the epoch is committed, or the tasks are gone.
    fn end_epoch(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        if self.epoch.take().is_none() {
            return Ok(());
        }
        let Some(versioned) = self.plan.definitions.clone() else { return Ok(()) };
        let (records, positions) = self.collect(&versioned, log.now_ms());
        if positions.is_empty() {
            return Ok(());
        }
        let began = log.now_ms();
        let transactions = &mut self.counters.transactions;
        match commit_epoch(log, &records, &positions, |c| *transactions.entry(word(c)).or_default() += 1)? {
            Ended::Committed => {
                self.counters.epochs += 1;
                self.counters.transaction_ms.push((log.now_ms() - began) as f64);
                self.settle(log);
            }
            Ended::Rebuild(why) => {
                tracing::warn!("the group has moved on ({why}); the tasks are rebuilt from their journals");
                self.drop_state();
                // if the group takes the partitions away, the next poll says so; otherwise they are still ours
                self.assigned = Some(std::mem::take(&mut self.owned));
            }
        }
        Ok(())
    }

    /// Output of all changed tasks, partials before journals before marks.
    fn collect(&mut self, versioned: &Rc<Versioned>, now: i64) -> (Vec<OutRecord>, Vec<Position>) {
        let s = &self.settings;
        let (summaries, journal) = (s.topic("summaries"), s.topic("journal"));
        let decoder = &self.predictions;
        let mut records = std::mem::take(&mut self.dead_letters);
        let mut positions = Vec::new();
        let mut marks = Vec::new();
        for task in self.tasks.values_mut().filter(|t| t.changed) {
            let seq = task.join.epoch;
            let out = flow::end_join_epoch(task, &versioned.definitions, versioned.version, self.sources, now, |ix| {
                decoder.feature_name(ix).to_string()
            });
            records.extend(out.partials.into_iter().map(|(model, value)| plain(&summaries, None, Some(model.into_bytes()), value)));
            self.counters.journal_bytes += out.journal.iter().map(|j| j.len() as u64).sum::<u64>();
            records.extend(out.journal.into_iter().map(|value| plain(&journal, Some(task.partition), None, value)));
            marks.push(out.mark.to_bytes());
            task.floor = out.floor;
            let metadata = Pointer { seq, floor: out.floor }.to_string();
            positions.extend(Input::BOTH.map(|i| Position {
                topic: TopicIx(i.index() as u8),
                partition: task.partition,
                next: task.next[i.index()],
                metadata: metadata.clone(),
            }));
            self.counters.join.add(&std::mem::take(&mut task.tally));
            task.marked = out.mark.watermark;
            task.changed = false;
        }
        for mark in marks {
            records.extend((0..s.summaries_partitions).map(|p| plain(&summaries, Some(Partition(p)), None, mark.clone())));
        }
        if planted(Bug::MarksFirst) {
            records.reverse();
        }
        (records, positions)
    }

    /// After a commit: at most once a minute, deletes journal records below the floor of an earlier committed epoch.
    fn settle(&mut self, log: &mut dyn Log) {
        let (now, journal) = (log.now_ms(), self.settings.topic("journal"));
        for task in self.tasks.values() {
            let trim = self.trims.entry(task.partition).or_insert(Trim { asked: now, known: Vec::new() });
            if now - trim.asked < 60_000 {
                continue;
            }
            trim.asked = now;
            let seq = task.join.epoch.0 - 1;
            if let Ok(end) = log.end_of(&journal, task.partition) {
                trim.known.push((seq, end));
            }
            let safe = trim.known.iter().rposition(|k| k.0 < task.floor.0 || planted(Bug::TrimmedTooFar));
            if let Some(at) = safe {
                if let Err(e) = log.trim(&journal, task.partition, trim.known[at].1) {
                    tracing::warn!("journal {} could not be trimmed: {e}", task.partition.0);
                }
                trim.known.drain(..=at);
            }
        }
    }

    fn revoked(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        self.end_epoch(log)?;
        self.parked = std::mem::take(&mut self.tasks);
        self.assigned = None;
        self.started = false;
        log.release()
    }

    fn drop_state(&mut self) {
        self.tasks.clear();
        self.parked.clear();
        self.assigned = None;
        self.started = false;
        self.epoch = None;
        self.dead_letters.clear();
    }
}

fn at_end(log: &dyn Log, partition: Partition) -> [bool; 2] {
    [log.at_end(TopicIx(0), partition), log.at_end(TopicIx(1), partition)]
}

/// A record without headers.
pub fn plain(topic: &str, partition: Option<Partition>, key: Option<Vec<u8>>, value: Vec<u8>) -> OutRecord {
    OutRecord { topic: topic.to_string(), partition, key, value: Some(value), headers: Vec::new() }
}

/// A proposal of this process's definitions, for the coordinator's partition.
pub fn proposal(settings: &Settings) -> OutRecord {
    plain(&settings.topic("summaries"), Some(Partition(0)), None, sealed(crate::codec::wire::Kind::Proposal, &settings.definitions))
}

/// The word of an attempt to commit in metrics.
pub fn word(commit: &Commit) -> &'static str {
    match commit {
        Commit::Done => "committed",
        Commit::Aborted(_) => "aborted",
        Commit::Unknown(_) => "unknown",
        Commit::Stale(_) => "stale",
        Commit::Fenced(_) => "fenced",
    }
}

fn passed_a_pane(task: &JoinTask, d: &Definitions) -> bool {
    let passed = |i: usize| {
        let now = task.join.clocks[i].watermark();
        now > EventTime::MIN && (task.marked[i] == EventTime::MIN || d.pane.pane_of(now) > d.pane.pane_of(task.marked[i]))
    };
    passed(0) || passed(1)
}
