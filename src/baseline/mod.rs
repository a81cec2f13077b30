//! Baseline files: from rows that were normal to the profile that a monitor compares with.
//!
//! The way of a row: `table` reads it from a file (or `cli::baseline` from a topic) → `build` looks at all of them once to fix bins, and once more
//! to count → `engine::baseline::profile` is what is written → `page` shows it to people.

pub mod build;
pub mod page;
pub mod table;
