//! Our Protobuf reader against prost-reflect: random schemas, random values, merged and damaged bytes; and what no oracle says.

use super::oracle::{Drawn, agree, message, ours, root};
use super::{MAX_ELEMENTS, MAX_FIELDS, Protobuf, Schema};
use crate::codec::avro::oracle::Dice;
use crate::codec::oracle::{Extract, mapping};
use crate::codec::plan::{Plan, Stop};
use crate::codec::shape::Referred;
use crate::config::place::{self, Step};
use crate::config::settings::Features;
use proptest::prelude::*;
use prost_reflect::prost::Message as _;

type Wanted = (Vec<Vec<Step>>, Option<Features>);

fn wanted() -> impl Strategy<Value = Wanted> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "true", "0"]).prop_map(str::to_string);
    let is = || prop::sample::select(vec!["0", "true", "false", "RED", "ZERO", ""]).prop_map(str::to_string);
    let step = move || {
        prop_oneof![
            6 => name().prop_map(Step::Name),
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

/// A schema and so many messages of it, as the library writes them.
fn case((shape, content): &(Vec<u8>, Vec<u8>), count: usize) -> (String, Vec<Vec<u8>>) {
    let text = Drawn::schema(&mut Dice::new(shape));
    let ty = root(&text);
    let mut dice = Dice::new(content);
    let values = (0..count).map(|_| message(&mut dice, ty.descriptor(), 0).encode_to_vec()).collect();
    (text, values)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn we_find_what_prost_reflect_finds(entropy in entropy(), (paths, features) in wanted()) {
        let (text, values) = case(&entropy, 1);
        agree(&text, &values[0], &paths, features);
    }

    #[test]
    fn messages_in_parts_are_put_together(entropy in entropy(), (paths, features) in wanted()) {
        // one message after another is both merged; fields of one and of the other come in turns
        let (text, values) = case(&entropy, 3);
        agree(&text, &values.concat(), &paths, features);
    }

    #[test]
    fn damaged_values_get_the_same_verdict(
        entropy in entropy(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5),
        (paths, features) in wanted(),
    ) {
        let (text, mut values) = case(&entropy, 1);
        let bytes = &mut values[0];
        for (at, byte, how) in damage {
            match how {
                0 => bytes.insert(at.index(bytes.len() + 1), byte),
                1 if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] = byte }
                2 if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] ^= 1 << (byte % 8) }
                3 => { let at = at.index(bytes.len() + 1); bytes.truncate(at) }
                _ => {}
            }
        }
        agree(&text, bytes, &paths, features);
    }

    #[test]
    fn no_bytes_make_it_panic(shape in prop::collection::vec(any::<u8>(), 0..300), bytes: Vec<u8>, (paths, features) in wanted()) {
        agree(&Drawn::schema(&mut Dice::new(&shape)), &bytes, &paths, features);
    }
}

fn extract(schema: &str, bytes: &[u8], paths: &[&str], features: Option<&str>) -> Result<Extract, Stop> {
    let path = |text: &str| if text == "*" { Vec::new() } else { place::parse(text).unwrap_or_else(|_| panic!("{text}")) };
    let paths: Vec<Vec<Step>> = paths.iter().map(|p| path(p)).collect();
    let features = features.map(|p| Features { path: path(p), exclude: Vec::new(), names: Vec::new() });
    let mut plan = Plan::new(&mapping(&paths, features));
    let protobuf = Protobuf::compile(&root(&format!("syntax = \"proto3\"; {schema}")), &mut plan).unwrap();
    ours(&mut plan, &protobuf, bytes)
}

fn slots(schema: &str, bytes: &[u8], paths: &[&str]) -> Vec<String> {
    extract(schema, bytes, paths, None).unwrap().slots
}

