//! What the streams of a partition share: bins, the features of a model, the segments that the cap admitted, since when there are versions.
//!
//! Guarantees: each entry carries the pane it holds from, so a replay of an old pane sees what held then and derives nothing again
//! (a value derived again in a chunk's replay was shown to change alerts).
//! Never: changes from when an entry holds, or forgets one that a pane still to be closed could need.
//! Comes from: closed panes. Goes to: `<app>.state`, whole, in each epoch that changes it; that is seldom.

use super::profiles::Profiles;
use crate::engine::definitions::Definitions;
use crate::engine::plan::{EdgesRecord, PlanKind};
use crate::engine::types::{Offset, PaneId};
use crate::planted::{Bug, planted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Models of a partition that are watched though nobody has listed them: ids used as models must not fill the memory.
pub const MAX_MODELS: usize = 1_000;

/// Versions of a model that are compared: ids used as versions must not fill the memory.
pub const MAX_VERSIONS: usize = 256;

/// A version among segments: no dimension has such a name.
const VERSION: &str = "\0version";

fn of_version(version: &str) -> Segment {
    Segment::from([(VERSION.to_string(), version.to_string())])
}

fn is_version(segment: &Segment) -> bool {
    segment.contains_key(VERSION)
}

/// A model among its segments that found room because it was listed later.
const MODEL: &str = "\0model";

fn of_model() -> Segment {
    Segment::from([(MODEL.to_string(), String::new())])
}

/// Whether it is a segment at all.
fn is_own(segment: &Segment) -> bool {
    !is_version(segment) && !segment.contains_key(MODEL)
}

/// Whether a segment is by one of these lists of dimensions.
fn is_listed(segment: &Segment, listed: &[Vec<String>]) -> bool {
    listed.iter().any(|by| segment.len() == by.len() && by.iter().all(|name| segment.contains_key(name)))
}

/// A segment: dimension to value; empty is the root.
pub type Segment = BTreeMap<String, String>;

/// One pane's closing among all of a partition, in the order in which they happen: the record that closed it, then kind, then pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Closing {
    /// Offset of the mark.
    pub at: Offset,
    /// Kind of pane.
    pub kind: PlanKind,
    /// The pane.
    pub pane: PaneId,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    /// Bins that were fixed.
    pub edges: Vec<EdgesRecord>,
    features: BTreeMap<String, BTreeMap<String, PaneId>>,
    segments: BTreeMap<String, BTreeMap<Segment, Closing>>,
    /// What files say is normal.
    pub(super) profiles: Profiles,
    /// Not written since it changed.
    pub changed: bool,
}

/// As it is written, but for profiles, which lie behind it.
#[derive(Serialize, Deserialize)]
pub struct SharedForm {
    edges: Vec<EdgesRecord>,
    features: BTreeMap<String, BTreeMap<String, PaneId>>,
    segments: Vec<(String, Vec<(Segment, Closing)>)>,
}

