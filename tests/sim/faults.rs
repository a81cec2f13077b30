//! What goes wrong, and how it is done to the world. What is wrong with the inputs themselves is in `inputs`.
//!
//! Left out, as there is nothing yet that it could hit: torn local files and lost volumes (no state is on disks). There is one wire
//! format; what a member does when it meets a newer one is in `newer`.

use super::draw::Draw;
use super::edge::Freeze;
use super::history::History;
use super::process::{Process, Seat};
use super::scenario::File;
use driftline::engine::types::Offset;
use driftline::log::memory::{CommitFault, Step};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A process dies between two steps of its loop.
    Kill,
    /// A process dies within its next commit, at some step of it.
    KillInCommit,
    /// A process dies with its request to end a transaction on the way, which arrives later.
    DelayedEnd,
    /// A static member stays away until its session is over.
    Expire,
    /// A process stops cleanly and starts again.
    Restart,
    /// A process stops cleanly and stays away for a while.
    Leave,
    /// A process sleeps longer than its session and goes on with what it knew.
    Pause,
    /// The same, while another one is started in its place.
    Replace,
    /// A process stands still within its next commit, perhaps longer than its session, perhaps while it is replaced.
    Freeze,
    /// A further process joins.
    Join,
    /// A process leaves for good.
    Retire,
    /// All brokers are away, and groups forget who was waiting.
    Outage,
    /// The group's coordinator moves: who waits must ask again, and a commit is refused.
    Move,
    /// An answer of the group is lost.
    LostAnswer,
    /// A commit happens, but its answer is lost.
    AmbiguousDone,
    /// The answer of a commit is lost, and it never happened.
    AmbiguousNot,
    /// The answer of a commit is lost, and it happens a little later, perhaps after the next producer has begun.
    AmbiguousLate,
    /// A commit is aborted.
    Aborted,
    /// Requests to write are sent twice.
    Retried,
    /// A transaction takes longer than it may.
    TimedOut,
    /// The markers of the next transactions reach their partitions late, each at its own time.
    LateMarkers,
    /// All members of a group are away for so long that its positions are forgotten.
    ExpiredOffsets,
    /// Records are deleted that nobody has read.
    Overtaken,
    /// Records are deleted that everybody has read.
    Retention,
    /// A transaction upstream hangs, perhaps for so long that its input counts as stuck, then commits or aborts.
    HungUpstream,
    /// The clock of a process jumps.
    ClockJump,
    /// A process comes back with another configuration.
    ChangedConfig,
    /// A process gets few records at a time, or few turns.
    Slow,
    /// One of three sleeps for less than its session while the first one leaves: what it works on is given away.
    Squeeze,
}

impl Fault {
    /// All kinds, each as often as it should come.
    pub const WEIGHTS: &'static [(Fault, usize)] = &[
        (Fault::Kill, 6),
        (Fault::KillInCommit, 12),
        (Fault::DelayedEnd, 4),
        (Fault::Expire, 2),
        (Fault::Restart, 4),
        (Fault::Leave, 2),
        (Fault::Pause, 3),
        (Fault::Replace, 2),
        (Fault::Outage, 2),
        (Fault::Freeze, 5),
        (Fault::Join, 2),
        (Fault::Retire, 1),
        (Fault::Move, 3),
        (Fault::LostAnswer, 3),
        (Fault::AmbiguousDone, 8),
        (Fault::AmbiguousNot, 8),
        (Fault::AmbiguousLate, 4),
        (Fault::Aborted, 5),
        (Fault::Retried, 3),
        (Fault::TimedOut, 2),
        (Fault::LateMarkers, 8),
        (Fault::ExpiredOffsets, 1),
        (Fault::Overtaken, 3),
        (Fault::Retention, 2),
        (Fault::HungUpstream, 3),
        (Fault::ClockJump, 3),
        (Fault::ChangedConfig, 2),
        (Fault::Slow, 3),
        (Fault::Squeeze, 2),
    ];

    /// One of them.
    pub fn draw(d: &mut Draw) -> Fault {
        let all: usize = Fault::WEIGHTS.iter().map(|w| w.1).sum();
        let mut at = d.below(all);
        for (fault, weight) in Fault::WEIGHTS {
            if at < *weight {
                return *fault;
            }
            at -= weight;
        }
        Fault::Kill
    }
}

/// A session is over after this.
const SESSION_MS: i64 = 45_000;
/// All steps of a commit.
const STEPS: [Step; 5] = [Step::Begun, Step::HalfPublished, Step::Published, Step::OffsetsSent, Step::Committed];
/// A stage has no more processes than this.
const MOST_SEATS: usize = 5;

