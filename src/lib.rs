//! driftline watches machine-learning models in production: it joins predictions and outcomes from Kafka, summarises them
//! per cell, detects drift on closed panes and publishes each alert exactly once. Start reading at `flow`.
#![warn(missing_docs)]

mod audit;
pub mod baseline;
pub mod broker;
pub mod cli;
pub mod codec;
pub mod config;
pub mod engine;
pub mod flow;
pub mod forward;
pub mod identity;
pub mod infer;
pub mod kafka;
pub mod log;
pub mod ops;
mod outward;
pub mod planted;
mod prefetch;
pub mod registry;
pub mod sizing;
pub mod stage;
pub mod top;
