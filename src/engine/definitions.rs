//! What an application watches and how: the part of the configuration that decides results.
//!
//! Guarantees: everybody obeys the definitions that the summaries log carries (with a version and the first pane they hold for),
//! whatever a pod's own file says; equal definitions have equal bytes and so equal hashes.
//! Never: holds anything about where data comes from (topics, formats, brokers): that may differ between pods.

pub mod change;
pub mod form;
pub mod limit;

use super::types::{EventTime, PaneSize, Span};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use form::{Form1, Form2};
use limit::{Limit, MOST_LIMITS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No span of a definition is longer, no instant of it further from 1970: 10,000 years.
pub const LONGEST: Span = Span::days(3_650_000);

/// Everything that decides verdicts, summaries and alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Form2", try_from = "Form2")]
pub struct Definitions {
    /// The application: prefix of its topics, part of each fingerprint.
    pub app: String,
    /// Higher replaces lower even if this content was superseded before.
    pub revision: u64,
    /// Width of all panes.
    pub pane: PaneSize,
    /// How predictions and outcomes find each other.
    pub join: JoinRules,
    /// The models, by name. A model that is not listed is watched as `Task::Unknown`: inputs and scores only.
    pub models: BTreeMap<String, ModelRules>,
    /// Names of the dimensions of a cell, sorted.
    pub dimensions: Vec<String>,
    /// Each entry names the dimensions whose combinations of values are segments. The root segment is always watched.
    pub segments: Vec<Vec<String>>,
    /// The largest number of segments per model; rows of refused segments stay in their ancestors.
    pub segment_cap: u32,
    /// Where normal comes from.
    pub baseline: BaselineRule,
    /// The one knob: allowed false alarms of the whole application.
    pub budget: Budget,
    /// The number of streams that the budget is split over (until a census exists).
    pub streams_cap: u32,
    /// Changes smaller than these are nobody's business.
    pub tolerance: Tolerance,
    /// A still firing alert is repeated after this much event time.
    pub reminder: Span,
    /// Put on every alert.
    pub labels: BTreeMap<String, String>,
    /// Put on every alert.
    pub annotations: BTreeMap<String, String>,
    /// Which groups are compared with each other.
    pub fairness: Vec<Fairness>,
    /// Whether outliers are looked for.
    pub outliers: Option<Outliers>,
}

/// Which predictions are outliers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outliers {
    /// Those that lie as far out as this share of the reference at most (.001: one in a thousand).
    pub share: f64,
}

/// Groups of people (or of anything) that a model must not treat too differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// The dimensions whose combinations of values are the groups, sorted; one of `Definitions::segments`.
    pub groups: Vec<String>,
    /// The group that each other one is compared with, by its values; `None`: all others together.
    pub reference: Option<Vec<String>>,
    /// The lowest tolerated ratio of the rates at which the favourable class is predicted (.8: four fifths).
    pub ratio: f64,
    /// The largest tolerated difference of rates of errors, and of observed rates at equal scores (.1 = 10 points).
    pub difference: f64,
}

/// Rules of the join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRules {
    /// Allowed lateness of predictions and outcomes, by `Input::index`.
    pub lateness: [Span; 2],
    /// An outcome matches up to this long after its prediction.
    pub window: Span,
    /// And up to this long before it.
    pub early: Span,
    /// A prediction with the id of an earlier one is a duplicate within this span.
    pub duplicates: Span,
    /// A further outcome this long after the first match is a duplicate or a conflict, later an orphan.
    pub settle: Span,
    /// Rows are released when one input's watermark trails the other's by window + hold.
    pub hold: Span,
}

/// What a model does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRules {
    /// Its task.
    pub task: Task,
    /// The positive class of a binary model.
    pub positive: Option<String>,
    /// The class that people want to be given, if it is not the positive one.
    pub favourable: Option<String>,
    /// What it shows from these instants on, in event time, is normal: streams of input panes and of pair panes learn anew from there.
    pub accepted: [Option<EventTime>; 2],
    /// What must hold whatever is normal, in the order of the file.
    pub limits: Vec<Limit>,
}

/// The kind of answer that a model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// One of two classes; errors are wrong classes.
    Binary,
    /// One of several classes; errors are wrong classes.
    Multiclass,
    /// A number; errors are differences.
    Regression,
    /// Not said: inputs and scores only.
    Unknown,
}

/// Where the reference comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaselineRule {
    /// Panes that start in `[from, to)`.
    Range {
        /// First instant.
        from: EventTime,
        /// First instant after it.
        to: EventTime,
    },
    /// The first `span` of what each model shows.
    Learn {
        /// Its length.
        span: Span,
    },
}

/// Allowed false alarms per span of event time, for the whole application.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// How many.
    pub false_alarms: f64,
    /// In how much event time.
    pub per: Span,
}

