//! From a record to an event.
//!
//! Guarantees: an ordinary record allocates nothing once the decoder is warm, if its event is given back with `recycle`;
//! every fault is a `BadRecord` that names the field, what was found and what to do; a panic below becomes one, too.
//! Never: reads a clock. Comes from: `log` (a borrowed record). Goes to: `engine` (a borrowed event).

use super::avro::Avro;
use super::event::{BadRecord, FeatureIx, MAX_NAME, MAX_VALUE, Outcome, Prediction, Reason};
use super::found::{Found, Marks, Sink};
use super::framing::{SchemaId, unframe};
use super::json;
use super::mapping::{Mapping, Outside, Slot};
use super::plan::{Plan, Stop};
use super::scalar::{Scalar, Tick};
use super::time::{NoTime, event_time};
use super::writers::{Schemas, Writer, Writers};
use crate::config::place;
use crate::config::settings::{Format, Source};
use crate::engine::types::{EventTime, RequestKey};
use crate::log::Record;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A schema that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(pub String);

/// What both decoders share: from a record to filled slots.
struct Reader {
    mapping: Mapping,
    plan: Plan,
    marks: Marks,
    values: Values,
    schema_id: Option<SchemaId>,
    spare: Found<'static>,
}

/// How values are written.
enum Values {
    Json,
    Avro(Avro),
    /// Behind five bytes that don't matter.
    Framed(Avro),
    /// Behind five bytes that say how.
    ById(Writers),
}

impl Reader {
    fn new(source: &Source, dimensions: &[String], schemas: Option<Arc<dyn Schemas>>) -> Result<Reader, SchemaError> {
        let mapping = Mapping::of(source, dimensions);
        let mut plan = Plan::new(&mapping);
        let values = match &source.format {
            Format::Json => Values::Json,
            Format::Avro { schema, confluent, .. } => {
                let avro = Avro::compile(schema, &mut plan).map_err(SchemaError)?;
                if *confluent { Values::Framed(avro) } else { Values::Avro(avro) }
            }
            Format::Registry { may_lack } => {
                let schemas = schemas.ok_or_else(|| SchemaError("the format is registry, and there is no registry".to_string()))?;
                Values::ById(Writers::new(schemas, may_lack))
            }
        };
        Ok(Reader { mapping, plan, marks: Marks::default(), values, schema_id: None, spare: Found::default() })
    }

    /// False while nobody knows the schema that a record was written with.
    #[inline]
    fn ready(&mut self, record: &Record<'_>) -> bool {
        let Values::ById(writers) = &mut self.values else { return true };
        match record.value.map(unframe) {
            Some(Ok((id, _))) => writers.ready(id, &mut self.plan, &self.mapping),
            _ => true,
        }
    }

