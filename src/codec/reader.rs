//! What both decoders share: from a record to filled slots.
//!
//! Guarantees: every fault is a `BadRecord` that names the field, what was found and what to do; a panic below becomes one, too; a record
//! that `when` leaves out for its key or headers is not looked into.
//! Never: reads a clock. Comes from: `log` (a borrowed record). Goes to: `decoder`.

use super::avro::{Avro, Parsed};
use super::event::{BadRecord, MAX_NAME, MAX_VALUE, Reason};
use super::found::{Found, Marks, Sink};
use super::framing::{Framing, SchemaId, unframe};
use super::json;
use super::mapping::{Mapping, Outside, Slot};
use super::plan::{Plan, RowPlan, Stop};
use super::protobuf::{self, Protobuf, Scratch};
use super::pseudonym::Pseudonyms;
use super::rows::RowsFound;
use super::scalar::{Scalar, Tick};
use super::time::{NoTime, event_time};
use super::writers::{Schemas, Writer, Writers};
use crate::config::place;
use crate::config::settings::{Format, Source};
use crate::engine::types::EventTime;
use crate::log::Record;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A schema that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(pub String);

/// What both decoders share: from a record to filled slots.
pub(super) struct Reader {
    pub(super) mapping: Mapping,
    pub(super) plan: Plan,
    marks: Marks,
    scratch: Scratch,
    values: Values,
    pub(super) pseudonyms: Option<Pseudonyms>,
    quotes: bool,
    pub(super) schema_id: Option<SchemaId>,
    pub(super) spare: Found<'static>,
}

/// What a record turned out to be.
pub(super) enum Read {
    /// Left out by `when`.
    Skipped,
    /// One event.
    One,
    /// So many rows.
    Rows(usize),
}

/// How values are written.
enum Values {
    Json,
    Avro(Avro),
    /// Behind bytes of which at most a fingerprint (of this schema) matters.
    Framed(Avro, Framing, [u8; 8]),
    Protobuf(Protobuf),
    /// Behind five bytes and message indexes that don't matter.
    FramedProtobuf(Protobuf),
    /// Behind five bytes that say how.
    ById(Writers),
}

