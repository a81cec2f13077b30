//! The join stage of one member: hands records to its tasks, ends epochs, recovers tasks.
//!
//! Guarantees: everything that an epoch changed is published with its positions in one transaction, or the tasks are rebuilt from
//! what was; nothing is booked before definitions are in force or beyond the look-ahead.
//! Never: blocks longer than its patience except to commit or to recover.
//! Comes from: `log` (predictions, outcomes, the plan). Goes to: `log` (summaries, marks, journal, dead letters).

use super::changed;
use super::counters::Counters;
use super::join_task::{JoinTask, Run};
use super::judge::{Judge, Limit};
use super::recover::{Recovered, recover_join};
use super::release;
use crate::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use crate::codec::writers::Schemas;
use crate::config::settings::Settings;
use crate::engine::book::Book;
use crate::engine::definitions::Definitions;
use crate::engine::journal::Activity;
use crate::engine::plan::{Plan, PlanRecord, Versioned};
use crate::engine::types::{EventTime, Input, Offset, Partition};
use crate::flow;
use crate::log::epoch::{Ended, NEWS, commit_epoch};
use crate::log::{Commit, Fatal, Handed, Log, OutRecord, Pointer, Polled, Position, Record, TopicIx};
use crate::planted::{self, Bug, planted};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Records that one task judges before the log is polled again.
const TURN: u64 = 4_096;
/// Bytes of summaries (entries times a typical size) that end an epoch early.
const ENTRIES: usize = 16 * 1024;
/// Bytes of all outputs that end an epoch early.
const BYTES: usize = 64 * 1024 * 1024;
/// Where outliers are reported, after `<app>.`.
pub const OUTLIERS: &str = "outliers";
/// The journal is trimmed at most this often (ms).
const TRIM_EVERY: i64 = 60_000;

/// The stage of one member.
pub struct JoinStage {
    pub(super) settings: Arc<Settings>,
    sources: u32,
    predictions: PredictionDecoder,
    /// Those that it reads.
    dimensions: Vec<String>,
    outcomes: OutcomeDecoder,
    /// Where schemas come from that records name, and what it knew when tasks last asked.
    schemas: Option<Arc<dyn Schemas>>,
    news: u64,
    pub(super) plan: Plan,
    pub(super) tasks: BTreeMap<Partition, JoinTask>,
    parked: BTreeMap<Partition, JoinTask>,
    assigned: Option<Vec<Partition>>,
    owned: Vec<Partition>,
    /// The tasks of `assigned` are recovered from this time on.
    not_before: i64,
    started: bool,
    proposed: bool,
    pub(super) once: bool,
    pub(super) epoch: Option<OpenEpoch>,
    dead_letters: Vec<OutRecord>,
    trims: BTreeMap<Partition, Trim>,
    pub(super) next_quiet_check: i64,
    /// Counts of the running epoch.
    running: Counters,
    /// Counts for the metrics: of committed epochs.
    pub counters: Counters,
}

