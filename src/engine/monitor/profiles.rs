//! Baselines that were given: what a file says is normal takes the place of what a model's first while has shown.
//!
//! Guarantees: a profile holds from a pane on that no source can have booked when it is read, as bins do; from that pane on its signals
//! are counted in its bins in all segments, what was learnt of them is let go of, and streams of all rows are compared with the file as
//! soon as they have learnt how panes vary. All of it follows from the offset that gave it and the pane it holds from, so a replay needs neither
//! the command nor the file.
//! Never: obeys a file a second time; compares a segment with the file, which knows all rows only; gives a later accepted change the
//! file's reference back.
//! Comes from: commands in `<app>.summaries`. Goes to: `<app>.plan` (bins), `shared` (what the state keeps), streams.

use super::force::Force;
use super::learn::LearnerKey;
use super::{Effects, Monitor, at};
use crate::engine::alert::Reason;
use crate::engine::baseline::profile::{Profile, Values};
use crate::engine::baseline::rarity::Rarity;
use crate::engine::baseline::reference::Observed;
use crate::engine::book::OUTLIER_SCORE;
use crate::engine::detect::stream::Form;
use crate::engine::plan::{Bins, EdgesRecord, PlanKind, PlanRecord};
use crate::engine::types::{Offset, PaneId, PaneKind};
use crate::planted::{Bug, planted};
use serde::{Deserialize, Serialize};

/// Profiles of a partition that are kept at a time.
const MOST: usize = 256;
/// Profiles that a partition has ever been given, so that none of them is obeyed twice.
const MOST_KNOWN: usize = 4_096;

/// A profile, and since when it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// `Profile::id`.
    pub id: u64,
    /// The command's offset.
    pub given_at: Offset,
    /// The first pane; none while no pane has been closed.
    pub from: Option<PaneId>,
    /// See there.
    pub profile: Profile,
}

/// All that were given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profiles {
    /// Those in force, to come, or still needed by a replay, in the order in which they came.
    given: Vec<Given>,
    /// Of all that ever came.
    known: Vec<u64>,
}

impl Profiles {
    /// True if there were never any.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The last one of a model that holds in a pane.
    fn of(&self, model: &str, pane: PaneId) -> Option<&Given> {
        self.given.iter().rev().find(|g| g.profile.model == model && g.from.is_some_and(|from| from <= pane))
    }

    /// What a stream of all rows is compared with in a pane, if that is a file, and no change was accepted since.
    pub(super) fn reference(&self, model: &str, signal: &str, form: Form, pane: PaneId, force: &Force) -> Option<Observed<'_>> {
        let given = self.of(model, pane)?;
        let accepted = force.accepted_since(model, given.from?, pane);
        given.profile.reference(signal, form).filter(|_| !accepted)
    }

    /// Whether the bins of a signal come from a file that was there when the record at `now` was read.
    pub(super) fn fixes(&self, (model, signal, texts): &LearnerKey, now: Offset) -> bool {
        let of_form = |values: &Values| *texts == matches!(values, Values::Texts { .. });
        let mut known = self.given.iter().filter(|g| g.given_at <= now && g.profile.model == *model);
        known.any(|g| g.profile.values_of(signal).any(of_form))
    }

    /// Those that begin with a pane.
    fn beginning(&self, pane: PaneId) -> impl Iterator<Item = &Profile> {
        self.given.iter().filter(move |g| g.from == Some(pane)).map(|g| &g.profile)
    }

    /// The next pane after `pane` with which one begins.
    pub(super) fn next_after(&self, pane: PaneId) -> Option<PaneId> {
        self.given.iter().filter_map(|g| g.from).filter(|from| *from > pane).min()
    }

    /// Lets go of those whose place another one took before `closed`. True if there were any.
    pub(super) fn forget(&mut self, closed: PaneId) -> bool {
        let over = |i: usize, all: &[Given]| {
            let later = |g: &Given| g.profile.model == all[i].profile.model && g.from.is_some_and(|from| from <= closed);
            all[i + 1..].iter().any(later)
        };
        let kept: Vec<bool> = (0..self.given.len()).map(|i| !over(i, &self.given)).collect();
        let mut keep = kept.iter();
        let before = self.given.len();
        self.given.retain(|_| keep.next().copied().unwrap_or(true));
        self.given.len() < before
    }
}

impl Monitor {
    /// What was given, with the first pane that each holds from: model, id, pane, predictions behind it.
    pub fn baselines(&self) -> impl Iterator<Item = (&str, u64, Option<PaneId>, u64)> {
        self.shared.profiles.given.iter().map(|g| (g.profile.model.as_str(), g.id, g.from, g.profile.rows))
    }

