//! Rebuilding tasks from the log: join tasks from their journal, monitors from state and summaries.
//!
//! Guarantees: a rebuilt task is the one that wrote the committed epoch; the journal and the state are read until that epoch *has been
//! seen*, never just to the end (commit markers reach brokers at different times).
//! Never: reads an input again, decides anything again.

use super::join_task::JoinTask;
use crate::config::settings::{Settings, StartFrom};
use crate::engine::book::Book;
use crate::engine::definitions::Definitions;
use crate::engine::join::Recovery;
use crate::engine::journal::{self, EdgeDecision, Epoch};
use crate::engine::monitor::Monitor;
use crate::engine::monitor::restore::Restore;
use crate::engine::types::{EpochSeq, Input, Offset, Partition};
use crate::log::{CommittedPosition, Fatal, Log, Pointer, TopicIx};
use crate::planted::{Bug, planted};

/// How long a committed epoch may stay invisible: the transaction timeout and a minute.
const PATIENCE_MS: i64 = 90_000;

/// A join task, ready to go on.
pub enum Recovered {
    /// Its state was still in memory and is the committed one.
    Parked(Box<JoinTask>),
    /// There was no history.
    Fresh(Box<JoinTask>),
    /// Read from the journal.
    Rebuilt {
        /// The task.
        task: Box<JoinTask>,
        /// Count or digest of its rows differ from what the journal says, even after a second reading.
        digest_differs: bool,
    },
}

impl Recovered {
    /// The task.
    pub fn into_task(self) -> JoinTask {
        match self {
            Recovered::Parked(t) | Recovered::Fresh(t) | Recovered::Rebuilt { task: t, .. } => *t,
        }
    }
}

fn pointer(position: &CommittedPosition) -> Result<Option<Pointer>, Fatal> {
    match position.next {
        None => Ok(None),
        Some(_) => position.metadata.parse().map(Some).map_err(Fatal),
    }
}

/// Brings a join task to its committed epoch.
pub fn recover_join(
    log: &mut dyn Log,
    settings: &Settings,
    partition: Partition,
    d: &Definitions,
    parked: Option<JoinTask>,
) -> Result<Recovered, Fatal> {
    let of = Input::BOTH.map(|i| (TopicIx(i.index() as u8), partition));
    let committed = log.committed(&of)?;
    let pointers = [pointer(&committed[0])?, pointer(&committed[1])?];
    if pointers[0].map(|p| p.seq) != pointers[1].map(|p| p.seq) {
        return Err(Fatal(format!(
            "partition {}: the committed offsets of predictions and outcomes are of different epochs: offsets were reset; see docs/operations.md",
            partition.0
        )));
    }
    if let (Some(mut task), Some(at)) = (parked, pointers[0])
        && (task.join.epoch.0 == at.seq.0 + 1 || planted(Bug::ParkedUnseen))
        && ([Some(task.next[0]), Some(task.next[1])] == [committed[0].next, committed[1].next] || planted(Bug::ParkedUnseen))
    {
        task.blocked = [false; 2];
        task.book = Book::default(); // features may be numbered anew since
        return Ok(Recovered::Parked(Box::new(task)));
    }
    let mut read = read_journal(log, settings, partition, d, pointers[0])?;
    if read.as_ref().is_some_and(|r| r.1.join.census() != r.0.census) {
        tracing::warn!("partition {}: rows rebuilt from the journal differ from its digest; reading it once more", partition.0);
        read = read_journal(log, settings, partition, d, pointers[0])?;
    }
    match read {
        Some(_) if pointers[0].is_none() && planted(Bug::ExpiredIsNew) => fresh(log, settings, partition, d),
        None => fresh(log, settings, partition, d),
        Some((epoch, mut task)) => {
            skip_lost(log, settings, &mut task)?;
            let digest_differs = task.join.census() != epoch.census;
            if digest_differs {
                tracing::error!(
                    "partition {}: rows rebuilt from the journal differ from its digest (have {:?}, want {:?}); going on",
                    partition.0,
                    task.join.census(),
                    epoch.census
                );
            }
            Ok(Recovered::Rebuilt { task: Box::new(task), digest_differs })
        }
    }
}

