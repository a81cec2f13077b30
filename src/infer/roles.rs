//! What places are good for: which is the request id, which the event time, the score, the label and so on.
//!
//! By what is in them (different in each record, a time near the record's, few values), by what they are called and by what schemas say of
//! them; of ids above all by whether those of the outcomes are among those of the predictions.
//! Guarantees: equal records give equal roles, whatever their encoding; what nothing speaks for is left out, and so is what a good part of the
//! records lacks by its schema: they would be dead letters.
//! Comes from: `places`. Goes to: `page`.

use super::places::{At, Place, Places, Sample, as_text};
use crate::config::place::{self, Step};
use crate::config::settings::TimeUnit;
use std::collections::BTreeSet;

const IDS: &[&str] =
    &["request_id", "prediction_id", "inference_id", "event_id", "transaction_id", "correlation_id", "ce_id", "trace_id", "uuid", "id"];
const TIMES: &[&str] = &[
    "event_time",
    "prediction_time",
    "predicted_at",
    "inference_time",
    "observed_at",
    "known_at",
    "timestamp",
    "ts",
    "created_at",
    "time",
    "at",
    "date",
];
const MODELS: &[&str] = &["model", "model_name", "model_id", "inferenceservicename", "endpoint", "service"];
const VERSIONS: &[&str] = &["model_version", "version", "model_revision"];
const SCORES: &[&str] =
    &["score", "probability", "proba", "prob", "confidence", "y_prob", "prediction", "predicted_value", "y_pred", "pred", "output"];
const LABELS: &[&str] =
    &["label", "predicted_label", "predicted_class", "class", "decision", "prediction", "predicted", "y_pred", "pred", "result", "outcome"];
const OBSERVED: &[&str] =
    &["label", "outcome", "actual", "ground_truth", "observed", "target", "y_true", "truth", "class", "status", "result", "y", "value"];
const FEATURES: &[&str] = &["features", "feature", "inputs", "input", "instance", "x", "payload", "data", "attributes"];
const POSITIVE: &[&str] =
    &["1", "true", "yes", "positive", "fraud", "bad", "default", "defaulted", "churn", "churned", "click", "clicked", "converted"];

/// Times further than this from their records are event times only by their name (of records that were written again later): 31 days.
const AROUND: i64 = 31 * 86_400_000;
/// A class, a model, a version or a dimension has at most so many values.
const FEW: usize = 30;
/// Dimensions that are proposed.
const DIMENSIONS: usize = 3;
/// What a schema's type adds to a name: an instant for times, a uuid for ids.
const BY_TYPE: usize = 60;
/// The words of a field's description that are looked at: what it is stands at the beginning.
const FIRST_WORDS: usize = 4;

/// How well a name fits: 100 and less for a whole name, 50 and less for a part of it, 0 for none.
fn likeness(name: &str, wanted: &[&str]) -> usize {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let words: Vec<String> = words(name);
    let name = plain(name);
    let at = |fits: &dyn Fn(&str) -> bool| wanted.iter().position(|w| fits(&plain(w)));
    let part = |w: &str| words.iter().any(|word| word == w) || w.len() > 2 && (name.starts_with(w) || name.ends_with(w));
    match (at(&|w| w == name), at(&part)) {
        (Some(i), _) => 100 - i,
        (None, Some(i)) => 50 - i,
        (None, None) => 0,
    }
}

/// How well a place's name fits, or, if it says nothing, the beginning of its description in the schema: 20 and less.
fn fitness(place: &Place, wanted: &[&str]) -> usize {
    let named = likeness(place.name(), wanted);
    let Some(doc) = place.known.doc.as_deref().filter(|_| named == 0) else { return named };
    let said: Vec<String> = words(doc).into_iter().filter(|w| !w.is_empty()).take(FIRST_WORDS).collect();
    let told = |w: &str| w.len() > 3 && said.windows(words(w).len()).any(|here| here == words(w));
    wanted.iter().position(|w| told(w)).map_or(named, |i| 20 - i)
}

/// Of equal marks the one is higher whose places are never null by their schema: what an event needs should always be there.
fn surer(mark: usize, places: &[&Place]) -> usize {
    let sure = places.iter().filter(|p| !p.known.types.contains("null")).count();
    if mark == 0 { 0 } else { mark * 4 + sure }
}

