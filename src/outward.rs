//! HTTP to others: how driftline asks and tells.
//!
//! Guarantees: an answer is waited for no longer than the time given. Never: follows redirects or proxies of the environment, with a password
//! perhaps in its hand; shows more of an address than its host. Used by: `registry`, `forward`, `top`.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// The longest pause that the other side may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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

/// Scheme, host and port of an address of HTTP; nothing if it is none. What follows them, and who logs in, may be secret.
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").filter(|u| matches!(u.0, "http" | "https") && url.parse::<Uri>().is_ok())?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |a| a.1);
    (!host.is_empty() && !host.starts_with(':')).then(|| format!("{scheme}://{host}"))
}

/// How long the other side asks to be left alone (`Retry-After`, in seconds).
pub fn pause(answer: &Response<Body>) -> Duration {
    let seconds = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_PAUSE)
}

/// As much of a foreign message as a line has room for.
pub fn beginning(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// The address of a server as it is typed, without the slash at its end: `http://HOST...` or `https://HOST...`.
pub fn address(typed: &str) -> Option<&str> {
    let url = typed.trim().trim_end_matches('/');
    origin(url).map(|_| url)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_its_host_is_shown_and_what_is_no_address_has_none() {
        let shown = |url: &str| origin(url).unwrap_or_default();
        assert_eq!(shown("https://me:secret@chat.example:8443/hooks/T0/B0?token=secret"), "https://chat.example:8443");
        assert_eq!(shown("http://[::1]:9093"), "http://[::1]:9093");
        for wrong in ["", "alertmanager:9093", "http://", "http://:9093", "http:///path", "http://a b", "ftp://a", "https://me@/x"] {
            assert_eq!(origin(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_asked_for_up_to_a_minute() {
        let asked = |text: &str| {
            let answer = Response::builder().header("retry-after", text).body(Body::builder().data(Vec::new())).expect("a header");
            pause(&answer).as_secs()
        };
        assert_eq!(["7", " 8 ", "86400", "soon", "-1"].map(asked), [7, 8, 60, 0, 0]);
    }
}
