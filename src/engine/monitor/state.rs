//! A monitor's state in the log: a small head with every epoch, what the streams share when it changes, and chunks of streams that are
//! rewritten in turn, each "as of" its own offset.
//!
//! Guarantees: an epoch writes the head and a bounded number of bytes of chunks; head, shared part, chunks and the summaries from the
//! oldest chunk's `replay_from` to the committed offset give the very monitor that wrote them (`restore`).
//! Never: splits a chunk over epochs; forgets a closing that the oldest chunk's replay needs.
//! Comes from: `Monitor`. Goes to: `<app>.state`, one partition per summaries partition.

use super::chunks::{CHUNKS, ChunkIx, Written, of_learner};
use super::learn::{Learner, LearnerKey};
use super::{Monitor, at};
use crate::codec::wire::{Kind, Writer};
use crate::engine::definitions::{Definitions, form::Form1};
use crate::engine::detect::stream::{Form, Stream, StreamKey};
use crate::engine::detect::v1::StreamV1;
use crate::engine::drill::Drill;
use crate::engine::mark::Marks;
use crate::engine::plan::{Versioned, VersionedOf};
use crate::engine::types::{EpochSeq, Offset, PaneId, PaneKind};
use serde::{Deserialize, Serialize};

const PART_BYTES: usize = 480 * 1024;

/// The head, in which definitions lie as `D` says and the coordinator's last answer as `A` does.
#[derive(Serialize, Deserialize)]
pub(super) struct HeadOf<D, A> {
    pub seq: EpochSeq,
    pub next: Offset,
    pub definitions: D,
    pub assigned: A,
    pub marks: Marks,
    pub closed: Option<[PaneId; 2]>,
    pub closings: Vec<(Offset, [PaneId; 2])>,
    /// The epoch that wrote the shared part (0: none).
    pub shared: EpochSeq,
    /// The epochs that wrote the chunks (0: none).
    pub chunks: Vec<EpochSeq>,
}

/// Versions with the first panes that they hold for (oldest first); the coordinator's last answer and what it has replaced.
pub(super) type Head = HeadOf<Vec<(Versioned, [PaneId; 2])>, (Option<Versioned>, Vec<u64>)>;
/// With one version for all panes.
pub(super) type HeadV2 = HeadOf<Option<Versioned>, Option<Versioned>>;
/// The same with definitions in format 1.
pub(super) type HeadV1 = HeadOf<Option<VersionedOf<Form1>>, Option<VersionedOf<Form1>>>;

impl<D, A> HeadOf<D, A> {
    fn with<E, B>(self, definitions: impl FnOnce(D) -> E, assigned: impl FnOnce(A) -> B) -> HeadOf<E, B> {
        let HeadOf { seq, next, marks, closed, closings, shared, chunks, .. } = self;
        let (definitions, assigned) = (definitions(self.definitions), assigned(self.assigned));
        HeadOf { seq, next, definitions, assigned, marks, closed, closings, shared, chunks }
    }
}

impl From<HeadV1> for Head {
    fn from(old: HeadV1) -> Head {
        let read = |v: Option<VersionedOf<Form1>>| v.map(|v| v.map(Definitions::from));
        Head::from(old.with(read, read))
    }
}

impl From<HeadV2> for Head {
    fn from(old: HeadV2) -> Head {
        old.with(|d| d.map(|d| (d, [PaneId(i64::MIN); 2])).into_iter().collect(), |assigned| (assigned, Vec::new()))
    }
}

/// With drills that are under way behind it.
pub(super) type HeadV4 = (Head, Vec<Drill>);

