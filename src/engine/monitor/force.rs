//! Definitions in force: which ones a pane is closed under, what happens to streams when others take their place or accept a change, and
//! the coordinator's answer to proposals.
//!
//! Guarantees: each pane is closed under one version, the same one in every replay; a version never holds for a pane that was closed
//! before it was read; definitions that were superseded come back with a higher revision alone.
//! Never: obeys a process's own file.
//! Comes from: proposals and definitions in `<app>.summaries`. Goes to: `<app>.summaries`, `<app>.plan`; `state` (the head).

use super::{Effects, Monitor, Raised, at, close};
use crate::engine::alert::Reason;
use crate::engine::definitions::Definitions;
use crate::engine::definitions::change::Change;
use crate::engine::detect::stream::{Rules, StreamKey};
use crate::engine::plan::{PlanRecord, Versioned};
use crate::engine::types::{EventTime, PaneId, PaneKind};
use crate::planted::{Bug, planted};
use std::rc::Rc;

/// One version, as this partition obeys it.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The definitions.
    pub versioned: Rc<Versioned>,
    /// The first panes closed under it: input, pair.
    pub from: [PaneId; 2],
    hash: Rc<str>,
}

impl InForce {
    /// A version that holds from these panes on.
    pub fn new(versioned: Versioned, from: [PaneId; 2]) -> InForce {
        let hash = versioned.definitions.hash().into();
        InForce { versioned: Rc::new(versioned), from, hash }
    }

    /// Models with a change that is meant, and the first pane after it.
    fn accepted(&self, kind: PaneKind) -> impl Iterator<Item = (&str, PaneId)> {
        let Definitions { models, pane, .. } = &self.versioned.definitions;
        let first = move |since: EventTime| pane.pane_of(EventTime(since.0.saturating_sub(1))).offset(1);
        models.iter().filter_map(move |(name, rules)| Some((name.as_str(), first(rules.accepted[at(kind)]?))))
    }

    /// By what streams judge.
    pub fn rules(&self) -> Rules<'_> {
        Rules { definitions: &self.versioned.definitions, definition_hash: &self.hash }
    }
}

/// What a partition knows of definitions.
#[derive(Default)]
pub(super) struct Force {
    /// Oldest first; each begins at or after the one before it.
    pub versions: Vec<InForce>,
    /// The coordinator's last answer, which it may not have read yet.
    pub assigned: Option<Versioned>,
    /// What it has replaced (`Definitions::content`).
    pub superseded: Vec<u64>,
}

impl Force {
    /// What a pane is closed under.
    pub fn of(&self, kind: PaneKind, pane: PaneId) -> Option<&InForce> {
        self.versions.iter().rev().find(|v| v.from[at(kind)] <= pane).or(self.versions.first())
    }

    /// The version that begins with a pane, and the one before it.
    fn beginning(&self, kind: PaneKind, pane: PaneId) -> Option<(&InForce, &InForce)> {
        let now = self.versions.iter().rposition(|v| v.from[at(kind)] == pane)?;
        let before = self.versions[..now].iter().rposition(|v| v.from[at(kind)] < pane)?;
        Some((&self.versions[before], &self.versions[now]))
    }

    /// The last pane of those from `pane` on that are closed under one version, with the same changes accepted.
    pub fn unchanged_until(&self, kind: PaneKind, pane: PaneId) -> PaneId {
        let versions = self.versions.iter().map(|v| v.from[at(kind)]);
        let accepted = self.of(kind, pane).into_iter().flat_map(|v| v.accepted(kind).map(|(_, first)| first));
        let next = versions.chain(accepted).filter(|from| *from > pane).min();
        next.map_or(PaneId(i64::MAX), |from| from.offset(-1))
    }

    /// The models that learn anew from a pane on: it is the first one after the instant that their rules name, or the version that names it
    /// comes only now.
    fn learning_anew(&self, kind: PaneKind, pane: PaneId) -> Vec<&str> {
        let Some(now) = self.of(kind, pane) else { return Vec::new() };
        let begins = |(before, _): (&InForce, &InForce), this: (&str, PaneId)| !before.accepted(kind).any(|known| known == this);
        let new = |model: &str, first| self.beginning(kind, pane).is_some_and(|versions| begins(versions, (model, first)));
        now.accepted(kind).filter(|(model, first)| *first == pane || *first < pane && new(model, *first)).map(|(model, _)| model).collect()
    }

    /// Whether what a model shows in input panes was accepted after `from`, as of `pane`.
    pub fn accepted_since(&self, model: &str, from: PaneId, pane: PaneId) -> bool {
        let mut accepted = self.of(PaneKind::Input, pane).into_iter().flat_map(|v| v.accepted(PaneKind::Input));
        accepted.any(|(name, first)| name == model && from < first && first <= pane)
    }

    /// Lets go of versions that no pane after `closed` is closed under.
    pub fn forget(&mut self, closed: [PaneId; 2]) {
        let over = self.versions.iter().skip(1).take_while(|v| (0..2).all(|k| v.from[k] <= closed[k])).count();
        self.versions.drain(..over);
    }
}

impl Monitor {
    /// The newest definitions.
    pub fn definitions(&self) -> Option<&Definitions> {
        self.force.versions.last().map(|v| &v.versioned.definitions)
    }

    /// Their hash.
    pub fn definition_hash(&self) -> &str {
        self.force.versions.last().map_or("", |v| &v.hash)
    }

