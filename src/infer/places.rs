//! What is in records of nobody knows which shape: every place that holds scalars, and what was seen there.
//!
//! Guarantees: a place is written as `config::place` reads it; texts that hold JSON are looked into; at most `MAX_PLACES` places.
//! Never: decides what a place is good for (`roles` does). Comes from: `records` (values), `known` (their schemas). Goes to: `roles`, `page`.

use super::known::{Known, Told};
use crate::codec::scalar::Scalar;
use crate::codec::time::event_time;
use crate::config::place::{self, Payload, Step};
use crate::config::settings::TimeUnit;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Places that are told apart; what more there is in a record is not looked at.
pub const MAX_PLACES: usize = 2_000;
/// Levels that are looked into.
const DEPTH: usize = 8;
/// Names that mean something else when they stand alone.
const RESERVED: [&str; 3] = ["key", "topic", "timestamp"];

/// A record, as far as it was understood.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The key, if it is text.
    pub key: Option<String>,
    /// Headers that are text.
    pub headers: Vec<(String, String)>,
    /// Kafka's timestamp in ms.
    pub timestamp: i64,
    /// Number of the schema that it was written with, if its topic has several (`Told::number`).
    pub schema: usize,
    /// The value.
    pub value: Value,
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The record's key.
    Key,
    /// A header.
    Header(String),
    /// In the value; as it is typed.
    Value(String),
}

/// What was seen at one place: texts of the scalars, record by record.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Steps, of a place in the value.
    pub steps: Vec<Step>,
    /// Number of the record and what it has there.
    pub seen: Vec<(usize, Value)>,
    /// Longest list that was seen here.
    pub list: usize,
    /// What schemas say of it.
    pub known: Known,
}

/// Objects at one place.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The place.
    pub steps: Vec<Step>,
    /// What schemas say of it.
    pub known: Known,
}

impl Place {
    /// The last name on the way.
    pub fn name(&self) -> &str {
        let last = self.steps.iter().rev().find_map(|s| if let Step::Name(name) = s { Some(name.as_str()) } else { None });
        last.unwrap_or("")
    }

    /// Scalars that are not null.
    pub fn present(&self) -> usize {
        self.seen.iter().filter(|(_, v)| !v.is_null()).count()
    }

    /// Distinct scalars, as text.
    pub fn distinct(&self) -> BTreeSet<String> {
        self.seen.iter().filter_map(|(_, v)| as_text(v)).collect()
    }

    /// True if every scalar is a number.
    pub fn is_number(&self) -> bool {
        self.present() > 0 && self.seen.iter().all(|(_, v)| v.is_number() || v.is_null())
    }

    /// True if some number is not whole.
    pub fn has_fractions(&self) -> bool {
        self.seen.iter().any(|(_, v)| v.as_f64().is_some_and(|x| x.fract() != 0.0))
    }

    /// True if numbers there have fractions: some does, or all may by their type.
    pub fn is_fractional(&self) -> bool {
        self.known.is_fractional() || self.has_fractions()
    }

    /// True if every scalar is a text.
    pub fn is_text(&self) -> bool {
        self.present() > 0 && self.seen.iter().all(|(_, v)| v.is_string() || v.is_null())
    }

    /// True if every scalar is true or false.
    pub fn is_truth(&self) -> bool {
        self.present() > 0 && self.seen.iter().all(|(_, v)| v.is_boolean() || v.is_null())
    }

    /// The unit in which all scalars are event times not further than `around` ms from their records' timestamps; text has none.
    pub fn unit(&self, samples: &[Sample], around: i64) -> Option<TimeUnit> {
        let fits = |unit: TimeUnit| {
            self.seen.iter().filter(|(_, v)| !v.is_null()).all(|(i, v)| {
                let kafka = samples[*i].timestamp;
                let time = self.scalar(v, samples[*i].schema).and_then(|s| event_time(&s, unit, kafka).ok());
                time.is_some_and(|t| kafka < 0 || t.0.saturating_sub(kafka).saturating_abs() <= around)
            })
        };
        let units = [TimeUnit::Auto, TimeUnit::Seconds, TimeUnit::Micros, TimeUnit::Nanos];
        if self.present() == 0 { None } else { units.into_iter().find(|unit| fits(*unit)) }
    }

