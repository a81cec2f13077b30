//! One record to one partition, outside of transactions: an operator's command.
//!
//! Guarantees: an answer within half a minute: the record's offset, or a sentence that says what to do.
//! Never: takes part in the record path. Comes from: `cli::drill`. Goes to: `<app>.summaries`.

use super::client;
use super::refusal::{hopeless, no_client};
use super::rights::{Operation, Resource, denied};
use crate::config::settings::Kafka;
use crate::engine::types::{Offset, Partition};
use crate::log::Fatal;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::sync::Mutex;
use std::time::Duration;

/// The client gives a record up sooner.
const PATIENCE: Duration = Duration::from_secs(25);

/// What became of the record, and the last error that was heard.
#[derive(Default)]
struct Receipt {
    written: Mutex<Option<Result<Offset, KafkaError>>>,
    heard: Mutex<Option<(KafkaError, String)>>,
}

impl ClientContext for Receipt {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Ok(mut heard) = self.heard.lock() {
            *heard = Some((error, reason.to_string()));
        }
    }
}

impl ProducerContext for Receipt {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Ok(mut written) = self.written.lock() {
            *written = Some(result.as_ref().map(|m| Offset(m.offset())).map_err(|(e, _)| e.clone()));
        }
    }
}

/// Writes it, and waits until it is there.
pub fn send(kafka: &Kafka, topic: &str, partition: Partition, value: &[u8]) -> Result<Offset, Fatal> {
    let config = client::plain_producer(kafka);
    let producer: BaseProducer<Receipt> =
        BaseProducer::from_config_and_context(&config, Receipt::default()).map_err(|e| Fatal(no_client(&e)))?;
    let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).partition(partition.0).payload(value);
    producer.send(record).map_err(|(e, _)| refused(kafka, topic, &e))?;
    let flushed = producer.flush(PATIENCE);
    let receipt = producer.context();
    match receipt.written.lock().ok().and_then(|mut written| written.take()) {
        Some(Ok(offset)) => Ok(offset),
        Some(Err(e)) => Err(unwritten(kafka, topic, &e, receipt)),
        None => Err(unwritten(kafka, topic, &flushed.err().unwrap_or(KafkaError::Canceled), receipt)),
    }
}

/// What was heard says more than that time has run out.
fn unwritten(kafka: &Kafka, topic: &str, e: &KafkaError, receipt: &Receipt) -> Fatal {
    let heard = receipt.heard.lock().ok().and_then(|mut heard| heard.take());
    match heard.and_then(|(heard, why)| hopeless(kafka, &heard, &why)) {
        Some(why) => Fatal(why),
        None => refused(kafka, topic, e),
    }
}

fn refused(kafka: &Kafka, topic: &str, e: &KafkaError) -> Fatal {
    denied(e, kafka, &Resource::Topic(topic.to_string()), Operation::Write).unwrap_or_else(|| {
        Fatal(format!("{topic} took no record ({e}): are the brokers at {} there, and was `driftline topics create` run?", kafka.brokers))
    })
}
