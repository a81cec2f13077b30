//! A stream's reference while it grows: its counts, and what they show of chance and of the time of day.
//!
//! The counts are simply added up. How panes vary is measured on scores of a first part of them (`PROVISIONAL_EVENTS`), since the final
//! scores are known only in the end; variances are ratios, so that little depends on which scores they are. After a day all is measured anew
//! on the scores of that day beside it: errors that come with a nightly file need rates of all label ages.
//! - Under a day: variances as found, and an allowance: five times the tolerance is no evidence, as it may be the time of day.
//! - From a day: variances as found; they hold the daily wave, and so grow with the window.
//! - From seven days: the wave is taken out hour by hour (`season`), and variances are those of what is left.
//!
//! Guarantees: a function of the panes in order.

use super::FOLD_EVENTS;
use super::batches::{Batches, GroupBatches};
use super::channels::Watch;
use super::derived::Derived;
use super::noise::Noise;
use super::season::{HOURS, Overall, PSEUDO_EVENTS, Season};
use super::versions::LEAST_VARIANCE;
use crate::engine::baseline::disparity::Disparity;
use crate::engine::baseline::reference::{Observed, Tally};
use crate::engine::definitions::Tolerance;
use crate::engine::types::{PaneId, PaneSize, Span};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// The first scores are made of so many events, ...
pub const PROVISIONAL_EVENTS: u64 = 4_096;
/// ... or of so many folds, whichever come first.
pub const PROVISIONAL_FOLDS: u64 = 32;
/// The time of day is known when so many folds were compared with it.
const LEAST_DAILY: u32 = 100;
/// Categories are looked at in so many groups at most.
const MOST_GROUPS: usize = 16;
/// Below a day a change of less than so many tolerances is no evidence.
const GROSS: f64 = 5.0;

/// What a reference can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rung {
    /// Learnt by a version that took panes as independent.
    Unknown,
    /// Less than a day: gross changes only.
    Short,
    /// One to seven days.
    Days,
    /// Seven days and more: by hour of the day.
    Daily,
}

impl Rung {
    /// Its name in alerts and on the status page.
    pub fn word(self) -> &'static str {
        match self {
            Rung::Unknown => "range",
            Rung::Short => "short",
            Rung::Days => "days",
            Rung::Daily => "daily",
        }
    }
}

/// What a reference has shown beside its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// What it can promise.
    pub rung: Rung,
    /// Folds a day; 0: not known.
    pub folds_a_day: f32,
    /// Chance, by channel; empty: as of independent events.
    pub noise: Vec<Noise>,
    /// By hour of the day: by how much both scores (in standard deviations), or by which factor a rate, differ from the whole. Empty: not
    /// known.
    pub hours: Vec<[f32; 2]>,
}

impl Learnt {
    /// Nothing: panes are taken as independent.
    pub const NOTHING: Learnt = Learnt { rung: Rung::Unknown, folds_a_day: 0.0, noise: Vec::new(), hours: Vec::new() };
}

/// A growing reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learning {
    /// Its counts.
    pub reference: Tally,
    /// Panes with events.
    pub panes: u64,
    first: PaneId,
    pub(super) last: PaneId,
    /// Counts of the next fold.
    gathered: Option<Tally>,
    folds: u64,
    /// Folds until there are scores.
    early: Vec<Tally>,
    /// On the scores of the first events, and of the first day.
    looks: Vec<Looks>,
}

/// How panes vary.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Looks {
    /// What scores are made of.
    provisional: Tally,
    all: [Batches; 2],
    mix: GroupBatches,
    season: Season,
    /// Sums of the next fold less what the time of day makes one expect.
    open: Option<[f64; 3]>,
    rest: [Batches; 2],
    #[serde(skip)]
    derived: OnceLock<(Derived, [f64; 2])>,
}

impl Learning {
    /// Begins with a pane.
    pub fn new(pane: PaneId, tally: Tally) -> Learning {
        let mut learning = Learning {
            reference: tally.clone(),
            panes: 1,
            first: pane,
            last: pane,
            gathered: None,
            folds: 0,
            early: Vec::new(),
            looks: Vec::new(),
        };
        learning.gather(tally);
        learning
    }

