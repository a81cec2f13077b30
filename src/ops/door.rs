//! Who may see the pages: the listener's certificate and its bearer token, both read again when their files change.
//!
//! Guarantees: a renewed certificate or token counts within seconds, without a restart; what can't be read (half a file, another key) leaves
//! the one before in force, with a warning. When the certificate ends is a metric, and a warning where that is soon. Tokens are compared by their digests, so an answer's time tells nothing.
//! Never: shows a secret; asks for a token where probes knock.
//! Comes from: `http` of the configuration. Goes to: `ops::http`.

use super::http::now_ms;
use crate::config::settings::{Http, Token};
use crate::identity::{self, Wrong};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::Gauge;
use ring::digest::{SHA256, digest};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// Files are looked at again after this long.
const AGAIN: Duration = Duration::from_secs(2);
/// A certificate that ends within so many milliseconds is worth a word: fourteen days.
const SOON: i64 = 14 * 86_400_000;

type Secret = [u8; 32];

/// What is made of the contents of files.
struct Renewed<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: fn(&[Vec<u8>]) -> Result<T, String>,
    state: Mutex<Known<T>>,
}

struct Known<T> {
    looked: Instant,
    contents: Vec<Vec<u8>>,
    value: T,
    /// A warning that was said.
    said: Option<String>,
}

fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    files.iter().map(|file| std::fs::read(file).map_err(|e| format!("{} can't be read: {e}", file.display()))).collect()
}

impl<T: Clone> Renewed<T> {
    fn new(what: &'static str, files: Vec<PathBuf>, make: fn(&[Vec<u8>]) -> Result<T, String>) -> Result<Renewed<T>, String> {
        let contents = read(&files)?;
        let state = Mutex::new(Known { looked: Instant::now(), value: make(&contents)?, contents, said: None });
        Ok(Renewed { what, files, make, state })
    }

    /// What counts now.
    fn current(&self) -> T {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= AGAIN {
            known.looked = Instant::now();
            self.renew(&mut known);
        }
        known.value.clone()
    }

    fn renew(&self, known: &mut Known<T>) {
        let new = read(&self.files).and_then(|contents| match contents == known.contents {
            true => Ok(None),
            false => (self.make)(&contents).map(|value| Some((contents, value))),
        });
        match new {
            Ok(None) => known.said = None,
            Ok(Some((contents, value))) => {
                tracing::info!("HTTP: {} is read anew", self.what);
                (known.contents, known.value, known.said) = (contents, value, None);
            }
            Err(why) if known.said.as_ref() != Some(&why) => {
                tracing::warn!("HTTP: {} was renewed, but {why}; the one before stays in force", self.what);
                known.said = Some(why);
            }
            Err(_) => {}
        }
    }
}

/// See the module.
pub struct Door {
    tls: Option<Renewed<Shown>>,
    token: Option<Renewed<Secret>>,
    expiry: Gauge,
}

/// What clients are shown, and until when (ms since 1970) it is good.
#[derive(Clone)]
struct Shown {
    tls: TlsAcceptor,
    until: Option<i64>,
}

/// The metric for `Door::new`.
pub fn expiry() -> Result<Gauge, prometheus::Error> {
    let help = "When the listener's certificate ends, in seconds since 1970; 0 without TLS";
    Gauge::new("driftline_http_certificate_expiry_timestamp_seconds", help)
}

/// What to say at `now` of a certificate that is good until then, if that is not long.
pub fn ending(until: Option<i64>, now: i64) -> Option<String> {
    let until = until.filter(|until| *until < now + SOON)?;
    let at = jiff::Timestamp::from_millisecond(until).map_or_else(|_| "long ago".into(), |t| t.to_string());
    Some(match until < now {
        true => format!("has expired ({at}): browsers and Prometheus refuse it; renew it"),
        false => format!("expires soon ({at}): renew it; the new one counts without a restart"),
    })
}

fn acceptor(contents: &[Vec<u8>]) -> Result<Shown, String> {
    let server = identity::server(&contents[0], &contents[1]).map_err(|wrong| match wrong {
        Wrong::Certificate(why) => format!("its file {why}"),
        Wrong::Key(why) => format!("the key's file {why}"),
    })?;
    let until = identity::until(&contents[0]);
    if let Some(why) = ending(until, now_ms()) {
        tracing::warn!("HTTP: the certificate {why}");
    }
    Ok(Shown { tls: TlsAcceptor::from(server), until })
}

fn secret(token: &[u8]) -> Result<Secret, String> {
    match token.trim_ascii() {
        [] => Err("its file is empty".into()),
        token => Ok(digest(&SHA256, token).as_ref().try_into().expect("32 bytes")),
    }
}