impl Shared {
    /// The model's features are known from `pane` on.
    pub fn add_features<'a>(&mut self, model: &str, names: impl Iterator<Item = &'a str>, pane: PaneId) {
        let known = self.features.entry(model.to_string()).or_default();
        for name in names.filter(|n| n.starts_with("feature:")) {
            if !known.contains_key(name) {
                known.insert(name.to_string(), pane);
                self.changed = true;
            }
        }
    }

    /// Features of a model, each with the pane that it is known from, lent: `give_features_back` returns them.
    pub fn take_features(&mut self, model: &str) -> Option<BTreeMap<String, PaneId>> {
        self.features.get_mut(model).map(std::mem::take)
    }

    /// See `take_features`.
    pub fn give_features_back(&mut self, model: &str, features: BTreeMap<String, PaneId>) {
        if let Some(place) = self.features.get_mut(model) {
            *place = features;
        }
    }

    /// Whether streams of a model are kept: of the first `MAX_MODELS` that came, or if somebody has listed it. A model that is refused
    /// once is refused until it is listed, so a replay says the same.
    pub fn has_room_for(&self, model: &str, definitions: &Definitions, closing: Closing) -> bool {
        match self.segments.get(model) {
            Some(known) => known.get(&of_model()).is_none_or(|since| *since <= closing),
            None => self.segments.len() < MAX_MODELS || definitions.models.contains_key(model),
        }
    }

    /// Lets go of segments by other dimensions than these.
    pub fn keep_segments(&mut self, listed: &[Vec<String>]) {
        for segments in self.segments.values_mut() {
            let before = segments.len();
            segments.retain(|s, _| !is_own(s) || is_listed(s, listed));
            self.changed |= segments.len() < before;
        }
    }

    /// Admits new segments of a closing, largest first, while there is room: of those by `listed` dimensions at most `cap` are watched.
    /// Each comes with its rows.
    pub fn admit(&mut self, model: &str, mut candidates: Vec<(u64, Segment)>, (listed, cap): (&[Vec<String>], usize), closing: Closing) {
        let (new, full) = (!self.segments.contains_key(model), self.segments.len() >= MAX_MODELS);
        self.changed |= new;
        let admitted = self.segments.entry(model.to_string()).or_default();
        if new && full {
            admitted.insert(of_model(), closing);
        }
        candidates.retain(|(_, s)| !admitted.contains_key(s));
        let by_name = planted(Bug::SegmentsByName);
        candidates.sort_by(|a, b| if by_name { a.1.cmp(&b.1) } else { b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)) });
        // those of definitions before, which pair panes to come may still need, take no room
        let takes_room = |s: &&Segment| is_own(s) && is_listed(s, listed);
        let known = if candidates.is_empty() { 0 } else { admitted.keys().filter(takes_room).count() };
        for (_, segment) in candidates.into_iter().take(cap.saturating_sub(known)) {
            admitted.insert(segment, closing);
            self.changed = true;
        }
    }

    /// Remembers since when pairs of a version come, unless there are too many versions.
    pub fn admit_version(&mut self, model: &str, version: &str, closing: Closing) {
        let admitted = self.segments.entry(model.to_string()).or_default();
        let key = of_version(version);
        if !admitted.contains_key(&key) && admitted.keys().filter(|s| is_version(s)).count() < MAX_VERSIONS {
            admitted.insert(key, closing);
            self.changed = true;
        }
    }

    /// The closing at or before `closing` that first showed pairs of a version.
    pub fn version_since(&self, model: &str, version: &str, closing: Closing) -> Option<Closing> {
        self.segments.get(model).and_then(|s| s.get(&of_version(version))).copied().filter(|since| *since <= closing)
    }

    /// Whether a segment was admitted at or before a closing, and with its pane or one before it: a pair pane closes long after the input
    /// pane, and how long must not show. The root always is.
    pub fn is_admitted(&self, model: &str, segment: &Segment, closing: Closing) -> bool {
        let holds = |from: &Closing| *from <= closing && from.pane <= closing.pane;
        segment.is_empty() || self.segments.get(model).and_then(|s| s.get(segment)).is_some_and(holds)
    }

    /// As it is written.
    pub fn form(&self) -> SharedForm {
        let listed = |s: &BTreeMap<Segment, Closing>| s.iter().map(|(segment, c)| (segment.clone(), *c)).collect();
        SharedForm {
            edges: self.edges.clone(),
            features: self.features.clone(),
            segments: self.segments.iter().map(|(model, s)| (model.clone(), listed(s))).collect(),
        }
    }
}

impl From<SharedForm> for Shared {
    fn from(f: SharedForm) -> Self {
        let segments = f.segments.into_iter().map(|(model, s)| (model, s.into_iter().collect())).collect();
        Shared { edges: f.edges, features: f.features, segments, profiles: Profiles::default(), changed: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(by: &str, value: &str) -> Segment {
        Segment::from([(by.to_string(), value.to_string())])
    }

    fn of_countries(rows: &[(u64, &str)]) -> Vec<(u64, Segment)> {
        rows.iter().map(|(n, value)| (*n, segment("country", value))).collect()
    }

    fn closing(at: i64, kind: PlanKind, pane: i64) -> Closing {
        Closing { at: Offset(at), kind, pane: PaneId(pane) }
    }

    #[test]
    fn what_former_definitions_admitted_takes_no_room_however_long_it_is_still_needed() {
        let (cities, countries) = ([vec!["city".to_string()]], [vec!["country".to_string()]]);
        let north = vec![(9, segment("city", "north")), (8, segment("city", "south"))];
        let admitted = |kept_until_the_change: bool| {
            let mut shared = Shared::default();
            shared.admit("fraud", north.clone(), (&cities, 2), closing(1, PlanKind::Input, 0));
            if !kept_until_the_change {
                shared.keep_segments(&countries);
            }
            shared.admit("fraud", of_countries(&[(3, "IT"), (7, "FR"), (5, "DE")]), (&countries, 2), closing(2, PlanKind::Input, 10));
            shared.keep_segments(&countries);
            let last = closing(9, PlanKind::Input, 99);
            ["FR", "DE", "IT"].map(|c| shared.is_admitted("fraud", &segment("country", c), last))
        };
        assert_eq!([admitted(true), admitted(false)], [[true, true, false]; 2]);
    }

    #[test]
    fn a_segment_holds_from_its_pane_on_also_in_panes_of_pairs_that_close_long_after() {
        let (listed, mut shared) = ([vec!["country".to_string()]], Shared::default());
        shared.admit("fraud", of_countries(&[(1, "FR")]), (&listed, 9), closing(5, PlanKind::Input, 10));
        let holds = |c: Closing| shared.is_admitted("fraud", &segment("country", "FR"), c);
        assert!(holds(closing(5, PlanKind::Input, 10)) && holds(closing(5, PlanKind::Pair, 10)) && holds(closing(70, PlanKind::Pair, 11)));
        assert!(!holds(closing(5, PlanKind::Pair, 9)) && !holds(closing(70, PlanKind::Pair, 9)), "it did not hold then");
        assert!(!holds(closing(4, PlanKind::Input, 10)), "in a replay it was not known before");
    }
}
