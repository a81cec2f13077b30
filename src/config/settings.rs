//! What the configuration means, checked: every name resolved, every default filled in.
//!
//! Guarantees: a `Settings` that exists passed every semantic check. Comes from `config::load`. Goes to everything else.

use super::place::Step;
use crate::codec::framing::Framing;
use crate::engine::definitions::Definitions;
use crate::engine::join::Limits;
use crate::engine::monitor::chunks::Pace;
use crate::engine::types::{Input, Partition, Span};
use crate::log::partitioner::partition_of;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// One application's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Prefix of driftline's own topics and consumer groups.
    pub app: String,
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// The schema registry, if an input needs it.
    pub registry: Option<Registry>,
    /// The predictions topic.
    pub predictions: Source,
    /// The outcomes topic.
    pub outcomes: Source,
    /// What decides results; travels through the log.
    pub definitions: Definitions,
    /// Files that say what is normal for a model; they travel through the log, too.
    pub baselines: Vec<Baseline>,
    /// An event time further ahead of the clock than this is a wrong unit.
    pub max_ahead: Span,
    /// An input that is quiet at its end for this long (wall clock) holds nobody back.
    pub idle_timeout: Span,
    /// An input that is quiet everywhere for this long is silent: its last panes close.
    pub silence_after: Span,
    /// Where reading begins when the group has no position.
    pub start_from: StartFrom,
    /// Epoch limits of the join stage.
    pub epoch: EpochLimits,
    /// Alerts out.
    pub alerts: Alerts,
    /// HTTP listener of /metrics, /livez, /readyz, /status; `None` switches it off.
    pub http: Option<Http>,
    /// Upper limit of exported time series.
    pub max_series: usize,
    /// Partitions of the summaries, state and alerts topics.
    pub summaries_partitions: i32,
    /// Replication factor of driftline's own topics; -1 is the broker's default.
    pub replication: i32,
    /// Name of this instance, stable over restarts (`static id = <app>-<stage>-<instance>-<thread>`).
    pub instance: String,
    /// Threads (group members) per stage in this process.
    pub threads: Threads,
    /// Limit on the memory of pending rows, in bytes.
    pub memory_limit: u64,
    /// When and how fast the journal is cleaned (not in the file: there is nothing to choose).
    pub journal: Limits,
    /// How fast a monitor's state is written again (not in the file either).
    pub state: Pace,
}

/// What a file says is normal for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The model.
    pub model: String,
    /// `Profile::id`.
    pub id: u64,
    /// The record that gives it to a monitor.
    pub record: Arc<[u8]>,
}

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Further librdkafka properties, passed through as they are.
    pub client: BTreeMap<String, String>,
    /// librdkafka properties that are never shown (passwords, keys): from files or the environment.
    pub secrets: BTreeMap<String, SecretString>,
}

/// How to reach the schema registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Its address, without a slash at the end.
    pub url: String,
    /// Who we are.
    pub auth: RegistryAuth,
    /// Certificates that vouch for it, as PEM; `None`: Mozilla's list.
    pub ca: Option<String>,
    /// The longest that one request may take.
    pub timeout: Span,
}

/// Who we are to the schema registry.
#[derive(Clone, Debug)]
pub enum RegistryAuth {
    /// Nobody in particular.
    None,
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token.
    Bearer(SecretString),
}

/// One input topic.
#[derive(Clone, Debug)]
pub struct Source {
    /// Topic name.
    pub topic: String,
    /// How values are encoded.
    pub format: Format,
    /// Where fields are found.
    pub fields: Fields,
    /// Only records of which all of this holds count.
    pub when: Vec<Condition>,
    /// The list whose elements are events of their own.
    pub explode: Option<Explode>,
    /// What nobody downstream may see; the same for both inputs.
    pub protect: Option<Arc<Protect>>,
}

impl Settings {
    /// The summaries partition of a model.
    pub fn partition_of(&self, model: &str) -> Partition {
        partition_of(model.as_bytes(), self.summaries_partitions as u32)
    }
}

impl Source {
    /// Whether dead letters hold the records; otherwise nothing of a record is shown that is not an event.
    pub fn keeps_records(&self) -> bool {
        self.protect.as_ref().is_none_or(|protect| protect.records)
    }
}

/// Values that become pseudonyms.
#[derive(Clone, Debug)]
pub struct Protect {
    /// What pseudonyms are made with.
    pub key: SecretString,
    /// Whether request ids are.
    pub request_id: bool,
    /// Dimensions that are.
    pub dimensions: BTreeSet<String>,
    /// Features that are.
    pub features: BTreeSet<String>,
    /// Whether dead letters hold the record all the same.
    pub records: bool,
}

