//! The topics: names, encodings, where fields are.

use super::{Context, avro_paths};
use crate::codec::schemas;
use crate::config::nearest::advice;
use crate::config::settings::{AlertFormat, Alerts, Features, FieldSource, Fields, Format, Settings, Source, TimeUnit};
use crate::config::{raw, shape::Path};
use crate::engine::types::Input;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

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
    let mut reader = FieldReader { input: Input::Predictions, context, explicit: Vec::new() };
    let fields = &typed.fields;
    let fields = Fields {
        request_id: Some(reader.field("request_id", &fields.request_id, "request_id", Allowed::TEXT)),
        event_time: Some(reader.time(&fields.event_time)),
        model: Some(reader.field("model", &fields.model, "model", Allowed::NAME)),
        version: Some(reader.field("version", &fields.version, "model_version", Allowed::NAME)),
        score: Some(reader.field("score", &fields.score, "score", Allowed::NUMBER)),
        label: Some(reader.field("label", &fields.label, "label", Allowed::TEXT)),
        value: None,
        features: Some(reader.features(&fields.features)),
        dimensions: reader.dimensions(&fields.dimensions, dimensions),
    };
    let explicit = reader.explicit;
    source(Input::Predictions, &typed.topic, &typed.format, fields, &explicit, context)
}

pub(super) fn outcomes(typed: &raw::Outcomes, context: &mut Context<'_>) -> Source {
    let mut reader = FieldReader { input: Input::Outcomes, context, explicit: Vec::new() };
    let fields = Fields {
        request_id: Some(reader.field("request_id", &typed.fields.request_id, "request_id", Allowed::TEXT)),
        event_time: Some(reader.time(&typed.fields.event_time)),
        label: Some(reader.field("label", &typed.fields.label, "label", Allowed::TEXT)),
        value: Some(reader.field("value", &typed.fields.value, "value", Allowed::NUMBER)),
        ..Fields::default()
    };
    let explicit = reader.explicit;
    source(Input::Outcomes, &typed.topic, &typed.format, fields, &explicit, context)
}