/// The words of `event_ts`, `eventTs` and `event-ts`.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut lower) = (vec![String::new()], false);
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || lower && c.is_ascii_uppercase() {
            words.push(String::new());
        }
        lower = c.is_ascii_lowercase();
        words.last_mut().expect("one").extend(c.is_ascii_alphanumeric().then_some(c.to_ascii_lowercase()));
    }
    words
}

/// A place with the role it was given.
pub type Found<'p> = (&'p At, &'p Place);

/// What the places of predictions are good for.
#[derive(Debug, Default)]
pub struct Predictions<'p> {
    /// The request id.
    pub id: Option<Found<'p>>,
    /// The event time and its unit.
    pub time: Option<(Found<'p>, TimeUnit)>,
    /// The model.
    pub model: Option<Found<'p>>,
    /// Its version.
    pub version: Option<Found<'p>>,
    /// The score.
    pub score: Option<Found<'p>>,
    /// The predicted class.
    pub label: Option<Found<'p>>,
    /// Dimensions for segments.
    pub dimensions: Vec<Found<'p>>,
    /// The object whose entries are features, and those that are none.
    pub features: Option<(Vec<Step>, Vec<String>)>,
}

/// What the places of outcomes are good for.
#[derive(Debug, Default)]
pub struct Outcomes<'p> {
    /// The request id.
    pub id: Option<Found<'p>>,
    /// The event time and its unit.
    pub time: Option<(Found<'p>, TimeUnit)>,
    /// The observed class.
    pub label: Option<Found<'p>>,
    /// The observed number.
    pub value: Option<Found<'p>>,
    /// Ids of outcomes that are among those of the predictions, and how many different ones there are.
    pub joined: (usize, usize),
}

/// What models predict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// One of two classes; this one is the positive one.
    Binary(String),
    /// One of several.
    Multiclass,
    /// A number.
    Regression,
}

/// Gives places their roles.
pub fn roles<'p>((predictions, p): (&'p Places, &[Sample]), (outcomes, o): (&'p Places, &[Sample])) -> (Predictions<'p>, Outcomes<'p>) {
    let (id, outcome_id, joined) = ids((predictions, p.len()), (outcomes, o.len()));
    let mut of_p = Predictions { id, time: time(predictions, p, id), ..Predictions::default() };
    let mut of_o = Outcomes { id: outcome_id, time: time(outcomes, o, outcome_id), joined, ..Outcomes::default() };

    let mut taken: Vec<&At> = of_p.id.iter().chain(of_p.time.as_ref().map(|t| &t.0)).map(|f| f.0).collect();
    let few = |p: &Place| p.distinct().len() <= FEW;
    let mut take = |wanted: &[&str], fits: &dyn Fn(&Place) -> bool| {
        let found = best(predictions, |at, place| if taken.contains(&at) || !fits(place) { 0 } else { fitness(place, wanted) });
        taken.extend(found.map(|f| f.0));
        found
    };
    of_p.model = take(MODELS, &|p| few(p) && !p.has_fractions() && p.present() == p.seen.len());
    of_p.version = take(VERSIONS, &few);
    of_p.score = take(SCORES, &|p| p.is_number() && !p.known.is_instant() && (p.is_fractional() || p.distinct().len() > FEW));
    of_p.label = take(LABELS, &|p| few(p) && !p.has_fractions());
    of_p.features = features(predictions, p, &taken);
    let within = of_p.features.as_ref().map(|f| f.0.clone());
    let free = predictions.scalars.iter().filter(|(at, place)| {
        let feature = within.as_ref().is_some_and(|path| !path.is_empty() && place.steps.starts_with(path));
        !taken.contains(at) && !feature && !place.known.scattered && is_dimension(place, p.len())
    });
    let mut free: Vec<Found<'p>> = free.collect();
    free.sort_by_key(|(_, place)| !place.known.is_enum());
    free.truncate(DIMENSIONS);
    of_p.dimensions = free;

    let not = |at: &At| of_o.id.is_some_and(|f| f.0 == at) || of_o.time.as_ref().is_some_and(|t| t.0.0 == at);
    let observed = |fits: &dyn Fn(&Place) -> bool| {
        best(outcomes, |at, place| if not(at) || place.known.is_instant() || !fits(place) { 0 } else { 1 + fitness(place, OBSERVED) })
    };
    let label = observed(&|p| few(p) && !p.has_fractions() && classes(p).len() > 1);
    let value = observed(&|p| p.is_number() && (p.has_fractions() || p.distinct().len() > FEW));
    let like = |found: Option<Found<'_>>| found.map_or(0, |f| 1 + fitness(f.1, OBSERVED));
    if like(label) >= like(value) {
        of_o.label = label
    } else {
        of_o.value = value
    }
    (of_p, of_o)
}

