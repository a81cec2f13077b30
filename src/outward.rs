//! HTTP to others: how driftline asks and tells.
//!
//! Guarantees: an answer is waited for no longer than the time given. Never: follows redirects or proxies of the environment, with a password
//! perhaps in its hand. Used by: `registry`, `forward`, `top`.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Who asks. `ca`: certificates in PEM that vouch for the other side; without them Mozilla's list does. Statuses are answers, not errors.
pub fn agent(timeout: Duration, ca: Option<&str>) -> Result<Agent, String> {
    let roots = match ca {
        None => RootCerts::WebPki,
        Some(pem) => {
            let items: Vec<_> = parse_pem(pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|e| format!("can't be read: {e}; it must be certificates in PEM"))?;
            let certificates = items.into_iter().filter_map(|i| match i {
                PemItem::Certificate(c) => Some(c),
                _ => None,
            });
            RootCerts::Specific(Arc::new(certificates.collect()))
        }
    };
    Ok(Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("driftline/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .new_agent())
}

/// The address of a server as it is typed, without the slash at its end: `http://HOST...` or `https://HOST...`.
pub fn address(typed: &str) -> Option<&str> {
    let url = typed.trim().trim_end_matches('/');
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    (!host.is_empty() && !host.starts_with([':', '/']) && !url.contains(char::is_whitespace)).then_some(url)
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No host has this name.
    NoHost,
    /// The host has nobody who listens there.
    NoListener,
    /// Nobody answered in time.
    Late,
    /// That is no address.
    NoAddress(String),
    /// No secured connection.
    Distrusted(String),
    /// Anything else.
    Other(String),
}

/// Nobody answered, or not as HTTP does.
pub fn unreached(e: ureq::Error) -> Unreached {
    use ureq::Error;
    match e {
        Error::HostNotFound => Unreached::NoHost,
        Error::Timeout(_) => Unreached::Late,
        Error::BadUri(why) => Unreached::NoAddress(why),
        Error::Rustls(_) | Error::Tls(_) | Error::Pem(_) => Unreached::Distrusted(e.to_string()),
        Error::Io(io) if io.kind() == ErrorKind::InvalidData => Unreached::Distrusted(io.to_string()),
        Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => Unreached::NoListener,
        // the standard library has no kind for it; a name server that does not answer is another matter
        Error::Io(io) if io.to_string().contains("failed to lookup address") && !io.to_string().contains("emporary") => Unreached::NoHost,
        other => Unreached::Other(other.to_string()),
    }
}
