//! Alertmanager's API, version 2: what an alert is called there, telling it, and asking whether it is there.
//!
//! Guarantees: labels stay the same for as long as an alert has one severity, so it is one alert there; all of them have values.
//! Never: silences anything. Comes from: `firing`, `cli::drill`. Goes to: `POST` and `GET /api/v2/alerts`.

use super::TIMEOUT;
use super::firing::Told;
use crate::engine::alert::{Alert, is_limit};
use crate::engine::detect::describe::number;
use crate::engine::types::{EventTime, Span};
use crate::outward;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::collections::BTreeMap;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Alerts of one request.
const MOST: usize = 256;

/// What an alert is known by: its severity is among it, so an escalation is another alert.
pub fn labels(alert: &Alert) -> Labels {
    let mut all: Labels = alert.labels.iter().map(|(name, value)| (legal(name), value.clone())).collect();
    for (name, value) in [
        ("alertname", format!("driftline_{}", alert.kind.word())),
        ("app", alert.app.clone()),
        ("model", alert.model.clone()),
        ("model_version", alert.model_version.clone().unwrap_or_default()),
        ("signal", alert.signal.clone()),
        ("detector", alert.detector.clone()),
        ("severity", alert.severity.word().to_lowercase()),
        ("fingerprint", alert.fingerprint.clone()),
    ] {
        all.insert(name.to_string(), value);
    }
    all.extend(alert.segment.iter().map(|(name, value)| (format!("segment_{}", legal(name)), value.clone())));
    all.retain(|_, value| !value.is_empty());
    all
}

/// A name that Prometheus takes: others' characters become `_`.
fn legal(name: &str) -> String {
    let fits = |(i, c): (usize, char)| if c.is_ascii_alphabetic() || c == '_' || (i > 0 && c.is_ascii_digit()) { c } else { '_' };
    name.chars().enumerate().map(fits).collect()
}

/// What the statistic says, and how sure it is; of a limit, where the value lies.
fn evidence(alert: &Alert) -> String {
    let e = &alert.effect;
    if is_limit(&alert.detector) {
        let [value, limit, distance, low, high] = [alert.statistic, alert.threshold, e.value, e.low, e.high].map(number);
        return format!("{value}, limit {limit}; {distance} {} from it (95 % interval {low} to {high})", e.unit);
    }
    format!(
        "{} of {} nats; effect {} {} (95 % interval {} to {}, tolerated {}); {} a day by chance in the whole application",
        number(alert.statistic),
        number(alert.threshold),
        number(e.value),
        e.unit,
        number(e.low),
        number(e.high),
        number(e.tolerance),
        number(alert.false_alarms_per_day)
    )
}

fn annotations(alert: &Alert) -> Labels {
    let mut all = alert.annotations.clone();
    all.insert("summary".into(), alert.summary.clone());
    all.insert("evidence".into(), evidence(alert));
    all.insert("action".into(), alert.action.clone());
    all.insert("alert_id".into(), alert.alert_id.clone());
    all.insert("change_point".into(), alert.change_point.map(time).unwrap_or_default());
    if let Some(runbook) = &alert.runbook {
        all.insert("runbook_url".into(), runbook.clone());
    }
    all.retain(|_, value| !value.is_empty());
    all
}

