//! A broker as it is in production, and everything that can be wrong between it and driftline.
//!
//! `rights` reads docs/operations.md and grants; `bench` has the broker and runs the program against it; `cases` are what is shown.
//! Scene, oracle and comparison are those of `tests/exactly_once`. Used by `examples/secure.rs`.

pub mod bench;
pub mod cases;
pub mod rights;
