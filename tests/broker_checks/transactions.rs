//! Transactions: what readers see, who may write, and how positions travel with records.

use crate::kit::*;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset;
use std::time::{Duration, Instant};

fn expect_committed(topic: &str, expected: &[&str]) {
    eventually(&format!("committed records are {expected:?}"), || (committed_values(topic) == expected).then_some(()));
}

#[test]
fn an_open_transaction_is_hidden_and_a_committed_one_appears_whole() {
    let (name, writer) = (topic("commit", 2, &[]), transactional(&unique("tx")));
    writer.begin_transaction().expect("begun");
    (0..10).for_each(|i| send(&writer, &name, i % 2, format!("{i}")));
    drain(&writer);
    assert_eq!(committed_values(&name), Vec::<String>::new());
    assert_eq!(read_all(&name, "read_uncommitted").len(), 10);
    commit(&writer);
    eventually("all ten are visible", || (committed_values(&name).len() == 10).then_some(()));
}

#[test]
fn aborted_records_stay_hidden_among_committed_ones() {
    let (name, writer) = (topic("abort", 1, &[]), transactional(&unique("tx")));
    for (value, commits) in [("a", true), ("lost", false), ("b", true), ("lost", false), ("lost", false), ("c", true)] {
        writer.begin_transaction().expect("begun");
        send(&writer, &name, 0, value);
        send(&writer, &name, 0, value);
        if commits {
            commit(&writer);
        } else {
            drain(&writer);
            writer.abort_transaction(PATIENCE).expect("aborted");
        }
    }
    expect_committed(&name, &["a", "a", "b", "b", "c", "c"]);
    let all = values(&read_all(&name, "read_uncommitted"));
    assert_eq!(all.iter().filter(|value| *value == "lost").count(), 6, "they were written, and are hidden");
}

#[test]
fn an_open_transaction_holds_back_what_was_committed_after_it() {
    let name = topic("stable", 1, &[]);
    let (slow, quick) = (transactional(&unique("slow")), transactional(&unique("quick")));
    slow.begin_transaction().expect("begun");
    send(&slow, &name, 0, "slow");
    drain(&slow);
    quick.begin_transaction().expect("begun");
    send(&quick, &name, 0, "quick");
    commit(&quick);
    write(&writer(&[]), &name, 0, "plain");
    assert_eq!(committed_values(&name), Vec::<String>::new());
    slow.abort_transaction(PATIENCE).expect("aborted");
    expect_committed(&name, &["quick", "plain"]);
}

/// An input topic, a member that owns it, and an output topic.
fn pipeline() -> (String, Reader, String, String) {
    let (input, group) = (topic("in", 1, &[]), unique("group"));
    let reader = member(&group, None, &[&input]);
    settle(&[&reader], 1);
    (input, reader, topic("out", 1, &[]), group)
}

fn metadata(reader: &Reader) -> ConsumerGroupMetadata {
    reader.group_metadata().expect("group metadata")
}

/// One epoch: a record and a position in one transaction.
fn epoch(writer: &Writer, output: &str, value: &str, input: &str, position: i64, of: &ConsumerGroupMetadata) -> Result<(), KafkaError> {
    writer.begin_transaction()?;
    send(writer, output, 0, value);
    drain(writer);
    writer.send_offsets_to_transaction(&at(input, position, value), of, PATIENCE)?;
    writer.commit_transaction(PATIENCE)
}

#[test]
fn positions_and_their_metadata_share_the_fate_of_their_transaction() {
    let (input, reader, output, _) = pipeline();
    let writer = transactional(&unique("tx"));
    let text = format!("driftline/1 {}", "m".repeat(400));
    assert_eq!(epoch(&writer, &output, &text, &input, 10, &metadata(&reader)), Ok(()));
    assert_eq!(committed(&reader, &input, PATIENCE), Ok((Offset::Offset(10), text.clone())));
    writer.begin_transaction().expect("begun");
    send(&writer, &output, 0, "lost");
    drain(&writer);
    writer.send_offsets_to_transaction(&at(&input, 15, "lost"), &metadata(&reader), PATIENCE).expect("sent");
    writer.abort_transaction(PATIENCE).expect("aborted");
    assert_eq!(committed(&reader, &input, PATIENCE), Ok((Offset::Offset(10), text.clone())));
    expect_committed(&output, &[&text]);
}

#[test]
fn a_second_producer_with_the_same_id_fences_the_first() {
    let (name, id) = (topic("zombie", 1, &[]), unique("tx"));
    let first = transactional(&id);
    first.begin_transaction().expect("begun");
    send(&first, &name, 0, "zombie");
    drain(&first);
    let second = transactional(&id);
    second.begin_transaction().expect("begun");
    send(&second, &name, 0, "fresh");
    commit(&second);
    let fenced = first.commit_transaction(PATIENCE).expect_err("fenced");
    assert!(matches!(code(&fenced), Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)), "{fenced}");
    expect_committed(&name, &["fresh"]);
}

