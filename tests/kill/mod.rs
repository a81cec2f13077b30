//! Kill runs: three processes, three Apache Kafka brokers, a network between them, and everything goes wrong at once.
//!
//! `plan` draws the faults of a run from its seed, `faults` does them, `round` is one run, `cluster` are the brokers, `net` is the
//! network. Scene, oracle and comparison are those of `tests/exactly_once`. Used by `examples/kill_runs.rs`.

pub mod cluster;
pub mod faults;
pub mod net;
pub mod plan;
pub mod round;

/// Processes, and as many brokers.
pub const MEMBERS: usize = 3;
