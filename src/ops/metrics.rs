//! Prometheus metrics: `driftline_<what>_<unit>[_total]`, documented in docs/metrics.md.
//!
//! Guarantees: the record path touches plain integers only; they are taken over once per epoch. The number of series is capped.

use crate::codec::event::Reason;
use crate::config::settings::Settings;
use crate::engine::alert::{Kind, Severity, Status};
use crate::engine::journal::Activity;
use crate::engine::types::{EventTime, Input, PaneKind};
use crate::registry::gauges::Gauges;
use crate::stage::counters::{Counters, DELAY_BUCKETS};
use crate::stage::detect::DetectStage;
use crate::stage::join::JoinStage;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::atomic::AtomicI64;

mod budget;
mod performance;
mod shares;

use performance::{PERFORMANCE, Performances};
use shares::{How, Shares};

const DURATIONS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

const DROPPED: &str = "driftline_series_dropped";

/// Lines that a metric takes in the text format.
fn series(metric: &prometheus::proto::Metric) -> usize {
    match metric.get_histogram().get_bucket().len() {
        0 => 1,
        buckets => buckets + 3, // +Inf, sum, count
    }
}

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    max_series: usize,
    series_dropped: IntGauge,
    http_refused: IntCounter,
    /// When the listener's certificate ends.
    pub certificate_expiry: Gauge,
    budget: Gauge,
    budget_streams: IntGauge,
    /// So many streams have been warned of.
    warned_of: AtomicI64,
    build_info: IntGaugeVec,
    inputs: Inputs,
    epochs: Epochs,
    panes: Panes,
    /// Those of the schema registry, for the thread that asks it.
    pub schemas: Gauges,
    performance: Performances,
}

/// What the join stage reads and keeps.
struct Inputs {
    records_read: IntCounterVec,
    records: IntCounterVec,
    joined: IntCounter,
    late: IntCounterVec,
    outliers: IntCounter,
    dead_letters: IntCounterVec,
    pending_rows: Shares,
    pending_bytes: Shares,
    watermark: Shares,
    event_time_lag: Shares,
    label_delay: Histogram,
    time_raised: IntCounter,
    time_jumped: IntCounter,
    journal_bytes: IntCounter,
    journal_epochs: Shares,
    journal_size: Shares,
    digest_mismatches: IntCounter,
    released: IntCounterVec,
    stuck: Shares,
}

/// Transactions of both stages.
struct Epochs {
    epochs: IntCounterVec,
    transactions: IntCounterVec,
    transaction_time: HistogramVec,
    restore_time: HistogramVec,
}

/// What the detect stage closes and publishes.
struct Panes {
    labels: IntCounterVec,
    coverage: Gauge,
    panes: IntCounterVec,
    open_panes: Shares,
    pane_delay: Shares,
    blocked: Shares,
    streams: Shares,
    alerts: IntCounterVec,
    active: Shares,
    moved_pairs: IntCounter,
    mixed: IntCounter,
    refused_segments: IntCounter,
    refused_models: IntCounter,
    refused_commands: IntCounter,
    definitions_stale: IntCounterVec,
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, metric: Result<C, prometheus::Error>) -> C {
    let metric = metric.expect("metric names are constants and valid");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once");
    metric
}

fn registered(registry: &Registry, gauges: Gauges) -> Gauges {
    let Gauges { requests, away_since, schemas } = gauges;
    Gauges { requests: kept(registry, Ok(requests)), away_since: kept(registry, Ok(away_since)), schemas: kept(registry, Ok(schemas)) }
}

/// Makes metrics and registers them.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        kept(self.0, IntCounterVec::new(Opts::new(name, help), labels))
    }
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        kept(self.0, IntCounter::new(name, help))
    }
    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        kept(self.0, IntGaugeVec::new(Opts::new(name, help), labels))
    }
    fn floats(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        kept(self.0, GaugeVec::new(Opts::new(name, help), labels))
    }
    fn shares(&self, how: How, name: &str, help: &str, labels: &[&str]) -> Shares {
        Shares::new(self.floats(name, help, labels), how)
    }
    fn delays(&self, name: &str, help: &str) -> Histogram {
        kept(self.0, Histogram::with_opts(HistogramOpts::new(name, help).buckets(DELAY_BUCKETS.to_vec())))
    }
    fn times(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        kept(self.0, HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATIONS.to_vec()), labels))
    }
}

