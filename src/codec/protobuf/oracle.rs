//! The oracle of our Protobuf reader: prost-reflect, with schemas and values drawn from random bytes. For tests and fuzzing only.
#![allow(missing_docs)]

use super::wire::{Input, Wire};
use super::{MessageType, Protobuf, Schema, Scratch};
use crate::codec::avro::oracle::Dice;
use crate::codec::oracle::{Extract, Tree, mapping, run};
use crate::codec::plan::{Plan, Stop};
use crate::config::place::Step;
use crate::config::settings::Features;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use std::collections::BTreeMap;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const KEYS: [&str; 5] = ["string", "int32", "bool", "uint64", "sfixed64"];
const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64", "bool",
    "string", "bytes",
];
const GOOGLES: [&str; 13] = [
    "Timestamp",
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "UInt32Value",
    "BoolValue",
    "StringValue",
    "BytesValue",
    "Struct",
    "Value",
    "ListValue",
];

/// A .proto file whose first message is `R`.
pub struct Drawn<'d, 'b> {
    dice: &'d mut Dice<'b>,
    messages: Vec<String>,
    proto2: bool,
}

impl<'d, 'b> Drawn<'d, 'b> {
    pub fn schema(dice: &'d mut Dice<'b>) -> String {
        let proto2 = dice.roll(5) == 0;
        let mut drawn = Drawn { dice, messages: vec!["R".to_string()], proto2 };
        let body = drawn.body(3);
        let syntax = if proto2 { "proto2" } else { "proto3" };
        format!(
            "syntax = \"{syntax}\";\nimport \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\"; import \"google/protobuf/struct.proto\";\n\
             message R {{ {body} }}\nenum E {{ ZERO = 0; RED = 1; GREEN = 7; BLUE = -3; }}\n"
        )
    }

    /// The fields of a message, and the messages that they need.
    fn body(&mut self, depth: usize) -> String {
        let (count, shift, wide) = (self.dice.roll(7), self.dice.roll(6), self.dice.roll(2) == 0);
        let (mut body, mut inner, mut oneof) = (String::new(), String::new(), None);
        for (i, name) in NAMES.iter().enumerate().take(count) {
            let mut number = 1 + (i + shift) % 6;
            if wide && number > 3 {
                number = number * 40 + 5;
            }
            let ty = self.ty(depth, &mut inner);
            let how = self.dice.roll(if self.proto2 { 7 } else { 8 });
            if oneof.is_some() && how > 2 {
                body.push_str(" }");
                oneof = None;
            }
            match how {
                0..=2 => {
                    if oneof.is_none() {
                        body.push_str(&format!(" oneof o{i} {{"));
                        oneof = Some(());
                    }
                    body.push_str(&format!(" {ty} {name} = {number};"));
                }
                3 => body.push_str(&format!(" repeated {ty} {name} = {number};")),
                4 if !ty.contains("Value") && SCALARS[..13].contains(&ty.as_str()) => {
                    body.push_str(&format!(" repeated {ty} {name} = {number} [packed = {}];", self.dice.roll(2) == 0));
                }
                4 | 5 => body.push_str(&format!(" map<{}, {ty}> {name} = {number};", KEYS[self.dice.roll(5)])),
                6 => body.push_str(&format!(" optional {ty} {name} = {number};")),
                _ => body.push_str(&format!(" {ty} {name} = {number};")),
            }
        }
        if oneof.is_some() {
            body.push_str(" }");
        }
        inner + &body
    }

    fn ty(&mut self, depth: usize, inner: &mut String) -> String {
        match self.dice.roll(if depth == 0 { 26 } else { 36 }) {
            n @ 0..=14 => SCALARS[n].to_string(),
            15 => "E".to_string(),
            16..=23 => format!("google.protobuf.{}", GOOGLES[self.dice.roll(13)]),
            24 | 25 => "R".to_string(),
            26..=28 => self.messages[self.dice.roll(self.messages.len())].clone(),
            _ => {
                let name = format!("M{}", self.messages.len());
                self.messages.push("R".to_string()); // the number is taken; only whoever is inside may use the name
                let body = self.body(depth - 1);
                inner.push_str(&format!(" message {name} {{ {body} }}"));
                name
            }
        }
    }
}

