//! Message types: from texts of .proto files or compiled descriptors, and where a path leads in them.
//!
//! Guarantees: imports are taken from what was given and from the well-known types (`google/protobuf/*.proto`), never from a disk.

use crate::codec::shape::{Absent, Kind as Shown, Leads, Referred, Shape};
use crate::config::place::{self, Step};
use prost_reflect::{DescriptorPool, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The name under which a text is compiled: a registry gives it none, and nobody imports it.
const UNNAMED: &str = "this-schema.proto";
/// Braces, brackets and angles that may be open in a text at once: the compiler's stack grows with them.
const MAX_OPEN: usize = 200;
/// Characters of a fault that are shown.
const MAX_SHOWN: usize = 300;

/// The message types of a schema.
#[derive(Clone, Debug)]
pub struct Schema {
    pool: DescriptorPool,
    /// The file whose messages Confluent's indexes count.
    file: Option<FileDescriptor>,
}

/// One message type.
#[derive(Clone, Debug)]
pub struct Message(MessageDescriptor);

/// What a message type of Google's stands for.
pub(super) enum StandsFor {
    /// JSON: `Value`, `Struct`, `ListValue`.
    Json,
    /// What is in its only field: `DoubleValue` and its like.
    Scalar(Kind),
    /// `Timestamp`.
    Instant,
}

pub(super) fn stands_for(message: &MessageDescriptor) -> Option<StandsFor> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    match name {
        "Value" | "Struct" | "ListValue" => Some(StandsFor::Json),
        "Timestamp" => Some(StandsFor::Instant),
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" | "BoolValue" | "StringValue"
        | "BytesValue" => message.get_field(1).map(|field| StandsFor::Scalar(field.kind())),
        _ => None,
    }
}

/// The entries of a map; `None` if the field is none.
pub(super) fn entry(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => Some(entry),
        _ => None,
    }
}

/// Files by the names under which they are imported.
struct Given(Vec<Referred>);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|file| file.name == name) {
            Some(file) => File::from_source(name, &file.text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

impl Schema {
    /// Compiles the text of a .proto file; `others` are those that it imports, and that they import.
    pub fn of_text(text: &str, others: &[Referred]) -> Result<Schema, String> {
        let own = Referred { name: UNNAMED.to_string(), text: text.to_string() };
        let files: Vec<Referred> = [own].into_iter().chain(others.iter().cloned()).collect();
        if let Some(file) = files.iter().find(|file| nests_too_deep(&file.text)) {
            return Err(format!("{} nests more than {MAX_OPEN} deep", file.name));
        }
        let mut resolver = ChainFileResolver::new();
        resolver.add(GoogleFileResolver::new());
        resolver.add(Given(files));
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.open_file(UNNAMED).map_err(|e| format!("this is no .proto file that can be compiled: {}", shown(&e)))?;
        let pool = compiler.descriptor_pool();
        Ok(Schema { file: pool.get_file_by_name(UNNAMED), pool })
    }

    /// The names of the files that a .proto file imports, but for the well-known ones.
    pub fn imports(text: &str) -> Vec<String> {
        let file = if nests_too_deep(text) { None } else { File::from_source(UNNAMED, text).ok() };
        let Some(file) = file else { return Vec::new() }; // `of_text` says what is wrong
        let names = file.file_descriptor_proto().dependency.iter();
        names.filter(|name| GoogleFileResolver::new().open_file(name).is_err()).cloned().collect()
    }

    /// Reads a compiled descriptor set, as `protoc --include_imports --descriptor_set_out=FILE` writes it.
    pub fn of_set(set: &[u8]) -> Result<Schema, String> {
        let pool = DescriptorPool::decode(set)
            .map_err(|e| format!("this is no descriptor set ({e}); write it by protoc --include_imports --descriptor_set_out=FILE"))?;
        Ok(Schema { pool, file: None })
    }

    /// As a descriptor set.
    pub fn to_set(&self) -> Vec<u8> {
        self.pool.encode_to_vec()
    }

    /// A message type by its full name.
    pub fn message(&self, name: &str) -> Option<Message> {
        self.pool.get_message_by_name(name).map(Message)
    }

    /// The full names of all message types, but for those of maps' entries.
    pub fn names(&self) -> Vec<String> {
        let messages = self.pool.all_messages().filter(|message| !message.is_map_entry());
        messages.map(|message| message.full_name().to_string()).filter(|name| !name.starts_with("google.protobuf.")).collect()
    }

    /// A message type by Confluent's indexes: its place in the file, then its place in the message around it. Maps' entries don't count, as for
    /// Confluent's serialiser for Java.
    pub fn at(&self, indexes: &[usize]) -> Option<Message> {
        let (first, inner) = indexes.split_first()?;
        let mut here: MessageDescriptor = self.file.as_ref()?.messages().nth(*first)?;
        for index in inner {
            let inner = here.child_messages().filter(|message| !message.is_map_entry()).nth(*index)?;
            here = inner;
        }
        Some(Message(here))
    }
}

/// Comments and strings count like the rest: who would hide something in them knows how, and nobody else has so many.
fn nests_too_deep(text: &str) -> bool {
    let (mut open, mut angles) = (0usize, 0usize);
    text.bytes().any(|byte| {
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            b'<' => angles += 1,
            b'>' => angles = angles.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            angles = 0; // "less than" in a comment
        }
        open + angles > MAX_OPEN
    })
}

/// A fault on one line. Only `Debug` has the file, the line and the column.
fn shown(e: &protox::Error) -> String {
    format!("{e:?}").chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SHOWN).collect()
}

