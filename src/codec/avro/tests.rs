//! Our Avro reader against apache-avro: random schemas, random values, cut and damaged bytes.

use super::Avro;
use super::oracle::{Dice, agree, ours, tree};
use crate::codec::oracle::mapping;
use crate::codec::plan::Plan;
use crate::config::place::{Step, names};
use crate::config::settings::Features;
use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::prelude::*;

type Wanted = (Vec<Vec<Step>>, Option<Features>);

fn wanted() -> impl Strategy<Value = Wanted> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]).prop_map(str::to_string);
    let is = || prop::sample::select(vec!["0", "true", "RED", ""]).prop_map(str::to_string);
    let step = move || {
        prop_oneof![
            4 => name().prop_map(Step::Name),
            1 => (0usize..3).prop_map(Step::Index),
            1 => (name(), is()).prop_map(|(name, is)| Step::Where { name, is }),
        ]
    };
    let path = move || prop::collection::vec(step(), 1..4);
    let features = (prop::collection::vec(step(), 0..3), prop::collection::vec(name(), 0..3));
    let features = prop::option::of(features.prop_map(|(path, exclude)| Features { path, exclude, names: vec![] }));
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
    let text = Dice::new(shape).schema(4);
    let schema = Schema::parse_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let types = super::Types::of(&schema);
    let value = Dice::new(content).value(&schema, &types, None, 0);
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
        let Case { text, mut bytes, .. } = case.unwrap();
        for (at, byte, how) in damage {
            match how {
                0 => bytes.insert(at.index(bytes.len() + 1), byte),
                1 if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] = byte }
                _ if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] ^= 1 << (byte % 8) }
                _ => {}
            }
        }
        agree(&text, &bytes, &paths, features);
    }

    #[test]
    fn no_bytes_make_it_panic(shape in prop::collection::vec(any::<u8>(), 0..300), bytes: Vec<u8>, (paths, features) in wanted()) {
        let text = Dice::new(&shape).schema(4);
        let mut plan = Plan::new(&mapping(&paths, features));
        let avro = Avro::compile(&text, &mut plan).unwrap();
        let _ = ours(&mut plan, &avro, &bytes);
    }
}

fn compiled(schema: &str, paths: &[&[&str]], features: Option<&[&str]>) -> (Plan, Avro) {
    let owned = |p: &[&str]| names(p.iter().copied());
    let paths: Vec<Vec<Step>> = paths.iter().map(|p| owned(p)).collect();
    let features = features.map(|p| Features { path: owned(p), exclude: Vec::new(), names: Vec::new() });
    let mut plan = Plan::new(&mapping(&paths, features));
    let avro = Avro::compile(schema, &mut plan).unwrap();
    (plan, avro)
}

#[test]
fn records_of_nothing_are_not_followed_for_ever() {
    // each level has twice the fields of the one before, and none of them takes a byte
    let schema = |levels: usize| {
        let inner = (0..levels).fold("\"null\"".to_string(), |inner, i| {
            let name = format!("L{i}");
            let second = if i == 0 { inner.clone() } else { format!("\"L{}\"", i - 1) };
            format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":{inner}}},{{"name":"y","type":{second}}}]}}"#)
        });
        compiled(&inner, &[], None)
    };
    let (mut plan, avro) = schema(20); // 2^21 - 2 fields
    assert!(ours(&mut plan, &avro, &[]).is_ok());
    let (mut plan, avro) = schema(21); // 2^22 - 2
    assert!(ours(&mut plan, &avro, &[]).unwrap_err().detail.contains("more than 4,000,000 fields"));
    let (mut plan, avro) = schema(40);
    assert!(ours(&mut plan, &avro, &[]).unwrap_err().detail.contains("more than 4,000,000 fields"));
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
fn levels_elements_and_fields_end_at_their_limits() {
    let long = |n: i64| {
        let (mut bytes, mut z) = (Vec::new(), (n as u64) << 1);
        while z > 0x7f {
            bytes.push(z as u8 | 0x80);
            z >>= 7;
        }
        bytes.push(z as u8);
        bytes
    };
    let said = |(plan, avro): &mut (Plan, Avro), bytes: &[u8]| ours(plan, avro, bytes).map(drop).map_err(|bad| bad.detail);
    let recursive = &mut compiled(r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#, &[], None);
    let levels = |n: usize| [vec![2; n - 1], vec![0]].concat();
    assert_eq!(said(recursive, &levels(64)), Ok(()));
    assert!(said(recursive, &levels(65)).unwrap_err().contains("more than 64 levels"));

    let list = &mut compiled(&one_field(r#"{"type":"array","items":"null"}"#), &[], None);
    let map = &mut compiled(&one_field(r#"{"type":"map","values":"null"}"#), &[], None);
    let entry = [0]; // a key without letters
    for (n, good) in [(100_000, true), (100_001, false)] {
        let in_two = [long(60_000), long(n - 60_000), vec![0]].concat();
        let entries = [long(n), entry.repeat(n as usize), vec![0]].concat();
        for said in [said(list, &[long(n), vec![0]].concat()), said(list, &in_two), said(map, &entries)] {
            assert!(if good { said.is_ok() } else { said.is_err_and(|why| why.contains("more than 100,000 elements")) }, "{n}");
        }
    }

    let nulls = |name: char, n: usize| (0..n).map(|i| format!(r#"{{"name":"{name}{i}","type":"null"}}"#)).collect::<Vec<_>>().join(",");
    let items = format!(r#"{{"type":"array","items":{{"type":"record","name":"I","fields":[{}]}}}}"#, nulls('i', 40));
    let wide = |n: usize| {
        compiled(&format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{items}}},{}]}}"#, nulls('r', n)), &[], None)
    };
    let bytes = [long(99_999), vec![0]].concat(); // 3,999,960 fields, and those of the record around them
    assert_eq!(said(&mut wide(39), &bytes), Ok(()));
    assert!(said(&mut wide(40), &bytes).unwrap_err().contains("more than 4,000,000 fields"));
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