    /// A number or text as decoders have it.
    fn scalar<'v>(&self, value: &'v Value, schema: usize) -> Option<Scalar<'v>> {
        match (value, self.known.ticks.get(&schema)) {
            (Value::String(text), _) => Some(Scalar::Text(Cow::Borrowed(text))),
            (Value::Number(n), tick) => Some(match (n.as_i64(), tick) {
                (Some(i), Some(tick)) => Scalar::Instant(i, *tick),
                (Some(i), None) => Scalar::Integer(i, None),
                (None, _) => Scalar::Number(n.as_f64().unwrap_or(f64::NAN), None),
            }),
            _ => None,
        }
    }
}

/// A scalar's text; `None` if it is null.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Everything that was seen in the records of a topic.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Scalars, by place.
    pub scalars: BTreeMap<At, Place>,
    /// Lists that are no single element: by place.
    pub lists: BTreeMap<At, Place>,
    /// Objects, by their steps as text.
    pub objects: BTreeMap<String, Object>,
}

impl Places {
    /// Of records.
    pub fn of(samples: &[Sample]) -> Places {
        let mut places = Places::default();
        for (i, sample) in samples.iter().enumerate() {
            if let Some(key) = &sample.key {
                places.add(At::Key, Vec::new(), i, Value::String(key.clone()));
            }
            for (name, text) in &sample.headers {
                places.add(At::Header(name.clone()), vec![Step::Name(name.clone())], i, Value::String(text.clone()));
            }
            places.walk(&mut Vec::new(), i, &sample.value);
        }
        places
    }

    /// What the schemas of so many records say of the places in values.
    pub fn learn(&mut self, told: &[Told<'_>], records: usize) {
        let in_values = |at: &At| matches!(at, At::Value(_));
        for (_, place) in self.scalars.iter_mut().chain(&mut self.lists).filter(|(at, _)| in_values(at)) {
            place.known = Known::of(&place.steps, told, records);
        }
        self.objects.values_mut().for_each(|object| object.known = Known::of(&object.steps, told, records));
    }

    fn walk(&mut self, steps: &mut Vec<Step>, record: usize, value: &Value) {
        let deeper = steps.len() < DEPTH;
        match value {
            Value::Object(entries) => {
                self.objects.entry(place::shown(steps)).or_insert_with(|| Object { steps: steps.clone(), ..Object::default() });
                for (name, value) in entries.iter().filter(|_| deeper) {
                    steps.push(Step::Name(name.clone()));
                    self.walk(steps, record, value);
                    steps.pop();
                }
            }
            Value::Array(items) => match &items[..] {
                [one] if deeper => {
                    steps.push(Step::Index(0));
                    self.walk(steps, record, one);
                    steps.pop();
                }
                items => {
                    if let Some(list) = Places::entry(&mut self.lists, At::Value(place::shown(steps)), steps) {
                        list.list = list.list.max(items.len());
                    }
                }
            },
            Value::String(text) if text.trim_start().starts_with(['{', '[']) && deeper => match serde_json::from_str::<Value>(text) {
                Ok(held) => {
                    steps.push(Step::Within(Payload::Json));
                    self.walk(steps, record, &held);
                    steps.pop();
                }
                Err(_) => self.add(At::Value(place::shown(steps)), steps.clone(), record, value.clone()),
            },
            scalar => self.add(At::Value(place::shown(steps)), steps.clone(), record, scalar.clone()),
        }
    }

    fn entry<'p>(map: &'p mut BTreeMap<At, Place>, at: At, steps: &[Step]) -> Option<&'p mut Place> {
        if map.len() >= MAX_PLACES && !map.contains_key(&at) {
            return None;
        }
        Some(map.entry(at).or_insert_with(|| Place { steps: steps.to_vec(), ..Place::default() }))
    }

    fn add(&mut self, at: At, steps: Vec<Step>, record: usize, value: Value) {
        if let Some(place) = Places::entry(&mut self.scalars, at, &steps) {
            place.seen.push((record, value));
        }
    }
}

