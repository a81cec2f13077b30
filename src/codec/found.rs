//! What a walk over a record has found: a scalar a slot, and the features.
//!
//! Guarantees: of several entries with one key the last wins; at most 1,024 features a record, told apart by 256 bytes of text; the lists are the caller's, reused.
//! Comes from: `json`, `avro` and `protobuf`, which call `Sink`; `payload` opens texts for it. Goes to: `decoder`.

use super::event::{Doubles, FeatureIx, Value, beginning};
use super::mapping::Slot;
use super::payload;
use super::plan::{MAX_FEATURES, NodeIx, Plan, Role, Stop, Which, too_many};
use super::rows::{self, RowsFound};
use super::scalar::Scalar;

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Found<'a> {
    /// One scalar a slot.
    pub slots: Vec<Scalar<'a>>,
    /// Features in the order they came.
    pub features: Vec<(FeatureIx, Value<'a>)>,
    /// Features that are doubles side by side.
    pub doubles: Vec<Doubles<'a>>,
    /// What stands where features should be, if it is no object.
    pub no_features: Option<&'static str>,
    /// What rows have for themselves.
    pub rows: RowsFound<'a>,
    /// Why a text could not be read.
    pub unread: Option<Stop>,
}

impl Found<'_> {
    /// Features of the record, or of the row that is being walked.
    #[inline]
    fn feature_count(&self) -> usize {
        let (from, doubles_from) = self.rows.features_from();
        self.features.len() - from + self.doubles[doubles_from..].iter().map(|d| d.numbers.len()).sum::<usize>()
    }
}

/// Where in `Found::features` a feature of the current record stands.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    record: u64,
    position: u32,
}

/// Remembers which features the current record has already had: the last of each name wins.
#[derive(Debug, Default)]
pub struct Marks {
    record: u64,
    marks: Vec<Mark>,
    holes: bool,
}

/// What a format's walk writes to.
pub struct Sink<'s, 'a> {
    /// The tree.
    pub plan: &'s mut Plan,
    /// What was found.
    pub found: &'s mut Found<'a>,
    /// Which features were seen.
    pub marks: &'s mut Marks,
}