/// The running epoch.
pub(super) struct OpenEpoch {
    began: i64,
    records: u64,
    /// When a mark passed a pane's end, or a task had to wait.
    pub(super) hurry: Option<i64>,
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
        JoinStage::with(settings, sources, once, None)
    }

    /// The same, with a place that schemas come from, for inputs whose values carry ids of schemas.
    pub fn with(settings: Arc<Settings>, sources: u32, once: bool, schemas: Option<Arc<dyn Schemas>>) -> Result<JoinStage, String> {
        let dimensions = &settings.definitions.dimensions;
        Ok(JoinStage {
            sources,
            predictions: PredictionDecoder::with(&settings.predictions, dimensions, schemas.clone()).map_err(|e| e.to_string())?,
            dimensions: dimensions.clone(),
            outcomes: OutcomeDecoder::with(&settings.outcomes, schemas.clone()).map_err(|e| e.to_string())?,
            schemas,
            news: 0,
            plan: Plan::default(),
            tasks: BTreeMap::new(),
            parked: BTreeMap::new(),
            assigned: None,
            owned: Vec::new(),
            not_before: i64::MIN,
            started: false,
            proposed: false,
            once,
            epoch: None,
            dead_letters: Vec::new(),
            trims: BTreeMap::new(),
            next_quiet_check: 0,
            running: Counters::default(),
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

    /// Whether records wait for schemas that the registry does not answer for.
    pub fn waits_for_registry(&self) -> bool {
        self.schemas.as_ref().is_some_and(|s| s.is_away()) && self.tasks.values().any(|t| t.awaits_schema.contains(&true))
    }

    /// One turn: follow the plan, poll, judge, end the epoch if it is due.
    pub fn step(&mut self, log: &mut dyn Log, patience: Duration) -> Result<Step, Fatal> {
        self.follow_plan(log)?;
        self.learn_dimensions(log)?;
        self.hear_of_schemas();
        let patience = if self.has_work(log) { Duration::ZERO } else { patience };
        match log.poll(patience)? {
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
                self.not_before = i64::MIN;
            }
        }
        self.begin_assigned(log)?;
        self.judge(log)?;
        self.watch_quiet(log)?;
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

    pub(super) fn open_epoch(&mut self, log: &mut dyn Log) {
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

    /// Tasks whose next record waits for a schema try again when there is news.
    fn hear_of_schemas(&mut self) {
        let news = self.schemas.as_ref().map_or(0, |s| s.news());
        if news != self.news {
            self.news = news;
            self.tasks.values_mut().for_each(|t| t.awaits_schema = [false; 2]);
        }
    }

    fn has_work(&self, log: &dyn Log) -> bool {
        self.tasks.values().any(|t| t.choose(waits(log, t.partition), at_end(log, t.partition)).is_some())
    }

    /// Recovers the tasks of the last assignment once definitions are in force; until then they are proposed.
    fn begin_assigned(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let Some(partitions) = self.assigned.clone().filter(|_| log.now_ms() >= self.not_before) else { return Ok(()) };
        let Some(versioned) = self.plan.definitions.clone() else { return self.propose(log) };
        self.read_dimensions(&versioned.definitions)?;
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
            let mut task = recovered.into_task();
            task.join.cleaning.limits = self.settings.journal;
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

    /// Predictions are read with the dimensions of the definitions in force, whatever this process's file says. Features are numbered anew,
    /// so books must be new.
    fn read_dimensions(&mut self, in_force: &Definitions) -> Result<(), Fatal> {
        let source = &self.settings.predictions;
        let decoder = PredictionDecoder::with(source, &in_force.dimensions, self.schemas.clone());
        self.predictions = decoder.map_err(|e| Fatal(e.to_string()))?;
        changed::tell_unmapped(in_force, &source.fields.dimensions);
        self.dimensions = in_force.dimensions.clone();
        Ok(())
    }

    /// New definitions have further dimensions: they are read from now on, long before the first pane whose cells have them.
    fn learn_dimensions(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let Some(versioned) = self.plan.definitions.clone().filter(|v| self.started && v.definitions.dimensions != self.dimensions) else {
            return Ok(());
        };
        self.end_epoch(log)?;
        if !planted(Bug::BooksKept) {
            self.tasks.values_mut().for_each(|t| t.book = Book::default()); // they know features by number
        }
        self.read_dimensions(&versioned.definitions)
    }

    fn propose(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        if self.proposed {
            return Ok(());
        }
        self.proposed = true;
        log.begin_epoch();
        let proposal = proposal(&self.settings);
        let ended = commit_epoch(log, &[proposal], &[], |_| {})?;
        changed::account(&self.settings, matches!(ended, Ended::Committed));
        Ok(())
    }

    fn judge(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let Some(versioned) = self.plan.definitions.clone() else { return Ok(()) };
        let d = &versioned.definitions;
        let limit: Limit = self
            .plan
            .closed(self.settings.summaries_partitions)
            .map(|(input, pair)| [input.offset(d.look_ahead()), pair.offset(d.look_ahead())]);
        let limit = if planted(Bug::NoLookAhead) { Some([crate::engine::types::PaneId(i64::MAX); 2]) } else { limit };
        let now = log.now_ms();
        planted::tell_time(now);
        let partitions: Vec<Partition> = self.tasks.keys().copied().collect();
        for p in partitions {
            let end = self.judged() + TURN;
            while let Some(run) = self.tasks.get(&p).and_then(|t| t.choose(waits(log, p), at_end(log, p))) {
                // the generation as it is now goes with the epoch: no change of assignment lies between it and the record
                if self.epoch.is_none() {
                    self.open_epoch(log);
                }
                self.judge_run(log, p, run, &versioned.definitions, limit, now)?;
                if self.judged() >= end {
                    break;
                }
            }
        }
        Ok(())
    }

    fn judged(&self) -> u64 {
        self.epoch.as_ref().map_or(0, |e| e.records)
    }

    /// Judges records of one input until the other one's turn comes, or one has to wait.
    fn judge_run(
        &mut self,
        log: &mut dyn Log,
        partition: Partition,
        run: Run,
        d: &Definitions,
        limit: Limit,
        now: i64,
    ) -> Result<(), Fatal> {
        let (Some(task), Some(epoch)) = (self.tasks.get_mut(&partition), &mut self.epoch) else { return Ok(()) };
        let mut judge = Judge {
            predictions: &mut self.predictions,
            outcomes: &mut self.outcomes,
            settings: &self.settings,
            definitions: d,
            plan: &self.plan,
            limit,
            now,
            counters: &mut self.running,
            before: &self.counters,
            dead_letters: &mut self.dead_letters,
            judged: 0,
            urgent: false,
        };
        log.hand_over(TopicIx(run.input.index() as u8), partition, &mut |r| match judge.record(task, run.input, &r) {
            false => Handed::Stays,
            true if judge.judged < TURN && run.goes_on(task, judge.judged) => Handed::Next,
            true => Handed::Enough,
        })?;
        epoch.records += judge.judged;
        let urgent = judge.urgent;
        flow::outcomes(task, d, &self.plan);
        if urgent {
            epoch.hurry = Some(now);
        } else if passed_a_pane(task, d) {
            epoch.hurry.get_or_insert(now + 50);
        }
        Ok(())
    }

    fn is_due(&self, now: i64) -> bool {
        let Some(e) = &self.epoch else { return false };
        let changed = self.tasks.values().any(|t| t.changed);
        let size = || {
            self.tasks.values().map(|t| t.join.changes.bytes()).sum::<usize>()
                + self.dead_letters.iter().map(OutRecord::bytes).sum::<usize>()
                + self.tasks.values().map(|t| t.outliers.iter().map(|o| o.0.len() + o.1.len()).sum::<usize>()).sum::<usize>()
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
        self.fit_memory(log.now_ms());
        let (records, positions) = self.collect(&versioned, log.now_ms());
        if positions.is_empty() {
            return Ok(());
        }
        let began = log.now_ms();
        let transactions = &mut self.counters.transactions;
        match commit_epoch(log, &records, &positions, |c| *transactions.entry(word(c)).or_default() += 1)? {
            Ended::Committed => {
                self.counters.epochs += 1;
                self.counters.add_epoch(std::mem::take(&mut self.running));
                self.counters.transaction_ms.push((log.now_ms() - began) as f64);
                self.settle(log);
            }
            Ended::Rebuild(why) => {
                tracing::warn!("the group has moved on ({why}); the tasks are rebuilt from their journals");
                self.drop_state();
                // if the group takes the partitions away, the next poll says so; otherwise they are still ours
                self.assigned = Some(std::mem::take(&mut self.owned));
                self.not_before = log.now_ms() + NEWS;
            }
        }
        Ok(())
    }

    /// Output of all changed tasks, partials before journals before marks.
    fn collect(&mut self, versioned: &Rc<Versioned>, now: i64) -> (Vec<OutRecord>, Vec<Position>) {
        let s = &self.settings;
        let (summaries, journal) = (s.topic("summaries"), s.topic("journal"));
        let mut records = std::mem::take(&mut self.dead_letters);
        let mut positions = Vec::new();
        let mut marks = Vec::new();
        for task in self.tasks.values_mut().filter(|t| t.changed) {
            let seq = task.join.epoch;
            let out = flow::end_join_epoch(task, &versioned.definitions, versioned.version, self.sources, now, &self.plan);
            records.extend(out.partials.into_iter().map(|(model, value)| plain(&summaries, None, Some(model.into_bytes()), value)));
            self.running.journal_bytes += out.journal.iter().map(|j| j.len() as u64).sum::<u64>();
            records.extend(out.journal.into_iter().map(|value| plain(&journal, Some(task.partition), None, value)));
            let outlier = |(id, value): (String, Vec<u8>)| {
                let headers = vec![("content-type".to_string(), Some(b"application/json".to_vec()))];
                let (topic, partition) = (s.topic(OUTLIERS), Some(task.partition));
                OutRecord { topic, partition, key: Some(id.into_bytes()), value: Some(value), headers }
            };
            records.extend(task.outliers.drain(..).map(outlier));
            marks.push(out.mark.to_bytes());
            task.floor = out.floor;
            let metadata = Pointer { seq, floor: out.floor }.to_string();
            positions.extend(Input::BOTH.map(|i| Position {
                topic: TopicIx(i.index() as u8),
                partition: task.partition,
                next: task.next[i.index()],
                metadata: metadata.clone(),
            }));
            release::warn(task, s, now);
            self.running.join.add(&std::mem::take(&mut task.tally));
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

    /// After a commit: at most once a minute, deletes journal records below the floor of an earlier committed epoch. What a recovery has
    /// passed over goes with the first commit: a process that never lives for two minutes must not leave an ever longer journal.
    fn settle(&mut self, log: &mut dyn Log) {
        let (now, journal) = (log.now_ms(), self.settings.topic("journal"));
        for task in self.tasks.values() {
            let trim = self.trims.entry(task.partition).or_insert_with(|| match task.begins {
                Some((floor, at)) => Trim { asked: now - TRIM_EVERY, known: vec![(floor.0 - 1, at)] },
                None => Trim { asked: now, known: Vec::new() },
            });
            if now - trim.asked < TRIM_EVERY {
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
        self.forget_ends();
        self.assigned = None;
        self.started = false;
        log.release()
    }

    /// Others may have written between a commit and the question where the journal ends: what is known of its ends holds only for as
    /// long as its partitions are ours.
    fn forget_ends(&mut self) {
        if !planted(Bug::EndsKept) {
            self.trims.clear();
        }
    }

    fn drop_state(&mut self) {
        self.tasks.clear();
        self.parked.clear();
        self.forget_ends();
        self.assigned = None;
        self.started = false;
        self.epoch = None;
        self.running = Counters::default();
        self.dead_letters.clear();
    }
}

fn waits(log: &dyn Log, partition: Partition) -> [bool; 2] {
    [log.waits(TopicIx(0), partition), log.waits(TopicIx(1), partition)]
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
    plain(&settings.topic("summaries"), Some(Partition(0)), None, settings.definitions.to_proposal())
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
