//! Alerts as bytes: JSON or Avro values with CloudEvents headers (binary mode).
//!
//! Guarantees: equal alerts give equal bytes (fields in the schema's order, maps sorted), whatever the machine; both formats read
//! back to the same alert. Never: writes a wall time.
//! Comes from: `engine::alert`. Goes to: the alerts topic; field by field in `docs/alerts.md`.

use crate::engine::alert::{Alert, Contributor, Effect, Kind, Reason, Severity, Side, Status};
use crate::engine::types::EventTime;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The Avro schema of an alert (`driftline.v1.Alert`).
pub const SCHEMA: &str = include_str!("../../schemas/alert.avsc");

/// How the value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object; times as RFC 3339 with milliseconds.
    Json,
    /// An Avro datum by `SCHEMA`, without a frame (a schema registry's frame is the publisher's business).
    Avro,
}

impl Format {
    /// The value of the `content-type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Avro => "application/avro",
        }
    }
}

/// Why bytes are no alert.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// Not JSON, or not this schema.
    #[error("not an alert in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not Avro, or not this schema.
    #[error("not an alert in Avro: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
    /// A word or a time that this version does not know.
    #[error("unknown {what} {value:?} in an alert")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// What it held.
        value: String,
    },
}

/// Bytes of a text or a list in an alert that is read: apache-avro makes room for a length before it looks for the bytes. Whoever reads
/// first decides for the process.
const LONGEST: usize = 1 << 20;

fn schema() -> &'static Schema {
    static SCHEMA_PARSED: OnceLock<Schema> = OnceLock::new();
    SCHEMA_PARSED.get_or_init(|| {
        apache_avro::util::max_allocation_bytes(LONGEST);
        Schema::parse_str(SCHEMA).expect("the schema in this crate is valid")
    })
}

/// The value of an alert record.
pub fn encode(alert: &Alert, format: Format) -> Result<Vec<u8>, AlertError> {
    match format {
        Format::Json => Ok(serde_json::to_vec(&wire(alert, text))?),
        Format::Avro => {
            let writer = GenericDatumWriter::builder(schema()).build().map_err(Box::new)?;
            Ok(writer.write_ser_to_vec(&wire(alert, |t| t.0)).map_err(Box::new)?)
        }
    }
}

/// Reads what `encode` wrote.
pub fn decode(mut bytes: &[u8], format: Format) -> Result<Alert, AlertError> {
    match format {
        Format::Json => alert(serde_json::from_slice(bytes)?, |t: String| {
            let stamp = t.parse::<jiff::Timestamp>().map_err(|_| unknown("time", &t))?;
            Ok(EventTime(stamp.as_millisecond()))
        }),
        Format::Avro => {
            let reader = GenericDatumReader::builder(schema()).build().map_err(Box::new)?;
            alert(reader.read_deser(&mut bytes).map_err(Box::new)?, |t: i64| Ok(EventTime(t)))
        }
    }
}

/// CloudEvents 1.0 attributes in Kafka's binary mode, in a fixed order.
pub fn headers(alert: &Alert, format: Format) -> Vec<(&'static str, String)> {
    let state = alert.status.word().to_lowercase();
    let mut headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{}/{}", alert.alert_id, alert.sequence)),
        ("ce_type", format!("driftline.alert.{state}.v1")),
        ("ce_source", format!("/driftline/{}", alert.app)),
        ("ce_time", text(alert.detected_at)),
        ("ce_partitionkey", alert.fingerprint.clone()),
        ("content-type", format.content_type().to_owned()),
    ];
    if !alert.segment.is_empty() {
        // the specification wants no empty subject: the root has none
        let parts: Vec<String> = alert.segment.iter().map(|(k, v)| format!("{k}={v}")).collect();
        headers.insert(4, ("ce_subject", parts.join(",")));
    }
    headers
}

/// RFC 3339 in UTC with milliseconds; a time that no calendar holds as its number of milliseconds.
fn text(time: EventTime) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(stamp) => format!("{stamp:.3}"),
        Err(_) => time.0.to_string(),
    }
}

