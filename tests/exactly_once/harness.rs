//! Brokers and processes: a fresh broker for each run, two `driftline run --once` on it, and somebody who kills them.

use super::compare::Published;
use super::config::{config, settings};
use super::process::{Place, Process, kafka_sh};
use super::scene::Scene;
use super::split_mix::SplitMix64;
use super::topics::{Progress, REQUEST, load, read_published};
use super::wait::{lasts, within};
use driftline::broker::{Embedded, Options};
use driftline::config::settings::Settings;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No run takes this long, not even on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(400);
/// Predictions that one process can't get through without the partitions of the other: twice what the look-ahead lets in.
const ALONE: i64 = 15_000;
/// A process that is asked to end does so within this.
const GRACE: Duration = Duration::from_secs(10);

/// A broker of one run.
enum Broker {
    Embedded(Embedded),
    Kafka { dir: PathBuf, address: String },
}

impl Broker {
    /// Embedded, or Apache Kafka if DRIFTLINE_TEST_KAFKA is set.
    fn start(dir: &Path) -> Broker {
        if std::env::var_os("DRIFTLINE_TEST_KAFKA").is_none() {
            return Broker::Embedded(Embedded::start(Options::default()).expect("a free port"));
        }
        let dir = dir.join("kafka");
        let address = kafka_sh("start", &dir, &[]).expect("Apache Kafka");
        Broker::Kafka { dir, address }
    }

    fn address(&self) -> String {
        match self {
            Broker::Embedded(e) => e.address(),
            Broker::Kafka { address, .. } => address.clone(),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Broker::Kafka { dir, .. } = self {
            kafka_sh("stop", dir, &[]).ok();
        }
    }
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// kill -9; it is back at once, with the same instance.
    Kill,
    /// kill -9; it is back only after the other one has taken its partitions over.
    Absence,
    /// SIGTERM, as Kubernetes does; it is back once it has ended.
    Stop,
}

/// Blows by the number of committed predictions at which they fall.
#[derive(Default)]
pub struct Violence {
    pub blows: Vec<(i64, Blow)>,
    /// Decides which of the two processes is hit, and when exactly.
    pub seed: u64,
}

/// What happened in a run, and what it has published.
pub struct Run {
    pub published: Published,
    pub kills: usize,
    /// Kills before the last prediction was committed.
    pub kills_in_the_stream: usize,
    pub took: Duration,
}

/// Runs the scene to its end on a fresh broker.
pub fn run(scene: &Scene, violence: &Violence) -> Run {
    let mut dir = TempDir::new().expect("a scratch folder");
    dir.disable_cleanup(std::env::var_os("DRIFTLINE_TEST_KEEP").is_some());
    let broker = Broker::start(dir.path());
    let place = Place { program: env!("CARGO_BIN_EXE_driftline").into(), brokers: broker.address(), dir: dir.path().into() };
    std::fs::write(place.dir.join("driftline.yaml"), config("session.timeout.ms: 6000, heartbeat.interval.ms: 500")).expect("a file");
    let settings = settings(&place.brokers);
    load(scene, &settings);
    place.create_topics();
    let began = Instant::now();
    let mut processes = ["0", "1"].map(|instance| Process::start(instance, &place));
    let mut run = Run { published: Published::default(), kills: 0, kills_in_the_stream: 0, took: Duration::ZERO };
    do_violence(&mut processes, violence, &settings, Scene::count(&scene.predictions) as i64, &mut run);
    for process in &mut processes {
        let status = until("both processes end", began, || process.ended());
        assert!(status.success(), "instance {} ended with {status}", process.instance);
    }
    run.took = began.elapsed();
    run.published = read_published(&settings);
    run
}

fn until<T>(what: &str, began: Instant, attempt: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE.saturating_sub(began.elapsed()), attempt).unwrap_or_else(|| panic!("not within {DEADLINE:?}: {what}"))
}

fn do_violence(processes: &mut [Process; 2], violence: &Violence, settings: &Settings, predictions: i64, run: &mut Run) {
    let progress = Progress::of(settings);
    let mut draw = SplitMix64(violence.seed);
    let mut blows = violence.blows.clone();
    blows.sort();
    let began = Instant::now();
    for (threshold, blow) in blows {
        let committed = reaches(&progress, threshold, began, processes);
        lasts(Duration::from_millis(draw.between(0, 150) as u64)); // not always right after a commit
        let hit = draw.between(0, 2) as usize;
        println!("{:6.2} s: {committed} predictions are committed, {blow:?} {hit}", began.elapsed().as_secs_f64());
        match blow {
            Blow::Stop => {
                let status = processes[hit].terminate(GRACE);
                assert!(status.is_some_and(|s| s.success()), "a process that was asked to end: {status:?}");
            }
            Blow::Kill | Blow::Absence => {
                let killed = processes[hit].kill();
                run.kills += usize::from(killed);
                run.kills_in_the_stream += usize::from(killed && committed < predictions);
            }
        }
        if blow == Blow::Absence {
            reaches(&progress, committed + ALONE, began, &mut processes[1 - hit..2 - hit]);
        }
        processes[hit].restart();
    }
}

/// Waits until so many predictions are committed; how many are. Nobody may have failed.
fn reaches(progress: &Progress, threshold: i64, began: Instant, processes: &mut [Process]) -> i64 {
    until(&format!("{threshold} predictions are committed"), began, || {
        for p in processes.iter_mut() {
            let ended = p.ended();
            assert!(ended.is_none_or(|s| s.success()), "instance {} ended with {ended:?}", p.instance);
        }
        Some(progress.committed(REQUEST)).filter(|c| *c >= threshold)
    })
}