    /// Goes on with counts of which nobody has looked at how they vary.
    pub(super) fn resumed(first: PaneId, reference: Tally, panes: u64) -> Learning {
        Learning { reference, panes, first, last: first, gathered: None, folds: 0, early: Vec::new(), looks: Vec::new() }
    }

    /// Adds a pane.
    pub fn add(&mut self, pane: PaneId, tally: Tally, size: PaneSize) {
        if self.looks.len() == 1 && self.span(size) >= Span::days(1) {
            self.looks.push(Looks::new(self.reference.clone(), pane, size));
        }
        let fits = self.reference.merge(&tally);
        debug_assert!(fits, "panes of one version fit together");
        (self.panes, self.last) = (self.panes + 1, pane);
        self.looks.iter_mut().for_each(|looks| looks.pane(pane, &tally, size));
        self.gather(tally);
        if self.looks.is_empty() && (self.reference.n() >= PROVISIONAL_EVENTS || self.folds >= PROVISIONAL_FOLDS) {
            let mut looks = Looks::new(self.reference.clone(), pane, size);
            self.early.drain(..).for_each(|fold| looks.fold(&fold));
            self.looks.push(looks);
        }
    }

    fn gather(&mut self, tally: Tally) {
        match &mut self.gathered {
            None => self.gathered = Some(tally),
            Some(gathered) => {
                let fits = gathered.merge(&tally);
                debug_assert!(fits, "panes of one version fit together");
            }
        }
        if let Some(fold) = self.gathered.take_if(|g| makes_a_fold(g)) {
            self.folds += 1;
            self.looks.iter_mut().for_each(|looks| looks.fold(&fold));
            if self.looks.is_empty() {
                self.early.push(fold);
            }
        }
    }

    /// Panes since the last row, where rows are counted.
    pub(super) fn quiet(&self) -> u64 {
        if let Tally::Volume(volume) = &self.reference { volume.quiet_now } else { 0 }
    }

    fn span(&self, size: PaneSize) -> Span {
        size.end(self.last).since(size.start(self.first))
    }

    /// What it can promise by now.
    pub fn rung(&self, size: PaneSize) -> Rung {
        let span = self.span(size);
        if span < Span::days(1) {
            Rung::Short
        } else if span < Span::days(7) || self.best().is_none_or(|looks| looks.rest[0].folds() < LEAST_DAILY) {
            Rung::Days
        } else {
            Rung::Daily
        }
    }

    /// Watches against what it is by now, or against what was given in its place: how panes vary is learnt from the stream in any case.
    pub fn watch(&self, size: PaneSize, tolerance: &Tolerance, given: Option<Observed<'_>>) -> Watch {
        let learnt = self.learnt(size, tolerance);
        match given.map(|given| given.to_tally()).filter(|given| given.compares_with(&self.reference)) {
            Some(given) => Watch::against(given, (&self.reference, self.panes), learnt),
            None => Watch::new(self.reference.clone(), self.panes, learnt),
        }
    }

    /// On the better scores, unless they have looked for much less time.
    fn best(&self) -> Option<&Looks> {
        let [first, later] = self.looks.as_slice() else { return self.looks.first() };
        Some(if later.all_folds() * 2 >= first.all_folds() { later } else { first })
    }

    /// What it has shown.
    pub fn learnt(&self, size: PaneSize, tolerance: &Tolerance) -> Learnt {
        if self.folds == 0 {
            return Learnt::NOTHING; // nobody has looked: counts of the first format
        }
        let events = self.reference.weight() as f64 / self.folds as f64;
        let span = self.span(size);
        let folds_a_day = (self.folds as f64 * Span::days(1).0 as f64 / span.0 as f64) as f32;
        let learnt = match self.best() {
            Some(looks) => looks.learnt(self.rung(size), &self.reference, tolerance, events),
            None => {
                let mut looks = Looks::new(self.reference.clone(), self.first, size);
                self.early.iter().for_each(|fold| looks.fold(fold));
                looks.learnt(self.rung(size), &self.reference, tolerance, events)
            }
        };
        Learnt { folds_a_day, ..learnt }
    }
}

