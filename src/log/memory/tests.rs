//! Tests of the module above.

use super::*;
use crate::log::Commit;

const IN: TopicIx = TopicIx(0);
const P0: Partition = Partition(0);
const NOW: Duration = Duration::ZERO;

/// Two co-partitioned inputs of 4 partitions and an output of 1, at 1,000 s.
fn cluster() -> SharedCluster {
    let cluster = SharedCluster::new();
    for (topic, partitions) in [("in", 4), ("also", 4), ("out", 1)] {
        cluster.create_topic(topic, partitions, &[("retention.ms", "-1")]).expect("made");
    }
    cluster.advance(1_000_000);
    cluster
}

fn open(cluster: &SharedCluster, instance: &str) -> MemoryLog {
    MemoryLog::open(cluster.clone(), MemberOptions::new("group", instance, &["in", "also"])).expect("opened")
}

fn poll(log: &mut MemoryLog) -> (Polled, Vec<String>) {
    let mut values = Vec::new();
    let polled = log.poll(NOW).expect("no error");
    for partition in 0..4 {
        let mut sink = |record: Record<'_>| {
            values.push(String::from_utf8_lossy(record.value.unwrap_or(b"null")).into_owned());
            Handed::Next
        };
        log.hand_over(IN, Partition(partition), &mut sink).expect("no error");
    }
    (polled, values)
}

fn numbers(partitions: std::ops::Range<i32>) -> Polled {
    Polled::Assigned(partitions.map(Partition).collect())
}

/// A member that is alone in its group and reads `in` from the start.
fn alone(cluster: &SharedCluster) -> MemoryLog {
    let mut log = open(cluster, "m-0");
    assert_eq!(poll(&mut log).0, numbers(0..4));
    let at: Vec<_> = (0..4).map(|partition| (IN, Partition(partition), Offset(0))).collect();
    log.start(&at).expect("started");
    log
}

fn out(value: &str) -> OutRecord {
    OutRecord { topic: "out".into(), partition: Some(P0), key: Some(b"k".to_vec()), value: Some(value.into()), headers: vec![] }
}

fn at(next: i64) -> Position {
    Position { topic: IN, partition: P0, next: Offset(next), metadata: format!("at {next}") }
}

fn epoch(log: &mut MemoryLog, value: &str, next: i64) -> Commit {
    log.begin_epoch();
    log.commit(&[out(value)], &[at(next)]).expect("no error")
}

fn outputs(cluster: &SharedCluster) -> Vec<String> {
    let records = cluster.read_committed("out").expect("read");
    records.iter().map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

fn position(log: &mut MemoryLog) -> (Option<i64>, String) {
    let found = log.committed(&[(IN, P0)]).expect("positions").remove(0);
    (found.next.map(|next| next.0), found.metadata)
}

fn feed(cluster: &SharedCluster, values: std::ops::Range<i32>) {
    for value in values {
        cluster.write("in", Some(P0), 5, None, Some(value.to_string().as_bytes()), &[]).expect("written");
    }
}

#[test]
fn a_member_reads_what_was_written_and_knows_when_it_is_at_the_end() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    feed(&cluster, 0..3);
    assert!(!log.at_end(IN, P0), "it has not looked yet");
    assert_eq!(poll(&mut log), (Polled::Records, vec!["0".into(), "1".into(), "2".into()]));
    assert!(log.at_end(IN, P0));
    log.set_most_per_poll(2);
    feed(&cluster, 3..6);
    assert_eq!(poll(&mut log).1, ["3", "4"]);
    assert!(!log.at_end(IN, P0));
    assert_eq!(poll(&mut log).1, ["5"]);
}