/// An alert as both formats see it; `T` is how a time is written. The order of fields is the schema's.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Alert")]
struct Wire<T> {
    fingerprint: String,
    alert_id: String,
    sequence: i32,
    status: WireStatus,
    reason: String,
    severity: WireSeverity,
    kind: String,
    app: String,
    model: String,
    model_version: Option<String>,
    segment: BTreeMap<String, String>,
    signal: String,
    detector: String,
    opened_at: T,
    detected_at: T,
    change_point: Option<T>,
    window_start: T,
    window_end: T,
    statistic: f64,
    threshold: f64,
    false_alarms_per_day: f64,
    baseline_rung: String,
    effect: Effect,
    baseline: WireSide,
    current: WireSide,
    distances: BTreeMap<String, f64>,
    contributors: Vec<Contributor>,
    sample_request_ids: Vec<String>,
    label_maturity: Option<f64>,
    action: String,
    summary: String,
    runbook: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    definition: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Status", rename_all = "UPPERCASE")]
enum WireStatus {
    Firing,
    Resolved,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Severity", rename_all = "UPPERCASE")]
enum WireSeverity {
    Info,
    Warning,
    Critical,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Side")]
struct WireSide {
    count: i64,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

fn wire<T>(a: &Alert, time: impl Fn(EventTime) -> T) -> Wire<T> {
    let side = |s: &Side| WireSide { count: s.count as i64, value: s.value, low: s.low, high: s.high };
    Wire {
        fingerprint: a.fingerprint.clone(),
        alert_id: a.alert_id.clone(),
        sequence: a.sequence as i32,
        status: match a.status {
            Status::Firing => WireStatus::Firing,
            Status::Resolved => WireStatus::Resolved,
        },
        reason: a.reason.word().to_owned(),
        severity: match a.severity {
            Severity::Info => WireSeverity::Info,
            Severity::Warning => WireSeverity::Warning,
            Severity::Critical => WireSeverity::Critical,
        },
        kind: a.kind.word().to_owned(),
        app: a.app.clone(),
        model: a.model.clone(),
        model_version: a.model_version.clone(),
        segment: a.segment.clone(),
        signal: a.signal.clone(),
        detector: a.detector.clone(),
        opened_at: time(a.opened_at),
        detected_at: time(a.detected_at),
        change_point: a.change_point.map(&time),
        window_start: time(a.window_start),
        window_end: time(a.window_end),
        statistic: a.statistic,
        threshold: a.threshold,
        false_alarms_per_day: a.false_alarms_per_day,
        baseline_rung: a.baseline_rung.clone(),
        effect: a.effect.clone(),
        baseline: side(&a.baseline),
        current: side(&a.current),
        distances: a.distances.clone(),
        contributors: a.contributors.clone(),
        sample_request_ids: a.sample_request_ids.clone(),
        label_maturity: a.label_maturity,
        action: a.action.clone(),
        summary: a.summary.clone(),
        runbook: a.runbook.clone(),
        labels: a.labels.clone(),
        annotations: a.annotations.clone(),
        definition: a.definition.clone(),
    }
}

fn unknown(what: &'static str, value: &str) -> AlertError {
    AlertError::Unknown { what, value: value.to_owned() }
}

fn alert<T>(w: Wire<T>, time: impl Fn(T) -> Result<EventTime, AlertError>) -> Result<Alert, AlertError> {
    let side = |s: WireSide| Side { count: s.count as u64, value: s.value, low: s.low, high: s.high };
    Ok(Alert {
        reason: Reason::parse(&w.reason).ok_or_else(|| unknown("reason", &w.reason))?,
        kind: Kind::parse(&w.kind).ok_or_else(|| unknown("kind", &w.kind))?,
        status: match w.status {
            WireStatus::Firing => Status::Firing,
            WireStatus::Resolved => Status::Resolved,
        },
        severity: match w.severity {
            WireSeverity::Info => Severity::Info,
            WireSeverity::Warning => Severity::Warning,
            WireSeverity::Critical => Severity::Critical,
        },
        fingerprint: w.fingerprint,
        alert_id: w.alert_id,
        sequence: w.sequence as u32,
        app: w.app,
        model: w.model,
        model_version: w.model_version,
        segment: w.segment,
        signal: w.signal,
        detector: w.detector,
        opened_at: time(w.opened_at)?,
        detected_at: time(w.detected_at)?,
        change_point: w.change_point.map(&time).transpose()?,
        window_start: time(w.window_start)?,
        window_end: time(w.window_end)?,
        statistic: w.statistic,
        threshold: w.threshold,
        false_alarms_per_day: w.false_alarms_per_day,
        baseline_rung: w.baseline_rung,
        effect: w.effect,
        baseline: side(w.baseline),
        current: side(w.current),
        distances: w.distances,
        contributors: w.contributors,
        sample_request_ids: w.sample_request_ids,
        label_maturity: w.label_maturity,
        action: w.action,
        summary: w.summary,
        runbook: w.runbook,
        labels: w.labels,
        annotations: w.annotations,
        definition: w.definition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::alert::{Identity, alert_id};
    use crate::engine::types::PaneId;

    /// An alert with something in every field.
    fn full() -> Alert {
        let segment = BTreeMap::from([("channel", "web"), ("country", "FR")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let kind = Kind::DataDrift;
        let (app, model, version, signal, detector) = ("shop", "fraud", Some("v7"), "feature:amount", "focus_location");
        let fingerprint = Identity { app, kind, model, version, segment: &segment, signal, detector }.fingerprint();
        Alert {
            alert_id: alert_id(&fingerprint, PaneId(29_400_000)),
            fingerprint,
            sequence: 2,
            status: Status::Firing,
            reason: Reason::Escalated,
            severity: Severity::Critical,
            kind,
            app: app.into(),
            model: model.into(),
            model_version: version.map(str::to_owned),
            segment,
            signal: signal.into(),
            detector: detector.into(),
            opened_at: EventTime(1_764_000_060_000),
            detected_at: EventTime(1_764_003_660_000),
            change_point: Some(EventTime(1_763_999_700_000)),
            window_start: EventTime(1_764_003_000_000),
            window_end: EventTime(1_764_003_660_000),
            statistic: 41.25,
            threshold: 19.5,
            false_alarms_per_day: 0.0000001,
            baseline_rung: "range".into(),
            effect: Effect { name: "location".into(), unit: "sigma".into(), value: 0.625, low: 0.5, high: 0.75, tolerance: 0.1 },
            baseline: Side { count: 120_000, value: Some(31.5), low: Some(31.25), high: Some(31.75) },
            current: Side { count: 812, value: Some(48.0), low: None, high: None },
            distances: BTreeMap::from([("psi".to_owned(), 0.5), ("js".to_owned(), 0.0625)]),
            contributors: vec![Contributor { what: "[12,000, 15,500)".into(), baseline: 0.0625, current: 0.25, share: 0.5 }],
            sample_request_ids: vec!["a-1".into()],
            label_maturity: Some(0.75),
            action: "none".into(),
            summary: "amount of fraud v7 (channel=web, country=FR): mean 48 instead of 31.5 €".into(),
            runbook: Some("https://example.com/drift".into()),
            labels: BTreeMap::from([("team".to_owned(), "risk".to_owned())]),
            annotations: BTreeMap::from([("note".to_owned(), "\"quoted\"".to_owned())]),
            definition: "00112233445566ff".into(),
        }
    }

    /// The same with everything optional absent.
    fn bare() -> Alert {
        let mut alert = Alert { model_version: None, segment: BTreeMap::new(), change_point: None, label_maturity: None, ..full() };
        (alert.runbook, alert.status, alert.reason, alert.severity) = (None, Status::Resolved, Reason::Recovered, Severity::Info);
        (alert.labels, alert.annotations, alert.distances) = Default::default();
        (alert.contributors, alert.sample_request_ids) = Default::default();
        alert
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.chunks(40).map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect()
    }

    #[test]
    fn a_text_of_gigabytes_is_not_believed() {
        // by hand: 400 MiB, doubled because it is signed, 7 bits a byte
        let said = decode(&[0x80, 0x80, 0x80, 0x90, 0x03], Format::Avro).unwrap_err();
        assert!(said.to_string().contains("Unable to allocate 419430400 bytes"), "{said:?}");
    }

    #[test]
    fn both_formats_read_back_what_they_wrote() {
        for alert in [full(), bare()] {
            for format in [Format::Json, Format::Avro] {
                let bytes = encode(&alert, format).unwrap();
                assert_eq!(decode(&bytes, format).unwrap(), alert);
            }
        }
    }

    #[test]
    fn the_bytes_of_an_alert_are_frozen() {
        let json = String::from_utf8(encode(&full(), Format::Json).unwrap()).unwrap() + "\n";
        let avro = hex(&encode(&full(), Format::Avro).unwrap());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        if std::env::var_os("DRIFTLINE_WRITE_FIXTURES").is_some() {
            std::fs::write(format!("{folder}/alert.json"), &json).unwrap();
            std::fs::write(format!("{folder}/alert.avro.hex"), &avro).unwrap();
        }
        let frozen = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        assert_eq!(json, frozen("alert.json"));
        assert_eq!(avro, frozen("alert.avro.hex"));
    }

    #[test]
    fn avro_fields_stand_in_the_order_of_the_schema_and_none_is_forgotten() {
        let json = serde_json::to_string(&wire(&full(), |t| t.0)).unwrap();
        let Schema::Record(record) = schema() else { panic!("an alert is a record") };
        let mut at = 0;
        for field in &record.fields {
            let name = format!("\"{}\":", field.name);
            at += json[at..].find(&name).unwrap_or_else(|| panic!("{name} is missing or out of order"));
        }
    }

    #[test]
    fn headers_are_cloud_events_in_binary_mode() {
        let headers: BTreeMap<_, _> = headers(&full(), Format::Avro).into_iter().collect();
        assert_eq!(headers["ce_type"], "driftline.alert.firing.v1");
        assert_eq!(headers["ce_subject"], "channel=web,country=FR");
        assert_eq!(headers["ce_time"], "2025-11-24T17:01:00.000Z");
        assert_eq!(headers["ce_id"], format!("{}/2", full().alert_id));
        assert_eq!(headers["content-type"], "application/avro");
        assert!(super::headers(&bare(), Format::Json).iter().all(|(name, _)| *name != "ce_subject"));
    }
}
