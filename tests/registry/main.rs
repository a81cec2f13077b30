//! Schemas from a registry: what comes over HTTP, and how values are read by what came.

mod asks;
mod config;
mod decode;
#[path = "../kit/encoded.rs"]
mod encoded;
mod proposals;
mod protobuf;
#[path = "../kit/registry.rs"]
mod registry;
#[path = "../kit/wait.rs"]
mod wait;

use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::types::{Offset, Partition};
use driftline::log::{NoHeaders, Record, TopicIx};
use std::path::Path;

/// Both inputs by the registry at `url`; `auth` are further entries of `registry`, `fields` those of `predictions.fields`.
fn settings(url: &str, auth: &str, fields: &str) -> Settings {
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\nregistry: {{ url: '{url}'{auth} }}\n\
         predictions: {{ topic: p, format: registry, fields: {{ {fields} }} }}\noutcomes: {{ topic: o, format: registry }}\n\
         segments: {{ by: [[country]] }}\n"
    );
    let env = |name: &str| (name != "HOSTNAME").then(|| format!("secret of {name}"));
    load_text("d.yaml", &text, &env, Path::new("")).unwrap_or_else(|e| panic!("{e}"))
}

fn framed(id: u32, value: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], value].concat()
}

fn record(value: &[u8]) -> Record<'_> {
    let (topic, partition, offset) = (TopicIx(0), Partition(0), Offset(0));
    Record { topic, partition, offset, timestamp: 0, append_time: false, key: None, value: Some(value), headers: &NoHeaders }
}
