//! The statistics that watch one stream, and what they say after each fold.
//!
//! numeric: location, scale, shape (each with three times the stream's ARL); categorical: mix; rate and errors: one rate that
//! may rise; volume: more or fewer rows, and none at all; versions: more errors than older ones; groups: worse than others by more than a limit. A channel alarms if some window's statistic reaches the threshold *and* its effect passes the tolerance.
//! Guarantees: everything but the folds is derived from the pinned reference, so that state stays small and equal.

use super::bernoulli::RateUp;
use super::category::{Groups, Mix, evidence_from};
use super::derived::Derived;
pub use super::detector::Detector;
use super::dyadic::LARGEST;
use super::focus::{Family, Focus};
use super::learning::{Learnt, Rung};
use super::noise::{Noise, Window};
use super::pace::Pace;
use super::season::Place;
use super::thresholds::Statistic;
use super::versions::Versions;
use super::volume::{LEAST_EXPOSURE, Silence, VolumeFolds};
use super::{Candidate, FOLD_EVENTS, Fold, Gathered, bonus, disparity, effect};
use crate::engine::alert::Effect;
use crate::engine::baseline::disparity::Disparity;
use crate::engine::baseline::gap::Gap;
use crate::engine::baseline::reference::Tally;
use crate::engine::budget::ln_arl_of_channel;
use crate::engine::definitions::{Definitions, Tolerance};
use crate::engine::types::Span;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// The detectors of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Folds {
    Numeric(Box<Numeric>),
    Categorical(Mix),
    Rate(RateUp),
    Errors(RateUp),
    Volume(VolumeFolds),
    Versions(Box<Versions>),
    Disparity(Box<Versions>),
}

/// The three channels of a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Numeric {
    location: Focus,
    scale: Focus,
    shape: Mix,
}

/// A window in the terms that alerts are written in.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Counts per group or category (other and unseen last), and a number's sums.
    Groups(Groups),
    /// A rate.
    Rate {
        /// Events.
        n: u64,
        /// Events with the property.
        k: u64,
    },
    /// A volume.
    Volume {
        /// Panes.
        panes: u64,
        /// Rows.
        rows: u64,
    },
}

/// What one channel says.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Who says it.
    pub detector: Detector,
    /// The largest statistic of any window, in nats.
    pub statistic: f64,
    /// What it has to reach.
    pub threshold: f64,
    /// The window that shows it.
    pub best: Option<Candidate>,
    /// The best window among those that reach the threshold with an effect beyond the tolerance.
    pub beyond: Option<(Candidate, Effect)>,
}

impl Verdict {
    /// True if the channel alarms.
    pub fn alarms(&self) -> bool {
        self.beyond.is_some()
    }
}

/// The channels of one stream against its pinned reference.
#[derive(Debug, Serialize, Deserialize)]
pub struct Watch {
    reference: Tally,
    /// Events a pane with any. Where rows are counted: 1.
    events_a_pane: f64,
    folds: Folds,
    learnt: Learnt,
    #[serde(skip)]
    derived: OnceLock<Derived>,
    /// Thresholds of the channels, and the budget that they are for.
    #[serde(skip)]
    thresholds: Option<(BudgetKey, [f64; 3])>,
}

/// What a threshold depends on beside the stream: budget, streams, size of a pane.
type BudgetKey = (u64, i64, u32, i64);

fn budget_key(definitions: &Definitions) -> BudgetKey {
    let budget = &definitions.budget;
    (budget.false_alarms.to_bits(), budget.per.0, definitions.streams_cap, definitions.pane.0.0)
}

impl Clone for Watch {
    fn clone(&self) -> Self {
        Watch {
            reference: self.reference.clone(),
            events_a_pane: self.events_a_pane,
            folds: self.folds.clone(),
            learnt: self.learnt.clone(),
            derived: OnceLock::new(),
            thresholds: None,
        }
    }
}

/// Right and wrong ones of both sides.
fn four(counts: &[u64]) -> [u64; 4] {
    std::array::from_fn(|i| counts.get(i).copied().unwrap_or(0))
}

