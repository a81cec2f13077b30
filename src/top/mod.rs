//! Running processes seen from outside, over and over: what `driftline top` knows.
//!
//! Guarantees: a process that does not answer, or answers nonsense, is one line that says so; it never ends the view of the others.
//! Never: changes anything; asks for more than `/metrics` and `/status`.
//! Comes from: `ask` (HTTP). Goes to: `cli::top`.

pub mod ask;
pub mod page;
pub mod sample;
pub mod view;
