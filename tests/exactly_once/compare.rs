//! What a run has published, in a form that two runs can be compared in, and where they differ.
//!
//! Alerts are compared as they are, in order. How partials are cut into epochs is nobody's business: they are merged first, with the
//! engine's own merge, and compared by their canonical bytes.

use driftline::codec::wire::{Kind, Reader, Writer};
use driftline::engine::cell::CellKey;
use driftline::engine::partial;
use driftline::engine::plan::{EdgesRecord, Plan, PlanRecord};
use driftline::engine::summary::cell::{CellSummary, Counts, write_counts};
use driftline::engine::types::{PaneId, PaneKind, Partition};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::OnceLock;

/// Everything that a run leaves in its output topics.
#[derive(Default)]
pub struct Published {
    pub alerts: Alerts,
    /// Bytes of all partials, in any order.
    pub partials: Vec<Vec<u8>>,
    pub edges: Vec<EdgesRecord>,
    pub letters: Letters,
    /// `partials`, merged when somebody first asked for it.
    pub summaries: OnceLock<BTreeMap<Place, CellSummary>>,
}

/// An alert record.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    pub key: String,
    pub headers: Vec<(String, String)>,
    pub value: String,
}

/// The alerts topic, by partition, in offset order.
#[derive(Default)]
pub struct Alerts(pub Vec<Vec<AlertRecord>>);

/// (input, partition, offset, reason) of each dead letter.
#[derive(Default)]
pub struct Letters(pub Vec<(String, i32, i64, String)>);

/// A cell of a pane.
pub type Place = (PaneKind, PaneId, CellKey);

impl Alerts {
    pub fn new(summaries_partitions: i32) -> Alerts {
        Alerts(vec![Vec::new(); summaries_partitions as usize * 2])
    }

    pub fn add(&mut self, partition: Partition, key: String, headers: Vec<(String, String)>, value: Vec<u8>) {
        let value = String::from_utf8(value).expect("alerts are JSON here");
        self.0[partition.0 as usize].push(AlertRecord { key, headers, value });
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// How many alerts have each reason.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for record in self.0.iter().flatten() {
            let alert: Value = serde_json::from_str(&record.value).expect("alerts are JSON");
            *reasons.entry(alert["reason"].as_str().unwrap_or("?").to_string()).or_default() += 1;
        }
        reasons
    }
}

impl Published {
    /// All partials of each cell and pane in one.
    pub fn merged(&self) -> &BTreeMap<Place, CellSummary> {
        self.summaries.get_or_init(|| self.merge_partials())
    }

    fn merge_partials(&self) -> BTreeMap<Place, CellSummary> {
        let mut plan = Plan::default();
        self.edges.iter().for_each(|e| plan.observe(PlanRecord::Edges(e.clone())));
        let mut sum: BTreeMap<Place, CellSummary> = BTreeMap::new();
        for bytes in &self.partials {
            let partial = partial::read(&mut Reader::open_as(bytes, Kind::Partial).expect("a partial")).expect("a partial");
            for entry in partial.entries {
                let place = (entry.kind(), entry.pane, entry.cell);
                match sum.get_mut(&place) {
                    Some(known) => merge(known, &entry.summary, &place, &plan),
                    None => drop(sum.insert(place, entry.summary)),
                }
            }
        }
        sum
    }

    /// Fails at the first difference to what was expected.
    pub fn must_equal(&self, name: &str, expected: &Published, expected_name: &str) {
        let who = format!("{name} differs from {expected_name}");
        let sorted = |letters: &Letters| {
            let mut letters = letters.0.clone();
            letters.sort();
            letters
        };
        assert_eq!(sorted(&self.letters), sorted(&expected.letters), "{who}: dead letters");
        let (mine, theirs) = (self.merged(), expected.merged());
        for place in mine.keys().chain(theirs.keys()) {
            let (mine, theirs) = (mine.get(place), theirs.get(place));
            assert!(mine.map(bytes) == theirs.map(bytes), "{who}: summary of {place:?}\n{name}: {mine:?}\n{expected_name}: {theirs:?}");
        }
        let sorted = |edges: &[EdgesRecord]| edges.iter().map(|e| (e.key(), e.clone())).collect::<BTreeMap<_, _>>();
        let (mine, theirs) = (sorted(&self.edges), sorted(&expected.edges));
        for key in mine.keys().chain(theirs.keys()) {
            let (mine, theirs) = (mine.get(key), theirs.get(key));
            assert!(mine == theirs, "{who}: edges\n{name}: {mine:?}\n{expected_name}: {theirs:?}");
        }
        for (p, (mine, theirs)) in self.alerts.0.iter().zip(&expected.alerts.0).enumerate() {
            for at in 0..mine.len().max(theirs.len()) {
                let (mine, theirs) = (mine.get(at), theirs.get(at));
                assert!(mine == theirs, "{who}: alerts[{p}], number {at}\n{}", difference(mine, theirs, name, expected_name));
            }
        }
    }
}

fn merge(into: &mut CellSummary, other: &CellSummary, place: &Place, plan: &Plan) {
    into.counts.merge(&other.counts);
    for (name, signal) in &other.signals {
        let mine = into.signals.entry(name.clone()).or_default();
        match (&mut mine.numeric, &signal.numeric) {
            (Some(a), Some(b)) => a.merge(b, || plan.numeric(&place.2.model, name, place.1)),
            (none @ None, Some(b)) => *none = Some(b.clone()),
            _ => {}
        }
        match (&mut mine.category, &signal.category) {
            (Some(a), Some(b)) => a.merge(b),
            (none @ None, Some(b)) => *none = Some(b.clone()),
            _ => {}
        }
    }
}

/// A summary's canonical bytes: rows are written sorted.
fn bytes(summary: &CellSummary) -> Vec<u8> {
    let mut w = Writer::new();
    w.byte(u8::from(matches!(summary.counts, Counts::Pair(_))));
    write_counts(&mut w, &summary.counts);
    for (name, signal) in &summary.signals {
        w.text(name);
        signal.numeric.iter().for_each(|form| form.write(&mut w));
        signal.category.iter().for_each(|form| form.write(&mut w));
    }
    w.bytes
}

/// Two records, and the fields in which their values differ.
fn difference(mine: Option<&AlertRecord>, theirs: Option<&AlertRecord>, name: &str, expected_name: &str) -> String {
    let (Some(a), Some(b)) = (mine, theirs) else {
        return format!("{name}: {}\n{expected_name}: {}", shown(mine), shown(theirs));
    };
    let line = |what: &str, a: &dyn Debug, b: &dyn Debug| format!("  {what}\n    {name}: {a:?}\n    {expected_name}: {b:?}\n");
    let mut lines = Vec::new();
    if a.key != b.key {
        lines.push(line("key", &a.key, &b.key));
    }
    if a.headers != b.headers {
        lines.push(line("headers", &a.headers, &b.headers));
    }
    let (x, y): (Value, Value) = (serde_json::from_str(&a.value).unwrap_or_default(), serde_json::from_str(&b.value).unwrap_or_default());
    let none = serde_json::Map::new();
    let fields = x.as_object().unwrap_or(&none).keys().filter(|f| x[f.as_str()] != y[f.as_str()]);
    lines.extend(fields.map(|f| line(f, &x[f].to_string(), &y[f].to_string())));
    if a.value != b.value {
        lines.push(line("value", &a.value, &b.value));
    }
    lines.concat()
}

fn shown(record: Option<&AlertRecord>) -> &str {
    record.map_or("(no further alert)", |r| &r.value)
}
