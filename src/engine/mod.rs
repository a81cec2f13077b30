//! The pure, deterministic core: no clock, no I/O, no threads, no randomness, no Kafka.

pub mod alert;
pub mod baseline;
pub mod budget;
pub mod definitions;
pub mod detect;
pub mod summary;
pub mod types;