fn fresh(log: &mut dyn Log, settings: &Settings, partition: Partition, d: &Definitions) -> Result<Recovered, Fatal> {
    let mut next = [Offset(0); 2];
    for i in Input::BOTH {
        let ends = log.ends(TopicIx(i.index() as u8), partition)?;
        next[i.index()] = if settings.start_from == StartFrom::Earliest { ends.low } else { ends.high };
    }
    Ok(Recovered::Fresh(Box::new(JoinTask::fresh(partition, d.join, next, log.now_ms()))))
}

/// Retention may have overtaken a position: the loss is recorded, counted and shown, and reading goes on.
fn skip_lost(log: &mut dyn Log, settings: &Settings, task: &mut JoinTask) -> Result<(), Fatal> {
    for input in Input::BOTH {
        let i = input.index();
        let low = log.ends(TopicIx(i as u8), task.partition)?.low;
        if low > task.next[i] {
            tracing::error!(
                "{}[{}]: offsets {} to {} are gone (retention); raise the topic's retention above the longest downtime",
                super::judge::topic_of(settings, input),
                task.partition.0,
                task.next[i].0,
                low.0 - 1
            );
            if !planted(Bug::LossNotRecorded) {
                task.edge_decisions.push(EdgeDecision::Lost { input, from: task.next[i], to: low });
            }
            task.next[i] = low;
            // a record whose time was shown may be among the lost: what follows must not fall behind the mark that showed it
            let shown = task.join.clocks[i].peeked;
            if !planted(Bug::LossGoesBack) {
                task.join.clocks[i].consume(shown);
            }
            task.changed = true;
        }
    }
    Ok(())
}

/// Reads the journal up to the wanted epoch (or, without one, to its last complete epoch).
fn read_journal(
    log: &mut dyn Log,
    settings: &Settings,
    partition: Partition,
    d: &Definitions,
    wanted: Option<Pointer>,
) -> Result<Option<(Epoch, JoinTask)>, Fatal> {
    let began = log.now_ms();
    loop {
        let mut reader = JournalReader {
            recovery: Recovery::new(d.join),
            cells: Vec::new(),
            parts: 0,
            facts: None,
            complete: None,
            error: None,
            floor: wanted.map_or(EpochSeq(0), |p| p.floor),
            before: false,
            begins: None,
            until: wanted.map(|p| p.seq),
        };
        log.scan(&settings.topic("journal"), partition, None, &mut |r| r.value.is_none_or(|v| reader.take(v, r.offset)))?;
        if let Some(e) = reader.error {
            return Err(Fatal(format!("{}[{}]: {e}", settings.topic("journal"), partition.0)));
        }
        let seen = reader.complete.as_ref().map_or(EpochSeq(0), |e| e.seq);
        match wanted {
            Some(p) if seen < p.seq && !planted(Bug::JournalToItsEnd) => {
                if log.now_ms() - began > PATIENCE_MS {
                    return Err(Fatal(format!(
                        "{}[{}]: epoch {} is committed but has not appeared (last seen: {}); see docs/operations.md, `offsets were reset`",
                        settings.topic("journal"),
                        partition.0,
                        p.seq.0,
                        seen.0
                    )));
                }
            }
            _ => return Ok(reader.finish(partition, log.now_ms())),
        }
    }
}

struct JournalReader {
    recovery: Recovery,
    cells: Vec<crate::engine::cell::CellKey>,
    parts: u64,
    facts: Option<Epoch>,
    complete: Option<Epoch>,
    error: Option<String>,
    floor: EpochSeq,
    /// Records lie before the floor; where it begins.
    before: bool,
    begins: Option<Offset>,
    until: Option<EpochSeq>,
}

impl JournalReader {
    /// Takes a record in; false when enough was read.
    fn take(&mut self, value: &[u8], offset: Offset) -> bool {
        match self.apply(value, offset) {
            Ok(()) => self.until.is_none_or(|u| self.complete.as_ref().is_none_or(|e| e.seq < u)),
            Err(e) => {
                self.error = Some(format!("offset {}: {e}", offset.0));
                false
            }
        }
    }

