//! Which stream: its key, and how it is found without owning one.
//!
//! Guarantees: keys and their borrowed forms have one order (model, version, segment, signal, form).

use super::stream::Form;
use crate::engine::types::SignalId;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::cmp::Ordering;
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
    /// `feature:NAME`, `null:NAME`, `unseen:NAME`, `score`, `label`, `error`, `abs_error`, `bias`.
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

/// The parts of a key, borrowed, in the order of comparison.
pub type Parts<'a> = (&'a str, Option<&'a str>, &'a BTreeMap<String, String>, &'a str, Form);

/// What a stream can be found by.
pub trait Named {
    /// Its parts.
    fn parts(&self) -> Parts<'_>;
}

impl Named for StreamKey {
    fn parts(&self) -> Parts<'_> {
        (&self.model, self.version.as_deref(), &self.segment, &self.signal, self.form)
    }
}

impl Named for Parts<'_> {
    fn parts(&self) -> Parts<'_> {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for StreamKey {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Named + '_ {}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_parts_have_one_order() {
        let key = |model: &str, version: Option<&str>, value: &str, signal: &str, form| StreamKey {
            model: model.into(),
            version: version.map(Into::into),
            segment: BTreeMap::from([("country".to_string(), value.to_string())]),
            signal: signal.into(),
            form,
        };
        let keys = [
            key("a", None, "DE", "x", Form::Numeric),
            key("a", None, "DE", "x", Form::Rate),
            key("a", None, "DE", "y", Form::Numeric),
            key("a", None, "ES", "x", Form::Numeric),
            key("a", Some(""), "DE", "x", Form::Numeric),
            key("b", None, "DE", "x", Form::Numeric),
        ];
        for a in &keys {
            for b in &keys {
                assert_eq!(a.cmp(b), a.parts().cmp(&b.parts()), "{a:?} {b:?}");
            }
        }
    }
}
