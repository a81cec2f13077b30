//! Records that come between a stage's look and the hand-over.

use crate::world::{MINUTE, PARTITIONS, SECOND, START, World};
use driftline::engine::types::{Offset, Partition};
use driftline::log::memory::MemoryLog;
use driftline::log::{Commit, CommittedPosition, Ends, Fatal, Handed, Log, OutRecord, Polled, Position, Record, Sink, TopicIx};
use std::time::Duration;

const SUMMARIES: TopicIx = TopicIx(0);

/// A log in which what a poll brings is not there yet when the stage looks, and is there when it is handed over.
struct Sudden<'a> {
    log: &'a mut MemoryLog,
    unseen: &'a mut bool,
}

impl Log for Sudden<'_> {
    fn poll(&mut self, patience: Duration) -> Result<Polled, Fatal> {
        let polled = self.log.poll(patience);
        *self.unseen = !*self.unseen && self.log.waits(SUMMARIES, Partition(0));
        polled
    }
    fn waits(&self, topic: TopicIx, partition: Partition) -> bool {
        !*self.unseen && self.log.waits(topic, partition)
    }
    fn hand_over(&mut self, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) -> Result<(), Fatal> {
        self.log.hand_over(topic, partition, sink)
    }
    fn follow(&mut self, sink: &mut Sink<'_>) -> Result<(), Fatal> {
        self.log.follow(sink)
    }
    fn start(&mut self, at: &[(TopicIx, Partition, Offset)]) -> Result<(), Fatal> {
        self.log.start(at)
    }
    fn release(&mut self) -> Result<(), Fatal> {
        self.log.release()
    }
    fn leave(&mut self) {
        self.log.leave();
    }
    fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset> {
        self.log.rests_at(topic, partition)
    }
    fn ends(&mut self, topic: TopicIx, partition: Partition) -> Result<Ends, Fatal> {
        self.log.ends(topic, partition)
    }
    fn end_of(&mut self, topic: &str, partition: Partition) -> Result<Offset, Fatal> {
        self.log.end_of(topic, partition)
    }
    fn committed(&mut self, of: &[(TopicIx, Partition)]) -> Result<Vec<CommittedPosition>, Fatal> {
        self.log.committed(of)
    }
    fn begin_epoch(&mut self) {
        self.log.begin_epoch();
    }
    fn commit(&mut self, records: &[OutRecord], positions: &[Position]) -> Result<Commit, Fatal> {
        self.log.commit(records, positions)
    }
    fn renew_producer(&mut self) -> Result<(), Fatal> {
        self.log.renew_producer()
    }
    fn scan(
        &mut self,
        topic: &str,
        partition: Partition,
        from: Option<Offset>,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal> {
        self.log.scan(topic, partition, from, sink)
    }
    fn trim(&mut self, topic: &str, partition: Partition, before: Offset) -> Result<(), Fatal> {
        self.log.trim(topic, partition, before)
    }
    fn now_ms(&self) -> i64 {
        self.log.now_ms()
    }
}

#[test]
fn what_comes_between_the_look_and_the_hand_over_is_committed_without_waiting_for_more() {
    let mut world = World::new(START, |_| {});
    let mut unseen = false;
    // the last minute brings nothing: whatever was observed must be committed by then
    for turn in 0..5 * MINUTE / SECOND {
        world.now += SECOND;
        world.cluster.advance(world.now);
        if turn < 4 * MINUTE / SECOND {
            (0..PARTITIONS).for_each(|p| world.predict(p, world.now, &format!("{p}-{turn}")));
            world.join.1.step(&mut world.join.0, Duration::ZERO).expect("the join stage goes on");
        }
        let mut log = Sudden { log: &mut world.detect.0, unseen: &mut unseen };
        world.detect.1.step(&mut log, Duration::ZERO).expect("the detect stage goes on");
    }
    let end = world.detect.0.end_of("shop.summaries", Partition(0)).expect("there");
    let position = world.detect.0.committed(&[(SUMMARIES, Partition(0))]).expect("positions").remove(0).next;
    // behind the last record stands the marker of its transaction
    assert!(position.is_some_and(|at| at.0 > 5 && at.0 + 1 >= end.0), "committed {position:?} of {end:?}");
}
