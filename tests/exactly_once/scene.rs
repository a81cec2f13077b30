//! The inputs: predictions of one model with their outcomes, and everything that real topics do to them.
//!
//! Deterministic (SplitMix64 with a fixed seed). Records come in the order of their arrival: event time plus up to 15 s. A real change
//! begins after two thirds; a part of it goes back. Labels come up to 30 panes later; some early, some never, some twice, some wrong,
//! some after the window; some records are late, some can't be read.

use super::split_mix::SplitMix64;
use driftline::log::partitioner::partition_of;

pub const PARTITIONS: u32 = 8;
pub const PANES: i64 = 1_800;
pub const PANE_MS: i64 = 240_000;
/// 2025-03-03T00:00:00Z.
pub const START_MS: i64 = 1_740_960_000_000;
/// Panes of the reference: more than a day, also for those that wait for their bins.
pub const REFERENCE: i64 = 700;
/// Everything changes here.
pub const CHANGE: i64 = 1_200;
/// `amount`, the mix of countries and the errors go back here; `age` grows on.
pub const BACK: i64 = 1_450;

/// The scene's unit of delays: a pane.
const A_PANE: i64 = PANE_MS;
const COUNTRIES: [&str; 5] = ["de", "fr", "it", "pl", "se"];

/// What a record says, for those who don't read bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub time: i64,
    pub label: &'static str,
}

/// A record of an input topic.
#[derive(Clone, Debug)]
pub struct Message {
    pub key: String,
    pub value: Option<String>,
    /// None if the record can't be read.
    pub event: Option<Event>,
}

/// Both inputs, by partition, in offset order.
pub struct Scene {
    pub predictions: Vec<Vec<Message>>,
    pub outcomes: Vec<Vec<Message>>,
}

impl SplitMix64 {
    /// About normal: the sum of twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Records with their arrival.
#[derive(Default)]
struct Arrivals(Vec<(i64, Message)>);

impl Arrivals {
    fn add(&mut self, at: i64, event: Event, value: String) {
        self.0.push((at, Message { key: event.id.clone(), value: Some(value), event: Some(event) }));
    }

    fn broken(&mut self, draw: &mut SplitMix64, value: Option<&str>) {
        let at = START_MS + draw.between(A_PANE, PANES * PANE_MS);
        self.0.push((at, Message { key: format!("broken-{at}"), value: value.map(str::to_string), event: None }));
    }

    fn by_partition(mut self) -> Vec<Vec<Message>> {
        self.0.sort_by_key(|m| m.0); // stable: equal arrivals stay in the order they were made in
        let mut partitions = vec![Vec::new(); PARTITIONS as usize];
        for (_, message) in self.0 {
            partitions[partition_of(message.key.as_bytes(), PARTITIONS).0 as usize].push(message);
        }
        partitions
    }
}

impl Scene {
    /// So many predictions, spread over the panes.
    pub fn new(n: usize) -> Scene {
        let draw = &mut SplitMix64(20_250_303);
        let (mut predictions, mut outcomes) = (Arrivals::default(), Arrivals::default());
        for i in 0..n {
            let arrival = START_MS + (i as i64 * PANES * PANE_MS) / n as i64;
            let late = draw.chance(0.01);
            let time = if late { arrival - draw.between(2 * A_PANE, 8 * A_PANE) } else { arrival - draw.between(0, 15_000) };
            let id = format!("r-{i:06}");
            let label = predict(&mut predictions, draw, arrival, time, &id);
            label_later(&mut outcomes, draw, time, &id, label);
        }
        for i in 0..n / 200 {
            let time = START_MS + draw.between(-2 * A_PANE, PANES * PANE_MS);
            outcome(&mut outcomes, draw, time, &format!("orphan-{i}"), "0");
        }
        for arrivals in [&mut predictions, &mut outcomes] {
            let broken = [
                Some("{\"request_id\": \"r-"),
                Some("no JSON"),
                Some("{\"event_time\": 1}"),
                Some("{\"request_id\": \"x\", \"event_time\": \"noon\"}"),
                None,
            ];
            (0..4).for_each(|_| broken.iter().for_each(|b| arrivals.broken(draw, *b)));
        }
        Scene { predictions: predictions.by_partition(), outcomes: outcomes.by_partition() }
    }

