//! Limits of a model as they are typed.

use super::Text;
use crate::config::duration::Duration;
use crate::engine::types::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A limit that holds whatever is normal: an alert as soon as a rate, or a number of rows, is beyond it. It needs no reference, and is not
/// part of the budget of false alarms.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["signal", "over"]))]
pub struct Limit {
    /// What is limited: `error`, `miss_rate`, `false_positive_rate`, `false_discovery_rate`, `null:FEATURE`, `unseen:FEATURE`, `outliers`
    /// (rates, 0 to 1), `volume` or `labels` (rows in `over`).
    pub signal: Option<Text>,
    /// It fires when the value is above this. Give this or `below`.
    pub above: Option<f64>,
    /// It fires when the value is below this.
    pub below: Option<f64>,
    /// The value is that of the last so much event time, pane by pane: a multiple of `panes.size`, at most 1,440 panes.
    pub over: Option<Duration>,
    /// It fires when the value was beyond the limit in every pane for so long, and resolves when it was within `clear` for so long: a
    /// multiple of `panes.size`. 0s: at once.
    #[serde(rename = "for")]
    pub lasts: Duration,
    /// It resolves when the value is not beyond this any more. Default: the limit itself.
    pub clear: Option<f64>,
    /// With fewer events in `over` a rate has no verdict. Default: 100.
    pub at_least: Option<u64>,
    /// The segments that it holds for, by their dimensions: an entry of `segments.by`. Default: the model as a whole.
    pub by: Vec<Text>,
    /// The severity of its alerts.
    pub severity: LimitSeverity,
}

impl Default for Limit {
    fn default() -> Self {
        Limit {
            signal: None,
            above: None,
            below: None,
            over: None,
            lasts: Duration(Span::ZERO),
            clear: None,
            at_least: None,
            by: Vec::new(),
            severity: LimitSeverity::Warning,
        }
    }
}

/// Severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitSeverity {
    /// The lowest.
    Info,
    /// The one between.
    Warning,
    /// The highest.
    Critical,
}
