//! Runs under faults on three Apache Kafka brokers, each compared with an undisturbed run byte for byte.
//!
//! `tests/kafka/kill --runs 10` builds and runs it; `tests/kafka/upgrade` as well, with a rolling upgrade instead of faults. One line per
//! run, one at the end; exit code 1 if any run differs, or twice comes to no end: its folder (what the processes said, the moments of the faults, the brokers' data) is kept.

#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/brute.rs"]
mod brute;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/compare.rs"]
mod compare;
#[path = "../tests/exactly_once/config.rs"]
mod config;
#[path = "../tests/kill/mod.rs"]
mod kill;
#[path = "../tests/exactly_once/oracle.rs"]
mod oracle;
#[path = "../tests/exactly_once/process.rs"]
mod process;
#[path = "../tests/exactly_once/scene.rs"]
mod scene;
#[path = "../tests/kit/split_mix.rs"]
mod split_mix;
#[path = "../tests/exactly_once/topics.rs"]
mod topics;
#[path = "../tests/kit/wait.rs"]
mod wait;

use clap::Parser;
use compare::Published;
use kill::cluster::Cluster;
use kill::faults::Programs;
use kill::plan::{Planned, faults, upgrade};
use kill::round::{Round, run};
use scene::{PANES, Scene};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs driftline under faults on three Apache Kafka brokers.
#[derive(Parser)]
struct Options {
    /// How many runs.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// The faults of this run only (their moments can only be approximated).
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed of many runs.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// A rolling upgrade from this program instead of faults.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Predictions in the inputs.
    #[arg(long, default_value_t = 540_000)]
    predictions: usize,
    /// Folder for brokers and runs; those of good runs are deleted.
    #[arg(long)]
    dir: PathBuf,
}

/// Failed runs keep their brokers' data: after so many the rest is not worth the disk.
const ENOUGH: usize = 3;

/// What all runs have in common.
struct Bench {
    options: Options,
    program: PathBuf,
    scene: Scene,
    pairs: u64,
    cluster: Option<Cluster>,
    clusters: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let example = std::env::current_exe().expect("a program knows where it is");
    let built = example.parent().and_then(Path::parent).expect("target/PROFILE/examples").join("driftline");
    // a copy: whatever is built meanwhile, all runs are those of one program
    let program = options.dir.join("driftline");
    std::fs::copy(&built, &program).unwrap_or_else(|e| panic!("{} can't be copied to {}: {e}", built.display(), program.display()));
    let scene = Scene::new(options.predictions);
    let pairs = brute::total(&brute::count(&scene, &config::offline().definitions.join)).pairs;
    let mut bench = Bench { options, program, scene, pairs, cluster: None, clusters: 0 };
    match bench.all() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(why) => {
            println!("no result: {why}");
            ExitCode::from(2)
        }
    }
}

impl Bench {
    /// All runs; how many failed.
    fn all(&mut self) -> Result<usize, String> {
        let calm = self.undisturbed()?;
        let (mut kinds, mut gave_up) = (BTreeMap::new(), BTreeMap::new());
        let (mut good, mut failed, mut repeated, began) = (0, 0, 0, Instant::now());
        for i in 0..self.options.runs {
            let seed = self.options.seed.unwrap_or(self.options.from + i);
            let planned = self.planned(seed);
            let dir = self.options.dir.join(format!("run-{seed}"));
            let outcome = self.with_a_result(&dir, seed, &planned, &mut repeated);
            match outcome.and_then(|round| equal(&round.published, &calm, &dir).map(|()| round).map_err(|e| format!("NOT EQUAL: {e}"))) {
                Ok(round) => {
                    good += 1;
                    add(&mut kinds, &round.done.kinds);
                    add(&mut gave_up, &round.done.gave_up);
                    println!("seed {seed}: {}: equal", self.said(&round));
                    for done in [dir.with_extension("again"), dir].into_iter().filter(|d| d.exists()).take(1) {
                        std::fs::remove_dir_all(&done).map_err(|e| e.to_string())?;
                    }
                }
                Err(why) => {
                    failed += 1;
                    println!("seed {seed}: {why}\n  kept: {} and cluster-{} beside it", dir.display(), self.clusters);
                    println!("  again: tests/kafka/kill --runs 5 --seed {seed}");
                    self.cluster = None;
                }
            }
            if failed == ENOUGH {
                break;
            }
        }
        let seconds = began.elapsed().as_secs();
        let runs = good + failed;
        println!(
            "{runs} runs, {failed} failed, {repeated} repeated, {seconds} s; faults: {}; restarts asked for: {}",
            listed(&kinds),
            listed(&gave_up)
        );
        Ok(failed)
    }

