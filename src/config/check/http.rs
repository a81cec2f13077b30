//! The HTTP listener: its address, its certificate, its token.

use super::Context;
use super::kafka::read_secret;
use crate::config::settings::{Http, TlsFiles, Token};
use crate::config::{raw, shape::Path};
use crate::identity::{self, Wrong};

pub(super) fn http(typed: &raw::Http, context: &mut Context<'_>) -> Option<Http> {
    let tls = typed.tls.as_ref().and_then(|tls| files(tls, context));
    let token = typed.token.as_ref().and_then(|token| secret(token, context));
    if typed.listen.0 == "off" {
        return None;
    }
    let listen = typed.listen.0.parse().ok();
    if listen.is_none() {
        let message = format!("http.listen: \"{}\" is no address with a port", typed.listen.0);
        context.problem(Path::of(&["http", "listen"]), message, "write for example 127.0.0.1:9464, 0.0.0.0:9464, [::]:9464 or off");
    }
    Some(Http { listen: listen?, tls, token })
}

/// The value is read again while the process runs; here it is only tried.
fn secret(typed: &raw::Secret, context: &mut Context<'_>) -> Option<Token> {
    let value = read_secret(typed, Path::of(&["http", "token"]), context)?;
    Some(match typed {
        raw::Secret::File(secret) => Token::File(context.base_dir.join(&secret.file.0)),
        raw::Secret::Env(_) => Token::Value(value),
    })
}

fn files(typed: &raw::HttpTls, context: &mut Context<'_>) -> Option<TlsFiles> {
    let mut file = |name: &'static str, typed: &Option<raw::Text>| {
        let typed = typed.as_ref()?; // its absence is reported
        let path = Path::of(&["http", "tls", name]);
        let name = context.base_dir.join(&typed.0);
        match std::fs::read(&name) {
            Ok(bytes) => Some((path, name, bytes)),
            Err(e) => {
                context.problem(path, format!("{} can't be read: {e}", name.display()), "");
                None
            }
        }
    };
    let (certificate, key) = (file("cert_file", &typed.cert_file), file("key_file", &typed.key_file));
    let (certificate, key) = certificate.zip(key)?;
    match identity::server(&certificate.2, &key.2) {
        Ok(_) => {}
        Err(Wrong::Certificate(why)) => context.problem(certificate.0, format!("{} {why}", certificate.1.display()), ""),
        Err(Wrong::Key(why)) => context.problem(key.0, format!("{} {why}", key.1.display()), ""),
    }
    Some(TlsFiles { certificate: certificate.1, key: key.1 })
}
