//! What must come out, without Kafka, threads, processes or time: one loop over the engine.
//!
//! It shares the engine with the product and nothing of the stages: records are fed in another interleaving (all predictions that the
//! look-ahead admits, then all outcomes), epochs end elsewhere, nothing is ever recovered.

use super::compare::{Alerts, Letters, Published};
use super::scene::{Message, Scene};
use driftline::codec::alert::{Format, encode, headers};
use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::codec::wire::Kind;
use driftline::config::settings::Settings;
use driftline::engine::book::Book;
use driftline::engine::join::{Join, NewOutcome, NewPrediction, OutcomeVerdict, PredictionVerdict};
use driftline::engine::journal::Activity;
use driftline::engine::mark::Mark;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::partial::Origin;
use driftline::engine::plan::{Plan, PlanRecord, Versioned, sealed};
use driftline::engine::types::{EpochSeq, EventTime, Input, Offset, PaneId, Partition};
use driftline::flow::class_hash;
use driftline::log::partitioner::partition_of;
use driftline::log::{NoHeaders, Record, TopicIx};
use driftline::stage::detect::alerts_partition;

/// The source of one partition.
struct Source<'s> {
    partition: Partition,
    messages: [&'s [Message]; 2],
    next: [usize; 2],
    join: Join,
    book: Book,
    seq: u64,
}

/// What a run of the whole pipeline over `scene` publishes.
pub fn publishes(scene: &Scene, settings: &Settings) -> Published {
    Oracle::new(scene, settings).run()
}

struct Oracle<'s> {
    settings: &'s Settings,
    predictions: PredictionDecoder,
    outcomes: OutcomeDecoder,
    sources: Vec<Source<'s>>,
    monitors: Vec<(Monitor, i64)>,
    plan: Plan,
    published: Published,
}

