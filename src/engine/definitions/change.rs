//! Definitions that take the place of others while the application runs.
//!
//! Guarantees: what rows, cells, panes and references stand on stays as it is; dimensions keep their places, new ones come behind them, so
//! cells of either definitions can lie side by side.
//! Never: decides when the new ones hold; see `monitor::force` and `plan`.
//! Comes from: proposals (`stage`). Goes to: `monitor` (the coordinator's answer), `cli` (what is said of a changed file).

use super::limit::Limit;
use super::{Definitions, ModelRules};
use crate::engine::book::{ABS_ERROR, BIAS, CALIBRATION};
use crate::engine::detect::stream::{Form, StreamKey};
use crate::engine::types::EventTime;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// What a proposal is, beside the definitions in force.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// They say the same.
    None,
    /// They can't take their place in a running application, because these keys differ.
    Fixed(Vec<String>),
    /// They can: these keys differ.
    Possible {
        /// Keys of the configuration.
        keys: Vec<&'static str>,
        /// With dimensions where they have been; new ones behind them.
        next: Box<Definitions>,
        /// Joins see it: it holds from a pane that no source has reached. Otherwise from the next one that closes.
        joined: bool,
    },
}

impl Definitions {
    /// Identifies what is said, whatever the order of dimensions and the revision.
    pub fn content(&self) -> u64 {
        let content = Definitions { revision: 0, dimensions: Vec::new(), ..self.clone() };
        xxh3_64(&content.to_bytes())
    }

    /// What it would mean that `proposal` takes the place of these definitions.
    pub fn change_to(&self, proposal: &Definitions) -> Change {
        if self.content() == proposal.content() {
            return Change::None;
        }
        let fixed = self.fixed_differences(proposal);
        if !fixed.is_empty() {
            return Change::Fixed(fixed);
        }
        let mut next = Box::new(Definitions { dimensions: self.dimensions.clone(), ..proposal.clone() });
        let new = proposal.dimensions.iter().filter(|d| !self.dimensions.contains(d));
        next.dimensions.extend(new.cloned());
        let joined = next.dimensions.len() > self.dimensions.len() || self.joined_models() != next.joined_models();
        Change::Possible { keys: self.free_differences(&next), next, joined }
    }

    /// The models, as joins see them.
    fn joined_models(&self) -> BTreeMap<&str, ModelRules> {
        self.models.iter().map(|(name, rules)| (name.as_str(), rules.joined())).collect()
    }

    /// When the models that accept anything do.
    fn accepted(&self) -> BTreeMap<&str, [Option<EventTime>; 2]> {
        self.models.iter().filter(|(_, rules)| rules.accepted != [None; 2]).map(|(name, rules)| (name.as_str(), rules.accepted)).collect()
    }

    /// The limits of the models that have any.
    fn limits(&self) -> BTreeMap<&str, &[Limit]> {
        self.models.iter().filter(|(_, rules)| !rules.limits.is_empty()).map(|(name, rules)| (name.as_str(), &rules.limits[..])).collect()
    }

