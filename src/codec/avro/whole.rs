//! A whole value with the names of its schema, for who does not know yet what to look for (`driftline infer`).
//!
//! Guarantees: the types, leaves and limits of the walk that `run` takes over the same bytes: what is refused there is refused here, with the
//! same words; scalars are those that a place of a configuration would find. Of lists with several elements only their length is kept, of a
//! value at most `MAX_KEPT` parts: the rest is read and left out.
//! Comes from: `infer::records`. Goes to: `infer::places`.

use super::read::Walk;
use super::schema::{Here, Types};
use super::{Avro, Leaf, Step, Type, TypeIx};
use crate::codec::found::{Found, Marks, Sink};
use crate::codec::mapping::Mapping;
use crate::codec::plan::{Plan, Role, Stop};
use crate::codec::scalar::Scalar;
use apache_avro::Schema;
use serde_json::{Map, Value};

/// Parts of a value that are kept.
const MAX_KEPT: usize = 5_000;
/// Whole numbers up to here are the same as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A schema by which whole values are read.
pub struct Whole<'s> {
    types: &'s Types<'s>,
    avro: Avro,
    plan: Plan,
}

impl<'s> Whole<'s> {
    /// Compiles a schema of which nothing is wanted: then each field is a step of its own, and each union, list and map is as it stands there.
    pub fn of(types: &'s Types<'s>) -> Result<Whole<'s>, String> {
        let mut plan = Plan::new(&Mapping::default());
        let avro = Avro::of(types, &mut plan)?;
        Ok(Whole { types, avro, plan })
    }

    /// Reads a value: an object.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Value, Stop> {
        let (mut found, mut marks) = (Found::default(), Marks::default());
        let mut sink = Sink { plan: &mut self.plan, found: &mut found, marks: &mut marks };
        let mut walk = Walk::new(&self.avro, bytes, &mut sink);
        let mut keeper = Keeper { types: self.types, kept: 0 };
        let value = keeper.value(&mut walk, self.avro.root, self.types.whole())?;
        walk.input.ended()?;
        Ok(value.unwrap_or_default())
    }
}

/// What has been kept of a value.
struct Keeper<'s> {
    types: &'s Types<'s>,
    kept: usize,
}

impl<'s> Keeper<'s> {
    /// The value at hand, and over it; `None` if no place can lead to it.
    fn value(&mut self, walk: &mut Walk<'_, '_, '_>, ty: TypeIx, here: Here<'s>) -> Result<Option<Value>, Stop> {
        self.kept += 1;
        if self.kept > MAX_KEPT {
            return walk.value(ty, Role::SKIP).map(|()| None);
        }
        let here = self.types.resolve(here).map_err(|why| walk.input.stop(&why))?;
        let avro = walk.avro;
        match (&avro.types[ty.0 as usize], here.schema) {
            (Type::Leaf(leaf), _) => scalar(walk, leaf),
            (Type::Union(variants), Schema::Union(union)) => {
                let branch = walk.branch(variants.len())?;
                self.value(walk, variants[branch], Here { schema: &union.variants()[branch], ..here })
            }
            (Type::Record(steps), Schema::Record(record)) => walk.deeper(|walk| {
                walk.begin_record(steps.len())?;
                self.kept += steps.len();
                let namespace = record.name.namespace().or(here.namespace);
                let mut entries = Map::new();
                for (step, field) in steps.iter().zip(&record.fields) {
                    let value = match step {
                        Step::Skip(leaf) => scalar(walk, leaf)?,
                        Step::Value(ty, _) => self.value(walk, *ty, Here { schema: &field.schema, namespace })?,
                        Step::Slot(..) | Step::Doubles { .. } => return Err(walk.input.stop("a field that was not asked for")),
                    };
                    entries.extend(value.map(|value| (field.name.clone(), value)));
                }
                Ok(Some(Value::Object(entries)))
            }),
            (Type::Array(items), Schema::Array(array)) => walk.deeper(|walk| {
                let mut list = Vec::new();
                walk.blocks(|walk| {
                    let element = match list.is_empty() {
                        true => self.value(walk, *items, Here { schema: &array.items, ..here })?,
                        false => walk.value(*items, Role::SKIP).map(|()| None)?,
                    };
                    self.kept += 1;
                    if self.kept <= MAX_KEPT {
                        list.push(element.unwrap_or_default());
                    }
                    Ok(())
                })?;
                Ok(Some(Value::Array(list)))
            }),
            (Type::Map(values), Schema::Map(map)) => walk.deeper(|walk| {
                let mut entries = Map::new();
                walk.blocks(|walk| {
                    let key = walk.input.text()?;
                    let value = self.value(walk, *values, Here { schema: &map.types, ..here })?;
                    entries.extend(value.map(|value| (key.to_string(), value)));
                    Ok(())
                })?;
                Ok(Some(Value::Object(entries)))
            }),
            _ => Err(walk.input.stop("the schema and what it was compiled to differ")),
        }
    }
}

