//! Where fields are: from what was typed to field sources, with the defaults of our own schemas.

use super::Context;
use crate::codec::event::MAX_NAME;
use crate::config::place::{self, Payload, Step};
use crate::config::settings::{Condition, Features, FieldSource, TimeUnit, Wanted};
use crate::config::{raw, shape::Path};
use crate::engine::types::Input;
use std::collections::{BTreeMap, BTreeSet};

/// Dimensions of an application: each is part of every cell.
pub(super) const MAX_DIMENSIONS: usize = 32;
/// Names of a path.
pub(super) const MAX_PATH: usize = 32;

/// What a field may be besides a path.
#[derive(Clone, Copy)]
pub(super) struct Allowed {
    text: bool,
    constant: bool,
}

impl Allowed {
    /// Names: anything that is text, or a constant.
    pub(super) const NAME: Allowed = Allowed { text: true, constant: true };
    /// Ids and classes: anything that is text.
    pub(super) const TEXT: Allowed = Allowed { text: true, constant: false };
    /// Numbers: keys and headers are text.
    pub(super) const NUMBER: Allowed = Allowed { text: false, constant: false };
}

pub(super) struct FieldReader<'c, 'e> {
    pub(super) input: Input,
    pub(super) context: &'c mut Context<'e>,
    /// The topic, which is one of the places.
    pub(super) topic: &'c str,
    /// Fields that were typed; the others have their default.
    pub(super) explicit: Vec<&'static str>,
    /// What the texts of fields stand for.
    pub(super) maps: BTreeMap<String, BTreeMap<String, String>>,
}

impl FieldReader<'_, '_> {
    fn path(&self, name: &str) -> Path {
        Path::of(&[self.input.word(), "fields", name])
    }

    pub(super) fn field(&mut self, name: &'static str, typed: &Option<raw::Field>, default: &str, allowed: Allowed) -> FieldSource {
        let Some(typed) = typed else { return FieldSource::Path(place::names([default])) };
        self.explicit.push(name);
        self.take_map(name, self.path(name), typed, allowed.text && name != "request_id");
        self.read(self.path(name), typed, allowed)
    }

    fn take_map(&mut self, name: &str, path: Path, typed: &raw::Field, allowed: bool) {
        let raw::Field::Path(raw::PathField { map, .. }) = typed else { return };
        if map.is_empty() {
            return;
        }
        let path = path.key("map");
        if !allowed {
            let message = format!("{path}: only labels, models, versions and dimensions have names that can be mapped");
            self.context.problem(path.clone(), message, "");
        }
        for (from, to) in map.iter().filter(|(from, to)| from.len().max(to.0.len()) > MAX_NAME || to.0.is_empty()) {
            let message = format!("{path}: \"{from}\" stands for {} bytes; names have 1 to {MAX_NAME}", to.0.len());
            self.context.problem(path.clone().key(from), message, "");
        }
        self.maps.insert(name.to_string(), map.iter().map(|(from, to)| (from.clone(), to.0.clone())).collect());
    }

    /// What a record must have to count.
    pub(super) fn when(&mut self, typed: &Option<BTreeMap<String, raw::Condition>>) -> Vec<Condition> {
        let place = Path::of(&[self.input.word(), "when"]);
        let typed = typed.as_ref().into_iter().flatten();
        let conditions: Vec<Condition> = typed.map(|(text, condition)| self.condition(place.clone().key(text), text, condition)).collect();
        if conditions.len() > MAX_DIMENSIONS {
            let message = format!("{place}: {} conditions; at most {MAX_DIMENSIONS} are allowed", conditions.len());
            self.context.problem(place, message, "");
        }
        conditions
    }

    fn condition(&mut self, path: Path, text: &str, typed: &raw::Condition) -> Condition {
        let source = self.short(&path, text);
        if matches!(source, FieldSource::Timestamp | FieldSource::Topic(_)) {
            let hint = "give a place in the value, or key, or header:NAME";
            self.context.problem(path.clone(), format!("{path}: nothing can be chosen by the {text}"), hint);
        }
        let wanted = match typed {
            raw::Condition::Is(text) => Wanted::OneOf(vec![text.0.clone()]),
            raw::Condition::OneOf(texts) => Wanted::OneOf(texts.iter().map(|t| t.0.clone()).collect()),
            raw::Condition::Present(presence) => Wanted::Present(presence.present),
        };
        if wanted == Wanted::OneOf(Vec::new()) {
            let hint = "list the texts that count, or write { present: true }";
            self.context.problem(path.clone(), format!("{path}: no record would count"), hint);
        }
        Condition { place: text.to_string(), source, wanted }
    }

