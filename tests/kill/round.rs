//! One run: three processes from an empty application to their end, and the faults in between.

use super::cluster::Cluster;
use super::faults::{Done, Programs, Stage, ended};
use super::plan::{Fault, Planned, SESSION};
use crate::compare::Published;
use crate::config::config;
use crate::process::{Place, Process};
use crate::topics::{Progress, read_published};
use crate::wait::{lasts, within};
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// No run takes this long, not even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(480);
/// An answer about committed positions comes within this, or is asked for again.
const ANSWER: Duration = Duration::from_secs(2);

/// What a run did and published.
pub struct Round {
    pub took: Duration,
    pub done: Done,
    pub published: Published,
}

/// Runs the program over the loaded inputs; `dir` gets what the processes say.
pub fn run(cluster: &Cluster, programs: Programs<'_>, dir: &Path, planned: &[Planned], sizes: [i64; 2]) -> Result<Round, String> {
    let client = format!("session.timeout.ms: {}, heartbeat.interval.ms: 500, reconnect.backoff.max.ms: 1000", SESSION.as_millis());
    std::fs::create_dir_all(dir).and_then(|()| std::fs::write(dir.join("driftline.yaml"), config(&client))).map_err(|e| e.to_string())?;
    let place = |m: usize| Place { program: programs.before.to_path_buf(), brokers: cluster.brokers(m), dir: dir.to_path_buf() };
    let places: Vec<Place> = (0..super::MEMBERS).map(place).collect();
    cluster.clear(&places[0])?;
    let stage = Stage {
        cluster,
        members: std::array::from_fn(|m| Mutex::new(Process::start(&m.to_string(), &places[m]))),
        places,
        programs,
        brokers: Mutex::default(),
        committed: AtomicI64::new(0),
        predictions: sizes[0],
        alone: sizes[1],
        over: AtomicBool::new(false),
        began: Instant::now(),
        done: Mutex::default(),
        log: File::create(dir.join("faults.log")).map_err(|e| e.to_string())?,
    };
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let progress = Progress::of(&cluster.settings);
            within(DEADLINE, || {
                stage.committed.fetch_max(progress.committed(ANSWER), Ordering::Relaxed);
                stage.over.load(Ordering::Relaxed).then_some(())
            });
        });
        let ended = watch(scope, &stage, planned);
        stage.over.store(true, Ordering::Relaxed);
        ended
    });
    let took = stage.began.elapsed();
    stage.say(&format!("{ended:?}"));
    let done = stage.done.into_inner().expect("no thread panicked");
    ended?;
    match done.problems.is_empty() {
        true => Ok(Round { took, done, published: read_published(&cluster.settings) }),
        false => Err(done.problems.join("; ")),
    }
}

/// Lets the faults fall in their time, until every process has ended.
fn watch<'s>(scope: &'s std::thread::Scope<'s, '_>, stage: &'s Stage<'_>, planned: &[Planned]) -> Result<(), String> {
    let (mut next, mut falling) = (planned.iter().peekable(), Vec::new());
    let ended = within(DEADLINE, || {
        let committed = stage.committed.load(Ordering::Relaxed);
        // one process after the other is upgraded
        let waits = |fault, falling: &Vec<_>| matches!(fault, Fault::Become(..)) && !falling.is_empty();
        while let Some(Planned { after, fault, .. }) = next.next_if(|p| p.at <= committed && !waits(p.fault, &falling)).copied() {
            falling.push(scope.spawn(move || {
                lasts(after);
                stage.suffer(fault);
            }));
        }
        falling.retain(|fault| !fault.is_finished());
        match running(stage) {
            Ok(0) if falling.is_empty() => Some(Ok(())),
            Ok(_) => None,
            Err(why) => Some(Err(why)),
        }
    });
    let committed = stage.committed.load(Ordering::Relaxed);
    ended.unwrap_or_else(|| Err(format!("not at the end after {DEADLINE:?}: {committed} predictions are committed")))
}

/// Processes that have not ended (those in the hands of a fault don't count: it does). Who asks for a restart gets it.
fn running(stage: &Stage<'_>) -> Result<usize, String> {
    let mut running = 0;
    for (m, member) in stage.members.iter().enumerate() {
        let Ok(mut process) = member.try_lock() else { continue };
        match process.ended() {
            None => running += 1,
            Some(status) if status.code() == Some(4) => {
                stage.restarts(m, &mut process)?;
                running += 1;
            }
            Some(status) if !status.success() => return Err(format!("instance {m} {}", ended(status, &process))),
            Some(_) => {}
        }
    }
    Ok(running)
}