/// How a value is written.
enum Way<'w> {
    Json,
    Avro(&'w Avro),
    Protobuf(&'w Protobuf),
}

impl Reader {
    pub(super) fn new(source: &Source, dimensions: &[String], schemas: Option<Arc<dyn Schemas>>) -> Result<Reader, SchemaError> {
        let mapping = Mapping::of(source, dimensions);
        let mut plan = Plan::new(&mapping);
        let values = match &source.format {
            Format::Json => Values::Json,
            Format::Avro { schema, framing, .. } => {
                let avro = Avro::compile(schema, &mut plan).map_err(SchemaError)?;
                match framing {
                    Framing::Bare => Values::Avro(avro),
                    _ => Values::Framed(avro, *framing, Parsed::of(schema, &[]).map_err(SchemaError)?.fingerprint()),
                }
            }
            Format::Protobuf { set, message, confluent, .. } => {
                let schema = protobuf::Schema::of_set(set).map_err(SchemaError)?;
                let message = schema.message(message).ok_or_else(|| SchemaError(format!("the schema has no message \"{message}\"")))?;
                let protobuf = Protobuf::compile(&message, &mut plan).map_err(SchemaError)?;
                if *confluent { Values::FramedProtobuf(protobuf) } else { Values::Protobuf(protobuf) }
            }
            Format::Registry { may_lack } => {
                let schemas = schemas.ok_or_else(|| SchemaError("the format is registry, and there is no registry".to_string()))?;
                Values::ById(Writers::new(schemas, may_lack))
            }
        };
        let pseudonyms = source.protect.as_deref().map(|protect| Pseudonyms::new(protect, dimensions));
        let quotes = source.keeps_records();
        Ok(Reader {
            mapping,
            plan,
            marks: Marks::default(),
            scratch: Scratch::default(),
            values,
            pseudonyms,
            quotes,
            schema_id: None,
            spare: Found::default(),
        })
    }

    /// False while nobody knows the schema that a record was written with.
    #[inline]
    pub(super) fn ready(&mut self, record: &Record<'_>) -> bool {
        let Values::ById(writers) = &mut self.values else { return true };
        match record.value.map(unframe) {
            Some(Ok(_)) if !counts(&self.mapping, record) => true, // nobody asks how it is written
            Some(Ok((id, _))) => writers.ready(id, &mut self.plan, &self.mapping),
            _ => true,
        }
    }

    /// Walks the record's value and fills `found`.
    pub(super) fn read<'a>(&mut self, record: &Record<'a>, found: &mut Found<'a>) -> Result<Read, BadRecord> {
        if !self.counts_outside(record) {
            return Ok(Read::Skipped);
        }
        let Some(mut value) = record.value else {
            // where nothing is, no entry is what it should be
            if !self.mapping.conditions.iter().all(|(_, wanted)| wanted.holds(&Scalar::Absent)) {
                return Ok(Read::Skipped);
            }
            return Err(bad(Reason::Tombstone, "the value is null: deletions mean nothing here; keep them out of the topic"));
        };
        if value.len() > MAX_VALUE {
            let what = format!("the value has {} bytes, at most {MAX_VALUE} are decoded: send large payloads another way", value.len());
            return Err(bad(Reason::TooLong, what));
        }
        if let Values::Framed(_, framing, fingerprint) = self.values
            && framing != Framing::Confluent
        {
            value = framing.open(value, fingerprint).map_err(|why| bad(Reason::Undecodable, why))?;
        } else if matches!(self.values, Values::Framed(..) | Values::FramedProtobuf(_) | Values::ById(_)) {
            let (id, rest) = unframe(value).map_err(|why| bad(Reason::Undecodable, format!("the value has no schema id: {why}")))?;
            (self.schema_id, value) = (Some(id), rest);
        }
        let way = match (&mut self.values, self.schema_id) {
            (Values::Avro(avro) | Values::Framed(avro, ..), _) => Way::Avro(avro),
            (Values::Protobuf(protobuf), _) => Way::Protobuf(protobuf),
            (Values::FramedProtobuf(protobuf), _) => {
                value = protobuf::indexes(value, |_| {}).map_err(|why| bad(Reason::Undecodable, why))?;
                Way::Protobuf(protobuf)
            }
            (Values::ById(writers), Some(id)) => match writers.writer(id, &mut value, &mut self.plan, &self.mapping)? {
                Writer::Avro(avro) => Way::Avro(avro),
                Writer::Protobuf(protobuf) => Way::Protobuf(protobuf),
                Writer::Json => Way::Json,
                Writer::Unwanted => return Ok(Read::Skipped),
            },
            (Values::Json | Values::ById(_), _) => Way::Json,
        };
        let mut sink = Sink { plan: &mut self.plan, found, marks: &mut self.marks };
        sink.begin();
        let walked = match way {
            Way::Json => json::read(value, &mut sink),
            Way::Avro(avro) => avro.read(value, &mut sink),
            Way::Protobuf(protobuf) => protobuf.read(value, &mut sink, &mut self.scratch),
        };
        walked.map_err(|Stop { reason, detail }| BadRecord { reason, detail })?;
        sink.end();
        if let Some(Stop { reason, detail }) = found.unread.take() {
            return if self.left_out_by_what_was_read(found) { Ok(Read::Skipped) } else { Err(bad(reason, detail)) };
        }
        if !self.mapping.conditions.iter().all(|(slot, wanted)| wanted.holds(&found.slots[slot.ix()])) {
            return Ok(Read::Skipped);
        }
        for (slot, outside) in &self.mapping.outside {
            found.slots[slot.ix()] = outside_scalar(outside, record, &self.mapping.names[slot.ix()].place)?;
        }
        match found.no_features {
            None => match &self.plan.rows {
                None => Ok(Read::One),
                Some(rows) => self.rows(rows, found),
            },
            Some(what) => {
                let path = self.mapping.features.as_ref().map_or(String::new(), |f| place::shown(&f.path));
                Err(bad(
                    Reason::WrongType,
                    format!("field \"{path}\" must be an object or a list of features, found {what}; set predictions.fields.features"),
                ))
            }
        }
    }

    /// Whether conditions on places outside of texts leave the record out: of a text that can't be read nobody knows what it holds.
    fn left_out_by_what_was_read(&self, found: &Found<'_>) -> bool {
        let in_text = |slot: &Slot| self.mapping.paths.iter().any(|(s, path)| s == slot && place::outside(path).len() < path.len());
        self.mapping.conditions.iter().any(|(slot, wanted)| !in_text(slot) && !wanted.holds(&found.slots[slot.ix()]))
    }

    /// The rows of an exploded record.
    fn rows(&self, plan: &RowPlan, found: &Found<'_>) -> Result<Read, BadRecord> {
        let list = || self.mapping.explode.as_ref().map_or(String::new(), |e| place::shown(&e.list));
        match &found.slots[plan.seen.ix()] {
            Scalar::Other("a list") => Ok(Read::Rows(found.rows.count)),
            Scalar::Absent => {
                Err(bad(Reason::MissingField, format!("field \"{}\" is absent: it should be the list of rows (explode)", list())))
            }
            other => {
                let what = format!("field \"{}\" is {}: it should be the list of rows (explode)", list(), self.shown(other));
                Err(bad(Reason::WrongType, what))
            }
        }
    }

    /// Whether key and headers are what `when` wants.
    #[inline]
    fn counts_outside(&self, record: &Record<'_>) -> bool {
        self.mapping.conditions_outside.is_empty() || counts(&self.mapping, record)
    }

    /// A value in words: itself, or, where it may be one that nobody should see, only of what kind it is.
    fn shown(&self, scalar: &Scalar<'_>) -> Cow<'static, str> {
        if self.quotes { Cow::Owned(scalar.describe()) } else { Cow::Borrowed(scalar.kind()) }
    }

    pub(super) fn fault(&self, reason: Reason, slot: Slot, what: impl std::fmt::Display) -> BadRecord {
        let name = &self.mapping.names[slot.ix()];
        bad(reason, format!("{} {what} (fields.{})", name.place, name.setting))
    }

    pub(super) fn id<'a>(&self, found: &mut Found<'a>) -> Result<Cow<'a, str>, BadRecord> {
        let slot = Slot::REQUEST_ID;
        let scalar = std::mem::take(&mut found.slots[slot.ix()]);
        match &scalar {
            Scalar::Text(Cow::Borrowed(text)) if !text.is_empty() => return Ok(Cow::Borrowed(text)),
            Scalar::Absent => return Err(self.fault(Reason::MissingField, slot, "is absent: a request id is needed")),
            Scalar::Null => return Err(self.fault(Reason::EmptyId, slot, "is null: without a request id nothing can be matched")),
            Scalar::Text(text) if text.is_empty() => {
                return Err(self.fault(Reason::EmptyId, slot, "is empty: without a request id nothing can be matched"));
            }
            _ => {}
        }
        let found = match &scalar {
            Scalar::Text(_) | Scalar::Integer(..) | Scalar::Number(_, Some(_)) => Cow::Borrowed(""), // they are ids
            other => self.shown(other),
        };
        let wrong = || self.fault(Reason::WrongType, slot, format!("is {found}: a request id is text or a whole number"));
        scalar.into_id().ok_or_else(wrong)
    }

    pub(super) fn time(&self, found: &mut Found<'_>, kafka: i64) -> Result<EventTime, BadRecord> {
        let slot = Slot::TIME;
        let scalar = std::mem::take(&mut found.slots[slot.ix()]);
        if scalar == Scalar::Absent {
            return Err(self.fault(Reason::MissingField, slot, "is absent: an event time is needed"));
        }
        event_time(&scalar, self.mapping.unit, kafka).map_err(|why| match why {
            NoTime::Type => self.fault(Reason::WrongType, slot, format!("is {}: a time is a number or text", self.shown(&scalar))),
            NoTime::Value(why) if self.quotes => self.fault(Reason::BadTime, slot, format!("is {}: {why}", scalar.describe())),
            NoTime::Value(_) => self.fault(Reason::BadTime, slot, format!("is {} that can't be a time in its unit", scalar.kind())),
        })
    }

    /// A name or a class, by the field's `map` if it has one.
    pub(super) fn text<'a>(&self, found: &mut Found<'a>, slot: Slot) -> Result<Option<Cow<'a, str>>, BadRecord> {
        let text = self.plain_text(found, slot)?;
        if !self.mapping.mapped {
            return Ok(text);
        }
        let map = self.mapping.names[slot.ix()].map.as_ref();
        let mapped = text.as_deref().and_then(|text| map?.get(text).copied());
        Ok(mapped.map(Cow::Borrowed).or(text))
    }

    fn plain_text<'a>(&self, found: &mut Found<'a>, slot: Slot) -> Result<Option<Cow<'a, str>>, BadRecord> {
        let scalar = std::mem::take(&mut found.slots[slot.ix()]);
        match scalar {
            Scalar::Absent => return Ok(None),
            Scalar::Text(Cow::Borrowed(text)) if text.len() <= MAX_NAME => return Ok(Some(Cow::Borrowed(text))),
            _ => {}
        }
        let text = scalar
            .into_text()
            .map_err(|what| self.fault(Reason::WrongType, slot, format!("is {what}: text, a number or a truth value is wanted")))?;
        match &text {
            Some(long) if long.len() > MAX_NAME => {
                let what = format!("has {} bytes, at most {MAX_NAME} are allowed: is it the right field?", long.len());
                Err(self.fault(Reason::TooLong, slot, what))
            }
            _ => Ok(text),
        }
    }

    pub(super) fn number(&self, found: &mut Found<'_>, slot: Slot) -> Result<Option<f64>, BadRecord> {
        match std::mem::take(&mut found.slots[slot.ix()]) {
            Scalar::Absent | Scalar::Null => Ok(None),
            Scalar::Integer(i, _) | Scalar::Instant(i, _) => Ok(Some(i as f64)),
            Scalar::Number(x, _) => Ok(Some(x)),
            other => Err(self.fault(Reason::WrongType, slot, format!("is {}: a number is wanted", self.shown(&other)))),
        }
    }

    /// Buffers for the next record, of whatever lifetime it has.
    pub(super) fn take_spare<'a>(&mut self) -> Found<'a> {
        std::mem::take(&mut self.spare)
    }

    pub(super) fn keep(&mut self, found: Found<'_>) {
        let Found { slots, features, doubles, .. } = found;
        self.spare = Found {
            slots: emptied(slots),
            features: emptied(features),
            doubles: emptied(doubles),
            no_features: None,
            rows: RowsFound::default(),
            unread: None,
        };
    }
}

