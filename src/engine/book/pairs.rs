//! What a pair says of its model: was the class right, how far off was the number.
//!
//! Guarantees: counts by class exist where both classes are known and the model's positive class is; those of scores where the observed
//! class and a score are.
//! Never: allocates for a pair that falls into a bin which the entry has.
//! Comes from: `join` (pairs). Goes to: `summary::cell` (counts), signals of pair panes.

use super::signal::Column;
use super::{Entry, PAIR};
use crate::engine::definitions::{ModelRules, Task};
use crate::engine::join::Pairing;
use crate::engine::summary::cell::PairCounts;
use crate::engine::summary::numeric::NumericEdges;
use crate::engine::summary::scores::is_probability;
use crate::engine::types::{Span, class_hash};
use std::rc::Rc;

/// Places of signals in `PAIR`.
const DIFFERENCES: usize = 0;
const CALIBRATION: usize = 2;

impl Entry<PairCounts> {
    /// A first outcome, `delay` after its prediction.
    pub(super) fn judged(
        &mut self,
        pair: &Pairing,
        delay: Span,
        rules: &ModelRules,
        column: &mut Column,
        edges: impl Fn(usize) -> Option<Rc<NumericEdges>>,
    ) {
        match rules.task {
            Task::Binary | Task::Multiclass if pair.outcome_label != 0 => {
                if pair.label != 0 {
                    self.counts.errors.add(delay, pair.label != pair.outcome_label);
                }
                let positive = class_hash(rules.positive.as_deref());
                if rules.task == Task::Binary && positive != 0 {
                    self.classified(pair, delay, positive, column, edges);
                }
            }
            Task::Regression if !pair.score.is_nan() && !pair.outcome_value.is_nan() => {
                let difference = pair.score - pair.outcome_value;
                self.numbers(DIFFERENCES, [difference.abs(), difference], pair.key.sample_hash(), column, edges);
            }
            _ => {}
        }
    }

    /// By observed class of a binary model.
    fn classified(
        &mut self,
        pair: &Pairing,
        delay: Span,
        positive: u64,
        column: &mut Column,
        edges: impl Fn(usize) -> Option<Rc<NumericEdges>>,
    ) {
        let (called, is) = (pair.label == positive, pair.outcome_label == positive);
        if pair.label != 0 {
            let counts = if is { &mut self.counts.positives } else { &mut self.counts.negatives };
            counts.add(delay, called != is);
        }
        if !pair.score.is_nan() {
            self.counts.scores.add(pair.score, is);
            if is_probability(pair.score) {
                let difference = pair.score - f64::from(u8::from(is));
                self.numbers(CALIBRATION, [difference], pair.key.sample_hash(), column, edges);
            }
        }
    }

    /// Values of neighbouring signals, the first of them at `place`.
    fn numbers<const N: usize>(
        &mut self,
        place: usize,
        values: [f64; N],
        hash: u64,
        column: &mut Column,
        edges: impl Fn(usize) -> Option<Rc<NumericEdges>>,
    ) {
        self.widen(PAIR.len());
        let width = place + N;
        if self.rows.is_full(width) {
            self.count(column, edges);
        }
        let mut row = self.rows.open(width, hash);
        values.iter().enumerate().for_each(|(i, x)| row.set(place + i, *x));
    }
}
