//! The inputs of a history: predictions with a change in them, their outcomes, and everything that real topics do to both.
//!
//! Late, early and out-of-order records lie around each boundary (lateness, window, early, settle, pane) to the millisecond; some come
//! twice, some can't be read, some say times of another age, some lie in the partition of another partitioner, some partitions are
//! silent for a while or trail behind.

use super::draw::Draw;
use super::scenario::{START_MS, Scenario, model};
use driftline::log::partitioner::partition_of;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// A record on its way into a topic.
#[derive(Clone, Debug)]
pub struct Message {
    /// Wall clock of its arrival.
    pub arrival: i64,
    /// Key.
    pub key: String,
    /// Value; `None` is a tombstone.
    pub value: Option<String>,
}

/// Both inputs, by `Input::index` and partition, in the order of arrival.
pub struct Scene {
    /// The records.
    pub topics: [Vec<Vec<Message>>; 2],
    /// What was done to them, by kind.
    pub oddities: BTreeMap<&'static str, u64>,
}

/// A record before it is written down.
#[derive(Clone)]
struct Draft {
    arrival: i64,
    time: i64,
    id: String,
    model: usize,
    country: &'static str,
    x: f64,
    plan: &'static str,
    note: bool,
    label: bool,
    broken: Option<Broken>,
}

/// What is wrong with a record.
#[derive(Clone, Copy)]
enum Broken {
    Cut,
    Tombstone,
    NoId,
    OtherSchema,
    Micros,
    Ahead,
}

struct Maker<'s> {
    s: &'s Scenario,
    d: Draw,
    oddities: BTreeMap<&'static str, u64>,
    /// Predictions differ from the reference in these panes.
    changes: [(i64, i64); 2],
    foreign: bool,
}

/// The scene of a scenario.
pub fn scene(s: &Scenario) -> Scene {
    let mut d = Draw::new(s.seed, "inputs");
    // a change within the reference would teach that such changes are normal
    let early = d.between(s.panes / 5, s.panes / 2).max(s.reference.min(d.between(125, 200)));
    let late = s.panes * d.between(80, 90) / 100;
    let changes = [(early, early + d.between(20, 60)), (late, late + d.between(15, 80))];
    let foreign = d.chance(0.15);
    let mut maker = Maker { s, d, oddities: BTreeMap::new(), changes, foreign };
    let mut predictions = maker.predictions();
    predictions.iter_mut().for_each(|drafts| maker.settle_times(drafts));
    let mut outcomes = maker.outcomes(&predictions);
    outcomes.iter_mut().for_each(|drafts| maker.settle_times(drafts));
    let mut topics = [predictions, outcomes].map(|topic| topic.into_iter());
    let [p, o] = &mut topics;
    let mut topics = [p.map(|drafts| written(drafts, prediction)).collect::<Vec<_>>(), o.map(|drafts| written(drafts, outcome)).collect()];
    maker.trail(&mut topics);
    Scene { topics, oddities: maker.oddities }
}

