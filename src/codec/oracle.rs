//! The oracle of both formats: a value that another library decoded, and what a mapping must find in it. For tests and fuzzing only.
#![allow(missing_docs)]

use super::event::{Value, beginning};
use super::found::{Found, Marks, Sink};
use super::mapping::{Mapping, Slot, SlotName};
use super::plan::{Plan, Stop};
use super::scalar::Scalar;
use crate::config::settings::{Features, TimeUnit};
use std::collections::BTreeMap;

/// A value of any format.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Object(BTreeMap<String, Tree>),
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
pub fn mapping(paths: &[Vec<String>], features: Option<Features>) -> Mapping {
    let slots = paths.iter().enumerate().map(|(i, p)| (Slot(i as u16), p.clone())).collect();
    Mapping { paths: slots, outside: Vec::new(), features, unit: TimeUnit::Auto, names: vec![SlotName::default(); paths.len()] }
}

/// A number as text: its bits, so that NaN equals NaN; 0 and -0 are the same integer.
fn number(x: f64) -> String {
    if x == 0.0 { "number 0".to_string() } else { format!("number {x:?} {:x}", if x.is_nan() { 0 } else { x.to_bits() }) }
}

impl Tree {
    fn at(&self, path: &[String]) -> Option<&Tree> {
        path.iter().try_fold(self, |tree, name| match tree {
            Tree::Object(entries) => entries.get(name),
            _ => None,
        })
    }

    fn words(&self) -> String {
        match self {
            Tree::Null => "null".to_string(),
            Tree::Bool(b) => b.to_string(),
            Tree::Number(x) => number(*x),
            Tree::Text(text) => format!("text {text:?}"),
            Tree::Object(_) | Tree::Other => "other".to_string(),
        }
    }

    /// What `mapping` must find.
    pub fn extract(&self, mapping: &Mapping) -> Extract {
        let slots = mapping.paths.iter().map(|(_, path)| self.at(path).map_or("absent".to_string(), Tree::words)).collect();
        let mut extract = Extract { slots, features: BTreeMap::new(), no_features: false };
        let Some(wanted) = &mapping.features else { return extract };
        match self.at(&wanted.path) {
            None | Some(Tree::Null) => {}
            Some(Tree::Object(entries)) => {
                let features = entries
                    .iter()
                    .filter(|(name, tree)| !wanted.exclude.contains(name) && !matches!(tree, Tree::Null | Tree::Object(_) | Tree::Other));
                let shown = |tree: &Tree| match tree {
                    Tree::Text(text) => Tree::Text(beginning(text.as_str().into()).into_owned()).words(),
                    other => other.words(),
                };
                extract.features = features.map(|(name, tree)| (name.clone(), shown(tree))).collect();
            }
            Some(_) => extract.no_features = true,
        }
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
    Extract { slots: found.slots.iter().map(words).collect(), features, no_features: found.no_features.is_some() }
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
