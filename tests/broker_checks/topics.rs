//! Topics and records.

use crate::kit::*;
use rdkafka::admin::{ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

#[test]
fn a_topic_has_the_settings_asked_for_and_kafkas_defaults_for_the_rest() {
    let name = topic("settings", 3, &[("retention.ms", "3600000"), ("cleanup.policy", "compact,delete")]);
    let answer = run(admin().describe_configs(&[ResourceSpecifier::Topic(&name)], &admin_options())).expect("an answer");
    let config = answer.into_iter().next().expect("one resource").expect("described");
    let value = |setting: &str| config.get(setting).and_then(|entry| entry.value.clone()).unwrap_or_default();
    assert_eq!((value("retention.ms"), value("cleanup.policy")), ("3600000".into(), "compact,delete".into()));
    assert_eq!((value("retention.bytes"), value("min.compaction.lag.ms")), ("-1".into(), "0".into()));
    assert_eq!(value("message.timestamp.type"), "CreateTime");
    let source = |setting: &str| config.get(setting).map(|entry| &entry.source);
    assert_eq!(source("retention.ms"), Some(&ConfigSource::DynamicTopic));
    assert_eq!(source("retention.bytes"), Some(&ConfigSource::Default));
}

#[test]
fn a_topic_is_made_once_can_grow_and_can_go() {
    let name = topic("life", 2, &[]);
    let again = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    let again = run(admin().create_topics(&[again], &admin_options())).expect("an answer");
    assert_eq!(again, [Err((name.clone(), RDKafkaErrorCode::TopicAlreadyExists))]);
    let grown = run(admin().create_partitions(&[NewPartitions::new(&name, 5)], &admin_options())).expect("an answer");
    assert_eq!(grown, [Ok(name.clone())]);
    eventually("five partitions", || (partition_count(&name) == 5).then_some(()));
    let gone = run(admin().delete_topics(&[&name], &admin_options())).expect("an answer");
    assert_eq!(gone, [Ok(name.clone())]);
    eventually("no partitions", || (partition_count(&name) == 0).then_some(()));
}

#[test]
fn impossible_topics_are_refused() {
    let name = unique("impossible");
    let unknown = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("retention", "1");
    let replicas = NewTopic::new(&name, 1, TopicReplication::Fixed(3));
    let answers = [unknown, replicas].map(|topic| run(admin().create_topics(&[topic], &admin_options())).expect("an answer"));
    assert_eq!(answers[0], [Err((name.clone(), RDKafkaErrorCode::InvalidConfig))]);
    assert_eq!(answers[1], [Err((name.clone(), RDKafkaErrorCode::InvalidReplicationFactor))]);
}

#[test]
fn records_come_back_with_key_headers_timestamp_and_tombstone() {
    let (name, writer, time) = (topic("roundtrip", 1, &[]), writer(&[]), now_ms() - 600_000);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "h", value: Some("a") })
        .insert(Header { key: "none", value: None::<&str> })
        .insert(Header { key: "h", value: Some("b") });
    let full = BaseRecord::<str, [u8]>::to(&name).partition(0).key("k").payload(b"v").timestamp(time).headers(headers);
    assert!(writer.send(full).is_ok());
    assert!(writer.send(BaseRecord::<str, [u8]>::to(&name).partition(0).key("k").timestamp(time + 10)).is_ok());
    drain(&writer);
    let records = read_all(&name, "read_committed");
    let headers = vec![("h".into(), Some(b"a".to_vec())), ("none".into(), None), ("h".into(), Some(b"b".to_vec()))];
    let first = Seen { partition: 0, offset: 0, timestamp: Some(time), key: Some("k".into()), value: Some(b"v".to_vec()), headers };
    let second = Seen { offset: 1, timestamp: Some(time + 10), value: None, headers: vec![], ..first.clone() };
    assert_eq!(records, [first, second]);
    assert_eq!(reader(&name, "read_committed").fetch_watermarks(&name, 0, PATIENCE), Ok((0, 2)));
}

#[test]
fn append_time_replaces_the_producers_timestamps() {
    let (name, writer, begin) = (topic("appendtime", 1, &[("message.timestamp.type", "LogAppendTime")]), writer(&[]), now_ms());
    assert!(writer.send(BaseRecord::<str, str>::to(&name).key("k").payload("v").timestamp(5)).is_ok());
    drain(&writer);
    let time = read_all(&name, "read_committed")[0].timestamp.expect("a timestamp");
    assert!((begin - 1_000..=now_ms() + 1_000).contains(&time), "{time} is not about {begin}");
}

