//! The journal: what changed in a join task's memory in an epoch, enough to build it again without reading an input or deciding
//! anything twice.
//!
//! Guarantees: replaying the records from the floor to the committed sequence gives the same live rows (count and digest are in the
//! record); a part is at most about 512 KiB; changes are in the order they happened.
//! Never: refers to an interned number of the process (cells travel by value, once per epoch).
//! Comes from: `join`. Goes to: `<app>.journal`, one partition per task.

use super::cell::{CellKey, Cells};
use super::join::{NewOutcome, NewPrediction, Recovery};
use super::types::{EpochSeq, EventTime, Input, Offset, RequestKey};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};

const PART_BYTES: usize = 480 * 1024;

const CELL: u8 = 0;
const ROW: u8 = 1;
const MATCH: u8 = 2;
const WAITING: u8 = 3;
const CONSUMED: u8 = 4;
/// A full row with its match state, copied forward from an old epoch.
const COPY: u8 = 5;
/// A bucket has been copied forward as a whole.
const COPIED: u8 = 6;

/// Whether an input of a source holds panes back. Decided at the edge by wall clock, recorded, never decided again.
/// Ordered by how little it holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Activity {
    /// Records come or may come.
    Active,
    /// At its end and quiet for `idle_timeout`.
    Idle,
    /// At its end and quiet for max(`silence_after`, one pane).
    Silent,
    /// Declared finished (`--once`).
    Finished,
    /// A transaction that nobody ends keeps readers from going on: holds nobody back, but is no silence.
    Stuck,
}

impl Ord for Activity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Activity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Activity {
    fn rank(self) -> u8 {
        match self {
            Activity::Active => 0,
            Activity::Stuck => 1,
            Activity::Idle => 2,
            Activity::Silent => 3,
            Activity::Finished => 4,
        }
    }
    fn code(self) -> u8 {
        self as u8
    }
    fn from_code(code: u8) -> Result<Activity, Malformed> {
        Ok(match code {
            0 => Activity::Active,
            1 => Activity::Idle,
            2 => Activity::Silent,
            3 => Activity::Finished,
            4 => Activity::Stuck,
            _ => return Err(Malformed::Value("an activity")),
        })
    }
    /// Writes it.
    pub fn write(self, w: &mut Writer) {
        w.byte(self.code());
    }
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Result<Activity, Malformed> {
        Activity::from_code(r.byte()?)
    }
}

/// A decision taken at the edge, with the input position it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeDecision {
    /// The record's time is too far ahead of the clock.
    Future {
        /// Which input.
        input: Input,
        /// Its offset.
        offset: Offset,
    },
    /// The input no longer has the offsets `[from, to)`: retention overtook the reader.
    Lost {
        /// Which input.
        input: Input,
        /// First lost offset.
        from: Offset,
        /// First one that is there.
        to: Offset,
    },
    /// Rows (or waiting outcomes) that wait for the other input in vain were let go. Repeated in every later epoch: it holds for what a
    /// recovery reads, wherever that begins.
    Released {
        /// Whose rows.
        input: Input,
        /// Event time (effective time) of the youngest of them at most.
        up_to: EventTime,
    },
}

/// The facts of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Its number.
    pub seq: EpochSeq,
    /// The first epoch that a recovery needs.
    pub floor: EpochSeq,
    /// Next offsets by input.
    pub next: [Offset; 2],
    /// (max, peeked) event times by input.
    pub clocks: [(EventTime, EventTime); 2],
    /// Time of the partition's first accepted prediction.
    pub first_prediction: Option<EventTime>,
    /// By input.
    pub activity: [Activity; 2],
    /// Version of the definitions obeyed.
    pub definitions: u32,
    /// What the edge decided.
    pub decisions: Vec<EdgeDecision>,
    /// Live rows, waiting outcomes, digest (`Join::census`).
    pub census: (u64, u64, u64),
}

