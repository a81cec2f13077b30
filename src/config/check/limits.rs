//! Which limits a model has: signals that it has, segments that are watched, numbers that a value can pass.
//!
//! Comes from: `raw::Limit`. Goes to: `rules`, as part of a model.

use super::Context;
use crate::config::nearest::advice;
use crate::config::settings::Source;
use crate::config::{raw, shape::Path};
use crate::engine::alert::Severity;
use crate::engine::definitions::Task;
use crate::engine::definitions::limit::{BadSide, Billionths, LARGEST, LONGEST_FOR, LONGEST_OVER, Limit, MOST_LIMITS, counts_rows};
use crate::engine::types::{PaneSize, Span};
use std::collections::BTreeSet;

/// Events without which a rate has no verdict, if nothing is said.
const AT_LEAST: u64 = 100;

/// Signals of features, before the feature's name.
const OF_FEATURES: [&str; 2] = ["null", "unseen"];

/// What limits may refer to.
pub(super) struct Known<'a> {
    pub pane: PaneSize,
    pub segments: &'a [Vec<String>],
    pub predictions: &'a Source,
    pub outliers: bool,
}

pub(super) fn limits(model: &str, task: Task, typed: &[raw::Limit], known: &Known<'_>, context: &mut Context<'_>) -> Vec<Limit> {
    let path = Path::of(&["models", model, "limits"]);
    if typed.len() > MOST_LIMITS {
        let message = format!("model \"{model}\" has {} limits; at most {MOST_LIMITS} are allowed", typed.len());
        context.problem(path.clone(), message, "each of them is a stream of its own in every segment that it holds for");
    }
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for (i, typed) in typed.iter().enumerate() {
        let path = path.clone().index(i);
        let Some(limit) = limit(task, typed, &path, known, context) else { continue };
        if !seen.insert((limit.signal.clone(), limit.by.clone(), limit.word())) {
            context.problem(
                path,
                "this limit is there twice",
                "keep one of the two; limits of one signal differ in number, over, for or by",
            );
        }
        all.push(limit);
    }
    all
}

fn limit(task: Task, typed: &raw::Limit, path: &Path, known: &Known<'_>, context: &mut Context<'_>) -> Option<Limit> {
    let signal = signal(task, typed, path, known, context);
    let rows = signal.as_deref().is_some_and(counts_rows);
    let bounds = bounds(typed, rows, path, context);
    // what is required and absent has been reported
    let over = typed.over.and_then(|over| span(over.0, 1..=LONGEST_OVER, &path.clone().key("over"), known.pane, context));
    let lasts = span(typed.lasts.0, 0..=LONGEST_FOR, &path.clone().key("for"), known.pane, context);
    let by = by(typed, path, known, context);
    if typed.at_least == Some(0) || rows && typed.at_least.is_some() {
        let message = if rows { "at_least is for rates: a number of rows is compared as it is" } else { "at_least must be at least 1" };
        context.problem(path.clone().key("at_least"), message, "remove it");
    }
    let (bad, bound, clear) = bounds?;
    Some(Limit {
        signal: signal?,
        bad,
        bound,
        clear,
        over: over?,
        lasts: lasts?,
        at_least: if rows { 0 } else { typed.at_least.unwrap_or(AT_LEAST) },
        by,
        severity: match typed.severity {
            raw::LimitSeverity::Info => Severity::Info,
            raw::LimitSeverity::Warning => Severity::Warning,
            raw::LimitSeverity::Critical => Severity::Critical,
        },
    })
}

/// The signal, if the model has it.
fn signal(task: Task, typed: &raw::Limit, path: &Path, known: &Known<'_>, context: &mut Context<'_>) -> Option<String> {
    let signal = &typed.signal.as_ref()?.0;
    let path = path.clone().key("signal");
    if let Some((_, feature)) = signal.split_once(':').filter(|(kind, _)| OF_FEATURES.contains(kind)) {
        return is_feature(feature, known).then(|| signal.clone()).or_else(|| {
            let names = known.predictions.fields.features.iter().flat_map(|f| &f.names).map(String::as_str);
            context.problem(path, format!("\"{signal}\": predictions have no feature \"{feature}\""), advice(feature, names));
            None
        });
    }
    let mut signals = vec!["volume", "labels"];
    if matches!(task, Task::Binary | Task::Multiclass) {
        signals.push("error");
    }
    if task == Task::Binary {
        signals.extend(["miss_rate", "false_positive_rate", "false_discovery_rate"]);
    }
    if known.outliers {
        signals.push("outliers");
    }
    if !signals.contains(&signal.as_str()) {
        signals.extend(["null:FEATURE", "unseen:FEATURE"]);
        context.problem(path, format!("\"{signal}\" is no signal of this model that can have a limit"), advice(signal, signals));
        return None;
    }
    Some(signal.clone())
}