fn source(
    input: Input,
    name: &Option<raw::Text>,
    typed: &raw::Format,
    mut fields: Fields,
    explicit: &[&'static str],
    context: &mut Context<'_>,
) -> Source {
    let topic = topic(name, Path::of(&[input.word(), "topic"]), context);
    let own = match input {
        Input::Predictions => ("schemas/prediction.avsc", schemas::PREDICTION),
        Input::Outcomes => ("schemas/outcome.avsc", schemas::OUTCOME),
    };
    let format = match typed {
        raw::Format::Name(raw::FormatName::Json) => Format::Json,
        raw::Format::Name(raw::FormatName::Avro) => {
            Format::Avro { path: PathBuf::from(own.0), schema: own.1.to_string(), confluent: false }
        }
        raw::Format::Avro(avro) => match schema_file(input, &avro.avro, context) {
            Some(format) => format,
            None => return Source { topic, format: Format::Json, fields },
        },
    };
    if let Format::Avro { schema, path, .. } = &format {
        avro_paths::check(input, schema, path, &mut fields, explicit, context);
    }
    Source { topic, format, fields }
}

fn schema_file(input: Input, typed: &raw::AvroSource, context: &mut Context<'_>) -> Option<Format> {
    let file = &typed.schema.as_ref()?.0;
    let path = context.base_dir.join(file);
    match std::fs::read_to_string(&path) {
        Ok(schema) => Some(Format::Avro { path, schema, confluent: typed.framing == raw::Framing::Confluent }),
        Err(e) => {
            let message = format!("the schema {} can't be read: {e}", path.display());
            context.problem(
                Path::of(&[input.word(), "format", "avro", "schema"]),
                message,
                "relative paths start at the configuration's folder",
            );
            None
        }
    }
}

/// What a field may be besides a path.
#[derive(Clone, Copy)]
struct Allowed {
    text: bool,
    constant: bool,
}

impl Allowed {
    /// Names: anything that is text, or a constant.
    const NAME: Allowed = Allowed { text: true, constant: true };
    /// Ids and classes: anything that is text.
    const TEXT: Allowed = Allowed { text: true, constant: false };
    /// Numbers: keys and headers are text.
    const NUMBER: Allowed = Allowed { text: false, constant: false };
}

struct FieldReader<'c, 'e> {
    input: Input,
    context: &'c mut Context<'e>,
    /// Fields that were typed; the others have their default.
    explicit: Vec<&'static str>,
}

impl FieldReader<'_, '_> {
    fn path(&self, name: &str) -> Path {
        Path::of(&[self.input.word(), "fields", name])
    }

    fn field(&mut self, name: &'static str, typed: &Option<raw::Field>, default: &str, allowed: Allowed) -> FieldSource {
        let Some(typed) = typed else { return FieldSource::Path(vec![default.to_string()]) };
        self.explicit.push(name);
        self.read(self.path(name), typed, allowed)
    }

    fn read(&mut self, path: Path, typed: &raw::Field, allowed: Allowed) -> FieldSource {
        let source = match typed {
            raw::Field::Short(text) => self.short(&path, &text.0),
            raw::Field::Path(p) => FieldSource::Path(self.names(&path, &p.path)),
            raw::Field::Const(c) => FieldSource::Const(c.constant.0.clone()),
        };
        let complaint = match &source {
            FieldSource::Timestamp => {
                Some(("Kafka's timestamp can only be the event time", "for a field called timestamp write { path: timestamp }"))
            }
            FieldSource::Key | FieldSource::Header(_) if !allowed.text => {
                Some(("keys and headers are text, a number is needed", "give a path into the value"))
            }
            FieldSource::Const(_) if !allowed.constant => {
                Some(("a constant makes no sense here", "give a path into the value, or key, or header:NAME"))
            }
            _ => None,
        };
        if let Some((message, hint)) = complaint {
            self.context.problem(path.clone(), format!("{path}: {message}"), hint);
        }
        source
    }

    fn short(&mut self, path: &Path, text: &str) -> FieldSource {
        match text {
            "key" => FieldSource::Key,
            "timestamp" => FieldSource::Timestamp,
            _ => match text.strip_prefix("header:") {
                Some("") => {
                    self.context.problem(path.clone(), format!("{path}: the header has no name"), "write header:NAME");
                    FieldSource::Key
                }
                Some(name) => FieldSource::Header(name.to_string()),
                None => FieldSource::Path(self.dotted(path, text)),
            },
        }
    }

    fn names(&mut self, path: &Path, typed: &raw::FieldPath) -> Vec<String> {
        match typed {
            raw::FieldPath::Dotted(text) => self.dotted(path, &text.0),
            raw::FieldPath::Names(names) => {
                if names.is_empty() {
                    self.context.problem(path.clone(), format!("{path}: the path is empty"), "");
                }
                names.iter().map(|n| n.0.clone()).collect()
            }
        }
    }

    fn dotted(&mut self, path: &Path, text: &str) -> Vec<String> {
        let names: Vec<String> = text.split('.').map(str::to_string).collect();
        if names.iter().any(|n| n.is_empty() || n == "*" || n.contains(char::is_whitespace)) {
            let hint = "write names separated by dots; for odd names { path: [a, \"b c\"] }";
            self.context.problem(path.clone(), format!("{path}: \"{text}\" is no path"), hint);
        }
        names
    }

    fn time(&mut self, typed: &Option<raw::TimeField>) -> (FieldSource, TimeUnit) {
        let path = self.path("event_time");
        let unit = |u: raw::Unit| match u {
            raw::Unit::Seconds => TimeUnit::Seconds,
            raw::Unit::Millis => TimeUnit::Millis,
            raw::Unit::Micros => TimeUnit::Micros,
            raw::Unit::Nanos => TimeUnit::Nanos,
            raw::Unit::Auto => TimeUnit::Auto,
        };
        let Some(typed) = typed else { return (FieldSource::Path(vec!["event_time".to_string()]), TimeUnit::Auto) };
        self.explicit.push("event_time");
        match typed {
            raw::TimeField::Short(text) => match self.short(&path, &text.0) {
                FieldSource::Timestamp => (FieldSource::Timestamp, TimeUnit::Millis),
                source => (source, TimeUnit::Auto),
            },
            raw::TimeField::Path(p) => (FieldSource::Path(self.names(&path, &p.path)), unit(p.unit)),
            raw::TimeField::Header(h) => (FieldSource::Header(h.header.0.clone()), unit(h.unit)),
        }
    }

    fn features(&mut self, typed: &Option<raw::Features>) -> Features {
        let default = raw::Features::Short(raw::Text("features".to_string()));
        if typed.is_some() {
            self.explicit.push("features");
        }
        let (path, exclude) = match typed.as_ref().unwrap_or(&default) {
            raw::Features::Short(text) => (raw::FieldPath::Dotted(text.clone()), &[][..]),
            raw::Features::Detailed(detail) => (detail.path.clone(), &detail.exclude[..]),
        };
        let path = match path {
            raw::FieldPath::Dotted(text) if text.0 == "*" => Vec::new(),
            raw::FieldPath::Dotted(text) => {
                let place = self.path("features");
                self.dotted(&place, text.0.strip_suffix(".*").unwrap_or(&text.0))
            }
            raw::FieldPath::Names(names) => names.into_iter().map(|n| n.0).collect(),
        };
        Features { path, exclude: exclude.iter().map(|n| n.0.clone()).collect() }
    }

    fn dimensions(&mut self, typed: &Option<BTreeMap<String, raw::Field>>, used: &BTreeSet<String>) -> BTreeMap<String, FieldSource> {
        match typed {
            None => used.iter().map(|d| (d.clone(), FieldSource::Path(vec!["segments".to_string(), d.clone()]))).collect(),
            Some(typed) => {
                self.explicit.push("dimensions");
                let place = self.path("dimensions");
                typed.iter().map(|(name, field)| (name.clone(), self.read(place.clone().key(name), field, Allowed::NAME))).collect()
            }
        }
    }
}

/// Reports a dimension that segments name but predictions don't have.
pub(super) fn unknown_dimension(name: &str, path: Path, source: &Source, context: &mut Context<'_>) {
    let known = source.fields.dimensions.keys().map(String::as_str);
    let message = format!("segments.by names \"{name}\", which is no dimension of predictions");
    let hint = advice(name, known);
    context.problem(path, message, if hint.is_empty() { "add it to predictions.fields.dimensions".to_string() } else { hint });
}