impl<'s> Oracle<'s> {
    fn new(scene: &'s Scene, settings: &'s Settings) -> Oracle<'s> {
        let d = &settings.definitions;
        let source = |p: usize| Source {
            partition: Partition(p as i32),
            messages: [&scene.predictions[p], &scene.outcomes[p]],
            next: [0; 2],
            join: Join::new(d.join),
            book: Book::default(),
            seq: 0,
        };
        let shards = settings.summaries_partitions;
        Oracle {
            settings,
            predictions: PredictionDecoder::new(&settings.predictions, &d.dimensions).expect("a decoder"),
            outcomes: OutcomeDecoder::new(&settings.outcomes).expect("a decoder"),
            sources: (0..scene.predictions.len()).map(source).collect(),
            monitors: (0..shards).map(|p| (Monitor::new(Partition(p)), 0)).collect(),
            plan: Plan::default(),
            published: Published { alerts: Alerts::new(shards), ..Published::default() },
        }
    }

    fn run(mut self) -> Published {
        let definitions = Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: self.settings.definitions.clone() };
        (0..self.monitors.len()).for_each(|p| self.observe(p, &sealed(Kind::Definitions, &definitions)));
        self.plan.observe(PlanRecord::Definitions(Box::new(definitions)));
        while !self.monitors.iter().all(|m| m.0.finished()) {
            self.turn();
        }
        self.published
    }

    /// Every source reads as far as it may; then everybody's partials, then everybody's marks.
    fn turn(&mut self) {
        let d = &self.settings.definitions;
        let limit = self.plan.closed(self.settings.summaries_partitions).map(|(i, p)| [i.offset(d.look_ahead()), p.offset(d.look_ahead())]);
        for s in 0..self.sources.len() {
            for input in Input::BOTH {
                while self.step(s, input, limit) {}
            }
        }
        let mut marks = Vec::new();
        for s in 0..self.sources.len() {
            for (model, partial) in self.end_epoch(s) {
                self.observe(partition_of(model.as_bytes(), self.monitors.len() as u32).0 as usize, &partial);
                self.published.partials.push(partial);
            }
            marks.push(self.sources[s].mark(self.sources.len() as u32).to_bytes());
        }
        for mark in marks {
            (0..self.monitors.len()).for_each(|p| self.observe(p, &mark));
        }
    }

    /// Judges the next record of an input; false if there is none, or if it lies beyond the look-ahead.
    fn step(&mut self, s: usize, input: Input, limit: Option<[PaneId; 2]>) -> bool {
        let (d, source, i) = (&self.settings.definitions, &mut self.sources[s], input.index());
        let Some(message) = source.messages[i].get(source.next[i]) else { return false };
        let offset = Offset(source.next[i] as i64);
        let record = Record {
            topic: TopicIx(i as u8),
            partition: source.partition,
            offset,
            timestamp: 0,
            append_time: false,
            key: Some(message.key.as_bytes()),
            value: message.value.as_ref().map(String::as_bytes),
            headers: &NoHeaders,
        };
        let admits = |join: &mut Join, time: EventTime| {
            let clock = &mut join.clocks[i];
            let late = input == Input::Predictions && time < clock.before();
            let admitted = late || limit.is_some_and(|l| d.pane.pane_of(time.max(clock.before())) <= l[i]);
            if !admitted {
                clock.peek(time);
            }
            admitted
        };
        match input {
            Input::Predictions => match self.predictions.decode(&record) {
                Ok(p) if admits(&mut source.join, p.time) => {
                    let cell = source.join.cells.intern(&p.model, p.version.as_deref(), &p.dimensions);
                    let new = NewPrediction {
                        offset,
                        key: p.key,
                        time: p.time,
                        cell,
                        score: p.score.unwrap_or(f64::NAN),
                        label: class_hash(p.label.as_deref()),
                    };
                    let mut pairs = Vec::new();
                    match source.join.predict(&new, &mut pairs) {
                        PredictionVerdict::Accepted => {
                            source
                                .book
                                .accepted(d.pane.pane_of(p.time), cell, &p, &self.plan, |ix| self.predictions.feature_name(ix).to_string());
                        }
                        PredictionVerdict::Duplicate => source.book.duplicate(d.pane.pane_of(p.time), cell),
                        PredictionVerdict::Late(watermark) => source.book.late(d.pane.pane_of(watermark), cell),
                    }
                    pairs.iter().for_each(|pair| source.book.paired(pair, &source.join.cells, d, &self.plan));
                }
                Ok(_) => return false,
                Err(bad) => self.published.letters.add(input, source.partition, offset, bad.reason.word()),
            },
            Input::Outcomes => match self.outcomes.decode(&record) {
                Ok(o) if admits(&mut source.join, o.time) => {
                    let new = NewOutcome {
                        offset,
                        key: o.key,
                        time: o.time,
                        label: class_hash(o.label.as_deref()),
                        value: o.value.unwrap_or(f64::NAN),
                    };
                    if let (OutcomeVerdict::Paired(pair), _) = source.join.outcome(&new) {
                        source.book.paired(&pair, &source.join.cells, d, &self.plan);
                    }
                }
                Ok(_) => return false,
                Err(bad) => self.published.letters.add(input, source.partition, offset, bad.reason.word()),
            },
        }
        source.next[i] += 1;
        true
    }

    fn end_epoch(&mut self, s: usize) -> Vec<(String, Vec<u8>)> {
        let (d, source) = (&self.settings.definitions, &mut self.sources[s]);
        source.seq += 1;
        let mut decisions = Vec::new();
        source.join.expire(&mut decisions);
        decisions.into_iter().for_each(|decision| source.book.decided(decision, d));
        let origin = Origin { source: source.partition, seq: EpochSeq(source.seq), definitions: 1 };
        source.book.flush(origin, &source.join.cells, &self.plan)
    }

    fn observe(&mut self, p: usize, bytes: &[u8]) {
        let (monitor, offset) = &mut self.monitors[p];
        let mut effects = Effects::default();
        monitor.observe(Offset(*offset), bytes, &mut effects).expect("a record of our own");
        *offset += 1;
        for raised in effects.alerts {
            let value = encode(&raised.alert, Format::Json).expect("an alert encodes");
            let headers = headers(&raised.alert, Format::Json).into_iter().map(|(n, v)| (n.to_string(), v)).collect();
            let at = alerts_partition(Partition(p as i32), raised.kind);
            self.published.alerts.add(at, raised.alert.fingerprint.clone(), headers, value);
        }
        for edges in effects.edges {
            self.published.edges.push(edges.clone());
            self.plan.observe(PlanRecord::Edges(edges));
        }
        if let Some(progress) = monitor.progress() {
            self.plan.observe(PlanRecord::Progress(progress));
        }
    }
}

impl Source<'_> {
    fn mark(&self, sources: u32) -> Mark {
        let over = |i: usize| if self.next[i] == self.messages[i].len() { Activity::Finished } else { Activity::Active };
        Mark {
            source: self.partition,
            sources,
            seq: EpochSeq(self.seq),
            watermark: self.join.clocks.map(|c| c.watermark()),
            highest: self.join.clocks.map(|c| c.peeked),
            activity: [over(0), over(1)],
            wall: 0,
            definitions: 1,
        }
    }
}

impl Letters {
    fn add(&mut self, input: Input, partition: Partition, offset: Offset, reason: &str) {
        self.0.push((input.word().to_string(), partition.0, offset.0, reason.to_string()));
    }
}
