//! What the process is doing: shared between the members' threads (who write) and HTTP (who reads). Never on the record path.

use crate::engine::alert::Alert;
use crate::engine::detect::stream::{Phase, Rules, Stream, StreamKey};
use crate::engine::monitor::Monitor;
use crate::engine::monitor::force::InForce;
use crate::engine::types::{Input, Offset, PaneId, PaneKind, Partition};
use crate::registry::Registry;
use crate::stage::detect::DetectStage;
use crate::stage::join::JoinStage;
use dashmap::DashMap;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Streams that a member describes one by one at most.
const SHOWN: usize = 500;
/// Open alerts that a member describes at most, the newest ones.
const MOST_ALERTS: usize = 200;
/// A member is alive if its loop has turned within this time, ms.
const ALIVE_MS: i64 = 120_000;

/// Status of all members.
#[derive(Default)]
pub struct Board {
    members: DashMap<String, Member>,
    stopping: AtomicBool,
    registry: OnceLock<Arc<Registry>>,
}

#[derive(Default)]
struct Member {
    turned: AtomicI64,
    ready: AtomicBool,
    view: Value,
}

impl Board {
    /// A member exists; it is not ready yet.
    pub fn announce(&self, name: &str, now_ms: i64) {
        self.members.insert(name.to_string(), Member { turned: AtomicI64::new(now_ms), ..Member::default() });
    }

    /// The member's loop has turned.
    pub fn turned(&self, name: &str, now_ms: i64, ready: bool) {
        if let Some(m) = self.members.get(name) {
            m.turned.store(now_ms, Ordering::Relaxed);
            m.ready.store(ready, Ordering::Relaxed);
        }
    }

    /// What the member shows.
    pub fn show(&self, name: &str, view: Value) {
        if let Some(mut m) = self.members.get_mut(name) {
            m.view = view;
        }
    }

    /// Records may wait for this registry.
    pub fn watch(&self, registry: Arc<Registry>) {
        self.registry.set(registry).ok();
    }

    /// What somebody should know who finds the process not ready.
    pub fn waits_for(&self) -> String {
        match self.registry.get().and_then(|r| r.outage()) {
            Some(outage) => format!("waiting: {outage}"),
            None if self.stopping.load(Ordering::Relaxed) => "stopping".to_string(),
            None => "waiting for partitions or restoring state".to_string(),
        }
    }

    /// The process is ending.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Every member's loop turns.
    pub fn alive(&self, now_ms: i64) -> bool {
        self.members.iter().all(|m| now_ms - m.turned.load(Ordering::Relaxed) < ALIVE_MS)
    }

    /// Every member has its partitions and their state.
    pub fn ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed) && !self.members.is_empty() && self.members.iter().all(|m| m.ready.load(Ordering::Relaxed))
    }

    /// The whole status; `memory_limit` is what rows that wait may take.
    pub fn view(&self, app: &str, memory_limit: u64) -> Value {
        let members: BTreeMap<String, Value> =
            self.members.iter().map(|m| (m.key().clone(), json!({ "ready": m.ready.load(Ordering::Relaxed), "state": m.view }))).collect();
        let outage = self.registry.get().and_then(|r| r.outage());
        let ready = self.ready();
        json!({
            "app": app, "version": env!("CARGO_PKG_VERSION"), "ready": ready, "waits_for": (!ready).then(|| self.waits_for()),
            "registry_outage": outage, "memory_limit_bytes": memory_limit, "members": members,
        })
    }
}

/// The view of a join member. `unread`: records of an input's partition from an offset to its end, if known.
pub fn join_view(stage: &JoinStage, unread: &dyn Fn(Input, Partition, Offset) -> Option<u64>) -> Value {
    let tasks: Vec<Value> = stage
        .tasks()
        .map(|t| {
            let (rows, waiting, _) = t.join.census();
            let inputs: BTreeMap<&str, Value> = Input::BOTH
                .into_iter()
                .map(|i| (i.word(), json!({ "next_offset": t.next[i.index()].0, "unread": unread(i, t.partition, t.next[i.index()]), "watermark_ms": t.join.clocks[i.index()].watermark().0, "activity": format!("{:?}", t.activity[i.index()]), "waits_for_look_ahead": t.blocked[i.index()], "waits_for_schema": t.awaits_schema[i.index()], "open_transaction_at_offset": t.hanging[i.index()].stuck_at.map(|o| o.0) })))
                .collect();
            json!({ "partition": t.partition.0, "epoch": t.join.epoch.0 - 1, "pending_predictions": rows, "waiting_outcomes": waiting, "inputs": inputs })
        })
        .collect();
    json!({ "stage": "join", "tasks": tasks })
}

/// The view of a detect member.
pub fn detect_view(stage: &DetectStage) -> Value {
    let monitors: Vec<Value> = stage
        .monitors()
        .map(|(p, m)| {
            let blocker = |kind| m.marks().blocker(kind).map(|b| json!({ "source": b.0.0, "input": b.1.word(), "watermark_ms": b.2.0 }));
            let closed = m.progress().zip(m.definitions()).map(|(p, d)| json!({ "input_through_ms": d.pane.end(p.input).0, "pair_through_ms": d.pane.end(p.pair).0 }));
            json!({ "partition": p.0, "closed": closed, "open_panes": m.open_panes(), "held_back_by": { "input": blocker(PaneKind::Input), "pair": blocker(PaneKind::Pair) }, "streams": m.streams().count(), "definitions": m.definition_hash(), "versions": versions(m), "baselines": baselines(m) })
        })
        .collect();
    let models = count_models(stage);
    let (phases, active) = (summed(&models), count_open(stage));
    // the budget is the whole application's: each monitor has the same
    let budget = stage
        .monitors()
        .find_map(|(_, m)| m.definitions())
        .map(|d| json!({ "false_alarms": d.budget.false_alarms, "per_ms": d.budget.per.0, "streams": d.streams_cap }));
    json!({
        "stage": "detect", "monitors": monitors, "streams": phases, "models": models, "active_alerts": active, "budget": budget,
        "alerts": open_alerts(stage), "shown": shown_streams(stage),
    })
}

