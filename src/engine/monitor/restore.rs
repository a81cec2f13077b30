//! Building a monitor again from its state and the summaries that the state has not seen.
//!
//! Guarantees: a pane is folded only into chunks that were written before it closed, with what the streams shared when it closed;
//! closings are taken from the head, not decided again; what a replay would raise is dropped: it was published.
//! Never: admits a segment, finds a feature, or publishes bins.
//! Comes from: `<app>.state`, `<app>.summaries`.

use super::chunks::{CHUNKS, ChunkIx, Written};
use super::force::{Force, InForce};
use super::profiles::Profiles;
use super::shared::{Shared, SharedForm};
use super::state::{Chunk, ChunkV1, Head, HeadV1, HeadV2, HeadV4};
use super::{Effects, Kept, Monitor, Tally};
use crate::codec::wire::{Kind, Malformed, Reader};
use crate::engine::detect::stream::{Form, StreamKey};
use crate::engine::journal::read_seq;
use crate::engine::plan::PlanRecord;
use crate::engine::types::{EpochSeq, Offset, Partition};
use crate::planted::{Bug, planted};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The newest parts of one thing that was written in parts.
#[derive(Default)]
struct Assembly {
    seq: EpochSeq,
    /// The parts' format version.
    version: u8,
    parts: BTreeMap<u64, Vec<u8>>,
    of: u64,
}

impl Assembly {
    fn take(&mut self, version: u8, r: &mut Reader<'_>) -> Result<(), Malformed> {
        let (seq, part, of) = (read_seq(r)?, r.uint()?, r.uint()?);
        let piece = r.blob()?.to_vec();
        if seq > self.seq {
            *self = Assembly { seq, version, parts: BTreeMap::new(), of };
        }
        if seq == self.seq {
            self.parts.insert(part, piece);
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.of > 0 && self.parts.len() as u64 == self.of
    }

    /// What epoch `seq` wrote.
    fn whole<T: for<'a> Deserialize<'a>>(&self, seq: EpochSeq, what: &'static str) -> Result<T, Malformed> {
        if self.seq != seq || !self.is_whole() {
            return Err(Malformed::Short(what));
        }
        let bytes: Vec<u8> = self.parts.values().flatten().copied().collect();
        postcard::from_bytes(&bytes).map_err(|_| Malformed::Value("the state's content"))
    }
}

/// Collects the state topic's records and rebuilds a monitor.
#[derive(Default)]
pub struct Restore {
    head: Assembly,
    shared: Assembly,
    chunks: BTreeMap<u64, Assembly>,
}

/// Where a rebuilt monitor goes on.
pub struct Replay {
    monitor: Monitor,
    head: Head,
    oldest: ChunkIx,
    /// First summaries offset to replay; `None`: from the first one that is there.
    pub from: Option<Offset>,
    /// First summaries offset that the head has not seen: where the replay ends.
    pub next: Offset,
}

impl Restore {
    /// Takes in one record of the state partition.
    pub fn observe(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let (kind, version, mut body) = Reader::open_any(value)?;
        let id = body.uint()?;
        match kind {
            k if k == Kind::Head as u8 => self.head.take(version, &mut body),
            k if k == Kind::Shared as u8 => self.shared.take(version, &mut body),
            k if k == Kind::Chunk as u8 => self.chunks.entry(id).or_default().take(version, &mut body),
            _ => Err(Malformed::Value("a record of this kind in the state topic")),
        }
    }

    /// The epoch of the newest complete head.
    pub fn seq(&self) -> Option<EpochSeq> {
        self.head.is_whole().then_some(self.head.seq)
    }