    /// Walks the record's value and fills `found`.
    fn read<'a>(&mut self, record: &Record<'a>, found: &mut Found<'a>) -> Result<(), BadRecord> {
        let Some(mut value) = record.value else {
            return Err(bad(Reason::Tombstone, "the value is null: deletions mean nothing here; keep them out of the topic"));
        };
        if value.len() > MAX_VALUE {
            let what = format!("the value has {} bytes, at most {MAX_VALUE} are decoded: send large payloads another way", value.len());
            return Err(bad(Reason::TooLong, what));
        }
        if matches!(self.values, Values::Framed(_) | Values::ById(_)) {
            let (id, rest) = unframe(value).map_err(|why| bad(Reason::Undecodable, format!("the value has no schema id: {why}")))?;
            (self.schema_id, value) = (Some(id), rest);
        }
        let avro = match (&self.values, self.schema_id) {
            (Values::Avro(avro) | Values::Framed(avro), _) => Some(avro),
            (Values::ById(writers), Some(id)) => match writers.writer(id)? {
                Writer::Avro(avro) => Some(avro),
                Writer::Json => None,
            },
            (Values::Json | Values::ById(_), _) => None,
        };
        let mut sink = Sink { plan: &mut self.plan, found, marks: &mut self.marks };
        sink.begin();
        let walked = match avro {
            None => json::read(value, &mut sink),
            Some(avro) => avro.read(value, &mut sink),
        };
        walked.map_err(|Stop { reason, detail }| BadRecord { reason, detail })?;
        sink.end();
        for (slot, outside) in &self.mapping.outside {
            found.slots[slot.ix()] = outside_scalar(outside, record, &self.mapping.names[slot.ix()].place)?;
        }
        match found.no_features {
            None => Ok(()),
            Some(what) => {
                let path = self.mapping.features.as_ref().map_or(String::new(), |f| place::shown(&f.path));
                Err(bad(
                    Reason::WrongType,
                    format!("field \"{path}\" must be an object or a list of features, found {what}; set predictions.fields.features"),
                ))
            }
        }
    }

    fn fault(&self, reason: Reason, slot: Slot, what: impl std::fmt::Display) -> BadRecord {
        let name = &self.mapping.names[slot.ix()];
        bad(reason, format!("{} {what} (fields.{})", name.place, name.setting))
    }

    fn id<'a>(&self, found: &mut Found<'a>) -> Result<Cow<'a, str>, BadRecord> {
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
        let found = scalar.describe_if(|s| !matches!(s, Scalar::Text(_) | Scalar::Integer(..) | Scalar::Number(_, Some(_))));
        let wrong = |found| self.fault(Reason::WrongType, slot, format!("is {found}: a request id is text or a whole number"));
        scalar.into_id().ok_or_else(|| wrong(found.unwrap_or_default()))
    }

    fn time(&self, found: &mut Found<'_>, kafka: i64) -> Result<EventTime, BadRecord> {
        let slot = Slot::TIME;
        let scalar = std::mem::take(&mut found.slots[slot.ix()]);
        if scalar == Scalar::Absent {
            return Err(self.fault(Reason::MissingField, slot, "is absent: an event time is needed"));
        }
        event_time(&scalar, self.mapping.unit, kafka).map_err(|why| match why {
            NoTime::Type => self.fault(Reason::WrongType, slot, format!("is {}: a time is a number or text", scalar.describe())),
            NoTime::Value(why) => self.fault(Reason::BadTime, slot, format!("is {}: {why}", scalar.describe())),
        })
    }

    fn text<'a>(&self, found: &mut Found<'a>, slot: Slot) -> Result<Option<Cow<'a, str>>, BadRecord> {
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

    fn number(&self, found: &mut Found<'_>, slot: Slot) -> Result<Option<f64>, BadRecord> {
        match std::mem::take(&mut found.slots[slot.ix()]) {
            Scalar::Absent | Scalar::Null => Ok(None),
            Scalar::Integer(i, _) | Scalar::Instant(i, _) => Ok(Some(i as f64)),
            Scalar::Number(x, _) => Ok(Some(x)),
            other => Err(self.fault(Reason::WrongType, slot, format!("is {}: a number is wanted", other.describe()))),
        }
    }

    /// Buffers for the next record, of whatever lifetime it has.
    fn take_spare<'a>(&mut self) -> Found<'a> {
        std::mem::take(&mut self.spare)
    }

    fn keep(&mut self, found: Found<'_>) {
        let Found { slots, features, doubles, .. } = found;
        self.spare = Found { slots: emptied(slots), features: emptied(features), doubles: emptied(doubles), no_features: None };
    }
}

impl<'a> Scalar<'a> {
    fn describe_if(&self, wanted: impl Fn(&Scalar<'a>) -> bool) -> Option<String> {
        wanted(self).then(|| self.describe())
    }
}

fn bad(reason: Reason, detail: impl Into<String>) -> BadRecord {
    BadRecord { reason, detail: detail.into() }
}

/// The memory of a list for values of the same type with another lifetime.
fn emptied<A, B>(mut list: Vec<A>) -> Vec<B> {
    const { assert!(size_of::<A>() == size_of::<B>() && align_of::<A>() == align_of::<B>()) };
    list.clear();
    let mut list = std::mem::ManuallyDrop::new(list);
    // SAFETY: it came from a list whose places have the same size and alignment, and no place is in use.
    unsafe { Vec::from_raw_parts(list.as_mut_ptr().cast::<B>(), 0, list.capacity()) }
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

/// Decodes predictions.
pub struct PredictionDecoder {
    reader: Reader,
    dimensions: usize,
    spare_dimensions: Vec<Cow<'static, str>>,
}

impl PredictionDecoder {
    /// Compiles the mapping of a source. Events have the values of `dimensions` in this order.
    pub fn new(source: &Source, dimensions: &[String]) -> Result<PredictionDecoder, SchemaError> {
        PredictionDecoder::with(source, dimensions, None)
    }

    /// The same, with a place that schemas come from, for sources whose values carry ids of schemas.
    pub fn with(source: &Source, dimensions: &[String], schemas: Option<Arc<dyn Schemas>>) -> Result<PredictionDecoder, SchemaError> {
        let reader = Reader::new(source, dimensions, schemas)?;
        Ok(PredictionDecoder { reader, dimensions: dimensions.len(), spare_dimensions: Vec::new() })
    }

    /// False while nobody knows the schema that a record was written with: it must wait. Otherwise it can be decoded, or can never be.
    #[inline]
    pub fn ready(&mut self, record: &Record<'_>) -> bool {
        self.reader.ready(record)
    }

    /// Decodes a record. Allocates nothing for an ordinary one: give the event back with `recycle`.
    pub fn decode<'a>(&mut self, record: &Record<'a>) -> Result<Prediction<'a>, BadRecord> {
        self.decode_and_tell(record, |_| {})
    }

