//! What `Log` promises, held against both of its implementations: `MemoryLog` on the broker's state machine, and `KafkaLog`
//! through the real client on the embedded broker.

use driftline::broker::records::{NewRecord, encode};
use driftline::broker::{Cluster, Committed, Embedded, NewTopic, Options, Producer};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::types::{Offset, Partition};
use driftline::kafka::client::padded;
use driftline::kafka::log::{KafkaLog, MemberName};
use driftline::log::memory::{MemberOptions, MemoryLog, SharedCluster};
use driftline::log::{Commit, Ends, Handed, Log, OutRecord, Polled, Position, Record, TopicIx};
use std::path::Path;
use std::time::{Duration, Instant};

const IN: TopicIx = TopicIx(0);
const P0: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a log lives.
enum World {
    Memory(SharedCluster),
    Kafka(Embedded, Box<Settings>),
}

impl World {
    fn both() -> [World; 2] {
        let broker = Embedded::start(Options::default()).expect("a free port");
        let text = format!(
            "app: a\nkafka: {{ brokers: '{}' }}\npredictions: {{ topic: in }}\noutcomes: {{ topic: also }}\nmodels:\n  m: {{ task: binary, positive: p }}\n",
            broker.address()
        );
        let settings = load_text("contract.yaml", &text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
        let worlds = [World::Memory(SharedCluster::new()), World::Kafka(broker, Box::new(settings))];
        for world in &worlds {
            for (name, partitions) in [("in", 2), ("also", 2), ("out", 1)] {
                let settings = [("retention.ms".to_string(), "-1".to_string())].into();
                let topic = NewTopic { name: name.into(), partitions, replication: 1, settings };
                assert_eq!(world.with(|cluster| cluster.create_topic(topic, false)), Ok(partitions));
            }
        }
        worlds
    }

    fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        match self {
            World::Memory(cluster) => cluster.with(act),
            World::Kafka(broker, _) => broker.with(act),
        }
    }

    /// A member that follows `out`.
    fn member(&self, thread: usize) -> Box<dyn Log> {
        let topics = ["in", "also"];
        match self {
            World::Memory(cluster) => {
                let options = MemberOptions::new("a-join", &format!("a-join-{thread}"), &topics);
                let options = MemberOptions { follow: Some("out".into()), ..options };
                Box::new(MemoryLog::open(cluster.clone(), options).expect("opened"))
            }
            World::Kafka(_, settings) => {
                let name = MemberName { stage: "join", thread };
                let topics = topics.map(str::to_string).to_vec();
                Box::new(KafkaLog::open(settings, &name, topics, Some("out")).expect("opened"))
            }
        }
    }

    fn feed(&self, values: &[&str]) {
        for value in values {
            let record = NewRecord { timestamp_ms: 77, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] };
            let batch = encode(&[record], Producer::NONE, -1, false);
            self.with(|cluster| cluster.produce("in", 0, None, batch)).expect("written");
        }
    }
}

fn text(record: &Record<'_>) -> String {
    format!("{}:{}", record.offset.0, String::from_utf8_lossy(record.value.unwrap_or(b"null")))
}

fn poll(log: &mut dyn Log, values: &mut Vec<String>) -> Polled {
    let polled = log.poll(Duration::from_millis(20)).expect("no error");
    for (topic, partition) in [(IN, P0), (IN, Partition(1)), (TopicIx(1), P0), (TopicIx(1), Partition(1))] {
        let mut sink = |record: Record<'_>| {
            values.push(text(&record));
            Handed::Next
        };
        log.hand_over(topic, partition, &mut sink).expect("no error");
    }
    polled
}

/// Polls all members until `done`; members that are told to let go do so.
fn work<'l>(logs: &mut [&mut (dyn Log + 'l)], what: &str, mut done: impl FnMut(usize, &mut (dyn Log + 'l), Polled) -> bool) {
    let begin = Instant::now();
    loop {
        for (i, log) in logs.iter_mut().enumerate() {
            let polled = log.poll(Duration::from_millis(20)).expect("no error");
            let lets_go = matches!(polled, Polled::Revoked | Polled::Lost);
            if done(i, *log, polled) {
                return;
            }
            if lets_go {
                log.release().expect("released");
            }
        }
        assert!(begin.elapsed() < PATIENCE, "did not happen: {what}");
    }
}

fn assigned(log: &mut dyn Log, partitions: &[i32]) {
    let wanted = Polled::Assigned(partitions.iter().copied().map(Partition).collect());
    work(&mut [log], "the assignment", |_, _, polled| polled == wanted);
}

fn out(value: &str) -> OutRecord {
    let headers = vec![("h".to_string(), Some(b"x".to_vec())), ("none".to_string(), None)];
    OutRecord { topic: "out".into(), partition: None, key: Some(b"k".to_vec()), value: Some(value.into()), headers }
}

fn at(next: i64) -> Position {
    Position { topic: IN, partition: P0, next: Offset(next), metadata: format!("driftline/1 seq={next} floor=0") }
}

fn epoch(log: &mut dyn Log, value: &str, next: i64) -> Commit {
    log.begin_epoch();
    log.commit(&[out(value)], &[at(next)]).expect("no error")
}

fn scan(log: &mut dyn Log) -> (Vec<String>, i64) {
    let mut values = Vec::new();
    let mut keep = |record: Record<'_>| {
        assert_eq!((record.headers.len(), record.headers.find("h")), (2, Some(&b"x"[..])));
        values.push(text(&record));
        true
    };
    let next = log.scan("out", P0, None, &mut keep).expect("scanned");
    (values, next.0)
}

