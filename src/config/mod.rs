//! The configuration: what was typed, what it means.

pub mod settings;
