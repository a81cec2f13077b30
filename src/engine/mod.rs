//! The pure, deterministic core: no clock, no I/O, no threads, no randomness, no Kafka.

pub mod definitions;
pub mod summary;
pub mod types;
