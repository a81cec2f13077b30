//! What operators see: metrics, probes, status, logs; and the threads of the process.

pub mod door;
pub mod http;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod service;
pub mod status;
pub mod stop;
