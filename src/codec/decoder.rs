//! From a record to an event.
//!
//! Guarantees: an ordinary record allocates nothing once the decoder is warm, if its event is given back with `recycle`.
//! Never: reads a clock. Comes from: `log` (a borrowed record), through `reader`. Goes to: `engine` (a borrowed event).

use super::event::{BadRecord, FeatureIx, Outcome, Prediction, Reason};
use super::found::Found;
use super::framing::SchemaId;
use super::mapping::Slot;
use super::pseudonym::Pseudonyms;
pub use super::reader::SchemaError;
use super::reader::{Read, Reader, bad, emptied, guarded};
use super::rows::fill;
use super::scalar::Scalar;
use super::writers::Schemas;
use crate::config::settings::Source;
use crate::engine::types::RequestKey;
use crate::log::Record;
use std::borrow::Cow;
use std::sync::Arc;

/// What a record says.
#[derive(Debug)]
pub enum Events<'a, E> {
    /// Nothing: the source's `when` leaves it out.
    Skipped,
    /// An event.
    One(E),
    /// Rows, each an event or bad for itself: the source's `explode`.
    Rows(Rows<'a>),
}

/// The rows of a record, to be made events by the decoder that they come from.
#[derive(Debug)]
pub struct Rows<'a> {
    found: Found<'a>,
    count: usize,
}

impl Rows<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl<E> Events<'_, E> {
    fn one(self) -> Result<E, BadRecord> {
        match self {
            Events::One(event) => Ok(event),
            Events::Skipped => Err(bad(Reason::Undecodable, "the record does not count: `when` leaves it out")),
            Events::Rows(rows) => Err(bad(Reason::Undecodable, format!("the record is {} events: `explode` makes it so", rows.count))),
        }
    }
}

/// A request id as it goes on.
#[inline]
fn hidden<'a>(pseudonyms: Option<&Pseudonyms>, id: Cow<'a, str>) -> Cow<'a, str> {
    match pseudonyms {
        None => id,
        Some(pseudonyms) => pseudonyms.id(id),
    }
}

