//! The detect stage of one member: one monitor per summaries partition.
//!
//! Guarantees: alerts, plan entries, state and positions of an epoch are one transaction; a monitor obeys its own partition alone.
//! Comes from: `log` (summaries). Goes to: `log` (alerts, plan, state).

use super::changed;
use super::counters::Counters;
use super::join::{plain, proposal, word};
use super::recover::recover_monitor;
use crate::codec::alert::{AlertError, Format, encode, headers};
use crate::config::settings::{AlertFormat, Settings};
use crate::engine::monitor::chunks::{CHUNKS, Pace};
use crate::engine::monitor::state::{Rewrite, StateRecord};
use crate::engine::monitor::{Effects, Monitor, Raised};
use crate::engine::plan::Progress;
use crate::engine::types::{EpochSeq, Offset, PaneKind, Partition};
use crate::log::epoch::{Ended, NEWS, commit_epoch};
use crate::log::{Fatal, Handed, Log, OutRecord, Pointer, Polled, Position, Record, TopicIx};
use crate::planted::{Bug, planted};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use super::join::Step;

/// Records that are observed before the log is polled again.
const TURN: usize = 2_000;
/// An epoch ends this long after a pane closed (ms).
const AFTER_CLOSE: i64 = 50;
/// Bytes of chunks that an epoch rewrites (the last chunk may go beyond), and the last epoch before a stop.
const REWRITE: usize = 256 * 1024;
const REWRITE_AT_STOP: usize = 4 * 1024 * 1024;

/// Records, positions and alerts of an epoch.
type Output = (Vec<OutRecord>, Vec<Position>, Vec<Raised>);

struct DetectTask {
    monitor: Monitor,
    next: Offset,
    seq: EpochSeq,
    /// Wall clock up to which chunks have been rewritten at the pace of `Pace::round`.
    paced: i64,
    effects: Effects,
    changed: bool,
    /// The newest definitions that somebody was told of.
    version: u32,
}

fn newest(monitor: &Monitor) -> u32 {
    monitor.versions().last().map_or(0, |v| v.versioned.version)
}

impl DetectTask {
    /// The epoch's state: head, shared part, and the chunks that are due.
    fn state(&mut self, now: i64, stopping: bool, pace: Pace) -> Vec<StateRecord> {
        let round = pace.round.0;
        let due = (CHUNKS as i64 * (now - self.paced).max(0) / round) as usize;
        let behind = self.monitor.closings().saturating_sub(pace.closings) / 4;
        let rewrite = match stopping {
            true => Rewrite { chunks: CHUNKS, bytes: REWRITE_AT_STOP },
            false => Rewrite { chunks: (due + behind).min(CHUNKS), bytes: REWRITE },
        };
        let (records, written) = self.monitor.state(self.seq, self.next, rewrite);
        self.paced = (self.paced + written.min(due) as i64 * round / CHUNKS as i64).max(now - round);
        records
    }
}

/// The stage of one member.
pub struct DetectStage {
    settings: Arc<Settings>,
    tasks: BTreeMap<Partition, DetectTask>,
    /// Partitions to recover again after a stale commit, and from when on.
    again: Option<(i64, Vec<Partition>)>,
    started: bool,
    /// This process's definitions were proposed in the place of others.
    proposed: bool,
    once: bool,
    epoch: Option<(i64, Option<i64>)>,
    /// Counts for the metrics.
    pub counters: Counters,
    /// Alerts of the last committed epochs, taken by whoever shows them.
    pub published: Vec<Raised>,
}

impl DetectStage {
    /// Topics that a member of this stage subscribes to.
    pub fn topics(settings: &Settings) -> Vec<String> {
        vec![settings.topic("summaries")]
    }

    /// A stage. `once`: it is finished when all sources are and every pane is closed.
    pub fn new(settings: Arc<Settings>, once: bool) -> DetectStage {
        DetectStage {
            settings,
            tasks: BTreeMap::new(),
            again: None,
            started: false,
            proposed: false,
            once,
            epoch: None,
            counters: Counters::default(),
            published: Vec::new(),
        }
    }