    /// All versions that panes to come, or a replay, are closed under; oldest first.
    pub fn versions(&self) -> &[InForce] {
        &self.force.versions
    }

    /// Takes in the coordinator's answer. It holds from the pane it names, but for no pane that is closed already.
    pub(super) fn adopt(&mut self, versioned: Versioned) {
        let known = self.force.versions.last();
        if known.is_some_and(|v| v.versioned.version >= versioned.version) {
            return;
        }
        let mut from = [versioned.effective_from; 2];
        for kind in [0, 1] {
            let closed = self.closed.map_or(PaneId(i64::MIN), |closed| closed[kind].offset(1));
            from[kind] = from[kind].max(closed).max(known.map_or(PaneId(i64::MIN), |v| v.from[kind]));
        }
        if self.force.assigned.as_ref().is_none_or(|a| a.version < versioned.version) {
            self.force.assigned = Some(versioned.clone());
        }
        self.plan.observe(PlanRecord::Definitions(Box::new(versioned.clone())));
        self.force.versions.push(InForce::new(versioned, from));
    }

    /// The coordinator's work: the first proposal becomes version 1, which holds from the first pane; others take its place if they can.
    pub(super) fn consider(&mut self, proposal: Definitions, effects: &mut Effects) {
        let Some(known) = &self.force.assigned else {
            return self.assign(1, PaneId(i64::MIN), proposal, effects);
        };
        let (next, joined) = match known.definitions.change_to(&proposal) {
            Change::None => return,
            Change::Fixed(_) => {
                self.tally.refused_definitions += 1;
                return;
            }
            Change::Possible { next, joined, .. } => (next, joined),
        };
        let old = proposal.revision < known.definitions.revision
            || proposal.revision == known.definitions.revision && self.force.superseded.contains(&proposal.content());
        if old && !planted(Bug::ProposalWins) {
            self.tally.stale_definitions += 1;
            return;
        }
        let (version, replaced) = (known.version + 1, known.definitions.content());
        let mut from = known.effective_from;
        if let Some(closed) = self.closed.filter(|_| joined) {
            // as with bins: a pair can lie up to `early` beyond the outcome that the look-ahead has let in
            let margin = next.pane.panes_in(next.join.early) + 1;
            from = from.max(closed[0].max(closed[1]).offset(next.look_ahead() + 1 + margin));
        }
        self.force.superseded.push(replaced);
        self.assign(version, from, *next, effects);
    }

    fn assign(&mut self, version: u32, effective_from: PaneId, definitions: Definitions, effects: &mut Effects) {
        let versioned = Versioned { version, effective_from, definitions };
        self.force.assigned = Some(versioned.clone());
        effects.definitions.push(versioned);
    }

    /// Before a pane: if it is the first of a version, ends the streams that it has no place for; and those of models that learn anew.
    pub(super) fn begin_pane(&mut self, kind: PaneKind, pane: PaneId, effects: &mut Effects) {
        if let Some((before, now)) = self.force.beginning(kind, pane).map(|(a, b)| (a.clone(), b.clone())) {
            let (old, new) = (&before.versioned.definitions, &now.versioned.definitions);
            self.end_streams(kind, pane, Reason::Redefined, &|key| !old.keeps(new, key), effects);
            self.begin_version(kind, &now);
        }
        let anew: Vec<String> = self.force.learning_anew(kind, pane).into_iter().map(Into::into).collect();
        let once = self.replaying && planted(Bug::AcceptedOnce);
        if !anew.is_empty() && !once {
            self.end_streams(kind, pane, Reason::Accepted, &|key| anew.contains(&key.model) && key.form.has_a_past(), effects);
        }
        if !(self.replaying && planted(Bug::ProfileOnce)) {
            self.begin_profiles(kind, pane, effects);
        }
    }

    /// The last pane of those from `pane` on before which nothing begins.
    pub(super) fn unchanged_until(&self, kind: PaneKind, pane: PaneId) -> PaneId {
        let given = self.shared.profiles.next_after(pane).filter(|_| kind == PaneKind::Input);
        self.force.unchanged_until(kind, pane).min(given.map_or(PaneId(i64::MAX), |from| from.offset(-1)))
    }

    pub(super) fn end_streams(
        &mut self,
        kind: PaneKind,
        pane: PaneId,
        why: Reason,
        over: &dyn Fn(&StreamKey) -> bool,
        effects: &mut Effects,
    ) {
        let Some(size) = self.definitions().map(|d| d.pane) else { return };
        let mut out = Vec::new();
        let (replaying, ages, offset) = (self.replaying, &self.ages, self.now);
        self.streams.retain(|s| {
            let key = s.stream.key();
            let ends = close::kind_of(&key.signal) == kind && over(key) && (!replaying || ages.lacks(s.chunk, offset));
            if ends {
                out.extend(s.stream.end(why, size.start(pane)));
            }
            !ends
        });
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    /// With its first pane of the later kind.
    fn begin_version(&mut self, kind: PaneKind, now: &InForce) {
        let other = if kind == PaneKind::Input { PaneKind::Pair } else { PaneKind::Input };
        let both = self.closed.is_some_and(|closed| closed[at(other)].offset(1) >= now.from[at(other)]);
        if both
            && !self.replaying
            && let Some(newest) = self.force.versions.last()
        {
            // panes of both kinds are closed under it or a later one: what was refused for want of room may have some now
            self.shared.keep_segments(&newest.versioned.definitions.segments);
        }
    }
}
