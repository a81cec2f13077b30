//! The plan: all wanted places as one tree, and what was learned about the keys of objects.
//!
//! Guarantees: a record whose entries come in the same order as in the record before costs one comparison a key and
//! allocates nothing; what is learned about keys is bounded.
//! Never: knows a format. Comes from: `mapping`. Goes to: `json`, `avro` and `protobuf`, which walk it.

use super::event::{FeatureIx, MAX_NAME, Reason};
use super::mapping::{Mapping, Slot};
use crate::config::place::{self, Payload, Step};
use hashbrown::{HashMap, HashSet};

/// Distinct names of features in a decoder's life: ids used as names must not fill the memory.
pub const MAX_NAMES: usize = 65_536;
/// Features that one record may have.
pub const MAX_FEATURES: usize = 1_024;
/// Keys that a node remembers; others are looked at anew each time.
const MAX_KEYS: usize = 4_096;

/// Why a walk ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The class of the fault.
    pub reason: Reason,
    /// What was found, and where.
    pub detail: String,
}

/// A node of the tree, by its number. 0 is the value itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeIx(pub u32);

/// The value itself.
pub const ROOT: NodeIx = NodeIx(0);

/// What an entry of an object is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// A node of the plan.
    pub node: Option<NodeIx>,
    /// A feature.
    pub feature: Option<FeatureIx>,
}

impl Role {
    /// Good for nothing.
    pub const SKIP: Role = Role { node: None, feature: None };
    /// The value itself.
    pub const ROOT: Role = Role { node: Some(ROOT), feature: None };

    /// True if nobody wants it.
    pub fn is_skip(self) -> bool {
        self == Role::SKIP
    }
}

/// A wanted place.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Slots that take the value found here.
    pub(super) slots: Vec<Slot>,
    /// All slots from here on down: a second entry with this key empties them.
    pub(super) below: Vec<Slot>,
    children: Vec<(String, NodeIx)>,
    /// Its entries or elements are features.
    pub(super) features: Option<Wanted>,
    pub(super) features_below: bool,
    /// What is looked for in a list.
    pub(super) picks: Vec<Pick>,
    /// What is looked for in a text: how it is written, and the node of what it holds.
    pub(super) payloads: Vec<(Payload, NodeIx)>,
    /// Its elements are counted: so many are one row.
    pub(super) counted: Option<usize>,
    /// One slot wants the scalar found here, and nobody else does.
    pub(super) single: bool,
    keys: Keys,
}

/// Which entries or elements are features.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Those that are none.
    exclude: HashSet<String>,
    /// What the elements of a list are called, if not by their numbers.
    names: Vec<String>,
    /// Features by their place in a list, as far as lists went.
    positions: Vec<Option<FeatureIx>>,
    /// So many neighbouring elements are the features of one row; 0 if all are those of the record, or of the row around the list.
    pub(super) group: usize,
}

/// Something that is looked for in a list.
#[derive(Debug)]
pub(super) struct Pick {
    pub(super) which: Which,
    pub(super) node: NodeIx,
}

/// Which elements of a list.
#[derive(Debug)]
pub(super) enum Which {
    /// The one at this place.
    At(usize),
    /// Each, to see the entry that chooses: this slot takes it.
    Probe(Slot),
    /// The one whose entry, in the slot, is this text. It is asked after the probe.
    Is(Slot, Box<str>),
    /// Of every `width` neighbouring elements, which are a row, that at this place.
    Row { width: usize, at: usize },
    /// Each, as a feature.
    Feature,
}

/// Remembered keys of an object: for each, the key that came after it last time.
#[derive(Debug, Default)]
struct Keys {
    entries: Vec<Key>,
    index: HashMap<Box<str>, u32>,
    first: u32,
    at: Option<u32>,
}

#[derive(Debug)]
struct Key {
    name: Box<str>,
    /// Without quotes, backslashes and control characters.
    plain: bool,
    next: u32,
    role: Role,
}

