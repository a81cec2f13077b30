//! Histories: the real stages on the in-memory log, on one thread, under one scheduler and one seed, while everything goes wrong.
//!
//! `scenario` draws the frame, `inputs` the records, `history` gives turns and lets time pass, `faults` does the damage, `edge` is what a
//! process sees of the world. `audit` reads along, `oracle` says what must come out. Used by the tests next door and by
//! `examples/simulate.rs`.

#![allow(dead_code)] // the tests and the example use different parts

pub mod audit;
#[path = "../exactly_once/compare.rs"]
pub mod compare;
pub mod draw;
pub mod edge;
pub mod faults;
pub mod history;
pub mod inputs;
pub mod newer;
pub mod oracle;
pub mod process;
pub mod rules;
pub mod scenario;
#[path = "../kit/split_mix.rs"]
mod split_mix;
pub mod supply;
pub mod trace;

use driftline::planted::{Bug, plant};
use history::{Report, run, said};
use scenario::Scenario;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The first of `seeds` whose history shows a planted bug, with what it shows.
pub fn find(bug: Bug, seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = seeds.into_iter().find_map(|seed| simulate(&Scenario::of(seed), false).err().map(|why| (seed, why)));
    plant(None);
    found
}

/// Runs the history of a seed; a panic anywhere in it is a failure like others.
pub fn simulate(scenario: &Scenario, show: bool) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| run(scenario, show))).unwrap_or_else(|panic| Err(format!("a panic: {}", said(&*panic))))
}