fn position(log: &mut dyn Log) -> (Option<i64>, String) {
    let found = log.committed(&[(IN, P0)]).expect("positions").remove(0);
    (found.next.map(|next| next.0), found.metadata)
}

#[test]
fn a_member_reads_to_the_end_commits_and_goes_on_where_it_was() {
    for world in World::both() {
        world.feed(&["a", "b", "c"]);
        let mut log = world.member(0);
        assigned(&mut *log, &[0, 1]);
        assert_eq!(position(&mut *log), (None, String::new()));
        log.start(&[(IN, P0, Offset(1))]).expect("started");
        let mut values = Vec::new();
        let begin = Instant::now();
        while !log.at_end(IN, P0) {
            assert_eq!(poll(&mut *log, &mut values), Polled::Records);
            assert!(begin.elapsed() < PATIENCE, "the end is never reached");
        }
        assert_eq!(values, ["1:b", "2:c"]);
        assert_eq!(epoch(&mut *log, "one", 3), Commit::Done);
        assert_eq!(position(&mut *log), (Some(3), "driftline/1 seq=3 floor=0".into()));
        world.feed(&["d"]);
        while values.len() < 3 {
            poll(&mut *log, &mut values);
            assert!(begin.elapsed() < PATIENCE, "the last record never comes");
        }
        assert_eq!(values[2], "3:d");
        assert_eq!(log.ends(IN, P0), Ok(Ends { low: Offset(0), last_stable: Offset(4), high: Offset(4) }));
        log.leave();
    }
}

#[test]
fn records_that_are_not_taken_stay_until_the_partition_starts_again() {
    for world in World::both() {
        world.feed(&["a", "b", "c"]);
        let mut log = world.member(0);
        assigned(&mut *log, &[0, 1]);
        for (start, wanted) in [(0, ["0:a", "1:b"]), (1, ["1:b", "2:c"])] {
            log.start(&[(IN, P0, Offset(start)), (IN, Partition(1), Offset(0))]).expect("started");
            let begin = Instant::now();
            while !log.waits(IN, P0) {
                log.poll(Duration::from_millis(20)).expect("no error");
                assert!(begin.elapsed() < PATIENCE, "no record came");
            }
            let mut shown = Vec::new();
            for handed in [Handed::Stays, Handed::Enough, Handed::Stays] {
                let mut sink = |record: Record<'_>| {
                    shown.push(text(&record));
                    handed
                };
                log.hand_over(IN, P0, &mut sink).expect("no error");
            }
            assert_eq!(shown, [wanted[0], wanted[0], wanted[1]]);
            assert!(log.waits(IN, P0) && !log.at_end(IN, P0));
        }
        log.leave();
    }
}

#[test]
fn a_member_comes_to_rest_behind_the_marker_of_a_transaction() {
    for world in World::both() {
        let mut log = world.member(0);
        assigned(&mut *log, &[0, 1]);
        log.start(&[(IN, P0, Offset(0))]).expect("started");
        for round in 0..2 {
            log.begin_epoch();
            let record = OutRecord { topic: "in".into(), partition: Some(P0), ..out("x") };
            assert_eq!(log.commit(&[record], &[]).expect("no error"), Commit::Done);
            let (begin, mut values) = (Instant::now(), Vec::new());
            // a record and a marker each round
            while values.len() != 1 || log.rests_at(IN, P0) != Some(Offset(2 * (round + 1))) {
                poll(&mut *log, &mut values);
                assert!(begin.elapsed() < PATIENCE, "{values:?} came, and it rests at {:?}", log.rests_at(IN, P0));
            }
            let ends = log.ends(IN, P0).expect("ends");
            assert_eq!((ends.last_stable, ends.high), (Offset(2 * (round + 1)), Offset(2 * (round + 1))));
        }
        log.leave();
    }
}

