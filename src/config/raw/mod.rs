//! The configuration as it is typed: keys, types, defaults and what each key means.
//!
//! Guarantees: the schema, the reference page and the reader come from these types; every default stands here (or in
//! `check` where it depends on another key). Never: decides whether values make sense together.

mod http;
mod inputs;
mod limits;
mod protect;
mod registry;

pub use http::*;
pub use inputs::*;
pub use limits::*;
pub use protect::*;
pub use registry::*;

use super::bytes::Bytes;
use super::duration::Duration;
use crate::engine::definitions::Tolerance as ToleranceRule;
use crate::engine::types::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Text, or a number or truth value taken as the text that was typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text(pub String);

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"], "description": "Text; numbers and truth values are taken as typed." })
    }
}

/// A point in time, RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub jiff::Timestamp);

/// The `format` of points in time in the schema.
pub const TIME: &str = "date-time";

impl Time {
    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Result<Time, String> {
        text.parse().map(Time).map_err(|_| format!("\"{text}\" is no time; write for example 2026-01-31T08:00:00Z"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        Time::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": TIME, "description": "A point in time, RFC 3339: 2026-01-31T08:00:00Z." })
    }
}

/// One driftline application: which topics it reads, which models it watches, when it speaks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "driftline configuration")]
#[schemars(extend("required" = ["app", "kafka", "predictions", "outcomes"]))]
pub struct Config {
    /// Name of the application: prefix of driftline's own topics and of its consumer groups. Letters, digits, `.`, `_`, `-`.
    pub app: Option<Text>,
    /// How to reach Kafka.
    pub kafka: Option<Kafka>,
    /// The schema registry, for inputs with `format: registry`.
    pub registry: Option<Registry>,
    /// The topic of predictions.
    pub predictions: Option<Predictions>,
    /// The topic of outcomes (labels, ground truth).
    pub outcomes: Option<Outcomes>,
    /// Values that nobody downstream may see: they become pseudonyms before anything is kept, published or logged.
    pub protect: Option<Protect>,
    /// How predictions and outcomes find each other.
    pub join: Join,
    /// The models by name. A model that is not listed is watched too: its inputs and scores, not its errors.
    pub models: BTreeMap<String, Model>,
    /// Which parts of the traffic are watched on their own.
    pub segments: Segments,
    /// Groups that no model may treat too differently. Each entry compares one kind of groups.
    pub fairness: Vec<Fairness>,
    /// Predictions that lie far out, one by one. Absent: nobody looks for them.
    pub outliers: Option<Outliers>,
    /// Panes: the unit of event time in which summaries are compared.
    pub panes: Panes,
    /// Where normal comes from: a range of event time, or the first while of what is seen.
    pub baseline: Baseline,
    /// The one knob: how many false alarms the whole application may raise. Every threshold follows from it.
    pub budget: Budget,
    /// Changes smaller than these never alert, however significant.
    pub tolerance: Tolerance,
    /// Alerts out.
    pub alerts: Alerts,
    /// The listener of /metrics, /livez, /readyz and /status.
    pub http: Http,
    /// Exported metrics.
    pub metrics: Metrics,
    /// An input that is quiet at its end for this long (wall clock) holds nobody back.
    pub idle_timeout: DurationOr<30_000>,
    /// An input that is quiet everywhere for this long is silent: its last panes close; `driftline_event_time_lag_seconds` shows for how long nothing came.
    pub silence_after: DurationOr<900_000>,
    /// An event time further ahead of the clock than this is a wrong unit: the record is kept as a dead letter.
    pub max_ahead: DurationOr<300_000>,
    /// Where reading begins at the very first start.
    pub start_from: StartFrom,
    /// When an epoch (one transaction) of the join stage ends at the latest.
    pub epoch: Epoch,
    /// The summaries topic.
    pub summaries: Summaries,
    /// driftline's own topics.
    pub topics: Topics,
    /// Name of this instance, the same after a restart. Default: the environment variable HOSTNAME, else `0`.
    pub instance: Option<Text>,
    /// Members of the consumer groups in this process.
    pub threads: Threads,
    /// Memory for pending rows.
    pub memory: Memory,
    /// Raise it to make an older configuration valid again; without it a content that was superseded is ignored.
    pub revision: u64,
}

/// A duration with a default of so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationOr<const MS: i64>(pub Duration);

impl<const MS: i64> Default for DurationOr<MS> {
    fn default() -> Self {
        DurationOr(Duration(Span(MS)))
    }
}

impl<const MS: i64> DurationOr<MS> {
    /// The span.
    pub fn span(self) -> Span {
        self.0.0
    }
}

impl<const MS: i64> JsonSchema for DurationOr<MS> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Duration{MS}").into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Duration>()
    }
}

