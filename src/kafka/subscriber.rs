//! Reading one topic as any subscriber does: all partitions from their beginning, committed records only.
//!
//! Guarantees: each committed record is handed over once, a partition's in order; a topic that is not there, a missing right and a broker
//! that does not answer end the start with a sentence that says what to do.
//! Never: joins a group, commits a position, needs a right beyond Read on the topic, takes part in the record path.
//! Comes from: `cli::tail`, `cli::forward`, `cli::connect`; `kept` remembers how far a reader has come. Goes to: its sink.

pub mod kept;

use super::client;
use super::outage::{OUTAGE, is_absence};
use super::reader::{Lazy, record};
use super::refusal::{Ear, hopeless, no_client};
use super::rights::{Operation, Resource, denied, missing};
use crate::config::settings::Kafka;
use crate::log::{Fatal, Sink, TopicIx};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// So long the first answer of a broker is waited for: somebody sits before the screen.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// One question.
const REQUEST: Duration = Duration::from_secs(3);

/// A subscriber to one topic.
pub struct Subscriber {
    kafka: Kafka,
    topic: String,
    consumer: BaseConsumer<Ear>,
    partitions: i32,
    /// Partitions that have not been read to their end yet.
    unread: BTreeSet<i32>,
    heard: Instant,
}

impl Subscriber {
    /// Connects, finds the partitions, begins with the oldest record of each.
    pub fn new(kafka: &Kafka, group: &str, topic: &str) -> Result<Subscriber, Fatal> {
        Subscriber::connect(kafka, group, topic, absent)?.begin(At::Beginning)
    }

    /// Of a topic of the user's, beginning with the newest `most` records of each partition.
    pub fn newest(kafka: &Kafka, group: &str, topic: &str, most: i64) -> Result<Subscriber, Fatal> {
        Subscriber::connect(kafka, group, topic, absent_input)?.begin(At::OffsetTail(most))
    }

    /// Reads nothing yet.
    fn connect(kafka: &Kafka, group: &str, topic: &str, absent: fn(&str) -> Fatal) -> Result<Subscriber, Fatal> {
        let mut config = client::reader(kafka, group);
        config.set("auto.offset.reset", "earliest"); // where retention has passed the reader, it goes on with what is left
        let consumer = BaseConsumer::from_config_and_context(&config, Ear::default()).map_err(|e| Fatal(no_client(&e)))?;
        let partitions = partitions(kafka, &consumer, topic, absent)?;
        let (topic, unread) = (topic.to_string(), (0..partitions).collect());
        Ok(Subscriber { kafka: kafka.clone(), topic, consumer, partitions, unread, heard: Instant::now() })
    }

    fn begin(self, at: At) -> Result<Subscriber, Fatal> {
        let begun = self.at_each(|_| at).and_then(|list| self.consumer.assign(&list));
        begun.map_err(|e| Fatal(format!("reading {}: {e}", self.topic))).map(|()| self)
    }