#[test]
fn a_record_that_is_not_taken_stays_the_first_of_its_partition() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    feed(&cluster, 0..3);
    log.poll(NOW).expect("no error");
    let mut shown = Vec::new();
    for handed in [Handed::Stays, Handed::Enough, Handed::Stays, Handed::Next] {
        let mut sink = |record: Record<'_>| {
            shown.push(record.offset.0);
            handed
        };
        assert!(log.waits(IN, P0) && !log.at_end(IN, P0));
        log.hand_over(IN, P0, &mut sink).expect("no error");
    }
    assert_eq!(shown, [0, 0, 1, 1, 2]);
    assert!(!log.waits(IN, P0) && log.at_end(IN, P0));
}

#[test]
fn keys_headers_and_timestamps_arrive_and_append_time_replaces_them() {
    let cluster = cluster();
    cluster.create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).expect("made");
    let headers = [("a".to_string(), Some(b"1".to_vec())), ("b".to_string(), None)];
    cluster.write("in", None, 77, Some(b"21"), None, &headers).expect("written");
    cluster.write("stamped", None, 77, None, Some(b"v"), &[]).expect("written");
    let record = cluster.read_committed("in").expect("read").remove(0);
    // murmur2("21") & 0x7fffffff = 1173551340, which is 0 mod 4
    assert_eq!((record.partition, record.timestamp, record.key, record.value), (P0, 77, Some(b"21".to_vec()), None));
    assert_eq!(record.headers, headers);
    assert_eq!(cluster.read_committed("stamped").expect("read")[0].timestamp, 1_000_000);
}

#[test]
fn records_and_positions_appear_together() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    assert_eq!(position(&mut log), (None, String::new()));
    assert_eq!(epoch(&mut log, "one", 1), Commit::Done);
    assert_eq!((outputs(&cluster), position(&mut log)), (vec!["one".into()], (Some(1), "at 1".into())));
}

#[test]
fn an_aborted_commit_leaves_no_trace_and_may_be_repeated() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    log.fail_next_commit(CommitFault::Aborted);
    assert!(matches!(epoch(&mut log, "one", 1), Commit::Aborted(_)));
    assert_eq!((outputs(&cluster), position(&mut log).0), (vec![], None));
    assert_eq!(epoch(&mut log, "one", 1), Commit::Done);
    assert_eq!((outputs(&cluster), position(&mut log).0), (vec!["one".into()], Some(1)));
}

#[test]
fn an_unknown_commit_that_happened_is_found_by_a_new_producer() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    log.fail_next_commit(CommitFault::Unknown { happened: true });
    assert!(matches!(epoch(&mut log, "one", 1), Commit::Unknown(_)));
    log.renew_producer().expect("renewed");
    assert_eq!((outputs(&cluster), position(&mut log).0), (vec!["one".into()], Some(1)));
}

#[test]
fn an_unknown_commit_that_did_not_happen_holds_readers_back_until_it_is_aborted() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    log.fail_next_commit(CommitFault::Unknown { happened: false });
    assert!(matches!(epoch(&mut log, "one", 1), Commit::Unknown(_)));
    cluster.write("out", Some(P0), 5, None, Some(b"later"), &[]).expect("written");
    let ends = |cluster: &SharedCluster| cluster.with(|cluster| cluster.partition("out", 0).expect("there").ends().last_stable);
    assert_eq!((outputs(&cluster), ends(&cluster)), (vec![], Offset(0)));
    log.renew_producer().expect("renewed");
    assert_eq!((outputs(&cluster), position(&mut log).0), (vec!["later".into()], None));
    assert_eq!(log.commit(&[out("one")], &[at(1)]), Ok(Commit::Done), "the same bytes, the same captured generation");
    assert_eq!((outputs(&cluster), position(&mut log).0), (vec!["later".into(), "one".into()], Some(1)));
}

#[test]
fn a_transaction_left_open_by_a_crash_is_aborted_at_its_timeout() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    log.fail_next_commit(CommitFault::Unknown { happened: false });
    assert!(matches!(epoch(&mut log, "lost", 1), Commit::Unknown(_)));
    drop(log);
    cluster.write("out", Some(P0), 5, None, Some(b"later"), &[]).expect("written");
    cluster.advance(1_030_000);
    assert_eq!(outputs(&cluster), Vec::<String>::new());
    cluster.advance(1_030_001);
    assert_eq!(outputs(&cluster), ["later"]);
}