/// Effects below these never alert, however significant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Shift of location, in standard deviations of the reference's normal scores.
    pub location: f64,
    /// Relative change of scale.
    pub scale: f64,
    /// Relative change of a rate; both this and `rate_points` must be passed.
    pub rate_relative: f64,
    /// Absolute change of a rate (0.002 = .2 points).
    pub rate_points: f64,
    /// Bias-corrected PSI of a categorical signal.
    pub psi: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance { location: 0.1, scale: 0.05, rate_relative: 0.1, rate_points: 0.002, psi: 0.02 }
    }
}

impl Definitions {
    /// Canonical bytes (postcard: field order, no maps without order), in the oldest format that can say them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = match Form1::of(self) {
            Some(form) => postcard::to_stdvec(&form),
            None => postcard::to_stdvec(self),
        };
        bytes.expect("definitions hold nothing that postcard refuses")
    }

    /// The format version of a record that holds them.
    pub fn format(&self) -> u8 {
        if Form1::of(self).is_some() { 1 } else { 2 }
    }

    /// Reads what `to_bytes` wrote in a format.
    pub fn from_bytes(bytes: &[u8], format: u8) -> Result<Definitions, Malformed> {
        let read = match format {
            1 => postcard::from_bytes::<Form1>(bytes).map(Definitions::from),
            _ => postcard::from_bytes::<Definitions>(bytes),
        };
        let read = read.map_err(|_| Malformed::Value("the definitions' content"))?;
        read.possible()?;
        Ok(read)
    }

    /// The record that proposes them.
    pub fn to_proposal(&self) -> Vec<u8> {
        Writer { bytes: self.to_bytes() }.sealed_as(Kind::Proposal, self.format())
    }

    /// Reads a proposal.
    pub fn from_proposal(record: &[u8]) -> Result<Definitions, Malformed> {
        match Reader::open_any(record)? {
            (kind, version, mut body) if kind == Kind::Proposal as u8 => Definitions::from_bytes(body.rest_of(record.len())?, version),
            _ => Err(Malformed::Value("a record of another kind")),
        }
    }

    /// Refuses what no configuration says and no arithmetic stands: definitions come from a log, and everybody obeys them.
    pub fn possible(&self) -> Result<(), Malformed> {
        let j = &self.join;
        let waits = [j.lateness[0], j.lateness[1], j.window, j.early, j.duplicates, j.settle, j.hold, self.reminder];
        let baseline = match self.baseline {
            BaselineRule::Range { from, to } => from.0.abs_diff(0) <= LONGEST.0 as u64 && to.0.abs_diff(0) <= LONGEST.0 as u64,
            BaselineRule::Learn { span } => (Span::ZERO..=LONGEST).contains(&span),
        };
        let mut accepted = self.models.values().flat_map(|m| m.accepted).flatten();
        let limited = |m: &ModelRules| m.limits.len() <= MOST_LIMITS && m.limits.iter().all(|l| l.possible(self.pane));
        let limits = self.pane.0 <= Span::ZERO || self.models.values().all(limited);
        let t = &self.tolerance;
        let tolerance = [t.location, t.scale, t.rate_relative, t.rate_points, t.psi].iter().all(|x| x.is_finite() && *x >= 0.0);
        let budget = self.budget.false_alarms.is_finite() && self.budget.false_alarms > 0.0;
        for (holds, what) in [
            ((Span(1)..=LONGEST).contains(&self.pane.0), "definitions with such panes"),
            (waits.iter().all(|s| (Span::ZERO..=LONGEST).contains(s)), "definitions with such a wait"),
            (baseline, "definitions with such a baseline"),
            (tolerance, "definitions with such a tolerance"),
            (budget && (Span(1)..=LONGEST).contains(&self.budget.per), "definitions with such a budget"),
            (self.outliers.is_none_or(|o| (0.0..=1.0).contains(&o.share)), "definitions with such a share of outliers"),
            (self.fairness.iter().all(Fairness::possible), "definitions with such a rule of fairness"),
            (accepted.all(|t| t.0.unsigned_abs() <= LONGEST.0 as u64), "definitions that accept such an instant"),
            (limits, "definitions with such a limit"),
        ] {
            if !holds {
                return Err(Malformed::Value(what));
            }
        }
        Ok(())
    }

    /// 16 hex digits that identify the content (without its revision).
    pub fn hash(&self) -> String {
        let content = Definitions { revision: 0, ..self.clone() };
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&content.to_bytes()))
    }

    /// The rules of a model, listed or not.
    pub fn model(&self, name: &str) -> ModelRules {
        self.models.get(name).cloned().unwrap_or(ModelRules::of(Task::Unknown))
    }

    /// Panes that a source may be ahead of the last closed one: 64 plus the allowed lateness.
    pub fn look_ahead(&self) -> i64 {
        64 + self.pane.panes_in(self.join.lateness[0].max(self.join.lateness[1]))
    }
}

impl ModelRules {
    /// Of a task alone.
    pub fn of(task: Task) -> ModelRules {
        ModelRules { task, positive: None, favourable: None, accepted: [None; 2], limits: Vec::new() }
    }

