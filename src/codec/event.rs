//! What a decoded record is: borrowed from the record's bytes, owned only where an escape or a number had to become text.
//!
//! Guarantees: no decoded event refers to another record; decoding allocates nothing for an ordinary record (the feature list is reused).

use crate::engine::types::{EventTime, RequestKey};
use std::borrow::Cow;

/// A value of a feature, a dimension or a label.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Missing.
    Null,
    /// A number (NaN and infinities included); integers beyond 2^53 are rounded.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(Cow<'a, str>),
}

/// A feature's place in the decoder's list of names: local to the process, never written anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureIx(pub u32);

/// Neighbouring features that are doubles, as the record has them: most values of most records, neither copied nor looked at here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubles<'a> {
    /// The first feature; the others follow it.
    pub first: FeatureIx,
    /// A feature each, little-endian.
    pub numbers: &'a [[u8; 8]],
}

impl Doubles<'_> {
    /// The features one by one.
    pub fn features(self) -> impl Iterator<Item = (FeatureIx, f64)> {
        (self.first.0..).map(FeatureIx).zip(self.numbers.iter().map(|n| f64::from_le_bytes(*n)))
    }
}

/// A decoded prediction.
#[derive(Debug, PartialEq)]
pub struct Prediction<'a> {
    /// Hash of the request id.
    pub key: RequestKey,
    /// The request id itself.
    pub request_id: Cow<'a, str>,
    /// When it was made.
    pub time: EventTime,
    /// The model.
    pub model: Cow<'a, str>,
    /// Its version, if it has one.
    pub version: Option<Cow<'a, str>>,
    /// Regression value or probability of the positive class.
    pub score: Option<f64>,
    /// Predicted class, as canonical text (`canonical_text`).
    pub label: Option<Cow<'a, str>>,
    /// Values of the configured dimensions, in the order of `Definitions::dimensions`; missing ones are empty text.
    pub dimensions: Vec<Cow<'a, str>>,
    /// Present features in the order they came, each name once (the last wins). Nulls are absent, and so are those in `doubles`.
    pub features: Vec<(FeatureIx, Value<'a>)>,
    /// More features, none of them in `features`.
    pub doubles: Vec<Doubles<'a>>,
}

impl Prediction<'_> {
    /// Present features.
    pub fn feature_count(&self) -> usize {
        self.features.len() + self.doubles.iter().map(|d| d.numbers.len()).sum::<usize>()
    }
}

/// A decoded outcome.
#[derive(Debug, PartialEq)]
pub struct Outcome<'a> {
    /// Hash of the request id.
    pub key: RequestKey,
    /// The request id itself.
    pub request_id: Cow<'a, str>,
    /// When it became known.
    pub time: EventTime,
    /// Observed class, as canonical text.
    pub label: Option<Cow<'a, str>>,
    /// Observed number.
    pub value: Option<f64>,
}

/// Bytes of a record's value. Kafka's usual limit is 1 MiB; decoding takes about a second for each 500 MiB.
pub const MAX_VALUE: usize = 16 << 20;
/// Bytes of what is remembered by name: models, versions, classes, values of dimensions, names of features.
pub const MAX_NAME: usize = 256;
/// Bytes by which texts of a feature are told apart; what follows is not looked at.
pub const MAX_TEXT: usize = 256;

/// The beginning of a text: at most `MAX_TEXT` bytes, whole characters.
pub fn beginning(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(text) => Cow::Owned(text[..end].to_string()),
    }
}

/// Why a record can't be used: what the counter and the dead letter say. The words are fixed for subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The bytes are not of the configured format.
    Undecodable,
    /// The value is null.
    Tombstone,
    /// A required field is absent.
    MissingField,
    /// The request id is null or empty.
    EmptyId,
    /// A field has another type than it must have.
    WrongType,
    /// The event time can't be a time in the configured unit.
    BadTime,
    /// The event time lies beyond `max_ahead`.
    Future,
    /// More features than a record may have.
    TooManyFeatures,
    /// The value, or a name in it, is longer than it may be.
    TooLong,
    /// Decoding panicked: a bug of driftline; the record is kept.
    Panic,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 10] = [
        Reason::Undecodable,
        Reason::Tombstone,
        Reason::MissingField,
        Reason::EmptyId,
        Reason::WrongType,
        Reason::BadTime,
        Reason::Future,
        Reason::TooManyFeatures,
        Reason::TooLong,
        Reason::Panic,
    ];

    /// The word in metrics and dead letters.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Undecodable => "undecodable",
            Reason::Tombstone => "tombstone",
            Reason::MissingField => "missing_field",
            Reason::EmptyId => "empty_id",
            Reason::WrongType => "wrong_type",
            Reason::BadTime => "bad_time",
            Reason::Future => "future",
            Reason::TooManyFeatures => "too_many_features",
            Reason::TooLong => "too_long",
            Reason::Panic => "panic",
        }
    }
}

/// A record that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadRecord {
    /// The class of the fault.
    pub reason: Reason,
    /// Field, what was found, what to do.
    pub detail: String,
}

/// A label or category as text: integers without a point, `true`/`false`, text as it is.
pub fn canonical_text<'a>(value: Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Null => None,
        Value::Text(t) => Some(t),
        Value::Bool(b) => Some(Cow::Borrowed(if b { "true" } else { "false" })),
        Value::Number(0.0) => Some(Cow::Borrowed("0")),
        Value::Number(1.0) => Some(Cow::Borrowed("1")),
        Value::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => Some(Cow::Owned(format!("{}", x as i64))),
        Value::Number(x) => Some(Cow::Owned(format!("{x}"))),
    }
}
