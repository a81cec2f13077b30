//! Short words for the checks: topics, producers, members, and waiting with a deadline.

use crate::wait::within;
use driftline::broker::{Embedded, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Long enough for a loaded machine; nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The broker under test.
pub fn brokers() -> String {
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

/// Tries until `attempt` gives something; fails with `what` after `PATIENCE`.
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, attempt).unwrap_or_else(|| panic!("did not happen within {PATIENCE:?}: {what}"))
}

pub fn config() -> ClientConfig {
    config_for(&brokers())
}

pub fn config_for(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    AdminClient::from_config(&config()).expect("an admin client")
}

pub fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

pub fn run<F: Future>(task: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(task)
}

/// Makes a topic and waits until its partitions have leaders.
pub fn topic(what: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique(what);
    let mut wanted = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        wanted = wanted.set(key, value);
    }
    let made = run(admin().create_topics(&[wanted], &admin_options())).expect("an answer");
    assert_eq!(made, [Ok(name.clone())]);
    eventually("the topic's partitions have leaders", || (partition_count(&name) == partitions as usize).then_some(()));
    name
}

pub fn partition_count(topic: &str) -> usize {
    let client: BaseConsumer = config().create().expect("a client");
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    metadata.topics()[0].partitions().iter().filter(|partition| partition.leader() >= 0).count()
}

/// Counts failed deliveries, so that a check can't pass on records that never arrived.
#[derive(Default)]
pub struct Deliveries {
    pub failed: Mutex<Vec<KafkaError>>,
}
impl ClientContext for Deliveries {}
impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            self.failed.lock().expect("no panic").push(error.clone());
        }
    }
}
pub type Writer = BaseProducer<Deliveries>;

pub fn writer(settings: &[(&str, &str)]) -> Writer {
    let mut config = config();
    config.set("linger.ms", "0");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    Writer::from_config_and_context(&config, Deliveries::default()).expect("a producer")
}

/// A transactional producer that has fenced its predecessors.
pub fn transactional(id: &str) -> Writer {
    let writer = writer(&[("transactional.id", id), ("transaction.timeout.ms", "30000"), ("message.timeout.ms", "20000")]);
    writer.init_transactions(PATIENCE).expect("init_transactions");
    writer
}

pub fn send(writer: &Writer, topic: &str, partition: i32, value: impl AsRef<[u8]>) {
    let record = BaseRecord::to(topic).partition(partition).key("k").payload(value.as_ref());
    let sent = writer.send(record).map_err(|refused| refused.0);
    assert_eq!(sent, Ok(()));
}

/// Waits until nothing is in flight; much faster than `flush`, which always takes its 100 ms.
pub fn drain(writer: &Writer) {
    let begin = Instant::now();
    while writer.in_flight_count() > 0 {
        writer.poll(Duration::from_millis(1));
        assert!(begin.elapsed() < PATIENCE, "records are not acknowledged within {PATIENCE:?}");
    }
}

/// Sends one record and waits for it.
pub fn write(writer: &Writer, topic: &str, partition: i32, value: impl AsRef<[u8]>) {
    send(writer, topic, partition, value);
    drain(writer);
    assert_eq!(*writer.context().failed.lock().expect("no panic"), []);
}

pub fn commit(writer: &Writer) {
    drain(writer);
    assert_eq!(writer.commit_transaction(PATIENCE), Ok(()));
}

/// A record as a check compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<String>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

pub fn seen(message: &BorrowedMessage<'_>) -> Seen {
    let headers =
        message.headers().map(|headers| headers.iter().map(|header| (header.key.to_string(), header.value.map(<[u8]>::to_vec))).collect());
    Seen {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// A reader at explicit positions, outside of any group.
pub fn reader(topic: &str, isolation: &str) -> BaseConsumer {
    let mut config = config();
    config.set("group.id", unique("reader")).set("isolation.level", isolation).set("enable.partition.eof", "true");
    // ends are reported when a fetch comes back empty: don't let it wait
    config.set("fetch.wait.max.ms", "10").set("fetch.queue.backoff.ms", "10").set("reconnect.backoff.ms", "10");
    let reader: BaseConsumer = config.set("enable.auto.commit", "false").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partition_count(topic) {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning).expect("an offset");
    }
    reader.assign(&list).expect("assigned");
    reader
}

/// Reads until the client reports the end of every partition.
pub fn read_to_end(reader: &BaseConsumer) -> Vec<Seen> {
    let partitions = reader.assignment().expect("an assignment").count();
    let (mut ended, mut records) = (BTreeSet::new(), Vec::new());
    let begin = Instant::now();
    while ended.len() < partitions {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                ended.remove(&message.partition());
                records.push(seen(&message));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
        assert!(begin.elapsed() < PATIENCE, "the end of every partition is not reached within {PATIENCE:?}");
    }
    records
}

pub fn read_all(topic: &str, isolation: &str) -> Vec<Seen> {
    read_to_end(&reader(topic, isolation))
}

/// Values that a reader of committed records sees now.
pub fn committed_values(topic: &str) -> Vec<String> {
    values(&read_all(topic, "read_committed"))
}

pub fn values(records: &[Seen]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"null")).into_owned()).collect()
}

/// What happened to a member.
#[derive(Default)]
pub struct Rebalances {
    pub assigned: AtomicUsize,
    pub revoked: AtomicUsize,
}
impl ClientContext for Rebalances {}
impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => self.assigned.fetch_add(1, Ordering::SeqCst),
            Rebalance::Revoke(_) => self.revoked.fetch_add(1, Ordering::SeqCst),
            Rebalance::Error(_) => 0,
        };
    }
}
pub type Reader = BaseConsumer<Rebalances>;

/// A group member as driftline makes them; `instance` makes it static.
pub fn member(group: &str, instance: Option<&str>, topics: &[&str]) -> Reader {
    let mut config = config();
    config.set("group.id", group).set("partition.assignment.strategy", "range").set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("session.timeout.ms", "20000").set("heartbeat.interval.ms", "200");
    if let Some(instance) = instance {
        config.set("group.instance.id", instance);
    }
    let reader = Reader::from_config_and_context(&config, Rebalances::default()).expect("a consumer");
    reader.subscribe(topics).expect("subscribed");
    reader
}

/// What a member was assigned, sorted.
pub fn assignment(reader: &Reader) -> Vec<(String, i32)> {
    let list = reader.assignment().expect("an assignment");
    let mut places: Vec<_> = list.elements().iter().map(|place| (place.topic().to_string(), place.partition())).collect();
    places.sort();
    places
}

/// Lets members do their work until each has `count` partitions.
pub fn settle(readers: &[&Reader], count: usize) {
    eventually(&format!("every member has {count} partitions"), || {
        readers.iter().for_each(|reader| drop(reader.poll(Duration::from_millis(10))));
        readers.iter().all(|reader| assignment(reader).len() == count).then_some(())
    });
}

/// The group's position and its metadata.
pub fn committed<C: ConsumerContext>(reader: &BaseConsumer<C>, topic: &str, wait: Duration) -> Result<(Offset, String), KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let answer = reader.committed_offsets(list, wait)?;
    let place = &answer.elements()[0];
    Ok((place.offset(), place.metadata().to_string()))
}

/// A list with one position.
pub fn at(topic: &str, offset: i64, metadata: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let mut place = list.add_partition(topic, 0);
    place.set_offset(Offset::Offset(offset)).expect("an offset");
    place.set_metadata(metadata);
    list
}

pub fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    error.rdkafka_error_code()
}