impl Keys {
    #[inline]
    fn expected(&self) -> u32 {
        self.at.map_or(self.first, |at| self.entries[at as usize].next)
    }

    #[inline]
    fn step(&mut self, to: u32) -> Role {
        match self.at {
            Some(at) => self.entries[at as usize].next = to,
            None => self.first = to,
        }
        self.at = Some(to);
        self.entries[to as usize].role
    }
}

/// The tree, with the names of features that were seen.
#[derive(Debug)]
pub struct Plan {
    nodes: Vec<Node>,
    names: Vec<Box<str>>,
    by_name: HashMap<Box<str>, FeatureIx>,
    /// Slots of the mapping; those of probes follow.
    wanted: usize,
    slots: usize,
    /// What rows have for themselves, if the source is exploded.
    pub(super) rows: Option<RowPlan>,
}

/// What the rows of an exploded source have for themselves.
#[derive(Debug)]
pub(super) struct RowPlan {
    /// Takes what is found where the list should be.
    pub(super) seen: Slot,
    /// Slots that each row has for itself.
    pub(super) slots: Vec<Slot>,
    /// True if each row has its own features.
    pub(super) features: bool,
}

impl Plan {
    /// Builds the tree of a mapping.
    pub fn new(mapping: &Mapping) -> Plan {
        let mut plan = Plan {
            nodes: vec![Node::default()],
            names: Vec::new(),
            by_name: HashMap::new(),
            wanted: mapping.names.len(),
            slots: mapping.names.len(),
            rows: None,
        };
        for (slot, path) in &mapping.paths {
            let (end, way) = plan.way(path);
            plan.nodes[end.0 as usize].slots.push(*slot);
            way.iter().for_each(|n| plan.nodes[n.0 as usize].below.push(*slot));
        }
        if let Some(features) = &mapping.features {
            // neighbours that are a row together have no node of their own
            let (path, group) = match features.path.split_last() {
                Some((Step::Row(width @ 2..), list)) => (list, *width),
                _ => (&features.path[..], 0),
            };
            let (end, way) = plan.way(path);
            let exclude = features.exclude.iter().cloned().collect();
            let node = &mut plan.nodes[end.0 as usize];
            node.features = Some(Wanted { exclude, names: features.names.clone(), positions: Vec::new(), group });
            node.picks.push(Pick { which: Which::Feature, node: end });
            way.iter().for_each(|n| plan.nodes[n.0 as usize].features_below = true);
        }
        plan.explode(mapping);
        for node in &mut plan.nodes {
            node.single = node.slots.len() == 1 && node.features.is_none() && node.payloads.is_empty();
        }
        plan
    }

    /// What a source that is exploded needs: a slot that sees the list, and the slots that each row has for itself.
    fn explode(&mut self, mapping: &Mapping) {
        let Some(explode) = &mapping.explode else { return };
        let seen = Slot(self.slots as u16);
        self.slots += 1;
        let (end, way) = self.way(&explode.list);
        self.nodes[end.0 as usize].slots.push(seen);
        self.nodes[end.0 as usize].counted = Some(explode.width);
        way.iter().for_each(|n| self.nodes[n.0 as usize].below.push(seen));
        let slots: Vec<Slot> = mapping.paths.iter().filter(|(_, path)| place::is_of_row(path)).map(|p| p.0).collect();
        let features = mapping.features.as_ref().is_some_and(|f| place::is_of_row(&f.path));
        self.rows = Some(RowPlan { seen, slots, features });
    }

