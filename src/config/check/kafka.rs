//! How to reach Kafka: brokers, passed-through properties, secrets.

use super::Context;
use crate::config::mechanism::{INSTEAD, lacking};
use crate::config::settings::Kafka;
use crate::config::{raw, shape::Path};
use secrecy::SecretString;
use std::collections::BTreeMap;

/// Properties that driftline sets itself, and why nobody else may.
const OWN: [(&str, &str); 21] = [
    ("bootstrap.servers", "set kafka.brokers"),
    ("metadata.broker.list", "set kafka.brokers"),
    ("group.id", "it follows from app"),
    ("group.instance.id", "it follows from app and instance"),
    ("group.protocol", "both inputs' partitions with one number must go to one member: driftline uses the classic protocol"),
    ("group.remote.assignor", "both inputs' partitions with one number must go to one member: driftline uses range"),
    ("partition.assignment.strategy", "both inputs' partitions with one number must go to one member: driftline uses range"),
    ("isolation.level", "aborted records would be counted: driftline reads committed records only"),
    ("enable.auto.commit", "positions are committed in the epoch's transaction, never by a timer"),
    ("auto.commit.interval.ms", "positions are committed in the epoch's transaction, never by a timer"),
    ("enable.auto.offset.store", "positions are committed in the epoch's transaction, never by a timer"),
    ("auto.offset.reset", "a lost position must not be jumped over; for the first start set start_from"),
    ("enable.partition.eof", "driftline asks for the ends of partitions itself"),
    ("enable.idempotence", "each alert once needs an idempotent producer"),
    ("transactional.id", "it follows from app, instance and thread; another one would not fence a dead member"),
    ("transaction.timeout.ms", "it follows from the epoch's length"),
    ("acks", "a transaction needs all replicas"),
    ("request.required.acks", "a transaction needs all replicas"),
    ("enable.gapless.guarantee", "a transaction decides what is published"),
    ("partitioner", "partitions of driftline's own topics are fixed"),
    ("opaque", "it is no setting"),
];

/// Properties that must not be seen by everyone who sees the configuration.
const SECRET: [&str; 8] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
];

pub(super) fn kafka(typed: &raw::Kafka, context: &mut Context<'_>) -> Kafka {
    let brokers = typed.brokers.as_ref().map(|t| t.0.clone()).unwrap_or_default();
    if typed.brokers.is_some() {
        check_brokers(&brokers, context);
    }
    for name in typed.client.keys() {
        let path = Path::of(&["kafka", "client", name]);
        if SECRET.contains(&name.as_str()) {
            let hint = format!("write kafka.secrets: {{ {name}: {{ file: PATH }} }} or {{ env: NAME }}");
            context.problem(path, format!("kafka.client must not hold \"{name}\": it would be shown"), hint);
        } else {
            refuse_own(name, path, context);
        }
    }
    check_mechanism(typed, context);
    let mut secrets = BTreeMap::new();
    for (name, secret) in &typed.secrets {
        let path = Path::of(&["kafka", "secrets", name]);
        refuse_own(name, path.clone(), context);
        if typed.client.contains_key(name) {
            context.problem(path.clone(), format!("\"{name}\" stands in kafka.client, too"), "keep one of them");
        }
        secrets.extend(read_secret(secret, path, context).map(|value| (name.clone(), value)));
    }
    Kafka { brokers, client: typed.client.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect(), secrets }
}

fn refuse_own(name: &str, path: Path, context: &mut Context<'_>) {
    if let Some((_, why)) = OWN.iter().find(|own| own.0 == name) {
        context.problem(path, format!("driftline sets \"{name}\" itself"), *why);
    }
}

/// Refuses ways to log in that no build has.
fn check_mechanism(typed: &raw::Kafka, context: &mut Context<'_>) {
    let given: Vec<_> = ["sasl.mechanism", "sasl.mechanisms"].into_iter().filter_map(|key| typed.client.get_key_value(key)).collect();
    for (key, mechanism) in &given {
        if let Some(why) = lacking(&mechanism.0) {
            context.problem(Path::of(&["kafka", "client", key]), format!("{key}: {why}"), INSTEAD);
        }
    }
    let protocol = typed.client.get("security.protocol").map_or("", |p| p.0.trim());
    if given.is_empty() && protocol.to_ascii_lowercase().starts_with("sasl_") {
        let why = lacking("GSSAPI").unwrap_or_default();
        let message = format!("{protocol} without a sasl.mechanism means GSSAPI to the Kafka client, but {why}");
        context.problem(Path::of(&["kafka", "client", "security.protocol"]), message, INSTEAD);
    }
}

fn check_brokers(brokers: &str, context: &mut Context<'_>) {
    for broker in brokers.split(',').map(str::trim) {
        let host = broker.rsplit_once("://").map_or(broker, |(_, rest)| rest);
        let port_is_fine = match host.rsplit_once(':') {
            Some((name, port)) => !name.is_empty() && (port.parse::<u16>().is_ok() || name.contains(':')),
            None => !host.is_empty(),
        };
        if !port_is_fine || host.contains(char::is_whitespace) {
            let hint = "write host:port, several separated by commas";
            context.problem(Path::of(&["kafka", "brokers"]), format!("kafka.brokers: \"{broker}\" is no broker"), hint);
        }
    }
}

pub(super) fn read_secret(secret: &raw::Secret, path: Path, context: &mut Context<'_>) -> Option<SecretString> {
    let text = match secret {
        raw::Secret::File(raw::SecretFile { file }) => {
            let name = context.base_dir.join(&file.0);
            match crate::config::load::read_text(&name) {
                Ok(text) => text.trim_end_matches(['\r', '\n']).to_string(),
                Err(e) => {
                    context.problem(path.key("file"), format!("the secret's file {} can't be read: {e}", name.display()), "");
                    return None;
                }
            }
        }
        raw::Secret::Env(raw::SecretEnv { env }) => match (context.env)(&env.0) {
            Some(text) => text,
            None => {
                context.problem(path.key("env"), format!("the environment variable {} is not set", env.0), "");
                return None;
            }
        },
    };
    if text.is_empty() {
        context.problem(path, "the secret is empty", "");
        return None;
    }
    Some(SecretString::from(text))
}
