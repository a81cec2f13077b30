//! Formats: from a record's bytes to a decoded event, and from an alert to bytes.
//!
//! The way of a record: `framing` takes off what stands before the value, and `writers` knows by its id how it was written → `json`, `avro` or `protobuf` walks it once along the `plan`
//! (compiled from the configuration's field mapping) and writes what is wanted into slots → `decoder` makes an event of them.

pub mod alert;
pub mod avro;
pub mod decoder;
pub mod event;
pub mod found;
pub mod framing;
pub mod json;
pub mod mapping;
pub mod outlier;
mod payload;
pub mod plan;
pub mod protobuf;
mod pseudonym;
mod reader;
pub mod rows;
pub mod scalar;
pub mod schemas;
pub mod shape;
pub mod time;
pub mod wire;
pub mod writers;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod oracle;
#[cfg(test)]
mod tests;
