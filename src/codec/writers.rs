//! Writers' schemas by their ids: asked for in the background, compiled once, found again by one comparison.
//!
//! Guarantees: how a value is read is a function of its bytes and of what the registry has for the id, which never changes; while nobody
//! knows that yet the record waits. A schema in which a mapped field does not exist is the record's fault, once and for all of its id.
//! Never: does I/O, waits, or looks at a clock. Comes from: `registry` (through `Schemas`). Goes to: `decoder`.

use super::avro::{Avro, Parsed};
use super::event::{BadRecord, Reason};
use super::framing::SchemaId;
use super::mapping::{Mapping, Slot, SlotName};
use super::plan::Plan;
use super::protobuf::{Protobuf, Schema, indexes};
use super::scalar::Scalar;
use super::shape::{Referred, Shape};
use crate::config::nearest::advice;
use crate::config::place;
use hashbrown::HashMap;
use std::sync::Arc;

/// Compiled schemas that a decoder keeps. One more, and all are compiled anew when they are needed: a producer that registers a schema
/// for every record must not fill the memory.
pub const MAX_WRITERS: usize = 1_024;

/// Messages of one Protobuf schema that a decoder keeps compiled.
const MAX_MESSAGES: usize = 64;

/// A schema as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What kind of schema it is.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// All schemas that it refers to, directly or not.
    pub references: Vec<Referred>,
    /// A subject it is registered under, if the registry said so.
    pub subject: Option<String>,
}

/// The kind of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro.
    Avro,
    /// JSON Schema: values are JSON.
    Json,
    /// Protobuf: indexes stand before each value that say which message of the schema it is.
    Protobuf,
    /// Another one, as the registry calls it.
    Other(String),
}

/// What is known of a schema's id.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its schema.
    Is(Arc<Written>),
    /// It can't be had, and that is no outage: why, as the end of a sentence.
    Absent(String),
    /// Nobody knows yet; it is asked for.
    Unknown,
}

/// Where schemas come from.
pub trait Schemas: Send + Sync {
    /// What is known of an id. In a service this never waits: `Unknown` ids are asked for in the background.
    fn answer(&self, id: SchemaId) -> Answer;
    /// Changes when an id that was `Unknown` is so no longer.
    fn news(&self) -> u64;
    /// True while questions fail that are asked again.
    fn is_away(&self) -> bool;
}

/// How the values of one writer are read.
#[derive(Debug)]
pub(super) enum Writer {
    Json,
    Avro(Avro),
    Protobuf(Protobuf),
    /// Its values lack what `when` wants: they don't count.
    Unwanted,
}

/// The writers of one topic.
pub(super) struct Writers {
    schemas: Arc<dyn Schemas>,
    /// Names under `fields` that a schema may lack.
    may_lack: Vec<String>,
    known: Vec<(SchemaId, Known)>,
    by_id: HashMap<SchemaId, usize>,
    /// The one that was used last.
    at: usize,
    /// The last id that had no schema: it may have one later.
    absent: Option<(SchemaId, BadRecord)>,
}

impl Writers {
    pub(super) fn new(schemas: Arc<dyn Schemas>, may_lack: &[String]) -> Writers {
        Writers { schemas, may_lack: may_lack.to_vec(), known: Vec::new(), by_id: HashMap::new(), at: 0, absent: None }
    }

    /// Whether it is known how to read values of this id, or why they can't be read.
    #[inline]
    pub(super) fn ready(&mut self, id: SchemaId, plan: &mut Plan, mapping: &Mapping) -> bool {
        match self.known.get(self.at) {
            Some((last, _)) if *last == id => true,
            _ => self.look_up(id, plan, mapping),
        }
    }