/// Does a fault. False if there is nobody to do it to now.
pub fn inflict(h: &mut History, fault: Fault) -> bool {
    match fault {
        Fault::Overtaken => return overtake(h),
        Fault::Squeeze => return squeeze(h),
        Fault::Retention => return retain(h),
        Fault::ExpiredOffsets => return expire_offsets(h),
        Fault::Join => return join(h),
        Fault::Outage => {
            let until = h.world.now() + h.draw.between(100, 30_000);
            h.world.away_until.set(until);
            h.heal_at(until);
        }
        Fault::LateMarkers => {
            let count = h.draw.between(1, 30);
            let longest = h.draw.of(&[50, 1_000, 25_000]);
            let delays: Vec<i64> = (0..count).map(|_| if h.draw.chance(0.5) { 0 } else { h.draw.between(0, longest) }).collect();
            h.world.cluster.with(|cluster| cluster.delay_markers(delays));
            h.heal_at(h.world.now() + longest);
        }
        Fault::Move => {
            h.world.cluster.with(|cluster| cluster.restarted(cluster.now_ms()));
            h.processes.iter_mut().for_each(|p| p.edge.log.lose_connection());
            let Some(p) = somebody(h) else { return false };
            h.processes[p].edge.faults.push(CommitFault::Aborted);
        }
        Fault::HungUpstream => {
            let ms = if h.draw.chance(0.3) { h.draw.between(600_000, 880_000) } else { h.draw.between(1_000, 300_000) };
            // a task that is rebuilt waits ten minutes anew: now and then nothing else happens meanwhile
            if ms > 700_000 && !h.scenario.once && h.draw.chance(0.5) {
                h.calm_until = h.world.now() + ms;
            }
            let commit = h.draw.chance(0.7);
            h.supply.hang_next(ms, commit);
        }
        _ => {
            let Some(p) = somebody(h) else { return false };
            return one(h, p, fault);
        }
    }
    true
}

fn one(h: &mut History, p: usize, fault: Fault) -> bool {
    let away = [0, 0, 200, 3_000, 20_000][h.draw.below(5)];
    match fault {
        Fault::Kill => h.kill(p, Some(away)),
        Fault::Expire => {
            let ms = SESSION_MS + h.draw.between(500, 20_000);
            h.kill(p, Some(ms));
        }
        Fault::KillInCommit => {
            let step = h.draw.of(&STEPS);
            h.processes[p].edge.faults.push(CommitFault::Killed(step));
        }
        Fault::DelayedEnd => {
            h.processes[p].edge.faults.push(CommitFault::Killed(Step::OffsetsSent));
            h.processes[p].edge.asks_before_death = true;
        }
        Fault::Restart | Fault::Leave | Fault::ChangedConfig => {
            if fault == Fault::ChangedConfig {
                if h.audit.definitions.is_empty() {
                    return false;
                }
                let other = if h.scenario.amends && h.draw.chance(0.7) { File::Amended } else { File::OtherJoin };
                let seat = &mut h.seats[h.processes[p].seat];
                seat.file = if seat.file == File::First { other } else { File::First };
            }
            let ms = if fault == Fault::Leave { h.draw.between(1_000, 90_000) } else { away };
            h.stop(p, ms);
        }
        Fault::Retire => {
            let seat = h.processes[p].seat;
            let others = |s: &(usize, &Seat)| s.0 != seat && s.1.joins == h.seats[seat].joins && !s.1.retired;
            if h.seats.iter().enumerate().filter(others).count() == 0 {
                return false;
            }
            h.seats[seat].retired = true;
            h.stop(p, 0);
        }
        Fault::Freeze => {
            let ms = h.draw.of(&[300, 5_000, 20_000, 28_000, 40_000, 60_000]) + h.draw.between(0, 10_000);
            let step = h.draw.of(&STEPS);
            let replaced = h.draw.chance(0.3);
            h.processes[p].edge.freeze.set(Some(Freeze { step, ms, replaced }));
            h.processes[p].edge.vague = h.draw.chance(0.3);
        }
        Fault::Pause | Fault::Replace => {
            let ms = SESSION_MS + h.draw.between(-20_000, 60_000);
            let until = h.world.now() + ms;
            h.heal_at(until);
            let process = &mut h.processes[p];
            process.asleep_until = until;
            process.edge.blind = h.draw.below(4) as u32;
            if fault == Fault::Replace {
                process.replaced = true;
                h.seats[process.seat].starts_at = Some(h.world.now() + ms / 3);
            }
        }
        Fault::LostAnswer => h.processes[p].edge.log.lose_connection(),
        Fault::AmbiguousDone => h.processes[p].edge.faults.push(CommitFault::Unknown { happened: true }),
        Fault::AmbiguousNot => h.processes[p].edge.faults.push(CommitFault::Unknown { happened: false }),
        Fault::AmbiguousLate => {
            h.processes[p].edge.faults.push(CommitFault::Unknown { happened: false });
            h.processes[p].edge.arrives_late = Some(h.draw.of(&[1, 5, 20, 1_000]));
        }
        Fault::Aborted => h.processes[p].edge.faults.push(CommitFault::Aborted),
        Fault::Retried => h.processes[p].edge.faults.push(CommitFault::Retried),
        Fault::TimedOut => {
            h.processes[p].edge.vague = h.draw.chance(0.5);
            let ms = h.draw.between(31_000, 60_000);
            h.processes[p].edge.faults.push(CommitFault::Slow(ms));
        }
        Fault::ClockJump => {
            // a clock that runs ahead of the broker's lets future records in, one that trails calls good ones future
            let skew_ms = h.draw.of(&[0, -2_000, 3_000, -600_000, 120_000]);
            h.processes[p].edge.set_clock(skew_ms);
        }
        Fault::Slow => {
            h.processes[p].edge.log.set_most_per_poll(h.draw.between(1, 60) as usize);
            h.processes[p].slowness = h.draw.between(1, 6) as usize;
        }
        _ => unreachable!("done to the world, not to a process"),
    }
    true
}