impl Epoch {
    /// What was released so far.
    pub fn released(&self) -> impl Iterator<Item = (Input, EventTime)> + '_ {
        self.decisions.iter().filter_map(|d| match d {
            EdgeDecision::Released { input, up_to } => Some((*input, *up_to)),
            _ => None,
        })
    }
}

/// Changes since the last epoch, encoded as they happen.
#[derive(Default)]
pub struct Changes {
    done: Vec<Vec<u8>>,
    now: Writer,
    stamp: u64,
    cells: u32,
    entries: u64,
}

impl Changes {
    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.done.iter().map(Vec::len).sum::<usize>() + self.now.bytes.len()
    }

    fn begin(&mut self, tag: u8) {
        if self.now.bytes.len() > PART_BYTES {
            // as large as the last one was: growing it step by step would copy it twice over
            let next = Vec::with_capacity(self.now.bytes.len() + 128);
            self.done.push(std::mem::replace(&mut self.now.bytes, next));
        }
        self.entries += 1;
        self.now.byte(tag);
    }

    /// A prediction was accepted.
    pub fn row(&mut self, cells: &mut Cells, p: &NewPrediction) {
        self.whole_row(ROW, cells, p);
    }

    /// A row that an old epoch holds, with its first outcome (effective time, class, number).
    pub fn copy(&mut self, cells: &mut Cells, p: &NewPrediction, first: Option<(EventTime, u64, f64)>) {
        self.whole_row(COPY, cells, p);
        self.now.byte(u8::from(first.is_some()));
        if let Some((e, label, value)) = first {
            self.now.int(e.0);
            write_values(&mut self.now, label, value);
        }
    }

    /// Everything that lives of a bucket of rows (or of waiting outcomes) is in the journal from epoch `since` on.
    pub fn copied(&mut self, input: Input, bucket: i64, since: EpochSeq) {
        self.begin(COPIED);
        self.now.byte(input.index() as u8);
        self.now.int(bucket);
        self.now.uint(since.0);
    }

    fn whole_row(&mut self, tag: u8, cells: &mut Cells, p: &NewPrediction) {
        let (number, new) = cells.dictionary_number(p.cell, self.stamp + 1, self.cells);
        if new {
            self.cells += 1;
            self.begin(CELL);
            write_cell(&mut self.now, cells.key(p.cell));
        }
        self.begin(tag);
        self.now.int(p.offset.0);
        self.now.key(p.key.0);
        self.now.int(p.time.0);
        self.now.uint(u64::from(number));
        write_values(&mut self.now, p.label, p.score);
    }

    /// A row got its first outcome.
    pub fn matched(&mut self, row: Offset, e: EventTime, label: u64, value: f64) {
        self.begin(MATCH);
        self.now.int(row.0);
        self.now.int(e.0);
        write_values(&mut self.now, label, value);
    }

    /// An outcome waits.
    pub fn waiting(&mut self, o: &NewOutcome, e: EventTime) {
        self.begin(WAITING);
        self.now.int(o.offset.0);
        self.now.key(o.key.0);
        self.now.int(e.0);
        write_values(&mut self.now, o.label, o.value);
    }

    /// A waiting outcome found its prediction.
    pub fn consumed(&mut self, offset: Offset) {
        self.begin(CONSUMED);
        self.now.int(offset.0);
    }

    /// The records of an epoch; afterwards nothing has changed. There is always at least one part.
    pub fn take(&mut self, epoch: &Epoch) -> Vec<Vec<u8>> {
        let mut parts = std::mem::take(&mut self.done);
        parts.push(std::mem::take(&mut self.now.bytes));
        self.stamp += 1;
        self.cells = 0;
        self.entries = 0;
        let n = parts.len() as u64;
        parts
            .into_iter()
            .enumerate()
            .map(|(k, changes)| {
                let mut w = Writer::new();
                w.uint(epoch.seq.0);
                w.uint(k as u64);
                w.uint(n);
                w.uint(epoch.floor.0);
                if k == 0 {
                    write_facts(&mut w, epoch);
                }
                w.bytes.extend_from_slice(&changes);
                w.sealed(Kind::Journal)
            })
            .collect()
    }
}