    fn look_up(&mut self, id: SchemaId, plan: &mut Plan, mapping: &Mapping) -> bool {
        if let Some(at) = self.by_id.get(&id) {
            self.at = *at;
            return true;
        }
        match self.schemas.answer(id) {
            Answer::Unknown => return false,
            Answer::Absent(why) => {
                let detail = format!(
                    "schema id {} is not to be had: {why}. Register the schema, or see whether the record came from a producer with another registry",
                    id.0
                );
                self.absent = Some((id, BadRecord { reason: Reason::Undecodable, detail }));
            }
            Answer::Is(written) => {
                if self.known.len() >= MAX_WRITERS {
                    self.known.clear();
                    self.by_id.clear();
                }
                let name = name(id, &written);
                let known = super::reader::guarded(|| {
                    if written.kind == SchemaKind::Protobuf {
                        let schema = Schema::of_text(&written.text, &written.references).map_err(|why| unusable(&name, &why))?;
                        return Ok(Known::Messages(Messages { name, schema, compiled: Vec::new(), at: 0 }));
                    }
                    compile(&name, &written, plan, mapping, &self.may_lack).map(|writer| Known::One(Ok(writer)))
                });
                self.at = self.known.len();
                self.by_id.insert(id, self.at);
                self.known.push((id, known.unwrap_or_else(|bad| Known::One(Err(bad)))));
            }
        }
        true
    }

    /// How a value of this id is read, which then begins where `value` is set to; `ready` has been asked before.
    #[inline]
    pub(super) fn writer(&mut self, id: SchemaId, value: &mut &[u8], plan: &mut Plan, mapping: &Mapping) -> Result<&Writer, BadRecord> {
        match (self.known.get_mut(self.at), &self.absent) {
            (Some((last, Known::One(writer))), _) if *last == id => writer.as_ref().map_err(Clone::clone),
            (Some((last, Known::Messages(messages))), _) if *last == id => messages.writer(value, plan, mapping, &self.may_lack),
            (_, Some((last, why))) if *last == id => Err(why.clone()),
            _ => Err(BadRecord { reason: Reason::Undecodable, detail: format!("schema id {} was not asked for", id.0) }),
        }
    }
}

/// What is known of an id that has a schema.
enum Known {
    /// All values are read alike.
    One(Result<Writer, BadRecord>),
    /// It depends on the indexes before the value.
    Messages(Messages),
}

/// A Protobuf schema, and the messages of it that came.
struct Messages {
    name: String,
    schema: Schema,
    compiled: Vec<Compiled>,
    /// The one that came last.
    at: usize,
}

/// A message of a schema.
struct Compiled {
    /// Its indexes.
    path: Box<[usize]>,
    writer: Result<Writer, BadRecord>,
}

impl Messages {
    fn writer(&mut self, value: &mut &[u8], plan: &mut Plan, mapping: &Mapping, may_lack: &[String]) -> Result<&Writer, BadRecord> {
        let wrong = |why| BadRecord { reason: Reason::Undecodable, detail: format!("{}: {why}", self.name) };
        let is = |known: &Compiled| starts_with(value, &known.path);
        if self.compiled.get(self.at).is_none_or(|last| !is(last)) {
            let mut path = Vec::new();
            indexes(value, |index| path.push(index)).map_err(wrong)?;
            self.at = match self.compiled.iter().position(is) {
                Some(at) => at,
                None => {
                    let message =
                        self.schema.at(&path).ok_or_else(|| wrong(format!("it has no message {path:?}, which stands before the value")))?;
                    if self.compiled.len() >= MAX_MESSAGES {
                        self.compiled.clear();
                    }
                    let name = format!("message {} of {}", message.name(), self.name);
                    let writer = super::reader::guarded(|| match of_use(&name, &message, mapping, may_lack)? {
                        true => Protobuf::compile(&message, plan).map(Writer::Protobuf).map_err(|why| unusable(&name, &why)),
                        false => Ok(Writer::Unwanted),
                    });
                    self.compiled.push(Compiled { path: path.into(), writer });
                    self.compiled.len() - 1
                }
            };
        }
        *value = indexes(value, |_| {}).map_err(wrong)?;
        self.compiled[self.at].writer.as_ref().map_err(Clone::clone)
    }
}

/// Whether these indexes, and no others, stand before a value.
fn starts_with(value: &[u8], path: &[usize]) -> bool {
    let (mut count, mut same) = (0, true);
    let read = indexes(value, |index| {
        same &= path.get(count) == Some(&index);
        count += 1;
    });
    read.is_ok() && same && count == path.len()
}

