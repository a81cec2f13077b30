//! From records as they lie in a topic to samples: how their values are written, what they are, and what their schemas say.
//!
//! Guarantees: values are read as `run` reads them, by the same decoder; that most of them can't be is told with what to do about it.
//! Never: guesses what a value is good for (`roles` does), asks anybody but `Schemas`. Comes from: `cli::infer`. Goes to: `places`.

use super::known::Told;
use super::places::{Places, Sample};
use crate::codec::avro::{Parsed, Whole};
use crate::codec::event::MAX_VALUE;
use crate::codec::framing::{Framing, SchemaId, unframe};
use crate::codec::writers::{Answer, SchemaKind, Schemas};
use crate::config::settings::Format;
use crate::engine::types::{Offset, Partition};
use crate::log::{Record, TopicIx};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Values that are tried to find out whether something stands before them.
const TRIED: usize = 50;

/// What to do about Protobuf.
const UNREAD: &str = "which `driftline run` reads, but for which no mapping is proposed: write the fields yourself (docs/configuration.md), \
                      then `driftline check --connect`";

/// A record as it was read.
pub struct Stored {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Kafka's timestamp in ms.
    pub timestamp: i64,
}

impl Stored {
    /// Of a record that only lives as long as it is looked at.
    pub fn of(record: &Record<'_>) -> Stored {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = (0..record.headers.len()).filter_map(|i| record.headers.get(i)).map(|(name, value)| (name.to_string(), owned(value)));
        Stored { key: owned(record.key), value: owned(record.value), headers: headers.collect(), timestamp: record.timestamp }
    }

    /// As decoders want it.
    pub fn record(&self) -> Record<'_> {
        Record {
            topic: TopicIx(0),
            partition: Partition(0),
            offset: Offset(0),
            timestamp: self.timestamp,
            append_time: false,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

/// A schema file that somebody named.
#[derive(Clone, Debug)]
pub struct SchemaFile {
    /// Its path as the configuration will have it.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// True if it was named for this input and no other.
    pub own: bool,
}

/// What there is to read an input's values with.
pub struct Means<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The format that a configuration names; `Json` is what it is without a word, too.
    pub format: &'m Format,
    /// A schema file.
    pub file: Option<&'m SchemaFile>,
    /// A registry.
    pub schemas: Option<&'m dyn Schemas>,
}

/// What was read.
pub struct Taken {
    /// How values are written.
    pub format: Format,
    /// Schemas by their ids, and how many records were written with each.
    pub schemas: Vec<(String, usize)>,
    /// The values.
    pub samples: Vec<Sample>,
    /// What is in them.
    pub places: Places,
}

/// Records that were written in one way.
struct Group {
    name: String,
    /// Their schema; without one they are JSON.
    avro: Option<Parsed>,
    members: Vec<usize>,
}

/// Reads the records of a topic. An error says what they are instead, and what to do.
pub fn take(stored: &[Stored], means: &Means<'_>) -> Result<Taken, String> {
    let format = format(stored, means)?;
    let mut faults = BTreeMap::new();
    let groups = groups(stored, &format, means, &mut faults)?;
    let mut values: Vec<Option<(usize, Value)>> = stored.iter().map(|_| None).collect();
    let mut told = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let types = group.avro.as_ref().map(Parsed::types);
        let mut whole = match types.as_ref().map(Whole::of).transpose() {
            Ok(whole) => whole,
            Err(why) => {
                *faults.entry(format!("{} can't be used: {why}", group.name)).or_default() += group.members.len();
                continue;
            }
        };
        let mut read = 0;
        for at in &group.members {
            match body(&stored[*at], &format).and_then(|(_, bytes)| value(whole.as_mut(), bytes)) {
                Ok(value) => {
                    read += 1;
                    values[*at] = Some((number, value));
                }
                Err(why) => *faults.entry(why).or_default() += 1,
            }
        }
        told.extend(types.filter(|_| read > 0).map(|types| Told { number, name: group.name.clone(), records: read, types }));
    }
    let samples: Vec<Sample> = stored.iter().zip(values).filter_map(|(s, v)| v.map(|(schema, value)| sample(s, schema, value))).collect();
    if samples.len() * 2 < stored.len() {
        let most = faults.into_iter().rev().max_by_key(|f| f.1).map_or(String::new(), |f| f.0);
        let n = stored.len();
        return Err(format!("{} of the newest {n} records of {} can't be read; most often: {most}", n - samples.len(), means.topic));
    }
    let mut places = Places::of(&samples);
    places.learn(&told, samples.len());
    let by_id = matches!(format, Format::Registry { .. });
    let schemas = groups.iter().filter(|_| by_id).map(|g| (g.name.clone(), g.members.len())).collect();
    Ok(Taken { format, schemas, samples, places })
}

/// The schema's id, if there is one, and the bytes after it.
fn body<'v>(stored: &'v Stored, format: &Format) -> Result<(Option<SchemaId>, &'v [u8]), String> {
    let value = stored.value.as_deref().ok_or("the value is null")?;
    match format {
        _ if value.len() > MAX_VALUE => Err(format!("the value has more than {MAX_VALUE} bytes")),
        Format::Registry { .. } | Format::Avro { framing: Framing::Confluent, .. } | Format::Protobuf { confluent: true, .. } => {
            unframe(value).map(|(id, rest)| (Some(id), rest))
        }
        Format::Avro { framing: Framing::Bare, .. } => Ok((None, value)),
        Format::Avro { schema, framing, .. } => Ok((None, framing.open(value, Parsed::of(schema, &[])?.fingerprint())?)),
        Format::Json | Format::Protobuf { .. } => Ok((None, value)),
    }
}

