//! Which chunk of the state holds a stream, and how old each chunk is.
//!
//! Guarantees: a stream (a learner) lies in the same chunk for ever, whoever asks; the chunk that was written longest ago is due first.
//! Never: moves a stream to another chunk.
//! Comes from: `state` (what was written). Goes to: `state` (what is due), `restore` (what a replay needs).

use super::learn::LearnerKey;
use crate::engine::detect::stream::StreamKey;
use crate::engine::types::{EpochSeq, Offset, Span};
use crate::planted::{Bug, planted};
use xxhash_rust::xxh3::xxh3_64;

/// How fast chunks are written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Every chunk is rewritten within this time (wall clock).
    pub round: Span,
    /// Chunks are rewritten faster while the head carries more closings than this (history that is read fast).
    pub closings: usize,
}

impl Default for Pace {
    /// 15 minutes are promised.
    fn default() -> Pace {
        Pace { round: Span(600_000), closings: 256 }
    }
}

/// Chunks of a monitor's state. Fixed: where a stream lies is part of the format.
pub const CHUNKS: usize = 64;

/// The chunk's number.
pub type ChunkIx = u8;

fn place(texts: &[&str]) -> ChunkIx {
    let joined = texts.join("\0");
    (xxh3_64(joined.as_bytes()) % CHUNKS as u64) as ChunkIx
}

/// The chunk of a stream.
pub fn of_stream(key: &StreamKey) -> ChunkIx {
    let mut texts = vec![key.model.as_str(), key.version.as_deref().unwrap_or(""), key.signal.as_str(), key.form.word()];
    key.segment.iter().for_each(|(name, value)| texts.extend([name.as_str(), value.as_str()]));
    place(&texts)
}

/// The chunk of a learner.
pub fn of_learner((model, signal, categories): &LearnerKey) -> ChunkIx {
    place(&[model, signal, if *categories { "categories" } else { "numbers" }])
}

/// When a chunk was written last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The epoch; 0: never.
    pub seq: EpochSeq,
    /// Records before this offset are in it; `None`: it is as of nothing.
    pub next: Option<Offset>,
    /// First record of a pane that it has not folded.
    pub replay_from: Option<Offset>,
}

/// All chunks of a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ages(pub [Written; CHUNKS]);

impl Default for Ages {
    fn default() -> Self {
        Ages([Written::default(); CHUNKS])
    }
}

impl Ages {
    /// Chunks in the order in which they are due.
    pub fn oldest_first(&self) -> Vec<ChunkIx> {
        let mut order: Vec<ChunkIx> = (0..CHUNKS).map(|c| c as ChunkIx).collect();
        order.sort_by_key(|c| (self.0[usize::from(*c)].seq, *c));
        order
    }

    /// The chunk that is as of the earliest offset.
    pub fn oldest(&self) -> ChunkIx {
        (0..CHUNKS).min_by_key(|c| self.0[*c].next).unwrap_or(0) as ChunkIx
    }

    /// First record that a replay needs; `None`: all of them, because a chunk was never written.
    pub fn replay_from(&self) -> Option<Offset> {
        if planted(Bug::ReplayFromNewest) {
            return self.0.iter().map(|w| w.replay_from).max().flatten();
        }
        self.0.iter().map(|w| w.replay_from).min().flatten()
    }

    /// Whether what happened at `offset` is not in a chunk yet.
    pub fn lacks(&self, chunk: ChunkIx, offset: Offset) -> bool {
        self.0[usize::from(chunk)].next.is_none_or(|next| offset >= next)
    }
}
