//! A registry that does not answer for hours: records wait, and everything is as if it had answered at once.

use crate::world::{HOUR, MINUTE, PARTITIONS, SECOND, START, World, outcome, prediction};
use driftline::codec::framing::SchemaId;
use driftline::codec::writers::{Answer, SchemaKind, Schemas, Written};
use driftline::config::settings::Format;
use driftline::engine::journal::Activity;
use driftline::engine::types::Partition;
use driftline::stage::counters::JoinTally;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Values of predictions and of outcomes, all of them JSON.
const IDS: [u32; 2] = [11, 12];
/// Outcomes of an older writer.
const OLDER: u32 = 13;

/// Says nothing about some ids until it is told to.
#[derive(Default)]
struct Mute {
    silent: Mutex<BTreeSet<u32>>,
    news: AtomicU64,
    asked: AtomicU64,
}

impl Mute {
    fn about(ids: &[u32]) -> Arc<Mute> {
        Arc::new(Mute { silent: Mutex::new(ids.iter().copied().collect()), ..Mute::default() })
    }

    fn speak(&self) {
        self.silent.lock().expect("no panic").clear();
        self.news.fetch_add(1, Ordering::Relaxed);
    }
}

impl Schemas for Mute {
    fn answer(&self, id: SchemaId) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.silent.lock().expect("no panic").contains(&id.0) {
            return Answer::Unknown;
        }
        Answer::Is(Arc::new(Written { kind: SchemaKind::Json, text: "{}".into(), references: Vec::new(), subject: None }))
    }
    fn news(&self) -> u64 {
        self.news.load(Ordering::Relaxed)
    }
    fn is_away(&self) -> bool {
        !self.silent.lock().expect("no panic").is_empty()
    }
}

fn world(now: i64, schemas: &Arc<Mute>) -> World {
    World::with(now, Some(schemas.clone()), |s| {
        s.predictions.format = Format::Registry { may_lack: Vec::new() };
        s.outcomes.format = Format::Registry { may_lack: Vec::new() };
    })
}

fn write(world: &World, input: usize, partition: i32, at: i64, id: &str) {
    write_as(world, IDS[input], input, partition, at, id);
}

fn write_as(world: &World, schema: u32, input: usize, partition: i32, at: i64, id: &str) {
    let (topic, json) = [("p", prediction(at, id)), ("o", outcome(at, id))].into_iter().nth(input).expect("two inputs");
    let value = [&[0], &schema.to_be_bytes()[..], json.as_bytes()].concat();
    world.cluster.write(topic, Some(Partition(partition)), at, Some(id.as_bytes()), Some(&value), &[]).expect("written");
}

/// Six hours of pairs, a minute apart; of each minute's two predictions one is never answered. The outcomes' writer is new after an hour.
fn history(world: &World) {
    for minute in 0..360 {
        for partition in 0..PARTITIONS {
            let at = START + minute * MINUTE;
            write(world, 0, partition, at, &format!("{partition}-{minute}"));
            write(world, 0, partition, at, &format!("{partition}-{minute}-unlabelled"));
            let schema = if minute < 60 { OLDER } else { IDS[1] };
            write_as(world, schema, 1, partition, at + 5 * MINUTE, &format!("{partition}-{minute}"));
        }
    }
}

/// What became of six hours that are read a day later, with a registry that says nothing about some ids for an hour of that day.
fn after_an_hour_without(ids: &[u32]) -> (JoinTally, i64) {
    let schemas = Mute::about(ids);
    let mut world = world(START + 24 * HOUR, &schemas);
    history(&world);
    world.pass(HOUR, SECOND, |_| ());
    if !ids.is_empty() {
        assert!(world.join.1.waits_for_registry() && world.join.1.ready(), "it has its partitions, and stays in the group");
        assert!(schemas.asked.load(Ordering::Relaxed) < 100, "a record that waits is not tried again and again");
        schemas.speak();
    }
    world.pass(30 * MINUTE, SECOND, |_| ());
    assert!(!world.join.1.waits_for_registry());
    assert!(world.join.1.counters.dead_letters.is_empty(), "an outage is nobody's fault");
    (world.tally(), world.pair_time())
}

#[test]
fn an_outage_of_the_registry_changes_nothing_of_what_comes_out() {
    let at_once = after_an_hour_without(&[]);
    let pairs = 360 * PARTITIONS as u64;
    assert_eq!((at_once.0.accepted, at_once.0.joined, at_once.0.released, at_once.0.late), (2 * pairs, pairs, [0, 0], 0));
    for ids in [&IDS[..], &IDS[..1], &IDS[1..]] {
        assert_eq!(after_an_hour_without(ids), at_once, "silent about {ids:?}");
    }
}

#[test]
fn a_record_that_waits_for_its_schema_wakes_its_input() {
    let schemas = Mute::about(&IDS[1..]);
    let mut world = world(START, &schemas);
    for minute in 0..10 {
        write(&world, 0, 0, START + minute * MINUTE, &format!("a{minute}"));
    }
    world.pass(10 * MINUTE, SECOND, |_| ());
    let outcomes = |w: &World| w.tasks()[0].activity[1];
    assert_eq!(outcomes(&world), Activity::Idle, "it has brought nothing");
    write(&world, 1, 0, START + 10 * MINUTE, "a3");
    world.pass(3 * HOUR, SECOND, |_| ());
    assert_eq!(outcomes(&world), Activity::Active, "its time is not known, so it holds the others back");
    schemas.speak();
    world.pass(MINUTE, SECOND, |_| ());
    assert_eq!(world.tally().joined, 1, "three hours later");
}
