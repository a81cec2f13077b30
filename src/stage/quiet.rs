//! Quiet inputs: idle, silent, finished, or stuck behind a transaction that nobody ends.
//!
//! Guarantees: each of these is decided here by wall clock, once, and goes into the epoch's journal and mark; an input is never idle
//! or silent while a transaction is open at its end, because what it holds may still come.
//! Never: moves a watermark; asks the broker on the record path, or more than once a second and partition about an open transaction.
//! Comes from: `log` (ends of partitions). Goes to: `join_task` (activity), the log that people read.

use super::join::JoinStage;
use super::judge::topic_of;
use crate::engine::journal::Activity;
use crate::engine::types::{Input, Offset, Partition, Span};
use crate::log::{Ends, Fatal, Log, TopicIx};
use crate::planted::{Bug, planted};

/// Looks at wall clock and inputs at most this often (ms).
const LOOK: i64 = 100;
/// An open transaction at the end of an input is asked about again after this time (ms), and
const ASK_AGAIN: i64 = 1_000;
/// an input that holds nobody back after this.
const ASK_SELDOM: i64 = 30_000;
/// A transaction that keeps the last stable offset where it is for this long (ms) is taken for hanging.
pub const STUCK_AFTER: i64 = 600_000;

/// What is known of an open transaction at the end of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hanging {
    asked: i64,
    /// Where it begins, and the wall clock (ms) when it was first seen there.
    open: Option<(Offset, i64)>,
    /// Where the transaction begins that the input was declared stuck for.
    pub stuck_at: Option<Offset>,
}

impl Hanging {
    fn may_ask(&self, now: i64, urgent: bool) -> bool {
        let pause = match (urgent, self.open) {
            (true, None) => 0,
            (true, Some(_)) => ASK_AGAIN,
            (false, _) => ASK_SELDOM,
        };
        now - self.asked >= pause
    }

    /// Takes in an answer; true if the same transaction has been open for too long.
    fn observe(&mut self, now: i64, ends: &Ends) -> bool {
        self.asked = now;
        self.open = match self.open {
            _ if ends.last_stable >= ends.high => None,
            Some((at, since)) if at == ends.last_stable => Some((at, since)),
            _ => Some((ends.last_stable, now)),
        };
        self.open.is_some_and(|(_, since)| now - since >= STUCK_AFTER)
    }
}

impl JoinStage {
    /// Declares inputs idle, silent, finished or stuck; the decision goes into the epoch's journal and mark.
    pub(super) fn watch_quiet(&mut self, log: &mut dyn Log) -> Result<(), Fatal> {
        let now = log.now_ms();
        let Some(pane) = self.plan.definitions.as_ref().map(|v| v.definitions.pane.0) else { return Ok(()) };
        if now < self.next_quiet_check {
            return Ok(());
        }
        self.next_quiet_check = now + LOOK;
        let silent_after = Span(self.settings.silence_after.0.max(pane.0));
        for (partition, input, wanted) in self.quiet_inputs(log, now, silent_after) {
            self.ask(log, now, partition, input, wanted)?;
        }
        Ok(())
    }

    /// Inputs at rest with what their quiet amounts to, where it is worth asking the broker.
    fn quiet_inputs(&mut self, log: &dyn Log, now: i64, silent_after: Span) -> Vec<(Partition, Input, Activity)> {
        let mut quiet = Vec::new();
        for task in self.tasks.values_mut() {
            for input in Input::BOTH {
                let i = input.index();
                if !log.at_end(TopicIx(i as u8), task.partition) {
                    task.quiet_since[i] = i64::MAX;
                    task.hanging[i] = Hanging::default();
                    continue;
                }
                task.quiet_since[i] = task.quiet_since[i].min(now);
                let wanted = match now - task.quiet_since[i] {
                    _ if self.once => Activity::Finished,
                    ms if ms >= silent_after.0 => Activity::Silent,
                    ms if ms >= self.settings.idle_timeout.0 => Activity::Idle,
                    _ => Activity::Active,
                };
                let may_hang = wanted > Activity::Active && task.activity[i] < Activity::Silent;
                if (wanted > task.activity[i] || may_hang) && task.hanging[i].may_ask(now, wanted > task.activity[i]) {
                    quiet.push((task.partition, input, wanted));
                }
            }
        }
        quiet
    }