#[test]
fn a_field_that_is_not_there_is_its_default_unless_it_is_optional_or_a_message() {
    let schema = "import \"google/protobuf/wrappers.proto\"; enum E { NONE = 0; SOME = 1; }
        message R { double a = 1; string b = 2; bool c = 3; E d = 4; optional double e = 5; google.protobuf.DoubleValue f = 6; R g = 7;
                    oneof h { double i = 8; } }";
    let paths = ["a", "b", "c", "d", "e", "f", "g.a", "i"];
    assert_eq!(slots(schema, b"", &paths), ["number 0", "text \"\"", "false", "text \"NONE\"", "absent", "absent", "absent", "absent"]);
    // by hand: tags 0x2a is field 5 as bytes, 0x29 as 8 bytes; 0x32 and 0x3a are messages of no bytes
    let there = slots(schema, b"\x29\0\0\0\0\0\0\0\0\x32\0\x3a\0", &paths);
    assert_eq!(there[4..], ["number 0", "number 0", "number 0", "absent"], "what is there is 0");
}

#[test]
fn the_last_of_a_field_wins_and_the_last_of_a_oneof() {
    let schema = "message R { int32 a = 1; oneof o { int32 b = 2; int32 c = 3; } }";
    // by hand: 0x08, 0x10, 0x18 are fields 1, 2, 3 as varints
    assert_eq!(slots(schema, b"\x08\x01\x08\x02", &["a"])[0], slots(schema, b"\x08\x02", &["a"])[0]);
    let of = |bytes| slots(schema, bytes, &["b", "c"]).iter().map(|s| s != "absent").collect::<Vec<_>>();
    assert_eq!((of(b"\x10\x01\x18\x02"), of(b"\x18\x01\x10\x02")), (vec![false, true], vec![true, false]));
    assert_eq!(slots(schema, b"\x10\x01\x18\x02", &["b"]), ["absent"], "even if nobody wants the other");
}

#[test]
fn names_may_be_those_of_json() {
    let schema = "message R { R my_data = 1; double my_score = 2; }";
    let bytes = b"\x0a\x09\x11\0\0\0\0\0\0\xf0\x3f";
    let [a, b] = ["my_data.my_score", "myData.myScore"].map(|path| slots(schema, bytes, &[path]).remove(0));
    assert!(a == b && a.starts_with("number 1"), "{a} {b}");
}

#[test]
fn features_are_called_by_the_names_of_the_schema_and_messages_are_none() {
    let schema = "message R { double amount_eur = 1; string country = 2; R nested = 3; repeated int32 list = 4; bytes raw = 5; }";
    let found = extract(schema, b"\x12\x02DE\x1a\0\x22\x01\x07\x2a\x01x", &[], Some("*")).unwrap();
    assert_eq!(found.features.keys().collect::<Vec<_>>(), ["amount_eur", "country"]);
}

#[test]
fn large_ids_keep_their_digits() {
    let schema = "message R { uint64 a = 1; fixed64 b = 2; }";
    let bytes = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(slots(schema, bytes, &["a"]), ["text \"18446744073709551615\""]); // the first slot is the request id's
    assert_eq!(slots(schema, bytes, &["b"]), ["text \"18446744073709551615\""]);
    assert!(slots(schema, bytes, &["no", "b"])[1].starts_with("number 1.844674407370955"));
}

#[test]
fn a_value_of_another_schema_is_told_by_the_field() {
    let schema = "message R { double amount = 1; }";
    let said = extract(schema, b"\x08\x01", &["amount"], None).unwrap_err().detail;
    assert!(said.contains("\"amount\" is written as a varint") && said.contains("another schema"), "{said}");
    assert!(extract(schema, b"\x08\x01", &[], None).is_ok(), "what nobody wants is passed over");
}

/// Field 1 as bytes: a message, a text, a packed list.
fn sized(inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x0a];
    let mut n = inner.len();
    while n > 127 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes.extend_from_slice(inner);
    bytes
}

