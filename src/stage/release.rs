//! The memory limit, and the words that go with released rows.
//!
//! Guarantees: live rows of a process do not stay above `memory.limit` longer than an epoch; what is let go is decided here, by the
//! size of memory, and recorded with the epoch (`engine/join/release.rs`).
//! Never: decides by memory anything that is not recorded.
//! Comes from: the tasks' memory. Goes to: the epoch's end (`flow::end_join_epoch`), the log that people read.

use super::join::JoinStage;
use super::join_task::JoinTask;
use super::judge::topic_of;
use crate::config::settings::Settings;
use crate::engine::types::Input;
use crate::planted::{Bug, planted};

/// Rows are let go until they take three of four parts of the limit.
const PARTS: u64 = 4;
/// A task says at most this often (ms) that it lets go of rows.
const AGAIN: i64 = 60_000;

impl JoinStage {
    /// Chooses what to let go if the live rows of this member's tasks are beyond its share of the limit.
    pub(super) fn fit_memory(&mut self, now: i64) {
        let limit = self.settings.memory_limit / self.settings.threads.join.max(1) as u64;
        let bytes = self.tasks.values().map(|t| t.join.live_bytes()).sum::<usize>() as u64;
        if bytes <= limit << u32::from(planted(Bug::TwiceTheLimit)) {
            return;
        }
        if self.tasks.values().all(|t| now.saturating_sub(t.warned) >= AGAIN) {
            tracing::warn!(
                "rows of {} KiB pass this thread's share of memory.limit ({} KiB): the oldest are released (docs/operations.md, `Memory`)",
                bytes >> 10,
                limit >> 10
            );
            self.tasks.values_mut().for_each(|t| t.warned = now);
        }
        let too_many = bytes - limit / PARTS * (PARTS - 1);
        for task in self.tasks.values_mut() {
            let (rows, waiting, _) = task.join.census();
            for (input, entries) in Input::BOTH.into_iter().zip([rows, waiting]) {
                let n = (u128::from(entries) * u128::from(too_many)).div_ceil(u128::from(bytes)) as usize;
                task.to_release.extend(task.join.oldest(input, n).map(|up_to| (input, up_to)));
            }
            task.changed |= !task.to_release.is_empty();
        }
    }
}

/// Says what a task has let go in the epoch that ends.
pub(super) fn warn(task: &mut JoinTask, settings: &Settings, now: i64) {
    let [predictions, outcomes] = task.tally.released;
    if predictions + outcomes == 0 || now.saturating_sub(task.warned) < AGAIN {
        return;
    }
    task.warned = now;
    let (kept, stopped, fate) = match predictions {
        0 => (outcomes, Input::Predictions, "waiting outcomes are counted as orphans; predictions that come for them will be unlabelled"),
        n => (n, Input::Outcomes, "predictions are counted as unlabelled; outcomes that come for them will be orphans"),
    };
    tracing::warn!(
        "{}[{}] is further behind than join.window + join.hold: {kept} {fate} (docs/operations.md, `An input that stops`)",
        topic_of(settings, stopped),
        task.partition.0,
    );
}