/// A place as YAML has it: quoted where it must be, as a list of names where the short form would mean something else. `None` if it can't be
/// typed (a text in a list of names that holds something).
pub fn typed(at: &At, steps: &[Step]) -> Option<String> {
    match at {
        At::Key => Some("key".to_string()),
        At::Header(name) => Some(quoted(&format!("header:{name}"))),
        At::Value(text) => {
            let short = place::parse(text).is_ok_and(|parsed| parsed == steps);
            if short && !RESERVED.contains(&text.as_str()) && !text.starts_with("header:") {
                return Some(quoted(text));
            }
            if short {
                return Some(format!("{{ path: {} }}", quoted(text)));
            }
            let names = steps.iter().map(|s| if let Step::Name(name) = s { Some(quoted(name)) } else { None });
            Some(format!("{{ path: [{}] }}", names.collect::<Option<Vec<_>>>()?.join(", ")))
        }
    }
}

/// A text as YAML has it.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let odd = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"].contains(&text.to_lowercase().as_str());
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && !odd && text.chars().all(plain) {
        return text.to_string();
    }
    // JSON's strings are YAML's; what expands variables must not
    Value::String(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(value: Value) -> Sample {
        Sample { key: Some("k".into()), headers: vec![("trace".into(), "t".into())], timestamp: 1_760_000_000_000, schema: 0, value }
    }

    #[test]
    fn places_are_found_in_objects_single_lists_and_texts() {
        let value = json!({"id": 7, "a": {"b c": "x"}, "p": "{\"q\": [0.5]}", "many": [1, 2, 3], "no": "{", "key": null});
        let places = Places::of(&[sample(value)]);
        let found: Vec<(String, usize)> = places.scalars.iter().map(|(at, p)| (typed(at, &p.steps).unwrap(), p.present())).collect();
        let expected = [
            ("key", 1),
            ("\"header:trace\"", 1),
            ("{ path: [a, \"b c\"] }", 1),
            ("id", 1),
            ("\"json(p).q[0]\"", 1),
            ("{ path: key }", 0),
            ("\"no\"", 1),
        ];
        assert_eq!(found, expected.map(|(text, n)| (text.to_string(), n)));
        assert_eq!(places.lists.values().map(|l| l.list).collect::<Vec<_>>(), [3]);
        assert_eq!(places.objects.keys().collect::<Vec<_>>(), ["", "a", "json(p)"]);
    }

    #[test]
    fn the_unit_of_a_time_is_the_one_that_fits_the_records() {
        let t = 1_760_000_000_000i64;
        let unit = |value: Value| {
            let samples = [sample(json!({ "t": value }))];
            Places::of(&samples).scalars[&At::Value("t".into())].unit(&samples, 86_400_000)
        };
        assert_eq!(unit(json!(t)), Some(TimeUnit::Auto));
        assert_eq!(unit(json!(t / 1_000)), Some(TimeUnit::Seconds));
        assert_eq!(unit(json!(t * 1_000)), Some(TimeUnit::Micros));
        assert_eq!(unit(json!(t * 1_000_000)), Some(TimeUnit::Nanos));
        assert_eq!(unit(json!("2025-10-09T08:53:20Z")), Some(TimeUnit::Auto));
        assert_eq!(unit(json!(t - 90 * 86_400_000)), None, "too far from its record");
        assert_eq!((unit(json!("soon")), unit(json!(12)), unit(json!(null))), (None, None, None));
    }

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in
            [("a.b", "a.b"), ("no", "\"no\""), ("1", "\"1\""), ("a: b", "\"a: b\""), ("", "\"\""), ("$A", "\"$$A\""), ("-x", "\"-x\"")]
        {
            assert_eq!(quoted(text), expected);
        }
    }
}
