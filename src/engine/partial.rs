//! Partial summaries on the wire: what one join task adds, in one epoch, to panes of cells of one model.
//!
//! Guarantees: canonical bytes; each record stands alone (cells and names travel by value); a record is at most about 512 KiB; a record
//! without counts by class has format version 1, so that older readers go on where no binary model is watched.
//! Comes from: `book`. Goes to: `<app>.summaries`, partition murmur2(model).

use super::cell::CellKey;
use super::definitions::LONGEST;
use super::journal::{read_cell_key, write_cell_key};
use super::summary::cell::{CellSummary, Counts, SignalSummary, read_input_counts, read_pair_counts, write_counts};
use super::summary::numeric::NumericEdges;
use super::types::{EpochSeq, PaneId, PaneKind, Partition};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

const RECORD_BYTES: usize = 480 * 1024;

/// What an entry begins with: an input pane, a pair pane, a pair pane with counts by class (from format version 2 on).
const INPUT: u8 = 0;
const PAIR: u8 = 1;
const PAIR_BY_CLASS: u8 = 2;

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
        self.summary.counts.kind()
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
    let mut encoder = Encoder::new(origin, model);
    for e in &entries {
        for (name, signal) in &e.summary.signals {
            let w = encoder.signal(name, u8::from(signal.numeric.is_some()) | u8::from(signal.category.is_some()) << 1);
            if let Some(form) = &signal.numeric {
                form.write(w);
            }
            if let Some(form) = &signal.category {
                form.write(w);
            }
        }
        encoder.entry(e.pane, &e.cell, &e.summary.counts);
    }
    encoder.finish()
}

/// Builds the records of one model from entries that come in order: by kind of pane, pane, cell.
pub struct Encoder<'a> {
    origin: Origin,
    model: &'a str,
    names: Dictionary<'a, Arc<str>>,
    cells: Dictionary<'a, CellKey>,
    body: Writer,
    entries: u64,
    by_class: bool,
    /// Signals of the entry that is being built.
    signals: Writer,
    count: u64,
    records: Vec<Vec<u8>>,
}

impl<'a> Encoder<'a> {
    /// Of nothing yet.
    pub fn new(origin: Origin, model: &'a str) -> Encoder<'a> {
        let (names, cells) = (Dictionary::default(), Dictionary::default());
        let (body, signals) = (Writer::new(), Writer::new());
        Encoder { origin, model, names, cells, body, entries: 0, by_class: false, signals, count: 0, records: Vec::new() }
    }

    /// A signal of the entry that comes next; signals come in the order of their names. `forms`: bit 0 if numbers follow, bit 1 if
    /// texts do; the caller writes them.
    pub fn signal(&mut self, name: &'a Arc<str>, forms: u8) -> &mut Writer {
        self.count += 1;
        self.signals.uint(self.names.number(name));
        self.signals.byte(forms);
        &mut self.signals
    }

    /// The entry that has the signals since the last one.
    pub fn entry(&mut self, pane: PaneId, cell: &'a CellKey, counts: &Counts) {
        let body = &mut self.body;
        let kind = match counts {
            Counts::Input(_) => INPUT,
            Counts::Pair(c) if c.has_classes() => PAIR_BY_CLASS,
            Counts::Pair(_) => PAIR,
        };
        self.by_class |= kind == PAIR_BY_CLASS;
        body.byte(kind);
        body.int(pane.0);
        body.uint(self.cells.number(cell));
        write_counts(body, counts);
        body.uint(std::mem::take(&mut self.count));
        body.bytes.append(&mut self.signals.bytes);
        self.entries += 1;
        if body.bytes.len() > RECORD_BYTES {
            self.end_record();
        }
    }

    /// The records.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if self.entries > 0 {
            self.end_record();
        }
        self.records
    }

    fn end_record(&mut self) {
        let (names, cells) = (std::mem::take(&mut self.names), std::mem::take(&mut self.cells));
        let mut w = Writer::new();
        w.int(i64::from(self.origin.source.0));
        w.uint(self.origin.seq.0);
        w.uint(u64::from(self.origin.definitions));
        w.text(self.model);
        w.uint(names.order.len() as u64);
        names.order.iter().for_each(|n| w.text(n));
        w.uint(cells.order.len() as u64);
        cells.order.iter().for_each(|c| write_cell_key(&mut w, c));
        w.uint(std::mem::take(&mut self.entries));
        w.bytes.append(&mut self.body.bytes);
        let version = if std::mem::take(&mut self.by_class) { 2 } else { 1 };
        self.records.push(w.sealed_as(Kind::Partial, version));
    }
}