    /// The node at a path, made if it is not there, and all nodes on the way, itself included.
    fn way(&mut self, path: &[Step]) -> (NodeIx, Vec<NodeIx>) {
        let mut here = ROOT;
        let mut way = vec![here];
        let mut steps = path.iter();
        while let Some(step) = steps.next() {
            here = match step {
                Step::Row(1) => self.pick(here, Which::Row { width: 1, at: 0 }),
                Step::Row(width) => match steps.next() {
                    Some(Step::Index(at)) => self.pick(here, Which::Row { width: *width, at: *at }),
                    _ => here, // refused by `check`
                },
                Step::Name(name) => self.child(here, name).unwrap_or_else(|| self.add_child(here, name)),
                Step::Index(n) => self.pick(here, Which::At(*n)),
                Step::Where { name, is } => {
                    let probe = self.probe(here, name);
                    self.pick(here, Which::Is(probe, is.as_str().into()))
                }
                Step::Within(payload) => {
                    let known = self.node(here).payloads.iter().find(|p| p.0 == *payload).map(|p| p.1);
                    known.unwrap_or_else(|| {
                        let new = self.add();
                        self.nodes[here.0 as usize].payloads.push((*payload, new));
                        new
                    })
                }
            };
            way.push(here);
        }
        (here, way)
    }

    fn add(&mut self) -> NodeIx {
        self.nodes.push(Node::default());
        NodeIx(self.nodes.len() as u32 - 1)
    }

    fn add_child(&mut self, node: NodeIx, name: &str) -> NodeIx {
        let new = self.add();
        self.nodes[node.0 as usize].children.push((name.to_string(), new));
        new
    }

    /// The node of what is looked for in the list at `node`.
    fn pick(&mut self, node: NodeIx, which: Which) -> NodeIx {
        let same = |pick: &&Pick| match (&pick.which, &which) {
            (Which::At(a), Which::At(b)) => a == b,
            (Which::Is(a, one), Which::Is(b, other)) => a == b && one == other,
            (Which::Row { width: a, at: i }, Which::Row { width: b, at: j }) => a == b && i == j,
            _ => false,
        };
        if let Some(known) = self.node(node).picks.iter().find(same) {
            return known.node;
        }
        let new = self.add();
        self.nodes[node.0 as usize].picks.push(Pick { which, node: new });
        new
    }

    /// The slot that takes entry `name` of each element of the list at `node`.
    fn probe(&mut self, node: NodeIx, name: &str) -> Slot {
        let known = self.node(node).picks.iter().find_map(|pick| match pick.which {
            Which::Probe(slot) if self.child(pick.node, name).is_some() => Some(slot),
            _ => None,
        });
        known.unwrap_or_else(|| {
            let slot = Slot(self.slots as u16);
            self.slots += 1;
            let element = self.add();
            let entry = self.add_child(element, name);
            self.nodes[node.0 as usize].picks.push(Pick { which: Which::Probe(slot), node: element });
            self.nodes[entry.0 as usize].slots.push(slot);
            [element, entry].iter().for_each(|n| self.nodes[n.0 as usize].below.push(slot));
            slot
        })
    }

    /// The node of entry `name` of the object at `node`, if it is wanted.
    pub(super) fn child(&self, node: NodeIx, name: &str) -> Option<NodeIx> {
        self.nodes[node.0 as usize].children.iter().find(|c| c.0 == name).map(|c| c.1)
    }

    #[inline]
    pub(super) fn node(&self, node: NodeIx) -> &Node {
        &self.nodes[node.0 as usize]
    }

    /// The slot that wants a scalar found at this node, if it is the only one who does.
    pub fn only_slot(&self, node: NodeIx) -> Option<Slot> {
        let node = self.node(node);
        node.slots.first().copied().filter(|_| node.single)
    }

    /// The slots that take what is found at this node.
    pub(super) fn slots(&self, node: NodeIx) -> &[Slot] {
        &self.node(node).slots
    }

    /// True if entries of the object at this node are wanted.
    pub fn walks(&self, node: NodeIx) -> bool {
        let node = &self.nodes[node.0 as usize];
        node.features.is_some() || !node.children.is_empty()
    }

    /// True if elements of the list at this node are wanted.
    pub fn lists(&self, node: NodeIx) -> bool {
        !self.node(node).picks.is_empty() || self.node(node).counted.is_some()
    }

