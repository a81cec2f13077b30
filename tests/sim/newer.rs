//! After some histories: a newer driftline has been at work, and what it left is met by members of this version.
//!
//! What two versions have in common is tried by `tests/kafka/upgrade`. Here it is the promise that the version field makes: whoever
//! meets a newer record (or newer offset metadata) ends and says that it must be upgraded; nothing is read as what it is not, and nothing is
//! published.

use super::draw::Draw;
use super::history::{History, turn_of_all};
use driftline::broker::Committed;
use driftline::codec::wire::newest;
use driftline::engine::types::Partition;
use driftline::log::Pointer;
use driftline::log::memory::SharedCluster;
use std::cell::RefCell;

/// Turns in which everybody concerned must have noticed.
const TURNS: usize = 4_000;
/// Where the version lies in a record.
const VERSION_AT: usize = 1;
const TOPICS: [&str; 6] = ["sim.journal", "sim.summaries", "sim.plan", "sim.state", "sim.alerts", "sim.dead-letters"];

/// Leaves something newer in the log of a history that is over, starts everybody again, and waits for a refusal.
pub fn refused(history: &RefCell<History>, seed: u64) -> Result<(), String> {
    let what = {
        let h = &mut *history.borrow_mut();
        let what = leave_something(&h.world.cluster, &mut Draw::new(seed, "newer"), h.scenario.partitions)?;
        h.refusals = Some(Vec::new());
        h.obey(); // who has another file proposes it, which is no answer to what it met
        let now = h.world.now();
        h.seats.iter_mut().for_each(|seat| seat.starts_at = (!seat.retired).then_some(now));
        what
    };
    let before = ends(&history.borrow().world.cluster);
    for _ in 0..TURNS {
        turn_of_all(history, true)?;
        let h = history.borrow();
        let refusals = h.refusals.as_deref().unwrap_or_default();
        if let Some(other) = refusals.iter().find(|why| !(why.contains("version ") && why.contains("upgrade it"))) {
            return Err(format!("{what} was met with: {other}"));
        }
        let after = ends(&h.world.cluster);
        if after != before {
            return Err(format!("{what}: the ends of driftline's topics moved from {before:?} to {after:?}"));
        }
        if !refusals.is_empty() {
            return Ok(());
        }
    }
    Err(format!("nobody refused {what}"))
}

fn leave_something(cluster: &SharedCluster, d: &mut Draw, partitions: i32) -> Result<String, String> {
    let p = d.below(partitions as usize) as i32;
    match d.below(5) {
        0 => match newer_position(cluster, p, |at| format!("driftline/2 seq={} floor={} more=1", at.seq.0, at.floor.0))? {
            true => Ok(format!("newer positions of partition {p}")),
            false => newer_record(cluster, "sim.plan", 0), // the history has ended with positions that had expired
        },
        // its writer has committed: a recovery reads until it has seen that epoch
        1 => newer_record(cluster, "sim.journal", p).and_then(|what| {
            newer_position(cluster, p, |at| format!("driftline/1 seq={} floor={}", at.seq.0 + 1, at.floor.0))?;
            Ok(what)
        }),
        n => newer_record(cluster, ["sim.plan", "sim.summaries", "sim.state"][n - 2], 0),
    }
}

/// The last record of a partition once more, as a newer version would have written it.
fn newer_record(cluster: &SharedCluster, topic: &str, p: i32) -> Result<String, String> {
    let records = cluster.read_committed(topic).map_err(|e| e.0)?;
    let last = records.into_iter().rfind(|r| r.partition == Partition(p)).ok_or(format!("{topic}[{p}] is empty"))?;
    let mut value = last.value.unwrap_or_default();
    value[VERSION_AT] = newest(value[0]) + 1; // not all are written in the newest version that this build reads
    cluster.write(topic, Some(Partition(p)), cluster.with(|c| c.now_ms()), last.key.as_deref(), Some(&value), &[]).map_err(|e| e.0)?;
    Ok(format!("a newer record in {topic}[{p}]"))
}

/// Other metadata where the group has positions; false if it has none.
fn newer_position(cluster: &SharedCluster, p: i32, metadata: impl Fn(Pointer) -> String) -> Result<bool, String> {
    cluster.with(|cluster| {
        let mut found = false;
        for topic in ["p", "o"] {
            let place = (topic.to_string(), p);
            let Some(known) = cluster.fetch_offset("sim-join", &place, false).ok().flatten().cloned() else { continue };
            let metadata = metadata(known.metadata.parse()?);
            cluster.commit_offset("sim-join", place, Committed { metadata, ..known }).map_err(|e| e.to_string())?;
            found = true;
        }
        Ok(found)
    })
}

fn ends(cluster: &SharedCluster) -> Vec<i64> {
    cluster.with(|cluster| {
        let ends = |topic: &&str| cluster.topic(topic).map(|t| t.partitions.iter().map(|p| p.ends().high.0).sum()).unwrap_or(-1);
        TOPICS.iter().map(ends).collect()
    })
}
