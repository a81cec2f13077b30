//! The oracle of our JSON reader: serde_json. For tests and fuzzing only.
#![allow(missing_docs)]

use super::{MAX_DEPTH, read};
use crate::codec::event::Reason;
use crate::codec::oracle::{Tree, mapping, run};
use crate::codec::plan::Plan;
use crate::config::place::Step;
use crate::config::settings::Features;
use serde_json::Value as Json;

fn tree(json: &Json) -> Tree {
    match json {
        Json::Null => Tree::Null,
        Json::Bool(b) => Tree::Bool(*b),
        // serde_json's own conversion of text is not always the nearest double: the text decides
        Json::Number(n) => Tree::Number(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Tree::Text(text.clone()),
        Json::Array(items) => Tree::List(items.iter().map(tree).collect()),
        Json::Object(entries) => Tree::Object(entries.iter().map(|(k, v)| (k.clone(), tree(v))).collect()),
    }
}

fn depth(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The same verdict and the same findings.
pub fn agree(bytes: &[u8], paths: &[Vec<Step>], features: Option<Features>) {
    let mapping = mapping(paths, features);
    let mut plan = Plan::new(&mapping);
    let ours = run(&mut plan, |sink| read(bytes, sink));
    let theirs = serde_json::from_slice::<Json>(bytes).ok().filter(|j| j.is_object() && depth(j) <= MAX_DEPTH);
    let shown = String::from_utf8_lossy(bytes);
    match (ours, theirs) {
        (Ok(found), Some(json)) => assert_eq!(found, tree(&json).extract(&mapping), "{shown}"),
        (Err(_), None) => {}
        (Err(stop), Some(_)) if matches!(stop.reason, Reason::TooLong | Reason::TooManyFeatures) => {} // our own limit
        (ours, theirs) => panic!("{shown:?}: we say {ours:?}, serde_json {theirs:?}"),
    }
}
