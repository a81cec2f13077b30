//! Which stream: its key.
//!
//! Guarantees: one order of all keys: model, version, segment, signal, form.

use super::stream::Form;
use crate::engine::types::SignalId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// The model.
    pub model: String,
    /// Its version, if streams are kept apart by version.
    pub version: Option<String>,
    /// Dimension to value; empty is the root.
    pub segment: BTreeMap<String, String>,
    /// `feature:NAME`, `null:NAME`, `unseen:NAME`, `score`, `label`, `error`, `abs_error`, `bias`, `volume`, `labels`.
    pub signal: String,
    /// How it is summarised.
    pub form: Form,
}

impl StreamKey {
    /// Id of the signal, the same in all segments.
    pub fn signal_id(&self) -> SignalId {
        SignalId::of(&self.model, &self.signal, self.form.word())
    }
}
