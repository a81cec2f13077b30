//! Formats.
pub mod alert;
