//! A broker that goes away and comes back. Only the embedded one can be asked to.

use crate::kit::{PATIENCE, Writer, config_for, drain, eventually, send};
use driftline::broker::{Downfall, Embedded, Isolation, NewTopic, Options};
use driftline::engine::types::Offset;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use std::collections::BTreeMap;
use std::time::Duration;

fn with_topic() -> Embedded {
    let broker = Embedded::start(Options::default()).expect("a free port");
    let topic = NewTopic { name: "t".into(), partitions: 1, replication: 1, settings: BTreeMap::new() };
    assert_eq!(broker.with(|cluster| cluster.create_topic(topic, false)), Ok(1));
    broker
}

#[test]
fn a_producer_and_a_member_survive_a_pause_of_the_broker() {
    let broker = with_topic();
    let mut config = config_for(&broker.address());
    config.set("linger.ms", "0").set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "50");
    let writer = Writer::from_config_and_context(&config, Default::default()).expect("a producer");
    config.set("group.id", "g").set("auto.offset.reset", "earliest");
    let reader: BaseConsumer = config.create().expect("a consumer");
    reader.subscribe(&["t"]).expect("subscribed");
    let next = || eventually("a record", || reader.poll(Duration::from_millis(20)).and_then(Result::ok).map(|message| message.detach()));
    send(&writer, "t", 0, "before");
    drain(&writer);
    assert_eq!(rdkafka::Message::payload(&next()), Some(&b"before"[..]));
    broker.pause(true);
    let probe: BaseConsumer = config_for(&broker.address()).create().expect("a client");
    assert!(probe.fetch_metadata(None, Duration::from_millis(300)).is_err(), "nobody gets through");
    send(&writer, "t", 0, "during");
    broker.pause(false);
    assert_eq!(rdkafka::Message::payload(&next()), Some(&b"during"[..]));
    drain(&writer);
    assert!(probe.fetch_metadata(None, PATIENCE).is_ok());
}

#[test]
fn rubbish_closes_its_connection_and_harms_nobody_else() {
    use std::io::{Read, Write};
    let broker = with_topic();
    for rubbish in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 12, 0, 3, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8], &[0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 1]]
    {
        let mut stream = std::net::TcpStream::connect(broker.address()).expect("connected");
        stream.write_all(rubbish).expect("written");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut answer = Vec::new();
        assert!(matches!(stream.read_to_end(&mut answer), Ok(0) | Err(_)), "{answer:?}");
    }
    let probe: BaseConsumer = config_for(&broker.address()).create().expect("a client");
    assert_eq!(probe.fetch_metadata(None, PATIENCE).expect("metadata").topics().len(), 1);
}

fn transactional(broker: &Embedded) -> Writer {
    let mut config = config_for(&broker.address());
    config.set("transactional.id", "tx").set("linger.ms", "0").set("transaction.timeout.ms", "30000");
    config.set("message.timeout.ms", "20000").set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "50");
    let writer = Writer::from_config_and_context(&config, Default::default()).expect("a producer");
    writer.init_transactions(PATIENCE).expect("init_transactions");
    writer
}

/// Commits into a broker that goes down; returns it when it is back and a new producer has cleared up.
fn ambiguous(when: Downfall) -> Embedded {
    let broker = with_topic();
    let writer = transactional(&broker);
    writer.begin_transaction().expect("begun");
    send(&writer, "t", 0, "in doubt");
    drain(&writer);
    broker.go_down_at_next_commit(when);
    assert!(writer.commit_transaction(Duration::from_millis(500)).is_err(), "nobody can know what happened");
    drop(writer);
    broker.pause(false);
    drop(transactional(&broker));
    broker
}

fn aborted(broker: &Embedded) -> usize {
    broker.with(|cluster| cluster.partition("t", 0).expect("there").aborted(Offset(0), Offset(9)).count())
}

fn decided(broker: &Embedded) -> usize {
    broker.with(|cluster| cluster.partition("t", 0).expect("there").read(Offset(0), 1_000, Isolation::Committed).count())
}

#[test]
fn a_commit_whose_answer_is_lost_has_happened() {
    let broker = ambiguous(Downfall::AfterCommit);
    assert_eq!((decided(&broker), aborted(&broker)), (2, 0), "a record and a marker");
}

#[test]
fn a_commit_that_never_arrived_is_aborted_by_the_next_producer() {
    let broker = ambiguous(Downfall::BeforeCommit);
    assert_eq!((decided(&broker), aborted(&broker)), (2, 1), "a record and a marker");
}

#[test]
fn a_stopped_broker_frees_its_port() {
    let broker = with_topic();
    let port = broker.address().rsplit(':').next().and_then(|port| port.parse().ok());
    broker.stop();
    eventually("the port is free", || Embedded::start(Options { port, ..Options::default() }).ok());
}