#[test]
fn a_timestamp_two_hours_ahead_is_refused() {
    let (name, writer) = (topic("ahead", 1, &[]), writer(&[]));
    assert!(writer.send(BaseRecord::<str, str>::to(&name).key("k").payload("v").timestamp(now_ms() + 7_200_000)).is_ok());
    drain(&writer);
    let failed = writer.context().failed.lock().expect("no panic").clone();
    assert_eq!(failed.first().and_then(code), Some(RDKafkaErrorCode::InvalidTimestamp));
}

#[test]
fn a_time_finds_the_first_record_of_that_time_or_later() {
    let (name, base) = (topic("times", 1, &[]), now_ms() - 600_000);
    let writer = writer(&[("batch.num.messages", "10")]);
    for i in 0..100 {
        let record = BaseRecord::<str, [u8]>::to(&name).partition(0).key("k").payload(b"v").timestamp(base + i * 1_000);
        assert!(writer.send(record).is_ok());
    }
    drain(&writer);
    let client = reader(&name, "read_committed");
    let find = |time: i64| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&name, 0, Offset::Offset(time)).expect("a time");
        client.offsets_for_times(list, PATIENCE).expect("an answer").elements()[0].offset()
    };
    assert_eq!([find(base), find(base + 45_000), find(base + 44_500)], [0, 45, 45].map(Offset::Offset));
    assert_eq!(find(base + 200_000), Offset::End);
}

#[test]
fn every_codec_survives() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let (name, writer) = (topic(codec, 1, &[]), writer(&[("compression.type", codec), ("linger.ms", "20")]));
        (0..300).for_each(|i| send(&writer, &name, 0, format!("{i:-^200}")));
        drain(&writer);
        let expected: Vec<_> = (0..300).map(|i| format!("{i:-^200}")).collect();
        assert_eq!(committed_values(&name), expected, "{codec}");
    }
}

#[test]
fn records_of_900_kilobytes_arrive() {
    let (name, writer) = (topic("big", 1, &[]), writer(&[]));
    let value = vec![7; 900_000];
    (0..6).for_each(|_| send(&writer, &name, 0, &value));
    drain(&writer);
    let records = read_all(&name, "read_committed");
    assert_eq!(records.iter().filter(|record| record.value.as_ref() == Some(&value)).count(), 6);
}

#[test]
fn an_idempotent_producer_keeps_its_order() {
    let (name, writer) = (topic("order", 1, &[]), writer(&[("enable.idempotence", "true")]));
    for i in 0..2_000 {
        send(&writer, &name, 0, format!("{i:05}"));
        if i % 50 == 0 {
            writer.poll(Duration::ZERO);
        }
    }
    drain(&writer);
    let expected: Vec<_> = (0..2_000).map(|i| format!("{i:05}")).collect();
    assert_eq!(values(&read_all(&name, "read_uncommitted")), expected);
}

fn delete_before(name: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, 0, Offset::Offset(offset)).expect("an offset");
    run(admin().delete_records(&list, &admin_options())).expect("deleted");
}

#[test]
fn deleted_records_are_gone_at_once_even_inside_a_batch() {
    let (name, writer) = (topic("trim", 1, &[]), writer(&[("linger.ms", "50")]));
    (0..100).for_each(|i| send(&writer, &name, 0, format!("{i}")));
    drain(&writer);
    delete_before(&name, 60);
    let client = reader(&name, "read_committed");
    assert_eq!(client.fetch_watermarks(&name, 0, PATIENCE), Ok((60, 100)));
    let records = read_to_end(&client);
    assert_eq!(records.first().map(|record| record.offset), Some(60));
    assert_eq!(records.len(), 40);
    delete_before(&name, 30);
    assert_eq!(client.fetch_watermarks(&name, 0, PATIENCE), Ok((60, 100)), "a second request never brings records back");
}

#[test]
fn records_older_than_retention_ms_go() {
    let (name, writer) = (topic("retention", 1, &[("retention.ms", "1000"), ("segment.ms", "500")]), writer(&[]));
    write(&writer, &name, 0, "old");
    let client: BaseConsumer = config().create().expect("a client");
    eventually("the low watermark rises", || {
        write(&writer, &name, 0, "tick");
        let ends = client.fetch_watermarks(&name, 0, PATIENCE).expect("watermarks");
        (ends.0 > 0).then_some(())
    });
}
