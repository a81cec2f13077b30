//! Who may see the pages: the listener's certificate and its bearer token, both read again when their files change.
//!
//! Guarantees: a renewed certificate or token counts within seconds, without a restart; what can't be read (half a file, another key) leaves
//! the one before in force, with a warning. Tokens are compared by their digests, so an answer's time tells nothing.
//! Never: shows a secret; asks for a token where probes knock.
//! Comes from: `http` of the configuration. Goes to: `ops::http`.

use crate::config::settings::{Http, Token};
use crate::identity::{self, Wrong};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// Files are looked at again after this long.
const AGAIN: Duration = Duration::from_secs(2);

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
    tls: Option<Renewed<TlsAcceptor>>,
    token: Option<Renewed<Secret>>,
}

fn acceptor(contents: &[Vec<u8>]) -> Result<TlsAcceptor, String> {
    let server = identity::server(&contents[0], &contents[1]).map_err(|wrong| match wrong {
        Wrong::Certificate(why) => format!("its file {why}"),
        Wrong::Key(why) => format!("the key's file {why}"),
    })?;
    Ok(TlsAcceptor::from(server))
}

fn secret(token: &[u8]) -> Result<Secret, String> {
    match token.trim_ascii() {
        [] => Err("its file is empty".into()),
        token => Ok(digest(&SHA256, token).as_ref().try_into().expect("32 bytes")),
    }
}

impl Door {
    /// Of the configuration.
    pub fn new(http: &Http) -> Result<Door, String> {
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
        Ok(Door { tls: tls.transpose()?, token: token.transpose()? })
    }

    /// For a new connection; none if it is a plain one.
    pub fn tls(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(Renewed::current)
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
        let door = Door::new(&Http { listen: ([127, 0, 0, 1], 0).into(), tls: None, token }).unwrap();
        for good in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "] {
            assert!(door.opens(Some(good.as_bytes())), "{good}");
        }
        for wrong in ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret"] {
            assert!(!door.opens(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!door.opens(None));
        let open = Door::new(&Http { listen: ([127, 0, 0, 1], 0).into(), tls: None, token: None }).unwrap();
        assert!(open.opens(None));
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
