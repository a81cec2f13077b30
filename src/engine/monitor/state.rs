//! A monitor's state in the log: a small head, written with every epoch that closes panes, and a chunk of streams "as of" an offset,
//! written now and then.
//!
//! Guarantees: head and chunk, and the summaries from the chunk's `replay_from` to the committed offset, give the very monitor that
//! wrote them. Closings are replayed from the head's list, not decided again; what a replay would raise is dropped: it was published.
//! Comes from and goes to: `<app>.state`, one partition per summaries partition.

use super::learn::Learner;
use super::{Effects, Monitor};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use crate::engine::detect::stream::{Stream, StreamKey};
use crate::engine::mark::Marks;
use crate::engine::partial;
use crate::engine::plan::{EdgesRecord, PlanRecord, Versioned};
use crate::engine::types::{EpochSeq, Offset, PaneId, Partition};
use crate::planted::{Bug, planted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const PART_BYTES: usize = 480 * 1024;

#[derive(Serialize, Deserialize)]
struct Head {
    seq: EpochSeq,
    next: Offset,
    definitions: Option<Versioned>,
    assigned: Option<Versioned>,
    marks: Marks,
    closed: Option<[PaneId; 2]>,
    closings: Vec<(Offset, [PaneId; 2])>,
    chunk: EpochSeq,
}

#[derive(Serialize, Deserialize)]
struct Chunk {
    seq: EpochSeq,
    next: Offset,
    replay_from: Offset,
    closed: Option<[PaneId; 2]>,
    edges: Vec<EdgesRecord>,
    learners: Vec<((String, String, bool), Learner)>,
    features: BTreeMap<String, BTreeSet<String>>,
    segments: Vec<(String, Vec<BTreeMap<String, String>>)>,
    streams: Vec<(StreamKey, Stream)>,
}

/// A record of the state topic.
pub struct StateRecord {
    /// Key in the compacted topic.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

fn parts(kind: Kind, name: &str, seq: EpochSeq, body: &[u8]) -> Vec<StateRecord> {
    let pieces: Vec<&[u8]> = body.chunks(PART_BYTES).collect();
    let part = |(k, piece): (usize, &&[u8])| {
        let mut w = Writer::new();
        w.uint(seq.0);
        w.uint(k as u64);
        w.uint(pieces.len() as u64);
        w.blob(piece);
        StateRecord { key: format!("{name}/{k:04}").into_bytes(), value: w.sealed(kind) }
    };
    pieces.iter().enumerate().map(part).collect()
}

impl Monitor {
    /// The head's records for epoch `seq`, as of `next`; `chunk` is the epoch that wrote the last chunk (0: none).
    pub fn head(&self, seq: EpochSeq, next: Offset, chunk: EpochSeq) -> Vec<StateRecord> {
        let head = Head {
            seq,
            next,
            definitions: self.definitions.as_ref().map(|d| (*d.0).clone()),
            assigned: self.assigned.clone(),
            marks: self.marks.clone(),
            closed: self.closed,
            closings: self.closings.clone(),
            chunk,
        };
        parts(Kind::Head, "head", seq, &postcard::to_stdvec(&head).expect("plain data encodes"))
    }

    /// The chunk's records as of `next`, the first offset that has not been observed. Forgets closings that no replay needs.
    pub fn chunk(&mut self, seq: EpochSeq, next: Offset) -> Vec<StateRecord> {
        let replay_from = self.open.iter().flat_map(|o| o.values().filter_map(|p| p.since)).min().unwrap_or(next);
        let needed = self.closings.iter().rposition(|c| c.0 < replay_from).unwrap_or(0);
        self.closings.drain(..needed);
        let chunk = Chunk {
            seq,
            next,
            replay_from,
            closed: self.closed,
            edges: self.edges.clone(),
            learners: self.learners.iter().map(|(k, l)| (k.clone(), l.clone())).collect(),
            features: self.features.clone(),
            segments: self.segments.iter().map(|(m, s)| (m.clone(), s.iter().cloned().collect())).collect(),
            streams: self.streams.iter().map(|(k, s)| (k.clone(), s.clone())).collect(),
        };
        parts(Kind::Chunk, "chunk/0000", seq, &postcard::to_stdvec(&chunk).expect("plain data encodes"))
    }

    /// How many closings the head carries: the chunk should be written before they are many.
    pub fn closings(&self) -> usize {
        self.closings.len()
    }
}

#[derive(Default)]
struct Assembly {
    seq: EpochSeq,
    parts: BTreeMap<u64, Vec<u8>>,
    of: u64,
}

impl Assembly {
    fn take(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        let (seq, part, of) = (EpochSeq(r.uint()?), r.uint()?, r.uint()?);
        let piece = r.blob()?.to_vec();
        if seq > self.seq {
            *self = Assembly { seq, parts: BTreeMap::new(), of };
        }
        if seq == self.seq {
            self.parts.insert(part, piece);
        }
        Ok(())
    }

    fn whole<T: for<'a> Deserialize<'a>>(&self) -> Option<Result<T, Malformed>> {
        if self.of == 0 || (self.parts.len() as u64) < self.of {
            return None;
        }
        let bytes: Vec<u8> = self.parts.values().flatten().copied().collect();
        Some(postcard::from_bytes(&bytes).map_err(|_| Malformed::Value("the state's content")))
    }
}

/// Collects the state topic's records and rebuilds a monitor.
#[derive(Default)]
pub struct Restore {
    head: Assembly,
    chunk: Assembly,
}

/// Where a rebuilt monitor goes on.
pub struct Replay {
    monitor: Monitor,
    head: Head,
    /// First summaries offset to replay; `None`: from the first one that is there.
    pub from: Option<Offset>,
    /// First summaries offset that the head has not seen: where the replay ends.
    pub next: Offset,
    chunk_next: Offset,
    chunk_closed: Option<[PaneId; 2]>,
}

impl Restore {
    /// Takes in one record of the state partition.
    pub fn observe(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let (kind, mut body) = Reader::open(value)?;
        match kind {
            k if k == Kind::Head as u8 => self.head.take(&mut body),
            k if k == Kind::Chunk as u8 => self.chunk.take(&mut body),
            _ => Err(Malformed::Value("a record of this kind in the state topic")),
        }
    }

    /// The epoch of the newest complete head.
    pub fn seq(&self) -> Option<EpochSeq> {
        (self.head.of > 0 && self.head.parts.len() as u64 == self.head.of).then_some(self.head.seq)
    }

    /// Prepares the replay of summaries.
    pub fn begin(self, partition: Partition) -> Result<Replay, Malformed> {
        let head: Head = self.head.whole().ok_or(Malformed::Short("the state's head"))??;
        let chunk: Option<Chunk> =
            if head.chunk.0 > 0 { Some(self.chunk.whole().ok_or(Malformed::Short("the state's chunk"))??) } else { None };
        let mut monitor = Monitor::new(partition);
        if let Some(versioned) = head.definitions.clone() {
            monitor.adopt(versioned);
        }
        monitor.assigned = head.assigned.clone();
        let (mut from, mut chunk_next, mut chunk_closed) = (None, Offset(0), None);
        if let Some(c) = chunk {
            (from, chunk_next, chunk_closed) = (Some(if planted(Bug::ReplayFromChunk) { c.next } else { c.replay_from }), c.next, c.closed);
            for e in c.edges.iter().filter(|_| !planted(Bug::BinsNotRestored)) {
                monitor.plan.observe(PlanRecord::Edges(e.clone()));
            }
            monitor.closed = c.closed;
            monitor.edges = c.edges;
            monitor.learners = c.learners.into_iter().filter(|_| !planted(Bug::LearnersNotRestored)).collect();
            monitor.features = if planted(Bug::FeaturesNotRestored) { BTreeMap::new() } else { c.features };
            monitor.segments =
                c.segments.into_iter().filter(|_| !planted(Bug::SegmentsNotRestored)).map(|(m, s)| (m, s.into_iter().collect())).collect();
            monitor.streams = c.streams.into_iter().filter(|_| !planted(Bug::StreamsNotRestored)).collect();
        }
        Ok(Replay { monitor, from, next: head.next, head, chunk_next, chunk_closed })
    }
}

impl Replay {
    /// Replays one summaries record, in offset order, up to the committed offset.
    pub fn observe(&mut self, offset: Offset, bytes: &[u8]) -> Result<(), Malformed> {
        let (kind, mut body) = Reader::open(bytes)?;
        if kind == Kind::Partial as u8 {
            let closed_then = if planted(Bug::ClosedRederived) { self.monitor.closed } else { None };
            let closed_then = closed_then.or_else(|| self.head.closings.iter().rev().find(|c| c.0 < offset).map(|c| c.1));
            for entry in partial::read(&mut body)?.entries {
                let kind = entry.kind();
                let Some(pane) = self.monitor.place(&entry, closed_then.map(|c| c[super::at(kind)])) else { continue };
                if offset >= self.chunk_next
                    || planted(Bug::ReplayFoldsAgain)
                    || self.chunk_closed.is_none_or(|c| pane > c[super::at(kind)])
                {
                    self.monitor.merge(offset, kind, pane, entry);
                }
            }
        }
        if offset >= self.chunk_next
            && let Some((_, through)) = self.head.closings.iter().find(|c| c.0 == offset).copied()
        {
            match self.monitor.closed {
                None => self.monitor.closed = Some(through),
                Some(_) => self.monitor.close_through(through, &mut Effects::default()),
            }
        }
        Ok(())
    }

    /// The monitor as it was at the committed offset, and the epoch of its last chunk.
    pub fn finish(mut self) -> Result<(Monitor, EpochSeq), Malformed> {
        if !planted(Bug::MarksNotRestored) {
            self.monitor.marks = self.head.marks;
        }
        self.monitor.closings = self.head.closings;
        if self.monitor.closed != self.head.closed {
            return Err(Malformed::Value("a replay that closed other panes than the head says"));
        }
        self.monitor.tally = super::Tally::default();
        Ok((self.monitor, self.head.chunk))
    }
}
