//! From the alerts topic to Alertmanager.
//!
//! Guarantees: what fires is told again and again until it is resolved, under the same labels; a restart loses nothing, because what fires is read
//! from the topic; nobody is told of what was over long before it was written (a first start on old history).
//! Never: joins a group, commits anything, decides what is an alert.
//! Comes from: `kafka::subscriber`. Goes to: Alertmanager's API, version 2; `docs/alerts.md` says what it gets.

pub mod alertmanager;
pub mod firing;