/// Open alerts, newest first: what is known about each by its last event.
fn open_alerts(stage: &DetectStage) -> Vec<Value> {
    let mut open: Vec<&Alert> = stage.monitors().flat_map(|(_, m)| m.streams().filter_map(|(_, stream)| stream.alert())).collect();
    open.sort_by(|a, b| b.opened_at.cmp(&a.opened_at).then(b.severity.cmp(&a.severity)).then(a.alert_id.cmp(&b.alert_id)));
    let shown = |a: &&Alert| {
        json!({
            "alert_id": a.alert_id, "severity": a.severity.word(), "kind": a.kind.word(), "model": a.model, "model_version": a.model_version,
            "segment": a.segment, "signal": a.signal, "opened_at_ms": a.opened_at.0, "change_point_ms": a.change_point.map(|t| t.0),
            "effect": a.effect, "summary": a.summary,
        })
    };
    open.iter().take(MOST_ALERTS).map(shown).collect()
}

/// Baseline files that a monitor was given, with the first instant that each holds from.
fn baselines(monitor: &Monitor) -> Vec<Value> {
    let since = |from: Option<PaneId>| Some(monitor.definitions()?.pane.start(from?).0);
    let one = |(model, id, from, rows): (&str, u64, Option<PaneId>, u64)| json!({ "model": model, "baseline": format!("{id:016x}"), "predictions": rows, "from_ms": since(from) });
    monitor.baselines().map(one).collect()
}

/// Definitions that panes to come (or a restart) are closed under: the newest last, with the first panes that it holds for.
fn versions(monitor: &Monitor) -> Vec<Value> {
    let since = |v: &InForce, i: usize| {
        let from = v.from[i];
        (from > PaneId(i64::MIN)).then(|| v.versioned.definitions.pane.start(from).0)
    };
    let shown = |v: &InForce| {
        let hash = v.rules().definition_hash.to_string();
        json!({ "version": v.versioned.version, "hash": hash, "inputs_from_ms": since(v, 0), "pairs_from_ms": since(v, 1) })
    };
    monitor.versions().iter().map(shown).collect()
}

/// Streams of whole models, and those with an open alert: what they are compared with, and what they can see.
fn shown_streams(stage: &DetectStage) -> Vec<Value> {
    let mut shown = Vec::new();
    for (_, monitor) in stage.monitors() {
        let Some(definitions) = monitor.definitions() else { continue };
        let rules = Rules { definitions, definition_hash: monitor.definition_hash() };
        let wanted = monitor.streams().filter(|(key, stream)| key.segment.is_empty() || stream.phase() == Phase::Alarming);
        for (key, stream) in wanted.take(SHOWN - shown.len()) {
            let s = stream.status(&rules);
            let smallest = s.smallest_detectable.map(|(value, unit)| json!({ "value": value, "unit": unit }));
            shown.push(json!({
                "model": key.model, "segment": key.segment, "signal": key.signal, "phase": word(s.phase), "rung": s.rung,
                "reference_events": s.reference_events, "detector": s.detector, "statistic_nats": s.statistic,
                "threshold_nats": s.threshold, "smallest_detectable_within_a_day": smallest,
            }));
        }
    }
    shown
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Learning => "learning",
        Phase::Watching => "watching",
        Phase::Alarming => "alarming",
    }
}

/// Streams of each model by phase.
type Models = BTreeMap<String, BTreeMap<&'static str, i64>>;

fn none() -> BTreeMap<&'static str, i64> {
    [Phase::Learning, Phase::Watching, Phase::Alarming].map(|phase| (word(phase), 0)).into()
}

/// Those that share the budget: limits test nothing, however many there are.
fn count_models(stage: &DetectStage) -> Models {
    let mut models = Models::new();
    for (key, stream) in streams(stage).filter(|(key, _)| key.form.shares_the_budget()) {
        if !models.contains_key(&key.model) {
            models.insert(key.model.clone(), none());
        }
        if let Some(n) = models.get_mut(&key.model).and_then(|of| of.get_mut(word(stream.phase()))) {
            *n += 1;
        }
    }
    models
}

/// Over all models by phase.
fn summed(models: &Models) -> BTreeMap<&'static str, i64> {
    let mut phases = none();
    models.values().flatten().for_each(|(phase, n)| *phases.entry(phase).or_default() += n);
    phases
}

/// Open episodes by model, those of limits among them.
fn count_open(stage: &DetectStage) -> BTreeMap<String, i64> {
    let mut open: BTreeMap<String, i64> = BTreeMap::new();
    for (key, stream) in streams(stage) {
        if !open.contains_key(&key.model) {
            open.insert(key.model.clone(), 0);
        }
        if let Some(n) = open.get_mut(&key.model) {
            *n += i64::from(stream.alert().is_some());
        }
    }
    open
}

fn streams(stage: &DetectStage) -> impl Iterator<Item = (&StreamKey, &Stream)> {
    stage.monitors().flat_map(|(_, monitor)| monitor.streams())
}

/// Streams that share the budget, by phase; open episodes by model.
pub fn count_streams(stage: &DetectStage) -> (BTreeMap<&'static str, i64>, BTreeMap<String, i64>) {
    (summed(&count_models(stage)), count_open(stage))
}