/// A value without parts. Bytes are something only where they hold JSON: a place can open those.
fn scalar<'w>(walk: &mut Walk<'w, '_, '_>, leaf: &'w Leaf) -> Result<Option<Value>, Stop> {
    if *leaf == Leaf::Bytes {
        let text = std::str::from_utf8(walk.input.sized()?).ok();
        let holds = |text: &&str| serde_json::from_str::<Value>(text).is_ok_and(|v| v.is_object() || v.is_array());
        return Ok(text.filter(holds).map(Value::from));
    }
    Ok(match walk.leaf(leaf)? {
        Scalar::Null => Some(Value::Null),
        Scalar::Bool(b) => Some(b.into()),
        Scalar::Integer(i, _) | Scalar::Instant(i, _) => Some(i.into()),
        // 1 and 1.0 are the same class
        Scalar::Number(x, _) if x.fract() == 0.0 && x.abs() < EXACT => Some((x as i64).into()),
        Scalar::Number(x, _) => Some(x.into()),
        Scalar::Text(text) => Some(text.into()),
        Scalar::Other(_) | Scalar::Absent => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Parsed;
    use super::super::oracle::{Dice, theirs};
    use super::*;
    use crate::codec::avro::oracle::tree;
    use crate::codec::oracle::Tree;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn read(schema: &str, bytes: &[u8]) -> Result<Value, Stop> {
        let parsed = Parsed::of(schema, &[]).unwrap();
        Whole::of(&parsed.types()).unwrap().read(bytes)
    }

    /// What of another library's value should be kept.
    fn kept(tree: &Tree) -> Option<Value> {
        Some(match tree {
            Tree::Null => Value::Null,
            Tree::Bool(b) => (*b).into(),
            Tree::Number(x) if x.fract() == 0.0 && x.abs() < EXACT => (*x as i64).into(),
            Tree::Number(x) => (*x).into(),
            Tree::Text(text) => text.as_str().into(),
            Tree::Object(entries) => Value::Object(entries.iter().filter_map(|(k, v)| Some((k.clone(), kept(v)?))).collect()),
            Tree::List(items) => Value::Array(
                items.iter().enumerate().map(|(i, v)| if i == 0 { kept(v).unwrap_or_default() } else { Value::Null }).collect(),
            ),
            Tree::Other => return None,
        })
    }

    /// Large whole numbers lose digits in the other library's tree.
    fn rounded(value: Value) -> Value {
        match value {
            Value::Number(n) => match n.as_f64() {
                Some(x) if x.abs() >= EXACT => x.into(),
                _ => Value::Number(n),
            },
            Value::Array(items) => items.into_iter().map(rounded).collect(),
            Value::Object(entries) => entries.into_iter().map(|(k, v)| (k, rounded(v))).collect::<BTreeMap<_, _>>().into_iter().collect(),
            other => other,
        }
    }

    #[test]
    fn bytes_are_kept_where_they_hold_json() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"bytes"},{"name":"b","type":"bytes"},{"name":"c","type":"float"}]}"#;
        let value = read(schema, b"\x10{\"x\": 1}\x04hi\0\0\x80?").unwrap();
        assert_eq!(value, serde_json::json!({"a": "{\"x\": 1}", "c": 1}));
    }

    #[test]
    fn of_a_value_5_000_parts_are_kept_and_the_rest_is_read_all_the_same() {
        let schema =
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}},{"name":"b","type":"int"}]}"#;
        let nulls = |n: u32| {
            let count = [(2 * n) as u8 | 0x80, ((2 * n) >> 7) as u8 | 0x80, ((2 * n) >> 14) as u8]; // seven bits a byte
            read(schema, &[&count[..], &[0, 2]].concat())
        };
        // by hand: the value, its two fields, the list and its first element are five parts; each element is one more
        for (n, kept) in [(4_995, 4_995), (4_996, 4_995), (100_000, 4_995)] {
            let value = nulls(n).unwrap();
            assert_eq!((value["a"].as_array().map(Vec::len), &value["b"]), (Some(kept), &1.into()), "{n}");
        }
        assert!(nulls(100_001).unwrap_err().detail.contains("more than 100,000 elements"));
    }

    proptest! {
        #[test]
        fn a_whole_value_is_what_another_library_reads(seed in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut dice = Dice::new(&seed);
            let text = dice.schema(4);
            let parsed = Parsed::of(&text, &[]).unwrap();
            let types = parsed.types();
            let value = dice.value(types.root, &types, None, 0);
            #[allow(deprecated)]
            let bytes = apache_avro::to_avro_datum(types.root, value).unwrap();
            let ours = Whole::of(&types).unwrap().read(&bytes);
            if let Some(value) = theirs(types.root, &bytes) {
                prop_assert_eq!(ours.map(rounded).ok(), kept(&tree(&value, types.root, &types, None)).map(rounded), "{}", text);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(seed in prop::collection::vec(any::<u8>(), 0..300), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&Dice::new(&seed).schema(4), &bytes);
        }
    }
}
