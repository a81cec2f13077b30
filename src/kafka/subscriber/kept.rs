//! A subscriber whose place is kept in Kafka: what it had dealt with before, it is told, and not asked to deal with again.
//!
//! Guarantees: a place is kept only behind what the caller has dealt with, so a restart loses nothing; a place that Kafka does not have yet is
//! kept before the first record is handed over. Places are written anew once an hour, so that they don't expire while their reader lives.
//! Never: joins the group that the places are kept under; needs more than Read on the topic and on that group.
//! Comes from: `cli::forward_webhooks`. Goes to: its sink; the group's committed offsets.

use super::{At, Duration, Instant, KafkaError, REQUEST, Subscriber, absent};
use crate::config::settings::Kafka;
use crate::engine::types::{Offset, Partition};
use crate::kafka::reader::{complain, insist};
use crate::kafka::rights::{Operation, Resource};
use crate::log::{Fatal, Record};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::collections::BTreeMap;

/// Kafka forgets places that nobody has written for `offsets.retention.minutes`: a week by default, a day in old clusters.
const ANEW: Duration = Duration::from_secs(3_600);
/// After a place could not be kept, it is tried again this much later.
const AGAIN: Duration = Duration::from_secs(5);

/// Takes a record, and whether it is new: not dealt with by this reader before.
pub type NewSink<'a> = dyn FnMut(Record<'_>, bool) + 'a;

/// A subscriber and its places.
pub struct Kept {
    subscriber: Subscriber,
    group: Resource,
    /// The first offset that has not been dealt with, by partition.
    places: BTreeMap<i32, i64>,
    /// Some are not in Kafka yet.
    ahead: bool,
    written: Instant,
    failed: Option<Instant>,
}

impl Kept {
    /// Connects, and finds its places: those of the group, else the first record that was written at `since_ms` or later.
    pub fn new(kafka: &Kafka, group: &str, topic: &str, since_ms: i64) -> Result<Kept, Fatal> {
        let subscriber = Subscriber::connect(kafka, group, topic, absent)?;
        let group = Resource::Group(group.to_string());
        let places = places(&subscriber, &group, since_ms)?;
        let list = at(&subscriber, &places).map_err(|e| Fatal(format!("places in {topic}: {e}")))?;
        insist(&format!("keeping the place in {topic}"), kafka, (Operation::Read, group.clone()), || {
            subscriber.consumer.commit(&list, CommitMode::Sync)
        })?;
        let subscriber = subscriber.begin(At::Beginning)?;
        Ok(Kept { subscriber, group, places, ahead: false, written: Instant::now(), failed: None })
    }

    /// True once every partition has been read to the end that it had then.
    pub fn has_caught_up(&self) -> bool {
        self.subscriber.has_caught_up()
    }

    /// How long nothing has been heard from Kafka.
    pub fn silence(&self) -> Duration {
        self.subscriber.silence()
    }

    /// Hands over the next record, if one comes within `patience`; all are handed over from the oldest on. False if nothing came.
    pub fn next(&mut self, patience: Duration, sink: &mut NewSink<'_>) -> Result<bool, Fatal> {
        let Kept { subscriber, places, .. } = self;
        subscriber.next(patience, &mut |record| {
            let new = places.get(&record.partition.0).is_none_or(|place| record.offset.0 >= *place);
            sink(record, new);
        })
    }

    /// A new record, and all before it in its partition, have been dealt with.
    pub fn dealt(&mut self, partition: Partition, offset: Offset) {
        self.places.insert(partition.0, offset.0 + 1);
        self.ahead = true;
    }

    /// Writes the places to Kafka if they have changed, and now and then if not. What can't be written now is written later.
    pub fn keep(&mut self) -> Result<(), Fatal> {
        let due = self.ahead || self.written.elapsed() > ANEW;
        if !due || self.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return Ok(());
        }
        let Subscriber { consumer, kafka, topic, .. } = &self.subscriber;
        match at(&self.subscriber, &self.places).and_then(|list| consumer.commit(&list, CommitMode::Sync)) {
            Ok(()) => (self.ahead, self.failed, self.written) = (false, None, Instant::now()),
            Err(e) => {
                complain(&format!("keeping the place in {topic}"), &e, kafka, Operation::Read, &self.group)?;
                self.failed = Some(Instant::now());
            }
        }
        Ok(())
    }
}

fn at(subscriber: &Subscriber, places: &BTreeMap<i32, i64>) -> Result<TopicPartitionList, KafkaError> {
    subscriber.at_each(|p| places.get(&p).map_or(At::Invalid, |place| At::Offset(*place)))
}

/// Where each partition goes on.
fn places(subscriber: &Subscriber, group: &Resource, since_ms: i64) -> Result<BTreeMap<i32, i64>, Fatal> {
    let Subscriber { consumer, kafka, topic, partitions, .. } = subscriber;
    let read = || (Operation::Read, Resource::Topic(topic.clone()));
    let kept = insist(&format!("asking for the place in {topic}"), kafka, (Operation::Read, group.clone()), || {
        let asked = consumer.committed_offsets(subscriber.at_each(|_| At::Invalid)?, REQUEST);
        asked.and_then(|list| offsets(&list)).map_err(|e| untold(subscriber).unwrap_or(e))
    })?;
    let since = insist(&format!("asking for what is new in {topic}"), kafka, read(), || {
        consumer.offsets_for_times(subscriber.at_each(|_| At::Offset(since_ms))?, REQUEST).and_then(|list| offsets(&list))
    })?;
    let mut places = BTreeMap::new();
    for p in 0..*partitions {
        let (low, end) =
            insist(&format!("asking for the ends of {topic}[{p}]"), kafka, read(), || consumer.fetch_watermarks(topic, p, REQUEST))?;
        let first = since.get(&p).map_or(end, |offset| (*offset).min(end));
        let place = match kept.get(&p) {
            None => first,
            Some(place) if *place > end => {
                tracing::warn!(
                    "{topic}[{p}] ends at {end}, before {place}, where reading was to go on: it was made anew, or lost records. What was written since {} is read",
                    time(since_ms)
                );
                first
            }
            Some(place) => {
                if *place < low {
                    tracing::warn!(
                        "{topic}[{p}] was to be read on from {place}, but begins at {low}: what lies between is gone by retention"
                    );
                }
                low.max(*place)
            }
        };
        places.insert(p, place);
    }
    Ok(places)
}

/// Offsets by partition, as far as there are any.
fn offsets(list: &TopicPartitionList) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let mut all = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let At::Offset(offset) = element.offset() {
            all.insert(element.partition(), offset);
        }
    }
    Ok(all)
}

/// A missing right on the group: who asks for places hears of a timeout only. Nothing is assigned yet, so no record can come.
fn untold(subscriber: &Subscriber) -> Option<KafkaError> {
    let said = || subscriber.consumer.poll(Duration::from_millis(100)).and_then(Result::err);
    std::iter::from_fn(said).take(100).find(|e| e.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed))
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}