/// How to reach Kafka.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["brokers"]))]
pub struct Kafka {
    /// The first brokers to ask: `host:port`, several separated by commas.
    pub brokers: Option<Text>,
    /// Any librdkafka property, passed through as it is. Those that exactly-once depends on are refused.
    pub client: BTreeMap<String, Text>,
    /// librdkafka properties that are never shown, from a file or the environment.
    pub secrets: BTreeMap<String, Secret>,
}

/// Where a secret is read from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Secret {
    /// The content of a file, without the line break at its end.
    File(SecretFile),
    /// The value of an environment variable.
    Env(SecretEnv),
}

/// A secret in a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// Path; relative to the configuration's folder.
    pub file: Text,
}

/// A secret in the environment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretEnv {
    /// The variable's name.
    pub env: Text,
}

/// How predictions and outcomes find each other, in event time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Join {
    /// An outcome matches up to this long after its prediction. It must cover the delay until a label is published.
    pub window: Duration,
    /// And up to this long before it.
    pub early: Duration,
    /// A prediction with the id of an earlier one is a duplicate within this span. Default: `window` + `early`, at most 1h.
    pub duplicates: Option<Duration>,
    /// A further outcome within this span after the match is a duplicate or a conflict, later an orphan.
    pub settle: Duration,
    /// If one input trails the other by `window` + `hold`, rows that wait for it are released.
    pub hold: Duration,
}

impl Default for Join {
    fn default() -> Self {
        Join {
            window: Duration(Span::hours(24)),
            early: Duration(Span::minutes(1)),
            duplicates: None,
            settle: Duration(Span::hours(1)),
            hold: Duration(Span::hours(24)),
        }
    }
}

/// A model.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["task"]))]
pub struct Model {
    /// What kind of answer it gives: `binary`, `multiclass` or `regression`.
    pub task: Option<Task>,
    /// The positive class of a binary model, as it stands in labels.
    pub positive: Option<Text>,
    /// The class that people want to be given, for `fairness`. Default: the positive class of a binary model.
    pub favourable: Option<Text>,
    /// A change that is meant (a new release, a new market): from when on what the model shows is normal. What is compared with its own
    /// past learns anew from there.
    pub accepted: Accepted,
    /// A file that `driftline baseline build` wrote: what is normal for the model's inputs and scores. Each file is obeyed once, from a pane on
    /// that no input has reached.
    pub baseline: Option<Text>,
    /// Limits that hold from the first pane, whatever is normal. At most 64.
    pub limits: Vec<Limit>,
}

/// From when on (event time) what a model shows is normal.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Accepted {
    /// Features, scores, predicted classes, missing values and volume of predictions from this instant on.
    pub predictions: Option<Time>,
    /// Errors, calibration and labels of pairs from this instant on.
    pub outcomes: Option<Time>,
}

/// The kind of answer that a model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of two classes.
    Binary,
    /// One of several classes.
    Multiclass,
    /// A number.
    Regression,
}

/// Which parts of the traffic are watched on their own. The whole is always watched.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Segments {
    /// Each entry is a list of dimensions; each combination of their values is a segment.
    pub by: Vec<Vec<Text>>,
    /// The largest number of segments per model; what comes later is counted in the whole only.
    pub cap: u32,
}

impl Default for Segments {
    fn default() -> Self {
        Segments { by: Vec::new(), cap: 500 }
    }
}

/// Groups that no model may treat too differently, and how differently is too much.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["groups"]))]
pub struct Fairness {
    /// The dimensions whose combinations of values are the groups; they become segments as well. Rows without a value belong to no group.
    pub groups: Vec<Text>,
    /// The group that each other one is compared with: dimension → value. Default: each group is compared with all others together.
    pub reference: BTreeMap<String, Text>,
    /// The favourable class must be predicted for a group at least this many times as often as for those it is compared with.
    pub ratio: f64,
    /// Rates of errors, and observed rates at equal scores, may differ by this much (0.1 = 10 percentage points).
    pub difference: f64,
}

