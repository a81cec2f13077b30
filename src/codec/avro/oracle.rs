//! The oracle of our Avro reader: apache-avro, with schemas and values drawn from random bytes. For tests and fuzzing only.
#![allow(missing_docs)]

use super::Avro;
use crate::codec::oracle::{Extract, Tree, mapping, run};
use crate::codec::plan::{Plan, Stop};
use crate::config::place::Step;
use crate::config::settings::Features;
use apache_avro::types::Value;
use apache_avro::{Decimal, Duration, Schema, Uuid};
use serde_json::{Value as Json, json};
use std::io::Read;

/// Choices drawn from random bytes, so that a failing case shrinks.
pub struct Dice<'b> {
    bytes: &'b [u8],
    named: Vec<String>,
    count: usize,
}

impl<'b> Dice<'b> {
    pub fn new(bytes: &'b [u8]) -> Dice<'b> {
        Dice { bytes, named: Vec::new(), count: 0 }
    }

    /// A schema: a record, nested at most `depth` deep.
    pub fn schema(&mut self, depth: usize) -> String {
        self.record(depth, "").to_string()
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        let (high, low) = (self.byte(), self.byte());
        (high as usize * 256 + low as usize) % sides
    }

    fn byte(&mut self) -> u8 {
        match self.bytes {
            [first, rest @ ..] => {
                self.bytes = rest;
                *first
            }
            [] => 0,
        }
    }

    pub fn long(&mut self) -> i64 {
        let bits = self.roll(64) as u32;
        let value = i64::from_le_bytes(std::array::from_fn(|_| self.byte()));
        value >> bits
    }

    pub fn text(&mut self) -> String {
        let n = self.roll(10);
        (0..n).map(|_| ['a', 'b', 'ü', '"', '\u{1F642}', '0', '.'][self.roll(7)]).collect()
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("T{}", self.count)
    }

    /// A type; nested at most `depth` deep, in namespace `ns`.
    fn ty(&mut self, depth: usize, ns: &str) -> Json {
        let simple = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"];
        match self.roll(if depth == 0 { 21 } else { 32 }) {
            n @ 0..=7 => json!(simple[n]),
            8 => json!({"type": "int", "logicalType": "date"}),
            9 => json!({"type": "int", "logicalType": "time-millis"}),
            10 => json!({"type": "long", "logicalType": "time-micros"}),
            11 => json!({"type": "long", "logicalType": "timestamp-millis"}),
            12 => json!({"type": "long", "logicalType": "timestamp-micros"}),
            13 => json!({"type": "long", "logicalType": "timestamp-nanos"}),
            14 => json!({"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": self.roll(8)}),
            15 => json!({"type": "string", "logicalType": "uuid"}),
            16 => json!({"type": "fixed", "name": self.name(), "size": 16, "logicalType": "uuid"}),
            17 => json!({"type": "fixed", "name": self.name(), "size": 12, "logicalType": "duration"}),
            18 => json!({"type": "fixed", "name": self.name(), "size": self.roll(20)}),
            19 => {
                json!({"type": "fixed", "name": self.name(), "size": 5, "logicalType": "decimal", "precision": 11, "scale": self.roll(5)})
            }
            20 => json!({"type": "enum", "name": self.name(), "symbols": ["RED", "GREEN", "BLUE"]}),
            21 | 22 => json!({"type": "array", "items": self.ty(depth - 1, ns)}),
            23..=25 => json!({"type": "map", "values": self.ty(depth - 1, ns)}),
            26 => json!(["null", self.not_union(depth - 1, ns)]),
            27 => json!([self.not_union(depth - 1, ns), "null"]),
            28 => json!(["null", "double", "long", "boolean", "string"]),
            29 if self.named.iter().any(|n| ns.is_empty() || n.contains('.')) => {
                // from inside a namespace there is no way to name a type that has none
                let known: Vec<String> = self.named.iter().filter(|n| ns.is_empty() || n.contains('.')).cloned().collect();
                json!(["null", known[self.roll(known.len())]])
            }
            _ => self.record(depth - 1, ns),
        }
    }

    fn not_union(&mut self, depth: usize, ns: &str) -> Json {
        let known = self.named.len();
        let ty = self.ty(depth, ns);
        if !ty.is_array() && ty != json!("null") {
            return ty;
        }
        self.named.truncate(known); // what is thrown away can't be referred to
        json!("double")
    }

    fn record(&mut self, depth: usize, ns: &str) -> Json {
        let name = self.name();
        let own = if self.roll(3) == 0 { Some(format!("n{}", self.roll(3))) } else { None };
        let inner = own.clone().unwrap_or(ns.to_string());
        self.named.push(if inner.is_empty() { name.clone() } else { format!("{inner}.{name}") });
        let names = ["a", "b", "c", "d", "e", "f"];
        let fields: Vec<Json> = (0..self.roll(7)).map(|i| json!({"name": names[i], "type": self.ty(depth, &inner)})).collect();
        let mut record = json!({"type": "record", "name": name, "fields": fields});
        if let Some(own) = own {
            record["namespace"] = json!(own);
        }
        record
    }

    /// A value of a schema.
    pub fn value(&mut self, schema: &Schema, types: &super::Types<'_>, ns: Option<&str>, depth: usize) -> Value {
        let inner = |dice: &mut Self, s: &Schema| dice.value(s, types, ns, depth + 1);
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.roll(2) == 1),
            Schema::Int => Value::Int(self.long() as i32),
            Schema::Long => Value::Long(self.long()),
            Schema::Float => Value::Float(f32::from_bits(self.long() as u32)),
            Schema::Double => Value::Double(if self.roll(4) == 0 { f64::NAN } else { f64::from_bits(self.long() as u64) }),
            Schema::Bytes => Value::Bytes(self.text().into_bytes()),
            Schema::String => Value::String(self.text()),
            Schema::Fixed(fixed) => Value::Fixed(fixed.size, (0..fixed.size).map(|_| self.byte()).collect()),
            Schema::Enum(names) => {
                let i = self.roll(names.symbols.len());
                Value::Enum(i as u32, names.symbols[i].clone())
            }
            Schema::Decimal(_) => Value::Decimal(Decimal::from((self.long() >> 26).to_be_bytes()[3..].to_vec())),
            Schema::Uuid(_) => Value::Uuid(Uuid::from_bytes(std::array::from_fn(|_| self.byte()))),
            Schema::Date => Value::Date(self.long() as i32),
            Schema::TimeMillis => Value::TimeMillis(self.long() as i32),
            Schema::TimeMicros => Value::TimeMicros(self.long()),
            Schema::TimestampMillis => Value::TimestampMillis(self.long()),
            Schema::TimestampMicros => Value::TimestampMicros(self.long()),
            Schema::TimestampNanos => Value::TimestampNanos(self.long()),
            Schema::Duration(_) => Value::Duration(Duration::from(std::array::from_fn::<u8, 12, _>(|_| self.byte()))),
            Schema::Union(union) => {
                let null = union.variants().iter().position(|v| *v == Schema::Null).filter(|_| depth > 5);
                let i = null.unwrap_or_else(|| self.roll(union.variants().len()));
                Value::Union(i as u32, Box::new(inner(self, &union.variants()[i])))
            }
            Schema::Array(array) => {
                Value::Array((0..if depth > 5 { 0 } else { self.roll(4) }).map(|_| inner(self, &array.items)).collect())
            }
            Schema::Map(map) => {
                let n = if depth > 5 { 0 } else { self.roll(5) };
                Value::Map((0..n).map(|_| (["a", "b", "c", "dd", "ü"][self.roll(5)].to_string(), inner(self, &map.types))).collect())
            }
            Schema::Record(record) => {
                let ns = record.name.namespace().or(ns);
                Value::Record(record.fields.iter().map(|f| (f.name.clone(), self.value(&f.schema, types, ns, depth + 1))).collect())
            }
            Schema::Ref { name } => {
                let there = types.resolve(super::Here { schema, namespace: ns }).unwrap();
                self.value(there.schema, types, name.namespace().or(ns), depth)
            }
            other => panic!("{other:?}"),
        }
    }
}

