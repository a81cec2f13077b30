//! Formats: from a record's bytes to a decoded event, and from an alert to bytes.

pub mod event;
pub mod schemas;
pub mod wire;