    /// True if the list at this node holds rows.
    pub(super) fn picks_rows(&self, node: NodeIx) -> bool {
        let node = self.node(node);
        node.counted.is_some() || node.picks.iter().any(|pick| matches!(pick.which, Which::Row { .. }))
    }

    /// True if it matters what the value at this node is made of.
    pub fn goes_on(&self, node: NodeIx) -> bool {
        self.walks(node) || self.lists(node) || self.opens(node)
    }

    /// True if what the text at this node holds is wanted.
    pub fn opens(&self, node: NodeIx) -> bool {
        !self.node(node).payloads.is_empty()
    }

    /// The nodes of what is looked for in the list at `node`, in the order of `Sink::choose`; `None` for what is a feature and nothing else.
    pub fn picks(&self, node: NodeIx) -> impl Iterator<Item = Option<NodeIx>> + '_ {
        self.node(node).picks.iter().map(|p| (!matches!(p.which, Which::Feature)).then_some(p.node))
    }

    /// The feature that element `index` of the list at `node` is; `None` if it is none.
    pub(super) fn feature_at(&mut self, node: NodeIx, index: usize) -> Result<Option<FeatureIx>, Stop> {
        loop {
            let Some(wanted) = &self.node(node).features else { return Ok(None) };
            if let Some(known) = wanted.positions.get(index) {
                return Ok(*known);
            }
            let next = wanted.positions.len();
            if next >= MAX_FEATURES {
                return Err(too_many());
            }
            let name = match wanted.names.get(next) {
                Some(name) => name.clone(),
                None if wanted.names.is_empty() => next.to_string(),
                None => return Ok(None), // `list_ended` says so
            };
            let excluded = wanted.exclude.contains(&name);
            let feature = if excluded { None } else { Some(self.feature(&name).ok_or_else(|| no_room(&name))?) };
            if let Some(wanted) = &mut self.nodes[node.0 as usize].features {
                wanted.positions.push(feature);
            }
        }
    }

    /// The list at `node` has so many elements: is that as many as have names?
    pub(super) fn list_ended(&self, node: NodeIx, count: usize) -> Result<(), Stop> {
        let at = self.node(node);
        let group = at.features.as_ref().map_or(0, |wanted| wanted.group);
        for width in [at.counted.unwrap_or(1), group.max(1)] {
            if !count.is_multiple_of(width) {
                let detail = format!("the list of rows has {count} elements, and every {width} are a row: some are missing");
                return Err(Stop { reason: Reason::WrongType, detail });
            }
        }
        let count = if group > 0 { group } else { count };
        match &at.features {
            Some(wanted) if !wanted.names.is_empty() && wanted.names.len() != count => {
                let detail = format!(
                    "the list of features has {count} elements and fields.features.names has {}: each needs its name, in the order of the list",
                    wanted.names.len()
                );
                Err(Stop { reason: Reason::WrongType, detail })
            }
            _ => Ok(()),
        }
    }

    /// The nodes below `node`, by name.
    pub fn children(&self, node: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
        self.nodes[node.0 as usize].children.iter().map(|c| c.1)
    }

    /// What entry `name` of the object at `node` is good for; a new feature gets its number. `None`: too many names, or too long.
    pub fn role(&mut self, node: NodeIx, name: &str) -> Option<Role> {
        let wanted = self.child(node, name);
        let feature = match &self.nodes[node.0 as usize].features {
            Some(wanted) if !wanted.exclude.contains(name) => Some(self.feature(name)?),
            _ => None,
        };
        Some(Role { node: wanted, feature })
    }

    fn feature(&mut self, name: &str) -> Option<FeatureIx> {
        if let Some(known) = self.by_name.get(name) {
            return Some(*known);
        }
        if self.names.len() >= MAX_NAMES || name.len() > MAX_NAME {
            return None;
        }
        let ix = FeatureIx(self.names.len() as u32);
        self.names.push(name.into());
        self.by_name.insert(name.into(), ix);
        Some(ix)
    }

    /// An object begins at `node`.
    #[inline]
    pub fn begin(&mut self, node: NodeIx) {
        self.nodes[node.0 as usize].keys.at = None;
    }

    /// The key that came next last time, if JSON writes it without escapes.
    #[inline]
    pub fn expected(&self, node: NodeIx) -> Option<&str> {
        let keys = &self.nodes[node.0 as usize].keys;
        keys.entries.get(keys.expected() as usize).filter(|k| k.plain).map(|k| &*k.name)
    }

    /// The expected key is there.
    #[inline]
    pub fn accept(&mut self, node: NodeIx) -> Role {
        let keys = &mut self.nodes[node.0 as usize].keys;
        let to = keys.expected();
        keys.step(to)
    }

    /// Another key is there.
    pub fn find(&mut self, node: NodeIx, name: &str) -> Result<Role, Stop> {
        let keys = &mut self.nodes[node.0 as usize].keys;
        if let Some(known) = keys.index.get(name) {
            let to = *known;
            return Ok(keys.step(to));
        }
        let role = self.role(node, name).ok_or_else(|| no_room(name))?;
        let keys = &mut self.nodes[node.0 as usize].keys;
        if keys.entries.len() < MAX_KEYS && name.len() <= MAX_NAME {
            let to = keys.entries.len() as u32;
            let plain = !name.bytes().any(|b| b < 0x20 || matches!(b, b'"' | b'\\'));
            keys.entries.push(Key { name: name.into(), plain, next: to + 1, role });
            keys.index.insert(name.into(), to);
            return Ok(keys.step(to));
        }
        Ok(role)
    }

    /// Name of a feature.
    pub fn feature_name(&self, ix: FeatureIx) -> &str {
        &self.names[ix.0 as usize]
    }

    /// Number of features seen so far.
    pub fn feature_count(&self) -> usize {
        self.names.len()
    }

    /// Number of slots of the mapping.
    pub fn wanted_slots(&self) -> usize {
        self.wanted
    }

    /// Number of slots, those of probes included.
    pub fn slot_count(&self) -> usize {
        self.slots
    }
}

