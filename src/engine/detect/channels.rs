//! The statistics that watch one stream, and what they say after each fold.
//!
//! numeric: location, scale, shape (each with three times the stream's ARL); categorical: mix; rate and errors: one rate that
//! may rise. A channel alarms if some window's statistic reaches the threshold *and* its effect passes the tolerance.
//! Guarantees: everything but the folds is derived from the pinned reference, so that state stays small and equal.

use super::bernoulli::RateUp;
use super::category::{Groups, Mix, evidence};
use super::errors::AgeRates;
use super::focus::{Family, Focus};
use super::normal_scores::Scores;
use super::thresholds::Statistic;
use super::{Candidate, FOLD_EVENTS, Fold, Gathered, Noise, bonus, effect, groups};
use crate::engine::alert::Effect;
use crate::engine::baseline::reference::Tally;
use crate::engine::budget::ln_arl_of_channel;
use crate::engine::definitions::{Definitions, Tolerance};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Which statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detector {
    /// Mean of normal scores.
    Location,
    /// Mean of squared normal scores.
    Scale,
    /// Grouped bins of a number.
    Shape,
    /// Categories.
    Mix,
    /// A rate that may rise.
    Rate,
    /// Errors by label age.
    Errors,
}

impl Detector {
    /// The word in alerts and fingerprints. Fixed for ever.
    pub fn word(self) -> &'static str {
        match self {
            Detector::Location => "focus_location",
            Detector::Scale => "focus_scale",
            Detector::Shape => "g_shape",
            Detector::Mix => "g_mix",
            Detector::Rate => "focus_rate",
            Detector::Errors => "focus_errors",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Folds {
    Numeric(Box<Numeric>),
    Categorical(Mix),
    Rate(RateUp),
    Errors(RateUp),
}

/// The three channels of a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Numeric {
    location: Focus,
    scale: Focus,
    shape: Mix,
}

/// What follows from the reference.
#[derive(Clone, Debug)]
enum Derived {
    Numeric { scores: Scores, groups: Vec<u8>, counts: Vec<u64> },
    Categorical { counts: Vec<u64> },
    Rate { n: f64, k: f64 },
    Errors { rates: AgeRates, n: f64, k: f64 },
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
    events_per_fold: f64,
    folds: Folds,
    #[serde(skip)]
    derived: OnceLock<Derived>,
}

impl Clone for Watch {
    fn clone(&self) -> Self {
        Watch {
            reference: self.reference.clone(),
            events_per_fold: self.events_per_fold,
            folds: self.folds.clone(),
            derived: OnceLock::new(),
        }
    }
}

fn category_groups(counts: &crate::engine::summary::category::CategoryCounts) -> Vec<u64> {
    counts.counts.iter().copied().chain([counts.other, counts.unseen]).collect()
}

fn derive(reference: &Tally) -> Derived {
    match reference {
        Tally::Numeric(bins) => {
            let groups = groups::group(&bins.counts);
            let counts = groups::grouped(&bins.counts, &groups);
            Derived::Numeric { scores: Scores::of(&bins.counts), groups, counts }
        }
        Tally::Categorical(counts) => Derived::Categorical { counts: category_groups(counts) },
        Tally::Rate { n, k } => Derived::Rate { n: *n as f64, k: *k as f64 },
        Tally::Errors(counts) => Derived::Errors { rates: AgeRates::of(counts), n: counts.n() as f64, k: counts.k() as f64 },
    }
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
    }
}

impl Watch {
    /// Starts to watch. `panes` is the number of reference panes with events.
    pub fn new(reference: Tally, panes: u64) -> Watch {
        let derived = derive(&reference);
        let events_per_fold = (reference.n() as f64 / panes.max(1) as f64).max(FOLD_EVENTS as f64);
        let folds = start(&derived);
        Watch { reference, events_per_fold, folds, derived: OnceLock::from(derived) }
    }

    /// Forgets all folds; the reference stays.
    pub fn restart(&mut self) {
        self.folds = start(self.derived());
    }

    /// The pinned reference.
    pub fn reference(&self) -> &Tally {
        &self.reference
    }

    fn derived(&self) -> &Derived {
        self.derived.get_or_init(|| derive(&self.reference))
    }

