//! What driftline relies on in a Kafka broker, asked through the real client.
//!
//! Runs against the embedded broker, or against the broker in `DRIFTLINE_TEST_BROKERS`:
//! `DRIFTLINE_TEST_BROKERS=$(tests/kafka/kafka.sh start /tmp/k) cargo test --test broker_checks`.
//! Both must pass: that is what makes the embedded broker worth testing on.

mod downtime;
mod groups;
mod kit;
mod topics;
mod transactions;
#[path = "../kit/wait.rs"]
mod wait;