    /// The same, and `known` hears the key as soon as it is known: whatever is kept under it can be asked for meanwhile.
    pub fn decode_and_tell<'a>(&mut self, record: &Record<'a>, known: impl FnOnce(RequestKey)) -> Result<Prediction<'a>, BadRecord> {
        guarded(|| {
            let mut found = self.reader.take_spare();
            let event = self.reader.read(record, &mut found).and_then(|()| self.event(record, &mut found, known));
            self.reader.keep(found);
            event
        })
    }

    fn event<'a>(
        &mut self,
        record: &Record<'a>,
        found: &mut Found<'a>,
        known: impl FnOnce(RequestKey),
    ) -> Result<Prediction<'a>, BadRecord> {
        let reader = &self.reader;
        let request_id = reader.id(found)?;
        let key = RequestKey::of(&request_id);
        known(key);
        let time = reader.time(found, record.timestamp)?;
        let model = match reader.text(found, Slot::MODEL)? {
            Some(model) if !model.is_empty() => model,
            _ => {
                return Err(reader.fault(
                    Reason::MissingField,
                    Slot::MODEL,
                    "is absent or empty: say which model this is, or set { const: NAME }",
                ));
            }
        };
        let version = reader.text(found, Slot::VERSION)?.filter(|v| !v.is_empty());
        let score = reader.number(found, Slot::SCORE)?;
        let label = reader.text(found, Slot::LABEL)?;
        let mut dimensions: Vec<Cow<'a, str>> = std::mem::take(&mut self.spare_dimensions);
        for i in 0..self.dimensions {
            let value = reader.text(found, Slot(Slot::DIMENSIONS.0 + i as u16))?;
            dimensions.push(value.unwrap_or(Cow::Borrowed("")));
        }
        let (features, doubles) = (std::mem::take(&mut found.features), std::mem::take(&mut found.doubles));
        Ok(Prediction { key, request_id, time, model, version, score, label, dimensions, features, doubles })
    }

    /// Takes an event back, so that the next one needs no memory.
    pub fn recycle(&mut self, event: Prediction<'_>) {
        self.reader.spare.features = emptied(event.features);
        self.reader.spare.doubles = emptied(event.doubles);
        self.spare_dimensions = emptied(event.dimensions);
    }

    /// Name of a feature.
    pub fn feature_name(&self, ix: FeatureIx) -> &str {
        self.reader.plan.feature_name(ix)
    }

    /// Number of features seen (or, with Avro records, known from the schema) so far: all `FeatureIx` are below it.
    pub fn feature_count(&self) -> usize {
        self.reader.plan.feature_count()
    }

    /// The schema id that stood before the last value, with Confluent's framing.
    pub fn schema_id(&self) -> Option<SchemaId> {
        self.reader.schema_id
    }
}

/// Decodes outcomes.
pub struct OutcomeDecoder {
    reader: Reader,
}

impl OutcomeDecoder {
    /// Compiles the mapping of a source.
    pub fn new(source: &Source) -> Result<OutcomeDecoder, SchemaError> {
        OutcomeDecoder::with(source, None)
    }

    /// The same, with a place that schemas come from, for sources whose values carry ids of schemas.
    pub fn with(source: &Source, schemas: Option<Arc<dyn Schemas>>) -> Result<OutcomeDecoder, SchemaError> {
        Ok(OutcomeDecoder { reader: Reader::new(source, &[], schemas)? })
    }

    /// False while nobody knows the schema that a record was written with: it must wait. Otherwise it can be decoded, or can never be.
    #[inline]
    pub fn ready(&mut self, record: &Record<'_>) -> bool {
        self.reader.ready(record)
    }

    /// Decodes a record. Allocates nothing for an ordinary one.
    pub fn decode<'a>(&mut self, record: &Record<'a>) -> Result<Outcome<'a>, BadRecord> {
        guarded(|| {
            let mut found = self.reader.take_spare();
            let event = self.reader.read(record, &mut found).and_then(|()| self.event(record, &mut found));
            self.reader.keep(found);
            event
        })
    }

    fn event<'a>(&self, record: &Record<'a>, found: &mut Found<'a>) -> Result<Outcome<'a>, BadRecord> {
        let reader = &self.reader;
        let request_id = reader.id(found)?;
        let time = reader.time(found, record.timestamp)?;
        let label = reader.text(found, Slot::LABEL)?;
        let value = reader.number(found, Slot::VALUE)?;
        if label.is_none() && value.is_none() {
            let other = &reader.mapping.names[Slot::VALUE.ix()].place;
            let what = format!("is absent or null, and so is {other}: an outcome needs a label or a value");
            return Err(reader.fault(Reason::MissingField, Slot::LABEL, what));
        }
        Ok(Outcome { key: RequestKey::of(&request_id), request_id, time, label, value })
    }

    /// Takes an event back. Outcomes hold no lists; the method is there so that both decoders are used alike.
    pub fn recycle(&mut self, event: Outcome<'_>) {
        drop(event);
    }

    /// The schema id that stood before the last value, with Confluent's framing.
    pub fn schema_id(&self) -> Option<SchemaId> {
        self.reader.schema_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_bad_record() {
        let ended: Result<(), BadRecord> = guarded(|| panic!("planted"));
        assert_eq!(ended.unwrap_err().reason, Reason::Panic);
    }
}
