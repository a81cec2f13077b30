//! Which faults a run gets, and when: drawn from its seed.
//!
//! A fault falls when so many predictions are committed, and a little later: the same seed gives the same faults at the same places of
//! the stream, as exactly as committed positions can say it. The instruction that a process is at cannot be repeated.

use super::MEMBERS;
use super::net::{Reach, Weather};
use crate::split_mix::SplitMix64;
use std::time::Duration;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of a process, which is back at once.
    Kill(usize),
    /// kill -9 of a process, which is back only after the others have taken its partitions over.
    Absence(usize),
    /// SIGTERM; it is back once it has ended.
    Stop(usize),
    /// SIGSTOP for so long, then SIGCONT: clearly longer than the session, so that it wakes up as a zombie and knows it.
    Freeze(usize, Duration),
    /// SIGTERM; then this version of the program takes its place.
    Become(usize, Version),
    /// As `Freeze`, but a new process with its name has taken its place when it wakes up.
    Replace(usize, Duration),
    /// kill -9 of a broker, which is back so much later.
    BrokerKill(usize, Duration),
    /// One broker after the other is stopped and started.
    Roll,
    /// Bad weather on some links for so long.
    Bad(Reach, Weather, Duration),
    /// All connections of some links are reset.
    Reset(Reach),
}

/// Which program a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Before,
    Now,
}

/// A fault and its moment.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// Committed predictions.
    pub at: i64,
    /// And so much later: not always right after a commit.
    pub after: Duration,
    pub fault: Fault,
}

/// Sessions of the processes end after this.
pub const SESSION: Duration = Duration::from_secs(3);

impl Fault {
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Kill(_) => "kill",
            Fault::Absence(_) => "kill and takeover",
            Fault::Stop(_) => "SIGTERM",
            Fault::Become(_, Version::Now) => "upgrade",
            Fault::Become(_, Version::Before) => "rollback",
            Fault::Freeze(..) => "zombie",
            Fault::Replace(..) => "replaced zombie",
            Fault::BrokerKill(..) => "broker kill",
            Fault::Roll => "rolling restart",
            Fault::Bad(_, Weather::Slow(_), _) => "slow network",
            Fault::Bad(_, Weather::Stalled, _) => "stalled network",
            Fault::Bad(_, Weather::Deaf, _) => "lost answers",
            Fault::Bad(..) => "cut network",
            Fault::Reset(_) => "reset connections",
        }
    }

    fn member(draw: &mut SplitMix64) -> Fault {
        let member = draw.between(0, MEMBERS as i64) as usize;
        let asleep = SESSION + ms(draw, 1_500, 5_000);
        match draw.between(0, 10) {
            0..4 => Fault::Kill(member),
            4..6 => Fault::Absence(member),
            6 => Fault::Stop(member),
            7..9 => Fault::Freeze(member, asleep),
            _ => Fault::Replace(member, asleep),
        }
    }

    fn network(draw: &mut SplitMix64) -> Fault {
        let one = |draw: &mut SplitMix64, p| draw.chance(p).then(|| draw.between(0, MEMBERS as i64) as usize);
        let reach = Reach { member: one(draw, 0.6), broker: one(draw, 0.5) };
        match draw.between(0, 10) {
            0..2 => Fault::Bad(reach, Weather::Slow(ms(draw, 5, 150)), ms(draw, 500, 3_000)),
            2..4 => Fault::Bad(reach, Weather::Stalled, ms(draw, 500, 7_000)),
            4..7 => Fault::Bad(reach, Weather::Deaf, ms(draw, 20, 1_500)),
            7..8 => Fault::Bad(reach, Weather::Cut, ms(draw, 200, 6_000)),
            _ => Fault::Reset(reach),
        }
    }
}

fn ms(draw: &mut SplitMix64, from: i64, to: i64) -> Duration {
    Duration::from_millis(draw.between(from, to) as u64)
}

/// The faults of a run over so many predictions, by their moments.
pub fn faults(seed: u64, predictions: i64) -> Vec<Planned> {
    let draw = &mut SplitMix64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut faults = Vec::new();
    // nobody restarts two of three brokers in the time that one needs to catch up, so there are few of these
    match draw.between(0, 4) {
        0 => faults.push(Fault::Roll),
        n => (0..(n + 1) / 2).for_each(|_| faults.push(Fault::BrokerKill(draw.between(0, MEMBERS as i64) as usize, ms(draw, 0, 6_000)))),
    }
    (0..draw.between(4, 7)).for_each(|_| faults.push(Fault::member(draw)));
    (0..draw.between(4, 8)).for_each(|_| faults.push(Fault::network(draw)));
    let moment = |fault: Fault, draw: &mut SplitMix64| {
        // what takes long begins early
        let last = if fault == Fault::Roll { predictions / 2 } else { predictions * 9 / 10 };
        Planned { at: draw.between(predictions / 50, last), after: ms(draw, 0, 150), fault }
    };
    let mut planned: Vec<_> = faults.into_iter().map(|fault| moment(fault, draw)).collect();
    planned.sort_by_key(|p| p.at);
    planned
}

/// A rolling upgrade: one process after the other, two of them back to the version before in between, in the end all as they are now.
pub fn upgrade(predictions: i64) -> Vec<Planned> {
    use Version::{Before, Now};
    let steps = [(0, Now), (1, Now), (0, Before), (2, Now), (0, Now), (1, Before), (1, Now)];
    let moment = |(i, (member, version))| Planned {
        at: predictions * (1 + i as i64) / (2 + steps.len() as i64),
        after: Duration::ZERO,
        fault: Fault::Become(member, version),
    };
    steps.into_iter().enumerate().map(moment).collect()
}
