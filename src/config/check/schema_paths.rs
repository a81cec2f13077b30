//! Field paths against the schema of a file: what is not in the schema can't be in a record.

use super::Context;
use crate::codec::shape::{Kind, Shape};
use crate::config::nearest::advice;
use crate::config::place::{self, Step};
use crate::config::settings::{FieldSource, Source};
use crate::config::shape::Path;
use crate::engine::types::Input;

/// Reports paths that the schema does not have. Optional fields that were not typed and are not there become absent.
pub(super) fn check(input: Input, types: &dyn Shape, source: &mut Source, explicit: &[&str], context: &mut Context<'_>) {
    let fields = &mut source.fields;
    let mut checker = Checker { input, types, explicit, context };
    let required = input == Input::Predictions;
    checker.field("request_id", fields.request_id.as_ref(), true);
    checker.field("event_time", fields.event_time.as_ref().map(|t| &t.0), true);
    checker.field("model", fields.model.as_ref(), required);
    for (name, slot) in
        [("version", &mut fields.version), ("score", &mut fields.score), ("label", &mut fields.label), ("value", &mut fields.value)]
    {
        if !checker.field(name, slot.as_ref(), false) {
            *slot = None;
        }
    }
    if let Some(explode) = &source.explode {
        let list: Vec<Step> = explode.list.iter().cloned().chain([Step::Row(explode.width)]).collect();
        checker.source(Path::of(&[input.word(), "explode"]), &FieldSource::Path(list), true);
    }
    for condition in &source.when {
        checker.source(Path::of(&[input.word(), "when", &condition.place]), &condition.source, true);
    }
    for (name, source) in &fields.dimensions {
        let path = Path::of(&[input.word(), "fields", "dimensions", name]);
        checker.source(path, source, explicit.contains(&"dimensions"));
    }
    if let Some(features) = &fields.features {
        let excluded: Vec<&str> = features.exclude.iter().map(String::as_str).collect();
        match !explicit.contains(&"features") && types.find(&features.path).is_err() {
            true => fields.features = None,
            false => checker.features(&features.path, &excluded),
        }
    }
}

struct Checker<'a, 'c, 'e> {
    input: Input,
    types: &'a dyn Shape,
    explicit: &'a [&'a str],
    context: &'c mut Context<'e>,
}

impl Checker<'_, '_, '_> {
    /// False if the field was not typed and the schema has no such field.
    fn field(&mut self, name: &str, source: Option<&FieldSource>, required: bool) -> bool {
        let explicit = self.explicit.contains(&name);
        match source {
            Some(FieldSource::Path(names)) if !explicit && !required => self.types.find(names).is_ok(),
            Some(source) => {
                self.source(Path::of(&[self.input.word(), "fields", name]), source, explicit);
                true
            }
            None => true,
        }
    }

    fn source(&mut self, path: Path, source: &FieldSource, explicit: bool) {
        let FieldSource::Path(names) = source else { return };
        let found = self.types.find(names);
        let numeric =
            path == Path::of(&[self.input.word(), "fields", "score"]) || path == Path::of(&[self.input.word(), "fields", "value"]);
        let (wanted, fits) = match place::outside(names).len() {
            n if n < names.len() => ("a text", Kind::Text),
            _ => ("a number", Kind::Number),
        };
        if let Ok(found) = &found
            && (numeric || wanted == "a text")
            && !found.iter().any(|here| here.kind == fits || here.kind == Kind::Any)
        {
            let what = found.iter().map(|here| here.word.as_str()).collect::<Vec<_>>().join(" or ");
            self.context.problem(path.clone(), format!("{path}: {wanted} is needed, the schema has {what}"), "");
        }
        if let Err(absent) = found {
            let hint = advice(&absent.name, absent.known.iter().map(String::as_str));
            let how = if explicit { "" } else { " (the default)" };
            self.context.problem(path.clone(), format!("{path}: the schema has no \"{}\"{how}", place::shown(names)), hint);
        }
    }

    fn features(&mut self, names: &[Step], excluded: &[&str]) {
        let path = Path::of(&[self.input.word(), "fields", "features"]);
        let found = match self.types.find(names) {
            Ok(found) => found,
            Err(absent) => {
                let hint = advice(&absent.name, absent.known.iter().map(String::as_str));
                return self.context.problem(path.clone(), format!("{path}: the schema has no \"{}\"", place::shown(names)), hint);
            }
        };
        if place::outside(names).len() < names.len() {
            return; // in a text anything may be
        }
        let Some(known) = found.iter().find_map(|here| match &here.kind {
            Kind::Record(names) => Some(names.iter().map(String::as_str).collect::<Vec<_>>()),
            _ => None,
        }) else {
            if !found.iter().any(|here| here.kind.has_entries()) {
                let hint = "features are the entries of a record or a map, or the elements of an array";
                self.context.problem(path.clone(), format!("{path}: \"{}\" holds no entries", place::shown(names)), hint);
            }
            return;
        };
        for (i, name) in excluded.iter().enumerate().filter(|(_, n)| !known.contains(n)) {
            let place = path.clone().key("exclude").index(i);
            self.context.problem(
                place,
                format!("exclude names \"{name}\", which the schema does not have"),
                advice(name, known.iter().copied()),
            );
        }
    }
}