    /// Reads a gathered pane.
    pub fn observe(&mut self, pane: &Tally, at: Gathered) {
        let derived = self.derived.get_or_init(|| derive(&self.reference));
        match (&mut self.folds, derived, pane) {
            (Folds::Numeric(folds), Derived::Numeric { scores, groups, .. }, Tally::Numeric(bins)) => {
                let (n, a, b) = scores.sums(&bins.counts);
                folds.location.observe(&[n, a, b], at);
                folds.scale.observe(&[n, b, a], at);
                let counts = groups::grouped(&bins.counts, groups);
                folds.shape.observe(&Groups { counts, sum: bins.sum, squares: bins.sum_squares }, at);
            }
            (Folds::Categorical(mix), _, Tally::Categorical(counts)) => {
                mix.observe(&Groups { counts: category_groups(counts), sum: 0, squares: 0 }, at);
            }
            (Folds::Rate(rate), _, Tally::Rate { n, k }) => rate.observe(&[*n as f64, *k as f64, *n as f64], at),
            (Folds::Errors(rate), Derived::Errors { rates, .. }, Tally::Errors(counts)) => {
                rate.observe(&[rates.exposure(counts), counts.k() as f64, counts.n() as f64], at);
            }
            _ => debug_assert!(false, "a stream has one form"),
        }
    }

    /// What all channels say now, in a fixed order.
    pub fn verdicts(&self, definitions: &Definitions) -> Vec<Verdict> {
        self.judged(definitions, 0.0)
    }

    /// The same for whoever asks for alarms only: where none is possible, the statistic may be given as too small.
    pub fn alarms(&self, definitions: &Definitions) -> Vec<Verdict> {
        self.judged(definitions, 1.0)
    }

    /// `floor`: statistics below this part of their threshold need not be right.
    fn judged(&self, definitions: &Definitions, floor: f64) -> Vec<Verdict> {
        let refined = |mix, verdict| self.refined(mix, verdict, definitions);
        match &self.folds {
            Folds::Numeric(folds) => vec![
                self.verdict(Detector::Location, &folds.location, definitions, floor),
                self.verdict(Detector::Scale, &folds.scale, definitions, floor),
                refined(&folds.shape, self.verdict(Detector::Shape, &folds.shape, definitions, floor)),
            ],
            Folds::Categorical(mix) => vec![refined(mix, self.verdict(Detector::Mix, mix, definitions, floor))],
            Folds::Rate(rate) => vec![self.verdict(Detector::Rate, rate, definitions, floor)],
            Folds::Errors(rate) => vec![self.verdict(Detector::Errors, rate, definitions, floor)],
        }
    }