    fn apply(&mut self, value: &[u8], offset: Offset) -> Result<(), crate::codec::wire::Malformed> {
        let part = journal::open(value)?;
        if part.seq < self.floor {
            self.before = true;
            return Ok(());
        }
        self.begins.get_or_insert(offset);
        if part.part.0 == 0 {
            self.cells.clear();
            self.parts = 0;
            self.facts = part.facts.clone();
            self.recovery.epoch(part.seq);
        }
        part.apply(&mut self.recovery, &mut self.cells)?;
        self.recovery.read(part.seq, value.len());
        self.parts += 1;
        if self.parts == part.part.1 {
            self.complete = self.facts.take();
        }
        Ok(())
    }

    fn finish(self, partition: Partition, now: i64) -> Option<(Epoch, JoinTask)> {
        let epoch = self.complete?;
        let join = self.recovery.finish(&epoch);
        let mut task = JoinTask::new(partition, join, epoch.next, epoch.activity, now);
        task.floor = epoch.floor;
        task.begins = self.begins.filter(|_| self.before).map(|at| (self.floor, at));
        Some((epoch, task))
    }
}

/// A monitor brought to its committed offset, with the epoch of its last head.
pub struct RecoveredMonitor {
    /// The monitor.
    pub monitor: Monitor,
    /// The next offset to observe.
    pub next: Offset,
    /// Its last epoch.
    pub seq: EpochSeq,
    /// False if there was no history.
    pub rebuilt: bool,
}

/// Brings a monitor to its committed epoch.
pub fn recover_monitor(log: &mut dyn Log, settings: &Settings, partition: Partition) -> Result<RecoveredMonitor, Fatal> {
    let committed = log.committed(&[(TopicIx(0), partition)])?.remove(0);
    let wanted = pointer(&committed)?;
    let began = log.now_ms();
    let state = settings.topic("state");
    let restore = loop {
        let mut restore = Restore::default();
        let mut error = None;
        log.scan(&state, partition, None, &mut |r| {
            if let Some(Err(e)) = r.value.map(|v| restore.observe(v)) {
                error = Some(format!("{state}[{}] offset {}: {e}", partition.0, r.offset.0));
            }
            error.is_none()
        })?;
        if let Some(e) = error {
            return Err(Fatal(e));
        }
        match (wanted, restore.seq()) {
            (None, None) => {
                let low = log.ends(TopicIx(0), partition)?.low;
                return Ok(RecoveredMonitor { monitor: Monitor::new(partition), next: low, seq: EpochSeq(0), rebuilt: false });
            }
            (Some(p), Some(seen)) if seen >= p.seq || planted(Bug::StateToItsEnd) => break restore,
            (None, Some(_)) => break restore, // the group's offset expired: the head is the position
            (Some(p), _) if log.now_ms() - began > PATIENCE_MS => {
                return Err(Fatal(format!(
                    "{state}[{}]: epoch {} is committed but has not appeared; see docs/operations.md",
                    partition.0, p.seq.0
                )));
            }
            _ => {}
        }
    };
    replay(log, settings, partition, restore)
}

fn replay(log: &mut dyn Log, settings: &Settings, partition: Partition, restore: Restore) -> Result<RecoveredMonitor, Fatal> {
    let seq = restore.seq().unwrap_or_default();
    let summaries = settings.topic("summaries");
    let broken = |offset: i64, e: crate::codec::wire::Malformed| Fatal(format!("{summaries}[{}] offset {offset}: {e}", partition.0));
    let mut replay = restore.begin(partition).map_err(|e| Fatal(format!("{}[{}]: {e}", settings.topic("state"), partition.0)))?;
    let next = replay.next;
    let mut error = None;
    log.scan(&summaries, partition, replay.from, &mut |r| {
        if r.offset >= next {
            return false;
        }
        if let Some(Err(e)) = r.value.map(|v| replay.observe(r.offset, v)) {
            error = Some(broken(r.offset.0, e));
        }
        error.is_none()
    })?;
    match error {
        Some(e) => Err(e),
        None => {
            let monitor = replay.finish().map_err(|e| broken(next.0, e))?;
            Ok(RecoveredMonitor { monitor, next, seq, rebuilt: true })
        }
    }
}
