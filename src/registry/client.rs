//! The registry's HTTP: one schema with everything it refers to, and what each other answer means.
//!
//! Guarantees: only a registry's own "not found" makes a schema absent; whatever else is wrong (nobody answers, a proxy does, we are not let
//! in) is trouble that may pass. Answers have at most 4 MiB, a schema at most 256 references.
//! Never: follows redirects or proxies of the environment with a password in its hand; repeats what authenticates us.

use crate::codec::shape::Referred;
use crate::codec::writers::{SchemaKind, Written};
use crate::config::settings::{Registry as Settings, RegistryAuth};
use crate::outward::{self, Unreached, beginning, pause};
use base64::Engine;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;
use ureq::Agent;

/// Bytes of an answer.
const MAX_ANSWER: u64 = 4 << 20;
/// Schemas that a schema refers to, directly or not.
const MAX_REFERENCES: usize = 256;
/// An id that nobody has: whoever says so is a registry that lets us in.
const NOBODYS: u32 = i32::MAX as u32;

/// The registry can't be used now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Trouble {
    /// What is wrong and what to do.
    pub why: String,
    /// True if it will hardly pass by itself: a wrong address, password or certificate.
    pub lasting: bool,
    /// The registry asks to be left alone for this long.
    pub wait: Duration,
}

impl Trouble {
    fn passing(why: impl Into<String>) -> Trouble {
        Trouble { why: why.into(), lasting: false, wait: Duration::ZERO }
    }

    fn lasting(why: impl Into<String>) -> Trouble {
        Trouble { why: why.into(), lasting: true, wait: Duration::ZERO }
    }

    /// Something is wrong on this side.
    pub(super) fn here(why: String) -> Trouble {
        Trouble::lasting(why)
    }
}

/// Why there is no schema.
#[derive(Debug)]
pub(super) enum Fault {
    /// The registry does not have it: the end of a sentence.
    Absent(String),
    /// It is not known whether there is one.
    Trouble(Trouble),
}

/// A schema as registries send it. Without `schemaType` it is Avro.
#[derive(Deserialize)]
struct Sent {
    schema: String,
    #[serde(rename = "schemaType", default)]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    #[serde(default)]
    subject: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    name: String,
    subject: String,
    version: i64,
}

/// What registries send with a status that is no success.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
    #[serde(default)]
    message: String,
}

