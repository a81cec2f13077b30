//! The demo's data: 100,000 car-loan applications with a change whose time is known (data/car-loan/README.md).

use crate::engine::types::{EventTime, RequestKey, Span};
use serde_json::{Map, Value, json};
use std::io::Read;

const REFERENCE: &[u8] = include_bytes!("../../data/car-loan/reference.csv.zst");
const ANALYSIS: &[u8] = include_bytes!("../../data/car-loan/analysis.csv.zst");
const TARGETS: &[u8] = include_bytes!("../../data/car-loan/analysis_target.csv.zst");

/// A record for a topic.
pub struct Message {
    /// The request id.
    pub key: String,
    /// JSON.
    pub value: String,
}

/// Predictions in their order, and outcomes in the order in which they become known.
pub struct DemoData {
    /// One per application.
    pub predictions: Vec<Message>,
    /// One per application, 1 to 14 days of event time later (fixed by a hash of the id), or at once.
    pub outcomes: Vec<Message>,
}

struct Row {
    fields: Map<String, Value>,
    id: String,
    time: EventTime,
    repaid: Option<i64>,
}

/// Reads the data that is built into the program. `delayed`: outcomes come 1 to 14 days later, otherwise with their prediction.
pub fn load(delayed: bool) -> Result<DemoData, String> {
    let mut rows = rows(REFERENCE)?;
    let analysis = rows_with_targets(ANALYSIS, TARGETS)?;
    rows.extend(analysis);
    let mut outcomes: Vec<(EventTime, Message)> = Vec::with_capacity(rows.len());
    let mut predictions = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(repaid) = row.repaid {
            let known_at = row.time.plus(if delayed { delay(&row.id) } else { Span::ZERO });
            outcomes
                .push((known_at, Message { key: row.id.clone(), value: json!({ "known_at": known_at.0, "repaid": repaid }).to_string() }));
        }
        predictions.push(Message { key: row.id, value: Value::Object(row.fields).to_string() });
    }
    outcomes.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
    Ok(DemoData { predictions, outcomes: outcomes.into_iter().map(|o| o.1).collect() })
}

/// 1 to 14 days, a function of the id alone.
fn delay(id: &str) -> Span {
    Span(Span::days(1).0 + (RequestKey::of(id).sample_hash() % Span::days(13).0 as u64) as i64)
}

fn unpacked(bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    zstd::Decoder::new(bytes)
        .and_then(|mut d| d.read_to_string(&mut text))
        .map_err(|e| format!("the built-in data can't be unpacked: {e}"))?;
    Ok(text)
}

fn table(bytes: &[u8]) -> Result<Vec<Vec<(String, String)>>, String> {
    let text = unpacked(bytes)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map_err(|e| e.to_string())?.iter().map(str::to_string).collect();
    reader.records().map(|r| Ok(header.iter().cloned().zip(r.map_err(|e| e.to_string())?.iter().map(str::to_string)).collect())).collect()
}

fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    table(bytes)?.into_iter().map(row).collect()
}

fn rows_with_targets(bytes: &[u8], targets: &[u8]) -> Result<Vec<Row>, String> {
    let mut rows = rows(bytes)?;
    for (row, target) in rows.iter_mut().zip(table(targets)?) {
        let field = |name: &str| target.iter().find(|f| f.0 == name).map(|f| f.1.as_str());
        if field("id") != Some(row.id.as_str()) {
            return Err("the built-in outcomes are in another order than the predictions".into());
        }
        row.repaid = field("repaid").and_then(whole);
    }
    Ok(rows)
}

fn whole(text: &str) -> Option<i64> {
    text.parse::<f64>().ok().map(|x| x as i64)
}

fn row(columns: Vec<(String, String)>) -> Result<Row, String> {
    let mut row = Row { fields: Map::new(), id: String::new(), time: EventTime(0), repaid: None };
    for (name, text) in columns {
        let value = match name.as_str() {
            "repaid" => {
                row.repaid = whole(&text);
                continue;
            }
            "timestamp" => {
                let at: jiff::civil::DateTime = text.parse().map_err(|e| format!("time {text:?}: {e}"))?;
                row.time = EventTime(at.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| e.to_string())?.timestamp().as_millisecond());
                json!(row.time.0)
            }
            "id" => {
                row.id.clone_from(&text);
                json!(text.parse::<i64>().unwrap_or_default())
            }
            "y_pred" => json!(whole(&text)),
            "repaid_loan_on_prev_car" => json!(text == "True"),
            "salary_range" | "size_of_downpayment" => json!(text),
            _ => text.parse::<f64>().map_or(Value::Null, |x| json!(x)),
        };
        row.fields.insert(name, value);
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_application_has_a_prediction_and_an_outcome() {
        let data = load(true).unwrap();
        assert_eq!((data.predictions.len(), data.outcomes.len()), (100_000, 100_000));
        assert!(data.predictions[0].value.contains("\"timestamp\":1514764800000"), "{}", data.predictions[0].value);
    }

    #[test]
    fn outcomes_come_one_to_fourteen_days_later() {
        for id in ["0", "50000", "99999"] {
            assert!(delay(id) >= Span::days(1) && delay(id) < Span::days(14));
        }
    }
}