/// One row in the form of a record of its own, with an id of its own.
fn row<'a>(reader: &Reader, rows: &mut Rows<'a>, row: usize, one: &mut Found<'a>) -> Result<(), BadRecord> {
    let Some(plan) = &reader.plan.rows else { return Err(bad(Reason::Undecodable, "the source has no rows")) };
    fill(plan, &mut rows.found, row, one);
    if !plan.slots.contains(&Slot::REQUEST_ID) {
        let id = reader.id(one)?;
        one.slots[Slot::REQUEST_ID.ix()] = Scalar::Text(Cow::Owned(format!("{id}#{row}")));
    }
    Ok(())
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

    /// Decodes a record that counts. Allocates nothing for an ordinary one: give the event back with `recycle`.
    pub fn decode<'a>(&mut self, record: &Record<'a>) -> Result<Prediction<'a>, BadRecord> {
        self.events(record, |_| {})?.one()
    }

    /// Decodes a record. `known` hears the key as soon as it is known: whatever is kept under it can be asked for meanwhile.
    pub fn events<'a>(&mut self, record: &Record<'a>, known: impl FnOnce(RequestKey)) -> Result<Events<'a, Prediction<'a>>, BadRecord> {
        guarded(|| {
            let mut found = self.reader.take_spare();
            let events = match self.reader.read(record, &mut found) {
                Ok(Read::One) => self.event(record, &mut found, known).map(Events::One),
                Ok(Read::Skipped) => Ok(Events::Skipped),
                Ok(Read::Rows(count)) => Ok(Events::Rows(Rows { found: std::mem::take(&mut found), count })),
                Err(bad) => Err(bad),
            };
            self.reader.keep(found);
            events
        })
    }

    /// All events of a record, one after the other, each or why there is none; false if the record does not count.
    pub fn each<'a>(&mut self, record: &Record<'a>, mut sink: impl FnMut(&Self, Result<Prediction<'a>, BadRecord>)) -> bool {
        match self.events(record, |_| {}) {
            Ok(Events::One(event)) => sink(self, Ok(event)),
            Ok(Events::Skipped) => return false,
            Ok(Events::Rows(mut rows)) => {
                for row in 0..rows.count() {
                    let event = self.row(record, &mut rows, row);
                    sink(self, event);
                }
            }
            Err(bad) => sink(self, Err(bad)),
        }
        true
    }

    /// Makes an event of a row; each row once.
    pub fn row<'a>(&mut self, record: &Record<'a>, rows: &mut Rows<'a>, at: usize) -> Result<Prediction<'a>, BadRecord> {
        guarded(|| {
            let mut one = self.reader.take_spare();
            let event = row(&self.reader, rows, at, &mut one).and_then(|()| self.event(record, &mut one, |_| {}));
            self.reader.keep(one);
            event
        })
    }

    fn event<'a>(
        &mut self,
        record: &Record<'a>,
        found: &mut Found<'a>,
        known: impl FnOnce(RequestKey),
    ) -> Result<Prediction<'a>, BadRecord> {
        if let Some(pseudonyms) = &mut self.reader.pseudonyms {
            pseudonyms.features(&self.reader.plan, found);
        }
        let reader = &self.reader;
        let pseudonyms = reader.pseudonyms.as_ref();
        let request_id = hidden(pseudonyms, reader.id(found)?);
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
            let value = value.unwrap_or(Cow::Borrowed(""));
            dimensions.push(match pseudonyms {
                None => value,
                Some(pseudonyms) => pseudonyms.dimension(i, value),
            });
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

    /// Decodes a record that counts. Allocates nothing for an ordinary one.
    pub fn decode<'a>(&mut self, record: &Record<'a>) -> Result<Outcome<'a>, BadRecord> {
        self.events(record)?.one()
    }

    /// Decodes a record.
    pub fn events<'a>(&mut self, record: &Record<'a>) -> Result<Events<'a, Outcome<'a>>, BadRecord> {
        guarded(|| {
            let mut found = self.reader.take_spare();
            let events = match self.reader.read(record, &mut found) {
                Ok(Read::One) => self.event(record, &mut found).map(Events::One),
                Ok(Read::Skipped) => Ok(Events::Skipped),
                Ok(Read::Rows(count)) => Ok(Events::Rows(Rows { found: std::mem::take(&mut found), count })),
                Err(bad) => Err(bad),
            };
            self.reader.keep(found);
            events
        })
    }

    /// All events of a record, one after the other, each or why there is none; false if the record does not count.
    pub fn each<'a>(&mut self, record: &Record<'a>, mut sink: impl FnMut(&Self, Result<Outcome<'a>, BadRecord>)) -> bool {
        match self.events(record) {
            Ok(Events::One(event)) => sink(self, Ok(event)),
            Ok(Events::Skipped) => return false,
            Ok(Events::Rows(mut rows)) => {
                for row in 0..rows.count() {
                    let event = self.row(record, &mut rows, row);
                    sink(self, event);
                }
            }
            Err(bad) => sink(self, Err(bad)),
        }
        true
    }

    /// Makes an event of a row; each row once.
    pub fn row<'a>(&mut self, record: &Record<'a>, rows: &mut Rows<'a>, at: usize) -> Result<Outcome<'a>, BadRecord> {
        guarded(|| {
            let mut one = self.reader.take_spare();
            let event = row(&self.reader, rows, at, &mut one).and_then(|()| self.event(record, &mut one));
            self.reader.keep(one);
            event
        })
    }

    fn event<'a>(&self, record: &Record<'a>, found: &mut Found<'a>) -> Result<Outcome<'a>, BadRecord> {
        let reader = &self.reader;
        let request_id = hidden(reader.pseudonyms.as_ref(), reader.id(found)?);
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
