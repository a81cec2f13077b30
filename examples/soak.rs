//! An hour at a share of the measured maximum on one core, with a process killed every minute.
//!
//! `tests/kafka/soak --minutes 60` builds and runs it. Exit code 1 if memory grows, lag stays, or anything is lost or doubled; 2 if there
//! is no result, because the machine was disturbed for most of it.

#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/brute.rs"]
mod brute;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/compare.rs"]
mod compare;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/process.rs"]
mod process;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/scene.rs"]
mod scene;
#[path = "../tests/soak/mod.rs"]
mod soak;
#[path = "../tests/kit/split_mix.rs"]
mod split_mix;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/topics.rs"]
mod topics;
#[path = "../tests/kit/wait.rs"]
mod wait;

use clap::Parser;
use compare::Published;
use driftline::config::settings::Settings;
use soak::feeder::{Fed, Feeder};
use soak::gauge::Gauge;
use soak::member::{Home, Member, busy};
use soak::stream::{REFERENCE, Stream};
use soak::verdict::{Kill, Verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wait::within;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs driftline at a steady rate, and kills it every minute.
#[derive(Parser)]
struct Options {
    /// Minutes at the steady rate.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Of the measured maximum.
    #[arg(long, default_value_t = 0.7)]
    share: f64,
    /// The core that driftline has for itself (the harness and the broker should be elsewhere).
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Predictions that the maximum is measured with.
    #[arg(long, default_value_t = 2_400_000)]
    backlog: i64,
    /// Folder for broker and processes.
    #[arg(long)]
    dir: PathBuf,
}

/// Positions a second of the backlog, and of the reference before it.
const DENSITY: i64 = 40_000;
const SPARSE: i64 = 200;
/// The broker's data never take more, MB.
const DISK: f64 = 5_000.0;
/// What was fed is committed within this after the end.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two kills.
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let options = Options::parse();
    std::fs::create_dir_all(&options.dir).expect("a folder");
    match soaked(&options) {
        Ok((wrong, _)) if !wrong.is_empty() => {
            println!("FAILED: {}", wrong.join("; "));
            ExitCode::from(1)
        }
        Ok((_, false)) => {
            println!("NO RESULT: most minutes were disturbed");
            ExitCode::from(2)
        }
        Ok(_) => {
            println!("passed");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("NO RESULT: {why}");
            ExitCode::from(2)
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// What was wrong, and whether the run says anything.
fn soaked(options: &Options) -> Result<(Vec<String>, bool), String> {
    let until = now_ms();
    let start = until - options.backlog * 1_000 / DENSITY - REFERENCE - 10_000;
    let broker = options.dir.join("broker");
    let brokers = process::kafka_sh("start", &broker, &[])?;
    let _ends = Broker(&broker);
    let settings = soak::settings(&brokers, start);
    soak::create_topics(&settings)?;
    std::fs::write(options.dir.join("driftline.yaml"), soak::config(start)).map_err(|e| e.to_string())?;
    let example = std::env::current_exe().map_err(|e| e.to_string())?;
    let program = example.parent().and_then(Path::parent).ok_or("target/PROFILE/examples")?.join("driftline");
    let home = Home { program, brokers, dir: options.dir.clone(), core: options.core };

    let (fed, mut stream) = (Fed::default(), Stream::new());
    let mut feeder = Feeder::new(&settings, &fed)?;
    let dense = until - options.backlog * 1_000 / DENSITY;
    feeder.history(&mut stream, SPARSE * (dense - start) / 1_000, SPARSE, dense);
    feeder.history(&mut stream, options.backlog, DENSITY, until);
    let members = [Member::start(&home, 0)?, Member::start(&home, 1)?].map(Mutex::new);
    let gauge = Gauge::new(&settings, &members, &fed, options.core, &broker)?;
    let maximum = maximum(&gauge, 2 * options.backlog)?;
    let rate = (maximum * options.share) as i64;
    println!("maximum on core {}: {maximum:.0} pairs/s; fed: {rate} pairs/s for {} minutes", options.core, options.minutes);
    gauge.rate.store(rate, Ordering::Relaxed);

    let (from, kills, to) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feeder.steadily(&mut stream, rate, now_ms));
        let watching = scope.spawn(|| gauge.watch(|| fed.over.load(Ordering::Relaxed)));
        let from = gauge.began.elapsed().as_secs_f64();
        let kills = violence(&gauge, options.minutes, || watching.is_finished());
        let to = gauge.began.elapsed().as_secs_f64();
        fed.over.store(true, Ordering::Relaxed);
        feeding.join().map_err(|_| "the feeder failed")?;
        watching.join().map_err(|_| "the watcher failed")??;
        Ok::<_, String>((from, kills?, to))
    })?;
    drain(&gauge)?;
    let mut gave_up: BTreeMap<String, u32> = BTreeMap::new();
    for member in &members {
        let mut member = member.lock().expect("no thread panics");
        member.gave_up.drain(..).for_each(|why| *gave_up.entry(why).or_default() += 1);
        member.stop()?;
    }
    let samples = gauge.samples.lock().expect("no thread panics");
    let verdict = Verdict { samples: &samples, kills: &kills, from, to };
    std::fs::write(options.dir.join("kills.txt"), verdict.details()).map_err(|e| e.to_string())?;
    std::fs::write(options.dir.join("samples.txt"), samples.iter().map(|s| format!("{s:?}\n")).collect::<String>())
        .map_err(|e| e.to_string())?;
    let (mut wrong, mut clean) = verdict.print(DISK);
    let (skipped, held) = (fed.skipped.load(Ordering::Relaxed), fed.held.load(Ordering::Relaxed));
    println!(
        "fed: {} s let go by, {} s held back because reading was too far behind; restarts asked for: {gave_up:?}",
        skipped / 1_000,
        held / 1_000
    );
    clean &= skipped < options.minutes as i64 * 60_000 / 20; // the rate was kept
    if held > 0 && clean {
        wrong.push("lag: reading was too far behind".into());
    }
    wrong.extend(compared(&settings, &stream, &fed));
    Ok((wrong, clean))
}

