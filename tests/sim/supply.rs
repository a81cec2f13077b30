//! Upstream: producers that write the scene into the input topics as time passes, plainly or in transactions that may hang.

use super::draw::Draw;
use super::edge::{Hung, World};
use super::inputs::{Message, Scene};
use driftline::broker::Producer;
use driftline::broker::records::{NewRecord, encode};
use driftline::engine::types::{Input, Offset};
use std::collections::VecDeque;

/// Records of one batch.
const BATCH: usize = 20;
/// A transaction of a producer upstream may take this long.
const TIMEOUT_MS: i64 = 900_000;

/// A record in its topic.
pub struct Written {
    /// Its place.
    pub offset: Offset,
    /// Kafka's timestamp.
    pub timestamp: i64,
    /// Key.
    pub key: String,
    /// Value.
    pub value: Option<String>,
    /// False if its transaction was aborted, or is not decided.
    pub visible: bool,
}

/// A transaction that hangs.
struct Hanging {
    id: String,
    producer: Producer,
    until: i64,
    commit: bool,
    input: usize,
    partition: usize,
    offsets: Vec<usize>,
}

/// The producers.
pub struct Supply {
    coming: [Vec<VecDeque<Message>>; 2],
    /// Everything written, by `Input::index` and partition, in offset order.
    pub written: [Vec<Vec<Written>>; 2],
    hanging: Vec<Hanging>,
    transactions: u64,
    hang_next: Option<(i64, bool)>,
    hang_some: Option<Draw>,
    /// Records in all.
    pub records: u64,
}

impl Supply {
    /// Of a scene.
    pub fn new(scene: Scene) -> Supply {
        let records = scene.topics.iter().flatten().map(|p| p.len() as u64).sum();
        let written = scene.topics.each_ref().map(|topic| topic.iter().map(|_| Vec::new()).collect());
        let coming = scene.topics.map(|topic| topic.into_iter().map(VecDeque::from).collect());
        Supply { coming, written, hanging: Vec::new(), transactions: 0, hang_next: None, hang_some: None, records }
    }

    /// The next batch goes in a transaction that is ended only after `ms`.
    pub fn hang_next(&mut self, ms: i64, commit: bool) {
        self.hang_next = Some((ms, commit));
    }

    /// Some batches go in a transaction that is ended later.
    pub fn hang_some(&mut self, draw: Draw) {
        self.hang_some = Some(draw);
    }

    /// True if everything is written and decided.
    pub fn is_over(&self) -> bool {
        self.hanging.is_empty() && self.coming.iter().flatten().all(VecDeque::is_empty)
    }

    /// The offset behind the last readable record.
    pub fn end(&self, input: Input, partition: usize) -> Offset {
        self.written[input.index()][partition].iter().rev().find(|w| w.visible).map_or(Offset(0), |w| Offset(w.offset.0 + 1))
    }

    /// Ends what has hung long enough, writes what has arrived.
    pub fn deliver(&mut self, world: &World) {
        let now = world.now();
        let (over, hanging) = std::mem::take(&mut self.hanging).into_iter().partition(|h: &Hanging| h.until <= now);
        self.hanging = hanging;
        let over: Vec<Hanging> = over;
        over.into_iter().for_each(|h| self.decide(world, h));
        for input in 0..2 {
            for partition in 0..self.coming[input].len() {
                loop {
                    let queue = &mut self.coming[input][partition];
                    let due = queue.iter().take(BATCH).take_while(|m| m.arrival <= now).count();
                    if due == 0 {
                        break;
                    }
                    let messages: Vec<Message> = queue.drain(..due).collect();
                    self.write(world, input, partition, messages);
                }
            }
        }
    }

    fn write(&mut self, world: &World, input: usize, partition: usize, messages: Vec<Message>) {
        let (now, topic) = (world.now(), ["p", "o"][input]);
        let records: Vec<_> = messages
            .iter()
            .map(|m| NewRecord {
                timestamp_ms: m.arrival,
                key: Some(m.key.as_bytes()),
                value: m.value.as_ref().map(String::as_bytes),
                headers: &[],
            })
            .collect();
        let now_and_then = |d: &mut Draw| d.chance(0.01).then(|| (d.between(100, 60_000), d.chance(0.7)));
        let hang = self.hang_next.take().or_else(|| self.hang_some.as_mut().and_then(now_and_then));
        let base = world.cluster.with(|cluster| match hang {
            None => cluster.produce(topic, partition as i32, None, encode(&records, Producer::NONE, -1, false)).expect("written").0,
            Some((ms, commit)) => {
                self.transactions += 1;
                let id = format!("upstream-{}", self.transactions);
                let producer = cluster.init_producer(Some(&id), TIMEOUT_MS, None).expect("a producer");
                cluster.add_partition(&id, producer, (topic.to_string(), partition as i32)).expect("added");
                let base = cluster.produce(topic, partition as i32, Some(&id), encode(&records, producer, 0, true)).expect("written").0;
                let first = self.written[input][partition].len();
                let offsets = (first..first + records.len()).collect();
                world.hanging.borrow_mut().push(Hung { id: id.clone(), input, partition, since: now });
                self.hanging.push(Hanging { id, producer, until: now + ms, commit, input, partition, offsets });
                base
            }
        });
        world.trace.event(now, "upstream", ("write", input, partition, records.len()), || {
            let how = hang.map_or(String::new(), |h| format!(" in a transaction that hangs for {} s", h.0 / 1_000));
            format!("writes {} to {topic}[{partition}] at {}{how}", records.len(), base.0)
        });
        self.written[input][partition].extend(messages.into_iter().enumerate().map(|(i, m)| Written {
            offset: Offset(base.0 + i as i64),
            timestamp: m.arrival,
            key: m.key,
            value: m.value,
            visible: hang.is_none(),
        }));
    }

    fn decide(&mut self, world: &World, h: Hanging) {
        world.cluster.with(|cluster| cluster.end_transaction(&h.id, h.producer, h.commit)).expect("decided");
        world.hanging.borrow_mut().retain(|open| open.id != h.id);
        world.trace.event(world.now(), "upstream", ("decide", h.commit), || format!("{} ends, committed: {}", h.id, h.commit));
        for at in h.offsets {
            self.written[h.input][h.partition][at].visible = h.commit;
        }
    }
}
