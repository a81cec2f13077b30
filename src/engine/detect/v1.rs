//! Streams as the first format of the state's chunks holds them: panes were taken as independent, and no hour was known.
//!
//! Guarantees: a stream that was read so goes on as it would have then; what it learns from now on it learns as today.
//! Comes from: chunks of format version 1 (`monitor::restore`).

use super::channels::{Detector, Folds, Watch};
use super::episode::{Episode, Part};
use super::learning::{Learning, Learnt};
use super::season::Place;
use super::stream::{Pending, State, Stream, StreamKey};
use crate::engine::alert::Alert;
use crate::engine::baseline::reference::Tally;
use crate::engine::types::{EventTime, PaneId};
use serde::Deserialize;
use std::collections::VecDeque;

/// A stream.
#[derive(Deserialize)]
pub struct StreamV1 {
    _format: u8,
    key: StreamKey,
    first: Option<PaneId>,
    edges: u32,
    state: StateV1,
    pending: Option<PendingV1>,
}

#[derive(Deserialize)]
enum StateV1 {
    Learning { reference: Option<Tally>, panes: u64 },
    Watching { watch: Box<WatchV1>, episode: Option<Box<EpisodeV1>> },
}

#[derive(Deserialize)]
struct WatchV1 {
    reference: Tally,
    events_a_pane: f64,
    folds: Folds,
}

#[derive(Deserialize)]
struct PendingV1 {
    first: PaneId,
    tally: Tally,
}

#[derive(Deserialize)]
struct EpisodeV1 {
    detector: Detector,
    last: Alert,
    written_at: EventTime,
    statistic: f64,
    length: u64,
    parts: VecDeque<PartV1>,
}

#[derive(Deserialize)]
struct PartV1 {
    first: PaneId,
    folds: u32,
    tally: Tally,
}

impl From<StreamV1> for Stream {
    fn from(old: StreamV1) -> Stream {
        let StreamV1 { key, first, edges, state, pending, .. } = old;
        match state {
            StateV1::Learning { reference, panes } => {
                let from = first.unwrap_or(PaneId(0));
                let learning = reference.map(|reference| Box::new(Learning::resumed(from, reference, panes)));
                Stream { key, first, edges, state: State::Learning(learning), pending: None }
            }
            StateV1::Watching { watch, episode } => {
                let watch = Watch::resumed(watch.reference, watch.events_a_pane, watch.folds, Learnt::NOTHING);
                let episode = episode.map(|e| Box::new(open(*e, &watch)));
                let pending = pending.map(|p| Pending { first: p.first, expected: watch.expected(&p.tally, Place::ANY), tally: p.tally });
                Stream { key, first, edges, state: State::Watching { watch: Box::new(watch), episode, learning: None }, pending }
            }
        }
    }
}

fn open(old: EpisodeV1, watch: &Watch) -> Episode {
    let part = |p: PartV1| Part { first: p.first, folds: p.folds, expected: watch.expected(&p.tally, Place::ANY), tally: p.tally };
    let EpisodeV1 { detector, last, written_at, statistic, length, parts } = old;
    Episode { detector, last, written_at, statistic, length, parts: parts.into_iter().map(part).collect() }
}
