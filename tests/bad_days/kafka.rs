//! A user's view of Kafka: topics, records in, records out.

use crate::kit::PATIENCE;
use driftline::broker::{Embedded, Options};
use driftline::kafka::topics::TopicSpec;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The broker that tests share.
pub fn shared() -> String {
    static EMBEDDED: OnceLock<Embedded> = OnceLock::new();
    std::env::var("DRIFTLINE_TEST_BROKERS")
        .unwrap_or_else(|_| EMBEDDED.get_or_init(|| Embedded::start(Options::default()).expect("a free port")).address())
}

/// A name that no other test and no other run uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}-{}-{}", std::process::id(), now_ms() % 10_000_000, COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Makes a topic.
pub fn make_topic(brokers: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let config = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    make_topics(brokers, &[TopicSpec { name: name.to_string(), partitions, config }]);
}

/// Makes topics.
pub fn make_topics(brokers: &str, specs: &[TopicSpec]) {
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(&config(brokers)).expect("an admin client");
    let wanted: Vec<NewTopic<'_>> = specs
        .iter()
        .map(|s| s.config.iter().fold(NewTopic::new(&s.name, s.partitions, TopicReplication::Fixed(1)), |t, (k, v)| t.set(k, v)))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = runtime.block_on(admin.create_topics(&wanted, &options)).expect("an answer");
    made.into_iter().for_each(|m| drop(m.expect("a new topic")));
}

/// A record to produce: key, value.
#[derive(Clone, Debug)]
pub struct Given {
    /// Partition.
    pub partition: i32,
    /// Key.
    pub key: Option<String>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A producer that insists.
pub struct Pen(BaseProducer);

impl Pen {
    /// To a broker.
    pub fn new(brokers: &str) -> Pen {
        let mut config = config(brokers);
        config.set("linger.ms", "5").set("message.max.bytes", "10000000").set("enable.idempotence", "true");
        config.set("reconnect.backoff.max.ms", "500");
        Pen(BaseProducer::from_config(&config).expect("a producer"))
    }

    /// Queues records.
    pub fn send(&self, topic: &str, records: &[Given]) {
        for record in records {
            let mut out: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic).partition(record.partition);
            out.key = record.key.as_deref();
            out.payload = record.value.as_deref();
            self.0.send(out).map_err(|refused| refused.0).expect("queued");
            self.0.poll(Duration::ZERO);
        }
    }

    /// Waits until all are acknowledged.
    pub fn drain(&self) {
        let began = Instant::now();
        while self.0.in_flight_count() > 0 {
            self.0.poll(Duration::from_millis(1));
            assert!(began.elapsed() < PATIENCE, "records are not acknowledged within {PATIENCE:?}");
        }
    }

    /// Sends and waits.
    pub fn write(&self, topic: &str, records: &[Given]) {
        self.send(topic, records);
        self.drain();
    }
}

/// A committed record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

/// All committed records of a topic, by partition and offset.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Seen> {
    let mut config = config(brokers);
    config.set("group.id", unique("reader")).set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    config.set("fetch.wait.max.ms", "10").set("enable.auto.commit", "false");
    let reader: BaseConsumer = config.create().expect("a consumer");
    let metadata = reader.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for p in 0..partitions {
        list.add_partition_offset(topic, p as i32, Offset::Beginning).expect("an offset");
    }
    reader.assign(&list).expect("assigned");
    let (mut ended, mut records, began) = (BTreeSet::new(), Vec::new(), Instant::now());
    while ended.len() < partitions {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(m)) => records.push(Seen {
                partition: m.partition(),
                offset: m.offset(),
                key: m.key().map(<[u8]>::to_vec),
                value: m.payload().map(<[u8]>::to_vec),
                headers: m.headers().map(|h| h.iter().map(text_header).collect()).unwrap_or_default(),
            }),
            Some(Err(KafkaError::PartitionEOF(p))) => drop(ended.insert(p)),
            Some(Err(e)) => panic!("{topic}: {e}"),
            None => {}
        }
        assert!(began.elapsed() < PATIENCE, "{topic} is not read within {PATIENCE:?}");
    }
    records.sort_by_key(|r| (r.partition, r.offset));
    records
}

fn text_header(h: rdkafka::message::Header<'_, &[u8]>) -> (String, String) {
    (h.key.to_string(), String::from_utf8_lossy(h.value.unwrap_or_default()).into_owned())
}
