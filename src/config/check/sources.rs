//! The topics: names, encodings, no topic with two uses.

use super::fields::{Allowed, FieldReader};
use super::{Context, schema_files};
use crate::codec::schemas;
use crate::config::nearest::advice;
use crate::config::settings::{AlertFormat, Alerts, Fields, Format, Settings, Source};
use crate::config::{raw, shape::Path};
use crate::engine::types::Input;
use std::collections::{BTreeMap, BTreeSet};

/// Letters, digits, ".", "_", "-".
pub(super) fn legal_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

pub(super) fn app(config: &raw::Config, context: &mut Context<'_>) -> String {
    let Some(app) = config.app.as_ref().map(|t| t.0.clone()) else { return String::new() };
    if !legal_name(&app) || app.len() > 200 || app.starts_with('.') {
        let message = format!("app \"{app}\" can't be the beginning of a topic's name");
        context.problem(Path::of(&["app"]), message, "use at most 200 letters, digits, \"_\", \"-\", or \".\" inside");
    }
    app
}

fn topic(typed: &Option<raw::Text>, path: Path, context: &mut Context<'_>) -> String {
    let Some(topic) = typed.as_ref().map(|t| t.0.clone()) else { return String::new() };
    if !legal_name(&topic) || topic.len() > 249 || topic == "." || topic == ".." {
        let hint = "use at most 249 letters, digits, \".\", \"_\", \"-\"";
        context.problem(path, format!("\"{topic}\" can't be a topic's name"), hint);
    }
    topic
}

pub(super) fn alerts(config: &raw::Config, app: &str, context: &mut Context<'_>) -> Alerts {
    let typed = &config.alerts;
    let topic = match &typed.topic {
        Some(_) => topic(&typed.topic, Path::of(&["alerts", "topic"]), context),
        None => format!("{app}.alerts"),
    };
    let format = match typed.format {
        raw::FormatName::Json => AlertFormat::Json,
        raw::FormatName::Avro => AlertFormat::Avro,
    };
    Alerts { topic, format }
}

/// No topic may have two uses: driftline would read what it writes.
pub(super) fn distinct_topics(config: &raw::Config, app: &str, alerts: &Alerts, context: &mut Context<'_>) {
    let mut used: BTreeMap<String, String> =
        Settings::OWN_TOPICS.iter().map(|n| (format!("{app}.{n}"), format!("driftline's own {n}"))).collect();
    let text = |t: Option<&Option<raw::Text>>| t.and_then(|t| t.clone()).map(|t| t.0);
    let inputs = [
        ("predictions", text(config.predictions.as_ref().map(|p| &p.topic))),
        ("outcomes", text(config.outcomes.as_ref().map(|o| &o.topic))),
        ("alerts", Some(alerts.topic.clone())),
    ];
    for (name, topic) in inputs {
        let Some(topic) = topic else { continue };
        if let Some(other) = used.insert(topic.clone(), name.to_string()) {
            let message = format!("{name}.topic \"{topic}\" is the topic of {other}, too");
            context.problem(Path::of(&[name, "topic"]), message, "each needs its own");
        }
    }
}

pub(super) fn predictions(typed: &raw::Predictions, dimensions: &BTreeSet<String>, context: &mut Context<'_>) -> Source {
    let topic = topic(&typed.topic, Path::of(&[Input::Predictions.word(), "topic"]), context);
    let mut reader = FieldReader { input: Input::Predictions, context, topic: &topic, explicit: Vec::new(), maps: BTreeMap::new() };
    let when = reader.when(&typed.when);
    let fields = &typed.fields;
    let mut fields = Fields {
        request_id: Some(reader.field("request_id", &fields.request_id, "request_id", Allowed::TEXT)),
        event_time: Some(reader.time(&fields.event_time)),
        model: Some(reader.field("model", &fields.model, "model", Allowed::NAME)),
        version: Some(reader.field("version", &fields.version, "model_version", Allowed::NAME)),
        score: Some(reader.field("score", &fields.score, "score", Allowed::NUMBER)),
        label: Some(reader.field("label", &fields.label, "label", Allowed::TEXT)),
        value: None,
        features: Some(reader.features(&fields.features)),
        dimensions: reader.dimensions(&fields.dimensions, dimensions),
        maps: BTreeMap::new(),
    };
    fields.maps = std::mem::take(&mut reader.maps);
    let explode = reader.explode(&typed.explode, &fields, &when);
    let explicit = reader.explicit;
    let source = Source { topic, format: Format::Json, fields, when, explode, protect: None };
    with_format(Input::Predictions, source, &typed.format, &explicit, context)
}

pub(super) fn outcomes(typed: &raw::Outcomes, context: &mut Context<'_>) -> Source {
    let topic = topic(&typed.topic, Path::of(&[Input::Outcomes.word(), "topic"]), context);
    let mut reader = FieldReader { input: Input::Outcomes, context, topic: &topic, explicit: Vec::new(), maps: BTreeMap::new() };
    let when = reader.when(&typed.when);
    let mut fields = Fields {
        request_id: Some(reader.field("request_id", &typed.fields.request_id, "request_id", Allowed::TEXT)),
        event_time: Some(reader.time(&typed.fields.event_time)),
        label: Some(reader.field("label", &typed.fields.label, "label", Allowed::TEXT)),
        value: Some(reader.field("value", &typed.fields.value, "value", Allowed::NUMBER)),
        ..Fields::default()
    };
    fields.maps = std::mem::take(&mut reader.maps);
    let explode = reader.explode(&typed.explode, &fields, &when);
    let explicit = reader.explicit;
    let source = Source { topic, format: Format::Json, fields, when, explode, protect: None };
    with_format(Input::Outcomes, source, &typed.format, &explicit, context)
}

/// The source with its encoding; with a schema file its places are looked for in it.
fn with_format(input: Input, mut source: Source, typed: &raw::Format, explicit: &[&'static str], context: &mut Context<'_>) -> Source {
    let own = match input {
        Input::Predictions => ("schemas/prediction.avsc", schemas::PREDICTION),
        Input::Outcomes => ("schemas/outcome.avsc", schemas::OUTCOME),
    };
    match typed {
        raw::Format::Name(raw::InputFormat::Json) => {}
        raw::Format::Name(raw::InputFormat::Registry) => source.format = Format::Registry { may_lack: may_lack(explicit) },
        raw::Format::Name(raw::InputFormat::Avro) => schema_files::own(input, own, &mut source, explicit, context),
        raw::Format::Avro(avro) => schema_files::avro(input, &avro.avro, &mut source, explicit, context),
        raw::Format::Protobuf(protobuf) => schema_files::protobuf(input, &protobuf.protobuf, &mut source, explicit, context),
    }
    source
}

/// What an event can do without, and nobody asked for: a schema of the registry need not have it, as with a schema file.
fn may_lack(explicit: &[&str]) -> Vec<String> {
    ["version", "score", "label", "value", "features"].into_iter().filter(|n| !explicit.contains(n)).map(str::to_string).collect()
}

/// Reports a dimension that segments name but predictions don't have.
pub(super) fn unknown_dimension(name: &str, path: Path, source: &Source, context: &mut Context<'_>) {
    let known = source.fields.dimensions.keys().map(String::as_str);
    let message = format!("segments.by names \"{name}\", which is no dimension of predictions");
    let hint = advice(name, known);
    context.problem(path, message, if hint.is_empty() { "add it to predictions.fields.dimensions".to_string() } else { hint });
}
