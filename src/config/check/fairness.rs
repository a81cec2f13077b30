//! Which groups are compared: known dimensions, a reference that names them all, limits that make sense.
//!
//! Comes from: `raw::Fairness`. Goes to: `rules`, which makes the groups segments too.

use super::{Context, sources};
use crate::config::settings::Source;
use crate::config::{raw, shape::Path};
use crate::engine::definitions::Fairness;
use std::collections::BTreeSet;

/// Entries of `fairness`.
const MAX_RULES: usize = 16;

pub(super) fn fairness(config: &raw::Config, predictions: &Source, context: &mut Context<'_>) -> Vec<Fairness> {
    if config.fairness.len() > MAX_RULES {
        let message = format!("fairness has {} entries; at most {MAX_RULES} are allowed", config.fairness.len());
        context.problem(Path::of(&["fairness"]), message, "");
    }
    let mut seen = BTreeSet::new();
    let mut rules = Vec::new();
    for (i, typed) in config.fairness.iter().enumerate() {
        let path = Path::of(&["fairness"]).index(i);
        let groups = groups(typed, &path, predictions, context);
        if !groups.is_empty() && !seen.insert(groups.clone()) {
            context.problem(path.clone().key("groups"), "these groups are compared by an earlier entry already", "keep one of the two");
        }
        let reference = reference(typed, &groups, &path, context);
        for (name, value) in [("ratio", typed.ratio), ("difference", typed.difference)] {
            if !(0.0..=1.0).contains(&value) {
                context.problem(path.clone().key(name), format!("{name} is {value}: it must be 0 to 1"), "0.1 is 10 percentage points");
            }
        }
        rules.push(Fairness { groups, reference, ratio: typed.ratio, difference: typed.difference });
    }
    rules
}

fn groups(typed: &raw::Fairness, path: &Path, predictions: &Source, context: &mut Context<'_>) -> Vec<String> {
    let path = path.clone().key("groups");
    let mut dimensions = BTreeSet::new();
    for (j, name) in typed.groups.iter().enumerate() {
        let place = path.clone().index(j);
        if !predictions.fields.dimensions.contains_key(&name.0) {
            sources::unknown_dimension(&name.0, place, predictions, context);
        } else if !dimensions.insert(name.0.clone()) {
            context.problem(place, format!("groups names \"{}\" twice", name.0), "");
        }
    }
    if typed.groups.is_empty() {
        context.missing(path, "an entry of fairness names no groups", "add for example groups: [gender]");
    }
    dimensions.into_iter().collect()
}

fn reference(typed: &raw::Fairness, groups: &[String], path: &Path, context: &mut Context<'_>) -> Option<Vec<String>> {
    if typed.reference.is_empty() {
        return None;
    }
    let path = path.clone().key("reference");
    for name in typed.reference.keys().filter(|name| !groups.contains(name)) {
        context.problem(
            path.clone().key(name),
            format!("\"{name}\" is not among the groups' dimensions"),
            "name a value for each of groups",
        );
    }
    let absent: Vec<&str> = groups.iter().filter(|g| !typed.reference.contains_key(*g)).map(String::as_str).collect();
    if !absent.is_empty() {
        context.missing(path, format!("reference has no value for {}", absent.join(", ")), "name a value for each of groups");
    }
    Some(groups.iter().filter_map(|g| typed.reference.get(g)).map(|v| v.0.clone()).collect())
}