impl Inputs {
    fn new(make: &Maker<'_>) -> Inputs {
        Inputs {
            records_read: make.counters("driftline_records_read_total", "Records handed over by Kafka", &["input"]),
            records: make.counters("driftline_records_total", "Records by what became of them", &["input", "verdict"]),
            joined: make.counter("driftline_joined_total", "Predictions that got their first outcome"),
            outliers: make.counter("driftline_outliers_total", "Predictions that lie far out; each is on the outliers topic"),
            late: make.counters("driftline_late_total", "Rows that came too late, by reason: below_watermark or closed_pane", &["reason"]),
            dead_letters: make.counters(
                "driftline_dead_letters_total",
                "Records that could not be used; they are kept in the dead-letters topic",
                &["input", "reason"],
            ),
            pending_rows: make.shares(
                How::Sum,
                "driftline_pending_rows",
                "Rows in the join's memory: predictions, or outcomes that wait for theirs",
                &["kind"],
            ),
            pending_bytes: make.shares(How::Sum, "driftline_pending_bytes", "Bytes of the join's memory", &["stage"]),
            watermark: make.shares(
                How::Largest,
                "driftline_watermark_seconds",
                "Event time that is certain, seconds since 1970, per source partition",
                &["input", "partition"],
            ),
            event_time_lag: make.shares(
                How::Largest,
                "driftline_event_time_lag_seconds",
                "Wall clock less the highest event time read, per source partition",
                &["input", "partition"],
            ),
            label_delay: make.delays("driftline_label_delay_seconds", "Time from a prediction to its first outcome"),
            time_raised: make.counter(
                "driftline_outcome_time_raised_total",
                "Outcomes whose time was raised to the watermark: their topic is not sorted by time",
            ),
            time_jumped: make.counter("driftline_time_jumped_total", "Jumps of event time by more than a day"),
            journal_bytes: make.counter("driftline_journal_bytes_total", "Bytes published to the journal"),
            journal_epochs: make.shares(
                How::Largest,
                "driftline_journal_epochs",
                "Epochs between the journal's floor and its end: what a restart reads",
                &["partition"],
            ),
            journal_size: make.shares(
                How::Largest,
                "driftline_journal_size_bytes",
                "Bytes of the journal from its floor to its end: what a restart reads",
                &["partition"],
            ),
            released: make.counters(
                "driftline_released_total",
                "Rows that were let go because the other input stopped or memory was full",
                &["input"],
            ),
            stuck: make.shares(
                How::Largest,
                "driftline_input_stuck",
                "1 while a transaction that nobody ends keeps the input from being read",
                &["input", "partition"],
            ),
            digest_mismatches: make
                .counter("driftline_digest_mismatches_total", "Rebuilt tasks whose rows differ from the journal's digest: report it"),
        }
    }
}

impl Epochs {
    fn new(make: &Maker<'_>) -> Epochs {
        Epochs {
            epochs: make.counters("driftline_epochs_total", "Epochs committed", &["stage"]),
            transactions: make.counters(
                "driftline_transactions_total",
                "Attempts to commit, by outcome: committed, aborted, unknown, stale, fenced",
                &["stage", "outcome"],
            ),
            transaction_time: make.times("driftline_transaction_duration_seconds", "Time to publish and commit an epoch", &["stage"]),
            restore_time: make.times("driftline_restore_duration_seconds", "Time to rebuild the state of a task from the log", &["stage"]),
        }
    }
}

