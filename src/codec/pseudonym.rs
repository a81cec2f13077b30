//! Pseudonyms: what stands in the place of values that nobody downstream may see.
//!
//! Guarantees: a protected value leaves the decoder as the first 24 hexadecimal digits of its HMAC-SHA256 (RFC 2104) under the configured key: the
//! same value has the same pseudonym in both inputs, in every process and after every restart, and without the key nobody can try values out.
//! Never: keeps or shows the value, computes a digest itself (`ring` does). Comes from: `decoder` (an event's fields). Goes to: everything else.
//!
//! `printf %s VALUE | openssl dgst -sha256 -hmac "$(cat KEYFILE)" | cut -d' ' -f2 | cut -c1-24` is the pseudonym of VALUE.

use super::event::{FeatureIx, Value, canonical_text};
use super::found::Found;
use super::plan::Plan;
use crate::config::settings::Protect;
use ring::hmac;
use secrecy::ExposeSecret;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Bytes of the digest that are kept: 96 bits, so that among 10^10 different values two share a pseudonym once in a billion cases.
const BYTES: usize = 12;

/// Which fields of a source are protected, and the key.
pub(super) struct Pseudonyms {
    key: hmac::Key,
    request_id: bool,
    dimensions: Vec<bool>,
    features: BTreeSet<String>,
    /// Whether a feature is protected, of those that the plan knew when it was asked last.
    known: Vec<bool>,
}

impl Pseudonyms {
    /// For events that have these dimensions.
    pub(super) fn new(protect: &Protect, dimensions: &[String]) -> Pseudonyms {
        Pseudonyms {
            key: hmac::Key::new(hmac::HMAC_SHA256, protect.key.expose_secret().as_bytes()),
            request_id: protect.request_id,
            dimensions: dimensions.iter().map(|d| protect.dimensions.contains(d)).collect(),
            features: protect.features.clone(),
            known: Vec::new(),
        }
    }

    /// Of a text. Allocates.
    fn of(&self, text: &str) -> String {
        let digest = hmac::sign(&self.key, text.as_bytes());
        let mut pseudonym = String::with_capacity(2 * BYTES);
        for byte in &digest.as_ref()[..BYTES] {
            let _ = write!(pseudonym, "{byte:02x}"); // a String takes everything
        }
        pseudonym
    }

    /// A request id as it goes on.
    pub(super) fn id<'a>(&self, id: Cow<'a, str>) -> Cow<'a, str> {
        if self.request_id { Cow::Owned(self.of(&id)) } else { id }
    }

    /// A dimension's value as it goes on; that there is none is no secret.
    pub(super) fn dimension<'a>(&self, dimension: usize, value: Cow<'a, str>) -> Cow<'a, str> {
        let protected = self.dimensions.get(dimension).is_some_and(|p| *p) && !value.is_empty();
        if protected { Cow::Owned(self.of(&value)) } else { value }
    }

    /// Makes protected features categories of pseudonyms; that a value is missing is no secret.
    pub(super) fn features(&mut self, plan: &Plan, found: &mut Found<'_>) {
        if self.features.is_empty() {
            return;
        }
        for ix in self.known.len()..plan.feature_count() {
            self.known.push(self.features.contains(plan.feature_name(FeatureIx(ix as u32))));
        }
        let protected = |ix: FeatureIx| self.known.get(ix.0 as usize).is_some_and(|p| *p);
        let Found { features, doubles, .. } = found;
        doubles.retain(|run| {
            let stays = !run.features().any(|(ix, _)| protected(ix));
            if !stays {
                features.extend(run.features().map(|(ix, x)| (ix, Value::Number(x))));
            }
            stays
        });
        for (_, value) in features.iter_mut().filter(|(ix, _)| protected(*ix)) {
            let text = canonical_text(std::mem::replace(value, Value::Null));
            *value = text.map_or(Value::Null, |text| Value::Text(Cow::Owned(self.of(&text))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn protect() -> Protect {
        let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        Protect {
            key: SecretString::from("0123456789abcdef"),
            request_id: true,
            dimensions: names(&["branch"]),
            features: names(&["iban"]),
            records: false,
        }
    }

    /// As printed by `printf %s DE02120300000000202051 | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn a_pseudonym_is_the_beginning_of_what_openssl_says() {
        let names = Pseudonyms::new(&protect(), &[]);
        assert_eq!(names.of("DE02120300000000202051"), "1ad5305e46f2dc8cf4bd2aed");
    }

    #[test]
    fn ids_and_protected_dimensions_are_hidden_and_others_and_empty_ones_are_not() {
        let names = Pseudonyms::new(&protect(), &["country".to_string(), "branch".to_string()]);
        assert_eq!(names.id("a".into()), names.of("a"));
        assert_eq!(names.dimension(0, "FR".into()), "FR");
        assert_eq!(names.dimension(1, "Lyon".into()), names.of("Lyon"));
        assert_eq!(names.dimension(1, "".into()), "");
        let open = Pseudonyms::new(&Protect { request_id: false, ..protect() }, &[]);
        assert_eq!(open.id("a".into()), "a");
    }

    #[test]
    fn another_key_makes_other_pseudonyms() {
        let other = Protect { key: SecretString::from("0123456789abcdeF"), ..protect() };
        assert_ne!(Pseudonyms::new(&other, &[]).of("a"), Pseudonyms::new(&protect(), &[]).of("a"));
    }
}
