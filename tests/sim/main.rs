//! Deterministic simulation: many short histories full of faults, each compared with what must come out.
//!
//! `cargo run --release --example simulate -- --seeds 0..10000` runs many more; `--seed N --trace` shows one step by step.

#[path = "mod.rs"]
mod sim;

use driftline::planted::Bug;
use sim::history::Report;
use sim::scenario::Scenario;
use sim::{find, simulate};

fn reports(scenarios: impl Iterator<Item = Scenario>) -> Vec<Report> {
    let (mut good, mut failed) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        match simulate(&scenario, false) {
            Ok(report) => good.push(report),
            Err(why) => failed.push(format!("seed {}: {}", scenario.seed, why.chars().take(2_000).collect::<String>())),
        }
    }
    assert!(failed.is_empty(), "{} histories failed (`--seed N --trace` shows one)\n{}", failed.len(), failed.join("\n"));
    good
}

#[test]
fn calm_histories_publish_what_the_oracle_says() {
    let reports = reports((1_000..1_006).map(|seed| Scenario { faults: 0, ..Scenario::of(seed) }));
    assert!(reports.iter().all(|r| r.exits == 0 && r.records >= 5_000), "{reports:?}");
    // a reference of a few panes can't see every change
    let alerts: Vec<usize> = reports.iter().map(|r| r.alerts).collect();
    assert!(alerts.iter().filter(|n| **n > 0).count() >= 4 && alerts.iter().sum::<usize>() > 50, "{alerts:?}");
}

#[test]
fn histories_full_of_faults_publish_what_the_oracle_says() {
    let reports = reports((0..20).map(Scenario::of));
    let sum = |field: fn(&Report) -> u64| reports.iter().map(field).sum::<u64>();
    let faults = sum(|r| r.faults.values().sum());
    println!("{} histories, {faults} faults, {} restores", reports.len(), sum(|r| r.counted.restores));
    assert!(faults >= 20 * 30 && sum(|r| r.counted.restores) > 1_000, "{faults} faults");
    let (timeless, releases, within) = (sum(|r| u64::from(r.timeless)), sum(|r| r.released), sum(|r| r.within));
    assert!(timeless >= 3 && releases > 10 && within > 1_000, "{timeless} timeless, {releases} releases, {within} turns within calls");
}

#[test]
fn a_seed_is_a_history() {
    for seed in 2_000..2_003 {
        let digests = [0, 1].map(|_| reports(std::iter::once(Scenario::of(seed)))[0].digest);
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}

/// Each is found by the first history or two; `simulate --planted` looks for all of them.
#[test]
fn planted_bugs_are_found() {
    let bugs = [
        Bug::RepeatWithoutAsking,
        Bug::OffsetsFirst,
        Bug::ExpiredIsNew,
        Bug::NoLookAhead,
        Bug::MarksFirst,
        Bug::LatenessOffByOne,
        Bug::WaitingNotJournalled,
        Bug::FloorTooFar,
        Bug::PlanWhenSeen,
        Bug::StreamsNotRestored,
        Bug::LimitsNotRestored,
        Bug::DrillsNotRestored,
        Bug::ProfileAtOnce,
    ];
    for bug in bugs {
        assert!(find(bug, 0..10).is_some(), "nobody noticed {bug:?}");
    }
}