pub(super) fn bad(reason: Reason, detail: impl Into<String>) -> BadRecord {
    BadRecord { reason, detail: detail.into() }
}

/// The memory of a list for values of the same type with another lifetime.
pub(super) fn emptied<A, B>(mut list: Vec<A>) -> Vec<B> {
    const { assert!(size_of::<A>() == size_of::<B>() && align_of::<A>() == align_of::<B>()) };
    list.clear();
    let mut list = std::mem::ManuallyDrop::new(list);
    // SAFETY: it came from a list whose places have the same size and alignment, and no place is in use.
    unsafe { Vec::from_raw_parts(list.as_mut_ptr().cast::<B>(), 0, list.capacity()) }
}

fn counts(mapping: &Mapping, record: &Record<'_>) -> bool {
    // what is no text is something, but no value that can be named
    let found = |outside| outside_scalar(outside, record, "").unwrap_or(Scalar::Other("bytes"));
    mapping.conditions_outside.iter().all(|(outside, wanted)| wanted.holds(&found(outside)))
}

fn outside_scalar<'a>(outside: &Outside, record: &Record<'a>, place: &str) -> Result<Scalar<'a>, BadRecord> {
    let text = |bytes: Option<&'a [u8]>| match bytes.map(std::str::from_utf8) {
        None => Ok(Scalar::Null),
        Some(Ok(text)) => Ok(Scalar::Text(Cow::Borrowed(text))),
        Some(Err(_)) => {
            Err(bad(Reason::Undecodable, format!("{place} is not UTF-8 text; is it serialised another way? Point the mapping at a field")))
        }
    };
    match outside {
        Outside::Key => text(record.key),
        Outside::Header(name) => {
            let headers = record.headers;
            let there = (0..headers.len()).rev().find_map(|i| headers.get(i).filter(|h| h.0 == name));
            there.map_or(Ok(Scalar::Absent), |(_, value)| text(value))
        }
        Outside::Timestamp if record.timestamp < 0 => Ok(Scalar::Absent),
        Outside::Timestamp => Ok(Scalar::Instant(record.timestamp, Tick::Milli)),
        Outside::Const(text) => Ok(Scalar::Text(Cow::Borrowed(text))),
    }
}

/// A panic in a decoder is a bug of driftline; the record is kept, and the process lives on.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T, BadRecord>) -> Result<T, BadRecord> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(bad(Reason::Panic, "decoding panicked: a bug of driftline; please report it with this record's bytes")))
}