/// A message of a type.
pub fn message(dice: &mut Dice<'_>, ty: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(ty.clone());
    let full = ty.full_name();
    for field in ty.fields() {
        if dice.roll(4) == 0 || depth > 6 {
            continue;
        }
        let value = match (full, field.name()) {
            ("google.protobuf.Timestamp", "seconds") => Value::I64(dice.long() >> 24),
            ("google.protobuf.Timestamp", _) => Value::I32(dice.roll(60_000) as i32 * 16_666),
            _ if field.is_map() => {
                let Kind::Message(entry) = field.kind() else { unreachable!("maps are messages") };
                let n = dice.roll(4);
                let one = |dice: &mut Dice<'_>| {
                    (key(dice, &entry.map_entry_key_field().kind()), single(dice, &entry.map_entry_value_field().kind(), depth))
                };
                Value::Map((0..n).map(|_| one(dice)).collect())
            }
            _ if field.is_list() => Value::List((0..dice.roll(4)).map(|_| single(dice, &field.kind(), depth)).collect()),
            _ => single(dice, &field.kind(), depth),
        };
        message.set_field(&field, value);
    }
    message
}

fn key(dice: &mut Dice<'_>, kind: &Kind) -> MapKey {
    match kind {
        Kind::String => MapKey::String(["a", "b", "c", "dd", "ü"][dice.roll(5)].to_string()),
        Kind::Bool => MapKey::Bool(dice.roll(2) == 0),
        Kind::Int32 => MapKey::I32(dice.long() as i32),
        Kind::Uint64 => MapKey::U64(dice.long() as u64),
        _ => MapKey::I64(dice.long()),
    }
}