impl Panes {
    fn new(make: &Maker<'_>) -> Panes {
        Panes {
            labels: make.counters(
                "driftline_labels_total",
                "Predictions of closed panes, by whether an outcome came within the window",
                &["state"],
            ),
            coverage: kept(
                make.0,
                Gauge::new(
                    "driftline_label_coverage_ratio",
                    "Share of decided predictions that got an outcome within the window, since start",
                ),
            ),
            panes: make.counters("driftline_panes_closed_total", "Closed panes that held something", &["kind"]),
            open_panes: make.shares(How::Sum, "driftline_open_panes", "Panes that hold something and are not closed", &["kind"]),
            pane_delay: make.shares(
                How::Largest,
                "driftline_pane_delay_seconds",
                "Wall clock less the end of the last closed pane",
                &["kind"],
            ),
            blocked: make.shares(
                How::Largest,
                "driftline_pane_blocked_by_partition",
                "The source partition that holds back panes of this kind; -1: none",
                &["kind"],
            ),
            streams: make.shares(How::Sum, "driftline_streams", "Monitored streams (signal times segment)", &["phase"]),
            alerts: make.counters("driftline_alerts_total", "Alert events published", &["kind", "severity", "status"]),
            active: make.shares(How::Sum, "driftline_active_alerts", "Episodes that are open", &["model"]),
            moved_pairs: make
                .counter("driftline_moved_pairs_total", "Pairs that came for a closed pane and were counted in the first open one"),
            mixed: make.counter(
                "driftline_unfolded_signals_total",
                "Signals of panes that were not folded because sources disagreed on their bins",
            ),
            refused_segments: make.counter(
                "driftline_refused_segments_total",
                "Closed panes of segments that the cap refuses; their rows stay in their ancestors",
            ),
            refused_models: make.counter(
                "driftline_refused_models_total",
                "Closed panes of models that are not listed and came after a thousand others; nothing of them is watched",
            ),
            refused_commands: make.counter(
                "driftline_refused_commands_total",
                "Commands in the summaries topic that can't be obeyed: drills beyond sixteen at a time or without definitions, commands of a later version",
            ),
            definitions_stale: make.counters(
                "driftline_definitions_stale_total",
                "Proposed definitions that differ from those in force and were not adopted",
                &["reason"],
            ),
        }
    }
}