#[test]
fn elements_and_fields_end_at_their_limits() {
    let list = |n: usize| extract("message R { repeated int32 a = 1; }", &sized(&vec![1; n]), &["a[0]"], None);
    assert!(list(MAX_ELEMENTS).is_ok());
    assert!(list(MAX_ELEMENTS + 1).unwrap_err().detail.contains("more than 100,000 elements"));
    // each element is a message of 40 fields that are wanted; with the tag of each element and the whole, 41 n + 1 fields
    let fields: String = (2..42).map(|i| format!("int32 f{i} = {i}; ")).collect();
    let schema = format!("message R {{ repeated M a = 1; }} message M {{ {fields} }}");
    let paths: Vec<String> = (2..42).map(|i| format!("a[0].f{i}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let probe = |i: usize| format!("a[f{i}=no].f2");
    let probes: Vec<String> = (2..42).map(probe).collect();
    let all: Vec<&str> = paths.iter().copied().chain(probes.iter().map(String::as_str)).collect();
    // by hand: 40 probes see one field each of each element, so 41 fields an element; 40 more for the first; 1 for the whole
    let most = (MAX_FIELDS - 41) / 41;
    let of = |n: usize| extract(&schema, &sized(b"").repeat(n), &all, None);
    assert!(of(most).is_ok());
    assert!(of(most + 1).unwrap_err().detail.contains("more than 4,000,000 fields"));
}

#[test]
fn texts_that_are_no_schema_or_nest_too_deep_are_refused() {
    let said = |text: &str| Schema::of_text(text, &[]).unwrap_err();
    assert!(said("mesage M {}").contains("no .proto file"), "{}", said("mesage M {}"));
    assert!(said("syntax = \"proto3\"; import \"other.proto\"; message M {}").contains("other.proto"));
    let option = "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message O { optional O o = 1; }
        extend google.protobuf.FileOptions { optional O o = 50000; }";
    let deep = |n: usize| format!("{option} option (o) = {{ {} {} }};", "o {".repeat(n - 1), "}".repeat(n - 1));
    assert!(Schema::of_text(&deep(90), &[]).is_ok(), "{}", said(&deep(90)));
    assert!(said(&deep(201)).contains("200 deep"));
    assert!(said(&deep(100_000)).contains("200 deep"));
}

#[test]
fn imports_are_found_by_their_names() {
    let other =
        Referred { name: "shop/types.proto".into(), text: "syntax = \"proto3\"; package shop; message T { string id = 1; }".into() };
    let text = "syntax = \"proto3\"; import \"shop/types.proto\"; import \"google/protobuf/timestamp.proto\"; message R { shop.T t = 1; }";
    assert_eq!(Schema::imports(text), ["shop/types.proto"]);
    let schema = Schema::of_text(text, &[other]).unwrap();
    assert_eq!(schema.at(&[0]).unwrap().name(), "R");
    let again = Schema::of_set(&schema.to_set()).unwrap();
    assert_eq!(again.names(), ["shop.T", "R"]);
    assert!(Schema::of_set(b"no descriptors").is_err());
    let round = |name: &str, import: &str| Referred { name: name.into(), text: format!("syntax = \"proto3\"; import \"{import}\";") };
    let circle = [round("a.proto", "b.proto"), round("b.proto", "a.proto")];
    assert!(Schema::of_text("import \"a.proto\"; message M {}", &circle).is_err());
}

#[test]
fn indexes_lead_to_messages_and_entries_of_maps_do_not_count() {
    let text = "syntax = \"proto3\"; message A { map<string, string> m = 1; message B { message C {} } message D {} } message E {}";
    let schema = Schema::of_text(text, &[]).unwrap();
    let name = |path: &[usize]| schema.at(path).map(|m| m.name().to_string());
    assert_eq!(
        [name(&[0]), name(&[1]), name(&[0, 0]), name(&[0, 1]), name(&[0, 0, 0])].map(Option::unwrap),
        ["A", "E", "A.B", "A.D", "A.B.C"]
    );
    assert_eq!([name(&[2]), name(&[0, 2]), name(&[])], [None, None, None]);
}
