//! Which values become pseudonyms: known dimensions, a key that can't be guessed.

use super::Context;
use super::kafka::read_secret;
use crate::config::nearest::advice;
use crate::config::raw;
use crate::config::settings::{Protect, Source};
use crate::config::shape::Path;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Bytes of a key, at least.
const SHORTEST: usize = 16;

pub(super) fn protect(config: &raw::Config, predictions: &Source, context: &mut Context<'_>) -> Option<Arc<Protect>> {
    let typed = config.protect.as_ref()?;
    let path = Path::of(&["protect"]);
    if !typed.request_id && typed.dimensions.is_empty() && typed.features.is_empty() {
        let hint = "name what must not be seen: request_id: true, dimensions: [...], features: [...]; or remove protect";
        context.missing(path.clone(), "protect names nothing", hint);
    }
    let known = &predictions.fields.dimensions;
    for (i, name) in typed.dimensions.iter().enumerate().filter(|(_, name)| !known.contains_key(&name.0)) {
        let hint = advice(&name.0, known.keys().map(String::as_str));
        let message = format!("protect.dimensions names \"{}\", which is no dimension of predictions", name.0);
        let hint = if hint.is_empty() { "add it to predictions.fields.dimensions, or remove it here".to_string() } else { hint };
        context.problem(path.clone().key("dimensions").index(i), message, hint);
    }
    for (i, rule) in config.fairness.iter().enumerate() {
        if let Some(name) = rule.reference.keys().find(|name| typed.dimensions.iter().any(|d| d.0 == **name)) {
            let message = format!("reference names a value of \"{name}\", which protect hides");
            let hint = "remove it, so that each group is compared with all others, or leave the dimension out of protect.dimensions";
            context.problem(Path::of(&["fairness"]).index(i).key("reference"), message, hint);
        }
    }
    let key = typed.key.as_ref().and_then(|key| read_secret(key, path.clone().key("key"), context));
    let key = key.unwrap_or_else(|| SecretString::from(" ".repeat(SHORTEST))); // its absence is reported
    if key.expose_secret().len() < SHORTEST {
        let message = format!("the key of protect has fewer than {SHORTEST} bytes");
        context.problem(path.key("key"), message, "`openssl rand -hex 32` makes a good one");
    }
    let names = |list: &[raw::Text]| list.iter().map(|t| t.0.clone()).collect();
    Some(Arc::new(Protect {
        key,
        request_id: typed.request_id,
        dimensions: names(&typed.dimensions),
        features: names(&typed.features),
        records: typed.dead_letters == raw::DeadLetters::Record,
    }))
}
