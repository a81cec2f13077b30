//! Deterministic simulation: many short histories full of faults, each compared with what must come out.
//!
//! `cargo run --release --example simulate -- --seeds 0..10000` runs many more; `--seed N --trace` shows one step by step.

#[path = "mod.rs"]
mod sim;

use sim::scenario::Scenario;
use sim::simulate;

#[test]
fn a_calm_history_publishes_what_the_oracle_says() {
    for seed in 0..4 {
        let scenario = Scenario { faults: 0, ..Scenario::of(seed) };
        let report = simulate(&scenario, false).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        println!("{seed}: {report:?}");
        assert!(report.alerts > 0, "seed {seed}: {report:?}");
    }
}

#[test]
fn histories_full_of_faults_publish_what_the_oracle_says() {
    let seeds = std::env::var("DRIFTLINE_SIM_SEEDS").unwrap_or("0..30".into());
    let (from, to) = seeds.split_once("..").expect("FROM..TO");
    let mut failed = Vec::new();
    for seed in from.parse::<u64>().expect("a number")..to.parse().expect("a number") {
        match simulate(&Scenario::of(seed), std::env::var_os("DRIFTLINE_SIM_TRACE").is_some()) {
            Ok(report) => println!("{seed}: {report:?}"),
            Err(why) => failed.push(format!("seed {seed}: {}", why.chars().take(1_000).collect::<String>())),
        }
    }
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..3 {
        let digests = [0, 1].map(|_| simulate(&Scenario::of(seed), false).unwrap_or_else(|why| panic!("seed {seed}: {why}")).digest);
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}
