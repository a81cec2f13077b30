//! The oracle of both formats: a value that another library decoded, and what a mapping must find in it. For tests and fuzzing only.
#![allow(missing_docs)]

use super::event::{Value, beginning, canonical_text};
use super::found::{Found, Marks, Sink};
use super::mapping::{Mapping, Slot, SlotName};
use super::plan::{Plan, Stop};
use super::scalar::Scalar;
use crate::config::place::Step;
use crate::config::settings::Features;
use std::collections::BTreeMap;

/// A value of any format.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Object(BTreeMap<String, Tree>),
    List(Vec<Tree>),
    Other,
}

/// What a mapping finds, in a form that can be compared: text of numbers and all.
#[derive(Debug, PartialEq)]
pub struct Extract {
    pub slots: Vec<String>,
    pub features: BTreeMap<String, String>,
    pub no_features: bool,
}

/// A mapping of paths only, for tests.
pub fn mapping(paths: &[Vec<Step>], features: Option<Features>) -> Mapping {
    let slots = paths.iter().enumerate().map(|(i, p)| (Slot(i as u16), p.clone())).collect();
    Mapping { paths: slots, features, names: vec![SlotName::default(); paths.len()], ..Mapping::default() }
}

/// A number as text: its bits, so that NaN equals NaN; 0 and -0 are the same integer.
fn number(x: f64) -> String {
    if x == 0.0 { "number 0".to_string() } else { format!("number {x:?} {:x}", if x.is_nan() { 0 } else { x.to_bits() }) }
}

impl Tree {
    fn at(&self, path: &[Step]) -> Option<&Tree> {
        path.iter().try_fold(self, |tree, step| match (tree, step) {
            (Tree::Object(entries), Step::Name(name)) => entries.get(name),
            (Tree::List(items), Step::Index(n)) => items.get(*n),
            (Tree::List(items), Step::Where { name, is }) => items.iter().rev().find(|item| match item {
                Tree::Object(entries) => entries.get(name).and_then(Tree::as_text).is_some_and(|text| text == *is),
                _ => false,
            }),
            _ => None,
        })
    }

    fn as_text(&self) -> Option<String> {
        let value = match self {
            Tree::Bool(b) => Value::Bool(*b),
            Tree::Number(x) => Value::Number(*x),
            Tree::Text(text) => Value::Text(text.as_str().into()),
            Tree::Null | Tree::Object(_) | Tree::List(_) | Tree::Other => return None,
        };
        canonical_text(value).map(|text| text.into_owned())
    }

    fn words(&self) -> String {
        match self {
            Tree::Null => "null".to_string(),
            Tree::Bool(b) => b.to_string(),
            Tree::Number(x) => number(*x),
            Tree::Text(text) => format!("text {text:?}"),
            Tree::Object(_) | Tree::List(_) | Tree::Other => "other".to_string(),
        }
    }

    /// What `mapping` must find.
    pub fn extract(&self, mapping: &Mapping) -> Extract {
        let slots = mapping.paths.iter().map(|(_, path)| self.at(path).map_or("absent".to_string(), Tree::words)).collect();
        let mut extract = Extract { slots, features: BTreeMap::new(), no_features: false };
        let Some(wanted) = &mapping.features else { return extract };
        let entries: Vec<(String, &Tree)> = match self.at(&wanted.path) {
            None | Some(Tree::Null) => Vec::new(),
            Some(Tree::Object(entries)) => entries.iter().map(|(name, tree)| (name.clone(), tree)).collect(),
            Some(Tree::List(items)) => items.iter().enumerate().map(|(i, tree)| (i.to_string(), tree)).collect(),
            Some(_) => {
                extract.no_features = true;
                return extract;
            }
        };
        let shown = |tree: &Tree| match tree {
            Tree::Text(text) => Tree::Text(beginning(text.as_str().into()).into_owned()).words(),
            other => other.words(),
        };
        let scalar = |tree: &Tree| !matches!(tree, Tree::Null | Tree::Object(_) | Tree::List(_) | Tree::Other);
        let features = entries.into_iter().filter(|(name, tree)| !wanted.exclude.contains(name) && scalar(tree));
        extract.features = features.map(|(name, tree)| (name, shown(tree))).collect();
        extract
    }
}

/// What the decoder found.
pub fn found(plan: &Plan, found: &Found<'_>) -> Extract {
    let words = |scalar: &Scalar<'_>| match scalar {
        Scalar::Absent => "absent".to_string(),
        Scalar::Null => "null".to_string(),
        Scalar::Bool(b) => b.to_string(),
        Scalar::Integer(i, _) | Scalar::Instant(i, _) => number(*i as f64),
        Scalar::Number(x, _) => number(*x),
        Scalar::Text(text) => format!("text {text:?}"),
        Scalar::Other(_) => "other".to_string(),
    };
    let value = |value: &Value<'_>| match value {
        Value::Null => "null".to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Number(x) => number(*x),
        Value::Text(text) => format!("text {text:?}"),
    };
    let singles = found.features.iter().map(|(ix, v)| (*ix, value(v)));
    let features: Vec<_> = singles.chain(found.doubles.iter().flat_map(|d| d.features()).map(|(ix, x)| (ix, number(x)))).collect();
    let count = features.len();
    let features: BTreeMap<String, String> = features.into_iter().map(|(ix, v)| (plan.feature_name(ix).to_string(), v)).collect();
    assert_eq!(features.len(), count, "a name came twice");
    let slots = plan.wanted_slots();
    Extract { slots: found.slots[..slots].iter().map(words).collect(), features, no_features: found.no_features.is_some() }
}

/// Runs a walk three times with one plan, as consecutive records do, and returns what it found, the same each time.
pub fn run<'a>(plan: &mut Plan, walk: impl Fn(&mut Sink<'_, 'a>) -> Result<(), Stop>) -> Result<Extract, Stop> {
    let (mut marks, mut results) = (Marks::default(), Vec::new());
    for _ in 0..3 {
        let mut here = Found::default();
        let mut sink = Sink { plan, found: &mut here, marks: &mut marks };
        sink.begin();
        let walked = walk(&mut sink);
        sink.end();
        results.push(walked.map(|()| found(plan, &here)));
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "a warm decoder differs: {results:?}");
    results.swap_remove(0)
}
