//! Soak: a steady stream for an hour, a process killed every minute; memory stays flat, lag bounded, nothing is lost or doubled.
//!
//! `stream` is what is fed, with what must come of it; `feeder` feeds it at a rate; `member` is a process on its core; `gauge` looks at
//! both once a second; `verdict` says what it all means. Used by `examples/soak.rs`; processes and comparison are those of
//! `tests/exactly_once`.

pub mod feeder;
pub mod gauge;
pub mod member;
pub mod stream;
pub mod verdict;

use crate::scene::PARTITIONS;
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::kafka::topics::{Inputs, TopicSpec, create_topic, own_topics};
use std::collections::BTreeMap;
use std::path::Path;

/// Processes. One is killed at a time, by turns, so that each lives for as many minutes.
pub const MEMBERS: usize = 2;
/// A partition of predictions, of outcomes, keeps no more than this: two minutes at least, 3.2 GB in all.
const KEPT_BYTES: [&str; 2] = ["300000000", "100000000"];
/// What is deleted is soon off the disk.
const SMALL: [(&str, &str); 2] = [("segment.bytes", "16777216"), ("file.delete.delay.ms", "1000")];

/// The application's configuration; its reference is the first minutes of the stream, which begins at `start` (ms).
pub fn config(start: i64) -> String {
    let time = |ms: i64| jiff::Timestamp::from_millisecond(start + ms).expect("a time");
    format!(
        "app: eos
kafka:
  brokers: ${{DRIFTLINE_BROKERS}}
  client: {{ reconnect.backoff.max.ms: 1000 }}
predictions: {{ topic: eos.predictions, format: json, lateness: {lateness}ms }}
outcomes: {{ topic: eos.outcomes, format: json, lateness: {lateness}ms }}
join: {{ window: {window}ms, early: {early}ms, duplicates: 10s, settle: 5s }}
models: {{ m: {{ task: binary, positive: \"1\" }} }}
segments: {{ by: [[country]], cap: 8 }}
panes: {{ size: {pane}ms }}
baseline: {{ from: {}, to: {} }}
budget: {{ false_alarms: 1, per: 30d }}
max_ahead: 30m
alerts: {{ topic: eos.alerts, format: json }}
http: {{ listen: \"${{SOAK_HTTP:-off}}\" }}
epoch: {{ records: 100000, time: 1s }}
summaries: {{ partitions: 4 }}
instance: ${{DRIFTLINE_INSTANCE}}
",
        time(0),
        time(stream::REFERENCE),
        lateness = stream::LATENESS,
        window = stream::WINDOW,
        early = stream::EARLY,
        pane = stream::PANE_MS,
    )
}

/// The settings that a process with this configuration has.
pub fn settings(brokers: &str, start: i64) -> Settings {
    let env = |name: &str| match name {
        "DRIFTLINE_BROKERS" => Some(brokers.to_string()),
        "DRIFTLINE_INSTANCE" => Some("0".to_string()),
        _ => None,
    };
    load_text("the configuration of the soak", &config(start), &env, Path::new(".")).expect("a configuration without mistakes")
}

/// Creates all topics, in segments that are small enough to be deleted while it runs.
pub fn create_topics(settings: &Settings) -> Result<(), String> {
    let of = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>();
    for (topic, kept) in [&settings.predictions.topic, &settings.outcomes.topic].into_iter().zip(KEPT_BYTES) {
        let config = of(&[("retention.bytes", kept), ("retention.ms", "-1"), SMALL[0], SMALL[1]]);
        create_topic(settings, &TopicSpec { name: topic.clone(), partitions: PARTITIONS as i32, config })?;
    }
    for mut spec in own_topics(settings, Inputs { partitions: PARTITIONS as i32, max_bytes: 1_048_588 }) {
        spec.config.extend(of(&SMALL));
        create_topic(settings, &spec)?;
    }
    Ok(())
}
