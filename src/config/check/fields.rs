//! Where fields are: from what was typed to field sources, with the defaults of our own schemas.

use super::Context;
use crate::codec::event::MAX_NAME;
use crate::config::settings::{Features, FieldSource, TimeUnit};
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
    /// Fields that were typed; the others have their default.
    pub(super) explicit: Vec<&'static str>,
}

impl FieldReader<'_, '_> {
    fn path(&self, name: &str) -> Path {
        Path::of(&[self.input.word(), "fields", name])
    }

    pub(super) fn field(&mut self, name: &'static str, typed: &Option<raw::Field>, default: &str, allowed: Allowed) -> FieldSource {
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

    /// What a path costs is paid with every record, and no record is nested deeper.
    fn not_too_long(&mut self, path: &Path, names: Vec<String>) -> Vec<String> {
        if names.len() > MAX_PATH || names.iter().any(|n| n.len() > MAX_NAME) {
            let message = format!("{path}: a path has at most {MAX_PATH} names of at most {MAX_NAME} bytes");
            self.context.problem(path.clone(), message, "");
        }
        names
    }

    fn names(&mut self, path: &Path, typed: &raw::FieldPath) -> Vec<String> {
        match typed {
            raw::FieldPath::Dotted(text) => self.dotted(path, &text.0),
            raw::FieldPath::Names(names) => {
                if names.is_empty() {
                    self.context.problem(path.clone(), format!("{path}: the path is empty"), "");
                }
                self.not_too_long(path, names.iter().map(|n| n.0.clone()).collect())
            }
        }
    }

    fn dotted(&mut self, path: &Path, text: &str) -> Vec<String> {
        let names: Vec<String> = text.split('.').map(str::to_string).collect();
        if names.iter().any(|n| n.is_empty() || n == "*" || n.contains(char::is_whitespace)) {
            let hint = "write names separated by dots; for odd names { path: [a, \"b c\"] }";
            self.context.problem(path.clone(), format!("{path}: \"{text}\" is no path"), hint);
        }
        self.not_too_long(path, names)
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

    pub(super) fn features(&mut self, typed: &Option<raw::Features>) -> Features {
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
            raw::FieldPath::Names(names) => self.not_too_long(&self.path("features"), names.into_iter().map(|n| n.0).collect()),
        };
        Features { path, exclude: exclude.iter().map(|n| n.0.clone()).collect() }
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
            None => used.iter().map(|d| (d.clone(), FieldSource::Path(vec!["segments".to_string(), d.clone()]))).collect(),
            Some(typed) => {
                self.explicit.push("dimensions");
                let place = self.path("dimensions");
                typed.iter().map(|(name, field)| (name.clone(), self.read(place.clone().key(name), field, Allowed::NAME))).collect()
            }
        }
    }
}
