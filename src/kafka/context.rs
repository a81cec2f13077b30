//! Callbacks of the clients: they note what happened and return; the member's thread acts.

use super::outage::is_absence;
use super::refusal;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Not to be logged: a client that was fenced can't be closed, and says so when it is dropped.
pub const NO_NEWS: &str = "rdkafka::consumer::base_consumer=off";

/// A change of assignment, not yet acted upon.
#[derive(Debug, PartialEq, Eq)]
pub enum Rebalanced {
    /// These (topic, partition) pairs are ours.
    Assigned(Vec<(String, i32)>),
    /// All are taken back.
    Revoked,
    /// All are gone already.
    Lost,
}

/// Context of a group member: keeps changes of assignment for the member's thread.
pub struct MemberContext {
    session_ms: u64,
    events: Mutex<VecDeque<Rebalanced>>,
    closing: AtomicBool,
    lapsed: AtomicBool,
}

impl MemberContext {
    /// Of a client with such a session.
    pub fn new(session_ms: u64) -> MemberContext {
        MemberContext { session_ms, events: Mutex::default(), closing: AtomicBool::new(false), lapsed: AtomicBool::new(false) }
    }

    /// The oldest change that nobody has acted upon.
    pub fn next(&self) -> Option<Rebalanced> {
        self.events.lock().ok()?.pop_front()
    }

    /// True if there is one.
    pub fn has_changed(&self) -> bool {
        self.events.lock().is_ok_and(|events| !events.is_empty())
    }

    /// True if the client has given up its session with the group because it was cut off, and has no partitions from it since. Not if it
    /// stood still: another process may have taken its place meanwhile.
    ///
    /// Why this matters: it forgets its member id then. Until the assignment is answered it still sends heartbeats, now without the id, and
    /// the group's broker, where the old member may live on, answers that the name is somebody else's (librdkafka 2.12.1:
    /// `rd_kafka_cgrp_session_timeout_check`, `rd_kafka_cgrp_join_state_serve`).
    pub fn has_lapsed(&self) -> bool {
        self.lapsed.load(Ordering::Relaxed)
    }

    /// From now on changes are answered at once: the client waits for the answer before it closes, and nobody polls any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn note(&self, event: Rebalanced) {
        if let Ok(mut events) = self.events.lock() {
            events.push_back(event);
        }
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "SESSTMOUT" && was_cut_off(message, self.session_ms) {
            self.lapsed.store(true, Ordering::Relaxed);
        }
        write_log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        // the end of a partition comes here, too: no news; and what the next poll returns as well
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            _ if refusal::mention(&error, reason) => {}
            Some(RDKafkaErrorCode::FencedInstanceId) => tracing::debug!("Kafka: {error}: {reason}"),
            _ if is_absence(&error) => tracing::debug!("Kafka: {error}: {reason}"),
            _ => tracing::warn!("Kafka: {error}: {reason}"),
        }
    }
}

impl ConsumerContext for MemberContext {
    // Overridden whole: the default would assign before the tasks have recovered, or unassign before the epoch has ended.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: Code, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Relaxed) {
            if let Err(e) = consumer.unassign() {
                tracing::debug!("unassigning while closing: {e}");
            }
            return;
        }
        self.note(match code {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.lapsed.store(false, Ordering::Relaxed);
                Rebalanced::Assigned(list.elements().iter().map(|e| (e.topic().to_string(), e.partition())).collect())
            }
            _ if consumer.assignment_lost() => Rebalanced::Lost,
            _ => Rebalanced::Revoked,
        });
    }
}

/// Context of readers and producers: logs only.
#[derive(Default, Clone)]
pub struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        write_log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        if !refusal::mention(&error, reason) {
            tracing::debug!("Kafka: {error}: {reason}");
        }
    }
}

impl ConsumerContext for QuietContext {}

/// Producer context: counts records that could not be delivered.
#[derive(Default)]
pub struct ProducerContext {
    failed: Mutex<Option<String>>,
    denied: Mutex<Option<String>>,
}

impl ProducerContext {
    /// The first delivery failure since the last call.
    pub fn take_failure(&self) -> Option<String> {
        self.failed.lock().ok()?.take()
    }

    /// That Kafka has said, since the last call, that a right is missing.
    pub fn take_denial(&self) -> Option<String> {
        self.denied.lock().ok()?.take()
    }
}

impl ClientContext for ProducerContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "TXNERR"
            && message.contains("TOPIC_AUTHORIZATION_FAILED")
            && let Ok(mut denied) = self.denied.lock()
        {
            denied.get_or_insert(message.to_string());
        }
        write_log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        if !refusal::mention(&error, reason) {
            tracing::debug!("Kafka: {error}: {reason}");
        }
    }
}

impl rdkafka::producer::ProducerContext for ProducerContext {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, _: ()) {
        if let (Err((e, record)), Ok(mut failed)) = (result, self.failed.lock()) {
            failed.get_or_insert(format!("{}: {e}", record.topic()));
        }
    }
}

fn write_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // the answer to the commit, or the next poll, says the same, and what follows from it is said there
        _ if facility == "TXNERR" || facility == "FATAL" && message.contains("Static consumer fenced") => {
            tracing::debug!("librdkafka {facility}: {message}")
        }
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!("librdkafka {facility}: {message}")
        }
        RDKafkaLogLevel::Warning => tracing::info!("librdkafka {facility}: {message}"),
        _ => tracing::debug!("librdkafka {facility}: {message}"),
    }
}

/// A client that runs gives its session up at most so late.
const LATE_MS: u64 = 1_000;

/// True if a client that runs has given its session up: its last heartbeat failed, or it was there when the session ended. One that is
/// late after a heartbeat that succeeded has stood still itself.
fn was_cut_off(message: &str, session_ms: u64) -> bool {
    let silence = message.split_once(" after ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    !message.contains("last error was Success") || silence.is_some_and(|ms| ms < session_ms + LATE_MS)
}

#[cfg(test)]
mod tests {
    use super::was_cut_off;

    #[test]
    fn a_process_that_stood_still_was_not_cut_off() {
        let said = |ms: u64, last: &str| {
            format!(
                "[thrd:main]: Consumer group session timed out (in join-state steady) after {ms} ms without a successful response from the \
                 group coordinator (broker 2, last error was {last}): revoking assignment and rejoining group"
            )
        };
        assert!(was_cut_off(&said(3_008, "Success"), 3_000));
        assert!(was_cut_off(&said(9_000, "Local: Broker transport failure"), 3_000));
        assert!(!was_cut_off(&said(4_635, "Success"), 3_000));
    }
}