impl Head {
    /// Format and bytes, in the oldest format that can say it.
    fn encoded(self, drills: &[Drill]) -> (u8, Vec<u8>) {
        if !drills.is_empty() {
            return (4, encoded(&(self, drills)));
        }
        let (answer, superseded) = &self.assigned;
        let first = |v: &Versioned| v.version == 1;
        if !(superseded.is_empty() && answer.iter().all(first) && self.definitions.iter().all(|(v, _)| first(v))) {
            return (3, encoded(&self));
        }
        let old: HeadV2 = self.with(|d| d.into_iter().next().map(|(v, _)| v), |(answer, _)| answer);
        let [definitions, assigned] = [&old.definitions, &old.assigned].map(|v| v.as_ref().map(Versioned::first_form));
        if matches!(definitions, Some(None)) || matches!(assigned, Some(None)) {
            return (2, encoded(&old));
        }
        let old: HeadV1 = old.with(|_| definitions.flatten(), |_| assigned.flatten());
        (1, encoded(&old))
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChunkOf<S> {
    pub next: Offset,
    pub replay_from: Offset,
    pub closed: Option<[PaneId; 2]>,
    pub learners: Vec<(LearnerKey, Learner)>,
    pub streams: Vec<(StreamKey, S)>,
}

pub(super) type Chunk = ChunkOf<Stream>;

impl Chunk {
    /// The oldest format that can say it.
    fn format(&self) -> u8 {
        let limits = self.streams.iter().any(|(key, _)| matches!(key.form, Form::Limit(_)));
        if limits { 3 } else { 2 }
    }
}

pub(super) type ChunkV1 = ChunkOf<StreamV1>;

impl From<ChunkV1> for Chunk {
    fn from(old: ChunkV1) -> Chunk {
        let ChunkOf { next, replay_from, closed, learners, streams } = old;
        Chunk { next, replay_from, closed, learners, streams: streams.into_iter().map(|(key, s)| (key, s.into())).collect() }
    }
}

/// A record of the state topic.
pub struct StateRecord {
    /// Key in the compacted topic.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// How much of the state an epoch rewrites.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite {
    /// So many of the oldest chunks at most.
    pub chunks: usize,
    /// No further chunk after so many bytes.
    pub bytes: usize,
}

impl Rewrite {
    /// Everything.
    pub const ALL: Rewrite = Rewrite { chunks: CHUNKS, bytes: usize::MAX };
}

fn parts((kind, version): (Kind, u8), name: &str, id: ChunkIx, seq: EpochSeq, body: &[u8]) -> Vec<StateRecord> {
    let pieces: Vec<&[u8]> = body.chunks(PART_BYTES).collect();
    let part = |(k, piece): (usize, &&[u8])| {
        let mut w = Writer::new();
        w.uint(u64::from(id));
        w.uint(seq.0);
        w.uint(k as u64);
        w.uint(pieces.len() as u64);
        w.blob(piece);
        StateRecord { key: format!("{name}/{k:04}").into_bytes(), value: w.sealed_as(kind, version) }
    };
    pieces.iter().enumerate().map(part).collect()
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data encodes")
}

impl Monitor {
    /// The records of epoch `seq`, as of `next`, the first offset that has not been observed; and how many chunks are among them.
    pub fn state(&mut self, seq: EpochSeq, next: Offset, rewrite: Rewrite) -> (Vec<StateRecord>, usize) {
        let (mut records, mut bytes, mut written) = (Vec::new(), 0, 0);
        for chunk in self.ages.oldest_first().into_iter().take(rewrite.chunks) {
            if bytes >= rewrite.bytes {
                break;
            }
            let content = self.chunk(chunk, seq, next);
            let (body, format) = (encoded(&content), (Kind::Chunk, content.format()));
            (bytes, written) = (bytes + body.len(), written + 1);
            records.extend(parts(format, &format!("chunk/{chunk:04}"), chunk, seq, &body));
        }
        self.forget_closings();
        if self.shared.changed || written == CHUNKS {
            self.shared.changed = false;
            self.shared_seq = seq;
            let (format, body) = match &self.shared.profiles {
                none if none.is_empty() => (1, encoded(&self.shared.form())),
                profiles => (2, encoded(&(self.shared.form(), profiles))),
            };
            records.extend(parts((Kind::Shared, format), "shared", 0, seq, &body));
        }
        records.extend(self.head(seq, next));
        (records, written)
    }

    fn head(&self, seq: EpochSeq, next: Offset) -> Vec<StateRecord> {
        let head = Head {
            seq,
            next,
            definitions: self.force.versions.iter().map(|v| ((*v.versioned).clone(), v.from)).collect(),
            assigned: (self.force.assigned.clone(), self.force.superseded.clone()),
            marks: self.marks.clone(),
            closed: self.closed,
            closings: self.closings.clone(),
            shared: self.shared_seq,
            chunks: self.ages.0.iter().map(|w| w.seq).collect(),
        };
        let (format, body) = head.encoded(&self.drills);
        parts((Kind::Head, format), "head", 0, seq, &body)
    }

    fn chunk(&mut self, chunk: ChunkIx, seq: EpochSeq, next: Offset) -> Chunk {
        let replay_from = self.open.iter().flat_map(|o| o.values().filter_map(|p| p.since)).min().unwrap_or(next);
        self.ages.0[usize::from(chunk)] = Written { seq, next: Some(next), replay_from: Some(replay_from) };
        Chunk {
            next,
            replay_from,
            closed: self.closed,
            learners: self.learners.iter().filter(|(k, _)| of_learner(k) == chunk).map(|(k, l)| (k.clone(), l.clone())).collect(),
            streams: self.streams.iter().filter(|s| s.chunk == chunk).map(|s| (s.stream.key().clone(), s.stream.clone())).collect(),
        }
    }

    /// Closings before the last one that a replay of the oldest chunk looks at, and definitions that held before it.
    fn forget_closings(&mut self) {
        if let Some(from) = self.ages.replay_from() {
            let needed = self.closings.iter().rposition(|c| c.0 < from).unwrap_or(0);
            self.closings.drain(..needed);
            if let Some((_, closed)) = self.closings.first() {
                self.force.forget(*closed);
                self.shared.changed |= self.shared.profiles.forget(closed[at(PaneKind::Input)]);
            }
        }
    }

    /// How many closings the head carries: chunks should be rewritten before they are many.
    pub fn closings(&self) -> usize {
        self.closings.len()
    }

    /// The epoch of the oldest chunk; 0 if one was never written.
    pub fn oldest_chunk(&self) -> EpochSeq {
        self.ages.0.iter().map(|w| w.seq).min().unwrap_or_default()
    }
}
