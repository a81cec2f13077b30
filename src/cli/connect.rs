//! `driftline check --connect`: what the cluster and the newest records of both inputs say of the configuration.
//!
//! Guarantees: reads and asks only. Never: joins a group, commits, writes, needs a right that `run` does not need.
//! Comes from: `check`. Goes to: `findings`, the screen.

use super::findings::{Event, Field, Finding, Level, Seen, of_definitions, of_ids, of_records, of_size, of_times};
use crate::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use crate::codec::event::{BadRecord, Outcome, Prediction, Value};
use crate::codec::framing::{SchemaId, unframe};
use crate::codec::writers::Schemas;
use crate::config::settings::{Settings, Source};
use crate::engine::definitions::Definitions;
use crate::engine::plan::{Plan, PlanRecord};
use crate::engine::types::{EventTime, Input, RequestKey};
use crate::kafka::subscriber::Subscriber;
use crate::kafka::topics;
use crate::log::{Fatal, Record};
use crate::ops::http::now_ms;
use crate::registry::AtOnce;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// A broker that says nothing for so long has said enough.
const PATIENCE: Duration = Duration::from_secs(20);
/// Characters of an example.
const EXAMPLE: usize = 40;

/// Everything that can be found, looking at about `records` records of each input.
pub fn findings(settings: &Settings, records: usize) -> Vec<Finding> {
    // an input that can't be reached says why; everything else would only say it again
    let reached =
        Input::BOTH.map(|input| Subscriber::newest(&settings.kafka, &format!("{}-check", settings.app), topic(settings, input), 1));
    if let Some(Fatal(why)) = reached.into_iter().find_map(Result::err) {
        return vec![Finding::wrong(why, "")];
    }
    let (mut found, partitions) = match topics::check(settings) {
        Ok(partitions) => {
            (vec![Finding::fine(format!("topics, their settings and the rights on them are right; {partitions} partitions"))], partitions)
        }
        Err(problems) => (problems.into_iter().map(|why| Finding::wrong(why, "")).collect(), 1),
    };
    if found.iter().all(|f| f.level != Level::Wrong) {
        match definitions_in_force(settings) {
            Ok(in_force) => found.extend(in_force.map(|d| of_definitions(&d, &settings.definitions))),
            Err(why) => found.push(Finding::wrong(why, "")),
        }
    }
    let most = (records / partitions.max(1) as usize).max(1) as i64;
    let registry = match settings.registry.as_ref().map(AtOnce::new).transpose() {
        Ok(registry) => registry.map(Arc::new),
        Err(trouble) => {
            found.push(Finding::wrong(trouble.to_string(), ""));
            return found;
        }
    };
    let mut read = Vec::new();
    for input in Input::BOTH {
        match seen(settings, input, most, registry.clone()) {
            Ok(seen) => read.push(seen),
            Err(why) => found.push(Finding::wrong(why, "")),
        }
    }
    // records of unknown schemas are neither good nor bad: that must be said
    let unknown: usize = read.iter().map(|seen| seen.unknown).sum();
    if let Some(why) = registry.and_then(|registry| registry.trouble()) {
        let remedy = "put the registry right and look again; `driftline run` would wait with these records until it answers";
        found.push(Finding::wrong(format!("{unknown} records could not be looked at: {why}"), remedy));
    }
    let Ok([predictions, outcomes]) = <[Seen; 2]>::try_from(read) else { return found };
    let now = now_ms();
    for (input, seen) in Input::BOTH.into_iter().zip([&predictions, &outcomes]) {
        found.extend(of_records(input.word(), topic(settings, input), seen));
        found.extend(of_times(input.word(), settings.definitions.join.lateness[input.index()], settings.max_ahead, seen, now));
    }
    found.extend(of_ids(&predictions, &outcomes, partitions as i32));
    found.extend(of_size(settings, &predictions));
    found
}

fn topic(settings: &Settings, input: Input) -> &str {
    crate::stage::judge::topic_of(settings, input)
}

/// The newest definitions of the plan; `None` if the application has not run yet.
fn definitions_in_force(settings: &Settings) -> Result<Option<Definitions>, String> {
    let (topic, mut plan, mut broken) = (settings.topic("plan"), Plan::default(), None);
    let mut subscriber = Subscriber::new(&settings.kafka, &format!("{}-check", settings.app), &topic).map_err(|e| e.0)?;
    read_all(&mut subscriber, &topic, &mut |r| match r.value.map(PlanRecord::read) {
        Some(Ok(record @ PlanRecord::Definitions(_))) => plan.observe(record),
        Some(Err(e)) => broken = Some(format!("{topic} offset {}: {e}", r.offset.0)),
        _ => {}
    })?;
    broken.map_or(Ok(plan.definitions.map(|d| d.definitions.clone())), Err)
}

/// Reads what is there.
fn read_all(subscriber: &mut Subscriber, topic: &str, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), String> {
    while !subscriber.has_caught_up() {
        subscriber.poll(STEP, &mut |record| sink(record)).map_err(|e| e.0)?;
        if subscriber.silence() > PATIENCE {
            return Err(format!("reading {topic} made no progress for {} s: are all brokers there?", PATIENCE.as_secs()));
        }
    }
    Ok(())
}

/// The newest records of an input.
fn seen(settings: &Settings, input: Input, most: i64, schemas: Option<Arc<AtOnce>>) -> Result<Seen, String> {
    let source = if input == Input::Predictions { &settings.predictions } else { &settings.outcomes };
    let mut decoder = Decoder::new(settings, input, source, schemas.map(|schemas| schemas as Arc<dyn Schemas>))?;
    let mut subscriber = Subscriber::newest(&settings.kafka, &format!("{}-check", settings.app), &source.topic, most).map_err(|e| e.0)?;
    let mut seen = Seen::default();
    decoder.expect_fields(source, &mut seen);
    read_all(&mut subscriber, &source.topic, &mut |record| decoder.look_at(&record, settings, &mut seen))?;
    Ok(seen)
}

