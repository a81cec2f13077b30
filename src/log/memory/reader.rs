//! Reading: what a member has begun to read, and scans from one end to the other.
//!
//! Guarantees: records below the last stable offset only, none of an aborted transaction; a position steps over markers and
//! aborted records, so it reaches the last stable offset.

use super::inbox::Inbox;
use super::{Fatal, MemberOptions, SharedCluster, fatal};
use crate::broker::records::decode;
use crate::broker::{Aborted, Isolation, Stored};
use crate::engine::types::{Offset, Partition};
use crate::log::{Ends, Handed, Record, TopicIx};

/// The topic of records that were asked for by name.
const NO_TOPIC: TopicIx = TopicIx(u8::MAX);
/// How much of a partition one look takes.
const LOOK: usize = 256 * 1024;

/// One partition that is being read.
struct Reading {
    topic: TopicIx,
    partition: Partition,
    position: Offset,
    /// Records that were read and not taken yet.
    inbox: Inbox,
    /// The last stable offset at the last look; `None` before the first.
    stable: Option<Offset>,
}

/// Everything that a member reads.
#[derive(Default)]
pub(super) struct Reader {
    readings: Vec<Reading>,
    /// Where the next poll begins, so that no partition starves.
    next: usize,
}

impl Reader {
    pub(super) fn clear(&mut self) {
        self.readings.clear();
    }

    pub(super) fn start(&mut self, topic: TopicIx, partition: Partition, position: Offset) {
        self.readings.push(Reading { topic, partition, position, inbox: Inbox::new(topic, partition), stable: None });
    }

    fn reading(&self, topic: TopicIx, partition: Partition) -> Option<&Reading> {
        self.readings.iter().find(|reading| (reading.topic, reading.partition) == (topic, partition))
    }

    pub(super) fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset> {
        let ended = |reading: &&Reading| reading.inbox.is_empty() && reading.stable.is_some_and(|stable| reading.position >= stable);
        self.reading(topic, partition).filter(ended).map(|reading| reading.position)
    }

    pub(super) fn waits(&self, topic: TopicIx, partition: Partition) -> bool {
        self.reading(topic, partition).is_some_and(|reading| !reading.inbox.is_empty())
    }

    /// Hands over records of one partition until the sink has enough.
    pub(super) fn hand_over(&mut self, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) {
        let this = |reading: &&mut Reading| (reading.topic, reading.partition) == (topic, partition);
        let Some(reading) = self.readings.iter_mut().find(this) else { return };
        while let Some(handed) = reading.inbox.with_first(&mut *sink) {
            if handed != Handed::Stays {
                reading.inbox.pop();
            }
            if handed != Handed::Next {
                return;
            }
        }
    }

    /// Takes in at most `most_per_poll` records, partition after partition. One whose records are not taken is not read on.
    pub(super) fn take_in(&mut self, cluster: &SharedCluster, options: &MemberOptions) -> Result<(), Fatal> {
        let count = self.readings.len();
        let mut room = options.most_per_poll;
        for step in 0..count {
            let reading = &mut self.readings[(self.next + step) % count];
            if room == 0 || reading.inbox.len() >= options.most_per_poll {
                continue;
            }
            let Some(name) = options.topics.get(usize::from(reading.topic.0)) else { continue };
            let inbox = &mut reading.inbox;
            let mut keep = |record: Record<'_>| {
                inbox.push(&record);
                room -= 1;
                room > 0
            };
            let (next, ends) = walk(cluster, name, (reading.topic, reading.partition), reading.position, None, &mut keep)?;
            reading.position = next;
            reading.stable = Some(ends.last_stable);
        }
        self.next = if count == 0 { 0 } else { (self.next + 1) % count };
        Ok(())
    }
}

/// `Log::scan`: a record for which `sink` returns false counts as not read. The records say `NO_TOPIC`, as the topic need not be one of the member's.
pub(super) fn scan(
    cluster: &SharedCluster,
    topic: &str,
    partition: Partition,
    from: Option<Offset>,
    sink: &mut dyn FnMut(Record<'_>) -> bool,
) -> Result<Offset, Fatal> {
    let ends = cluster.with(|cluster| cluster.partition(topic, partition.0).map(|log| log.ends()));
    let ends = ends.map_err(|error| fatal(topic, error))?;
    let begin = from.unwrap_or(ends.low).max(ends.low);
    let mut refused = None;
    let mut ask = |record: Record<'_>| {
        let offset = record.offset;
        let wants_more = sink(record);
        refused = (!wants_more).then_some(offset);
        wants_more
    };
    let next = walk(cluster, topic, (NO_TOPIC, partition), begin, Some(ends.last_stable), &mut ask)?.0;
    Ok(refused.unwrap_or(next))
}

/// Reads from `from` until `sink` has enough or the last stable offset (or `until`) is reached. Returns the next offset.
fn walk(
    cluster: &SharedCluster,
    topic: &str,
    place: (TopicIx, Partition),
    from: Offset,
    until: Option<Offset>,
    sink: &mut dyn FnMut(Record<'_>) -> bool,
) -> Result<(Offset, Ends), Fatal> {
    let mut next = from;
    loop {
        let look = look(cluster, topic, place.1, next)?;
        let stop = until.unwrap_or(look.ends.last_stable);
        let done = look.batches.is_empty();
        for stored in &look.batches {
            if next >= stop {
                return Ok((next, look.ends));
            }
            if !look.hides(stored) && !give(stored, place, &mut next, sink)? {
                return Ok((next, look.ends));
            }
            next = stored.next();
        }
        if done {
            return Ok((next, look.ends));
        }
    }
}

/// Hands over the records of one batch; false if `sink` had enough before its end.
fn give(
    stored: &Stored,
    (topic, partition): (TopicIx, Partition),
    next: &mut Offset,
    sink: &mut dyn FnMut(Record<'_>) -> bool,
) -> Result<bool, Fatal> {
    for record in decode(stored) {
        let record = record.map_err(|error| Fatal(error.to_string()))?;
        if record.offset < *next {
            continue;
        }
        let wants_more = sink(Record {
            topic,
            partition,
            offset: record.offset,
            timestamp: record.timestamp_ms,
            append_time: stored.append_time_ms.is_some(),
            key: record.key,
            value: record.value,
            headers: &record.headers,
        });
        *next = Offset(record.offset.0 + 1);
        if !wants_more {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What one look at a partition shows. The batches share their bytes with the cluster.
struct Look {
    batches: Vec<Stored>,
    aborted: Vec<Aborted>,
    ends: Ends,
}

impl Look {
    fn hides(&self, stored: &Stored) -> bool {
        let id = stored.batch.head.producer.id;
        let covers = |aborted: &Aborted| aborted.producer == id && (aborted.first..aborted.marker).contains(&stored.base);
        stored.batch.head.transactional && self.aborted.iter().any(covers)
    }
}

fn look(cluster: &SharedCluster, topic: &str, partition: Partition, from: Offset) -> Result<Look, Fatal> {
    let found = cluster.with(|cluster| {
        let log = cluster.fetch(topic, partition.0, from)?;
        let batches: Vec<Stored> = log.read(from, LOOK, Isolation::Committed).cloned().collect();
        let end = batches.last().map_or(from, Stored::next);
        Ok(Look { aborted: log.aborted(from, end).copied().collect(), ends: log.ends(), batches })
    });
    found.map_err(|error| fatal(&format!("reading {topic}[{}] at {}", partition.0, from.0), error))
}
