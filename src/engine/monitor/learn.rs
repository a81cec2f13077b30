//! Learning of bins: samples of closed panes until edges or categories can be fixed.
//!
//! Guarantees: what is fixed, and from which pane on, is a function of the closed panes alone.

use crate::engine::baseline::edges::{categories, numeric_edges};
use crate::engine::baseline::loda::{Loda, Sampled};
use crate::engine::baseline::rarity::Rarity;
use crate::engine::baseline::sample::{Pool, Sample};
use crate::engine::book::OUTLIER_SCORE;
use crate::engine::definitions::{BaselineRule, Definitions};
use crate::engine::plan::Bins;
use crate::engine::summary::numeric::NumericEdges;
use crate::engine::types::PaneId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Panes that bins are learned from at least.
pub const LEARN_PANES: i64 = 200;
/// Events that bins are learned from at least.
pub const LEARN_EVENTS: u64 = 2_000;
/// With fewer events not even the end of a given range fixes bins.
const FEWEST_EVENTS: u64 = 100;

/// Which learner: model, signal, of categories.
pub type LearnerKey = (String, String, bool);

/// What one (model, signal, form) has shown so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learner {
    first: PaneId,
    events: u64,
    pool: LearnerPool,
    fixed: bool,
}

/// What a learner has learnt.
pub struct Fixed {
    bins: Bins,
    rarity: Rarity,
    /// Of numbers: their edges, and what those were made of.
    sample: Option<(NumericEdges, Pool<f64>)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum LearnerPool {
    Numeric(Pool<f64>),
    Categories(Pool<String>),
}

impl Learner {
    /// Of numbers, from `first` on.
    pub fn numeric(first: PaneId) -> Learner {
        Learner { first, events: 0, pool: LearnerPool::Numeric(Pool::default()), fixed: false }
    }

    /// Of texts, from `first` on.
    pub fn categories(first: PaneId) -> Learner {
        Learner { first, events: 0, pool: LearnerPool::Categories(Pool::default()), fixed: false }
    }

    /// One closed pane's numbers.
    pub fn numbers(&mut self, n: u64, sample: &Sample<f64>) {
        if self.fixed {
            return; // panes until the bins take effect; a pool without use would stay in the state
        }
        self.events += n;
        if let LearnerPool::Numeric(pool) = &mut self.pool {
            pool.absorb(sample);
        }
    }

    /// One closed pane's texts.
    pub fn texts(&mut self, n: u64, sample: &Sample<String>) {
        if self.fixed {
            return;
        }
        self.events += n;
        if let LearnerPool::Categories(pool) = &mut self.pool {
            pool.absorb(sample);
        }
    }

    /// What it has learnt, once: after 200 panes and 2,000 events, or at the end of a given range that has fewer.
    pub fn fix(&mut self, pane: PaneId, definitions: &Definitions) -> Option<Fixed> {
        let enough = pane.0 - self.first.0 + 1 >= LEARN_PANES && self.events >= LEARN_EVENTS;
        let range_over = match definitions.baseline {
            BaselineRule::Range { to, .. } => {
                definitions.pane.end(pane) >= to && definitions.pane.start(self.first) < to && self.events >= FEWEST_EVENTS
            }
            BaselineRule::Learn { .. } => false,
        };
        if self.fixed || !(enough || range_over) {
            return None;
        }
        self.fixed = true;
        Some(match std::mem::replace(&mut self.pool, LearnerPool::Numeric(Pool::default())) {
            LearnerPool::Numeric(pool) => {
                let values: Vec<f64> = pool.values().copied().collect();
                let edges = numeric_edges(1, &values);
                let rarity = Rarity::of_numbers(&edges, &values);
                Fixed { bins: Bins::Numeric(edges.clone()), rarity, sample: Some((edges, pool)) }
            }
            LearnerPool::Categories(pool) => {
                let mut counts: BTreeMap<String, u64> = BTreeMap::new();
                pool.values().for_each(|v| *counts.entry(v.clone()).or_default() += 1);
                let categories = categories(1, &counts);
                let rarity = Rarity::of_texts(&categories, &counts);
                Fixed { bins: Bins::Categories(categories), rarity, sample: None }
            }
        })
    }
}

/// What is published of signals that were fixed in one pane, in the order of their names. With `outliers`, how rare values are as well, and
/// unless a model's numbers are scored `together` already, how far out they are together.
pub fn published(fixed: Vec<(String, Fixed)>, outliers: bool, together: bool) -> Vec<(String, Bins)> {
    let numbers = fixed.iter().filter(|(signal, _)| signal != OUTLIER_SCORE);
    let sampled: Vec<Sampled<'_>> = numbers
        .filter_map(|(signal, f)| {
            let (edges, pool) = f.sample.as_ref()?;
            Some(Sampled { signal, edges, kept: pool.kept(), threshold: pool.threshold() })
        })
        .collect();
    let loda = if outliers && !together { Loda::of(&sampled) } else { None };
    let mut all = Vec::new();
    for (signal, Fixed { bins, rarity, .. }) in fixed {
        let rarity = outliers.then(|| (signal.clone(), Bins::Rarity(rarity)));
        all.extend([(signal, bins)].into_iter().chain(rarity));
    }
    all.extend(loda.map(|loda| (OUTLIER_SCORE.to_string(), Bins::Loda(loda))));
    all
}

/// Whether panes of the reference have begun: earlier ones teach nothing.
pub fn has_begun(pane: PaneId, definitions: &Definitions) -> bool {
    match definitions.baseline {
        BaselineRule::Range { from, .. } => definitions.pane.start(pane) >= from,
        BaselineRule::Learn { .. } => true,
    }
}
