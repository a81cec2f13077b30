//! What a seed stands for: how many members, partitions and panes, which settings, how many faults.

use super::draw::Draw;
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::join::Limits;
use driftline::engine::monitor::chunks::Pace;
use driftline::engine::types::Span;
use std::path::Path;
use std::sync::Arc;

/// 2025-03-03T00:00:00Z: the first event time.
pub const START_MS: i64 = 1_740_960_000_000;
const MINUTE: i64 = 60_000;

/// One history's frame.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where everything comes from.
    pub seed: u64,
    /// Members of the join stage.
    pub joiners: usize,
    /// Members of the detect stage.
    pub detectors: usize,
    /// Partitions of each input.
    pub partitions: i32,
    /// Partitions of the summaries.
    pub shards: i32,
    /// Models.
    pub models: usize,
    /// Width of a pane.
    pub pane_ms: i64,
    /// Panes of event time.
    pub panes: i64,
    /// Predictions a pane.
    pub per_pane: i64,
    /// All inputs are there from the start and end for good; otherwise a part of them comes as time passes.
    pub once: bool,
    /// Wall clock at the start.
    pub wall_ms: i64,
    /// Allowed lateness, in panes.
    pub lateness: i64,
    /// The join's window, in panes.
    pub window: i64,
    /// The join's early span, in panes.
    pub early: i64,
    /// Span after the first match, in panes.
    pub settle: i64,
    /// Span of duplicates, in panes.
    pub duplicates: i64,
    /// `baseline:` of the configuration.
    pub baseline: String,
    /// Panes that it is about.
    pub reference: i64,
    /// Records that end a join epoch.
    pub epoch_records: u64,
    /// Time that ends a join epoch.
    pub epoch_ms: i64,
    /// Records that a poll hands over at most.
    pub most_per_poll: usize,
    /// The topics have LogAppendTime.
    pub append_time: bool,
    /// Records may be deleted before anybody has read them.
    pub loses: bool,
    /// Faults to come.
    pub faults: usize,
    /// How often others act within a call of a process.
    pub meddling: f64,
    /// The join's patience with an input that has stopped, in panes.
    pub hold: Option<i64>,
    /// Bytes that live rows of a process may take.
    pub memory: Option<u64>,
    /// How fast state is written again.
    pub pace: Pace,
    /// Whether countries are compared as groups.
    pub groups: bool,
    /// Whether outliers are looked for.
    pub outliers: bool,
    /// Whether models have limits.
    pub limits: bool,
    /// Whether somebody orders drills.
    pub drills: bool,
    /// Whether somebody gives baseline files, and when.
    pub baselines: Baselines,
    /// Somebody's file says what can take the place of the definitions in force.
    pub amends: bool,
    /// In the end a newer driftline has been at work.
    pub newer: bool,
}

/// When somebody gives a baseline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baselines {
    /// Never.
    None,
    /// Before anything else.
    First,
    /// Before anything else, and now and then.
    Anytime,
}