fn start(derived: &Derived) -> Folds {
    match derived {
        Derived::Numeric { scores, counts, .. } => Folds::Numeric(Box::new(Numeric {
            location: Focus::new(scores.family(0), scores.m),
            scale: Focus::new(scores.family(1), scores.m),
            shape: Mix::new(counts.clone()),
        })),
        Derived::Categorical { counts } => Folds::Categorical(Mix::new(counts.clone())),
        Derived::Rate { n, k } => Folds::Rate(RateUp::new(*n, *k)),
        Derived::Errors { n, k, .. } => Folds::Errors(RateUp::new(*n, *k)),
        Derived::Volume(volume) => Folds::Volume(VolumeFolds::new(volume)),
        Derived::Gap => Folds::Versions(Box::default()),
        Derived::Disparity(_) => Folds::Disparity(Box::default()),
    }
}

/// Events a pane with any. Where rows are counted: 1.
fn events_a_pane(reference: &Tally, panes: u64) -> f64 {
    match reference {
        Tally::Volume(_) => 1.0,
        Tally::Gap(_) | Tally::Disparity(_) => FOLD_EVENTS as f64,
        _ => reference.n() as f64 / panes.max(1) as f64,
    }
}

impl Watch {
    /// Starts to watch. `panes` is the number of reference panes with events.
    pub fn new(reference: Tally, panes: u64, learnt: Learnt) -> Watch {
        let events_a_pane = events_a_pane(&reference, panes);
        Watch::at_pace(reference, events_a_pane, learnt)
    }

    /// Starts to watch against a reference that did not come in panes; `seen` were so many panes of the stream's own.
    pub(super) fn against(reference: Tally, seen: (&Tally, u64), learnt: Learnt) -> Watch {
        Watch::at_pace(reference, events_a_pane(seen.0, seen.1), learnt)
    }

    fn at_pace(reference: Tally, events_a_pane: f64, learnt: Learnt) -> Watch {
        let derived = Derived::of(&reference);
        let folds = start(&derived);
        Watch { reference, events_a_pane, folds, learnt, derived: OnceLock::from(derived), thresholds: None }
    }

    /// How often it folds.
    pub fn pace(&self) -> Pace {
        if matches!(self.reference, Tally::Volume(_)) { Pace::EACH_PANE } else { Pace::of(self.events_a_pane) }
    }

    fn events_a_fold(&self) -> f64 {
        self.events_a_pane * self.pace().panes() as f64
    }

    /// Goes on with what was written.
    pub(super) fn resumed(reference: Tally, events_a_pane: f64, folds: Folds, learnt: Learnt) -> Watch {
        Watch { reference, events_a_pane, folds, learnt, derived: OnceLock::new(), thresholds: None }
    }

    /// Forgets all folds; the reference stays, and a pause goes on.
    pub fn restart(&mut self) {
        let mut folds = start(self.derived());
        if let (Folds::Volume(new), Folds::Volume(old)) = (&mut folds, &self.folds) {
            new.silence.resume(&old.silence);
        }
        self.folds = folds;
    }

    /// Takes the place of a watch against less of the reference: a pause goes on.
    pub(super) fn follow(&mut self, before: &Watch) {
        if let (Folds::Volume(new), Folds::Volume(old)) = (&mut self.folds, &before.folds) {
            new.silence.resume(&old.silence);
        }
    }

    /// The present pause of a stream that counts rows.
    pub(super) fn silence(&self) -> Option<&Silence> {
        match &self.folds {
            Folds::Volume(folds) => Some(&folds.silence),
            _ => None,
        }
    }

    /// A pane while an episode is open: pauses are counted all the same.
    pub(super) fn pause(&mut self, pane: &Tally, expected: [f64; 2], at: Gathered) {
        if let (Folds::Volume(folds), Tally::Volume(volume)) = (&mut self.folds, pane) {
            folds.silence.observe(&[expected[0], volume.rows as f64, volume.panes as f64], at);
        }
    }

    /// The pinned reference.
    pub fn reference(&self) -> &Tally {
        &self.reference
    }

    /// What the reference can promise.
    pub fn rung(&self) -> Rung {
        self.learnt.rung
    }

    fn derived(&self) -> &Derived {
        self.derived.get_or_init(|| Derived::of(&self.reference))
    }

    fn noise(&self, detector: Detector) -> &Noise {
        static INDEPENDENT: Noise = Noise::INDEPENDENT;
        self.learnt.noise.get(detector.channel()).unwrap_or(&INDEPENDENT)
    }