#[test]
fn a_hung_transaction_is_aborted_at_its_timeout() {
    let name = topic("hung", 1, &[]);
    let id = unique("tx");
    let hung = writer(&[("transactional.id", &id), ("transaction.timeout.ms", "2000"), ("message.timeout.ms", "1500")]);
    hung.init_transactions(PATIENCE).expect("init_transactions");
    hung.begin_transaction().expect("begun");
    send(&hung, &name, 0, "lost");
    drain(&hung);
    write(&writer(&[]), &name, 0, "plain");
    assert_eq!(committed_values(&name), Vec::<String>::new());
    expect_committed(&name, &["plain"]);
    send(&hung, &name, 0, "late");
    assert!(hung.commit_transaction(PATIENCE).is_err());
    expect_committed(&name, &["plain"]);
}

#[test]
fn positions_of_a_stale_generation_are_refused_and_fresh_ones_accepted() {
    let (input, group) = (topic("generation", 2, &[]), unique("group"));
    let output = topic("out", 1, &[]);
    let a = member(&group, Some("m-0"), &[&input]);
    settle(&[&a], 2);
    let captured = metadata(&a);
    let b = member(&group, Some("m-1"), &[&input]);
    settle(&[&a, &b], 1);
    let id = unique("tx");
    let refused = epoch(&transactional(&id), &output, "stale", &input, 7, &captured).expect_err("stale");
    assert_eq!(code(&refused), Some(RDKafkaErrorCode::IllegalGeneration), "{refused}");
    assert_eq!(epoch(&transactional(&id), &output, "fresh", &input, 8, &metadata(&a)), Ok(()));
    assert_eq!(committed(&a, &input, PATIENCE), Ok((Offset::Offset(8), "fresh".to_string())));
    expect_committed(&output, &["fresh"]);
}

#[test]
fn a_new_producer_may_use_captured_metadata_while_the_generation_stands() {
    let (input, reader, output, _) = pipeline();
    let (captured, id) = (metadata(&reader), unique("tx"));
    let first = transactional(&id);
    assert_eq!(epoch(&first, &output, "one", &input, 1, &captured), Ok(()));
    let second = transactional(&id);
    assert!(epoch(&first, &output, "zombie", &input, 2, &captured).is_err());
    assert_eq!(epoch(&second, &output, "two", &input, 3, &captured), Ok(()));
    assert_eq!(committed(&reader, &input, PATIENCE), Ok((Offset::Offset(3), "two".to_string())));
    expect_committed(&output, &["one", "two"]);
}

#[test]
fn committed_positions_wait_for_the_transaction_that_holds_them() {
    let (input, reader, output, group) = pipeline();
    let writer = transactional(&unique("tx"));
    writer.begin_transaction().expect("begun");
    send(&writer, &output, 0, "open");
    drain(&writer);
    writer.send_offsets_to_transaction(&at(&input, 70, "open"), &metadata(&reader), PATIENCE).expect("sent");
    let mut outside = config();
    let outside: BaseConsumer = outside.set("group.id", &group).set("isolation.level", "read_committed").create().expect("a client");
    let begin = Instant::now();
    let undecided = committed(&outside, &input, Duration::from_millis(1_500));
    assert!(undecided.is_err(), "{undecided:?}");
    assert!(begin.elapsed() >= Duration::from_millis(1_400), "it waited");
    commit(&writer);
    assert_eq!(committed(&outside, &input, PATIENCE), Ok((Offset::Offset(70), "open".to_string())));
}

#[test]
fn the_end_is_the_last_stable_offset_and_positions_count_markers() {
    let (name, writer) = (topic("markers", 1, &[]), transactional(&unique("tx")));
    for i in 0..5 {
        writer.begin_transaction().expect("begun");
        send(&writer, &name, 0, format!("{i}"));
        commit(&writer);
    }
    let position = |reader: &BaseConsumer| reader.position().expect("a position").elements()[0].offset();
    let begin = Instant::now();
    let (reader, records) = eventually("all five, and the last marker", || {
        let reader = reader(&name, "read_committed");
        let records = read_to_end(&reader);
        let done = position(&reader) == Offset::Offset(10) || begin.elapsed() > PATIENCE / 2;
        (records.len() == 5 && done).then_some((reader, records))
    });
    assert_eq!(records.last().map(|record| record.offset), Some(8), "a marker lies behind each record");
    assert_eq!(position(&reader), Offset::Offset(10));
    writer.begin_transaction().expect("begun");
    send(&writer, &name, 0, "open");
    drain(&writer);
    assert_eq!(read_to_end(&crate::kit::reader(&name, "read_committed")).len(), 5, "the end is reported at the open transaction");
    let high = |isolation| crate::kit::reader(&name, isolation).fetch_watermarks(&name, 0, PATIENCE).map(|ends| ends.1);
    assert_eq!((high("read_committed"), high("read_uncommitted")), (Ok(10), Ok(11)), "the isolation level decides which end is told");
}
