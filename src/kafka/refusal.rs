//! Connections that come to nothing: wrong passwords, certificates that can't be trusted, a build without TLS.
//!
//! Guarantees: where trying again changes nothing a process that starts ends, and says what to change; one that runs keeps trying (people
//! change passwords under running processes) and says it once a minute.
//! Never: shows a secret; judges a certificate itself (the client has refused it already, here it is only asked why).

use super::client;
use super::rights::principal;
use crate::config::mechanism::{INSTEAD, lacking};
use crate::config::settings::Kafka;
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaType;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);
const PROBE: Duration = Duration::from_secs(5);

/// Context of a client that nobody waits for yet: keeps why it can't connect.
#[derive(Default)]
pub struct Ear {
    heard: Mutex<Option<(KafkaError, String)>>,
}

impl Ear {
    /// The last error that says more than that no broker is left.
    pub fn take(&self) -> Option<(KafkaError, String)> {
        self.heard.lock().ok()?.take()
    }
}

impl ClientContext for Ear {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!("librdkafka {facility}: {message}"); // errors come again, as errors
    }
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::PartitionEOF) {
            return; // no error: the next poll says it, too
        }
        let empty = error.rdkafka_error_code() == Some(Code::AllBrokersDown);
        if let Ok(mut heard) = self.heard.lock()
            && (!empty || heard.is_none())
        {
            *heard = Some((error, reason.to_string()));
        }
    }
}

impl ConsumerContext for Ear {}

fn is_password(e: &KafkaError) -> bool {
    matches!(e.rdkafka_error_code(), Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism))
}

fn is_tls(e: &KafkaError) -> bool {
    e.rdkafka_error_code() == Some(Code::SSL)
}

/// What to change, if trying again is no use.
pub fn hopeless(kafka: &Kafka, e: &KafkaError, reason: &str) -> Option<String> {
    if is_password(e) {
        let who = principal(kafka);
        return Some(format!(
            "Kafka does not let {who} in: its password or `sasl.mechanism` is wrong, or it has no such user. Check `sasl.username` and `sasl.mechanism` in kafka.client and `sasl.password` in kafka.secrets. What was said: {reason}"
        ));
    }
    let certificate = if is_tls(e) && reason.contains("certificate verify failed") { why_refused(kafka) } else { None };
    is_tls(e).then(|| {
        certificate.unwrap_or_else(|| {
            format!("no TLS with the broker: {reason}. Check `security.protocol` and what begins with `ssl.` in kafka.client")
        })
    })
}

/// Says why a running process is refused, once a minute; false if that is not what the error is about.
pub fn mention(e: &KafkaError, reason: &str) -> bool {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    if !is_password(e) && !is_tls(e) {
        return false;
    }
    if let Ok(mut said) = SAID.lock()
        && said.is_none_or(|at| at.elapsed() > EVERY)
    {
        *said = Some(Instant::now());
        tracing::warn!(
            "a broker refuses this process, or it the broker: {reason}; trying again. Has a password or a certificate changed or expired? A restart reads kafka.secrets again and says more"
        );
    }
    true
}

/// Why there is no client at all.
pub fn no_client(e: &KafkaError) -> String {
    let text = e.to_string();
    let why = if let KafkaError::ClientConfig(_, why, ..) = e { why } else { &text };
    let lacks = |mechanism: &str| why.contains(&format!("mechanism {mechanism}")).then(|| lacking(mechanism)).flatten();
    let oauth = || why.contains("OAuth/OIDC").then(|| lacking("OAUTHBEARER")).flatten();
    if let Some(lacking) = lacks("GSSAPI").or_else(|| lacks("OAUTHBEARER")).or_else(oauth) {
        return format!("{lacking}: {INSTEAD} ({why})");
    }
    match why.contains("OpenSSL not available") || why.contains("recompile librdkafka") {
        true => format!(
            "this driftline was built without TLS and SCRAM, which kafka.client asks for: use the container image, or build with `cargo build --release --features tls-vendored` ({why})"
        ),
        false => format!("Kafka client: {why}; check kafka.client and kafka.secrets"),
    }
}

