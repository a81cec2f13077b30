//! What decides results: join, panes, models, segments, baseline, budget, tolerance.

use super::limits::{Known, limits};
use super::{Context, fairness, sources};
use crate::config::nearest::advice;
use crate::config::settings::{FieldSource, Source};
use crate::config::{duration, raw, shape::Path};
use crate::engine::definitions::{BaselineRule, Budget, Definitions, Fairness, JoinRules, ModelRules, Outliers, Task, Tolerance};
use crate::engine::types::{EventTime, PaneSize, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Panes that may be open because of allowed lateness: each holds summaries of all cells.
const MAX_LATE_PANES: i64 = 10_000;

/// Entries of `segments.by`.
const MAX_SEGMENTATIONS: usize = 64;

/// Every dimension that `segments.by` or `fairness` names.
pub(super) fn dimensions_used(config: &raw::Config) -> BTreeSet<String> {
    let groups = config.fairness.iter().flat_map(|f| &f.groups);
    config.segments.by.iter().flatten().chain(groups).map(|d| d.0.clone()).collect()
}

pub(super) fn definitions(config: &raw::Config, app: &str, predictions: &Source, context: &mut Context<'_>) -> Definitions {
    let texts = |map: &BTreeMap<String, raw::Text>| map.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    let pane = pane(config, context);
    let fairness = fairness::fairness(config, predictions, context);
    let segments = segments(config, &fairness, predictions, context);
    let known = Known { pane, segments: &segments, predictions, outliers: config.outliers.is_some() };
    let models = models(config, &known, context);
    Definitions {
        app: app.to_string(),
        revision: config.revision,
        pane,
        join: join(config, pane, context),
        models,
        dimensions: segments.iter().flatten().cloned().collect::<BTreeSet<String>>().into_iter().collect(),
        segments,
        segment_cap: context.within(&["segments", "cap"], config.segments.cap, 1, 1_000_000),
        baseline: baseline(&config.baseline, pane, context),
        budget: budget(&config.budget, context),
        streams_cap: context.within(&["budget", "streams"], config.budget.streams, 1, 1 << 24),
        tolerance: tolerance(&config.tolerance, context),
        reminder: context.at_least(&["alerts", "reminder"], config.alerts.reminder.0, Span::minutes(1)),
        labels: texts(&config.alerts.labels),
        annotations: texts(&config.alerts.annotations),
        fairness,
        outliers: config.outliers.as_ref().map(|o| outliers(o, context)),
    }
}

fn pane(config: &raw::Config, context: &mut Context<'_>) -> PaneSize {
    let (size, day) = (config.panes.size.0, Span::days(1));
    let path = Path::of(&["panes", "size"]);
    if size < Span::seconds(1) {
        context.problem(path, "panes.size must be at least 1s", "");
        return PaneSize(Span::seconds(60));
    }
    if if size < day { day.0 % size.0 != 0 } else { size.0 % day.0 != 0 } {
        let message = format!("panes.size {} does not divide a day", duration::format(size));
        context.problem(path, message, "hours of the day could not be compared; use for example 10s, 60s, 15m, 1h, 6h or 1d");
    }
    PaneSize(size)
}

fn join(config: &raw::Config, pane: PaneSize, context: &mut Context<'_>) -> JoinRules {
    let typed = &config.join;
    let lateness = [
        config.predictions.as_ref().map_or(Span::seconds(60), |p| p.lateness.span()),
        config.outcomes.as_ref().map_or(Span::seconds(60), |o| o.lateness.span()),
    ];
    for (name, lateness) in ["predictions", "outcomes"].into_iter().zip(lateness) {
        let panes = pane.panes_in(lateness.min(Span(i64::MAX / 4)));
        if panes > MAX_LATE_PANES {
            let message = format!("{name}.lateness {} keeps {panes} panes open", duration::format(lateness));
            context.problem(
                Path::of(&[name, "lateness"]),
                message,
                format!("at most {MAX_LATE_PANES}: shorten it, or make panes.size larger"),
            );
        }
    }
    let (window, early) = (typed.window.0, typed.early.0);
    let longest = Span::days(3650);
    context.at_least(&["join", "window"], window, Span::seconds(1));
    for (name, span) in [("window", window), ("early", early), ("settle", typed.settle.0), ("hold", typed.hold.0)] {
        if span > longest {
            context.problem(Path::of(&["join", name]), format!("join.{name} must be at most 10y"), "");
        }
    }
    if early > window {
        let message = format!("join.early {} is longer than join.window {}", duration::format(early), duration::format(window));
        context.problem(Path::of(&["join", "early"]), message, "outcomes come after their predictions; early is for clocks that differ");
    }
    let both = Span(window.0.saturating_add(early.0));
    let duplicates = typed.duplicates.map_or(both.min(Span::hours(1)), |d| d.0);
    if duplicates > Span(both.0.saturating_mul(2)).max(Span::days(1)) {
        let message = format!("join.duplicates {} is much longer than the window", duration::format(duplicates));
        context.problem(Path::of(&["join", "duplicates"]), message, "each prediction would stay in memory for that long");
    }
    JoinRules { lateness, window, early, duplicates, settle: typed.settle.0, hold: typed.hold.0 }
}

fn models(config: &raw::Config, known: &Known<'_>, context: &mut Context<'_>) -> BTreeMap<String, ModelRules> {
    let mut models = BTreeMap::new();
    for (name, typed) in &config.models {
        let path = Path::of(&["models", name]);
        let positive = typed.positive.as_ref().map(|t| t.0.clone());
        let task = match typed.task {
            Some(raw::Task::Binary) => Task::Binary,
            Some(raw::Task::Multiclass) => Task::Multiclass,
            Some(raw::Task::Regression) => Task::Regression,
            None => Task::Unknown, // reported as missing, or as an unknown word
        };
        if task == Task::Binary && positive.is_none() {
            let message = format!("model \"{name}\" is binary, but which class is positive is not said");
            context.missing(path, message, "add for example positive: \"1\"");
        } else if matches!(task, Task::Multiclass | Task::Regression) && positive.is_some() {
            context.problem(
                path.key("positive"),
                format!("model \"{name}\" has a positive class, but is not binary"),
                "remove it, or set task: binary",
            );
        }
        let favourable = typed.favourable.as_ref().map(|t| t.0.clone());
        if favourable.is_some() && task == Task::Regression {
            let message = format!("model \"{name}\" has a favourable class, but predicts a number");
            context.problem(Path::of(&["models", name, "favourable"]), message, "remove it");
        }
        let limits = limits(name, task, &typed.limits, known, context);
        models.insert(name.clone(), ModelRules { task, positive, favourable, accepted: accepted(typed), limits });
    }
    if let Some(FieldSource::Const(name)) = &known.predictions.fields.model
        && !models.is_empty()
        && !models.contains_key(name)
    {
        let message = format!("all predictions are of model \"{name}\", which is not among the models");
        let hint = advice(name, models.keys().map(String::as_str));
        context.problem(Path::of(&["predictions", "fields", "model", "const"]), message, hint);
    }
    models
}

/// Those of `segments.by`, and the groups that are compared.
fn segments(config: &raw::Config, fairness: &[Fairness], predictions: &Source, context: &mut Context<'_>) -> Vec<Vec<String>> {
    let entries = config.segments.by.len();
    if entries > MAX_SEGMENTATIONS {
        let message = format!("segments.by has {entries} entries; at most {MAX_SEGMENTATIONS} are allowed");
        context.problem(Path::of(&["segments", "by"]), message, "each of them adds up every cell once more");
    }
    let mut all: BTreeSet<Vec<String>> = BTreeSet::new();
    for (i, entry) in config.segments.by.iter().enumerate() {
        let path = Path::of(&["segments", "by"]).index(i);
        let mut dimensions = BTreeSet::new();
        for (j, name) in entry.iter().enumerate() {
            let place = path.clone().index(j);
            if !predictions.fields.dimensions.contains_key(&name.0) {
                sources::unknown_dimension(&name.0, place, predictions, context);
            } else if !dimensions.insert(name.0.clone()) {
                context.problem(place, format!("segments.by names \"{}\" twice in one entry", name.0), "");
            }
        }
        if entry.is_empty() {
            context.problem(path, "an entry of segments.by is empty", "the whole is always watched; remove the entry");
        } else if !dimensions.is_empty() && !all.insert(dimensions.into_iter().collect()) {
            context.problem(path, "an entry of segments.by is there twice", "");
        }
    }
    all.extend(fairness.iter().map(|rule| rule.groups.clone()).filter(|groups| !groups.is_empty()));
    all.into_iter().collect()
}

fn accepted(typed: &raw::Model) -> [Option<EventTime>; 2] {
    [typed.accepted.predictions, typed.accepted.outcomes].map(|t| t.map(instant))
}

fn instant(time: raw::Time) -> EventTime {
    EventTime(time.0.as_millisecond())
}

fn baseline(typed: &raw::Baseline, pane: PaneSize, context: &mut Context<'_>) -> BaselineRule {
    let path = Path::of(&["baseline"]);
    if typed.file.is_some() {
        context.problem(path.clone().key("file"), "a baseline file is of one model", "write models.NAME.baseline: FILE");
    }
    let learn = typed.learn.map_or(Span::days(7), |d| d.0);
    if typed.learn.is_some() && learn < pane.0 {
        context.problem(path.clone().key("learn"), "baseline.learn is shorter than one pane", "");
    }
    match (typed.from.map(instant), typed.to.map(instant)) {
        (Some(from), Some(to)) => {
            if typed.learn.is_some() {
                context.problem(path.clone().key("learn"), "baseline has both a range and learn", "keep one of them");
            }
            if from >= to {
                context.problem(path.key("to"), "baseline.to is not after baseline.from", "");
            } else if to.since(from) < pane.0 {
                context.problem(path.key("to"), "the baseline is shorter than one pane", "");
            }
            BaselineRule::Range { from, to }
        }
        (None, None) => BaselineRule::Learn { span: learn },
        (from, _) => {
            let (there, absent) = if from.is_some() { ("from", "to") } else { ("to", "from") };
            context.missing(path, format!("baseline.{there} is given, baseline.{absent} is not"), "");
            BaselineRule::Learn { span: learn }
        }
    }
}

fn outliers(typed: &raw::Outliers, context: &mut Context<'_>) -> Outliers {
    if !(0.0..=0.05).contains(&typed.share) {
        let message = format!("outliers.share is {}: it must be 0 to 0.05", typed.share);
        context.problem(Path::of(&["outliers", "share"]), message, "each outlier is a record of its own: 0.001 is one in a thousand");
    }
    Outliers { share: typed.share }
}

fn budget(typed: &raw::Budget, context: &mut Context<'_>) -> Budget {
    if typed.false_alarms <= 0.0 {
        let hint = "no false alarm at all means no alarm at all; for a quiet application write for example 1 per 10y";
        context.problem(Path::of(&["budget", "false_alarms"]), "budget.false_alarms must be more than 0", hint);
    }
    Budget { false_alarms: typed.false_alarms, per: context.at_least(&["budget", "per"], typed.per.0, Span::minutes(1)) }
}

fn tolerance(typed: &raw::Tolerance, context: &mut Context<'_>) -> Tolerance {
    let raw::Tolerance { location, scale, rate_relative, rate_points, psi } = *typed;
    for (name, value) in
        [("location", location), ("scale", scale), ("rate_relative", rate_relative), ("rate_points", rate_points), ("psi", psi)]
    {
        if value < 0.0 {
            context.problem(Path::of(&["tolerance", name]), format!("tolerance.{name} must not be negative"), "");
        }
    }
    Tolerance { location, scale, rate_relative, rate_points, psi }
}