    /// What the time of day makes one expect of a pane: the sums of both scores, or the exposure of a rate.
    pub fn expected(&self, pane: &Tally, at: Place) -> [f64; 2] {
        let n = self.derived().events(pane);
        let hours = &self.learnt.hours;
        let there = |i: usize, unknown: f64| n * at.between(|h| hours.get(h).map_or(unknown, |means| f64::from(means[i])));
        match self.folds {
            Folds::Numeric(_) => [there(0, 0.0), there(1, 0.0)],
            Folds::Categorical(_) | Folds::Versions(_) | Folds::Disparity(_) => [0.0; 2],
            Folds::Rate(_) | Folds::Errors(_) => [there(0, 1.0), 0.0],
            Folds::Volume(_) => {
                let share = at.curved(|h| hours.get(h).map_or(1.0, |means| f64::from(means[0])));
                [n * share.max(LEAST_EXPOSURE), 0.0]
            }
        }
    }

    /// Reads a gathered pane. `expected` is the sum of what was expected of its panes.
    pub fn observe(&mut self, pane: &Tally, expected: [f64; 2], at: Gathered) {
        if let (Folds::Versions(folds), Tally::Gap(gap)) | (Folds::Disparity(folds), Tally::Disparity(Disparity { gap, .. })) =
            (&mut self.folds, pane)
        {
            return folds.observe(gap, at);
        }
        let derived = self.derived.get_or_init(|| Derived::of(&self.reference));
        let [n, a, b] = derived.sums(pane);
        match (&mut self.folds, derived.grouped(pane)) {
            (Folds::Numeric(folds), Some(groups)) => {
                let (a, b) = (a - expected[0], b - expected[1]);
                folds.location.observe(&[n, a, b], at);
                folds.scale.observe(&[n, b, a], at);
                folds.shape.observe(&groups, at);
            }
            (Folds::Categorical(mix), Some(groups)) => mix.observe(&groups, at),
            (Folds::Rate(rate) | Folds::Errors(rate), None) => {
                // no rate is above one
                rate.observe(&[expected[0].max(a), a, pane.n() as f64], at);
            }
            (Folds::Volume(folds), None) => {
                let counted = [expected[0], a, n];
                folds.rows.observe(&counted, at);
                folds.silence.observe(&counted, at);
            }
            _ => debug_assert!(false, "a stream has one form"),
        }
    }

    /// What all channels say now, in a fixed order.
    pub fn verdicts(&self, definitions: &Definitions) -> Vec<Verdict> {
        self.judged(definitions, 0.0)
    }

    /// Those that alarm. Costs a fraction, as most windows are far below every threshold.
    pub fn alarms(&mut self, definitions: &Definitions) -> Vec<Verdict> {
        let key = budget_key(definitions);
        if self.thresholds.is_none_or(|(of, _)| of != key) {
            let mut thresholds = [0.0; 3];
            self.detectors().iter().for_each(|d| thresholds[d.channel()] = self.threshold(*d, definitions));
            self.thresholds = Some((key, thresholds));
        }
        self.judged(definitions, 1.0)
    }