    /// Records of a topic.
    pub fn count(messages: &[Vec<Message>]) -> usize {
        messages.iter().map(Vec::len).sum()
    }
}

/// Writes a prediction, perhaps twice; its label.
fn predict(to: &mut Arrivals, draw: &mut SplitMix64, arrival: i64, time: i64, id: &str) -> &'static str {
    let pane = (time - START_MS).div_euclid(PANE_MS);
    let changed = (CHANGE..BACK).contains(&pane);
    let country = country(draw.unit(), changed);
    let amount = 100.0 + 20.0 * draw.normal() + if changed && country != "se" { 16.0 } else { 0.0 };
    let age = 40.0 + 10.0 * draw.normal() + 0.02 * (pane - CHANGE).clamp(0, 400) as f64;
    let score = (0.5 + 0.02 * (amount - 100.0) / 20.0 + 0.15 * draw.normal()).clamp(0.0, 1.0);
    let label = if score > 0.5 { "1" } else { "0" };
    let json = |time: i64, amount: f64| {
        let age = if id.ends_with("77") { "null".to_string() } else { format!("{age:.2}") };
        format!(
            "{{\"request_id\":\"{id}\",\"event_time\":{time},\"score\":{score:.4},\"label\":\"{label}\",\"features\":{{\"amount\":{amount:.2},\"age\":{age},\"country\":\"{country}\"}},\"segments\":{{\"country\":\"{country}\"}}}}"
        )
    };
    let event = |time| Event { id: id.to_string(), time, label };
    to.add(arrival, event(time), json(time, amount));
    if draw.chance(0.005) {
        to.add(arrival + draw.between(0, A_PANE), event(time), json(time, amount)); // delivered twice
    }
    if draw.chance(0.005) {
        let again = time + draw.between(0, 20 * A_PANE); // asked twice: a duplicate at first, later a prediction of its own
        to.add(again + draw.between(0, 15_000), event(again), json(again, amount + 1.0));
    }
    label
}

fn country(u: f64, changed: bool) -> &'static str {
    let ends = if changed { [0.30, 0.50, 0.65, 0.90] } else { [0.40, 0.70, 0.85, 0.95] };
    COUNTRIES[ends.iter().position(|end| u < *end).unwrap_or(4)]
}

fn label_later(to: &mut Arrivals, draw: &mut SplitMix64, time: i64, id: &str, predicted: &'static str) {
    if draw.chance(0.03) {
        return; // nobody ever knew
    }
    let pane = (time - START_MS).div_euclid(PANE_MS);
    let wrong = draw.chance(if (CHANGE..BACK).contains(&pane) { 0.22 } else { 0.10 });
    let observed = if wrong { other(predicted) } else { predicted };
    let u = draw.unit();
    let delay = match draw.between(0, 1_000) {
        0..5 => -draw.between(0, 50_000),                    // known before it was predicted
        5..15 => draw.between(38 * A_PANE, 60 * A_PANE),     // most of them after the window
        _ => 10_000 + (u * u * 30.0 * A_PANE as f64) as i64, // up to 30 panes
    };
    outcome(to, draw, time + delay, id, observed);
    if draw.chance(0.01) {
        let again = time + delay + draw.between(0, 20 * A_PANE); // some of them after `settle`
        let label = if draw.chance(0.5) { observed } else { other(observed) };
        outcome(to, draw, again, id, label);
    }
}

fn other(label: &str) -> &'static str {
    if label == "1" { "0" } else { "1" }
}

fn outcome(to: &mut Arrivals, draw: &mut SplitMix64, time: i64, id: &str, label: &'static str) {
    let held = if draw.chance(0.01) { draw.between(2 * A_PANE, 10 * A_PANE) } else { draw.between(0, 15_000) };
    let json = format!("{{\"request_id\":\"{id}\",\"event_time\":{time},\"label\":\"{label}\"}}");
    to.add(time + held, Event { id: id.to_string(), time, label }, json);
}
