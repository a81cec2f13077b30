//! What schemas say of a place: types, what may be there, and what the author wrote beside it.
//!
//! Guarantees: nothing is taken from a schema that the decoder would not act upon; of several schemas in one topic all are asked.
//! Comes from: `records` (the schemas that values were written with). Goes to: `places`, `roles` (as evidence), `page` (as reasons).

use crate::codec::avro::{Here, Types};
use crate::codec::scalar::Tick;
use crate::config::place::{self, Step};
use apache_avro::Schema;
use std::collections::{BTreeMap, BTreeSet};

/// A schema, and how much was written with it.
pub struct Told<'s> {
    /// Its number among those of the topic.
    pub number: usize,
    /// How it is called: `schema id 7`.
    pub name: String,
    /// Records that were written with it.
    pub records: usize,
    /// Its types.
    pub types: Types<'s>,
}

/// What the schemas of a topic say of a place.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Types in words.
    pub types: BTreeSet<&'static str>,
    /// The unit of a logical type that is an instant, by the schema's number.
    pub ticks: BTreeMap<usize, Tick>,
    /// Every text that can be there: symbols of an enum, truth values.
    pub classes: BTreeSet<String>,
    /// What its author wrote.
    pub doc: Option<String>,
    /// Schemas without it, and how much was written with them.
    pub lacking: Vec<(String, usize)>,
    /// True if so much was written without it that whoever maps it would lose too many records.
    pub scattered: bool,
}

impl Known {
    /// Asks all schemas of a topic with so many records.
    pub fn of(steps: &[Step], told: &[Told<'_>], records: usize) -> Known {
        let mut known = Known::default();
        told.iter().for_each(|told| known.ask(steps, told));
        let without: usize = known.lacking.iter().map(|l| l.1).sum();
        known.scattered = without * 20 > records;
        known
    }

    fn ask(&mut self, steps: &[Step], told: &Told<'_>) {
        let outside = place::outside(steps);
        let Ok(found) = told.types.places(outside) else {
            self.lacking.push((told.name.clone(), told.records));
            return;
        };
        if outside.len() < steps.len() {
            return; // what a text holds no schema says
        }
        found.iter().for_each(|here| self.take(*here, told.number));
        let optional = |end: usize| told.types.places(&steps[..end]).is_ok_and(|all| all.iter().any(|here| *here.schema == Schema::Null));
        if (1..steps.len()).any(optional) {
            self.types.insert("null");
        }
        if let (None, Some((Step::Name(name), before))) = (&self.doc, steps.split_last()) {
            let around = told.types.places(before).unwrap_or_default();
            self.doc = around.iter().find_map(|here| doc(here, name));
        }
    }

    fn take(&mut self, here: Here<'_>, number: usize) {
        let (word, tick) = word(here.schema);
        self.types.insert(word);
        self.ticks.extend(tick.map(|tick| (number, tick)));
        match here.schema {
            Schema::Enum(symbols) => self.classes.extend(symbols.symbols.iter().cloned()),
            Schema::Boolean => self.classes.extend(["false", "true"].map(String::from)),
            _ => {}
        }
    }

    /// True if schemas say that there is an instant.
    pub fn is_instant(&self) -> bool {
        !self.ticks.is_empty()
    }

    /// True if numbers there have fractions by their type.
    pub fn is_fractional(&self) -> bool {
        ["float", "double", "decimal"].iter().any(|word| self.types.contains(word))
    }

    /// True if only an enum's symbols can be there.
    pub fn is_enum(&self) -> bool {
        self.types.contains("enum") && self.types.iter().all(|word| matches!(*word, "enum" | "null"))
    }

    /// The type in words: `timestamp-millis`, `enum of 3 or null`.
    pub fn words(&self) -> String {
        let words = self.types.iter().filter(|w| **w != "null").map(|word| match *word {
            "enum" => format!("enum of {}", self.classes.len()),
            word => word.to_string(),
        });
        words.chain(self.types.contains("null").then(|| "null".to_string())).collect::<Vec<_>>().join(" or ")
    }
}

fn doc(here: &Here<'_>, name: &str) -> Option<String> {
    let Schema::Record(record) = here.schema else { return None };
    record.fields.iter().find(|f| f.name == name)?.doc.clone().filter(|doc| !doc.trim().is_empty())
}

/// A type's name, and its unit if it is an instant.
fn word(schema: &Schema) -> (&'static str, Option<Tick>) {
    let word = match schema {
        Schema::Date => return ("date", Some(Tick::Day)),
        Schema::TimestampMillis => return ("timestamp-millis", Some(Tick::Milli)),
        Schema::TimestampMicros => return ("timestamp-micros", Some(Tick::Micro)),
        Schema::TimestampNanos => return ("timestamp-nanos", Some(Tick::Nano)),
        Schema::LocalTimestampMillis => return ("local-timestamp-millis", Some(Tick::Milli)),
        Schema::LocalTimestampMicros => return ("local-timestamp-micros", Some(Tick::Micro)),
        Schema::LocalTimestampNanos => return ("local-timestamp-nanos", Some(Tick::Nano)),
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int => "int",
        Schema::Long => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::String => "string",
        Schema::Bytes => "bytes",
        Schema::Enum(_) => "enum",
        Schema::Uuid(_) => "uuid",
        Schema::Decimal(_) | Schema::BigDecimal => "decimal",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Record(_) => "record",
        _ => "fixed",
    };
    (word, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::avro::Parsed;

    const NEW: &str = r#"{"type":"record","name":"P","fields":[
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When it was made"},
        {"name":"meta","type":["null",{"type":"record","name":"M","fields":[{"name":"country","type":{"type":"enum","name":"C","symbols":["DE","FR"]}}]}]},
        {"name":"score","type":["null","double"]},{"name":"body","type":"string"}]}"#;

    fn known(steps: &[Step]) -> Known {
        let old = NEW.replace(r#""long","logicalType":"timestamp-micros"},"doc":"When it was made"#, r#""long"},"doc":""#);
        let texts = [old.replace("score", "points"), NEW.to_string()];
        let parsed = texts.map(|text| Parsed::of(&text, &[]).unwrap());
        let told = parsed.iter().enumerate().map(|(number, p)| Told {
            number,
            name: format!("schema id {number}"),
            records: [30, 70][number],
            types: p.types(),
        });
        Known::of(steps, &told.collect::<Vec<_>>(), 100)
    }

    #[test]
    fn each_schema_is_asked_for_types_units_docs_and_what_it_lacks() {
        let at = known(&["at".into()]);
        assert_eq!((at.words().as_str(), at.ticks.clone()), ("long or timestamp-micros", BTreeMap::from([(1, Tick::Micro)])));
        assert_eq!((at.doc.as_deref(), at.scattered), (Some("When it was made"), false));
        let country = known(&["meta".into(), "country".into()]);
        assert_eq!((country.words().as_str(), country.is_enum()), ("enum of 2 or null", true));
        let score = known(&["score".into()]);
        assert_eq!((score.lacking.clone(), score.scattered, score.is_fractional()), (vec![("schema id 0".to_string(), 30)], true, true));
        let held = known(&["body".into(), Step::Within(place::Payload::Json), "x".into()]);
        assert!(held.types.is_empty() && held.lacking.is_empty(), "{held:?}");
    }
}
