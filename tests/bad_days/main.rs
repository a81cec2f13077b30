//! Bad input and bad days: the real program against a real client's broker, and what it says and keeps when things go wrong.
//!
//! Every test starts `driftline` as a child process. The broker is the embedded one in the test's process, or the one in
//! `DRIFTLINE_TEST_BROKERS` (tests that stop the broker always use an embedded one of their own).

mod audit;
mod baseline;
mod broker_away;
mod changed;
mod connect;
mod devices;
mod door;
mod drill;
#[path = "../kit/encoded.rs"]
mod encoded;
mod inputs;
mod instances;
mod kafka;
mod kit;
mod limits;
mod metrics_page;
mod numbers;
mod probes;
mod proposals;
mod protect;
mod registries;
#[path = "../kit/registry.rs"]
mod registry;
mod scene;
mod topics;
#[path = "../kit/wait.rs"]
mod wait;
