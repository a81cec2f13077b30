//! What must come out, without Kafka, threads, crashes or time: one pass over the inputs with the engine alone.
//!
//! It shares the engine with the product and nothing of the stages, and obeys what the journal says was decided at the edge. `summaries`
//! reads each input to its end, predictions before outcomes, in one epoch: what merges to one summary per cell and pane must not
//! depend on how a run was cut. `alerts` closes panes too: with inputs that end for good, nothing of a run's timing may show in them.

use super::audit::{Audit, Decided, Release};
use super::compare::{Alerts, Letters, Published};
use super::supply::{Supply, Written};
use driftline::codec::alert::{Format, encode, headers};
use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::codec::wire::Kind;
use driftline::config::settings::Settings;
use driftline::engine::book::Book;
use driftline::engine::join::{Join, NewOutcome, NewPrediction, OutcomeVerdict, PredictionVerdict};
use driftline::engine::journal::{Activity, EdgeDecision};
use driftline::engine::mark::Mark;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::partial::Origin;
use driftline::engine::plan::{Plan, PlanRecord, Versioned, sealed};
use driftline::engine::types::{EpochSeq, EventTime, Input, Offset, PaneId, Partition};
use driftline::flow::class_hash;
use driftline::log::partitioner::partition_of;
use driftline::log::{NoHeaders, Record, TopicIx};
use driftline::stage::detect::alerts_partition;
use driftline::stage::judge::topic_of;

/// The last panes (input, pair) that may be booked.
type Limit = Option<[PaneId; 2]>;

/// What became of the next record.
#[derive(PartialEq)]
enum Stepped {
    Judged,
    Waits,
    Nothing,
}

/// The source of one partition.
struct Source<'s> {
    partition: Partition,
    written: [Vec<&'s Written>; 2],
    decided: &'s [Decided],
    releases: &'s [Release],
    next: [usize; 2],
    join: Join,
    book: Book,
    seq: u64,
}

/// One pass.
pub struct Oracle<'s> {
    settings: &'s Settings,
    predictions: PredictionDecoder,
    outcomes: OutcomeDecoder,
    sources: Vec<Source<'s>>,
    monitors: Vec<(Monitor, i64)>,
    plan: Plan,
    published: Published,
}

/// Live rows and waiting outcomes of each partition in the end, with their digests.
pub type Censuses = Vec<(u64, u64, u64)>;

