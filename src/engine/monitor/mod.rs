//! One summaries partition: partials in, panes closed, streams fed, alerts and plan entries out.
//!
//! Guarantees: everything that leaves is a function of the partition's own log, in offset order; a pane closes once; per kind of pane,
//! alerts come in the order (pane, stream).
//! Never: reads a clock, another partition, or a configuration file.
//! Comes from: `<app>.summaries`. Goes to: `<app>.alerts`, `<app>.plan`, `<app>.state`.

pub mod chunks;
mod close;
mod drills;
mod fairness;
pub mod force;
mod learn;
mod limits;
mod profiles;
mod recent;
pub mod restore;
mod shared;
pub mod state;
mod streams;
mod versions;

use super::alert::Alert;
use super::cell::CellKey;
use super::command::Command;
use super::definitions::Definitions;
use super::detect::stream::{Stream, StreamKey};
use super::drill::Drill;
use super::mark::{Mark, Marks};
use super::partial::{self, EntryHead};
use super::plan::{EdgesRecord, Plan, Progress, Versioned};
use super::summary::cell::{CellSummary, Counts};
use super::types::{EpochSeq, Offset, PaneId, PaneKind, Partition};
use crate::codec::wire::{Kind, Malformed, Reader};
use crate::planted::{Bug, planted};
use chunks::{Ages, ChunkIx};
pub use close::{MISSING_VALUE, kind_of};
use force::Force;
use learn::{Learner, LearnerKey};
use shared::Shared;
pub use shared::{MAX_MODELS, MAX_VERSIONS};
use std::collections::BTreeMap;
use streams::Streams;

/// What a pane holds before it closes.
#[derive(Debug, Default)]
struct OpenPane {
    /// Offset of the first record that it holds.
    since: Option<Offset>,
    cells: BTreeMap<CellKey, CellSummary>,
}

/// A stream and the chunk that holds it.
struct Kept {
    chunk: ChunkIx,
    stream: Stream,
}

/// An alert with the kind of pane that it came from: its place in the alerts topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// Input or pair panes.
    pub kind: PaneKind,
    /// The alert.
    pub alert: Alert,
}

/// What a step asks the world to do.
#[derive(Default, Debug)]
pub struct Effects {
    /// Alerts in order.
    pub alerts: Vec<Raised>,
    /// New entries of the plan.
    pub edges: Vec<EdgesRecord>,
    /// Definitions to send to all summaries partitions and to the plan.
    pub definitions: Vec<Versioned>,
    /// True if panes have closed (or the first pane became known): progress and head must be published.
    pub moved: bool,
}

/// Counts for the metrics; not part of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Closed panes that held something, by kind (input, pair).
    pub panes: [u64; 2],
    /// Rows of input partials that came for a closed pane.
    pub late_rows: u64,
    /// Pairs that were moved from a closed pane to the first open one.
    pub moved_pairs: u64,
    /// Signals of panes that were not folded because partials disagreed on the version of their bins.
    pub mixed: u64,
    /// Models refused because there are too many.
    pub refused_models: u64,
    /// Segments refused by the cap.
    pub refused_segments: u64,
    /// Matched pairs, unlabelled predictions and the sum of label delays in ms, of closed panes.
    pub labels: (u64, u64, u64),
    /// Proposals of definitions that were in force before others took their place.
    pub stale_definitions: u64,
    /// Proposals of definitions that change what can't change.
    pub refused_definitions: u64,
    /// Pairs of binary models whose score is no probability.
    pub outside: u64,
    /// Commands that can't be obeyed, or are of a later version.
    pub refused_commands: u64,
}

/// The state of one summaries partition.
pub struct Monitor {
    partition: Partition,
    force: Force,
    marks: Marks,
    closed: Option<[PaneId; 2]>,
    closings: Vec<(Offset, [PaneId; 2])>,
    open: [BTreeMap<PaneId, OpenPane>; 2],
    plan: Plan,
    shared: Shared,
    shared_seq: EpochSeq,
    learners: BTreeMap<LearnerKey, Learner>,
    streams: Streams,
    drills: Vec<Drill>,
    ages: Ages,
    /// The record whose closings are at work.
    now: Offset,
    /// Old panes are folded into the chunks that lack them; nothing else is decided.
    replaying: bool,
    tally: Tally,
    recent: recent::Recent,
}

fn at(kind: PaneKind) -> usize {
    match kind {
        PaneKind::Input => 0,
        PaneKind::Pair => 1,
    }
}

impl Monitor {
    /// Of a partition whose log has not been read.
    pub fn new(partition: Partition) -> Monitor {
        Monitor {
            partition,
            force: Force::default(),
            marks: Marks::default(),
            closed: None,
            closings: Vec::new(),
            open: [BTreeMap::new(), BTreeMap::new()],
            plan: Plan::default(),
            shared: Shared::default(),
            shared_seq: EpochSeq(0),
            learners: BTreeMap::new(),
            streams: Streams::default(),
            drills: Vec::new(),
            ages: Ages::default(),
            now: Offset(0),
            replaying: false,
            tally: Tally::default(),
            recent: recent::Recent::default(),
        }
    }