/// A list whose elements are events of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Explode {
    /// Where the list is.
    pub list: Vec<Step>,
    /// How many neighbouring elements are one event.
    pub width: usize,
}

/// What must be found in a record for it to count.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The place as it was typed.
    pub place: String,
    /// Where to look.
    pub source: FieldSource,
    /// What must be there.
    pub wanted: Wanted,
}

/// What must be there.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// One of these, as text.
    OneOf(Vec<String>),
    /// Anything but null, or (false) nothing or null.
    Present(bool),
}

/// Encoding of a topic's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// One JSON object a record.
    Json,
    /// Avro by a schema file.
    Avro {
        /// The schema's file.
        path: PathBuf,
        /// Its text.
        schema: String,
        /// What stands before each value.
        framing: Framing,
    },
    /// Protobuf by a schema file.
    Protobuf {
        /// The schema's file.
        path: PathBuf,
        /// What is in it, as a descriptor set.
        set: std::sync::Arc<[u8]>,
        /// Full name of the message that values are.
        message: String,
        /// True if each value begins with Confluent's magic byte, schema id and message indexes.
        confluent: bool,
    },
    /// Confluent's five bytes, then Avro, Protobuf or JSON by the schema that the registry has for the id.
    Registry {
        /// Names under `fields` (as in `codec::mapping`) that a writer's schema may lack: defaults that an event can do without.
        may_lack: Vec<String>,
    },
}

/// Where an event's fields are found. Of the two sources each uses what it needs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Fields {
    /// The request id.
    pub request_id: Option<FieldSource>,
    /// The event time and its unit.
    pub event_time: Option<(FieldSource, TimeUnit)>,
    /// The model (predictions).
    pub model: Option<FieldSource>,
    /// The model's version (predictions).
    pub version: Option<FieldSource>,
    /// Score (predictions).
    pub score: Option<FieldSource>,
    /// Predicted or observed class.
    pub label: Option<FieldSource>,
    /// Observed number (outcomes).
    pub value: Option<FieldSource>,
    /// Features (predictions).
    pub features: Option<Features>,
    /// Dimension name → where it is (predictions).
    pub dimensions: BTreeMap<String, FieldSource>,
    /// Field (`label`, `dimensions.country`) → what its texts stand for; others stand for themselves.
    pub maps: BTreeMap<String, BTreeMap<String, String>>,
}

/// Where one field is found.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldSource {
    /// A place in the value.
    Path(Vec<Step>),
    /// The record's key as text.
    Key,
    /// A header as text.
    Header(String),
    /// Kafka's timestamp in ms.
    Timestamp,
    /// The topic's name.
    Topic(String),
    /// Always this.
    Const(String),
}

/// Which entries of an object (or record, or map), or which elements of a list, are features.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Place of the object or list that holds them; empty is the value itself.
    pub path: Vec<Step>,
    /// Entries that are none.
    pub exclude: Vec<String>,
    /// What the elements of a list are called; without names by their numbers.
    pub names: Vec<String>,
}

/// Unit of a numeric event time; text is read as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
    /// By the Avro logical type, else milliseconds; text as RFC 3339.
    #[default]
    Auto,
}

/// Where reading begins without a committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The first record that is there.
    Earliest,
    /// What comes from now on.
    Latest,
}

/// When a join epoch ends at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochLimits {
    /// After this many records.
    pub records: u64,
    /// After this much wall-clock time.
    pub time: Span,
}

/// Alerts out.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    /// Topic.
    pub topic: String,
    /// Encoding.
    pub format: AlertFormat,
}

/// Encoding of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertFormat {
    /// Plain JSON.
    Json,
    /// Avro by `schemas/alert.avsc`, bare.
    Avro,
}

/// Group members of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Join stage.
    pub join: usize,
    /// Detect stage.
    pub detect: usize,
}

impl Settings {
    /// Names of driftline's own topics, each after `<app>.`; alerts are configured apart.
    pub const OWN_TOPICS: [&'static str; 6] = ["journal", "summaries", "plan", "state", "dead-letters", "outliers"];

    /// One of the inputs.
    pub fn source(&self, input: Input) -> &Source {
        match input {
            Input::Predictions => &self.predictions,
            Input::Outcomes => &self.outcomes,
        }
    }

    /// `<app>.journal` and its siblings.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.app)
    }
}

/// The HTTP listener.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows as a TLS server.
    pub tls: Option<TlsFiles>,
    /// What `/metrics` and `/status` ask for.
    pub token: Option<Token>,
}

/// A certificate and its key, in files that may be renewed.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificates (PEM), the server's own first.
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

/// A bearer token.
#[derive(Clone, Debug)]
pub enum Token {
    /// In a file that may be renewed.
    File(PathBuf),
    /// From the environment.
    Value(SecretString),
}
