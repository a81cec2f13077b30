//! `explode`: which list, and whether the fields that refer to its rows can.

use super::fields::FieldReader;
use crate::config::place::{Payload, Step, is_of_row};
use crate::config::raw::Text;
use crate::config::settings::{Condition, Explode, FieldSource, Fields};
use crate::config::shape::Path;

impl FieldReader<'_, '_> {
    /// Reads `explode`, and reports fields whose `[*]` means nothing.
    pub(super) fn explode(&mut self, typed: &Option<Text>, fields: &Fields, when: &[Condition]) -> Option<Explode> {
        let place = Path::of(&[self.input.word(), "explode"]);
        let explode = typed.as_ref().map(|text| self.list(&place, &text.0));
        let of_row = self.fields_of_row(fields, explode.is_some());
        for condition in when {
            if let FieldSource::Path(steps) = &condition.source
                && is_of_row(steps)
            {
                let path = Path::of(&[self.input.word(), "when"]).key(&condition.place);
                let message = format!("{path}: a record counts or does not, all rows of it: [*] means nothing here");
                self.context.problem(path, message, "");
            }
        }
        if explode.is_some() && !of_row {
            let message = format!("{place}: no field has [*], so all rows of a record would be the same");
            self.context.problem(place, message, "write [*] where the row's element is meant: outputs[0].data[*]");
        }
        explode
    }

    fn list(&mut self, place: &Path, text: &str) -> Explode {
        let mut list = self.dotted(place, text);
        let width = match list.last() {
            Some(Step::Row(width)) => *width,
            _ => 1,
        };
        if let Some(Step::Row(_)) = list.last() {
            list.pop();
        }
        if is_of_row(&list) {
            let message = format!("{place}: rows of rows are not possible");
            self.context.problem(place.clone(), message, "[*] stands at the end: outputs[0].data[*2] are rows of two elements each");
        }
        if list.last() == Some(&Step::Within(Payload::Base64)) {
            let hint = "write json(base64(...)) or csv(base64(...))";
            self.context.problem(place.clone(), format!("{place}: base64(...) is text, and no list"), hint);
        }
        Explode { list, width }
    }

    /// Whether any field is of the row; reports those that can't be.
    fn fields_of_row(&mut self, fields: &Fields, exploded: bool) -> bool {
        let input = self.input.word();
        let path = |name: &str| Path::of(&[input, "fields", name]);
        let steps = |source: &Option<FieldSource>| match source {
            Some(FieldSource::Path(steps)) => steps.clone(),
            _ => Vec::new(),
        };
        let mut all = vec![(path("event_time"), steps(&fields.event_time.as_ref().map(|t| t.0.clone())), false)];
        for (name, source) in [
            ("request_id", &fields.request_id),
            ("model", &fields.model),
            ("version", &fields.version),
            ("score", &fields.score),
            ("label", &fields.label),
            ("value", &fields.value),
        ] {
            all.push((path(name), steps(source), false));
        }
        for (name, source) in &fields.dimensions {
            all.push((path("dimensions").key(name), steps(&Some(source.clone())), false));
        }
        if let Some(features) = &fields.features {
            all.push((path("features"), features.path.clone(), true));
        }
        let mut any = false;
        for (path, steps, features) in all.into_iter().filter(|(_, steps, _)| is_of_row(steps)) {
            any = true;
            let rows = steps.iter().filter(|s| matches!(s, Step::Row(_))).count();
            let complaint = match steps.last() {
                _ if !exploded => Some(("[*] is the row of a list, and there is no `explode`", "name the list with `explode`")),
                _ if path == Path::of(&[input, "fields", "event_time"]) => {
                    Some(("all rows of a record have one time", "give a place outside of the rows"))
                }
                _ if rows > 1 => Some(("rows of rows are not possible", "[*] may stand once in a place")),
                Some(Step::Row(2..)) if !features => Some(("several elements belong to a row", "say which: [*2][0] is the first of two")),
                _ => None,
            };
            if let Some((message, hint)) = complaint {
                self.context.problem(path.clone(), format!("{path}: {message}"), hint);
            }
        }
        any
    }
}
