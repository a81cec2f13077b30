//! From the alerts topic to Alertmanager and to webhooks.
//!
//! Guarantees: Alertmanager is told what fires again and again until it is resolved, under the same labels; a webhook is told each event at
//! least once, in its partition's order, across restarts. Nobody is told of what was over long before it was written (a first start on old history).
//! Never: joins a group, decides what is an alert.
//! Comes from: `kafka::subscriber`. Goes to: Alertmanager's API, version 2, and `POST` to webhooks; `docs/alerts.md` says what they get.

pub mod alertmanager;
pub mod backoff;
pub mod deliveries;
pub mod firing;
pub mod signature;
pub mod webhook;

/// An answer is waited for this long.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