impl Looks {
    fn new(provisional: Tally, pane: PaneId, size: PaneSize) -> Looks {
        Looks {
            provisional,
            all: Default::default(),
            mix: GroupBatches::default(),
            season: Season::new(size.start(pane)),
            open: None,
            rest: Default::default(),
            derived: OnceLock::new(),
        }
    }

    /// Scores, and their means over what they were made of.
    fn derived(&self) -> &(Derived, [f64; 2]) {
        self.derived.get_or_init(|| {
            let derived = Derived::of(&self.provisional);
            let means = derived.moments(&self.provisional).map(|m| m.0);
            (derived, means)
        })
    }

    fn all_folds(&self) -> u32 {
        self.all[0].folds().max(self.mix.folds())
    }

    /// A pane: the time of day.
    fn pane(&mut self, pane: PaneId, tally: &Tally, size: PaneSize) {
        let (derived, overall) = self.derived();
        let (sums, overall) = (derived.sums(tally), derived.drawn_to(*overall));
        if let Some(expected) = self.season.learn(pane, size, sums, overall) {
            let open = self.open.get_or_insert([0.0; 3]);
            (open[0], open[1], open[2]) = (open[0] + sums[0], open[1] + sums[1] - expected[0], open[2] + sums[2] - expected[1]);
        }
    }

    /// A fold: chance.
    fn fold(&mut self, fold: &Tally) {
        let [n, a, b] = self.derived().0.sums(fold);
        let groups = self.derived().0.grouped(fold).map(|g| coarse(&self.provisional_groups(), &g.counts));
        let sums = if matches!(fold, Tally::Numeric(_)) { 2 } else { 1 };
        if n > 0.0 {
            [a, b].iter().zip(&mut self.all).take(sums).for_each(|(s, batches)| batches.add(n, *s));
        }
        if let Some(counts) = groups {
            self.mix.add(&counts);
        }
        if let Some([n, a, b]) = self.open.take_if(|open| open[0] > 0.0) {
            [a, b].iter().zip(&mut self.rest).take(sums).for_each(|(s, batches)| batches.add(n, *s));
        }
    }

    fn provisional_groups(&self) -> Vec<u64> {
        self.derived().0.grouped(&self.provisional).map_or_else(Vec::new, |g| g.counts)
    }

    fn learnt(&self, rung: Rung, reference: &Tally, tolerance: &Tolerance, events: f64) -> Learnt {
        let moments = self.derived().0.moments(reference);
        let of = |batches: &[Batches; 2], i: usize| (batches[i].folds(), batches[i].excess(moments[i].1));
        let mix = || {
            let shape = self.provisional_groups();
            let counts = self.derived().0.grouped(reference).map_or_else(Vec::new, |g| coarse(&shape, &g.counts));
            (self.mix.folds(), self.mix.excess(&counts))
        };
        let categorical = matches!(reference, Tally::Categorical(_));
        let found = |channel: usize| match channel {
            // a wave of the mean is one of the mix, and the mean's own is known better
            2 => larger(mix(), &of(&self.all, 0).1),
            0 if categorical => mix(),
            i if rung == Rung::Daily => of(&self.rest, i),
            i => of(&self.all, i),
        };
        let derived = (rung == Rung::Short).then(|| Derived::of(reference));
        let allowance = |channel| derived.as_ref().map_or(0.0, |d| gross(d, tolerance, channel));
        let noise = |channel: usize| {
            let (folds, excess) = found(channel);
            Noise::new(folds.max(1), events, &excess, allowance(channel))
        };
        let noise = (0..channels(reference)).map(noise).collect();
        let hours = if rung == Rung::Daily && !categorical { self.hours(reference, moments) } else { Vec::new() };
        Learnt { rung, folds_a_day: 0.0, noise, hours }
    }