enum Decoder {
    Predictions(Box<PredictionDecoder>),
    Outcomes(Box<OutcomeDecoder>),
}

impl Decoder {
    fn new(settings: &Settings, input: Input, source: &Source, schemas: Option<Arc<dyn Schemas>>) -> Result<Decoder, String> {
        let dimensions = &settings.definitions.dimensions;
        let decoder = match input {
            Input::Predictions => PredictionDecoder::with(source, dimensions, schemas).map(|d| Decoder::Predictions(Box::new(d))),
            Input::Outcomes => OutcomeDecoder::with(source, schemas).map(|d| Decoder::Outcomes(Box::new(d))),
        };
        decoder.map_err(|e| e.to_string())
    }

    /// Fields that most models need, so that one that no record has is seen not to be there.
    fn expect_fields(&self, source: &Source, seen: &mut Seen) {
        let f = &source.fields;
        let own = match self {
            Decoder::Predictions(_) => vec![("score", f.score.is_some()), ("label", f.label.is_some())],
            Decoder::Outcomes(_) => Vec::new(), // a label or a value: the model's task says which
        };
        own.into_iter().filter(|o| o.1).for_each(|o| drop(seen.fields.insert(o.0.to_string(), Field::default())));
    }

    fn look_at(&mut self, record: &Record<'_>, settings: &Settings, seen: &mut Seen) {
        if !self.ready(record) {
            seen.unknown += 1;
            return;
        }
        let counts = match self {
            Decoder::Predictions(decoder) => decoder.each(record, |decoder, p| {
                p.iter().for_each(|p| prediction(p, settings, seen, |ix| decoder.feature_name(ix).to_string()));
                heard(seen, record, p.map(|p| (p.key, p.time)));
            }),
            Decoder::Outcomes(decoder) => decoder.each(record, |_, o| {
                o.iter().for_each(|o| outcome(o, seen));
                heard(seen, record, o.map(|o| (o.key, o.time)));
            }),
        };
        seen.skipped += usize::from(!counts);
        if let (true, Some(_), Some(Ok((id, _)))) = (counts, self.schema_id(), record.value.map(unframe)) {
            *seen.schemas.entry(id.0).or_default() += 1;
        }
    }

    /// Whether it is known how the record was written.
    fn ready(&mut self, record: &Record<'_>) -> bool {
        match self {
            Decoder::Predictions(decoder) => decoder.ready(record),
            Decoder::Outcomes(decoder) => decoder.ready(record),
        }
    }

    /// Of the last value; none if values have no ids.
    fn schema_id(&self) -> Option<SchemaId> {
        match self {
            Decoder::Predictions(decoder) => decoder.schema_id(),
            Decoder::Outcomes(decoder) => decoder.schema_id(),
        }
    }
}

/// An event, or why there is none.
fn heard(seen: &mut Seen, record: &Record<'_>, looked: Result<(RequestKey, EventTime), BadRecord>) {
    match looked {
        Ok((key, time)) => seen.events.push(Event { key, partition: record.partition.0, time, timestamp: record.timestamp }),
        Err(BadRecord { reason, detail }) => {
            let place = format!("[{}]@{}: {detail}", record.partition.0, record.offset.0);
            seen.faults.entry(reason.word()).or_insert_with(|| (0, place)).0 += 1;
        }
    }
}

fn outcome(o: &Outcome<'_>, seen: &mut Seen) {
    note(seen, "request_id", text(&o.request_id));
    o.label.iter().for_each(|label| note(seen, "label", text(label)));
    o.value.iter().for_each(|value| note(seen, "value", value.to_string()));
}

fn prediction(p: &Prediction<'_>, settings: &Settings, seen: &mut Seen, name: impl Fn(crate::codec::event::FeatureIx) -> String) {
    note(seen, "request_id", text(&p.request_id));
    note(seen, "model", text(&p.model));
    p.version.iter().for_each(|v| note(seen, "version", text(v)));
    p.score.iter().for_each(|x| note(seen, "score", x.to_string()));
    p.label.iter().for_each(|l| note(seen, "label", text(l)));
    for (ix, value) in &p.features {
        let shown = match value {
            Value::Null => continue,
            Value::Number(x) => x.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Text(t) => text(t),
        };
        note(seen, &format!("features.{}", name(*ix)), shown);
    }
    p.doubles.iter().flat_map(|d| d.features()).for_each(|(ix, x)| note(seen, &format!("features.{}", name(ix)), x.to_string()));
    let dimensions = &settings.definitions.dimensions;
    for (dimension, value) in dimensions.iter().zip(&p.dimensions).filter(|(_, v)| !v.is_empty()) {
        note(seen, &format!("dimensions.{dimension}"), text(value));
    }
    let of = |dimension: &String| dimensions.iter().position(|d| d == dimension).and_then(|i| p.dimensions.get(i)).map_or("", Cow::as_ref);
    for by in &settings.definitions.segments {
        seen.segments.insert(by.iter().map(|d| format!("{d}={}", of(d))).collect());
    }
    seen.models.insert(p.model.to_string());
}

fn note(seen: &mut Seen, name: &str, example: String) {
    let field = match seen.fields.get_mut(name) {
        Some(field) => field,
        None => seen.fields.entry(name.to_string()).or_default(),
    };
    field.present += 1;
    if field.example.is_empty() {
        field.example = example;
    }
}

fn text(value: &str) -> String {
    let short: String = value.chars().take(EXAMPLE).collect();
    if short.len() < value.len() { format!("\"{short}\"...") } else { format!("\"{short}\"") }
}
