//! Our Avro reader against apache-avro: random schemas, random values, cut and damaged bytes.

use super::Avro;
use crate::codec::oracle::{Extract, Tree, mapping, run};
use crate::codec::plan::{Plan, Stop};
use crate::config::settings::Features;
use apache_avro::types::Value;
use apache_avro::{Decimal, Duration, Schema, Uuid};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::io::Read;

/// Choices drawn from random bytes, so that a failing case shrinks.
struct Dice<'b> {
    bytes: &'b [u8],
    named: Vec<String>,
    count: usize,
}

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
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

    fn long(&mut self) -> i64 {
        let bits = self.roll(64) as u32;
        let value = i64::from_le_bytes(std::array::from_fn(|_| self.byte()));
        value >> bits
    }

    fn text(&mut self) -> String {
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
    fn value(&mut self, schema: &Schema, types: &super::Types<'_>, ns: Option<&str>, depth: usize) -> Value {
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

fn tree(value: &Value, schema: &Schema, types: &super::Types<'_>, ns: Option<&str>) -> Tree {
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
        (Value::Array(_) | Value::Bytes(_) | Value::Fixed(..) | Value::Duration(_), _) => Tree::Other,
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

fn theirs(schema: &Schema, bytes: &[u8]) -> Option<Value> {
    apache_avro::util::max_allocation_bytes(1 << 22);
    let mut input = Watched { bytes, starved: false };
    #[allow(deprecated)]
    let value = apache_avro::from_avro_datum(schema, &mut input, None).ok()?;
    (!input.starved && input.bytes.is_empty()).then_some(value)
}

fn ours(plan: &mut Plan, avro: &Avro, bytes: &[u8]) -> Result<Extract, Stop> {
    run(plan, |sink| avro.read(bytes, sink))
}

type Wanted = (Vec<Vec<String>>, Option<Features>);

fn wanted() -> impl Strategy<Value = Wanted> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]).prop_map(str::to_string);
    let path = move || prop::collection::vec(name(), 1..4);
    let features = (prop::collection::vec(name(), 0..3), prop::collection::vec(name(), 0..3));
    let features = prop::option::of(features.prop_map(|(path, exclude)| Features { path, exclude }));
    (prop::collection::vec(path(), 0..6), features)
}

fn entropy() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u8>(), 0..600))
}

struct Case {
    schema: Schema,
    text: String,
    value: Value,
    bytes: Vec<u8>,
}

fn case((shape, content): &(Vec<u8>, Vec<u8>)) -> Option<Case> {
    let text = Dice { bytes: shape, named: Vec::new(), count: 0 }.record(4, "").to_string();
    let schema = Schema::parse_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let types = super::Types::of(&schema);
    let value = Dice { bytes: content, named: Vec::new(), count: 0 }.value(&schema, &types, None, 0);
    // apache-avro can't write some of what it can read (references to types in other namespaces): such cases say nothing
    #[allow(deprecated)]
    let bytes = apache_avro::to_avro_datum(&schema, value.clone()).ok()?;
    Some(Case { schema, text, value, bytes })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn we_find_what_apache_avro_finds(entropy in entropy(), (paths, features) in wanted()) {
        let case = case(&entropy);
        prop_assume!(case.is_some());
        let Case { schema, text, value, bytes } = case.unwrap();
        let mapping = mapping(&paths, features);
        let mut plan = Plan::new(&mapping);
        let avro = Avro::compile(&text, &mut plan).unwrap();
        let expected = tree(&value, &schema, &super::Types::of(&schema), None).extract(&mapping);
        prop_assert_eq!(ours(&mut plan, &avro, &bytes), Ok(expected), "{}", text);
    }

    #[test]
    fn truncated_values_are_refused(entropy in entropy(), cut: prop::sample::Index, (paths, features) in wanted()) {
        let case = case(&entropy);
        prop_assume!(case.is_some());
        let Case { text, bytes, .. } = case.unwrap();
        prop_assume!(!bytes.is_empty());
        let mut plan = Plan::new(&mapping(&paths, features));
        let avro = Avro::compile(&text, &mut plan).unwrap();
        prop_assert!(ours(&mut plan, &avro, &bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn damaged_values_get_the_same_verdict(
        entropy in entropy(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..5),
        (paths, features) in wanted(),
    ) {
        let case = case(&entropy);
        prop_assume!(case.is_some());
        let Case { schema, text, mut bytes, .. } = case.unwrap();
        for (at, byte, how) in damage {
            match how {
                0 => bytes.insert(at.index(bytes.len() + 1), byte),
                1 if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] = byte }
                _ if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] ^= 1 << (byte % 8) }
                _ => {}
            }
        }
        let mapping = mapping(&paths, features);
        let mut plan = Plan::new(&mapping);
        let avro = Avro::compile(&text, &mut plan).unwrap();
        let found = ours(&mut plan, &avro, &bytes);
        // what apache-avro refuses we may accept, if the damage is in text that nobody wants
        if let Some(value) = theirs(&schema, &bytes) {
            let expected = tree(&value, &schema, &super::Types::of(&schema), None).extract(&mapping);
            prop_assert_eq!(found, Ok(expected), "{}", text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(shape in prop::collection::vec(any::<u8>(), 0..300), bytes: Vec<u8>, (paths, features) in wanted()) {
        let text = Dice { bytes: &shape, named: Vec::new(), count: 0 }.record(4, "").to_string();
        let mut plan = Plan::new(&mapping(&paths, features));
        let avro = Avro::compile(&text, &mut plan).unwrap();
        let _ = ours(&mut plan, &avro, &bytes);
    }
}

fn compiled(schema: &str, paths: &[&[&str]], features: Option<&[&str]>) -> (Plan, Avro) {
    let owned = |p: &[&str]| p.iter().map(|n| n.to_string()).collect::<Vec<String>>();
    let paths: Vec<Vec<String>> = paths.iter().map(|p| owned(p)).collect();
    let mut plan = Plan::new(&mapping(&paths, features.map(|p| Features { path: owned(p), exclude: Vec::new() })));
    let avro = Avro::compile(schema, &mut plan).unwrap();
    (plan, avro)
}

fn one_field(ty: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{ty}}}]}}"#)
}

