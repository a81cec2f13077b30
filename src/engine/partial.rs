//! Partial summaries on the wire: what one join task adds, in one epoch, to panes of cells of one model.
//!
//! Guarantees: canonical bytes; each record stands alone (cells and names travel by value); a record is at most about 512 KiB.
//! Comes from: `book`. Goes to: `<app>.summaries`, partition murmur2(model).

use super::cell::CellKey;
use super::journal::{read_cell_key, write_cell_key};
use super::summary::cell::{CellSummary, Counts, SignalSummary, read_input_counts, read_pair_counts, write_counts};
use super::summary::form::{CategoryForm, NumericForm};
use super::types::{EpochSeq, PaneId, PaneKind, Partition};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use std::collections::BTreeMap;

const RECORD_BYTES: usize = 480 * 1024;

/// A partial: entries of one model from one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// The join task.
    pub source: Partition,
    /// Its epoch.
    pub seq: EpochSeq,
    /// Version of the definitions obeyed.
    pub definitions: u32,
    /// The model; empty for what belongs to none (orphans).
    pub model: String,
    /// One per (pane kind, pane, cell).
    pub entries: Vec<PartialEntry>,
}

/// The summary of one cell in one pane.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialEntry {
    /// The pane.
    pub pane: PaneId,
    /// The cell.
    pub cell: CellKey,
    /// What was seen; its counts tell the pane's kind.
    pub summary: CellSummary,
}

impl PartialEntry {
    /// Input or pair pane.
    pub fn kind(&self) -> PaneKind {
        match self.summary.counts {
            Counts::Input(_) => PaneKind::Input,
            Counts::Pair(_) => PaneKind::Pair,
        }
    }
}

/// Where a record's fixed part comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The join task.
    pub source: Partition,
    /// Its epoch.
    pub seq: EpochSeq,
    /// Version of the definitions obeyed.
    pub definitions: u32,
}

/// Encodes entries of one model, split over as many records as their size asks for. Entries are sorted here.
pub fn encode(origin: Origin, model: &str, mut entries: Vec<PartialEntry>) -> Vec<Vec<u8>> {
    entries.sort_by(|a, b| (a.kind(), a.pane, &a.cell).cmp(&(b.kind(), b.pane, &b.cell)));
    let mut records = Vec::new();
    let mut rest = entries.as_slice();
    while !rest.is_empty() {
        let (record, used) = encode_some(origin, model, rest);
        records.push(record);
        rest = &rest[used..];
    }
    records
}

fn encode_some(origin: Origin, model: &str, entries: &[PartialEntry]) -> (Vec<u8>, usize) {
    let (mut names, mut cells) = (Dictionary::default(), Dictionary::default());
    let mut body = Writer::new();
    let mut used = 0;
    for e in entries {
        body.byte(u8::from(e.kind() == PaneKind::Pair));
        body.int(e.pane.0);
        body.uint(cells.number(&e.cell));
        write_counts(&mut body, &e.summary.counts);
        body.uint(e.summary.signals.len() as u64);
        for (name, signal) in &e.summary.signals {
            body.uint(names.number(name));
            body.byte(u8::from(signal.numeric.is_some()) | u8::from(signal.category.is_some()) << 1);
            if let Some(form) = &signal.numeric {
                form.write(&mut body);
            }
            if let Some(form) = &signal.category {
                form.write(&mut body);
            }
        }
        used += 1;
        if body.bytes.len() > RECORD_BYTES {
            break;
        }
    }
    let mut w = Writer::new();
    w.int(i64::from(origin.source.0));
    w.uint(origin.seq.0);
    w.uint(u64::from(origin.definitions));
    w.text(model);
    w.uint(names.order.len() as u64);
    names.order.iter().for_each(|n| w.text(n));
    w.uint(cells.order.len() as u64);
    cells.order.iter().for_each(|c| write_cell_key(&mut w, c));
    w.uint(used as u64);
    w.bytes.extend_from_slice(&body.bytes);
    (w.sealed(Kind::Partial), used)
}

struct Dictionary<'a, T> {
    numbers: BTreeMap<&'a T, u64>,
    order: Vec<&'a T>,
}

impl<T> Default for Dictionary<'_, T> {
    fn default() -> Self {
        Dictionary { numbers: BTreeMap::new(), order: Vec::new() }
    }
}

impl<'a, T: Ord> Dictionary<'a, T> {
    fn number(&mut self, item: &'a T) -> u64 {
        let next = self.order.len() as u64;
        let order = &mut self.order;
        *self.numbers.entry(item).or_insert_with(|| {
            order.push(item);
            next
        })
    }
}

/// Reads a partial's body.
pub fn read(r: &mut Reader<'_>) -> Result<Partial, Malformed> {
    let (source, seq, definitions) = (Partition(r.int()? as i32), EpochSeq(r.uint()?), r.uint()? as u32);
    let model = r.text()?.to_string();
    let names = (0..r.count()?).map(|_| Ok(r.text()?.to_string())).collect::<Result<Vec<_>, Malformed>>()?;
    let cells = (0..r.count()?).map(|_| read_cell_key(r)).collect::<Result<Vec<_>, Malformed>>()?;
    let n = r.count()?;
    let entries = (0..n).map(|_| read_entry(r, &names, &cells)).collect::<Result<_, _>>()?;
    Ok(Partial { source, seq, definitions, model, entries })
}

fn read_entry(r: &mut Reader<'_>, names: &[String], cells: &[CellKey]) -> Result<PartialEntry, Malformed> {
    let kind = r.byte()?;
    let pane = PaneId(r.int()?);
    let cell = cells.get(r.uint()? as usize).ok_or(Malformed::Value("a cell number"))?.clone();
    let counts = match kind {
        0 => Counts::Input(read_input_counts(r)?),
        1 => Counts::Pair(read_pair_counts(r)?),
        _ => return Err(Malformed::Value("a kind of pane")),
    };
    let mut signals = BTreeMap::new();
    for _ in 0..r.count()? {
        let name = names.get(r.uint()? as usize).ok_or(Malformed::Value("a signal number"))?.clone();
        let forms = r.byte()?;
        let numeric = if forms & 1 != 0 { Some(NumericForm::read(r)?) } else { None };
        let category = if forms & 2 != 0 { Some(CategoryForm::read(r)?) } else { None };
        signals.insert(name, SignalSummary { numeric, category });
    }
    Ok(PartialEntry { pane, cell, summary: CellSummary { counts, signals } })
}