pub(super) fn too_many() -> Stop {
    let detail = format!("the record has more than {MAX_FEATURES} features; exclude some, or point predictions.fields.features elsewhere");
    Stop { reason: Reason::TooManyFeatures, detail }
}

fn no_room(name: &str) -> Stop {
    let (reason, detail) = match name.len() {
        0..=MAX_NAME => (
            Reason::TooManyFeatures,
            format!("more than {MAX_NAMES} different names of features since the start: are ids used as names? Exclude them"),
        ),
        n => (
            Reason::TooLong,
            format!("a feature's name has {n} bytes, at most {MAX_NAME} are allowed: is it data? Point `features` elsewhere"),
        ),
    };
    Stop { reason, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::oracle::mapping;

    #[test]
    fn the_order_of_the_last_object_is_expected_next() {
        let mut plan = Plan::new(&mapping(&[vec!["b".into()]], None));
        for order in [["a", "b", "c"], ["c", "a", "b"], ["c", "b", "a"]] {
            for warm in [false, true] {
                plan.begin(ROOT);
                for name in order {
                    assert!(!warm || plan.expected(ROOT) == Some(name), "{order:?} {name}");
                    let role = if warm { plan.accept(ROOT) } else { plan.find(ROOT, name).unwrap() };
                    assert_eq!(role.node, (name == "b").then_some(NodeIx(1)));
                }
            }
        }
    }

    #[test]
    fn names_that_json_escapes_are_never_expected() {
        let mut plan = Plan::new(&mapping(&[], None));
        for name in ["q\"", "\\", "\n", ""] {
            plan.begin(ROOT);
            plan.find(ROOT, name).unwrap();
            plan.begin(ROOT);
            assert_eq!(plan.expected(ROOT), Some(name).filter(|n| n.is_empty()));
        }
    }
}