    /// The same without what joins do not see.
    pub fn joined(&self) -> ModelRules {
        ModelRules { accepted: [None; 2], limits: Vec::new(), ..self.clone() }
    }
}

impl Fairness {
    fn possible(&self) -> bool {
        let as_many = self.reference.as_ref().is_none_or(|values| values.len() == self.groups.len());
        !self.groups.is_empty() && as_many && (0.0..=1.0).contains(&self.ratio) && (0.0..=1.0).contains(&self.difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn definitions() -> Definitions {
        let (wait, empty) = (LONGEST, BTreeMap::new());
        Definitions {
            app: "a".into(),
            revision: 0,
            pane: PaneSize(LONGEST),
            join: JoinRules { lateness: [wait; 2], window: wait, early: wait, duplicates: wait, settle: wait, hold: wait },
            models: BTreeMap::new(),
            dimensions: Vec::new(),
            segments: Vec::new(),
            segment_cap: 1,
            baseline: BaselineRule::Learn { span: wait },
            budget: Budget { false_alarms: 1.0, per: wait },
            streams_cap: 1,
            tolerance: Tolerance::default(),
            reminder: wait,
            labels: empty.clone(),
            annotations: empty,
            fairness: Vec::new(),
            outliers: None,
        }
    }

    #[test]
    fn definitions_at_their_limits_are_read_and_others_are_refused() {
        let longer = Span(LONGEST.0 + 1);
        assert_eq!(Definitions::from_bytes(&definitions().to_bytes(), 1), Ok(definitions()));
        let refused = |change: &dyn Fn(&mut Definitions)| {
            let mut changed = definitions();
            change(&mut changed);
            assert!(Definitions::from_bytes(&changed.to_bytes(), changed.format()).is_err(), "{changed:?}");
        };
        for pane in [Span::ZERO, Span(-1), longer] {
            refused(&|d| d.pane = PaneSize(pane));
            refused(&|d| d.budget.per = pane);
        }
        for wait in [Span(-1), Span(i64::MIN), longer] {
            refused(&|d| d.join.lateness[1] = wait);
            refused(&|d| d.reminder = wait);
            refused(&|d| d.baseline = BaselineRule::Learn { span: wait });
            refused(&|d| d.baseline = BaselineRule::Range { from: EventTime(wait.0), to: EventTime(i64::MIN) });
        }
        for number in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            refused(&|d| d.budget.false_alarms = number);
        }
        refused(&|d| d.tolerance.psi = f64::NAN);
        for ratio in [-0.1, 1.1, f64::NAN] {
            refused(&|d| d.fairness = vec![Fairness { ratio, ..by_gender() }]);
            refused(&|d| d.fairness = vec![Fairness { difference: ratio, ..by_gender() }]);
            refused(&|d| d.outliers = Some(Outliers { share: ratio }));
        }
        let accepting = |t| ModelRules { accepted: [None, Some(EventTime(t))], ..ModelRules::of(Task::Binary) };
        for time in [longer.0, -longer.0, i64::MIN] {
            refused(&|d| d.models = BTreeMap::from([("m".to_string(), accepting(time))]));
        }
        refused(&|d| d.fairness = vec![Fairness { groups: Vec::new(), ..by_gender() }]);
        refused(&|d| d.fairness = vec![Fairness { reference: Some(Vec::new()), ..by_gender() }]);
    }

    fn by_gender() -> Fairness {
        Fairness { groups: vec!["gender".into()], reference: None, ratio: 0.8, difference: 0.1 }
    }

    #[test]
    fn only_what_the_first_format_has_no_place_for_is_written_in_the_second() {
        let fair = Definitions { fairness: vec![by_gender()], ..definitions() };
        let odd = Definitions { outliers: Some(Outliers { share: 0.001 }), ..definitions() };
        let with = |favourable: Option<&str>, accepted| {
            let rules =
                ModelRules { positive: Some("1".into()), favourable: favourable.map(Into::into), accepted, ..ModelRules::of(Task::Binary) };
            Definitions { models: BTreeMap::from([("m".to_string(), rules)]), ..definitions() }
        };
        let (never, once) = ([None; 2], [None, Some(EventTime(-7))]);
        let models =
            [(with(None, never), 1), (with(Some("0"), never), 2), (with(None, once), 2), (with(Some("0"), [Some(EventTime(1)); 2]), 2)];
        for (definitions, format) in [(definitions(), 1), (fair, 2), (odd, 2)].into_iter().chain(models) {
            assert_eq!(definitions.format(), format, "{definitions:?}");
            assert_eq!(Definitions::from_bytes(&definitions.to_bytes(), format), Ok(definitions.clone()));
            assert_eq!(Definitions::from_proposal(&definitions.to_proposal()), Ok(definitions.clone()));
        }
        assert_ne!(with(None, never).hash(), with(Some("0"), never).hash());
        assert_ne!(with(None, never).hash(), with(None, once).hash());
    }
}
