//! Who sent a webhook: HMAC-SHA256 over its id, time and body, as Standard Webhooks 1.0 has it (<https://www.standardwebhooks.com>).
//!
//! Guarantees: one signature for each secret of the file, so that receivers can change to a new one at their own time.
//! Never: shows a secret; computes anything itself (`ring` does). Comes from: the file of secrets. Goes to: the header `webhook-signature`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// Bytes of a secret, at least.
const SHORTEST: usize = 16;

/// The keys to sign with.
pub struct Secrets(Vec<hmac::Key>);

impl Secrets {
    /// A secret a line: base64, with `whsec_` before it or without. The error says what to do.
    pub fn read(text: &SecretString) -> Result<Secrets, String> {
        let lines = text.expose_secret().lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let keys = lines.map(|(i, line)| {
            let bytes = STANDARD.decode(line.strip_prefix("whsec_").unwrap_or(line)).unwrap_or_default();
            match bytes.len() {
                SHORTEST.. => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
                _ => {
                    Err(format!("line {} is not base64 of {SHORTEST} bytes or more; `openssl rand -base64 32` makes a good secret", i + 1))
                }
            }
        });
        let keys: Vec<hmac::Key> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("it is empty; `openssl rand -base64 32` makes a good secret".into());
        }
        Ok(Secrets(keys))
    }

    /// The header's value for a body that is sent at `seconds` since 1970.
    pub fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let signed = format!("{id}.{seconds}.{body}");
        let one = |key: &hmac::Key| format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes())));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Result<Secrets, String> {
        Secrets::read(&SecretString::from(text))
    }

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // the example of its specification
        let (id, at, body) = ("msg_loFOjxBNrRLzqYUf", 1_731_705_121, r#"{"event_type":"ping","data":{"success":true}}"#);
        let expected = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=";
        for secret in ["whsec_plJ3nmyCDGBKInavdOK15jsl", "plJ3nmyCDGBKInavdOK15jsl\n"] {
            assert_eq!(secrets(secret).unwrap().sign(id, at, body), expected);
        }
    }

    #[test]
    fn while_secrets_change_there_is_a_signature_of_each() {
        let (old, new) = ("plJ3nmyCDGBKInavdOK15jsl", "whsec_AAAAAAAAAAAAAAAAAAAAAA==");
        let sign = |text: &str| secrets(text).unwrap().sign("a/0", 1, "{}");
        assert_eq!(sign(&format!("{new}\n\n{old}\n")), format!("{} {}", sign(new), sign(old)));
    }

    #[test]
    fn the_example_in_the_documents_is_true() {
        let docs = include_str!("../../docs/alerts.md");
        let (secret, id, at) =
            ("whsec_ZHJpZnRsaW5lLCBleGFtcGxlIG9mIGEgc2VjcmV0", "40676ea85575c45b4e36f86801ee8522-71946/0", 1_764_003_660);
        let body = r#"{"alert_id":"40676ea85575c45b4e36f86801ee8522-71946","sequence":0,"status":"FIRING"}"#;
        let signature = secrets(secret).unwrap().sign(id, at, body);
        for word in [secret, id, &at.to_string(), body, &signature] {
            assert!(docs.contains(word), "docs/alerts.md has no {word}");
        }
    }

    #[test]
    fn a_bad_secret_is_refused_without_being_shown() {
        for (text, words) in [("", "it is empty"), ("plJ3nmyCDGBKInavdOK15jsl\nhunter2", "line 2"), ("aHVudGVyMg==", "line 1")] {
            let why = secrets(text).err().unwrap();
            assert!(why.contains(words) && why.contains("openssl rand -base64 32") && !why.contains("hunter2"), "{why}");
            assert!(!why.contains("aHVudGVyMg"), "{why}");
        }
    }
}
