//! The schema registry: its address, who we are there, and whether an input needs it.

use super::Context;
use super::kafka::read_secret;
use crate::config::settings::{Format, Registry, RegistryAuth, Source};
use crate::config::{raw, shape::Path};
use crate::engine::types::{Input, Span};

pub(super) fn registry(config: &raw::Config, sources: [&Source; 2], context: &mut Context<'_>) -> Option<Registry> {
    let needs = Input::BOTH.into_iter().zip(sources).find(|(_, s)| matches!(s.format, Format::Registry { .. }));
    let Some(typed) = &config.registry else {
        if let Some((input, _)) = needs {
            let path = Path::of(&[input.word(), "format"]);
            context.problem(path, "the format is registry, but no registry is given", "add registry: { url: \"https://HOST:PORT\" }");
        }
        return None;
    };
    // an input whose format can't be read may have meant this one
    let misread = Input::BOTH.iter().any(|i| context.broken.contains(&Path::of(&[i.word()])));
    if needs.is_none() && !misread {
        let message = "a registry is given, but no input has the format registry";
        context.problem(Path::of(&["registry"]), message, "set format: registry for predictions, outcomes or both, or remove it");
    }
    let url = url(typed, context);
    let auth = auth(typed, context);
    let ca = typed.ca_file.as_ref().and_then(|file| ca(&file.0, &url, context));
    let timeout = context.at_least(&["registry", "timeout"], typed.timeout.span(), Span(100));
    if timeout > Span::minutes(5) {
        context.problem(Path::of(&["registry", "timeout"]), "registry.timeout must be at most 5m", "the stream waits meanwhile");
    }
    Some(Registry { url, auth, ca, timeout })
}

fn url(typed: &raw::Registry, context: &mut Context<'_>) -> String {
    let Some(text) = &typed.url else { return String::new() };
    let text = text.0.trim().trim_end_matches('/').to_string();
    let path = Path::of(&["registry", "url"]);
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.map(|r| r.split('/').next().unwrap_or_default());
    // what stands before an @ is a password, perhaps: the message must not repeat it
    if host.is_some_and(|h| h.contains('@')) || text.contains('@') && host.is_none() {
        context.problem(path, "registry.url must not have a user or password in it", "put them under registry.auth.basic");
        return String::new();
    }
    let wrong = |h: &str| h.is_empty() || h.starts_with(':') || h.contains(',');
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>' | '\\');
    if host.is_none_or(wrong) || text.contains(odd) {
        let hint = "write one address: http://HOST:PORT or https://HOST:PORT, with the path before /schemas if there is one";
        context.problem(path, format!("registry.url: \"{text}\" is no address of a registry"), hint);
    }
    text
}

fn auth(typed: &raw::Registry, context: &mut Context<'_>) -> RegistryAuth {
    let Some(auth) = &typed.auth else { return RegistryAuth::None };
    let path = Path::of(&["registry", "auth"]);
    match (&auth.basic, &auth.bearer) {
        (Some(basic), None) => {
            let path = path.key("basic");
            if basic.user.0.contains(':') || basic.user.0.is_empty() {
                context.problem(path.clone().key("user"), "the name of HTTP Basic must have letters, and no colon", "");
            }
            match read_secret(&basic.password, path.key("password"), context) {
                Some(password) => RegistryAuth::Basic { user: basic.user.0.clone(), password },
                None => RegistryAuth::None,
            }
        }
        (None, Some(token)) => read_secret(token, path.key("bearer"), context).map_or(RegistryAuth::None, RegistryAuth::Bearer),
        (Some(_), Some(_)) => {
            context.problem(path, "registry.auth has both basic and bearer", "keep one of them");
            RegistryAuth::None
        }
        (None, None) => {
            context.missing(path, "registry.auth says nothing", "write basic: { user, password } or bearer: { file }, or remove it");
            RegistryAuth::None
        }
    }
}

fn ca(file: &str, url: &str, context: &mut Context<'_>) -> Option<String> {
    let path = Path::of(&["registry", "ca_file"]);
    if url.starts_with("http://") {
        context.problem(path.clone(), "registry.ca_file is given, but registry.url begins with http://", "write https://");
    }
    let name = context.base_dir.join(file);
    match crate::config::load::read_text(&name) {
        Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Some(pem),
        Ok(_) => {
            let hint = "it must be PEM: text that has -----BEGIN CERTIFICATE----- in it";
            context.problem(path, format!("{} holds no certificate", name.display()), hint);
            None
        }
        Err(e) => {
            context.problem(path, format!("the certificates {} can't be read: {e}", name.display()), "");
            None
        }
    }
}