struct Dictionary<'a, T> {
    numbers: BTreeMap<&'a T, u64>,
    order: Vec<&'a T>,
    /// The number that comes next if entries have the same items in the same order, as they mostly do.
    expected: usize,
}

impl<T> Default for Dictionary<'_, T> {
    fn default() -> Self {
        Dictionary { numbers: BTreeMap::new(), order: Vec::new(), expected: 0 }
    }
}

impl<'a, T: Ord> Dictionary<'a, T> {
    fn number(&mut self, item: &'a T) -> u64 {
        if self.order.get(self.expected).is_some_and(|e| *e == item) {
            self.expected += 1;
            return self.expected as u64 - 1;
        }
        let next = self.order.len() as u64;
        let order = &mut self.order;
        let number = *self.numbers.entry(item).or_insert_with(|| {
            order.push(item);
            next
        });
        self.expected = number as usize + 1;
        number
    }
}

/// What stands before the entries of a partial.
pub struct Head {
    /// The join task.
    pub source: Partition,
    /// Its epoch.
    pub seq: EpochSeq,
    /// Version of the definitions obeyed.
    pub definitions: u32,
    /// The model; empty for what belongs to none (orphans).
    pub model: String,
    names: Vec<Arc<str>>,
    cells: Vec<CellKey>,
    entries: usize,
}

/// An entry whose signals are still to be read.
pub struct EntryHead<'a> {
    /// The pane.
    pub pane: PaneId,
    /// The cell.
    pub cell: &'a CellKey,
    /// Its counts: they tell the pane's kind.
    pub counts: Counts,
}

/// Reads a partial up to its entries.
pub fn read_head(r: &mut Reader<'_>) -> Result<Head, Malformed> {
    let (source, seq, definitions) = (Partition(r.int()? as i32), EpochSeq(r.uint()?), r.uint()? as u32);
    let model = r.text()?.to_string();
    let names = (0..r.count()?).map(|_| Ok(r.text()?.into())).collect::<Result<Vec<_>, Malformed>>()?;
    let cells = (0..r.count()?).map(|_| read_cell_key(r)).collect::<Result<Vec<_>, Malformed>>()?;
    Ok(Head { source, seq, definitions, model, names, cells, entries: r.count()? })
}

impl Head {
    /// How many entries follow.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Reads the signals of the entry whose head was read last, and adds them to `to`, or passes over them.
    pub fn merge_signals(
        &self,
        r: &mut Reader<'_>,
        mut to: Option<&mut CellSummary>,
        edges: impl Fn(&str) -> Option<Rc<NumericEdges>>,
    ) -> Result<(), Malformed> {
        for _ in 0..r.count()? {
            let name = self.names.get(r.uint()? as usize).ok_or(Malformed::Value("a signal number"))?;
            match &mut to {
                None => SignalSummary::default().merge_read(r, || None)?,
                Some(summary) => match summary.signals.get_mut(name) {
                    Some(mine) => mine.merge_read(r, || edges(name))?,
                    None => {
                        let mut new = SignalSummary::default();
                        new.merge_read(r, || None)?;
                        summary.signals.insert(name.clone(), new);
                    }
                },
            }
        }
        Ok(())
    }

    /// Reads the head of the next entry.
    pub fn entry(&self, r: &mut Reader<'_>) -> Result<EntryHead<'_>, Malformed> {
        let kind = r.byte()?;
        let pane = PaneId(r.int()?);
        if pane.0.unsigned_abs() > LONGEST.0 as u64 {
            return Err(Malformed::Value("a pane more than 10,000 years from 1970"));
        }
        let cell = self.cells.get(r.uint()? as usize).ok_or(Malformed::Value("a cell number"))?;
        let counts = match kind {
            INPUT => Counts::Input(read_input_counts(r)?),
            PAIR | PAIR_BY_CLASS => Counts::Pair(read_pair_counts(r, kind == PAIR_BY_CLASS)?),
            _ => return Err(Malformed::Value("a kind of pane")),
        };
        Ok(EntryHead { pane, cell, counts })
    }
}

/// Reads a whole partial's body.
pub fn read(r: &mut Reader<'_>) -> Result<Partial, Malformed> {
    let head = read_head(r)?;
    let mut entries = Vec::new();
    for _ in 0..head.entries {
        let EntryHead { pane, cell, counts } = head.entry(r)?;
        let mut summary = CellSummary { counts, signals: BTreeMap::new() };
        head.merge_signals(r, Some(&mut summary), |_| None)?;
        entries.push(PartialEntry { pane, cell: cell.clone(), summary });
    }
    let Head { source, seq, definitions, model, .. } = head;
    Ok(Partial { source, seq, definitions, model, entries })
}
