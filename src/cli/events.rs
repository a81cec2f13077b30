//! Alert events as a person's tool reads them: the alerts topic from its beginning, each event as its JSON.
//!
//! Guarantees: committed events only, each once, a partition's in order; a record that is no alert is told on standard error, with its place,
//! and the rest is read. Fields and words of a later version are kept.
//! Never: joins a group, commits anything, needs more than Read on the topic; waits without an end for a broker that says nothing, unless it
//! follows.
//! Comes from: `kafka::subscriber`. Goes to: `cli::tail`, `cli::explain`, `cli::forward_webhooks`.

use super::Failure;
use crate::codec::alert::{Format, decode, encode};
use crate::config::settings::{AlertFormat, Settings};
use crate::kafka::subscriber::Subscriber;
use crate::log::{Fatal, Record};
use serde_json::Value;
use std::time::Duration;

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// Reading to the end fails if Kafka has said nothing for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An event that was read: what it says, and its text in JSON, one line.
pub struct Event {
    /// Its fields.
    pub value: Value,
    /// As it was published, if that was JSON.
    pub json: String,
}

/// When an event was detected, as RFC 3339: what events are sorted by.
pub fn detected_at(event: &Value) -> &str {
    event.get("detected_at").and_then(Value::as_str).unwrap_or("")
}

/// The alerts topic while it is read.
pub struct Reading<'a> {
    settings: &'a Settings,
    subscriber: Subscriber,
    /// Records that were read.
    pub records: u64,
}

impl Reading<'_> {
    /// Finds the topic and begins with the oldest record of each partition.
    pub fn begin<'a>(settings: &'a Settings, verb: &str) -> Result<Reading<'a>, Failure> {
        // the client wants a group's name; nobody is in it
        let subscriber = Subscriber::new(&settings.kafka, &format!("{}-{verb}", settings.app), &settings.alerts.topic).map_err(runtime)?;
        Ok(Reading { settings, subscriber, records: 0 })
    }

    /// Hands over what has come; true once everything has been read that was there.
    pub fn step(&mut self, sink: &mut dyn FnMut(Event)) -> Result<bool, Failure> {
        let Reading { settings, subscriber, records } = self;
        let mut take = |record: Record<'_>| {
            *records += 1;
            event(settings, &record).into_iter().for_each(&mut *sink);
        };
        subscriber.poll(STEP, &mut take).map_err(runtime)?;
        Ok(subscriber.has_caught_up())
    }

    /// An error if Kafka has been silent for too long for somebody who waits for the end.
    pub fn moves(&self) -> Result<(), Failure> {
        if self.subscriber.silence() <= PATIENCE {
            return Ok(());
        }
        let (s, brokers, topic) = (PATIENCE.as_secs(), &self.settings.kafka.brokers, &self.settings.alerts.topic);
        Err(Failure::Runtime(format!("reading {topic} made no progress for {s} s: are all of the brokers at {brokers} there?")))
    }

    /// Hands over everything that is there.
    pub fn read_all(&mut self, sink: &mut dyn FnMut(Event)) -> Result<(), Failure> {
        while !self.step(sink)? {
            self.moves()?;
        }
        Ok(())
    }
}

fn runtime(e: Fatal) -> Failure {
    Failure::Runtime(e.0)
}

/// The event in a record; what is none is told.
pub(super) fn event(settings: &Settings, record: &Record<'_>) -> Option<Event> {
    let value = record.value?; // a tombstone
    let read = match settings.alerts.format {
        AlertFormat::Json => String::from_utf8(value.to_vec()).map_err(|e| e.to_string()),
        AlertFormat::Avro => decode(value, Format::Avro)
            .and_then(|alert| encode(&alert, Format::Json))
            .map_err(|e| e.to_string())
            .and_then(|json| String::from_utf8(json).map_err(|e| e.to_string())),
    };
    let parsed = read.and_then(|json| match serde_json::from_str::<Value>(&json) {
        // a line of its own, whoever wrote it
        Ok(value) if value.is_object() => Ok(Event { json: if json.contains('\n') { value.to_string() } else { json }, value }),
        Ok(_) => Err("no JSON object".to_string()),
        Err(e) => Err(e.to_string()),
    });
    parsed
        .inspect_err(|why| {
            let (topic, p, offset) = (&settings.alerts.topic, record.partition.0, record.offset.0);
            tracing::warn!("{topic}[{p}]@{offset} is passed over, it is no alert ({why}). Is alerts.format what its writer has?");
        })
        .ok()
}