/// A certificate that was refused.
#[derive(Default)]
struct Probe {
    refused: Mutex<Option<(String, c_int)>>,
}

impl ClientContext for Probe {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

/// Connects once more, only to hear what is wrong with the certificate: the client's own message leaves that out.
fn why_refused(kafka: &Kafka) -> Option<String> {
    let config = client::base(kafka);
    let settings = config.create_native_config().ok()?;
    // SAFETY: the settings are alive; the function fits the client's declaration.
    unsafe { native::rd_kafka_conf_set_ssl_cert_verify_cb(settings.ptr(), Some(verified)) };
    let probe = Client::new(&config, settings, RDKafkaType::RD_KAFKA_PRODUCER, Probe::default()).ok()?;
    probe.fetch_metadata(None, PROBE).err()?;
    let (broker, code) = probe.context().refused.lock().ok()?.take()?;
    Some(said(kafka, &broker, code))
}

/// The client shows a certificate and what OpenSSL thinks of it; 1 agrees to a good one, 0 refuses.
unsafe extern "C" fn verified(
    _: *mut native::rd_kafka_t,
    broker: *const c_char,
    _: i32,
    code: *mut c_int,
    _: c_int,
    _: *const c_char,
    _: usize,
    _: *mut c_char,
    _: usize,
    probe: *mut c_void,
) -> c_int {
    // SAFETY: the client passes valid pointers; `Client::new` made its context the opaque one, and it lives as long as the client.
    let (code, broker, probe) = unsafe { (*code, CStr::from_ptr(broker), &*probe.cast::<Probe>()) };
    if code != 0
        && let Ok(mut refused) = probe.refused.lock()
    {
        *refused = Some((broker.to_string_lossy().into_owned(), code));
    }
    (code == 0).into()
}

/// The numbers are OpenSSL's (`x509_vfy.h`).
fn said(kafka: &Kafka, broker: &str, code: c_int) -> String {
    let trusted = kafka.client.get("ssl.ca.location").map_or("the system's, as `ssl.ca.location` is not set", String::as_str);
    let host = broker.rsplit_once(':').map_or(broker, |b| b.0);
    let why = match code {
        9 => "is not valid yet: look at the clocks of the broker and of this machine".to_string(),
        10 => "has expired: it must be renewed there (if it has not, this machine's clock is wrong)".to_string(),
        18..=21 => format!(
            "is signed by an authority that is not trusted here: put the authority's certificate into `ssl.ca.location` ({trusted})"
        ),
        62 | 64 => format!(
            "is for another host: give the broker one that names {host}, or write the host that it names into kafka.brokers and the broker's advertised.listeners"
        ),
        other => format!("is refused (OpenSSL's verification error {other})"),
    };
    format!("the certificate of {broker} {why}. To see it: openssl s_client -connect {broker} -showcerts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    fn refused(properties: &[(&str, &str)]) -> String {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("security.protocol", "SASL_PLAINTEXT");
        properties.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        no_client(&config.create::<BaseConsumer>().err().expect("the client refuses it"))
    }

    #[test]
    fn kerberos_and_oauth_are_in_no_build_so_that_none_is_recommended() {
        for (properties, what) in [
            (&[][..], "Kerberos"), // what the client takes for granted
            (&[("sasl.mechanism", "GSSAPI")], "Kerberos"),
            (&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.method", "oidc")], "OAuth"),
        ] {
            let said = refused(properties);
            assert!(said.contains(&format!("without {what}")) && said.contains("SCRAM-SHA-512") && !said.contains("cargo build"), "{said}");
        }
    }

    #[cfg(not(any(feature = "tls", feature = "tls-vendored")))]
    #[test]
    fn scram_is_in_other_builds() {
        let said = refused(&[("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", "a"), ("sasl.password", "b")]);
        assert!(said.contains("--features tls-vendored"), "{said}");
    }
}
