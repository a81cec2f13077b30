//! Our JSON reader against serde_json: what is accepted, and what is found.

use super::lex::Lexer;
use super::oracle::agree;
use super::read;
use crate::codec::oracle::{mapping, run};
use crate::codec::plan::Plan;
use crate::codec::scalar::Scalar;
use crate::config::place::{Step, names};
use crate::config::settings::Features;
use proptest::prelude::*;
use serde_json::Value as Json;

/// Few names, so that paths and keys meet; some need escapes.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "longer_name", "", "q\"uote", "ü", "a.b", "\n"]).prop_map(str::to_string)
}

/// Doubles that serde_json reads exactly (it is not always right in the last bit): those of few digits.
fn number() -> impl Strategy<Value = Json> {
    prop_oneof![
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1_000_000i64..1_000_000, 0u32..6).prop_map(|(m, e)| Json::from(m as f64 / 10f64.powi(e as i32))),
        (0i64..10).prop_map(Json::from),
    ]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        number(),
        "[a-z\"\\\\/\u{8}\n\t äß🙂]{0,12}".prop_map(Json::from),
        ".{0,30}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((name(), inner), 0..7).prop_map(|e| Json::Object(e.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Json> {
    prop::collection::vec((name(), json()), 0..7).prop_map(|e| Json::Object(e.into_iter().collect()))
}

/// Mostly names, as most of what is found lies in objects.
fn step() -> impl Strategy<Value = Step> {
    let is = prop::sample::select(vec!["0", "1", "true", "a", "", "null"]).prop_map(str::to_string);
    prop_oneof![
        4 => name().prop_map(Step::Name),
        1 => (0usize..4).prop_map(Step::Index),
        1 => (name(), is).prop_map(|(name, is)| Step::Where { name, is }),
    ]
}

fn wanted() -> impl Strategy<Value = (Vec<Vec<Step>>, Option<Features>)> {
    let path = || prop::collection::vec(step(), 1..4);
    let features = (prop::collection::vec(step(), 0..3), prop::collection::vec(name(), 0..3));
    let features = prop::option::of(features.prop_map(|(path, exclude)| Features { path, exclude, names: vec![] }));
    (prop::collection::vec(path(), 0..5), features)
}

/// Damage: cut, overwrite, insert.
#[derive(Clone, Debug)]
struct Damage(usize, u8, u8);

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]:,\"\\0123456789.eE+- tfnu\x00\x1f\xff".to_vec())];
    prop::collection::vec((any::<usize>(), 0u8..4, byte).prop_map(|(at, how, byte)| Damage(at, how, byte)), 0..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for Damage(at, how, byte) in damage {
        let at = at % (bytes.len() + 1);
        match how {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *byte),
            2 if at < bytes.len() => bytes[at] = *byte,
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn we_find_what_serde_json_finds(json in object(), pretty: bool, (paths, features) in wanted()) {
        let text = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) };
        agree(&text.unwrap(), &paths, features);
    }

    #[test]
    fn we_accept_what_serde_json_accepts(json in object(), damage in damage(), (paths, features) in wanted()) {
        agree(&damaged(serde_json::to_vec(&json).unwrap(), &damage), &paths, features);
    }

    #[test]
    fn of_equal_keys_the_last_wins(entries in prop::collection::vec((prop::sample::select(vec!["a", "b"]), json()), 0..6), (paths, features) in wanted()) {
        let inner: Vec<String> = entries.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        let inner = inner.join(",");
        agree(format!("{{\"a\":{{{inner}}},{inner}{}\"b\":{{{inner}}}}}", if inner.is_empty() { "" } else { "," }).as_bytes(), &paths, features);
    }

    #[test]
    fn numbers_are_those_of_str_parse(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
        let mut lexer = Lexer::new(&text);
        let ours = lexer.number();
        let theirs: f64 = text.parse().unwrap();
        match ours {
            Ok(Scalar::Integer(i, digits)) => prop_assert_eq!((i.to_string(), digits), (text.replace("-0", "0"), Some(&*text))),
            Ok(Scalar::Number(x, _)) => prop_assert_eq!(x.to_bits(), theirs.to_bits()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => prop_assert!(theirs.is_infinite()),
        }
        let mut skipper = Lexer::new(&text);
        prop_assert_eq!(skipper.skip_number().is_ok(), theirs.is_finite());
        prop_assert_eq!(serde_json::from_str::<Json>(&text).is_ok(), theirs.is_finite());
    }

    #[test]
    fn every_double_survives(x in prop::num::f64::ANY.prop_filter("finite", |x| x.is_finite())) {
        let text = serde_json::to_string(&x).unwrap();
        match Lexer::new(&text).number() {
            Ok(Scalar::Number(y, _)) => prop_assert_eq!(x.to_bits(), y.to_bits()),
            Ok(Scalar::Integer(y, _)) => prop_assert_eq!(x, y as f64),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        agree(&bytes, &[names(["a"])], None);
    }
}

#[test]
fn hard_texts_get_the_same_verdict() {
    for text in [
        "{}",
        " { } ",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":1e999}",
        "{\"b\":1e999}",
        "{\"a\":-0}",
        "{\"a\":-0.0}",
        "{\"a\":1E+2}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\ud83d\\ude42\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud83d\\u0041\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\\u00\"}",
        "{\"a\":nul}",
        "{\"a\":nulll}",
        "{\"a\":true}x",
        "{\"a\":1}{}",
        "[]",
        "null",
        "",
        " ",
        "{\"a\":[1,2,{\"b\":[]}]}",
        "{\"\\u0061\":1}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\":18446744073709551616}",
        "\u{feff}{}",
        "{\"a\":\"\\",
        "{\"a\":\"\\u",
        "{\"a\":0e99999999999}",
        "{\"a\":1e-99999999999}",
        "{\"a\":[1 2]}",
        "{\"a\":[,]}",
        "{,}",
        "{\"a\"",
        "{\"a",
        "{\"b\":0.00000000000000000000000000001e330}",
    ] {
        agree(text.as_bytes(), &[names(["a"])], Some(Features { path: vec![], exclude: vec![], names: vec![] }));
    }
}

#[test]
fn depth_ends_at_64() {
    let nested = |n: usize| format!("{{\"x\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    agree(nested(63).as_bytes(), &[], None);
    for (n, why) in [(64, "64 levels"), (1_000_000, "64 levels")] {
        let text = nested(n);
        let ended = run(&mut Plan::new(&mapping(&[], None)), |sink| read(text.as_bytes(), sink)).unwrap_err();
        assert!(ended.detail.contains(why), "{}", ended.detail);
    }
}