fn single(dice: &mut Dice<'_>, kind: &Kind, depth: usize) -> Value {
    match kind {
        Kind::Double => Value::F64(f64::from_bits(dice.long() as u64)),
        Kind::Float => Value::F32(f32::from_bits(dice.long() as u32)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(dice.long() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(dice.long()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(dice.long() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(dice.long() as u64),
        Kind::Bool => Value::Bool(dice.roll(2) == 0),
        Kind::String => Value::String(dice.text()),
        Kind::Bytes => Value::Bytes(dice.text().into_bytes().into()),
        Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue" => Value::EnumNumber(0),
        Kind::Enum(_) => Value::EnumNumber([0, 1, 7, -3, 5][dice.roll(5)]),
        Kind::Message(ty) => Value::Message(message(dice, ty, depth + 1)),
    }
}

pub fn tree(message: &DynamicMessage) -> Tree {
    let ty = message.descriptor();
    let of = |name: &str| message.get_field_by_name(name).map(|value| value.into_owned());
    match ty.full_name().strip_prefix("google.protobuf.") {
        Some("Timestamp") => match (of("seconds"), of("nanos")) {
            (Some(Value::I64(seconds)), Some(Value::I32(nanos))) => {
                let micros = seconds.checked_mul(1_000_000).and_then(|us| us.checked_add(i64::from(nanos).div_euclid(1_000)));
                micros.map_or(Tree::Other, |us| Tree::Number(us as f64))
            }
            other => panic!("{other:?}"),
        },
        Some("Struct") => field(message, &ty.get_field(1).unwrap()),
        Some("ListValue") => field(message, &ty.get_field(1).unwrap()),
        Some("Value") => {
            let set = ty.fields().find(|f| message.has_field(f));
            set.map_or(Tree::Null, |f| field(message, &f))
        }
        Some(name) if name.ends_with("Value") => field(message, &ty.get_field(1).unwrap()),
        _ => {
            let there = ty.fields().filter(|f| !f.supports_presence() || message.has_field(f));
            Tree::Object(there.map(|f| (f.name().to_string(), field(message, &f))).collect())
        }
    }
}

fn field(message: &DynamicMessage, field: &FieldDescriptor) -> Tree {
    let kind = field.kind();
    match message.get_field(field).as_ref() {
        Value::List(items) => Tree::List(items.iter().map(|item| one(item, &kind)).collect()),
        Value::Map(entries) => {
            let Kind::Message(entry) = &kind else { unreachable!("maps are messages") };
            let kind = entry.map_entry_value_field().kind();
            let key = |key: &MapKey| match key {
                MapKey::Bool(b) => b.to_string(),
                MapKey::I32(i) => i.to_string(),
                MapKey::I64(i) => i.to_string(),
                MapKey::U32(i) => i.to_string(),
                MapKey::U64(i) => i.to_string(),
                MapKey::String(text) => text.clone(),
            };
            Tree::Object(entries.iter().map(|(k, v)| (key(k), one(v, &kind))).collect::<BTreeMap<_, _>>())
        }
        value => one(value, &kind),
    }
}

fn one(value: &Value, kind: &Kind) -> Tree {
    match (value, kind) {
        (Value::EnumNumber(_), Kind::Enum(kind)) if kind.full_name() == "google.protobuf.NullValue" => Tree::Null,
        (Value::EnumNumber(number), Kind::Enum(kind)) => {
            kind.get_value(*number).map_or(Tree::Number(f64::from(*number)), |value| Tree::Text(value.name().to_string()))
        }
        (Value::Bool(b), _) => Tree::Bool(*b),
        (Value::I32(i), _) => Tree::Number(f64::from(*i)),
        (Value::I64(i), _) => Tree::Number(*i as f64),
        (Value::U32(i), _) => Tree::Number(f64::from(*i)),
        (Value::U64(i), _) => Tree::Number(*i as f64),
        (Value::F32(x), _) => Tree::Number(f64::from(*x)),
        (Value::F64(x), _) => Tree::Number(*x),
        (Value::String(text), _) => Tree::Text(text.clone()),
        (Value::Bytes(_), _) => Tree::Other,
        (Value::Message(message), _) => tree(message),
        other => panic!("{other:?}"),
    }
}

pub fn ours(plan: &mut Plan, protobuf: &Protobuf, bytes: &[u8]) -> Result<Extract, Stop> {
    let scratch = std::cell::RefCell::new(Scratch::default());
    run(plan, |sink| protobuf.read(bytes, sink, &mut scratch.borrow_mut()))
}

/// The first message of a schema that was drawn.
pub fn root(text: &str) -> MessageType {
    Schema::of_text(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}")).message("R").unwrap()
}

/// False if a map is written as something else than bytes with their length: prost-reflect 0.16 reads it all the same, as if it were.
fn maps_are_sized(ty: &MessageDescriptor, bytes: &[u8]) -> bool {
    let mut input = Input { bytes, at: 0, end: bytes.len() };
    while !input.ended() {
        let Ok((number, wire)) = input.tag() else { return true };
        let field = ty.get_field(number);
        if field.as_ref().is_some_and(|field| field.is_map() && wire != Wire::Sized) {
            return false;
        }
        let Ok(part) = input.pass(number, wire) else { return true };
        if let (Some(Kind::Message(inner)), Wire::Sized) = (field.map(|field| field.kind()), wire)
            && !maps_are_sized(&inner, &bytes[part.from..part.to])
        {
            return false;
        }
    }
    true
}

/// What prost-reflect accepts, we accept, and find the same in it. What it refuses we may accept, if the damage is in what nobody wants.
pub fn agree(text: &str, bytes: &[u8], paths: &[Vec<Step>], features: Option<Features>) {
    let ty = root(text);
    // the first slot is the request id's, where large numbers are text
    let paths: Vec<Vec<Step>> = [vec![Step::Name("no such field".to_string())]].into_iter().chain(paths.iter().cloned()).collect();
    let mapping = mapping(&paths, features);
    let mut plan = Plan::new(&mapping);
    let protobuf = Protobuf::compile(&ty, &mut plan).unwrap();
    let found = ours(&mut plan, &protobuf, bytes);
    if let Ok(message) = DynamicMessage::decode(ty.descriptor().clone(), bytes)
        && maps_are_sized(ty.descriptor(), bytes)
        && !found.as_ref().is_err_and(|stop| stop.detail.contains("a timestamp is out of range"))
    {
        assert_eq!(found, Ok(tree(&message).extract(&mapping)), "{text} {bytes:?} {paths:?}");
    }
}