    /// Keys of what can't change: rows were matched by it, panes cut by it, references learnt by it.
    fn fixed_differences(&self, next: &Definitions) -> Vec<String> {
        let (a, b) = (&self.join, &next.join);
        let mut differ: Vec<String> = [
            (self.app != next.app, "app"),
            (self.pane != next.pane, "panes.size"),
            (a.lateness[0] != b.lateness[0], "predictions.lateness"),
            (a.lateness[1] != b.lateness[1], "outcomes.lateness"),
            (a.window != b.window, "join.window"),
            (a.early != b.early, "join.early"),
            (a.duplicates != b.duplicates, "join.duplicates"),
            (a.settle != b.settle, "join.settle"),
            (a.hold != b.hold, "join.hold"),
            (self.baseline != next.baseline, "baseline"),
            (self.outliers != next.outliers, "outliers"),
        ]
        .into_iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, key)| key.to_string())
        .collect();
        let theirs = |name: &String| next.models.get(name).map(ModelRules::joined);
        let other_rules = self.models.iter().filter(|(name, rules)| theirs(name).is_some_and(|theirs| theirs != rules.joined()));
        differ.extend(other_rules.map(|(name, _)| format!("models.{name}")));
        differ
    }

    fn free_differences(&self, next: &Definitions) -> Vec<&'static str> {
        [
            (self.joined_models() != next.joined_models(), "models"),
            (self.accepted() != next.accepted(), "models.NAME.accepted"),
            (self.limits() != next.limits(), "models.NAME.limits"),
            (self.segments != next.segments, "segments.by"),
            (self.segment_cap != next.segment_cap, "segments.cap"),
            (self.fairness != next.fairness, "fairness"),
            (self.budget != next.budget || self.streams_cap != next.streams_cap, "budget"),
            (self.tolerance != next.tolerance, "tolerance"),
            (self.reminder != next.reminder, "alerts.reminder"),
            (self.labels != next.labels, "alerts.labels"),
            (self.annotations != next.annotations, "alerts.annotations"),
        ]
        .into_iter()
        .filter_map(|(differs, key)| differs.then_some(key))
        .collect()
    }

    /// Whether a stream goes on when `next` takes the place of these definitions.
    pub fn keeps(&self, next: &Definitions, key: &StreamKey) -> bool {
        let by = |names: &[String]| key.segment.len() == names.len() && names.iter().all(|name| key.segment.contains_key(name));
        let watched = key.segment.is_empty() || next.segments.iter().any(|names| by(names));
        // a group's limit is part of what was counted
        let judged_anew = || self.fairness.iter().any(|rule| by(&rule.groups) && !next.fairness.contains(rule));
        // of a model without a task nobody knows what is an error
        let unlisted = self.models.contains_key(&key.model) && !next.models.contains_key(&key.model);
        let limited = |id: u64| next.models.get(&key.model).is_some_and(|rules| rules.limits.iter().any(|limit| limit.id() == id));
        if let Form::Limit(id) = key.form {
            return watched && limited(id);
        }
        watched && !(key.form == Form::Disparity && judged_anew()) && !(unlisted && tells_errors(key))
    }
}