    fn detectors(&self) -> &'static [Detector] {
        match &self.folds {
            Folds::Numeric(_) => &[Detector::Location, Detector::Scale, Detector::Shape],
            Folds::Categorical(_) => &[Detector::Mix],
            Folds::Rate(_) => &[Detector::Rate],
            Folds::Errors(_) => &[Detector::Errors],
            Folds::Volume(_) => &[Detector::Volume, Detector::Silence],
            Folds::Versions(_) => &[Detector::Version],
            Folds::Disparity(_) => &[Detector::Disparity],
        }
    }

    /// `floor`: if more than 0, only those that alarm; statistics below this part of their threshold need not be right.
    fn judged(&self, definitions: &Definitions, floor: f64) -> Vec<Verdict> {
        let verdict = |detector: &Detector| match (&self.folds, detector) {
            (Folds::Numeric(folds), Detector::Location) => self.verdict(*detector, &folds.location, definitions, floor),
            (Folds::Numeric(folds), Detector::Scale) => self.verdict(*detector, &folds.scale, definitions, floor),
            (Folds::Numeric(folds), _) => {
                self.refined(&folds.shape, self.verdict(*detector, &folds.shape, definitions, floor), definitions)
            }
            (Folds::Categorical(mix), _) => self.refined(mix, self.verdict(*detector, mix, definitions, floor), definitions),
            (Folds::Rate(rate) | Folds::Errors(rate), _) => self.verdict(*detector, rate, definitions, floor),
            (Folds::Volume(folds), Detector::Silence) => self.verdict(*detector, &folds.silence, definitions, floor),
            (Folds::Volume(folds), _) => self.verdict(*detector, &folds.rows, definitions, floor),
            (Folds::Versions(folds) | Folds::Disparity(folds), _) => self.verdict(*detector, &**folds, definitions, floor),
        };
        let said = self.detectors().iter().map(verdict);
        if floor > 0.0 { said.filter(Verdict::alarms).collect() } else { said.collect() }
    }

    fn verdict<F: Fold>(&self, detector: Detector, fold: &F, definitions: &Definitions, floor: f64) -> Verdict {
        let threshold = self.threshold(detector, definitions);
        let (mut best, mut beyond): (Option<Candidate>, Option<(Candidate, Effect)>) = (None, None);
        fold.candidates(self.noise(detector), threshold * floor, &mut |c| {
            if best.is_none_or(|b| c.statistic > b.statistic) {
                best = Some(c);
            }
            // each window for itself: a long one with a small effect hides no short one with a large effect
            if c.statistic >= threshold && beyond.as_ref().is_none_or(|(b, _)| c.statistic > b.statistic) {
                let effect = self.effect(detector, &c, &definitions.tolerance);
                if effect::beyond(&effect) {
                    beyond = Some((c, effect));
                }
            }
        });
        Verdict { detector, statistic: best.map_or(0.0, |c| c.statistic), threshold, best, beyond }
    }

    /// An alarm of G with the change point that fits best; the evidence stays as tested.
    fn refined(&self, mix: &Mix, mut verdict: Verdict, definitions: &Definitions) -> Verdict {
        if let Some((found, size)) = &mut verdict.beyond
            && let Some(block) = mix.refine()
        {
            let refined = self.mix_effect(verdict.detector, &block.counts, block.folds, &definitions.tolerance);
            if effect::beyond(&refined) {
                *found = Candidate { first: block.first, folds: block.folds, n: block.n() as f64, ..*found };
                *size = refined;
            }
        }
        verdict
    }

    /// How large the change in a window of a channel is.
    pub fn effect(&self, detector: Detector, c: &Candidate, tolerance: &Tolerance) -> Effect {
        match (detector, self.derived()) {
            (Detector::Location, Derived::Numeric { scores, .. }) => {
                effect::location(c.n, c.sum, scores.m, self.phi(detector, c.folds, c.n), tolerance)
            }
            (Detector::Scale, Derived::Numeric { scores, .. }) => {
                effect::scale(c.n, [c.sum, c.along], (scores.m, scores.spread), self.phi(detector, c.folds, c.n), tolerance)
            }
            (_, Derived::Rate { n, k } | Derived::Errors { n, k, .. }) => {
                effect::rate((c.n, c.sum), (*n, *k), self.phi(detector, c.folds, c.n), tolerance)
            }
            (_, Derived::Gap) => {
                let counts = self.mix().and_then(|mix| mix.since(c.first)).map_or([0; 4], |block| four(&block.counts));
                effect::gap((c.n, c.sum, c.along), (counts[2] + counts[3], counts[3]), tolerance)
            }
            (_, Derived::Disparity(limit)) => {
                disparity::effect(&Gap { variance: c.n, excess: c.sum, weight: c.along, ..Gap::default() }, *limit)
            }
            (_, Derived::Volume(v)) => {
                effect::volume((c.n, c.sum), (v.panes as f64, v.rows as f64), self.phi(detector, c.folds, c.n), tolerance)
            }
            (_, Derived::Numeric { counts, .. } | Derived::Categorical { counts }) => {
                let window = self.mix().and_then(|mix| mix.since(c.first));
                let counts = window.map_or_else(|| vec![0; counts.len()], |block| block.counts);
                self.mix_effect(detector, &counts, c.folds, tolerance)
            }
        }
    }

    fn mix_effect(&self, detector: Detector, window: &[u64], folds: u32, tolerance: &Tolerance) -> Effect {
        let n = window.iter().sum::<u64>().max(1) as f64;
        let reference = match self.derived() {
            Derived::Numeric { counts, .. } | Derived::Categorical { counts } => counts,
            _ => unreachable!("a mix has groups"),
        };
        effect::mix(window, reference, self.phi(detector, folds, n), tolerance)
    }

    /// A window against the reference alone.
    fn window(&self, folds: u32, n: f64) -> Window {
        Window { folds, n, before: self.reference.weight().max(1) as f64, history: 0 }
    }

    fn phi(&self, detector: Detector, folds: u32, n: f64) -> f64 {
        self.noise(detector).phi(&self.window(folds, n))
    }

    /// The threshold of a channel under the budget in force, in nats.
    pub fn threshold(&self, detector: Detector, definitions: &Definitions) -> f64 {
        if let Some((_, known)) = self.thresholds.filter(|(key, _)| *key == budget_key(definitions)) {
            return known[detector.channel()];
        }
        if detector == Detector::Silence {
            // a reference of less than a day has not seen the pauses of the night
            return if self.rung() == Rung::Short { f64::INFINITY } else { ln_arl_of_channel(definitions, 2) };
        }
        let real = |counts: &[u64]| counts.iter().filter(|c| **c > 0).count().max(2) as f64;
        let (statistic, class, channels) = match (detector, self.derived()) {
            (Detector::Location, Derived::Numeric { scores, .. }) => (Statistic::Location, scores.real_bins.max(2) as f64, 3),
            (Detector::Scale, Derived::Numeric { scores, .. }) => (Statistic::Scale, scores.real_bins.max(2) as f64, 3),
            (_, Derived::Numeric { counts, .. }) => (Statistic::Mix, real(counts), 3),
            (_, Derived::Categorical { counts }) => (Statistic::Mix, real(counts), 1),
            (_, Derived::Rate { n, k } | Derived::Errors { n, k, .. }) => (Statistic::Rate, (k + 0.5) / (n + 1.0), 1),
            // counts of a fold are standardised values of one bin each, as far as the table cares
            (_, Derived::Volume(_)) => (Statistic::Location, 64.0, 2),
            (_, Derived::Gap | Derived::Disparity(_)) => (Statistic::Location, 64.0, 1),
        };
        statistic.threshold(self.events_a_fold(), class, self.pace().ln_arl(ln_arl_of_channel(definitions, channels)))
    }

    /// Nats of threshold per unit of ln ARL of a channel.
    pub fn slope(&self, detector: Detector) -> f64 {
        match detector {
            Detector::Location => Statistic::Location.table().slope,
            Detector::Scale => Statistic::Scale.table().slope,
            Detector::Shape | Detector::Mix => Statistic::Mix.table().slope,
            Detector::Rate | Detector::Errors => Statistic::Rate.table().slope,
            Detector::Volume | Detector::Version | Detector::Disparity => Statistic::Location.table().slope,
            Detector::Silence => 1.0,
        }
    }

    /// A single window of `folds` gathered panes against the reference alone: statistic and effect of one channel.
    pub fn compare(&self, detector: Detector, window: &Tally, expected: [f64; 2], folds: u32, tolerance: &Tolerance) -> (f64, Effect) {
        let derived = self.derived();
        let [n, a, b] = derived.sums(window);
        let noise = self.noise(detector);
        match (derived, detector) {
            (Derived::Numeric { scores, .. }, Detector::Location | Detector::Scale) => {
                let (a, b) = (a - expected[0], b - expected[1]);
                let (at, phi) = (self.window(folds, n), self.phi(detector, folds, n));
                let lr = |channel: usize, sum: f64| scores.family(channel).ratio((scores.m, 0.0), (n, sum));
                if detector == Detector::Location {
                    (noise.tempered(lr(0, a), &at) + bonus(folds), effect::location(n, a, scores.m, phi, tolerance))
                } else {
                    let effect = effect::scale(n, [b, a], (scores.m, scores.spread), phi, tolerance);
                    (noise.tempered(lr(1, b), &at) + bonus(folds), effect)
                }
            }
            (Derived::Rate { n: m, k: r } | Derived::Errors { n: m, k: r, .. }, _) => {
                let window = (expected[0].max(a), a);
                let at = self.window(folds, window.0);
                let up = window.1 / window.0 > r / m;
                let statistic = if up { Family::Bernoulli.evidence((*m, *r), window, noise, &at) + bonus(folds) } else { 0.0 };
                (statistic, effect::rate(window, (*m, *r), noise.phi(&at), tolerance))
            }
            (Derived::Gap, _) => {
                let Tally::Gap(gap) = window else { unreachable!("a stream has one form") };
                let effect = effect::gap((gap.variance, gap.excess, gap.weight), (gap.others_n, gap.others_k), tolerance);
                (Versions::statistic_of(gap, folds), effect)
            }
            (Derived::Disparity(limit), _) => {
                let Tally::Disparity(Disparity { gap, .. }) = window else { unreachable!("a stream has one form") };
                (Versions::statistic_of(gap, folds), disparity::effect(gap, *limit))
            }
            (Derived::Volume(v), _) => {
                let (reference, rows) = ((v.panes as f64, v.rows as f64), (expected[0], a));
                let at = self.window(folds, expected[0]);
                let statistic = match detector {
                    Detector::Silence if a > 0.0 => 0.0,
                    Detector::Silence => self.silence().map_or(0.0, |s| s.statistic_of(u64::from(folds))),
                    _ => Family::Poisson.evidence(reference, rows, noise, &at) + bonus(folds),
                };
                (statistic, effect::volume(rows, reference, noise.phi(&at), tolerance))
            }
            (Derived::Numeric { counts, .. } | Derived::Categorical { counts }, _) => {
                let now = derived.grouped(window).map_or_else(|| vec![0; counts.len()], |g| g.counts);
                let at = self.window(folds, n);
                let phi = noise.phi(&at);
                let nats = evidence_from(&now, counts, phi, 0.0);
                (noise.certain(nats, phi, &at), effect::mix(&now, counts, phi, tolerance))
            }
        }
    }

    /// The events of a window, as precisely as the past is remembered.
    pub fn content_since(&self, window: &Candidate) -> Content {
        match self.mix() {
            Some(mix) => Content::Groups(mix.since(window.first).map_or_else(
                || Groups { counts: vec![0; mix.reference().len()], sum: 0, squares: 0 },
                |b| Groups { counts: b.counts, sum: b.sum, squares: b.squares },
            )),
            None if self.silence().is_some() => Content::Volume { panes: window.along as u64, rows: window.sum as u64 },
            None => Content::Rate { n: window.along as u64, k: window.sum as u64 },
        }
    }

    fn mix(&self) -> Option<&Mix> {
        match &self.folds {
            Folds::Numeric(folds) => Some(&folds.shape),
            Folds::Versions(folds) | Folds::Disparity(folds) => Some(&folds.counts),
            Folds::Categorical(mix) => Some(mix),
            Folds::Rate(_) | Folds::Errors(_) | Folds::Volume(_) => None,
        }
    }

    /// A tally in the terms that alerts are written in.
    pub fn content(&self, tally: &Tally) -> Content {
        match (self.derived().grouped(tally), tally) {
            (Some(groups), _) => Content::Groups(groups),
            (None, Tally::Errors(counts)) => Content::Rate { n: counts.n(), k: counts.k() },
            (None, Tally::Volume(volume)) => Content::Volume { panes: volume.panes, rows: volume.rows },
            (None, _) => Content::Rate { n: tally.n(), k: if let Tally::Rate { k, .. } = tally { *k } else { 0 } },
        }
    }

    /// The group of each bin (numeric streams).
    pub fn groups(&self) -> Option<&[u8]> {
        match self.derived() {
            Derived::Numeric { groups, .. } => Some(groups),
            _ => None,
        }
    }

    /// The smallest effect that a change has to have to be found within a day, in the unit of the channel's effect.
    pub fn smallest_detectable(&self, detector: Detector, definitions: &Definitions) -> f64 {
        let (threshold, noise) = (self.threshold(detector, definitions), self.noise(detector));
        let panes = Span::days(1).0 as f64 / definitions.pane.0.0.max(1) as f64;
        let most = panes / self.pace().panes() as f64;
        let folds = if self.learnt.folds_a_day > 0.0 { most.min(f64::from(self.learnt.folds_a_day)) } else { most };
        let mut sigma = f64::INFINITY;
        for scale in 0..=(folds as u32).clamp(1, LARGEST).ilog2() {
            let folds = 1u32 << scale;
            let nats = threshold - if matches!(detector, Detector::Shape | Detector::Mix) { 0.0 } else { bonus(folds) };
            sigma = sigma.min(noise.visible(nats, &self.window(folds, f64::from(folds) * self.events_a_fold())));
        }
        match self.derived() {
            Derived::Numeric { scores, .. } if detector == Detector::Scale => libm::sqrt(1.0 + sigma * scores.spread) - 1.0,
            Derived::Numeric { .. } if detector == Detector::Location => sigma,
            Derived::Rate { n, k } | Derived::Errors { n, k, .. } => {
                let p = (k + 0.5) / (n + 1.0);
                100.0 * sigma * libm::sqrt(p * (1.0 - p))
            }
            Derived::Volume(_) if detector == Detector::Silence && self.rung() > Rung::Short => 1.0,
            Derived::Gap | Derived::Disparity(_) => f64::INFINITY, // it depends on how much the version or group gets
            Derived::Volume(v) => sigma * libm::sqrt(v.panes as f64 / v.rows.max(1) as f64),
            _ => sigma * sigma,
        }
    }
}