fn name(id: SchemaId, written: &Written) -> String {
    match &written.subject {
        Some(subject) => format!("schema id {} (subject \"{subject}\")", id.0),
        None => format!("schema id {}", id.0),
    }
}

fn unusable(name: &str, why: &str) -> BadRecord {
    BadRecord { reason: Reason::Undecodable, detail: format!("{name} can't be used: {why}; correct the producer's schema") }
}

fn compile(name: &str, written: &Written, plan: &mut Plan, mapping: &Mapping, may_lack: &[String]) -> Result<Writer, BadRecord> {
    match &written.kind {
        SchemaKind::Json => Ok(Writer::Json),
        SchemaKind::Other(kind) => {
            let detail = format!("{name} is of type {kind}, which is not supported: let the producer write Avro, Protobuf or JSON");
            Err(BadRecord { reason: Reason::Undecodable, detail })
        }
        SchemaKind::Protobuf => Err(unusable(name, "its messages are compiled one by one")),
        SchemaKind::Avro => {
            let parsed = Parsed::of(&written.text, &written.references).map_err(|why| unusable(name, &why))?;
            let types = parsed.types();
            match of_use(name, &types, mapping, may_lack)? {
                true => Avro::of(&types, plan).map(Writer::Avro).map_err(|why| unusable(name, &why)),
                false => Ok(Writer::Unwanted),
            }
        }
    }
}

/// False if a schema lacks what `when` wants to be there; an error if it lacks what is mapped.
fn of_use(name: &str, types: &dyn Shape, mapping: &Mapping, may_lack: &[String]) -> Result<bool, BadRecord> {
    if mapping.conditions.iter().any(|(slot, wanted)| !wanted.holds(&Scalar::Absent) && !has(types, mapping, *slot)) {
        return Ok(false);
    }
    match lacks(name, types, mapping, may_lack) {
        Some(detail) => Err(BadRecord { reason: Reason::MissingField, detail }),
        None => Ok(true),
    }
}

fn has(types: &dyn Shape, mapping: &Mapping, slot: Slot) -> bool {
    mapping.paths.iter().any(|(s, path)| *s == slot && types.find(path).is_ok())
}

/// The first mapped field that the schema does not have, in words.
fn lacks(name: &str, types: &dyn Shape, mapping: &Mapping, may_lack: &[String]) -> Option<String> {
    let remedy = |setting: &str, hint: String| {
        let hint = if hint.is_empty() { hint } else { format!(" ({hint})") };
        format!("{hint}; correct fields.{setting}, or let the producer's schema have it")
    };
    for (slot, path) in &mapping.paths {
        let SlotName { place, setting, .. } = &mapping.names[slot.ix()];
        if let Err(absent) = types.find(path)
            && !may_lack.contains(setting)
            && !mapping.conditions.iter().any(|(condition, _)| condition == slot)
        {
            let hint = advice(&absent.name, absent.known.iter().map(String::as_str));
            return Some(format!("{name} has no {place}{}", remedy(setting, hint)));
        }
    }
    if let Some(explode) = &mapping.explode
        && let Err(absent) = types.find(&explode.list)
    {
        let hint = advice(&absent.name, absent.known.iter().map(String::as_str));
        return Some(format!("{name} has no field \"{}\"{}", place::shown(&explode.list), remedy("explode", hint)));
    }
    let features = mapping.features.as_ref()?;
    let path = place::shown(&features.path);
    match types.find(&features.path) {
        Err(_) if may_lack.iter().any(|setting| setting == "features") => None,
        Err(absent) => {
            let hint = advice(&absent.name, absent.known.iter().map(String::as_str));
            Some(format!("{name} has no field \"{path}\"{}", remedy("features", hint)))
        }
        Ok(_) if place::outside(&features.path).len() < features.path.len() => None, // in a text anything may be
        Ok(found) if found.iter().any(|here| here.kind.has_entries()) => None,
        Ok(_) => {
            Some(format!("in {name} field \"{path}\" is neither a record nor a map nor an array{}", remedy("features", String::new())))
        }
    }
}