    /// The monitors of this member.
    pub fn monitors(&self) -> impl Iterator<Item = (Partition, &Monitor)> {
        self.tasks.iter().map(|(p, t)| (*p, &t.monitor))
    }

    /// Whether partitions are assigned and their state is there.
    pub fn ready(&self) -> bool {
        self.started
    }

    /// One turn: poll, observe, end the epoch if it is due.
    pub fn step(&mut self, log: &mut dyn Log, patience: Duration) -> Result<Step, Fatal> {
        let now = log.now_ms();
        let patience = match self.epoch {
            _ if self.tasks.keys().any(|p| log.waits(TopicIx(0), *p)) => Duration::ZERO,
            Some((_, Some(hurry))) => patience.min(Duration::from_millis((hurry - now).clamp(0, 1_000) as u64)),
            _ => patience,
        };
        match log.poll(patience)? {
            Polled::Records => self.observe(log, now)?,
            Polled::Revoked => {
                self.end_epoch(log, true)?;
                self.again = None;
                self.drop_state();
                log.release()?;
            }
            Polled::Lost => {
                self.again = None;
                self.drop_state();
                log.release()?;
            }
            Polled::Assigned(partitions) => {
                self.again = None;
                self.assigned(log, &partitions)?;
            }
        }
        if let Some((_, partitions)) = self.again.take_if(|(not_before, _)| log.now_ms() >= *not_before) {
            self.assigned(log, &partitions)?;
        }
        self.hurry(log.now_ms());
        if self.is_due(log.now_ms()) {
            self.end_epoch(log, false)?;
        }
        Ok(if self.once && self.finished() { Step::Finished } else { Step::Again })
    }

