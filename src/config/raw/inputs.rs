//! The two input topics as they are typed: encodings, and where each field is.

use super::{DurationOr, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The topic of predictions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["topic"]))]
pub struct Predictions {
    /// Topic name.
    pub topic: Option<Text>,
    /// How values are encoded: `json`, `avro` (our own schema), `avro` with a schema file, `protobuf` with a schema file, or `registry` (Confluent's five bytes before each value, schemas from `registry.url`).
    pub format: Format,
    /// How much out of order event times may be within a partition; what is older is late.
    pub lateness: DurationOr<60_000>,
    /// Only records count of which all of this holds: a place, `key` or `header:NAME` → the text that must be there, a list of texts, or
    /// `{ present: true }`. Others are skipped and counted.
    pub when: Option<BTreeMap<String, Condition>>,
    /// The list whose elements are events of their own, with the ids `ID#0`, `ID#1` and so on; in fields, `[*]` is an event's element.
    /// `data[*2]`: every two neighbouring elements are one event, `data[*2][1]` is the second of them.
    pub explode: Option<Text>,
    /// Where the fields are: a place in the value, or `key`, `header:NAME`, `topic`, `timestamp`. With our own schema nothing is needed.
    pub fields: PredictionFields,
}

/// The topic of outcomes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["topic"]))]
pub struct Outcomes {
    /// Topic name.
    pub topic: Option<Text>,
    /// How values are encoded: `json`, `avro` (our own schema), `avro` with a schema file, `protobuf` with a schema file, or `registry` (Confluent's five bytes before each value, schemas from `registry.url`).
    pub format: Format,
    /// How much out of order event times may be within a partition. Outcomes are never late: an older one counts as known at the limit.
    pub lateness: DurationOr<60_000>,
    /// Only records count of which all of this holds: a place, `key` or `header:NAME` → the text that must be there, a list of texts, or
    /// `{ present: true }`. Others are skipped and counted.
    pub when: Option<BTreeMap<String, Condition>>,
    /// The list whose elements are events of their own, with the ids `ID#0`, `ID#1` and so on; in fields, `[*]` is an event's element.
    /// `data[*2]`: every two neighbouring elements are one event, `data[*2][1]` is the second of them.
    pub explode: Option<Text>,
    /// Where the fields are: a place in the value, or `key`, `header:NAME`, `timestamp`. With our own schema nothing is needed.
    pub fields: OutcomeFields,
}

/// What must be found at a place for a record to count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Condition {
    /// This text; numbers and truth values count as their text.
    Is(Text),
    /// One of these.
    OneOf(Vec<Text>),
    /// Anything, or nothing.
    Present(Presence),
}

/// Whether something must be there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// `true`: something but null; `false`: nothing, or null.
    pub present: bool,
}

/// Encoding of an input's values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Format {
    /// `json`, `avro` by driftline's own schema, or `registry`.
    Name(InputFormat),
    /// Avro by a schema file.
    Avro(AvroFormat),
    /// Protobuf by a schema file.
    Protobuf(ProtobufFormat),
}

impl Default for Format {
    fn default() -> Self {
        Format::Name(InputFormat::Json)
    }
}

/// Encodings of inputs that need no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// One JSON object a record.
    Json,
    /// Avro by driftline's own schema, bare.
    Avro,
    /// Avro, Protobuf or JSON behind Confluent's five bytes, by the schema that the registry has for the id.
    Registry,
}

/// Encodings of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// One JSON object a record.
    Json,
    /// Avro by driftline's own schema, bare.
    Avro,
}

/// Avro by a schema file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvroFormat {
    /// The schema and its framing.
    pub avro: AvroSource,
}

/// An Avro schema and how values are framed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["schema"]))]
pub struct AvroSource {
    /// Path of the schema (.avsc); relative to the configuration's folder.
    pub schema: Option<Text>,
    /// What stands before each value: nothing (`bare`), Confluent's zero byte and a schema id of 4 bytes (`confluent`), the marker C3 01 and the
    /// schema's fingerprint (`single_object`), or AWS Glue's 18 bytes (`glue`).
    pub framing: AvroFraming,
}

/// Protobuf by a schema file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtobufFormat {
    /// The schema, its message and its framing.
    pub protobuf: ProtobufSource,
}

/// A Protobuf message and how values are framed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["descriptors", "message"]))]
pub struct ProtobufSource {
    /// Path of a descriptor set (`protoc --include_imports --descriptor_set_out=FILE`), or of a `.proto` file, whose imports are looked for in
    /// its folder; relative to the configuration's folder.
    pub descriptors: Option<Text>,
    /// Full name of the message that values are: `package.Name`.
    pub message: Option<Text>,
    /// `bare` values, or `confluent`: each begins with a zero byte, a schema id of 4 bytes and message indexes, which are passed over.
    pub framing: Framing,
}

