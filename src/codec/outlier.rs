//! An outlier as JSON: one record of the outliers topic, keyed by the request id.
//!
//! Guarantees: equal predictions under equal rarities give equal bytes; field names are fixed for subscribers (`docs/outliers.md`).
//! Never: holds a wall time. Comes from: `engine::book::outliers`. Goes to: `<app>.outliers`.

use super::event::Prediction;
use crate::engine::book::outliers::{Outlier, OutlierReason, OutlierValue};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Record<'a> {
    request_id: &'a str,
    event_time: String,
    model: &'a str,
    model_version: Option<&'a str>,
    segment: BTreeMap<&'a str, &'a str>,
    score: f64,
    chance: f64,
    reasons: Vec<Reason<'a>>,
}

#[derive(Serialize)]
struct Reason<'a> {
    signal: &'a str,
    value: Value<'a>,
    rarity: f64,
    usual_low: Option<f64>,
    usual_high: Option<f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Number(f64),
    /// Texts, and numbers that JSON has no word for.
    Text(std::borrow::Cow<'a, str>),
}

fn reason(r: &OutlierReason) -> Reason<'_> {
    let value = match &r.value {
        OutlierValue::Number(x) if x.is_finite() => Value::Number(*x),
        OutlierValue::Number(x) => Value::Text(x.to_string().into()),
        OutlierValue::Text(t) => Value::Text(t.as_str().into()),
    };
    let (usual_low, usual_high) = r.usual.filter(|u| u.0.is_finite() && u.1.is_finite()).unzip();
    Reason { signal: &r.signal, value, rarity: r.rarity, usual_low, usual_high }
}

/// The value of its record. `dimensions`: names, in the order of the prediction's values.
pub fn encode(outlier: &Outlier, p: &Prediction<'_>, dimensions: &[String]) -> Vec<u8> {
    let time = jiff::Timestamp::from_millisecond(p.time.0).map_or_else(|_| p.time.0.to_string(), |t| format!("{t:.3}"));
    let values = dimensions.iter().map(String::as_str).zip(p.dimensions.iter().map(|v| v.as_ref()));
    let record = Record {
        request_id: &p.request_id,
        event_time: time,
        model: &p.model,
        model_version: p.version.as_deref(),
        segment: values.filter(|(_, value)| !value.is_empty()).collect(),
        score: outlier.score,
        chance: outlier.chance,
        reasons: outlier.reasons.iter().map(reason).collect(),
    };
    serde_json::to_vec(&record).expect("plain data is JSON")
}