    /// All partitions, each with an offset.
    fn at_each(&self, at: impl Fn(i32) -> At) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        (0..self.partitions).try_for_each(|p| list.add_partition_offset(&self.topic, p, at(p)))?;
        Ok(list)
    }

    /// True once every partition has been read to the end that it had then.
    pub fn has_caught_up(&self) -> bool {
        self.unread.is_empty()
    }

    /// How long nothing has been heard from Kafka.
    pub fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Hands over what comes, and returns when nothing is at hand; waits at most `patience` for the first record.
    pub fn poll(&mut self, patience: Duration, sink: &mut Sink<'_>) -> Result<(), Fatal> {
        let mut wait = patience;
        while self.next(wait, sink)? {
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Hands over the next record, if one comes within `patience`. False if nothing came, neither a record nor news of a partition.
    pub fn next(&mut self, patience: Duration, sink: &mut Sink<'_>) -> Result<bool, Fatal> {
        OUTAGE.turned();
        let came = self.consumer.poll(patience);
        let any = came.is_some();
        match came {
            Some(Ok(m)) => {
                sink(record(&m, TopicIx(u8::MAX), &Lazy(m.headers())));
                self.heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(p))) => {
                self.unread.remove(&p);
                self.heard = Instant::now();
            }
            Some(Err(e)) => self.trouble(&e)?,
            None => {
                if let Some((e, why)) = self.consumer.context().take() {
                    self.refused(&e, &why)?;
                }
            }
        }
        Ok(any)
    }

    fn trouble(&self, e: &KafkaError) -> Result<(), Fatal> {
        let right = (Operation::Read, Resource::Topic(self.topic.clone()));
        match denied(e, &self.kafka, &right.1, right.0) {
            Some(fatal) => Err(fatal),
            None if matches!(e.rdkafka_error_code(), Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) => Err(Fatal(format!(
                "topic {} is gone: it was deleted while it was read. `driftline topics create -c FILE` makes it again",
                self.topic
            ))),
            None => {
                say_once_a_while(&self.topic, e);
                Ok(())
            }
        }
    }

    fn refused(&self, e: &KafkaError, why: &str) -> Result<(), Fatal> {
        if let Some(end) = hopeless(&self.kafka, e, why) {
            return Err(Fatal(end));
        }
        say_once_a_while(&self.topic, e);
        Ok(())
    }
}

/// The group has no members, so what its coordinator says does not matter; an absent broker comes back.
fn say_once_a_while(topic: &str, e: &KafkaError) {
    if e.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) {
        tracing::debug!("reading {topic}: {e}");
    } else if is_absence(e) {
        OUTAGE.noticed(&format!("reading {topic}"), e);
    } else {
        tracing::warn!("reading {topic}: {e}; trying again");
    }
}

/// Partitions of the topic, asked for until a broker answers or the patience ends.
fn partitions(kafka: &Kafka, consumer: &BaseConsumer<Ear>, topic: &str, absent: fn(&str) -> Fatal) -> Result<i32, Fatal> {
    let began = Instant::now();
    loop {
        let e = match consumer.fetch_metadata(Some(topic), REQUEST) {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|t| t.name() == topic);
                match found.and_then(|t| t.error()).map(Code::from) {
                    Some(Code::TopicAuthorizationFailed) => {
                        return Err(Fatal(missing(kafka, &Resource::Topic(topic.into()), &[Operation::Read])));
                    }
                    Some(code @ Code::LeaderNotAvailable) => KafkaError::MetadataFetch(code),
                    _ => return found.map(|t| t.partitions().len() as i32).filter(|n| *n > 0).ok_or_else(|| absent(topic)),
                }
            }
            Err(e) => e,
        };
        let heard = Instant::now(); // errors go to the context, after what is only logged; they may come without a pause
        while heard.elapsed() < Duration::from_secs(1) && consumer.poll(Duration::from_millis(100)).is_some() {}
        let (e, why) = consumer.context().take().unwrap_or_else(|| (e.clone(), e.to_string()));
        if let Some(end) = hopeless(kafka, &e, &why) {
            return Err(Fatal(end));
        }
        if began.elapsed() > FIRST_ANSWER {
            return Err(Fatal(format!(
                "no broker answers at {} ({why}). Check `kafka.brokers`, whether the brokers run, and whether `security.protocol` in kafka.client is the listener's",
                kafka.brokers
            )));
        }
    }
}

fn absent_input(topic: &str) -> Fatal {
    Fatal(format!(
        "topic {topic} does not exist: create it (it is yours, driftline never creates it), or correct the name in the configuration"
    ))
}

fn absent(topic: &str) -> Fatal {
    Fatal(format!(
        "topic {topic} does not exist: `driftline topics create -c FILE` makes it, and `driftline run` publishes to it. Is this the right cluster, and the right configuration?"
    ))
}