impl Maker<'_> {
    fn odd(&mut self, what: &'static str) {
        *self.oddities.entry(what).or_default() += 1;
    }

    fn partition(&mut self, key: &str, outcome: bool) -> usize {
        let count = self.s.partitions as u32;
        if self.foreign && outcome && self.d.chance(0.02) {
            self.odd("another partitioner");
            return (xxh3_64(key.as_bytes()) % u64::from(count)) as usize;
        }
        partition_of(key.as_bytes(), count).0 as usize
    }

    fn topic(&self) -> Vec<Vec<Draft>> {
        vec![Vec::new(); self.s.partitions as usize]
    }

    fn predictions(&mut self) -> Vec<Vec<Draft>> {
        let mut topic = self.topic();
        for pane in 0..self.s.panes {
            // now and then more than a sample holds
            let crowd = if pane % 40 == 7 { 80 } else { 0 };
            for i in 0..self.s.per_pane + crowd {
                let draft = self.prediction(pane, i);
                let at = self.partition(&draft.id, false);
                self.repeat(&draft, &mut topic[at]);
                topic[at].push(draft);
            }
        }
        topic
    }

    fn prediction(&mut self, pane: i64, i: i64) -> Draft {
        let size = self.s.pane_ms;
        let changed = self.changes.iter().any(|c| (c.0..c.1).contains(&pane));
        let within = if self.d.chance(0.03) { self.d.of(&[0, 1, size - 1]) } else { self.d.between(0, size) };
        let time = START_MS + pane * size + within;
        let held = if self.d.chance(0.01) { self.d.between(0, self.s.lateness * size * 2) } else { self.d.between(0, size / 2) };
        let country = ["FR", "FR", "DE", "AT", "IT", "PT"][self.d.below(6)];
        let hit = changed && country == "FR";
        let x = self.d.unit() + self.d.unit() + if hit { 1.2 } else { 0.0 };
        let broken = if self.d.chance(0.004) {
            self.odd("unreadable record");
            Some(self.d.of(&[
                Broken::Cut,
                Broken::Tombstone,
                Broken::NoId,
                Broken::OtherSchema,
                Broken::Micros,
                Broken::Ahead,
                Broken::Ahead,
            ]))
        } else {
            None
        };
        Draft {
            arrival: time + held,
            time,
            id: format!("{pane}-{i}"),
            model: self.d.below(self.s.models),
            country,
            x,
            plan: ["a", "a", "b", if hit { "z" } else { "c" }][self.d.below(4)],
            note: !self.d.chance(if changed { 0.4 } else { 0.05 }),
            label: x > 1.0,
            broken,
        }
    }

    /// Some predictions come again: as they were (upstream sent them twice), or asked anew with the same id.
    fn repeat(&mut self, draft: &Draft, to: &mut Vec<Draft>) {
        if self.d.chance(0.008) {
            self.odd("upstream duplicate");
            to.push(Draft { arrival: draft.arrival + self.d.between(0, self.s.pane_ms), ..draft.clone() });
        }
        if self.d.chance(0.006) {
            self.odd("repeated id at the edge of its span");
            // a pilot brings the watermark to the last millisecond of the span, or just beyond it
            let arrival = draft.time + (self.s.duplicates + self.s.lateness) * self.s.pane_ms + self.d.between(0, 2);
            to.push(Draft { arrival, time: arrival, id: format!("pilot-{}", draft.id), broken: None, ..draft.clone() });
            to.push(Draft { arrival: arrival + 1, time: arrival, x: draft.x + 0.2, broken: None, ..draft.clone() });
        }
        if self.d.chance(0.008) {
            self.odd("repeated id");
            let span = (self.s.duplicates + self.s.lateness) * self.s.pane_ms;
            let later = if self.d.chance(0.5) { span + self.d.between(-1, 2) } else { self.d.between(0, 2 * span) };
            to.push(Draft { arrival: draft.arrival + later, time: draft.time + later, x: draft.x + 0.1, ..draft.clone() });
        }
    }

    /// Sorts by arrival, then moves some records to the edge of lateness: a millisecond before, on, and after it.
    fn settle_times(&mut self, drafts: &mut [Draft]) {
        drafts.sort_by_key(|draft| draft.arrival);
        let lateness = self.s.lateness * self.s.pane_ms;
        let mut highest = i64::MIN;
        let leap = if self.s.once && self.s.loses && self.d.chance(0.3) { self.d.below(drafts.len()) } else { usize::MAX };
        for (at, draft) in drafts.iter_mut().enumerate() {
            if at == leap {
                self.odd("a leap in time");
                draft.time += (90 + self.s.lateness) * self.s.pane_ms;
            }
            if highest > i64::MIN && self.d.chance(0.01) {
                self.odd("at the edge of lateness");
                draft.time = highest - lateness + self.d.between(-1, 2);
            }
            if draft.broken.is_none() {
                highest = highest.max(draft.time);
            }
        }
    }

    fn outcomes(&mut self, predictions: &[Vec<Draft>]) -> Vec<Vec<Draft>> {
        let mut topic = self.topic();
        for prediction in predictions.iter().flatten() {
            if self.d.chance(0.05) {
                continue; // nobody ever knew
            }
            let size = self.s.pane_ms;
            let (window, early) = (self.s.window * size, self.s.early * size);
            let delay = match self.d.below(100) {
                0..3 => window + self.d.between(-1, 2),
                3..5 => window + self.d.between(0, window),
                5..7 => -early + self.d.between(-1, 2),
                7..9 => -self.d.between(0, early),
                _ => (self.d.unit() * self.d.unit() * window as f64) as i64,
            };
            self.outcome(prediction, prediction.time + delay, &mut topic);
            if self.d.chance(0.03) {
                self.odd("second outcome");
                let settle = self.s.settle * size;
                let later = if self.d.chance(0.5) { settle + self.d.between(-1, 2) } else { self.d.between(0, 2 * settle) };
                self.outcome(prediction, prediction.time + delay + later, &mut topic);
            }
        }
        for i in 0..self.s.panes / 20 {
            let stray = self.prediction(self.s.panes * i / (self.s.panes / 20 + 1), i);
            let before = if i == 0 { self.s.early * self.s.pane_ms * 3 } else { 0 };
            self.outcome(&Draft { id: format!("stray-{i}"), ..stray.clone() }, stray.time - before, &mut topic);
        }
        topic
    }

    fn outcome(&mut self, of: &Draft, time: i64, topic: &mut [Vec<Draft>]) {
        let pane = (of.time - START_MS) / self.s.pane_ms;
        let changed = self.changes.iter().any(|c| (c.0..c.1).contains(&pane));
        let wrong = self.d.chance(if changed { 0.6 } else { 0.15 });
        let held = self.d.between(0, self.s.pane_ms);
        let broken =
            if self.d.chance(0.002) { Some(self.d.of(&[Broken::Cut, Broken::Tombstone, Broken::Micros, Broken::Ahead])) } else { None };
        let x = of.x + if changed { 0.6 } else { 0.0 } + self.d.unit() * 0.2;
        let at = self.partition(&of.id, true);
        topic[at].push(Draft { arrival: time + held, time, label: of.label != wrong, x, broken, ..of.clone() });
    }

    /// Some partitions trail behind or are silent for a while: what would have come then comes all at once, or never.
    fn trail(&mut self, topics: &mut [Vec<Vec<Message>>; 2]) {
        let [predictions, outcomes] = topics;
        for (predictions, outcomes) in predictions.iter_mut().zip(outcomes) {
            if !self.d.chance(0.25) {
                continue;
            }
            let from = START_MS + self.s.pane_ms * self.d.between(self.s.panes / 3, self.s.panes);
            let until = from + self.s.pane_ms * self.d.between(2, 60);
            let lost = self.d.chance(0.5);
            let concerned = self.d.of(&[[true, true], [true, false], [false, true]]);
            for (messages, _) in [predictions, outcomes].into_iter().zip(concerned).filter(|input| input.1) {
                if lost {
                    messages.retain(|m| !(from..until).contains(&m.arrival));
                } else {
                    messages.iter_mut().filter(|m| (from..until).contains(&m.arrival)).for_each(|m| m.arrival = until);
                }
            }
            self.odd(if lost { "silent partition" } else { "trailing partition" });
        }
    }
}