fn write_cell(w: &mut Writer, cell: &CellKey) {
    w.text(&cell.model);
    w.byte(u8::from(cell.version.is_some()));
    if let Some(v) = &cell.version {
        w.text(v);
    }
    w.uint(cell.values.len() as u64);
    for v in &cell.values {
        w.text(v);
    }
}

/// Writes a cell by value (shared with partials).
pub fn write_cell_key(w: &mut Writer, cell: &CellKey) {
    write_cell(w, cell);
}

/// Reads what `write_cell_key` wrote.
pub fn read_cell_key(r: &mut Reader<'_>) -> Result<CellKey, Malformed> {
    let model = r.text()?.to_string();
    let version = if r.byte()? == 1 { Some(r.text()?.to_string()) } else { None };
    let n = r.count()?;
    let values = (0..n).map(|_| Ok(r.text()?.to_string())).collect::<Result<_, Malformed>>()?;
    Ok(CellKey { model, version, values })
}

/// A class hash and a number, each only if it is there.
fn write_values(w: &mut Writer, label: u64, value: f64) {
    w.byte(u8::from(label != 0) | u8::from(!value.is_nan()) << 1);
    if label != 0 {
        w.fixed64(label);
    }
    if !value.is_nan() {
        w.float(value);
    }
}

fn read_values(r: &mut Reader<'_>) -> Result<(u64, f64), Malformed> {
    let there = r.byte()?;
    let label = if there & 1 != 0 { r.fixed64()? } else { 0 };
    let value = if there & 2 != 0 { r.float()? } else { f64::NAN };
    Ok((label, value))
}

fn write_facts(w: &mut Writer, epoch: &Epoch) {
    for i in 0..2 {
        w.int(epoch.next[i].0);
        w.int(epoch.clocks[i].0.0);
        w.int(epoch.clocks[i].1.0);
        epoch.activity[i].write(w);
    }
    w.byte(u8::from(epoch.first_prediction.is_some()));
    if let Some(t) = epoch.first_prediction {
        w.int(t.0);
    }
    w.uint(u64::from(epoch.definitions));
    w.uint(epoch.decisions.len() as u64);
    for d in &epoch.decisions {
        match d {
            EdgeDecision::Future { input, offset } => {
                w.byte(input.index() as u8);
                w.int(offset.0);
            }
            EdgeDecision::Lost { input, from, to } => {
                w.byte(2 + input.index() as u8);
                w.int(from.0);
                w.int(to.0);
            }
            EdgeDecision::Released { input, up_to } => {
                w.byte(4 + input.index() as u8);
                w.int(up_to.0);
            }
        }
    }
    w.uint(epoch.census.0);
    w.uint(epoch.census.1);
    w.fixed64(epoch.census.2);
}

/// No task has so many epochs: the number after any that is read is still one.
const MOST_EPOCHS: u64 = 1 << 62;

/// An epoch's number.
pub(crate) fn read_seq(r: &mut Reader<'_>) -> Result<EpochSeq, Malformed> {
    match r.uint()? {
        seq if seq < MOST_EPOCHS => Ok(EpochSeq(seq)),
        _ => Err(Malformed::Value("an epoch's number")),
    }
}