    /// Whether a file (`Profile::id`) has come already.
    pub fn knows_baseline(&self, id: u64) -> bool {
        self.shared.profiles.known.contains(&id)
    }

    /// Obeys a file, unless it did before.
    pub(super) fn give(&mut self, offset: Offset, profile: Profile, effects: &mut Effects) {
        let (id, profiles) = (profile.id(), &mut self.shared.profiles);
        if profiles.known.contains(&id) {
            return; // each process offers its file whenever it starts
        }
        if profiles.known.len() >= MOST_KNOWN || profiles.given.len() >= MOST {
            self.tally.refused_commands += 1;
            return;
        }
        profiles.known.push(id);
        profiles.given.push(Given { id, given_at: offset, from: None, profile });
        self.shared.changed = true;
        self.place_profiles(effects);
    }

    /// Says from which pane on the profiles hold that have none yet, once panes are closed at all; and publishes their bins.
    pub(super) fn place_profiles(&mut self, effects: &mut Effects) {
        let Some((closed, definitions)) = self.closed.zip(self.definitions()) else { return };
        let ahead = if planted(Bug::ProfileAtOnce) { 0 } else { definitions.look_ahead() };
        let (from, outliers) = (closed[at(PaneKind::Input)].offset(ahead + 1), definitions.outliers.is_some());
        let mut profiles = std::mem::take(&mut self.shared.profiles);
        for given in profiles.given.iter_mut().filter(|g| g.from.is_none()) {
            given.from = Some(from);
            let model = given.profile.model.clone();
            let features = given.profile.signals.iter().map(|s| s.signal.as_str());
            self.shared.add_features(&model, features, from);
            self.shared.changed = true;
            for (signal, bins) in self.bins_of(&given.profile, outliers) {
                let record = EdgesRecord { model: model.clone(), signal, kind: PlanKind::Input, effective_from: from, bins };
                self.plan.observe(PlanRecord::Edges(record.clone()));
                self.shared.edges.push(record.clone());
                effects.edges.push(record);
            }
        }
        self.shared.profiles = profiles;
    }

    /// A profile's bins, in the order of their names, each with the version that follows the one in force. How rare values are, and how far
    /// out together, is said once for all.
    fn bins_of(&self, profile: &Profile, outliers: bool) -> Vec<(String, Bins)> {
        let mut all = Vec::new();
        let known = |signal: &str, like: &dyn Fn(&Bins) -> Option<u32>| {
            let mine = self.shared.edges.iter().filter(|e| e.model == profile.model && e.signal == signal);
            mine.filter_map(|e| like(&e.bins)).max()
        };
        for s in &profile.signals {
            let (bins, rarity) = match s.values.clone() {
                Values::Numbers { mut edges, rarity, .. } => {
                    let last = known(&s.signal, &|bins| if let Bins::Numeric(e) = bins { Some(e.version) } else { None });
                    edges.version = last.unwrap_or(0) + 1;
                    (Bins::Numeric(edges), rarity)
                }
                Values::Texts { mut categories, rarity, .. } => {
                    let last = known(&s.signal, &|bins| if let Bins::Categories(c) = bins { Some(c.version) } else { None });
                    categories.version = last.unwrap_or(0) + 1;
                    (Bins::Categories(categories), rarity)
                }
            };
            all.push((s.signal.clone(), bins));
            let numbers = matches!(rarity, Rarity::Numbers { .. });
            let rare = known(&s.signal, &|bins| {
                let Bins::Rarity(known) = bins else { return None };
                (matches!(known, Rarity::Numbers { .. }) == numbers).then_some(1)
            });
            all.extend((outliers && rare.is_none()).then(|| (s.signal.clone(), Bins::Rarity(rarity))));
        }
        let together = profile.together.clone().filter(|_| outliers && !self.plan.knows_together(&profile.model));
        all.extend(together.map(|loda| (OUTLIER_SCORE.to_string(), Bins::Loda(loda))));
        all
    }

    /// Before a pane: streams that a file speaks of from here on begin anew.
    pub(super) fn begin_profiles(&mut self, kind: PaneKind, pane: PaneId, effects: &mut Effects) {
        let beginning: Vec<Profile> = match kind {
            PaneKind::Input => self.shared.profiles.beginning(pane).cloned().collect(),
            PaneKind::Pair => Vec::new(),
        };
        for profile in beginning {
            let spoken_of = |key: &super::StreamKey| key.model == profile.model && key.form.has_a_past() && profile.speaks_of(&key.signal);
            self.end_streams(kind, pane, Reason::Accepted, &spoken_of, effects);
        }
    }
}