pub fn tree(value: &Value, schema: &Schema, types: &super::Types<'_>, ns: Option<&str>) -> Tree {
    let integer = |i: i64| Tree::Number(i as f64);
    match (value, schema) {
        (_, Schema::Ref { name }) => {
            let there = types.resolve(super::Here { schema, namespace: ns }).unwrap();
            tree(value, there.schema, types, name.namespace().or(ns))
        }
        (Value::Union(i, inner), Schema::Union(union)) => tree(inner, &union.variants()[*i as usize], types, ns),
        (Value::Record(fields), Schema::Record(record)) => {
            let ns = record.name.namespace().or(ns);
            let entries = fields.iter().zip(&record.fields);
            Tree::Object(entries.map(|((name, value), field)| (name.clone(), tree(value, &field.schema, types, ns))).collect())
        }
        (Value::Map(entries), Schema::Map(map)) => {
            Tree::Object(entries.iter().map(|(k, v)| (k.clone(), tree(v, &map.types, types, ns))).collect())
        }
        (Value::Decimal(decimal), Schema::Decimal(schema)) => {
            // a decimal of no bytes is 0, but apache-avro can't turn it back into bytes
            let bytes: Vec<u8> = decimal.clone().try_into().unwrap_or_default();
            let negative = bytes.first().is_some_and(|b| *b > 127);
            let whole = bytes.iter().fold(if negative { -1i128 } else { 0 }, |n, b| (n << 8) | i128::from(*b));
            Tree::Number(format!("{whole}e-{}", schema.scale).parse().unwrap())
        }
        (Value::Null, _) => Tree::Null,
        (Value::Boolean(b), _) => Tree::Bool(*b),
        (Value::Int(i) | Value::Date(i) | Value::TimeMillis(i), _) => integer(i64::from(*i)),
        (Value::Long(i) | Value::TimeMicros(i) | Value::TimestampMillis(i) | Value::TimestampMicros(i) | Value::TimestampNanos(i), _) => {
            integer(*i)
        }
        (Value::Float(x), _) => Tree::Number(f64::from(*x)),
        (Value::Double(x), _) => Tree::Number(*x),
        (Value::String(text) | Value::Enum(_, text), _) => Tree::Text(text.clone()),
        (Value::Uuid(uuid), _) => Tree::Text(uuid.to_string()),
        (Value::Array(items), Schema::Array(array)) => Tree::List(items.iter().map(|item| tree(item, &array.items, types, ns)).collect()),
        (Value::Bytes(_) | Value::Fixed(..) | Value::Duration(_), _) => Tree::Other,
        other => panic!("{other:?}"),
    }
}

