//! What driftline says: one alert event, as the engine knows it.
//!
//! Guarantees: a function of the stream's panes and the definitions in force; equal panes give equal alerts, byte for byte.
//! Never: holds a wall time, an offset or anything else that a replay would change.
//! Comes from: `detect::stream`. Goes to: `codec::alert` (JSON, Avro, headers).

use super::types::{EventTime, PaneId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// State of an episode after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The change persists.
    Firing,
    /// The episode is over.
    Resolved,
}

impl Status {
    /// Both.
    pub const ALL: [Status; 2] = [Status::Firing, Status::Resolved];

    /// The word in messages: `FIRING` or `RESOLVED`.
    pub fn word(self) -> &'static str {
        match self {
            Status::Firing => "FIRING",
            Status::Resolved => "RESOLVED",
        }
    }
}

/// Why an event of an episode was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// First event: statistic and effect passed.
    Opened,
    /// The severity rose.
    Escalated,
    /// Nothing new: it still fires.
    Reminder,
    /// The last window is back to normal.
    Recovered,
    /// The signal's definition or its bins changed: the stream starts anew.
    Redefined,
    /// What it is about is no longer there.
    Gone,
    /// The configuration says that the change is meant: the stream learns anew.
    Accepted,
}

impl Reason {
    /// The word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Opened => "opened",
            Reason::Escalated => "escalated",
            Reason::Reminder => "reminder",
            Reason::Recovered => "recovered",
            Reason::Redefined => "redefined",
            Reason::Gone => "gone",
            Reason::Accepted => "accepted",
        }
    }

    /// The reason of a word.
    pub fn parse(word: &str) -> Option<Reason> {
        use Reason::{Accepted, Escalated, Gone, Opened, Recovered, Redefined, Reminder};
        [Opened, Escalated, Reminder, Recovered, Redefined, Gone, Accepted].into_iter().find(|r| r.word() == word)
    }
}

/// How bad: the effect against its tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// From 1x the tolerance.
    Info,
    /// From 2x the tolerance.
    Warning,
    /// From 5x the tolerance.
    Critical,
}

impl Severity {
    /// Every severity, lowest first.
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    /// The word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Critical => "CRITICAL",
        }
    }

    /// Severity of an effect that is `times` its tolerance.
    pub fn of(times: f64) -> Severity {
        if times >= 5.0 {
            Severity::Critical
        } else if times >= 2.0 {
            Severity::Warning
        } else {
            Severity::Info
        }
    }
}

/// What sort of trouble a signal stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A feature's distribution.
    DataDrift,
    /// The distribution of scores or predicted classes.
    PredictionDrift,
    /// Errors against outcomes.
    Performance,
    /// Missing or never seen values.
    DataQuality,
    /// Predictions or labels that do not come, or come in other numbers.
    Volume,
    /// A group that is treated worse than others.
    Fairness,
    /// Predictions that lie far out.
    Outlier,
    /// Nothing: somebody sees whether alerts arrive (`engine::drill`).
    Drill,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::DataDrift,
        Kind::PredictionDrift,
        Kind::Performance,
        Kind::DataQuality,
        Kind::Volume,
        Kind::Fairness,
        Kind::Outlier,
        Kind::Drill,
    ];

    /// The kind of a signal, by its name (`feature:x`, `null:x`, `unseen:x`, `score`, `label`, those of pairs, `volume`, `labels`, `fairness:x`, `outliers`, `drill`).
    pub fn of_signal(signal: &str) -> Kind {
        match signal.split(':').next().unwrap_or(signal) {
            "null" | "unseen" => Kind::DataQuality,
            "score" | "label" => Kind::PredictionDrift,
            "error" | "miss_rate" | "false_positive_rate" | "false_discovery_rate" => Kind::Performance,
            "abs_error" | "bias" | "calibration" => Kind::Performance,
            "volume" | "labels" => Kind::Volume,
            "fairness" => Kind::Fairness,
            "outliers" => Kind::Outlier,
            "drill" => Kind::Drill,
            _ => Kind::DataDrift,
        }
    }

    /// The word in messages and fingerprints.
    pub fn word(self) -> &'static str {
        match self {
            Kind::DataDrift => "data_drift",
            Kind::PredictionDrift => "prediction_drift",
            Kind::Performance => "performance",
            Kind::DataQuality => "data_quality",
            Kind::Volume => "volume",
            Kind::Fairness => "fairness",
            Kind::Outlier => "outlier",
            Kind::Drill => "drill",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }

    /// What a person should look at first; a suggestion, nothing is done.
    pub fn action(self) -> &'static str {
        match self {
            Kind::DataQuality | Kind::Volume => "fix_pipeline",
            Kind::Performance => "retrain",
            Kind::DataDrift | Kind::PredictionDrift | Kind::Fairness | Kind::Outlier | Kind::Drill => "none",
        }
    }
}