/// Whether a stream is of what a model's task makes an error.
fn tells_errors(key: &StreamKey) -> bool {
    matches!(key.form, Form::Errors | Form::Gap | Form::Disparity) || [ABS_ERROR, BIAS, CALIBRATION].contains(&key.signal.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::tests::definitions;
    use super::*;
    use crate::engine::definitions::{Fairness, Task};
    use crate::engine::types::Span;

    fn watching(by: &[&[&str]]) -> Definitions {
        let mut dimensions: Vec<String> = by.iter().flat_map(|names| names.iter().map(|n| n.to_string())).collect();
        dimensions.sort();
        dimensions.dedup();
        let segments = by.iter().map(|names| names.iter().map(|n| n.to_string()).collect()).collect();
        Definitions { segments, dimensions, ..definitions() }
    }

    #[test]
    fn what_rows_and_references_stand_on_is_named_and_refused() {
        let mut next = definitions();
        next.join.window = Span::hours(7);
        next.pane.0 = Span::hours(1);
        next.budget.false_alarms = 2.0;
        assert_eq!(definitions().change_to(&next), Change::Fixed(vec!["panes.size".into(), "join.window".into()]));
        let with = |task| Definitions { models: BTreeMap::from([("fraud".to_string(), ModelRules::of(task))]), ..definitions() };
        assert_eq!(with(Task::Regression).change_to(&with(Task::Multiclass)), Change::Fixed(vec!["models.fraud".into()]));
        assert!(matches!(with(Task::Regression).change_to(&definitions()), Change::Possible { joined: true, .. }));
        assert!(matches!(definitions().change_to(&with(Task::Regression)), Change::Possible { joined: true, .. }));
    }

    #[test]
    fn accepting_what_a_model_shows_is_no_other_task() {
        let accepting = |accepted| {
            let rules = ModelRules { accepted, ..ModelRules::of(Task::Regression) };
            Definitions { models: BTreeMap::from([("price".to_string(), rules)]), ..definitions() }
        };
        let Change::Possible { keys, joined, .. } = accepting([None; 2]).change_to(&accepting([Some(EventTime(5)), None])) else {
            panic!("possible")
        };
        assert_eq!((keys, joined), (vec!["models.NAME.accepted"], false));
        assert_eq!(accepting([Some(EventTime(5)); 2]).change_to(&accepting([Some(EventTime(5)); 2])), Change::None);
        // with a model that begins to be listed joins see the list alone
        let Change::Possible { keys, joined, .. } = definitions().change_to(&accepting([Some(EventTime(5)); 2])) else {
            panic!("possible")
        };
        assert_eq!((keys, joined), (vec!["models", "models.NAME.accepted"], true));
    }

    #[test]
    fn limits_are_no_other_task_and_one_that_differs_is_another_limit() {
        use crate::engine::alert::Severity;
        use crate::engine::definitions::limit::{BadSide, Billionths};
        let limit = |at_least, by: &[&str]| Limit {
            signal: "error".into(),
            bad: BadSide::Above,
            bound: Billionths(5),
            clear: Billionths(5),
            over: definitions().pane.0,
            lasts: Span::ZERO,
            at_least,
            by: by.iter().map(|n| n.to_string()).collect(),
            severity: Severity::Info,
        };
        let with = |limits: Vec<Limit>| {
            let rules = ModelRules { limits, ..ModelRules::of(Task::Multiclass) };
            Definitions { models: BTreeMap::from([("m".to_string(), rules)]), ..watching(&[&["country"]]) }
        };
        let (one, other, by_country) = (limit(1, &[]), limit(2, &[]), limit(1, &["country"]));
        let (old, new) = (with(vec![one.clone(), by_country.clone()]), with(vec![other, by_country.clone()]));
        let Change::Possible { keys, joined, .. } = old.change_to(&new) else { panic!("possible") };
        assert_eq!((keys, joined), (vec!["models.NAME.limits"], false));
        let key = |limit: &Limit| StreamKey {
            model: "m".into(),
            version: None,
            segment: limit.by.iter().map(|n| (n.clone(), "FR".to_string())).collect(),
            signal: "error".into(),
            form: Form::Limit(limit.id()),
        };
        assert_eq!([&one, &by_country].map(|limit| old.keeps(&new, &key(limit))), [false, true]);
        assert_eq!(Definitions::from_bytes(&new.to_bytes(), new.format()), Ok(new.clone()));
        assert_eq!(new.format(), 2);
        let impossible = Limit { bound: Billionths::ONE, ..one };
        let refused = with(vec![impossible]);
        assert!(Definitions::from_bytes(&refused.to_bytes(), 2).is_err());
    }

    #[test]
    fn the_same_content_is_no_change_whatever_its_revision_and_the_order_of_dimensions() {
        let here = Definitions { dimensions: vec!["z".into(), "a".into()], revision: 3, ..watching(&[&["z"], &["a"]]) };
        assert_eq!(here.change_to(&watching(&[&["z"], &["a"]])), Change::None);
        assert_ne!(here.change_to(&watching(&[&["a"], &["z"]])), Change::None);
    }

    #[test]
    fn new_dimensions_come_behind_those_that_cells_have_and_old_ones_stay() {
        let Change::Possible { keys, next, joined } = watching(&[&["country"], &["plan"]]).change_to(&watching(&[&["age"], &["country"]]))
        else {
            panic!("possible")
        };
        assert_eq!((keys, joined), (vec!["segments.by"], true));
        assert_eq!(next.dimensions, ["country", "plan", "age"]);
        let Change::Possible { joined, .. } = watching(&[&["a"], &["b"]]).change_to(&watching(&[&["a", "b"]])) else { panic!("possible") };
        assert!(!joined, "cells have both already");
    }

    #[test]
    fn streams_of_segments_that_nobody_lists_end_and_so_do_groups_with_another_limit() {
        let rule = |ratio| Fairness { groups: vec!["country".into()], reference: None, ratio, difference: 0.1 };
        let old = Definitions { fairness: vec![rule(0.8)], ..watching(&[&["country"], &["country", "plan"]]) };
        let next = Definitions { fairness: vec![rule(0.9)], ..watching(&[&["country"]]) };
        let key = |names: &[&str], form| StreamKey {
            model: "m".into(),
            version: None,
            segment: names.iter().map(|n| (n.to_string(), "x".to_string())).collect(),
            signal: "score".into(),
            form,
        };
        for (names, form, kept) in [
            (&[] as &[&str], Form::Numeric, true),
            (&["country"], Form::Numeric, true),
            (&["country"], Form::Disparity, false),
            (&["country", "plan"], Form::Numeric, false),
        ] {
            assert_eq!(old.keeps(&next, &key(names, form)), kept, "{names:?} {form:?}");
        }
        assert!(next.keeps(&next, &key(&["country"], Form::Disparity)));
        let rules = ModelRules::of(Task::Multiclass);
        let listed = Definitions { models: BTreeMap::from([("m".to_string(), rules)]), ..old.clone() };
        let kept = [Form::Numeric, Form::Volume, Form::Errors].map(|form| listed.keeps(&old, &key(&[], form)));
        assert_eq!(kept, [true, true, false], "errors of a model that is no longer listed");
        assert!(old.keeps(&listed, &key(&[], Form::Errors)));
    }
}