impl<'s> Oracle<'s> {
    /// Over everything that was supplied.
    pub fn new(supply: &'s Supply, audit: &'s Audit, settings: &'s Settings) -> Oracle<'s> {
        let d = &settings.definitions;
        let source = |p: usize| Source {
            partition: Partition(p as i32),
            written: [0, 1].map(|i| supply.written[i][p].iter().filter(|w| w.visible).collect()),
            decided: &audit.tasks[p].decisions,
            releases: &audit.tasks[p].releases,
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
            sources: (0..supply.written[0].len()).map(source).collect(),
            monitors: (0..shards).map(|p| (Monitor::new(Partition(p)), 0)).collect(),
            plan: Plan::default(),
            published: Published { alerts: Alerts::new(shards), ..Published::default() },
        }
    }

    /// Summaries and dead letters under the bins that the run's plan gave to each pane.
    pub fn summaries(mut self, plan: Plan) -> (Published, Censuses) {
        self.plan = plan;
        for s in 0..self.sources.len() {
            for release in self.sources[s].releases {
                self.read_up_to(s, release.next);
                self.release(s, release);
            }
            self.read_up_to(s, [Offset(i64::MAX); 2]);
            let partials = self.end_epoch(s);
            self.published.partials.extend(partials.into_iter().map(|p| p.1));
        }
        let censuses = self.sources.iter().map(|s| s.join.census()).collect();
        (self.published, censuses)
    }

    fn read_up_to(&mut self, s: usize, next: [Offset; 2]) {
        for input in Input::BOTH {
            let i = input.index();
            while self.sources[s].written[i].get(self.sources[s].next[i]).is_some_and(|w| w.offset < next[i]) {
                self.step(s, input, Some([PaneId(i64::MAX); 2]));
            }
        }
    }

    fn release(&mut self, s: usize, release: &Release) {
        let (d, source) = (&self.settings.definitions, &mut self.sources[s]);
        let mut decisions = Vec::new();
        source.join.release(release.input, release.up_to, &mut decisions);
        decisions.into_iter().for_each(|decision| source.book.decided(decision, d));
    }

    /// Everything, when inputs end for good and nothing was lost or declared silent before. All versions of the definitions are known from the
    /// start: each holds from the pane on that it names. So is a baseline file.
    pub fn alerts(mut self, versions: &[Versioned], baseline: Option<&(Partition, Vec<u8>)>) -> Published {
        if let Some((p, record)) = baseline {
            self.observe(p.0 as usize, record);
        }
        for definitions in versions {
            (0..self.monitors.len()).for_each(|p| self.observe(p, &sealed(Kind::Definitions, definitions)));
            self.plan.observe(PlanRecord::Definitions(Box::new(definitions.clone())));
        }
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
                while self.step(s, input, limit) == Stepped::Judged {}
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

    /// Judges the next record of an input, unless it lies beyond the look-ahead.
    fn step(&mut self, s: usize, input: Input, limit: Limit) -> Stepped {
        let (source, i) = (&mut self.sources[s], input.index());
        let Some(written) = source.written[i].get(source.next[i]).copied() else { return Stepped::Nothing };
        source.obey_losses(input, written.offset);
        if source.lost(input, written.offset) {
            source.next[i] += 1;
            return Stepped::Judged;
        }
        let record = Record {
            topic: TopicIx(i as u8),
            partition: source.partition,
            offset: written.offset,
            timestamp: written.timestamp,
            append_time: false,
            key: Some(written.key.as_bytes()),
            value: written.value.as_ref().map(String::as_bytes),
            headers: &NoHeaders,
        };
        let judged = match input {
            Input::Predictions => self.prediction(s, &record, limit),
            Input::Outcomes => self.outcome(s, &record, limit),
        };
        let (topic, source) = (topic_of(self.settings, input), &mut self.sources[s]);
        match judged {
            Ok(false) => return Stepped::Waits,
            Ok(true) => {}
            Err(reason) => self.published.letters.0.push((topic.to_string(), record.partition.0, record.offset.0, reason.to_string())),
        }
        source.next[i] += 1;
        Stepped::Judged
    }

    fn prediction(&mut self, s: usize, record: &Record<'_>, limit: Limit) -> Result<bool, &'static str> {
        let (d, source) = (&self.settings.definitions, &mut self.sources[s]);
        let p = self.predictions.decode(record).map_err(|bad| bad.reason.word())?;
        if source.was_future(Input::Predictions, record.offset) {
            return Err("future");
        }
        if !source.admits(Input::Predictions, p.time, d.pane.pane_of(p.time), limit) {
            return Ok(false);
        }
        let dimensions = self.plan.dimensions_in(d.pane.pane_of(p.time), &p.dimensions);
        let cell = source.join.cells.intern(&p.model, p.version.as_deref(), dimensions);
        let label = class_hash(p.label.as_deref());
        let new = NewPrediction { offset: record.offset, key: p.key, time: p.time, cell, score: p.score.unwrap_or(f64::NAN), label };
        let mut pairs = Vec::new();
        let name = |ix| self.predictions.feature_name(ix).to_string();
        match source.join.predict(&new, &mut pairs) {
            PredictionVerdict::Accepted => source.book.accepted(d.pane.pane_of(p.time), cell, &p, &self.plan, name),
            PredictionVerdict::Duplicate => source.book.duplicate(d.pane.pane_of(p.time), cell),
            PredictionVerdict::Late(watermark) => source.book.late(d.pane.pane_of(watermark), cell),
        }
        pairs.iter().for_each(|pair| source.book.paired(pair, &source.join.cells, d, &self.plan));
        Ok(true)
    }

    fn outcome(&mut self, s: usize, record: &Record<'_>, limit: Limit) -> Result<bool, &'static str> {
        let (d, source) = (&self.settings.definitions, &mut self.sources[s]);
        let o = self.outcomes.decode(record).map_err(|bad| bad.reason.word())?;
        if source.was_future(Input::Outcomes, record.offset) {
            return Err("future");
        }
        let effective = o.time.max(source.join.clocks[1].before());
        if !source.admits(Input::Outcomes, o.time, d.pane.pane_of(effective), limit) {
            return Ok(false);
        }
        let label = class_hash(o.label.as_deref());
        let new = NewOutcome { offset: record.offset, key: o.key, time: o.time, label, value: o.value.unwrap_or(f64::NAN) };
        if let (OutcomeVerdict::Paired(pair), _) = source.join.outcome(&new) {
            source.book.paired(&pair, &source.join.cells, d, &self.plan);
        }
        Ok(true)
    }

    fn end_epoch(&mut self, s: usize) -> Vec<(String, Vec<u8>)> {
        let (d, source) = (&self.settings.definitions, &mut self.sources[s]);
        for input in Input::BOTH {
            source.obey_losses(input, Offset(i64::MAX));
        }
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
        add_effects(&mut self.published, p, &mut effects);
        effects.edges.into_iter().for_each(|edges| self.plan.observe(PlanRecord::Edges(edges)));
        if let Some(progress) = monitor.progress() {
            self.plan.observe(PlanRecord::Progress(progress));
        }
    }
}

/// What a monitor of summaries partition `p` asks to be published.
pub fn add_effects(published: &mut Published, p: usize, effects: &mut Effects) {
    for raised in effects.alerts.drain(..) {
        let value = encode(&raised.alert, Format::Json).expect("an alert encodes");
        let headers = headers(&raised.alert, Format::Json).into_iter().map(|(n, v)| (n.to_string(), v)).collect();
        let at = alerts_partition(Partition(p as i32), raised.kind);
        published.alerts.add(at, raised.alert.fingerprint.clone(), headers, value);
    }
    published.edges.extend(effects.edges.iter().cloned());
}

impl Source<'_> {
    /// Whether a record may be booked; otherwise its time shows.
    fn admits(&mut self, input: Input, time: EventTime, pane: PaneId, limit: Limit) -> bool {
        let clock = &mut self.join.clocks[input.index()];
        let late = input == Input::Predictions && time < clock.before();
        let admitted = late || limit.is_some_and(|l| pane <= l[input.index()]);
        if !admitted {
            clock.peek(time);
        }
        admitted
    }

    fn was_future(&self, input: Input, offset: Offset) -> bool {
        self.decided.iter().any(|d| d.decision == EdgeDecision::Future { input, offset })
    }

    fn lost(&self, input: Input, offset: Offset) -> bool {
        let covers =
            |d: &Decided| matches!(d.decision, EdgeDecision::Lost { input: i, from, to } if i == input && (from..to).contains(&offset));
        self.decided.iter().any(covers)
    }

    /// Losses before `offset`: the time that was shown before counts as consumed.
    fn obey_losses(&mut self, input: Input, offset: Offset) {
        for d in self.decided {
            if let EdgeDecision::Lost { input: i, from, .. } = d.decision
                && i == input
                && from <= offset
            {
                self.join.clocks[input.index()].consume(d.shown);
            }
        }
    }

    fn mark(&self, sources: u32) -> Mark {
        let over = |i: usize| if self.next[i] == self.written[i].len() { Activity::Finished } else { Activity::Active };
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

/// In one order.
pub fn sorted(letters: &Letters) -> Letters {
    let mut letters = letters.0.clone();
    letters.sort();
    Letters(letters)
}