/// Where a path has come to.
enum Place {
    Message(MessageDescriptor),
    /// Its elements or values are what the field says.
    List(FieldDescriptor),
    Map(MessageDescriptor),
    Leaf(Kind),
    /// JSON: anything may be there.
    Any,
}

impl Place {
    fn of_field(field: &FieldDescriptor) -> Place {
        match entry(field) {
            Some(entry) => Place::Map(entry),
            None if field.is_list() => Place::List(field.clone()),
            None => Place::of_kind(field.kind()),
        }
    }

    fn of_kind(kind: Kind) -> Place {
        match kind {
            Kind::Message(message) if matches!(stands_for(&message), Some(StandsFor::Json)) => Place::Any,
            Kind::Message(message) => Place::Message(message),
            leaf => Place::Leaf(leaf),
        }
    }

    fn leads(&self) -> Leads {
        match self {
            Place::Message(message) => match stands_for(message) {
                Some(StandsFor::Scalar(kind)) => Place::Leaf(kind).leads(),
                Some(StandsFor::Instant) => Leads::to(Shown::Other, "a timestamp"),
                _ => Leads::to(Shown::Record(names(message)), message.name()),
            },
            Place::List(_) => Leads::to(Shown::List, "repeated"),
            Place::Map(_) => Leads::to(Shown::Map, "map"),
            Place::Any => Leads::to(Shown::Any, "anything"),
            Place::Leaf(Kind::String | Kind::Bytes) => Leads::to(Shown::Text, "text"),
            Place::Leaf(kind @ (Kind::Bool | Kind::Enum(_))) => Leads::to(Shown::Other, &format!("{kind:?}").to_lowercase()),
            Place::Leaf(kind) => Leads::to(Shown::Number, &format!("{kind:?}").to_lowercase()),
        }
    }
}

fn names(message: &MessageDescriptor) -> Vec<String> {
    message.fields().filter(|field| !field.is_group()).map(|field| field.name().to_string()).collect()
}

impl Message {
    pub(super) fn descriptor(&self) -> &MessageDescriptor {
        &self.0
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        self.0.full_name()
    }
}

impl Shape for Message {
    fn find(&self, path: &[Step]) -> Result<Vec<Leads>, Absent> {
        let mut here = Place::Message(self.0.clone());
        let path = place::outside(path);
        for (i, step) in path.iter().enumerate() {
            if i > 0 && matches!(path[i - 1], Step::Row(2..)) {
                continue; // one of the neighbouring elements of a row: they are all of a kind
            }
            let next = match (&here, step) {
                (Place::Any, _) => Some(Place::Any),
                (Place::Message(message), Step::Name(name)) => {
                    let field = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
                    field.filter(|field| !field.is_group()).map(|field| Place::of_field(&field))
                }
                (Place::Map(entry), Step::Name(_)) => Some(Place::of_field(&entry.map_entry_value_field())),
                (_, Step::Name(_)) => None,
                (Place::List(field), _) => Some(Place::of_kind(field.kind())),
                _ => None,
            };
            here = next.ok_or_else(|| {
                let known = if let Place::Message(message) = &here { names(message) } else { Vec::new() };
                Absent { name: place::shown(std::slice::from_ref(step)), known }
            })?;
        }
        Ok(vec![here.leads()])
    }
}