/// Pairs a second of the core that was not taken by others, between 15 % and 90 % of the backlog.
fn maximum(gauge: &Gauge<'_>, records: i64) -> Result<f64, String> {
    let all: i64 = gauge.fed.records.iter().flatten().map(|n| n.load(Ordering::Relaxed)).sum();
    let mut first = None;
    let rate = within(PATIENCE, || {
        let (committed, _, _) = gauge.lag()?;
        let own: f64 = gauge.members.iter().map(|m| m.lock().expect("no thread panics").cpu()).sum();
        let now = (Instant::now(), committed, own, busy(gauge.core));
        if first.is_none() && committed >= all - records * 85 / 100 {
            first = Some(now);
        }
        let first = first.filter(|_| committed >= all - records / 10)?;
        let (took, cpu) = ((now.0 - first.0).as_secs_f64(), now.2 - first.2);
        let others = ((now.3 - first.3) - cpu).max(0.0);
        println!("measured {} records in {took:.1} s: {cpu:.1} s of CPU of its own, {others:.1} s of others", now.1 - first.1);
        Some((now.1 - first.1) as f64 / 2.0 / (took - others))
    });
    rate.ok_or_else(|| format!("the backlog was not read within {PATIENCE:?}"))
}

/// A kill every minute, by turns; the last minute is calm.
fn violence(gauge: &Gauge<'_>, minutes: u64, failed: impl Fn() -> bool) -> Result<Vec<Kill>, String> {
    let mut kills = Vec::new();
    for minute in 1..=minutes {
        // whatever stood still: a minute lies between two kills
        let failure = within(MINUTE, || {
            if let Some(Kill { member, ready, killed, .. }) = kills.last_mut().filter(|k: &&mut Kill| k.ready == 0.0)
                && gauge.members[*member].lock().expect("no thread panics").is_ready()
            {
                *ready = killed.elapsed().as_secs_f64();
            }
            failed().then_some(())
        });
        if failure.is_some() {
            return Err("a process failed".into());
        }
        if minute < minutes {
            let member = (minute % 2) as usize;
            kills.push(Kill { at: gauge.began.elapsed().as_secs_f64(), member, killed: Instant::now(), ready: 0.0 });
            gauge.members[member].lock().expect("no thread panics").kill()?;
        }
    }
    for kill in kills.iter_mut().filter(|k| k.ready == 0.0) {
        kill.ready = kill.killed.elapsed().as_secs_f64(); // not in its minute
    }
    Ok(kills)
}

/// Waits until everything that was fed is committed.
fn drain(gauge: &Gauge<'_>) -> Result<(), String> {
    let began = Instant::now();
    within(PATIENCE, || gauge.lag().filter(|lag| lag.1 == 0)).ok_or_else(|| format!("not within {PATIENCE:?}: everything is committed"))?;
    println!("everything that was fed is committed {:.0} s after the end", began.elapsed().as_secs_f64());
    Ok(())
}

/// Merged summaries, dead letters and alerts against what was fed.
fn compared(settings: &Settings, stream: &Stream, fed: &Fed) -> Vec<String> {
    let published: Published = topics::read_published(settings);
    let counted = brute::of_summaries(published.merged());
    let mut wrong: Vec<String> = stream
        .counted
        .keys()
        .chain(counted.keys())
        .filter(|pane| stream.counted.get(pane) != counted.get(pane))
        .map(|pane| format!("pane {pane:?}: fed {:?}, counted {:?}", stream.counted.get(pane), counted.get(pane)))
        .collect();
    wrong.sort();
    wrong.dedup();
    let panes = wrong.len();
    wrong.truncate(3);
    if panes > 3 {
        wrong.push(format!("{panes} panes differ"));
    }
    let records: i64 = fed.records.iter().flatten().map(|n| n.load(Ordering::Relaxed)).sum();
    println!("{records} records fed; by the rules {:?}", brute::total(&stream.counted));
    println!("{} panes counted: {:?}, {} dead letters", counted.len(), brute::total(&counted), published.letters.0.len());
    if published.letters.0.len() as u64 != stream.broken {
        wrong.push(format!("{} dead letters of {} broken records", published.letters.0.len(), stream.broken));
    }
    wrong.extend(alerts(&published));
    wrong
}

/// Each episode has its events once and in order.
fn alerts(published: &Published) -> Vec<String> {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for record in published.alerts.0.iter().flatten() {
        let alert: serde_json::Value = serde_json::from_str(&record.value).expect("alerts are JSON");
        let id = alert["alert_id"].as_str().unwrap_or_default().to_string();
        let (sequence, known) = (alert["sequence"].as_i64().unwrap_or(-1), last.get(&id).copied());
        if known.is_some_and(|k| sequence != k + 1) {
            wrong.push(format!("alert {id}: {sequence} after {known:?}"));
        }
        last.insert(id, sequence);
    }
    println!("{} alerts of {} episodes: {:?}", published.alerts.count(), last.len(), published.alerts.reasons());
    wrong
}

/// Ends with the run.
struct Broker<'b>(&'b Path);

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        process::kafka_sh("kill", self.0, &[]).ok();
    }
}