#[test]
fn blocks_with_negative_counts_are_read() {
    let (mut plan, avro) = compiled(&one_field(r#"{"type":"map","values":"int"}"#), &[&["a", "x"], &["a", "y"]], None);
    let bytes = [1, 6, 2, b'x', 14, 2, 2, b'y', 16, 0]; // one entry of 3 bytes by negative count, then one by positive
    assert_eq!(ours(&mut plan, &avro, &bytes).unwrap().slots.len(), 2);
    assert!(ours(&mut plan, &avro, &bytes).unwrap().slots[1].starts_with("number 8"));
}

#[test]
fn bytes_left_over_are_refused() {
    let (mut plan, avro) = compiled(&one_field("\"long\""), &[&["a"]], None);
    assert!(ours(&mut plan, &avro, &[2]).is_ok());
    assert!(ours(&mut plan, &avro, &[2, 0]).unwrap_err().detail.contains("1 bytes are left over"));
}

#[test]
fn bombs_are_refused_at_once() {
    let (mut plan, avro) = compiled(&one_field(r#"{"type":"array","items":"null"}"#), &[], None);
    let billion = [128, 168, 214, 185, 7, 0];
    assert!(ours(&mut plan, &avro, &billion).unwrap_err().detail.contains("100,000 elements"));
    let least = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0];
    assert!(ours(&mut plan, &avro, &least).is_err());
    let recursive = r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#;
    let (mut plan, avro) = compiled(recursive, &[&["next", "next"]], None);
    assert!(ours(&mut plan, &avro, &[2; 1_000_000]).unwrap_err().detail.contains("64 levels"));
    assert!(ours(&mut plan, &avro, &[2, 2, 0]).is_ok());
    let endless = r#"{"type":"record","name":"R","fields":[{"name":"next","type":"R"}]}"#;
    let (mut plan, avro) = compiled(endless, &[], Some(&["next"]));
    assert!(ours(&mut plan, &avro, &[]).unwrap_err().detail.contains("64 levels"));
}

#[test]
fn what_is_no_schema_of_a_record_is_refused() {
    for text in [
        "",
        "{}",
        "\"long\"",
        r#"{"type":"array","items":"long"}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Unknown"}]}"#,
    ] {
        assert!(Avro::compile(text, &mut Plan::new(&mapping(&[], None))).is_err(), "{text}");
    }
}

#[test]
fn uuids_decimals_and_symbols_are_texts_and_numbers() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"u","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":8,"scale":2}},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["NO","YES"]}},
        {"name":"b","type":{"type":"bytes","logicalType":"big-decimal"}}]}"#;
    let (mut plan, avro) = compiled(schema, &[&["u"], &["d"], &["e"], &["b"]], None);
    let mut bytes: Vec<u8> = (0..16).collect();
    bytes.extend([4, 0x30, 0x39, 2, 8, 4, 0x30, 0x39, 4]);
    let slots = ours(&mut plan, &avro, &bytes).unwrap().slots;
    assert_eq!(slots[0], "text \"00010203-0405-0607-0809-0a0b0c0d0e0f\"");
    assert!(slots[1].starts_with("number 123.45") && slots[3].starts_with("number 123.45"), "{slots:?}");
    assert_eq!(slots[2], "text \"YES\"");
}
