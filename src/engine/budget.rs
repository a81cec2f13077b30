//! The one knob: so many false alarms for everything, split over all streams.
//!
//! A stream may raise a false alarm once in `streams · panes per period / allowed` panes: its average run length (ARL). By
//! linearity of expectation the sum over streams keeps the budget under any dependence between them. A sparse stream is folded
//! less often than once a pane: its run length is as many folds fewer (`detect::pace`).

use super::definitions::{Budget, Definitions};
use super::types::{PaneSize, Span};

/// Logarithm of a stream's allowed ARL in panes.
///
/// ```
/// # use driftline::engine::{budget::ln_arl, definitions::Budget, types::{PaneSize, Span}};
/// let budget = Budget { false_alarms: 1.0, per: Span::days(1) };
/// // by hand: 4,096 streams · 1,440 panes = 5,898,240
/// assert!((ln_arl(&budget, 4_096, PaneSize(Span::minutes(1))) - 5_898_240f64.ln()).abs() < 1e-12);
/// ```
pub fn ln_arl(budget: &Budget, streams: u32, pane: PaneSize) -> f64 {
    let panes = budget.per.0 as f64 / pane.0.0 as f64;
    libm::log(f64::from(streams.max(1)) * panes / budget.false_alarms.max(f64::MIN_POSITIVE)).max(0.0)
}

/// The same for one of `channels` statistics of a stream: each gets a ARL of that many times the stream's.
pub fn ln_arl_of_channel(definitions: &Definitions, channels: u32) -> f64 {
    ln_arl(&definitions.budget, definitions.streams_cap, definitions.pane) + libm::log(f64::from(channels))
}

/// False alarms of the whole application per day that the budget allows.
pub fn per_day(budget: &Budget) -> f64 {
    budget.false_alarms * Span::days(1).0 as f64 / budget.per.0 as f64
}