    /// Takes in the record at `offset`.
    pub fn observe(&mut self, offset: Offset, bytes: &[u8], effects: &mut Effects) -> Result<(), Malformed> {
        let (kind, mut body) = Reader::open(bytes)?;
        match kind {
            k if k == Kind::Partial as u8 => {
                let closed = self.closed;
                self.book(offset, &mut body, closed, |_, _| true)?;
            }
            k if k == Kind::Mark as u8 => {
                self.marks.observe(Mark::read(&mut body)?);
                self.advance(offset, effects);
            }
            k if k == Kind::Definitions as u8 => self.adopt(Versioned::read(bytes)?),
            k if k == Kind::Proposal as u8 => self.consider(Definitions::from_proposal(bytes)?, effects),
            k if k == Kind::Command as u8 => match Command::read(&mut body) {
                Some(Command::Drill(order)) => self.drill(order),
                Some(Command::Baseline(profile)) => self.give(offset, *profile, effects),
                None => self.tally.refused_commands += 1,
            },
            k if k == Kind::Census as u8 => {} // of a later version
            _ => return Err(Malformed::Value("a record of this kind in the summaries topic")),
        }
        Ok(())
    }

    /// How far panes are closed.
    pub fn progress(&self) -> Option<Progress> {
        self.closed.map(|[input, pair]| Progress { partition: self.partition.0, input, pair })
    }

    /// True when every source has declared both inputs finished and all panes are closed.
    pub fn finished(&self) -> bool {
        self.marks.finished() && self.open.iter().all(BTreeMap::is_empty)
    }

    /// The last marks.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Streams in order.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamKey, &Stream)> {
        self.streams.iter().map(|kept| (kept.stream.key(), &kept.stream))
    }

    /// Counts since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Open panes by kind.
    pub fn open_panes(&self) -> [usize; 2] {
        [self.open[0].len(), self.open[1].len()]
    }

    /// Adds a partial's entries to open panes. `closed`: the last closed ones when it came; `wanted` may refuse a pane.
    fn book(
        &mut self,
        offset: Offset,
        r: &mut Reader<'_>,
        closed: Option<[PaneId; 2]>,
        wanted: impl Fn(PaneKind, PaneId) -> bool,
    ) -> Result<(), Malformed> {
        let head = partial::read_head(r)?;
        for _ in 0..head.entries() {
            let entry = head.entry(r)?;
            let kind = entry.counts.kind();
            let pane = place(&entry, closed.map(|c| c[at(kind)]), &mut self.tally).filter(|pane| wanted(kind, *pane));
            let mut summary = match pane {
                None => None,
                Some(pane) => {
                    let open = self.open[at(kind)].entry(pane).or_default();
                    open.since.get_or_insert(offset);
                    if !open.cells.contains_key(entry.cell) {
                        open.cells.insert(entry.cell.clone(), CellSummary { counts: entry.counts.empty(), signals: BTreeMap::new() });
                    }
                    open.cells.get_mut(entry.cell)
                }
            };
            let plan = &self.plan;
            let edges = |signal: &str| pane.and_then(|pane| plan.numeric(&head.model, signal, pane));
            if let Some(summary) = &mut summary {
                summary.counts.merge(&entry.counts);
            }
            head.merge_signals(r, summary, edges)?;
        }
        Ok(())
    }

    /// Whether the closing at work is to be folded into a chunk: always, but for a replay.
    fn takes(&self, chunk: ChunkIx) -> bool {
        !self.replaying || self.ages.lacks(chunk, self.now)
    }

    /// Closes what the marks allow.
    fn advance(&mut self, offset: Offset, effects: &mut Effects) {
        let Some(size) = self.definitions().map(|d| d.pane) else { return };
        let Some(closed) = self.closed else {
            if let Some(time) = self.marks.beginning() {
                let before = size.last_closed_by(time);
                self.closed = Some([before, before]);
                self.closings.push((offset, [before, before]));
                effects.moved = true;
                self.place_profiles(effects);
            }
            return;
        };
        let mut through = closed;
        for kind in [PaneKind::Input, PaneKind::Pair] {
            let certain = self.marks.certain(kind, size);
            if certain > super::types::EventTime::MIN {
                through[at(kind)] = through[at(kind)].max(size.last_closed_by(certain).offset(i64::from(planted(Bug::ClosedTooEarly))));
            }
        }
        if through != closed {
            self.closings.push((offset, through));
            self.close_through(offset, through, effects);
        }
    }

    /// Closes input panes, then pair panes, up to the given ones, because of the mark at `offset`.
    fn close_through(&mut self, offset: Offset, through: [PaneId; 2], effects: &mut Effects) {
        self.now = offset;
        for kind in [PaneKind::Input, PaneKind::Pair] {
            self.close_kind(kind, through[at(kind)], effects);
        }
        effects.moved = true;
    }
}

/// The pane that an entry goes to when `closed` is the last closed one: its own, or for pairs the first open one.
fn place(entry: &EntryHead<'_>, closed: Option<PaneId>, tally: &mut Tally) -> Option<PaneId> {
    match closed {
        Some(closed) if entry.pane <= closed => match &entry.counts {
            Counts::Input(c) => {
                tally.late_rows += c.rows;
                None
            }
            Counts::Pair(c) => {
                tally.moved_pairs += c.matched;
                (!planted(Bug::LatePairsDropped)).then(|| closed.offset(1))
            }
        },
        _ => Some(entry.pane),
    }
}