/// Bytes that remember if anybody wanted more: apache-avro takes the end of the input for null.
struct Watched<'b> {
    bytes: &'b [u8],
    starved: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.starved |= self.bytes.len() < buffer.len();
        self.bytes.read(buffer)
    }
}

pub fn theirs(schema: &Schema, bytes: &[u8]) -> Option<Value> {
    apache_avro::util::max_allocation_bytes(1 << 18);
    let mut input = Watched { bytes, starved: false };
    #[allow(deprecated)]
    let value = apache_avro::from_avro_datum(schema, &mut input, None).ok()?;
    (!input.starved && input.bytes.is_empty()).then_some(value)
}

pub fn ours(plan: &mut Plan, avro: &Avro, bytes: &[u8]) -> Result<Extract, Stop> {
    run(plan, |sink| avro.read(bytes, sink))
}

/// What apache-avro accepts, we accept, and find the same in it. What it refuses we may accept, if the damage is in text that nobody
/// wants.
pub fn agree(text: &str, bytes: &[u8], paths: &[Vec<Step>], features: Option<Features>) {
    let schema = Schema::parse_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mapping = mapping(paths, features);
    let mut plan = Plan::new(&mapping);
    let avro = Avro::compile(text, &mut plan).unwrap();
    let found = ours(&mut plan, &avro, bytes);
    if let Some(value) = theirs(&schema, bytes) {
        let expected = tree(&value, &schema, &super::Types::of(&schema), None).extract(&mapping);
        assert_eq!(found, Ok(expected), "{text}");
    }
}