fn read_facts(r: &mut Reader<'_>, seq: EpochSeq, floor: EpochSeq) -> Result<Epoch, Malformed> {
    let mut next = [Offset(0); 2];
    let mut clocks = [(EventTime::MIN, EventTime::MIN); 2];
    let mut activity = [Activity::Active; 2];
    for i in 0..2 {
        next[i] = Offset(r.int()?);
        clocks[i] = (EventTime(r.int()?), EventTime(r.int()?));
        activity[i] = Activity::read(r)?;
    }
    let first_prediction = if r.byte()? == 1 { Some(EventTime(r.int()?)) } else { None };
    let definitions = r.uint()? as u32;
    let n = r.count()?;
    let mut decisions = Vec::with_capacity(n.min(1024));
    for _ in 0..n {
        let code = r.byte()?;
        let input = *Input::BOTH.get(usize::from(code % 2)).ok_or(Malformed::Value("an input"))?;
        decisions.push(match code {
            0 | 1 => EdgeDecision::Future { input, offset: Offset(r.int()?) },
            2 | 3 => EdgeDecision::Lost { input, from: Offset(r.int()?), to: Offset(r.int()?) },
            4 | 5 => EdgeDecision::Released { input, up_to: EventTime(r.int()?) },
            _ => return Err(Malformed::Value("an edge decision")),
        });
    }
    let census = (r.uint()?, r.uint()?, r.fixed64()?);
    Ok(Epoch { seq, floor, next, clocks, first_prediction, activity, definitions, decisions, census })
}

/// One part of an epoch, opened.
pub struct Part<'a> {
    /// The epoch.
    pub seq: EpochSeq,
    /// Which part of how many.
    pub part: (u64, u64),
    /// The facts, in part 0.
    pub facts: Option<Epoch>,
    changes: Reader<'a>,
}

/// Opens a journal record.
pub fn open(bytes: &[u8]) -> Result<Part<'_>, Malformed> {
    let mut r = Reader::open_as(bytes, Kind::Journal)?;
    let seq = read_seq(&mut r)?;
    let part = (r.uint()?, r.uint()?);
    let floor = EpochSeq(r.uint()?);
    let facts = if part.0 == 0 { Some(read_facts(&mut r, seq, floor)?) } else { None };
    Ok(Part { seq, part, facts, changes: r })
}

impl Part<'_> {
    /// Applies the part's changes. `cells` is the epoch's dictionary: clear it before part 0, hand it on to the next part.
    pub fn apply(&self, recovery: &mut Recovery, cells: &mut Vec<CellKey>) -> Result<(), Malformed> {
        let mut r = self.changes;
        while !r.is_empty() {
            match r.byte()? {
                CELL => cells.push(read_cell_key(&mut r)?),
                tag @ (ROW | COPY) => {
                    let (offset, key, time) = (Offset(r.int()?), RequestKey(r.key()?), EventTime(r.int()?));
                    let cell = cells.get(r.uint()? as usize).ok_or(Malformed::Value("a cell number"))?;
                    let (label, score) = read_values(&mut r)?;
                    let matched = if tag == COPY && r.byte()? == 1 {
                        let e = EventTime(r.int()?);
                        let (label, value) = read_values(&mut r)?;
                        Some((e, label, value))
                    } else {
                        None
                    };
                    let p = NewPrediction { offset, key, time, cell: super::cell::CellId(0), score, label };
                    recovery.row(&p, cell, matched);
                }
                MATCH => {
                    let (row, e) = (Offset(r.int()?), EventTime(r.int()?));
                    let (label, value) = read_values(&mut r)?;
                    recovery.matched(row, e, label, value);
                }
                WAITING => {
                    let (offset, key, e) = (Offset(r.int()?), RequestKey(r.key()?), EventTime(r.int()?));
                    let (label, value) = read_values(&mut r)?;
                    recovery.waiting(key, offset, e, label, value);
                }
                CONSUMED => recovery.consumed(Offset(r.int()?)),
                COPIED => {
                    let input = *Input::BOTH.get(usize::from(r.byte()?)).ok_or(Malformed::Value("an input"))?;
                    recovery.copied(input, r.int()?, EpochSeq(r.uint()?));
                }
                _ => return Err(Malformed::Value("a kind of change")),
            }
        }
        Ok(())
    }
}