/// What stands before a value of Avro.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AvroFraming {
    /// Nothing.
    #[default]
    Bare,
    /// A zero byte and a schema id of 4 bytes.
    Confluent,
    /// Avro's single-object encoding: C3 01, then the fingerprint of the schema, which must be that of the file.
    SingleObject,
    /// AWS Glue's header: 3, compression (none), and the id of the schema's version, which is not looked at.
    Glue,
}

/// What stands before a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Nothing.
    #[default]
    Bare,
    /// A zero byte and a schema id of 4 bytes; for Protobuf message indexes, too.
    Confluent,
}

/// Where the fields of a prediction are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PredictionFields {
    /// Unique id of the prediction, by which its outcome finds it. Default: `request_id`.
    pub request_id: Option<Field>,
    /// When the prediction was made. Default: `event_time`.
    pub event_time: Option<TimeField>,
    /// The model. Default: `model`.
    pub model: Option<Field>,
    /// The model's version. Default: `model_version`.
    pub version: Option<Field>,
    /// Regression value, or probability of the positive class. Default: `score`.
    pub score: Option<Field>,
    /// Predicted class. Default: `label`.
    pub label: Option<Field>,
    /// The object whose entries, or the list whose elements, are the features. Default: `features`.
    pub features: Option<Features>,
    /// Dimensions for segments: name → where it is. Default: `segments.NAME` for each name in `segments.by`.
    pub dimensions: Option<BTreeMap<String, Field>>,
}

/// Where the fields of an outcome are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutcomeFields {
    /// Id of the prediction. Default: `request_id`.
    pub request_id: Option<Field>,
    /// When the outcome became known. Default: `event_time`.
    pub event_time: Option<TimeField>,
    /// Observed class. Default: `label`.
    pub label: Option<Field>,
    /// Observed number. Default: `value`.
    pub value: Option<Field>,
}

/// Where a field is found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Field {
    /// A place in the value, or `key`, `header:NAME`, `topic`.
    Short(Text),
    /// A place in the value, even if it is called `key`, `topic` or `timestamp`.
    Path(PathField),
    /// Always the same.
    Const(ConstField),
}

/// A path into the value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathField {
    /// A place, or a list of names if a name has a dot, a bracket or a blank in it.
    pub path: FieldPath,
    /// What texts stand for: `{ "1": approved, "0": declined }`. Numbers and truth values count as their text; what is not listed stands for
    /// itself. For labels, models, versions and dimensions.
    #[serde(default)]
    pub map: BTreeMap<String, Text>,
}

/// A constant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstField {
    /// The value that every record has.
    #[serde(rename = "const")]
    pub constant: Text,
}

/// A path into the value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FieldPath {
    /// A place: `a.b`, `a[0]`, `a[name=x].b`, `json(a).b`, `csv(a)[2]`, `json(base64(a)).b`.
    Dotted(Text),
    /// Names, which may contain any characters.
    Names(Vec<Text>),
}

/// Where the event time is found, and its unit.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TimeField {
    /// A place in the value, or `key`, `header:NAME`, `timestamp`; the unit is found out (Avro's logical type, Protobuf's Timestamp, RFC 3339 text, else milliseconds).
    Short(Text),
    /// A path and its unit.
    Path(TimePath),
    /// A header and its unit.
    Header(TimeHeader),
}

/// A path to an event time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimePath {
    /// A place, or a list of names if a name has a dot, a bracket or a blank in it.
    pub path: FieldPath,
    /// Unit of a number; text is read as RFC 3339.
    #[serde(default)]
    pub unit: Unit,
}

/// A header with an event time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeHeader {
    /// Name of the header.
    pub header: Text,
    /// Unit of a number; text is read as RFC 3339.
    #[serde(default)]
    pub unit: Unit,
}

/// Unit of a numeric event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
    /// By Avro's logical type or Protobuf's Timestamp, else milliseconds.
    #[default]
    Auto,
}

/// Which entries are features.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Features {
    /// Place of the object or list that holds them; `*` is the value itself.
    Short(Text),
    /// The path, and entries that are none.
    Detailed(FeaturesDetail),
}

/// Which entries of an object are features.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturesDetail {
    /// Place of the object or list that holds them: `input`, `input.*` (the same), `json(payload).instances[0]`, or `*` for the value itself.
    pub path: FieldPath,
    /// Entries that are no features.
    #[serde(default)]
    pub exclude: Vec<Text>,
    /// If the path leads to a list: what its elements are called, one name each. Without names they are called `0`, `1`, and so on.
    #[serde(default)]
    pub names: Vec<Text>,
}
