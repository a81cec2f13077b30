//! Rates of the confusion matrix of a binary model.
//!
//! Guarantees: exact counts; every rate is one division of them.

use crate::engine::summary::cell::PairCounts;
use libm::sqrt;

/// Pairs by predicted and observed class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Called positive, and it was.
    pub true_positives: u64,
    /// Called something else, and it was positive: missed.
    pub false_negatives: u64,
    /// Called positive, and it was not.
    pub false_positives: u64,
    /// Called something else, and it was.
    pub true_negatives: u64,
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

impl Confusion {
    /// Of a pair pane.
    pub fn of(counts: &PairCounts) -> Confusion {
        let (p, n) = (&counts.positives, &counts.negatives);
        Confusion {
            true_positives: p.n().saturating_sub(p.k()),
            false_negatives: p.k(),
            false_positives: n.k(),
            true_negatives: n.n().saturating_sub(n.k()),
        }
    }

    /// Adds other pairs.
    pub fn merge(&mut self, other: &Confusion) {
        self.true_positives += other.true_positives;
        self.false_negatives += other.false_negatives;
        self.false_positives += other.false_positives;
        self.true_negatives += other.true_negatives;
    }

    /// Pairs whose observed class is the positive one.
    pub fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Pairs whose observed class is another.
    pub fn negatives(&self) -> u64 {
        self.false_positives + self.true_negatives
    }

    /// Pairs that were called positive.
    pub fn called(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    fn numbers(&self) -> [f64; 4] {
        [self.true_positives, self.false_negatives, self.false_positives, self.true_negatives].map(|n| n as f64)
    }

    /// Right ones among all.
    pub fn accuracy(&self) -> Option<f64> {
        let [tp, missed, fp, tn] = self.numbers();
        ratio(tp + tn, tp + missed + fp + tn)
    }

    /// Right ones among those called positive.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives as f64, self.called() as f64)
    }

    /// Found ones among the positive.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives as f64, self.positives() as f64)
    }

    /// Left alone among the others.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives as f64, self.negatives() as f64)
    }

    /// Harmonic mean of precision and recall, recall being `beta` times as important (van Rijsbergen, "Information Retrieval", 1979).
    ///
    /// ```
    /// # use driftline::engine::performance::confusion::Confusion;
    /// let c = Confusion { true_positives: 6, false_negatives: 2, false_positives: 4, true_negatives: 88 };
    /// // by hand: precision .6, recall .75: F1 = 2·.45/1.35, F2 = 5·.45/(4·.6 + .75)
    /// assert!((c.f_beta(1.0).unwrap() - 2.0 / 3.0).abs() < 1e-12 && (c.f_beta(2.0).unwrap() - 2.25 / 3.15).abs() < 1e-12);
    /// ```
    pub fn f_beta(&self, beta: f64) -> Option<f64> {
        let ([tp, missed, fp, _], b) = (self.numbers(), beta * beta);
        ratio((1.0 + b) * tp, (1.0 + b) * tp + b * missed + fp)
    }

    /// Mean of recall and specificity.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(0.5 * (self.recall()? + self.specificity()?))
    }

    /// Matthews' correlation of predicted and observed class (Biochimica et Biophysica Acta 405, 1975); none while one of the four
    /// margins is empty.
    pub fn mcc(&self) -> Option<f64> {
        let [tp, missed, fp, tn] = self.numbers();
        // roots first: the product of four large counts would lose digits, or not fit
        let margins = sqrt(tp + fp) * sqrt(tp + missed) * sqrt(tn + fp) * sqrt(tn + missed);
        ratio(tp * tn - fp * missed, margins)
    }
}
