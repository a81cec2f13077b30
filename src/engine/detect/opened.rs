//! The first event of an episode, as far as it is the same whatever found it.
//!
//! Guarantees: identity, times and what is configured; what was found (statistic, sides, the sentence) is for the caller to fill in.
//! Comes from: `stream` and `limit`. Goes to: `engine::alert`.

use super::stream::{Rules, StreamKey};
use crate::engine::alert::{Alert, Effect, Identity, Kind, Reason, Severity, Side, Status, alert_id};
use crate::engine::types::{EventTime, PaneId};
use std::collections::BTreeMap;

/// What an episode opens with.
pub(super) struct Opening<'a> {
    /// In which stream.
    pub key: &'a StreamKey,
    /// Who found it.
    pub detector: String,
    /// In which pane.
    pub pane: PaneId,
    /// The rows compared: start and end.
    pub window: (EventTime, EventTime),
    /// How bad.
    pub severity: Severity,
    /// How large.
    pub effect: Effect,
}

/// The alert.
pub(super) fn opened(opening: Opening<'_>, rules: &Rules<'_>) -> Alert {
    let Opening { key, detector, pane, window, severity, effect } = opening;
    let definitions = rules.definitions;
    let kind = Kind::of_signal(&key.signal);
    let identity = Identity {
        app: &definitions.app,
        kind,
        model: &key.model,
        version: key.version.as_deref(),
        segment: &key.segment,
        signal: &key.signal,
        detector: &detector,
    };
    let fingerprint = identity.fingerprint();
    let unknown = Side { count: 0, value: None, low: None, high: None };
    let end = definitions.pane.end(pane);
    Alert {
        alert_id: alert_id(&fingerprint, pane),
        fingerprint,
        sequence: 0,
        status: Status::Firing,
        reason: Reason::Opened,
        severity,
        kind,
        app: definitions.app.clone(),
        model: key.model.clone(),
        model_version: key.version.clone(),
        segment: key.segment.clone(),
        signal: key.signal.clone(),
        detector,
        opened_at: end,
        detected_at: end,
        change_point: None,
        window_start: window.0,
        window_end: window.1,
        statistic: 0.0,
        threshold: 0.0,
        false_alarms_per_day: 0.0,
        baseline_rung: String::new(),
        effect,
        baseline: unknown.clone(),
        current: unknown,
        distances: BTreeMap::new(),
        contributors: Vec::new(),
        sample_request_ids: Vec::new(),
        label_maturity: None,
        action: kind.action().to_owned(),
        summary: String::new(),
        runbook: None,
        labels: definitions.labels.clone(),
        annotations: definitions.annotations.clone(),
        definition: rules.definition_hash.to_owned(),
    }
}