/// Fails without it after the 60 s of the transaction, not before: nobody else may end it earlier.
#[test]
fn a_member_that_is_back_ends_what_its_predecessor_left_open() {
    let [_, world] = World::both();
    let World::Kafka(_, settings) = &world else { unreachable!() };
    let mut log = world.member(0);
    assigned(&mut *log, &[0, 1]);
    assert_eq!(epoch(&mut *log, "one", 1), Commit::Done);
    drop(log);
    // killed between its positions and its commit
    let id = format!("a-join-{}-0000", padded(&settings.instance));
    let place = ("in".to_string(), 0);
    world.with(|cluster| {
        let producer = cluster.init_producer(Some(&id), 60_000, None).expect("a producer");
        cluster.add_partition(&id, producer, ("out".to_string(), 0)).expect("in the transaction");
        let position = Committed { offset: 2, leader_epoch: -1, metadata: String::new() };
        cluster.add_group(&id, producer, "a-join").expect("in the transaction");
        cluster.stage_offset(&id, producer, "a-join", place, position).expect("staged");
    });
    let began = Instant::now();
    let mut log = world.member(0);
    assigned(&mut *log, &[0, 1]);
    assert_eq!(position(&mut *log), (Some(1), "driftline/1 seq=1 floor=0".into()));
    assert!(began.elapsed() < Duration::from_secs(20), "waited {:?} for its own old transaction", began.elapsed());
    log.leave();
}

#[test]
fn scans_and_followers_see_committed_records_and_trims_take_them_away() {
    for world in World::both() {
        let mut log = world.member(0);
        assigned(&mut *log, &[0, 1]);
        for value in ["one", "two"] {
            assert_eq!(epoch(&mut *log, value, 1), Commit::Done);
        }
        assert_eq!(scan(&mut *log), (vec!["0:one".into(), "2:two".into()], 4));
        assert_eq!(log.end_of("out", P0), Ok(Offset(4)));
        assert_eq!(log.scan("out", P0, Some(Offset(0)), &mut |_| false), Ok(Offset(0)), "a refused record is the next one");
        let (mut followed, begin) = (Vec::new(), Instant::now());
        while followed.len() < 2 {
            log.follow(&mut |record| followed.push(text(&record))).expect("followed");
            assert!(begin.elapsed() < PATIENCE, "the followed topic never comes");
        }
        assert_eq!(followed, ["0:one", "2:two"]);
        log.trim("out", P0, Offset(2)).expect("trimmed");
        assert_eq!(scan(&mut *log), (vec!["2:two".into()], 4));
        log.leave();
    }
}

#[test]
fn a_running_epoch_ends_before_the_partitions_go_and_a_stale_one_is_refused() {
    for world in World::both() {
        let mut first = world.member(0);
        assigned(&mut *first, &[0, 1]);
        first.start(&[(IN, P0, Offset(0))]).expect("started");
        first.begin_epoch();
        let mut second = world.member(1);
        let mut owners = 0;
        work(&mut [&mut *first, &mut *second], "both have half", |i, log, polled| {
            if i == 0 && polled == Polled::Revoked {
                let ended = log.commit(&[out("in time")], &[at(1)]);
                assert_eq!(ended, Ok(Commit::Done), "the old generation stands until the member lets go");
            }
            owners += usize::from(polled == Polled::Assigned(vec![Partition(i as i32)]));
            owners == 2
        });
        let stale = first.commit(&[out("stale")], &[at(2)]).expect("no error");
        assert!(matches!(stale, Commit::Stale(_)), "{stale:?}");
        assert_eq!(epoch(&mut *first, "fresh", 3), Commit::Done);
        assert_eq!(scan(&mut *first).0.len(), 2);
        assert_eq!(position(&mut *second), (Some(3), "driftline/1 seq=3 floor=0".into()));
        first.leave();
        second.leave();
    }
}

#[test]
fn a_new_producer_clears_up_and_the_same_epoch_may_be_published_again() {
    for world in World::both() {
        let mut log = world.member(0);
        assigned(&mut *log, &[0, 1]);
        assert_eq!(epoch(&mut *log, "one", 1), Commit::Done);
        log.renew_producer().expect("renewed");
        assert_eq!(log.commit(&[out("two")], &[at(2)]), Ok(Commit::Done), "with the generation captured before");
        assert_eq!(scan(&mut *log).0, ["0:one", "2:two"]);
        log.leave();
    }
}

#[test]
fn a_trim_that_is_refused_is_an_error() {
    for world in World::both() {
        let mut log = world.member(0);
        assert!(matches!(epoch_without_positions(log.as_mut()), Commit::Done));
        assert!(log.trim("out", P0, Offset(99)).is_err(), "there are no 99 records");
        log.trim("out", P0, Offset(1)).expect("there is one record");
        assert_eq!(log.end_of("out", P0).map(|end| end.0 > 0), Ok(true));
    }
}

fn epoch_without_positions(log: &mut dyn Log) -> Commit {
    log.begin_epoch();
    log.commit(&[out("v")], &[]).expect("no error")
}
