//! The plan: what the detect stage tells the join stage. Edges and categories with the pane they take effect in, definitions with
//! their version, and how far panes are closed.
//!
//! Guarantees: by look-ahead no source has booked a pane at or after an entry's `effective_from` when the entry appears, and the
//! plan's order (edges before the progress that allows those panes) makes every reader know it in time.

use super::baseline::loda::{Loda, Projections};
use super::baseline::rarity::{Rarity, Table};
use super::book::OUTLIER_SCORE;
use super::definitions::{Definitions, Outliers, form::Form1};
use super::summary::category::Categories;
use super::summary::numeric::NumericEdges;
use super::types::{PaneId, PaneKind, Partition};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use crate::planted::{Bug, planted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How the values of a signal are counted from a pane on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Bins {
    /// Numeric edges.
    Numeric(NumericEdges),
    /// Pinned categories.
    Categories(Categories),
    /// How rare values are; beside one of the others, where outliers are looked for.
    Rarity(Rarity),
    /// How far out all numbers of a model are together; of the signal of outlier scores.
    Loda(Loda),
}

/// An entry of the plan for one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgesRecord {
    /// The model.
    pub model: String,
    /// The signal's name.
    pub signal: String,
    /// Which panes it concerns.
    pub kind: PlanKind,
    /// First pane that is counted so.
    pub effective_from: PaneId,
    /// The bins.
    pub bins: Bins,
}

/// `PaneKind` as the plan writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PlanKind {
    /// Input panes.
    Input,
    /// Pair panes.
    Pair,
}

impl From<PaneKind> for PlanKind {
    fn from(kind: PaneKind) -> Self {
        if kind == PaneKind::Input { PlanKind::Input } else { PlanKind::Pair }
    }
}

impl EdgesRecord {
    /// Key in the compacted plan topic: each version of bins has its own, because whoever comes later books old panes.
    pub fn key(&self) -> Vec<u8> {
        let (form, version) = match &self.bins {
            Bins::Numeric(edges) => ("numeric", edges.version),
            Bins::Categories(categories) => ("categories", categories.version),
            Bins::Rarity(Rarity::Numbers { .. }) => ("rarity-numbers", 1),
            Bins::Rarity(Rarity::Texts { .. }) => ("rarity-texts", 1),
            Bins::Loda(_) => ("loda", 1),
        };
        format!("edges/{}/{}/{form}/{version}", self.model, self.signal).into_bytes()
    }

    /// Its record.
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(Kind::Edges, self)
    }

    /// Refuses what no sample can have given.
    fn checked(self) -> Result<EdgesRecord, Malformed> {
        let possible = match &self.bins {
            Bins::Rarity(rarity) => rarity.possible(),
            Bins::Loda(loda) => loda.possible(),
            Bins::Numeric(_) | Bins::Categories(_) => true,
        };
        if possible { Ok(self) } else { Err(Malformed::Value("the plan's rarities of a signal")) }
    }
}

/// How far a summaries partition has closed its panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The summaries partition.
    pub partition: i32,
    /// Last closed input pane.
    pub input: PaneId,
    /// Last closed pair pane.
    pub pair: PaneId,
}

impl Progress {
    /// Key in the plan topic.
    pub fn key(partition: Partition) -> Vec<u8> {
        format!("progress/{:04}", partition.0).into_bytes()
    }
    /// Its record.
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(Kind::Progress, self)
    }
}

/// Definitions in force.
pub type Versioned = VersionedOf<Definitions>;

/// Definitions in force, in one of their formats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionedOf<D> {
    /// Counted by the coordinator from 1.
    pub version: u32,
    /// First pane they hold for; version 1 holds from the first.
    pub effective_from: PaneId,
    /// The definitions.
    pub definitions: D,
}

impl<D> VersionedOf<D> {
    /// The same with the definitions in another format.
    pub fn map<E>(self, f: impl FnOnce(D) -> E) -> VersionedOf<E> {
        VersionedOf { version: self.version, effective_from: self.effective_from, definitions: f(self.definitions) }
    }
}

impl Versioned {
    /// Key in the plan topic: each version has its own, because whoever comes later books old panes by what held in them.
    pub fn key(&self) -> Vec<u8> {
        match self.version {
            1 => b"definitions".to_vec(),
            version => format!("definitions/{version:06}").into_bytes(),
        }
    }

