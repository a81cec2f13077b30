//! Consumer groups of the classic protocol.

use crate::kit::*;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_group_continues_where_it_committed() {
    let (name, group, writer) = (topic("resume", 1, &[]), unique("group"), writer(&[]));
    (0..20).for_each(|i| send(&writer, &name, 0, format!("{i}")));
    drain(&writer);
    for begin in [0, 10] {
        let reader = member(&group, None, &[&name]);
        for i in begin..begin + 10 {
            let record = eventually("a record", || reader.poll(Duration::from_millis(100))).expect("no error");
            assert_eq!(record.payload(), Some(format!("{i}").as_bytes()));
            if i == begin + 9 {
                reader.commit_message(&record, CommitMode::Sync).expect("committed");
            }
        }
    }
    let reader = member(&group, None, &[&name]);
    assert_eq!(committed(&reader, &name, PATIENCE), Ok((Offset::Offset(20), String::new())));
}

#[test]
fn two_members_share_co_partitioned_topics_in_pairs_and_the_last_one_takes_all() {
    let (left, right, group) = (topic("left", 4, &[]), topic("right", 4, &[]), unique("group"));
    let a = member(&group, None, &[&left, &right]);
    settle(&[&a], 8);
    let b = member(&group, None, &[&left, &right]);
    settle(&[&a, &b], 4);
    for reader in [&a, &b] {
        let places = assignment(reader);
        let of = |topic: &str| -> Vec<i32> { places.iter().filter(|place| place.0 == topic).map(|place| place.1).collect() };
        assert_eq!(of(&left), of(&right), "partition i of both topics belongs to one member");
    }
    assert!(assignment(&a).iter().all(|place| !assignment(&b).contains(place)));
    assert!(a.client().context().revoked.load(Ordering::SeqCst) >= 1, "eager: everything is revoked first");
    drop(a);
    settle(&[&b], 8);
}

#[test]
fn a_static_member_that_comes_back_disturbs_nobody() {
    let (name, group) = (topic("static", 4, &[]), unique("group"));
    let a = member(&group, Some("m-0"), &[&name]);
    let b = member(&group, Some("m-1"), &[&name]);
    settle(&[&a, &b], 2);
    let (of_a, of_b) = (assignment(&a), assignment(&b));
    let before = b.client().context().revoked.load(Ordering::SeqCst);
    drop(a);
    let again = member(&group, Some("m-0"), &[&name]);
    settle(&[&again, &b], 2);
    assert_eq!((assignment(&again), assignment(&b)), (of_a, of_b));
    assert_eq!(b.client().context().revoked.load(Ordering::SeqCst), before);
}

#[test]
fn a_second_instance_with_the_same_static_id_fences_the_first() {
    let (name, group) = (topic("fenced", 2, &[]), unique("group"));
    let first = member(&group, Some("m-0"), &[&name]);
    settle(&[&first], 2);
    let second = member(&group, Some("m-0"), &[&name]);
    settle(&[&second], 2);
    let error = eventually("the first member learns that it is fenced", || {
        let _ = first.poll(Duration::from_millis(10));
        let _ = second.poll(Duration::from_millis(10));
        first.client().fatal_error()
    });
    assert_eq!(error.0, RDKafkaErrorCode::FencedInstanceId, "{}", error.1);
}
