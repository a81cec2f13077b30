//! Doing the faults: each on a thread of its own, so that they overlap; one at a time for each process, and for the brokers.
//!
//! Never: takes a second broker away before the first has caught up. That two of three copies are there is what the promise rests on.

use super::MEMBERS;
use super::cluster::Cluster;
use super::net::Weather;
use super::plan::{Fault, Version};
use crate::process::{Place, Process};
use crate::wait::{lasts, within};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A process that is asked to end does so within this, whatever the brokers do (8 s are promised; the machine may be busy).
const GRACE: Duration = Duration::from_secs(20);
/// The others take over what a process held within this.
const TAKEOVER: Duration = Duration::from_secs(20);
/// A process whose place was taken ends within this.
const RETREAT: Duration = Duration::from_secs(60);

/// Processes ask for no more restarts in a run.
const RESTARTS: u64 = 12;

/// The program before an upgrade, which all processes run at first, and the one that is tried out; the same if nothing is upgraded.
#[derive(Clone, Copy)]
pub struct Programs<'p> {
    pub before: &'p Path,
    pub now: &'p Path,
}

/// Everything that faults fall upon.
pub struct Stage<'c> {
    pub cluster: &'c Cluster,
    pub places: Vec<Place>,
    pub programs: Programs<'c>,
    pub members: [Mutex<Process>; MEMBERS],
    pub brokers: Mutex<()>,
    /// Committed predictions, as last seen, and how many there are.
    pub committed: AtomicI64,
    pub predictions: i64,
    /// Predictions that the others can't get through without the partitions of one.
    pub alone: i64,
    pub over: AtomicBool,
    pub began: Instant,
    pub done: Mutex<Done>,
    pub log: File,
}

/// What was done.
#[derive(Default)]
pub struct Done {
    pub kinds: BTreeMap<&'static str, u64>,
    /// Faults before the last prediction was committed.
    pub in_the_stream: u64,
    /// Processes that said that they must be restarted, and why.
    pub gave_up: BTreeMap<String, u64>,
    pub problems: Vec<String>,
}

impl Stage<'_> {
    pub fn say(&self, what: &str) {
        let line = format!("{:7.2} s {:7} {what}\n", self.began.elapsed().as_secs_f64(), self.committed.load(Ordering::Relaxed));
        (&self.log).write_all(line.as_bytes()).ok();
    }

    /// Does it and waits until it is over.
    pub fn suffer(&self, fault: Fault) {
        let result = match fault {
            Fault::Kill(m) | Fault::Absence(m) | Fault::Stop(m) | Fault::Become(m, _) | Fault::Freeze(m, _) | Fault::Replace(m, _) => {
                let mut process = self.members[m].lock().expect("no thread panics");
                if let Some(status) = process.ended() {
                    return self.say(&format!("{fault:?}: has ended already ({status})"));
                }
                self.begins(fault);
                self.strike(m, &mut process, fault)
            }
            Fault::BrokerKill(..) | Fault::Roll => {
                let _one_at_a_time = self.brokers.lock().expect("no thread panics");
                self.begins(fault);
                self.strike_brokers(fault)
            }
            Fault::Bad(reach, weather, how_long) => {
                self.begins(fault);
                self.cluster.net.set(reach, weather);
                lasts(how_long);
                self.cluster.net.set(reach, Weather::Fine);
                Ok(())
            }
            Fault::Reset(reach) => {
                self.begins(fault);
                self.cluster.net.reset(reach);
                Ok(())
            }
        };
        self.say(&format!("{fault:?}: over {result:?}"));
        if let Err(problem) = result {
            self.done.lock().expect("no thread panics").problems.push(format!("{fault:?}: {problem}"));
        }
    }

    fn begins(&self, fault: Fault) {
        self.say(&format!("{fault:?}"));
        let mut done = self.done.lock().expect("no thread panics");
        *done.kinds.entry(fault.kind()).or_default() += 1;
        done.in_the_stream += u64::from(self.committed.load(Ordering::Relaxed) < self.predictions);
    }

    /// Exit code 4 asks for a restart; whoever runs processes does that.
    pub fn restarts(&self, m: usize, process: &mut Process) -> Result<(), String> {
        let said = process.last_words();
        let why = said.split(['(', ':', '[']).next().unwrap_or_default().trim().to_string(); // one of a kind counts with the others
        self.say(&format!("instance {m} is restarted: {said}"));
        process.restart();
        let mut done = self.done.lock().expect("no thread panics");
        *done.gave_up.entry(why).or_default() += 1;
        match done.gave_up.values().sum::<u64>() {
            n if n > RESTARTS => Err(format!("instance {m} was the {n}th to ask for a restart")),
            _ => Ok(()),
        }
    }

    fn strike(&self, m: usize, process: &mut Process, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Stop(_) => match process.terminate(GRACE) {
                None => return Err(format!("did not end within {GRACE:?} after SIGTERM")),
                Some(status) if !matches!(status.code(), Some(0 | 4)) => return Err(ended(status, process)),
                Some(_) => process.restart(),
            },
            Fault::Become(_, version) => match process.terminate(GRACE) {
                Some(status) if status.success() => process.restart_as(match version {
                    Version::Before => self.programs.before,
                    Version::Now => self.programs.now,
                }),
                ended => return Err(format!("ended with {ended:?} within {GRACE:?} after SIGTERM")),
            },
            Fault::Freeze(_, how_long) => {
                process.signal("STOP");
                lasts(how_long);
                process.signal("CONT");
            }
            Fault::Replace(_, how_long) => {
                process.signal("STOP");
                lasts(how_long / 2);
                let mut zombie = std::mem::replace(process, Process::start(&m.to_string(), &self.places[m]));
                lasts(how_long / 2);
                zombie.signal("CONT");
                self.retreats(&mut zombie)?;
            }
            absence => {
                process.kill();
                if let Fault::Absence(_) = absence {
                    self.others_take_over();
                }
                process.restart();
            }
        }
        Ok(())
    }

    fn others_take_over(&self) {
        let enough = (self.committed.load(Ordering::Relaxed) + self.alone).min(self.predictions);
        let done = || self.committed.load(Ordering::Relaxed) >= enough || self.over.load(Ordering::Relaxed);
        within(TAKEOVER, || done().then_some(()));
    }

    /// A zombie whose place is taken must end by itself, with the exit code that says so, if its work was not done.
    fn retreats(&self, zombie: &mut Process) -> Result<(), String> {
        match within(RETREAT, || zombie.ended()) {
            Some(status) if matches!(status.code(), Some(0 | 4)) => Ok(()),
            Some(status) => Err(ended(status, zombie)),
            None => Err(format!("the zombie did not end within {RETREAT:?}")),
        }
    }

    fn strike_brokers(&self, fault: Fault) -> Result<(), String> {
        let bounce = |verb: &str, broker: usize, away: Duration| {
            self.cluster.broker(verb, broker)?;
            lasts(away);
            self.cluster.broker("start", broker)?;
            self.say(&format!("broker {broker} is back"));
            self.cluster.becomes_whole(0)
        };
        match fault {
            Fault::BrokerKill(broker, away) => bounce("kill", broker, away),
            _ => (0..MEMBERS).try_for_each(|broker| bounce("stop", broker, Duration::ZERO)),
        }
    }
}

/// How a process ended that should not have, and what it said about it.
pub fn ended(status: ExitStatus, process: &Process) -> String {
    format!("ended with {status}: {}", process.last_words())
}
