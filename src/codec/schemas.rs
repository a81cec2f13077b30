//! Our own schemas, as they stand in `schemas/`.

/// A prediction.
pub const PREDICTION: &str = include_str!("../../schemas/prediction.avsc");

/// An outcome.
pub const OUTCOME: &str = include_str!("../../schemas/outcome.avsc");
