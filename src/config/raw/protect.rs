//! What nobody downstream may see, as it is typed.

use super::{Secret, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Values that become pseudonyms before anything is kept, published, counted or logged.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["key"]))]
pub struct Protect {
    /// The secret that pseudonyms are made with (HMAC-SHA256): at least 16 bytes, the same in all processes.
    pub key: Option<Secret>,
    /// Request ids.
    pub request_id: bool,
    /// Dimensions, by their names in `predictions.fields.dimensions`.
    pub dimensions: Vec<Text>,
    /// Features, by name. Each becomes a category, whatever it was.
    pub features: Vec<Text>,
    /// What a dead letter holds: its `position` and the reason, or the whole `record`, protected fields and all.
    pub dead_letters: DeadLetters,
}

/// What a dead letter holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetters {
    /// Topic, partition, offset and reason, nothing of the record.
    #[default]
    Position,
    /// Key, value and headers, as they came.
    Record,
}
