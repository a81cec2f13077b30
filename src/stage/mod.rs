//! The two stages: wiring of the engine to a log. Written against `Log`; they know neither Kafka nor threads.

pub mod changed;
pub mod counters;
pub mod detect;
pub mod join;
pub mod join_task;
pub mod judge;
pub mod quiet;
pub mod recover;
pub mod release;
