//! Which statistics there are, by the words that alerts carry.
//!
//! Guarantees: words and order are fixed for ever: fingerprints and state hold them.

use serde::{Deserialize, Serialize};

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
    /// Rows a pane.
    Volume,
    /// Panes without rows.
    Silence,
    /// Errors of a version beside those of older ones.
    Version,
    /// A group beside others, against a limit.
    Disparity,
}

impl Detector {
    /// The unit of its effect.
    pub fn unit(self) -> &'static str {
        match self {
            Detector::Location => "sigma",
            Detector::Scale | Detector::Volume | Detector::Silence => "relative",
            Detector::Shape | Detector::Mix => "psi",
            Detector::Rate | Detector::Errors | Detector::Version | Detector::Disparity => "points",
        }
    }

    /// Its place among the channels of its stream.
    pub(super) fn channel(self) -> usize {
        match self {
            Detector::Scale | Detector::Silence => 1,
            Detector::Shape => 2,
            _ => 0,
        }
    }

    /// The word in alerts and fingerprints. Fixed for ever.
    pub fn word(self) -> &'static str {
        match self {
            Detector::Location => "focus_location",
            Detector::Scale => "focus_scale",
            Detector::Shape => "g_shape",
            Detector::Mix => "g_mix",
            Detector::Rate => "focus_rate",
            Detector::Errors => "focus_errors",
            Detector::Volume => "focus_volume",
            Detector::Silence => "silence",
            Detector::Version => "focus_version",
            Detector::Disparity => "focus_disparity",
        }
    }
}
