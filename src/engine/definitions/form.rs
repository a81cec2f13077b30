//! Definitions as they lie in Kafka.
//!
//! Format 1 is a fixed list of fields. Format 2 is the same list and, by name, whatever came later (`fairness`, `favourable`, `outliers`,
//! `accepted`, `limits`).
//! Guarantees: what format 1 can say is written in format 1, so that older processes go on and the hash stays; equal definitions have equal
//! bytes.
//! Never: reads a rule that it does not know: somebody else watches by it, so the reader stops and says that it is too old.

use super::limit::Limit;
use super::{BaselineRule, Budget, Definitions, Fairness, JoinRules, ModelRules, Task, Tolerance};
use crate::codec::wire::Malformed;
use crate::engine::types::{EventTime, PaneSize, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When a model was accepted: by inputs, by pairs.
type Accepted = [Option<EventTime>; 2];

const ACCEPTED: &str = "accepted";
const FAIRNESS: &str = "fairness";
const FAVOURABLE: &str = "favourable";
const LIMITS: &str = "limits";
const OUTLIERS: &str = "outliers";

/// Format 1.
#[derive(Serialize, Deserialize)]
pub struct Form1 {
    app: String,
    revision: u64,
    pane: PaneSize,
    join: JoinRules,
    models: BTreeMap<String, ModelRules1>,
    dimensions: Vec<String>,
    segments: Vec<Vec<String>>,
    segment_cap: u32,
    baseline: BaselineRule,
    budget: Budget,
    streams_cap: u32,
    tolerance: Tolerance,
    reminder: Span,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct ModelRules1 {
    task: Task,
    positive: Option<String>,
}

/// Format 2.
#[derive(Serialize, Deserialize)]
pub struct Form2 {
    first: Form1,
    /// What format 1 has no place for, by name, each with its own bytes; what is not there is as if it were not set.
    more: BTreeMap<String, Vec<u8>>,
}

/// Of everything that format 1 has a place for.
fn first(d: &Definitions) -> Form1 {
    let d = d.clone();
    let rules = |(name, m): (String, ModelRules)| (name, ModelRules1 { task: m.task, positive: m.positive });
    Form1 {
        app: d.app,
        revision: d.revision,
        pane: d.pane,
        join: d.join,
        models: d.models.into_iter().map(rules).collect(),
        dimensions: d.dimensions,
        segments: d.segments,
        segment_cap: d.segment_cap,
        baseline: d.baseline,
        budget: d.budget,
        streams_cap: d.streams_cap,
        tolerance: d.tolerance,
        reminder: d.reminder,
        labels: d.labels,
        annotations: d.annotations,
    }
}

impl Form1 {
    /// Of definitions that format 1 can say.
    pub fn of(d: &Definitions) -> Option<Form1> {
        more(d).is_empty().then(|| first(d))
    }
}

fn more(d: &Definitions) -> BTreeMap<String, Vec<u8>> {
    fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
        postcard::to_stdvec(value).expect("plain data encodes")
    }
    let mut more = BTreeMap::new();
    let accepted: BTreeMap<&String, Accepted> =
        d.models.iter().filter(|(_, m)| m.accepted != [None; 2]).map(|(name, m)| (name, m.accepted)).collect();
    if !accepted.is_empty() {
        more.insert(ACCEPTED.to_owned(), bytes(&accepted));
    }
    if !d.fairness.is_empty() {
        more.insert(FAIRNESS.to_owned(), bytes(&d.fairness));
    }
    let favourable: BTreeMap<&String, &String> = d.models.iter().filter_map(|(name, m)| Some((name, m.favourable.as_ref()?))).collect();
    if !favourable.is_empty() {
        more.insert(FAVOURABLE.to_owned(), bytes(&favourable));
    }
    let limits: BTreeMap<&String, &Vec<Limit>> =
        d.models.iter().filter(|(_, m)| !m.limits.is_empty()).map(|(name, m)| (name, &m.limits)).collect();
    if !limits.is_empty() {
        more.insert(LIMITS.to_owned(), bytes(&limits));
    }
    if let Some(outliers) = &d.outliers {
        more.insert(OUTLIERS.to_owned(), bytes(outliers));
    }
    more
}

impl From<Definitions> for Form2 {
    fn from(d: Definitions) -> Form2 {
        Form2 { more: more(&d), first: first(&d) }
    }
}

impl From<Form1> for Definitions {
    fn from(f: Form1) -> Definitions {
        let rules = |(name, m): (String, ModelRules1)| (name, ModelRules { positive: m.positive, ..ModelRules::of(m.task) });
        Definitions {
            app: f.app,
            revision: f.revision,
            pane: f.pane,
            join: f.join,
            models: f.models.into_iter().map(rules).collect(),
            dimensions: f.dimensions,
            segments: f.segments,
            segment_cap: f.segment_cap,
            baseline: f.baseline,
            budget: f.budget,
            streams_cap: f.streams_cap,
            tolerance: f.tolerance,
            reminder: f.reminder,
            labels: f.labels,
            annotations: f.annotations,
            fairness: Vec::new(),
            outliers: None,
        }
    }
}

impl TryFrom<Form2> for Definitions {
    type Error = Malformed;

    fn try_from(form: Form2) -> Result<Definitions, Malformed> {
        fn value<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, Malformed> {
            postcard::from_bytes(bytes).map_err(|_| Malformed::Value("a rule of the definitions"))
        }
        let mut read = Definitions::from(form.first);
        for (name, bytes) in &form.more {
            match name.as_str() {
                ACCEPTED => {
                    for (model, accepted) in value::<BTreeMap<String, Accepted>>(bytes)? {
                        let rules = read.models.get_mut(&model).ok_or(Malformed::Value("an accepted change of no model"))?;
                        rules.accepted = accepted;
                    }
                }
                OUTLIERS => read.outliers = Some(value(bytes)?),
                FAIRNESS => read.fairness = value::<Vec<Fairness>>(bytes)?,
                FAVOURABLE => {
                    for (model, class) in value::<BTreeMap<String, String>>(bytes)? {
                        let rules = read.models.get_mut(&model).ok_or(Malformed::Value("a favourable class of no model"))?;
                        rules.favourable = Some(class);
                    }
                }
                LIMITS => {
                    for (model, limits) in value::<BTreeMap<String, Vec<Limit>>>(bytes)? {
                        let rules = read.models.get_mut(&model).ok_or(Malformed::Value("a limit of no model"))?;
                        rules.limits = limits;
                    }
                }
                _ => return Err(Malformed::Value("a rule of the definitions that only a newer driftline knows (upgrade this one)")),
            }
        }
        Ok(read)
    }
}
