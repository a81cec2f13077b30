//! Histories full of faults, each compared with what must come out.
//!
//! `cargo run --release --example simulate -- --seeds 0..10000` runs many and ends with one line; exit code 1 if one failed.
//! `--seed 17 --trace` shows one step by step; `--twice` runs each seed twice and compares the digests of both traces.
//! `--features planted ... --planted` switches on one bug after the other and shows after how many seeds each is found.

#[path = "../tests/sim/mod.rs"]
mod sim;

use clap::Parser;
use driftline::planted::{Bug, plant};
use sim::history::Report;
use sim::scenario::Scenario;
use sim::{find, simulate, trace};
use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs histories full of faults.
#[derive(Parser)]
struct Options {
    /// Seeds from..to.
    #[arg(long, default_value = "0..100", value_parser = range)]
    seeds: Range<u64>,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Show each step.
    #[arg(long)]
    trace: bool,
    /// Run each seed twice and compare.
    #[arg(long)]
    twice: bool,
    /// Switch on one planted bug after the other, and show which seed finds it.
    #[arg(long)]
    planted: bool,
    /// Only this bug. Without `--planted`: histories with it, to see what it does (`--seed N --bug X --trace`).
    #[arg(long)]
    bug: Option<String>,
    /// Of the planted bugs only every Nth, from number K on: K/N.
    #[arg(long, default_value = "0/1", value_parser = part)]
    part: (usize, usize),
    /// Without faults.
    #[arg(long)]
    calm: bool,
    /// Threads, each with histories of its own.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("wanted: FROM..TO")?;
    let number = |t: &str| t.parse::<u64>().map_err(|e| e.to_string());
    Ok(number(from)?..number(to)?)
}

fn part(text: &str) -> Result<(usize, usize), String> {
    let (k, n) = text.split_once('/').ok_or("wanted: K/N")?;
    let number = |t: &str| t.parse::<usize>().map_err(|e| e.to_string());
    let (k, n) = (number(k)?, number(n)?);
    if k < n { Ok((k, n)) } else { Err("K is below N".into()) }
}

fn main() -> ExitCode {
    let options = Options::parse();
    driftline::ops::memory::ordinary_pages();
    std::panic::set_hook(Box::new(|_| {})); // a panic is a failure of its history and is shown there
    if options.trace {
        tracing_subscriber::fmt().without_time().with_target(false).init(); // what members themselves say
    }
    let seeds = options.seed.map_or(options.seeds.clone(), |seed| seed..seed + 1);
    if options.planted {
        return planted(&options, &seeds);
    }
    let (next, reports, began) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = one(seed, &options);
                    if let Err(why) = &report {
                        println!("seed {seed}: {why}");
                    }
                    reports.lock().expect("no panic while it is held").insert(seed, report);
                }
            });
        }
    });
    let reports = reports.into_inner().expect("no panic while it was held");
    close(&reports, began.elapsed().as_secs_f64());
    ExitCode::from(u8::from(reports.values().any(Result::is_err)))
}

/// Looks for each planted bug.
fn planted(options: &Options, seeds: &Range<u64>) -> ExitCode {
    if !cfg!(any(debug_assertions, feature = "planted")) {
        println!("this build has no planted bugs: build it with --features planted");
        return ExitCode::from(2);
    }
    let (part, of) = options.part;
    let named = |bug: Bug| options.bug.as_ref().is_none_or(|wanted| *wanted == format!("{bug:?}"));
    let bugs: Vec<_> = Bug::ALL.iter().enumerate().filter(|(i, (bug, _))| i % of == part && named(*bug)).map(|(_, b)| *b).collect();
    let (next, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some((bug, what)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = format!("{bug:?}");
                    let Some((seed, why)) = find(*bug, seeds.clone()) else {
                        missed.fetch_add(1, Ordering::Relaxed);
                        println!("{name:<24} NOT FOUND in {} seeds: {what}", seeds.end - seeds.start);
                        continue;
                    };
                    let first: String = why.lines().next().unwrap_or_default().chars().take(150).collect();
                    println!("{name:<24} found after {:>4} seeds: {what}; {first}", seed - seeds.start + 1);
                }
            });
        }
    });
    let missed = missed.into_inner();
    println!("{} of {} planted bugs looked for, {missed} not found", bugs.len(), Bug::ALL.len());
    ExitCode::from(u8::from(missed > 0))
}

fn one(seed: u64, options: &Options) -> Result<Report, String> {
    let mut scenario = Scenario::of(seed);
    if options.calm {
        scenario.faults = 0;
    }
    if options.trace {
        println!("{scenario:?}");
    }
    let named = |bug: &Bug| options.bug.as_ref().is_some_and(|wanted| *wanted == format!("{bug:?}"));
    plant(Bug::ALL.iter().map(|b| b.0).find(named));
    let report = simulate(&scenario, options.trace)?;
    if options.twice {
        let again = simulate(&scenario, false)?;
        if again.digest != report.digest {
            return Err(format!("two runs have the digests {:016x} and {:016x}", report.digest, again.digest));
        }
    }
    Ok(report)
}

fn close(reports: &BTreeMap<u64, Result<Report, String>>, seconds: f64) {
    let good: Vec<&Report> = reports.values().filter_map(|r| r.as_ref().ok()).collect();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for report in &good {
        report.faults.iter().for_each(|(kind, n)| *faults.entry(kind).or_default() += n);
        report.oddities.iter().for_each(|(kind, n)| *faults.entry(kind).or_default() += n);
    }
    let faults: Vec<String> = faults.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    println!(
        "{} histories, {} failures, {} records, {} alerts, {} restores, {} turns ({} within calls), {} inputs stuck, {} releases, {:.1} histories/s, digest {:016x}; faults: {}",
        reports.len(),
        reports.len() - good.len(),
        good.iter().map(|r| r.records).sum::<u64>(),
        good.iter().map(|r| r.alerts).sum::<usize>(),
        good.iter().map(|r| r.counted.restores).sum::<u64>(),
        good.iter().map(|r| r.turns).sum::<u64>(),
        good.iter().map(|r| r.within).sum::<u64>(),
        good.iter().map(|r| r.stuck).sum::<u64>(),
        good.iter().map(|r| r.released).sum::<u64>(),
        reports.len() as f64 / seconds,
        trace::combined(good.iter().map(|r| r.digest)),
        faults.join(", ")
    );
}