    /// Feeds what has come to the monitors.
    fn observe(&mut self, log: &mut dyn Log, now: i64) -> Result<(), Fatal> {
        let summaries = self.settings.topic("summaries");
        for (partition, task) in &mut self.tasks {
            let (mut left, mut broken) = (TURN, None);
            // what comes from here on waits for the next turn: nothing is observed outside of an epoch
            let waits = log.waits(TopicIx(0), *partition);
            if !waits && !planted(Bug::ObservedOutside) {
                continue;
            }
            if self.epoch.is_none() && waits {
                log.begin_epoch();
                self.epoch = Some((now, None));
            }
            log.hand_over(TopicIx(0), *partition, &mut |r: Record<'_>| {
                if let Some(Err(e)) = r.value.map(|value| task.monitor.observe(r.offset, value, &mut task.effects)) {
                    broken = Some(Fatal(format!("{summaries}[{}] offset {}: {e}", r.partition.0, r.offset.0)));
                    return Handed::Stays;
                }
                task.next = Offset(r.offset.0 + 1);
                task.changed = true;
                left -= 1;
                if left > 0 { Handed::Next } else { Handed::Enough }
            })?;
            if let Some(fatal) = broken {
                return Err(fatal);
            }
        }
        Ok(())
    }

    /// A clean stop: ends the epoch with fresh chunks, commits, leaves the group.
    pub fn stop(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        self.end_epoch(log, true)?;
        log.leave();
        Ok(())
    }

    fn finished(&self) -> bool {
        self.started && self.epoch.is_none() && self.tasks.values().all(|t| t.monitor.finished())
    }

    fn assigned(&mut self, log: &mut dyn Log, partitions: &[Partition]) -> Result<(), Fatal> {
        let (mut at, mut propose) = (Vec::new(), false);
        for p in partitions {
            let began = log.now_ms();
            let r = recover_monitor(log, &self.settings, *p)?;
            if r.rebuilt {
                self.counters.restores_ms.push((log.now_ms() - began) as f64);
            }
            let skipped = i64::from(r.rebuilt && planted(Bug::DetectSkips));
            at.push((TopicIx(0), *p, Offset(r.next.0 + skipped)));
            propose |= match r.monitor.definitions() {
                None => *p == Partition(0),
                Some(in_force) => !self.proposed && changed::differs(in_force, &self.settings.definitions),
            };
            let task = DetectTask {
                next: r.next,
                seq: r.seq,
                paced: log.now_ms(),
                version: newest(&r.monitor),
                monitor: r.monitor,
                effects: Effects::default(),
                changed: false,
            };
            self.tasks.insert(*p, task);
        }
        self.offer(log, partitions)?;
        if propose {
            log.begin_epoch();
            let done = matches!(commit_epoch(log, &[proposal(&self.settings)], &[], |_| {})?, Ended::Committed);
            changed::account(&self.settings, done);
            let in_force = self.tasks.values().find_map(|t| t.monitor.definitions());
            if let Some(in_force) = in_force.filter(|_| done) {
                self.proposed = true;
                changed::tell_proposed(in_force, &self.settings.definitions);
            }
        }
        self.started = true;
        log.start(&at)
    }

    /// Gives monitors the baseline files of this process that they have never seen.
    fn offer(&mut self, log: &mut dyn Log, partitions: &[Partition]) -> Result<(), Fatal> {
        let settings = self.settings.clone();
        for baseline in &settings.baselines {
            let partition = settings.partition_of(&baseline.model);
            let unknown = self.tasks.get(&partition).is_some_and(|t| !t.monitor.knows_baseline(baseline.id));
            if partitions.contains(&partition) && unknown {
                log.begin_epoch();
                let record = plain(&settings.topic("summaries"), Some(partition), None, baseline.record.to_vec());
                let done = matches!(commit_epoch(log, &[record], &[], |_| {})?, Ended::Committed);
                changed::account_baseline(&settings, &baseline.model, baseline.id, done);
            }
        }
        Ok(())
    }

    fn hurry(&mut self, now: i64) {
        let urgent = self.tasks.values().any(|t| t.effects.moved || !t.effects.alerts.is_empty() || !t.effects.definitions.is_empty());
        if let Some((_, hurry)) = self.epoch.as_mut().filter(|_| urgent) {
            hurry.get_or_insert(now + AFTER_CLOSE);
        }
    }

    fn is_due(&self, now: i64) -> bool {
        self.epoch.is_some_and(|(began, hurry)| hurry.is_some_and(|at| now >= at) || now - began >= self.settings.epoch.time.0)
    }

    fn end_epoch(&mut self, log: &mut dyn Log, stopping: bool) -> Result<(), Fatal> {
        if self.epoch.take().is_none() {
            return Ok(());
        }
        let (records, positions, alerts) = self.collect(log.now_ms(), stopping).map_err(|e| Fatal(format!("encoding an alert: {e}")))?;
        if positions.is_empty() {
            return Ok(());
        }
        let began = log.now_ms();
        let transactions = &mut self.counters.transactions;
        match commit_epoch(log, &records, &positions, |c| *transactions.entry(word(c)).or_default() += 1)? {
            Ended::Committed => {
                self.counters.epochs += 1;
                self.counters.transaction_ms.push((log.now_ms() - began) as f64);
                self.count_alerts(&alerts);
                self.published.extend(alerts);
            }
            Ended::Rebuild(why) => {
                tracing::warn!("the group has moved on ({why}); the monitors are rebuilt from their state");
                // if the group takes the partitions away, the next poll says so; otherwise they are still ours
                self.again = Some((log.now_ms() + NEWS, self.tasks.keys().copied().collect()));
                self.drop_state();
            }
        }
        Ok(())
    }

    fn collect(&mut self, now: i64, stopping: bool) -> Result<Output, AlertError> {
        let (mut records, mut positions, mut alerts) = (Vec::new(), Vec::new(), Vec::new());
        for (partition, task) in self.tasks.iter_mut().filter(|(_, t)| t.changed) {
            let effects = std::mem::take(&mut task.effects);
            task.seq = EpochSeq(task.seq.0 + 1);
            for raised in &effects.alerts {
                records.push(alert_record(&self.settings, *partition, raised)?);
            }
            publish_plan(&self.settings, &effects, task.monitor.progress(), &mut records);
            records.extend(state_records(&self.settings, *partition, task.state(now, stopping, self.settings.state)));
            let metadata = Pointer { seq: task.seq, floor: task.monitor.oldest_chunk() }.to_string();
            if planted(Bug::NoOffsetsOfOthers) && !effects.moved {
                continue;
            }
            positions.push(Position { topic: TopicIx(0), partition: *partition, next: task.next, metadata });
            alerts.extend(effects.alerts);
            let tally = task.monitor.take_tally();
            changed::tell(*partition, &task.monitor, task.version, &tally);
            task.version = newest(&task.monitor);
            add_tally(&mut self.counters.monitor, tally);
            task.changed = false;
        }
        Ok((records, positions, alerts))
    }

    fn count_alerts(&mut self, alerts: &[Raised]) {
        for a in alerts {
            let key = (a.alert.kind.word().to_string(), a.alert.severity.word().to_string(), a.alert.status.word().to_string());
            *self.counters.alerts.entry(key).or_default() += 1;
        }
    }

    fn drop_state(&mut self) {
        self.tasks.clear();
        self.epoch = None;
        self.started = false;
    }
}