impl Scenario {
    /// What `seed` stands for.
    pub fn of(seed: u64) -> Scenario {
        let (d, more) = (&mut Draw::new(seed, "scenario"), &mut Draw::new(seed, "more"));
        let once = d.chance(0.5);
        let pane_ms = d.of(&[10_000, 10_000, 20_000, 60_000]);
        let panes = d.between(320, 430);
        let (joiners, detectors) = d.of(&[(1, 1), (2, 1), (1, 2), (2, 2), (2, 2), (3, 1), (3, 2), (3, 2), (2, 3), (4, 1)]);
        let models = d.of(&[1, 1, 1, 2, 3]);
        // now and then a large one
        let crowd = if d.chance(0.04) { 4 } else { 1 };
        let backlog = if once { panes * pane_ms + 2 * 24 * 60 * MINUTE } else { pane_ms * panes * d.between(30, 95) / 100 };
        let from = time(START_MS);
        let (learn, reference) = match d.below(4) {
            0 => (true, d.between(20, 60)),
            1 => (false, 290),
            _ => (false, d.between(30, 120)),
        };
        let baseline = match learn {
            true => format!("{{ learn: {}s }}", pane_ms / 1_000 * reference),
            false => format!("{{ from: {from}, to: {} }}", time(START_MS + pane_ms * reference)),
        };
        Scenario {
            seed,
            joiners,
            detectors,
            partitions: d.of(&[4, 4, 5, 6, 8, 12, 16]),
            shards: d.of(&[1, 2, 3]),
            models,
            pane_ms,
            panes,
            per_pane: d.between(8, 14) * if models > 1 { 2 } else { 1 } * crowd,
            once,
            wall_ms: START_MS + backlog,
            lateness: d.between(1, 4),
            window: d.between(6, 50),
            early: d.between(1, 4),
            settle: d.between(2, 20),
            duplicates: d.between(1, 15),
            baseline,
            reference,
            epoch_records: d.of(&[20, 60, 120, 400, 100_000]),
            epoch_ms: d.of(&[500, 2_000, 10_000]),
            most_per_poll: if once { d.of(&[2, 4, 8, 30]) } else { d.of(&[5, 50, 500]) },
            append_time: !once && d.chance(0.2),
            loses: d.chance(if once { 0.4 } else { 0.5 }),
            faults: d.between(30, 200) as usize,
            meddling: more.of(&[0.0, 0.004, 0.01, 0.03]),
            hold: more.chance(if once { 0.06 } else { 0.4 }).then(|| more.between(1, 20)),
            memory: more.chance(if once { 0.04 } else { 0.25 }).then(|| more.between(2, 30) as u64 * 1_024),
            newer: more.chance(0.1),
            pace: more.of(&[
                Pace::default(),
                Pace { round: Span(60_000), closings: 64 },
                Pace { round: Span(5_000), closings: 16 },
                Pace { round: Span(600_000), closings: 24 },
            ]),
            groups: more.chance(0.5),
            outliers: more.chance(0.5),
            amends: more.chance(0.4),
            limits: more.chance(0.5),
            drills: more.chance(0.3),
            baselines: more.of(&[Baselines::None, Baselines::None, Baselines::None, Baselines::First, Baselines::Anytime]),
        }
    }

    /// About how many turns it takes without faults.
    pub fn turns(&self) -> usize {
        let most = (self.per_pane * self.panes * 2) as usize / (self.most_per_poll * self.joiners);
        if self.once { most.clamp(100, 3_000) } else { 2_500 }
    }

    /// Turns between two faults at most, so that they are spread over the whole history.
    pub fn fault_gap(&self) -> usize {
        2 * self.turns() / self.faults + 1
    }

    /// The longest that inputs may still come after the last fault.
    pub fn grace_ms(&self) -> i64 {
        if self.once { 0 } else { (self.panes + 120) * self.pane_ms }
    }

    /// What the amended file accepts: predictions from the middle of the history on, outcomes from the beginning.
    fn accepted(&self) -> String {
        let at = |pane: i64| time(START_MS + pane * self.pane_ms);
        format!(", accepted: {{ predictions: {}, outcomes: {} }}", at(self.panes / 2), at(1))
    }

    /// Limits that are passed now and then; the amended file has others.
    fn limits(&self, changed: bool, task: &str) -> String {
        if !self.limits {
            return String::new();
        }
        let span = |panes: i64| format!("{}s", panes * self.pane_ms / 1_000);
        let rows = self.per_pane * 3 / self.models as i64 / 4; // of a country in four panes
        let volume = format!("{{ signal: volume, below: {rows}, over: {}, for: {}, by: [country] }}", span(4), span(2));
        let nulls = format!(
            "{{ signal: 'null:note', above: {}, over: {}, for: {}, clear: 0.1, at_least: 20 }}",
            if changed { 0.3 } else { 0.25 },
            span(5),
            span(3)
        );
        let errors = format!("{{ signal: error, above: 0.3, over: {}, at_least: 15, by: [country] }}", span(6));
        let missed = format!("{{ signal: miss_rate, above: 0.3, over: {}, for: {}, at_least: 15 }}", span(9), span(4));
        let labels = format!("{{ signal: labels, below: {rows}, over: {} }}", span(3));
        let of_pairs = match (task.starts_with("binary"), changed) {
            (true, false) => format!(", {errors}, {missed}"),
            (true, true) => format!(", {errors}"),
            (false, _) => format!(", {labels}"),
        };
        format!(", limits: [ {volume}, {nulls}{of_pairs} ]")
    }