/// One registry.
pub(super) struct Client {
    agent: Agent,
    url: String,
    authorization: Option<SecretString>,
    setting: &'static str,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Client, Trouble> {
        let timeout = Duration::from_millis(settings.timeout.0.max(1) as u64);
        let agent = outward::agent(timeout, settings.ca.as_deref()).map_err(|why| Trouble::lasting(format!("registry.ca_file {why}")))?;
        let (authorization, setting) = match &settings.auth {
            RegistryAuth::None => (None, "registry.auth"),
            RegistryAuth::Basic { user, password } => {
                let pair = format!("{user}:{}", password.expose_secret());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                (Some(SecretString::from(format!("Basic {encoded}"))), "registry.auth.basic")
            }
            RegistryAuth::Bearer(token) => (Some(SecretString::from(format!("Bearer {}", token.expose_secret()))), "registry.auth.bearer"),
        };
        Ok(Client { agent, url: settings.url.clone(), authorization, setting })
    }

    /// Whether a registry is there and lets us in.
    pub(super) fn probe(&self) -> Result<(), Trouble> {
        match self.get(&format!("/schemas/ids/{NOBODYS}")) {
            Ok(_) | Err(Fault::Absent(_)) => Ok(()),
            Err(Fault::Trouble(trouble)) => Err(trouble),
        }
    }

    /// A schema and all that it refers to.
    pub(super) fn schema(&self, id: u32) -> Result<Written, Fault> {
        let sent = self.get(&format!("/schemas/ids/{id}"))?;
        let kind = match sent.kind.as_deref() {
            None | Some("" | "AVRO") => SchemaKind::Avro,
            Some("JSON") => SchemaKind::Json,
            Some("PROTOBUF") => SchemaKind::Protobuf,
            Some(other) => SchemaKind::Other(other.to_string()),
        };
        let references = match kind {
            SchemaKind::Avro | SchemaKind::Protobuf => self.references(sent.references.unwrap_or_default())?,
            _ => Vec::new(),
        };
        Ok(Written { kind, text: sent.schema, references, subject: sent.subject })
    }

    /// All references, those of references included, each once.
    fn references(&self, mut left: Vec<Reference>) -> Result<Vec<Referred>, Fault> {
        let (mut seen, mut texts) = (BTreeSet::new(), Vec::new());
        while let Some(Reference { name, subject, version }) = left.pop() {
            if !seen.insert((subject.clone(), version)) {
                continue;
            }
            if seen.len() > MAX_REFERENCES {
                return Err(Fault::Absent(format!("it refers to more than {MAX_REFERENCES} schemas")));
            }
            // deleted=true: a schema that is in use may be deleted as long as its id is known
            let sent =
                self.get(&format!("/subjects/{}/versions/{version}?deleted=true", encoded(&subject))).map_err(|fault| match fault {
                    Fault::Absent(why) => Fault::Absent(format!("it refers to subject \"{subject}\" version {version}: {why}")),
                    trouble => trouble,
                })?;
            left.extend(sent.references.unwrap_or_default());
            texts.push(Referred { name, text: sent.schema });
        }
        Ok(texts)
    }

    fn get(&self, path: &str) -> Result<Sent, Fault> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        request = request.header("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(secret) = &self.authorization {
            request = request.header("Authorization", secret.expose_secret());
        }
        let mut answer = request.call().map_err(|e| Fault::Trouble(unreached(e)))?;
        let status = answer.status().as_u16();
        let wait = pause(&answer);
        let body = match answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec() {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) if status == 200 => {
                return Err(Fault::Absent(format!("it has more than {} MiB", MAX_ANSWER >> 20)));
            }
            Err(e) => return Err(Fault::Trouble(unreached(e))),
        };
        if status == 200 {
            return serde_json::from_slice(&body)
                .map_err(|e| Fault::Trouble(Trouble::lasting(format!("what answers is no schema registry ({e}); look at registry.url"))));
        }
        Err(self.refused(status, &body, wait))
    }

    fn refused(&self, status: u16, body: &[u8], wait: Duration) -> Fault {
        let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
        let said = match &refusal {
            Some(r) if !r.message.is_empty() => format!(" ({})", beginning(&r.message)),
            _ => String::new(),
        };
        Fault::Trouble(match status {
            404 => match refusal {
                // a proxy or an ingress without its backend says 404 as well, but without a registry's code
                Some(r) => return Fault::Absent(format!("the registry does not have it, error {}{said}", r.error_code)),
                None => Trouble::lasting("it answers 404 as no schema registry does; look at registry.url: does a path belong to it?"),
            },
            401 | 403 if self.authorization.is_none() => {
                Trouble::lasting(format!("it wants to know who asks, status {status}{said}; set {} to basic or bearer", self.setting))
            }
            401 => Trouble::lasting(format!("it refuses the credentials, status 401{said}; correct {} and restart", self.setting)),
            403 => Trouble::lasting(format!(
                "it forbids reading schemas, status 403{said}; give whom {} names the right to read them",
                self.setting
            )),
            300..=399 => Trouble::lasting(format!("it answers with a redirect, status {status}; set registry.url to where it leads")),
            429 | 500.. => Trouble { wait, ..Trouble::passing(format!("it answers with status {status}{said}")) },
            _ => Trouble::lasting(format!("it answers with status {status}{said}; is registry.url right?")),
        })
    }
}

/// Nobody answered, or not as HTTP does.
fn unreached(e: ureq::Error) -> Trouble {
    match outward::unreached(e) {
        Unreached::NoHost => Trouble::lasting("there is no such host; correct registry.url"),
        Unreached::Late => Trouble::passing("it did not answer within registry.timeout"),
        Unreached::NoAddress(why) => Trouble::lasting(format!("registry.url is no address ({why})")),
        Unreached::Distrusted(why) => Trouble::lasting(format!(
            "no secured connection ({why}); set registry.ca_file to the certificates that vouch for it, or correct the host or port in registry.url"
        )),
        Unreached::NoListener => Trouble::passing("it can't be reached (nobody listens there)"),
        Unreached::Other(why) => Trouble::passing(format!("it can't be reached ({why})")),
    }
}

/// As a segment of a path.
fn encoded(subject: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => write!(out, "%{byte:02X}").expect("text has room"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_one_segment_of_a_path() {
        assert_eq!(encoded("com.acme.Money-value"), "com.acme.Money-value");
        assert_eq!(encoded(":.ctx:a/b ü?#"), "%3A.ctx%3Aa%2Fb%20%C3%BC%3F%23");
    }
}