#[test]
fn committed_positions_outwait_another_members_open_transaction() {
    let cluster = cluster();
    let mut first = alone(&cluster);
    assert_eq!(epoch(&mut first, "one", 1), Commit::Done);
    first.fail_next_commit(CommitFault::Unknown { happened: false });
    assert!(matches!(epoch(&mut first, "lost", 2), Commit::Unknown(_)));
    let mut second = open(&cluster, "m-1");
    assert_eq!(position(&mut second), (Some(1), "at 1".into()));
    assert!(matches!(epoch(&mut first, "lost", 2), Commit::Fenced(_)), "its transaction is over");
}

#[test]
fn a_second_member_takes_half_after_the_first_has_let_go() {
    let cluster = cluster();
    let mut first = alone(&cluster);
    let mut second = open(&cluster, "m-1");
    assert_eq!(poll(&mut second).0, Polled::Records, "it waits for the first");
    assert_eq!(poll(&mut first).0, Polled::Revoked);
    assert_eq!(epoch(&mut first, "last", 9), Commit::Done, "the running epoch may still end");
    first.release().expect("released");
    assert_eq!(poll(&mut first).0, numbers(0..2));
    assert_eq!(poll(&mut second).0, numbers(2..4));
    assert_eq!(first.start(&[(IN, Partition(3), Offset(0))]), Err(Fatal("partition 3 of topic 0 is not assigned".into())));
}

fn settle(logs: &mut [&mut MemoryLog]) {
    for _ in 0..10 {
        for log in logs.iter_mut() {
            if matches!(poll(log).0, Polled::Revoked | Polled::Lost) {
                log.release().expect("released");
            }
        }
    }
}

#[test]
fn positions_of_a_generation_that_has_passed_are_refused() {
    let cluster = cluster();
    let mut first = alone(&cluster);
    first.begin_epoch();
    let mut second = open(&cluster, "m-1");
    settle(&mut [&mut first, &mut second]);
    assert!(matches!(first.commit(&[out("stale")], &[at(5)]), Ok(Commit::Stale(_))));
    assert_eq!((outputs(&cluster), position(&mut first).0), (vec![], None));
    assert_eq!(epoch(&mut first, "fresh", 5), Commit::Done);
    assert_eq!(outputs(&cluster), ["fresh"]);
}

#[test]
fn a_younger_producer_with_the_same_id_fences_the_older_one() {
    let cluster = cluster();
    let mut old = alone(&cluster);
    let mut options = MemberOptions::new("other", "m-9", &["in"]);
    options.transactional_id = "group-m-0".to_string();
    let _young = MemoryLog::open(cluster.clone(), options).expect("opened");
    assert!(matches!(epoch(&mut old, "zombie", 1), Commit::Fenced(_)));
    assert_eq!(outputs(&cluster), Vec::<String>::new());
}

#[test]
fn a_static_member_that_comes_back_in_time_disturbs_nobody() {
    let cluster = cluster();
    let (mut first, mut second) = (open(&cluster, "m-0"), open(&cluster, "m-1"));
    settle(&mut [&mut first, &mut second]);
    let generation = second.generation();
    drop(first);
    let mut again = open(&cluster, "m-0");
    assert_eq!(poll(&mut again).0, numbers(0..2));
    assert_eq!(poll(&mut second).0, Polled::Records);
    assert_eq!((again.generation(), second.generation()), (generation, generation));
    assert_eq!(epoch(&mut again, "back", 1), Commit::Done);
}

#[test]
fn a_second_instance_of_a_static_member_fences_the_first() {
    let cluster = cluster();
    let mut first = alone(&cluster);
    let mut second = open(&cluster, "m-0");
    assert_eq!(poll(&mut second).0, numbers(0..4));
    assert!(first.poll(NOW).is_err());
}