    /// Its record, in the oldest format that can say it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.first_form() {
            Some(first) => sealed_as(Kind::Definitions, 1, &first),
            None => sealed(Kind::Definitions, self),
        }
    }

    /// In format 1, if that can say it.
    pub fn first_form(&self) -> Option<VersionedOf<Form1>> {
        let definitions = Form1::of(&self.definitions)?;
        Some(VersionedOf { version: self.version, effective_from: self.effective_from, definitions })
    }

    /// Reads a record.
    pub fn read(record: &[u8]) -> Result<Versioned, Malformed> {
        let (_, format, mut r) = Reader::open_any(record)?;
        let read: Versioned = match format {
            1 => opened::<VersionedOf<Form1>>(&mut r, record.len())?.map(Definitions::from),
            _ => opened(&mut r, record.len())?,
        };
        read.definitions.possible()?;
        Ok(read)
    }
}

/// Seals a serde value as a record body.
pub fn sealed<T: Serialize>(kind: Kind, value: &T) -> Vec<u8> {
    sealed_as(kind, kind.version(), value)
}

fn sealed_as<T: Serialize>(kind: Kind, version: u8, value: &T) -> Vec<u8> {
    Writer { bytes: postcard::to_stdvec(value).expect("plain data encodes") }.sealed_as(kind, version)
}

/// Opens what `sealed` wrote.
pub fn opened<T: for<'a> Deserialize<'a>>(r: &mut Reader<'_>, len: usize) -> Result<T, Malformed> {
    let bytes = r.rest_of(len)?;
    postcard::from_bytes(bytes).map_err(|_| Malformed::Value("the record's content"))
}

/// What a plan record is.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanRecord {
    /// Bins of a signal.
    Edges(EdgesRecord),
    /// Progress of a partition.
    Progress(Progress),
    /// Definitions.
    Definitions(Box<Versioned>),
}

impl PlanRecord {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<PlanRecord, Malformed> {
        let (kind, mut r) = Reader::open(bytes)?;
        let len = bytes.len();
        Ok(match kind {
            k if k == Kind::Edges as u8 => PlanRecord::Edges(opened::<EdgesRecord>(&mut r, len)?.checked()?),
            k if k == Kind::Progress as u8 => PlanRecord::Progress(opened(&mut r, len)?),
            k if k == Kind::Definitions as u8 => PlanRecord::Definitions(Box::new(Versioned::read(bytes)?)),
            _ => return Err(Malformed::Value("a record of another kind in the plan")),
        })
    }
}

/// Bins of one signal, shared by everything that counts with them.
#[derive(Clone, Debug)]
pub enum SharedBins {
    /// Numeric edges.
    Numeric(Rc<NumericEdges>),
    /// Categories.
    Categories(Rc<Categories>),
}

/// By model and signal; looked up without allocating.
type BinsTable<T> = BTreeMap<String, BTreeMap<String, Vec<(PaneId, Rc<T>)>>>;

/// The plan as one reader knows it.
#[derive(Default)]
pub struct Plan {
    numeric: BinsTable<NumericEdges>,
    categories: BinsTable<Categories>,
    /// Of numbers and of texts.
    rarities: [BinsTable<Table>; 2],
    together: BinsTable<Projections>,
    progress: BTreeMap<i32, Progress>,
    /// The newest definitions. What can't change is the same in all of them; for the rest see `definitions_in`.
    pub definitions: Option<Rc<Versioned>>,
    /// Those before it, newest first.
    superseded: Vec<Rc<Versioned>>,
    /// Grows with each change of bins: caches compare it.
    pub generation: u64,
}

impl Plan {
    /// Takes a record in.
    pub fn observe(&mut self, record: PlanRecord) {
        match record {
            PlanRecord::Progress(p) => {
                let known = self.progress.entry(p.partition).or_insert(p);
                *known = Progress { partition: p.partition, input: known.input.max(p.input), pair: known.pair.max(p.pair) };
            }
            PlanRecord::Definitions(d) => {
                if self.definitions.as_ref().is_none_or(|known| known.version < d.version) {
                    let before = self.definitions.replace(Rc::new(*d));
                    before.into_iter().for_each(|d| self.superseded.insert(0, d));
                    self.generation += 1;
                }
            }
            PlanRecord::Edges(e) => {
                self.generation += 1;
                let (model, signal, from) = (e.model, e.signal, e.effective_from);
                match e.bins {
                    Bins::Numeric(edges) => add_version(self.numeric.entry(model).or_default().entry(signal).or_default(), from, edges),
                    Bins::Loda(loda) => {
                        add_version(self.together.entry(model).or_default().entry(signal).or_default(), from, Projections::of(&loda))
                    }
                    Bins::Rarity(rarity) => {
                        let of = &mut self.rarities[usize::from(matches!(rarity, Rarity::Texts { .. }))];
                        add_version(of.entry(model).or_default().entry(signal).or_default(), from, Table::of(rarity));
                    }
                    Bins::Categories(c) => add_version(self.categories.entry(model).or_default().entry(signal).or_default(), from, c),
                }
            }
        }
    }

