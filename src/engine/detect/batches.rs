//! Batch means of a reference: how much sums over 1, 2, 4 … 1,024 folds vary.
//!
//! A binary counter of batches: two of a length become one of the next, so a fold costs two additions on average and nothing but one open
//! batch a length is kept. Unequal batches: analysis of variance with random effects, Searle, Casella, McCulloch, "Variance Components"
//! (1992), section 3.6: `T = (Σ n_j (y_j - ȳ)²/(J-1)/v - 1) / n0`, `n0 = (N - Σ n_j²/N)/(J-1)`, v the variance of one event; `U = w T`.
//! For counts in groups the same with Pearson's X² of each batch, of which J-1 times `Σ (1 - q_i)` is chance.
//!
//! Guarantees: a function of the folds in order. Never: knows what a value means.
//!
//! ```
//! # use driftline::engine::detect::batches::Batches;
//! let mut b = Batches::default();
//! [3.0, 1.0, -1.0, -3.0, 2.0, -2.0, 0.0, 0.0, 1.0, -1.0].iter().for_each(|s| b.add(10.0, *s));
//! // by hand: Σ s²/n = 3 of ten batches of 10 events, mean 0: 3/9 = 1/3, of variance .1 an event: T = (3.3333 - 1)/10
//! assert!((b.excess(0.1)[0] - 0.23333).abs() < 1e-5);
//! // five batches of two: sums 4, -4, 0, 0, 0 of 20 events: Σ s²/n = 1.6; T = (1.6/4/.1 - 1)/20 = .15, U = 2 T
//! assert!((b.excess(0.1)[1] - 0.3).abs() < 1e-12 && b.excess(0.1).len() == 2);
//! ```

use super::noise::{LEAST_BATCHES, SCALES};
use serde::{Deserialize, Serialize};

/// Batches of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scale {
    /// The one whose other half has not come.
    open: Option<(f64, f64)>,
    count: u32,
    n: f64,
    squares_of_n: f64,
    sum: f64,
    /// Σ s²/n.
    squares: f64,
}

/// Sums of one quantity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batches {
    scales: Vec<Scale>,
}

impl Batches {
    /// A fold of n > 0 events whose values sum to s.
    pub fn add(&mut self, n: f64, s: f64) {
        let (mut n, mut s) = (n, s);
        for k in 0..SCALES {
            if self.scales.len() == k {
                self.scales.push(Scale::default());
            }
            let scale = &mut self.scales[k];
            scale.count += 1;
            scale.n += n;
            scale.squares_of_n += n * n;
            scale.sum += s;
            scale.squares += s * s / n;
            match scale.open.take() {
                None => {
                    scale.open = Some((n, s));
                    return;
                }
                Some(first) => (n, s) = (n + first.0, s + first.1),
            }
        }
    }

    /// Folds.
    pub fn folds(&self) -> u32 {
        self.scales.first().map_or(0, |s| s.count)
    }

    /// U at 1, 2, 4 … folds, where there are enough batches; `variance` is that of one event's value.
    pub fn excess(&self, variance: f64) -> Vec<f64> {
        let measured = self.scales.iter().take_while(|s| s.count >= LEAST_BATCHES).enumerate();
        measured
            .map(|(k, s)| {
                let between = s.squares - s.sum * s.sum / s.n;
                let groups = f64::from(s.count - 1);
                let typical = (s.n - s.squares_of_n / s.n) / groups;
                let per_event = if variance > 0.0 { (between / groups / variance - 1.0) / typical } else { 0.0 };
                per_event.max(0.0) * f64::from(1u32 << k)
            })
            .collect()
    }
}

/// Counts in groups, of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct GroupScale {
    open: Option<Vec<u32>>,
    count: u32,
    n: f64,
    /// Σ o_i²/n, by group.
    squares: Vec<f64>,
}

/// Counts in groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupBatches {
    scales: Vec<GroupScale>,
}

/// Groups with a smaller share say nothing of how batches vary: a single event in them weighs too much.
const LEAST_SHARE: f64 = 0.02;

impl GroupBatches {
    /// A fold.
    pub fn add(&mut self, counts: &[u64]) {
        let mut batch: Vec<u32> = counts.iter().map(|c| *c as u32).collect();
        for k in 0..SCALES {
            if self.scales.len() == k {
                self.scales.push(GroupScale { squares: vec![0.0; batch.len()], ..GroupScale::default() });
            }
            let scale = &mut self.scales[k];
            let n = batch.iter().map(|o| f64::from(*o)).sum::<f64>();
            scale.count += 1;
            scale.n += n;
            scale.squares.iter_mut().zip(&batch).for_each(|(sum, o)| *sum += f64::from(*o) * f64::from(*o) / n);
            match scale.open.take() {
                None => {
                    scale.open = Some(batch);
                    return;
                }
                Some(first) => batch.iter_mut().zip(first).for_each(|(o, f)| *o = o.saturating_add(f)),
            }
        }
    }

    /// Folds.
    pub fn folds(&self) -> u32 {
        self.scales.first().map_or(0, |s| s.count)
    }

    /// U at 1, 2, 4 … folds, against the counts of the whole reference.
    pub fn excess(&self, reference: &[u64]) -> Vec<f64> {
        let m = reference.iter().sum::<u64>() as f64;
        let measured = self.scales.iter().take_while(|s| s.count >= LEAST_BATCHES).enumerate();
        measured
            .map(|(k, s)| {
                let (mut pearson, mut chance) = (0.0, 0.0);
                for (squares, r) in s.squares.iter().zip(reference) {
                    let share = *r as f64 / m;
                    if share >= LEAST_SHARE {
                        pearson += squares / share - s.n * share;
                        chance += 1.0 - share;
                    }
                }
                let groups = f64::from(s.count - 1);
                let per_event = (pearson - groups * chance) / (s.n * groups / f64::from(s.count));
                per_event.max(0.0) * f64::from(1u32 << k)
            })
            .collect()
    }
}