    /// Prepares the replay of summaries.
    pub fn begin(self, partition: Partition) -> Result<Replay, Malformed> {
        let (seq, what) = (self.head.seq, "the state's head");
        let (head, drills) = match self.head.version {
            1 => (Head::from(self.head.whole::<HeadV1>(seq, what)?), Vec::new()),
            2 => (Head::from(self.head.whole::<HeadV2>(seq, what)?), Vec::new()),
            3 => (self.head.whole(seq, what)?, Vec::new()),
            _ => self.head.whole::<HeadV4>(seq, what)?,
        };
        if head.chunks.len() != CHUNKS {
            return Err(Malformed::Value("another number of chunks"));
        }
        for versioned in head.definitions.iter().map(|(v, _)| v).chain(&head.assigned.0) {
            versioned.definitions.possible()?;
        }
        let mut monitor = Monitor::new(partition);
        if !planted(Bug::DrillsNotRestored) {
            monitor.drills = drills; // a replay leaves them alone
        }
        let mut versions: Vec<InForce> = head.definitions.iter().map(|(v, from)| InForce::new(v.clone(), *from)).collect();
        let oldest = usize::from(planted(Bug::DefinitionsNotRestored)) * versions.len().saturating_sub(1);
        let versions = versions.split_off(oldest);
        if let Some((newest, _)) = head.definitions.last() {
            monitor.plan.observe(PlanRecord::Definitions(Box::new(newest.clone())));
        }
        monitor.force = Force { versions, assigned: head.assigned.0.clone(), superseded: head.assigned.1.clone() };
        monitor.shared_seq = head.shared;
        if head.shared.0 > 0 {
            let what = "what streams share";
            let (form, profiles) = match self.shared.version {
                1 => (self.shared.whole::<SharedForm>(head.shared, what)?, Profiles::default()),
                _ => self.shared.whole::<(SharedForm, Profiles)>(head.shared, what)?,
            };
            monitor.shared = Shared::from(form);
            monitor.shared.profiles = profiles;
            if planted(Bug::SharedNotRestored) {
                let edges = std::mem::take(&mut monitor.shared.edges);
                monitor.shared = Shared::default();
                monitor.shared.edges = edges;
            }
            for e in monitor.shared.edges.iter().filter(|_| !planted(Bug::BinsNotRestored)) {
                monitor.plan.observe(PlanRecord::Edges(e.clone()));
            }
        }
        let mut closed = [None; CHUNKS];
        for (c, seq) in head.chunks.iter().enumerate().filter(|(_, seq)| seq.0 > 0) {
            let assembly = self.chunks.get(&(c as u64)).ok_or(Malformed::Short("a chunk of the state"))?;
            let chunk = match assembly.version {
                1 => Chunk::from(assembly.whole::<ChunkV1>(*seq, "a chunk of the state")?),
                _ => assembly.whole(*seq, "a chunk of the state")?,
            };
            closed[c] = chunk.closed;
            monitor.ages.0[c] = Written { seq: *seq, next: Some(chunk.next), replay_from: Some(chunk.replay_from) };
            monitor.learners.extend(chunk.learners.into_iter().filter(|_| !planted(Bug::LearnersNotRestored)));
            let forgotten =
                |key: &StreamKey| planted(Bug::StreamsNotRestored) || matches!(key.form, Form::Limit(_)) && planted(Bug::LimitsNotRestored);
            for (_, stream) in chunk.streams.into_iter().filter(|(key, _)| !forgotten(key)) {
                monitor.streams.insert(Kept { chunk: c as u8, stream });
            }
        }
        let oldest = monitor.ages.oldest();
        monitor.closed = closed[usize::from(oldest)];
        monitor.replaying = true;
        let mut from = monitor.ages.replay_from();
        if planted(Bug::ReplayFromChunk) {
            from = monitor.ages.0[usize::from(oldest)].next;
        }
        Ok(Replay { oldest, from, next: head.next, monitor, head })
    }
}

impl Replay {
    /// Replays one summaries record, in offset order, up to the committed offset.
    pub fn observe(&mut self, offset: Offset, bytes: &[u8]) -> Result<(), Malformed> {
        let (kind, mut body) = Reader::open(bytes)?;
        if kind == Kind::Partial as u8 {
            let before = self.head.closings.partition_point(|c| c.0 < offset);
            let closed_then = before.checked_sub(1).map(|i| self.head.closings[i].1);
            let closed_then = self.monitor.closed.filter(|_| planted(Bug::ClosedRederived)).or(closed_then);
            // what even the oldest chunk has folded is needed by nobody
            let folded = self.monitor.closed;
            let wanted = |kind, pane| folded.is_none_or(|c| pane > c[super::at(kind)]) || planted(Bug::ReplayFoldsAgain);
            self.monitor.book(offset, &mut body, closed_then, wanted)?;
        }
        if self.monitor.ages.lacks(self.oldest, offset)
            && let Ok(i) = self.head.closings.binary_search_by_key(&offset, |c| c.0)
        {
            let through = self.head.closings[i].1;
            match self.monitor.closed {
                None => self.monitor.closed = Some(through),
                Some(_) => self.monitor.close_through(offset, through, &mut Effects::default()),
            }
        }
        Ok(())
    }

    /// The monitor as it was at the committed offset.
    pub fn finish(mut self) -> Result<Monitor, Malformed> {
        self.monitor.replaying = false;
        if !planted(Bug::MarksNotRestored) {
            self.monitor.marks = self.head.marks;
        }
        self.monitor.closings = self.head.closings;
        if self.monitor.closed != self.head.closed {
            return Err(Malformed::Value("a replay that closed other panes than the head says"));
        }
        self.monitor.tally = Tally::default();
        Ok(self.monitor)
    }
}
