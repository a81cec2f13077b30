//! From closed panes of one stream to alerts: folds, thresholds, effects, the life of an episode.
//!
//! Guarantees: equal panes and definitions give equal state and equal alerts on every machine: integers until the fold, then
//! f64 in a fixed order with `libm`. The cost of a pane does not depend on how many events it held.
//! Never: knows what time it is, touches I/O, compares a stream with anything but its own pinned reference and history.
//! Comes from: `baseline::reference::Observed` (merged panes). Goes to: `engine::alert`.

pub mod batches;
pub mod bernoulli;
pub mod category;
pub mod channels;
pub mod derived;
pub mod describe;
pub mod detector;
pub mod disparity;
pub mod distance;
pub mod dyadic;
pub mod effect;
pub mod episode;
pub mod errors;
pub mod focus;
pub mod groups;
pub mod learning;
pub mod limit;
pub mod noise;
pub mod normal;
pub mod normal_scores;
mod opened;
pub mod pace;
pub mod season;
pub mod stream;
pub mod stream_key;
pub mod tables;
pub mod thresholds;
pub mod v1;
pub mod versions;
pub mod volume;

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a simulation: its bits matter to nobody
mod calibration;
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod chance;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limit_life;
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod parity;
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod rollout;
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod traffic;

use super::types::PaneId;
use noise::{Noise, WORN, Window};

/// A stream is folded when at least this many events have gathered.
pub const FOLD_EVENTS: u64 = 32;
/// The bonus for long windows, ½ ln w, stops growing here.
pub const LONGEST_BONUS: u32 = 1_000;

/// The panes that one fold reads at once: one, or several of a sparse stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The first pane.
    pub first: PaneId,
    /// The last pane.
    pub last: PaneId,
}

impl Gathered {
    /// A single pane.
    pub fn one(pane: PaneId) -> Gathered {
        Gathered { first: pane, last: pane }
    }
}

/// A window that ends with the newest pane: a change may have happened just before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Evidence for the change, in nats, with the bonus for its length.
    pub statistic: f64,
    /// First pane of the window.
    pub first: PaneId,
    /// Folds in the window.
    pub folds: u32,
    /// Events in the window (exposure for errors by label age).
    pub n: f64,
    /// Sum of the channel's own quantity over the window.
    pub sum: f64,
    /// Sum of what travels along (the other channel's scores, real pairs).
    pub along: f64,
}

/// One incremental detector: reads gathered panes, knows at any time which windows look changed.
pub trait Fold {
    /// What it needs of a pane.
    type Pane: ?Sized;

    /// Reads the next gathered pane.
    fn observe(&mut self, pane: &Self::Pane, at: Gathered);

    /// Shows every window that may be the best one, in a fixed order. Those whose statistic is certainly below `floor` may be left out.
    fn candidates(&self, noise: &Noise, floor: f64, visit: &mut dyn FnMut(Candidate));

    /// The best window (the first of equals).
    fn best(&self, noise: &Noise) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        self.candidates(noise, 0.0, &mut |c| {
            if best.is_none_or(|b| c.statistic > b.statistic) {
                best = Some(c);
            }
        });
        best
    }

    /// Its statistic; 0 if no window looks changed.
    fn statistic(&self) -> f64 {
        self.best(&Noise::INDEPENDENT).map_or(0.0, |c| c.statistic)
    }
}

/// ½ ln 1,000 and a little.
const MOST_BONUS: f64 = 3.46;

/// True if a window whose likelihood ratio is at most `bound` has a statistic below `floor`, at a fraction of the cost of computing it.
fn certainly_below(floor: f64, bound: f64, noise: &Noise, window: &Window) -> bool {
    let below = |nats: f64| nats.max(WORN) + MOST_BONUS < floor;
    below(bound) || (floor > 0.0 && bound.is_finite() && below(bound / noise.phi(window)))
}

/// ½ ln w for a window of `folds` gathered panes.
pub(crate) fn bonus(folds: u32) -> f64 {
    0.5 * libm::log(f64::from(folds.clamp(1, LONGEST_BONUS)))
}