impl Metrics {
    /// A fresh registry with the metrics of `settings`' process.
    pub fn new(settings: &Settings) -> Metrics {
        let registry = Registry::new();
        let make = Maker(&registry);
        let metrics = Metrics {
            series_dropped: kept(&registry, IntGauge::new(DROPPED, "Series left out of this answer because of metrics.max_series")),
            certificate_expiry: kept(&registry, super::door::expiry()),
            http_refused: make.counter(
                "driftline_http_refused_total",
                "Requests for /metrics or /status that came too fast, and connections beyond 256 at a time",
            ),
            budget: kept(
                &registry,
                Gauge::new("driftline_budget_false_alarms_per_day", "False alarms a day that the budget allows the whole application"),
            ),
            budget_streams: kept(
                &registry,
                IntGauge::new("driftline_budget_streams", "Streams that the budget is split over; more than these raise more false alarms"),
            ),
            warned_of: AtomicI64::new(0),
            inputs: Inputs::new(&make),
            epochs: Epochs::new(&make),
            panes: Panes::new(&make),
            schemas: registered(&registry, Gauges::default()),
            performance: Performances::new(&make),
            build_info: make.gauges("driftline_build_info", "Version of this build", &["version"]),
            max_series: settings.max_series,
            registry,
        };
        metrics.show_budget(&settings.definitions);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self())).ok();
        metrics.begin_at_zero();
        metrics
    }

    /// Counters that rules watch begin at 0: a series that appears with its first event shows no increase.
    fn begin_at_zero(&self) {
        for input in Input::BOTH {
            Reason::ALL.iter().for_each(|reason| self.inputs.dead_letters.with_label_values(&[input.word(), reason.word()]).inc_by(0));
        }
        for kind in Kind::ALL {
            for severity in Severity::ALL {
                for status in Status::ALL {
                    self.panes.alerts.with_label_values(&[kind.word(), severity.word(), status.word()]).inc_by(0);
                }
            }
        }
    }

    /// A request was refused.
    pub fn refused_request(&self) {
        self.http_refused.inc();
    }

    /// The text format, capped.
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.sort_by_key(|f| f.name() == PERFORMANCE); // last: it has series by model, and what drives alarms comes before it
        let mut left = self.max_series.saturating_sub(1); // one tells how many are missing
        let mut dropped = 0;
        for family in families.iter_mut().filter(|f| f.name() != DROPPED) {
            let before = family.get_metric().len();
            let keep = family.get_metric().iter().take_while(|m| left.checked_sub(series(m)).map(|l| left = l).is_some()).count();
            dropped += family.get_metric()[keep..].iter().map(series).sum::<usize>();
            if keep < before {
                left = 0; // what is missing does not depend on the size of what follows
                family.mut_metric().truncate(keep);
            }
        }
        self.series_dropped.set(dropped as i64);
        families.retain(|f| f.name() != DROPPED && !f.get_metric().is_empty());
        families.extend(self.series_dropped.collect());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).ok();
        String::from_utf8(text).unwrap_or_default()
    }

    /// Names, help texts, types and labels of every metric, as Markdown rows.
    pub fn reference(&self) -> String {
        let mut rows: Vec<String> = self
            .describe()
            .into_iter()
            .map(|(name, help, labels)| {
                format!(
                    "| `{name}` | {} | {help} |",
                    if labels.is_empty() {
                        "-".to_string()
                    } else {
                        labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ")
                    }
                )
            })
            .collect();
        rows.sort();
        rows.join("\n")
    }

    fn describe(&self) -> Vec<(String, String, Vec<String>)> {
        let (i, e, p) = (&self.inputs, &self.epochs, &self.panes);
        let inputs: [&dyn Collector; 19] = [
            &i.records_read,
            &i.records,
            &i.joined,
            &i.late,
            &i.outliers,
            &i.dead_letters,
            &i.pending_rows,
            &i.pending_bytes,
            &i.watermark,
            &i.event_time_lag,
            &i.label_delay,
            &i.time_raised,
            &i.time_jumped,
            &i.journal_bytes,
            &i.journal_epochs,
            &i.journal_size,
            &i.digest_mismatches,
            &i.released,
            &i.stuck,
        ];
        let epochs: [&dyn Collector; 10] = [
            &self.series_dropped,
            &self.http_refused,
            &self.certificate_expiry,
            &self.budget,
            &self.budget_streams,
            &self.build_info,
            &e.epochs,
            &e.transactions,
            &e.transaction_time,
            &e.restore_time,
        ];
        let panes: [&dyn Collector; 17] = [
            &p.labels,
            &p.coverage,
            &p.panes,
            &p.open_panes,
            &p.pane_delay,
            &p.blocked,
            &p.streams,
            &p.alerts,
            &p.active,
            &p.moved_pairs,
            &p.mixed,
            &p.refused_segments,
            &p.refused_models,
            &p.refused_commands,
            &p.definitions_stale,
            &self.performance.gauge,
            &self.performance.outside,
        ];
        let schemas = self.schemas.all();
        let all = inputs.iter().chain(&epochs).chain(&panes).chain(&schemas);
        all.flat_map(|c| c.desc()).map(|d| (d.fq_name.clone(), d.help.clone(), d.variable_labels.clone())).collect()
    }

    /// Takes over what a join member counted, and shows where its tasks stand.
    pub fn absorb_join(&self, member: &str, stage: &mut JoinStage, now_ms: i64) {
        let c = std::mem::take(&mut stage.counters);
        for input in Input::BOTH {
            self.inputs.records_read.with_label_values(&[input.word()]).inc_by(c.records[input.index()]);
            self.inputs.released.with_label_values(&[input.word()]).inc_by(c.join.released[input.index()]);
        }
        let t = &c.join;
        let verdict = |input: Input, word: &str, n: u64| self.inputs.records.with_label_values(&[input.word(), word]).inc_by(n);
        Input::BOTH.into_iter().for_each(|input| verdict(input, "skipped", c.skipped[input.index()]));
        verdict(Input::Predictions, "accepted", t.accepted);
        verdict(Input::Predictions, "duplicate", t.duplicates);
        verdict(Input::Predictions, "late", t.late);
        verdict(Input::Predictions, "unlabelled", t.unlabelled);
        verdict(Input::Outcomes, "waiting", t.waiting);
        verdict(Input::Outcomes, "duplicate", t.duplicate_outcomes);
        verdict(Input::Outcomes, "conflicting", t.conflicting_outcomes);
        verdict(Input::Outcomes, "orphan", t.orphans);
        verdict(Input::Outcomes, "before_start", t.before_start);
        self.inputs.late.with_label_values(&["below_watermark"]).inc_by(t.late);
        self.inputs.joined.inc_by(t.joined);
        self.inputs.outliers.inc_by(t.outliers);
        self.inputs.time_raised.inc_by(t.outcome_time_raised);
        self.inputs.time_jumped.inc_by(c.time_jumped);
        self.inputs.journal_bytes.inc_by(c.journal_bytes);
        self.inputs.digest_mismatches.inc_by(c.digest_mismatches);
        self.observe_delays(t.delays, t.delay_ms);
        for ((input, reason), n) in &c.dead_letters {
            self.inputs.dead_letters.with_label_values(&[Input::BOTH[*input].word(), reason.word()]).inc_by(*n);
            verdict(Input::BOTH[*input], "dead_letter", *n);
        }
        self.absorb_epochs("join", &c);
        self.show_tasks(member, stage, now_ms);
    }

    fn observe_delays(&self, delays: [u64; DELAY_BUCKETS.len() + 1], sum_ms: u64) {
        let n: u64 = delays.iter().sum();
        if n == 0 {
            return;
        }
        let local = self.inputs.label_delay.local(); // without an atomic operation per label
        // the bucket is exact; inside it the batch's mean stands for each label
        for (i, count) in delays.iter().enumerate() {
            let upper = DELAY_BUCKETS.get(i).copied().unwrap_or(f64::INFINITY);
            let lower = if i == 0 { 0.0 } else { DELAY_BUCKETS[i - 1] };
            let mean = sum_ms as f64 / 1_000.0 / n as f64;
            let value = mean.clamp(lower + f64::EPSILON * lower.max(1.0), upper);
            (0..*count).for_each(|_| local.observe(value));
        }
        local.flush();
    }

    fn absorb_epochs(&self, stage: &str, c: &Counters) {
        self.epochs.epochs.with_label_values(&[stage]).inc_by(c.epochs);
        for (outcome, n) in &c.transactions {
            self.epochs.transactions.with_label_values(&[stage, outcome]).inc_by(*n);
        }
        c.transaction_ms.iter().for_each(|ms| self.epochs.transaction_time.with_label_values(&[stage]).observe(ms / 1_000.0));
        c.restores_ms.iter().for_each(|ms| self.epochs.restore_time.with_label_values(&[stage]).observe(ms / 1_000.0));
    }

    fn show_tasks(&self, member: &str, stage: &JoinStage, now_ms: i64) {
        let (mut rows, mut waiting, mut bytes) = (0, 0, 0);
        let (mut stuck, mut watermark, mut lag) = (Vec::new(), Vec::new(), Vec::new());
        let (mut epochs, mut size) = (Vec::new(), Vec::new());
        let partitions: Vec<String> = stage.tasks().map(|t| t.partition.0.to_string()).collect();
        for (task, partition) in stage.tasks().zip(&partitions) {
            let (r, w, _) = task.join.census();
            (rows, waiting, bytes) = (rows + r, waiting + w, bytes + task.join.bytes());
            for input in Input::BOTH {
                let is_stuck = task.activity[input.index()] == Activity::Stuck;
                stuck.push((vec![input.word(), partition], f64::from(u8::from(is_stuck))));
                let clock = &task.join.clocks[input.index()];
                if clock.peeked > EventTime::MIN {
                    watermark.push((vec![input.word(), partition], clock.watermark().0 as f64 / 1_000.0));
                    lag.push((vec![input.word(), partition], (now_ms - clock.peeked.0) as f64 / 1_000.0));
                }
            }
            epochs.push((vec![partition.as_str()], (task.join.epoch.0 - task.floor.0) as f64));
            size.push((vec![partition.as_str()], task.join.cleaning.journal_bytes() as f64));
        }
        let i = &self.inputs;
        i.stuck.say(member, stuck);
        i.watermark.say(member, watermark);
        i.event_time_lag.say(member, lag);
        i.journal_epochs.say(member, epochs);
        i.journal_size.say(member, size);
        i.pending_rows.say(member, [(vec!["predictions"], rows as f64), (vec!["outcomes"], waiting as f64)]);
        i.pending_bytes.say(member, [(vec!["join"], bytes as f64)]);
    }

    /// Takes over what a detect member counted, and shows where its monitors stand.
    pub fn absorb_detect(&self, member: &str, stage: &mut DetectStage, now_ms: i64) {
        let c = std::mem::take(&mut stage.counters);
        for (word, i) in [("input", 0), ("pair", 1)] {
            self.panes.panes.with_label_values(&[word]).inc_by(c.monitor.panes[i]);
        }
        self.inputs.late.with_label_values(&["closed_pane"]).inc_by(c.monitor.late_rows);
        self.panes.moved_pairs.inc_by(c.monitor.moved_pairs);
        self.panes.mixed.inc_by(c.monitor.mixed);
        self.panes.refused_segments.inc_by(c.monitor.refused_segments);
        self.panes.refused_models.inc_by(c.monitor.refused_models);
        self.panes.refused_commands.inc_by(c.monitor.refused_commands);
        for (reason, n) in [("superseded", c.monitor.stale_definitions), ("fixed", c.monitor.refused_definitions)] {
            self.panes.definitions_stale.with_label_values(&[reason]).inc_by(n);
        }
        self.performance.outside.inc_by(c.monitor.outside);
        self.panes.labels.with_label_values(&["labelled"]).inc_by(c.monitor.labels.0);
        self.panes.labels.with_label_values(&["unlabelled"]).inc_by(c.monitor.labels.1);
        let (labelled, unlabelled) =
            (self.panes.labels.with_label_values(&["labelled"]).get(), self.panes.labels.with_label_values(&["unlabelled"]).get());
        if labelled + unlabelled > 0 {
            self.panes.coverage.set(labelled as f64 / (labelled + unlabelled) as f64);
        }
        for ((kind, severity, status), n) in &c.alerts {
            self.panes.alerts.with_label_values(&[kind, severity, status]).inc_by(*n);
        }
        self.absorb_epochs("detect", &c);
        self.show_monitors(member, stage, now_ms);
    }

    fn show_monitors(&self, member: &str, stage: &DetectStage, now_ms: i64) {
        let mut open = [0, 0];
        // of each kind the pane that is furthest behind, and what holds it back
        let mut furthest: [Option<(i64, i32)>; 2] = [None; 2];
        for (_, monitor) in stage.monitors() {
            let panes = monitor.open_panes();
            open = [open[0] + panes[0], open[1] + panes[1]];
            let (Some(d), Some(progress)) = (monitor.definitions(), monitor.progress()) else { continue };
            self.show_budget(d);
            for (i, kind, pane) in [(0, PaneKind::Input, progress.input), (1, PaneKind::Pair, progress.pair)] {
                let (delay, blocker) = (now_ms - d.pane.end(pane).0, monitor.marks().blocker(kind).map_or(-1, |b| b.0.0));
                furthest[i] = furthest[i].max(Some((delay, blocker)));
            }
        }
        let kinds = ["input", "pair"];
        let of = |value: fn((i64, i32)) -> f64| kinds.into_iter().zip(furthest).filter_map(move |(k, f)| f.map(|f| (vec![k], value(f))));
        self.panes.pane_delay.say(member, of(|f| f.0 as f64 / 1_000.0));
        self.panes.blocked.say(member, of(|f| f64::from(f.1)));
        self.panes.open_panes.say(member, kinds.into_iter().zip(open).map(|(k, n)| (vec![k], n as f64)));
    }

    /// Streams by phase, open episodes by model, how well models do (a walk over all streams: not with every epoch).
    pub fn show_streams(&self, member: &str, stage: &DetectStage) {
        let known = stage.monitors().flat_map(|(_, monitor)| monitor.performance());
        self.performance.show(member, known.map(|(model, p)| (model, p.metrics())));
        let (phases, active) = super::status::count_streams(stage);
        self.compare_with_budget(phases.values().sum());
        self.panes.streams.say(member, phases.iter().map(|(phase, n)| (vec![*phase], *n as f64)));
        self.panes.active.say(member, active.iter().map(|(model, n)| (vec![model.as_str()], *n as f64)));
    }
}