#[test]
fn a_member_that_is_silent_for_its_session_loses_everything() {
    let cluster = cluster();
    let (mut first, mut second) = (open(&cluster, "m-0"), open(&cluster, "m-1"));
    settle(&mut [&mut first, &mut second]);
    first.begin_epoch();
    cluster.advance(1_040_000);
    assert_eq!(poll(&mut second).0, Polled::Records);
    cluster.advance(1_050_000);
    settle(&mut [&mut second]);
    assert!(second.seat.owns("in", Partition(0)), "the rest of the group has taken over");
    assert_eq!(poll(&mut first).0, Polled::Lost);
    assert!(matches!(first.commit(&[out("stale")], &[at(5)]), Ok(Commit::Stale(_))));
}

#[test]
fn leaving_hands_the_partitions_over_at_once() {
    let cluster = cluster();
    let (mut first, mut second) = (open(&cluster, "m-0"), open(&cluster, "m-1"));
    settle(&mut [&mut first, &mut second]);
    first.leave();
    assert_eq!(poll(&mut first).0, Polled::Records);
    assert_eq!(poll(&mut second).0, Polled::Revoked);
    second.release().expect("released");
    assert_eq!(poll(&mut second).0, numbers(0..4));
}

#[test]
fn new_partitions_lead_to_a_new_assignment() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    for topic in ["in", "also"] {
        cluster.with(|cluster| cluster.create_partitions(topic, 6, false)).expect("enlarged");
    }
    assert_eq!(poll(&mut log).0, Polled::Revoked);
    log.release().expect("released");
    assert_eq!(poll(&mut log).0, numbers(0..6));
}

#[test]
fn a_scan_ends_at_the_last_stable_offset_or_when_it_is_told_to() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    for value in ["a", "b", "c"] {
        assert_eq!(epoch(&mut log, value, 1), Commit::Done);
    }
    let mut offsets = Vec::new();
    let end = log.scan("out", P0, None, &mut |record| {
        offsets.push(record.offset.0);
        true
    });
    // each record is followed by its transaction's marker
    assert_eq!((end, offsets), (Ok(Offset(6)), vec![0, 2, 4]));
    assert_eq!(log.scan("out", P0, Some(Offset(1)), &mut |_| false), Ok(Offset(2)), "the refused record is next");
    log.trim("out", P0, Offset(3)).expect("trimmed");
    assert_eq!(outputs(&cluster), ["c"]);
    assert!(log.trim("out", P0, Offset(7)).is_err());
}

#[test]
fn many_large_records_become_several_batches_and_stay_in_order() {
    let cluster = cluster();
    let mut log = alone(&cluster);
    let records: Vec<_> = (0..20).map(|i| out(&format!("{i:0>60000}"))).collect();
    log.begin_epoch();
    assert_eq!(log.commit(&records, &[]), Ok(Commit::Done));
    let expected: Vec<_> = (0..20).map(|i| format!("{i:0>60000}")).collect();
    assert_eq!(outputs(&cluster), expected);
}

#[test]
fn a_followed_topic_is_read_from_its_first_record_and_never_twice() {
    let cluster = cluster();
    let options = MemberOptions { follow: Some("out".into()), ..MemberOptions::new("group", "m-0", &["in"]) };
    let mut log = MemoryLog::open(cluster.clone(), options).expect("opened");
    let mut seen = Vec::new();
    for value in ["a", "b"] {
        cluster.write("out", Some(P0), 5, None, Some(value.as_bytes()), &[]).expect("written");
        log.follow(&mut |record| seen.push(record.offset.0)).expect("followed");
        log.follow(&mut |record| seen.push(record.offset.0)).expect("followed");
    }
    assert_eq!((seen, log.end_of("out", P0)), (vec![0, 1], Ok(Offset(2))));
}
