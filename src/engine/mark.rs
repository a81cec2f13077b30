//! Marks: how far time is certain in one source, and when panes may close.
//!
//! Guarantees: closing is a function of the marks read so far; a pane closes once and panes close in order; what constrains nobody
//! (an idle input) holds nobody back, and silence everywhere closes the last panes.
//! Comes from: the join stage, one mark to each summaries partition at each epoch's end. Goes to: the detect stage.

use super::definitions::LONGEST;
use super::journal::Activity;
use super::types::{EpochSeq, EventTime, Input, PaneKind, PaneSize, Partition};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use crate::planted::{Bug, planted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one source says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The join task.
    pub source: Partition,
    /// How many sources there are.
    pub sources: u32,
    /// The task's epoch.
    pub seq: EpochSeq,
    /// Watermarks by `Input::index`; `EventTime::MIN` before the first record.
    pub watermark: [EventTime; 2],
    /// Highest event times by input.
    pub highest: [EventTime; 2],
    /// Whether the inputs hold panes back.
    pub activity: [Activity; 2],
    /// Wall clock when it was written, ms: for lag metrics alone.
    pub wall: i64,
    /// Version of the definitions obeyed.
    pub definitions: u32,
}

impl Mark {
    /// Its record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.int(i64::from(self.source.0));
        w.uint(u64::from(self.sources));
        w.uint(self.seq.0);
        for i in 0..2 {
            w.int(self.watermark[i].0);
            w.int(self.highest[i].0);
            self.activity[i].write(&mut w);
        }
        w.int(self.wall);
        w.uint(u64::from(self.definitions));
        w.sealed(Kind::Mark)
    }

    /// Reads a mark's body.
    pub fn read(r: &mut Reader<'_>) -> Result<Mark, Malformed> {
        let (source, sources, seq) = (Partition(r.int()? as i32), r.uint()? as u32, EpochSeq(r.uint()?));
        let (mut watermark, mut highest, mut activity) = ([EventTime::MIN; 2], [EventTime::MIN; 2], [Activity::Active; 2]);
        for i in 0..2 {
            watermark[i] = possible(r.int()?)?;
            highest[i] = possible(r.int()?)?;
            activity[i] = Activity::read(r)?;
        }
        Ok(Mark { source, sources, seq, watermark, highest, activity, wall: r.int()?, definitions: r.uint()? as u32 })
    }
}

/// A time that arithmetic stands: none at all, or within twice what definitions may span.
fn possible(time: i64) -> Result<EventTime, Malformed> {
    let sentinel = [EventTime::MIN, EventTime::MAX].contains(&EventTime(time));
    if sentinel || time.unsigned_abs() <= 2 * LONGEST.0 as u64 {
        Ok(EventTime(time))
    } else {
        Err(Malformed::Value("a time more than 20,000 years from 1970"))
    }
}

/// The last mark of every source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    by_source: BTreeMap<i32, Mark>,
}

impl Marks {
    /// Takes a mark in; an older epoch's mark changes nothing.
    pub fn observe(&mut self, mark: Mark) {
        let known = self.by_source.entry(mark.source.0).or_insert(mark);
        if mark.seq >= known.seq {
            *known = mark;
        }
    }

    /// True once every source has spoken.
    pub fn complete(&self) -> bool {
        self.by_source.values().next().is_some_and(|m| self.by_source.len() as u32 >= m.sources)
    }

    /// The last marks, by source.
    pub fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.by_source.values()
    }

    /// The time before which nothing can come: the earliest watermark of all. `None` while a source that is not idle has none.
    pub fn beginning(&self) -> Option<EventTime> {
        if !self.complete() {
            return None;
        }
        let mut first = EventTime::MAX;
        for m in self.by_source.values() {
            for i in 0..2 {
                if m.watermark[i] > EventTime::MIN {
                    first = first.min(m.watermark[i]);
                } else if m.activity[i] == Activity::Active {
                    return None;
                }
            }
        }
        (first < EventTime::MAX).then_some(first)
    }

    /// True if every source has declared both inputs finished.
    pub fn finished(&self) -> bool {
        self.complete() && self.by_source.values().all(|m| m.activity == [Activity::Finished; 2])
    }

    /// Panes of `kind` whose end is at or before the returned time may close.
    pub fn certain(&self, kind: PaneKind, size: PaneSize) -> EventTime {
        if !self.complete() {
            return EventTime::MIN;
        }
        let inputs: &[Input] = match kind {
            PaneKind::Input if !planted(Bug::OneTime) => &[Input::Predictions],
            _ => &Input::BOTH,
        };
        let active = |m: &Mark| {
            inputs
                .iter()
                .map(|i| i.index())
                .filter(|i| m.activity[*i] == Activity::Active || m.activity[*i] == Activity::Idle && planted(Bug::IdleHolds))
                .map(|i| m.watermark[i])
                .min()
        };
        if let Some(time) = self.by_source.values().filter_map(active).min() {
            return time;
        }
        let over = |m: &Mark| inputs.iter().all(|i| m.activity[i.index()] >= Activity::Silent);
        let highest = self.by_source.values().flat_map(|m| inputs.iter().map(|i| m.highest[i.index()])).max().unwrap_or(EventTime::MIN);
        if highest > EventTime::MIN && self.by_source.values().all(over) { size.end(size.pane_of(highest)) } else { EventTime::MIN }
    }

    /// The source that holds back panes of `kind`: what blocks.
    pub fn blocker(&self, kind: PaneKind) -> Option<(Partition, Input, EventTime)> {
        let inputs: &[Input] = if kind == PaneKind::Input { &[Input::Predictions] } else { &Input::BOTH };
        let all = self.by_source.values().flat_map(|m| {
            inputs.iter().filter(|i| m.activity[i.index()] == Activity::Active).map(|i| (m.source, *i, m.watermark[i.index()]))
        });
        all.min_by_key(|b| (b.2, b.0, b.1))
    }
}
