//! Topics: filling the inputs, asking how far the join is, reading everything that was published.

use super::compare::{Alerts, Published};
use super::scene::{Message, PARTITIONS, Scene};
use super::wait::within;
use driftline::codec::wire::{Kind, Reader};
use driftline::config::settings::Settings;
use driftline::engine::plan::PlanRecord;
use driftline::engine::types::Partition;
use driftline::kafka::topics::{TopicSpec, create_topic};
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const REQUEST: Duration = Duration::from_secs(30);
/// Reading a partition never takes so long.
const DEADLINE: Duration = Duration::from_secs(120);

/// Committed positions of the join's group.
pub struct Progress {
    consumer: BaseConsumer,
    list: TopicPartitionList,
}

impl Progress {
    pub fn of(settings: &Settings) -> Progress {
        // read_uncommitted: the answer must not wait for the open transactions of a process that was just killed
        let consumer = client(&settings.kafka.brokers)
            .set("group.id", "eos-join")
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for p in 0..PARTITIONS as i32 {
            list.add_partition(&settings.predictions.topic, p);
        }
        Progress { consumer, list }
    }

    /// Committed predictions; as far as is known if no broker answers in time.
    pub fn committed(&self, patience: Duration) -> i64 {
        let Ok(answer) = self.consumer.committed_offsets(self.list.clone(), patience) else { return 0 };
        answer.elements().iter().map(|e| if let Offset::Offset(o) = e.offset() { o } else { 0 }).sum()
    }
}

pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Creates the input topics and fills them.
pub fn load(scene: &Scene, settings: &Settings) {
    let mut config = client(&settings.kafka.brokers);
    config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", "lz4"); // offsets must be those of the scene
    let producer = BaseProducer::from_config(&config).expect("a producer");
    for (topic, partitions) in [(&settings.predictions.topic, &scene.predictions), (&settings.outcomes.topic, &scene.outcomes)] {
        let config = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
        create_topic(settings, &TopicSpec { name: topic.clone(), partitions: PARTITIONS as i32, config }).expect("a topic");
        for (p, messages) in partitions.iter().enumerate() {
            messages.iter().for_each(|m| produce(&producer, topic, p as i32, m));
        }
    }
    producer.flush(REQUEST).expect("the inputs arrive");
}

fn produce(producer: &BaseProducer, topic: &str, partition: i32, message: &Message) {
    loop {
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition).key(&message.key);
        record.payload = message.value.as_deref();
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(Duration::from_millis(5)),
            Err((e, _)) => panic!("loading the inputs: {e}"),
        }
    }
}

pub fn read_published(settings: &Settings) -> Published {
    let mut published = Published { alerts: Alerts::new(settings.summaries_partitions), ..Published::default() };
    read(settings, &settings.alerts.topic, |m| {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers = m.headers().map(|h| h.iter().map(|h| (h.key.to_string(), text(h.value))).collect());
        published.alerts.add(
            Partition(m.partition()),
            text(m.key()),
            headers.unwrap_or_default(),
            m.payload().unwrap_or_default().to_vec(),
        );
    });
    read(settings, &settings.topic("summaries"), |m| {
        let bytes = m.payload().unwrap_or_default();
        if Reader::open(bytes).expect("a record of our own").0 == Kind::Partial as u8 {
            published.partials.push(bytes.to_vec());
        }
    });
    read(settings, &settings.topic("plan"), |m| {
        if let PlanRecord::Edges(edges) = PlanRecord::read(m.payload().unwrap_or_default()).expect("a record of our own") {
            published.edges.push(edges);
        }
    });
    read(settings, &settings.topic("dead-letters"), |m| published.letters.0.push(letter(m, settings)));
    published
}

fn letter(m: &BorrowedMessage<'_>, settings: &Settings) -> (String, i32, i64, String) {
    let headers: BTreeMap<&str, &str> = m
        .headers()
        .iter()
        .flat_map(|h| h.iter())
        .map(|h| (h.key, std::str::from_utf8(h.value.unwrap_or_default()).expect("text")))
        .collect();
    let input = if headers["source.topic"] == settings.predictions.topic { "predictions" } else { "outcomes" };
    let number = |name: &str| headers[name].parse::<i64>().expect("a number");
    (input.to_string(), number("source.partition") as i32, number("source.offset"), headers["error.reason"].to_string())
}

/// Hands over what a reader of committed records sees in a topic, partition by partition in order.
fn read(settings: &Settings, topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let mut config = client(&settings.kafka.brokers);
    config.set("group.id", "the-test").set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let reader: BaseConsumer = config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10").create().expect("a consumer");
    config.set("isolation.level", "read_uncommitted");
    let undecided: BaseConsumer = config.create().expect("a consumer");
    let metadata = reader.fetch_metadata(Some(topic), REQUEST).expect("metadata");
    for p in 0..metadata.topics()[0].partitions().len() as i32 {
        // the last markers may still be on their way: a reader of committed records would end in front of them
        let decided = || Some(reader.fetch_watermarks(topic, p, REQUEST).ok()?.1 >= undecided.fetch_watermarks(topic, p, REQUEST).ok()?.1);
        within(DEADLINE, || decided().filter(|d| *d)).unwrap_or_else(|| panic!("{topic}[{p}] has an open transaction at its end"));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, p, Offset::Beginning).expect("an offset");
        reader.assign(&list).expect("assigned");
        let (began, mut last) = (Instant::now(), None);
        loop {
            match reader.poll(Duration::from_secs(1)) {
                Some(Ok(m)) => take(&m),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(e)) => last = Some(e), // a broker that comes back is asked again
                None => {}
            }
            assert!(began.elapsed() < DEADLINE, "{topic}[{p}] has no end: {last:?}");
        }
    }
}