impl Door {
    /// Of the configuration; `expiry` shows when the certificate ends.
    pub fn new(http: &Http, expiry: Gauge) -> Result<Door, String> {
        let tls = http.tls.as_ref().map(|tls| Renewed::new("the certificate", vec![tls.certificate.clone(), tls.key.clone()], acceptor));
        let token = http.token.as_ref().map(|token| match token {
            Token::File(file) => Renewed::new("the token", vec![file.clone()], |contents| secret(&contents[0])),
            Token::Value(value) => {
                let state = Mutex::new(Known {
                    looked: Instant::now(),
                    contents: Vec::new(),
                    value: secret(value.expose_secret().as_bytes())?,
                    said: None,
                });
                Ok(Renewed { what: "the token", files: Vec::new(), make: |_| Err("it has no file".into()), state })
            }
        });
        let door = Door { tls: tls.transpose()?, token: token.transpose()?, expiry };
        door.tls(); // the metric is right before the first client comes
        Ok(door)
    }

    /// For a new connection; none if it is a plain one.
    pub fn tls(&self) -> Option<TlsAcceptor> {
        let shown = self.tls.as_ref()?.current();
        self.expiry.set(shown.until.map_or(0.0, |until| (until / 1_000) as f64));
        Some(shown.tls)
    }

    /// Whether a request's `authorization` opens it.
    fn opens(&self, authorization: Option<&[u8]>) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = authorization.and_then(|a| a.split_at_checked(7)).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        let expected = token.current();
        shown.and_then(|(_, shown)| secret(shown).ok()).is_some_and(|shown| shown == expected)
    }
}

/// 401 for who has no token, or another one.
pub async fn guarded(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if door.opens(request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes())) {
        return next.run(request).await;
    }
    let why = "this page needs the bearer token of http.token\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_by_its_scheme_and_its_value() {
        let token = Some(Token::Value("s3cret".to_string().into()));
        let door = Door::new(&Http { listen: ([127, 0, 0, 1], 0).into(), tls: None, token }, expiry().unwrap()).unwrap();
        for good in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "] {
            assert!(door.opens(Some(good.as_bytes())), "{good}");
        }
        for wrong in ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret"] {
            assert!(!door.opens(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!door.opens(None));
        let open = Door::new(&Http { listen: ([127, 0, 0, 1], 0).into(), tls: None, token: None }, expiry().unwrap()).unwrap();
        assert!(open.opens(None));
    }

    #[test]
    fn the_end_of_a_certificate_is_told_in_time() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let until = Some(at("2026-12-24T00:00:00Z"));
        assert_eq!(ending(until, at("2026-12-09T23:59:59Z")), None);
        assert!(ending(until, at("2026-12-10T00:00:01Z")).unwrap().contains("expires soon (2026-12-24T00:00:00Z)"));
        assert!(ending(until, at("2026-12-24T00:00:01Z")).unwrap().contains("has expired (2026-12-24T00:00:00Z)"));
        assert_eq!(ending(None, 0), None);
    }

    #[test]
    fn when_the_certificate_ends_is_a_metric_that_follows_its_file() {
        let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        let put = |name: &str| {
            std::fs::copy(fixture(&format!("{name}.pem")), &certificate).unwrap();
            std::fs::copy(fixture("first.key"), &key).unwrap();
        };
        put("expired");
        let tls = Some(crate::config::settings::TlsFiles { certificate: certificate.clone(), key: key.clone() });
        let shown = expiry().unwrap();
        let door = Door::new(&Http { listen: ([127, 0, 0, 1], 0).into(), tls, token: None }, shown.clone()).unwrap();
        assert_eq!(shown.get(), 1_580_515_200.0, "2020-02-01: it starts, and says so");
        put("first");
        let renewed = door.tls.as_ref().unwrap();
        renewed.renew(&mut renewed.state.lock().unwrap());
        door.tls();
        assert!(shown.get() > 4e9, "2126");
    }

    #[test]
    fn what_can_not_be_used_leaves_the_one_before_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "one\n").unwrap();
        let renewed = Renewed::new("the token", vec![file.clone()], |contents| secret(&contents[0])).unwrap();
        let after = |content: &str| {
            std::fs::write(&file, content).unwrap();
            let mut known = renewed.state.lock().unwrap();
            renewed.renew(&mut known);
            (known.value, known.said.is_some())
        };
        assert_eq!(after(""), (secret(b"one").unwrap(), true), "half a file");
        assert_eq!(after("two"), (secret(b"two").unwrap(), false));
        std::fs::remove_file(&file).unwrap();
        let mut known = renewed.state.lock().unwrap();
        renewed.renew(&mut known);
        assert_eq!((known.value, known.said.is_some()), (secret(b"two").unwrap(), true));
    }
}
