//! The configuration that is proposed, with a comment beside each line that says why.
//!
//! Guarantees: reads as a configuration (the caller tries it on the same records); nothing of a record that is longer than `EXAMPLE` characters.
//! Comes from: `roles`. Goes to: standard output.

use super::places::{At, Place, Places, quoted, typed};
use super::roles::{Found, Outcomes, Predictions, Task, shown, task};
use crate::codec::framing::Framing;
use crate::codec::schemas;
use crate::config::settings::{Format, TimeUnit};

/// Characters of an example.
const EXAMPLE: usize = 30;
/// Column of the comments.
const COLUMN: usize = 50;
/// Characters of what a schema's author wrote about a field.
const DOC: usize = 60;
/// Schemas that are listed.
const SCHEMAS: usize = 5;
/// Unused places that are listed.
const UNUSED: usize = 30;

/// What the page is of.
pub struct Scene<'a> {
    /// Name of the application.
    pub app: String,
    /// The section `kafka` as it is to be written.
    pub kafka: String,
    /// The section `registry` as it is to be written; empty if no input needs it.
    pub registry: String,
    /// Topics of predictions and outcomes.
    pub topics: [&'a str; 2],
    /// How their values are written.
    pub formats: [&'a Format; 2],
    /// Schemas they were written with, by ids, and how many records with each.
    pub schemas: [&'a [(String, usize)]; 2],
    /// How many records of each were read.
    pub records: [usize; 2],
}

struct Page {
    text: String,
    unused: Vec<String>,
}

impl Page {
    fn line(&mut self, line: &str, why: &str) {
        let pad = COLUMN.saturating_sub(line.chars().count()).max(1);
        let why = if why.is_empty() { String::new() } else { format!("{}# {why}", " ".repeat(pad)) };
        self.text.push_str(&format!("{line}{why}\n"));
    }

    /// A field of its own line; as a comment if it can't be typed.
    fn field(&mut self, indent: &str, name: &str, found: Option<Found<'_>>, records: usize, more: &str) {
        let Some((at, place)) = found else { return };
        let why = format!("{}{more}", about(place, records));
        match typed(at, &place.steps) {
            Some(typed) => self.line(&format!("{indent}{name}: {typed}"), &why),
            None => self.line(&format!("{indent}# {name}:"), &format!("no place can be typed for it: {why}")),
        }
    }

    /// The topic and how its values are written.
    fn input(&mut self, scene: &Scene<'_>, at: usize) {
        self.line(&format!("  topic: {}", quoted(scene.topics[at])), "");
        if let Some(format) = format(scene.formats[at]) {
            self.line(&format!("  format: {format}"), &written(scene.schemas[at]));
        }
        self.line("  fields:", "");
    }

    fn missing(&mut self, name: &str, what: &str) {
        self.line(&format!("    # {name}:"), what);
    }
}

/// A format as it is typed; JSON needs no word.
fn format(format: &Format) -> Option<String> {
    match format {
        Format::Json => None,
        Format::Registry { .. } => Some("registry".to_string()),
        Format::Avro { schema, .. } if schema == schemas::PREDICTION || schema == schemas::OUTCOME => Some("avro".to_string()),
        Format::Avro { path, framing, .. } => {
            let framing = if *framing == Framing::Bare { String::new() } else { format!(", framing: {}", framing.word()) };
            Some(format!("{{ avro: {{ schema: {}{framing} }} }}", quoted(&path.display().to_string())))
        }
        Format::Protobuf { path, message, confluent, .. } => {
            let framing = if *confluent { ", framing: confluent" } else { "" };
            let path = quoted(&path.display().to_string());
            Some(format!("{{ protobuf: {{ descriptors: {path}, message: {}{framing} }} }}", quoted(message)))
        }
    }
}

/// With which schemas records were written.
fn written(schemas: &[(String, usize)]) -> String {
    let [_, _, ..] = schemas else { return schemas.first().map_or(String::new(), |s| format!("all by {}", s.0)) };
    let told: Vec<String> = schemas.iter().take(SCHEMAS).map(|(name, n)| format!("{n} by {name}")).collect();
    let more = schemas.len().saturating_sub(SCHEMAS);
    format!("{}{}", told.join(", "), if more > 0 { format!(", and {more} more schemas") } else { String::new() })
}

/// What schemas say of a place, in words that follow others.
fn by_schema(place: &Place) -> String {
    let known = &place.known;
    let doc = known.doc.as_ref().map_or(String::new(), |doc| format!("; its doc: {:?}", clipped(doc, DOC)));
    let lacking: Vec<String> = known.lacking.iter().take(SCHEMAS).map(|(name, n)| format!("{name} ({n} records)")).collect();
    match lacking.is_empty() {
        true => doc,
        false => format!("{doc}; not in {}: whoever maps it makes those records dead letters", lacking.join(", ")),
    }
}

/// What was seen at a place, in words.
fn about(place: &Place, records: usize) -> String {
    let kind = match () {
        () if place.is_number() => "number",
        () if place.is_text() => "text",
        () if place.is_truth() => "truth value",
        () if place.present() == 0 => "null",
        () => "mixed",
    };
    let kind = match place.known.words() {
        words if words.is_empty() => kind.to_string(),
        words => format!("{kind} ({words})"),
    };
    let (present, distinct) = (place.present(), place.distinct());
    let there = if present == records { String::new() } else { format!(" in {present} of {records} records,") };
    let values: Vec<String> = distinct.iter().take(4).map(|v| example(v)).collect();
    let seen = match distinct.len() {
        0 => format!("{kind}, in each of {records} records"),
        n @ 1..=4 => format!("{kind},{there} {n} value{}: {}", if n == 1 { "" } else { "s" }, values.join(", ")),
        n => format!("{kind},{there} {n} different values, for example {}", values.first().map_or("", String::as_str)),
    };
    format!("{seen}{}", by_schema(place))
}

fn example(value: &str) -> String {
    clipped(value, EXAMPLE)
}

/// The beginning of a text, in one line.
fn clipped(text: &str, most: usize) -> String {
    let clean: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.len() < text.len() { format!("{clean}...") } else { clean }
}

/// The whole page.
pub fn page(scene: &Scene<'_>, places: [&Places; 2], predictions: &Predictions<'_>, outcomes: &Outcomes<'_>) -> String {
    let mut page = Page { text: String::new(), unused: Vec::new() };
    let [p, o] = scene.records;
    page.line(&format!("# Proposed by `driftline infer` from {p} records of {} and {o} of {}.", scene.topics[0], scene.topics[1]), "");
    page.line("# Read each line, correct it, and then: driftline check -c THIS_FILE --connect", "");
    page.line(&format!("app: {}", quoted(&scene.app)), "");
    page.text.push_str(scene.kafka.trim_end());
    page.text.push('\n');
    if !scene.registry.is_empty() {
        page.line(scene.registry.trim_end(), "");
    }
    of_predictions(&mut page, scene, predictions, outcomes.joined);
    of_outcomes(&mut page, scene, outcomes);
    of_models(&mut page, scene, predictions, outcomes);
    unused(&mut page, scene, places, predictions, outcomes);
    page.text
}

fn of_predictions(page: &mut Page, scene: &Scene<'_>, found: &Predictions<'_>, joined: (usize, usize)) {
    let n = scene.records[0];
    page.line("predictions:", "");
    page.input(scene, 0);
    match found.id {
        Some(_) => {
            let (both, of) = joined;
            let joins = match both {
                0 => "; NO id of the outcomes was among them: look at more records (--records), or correct it".to_string(),
                _ => format!("; {both} of {of} ids of outcomes are among them"),
            };
            page.field("    ", "request_id", found.id, n, &joins);
        }
        None => page.missing("request_id", "NEEDED: nothing is different in nearly every record"),
    }
    time(page, found.time.as_ref(), n);
    match found.model {
        Some(_) => page.field("    ", "model", found.model, n, ""),
        None => page.line(&format!("    model: {{ const: {} }}", quoted(&scene.app)), "no field looks like a model's name"),
    }
    page.field("    ", "version", found.version, n, "");
    page.field("    ", "score", found.score, n, "");
    page.field("    ", "label", found.label, n, "; the predicted class");
    match &found.features {
        Some((path, exclude)) => {
            let exclude: Vec<String> = exclude.iter().map(|name| quoted(name)).collect();
            let at = typed(&At::Value(shown(path)), path).filter(|_| !path.is_empty()).unwrap_or_else(|| "\"*\"".to_string());
            let at = at.strip_prefix("{ path: ").and_then(|p| p.strip_suffix(" }")).map_or(at.clone(), str::to_string);
            match exclude.is_empty() {
                true => page.line(&format!("    features: {{ path: {at} }}"), "the entries of this object"),
                false => {
                    page.line("    features:", "");
                    page.line(&format!("      path: {at}"), "the entries of this object");
                    page.line(&format!("      exclude: [{}]", exclude.join(", ")), "");
                }
            }
        }
        None => page.missing("features", "no object with scalars was found"),
    }
    if !found.dimensions.is_empty() {
        page.line("    dimensions:", "by these you may look at segments; take out what nobody would ask for");
        for d in &found.dimensions {
            page.field("      ", &quoted(d.1.name()), Some(*d), n, "");
        }
    }
}

fn time(page: &mut Page, found: Option<&(Found<'_>, TimeUnit)>, records: usize) {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Seconds => Some("seconds"),
        TimeUnit::Micros => Some("micros"),
        TimeUnit::Nanos => Some("nanos"),
        TimeUnit::Millis | TimeUnit::Auto => None,
    };
    let Some(((at, place), of)) = found else {
        return page.line("    event_time: timestamp", "Kafka's: no field is a time near that of its record");
    };
    match (typed(at, &place.steps), unit(of)) {
        (Some(typed), Some(unit)) if !typed.starts_with('{') => {
            page.line(&format!("    event_time: {{ path: {typed}, unit: {unit} }}"), &about(place, records));
        }
        (Some(typed), None) => page.line(&format!("    event_time: {typed}"), &about(place, records)),
        _ => page.line("    event_time: timestamp", "Kafka's: the field's name has to be typed as a list of names with a unit"),
    }
}

fn of_outcomes(page: &mut Page, scene: &Scene<'_>, found: &Outcomes<'_>) {
    let n = scene.records[1];
    page.line("outcomes:", "");
    page.input(scene, 1);
    match found.id {
        Some(_) => page.field("    ", "request_id", found.id, n, ""),
        None => page.missing("request_id", "NEEDED: the id of the prediction"),
    }
    time(page, found.time.as_ref(), n);
    page.field("    ", "label", found.label, n, "; the observed class");
    page.field("    ", "value", found.value, n, "; the observed number");
    if found.label.is_none() && found.value.is_none() {
        page.missing("label", "NEEDED, or value: nothing looks like what was observed");
    }
}

fn of_models(page: &mut Page, scene: &Scene<'_>, predictions: &Predictions<'_>, outcomes: &Outcomes<'_>) {
    let names: Vec<String> = match predictions.model {
        Some((_, place)) => place.distinct().into_iter().take(5).collect(),
        None => vec![scene.app.clone()],
    };
    if let Some(task) = task(outcomes) {
        page.line("models:", "");
        for name in names {
            let (text, why) = match &task {
                Task::Binary(positive) => {
                    (format!("task: binary, positive: {}", quoted(positive)), "positive: the class whose probability the score is")
                }
                Task::Multiclass => ("task: multiclass".to_string(), ""),
                Task::Regression => ("task: regression".to_string(), ""),
            };
            page.line(&format!("  {}: {{ {text} }}", quoted(&name)), why);
        }
    }
    if !predictions.dimensions.is_empty() {
        let by: Vec<String> = predictions.dimensions.iter().map(|d| format!("[{}]", quoted(d.1.name()))).collect();
        page.line(&format!("segments: {{ by: [{}] }}", by.join(", ")), "");
    }
}

/// What has no role, so that nobody has to look into the topic for it.
fn unused(page: &mut Page, scene: &Scene<'_>, places: [&Places; 2], predictions: &Predictions<'_>, outcomes: &Outcomes<'_>) {
    let p = predictions;
    let single = [p.id, p.model, p.version, p.score, p.label, p.time.as_ref().map(|t| t.0)];
    let used_p: Vec<&At> = single.into_iter().flatten().chain(p.dimensions.iter().copied()).map(|f| f.0).collect();
    let single = [outcomes.id, outcomes.label, outcomes.value, outcomes.time.as_ref().map(|t| t.0)];
    let used_o: Vec<&At> = single.into_iter().flatten().map(|f| f.0).collect();
    let features = p.features.as_ref().map(|f| &f.0);
    for (input, (places, used)) in ["predictions", "outcomes"].into_iter().zip(places.into_iter().zip([used_p, used_o])) {
        let records = scene.records[usize::from(input == "outcomes")];
        for (at, place) in &places.scalars {
            let feature =
                input == "predictions" && features.is_some_and(|path| place.steps.len() == path.len() + 1 && place.steps.starts_with(path));
            if let Some(typed) = typed(at, &place.steps).filter(|_| !used.contains(&at) && !feature) {
                page.unused.push(format!("#   {input}: {typed}: {}", about(place, records)));
            }
        }
        for (at, place) in &places.lists {
            if let Some(typed) = typed(at, &place.steps) {
                page.unused.push(format!(
                    "#   {input}: {typed}: a list of up to {} elements; with `explode` each is an event of its own",
                    place.list
                ));
            }
        }
    }
    if !page.unused.is_empty() {
        page.line("# Not used:", "");
        let more = page.unused.len().saturating_sub(UNUSED);
        for line in std::mem::take(&mut page.unused).into_iter().take(UNUSED) {
            page.line(&line, "");
        }
        if more > 0 {
            page.line(&format!("#   and {more} more"), "");
        }
    }
}
