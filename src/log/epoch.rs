//! Ending an epoch: one transaction, and certainty about it.
//!
//! Guarantees: returns only when it is known whether the epoch is committed; whatever is published again is the same bytes with the
//! same group generation; nothing is published on a producer whose last commit is in doubt.
//! Never: goes on after a stale generation or a fence; retries for ever.

use super::{Commit, Fatal, Log, OutRecord, Pointer, Position};
use crate::planted::{Bug, planted};

/// How an epoch ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is visible.
    Committed,
    /// Somebody else owns the partitions now: drop the state and join again.
    Rebuild(String),
}

/// After a stale commit a member waits so long (ms) for the group's news before it takes its partitions for its own again: longer than
/// from one heartbeat to the next, which brings the news if there is any.
pub const NEWS: i64 = 4_000;

/// Attempts for one epoch before the process gives up.
const ATTEMPTS: u32 = 20;

/// Commits an epoch that `Log::begin_epoch` began. `aborted` and `unknown` count what happened on the way.
pub fn commit_epoch(
    log: &mut dyn Log,
    records: &[OutRecord],
    positions: &[Position],
    mut observed: impl FnMut(&Commit),
) -> Result<Ended, Fatal> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let outcome = log.commit(records, positions)?;
        observed(&outcome);
        match outcome {
            Commit::Done => return Ok(Ended::Committed),
            Commit::Stale(why) => return Ok(Ended::Rebuild(why)),
            Commit::Fenced(why) => {
                return Err(Fatal(format!(
                    "another instance with the same id is at work ({why}); give each instance its own `instance` name"
                )));
            }
            Commit::Aborted(why) => last = why,
            Commit::Unknown(_) if planted(Bug::TrustInDoubt) => return Ok(Ended::Committed),
            Commit::Unknown(why) => {
                last = why;
                if !planted(Bug::KeptProducer) {
                    log.renew_producer()?;
                }
                if !planted(Bug::RepeatWithoutAsking) && is_committed(log, positions)? {
                    return Ok(Ended::Committed);
                }
            }
        }
    }
    Err(Fatal(format!("an epoch could not be committed in {ATTEMPTS} attempts; the last error: {last}")))
}

/// Asks the group whether the positions of an epoch are the committed ones. Records without positions leave nothing to ask for:
/// they are published again (they must bear that: proposals do).
fn is_committed(log: &mut dyn Log, positions: &[Position]) -> Result<bool, Fatal> {
    let of: Vec<_> = positions.iter().map(|p| (p.topic, p.partition)).collect();
    let committed = log.committed(&of)?;
    let seq = |text: &str| text.parse::<Pointer>().ok().map(|p| p.seq);
    Ok(!positions.is_empty() && positions.iter().zip(&committed).all(|(p, c)| c.next.is_some() && seq(&c.metadata) == seq(&p.metadata)))
}
