//! A process: one stage on one log, stepped by the scheduler.

use super::edge::{Edge, World};
use super::scenario::{File, Scenario};
use driftline::config::settings::Settings;
use driftline::engine::types::{EventTime, Input};
use driftline::log::Fatal;
use driftline::log::memory::{MemberOptions, MemoryLog};
use driftline::stage::detect::DetectStage;
use driftline::stage::join::{JoinStage, Step};
use driftline::stage::join_task::JoinTask;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Which of the two stages.
pub enum Stage {
    /// Joins.
    Join(Box<JoinStage>),
    /// Detects.
    Detect(Box<DetectStage>),
}

/// A place for a process: its stable name.
pub struct Seat {
    /// Name of the static member.
    pub name: String,
    /// It belongs to the join stage.
    pub joins: bool,
    /// What its file says.
    pub file: File,
    /// Nobody starts it before this time; `None`: until somebody wants it again.
    pub starts_at: Option<i64>,
    /// Nobody starts it ever again.
    pub retired: bool,
}

impl Seat {
    /// Number `n` of a stage, to be taken from `starts_at` on.
    pub fn new(joins: bool, n: usize, starts_at: i64) -> Seat {
        let name = format!("{}-{n:04}", if joins { "join" } else { "detect" });
        Seat { name, joins, file: File::First, starts_at: Some(starts_at), retired: false }
    }
}

/// A running process.
pub struct Process {
    /// Its number.
    pub id: u64,
    /// Its seat.
    pub seat: usize,
    /// Its log.
    pub edge: Edge,
    /// Its stage.
    pub stage: Stage,
    /// It does nothing before this time.
    pub asleep_until: i64,
    /// Another process has been started in its seat, or will be.
    pub replaced: bool,
    /// There was another one in its seat at the same time.
    pub had_twin: bool,
    /// One turn in so many is its.
    pub slowness: usize,
    /// It says that everything is done.
    pub finished: bool,
    /// Bytes that its live rows may take.
    memory: u64,
}

/// Totals of what processes have counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Tasks and monitors that were rebuilt.
    pub restores: u64,
    /// Rebuilt states that were not what the journal says.
    pub digests: u64,
    /// Epochs committed.
    pub epochs: u64,
}

impl Process {
    /// Starts one.
    pub fn start(s: &Scenario, world: &Rc<World>, settings: &Arc<Settings>, place: &Seat, seat: usize) -> Result<Process, Fatal> {
        let (stage, topics, follow) = if place.joins {
            let stage = JoinStage::new(settings.clone(), s.partitions as u32, s.once).map_err(Fatal)?;
            (Stage::Join(Box::new(stage)), JoinStage::topics(settings), Some(settings.topic("plan")))
        } else {
            (Stage::Detect(Box::new(DetectStage::new(settings.clone(), s.once))), DetectStage::topics(settings), None)
        };
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let group = if place.joins { "sim-join" } else { "sim-detect" };
        let options = MemberOptions {
            follow,
            most_per_poll: if place.joins { s.most_per_poll } else { 4 * s.most_per_poll },
            ..MemberOptions::new(group, &place.name, &topics)
        };
        let log = MemoryLog::open(world.cluster.clone(), options)?;
        let edge = Edge::new(log, world.clone(), &place.name, s.epoch_ms);
        let memory = settings.memory_limit;
        Ok(Process { id: 0, seat, edge, stage, asleep_until: 0, replaced: false, had_twin: false, slowness: 1, finished: false, memory })
    }

    /// One turn.
    pub fn step(&mut self) -> Result<(), Fatal> {
        let step = match &mut self.stage {
            Stage::Join(stage) => {
                let epochs = stage.counters.epochs;
                let step = stage.step(&mut self.edge, Duration::ZERO)?;
                if stage.counters.epochs > epochs {
                    fits(stage, self.memory);
                }
                step
            }
            Stage::Detect(stage) => stage.step(&mut self.edge, Duration::ZERO)?,
        };
        self.finished = step == Step::Finished;
        Ok(())
    }

    /// A clean stop.
    pub fn stop(&mut self) -> Result<(), Fatal> {
        match &mut self.stage {
            Stage::Join(stage) => stage.stop(&mut self.edge),
            Stage::Detect(stage) => stage.stop(&mut self.edge),
        }
    }

    /// Adds its counts to `total`.
    pub fn count(&self, total: &mut Counted) {
        let counters = match &self.stage {
            Stage::Join(stage) => &stage.counters,
            Stage::Detect(stage) => &stage.counters,
        };
        total.restores += counters.restores_ms.len() as u64;
        total.digests += counters.digest_mismatches;
        total.epochs += counters.epochs;
    }
}

/// What lives after an epoch fits the limit; if rows had to go, three quarters of it, and what can't go: nobody may let go of a row that a
/// record in order could still be older than.
fn fits(stage: &JoinStage, limit: u64) {
    let live = stage.tasks().map(|t| t.join.live_bytes() as u64).sum::<u64>();
    if live <= limit {
        return;
    }
    let young: u64 = stage.tasks().map(young_bytes).sum();
    assert!(
        live <= limit / 4 * 3 + young,
        "{live} bytes of rows are alive after an epoch, {young} of them too young to go; the limit is {limit}"
    );
}

fn young_bytes(task: &JoinTask) -> u64 {
    let (rows, waiting, _) = task.join.census();
    let young = |input: Input, n: u64| {
        let last = EventTime(task.join.clocks[input.index()].before().0.saturating_sub(1));
        let old = (1..=n).take_while(|k| task.join.oldest(input, *k as usize).is_some_and(|t| t < last)).count();
        (n - old as u64) * 104 // the larger of the two
    };
    young(Input::Predictions, rows) + young(Input::Outcomes, waiting)
}