/// What can be at a place: what its schema allows, or else what was seen.
fn classes(place: &Place) -> BTreeSet<String> {
    let seen = place.distinct();
    if seen.is_subset(&place.known.classes) { place.known.classes.clone() } else { seen }
}

/// Texts of a few kinds in nearly every record. Of an enum a few records are enough.
fn is_dimension(place: &Place, records: usize) -> bool {
    let (seen, all) = (place.distinct().len(), classes(place).len());
    let often = place.known.is_enum() || seen * 5 <= records;
    place.is_text() && (2..=FEW).contains(&all) && place.present() * 10 >= records * 9 && often
}

/// The place with the highest mark; of equal ones the first. A mark of 0 is none.
fn best(places: &Places, mark: impl Fn(&At, &Place) -> usize) -> Option<Found<'_>> {
    let usable = places.scalars.iter().filter(|(_, place)| !place.known.scattered);
    let marked = usable.map(|(at, place)| (mark(at, place), (at, place))).filter(|m| m.0 > 0);
    marked.rev().max_by_key(|m| m.0).map(|m| m.1)
}

/// Ids: nearly always there, nearly always different; the pair of places of which most are in both.
fn ids<'p>(predictions: (&'p Places, usize), outcomes: (&'p Places, usize)) -> (Option<Found<'p>>, Option<Found<'p>>, (usize, usize)) {
    type Candidate<'p> = (Found<'p>, BTreeSet<String>);
    let candidates = |(places, n): (&'p Places, usize), different: usize| -> Vec<Candidate<'p>> {
        let id = |p: &Place| !p.is_fractional() && !p.known.is_instant() && !p.known.scattered;
        let all = places.scalars.iter().filter(|(_, p)| p.present() * 20 >= n * 19 && id(p));
        let with_ids = all.map(|found| (found, found.1.distinct())).filter(|(_, ids)| ids.len() * 100 >= n * different);
        with_ids.filter(|(found, _)| found.1.seen.iter().all(|(_, v)| !v.is_boolean())).collect()
    };
    // several outcomes may be of one prediction
    let (ps, os) = (candidates(predictions, 95), candidates(outcomes, 30));
    let like = |p: &Place| fitness(p, IDS) + if p.known.types.contains("uuid") { BY_TYPE } else { 0 };
    let mut found: Option<((usize, usize), &Candidate<'p>, &Candidate<'p>, usize)> = None;
    for p in &ps {
        for o in &os {
            let both = p.1.intersection(&o.1).count();
            let mark = (both, surer(like(p.0.1) + like(o.0.1), &[p.0.1, o.0.1]));
            if mark > (0, 0) && found.as_ref().is_none_or(|f| mark > f.0) {
                found = Some((mark, p, o, both));
            }
        }
    }
    match found {
        Some((_, p, o, both)) => (Some(p.0), Some(o.0), (both, o.1.len())),
        None => {
            let one = |all: &[Candidate<'p>]| all.iter().map(|c| c.0).max_by_key(|f| like(f.1));
            (one(&ps), one(&os), (0, 0))
        }
    }
}

fn time<'p>(places: &'p Places, samples: &[Sample], id: Option<Found<'_>>) -> Option<(Found<'p>, TimeUnit)> {
    let unit = |place: &Place| {
        let near = place.unit(samples, AROUND).map(|unit| (unit, 200));
        near.or_else(|| place.unit(samples, i64::MAX).map(|unit| (unit, 0)))
    };
    let mark = |at: &At, place: &Place| match unit(place) {
        Some((_, near)) if place.present() == samples.len() && id.is_none_or(|id| id.0 != at) => {
            surer(near + fitness(place, TIMES) + if place.known.is_instant() { BY_TYPE } else { 0 }, &[place])
        }
        _ => 0,
    };
    let found = best(places, mark)?;
    Some((found, unit(found.1)?.0))
}