impl Default for Fairness {
    fn default() -> Self {
        Fairness { groups: Vec::new(), reference: BTreeMap::new(), ratio: 0.8, difference: 0.1 }
    }
}

/// Which predictions are outliers. They are reported on `<app>.outliers`, and their share is watched.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outliers {
    /// Those that lie as far out as this share of the reference at most (0.001: one in a thousand).
    pub share: f64,
}

impl Default for Outliers {
    fn default() -> Self {
        Outliers { share: 0.001 }
    }
}

/// Panes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Panes {
    /// Width of a pane in event time. It divides a day, or is a number of days.
    pub size: Duration,
}

impl Default for Panes {
    fn default() -> Self {
        Panes { size: Duration(Span::seconds(60)) }
    }
}

/// Where normal comes from: `{from, to}`, or `{learn}`. Default: `{learn: 7d}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Baseline {
    /// First instant of the reference (event time).
    pub from: Option<Time>,
    /// First instant after the reference.
    pub to: Option<Time>,
    /// Learn from the first while of what each model shows.
    pub learn: Option<Duration>,
    /// Not here: a file is of one model (`models.NAME.baseline`).
    pub file: Option<Text>,
}

/// Allowed false alarms of the whole application.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// How many false alarms are allowed ...
    pub false_alarms: f64,
    /// ... in this much event time.
    pub per: Duration,
    /// The number of streams that the budget is split over until they are counted.
    pub streams: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { false_alarms: 1.0, per: Duration(Span::days(1)), streams: 4096 }
    }
}

/// Effects below these never alert.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tolerance {
    /// Shift of a number's location, in standard deviations of the reference.
    pub location: f64,
    /// Relative change of a number's scale (0.05 = 5 %).
    pub scale: f64,
    /// Relative change of a rate; both this and `rate_points` must be passed.
    pub rate_relative: f64,
    /// Absolute change of a rate (0.002 = 0.2 percentage points).
    pub rate_points: f64,
    /// Bias-corrected population stability index of a category.
    pub psi: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        let ToleranceRule { location, scale, rate_relative, rate_points, psi } = ToleranceRule::default();
        Tolerance { location, scale, rate_relative, rate_points, psi }
    }
}

/// Alerts out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Topic. Default: `<app>.alerts`.
    pub topic: Option<Text>,
    /// `json`, or `avro` by schemas/alert.avsc.
    pub format: FormatName,
    /// A still firing alert is repeated after this much event time.
    pub reminder: Duration,
    /// Put on every alert, for routing.
    pub labels: BTreeMap<String, Text>,
    /// Put on every alert, for people.
    pub annotations: BTreeMap<String, Text>,
}

impl Default for Alerts {
    fn default() -> Self {
        let (labels, annotations) = Default::default();
        Alerts { topic: None, format: FormatName::Json, reminder: Duration(Span::hours(24)), labels, annotations }
    }
}

/// Exported metrics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Upper limit of exported time series.
    pub max_series: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { max_series: 2000 }
    }
}

/// Where reading begins at the very first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// The first record that is there.
    #[default]
    Earliest,
    /// What comes from now on.
    Latest,
}

/// When an epoch of the join stage ends at the latest.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Epoch {
    /// After this many records.
    pub records: u64,
    /// After this much wall-clock time.
    pub time: Duration,
}

impl Default for Epoch {
    fn default() -> Self {
        Epoch { records: 500_000, time: Duration(Span::seconds(10)) }
    }
}

/// The summaries topic.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Summaries {
    /// Its partitions, and those of the state and alerts topics: how many processes can detect. Can't be changed later.
    pub partitions: i32,
}

impl Default for Summaries {
    fn default() -> Self {
        Summaries { partitions: 8 }
    }
}

/// driftline's own topics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Their replication factor; -1 is the broker's default.
    pub replication: i32,
}

impl Default for Topics {
    fn default() -> Self {
        Topics { replication: -1 }
    }
}

/// Members of the consumer groups in this process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Threads {
    /// Join stage.
    pub join: usize,
    /// Detect stage.
    pub detect: usize,
}

impl Default for Threads {
    fn default() -> Self {
        Threads { join: 1, detect: 1 }
    }
}

/// Memory for pending rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// At this limit the oldest waiting rows are released. Default: 80 % of the container's memory, else 1GiB.
    pub limit: Option<Bytes>,
}