    fn planned(&self, seed: u64) -> Vec<Planned> {
        let predictions = Scene::count(&self.scene.predictions) as i64;
        if self.options.before.is_some() { upgrade(predictions) } else { faults(seed, predictions) }
    }

    /// A run that has not come to its end in time, or whose cluster broke down, says nothing about content: it is done once more, on a
    /// new cluster. A second time is a failure.
    fn with_a_result(&mut self, dir: &Path, seed: u64, planned: &[Planned], repeated: &mut u64) -> Result<Round, String> {
        let why = match self.one(dir, planned) {
            Ok(round) if self.options.before.is_some() => return upgraded(round, planned.len() as u64),
            Ok(round) => return Ok(round),
            Err(why) if self.options.before.is_some() => return Err(why),
            Err(why) => why,
        };
        *repeated += 1;
        println!("seed {seed}: no result: {why}; once more\n  kept: {} and cluster-{} beside it", dir.display(), self.clusters);
        self.cluster = None;
        self.one(&dir.with_extension("again"), planned).map_err(|why| format!("NO RESULT: {why}"))
    }

    /// The run that all others must equal; it must equal what the engine alone says.
    fn undisturbed(&mut self) -> Result<Published, String> {
        let dir = self.options.dir.join("undisturbed");
        let round = self.one(&dir, &[])?;
        equal(&round.published, &oracle::publishes(&self.scene, &config::offline()), &dir)?;
        println!("undisturbed: {}: equal to what the engine alone says", self.said(&round));
        Ok(round.published)
    }

    fn one(&mut self, dir: &Path, planned: &[Planned]) -> Result<Round, String> {
        if self.cluster.is_none() {
            self.clusters += 1;
            let at = self.options.dir.join(format!("cluster-{}", self.clusters));
            self.cluster = Some(Cluster::start(&at, &self.scene)?);
        }
        let cluster = self.cluster.as_ref().ok_or("no cluster")?;
        let predictions = Scene::count(&self.scene.predictions) as i64;
        // twice what the look-ahead lets in: 65 panes
        let now = self.program.as_path();
        let before = self.options.before.as_deref().filter(|_| !planned.is_empty()).unwrap_or(now);
        run(cluster, Programs { before, now }, dir, planned, [predictions, predictions * 130 / PANES])
    }

    fn said(&self, round: &Round) -> String {
        let faults: u64 = round.done.kinds.values().sum();
        format!(
            "{:.1} s, {faults} faults, {} of them in the stream ({}), {} restarts asked for; {} pairs, {} alerts",
            round.took.as_secs_f64(),
            round.done.in_the_stream,
            listed(&round.done.kinds),
            round.done.gave_up.values().sum::<u64>(),
            self.pairs,
            round.published.alerts.count()
        )
    }
}

/// Every step must fall into the stream, and no process may ask for a restart: nothing but upgrades has happened.
fn upgraded(round: Round, steps: u64) -> Result<Round, String> {
    let done = &round.done;
    match (done.in_the_stream == steps, done.gave_up.is_empty()) {
        (true, true) => Ok(round),
        (false, _) => Err(format!("{} of {steps} steps fell into the stream: it is too short", done.in_the_stream)),
        (_, false) => Err(format!("restarts asked for: {}", listed(&done.gave_up))),
    }
}

fn add<K: Ord + Clone>(sum: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    more.iter().for_each(|(k, n)| *sum.entry(k.clone()).or_default() += n);
}

fn listed(kinds: &BTreeMap<impl Display, u64>) -> String {
    kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect::<Vec<_>>().join(", ")
}

/// The first difference, which also goes into the run's folder together with all alerts.
fn equal(published: &Published, expected: &Published, dir: &Path) -> Result<(), String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(|| published.must_equal("this run", expected, "the undisturbed run")));
    std::panic::set_hook(hook);
    let Err(panic) = result else { return Ok(()) };
    let why = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without words".into());
    for (name, published) in [("alerts.txt", published), ("alerts-expected.txt", expected)] {
        let lines: Vec<String> = published.alerts.0.iter().enumerate().map(|(p, of)| format!("partition {p}: {of:#?}\n")).collect();
        std::fs::write(dir.join(name), lines.concat()).map_err(|e| e.to_string())?;
    }
    std::fs::write(dir.join("difference.txt"), &why).map_err(|e| e.to_string())?;
    Err(why.chars().take(600).collect())
}