/// The alerts topic has two partitions per summaries partition, one per kind of pane: each holds one order that no timing can change.
pub fn alerts_partition(summaries: Partition, kind: PaneKind) -> Partition {
    Partition(summaries.0 * 2 + i32::from(kind == PaneKind::Pair))
}

fn alert_record(settings: &Settings, partition: Partition, raised: &Raised) -> Result<OutRecord, AlertError> {
    let format = match settings.alerts.format {
        AlertFormat::Json => Format::Json,
        AlertFormat::Avro => Format::Avro,
    };
    let value = encode(&raised.alert, format)?;
    let headers = headers(&raised.alert, format).into_iter().map(|(name, value)| (name.to_string(), Some(value.into_bytes()))).collect();
    Ok(OutRecord {
        topic: settings.alerts.topic.clone(),
        partition: Some(alerts_partition(partition, raised.kind)),
        key: Some(raised.alert.fingerprint.clone().into_bytes()),
        value: Some(value),
        headers,
    })
}

fn publish_plan(settings: &Settings, effects: &Effects, progress: Option<Progress>, records: &mut Vec<OutRecord>) {
    let (plan, summaries) = (settings.topic("plan"), settings.topic("summaries"));
    let to_plan = |key: Vec<u8>, value: Vec<u8>| plain(&plan, Some(Partition(0)), Some(key), value);
    for d in &effects.definitions {
        records.extend((0..settings.summaries_partitions).map(|p| plain(&summaries, Some(Partition(p)), None, d.to_bytes())));
        records.push(to_plan(d.key(), d.to_bytes()));
    }
    records.extend(effects.edges.iter().map(|e| to_plan(e.key(), e.to_bytes())));
    if let Some(p) = progress.filter(|_| effects.moved) {
        records.push(to_plan(Progress::key(Partition(p.partition)), p.to_bytes()));
    }
}

fn state_records(settings: &Settings, partition: Partition, records: Vec<StateRecord>) -> impl Iterator<Item = OutRecord> {
    let topic = settings.topic("state");
    records.into_iter().map(move |r| plain(&topic, Some(partition), Some(r.key), r.value))
}

fn add_tally(sum: &mut crate::engine::monitor::Tally, t: crate::engine::monitor::Tally) {
    for i in 0..2 {
        sum.panes[i] += t.panes[i];
    }
    sum.late_rows += t.late_rows;
    sum.moved_pairs += t.moved_pairs;
    sum.mixed += t.mixed;
    sum.refused_segments += t.refused_segments;
    sum.refused_models += t.refused_models;
    sum.labels = (sum.labels.0 + t.labels.0, sum.labels.1 + t.labels.1, sum.labels.2 + t.labels.2);
    sum.stale_definitions += t.stale_definitions;
    sum.refused_definitions += t.refused_definitions;
    sum.outside += t.outside;
    sum.refused_commands += t.refused_commands;
}
