//! What has to be found in a record, and where: the configuration's field sources in the order of an event's slots.
//!
//! Comes from: `config::settings::Source`. Goes to: `plan` (paths) and `decoder` (keys, headers, constants).

use crate::config::place::{self, Step};
use crate::config::settings::{Explode, Features, FieldSource, Source, TimeUnit, Wanted};
use std::collections::HashMap;

/// A field of an event, as its place in the list of slots. Dimensions come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The request id.
    pub const REQUEST_ID: Slot = Slot(0);
    /// The event time.
    pub const TIME: Slot = Slot(1);
    /// The model.
    pub const MODEL: Slot = Slot(2);
    /// Its version.
    pub const VERSION: Slot = Slot(3);
    /// The score.
    pub const SCORE: Slot = Slot(4);
    /// Predicted or observed class.
    pub const LABEL: Slot = Slot(5);
    /// Observed number.
    pub const VALUE: Slot = Slot(6);
    /// The first dimension.
    pub const DIMENSIONS: Slot = Slot(7);

    /// As an index.
    pub fn ix(self) -> usize {
        self.0 as usize
    }
}

/// Everything that is wanted of a record.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Places in the value.
    pub paths: Vec<(Slot, Vec<Step>)>,
    /// What stands outside of the value.
    pub outside: Vec<(Slot, Outside)>,
    /// Which entries are features.
    pub features: Option<Features>,
    /// Unit of a numeric event time.
    pub unit: TimeUnit,
    /// What key and headers must be for a record to count.
    pub conditions_outside: Vec<(Outside, Wanted)>,
    /// What must be found in the value.
    pub conditions: Vec<(Slot, Wanted)>,
    /// True if a slot has a map.
    pub mapped: bool,
    /// The list whose elements are events of their own.
    pub explode: Option<Explode>,
    /// Each slot's place in words, for complaints; its name in the configuration.
    pub names: Vec<SlotName>,
}

/// How a slot is called.
#[derive(Clone, Debug, Default)]
pub struct SlotName {
    /// The place in the record: `field "meta.ts"`, `the key`, `header "x-id"`.
    pub place: String,
    /// The configuration's key: `event_time`.
    pub setting: String,
    /// What its texts stand for.
    pub map: Option<HashMap<String, &'static str>>,
}

/// A source outside of the value.
#[derive(Clone, Debug, PartialEq)]
pub enum Outside {
    /// The key.
    Key,
    /// A header.
    Header(String),
    /// Kafka's timestamp.
    Timestamp,
    /// A constant; it lives as long as the process, so that events can borrow it.
    Const(&'static str),
}

impl Mapping {
    /// The mapping of a source; `dimensions` in the order that events shall have them.
    pub fn of(source: &Source, dimensions: &[String]) -> Mapping {
        let fields = &source.fields;
        let (time, unit) = match &fields.event_time {
            Some((source, unit)) => (Some(source), *unit),
            None => (None, TimeUnit::Auto),
        };
        let names = vec![SlotName::default(); Slot::DIMENSIONS.ix() + dimensions.len()];
        let mut mapping = Mapping { features: fields.features.clone(), unit, names, explode: source.explode.clone(), ..Mapping::default() };
        for (slot, setting, source) in [
            (Slot::REQUEST_ID, "request_id", fields.request_id.as_ref()),
            (Slot::TIME, "event_time", time),
            (Slot::MODEL, "model", fields.model.as_ref()),
            (Slot::VERSION, "version", fields.version.as_ref()),
            (Slot::SCORE, "score", fields.score.as_ref()),
            (Slot::LABEL, "label", fields.label.as_ref()),
            (Slot::VALUE, "value", fields.value.as_ref()),
        ] {
            mapping.add(slot, setting.to_string(), source);
        }
        for (i, name) in dimensions.iter().enumerate() {
            let slot = Slot(Slot::DIMENSIONS.0 + i as u16);
            mapping.add(slot, format!("dimensions.{name}"), fields.dimensions.get(name));
        }
        for name in &mut mapping.names {
            let map = fields.maps.get(&name.setting);
            name.map = map.map(|map| map.iter().map(|(from, to)| (from.clone(), forever(to))).collect());
            mapping.mapped |= name.map.is_some();
        }
        for condition in &source.when {
            let outside = match &condition.source {
                FieldSource::Key => Outside::Key,
                FieldSource::Header(name) => Outside::Header(name.clone()),
                source => {
                    let slot = Slot(mapping.names.len() as u16);
                    mapping.names.push(SlotName::default());
                    mapping.add(slot, format!("when.{}", condition.place), Some(source));
                    mapping.conditions.push((slot, condition.wanted.clone()));
                    continue;
                }
            };
            mapping.conditions_outside.push((outside, condition.wanted.clone()));
        }
        mapping
    }

    fn add(&mut self, slot: Slot, setting: String, source: Option<&FieldSource>) {
        let place = match source {
            None => format!("field \"{setting}\""),
            Some(FieldSource::Path(path)) => {
                self.paths.push((slot, path.clone()));
                format!("field \"{}\"", place::shown(path))
            }
            Some(FieldSource::Key) => {
                self.outside.push((slot, Outside::Key));
                "the key".to_string()
            }
            Some(FieldSource::Header(name)) => {
                self.outside.push((slot, Outside::Header(name.clone())));
                format!("header \"{name}\"")
            }
            Some(FieldSource::Timestamp) => {
                self.outside.push((slot, Outside::Timestamp));
                "the Kafka timestamp".to_string()
            }
            Some(FieldSource::Topic(name)) => {
                self.outside.push((slot, Outside::Const(forever(name))));
                "the topic's name".to_string()
            }
            Some(FieldSource::Const(text)) => {
                self.outside.push((slot, Outside::Const(forever(text))));
                "the constant".to_string()
            }
        };
        self.names[slot.ix()] = SlotName { place, setting, map: None };
    }
}

/// The same text for as long as the process lives. Each distinct text is kept once, so that rebuilding a decoder costs nothing.
/// Only for what a configuration or a schema names: constants, symbols of enums.
pub fn forever(text: &str) -> &'static str {
    static KEPT: std::sync::Mutex<std::collections::BTreeSet<&'static str>> = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match kept.get(text) {
        Some(known) => known,
        None => {
            let known: &'static str = Box::leak(text.to_string().into_boxed_str());
            kept.insert(known);
            known
        }
    }
}