    fn verdict<F: Fold>(&self, detector: Detector, fold: &F, definitions: &Definitions, floor: f64) -> Verdict {
        let threshold = self.threshold(detector, definitions);
        let (mut best, mut beyond): (Option<Candidate>, Option<(Candidate, Effect)>) = (None, None);
        fold.candidates(&Noise, threshold * floor, &mut |c| {
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
            let refined = effect::mix(&block.counts, mix.reference(), &definitions.tolerance);
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
            (Detector::Location, Derived::Numeric { scores, .. }) => effect::location(c.n, c.sum, scores.m, tolerance),
            (Detector::Scale, Derived::Numeric { scores, .. }) => effect::scale(c.n, c.sum, c.along, scores.spread, scores.m, tolerance),
            (_, Derived::Rate { n, k } | Derived::Errors { n, k, .. }) => effect::rate((c.n, c.sum), (*n, *k), tolerance),
            (_, Derived::Numeric { counts, .. } | Derived::Categorical { counts }) => {
                let window = self.mix().and_then(|mix| mix.since(c.first));
                effect::mix(&window.map_or_else(|| vec![0; counts.len()], |block| block.counts), counts, tolerance)
            }
        }
    }

    /// The threshold of a channel under the budget in force, in nats.
    pub fn threshold(&self, detector: Detector, definitions: &Definitions) -> f64 {
        let real = |counts: &[u64]| counts.iter().filter(|c| **c > 0).count().max(2) as f64;
        let (statistic, class, channels) = match (detector, self.derived()) {
            (Detector::Location, Derived::Numeric { scores, .. }) => (Statistic::Location, scores.real_bins.max(2) as f64, 3),
            (Detector::Scale, Derived::Numeric { scores, .. }) => (Statistic::Scale, scores.real_bins.max(2) as f64, 3),
            (_, Derived::Numeric { counts, .. }) => (Statistic::Mix, real(counts), 3),
            (_, Derived::Categorical { counts }) => (Statistic::Mix, real(counts), 1),
            (_, Derived::Rate { n, k } | Derived::Errors { n, k, .. }) => (Statistic::Rate, (k + 0.5) / (n + 1.0), 1),
        };
        statistic.threshold(self.events_per_fold, class, ln_arl_of_channel(definitions, channels))
    }

    /// Nats of threshold per unit of ln ARL of a channel.
    pub fn slope(&self, detector: Detector) -> f64 {
        match detector {
            Detector::Location => Statistic::Location.table().slope,
            Detector::Scale => Statistic::Scale.table().slope,
            Detector::Shape | Detector::Mix => Statistic::Mix.table().slope,
            Detector::Rate | Detector::Errors => Statistic::Rate.table().slope,
        }
    }

    /// A single window of `folds` gathered panes against the reference alone: statistic and effect of one channel.
    pub fn compare(&self, detector: Detector, window: &Tally, folds: u32, tolerance: &Tolerance) -> (f64, Effect) {
        match (self.derived(), window) {
            (Derived::Numeric { scores, groups, counts }, Tally::Numeric(bins)) => {
                let (n, a, b) = scores.sums(&bins.counts);
                let lr = |channel: usize, sum: f64| scores.family(channel).ratio((scores.m, 0.0), (n, sum)) + bonus(folds);
                match detector {
                    Detector::Location => (lr(0, a), effect::location(n, a, scores.m, tolerance)),
                    Detector::Scale => (lr(1, b), effect::scale(n, b, a, scores.spread, scores.m, tolerance)),
                    _ => {
                        let now = groups::grouped(&bins.counts, groups);
                        (evidence(&now, counts), effect::mix(&now, counts, tolerance))
                    }
                }
            }
            (Derived::Categorical { counts }, Tally::Categorical(now)) => {
                let now = category_groups(now);
                (evidence(&now, counts), effect::mix(&now, counts, tolerance))
            }
            (Derived::Rate { n: m, k: r }, Tally::Rate { n, k }) => rise((*m, *r), (*n as f64, *k as f64), folds, tolerance),
            (Derived::Errors { rates, n: m, k: r }, Tally::Errors(now)) => {
                rise((*m, *r), (rates.exposure(now), now.k() as f64), folds, tolerance)
            }
            _ => unreachable!("a stream has one form"),
        }
    }

    /// The events of a window, as precisely as the past is remembered.
    pub fn content_since(&self, window: &Candidate) -> Content {
        match self.mix() {
            Some(mix) => Content::Groups(mix.since(window.first).map_or_else(
                || Groups { counts: vec![0; mix.reference().len()], sum: 0, squares: 0 },
                |b| Groups { counts: b.counts, sum: b.sum, squares: b.squares },
            )),
            None => Content::Rate { n: window.along as u64, k: window.sum as u64 },
        }
    }

    fn mix(&self) -> Option<&Mix> {
        match &self.folds {
            Folds::Numeric(folds) => Some(&folds.shape),
            Folds::Categorical(mix) => Some(mix),
            Folds::Rate(_) | Folds::Errors(_) => None,
        }
    }

    /// A tally in the terms that alerts are written in.
    pub fn content(&self, tally: &Tally) -> Content {
        match (tally, self.derived()) {
            (Tally::Numeric(bins), Derived::Numeric { groups, .. }) => {
                let counts = groups::grouped(&bins.counts, groups);
                Content::Groups(Groups { counts, sum: bins.sum, squares: bins.sum_squares })
            }
            (Tally::Categorical(counts), _) => Content::Groups(Groups { counts: category_groups(counts), sum: 0, squares: 0 }),
            (Tally::Errors(counts), _) => Content::Rate { n: counts.n(), k: counts.k() },
            _ => Content::Rate { n: tally.n(), k: if let Tally::Rate { k, .. } = tally { *k } else { 0 } },
        }
    }

    /// The group of each bin (numeric streams).
    pub fn groups(&self) -> Option<&[u8]> {
        match self.derived() {
            Derived::Numeric { groups, .. } => Some(groups),
            _ => None,
        }
    }

    /// The smallest effect that a change has to have to be found within 100 folds, in the unit of the channel's effect.
    pub fn smallest_detectable(&self, detector: Detector, definitions: &Definitions) -> f64 {
        const FOLDS: f64 = 100.0;
        let n = FOLDS * self.events_per_fold;
        let noise = 1.0 / n + 1.0 / self.reference.n().max(1) as f64;
        let nats = 2.0 * (self.threshold(detector, definitions) - bonus(FOLDS as u32)).max(0.0) * noise;
        match self.derived() {
            Derived::Numeric { scores, .. } if detector == Detector::Scale => libm::sqrt(nats) * scores.spread * 0.5,
            Derived::Numeric { .. } if detector == Detector::Location => libm::sqrt(nats),
            Derived::Rate { n, k } | Derived::Errors { n, k, .. } => {
                let p = (k + 0.5) / (n + 1.0);
                100.0 * libm::sqrt(nats * p * (1.0 - p))
            }
            _ => nats,
        }
    }
}

fn rise(reference: (f64, f64), window: (f64, f64), folds: u32, tolerance: &Tolerance) -> (f64, Effect) {
    let up = window.1 / window.0 > reference.1 / reference.0;
    let statistic = if up { Family::Bernoulli.ratio(reference, window) + bonus(folds) } else { 0.0 };
    (statistic, effect::rate(window, reference, tolerance))
}