fn written(drafts: Vec<Draft>, text: fn(&Draft) -> String) -> Vec<Message> {
    let message = |draft: &Draft| {
        let value = match draft.broken {
            None => Some(text(draft)),
            Some(Broken::Cut) => Some(text(draft)[..20].to_string()),
            Some(Broken::Tombstone) => None,
            Some(Broken::NoId) => Some(text(draft).replace(&draft.id, "")),
            Some(Broken::OtherSchema) => Some(format!("{{\"v\":2,\"payload\":\"{}\"}}", draft.id)),
            Some(Broken::Ahead) => Some(text(&Draft { time: draft.time + 400 * 86_400_000, ..draft.clone() })),
            Some(Broken::Micros) => Some(text(draft).replace(&draft.time.to_string(), &format!("{}000", draft.time))),
        };
        Message { arrival: draft.arrival, key: draft.id.clone(), value }
    };
    drafts.iter().map(message).collect()
}

fn prediction(p: &Draft) -> String {
    let note = if p.note { format!("{:.1}", p.x * 3.0) } else { "null".to_string() };
    let label = if p.label { "yes" } else { "no" };
    // in no order: readers number features as they meet them
    let mut features = [format!("\"x\":{:.3}", p.x), format!("\"plan\":\"{}\"", p.plan), format!("\"note\":{note}")];
    features.rotate_left(p.time as usize % 3);
    format!(
        "{{\"request_id\":\"{}\",\"event_time\":{},\"model\":\"{}\",\"score\":{:.4},\"label\":\"{label}\",\"features\":{{{}}},\"segments\":{{\"country\":\"{}\",\"city\":\"{}\"}}}}",
        p.id,
        p.time,
        model(p.model),
        p.x / 4.0,
        features.join(","),
        p.country,
        if p.x > 0.9 { "north" } else { "south" }
    )
}

fn outcome(o: &Draft) -> String {
    let label = if o.label { "yes" } else { "no" };
    format!("{{\"request_id\":\"{}\",\"event_time\":{},\"label\":\"{label}\",\"value\":{:.4}}}", o.id, o.time, o.x / 4.0)
}