/// The object with the likeliest name, or else with the most scalars that have no other role.
fn features(places: &Places, samples: &[Sample], taken: &[&At]) -> Option<(Vec<Step>, Vec<String>)> {
    let entries = |path: &[Step]| -> Vec<Found<'_>> {
        let direct = |p: &Place| matches!(p.steps.split_last(), Some((Step::Name(_), before)) if before == path);
        places.scalars.iter().filter(|(at, p)| matches!(at, At::Value(_)) && direct(p)).collect()
    };
    let is_feature = |(at, p): &Found<'_>| {
        let names = p.is_text() && p.distinct().len() > FEW; // an id, a time, a message
        let instant = p.distinct().len() > FEW && p.unit(samples, i64::MAX) == Some(TimeUnit::Auto);
        !taken.contains(at) && p.present() > 0 && !names && !instant && !p.known.is_instant()
    };
    let marked = places.objects.values().filter(|object| !object.known.scattered).map(|object| {
        let path = &object.steps;
        let n = entries(path).iter().filter(|e| is_feature(e)).count();
        let name = path.iter().rev().find_map(|s| if let Step::Name(name) = s { Some(name.as_str()) } else { None });
        let like = if n > 0 && !path.is_empty() { likeness(name.unwrap_or(""), FEATURES) } else { 0 };
        ((like, n), path)
    });
    let ((_, n), path) = marked.rev().max_by(|a, b| a.0.cmp(&b.0))?;
    if n == 0 {
        return None;
    }
    let plain = entries(path).into_iter().filter(|e| !is_feature(e)).map(|e| e.1.name());
    let exclude: BTreeSet<&str> = plain.chain(opened(places, path)).collect();
    Some((path.clone(), exclude.into_iter().map(str::to_string).collect()))
}

/// Entries of an object that are texts which hold something: what they hold is looked at, they themselves are no features.
fn opened<'p>(places: &'p Places, path: &'p [Step]) -> impl Iterator<Item = &'p str> {
    let scalars = places.scalars.values().chain(places.lists.values()).map(|place| &place.steps[..]);
    let all = scalars.chain(places.objects.values().map(|object| &object.steps[..]));
    all.filter_map(move |steps| match steps.strip_prefix(path) {
        Some([Step::Name(name), Step::Within(_), ..]) => Some(name.as_str()),
        _ => None,
    })
}

/// What the outcomes say of the models' task.
pub fn task(outcomes: &Outcomes<'_>) -> Option<Task> {
    if outcomes.value.is_some() {
        return Some(Task::Regression);
    }
    let (_, place) = outcomes.label?;
    let classes = classes(place);
    if classes.len() != 2 {
        return Some(Task::Multiclass);
    }
    let count = |class: &String| place.seen.iter().filter(|(_, v)| as_text(v).as_ref() == Some(class)).count();
    let named = classes.iter().find(|c| POSITIVE.contains(&c.to_lowercase().as_str()));
    let rarer = classes.iter().min_by_key(|c| count(c));
    named.or(rarer).map(|c| Task::Binary(c.clone()))
}

