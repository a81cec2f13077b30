//! Reading topics without membership: journals, state, summaries at recovery; following the plan; asking for ends.

use super::client;
use super::context::QuietContext;
use super::outage::{OUTAGE, is_absence};
use super::refusal::no_client;
use super::rights::{Operation, Resource, denied};
use crate::config::settings::Kafka;
use crate::engine::types::{Offset, Partition};
use crate::log::{Ends, Fatal, Headers, Record, TopicIx};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message, Timestamp};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::time::{Duration, Instant};

/// A broker that is away is asked again for this long before the process gives up.
pub const PATIENCE: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_secs(10);

/// Runs `ask` until it succeeds, for at most `PATIENCE`; a missing right, which would be this one, ends it at once.
pub fn insist<T>(
    what: &str,
    kafka: &Kafka,
    right: (Operation, Resource),
    mut ask: impl FnMut() -> Result<T, KafkaError>,
) -> Result<T, Fatal> {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(e) if began.elapsed() > PATIENCE => {
                return Err(Fatal(format!("{what}: {e} (for {} s); is the broker reachable?", PATIENCE.as_secs())));
            }
            Err(e) => {
                complain(what, &e, kafka, right.0, &right.1)?;
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }
}

/// An absent broker is said once, everything else each time; a missing right is fatal.
pub(super) fn complain(what: &str, e: &KafkaError, kafka: &Kafka, operation: Operation, on: &Resource) -> Result<(), Fatal> {
    if let Some(fatal) = denied(e, kafka, on, operation) {
        return Err(fatal);
    }
    match is_absence(e) {
        true => OUTAGE.noticed(what, e),
        false => tracing::warn!("{what}: {e}; trying again"),
    }
    Ok(())
}

/// Two consumers outside any group's membership.
pub struct Reader {
    kafka: Kafka,
    committed: BaseConsumer<QuietContext>,
    uncommitted: BaseConsumer<QuietContext>,
    /// With the topic that it follows.
    follower: Option<(BaseConsumer<QuietContext>, Resource)>,
}

impl Reader {
    /// A reader; `follow` names a topic whose partition 0 is followed from its beginning. The client wants a group's name, but nobody
    /// joins it or commits anything here: the members' own will do, and needs no further rights.
    pub fn new(kafka: &Kafka, group: &str, follow: Option<&str>) -> Result<Reader, Fatal> {
        let create = |c: rdkafka::ClientConfig| BaseConsumer::from_config_and_context(&c, QuietContext).map_err(|e| Fatal(no_client(&e)));
        let follower = match follow {
            None => None,
            Some(topic) => {
                let consumer = create(client::reader(kafka, group))?;
                assign(&consumer, topic, 0, At::Beginning)?;
                Some((consumer, Resource::Topic(topic.into())))
            }
        };
        Ok(Reader {
            kafka: kafka.clone(),
            committed: create(client::reader(kafka, group))?,
            uncommitted: create(client::uncommitted(kafka, group))?,
            follower,
        })
    }

    /// The client that follows the topic.
    pub fn follower(&self) -> Option<*mut rdkafka::bindings::rd_kafka_t> {
        self.follower.as_ref().map(|(f, _)| f.client().native_ptr())
    }

    /// Hands over what has come in the followed topic.
    pub fn follow(&self, sink: &mut crate::log::Sink<'_>) -> Result<(), Fatal> {
        let Some((follower, topic)) = &self.follower else { return Ok(()) };
        while let Some(message) = follower.poll(Duration::ZERO) {
            match message {
                Ok(m) => sink(record(&m, TopicIx(u8::MAX), &Lazy(m.headers()))),
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(e) => complain("following the plan", &e, &self.kafka, Operation::Read, topic)?,
            }
        }
        Ok(())
    }

    /// Ends of a partition.
    pub fn ends(&self, topic: &str, partition: Partition) -> Result<Ends, Fatal> {
        let (low, last_stable) = self.stable(topic, partition)?;
        let right = (Operation::Read, Resource::Topic(topic.into()));
        let (_, high) = insist(&format!("asking for the ends of {topic}[{}]", partition.0), &self.kafka, right, || {
            self.uncommitted.fetch_watermarks(topic, partition.0, STEP)
        })?;
        Ok(Ends { low, last_stable, high: Offset(high) })
    }

    /// (first offset, last stable offset).
    pub fn stable(&self, topic: &str, partition: Partition) -> Result<(Offset, Offset), Fatal> {
        let right = (Operation::Read, Resource::Topic(topic.into()));
        let (low, end) = insist(&format!("asking for the ends of {topic}[{}]", partition.0), &self.kafka, right, || {
            self.committed.fetch_watermarks(topic, partition.0, STEP)
        })?;
        Ok((Offset(low), Offset(end)))
    }

    /// `Log::scan`.
    pub fn scan(
        &self,
        topic: &str,
        partition: Partition,
        from: Option<Offset>,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal> {
        let (low, end) = self.stable(topic, partition)?;
        let from = from.map_or(low, |f| f.max(low));
        if from >= end {
            return Ok(end);
        }
        assign(&self.committed, topic, partition.0, At::Offset(from.0))?;
        let result = self.scan_assigned(topic, partition, end, sink);
        self.committed.unassign().map_err(|e| Fatal(format!("unassign: {e}")))?;
        result
    }

    fn scan_assigned(
        &self,
        topic: &str,
        partition: Partition,
        end: Offset,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal> {
        let mut last = Instant::now();
        loop {
            match self.committed.poll(Duration::from_millis(200)) {
                Some(Ok(m)) => {
                    last = Instant::now();
                    if m.offset() >= end.0 || !sink(record(&m, TopicIx(u8::MAX), &Lazy(m.headers()))) {
                        return Ok(Offset(m.offset().min(end.0)));
                    }
                    if m.offset() + 1 >= end.0 {
                        return Ok(end);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(end),
                Some(Err(e)) => {
                    let on = Resource::Topic(topic.into());
                    complain(&format!("reading {topic}[{}]", partition.0), &e, &self.kafka, Operation::Read, &on)?;
                }
                None => {}
            }
            if last.elapsed() > PATIENCE {
                return Err(Fatal(format!("reading {topic}[{}] made no progress for {} s", partition.0, PATIENCE.as_secs())));
            }
        }
    }
}

fn assign(consumer: &BaseConsumer<QuietContext>, topic: &str, partition: i32, at: At) -> Result<(), Fatal> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, at)
        .and_then(|()| consumer.assign(&list))
        .map_err(|e| Fatal(format!("assigning {topic}[{partition}]: {e}")))
}

/// Headers read from the client's memory on demand.
pub struct Lazy<'a>(pub Option<&'a BorrowedHeaders>);

impl Headers for Lazy<'_> {
    fn len(&self) -> usize {
        self.0.map_or(0, |h| h.count())
    }
    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)> {
        let headers = self.0.filter(|h| i < h.count())?;
        let h = headers.get(i);
        Some((h.key, h.value))
    }
}

/// A message as a record.
pub fn record<'a>(m: &'a BorrowedMessage<'_>, topic: TopicIx, headers: &'a dyn Headers) -> Record<'a> {
    let (timestamp, append_time) = match m.timestamp() {
        Timestamp::NotAvailable => (-1, false),
        Timestamp::CreateTime(t) => (t, false),
        Timestamp::LogAppendTime(t) => (t, true),
    };
    Record {
        topic,
        partition: Partition(m.partition()),
        offset: Offset(m.offset()),
        timestamp,
        append_time,
        key: m.key(),
        value: m.payload(),
        headers,
    }
}
