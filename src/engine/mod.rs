//! The pure, deterministic core: no clock, no I/O, no threads, no randomness, no Kafka.
#![deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]

pub mod alert;
pub mod baseline;
pub mod book;
pub mod budget;
pub mod cell;
pub mod command;
pub mod definitions;
pub mod detect;
pub mod drill;
pub mod index;
pub mod join;
pub mod journal;
pub mod mark;
pub mod monitor;
pub mod partial;
pub mod pending;
pub mod performance;
pub mod plan;
pub mod summary;
pub mod time;
pub mod types;