    /// The settings of a process with one of the files.
    pub fn settings(&self, file: File) -> Arc<Settings> {
        let changed = file != File::First;
        let window = self.window + i64::from(file == File::OtherJoin);
        let span = |panes: i64| format!("{}s", panes * self.pane_ms / 1_000);
        let models = ["binary, positive: 'yes'", "regression", "binary, positive: 'yes'"];
        // who has another file has not listed the last of several models
        let listed = if changed && self.models > 1 { self.models - 1 } else { self.models };
        let accepted = if changed { self.accepted() } else { String::new() };
        let of = |m: usize| format!("{}{accepted}{}", models[m], self.limits(changed, models[m]));
        let models: String = (0..listed).map(|m| format!("  {}: {{ task: {} }}\n", model(m), of(m))).collect();
        let config = format!(
            "\
app: sim
kafka: {{ brokers: 'nowhere:9092' }}
predictions: {{ topic: p, lateness: {lateness}, fields: {{ dimensions: {{ country: segments.country, city: segments.city }} }} }}
outcomes: {{ topic: o, lateness: {lateness} }}
join: {{ window: {window}, early: {early}, settle: {settle}, duplicates: {duplicates}, hold: {hold} }}
models:
{models}{further}segments: {{ by: {by}, cap: {cap} }}
panes: {{ size: {pane}s }}
baseline: {baseline}
budget: {{ false_alarms: {alarms}, per: {per}, streams: 8 }}
tolerance: {{ location: 0.01, scale: 0.01, rate_points: 0.0001, rate_relative: 0.01, psi: 0.001 }}
idle_timeout: 30s
silence_after: 90s
epoch: {{ records: {records}, time: {time}ms }}
summaries: {{ partitions: {shards} }}
alerts: {{ topic: sim.alerts, format: json, reminder: {reminder} }}
",
            lateness = span(self.lateness),
            window = span(window),
            early = span(self.early),
            settle = span(self.settle),
            duplicates = span(self.duplicates),
            hold = self.hold.map_or("24h".to_string(), span),
            further = [("fairness: [ { groups: [country] } ]\n", self.groups), ("outliers: { share: 0.01 }\n", self.outliers)]
                .map(|(lines, wanted)| if wanted { lines } else { "" })
                .concat(),
            by = if changed { "[[country], [city]]" } else { "[[country]]" },
            cap = if changed { 2 } else { 4 },
            pane = self.pane_ms / 1_000,
            baseline = self.baseline,
            alarms = if changed { 3 } else { 1 },
            per = span(60),
            records = self.epoch_records,
            time = self.epoch_ms,
            shards = self.shards,
            reminder = span(15),
        );
        let mut settings = load_text("sim.yaml", &config, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}\n{config}"));
        if self.seed.is_multiple_of(2) {
            settings.journal = Limits { least: 0, times: 1, per_epoch: 1_000 }; // cleaned all the time
        }
        settings.state = self.pace;
        settings.memory_limit = self.memory.unwrap_or(settings.memory_limit);
        Arc::new(settings)
    }
}

/// What a process's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// As at first.
    First,
    /// Other segments (by a further dimension), models and budget: definitions that can take the place of others.
    Amended,
    /// And another window: they can't.
    OtherJoin,
}

impl File {
    /// In the order of `History::files`.
    pub const ALL: [File; 3] = [File::First, File::Amended, File::OtherJoin];
}

/// Name of model number `m`.
pub fn model(m: usize) -> &'static str {
    ["fraud", "price", "churn"][m]
}

fn time(ms: i64) -> String {
    let text = jiff::Timestamp::from_millisecond(ms).expect("a time").to_string();
    format!("'{text}'")
}