/// How large a change is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// `location`, `scale`, `rate_difference`, `psi`, `volume`, `selection_ratio` or `limit`.
    pub name: String,
    /// `sigma`, `relative`, `points`, `psi`, `ratio` or `rows`.
    pub unit: String,
    /// Estimate over the window.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Effects below this never alert; ratios above it.
    pub tolerance: f64,
}

impl Effect {
    /// The effect in units of its tolerance (0 without a tolerance and an effect, infinite without a tolerance).
    pub fn times_tolerance(&self) -> f64 {
        self.times(self.value)
    }

    /// How bad it surely is: the same of the end of the interval that lies nearer to no effect.
    pub fn surely_times_tolerance(&self) -> f64 {
        self.times(match (self.is_ratio(), self.value > 0.0) {
            (true, _) => self.high,
            (false, true) => self.low.max(0.0),
            (false, false) => self.high.min(0.0),
        })
    }

    /// The name of how far a value lies from a limit.
    pub const LIMIT: &'static str = "limit";

    /// The name of effects of which small ones are bad.
    pub const RATIO: &'static str = "selection_ratio";

    /// True if it is a ratio: 1 is no effect, and less is worse.
    pub fn is_ratio(&self) -> bool {
        self.name == Effect::RATIO
    }

    fn times(&self, value: f64) -> f64 {
        match (self.is_ratio(), value == 0.0) {
            (true, _) => self.tolerance / value,
            (false, true) => 0.0,
            (false, false) => value.abs() / self.tolerance,
        }
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Events behind it.
    pub count: u64,
    /// Mean or rate, in the signal's own unit; none for categorical signals.
    pub value: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub high: Option<f64>,
}

/// A part of the distribution that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributor {
    /// Which bin, category or label age, in words.
    pub what: String,
    /// Its share in the reference.
    pub baseline: f64,
    /// Its share since the change.
    pub current: f64,
    /// Its part of the distance between the two (0 to 1).
    pub share: f64,
}

/// One event of an episode. Field names are fixed for subscribers (`schemas/alert.avsc`, `docs/alerts.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Stable identity: XXH3-128, 32 hex digits, of app, kind, model, version, segment, signal, detector.
    pub fingerprint: String,
    /// One episode: fingerprint and the pane it opened in.
    pub alert_id: String,
    /// 0 at opening, then +1 per event of the episode.
    pub sequence: u32,
    /// State after this event.
    pub status: Status,
    /// Why it was written.
    pub reason: Reason,
    /// By effect against tolerance; the highest of the episode.
    pub severity: Severity,
    /// Sort of trouble.
    pub kind: Kind,
    /// The application.
    pub app: String,
    /// The model.
    pub model: String,
    /// The model's version, if the stream belongs to one.
    pub model_version: Option<String>,
    /// Dimension to value; empty is the root.
    pub segment: BTreeMap<String, String>,
    /// What changed: `feature:NAME`, `score`, `error`, ...
    pub signal: String,
    /// Which statistic found it (`docs/detectors.md`); of a limit, the limit (`is_limit`).
    pub detector: String,
    /// End of the pane that opened the episode.
    pub opened_at: EventTime,
    /// End of the pane of this event.
    pub detected_at: EventTime,
    /// Estimated time of the change: start of the first pane after it.
    pub change_point: Option<EventTime>,
    /// Start of the rows compared.
    pub window_start: EventTime,
    /// End of the rows compared.
    pub window_end: EventTime,
    /// The statistic, in nats; of a limit, the value (a rate, or rows).
    pub statistic: f64,
    /// What it had to reach, in nats; of a limit, the limit.
    pub threshold: f64,
    /// How often per day the whole application would show a statistic this high without any change; of a limit, 0.
    pub false_alarms_per_day: f64,
    /// What the reference can promise: `range`, `short` (under a day), `days`; `limit` without any.
    pub baseline_rung: String,
    /// How large.
    pub effect: Effect,
    /// The reference.
    pub baseline: Side,
    /// Since the change.
    pub current: Side,
    /// `psi`, `psi_unbiased`, `js`, `hellinger`, `ks`, `wasserstein`, `tvd`, `g` between the two sides.
    pub distances: BTreeMap<String, f64>,
    /// The ten largest at most, largest first.
    pub contributors: Vec<Contributor>,
    /// Rows to look at (none in this version).
    pub sample_request_ids: Vec<String>,
    /// Share of the expected labels behind it (none in this version).
    pub label_maturity: Option<f64>,
    /// Suggested: `retrain`, `rollback`, `fix_pipeline`, `none`.
    pub action: String,
    /// One sentence for people.
    pub summary: String,
    /// Where to go on.
    pub runbook: Option<String>,
    /// Configured.
    pub labels: BTreeMap<String, String>,
    /// Configured.
    pub annotations: BTreeMap<String, String>,
    /// Hash of the definitions in force.
    pub definition: String,
}