    fn ask(&mut self, log: &mut dyn Log, now: i64, partition: Partition, input: Input, wanted: Activity) -> Result<(), Fatal> {
        let (i, topic) = (input.index(), TopicIx(input.index() as u8));
        let ends = log.ends(topic, partition)?;
        let Some(task) = self.tasks.get_mut(&partition) else { return Ok(()) };
        let hangs = task.hanging[i].observe(now, &ends);
        let known = task.hanging[i].stuck_at;
        if hangs && known != Some(ends.last_stable) {
            task.hanging[i].stuck_at = Some(ends.last_stable);
            tracing::error!("{}", stuck_message(topic_of(&self.settings, input), partition, &ends));
            self.declare(log, partition, input, Activity::Stuck);
        } else if (ends.last_stable == ends.high || planted(Bug::IdleBelowHigh)) && rests(log, topic, partition, &ends) {
            if known.is_some() {
                task.hanging[i].stuck_at = None;
                tracing::info!("{}[{}]: the open transaction has ended", topic_of(&self.settings, input), partition.0);
            }
            if wanted > self.tasks[&partition].activity[i] {
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
}

/// Whether the reader stands where the input ends now. It may have rested at an earlier end: a transaction that ended since has
/// brought records that it has not seen.
fn rests(log: &dyn Log, topic: TopicIx, partition: Partition, ends: &Ends) -> bool {
    log.rests_at(topic, partition).is_some_and(|at| at >= ends.last_stable || planted(Bug::RestsElsewhere))
}

/// What is wrong, what driftline does about it, and what to do.
fn stuck_message(topic: &str, partition: Partition, ends: &Ends) -> String {
    let (p, at) = (partition.0, ends.last_stable.0);
    format!(
        "{topic}[{p}] is stuck: a producer's transaction that begins at offset {at} has been open for {} minutes, and nothing behind it (to \
         offset {}) can be read. The input is treated as idle, so what the transaction holds back may be late when it comes. Find the \
         producer with `kafka-transactions.sh --bootstrap-server BROKERS find-hanging --topic {topic} --partition {p}` and end its \
         transaction with `kafka-transactions.sh --bootstrap-server BROKERS abort --topic {topic} --partition {p} --start-offset {at}`",
        STUCK_AFTER / 60_000,
        ends.high.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(last_stable: i64, high: i64) -> Ends {
        Ends { low: Offset(0), last_stable: Offset(last_stable), high: Offset(high) }
    }

    #[test]
    fn only_one_transaction_that_stays_open_hangs() {
        let mut h = Hanging::default();
        assert!(!h.observe(0, &ends(5, 9)) && !h.observe(STUCK_AFTER - 1, &ends(5, 12)));
        assert!(h.observe(STUCK_AFTER, &ends(5, 12)), "at the same place for ten minutes");
        assert!(!h.observe(STUCK_AFTER + 1, &ends(7, 12)), "another one begins there: its ten minutes begin too");
        assert!(!h.observe(2 * STUCK_AFTER, &ends(12, 12)) && !h.observe(2 * STUCK_AFTER + 1, &ends(12, 13)), "there was none in between");
    }

    #[test]
    fn the_message_says_where_and_what_to_do() {
        let text = stuck_message("shop.outcomes", Partition(3), &ends(41, 99));
        for word in ["shop.outcomes[3]", "offset 41", "offset 99", "10 minutes", "--topic shop.outcomes --partition 3 --start-offset 41"] {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
    }
}