    fn hours(&self, reference: &Tally, moments: [(f64, f64); 2]) -> Vec<[f32; 2]> {
        let means: [[f64; 2]; HOURS] = self.season.means(self.derived().0.drawn_to(moments.map(|m| m.0)));
        let is_rate = matches!(reference, Tally::Rate { .. } | Tally::Errors(_) | Tally::Volume(_));
        let relative = |mean: f64, (overall, variance): (f64, f64)| match is_rate {
            true if overall > 0.0 => mean / overall,
            true => 1.0,
            false if variance > 0.0 => (mean - overall) / libm::sqrt(variance),
            false => 0.0,
        };
        means.iter().map(|hour| [0, 1].map(|i| relative(hour[i], moments[i]) as f32)).collect()
    }
}

/// Of two measurements of U the larger one at each length.
fn larger((folds, mut excess): (u32, Vec<f64>), other: &[f64]) -> (u32, Vec<f64>) {
    excess.iter_mut().zip(other).for_each(|(u, other)| *u = u.max(*other));
    (folds, excess)
}

/// Whether what has gathered is enough for a fold: events; a pane where rows are counted; errors where sides are compared.
pub(super) fn makes_a_fold(gathered: &Tally) -> bool {
    match gathered {
        Tally::Volume(_) => true,
        Tally::Gap(gap) | Tally::Disparity(Disparity { gap, .. }) => gap.variance >= LEAST_VARIANCE,
        _ => gathered.n() >= FOLD_EVENTS,
    }
}

impl Derived {
    /// What hours of which little is known are drawn to: by 50 events, of a rate by as many as hold 50 with the property, or by panes with 50
    /// rows.
    fn drawn_to(&self, means: [f64; 2]) -> Overall {
        let curved = matches!(self, Derived::Volume(_));
        let counted = curved || matches!(self, Derived::Rate { .. } | Derived::Errors { .. });
        let pseudo = if counted && means[0] > 0.0 { PSEUDO_EVENTS / means[0] } else { PSEUDO_EVENTS };
        Overall { means, pseudo, curved }
    }
}

/// Channels of a form.
fn channels(reference: &Tally) -> usize {
    if matches!(reference, Tally::Numeric(_)) { 3 } else { 1 }
}

/// What may be the time of day, squared: a short reference can't know it.
fn gross(reference: &Derived, tolerance: &Tolerance, channel: usize) -> f64 {
    let square = |x: f64| x * x;
    match (reference, channel) {
        (Derived::Numeric { .. }, 0) => square(GROSS * tolerance.location),
        (Derived::Numeric { scores, .. }, 1) if scores.spread > 0.0 => {
            square((square(1.0 + GROSS * tolerance.scale) - 1.0) / scores.spread)
        }
        (Derived::Rate { n, k } | Derived::Errors { n, k, .. }, _) => {
            let p = (k + 0.5) / (n + 1.0);
            let q = (p + GROSS * tolerance.rate_points.max(tolerance.rate_relative * p)).min(0.999);
            2.0 * (q * libm::log(q / p) + (1.0 - q) * libm::log((1.0 - q) / (1.0 - p)))
        }
        // nights are not seen: anything may be the time of day
        (Derived::Volume(_), _) => f64::INFINITY,
        // a shift of so many sigma has about its square as PSI
        (Derived::Numeric { .. }, _) => (GROSS * tolerance.psi).max(square(GROSS * tolerance.location)),
        _ => GROSS * tolerance.psi,
    }
}

/// The largest groups, and the rest as one: which these are, `provisional` says.
fn coarse(provisional: &[u64], counts: &[u64]) -> Vec<u64> {
    if counts.len() <= MOST_GROUPS {
        return counts.to_vec();
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(provisional[*i]), *i));
    let (large, small) = order.split_at(MOST_GROUPS - 1);
    let rest = small.iter().map(|i| counts[*i]).sum();
    large.iter().map(|i| counts[*i]).chain([rest]).collect()
}