    fn read(&mut self, path: Path, typed: &raw::Field, allowed: Allowed) -> FieldSource {
        let source = match typed {
            raw::Field::Short(text) => self.short(&path, &text.0),
            raw::Field::Path(p) => FieldSource::Path(self.names(&path, &p.path)),
            raw::Field::Const(c) => FieldSource::Const(c.constant.0.clone()),
        };
        let complaint = match &source {
            FieldSource::Path(steps) if steps.last() == Some(&Step::Within(Payload::Csv)) => {
                Some(("csv(...) is a list of columns", "say which: csv(...)[0] is the first"))
            }
            FieldSource::Timestamp => {
                Some(("Kafka's timestamp can only be the event time", "for a field called timestamp write { path: timestamp }"))
            }
            FieldSource::Key | FieldSource::Header(_) if !allowed.text => {
                Some(("keys and headers are text, a number is needed", "give a path into the value"))
            }
            FieldSource::Topic(_) if !allowed.constant => {
                Some(("the topic is the same for all records", "for a field called topic write { path: topic }"))
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
            "topic" => FieldSource::Topic(self.topic.to_string()),
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

    /// What a path costs is paid with every record, and no record is nested deeper.
    fn not_too_long(&mut self, path: &Path, steps: Vec<Step>) -> Vec<Step> {
        let long = |step: &Step| match step {
            Step::Name(name) => name.len() > MAX_NAME,
            Step::Where { name, is } => name.len().max(is.len()) > MAX_NAME,
            Step::Index(_) | Step::Within(_) | Step::Row(_) => false,
        };
        if steps.len() > MAX_PATH || steps.iter().any(long) {
            let message = format!("{path}: a path has at most {MAX_PATH} names of at most {MAX_NAME} bytes");
            self.context.problem(path.clone(), message, "");
        }
        steps
    }

    fn names(&mut self, path: &Path, typed: &raw::FieldPath) -> Vec<Step> {
        match typed {
            raw::FieldPath::Dotted(text) => self.dotted(path, &text.0),
            raw::FieldPath::Names(names) => {
                if names.is_empty() {
                    self.context.problem(path.clone(), format!("{path}: the path is empty"), "");
                }
                self.not_too_long(path, place::names(names.iter().map(|n| n.0.as_str())))
            }
        }
    }

    pub(super) fn dotted(&mut self, path: &Path, text: &str) -> Vec<Step> {
        match place::parse(text) {
            Ok(steps) => self.not_too_long(path, steps),
            Err(fault) => {
                self.context.no_place(path.clone(), text, &fault);
                Vec::new()
            }
        }
    }

    pub(super) fn time(&mut self, typed: &Option<raw::TimeField>) -> (FieldSource, TimeUnit) {
        let path = self.path("event_time");
        let unit = |u: raw::Unit| match u {
            raw::Unit::Seconds => TimeUnit::Seconds,
            raw::Unit::Millis => TimeUnit::Millis,
            raw::Unit::Micros => TimeUnit::Micros,
            raw::Unit::Nanos => TimeUnit::Nanos,
            raw::Unit::Auto => TimeUnit::Auto,
        };
        let Some(typed) = typed else { return (FieldSource::Path(place::names(["event_time"])), TimeUnit::Auto) };
        self.explicit.push("event_time");
        match typed {
            raw::TimeField::Short(text) => match self.short(&path, &text.0) {
                FieldSource::Timestamp => (FieldSource::Timestamp, TimeUnit::Millis),
                FieldSource::Topic(_) => {
                    self.context.problem(
                        path.clone(),
                        format!("{path}: a topic is no time"),
                        "for a field called topic write { path: topic }",
                    );
                    (FieldSource::Timestamp, TimeUnit::Millis)
                }
                source => (source, TimeUnit::Auto),
            },
            raw::TimeField::Path(p) => (FieldSource::Path(self.names(&path, &p.path)), unit(p.unit)),
            raw::TimeField::Header(h) => (FieldSource::Header(h.header.0.clone()), unit(h.unit)),
        }
    }

    pub(super) fn features(&mut self, typed: &Option<raw::Features>) -> Features {
        let default = raw::Features::Short(raw::Text("features".to_string()));
        if typed.is_some() {
            self.explicit.push("features");
        }
        let (path, exclude, names) = match typed.as_ref().unwrap_or(&default) {
            raw::Features::Short(text) => (raw::FieldPath::Dotted(text.clone()), &[][..], &[][..]),
            raw::Features::Detailed(detail) => (detail.path.clone(), &detail.exclude[..], &detail.names[..]),
        };
        let mut seen = BTreeSet::new();
        for (i, name) in names.iter().enumerate() {
            let place = self.path("features").key("names").index(i);
            if name.0.is_empty() || name.0.len() > MAX_NAME {
                self.context.problem(place, format!("a feature's name has 1 to {MAX_NAME} bytes"), "");
            } else if !seen.insert(&name.0) {
                self.context.problem(place, format!("\"{}\" names two features", name.0), "each needs its own name");
            }
        }
        let path = match path {
            raw::FieldPath::Dotted(text) if text.0 == "*" => Vec::new(),
            raw::FieldPath::Dotted(text) => {
                let place = self.path("features");
                self.dotted(&place, text.0.strip_suffix(".*").unwrap_or(&text.0))
            }
            raw::FieldPath::Names(names) => self.not_too_long(&self.path("features"), place::names(names.iter().map(|n| n.0.as_str()))),
        };
        let texts = |texts: &[raw::Text]| texts.iter().map(|n| n.0.clone()).collect();
        Features { path, exclude: texts(exclude), names: texts(names) }
    }

    pub(super) fn dimensions(
        &mut self,
        typed: &Option<BTreeMap<String, raw::Field>>,
        used: &BTreeSet<String>,
    ) -> BTreeMap<String, FieldSource> {
        let count = typed.as_ref().map_or(used.len(), BTreeMap::len);
        if count > MAX_DIMENSIONS {
            let place = self.path("dimensions");
            let message = format!("{place}: {count} dimensions; at most {MAX_DIMENSIONS} are allowed");
            self.context.problem(place, message, "keep those that segments.by needs");
        }
        match typed {
            None => used.iter().map(|d| (d.clone(), FieldSource::Path(place::names(["segments", d])))).collect(),
            Some(typed) => {
                self.explicit.push("dimensions");
                let place = self.path("dimensions");
                let mut dimensions = BTreeMap::new();
                for (name, field) in typed {
                    self.take_map(&format!("dimensions.{name}"), place.clone().key(name), field, true);
                    dimensions.insert(name.clone(), self.read(place.clone().key(name), field, Allowed::NAME));
                }
                dimensions
            }
        }
    }
}