fn time(t: EventTime) -> String {
    jiff::Timestamp::from_millisecond(t.0).map_or_else(|_| t.0.to_string(), |t| format!("{t:.3}"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: Labels,
    annotations: Labels,
    starts_at: String,
    ends_at: String,
}

/// The requests that tell `all` at `now`; what fires is meant to fire for `lasting` if nobody says more.
pub fn requests(all: &[&Told], now: i64, lasting: Span) -> Vec<Vec<u8>> {
    let posted = |told: &&Told| Posted {
        labels: told.labels.clone(),
        annotations: annotations(&told.alert),
        // an episode may begin after its Kafka record by a clock that is ahead: what ends must have begun
        starts_at: time(EventTime(told.alert.opened_at.0.min(told.ended.unwrap_or(now)))),
        ends_at: time(EventTime(told.ended.unwrap_or(now.saturating_add(lasting.0)))),
    };
    let body = |some: &[&Told]| serde_json::to_vec(&some.iter().map(posted).collect::<Vec<_>>()).expect("plain data is JSON");
    all.chunks(MOST).map(body).collect()
}

fn authorised<B>(request: RequestBuilder<B>, token: Option<&SecretString>) -> RequestBuilder<B> {
    match token {
        Some(token) => request.header("authorization", format!("Bearer {}", token.expose_secret())),
        None => request,
    }
}

/// One Alertmanager.
pub struct Alertmanager {
    agent: Agent,
    url: String,
}

impl Alertmanager {
    /// At an address, with certificates that vouch for it.
    pub fn new(url: &str, ca: Option<&str>) -> Result<Alertmanager, String> {
        let known = outward::address(url)
            .ok_or_else(|| format!("\"{}\" is no address of an Alertmanager; write http://HOST:PORT or https://HOST:PORT", url.trim()))?;
        let agent = outward::agent(TIMEOUT, ca).map_err(|why| format!("--ca-file {why}"))?;
        Ok(Alertmanager { agent, url: known.to_string() })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Tells; the error says what to do.
    pub fn tell(&self, body: &[u8], token: Option<&SecretString>) -> Result<(), String> {
        let request = self.agent.post(format!("{}/api/v2/alerts", self.url)).header("content-type", "application/json");
        self.said(authorised(request, token).send(body)).map(drop)
    }

    /// Whether an alert with this label fires there. The value: letters, digits, `-`, `_`, `.`.
    pub fn has(&self, label: &str, value: &str, token: Option<&SecretString>) -> Result<bool, String> {
        let request = self.agent.get(format!("{}/api/v2/alerts?filter={label}%3D%22{value}%22", self.url));
        let said = self.said(authorised(request, token).call())?;
        let alerts = serde_json::from_str::<Vec<serde_json::Value>>(&said);
        alerts.map(|alerts| !alerts.is_empty()).map_err(|e| format!("{} answers with something else than alerts ({e})", self.url))
    }

    /// The body of an answer that is a good one.
    fn said(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<String, String> {
        let mut answer = answer.map_err(|e| format!("{} can't be reached ({e})", self.url))?;
        let (status, body) = (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default());
        let said = outward::beginning(&body);
        match status {
            200..=299 => Ok(body),
            401 | 403 => Err(format!("{} does not let us in, status {status}: is --token-file right?", self.url)),
            404 => Err(format!("{} answers 404: does a path belong to it (--web.route-prefix)?", self.url)),
            _ => Err(format!("{} answers with status {status} ({})", self.url, said.trim())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::alert::{Format, decode};
    use serde_json::Value;

    fn alert() -> Alert {
        decode(include_bytes!("../../tests/fixtures/alert.json"), Format::Json).unwrap()
    }

    #[test]
    fn names_are_those_that_prometheus_takes_and_values_are_never_empty() {
        let mut odd = alert();
        odd.segment.insert("user.country-2".into(), "FR".into());
        odd.labels.insert("1st team".into(), "risk".into());
        odd.labels.insert("model".into(), "not this one".into());
        odd.model_version = None;
        let all = labels(&odd);
        assert_eq!((all["segment_user_country_2"].as_str(), all["_st_team"].as_str()), ("FR", "risk"));
        assert_eq!(all["model"], odd.model);
        assert!(!all.contains_key("model_version"));
        let legal = |n: &String| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(all.keys().all(legal) && all.values().all(|v| !v.is_empty()), "{all:?}");
    }

    #[test]
    fn a_limit_is_told_by_its_value_and_two_limits_of_a_signal_are_two_alerts() {
        let limit = |detector: &str| {
            let effect = crate::engine::alert::Effect { name: "limit".into(), unit: "points".into(), value: 2.3, ..alert().effect };
            Alert { detector: detector.into(), statistic: 0.123, threshold: 0.1, effect, ..alert() }
        };
        let (one, two) = (limit("limit:above=0.1,over=1h"), limit("limit:above=0.2,over=1h"));
        assert_ne!(labels(&one)["detector"], labels(&two)["detector"]);
        let said = annotations(&one)["evidence"].clone();
        assert_eq!(said, "0.123, limit 0.1; 2.3 points from it (95 % interval 0.5 to 0.75)");
    }

    #[test]
    fn what_fires_ends_later_unless_told_again_and_what_ended_has_ended() {
        let (now, lasting) = (1_900_000_000_000, Span::minutes(5));
        let told = |ended| Told { labels: labels(&alert()), alert: alert(), ended };
        let (fires, over) = (told(None), told(Some(now - 1_000)));
        let bodies = requests(&[&fires, &over], now, lasting);
        let read: Value = serde_json::from_slice(&bodies[0]).unwrap();
        let ends = |i: usize| read[i]["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!([ends(0), ends(1)], [now + lasting.0, now - 1_000]);
        assert_eq!(read[0]["annotations"]["summary"].as_str(), Some(alert().summary.as_str()));
        let many: Vec<&Told> = std::iter::repeat_n(&fires, MOST + 1).collect();
        assert_eq!(requests(&many, now, lasting).len(), 2);
        assert!(requests(&[], now, lasting).is_empty());
    }

    #[test]
    fn an_address_is_one_address() {
        for wrong in ["", "alertmanager:9093", "http://", "http://:9093", "http://a b"] {
            assert!(Alertmanager::new(wrong, None).is_err(), "{wrong}");
        }
        assert_eq!(Alertmanager::new(" https://am.example/path/ ", None).unwrap().url(), "https://am.example/path");
    }
}