/// A process that is awake.
fn somebody(h: &mut History) -> Option<usize> {
    let now = h.world.now();
    let awake: Vec<usize> = (0..h.processes.len()).filter(|p| h.processes[*p].asleep_until <= now && !h.processes[*p].replaced).collect();
    (!awake.is_empty()).then(|| h.draw.of(&awake))
}

/// A further process of a stage.
fn join(h: &mut History) -> bool {
    let joins = h.draw.chance(0.6);
    let of_stage = h.seats.iter().filter(|s| s.joins == joins);
    if of_stage.clone().filter(|s| !s.retired).count() >= MOST_SEATS {
        return false;
    }
    let (number, now) = (of_stage.count(), h.world.now());
    h.seats.push(Seat::new(joins, number, now));
    true
}

/// Kills all members of a stage until their sessions are over, then forgets the group's positions.
fn expire_offsets(h: &mut History) -> bool {
    let joins = h.draw.chance(0.5);
    let group = if joins { "sim-join" } else { "sim-detect" };
    let ms = SESSION_MS + h.draw.between(1_000, 10_000);
    if h.inside.iter().any(|i| h.seats[i.seat].joins == joins) {
        return false; // a group that has a member keeps its positions
    }
    while let Some(p) = h.processes.iter().position(|p: &Process| h.seats[p.seat].joins == joins) {
        h.kill(p, None);
    }
    let at = h.world.now() + ms;
    for seat in h.seats.iter_mut().filter(|s| s.joins == joins && !s.retired) {
        seat.starts_at = Some(at + 1_000);
    }
    h.expiries.push((at, group));
    h.heal_at(at + 1_000);
    true
}

/// The second of a stage's processes sleeps, the first one leaves, the third takes over from the second.
fn squeeze(h: &mut History) -> bool {
    let joins = h.draw.chance(0.7);
    let now = h.world.now();
    let of_seat = |h: &History, nth: usize| {
        let seat = h.seats.iter().enumerate().filter(|s| s.1.joins == joins).nth(nth).map(|s| s.0);
        h.processes.iter().position(|p| Some(p.seat) == seat && p.asleep_until <= now && !p.replaced)
    };
    let (Some(first), Some(second), Some(_)) = (of_seat(h, 0), of_seat(h, 1), of_seat(h, 2)) else { return false };
    let until = now + h.draw.between(34_000, 44_500);
    let sleeper = &mut h.processes[second];
    (sleeper.asleep_until, sleeper.edge.blind) = (until, 3);
    h.heal_at(until);
    h.stop(first, 60_000);
    true
}

/// Deletes records of an input beyond what has been read.
fn overtake(h: &mut History) -> bool {
    if !h.scenario.loses {
        return false;
    }
    let (mut input, mut p) = (h.draw.below(2), h.draw.below(h.scenario.partitions as usize));
    // rather a record whose time was shown already, and of these the one that lies furthest ahead
    let mut furthest = 0;
    for (at, task) in h.audit.tasks.iter().enumerate() {
        for (i, clock) in task.last.iter().flat_map(|l| l.clocks.iter().enumerate()) {
            let ahead = clock.1.0.saturating_sub(clock.0.0.max(0));
            if ahead > furthest {
                (furthest, input, p) = (ahead, i, at);
            }
        }
    }
    let Some(next) = h.audit.tasks[p].last.as_ref().map(|l| l.next[input]) else { return false };
    let end = h.world.cluster.with(|cluster| cluster.partition(["p", "o"][input], p as i32).expect("there").ends().high);
    let upto = (next.0 + h.draw.between(1, 40)).min(end.0);
    if upto <= next.0 {
        return false;
    }
    h.overtaken = true;
    h.delete(input, p, Offset(upto));
    // whoever has read ahead would not notice before it starts again
    if h.draw.chance(0.7) {
        while let Some(p) = h.processes.iter().position(|p: &Process| h.seats[p.seat].joins) {
            h.kill(p, Some(0));
        }
    }
    true
}

/// Deletes records of an input that have been read.
fn retain(h: &mut History) -> bool {
    let (input, p) = (h.draw.below(2), h.draw.below(h.scenario.partitions as usize));
    let Some(next) = h.audit.tasks[p].last.as_ref().map(|l| l.next[input]) else { return false };
    let upto = h.draw.between(0, next.0 + 1);
    h.delete(input, p, Offset(upto));
    true
}