/// Whether predictions can have a feature of this name, as far as the mapping says.
fn is_feature(name: &str, known: &Known<'_>) -> bool {
    let features = known.predictions.fields.features.as_ref();
    !name.is_empty()
        && features.is_none_or(|f| !f.exclude.iter().any(|e| e == name) && (f.names.is_empty() || f.names.iter().any(|n| n == name)))
}

/// The limit and where it clears.
fn bounds(typed: &raw::Limit, rows: bool, path: &Path, context: &mut Context<'_>) -> Option<(BadSide, Billionths, Billionths)> {
    let (bad, typed_bound) = match (typed.above, typed.below) {
        (Some(above), None) => (BadSide::Above, above),
        (None, Some(below)) => (BadSide::Below, below),
        (Some(_), Some(_)) => {
            context.problem(path.clone().key("below"), "a limit has both above and below", "write two limits");
            return None;
        }
        (None, None) => {
            context.missing(path.clone(), "a limit has neither above nor below", "add for example above: 0.1");
            return None;
        }
    };
    let bound = number(bad.word(), typed_bound, rows, path, context);
    let clear = match typed.clear {
        Some(clear) => number("clear", clear, rows, path, context),
        None => bound,
    };
    let (bound, clear) = (bound?, clear?);
    let wrong = if bad == BadSide::Above { clear > bound } else { clear < bound };
    if wrong {
        let good = if bad == BadSide::Above { "below" } else { "above" };
        let message = format!("clear {clear} is on the wrong side of {} {bound}", bad.word());
        context.problem(
            path.clone().key("clear"),
            message,
            format!("an alert that clears there would never end: choose a number {good} {bound}"),
        );
    }
    let never = match bad {
        BadSide::Above => !rows && bound >= Billionths::ONE,
        BadSide::Below => bound == Billionths(0),
    };
    if never {
        let message = format!("nothing is ever {} {bound}", bad.word());
        context.problem(path.clone().key(bad.word()), message, if rows { "" } else { "rates are 0 to 1: 0.1 is 10 %" });
    }
    Some((bad, bound, clear))
}

fn number(key: &str, x: f64, rows: bool, path: &Path, context: &mut Context<'_>) -> Option<Billionths> {
    let (largest, hint) = if rows { (LARGEST, "") } else { (Billionths::ONE, "rates are 0 to 1: 0.1 is 10 %") };
    let number = Billionths::of(x).filter(|b| *b <= largest);
    if number.is_none() {
        let message = format!("{key} is {x}: it must be 0 to {largest}, with nine decimals at most");
        context.problem(path.clone().key(key), message, hint);
    }
    number
}

/// A span of whole panes.
fn span(span: Span, panes: std::ops::RangeInclusive<i64>, path: &Path, size: PaneSize, context: &mut Context<'_>) -> Option<Span> {
    if span.0 % size.0.0 != 0 {
        let message = format!("{path}: {span} is no multiple of panes.size {}", size.0);
        context.problem(path.clone(), message, "values are looked at pane by pane");
        return None;
    }
    let n = span.0 / size.0.0;
    if !panes.contains(&n) {
        let message = format!("{path}: {span} is {n} panes of {}; it must be {} to {} panes", size.0, panes.start(), panes.end());
        context.problem(path.clone(), message, if n > 0 { "shorten it, or make panes.size larger" } else { "" });
        return None;
    }
    Some(span)
}

fn by(typed: &raw::Limit, path: &Path, known: &Known<'_>, context: &mut Context<'_>) -> Vec<String> {
    let path = path.clone().key("by");
    let watched: BTreeSet<&str> = known.segments.iter().flatten().map(String::as_str).collect();
    if let Some(j) = typed.by.iter().position(|name| !watched.contains(name.0.as_str())) {
        let name = &typed.by[j].0;
        let hint = advice(name, watched);
        let hint = if hint.is_empty() { format!("add [{name}] to segments.by") } else { hint };
        context.problem(path.index(j), format!("by names \"{name}\", but no segments are by it"), hint);
        return Vec::new();
    }
    let dimensions: Vec<String> = typed.by.iter().map(|name| name.0.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if !dimensions.is_empty() && !known.segments.contains(&dimensions) {
        let listed = dimensions.join(", ");
        context.problem(path, format!("no segments are by [{listed}]"), format!("add [{listed}] to segments.by"));
    }
    dimensions
}