    /// The last pane of each kind (input, pair) that every summaries partition has closed; `None` until all have spoken.
    pub fn closed(&self, partitions: i32) -> Option<(PaneId, PaneId)> {
        if (self.progress.len() as i32) < partitions {
            return None;
        }
        Some((self.progress.values().map(|p| p.input).min()?, self.progress.values().map(|p| p.pair).min()?))
    }

    /// Edges of a numeric signal in `pane`, if they are fixed.
    pub fn numeric(&self, model: &str, signal: &str, pane: PaneId) -> Option<Rc<NumericEdges>> {
        in_force(self.numeric.get(model)?.get(signal)?, pane)
    }

    /// Categories of a signal in `pane`, if they are fixed.
    pub fn categories(&self, model: &str, signal: &str, pane: PaneId) -> Option<Rc<Categories>> {
        in_force(self.categories.get(model)?.get(signal)?, pane)
    }

    /// Definitions as they hold in `pane` for what joins book.
    pub fn definitions_in(&self, pane: PaneId) -> Option<&Definitions> {
        let newest = self.definitions.as_ref()?;
        if newest.effective_from <= pane || planted(Bug::DefinitionsWhenSeen) {
            return Some(&newest.definitions);
        }
        let then = self.superseded.iter().find(|d| d.effective_from <= pane).or(self.superseded.last());
        Some(&then.unwrap_or(newest).definitions)
    }

    /// Those of a prediction's dimensions that a cell of `pane` has.
    pub fn dimensions_in<'a, T>(&self, pane: PaneId, dimensions: &'a [T]) -> &'a [T] {
        let has = self.definitions_in(pane).map_or(dimensions.len(), |d| d.dimensions.len());
        &dimensions[..has.min(dimensions.len())]
    }

    /// Whether outliers are looked for.
    pub fn outliers(&self) -> Option<Outliers> {
        self.definitions.as_ref()?.definitions.outliers
    }

    /// How rare a signal's numbers (or `texts`) are, as it holds in `pane`.
    pub fn rarity(&self, model: &str, signal: &str, texts: bool, pane: PaneId) -> Option<Rc<Table>> {
        in_force(self.rarities[usize::from(texts)].get(model)?.get(signal)?, pane)
    }

    /// The first pane in which the rarity of a signal's numbers holds.
    pub fn rare_since(&self, model: &str, signal: &str) -> Option<PaneId> {
        self.rarities[0].get(model)?.get(signal)?.first().map(|v| v.0)
    }

    /// What a model's numbers are scored by together, as it holds in `pane`.
    pub fn together(&self, model: &str, pane: PaneId) -> Option<Rc<Projections>> {
        in_force(self.together.get(model)?.get(OUTLIER_SCORE)?, pane)
    }

    /// Whether a model's numbers are, or will be, scored together.
    pub fn knows_together(&self, model: &str) -> bool {
        self.together.contains_key(model)
    }

    /// Whether the rarity of anything of a model is known.
    pub fn knows_rarity(&self, model: &str) -> bool {
        self.rarities.iter().any(|of| of.contains_key(model))
    }
}

fn add_version<T>(versions: &mut Vec<(PaneId, Rc<T>)>, from: PaneId, bins: T) {
    versions.retain(|v| v.0 != from);
    versions.push((from, Rc::new(bins)));
    versions.sort_by_key(|v| v.0);
}

fn in_force<T>(versions: &[(PaneId, Rc<T>)], pane: PaneId) -> Option<Rc<T>> {
    versions.iter().rev().find(|v| v.0 <= pane || planted(Bug::PlanWhenSeen)).map(|v| v.1.clone())
}