impl<'a> Sink<'_, 'a> {
    /// A record begins.
    pub fn begin(&mut self) {
        self.found.slots.clear();
        self.found.slots.resize_with(self.plan.slot_count(), Scalar::default);
        (self.found.no_features, self.found.unread) = (None, None);
        self.found.rows.clear();
        self.forget_features();
    }

    /// Of the record; of the row, while one is being walked that has its own.
    fn forget_features(&mut self) {
        if !(self.found.rows.inside && self.plan.rows.as_ref().is_some_and(|rows| rows.features)) {
            self.found.rows.forget_features();
        }
        let (from, doubles_from) = self.found.rows.features_from();
        self.found.features.truncate(from);
        self.found.doubles.truncate(doubles_from);
        self.marks.record += 1;
        self.marks.holes = false;
    }

    /// The features of a row are complete.
    fn end_row_features(&mut self) {
        self.close_holes();
        let Found { features, doubles, rows, .. } = &mut *self.found;
        rows.end_features(features.len(), doubles.len());
        self.marks.record += 1;
    }

    fn close_holes(&mut self) {
        if std::mem::take(&mut self.marks.holes) {
            let from = self.found.rows.features_from().0;
            let mut at = 0;
            self.found.features.retain(|f| {
                at += 1;
                at <= from || f.1 != Value::Null
            });
        }
    }

    /// The record has ended.
    pub fn end(&mut self) {
        self.close_holes();
    }

    /// An entry of an object begins, perhaps for the second time: what the first one left is forgotten.
    #[inline]
    pub fn enter(&mut self, role: Role) {
        let Some(node) = role.node else { return };
        let node = self.plan.node(node);
        for slot in &node.below {
            self.found.slots[slot.ix()] = Scalar::Absent;
        }
        if self.plan.rows.is_some() && !self.found.rows.inside {
            node.below.iter().for_each(|slot| self.found.rows.forget(self.plan.rows.as_ref(), *slot));
        }
        if node.features_below {
            self.found.no_features = None;
            if self.found.feature_count() > 0 || self.plan.rows.is_some() {
                self.forget_features();
            }
        }
    }

    /// A scalar, or what stands in its place.
    #[inline]
    pub fn put(&mut self, role: Role, scalar: Scalar<'a>) -> Result<(), Stop> {
        if let Some(node) = role.node {
            let at = node;
            let node = self.plan.node(node);
            if node.single && role.feature.is_none() {
                self.found.slots[node.slots[0].ix()] = scalar; // nobody else wants it
                return Ok(());
            }
            for slot in &node.slots {
                self.found.slots[slot.ix()] = scalar.clone();
            }
            if node.features.is_some() && scalar != Scalar::Null {
                self.found.no_features = Some(kind(&scalar));
            }
            if !node.payloads.is_empty() {
                payload::open(self, at, &scalar)?;
            }
        }
        match role.feature {
            Some(ix) => match scalar.into_value().unwrap_or(Value::Null) {
                Value::Text(text) => self.feature(ix, Value::Text(beginning(text))),
                value => self.feature(ix, value),
            },
            None => Ok(()),
        }
    }

    /// The value of the slot, which nobody else wants.
    #[inline]
    pub fn put_slot(&mut self, slot: Slot, scalar: Scalar<'a>) {
        self.found.slots[slot.ix()] = scalar;
    }

    /// Features that the record has not had yet: a schema's record has each field once.
    #[inline]
    pub fn put_doubles(&mut self, doubles: Doubles<'a>) -> Result<(), Stop> {
        self.found.doubles.push(doubles);
        if self.found.feature_count() > MAX_FEATURES { Err(too_many()) } else { Ok(()) }
    }

    /// An object: nothing for a slot or a feature, but perhaps the way to some.
    #[inline]
    pub fn put_object(&mut self, role: Role) -> Result<(), Stop> {
        self.put_whole(role, "an object")
    }

    /// A list, likewise.
    #[inline]
    pub fn put_list(&mut self, role: Role) -> Result<(), Stop> {
        self.put_whole(role, "a list")
    }

    #[inline]
    fn put_whole(&mut self, role: Role, what: &'static str) -> Result<(), Stop> {
        if let Some(node) = role.node {
            for slot in &self.plan.node(node).slots {
                self.found.slots[slot.ix()] = Scalar::Other(what);
            }
        }
        match role.feature {
            Some(ix) => self.feature(ix, Value::Null),
            None => Ok(()),
        }
    }

    /// How often an element of the list at `node` may have to be walked.
    #[inline]
    pub fn choices(&self, node: NodeIx) -> usize {
        self.plan.node(node).picks.len()
    }

    /// What element `index` of the list at `node` is good for in the eyes of its pick `k`; `None` if for nothing. What an earlier element
    /// left there is forgotten.
    pub fn choose(&mut self, node: NodeIx, index: usize, k: usize) -> Result<Option<Role>, Stop> {
        let pick = &self.plan.node(node).picks[k];
        let chosen = match &pick.which {
            Which::At(n) => *n == index,
            Which::Probe(_) => true,
            Which::Row { width, at } => {
                let (chosen, row, node) = (index % width == *at, index / width, pick.node);
                if chosen {
                    rows::room(row, self.found.features.len())?;
                    self.found.rows.inside = true;
                    self.enter(Role { node: Some(node), feature: None });
                }
                return Ok(chosen.then_some(Role { node: Some(node), feature: None }));
            }
            Which::Is(slot, text) => self.found.slots[slot.ix()].is(text),
            Which::Feature => {
                let group = self.plan.node(node).features.as_ref().map_or(0, |wanted| wanted.group);
                let index = if group == 0 { index } else { index % group };
                let feature = self.plan.feature_at(node, index)?;
                return Ok(feature.map(|ix| Role { node: None, feature: Some(ix) }));
            }
        };
        let role = Role { node: chosen.then_some(pick.node), feature: None };
        self.enter(role);
        Ok(chosen.then_some(role))
    }

    /// The same for the lines of a text: the node of what is looked for in this one, if it is a row.
    pub(super) fn choose_line(&mut self, node: NodeIx, line: usize, k: usize) -> Result<Option<NodeIx>, Stop> {
        match self.plan.node(node).picks[k].which {
            Which::Row { .. } => Ok(self.choose(node, line, k)?.and_then(|role| role.node)),
            _ => Ok(None),
        }
    }

    /// The same for the columns of a line.
    pub(super) fn choose_column(&mut self, node: NodeIx, column: usize, k: usize) -> Result<Option<Role>, Stop> {
        match self.plan.node(node).picks[k].which {
            Which::Row { .. } => Ok(None),
            _ => self.choose(node, column, k),
        }
    }

    /// Element `index` of the list at `node` has been walked for pick `k`.
    pub fn chosen(&mut self, node: NodeIx, index: usize, k: usize) {
        let pick = &self.plan.node(node).picks[k];
        if let Which::Row { width, .. } = pick.which {
            let (row, node) = (index / width, self.plan.node(pick.node));
            for slot in &node.below {
                self.found.rows.take(self.plan.rows.as_ref(), row, *slot, &mut self.found.slots[slot.ix()]);
            }
            if node.features_below {
                self.end_row_features();
            }
            self.found.rows.inside = false;
        }
    }

    /// Element `index` of the list at `node` has been walked for all that look for it.
    pub fn end_element(&mut self, node: NodeIx, index: usize) -> Result<(), Stop> {
        let group = self.plan.node(node).features.as_ref().map_or(0, |wanted| wanted.group);
        if group > 0 && index % group + 1 == group {
            rows::room(index / group, self.found.features.len())?;
            self.end_row_features();
        }
        Ok(())
    }

    /// The list at `node` has ended after `count` elements.
    pub fn end_list(&mut self, node: NodeIx, count: usize) -> Result<(), Stop> {
        self.plan.list_ended(node, count)?;
        if let Some(width) = self.plan.node(node).counted {
            rows::room((count / width).saturating_sub(1), 0)?;
            self.found.rows.count = count / width;
        }
        Ok(())
    }

    #[inline]
    fn feature(&mut self, ix: FeatureIx, value: Value<'a>) -> Result<(), Stop> {
        if ix.0 as usize >= self.marks.marks.len() {
            self.marks.marks.resize(self.plan.feature_count(), Mark::default());
        }
        let mark = &mut self.marks.marks[ix.0 as usize];
        if mark.record == self.marks.record {
            self.marks.holes |= matches!(value, Value::Null);
            self.found.features[mark.position as usize].1 = value;
            return Ok(());
        }
        if matches!(value, Value::Null) {
            return Ok(());
        }
        if self.found.feature_count() >= MAX_FEATURES {
            return Err(too_many());
        }
        *mark = Mark { record: self.marks.record, position: self.found.features.len() as u32 };
        self.found.features.push((ix, value));
        Ok(())
    }
}

fn kind(scalar: &Scalar<'_>) -> &'static str {
    match scalar {
        Scalar::Absent | Scalar::Null => "null",
        Scalar::Bool(_) => "a truth value",
        Scalar::Integer(..) | Scalar::Number(..) | Scalar::Instant(..) => "a number",
        Scalar::Text(_) => "text",
        Scalar::Other(what) => what,
    }
}
