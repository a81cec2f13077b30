//! How well a model does, from counts of pairs alone: one family of numbers a file.
//!
//! Guarantees: a function of integers that merge exactly, so neither order nor partitions nor restarts show in a number; what is
//! undefined (a rate of nothing) is `None`, never 0.
//! Never: looks at single pairs, decides whether something is wrong (`detect` does).
//! Comes from: root summaries of closed pair panes (`monitor::recent`). Goes to: `ops::metrics`.

pub mod calibration;
pub mod confusion;
pub mod ranking;
pub mod regression;
pub mod scoring;

use super::detect::effect::wilson;
use super::summary::cell::PairCounts;
use super::summary::numeric::NumericBins;
use super::summary::numeric::NumericEdges;
use super::summary::scores::ScoreCounts;
use confusion::Confusion;
use regression::Differences;

/// Pairs of some panes, by how the model did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Performance {
    /// Pairs with a predicted and an observed class, and the wrong ones among them.
    pub classes: (u64, u64),
    /// The four counts of a binary model.
    pub confusion: Confusion,
    /// Its scores by observed class.
    pub scores: ScoreCounts,
    /// Differences of a regression, without their sign.
    pub absolute: Differences,
    /// The same with it.
    pub signed: Differences,
}

impl Performance {
    /// Adds the counts of a pane.
    pub fn add(&mut self, counts: &PairCounts) {
        self.classes = (self.classes.0 + counts.errors.n(), self.classes.1 + counts.errors.k());
        self.confusion.merge(&Confusion::of(counts));
        self.scores.merge(&counts.scores);
    }

    /// Adds a pane's absolute differences.
    pub fn add_absolute(&mut self, bins: &NumericBins, edges: &NumericEdges) {
        self.absolute.add(bins, edges);
    }

    /// Adds a pane's differences.
    pub fn add_signed(&mut self, bins: &NumericBins, edges: &NumericEdges) {
        self.signed.add(bins, edges);
    }

    /// Adds other panes.
    pub fn merge(&mut self, other: &Performance) {
        self.classes = (self.classes.0 + other.classes.0, self.classes.1 + other.classes.1);
        self.confusion.merge(&other.confusion);
        self.scores.merge(&other.scores);
        self.absolute.merge(&other.absolute);
        self.signed.merge(&other.signed);
    }

    /// Everything that is defined, by name; rates with their 95 % interval (Wilson).
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        let (c, bins) = (&self.confusion, self.scores.by_class());
        let (n, wrong) = self.classes;
        let mut all: Vec<(&'static str, f64)> = Vec::new();
        let pairs = n.max(self.scores.n()).max(self.signed.n());
        if pairs > 0 {
            all.push(("pairs", pairs as f64));
        }
        let rates = [
            (["accuracy", "accuracy_low", "accuracy_high"], n, n.saturating_sub(wrong)),
            (["precision", "precision_low", "precision_high"], c.called(), c.true_positives),
            (["recall", "recall_low", "recall_high"], c.positives(), c.true_positives),
            (["specificity", "specificity_low", "specificity_high"], c.negatives(), c.true_negatives),
        ];
        for ([value, low, high], n, k) in rates.into_iter().filter(|r| r.1 > 0) {
            let interval = wilson(n as f64, k as f64);
            all.extend([(value, k as f64 / n as f64), (low, interval.0), (high, interval.1)]);
        }
        let others = [
            ("f1", c.f_beta(1.0)),
            ("balanced_accuracy", c.balanced_accuracy()),
            ("mcc", c.mcc()),
            ("roc_auc", ranking::roc_auc(&bins).map(|auc| auc.value)),
            ("log_loss", scoring::log_loss(&bins)),
            ("brier", scoring::brier(&self.scores)),
            ("ece", calibration::expected_error(&bins)),
            ("mae", self.absolute.mean()),
            ("rmse", self.signed.root_mean_square()),
            ("bias", self.signed.mean()),
        ];
        all.extend(others.into_iter().filter_map(|(name, value)| value.filter(|v| v.is_finite()).map(|v| (name, v))));
        all
    }
}