impl Alert {
    /// The next event of the episode: what was known last, with a new reason.
    pub fn follow(&mut self, status: Status, reason: Reason, now: EventTime) -> Alert {
        self.sequence += 1;
        self.status = status;
        self.reason = reason;
        self.detected_at = now;
        self.clone()
    }
}

/// What a fingerprint is made of.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The application.
    pub app: &'a str,
    /// Sort of trouble.
    pub kind: Kind,
    /// The model.
    pub model: &'a str,
    /// Its version.
    pub version: Option<&'a str>,
    /// The segment.
    pub segment: &'a BTreeMap<String, String>,
    /// The signal.
    pub signal: &'a str,
    /// The statistic.
    pub detector: &'a str,
}

impl Identity<'_> {
    /// 32 hex digits: XXH3-128 (seed 0) of the parts, each as its length in bytes (u32, little endian) and its UTF-8 bytes.
    /// An absent version is the length `u32::MAX`; the segment is its number of entries, then names and values in order. Fixed for ever.
    pub fn fingerprint(&self) -> String {
        let mut bytes = Vec::with_capacity(128);
        let part = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        part(&mut bytes, self.app);
        part(&mut bytes, self.kind.word());
        part(&mut bytes, self.model);
        match self.version {
            Some(version) => part(&mut bytes, version),
            None => bytes.extend_from_slice(&u32::MAX.to_le_bytes()),
        }
        bytes.extend_from_slice(&(self.segment.len() as u32).to_le_bytes());
        for (name, value) in self.segment {
            part(&mut bytes, name);
            part(&mut bytes, value);
        }
        part(&mut bytes, self.signal);
        part(&mut bytes, self.detector);
        format!("{:032x}", xxh3_128(&bytes))
    }
}

/// Whether a detector is a limit that somebody has set: then nothing was tested, and nothing is by chance.
pub fn is_limit(detector: &str) -> bool {
    detector.starts_with("limit:")
}

/// Name of the episode of `fingerprint` that opened in `pane`.
pub fn alert_id(fingerprint: &str, pane: PaneId) -> String {
    format!("{fingerprint}-{}", pane.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity<'a>(segment: &'a BTreeMap<String, String>, signal: &'a str, version: Option<&'a str>) -> String {
        Identity { app: "shop", kind: Kind::of_signal(signal), model: "fraud", version, segment, signal, detector: "focus_location" }
            .fingerprint()
    }

    #[test]
    fn a_fingerprint_depends_on_every_part_and_on_nothing_else() {
        let root = BTreeMap::new();
        let france = BTreeMap::from([("country".to_owned(), "FR".to_owned())]);
        let base = identity(&root, "feature:amount", None);
        assert_eq!(base, identity(&BTreeMap::new(), "feature:amount", None));
        for other in
            [identity(&france, "feature:amount", None), identity(&root, "score", None), identity(&root, "feature:amount", Some(""))]
        {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn severity_rises_at_twice_and_five_times_the_tolerance() {
        assert_eq!(
            [0.5, 1.0, 1.99, 2.0, 4.9, 5.0].map(Severity::of),
            [Severity::Info, Severity::Info, Severity::Info, Severity::Warning, Severity::Warning, Severity::Critical]
        );
    }
}