/// A path as text, for a comment.
pub fn shown(path: &[Step]) -> String {
    if path.is_empty() { "*".to_string() } else { place::shown(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const T: i64 = 1_760_000_000_000;

    fn samples(n: usize, value: impl Fn(usize) -> Value) -> Vec<Sample> {
        (0..n).map(|i| Sample { key: None, headers: Vec::new(), timestamp: T + i as i64 * 1_000, schema: 0, value: value(i) }).collect()
    }

    fn at(found: Option<Found<'_>>) -> Option<&str> {
        found.map(|f| match f.0 {
            At::Value(text) => text.as_str(),
            At::Key => "key",
            At::Header(name) => name,
        })
    }

    #[test]
    fn ids_are_what_both_topics_have_in_common_whatever_they_are_called() {
        let p = samples(100, |i| json!({"id": format!("row-{i}"), "meta": {"ref": format!("r{i}"), "n": i}, "score": 0.01 * i as f64}));
        let o = samples(50, |i| json!({"id": format!("label-{i}"), "of": format!("r{}", i * 2), "fraud": i % 7 == 0}));
        let (places, told) = (Places::of(&p), Places::of(&o));
        let (predictions, outcomes) = roles((&places, &p), (&told, &o));
        assert_eq!((at(predictions.id), at(outcomes.id), outcomes.joined), (Some("meta.ref"), Some("of"), (50, 50)));
        assert_eq!((at(outcomes.label), task(&outcomes)), (Some("fraud"), Some(Task::Binary("true".into()))));
    }

    #[test]
    fn a_flat_record_has_features_beside_its_other_fields() {
        let p = samples(200, |i| {
            let (x, country) = (i as f64 * 0.37, ["FR", "DE", "AT"][i % 3]);
            json!({"uuid": format!("u{i}"), "ts": T / 1_000 + i as i64, "model": "fraud", "probability": (i % 90) as f64 / 91.0,
                   "decision": i % 2, "country": country, "amount": x, "age": i % 60, "note": format!("text {i}")})
        });
        let o = samples(60, |i| json!({"uuid": format!("u{i}"), "amount_paid": i as f64 * 1.5, "when": "2025-10-09T08:53:20Z"}));
        let (places, told) = (Places::of(&p), Places::of(&o));
        let (predictions, outcomes) = roles((&places, &p), (&told, &o));
        assert_eq!(predictions.time.map(|t| (at(Some(t.0)).unwrap().to_string(), t.1)), Some(("ts".into(), TimeUnit::Seconds)));
        assert_eq!(
            (at(predictions.model), at(predictions.score), at(predictions.label)),
            (Some("model"), Some("probability"), Some("decision"))
        );
        assert_eq!(predictions.dimensions.iter().map(|d| d.1.name()).collect::<Vec<_>>(), ["country"]);
        let expected = ["decision", "model", "note", "probability", "ts", "uuid"].map(String::from).to_vec();
        assert_eq!(predictions.features, Some((Vec::new(), expected)));
        assert_eq!((at(outcomes.value), at(outcomes.label), task(&outcomes)), (Some("amount_paid"), None, Some(Task::Regression)));
        assert_eq!(outcomes.time.map(|t| t.0.1.name().to_string()), Some("when".into()));
    }

    #[test]
    fn names_are_told_by_their_words() {
        assert_eq!(words("eventTs-at_1X"), ["event", "ts", "at", "1x"]);
        assert!(likeness("event_time", TIMES) > likeness("created_at", TIMES) && likeness("loggedAt", TIMES) > 0);
        assert_eq!((likeness("format", TIMES), likeness("", TIMES), likeness("requestId", IDS)), (0, 0, 100));
    }

    #[test]
    fn records_that_were_written_again_keep_their_time_by_its_name() {
        let p = samples(
            100,
            |i| json!({"id": i, "seen": T - 700 * 86_400_000 + i as i64, "event_ts": T - 800 * 86_400_000 + i as i64, "x": i}),
        );
        let places = Places::of(&p);
        let none = Places::default();
        let (predictions, _) = roles((&places, &p), (&none, &[]));
        assert_eq!(predictions.time.map(|t| t.0.1.name().to_string()), Some("event_ts".into()));
        let expected = ["event_ts", "id", "seen"].map(String::from).to_vec();
        assert_eq!(predictions.features, Some((Vec::new(), expected)), "an instant is no feature");
    }

    #[test]
    fn a_text_that_holds_something_is_no_feature_itself() {
        let p = samples(100, |i| json!({"id": i, "n": i % 7, "x": 0.5 * i as f64, "a": "[0.5]", "b": "[1, 2]", "c": "{}"}));
        let (places, none) = (Places::of(&p), Places::default());
        let (predictions, _) = roles((&places, &p), (&none, &[]));
        assert_eq!(predictions.features, Some((Vec::new(), ["a", "b", "c", "id"].map(String::from).to_vec())));
    }

    #[test]
    fn nothing_is_made_up() {
        let p = samples(5, |_| json!({"a": null}));
        let places = Places::of(&p);
        let none = Places::default();
        let (predictions, outcomes) = roles((&places, &p), (&none, &[]));
        assert!(predictions.id.is_none() && predictions.time.is_none() && predictions.features.is_none() && outcomes.id.is_none());
        assert_eq!(task(&outcomes), None);
    }
}
