//! Alerts as bytes.
use crate::config::settings::AlertFormat;
use crate::engine::alert::Alert;

/// Header names and values.
pub type AlertHeaders = Vec<(String, Option<Vec<u8>>)>;

/// Encodes an alert.
pub fn encode(alert: &Alert, _format: AlertFormat) -> (Vec<u8>, AlertHeaders) {
    (serde_json::to_vec(alert).unwrap_or_default(), Vec::new())
}
