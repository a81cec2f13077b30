//! The streams of a partition, found without owning a key.
//!
//! Guarantees: they are visited in the order of their keys: model, version, segment, signal, form.
//! Why two steps: each pane asks for every stream of each segment. Model and segment, long to compare, are looked for among the
//! segments alone; what is left is one text.

use super::Kept;
use crate::engine::detect::stream::{Form, StreamKey};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The streams.
#[derive(Default)]
pub(super) struct Streams(BTreeMap<Place, BTreeMap<String, Vec<(Form, Kept)>>>);

impl Streams {
    /// A stream of a model's (a version's) segment, if it is there.
    pub(super) fn get_mut(
        &mut self,
        model: &str,
        version: Option<&str>,
        segment: &BTreeMap<String, String>,
        signal: &str,
        form: Form,
    ) -> Option<&mut Kept> {
        let parts: Parts<'_> = (model, version, segment);
        let forms = self.0.get_mut(&parts as &dyn Named)?.get_mut(signal)?;
        forms.iter_mut().find(|(f, _)| *f == form).map(|(_, kept)| kept)
    }

    /// The streams of all segments that count rows under this name, in order, to change.
    pub(super) fn counting_mut(&mut self, signal: &str) -> impl Iterator<Item = &mut Kept> {
        let forms = self.0.values_mut().filter_map(move |signals| signals.get_mut(signal)).flatten();
        forms.filter(|(form, _)| *form == Form::Volume).map(|(_, kept)| kept)
    }

    /// The same to look at.
    pub(super) fn counting(&self, signal: &str) -> impl Iterator<Item = &Kept> {
        let forms = self.0.values().filter_map(move |signals| signals.get(signal)).flatten();
        forms.filter(|(form, _)| *form == Form::Volume).map(|(_, kept)| kept)
    }

    /// Adds a stream, in the place of one with the same key.
    pub(super) fn insert(&mut self, kept: Kept) -> &mut Kept {
        let StreamKey { model, version, segment, signal, form } = kept.stream.key().clone();
        let forms = self.0.entry(Place { model, version, segment }).or_default().entry(signal).or_default();
        forms.retain(|(f, _)| *f != form);
        let at = forms.partition_point(|(f, _)| *f < form);
        forms.insert(at, (form, kept));
        &mut forms[at].1
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.0.values().flat_map(BTreeMap::values).flatten().map(|(_, kept)| kept)
    }

    /// Lets go of those that `keeps` does not want; it is asked in order.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&mut Kept) -> bool) {
        for signals in self.0.values_mut() {
            for forms in signals.values_mut() {
                forms.retain_mut(|(_, kept)| keeps(kept));
            }
            signals.retain(|_, forms| !forms.is_empty());
        }
        self.0.retain(|_, signals| !signals.is_empty());
    }

    /// All, in order, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.0.values_mut().flat_map(BTreeMap::values_mut).flatten().map(|(_, kept)| kept)
    }
}

/// A segment of a model.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    model: String,
    version: Option<String>,
    segment: BTreeMap<String, String>,
}

/// The parts of a place, borrowed, in the order of comparison.
type Parts<'a> = (&'a str, Option<&'a str>, &'a BTreeMap<String, String>);

/// What a place can be found by.
trait Named {
    fn parts(&self) -> Parts<'_>;
}

impl Named for Place {
    fn parts(&self) -> Parts<'_> {
        (&self.model, self.version.as_deref(), &self.segment)
    }
}

impl Named for Parts<'_> {
    fn parts(&self) -> Parts<'_> {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for Place {
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
    use crate::engine::detect::stream::Stream;

    fn key(model: &str, value: &str, signal: &str, form: Form) -> StreamKey {
        let segment = if value.is_empty() { BTreeMap::new() } else { BTreeMap::from([("country".to_string(), value.to_string())]) };
        StreamKey { model: model.into(), version: None, segment, signal: signal.into(), form }
    }

    #[test]
    fn streams_are_visited_in_the_order_of_their_keys_and_found_by_their_parts() {
        let mut keys: Vec<StreamKey> = Vec::new();
        for model in ["b", "a", "ab"] {
            for value in ["DE", "", "AT"] {
                for signal in ["score", "null:x", "feature:x"] {
                    keys.extend([Form::Rate, Form::Numeric].map(|form| key(model, value, signal, form)));
                }
            }
        }
        let mut streams = Streams::default();
        for k in &keys {
            assert!(streams.get_mut(&k.model, k.version.as_deref(), &k.segment, &k.signal, k.form).is_none());
            streams.insert(Kept { chunk: 0, stream: Stream::new(k.clone()) });
        }
        keys.push(StreamKey { version: Some("2".into()), ..key("a", "", "score", Form::Gap) });
        streams.insert(Kept { chunk: 0, stream: Stream::new(keys[keys.len() - 1].clone()) });
        keys.sort();
        assert_eq!(streams.iter().map(|kept| kept.stream.key()).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
        for k in &keys {
            assert_eq!(
                streams.get_mut(&k.model, k.version.as_deref(), &k.segment, &k.signal, k.form).map(|kept| kept.stream.key()),
                Some(k)
            );
        }
        assert!(streams.get_mut("a", None, &BTreeMap::new(), "score", Form::Categorical).is_none());
    }
}