fn value(whole: Option<&mut Whole<'_>>, bytes: &[u8]) -> Result<Value, String> {
    match whole {
        Some(whole) => whole.read(bytes).map_err(|stop| stop.detail),
        None => object(bytes).ok_or_else(|| "the value is no JSON object".to_string()),
    }
}

fn object(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().filter(Value::is_object)
}

fn sample(stored: &Stored, schema: usize, value: Value) -> Sample {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().and_then(|b| String::from_utf8(b.clone()).ok());
    let headers = stored.headers.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    Sample { key: text(&stored.key), headers: headers.collect(), timestamp: stored.timestamp, schema, value }
}

/// How values are written: as the configuration says, or else as most of them look.
fn format(stored: &[Stored], means: &Means<'_>) -> Result<Format, String> {
    let values = || stored.iter().filter_map(|s| s.value.as_deref());
    let most = |n: usize| n * 2 >= stored.len();
    if *means.format != Format::Json {
        return Ok(means.format.clone());
    }
    if most(values().filter(|v| object(v).is_some()).count()) {
        return Ok(Format::Json);
    }
    let framed = most(values().filter(|v| unframe(v).is_ok()).count());
    let topic = means.topic;
    match (means.file, means.schemas) {
        (Some(file), schemas) if file.own || schemas.is_none() || !framed => by_file(file, &values().take(TRIED).collect::<Vec<_>>()),
        (_, Some(_)) if framed => Ok(Format::Registry { may_lack: Vec::new() }),
        (_, None) if framed => {
            let id = values().find_map(|v| unframe(v).ok()).map_or(0, |(id, _)| id.0);
            Err(format!(
                "values of {topic} begin with a schema id ({id}), as a registry gives them: say where it is with --registry URL (if it wants to know who asks: -c FILE with `registry`), or read all of them by one schema with --schema FILE"
            ))
        }
        _ => Err(format!(
            "values of {topic} are neither JSON objects nor do they begin with a schema id. If they are Avro: --schema FILE with the schema that they were written with. If they are Protobuf: no mapping is proposed for it; write format and fields yourself (docs/configuration.md)"
        )),
    }
}

/// Avro by a file; what stands before values is found out.
fn by_file(file: &SchemaFile, values: &[&[u8]]) -> Result<Format, String> {
    let wrong = |why: String| format!("{}: {why}", file.path.display());
    let parsed = Parsed::of(&file.text, &[]).map_err(wrong)?;
    let types = parsed.types();
    let mut whole = Whole::of(&types).map_err(wrong)?;
    let mut fits = |bytes: &[u8]| whole.read(bytes).is_ok();
    let fingerprint = parsed.fingerprint();
    let mut fitting = |framing: Framing| values.iter().filter(|v| framing.open(v, fingerprint).is_ok_and(&mut fits)).count();
    let framings = Framing::ALL.into_iter().rev(); // of equally good ones `max_by_key` takes the last: bare
    let framing = framings.max_by_key(|framing| fitting(*framing)).unwrap_or_default();
    Ok(Format::Avro { path: file.path.clone(), schema: file.text.clone(), framing })
}

/// Records by how they were written. What nobody can read is counted among the faults.
fn groups(stored: &[Stored], format: &Format, means: &Means<'_>, faults: &mut BTreeMap<String, usize>) -> Result<Vec<Group>, String> {
    let all = || (0..stored.len()).collect();
    match format {
        Format::Json => return Ok(vec![Group { name: String::new(), avro: None, members: all() }]),
        Format::Avro { schema, path, .. } => {
            let parsed = Parsed::of(schema, &[]).map_err(|why| format!("{}: {why}", path.display()))?;
            return Ok(vec![Group { name: path.display().to_string(), avro: Some(parsed), members: all() }]);
        }
        Format::Protobuf { .. } => return Err(format!("the values of {} are Protobuf, {UNREAD}", means.topic)),
        Format::Registry { .. } => {}
    }
    let mut by_id: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, stored) in stored.iter().enumerate() {
        match body(stored, format) {
            Ok((Some(id), _)) => by_id.entry(id.0).or_default().push(at),
            Ok((None, _)) => {}
            Err(why) => *faults.entry(why).or_default() += 1,
        }
    }
    let mut groups = Vec::new();
    for (id, members) in by_id {
        let count = members.len();
        match group(SchemaId(id), members, means)? {
            Ok(group) => groups.push(group),
            Err(why) => *faults.entry(why).or_default() += count,
        }
    }
    Ok(groups)
}

/// Records by the id of their schema; why they can't be read. The outer error: nobody knows.
fn group(id: SchemaId, members: Vec<usize>, means: &Means<'_>) -> Result<Result<Group, String>, String> {
    let schemas = means.schemas.ok_or("the format is registry, and there is no registry: say where it is with --registry URL")?;
    let name = format!("schema id {}", id.0);
    let written = match schemas.answer(id) {
        Answer::Is(written) => written,
        Answer::Absent(why) => return Ok(Err(format!("{name} is not to be had: {why}"))),
        Answer::Unknown => return Err(format!("nobody says what {name} is")),
    };
    let name = written.subject.as_ref().map_or(name.clone(), |subject| format!("{name} of {subject}"));
    let avro = match &written.kind {
        SchemaKind::Json => Ok(None),
        SchemaKind::Avro => Parsed::of(&written.text, &written.references).map(Some).map_err(|why| format!("{name} can't be used: {why}")),
        SchemaKind::Protobuf => Err(format!("{name} is of type PROTOBUF, {UNREAD}")),
        SchemaKind::Other(kind) => Err(format!(
            "{name} is of type {kind}, which can't be read, neither here nor by `driftline run`: let the producer write Avro, Protobuf or JSON"
        )),
    };
    Ok(avro.map(|avro| Group { name, avro, members }))
}
