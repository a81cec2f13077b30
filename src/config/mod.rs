//! The configuration: what was typed, what it means.
//!
//! Guarantees: unknown keys, wrong types and contradictions are all reported in one run, each with its line and what to do;
//! a `Settings` that exists is complete and consistent. Never: prints a secret, asks Kafka anything.
//! Comes from: a YAML file and the environment. Goes to: everything else, as `settings::Settings`.
//!
//! The way of a file: `expand` marks `${VAR}` → `tree` reads YAML with places → `shape` compares keys and types with the
//! schema of `raw` → `check` finds contradictions and builds the settings.

pub mod bytes;
pub mod check;
pub mod diagnostics;
pub mod duration;
pub mod expand;
pub mod load;
pub mod mechanism;
pub mod nearest;
pub mod place;
pub mod raw;
pub mod schema;
pub mod settings;
pub mod shape;
pub mod tree;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use load::{load, load_text};

#[cfg(test)]
mod tests;
