//! The only room that knows rdkafka: client settings, one adapter of `Log`, topics.

pub mod client;
pub mod command;
pub mod context;
pub mod log;
pub mod outage;
mod patience;
pub mod produce;
pub mod queues;
pub mod reader;
pub mod refusal;
pub mod rights;
pub mod subscriber;
pub mod topics;
pub mod wake;
