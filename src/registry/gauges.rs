//! What can be seen of the registry from outside.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounterVec, IntGauge, Opts};
use std::time::{SystemTime, UNIX_EPOCH};

/// Metrics of the registry; the same ones for whoever clones them.
#[derive(Clone)]
pub struct Gauges {
    /// Questions, by what came of them.
    pub requests: IntCounterVec,
    /// Since when questions fail, seconds since 1970; 0 while none does.
    pub away_since: Gauge,
    /// Schemas that are kept.
    pub schemas: IntGauge,
}

impl Default for Gauges {
    fn default() -> Gauges {
        let valid = "names of metrics are constants and valid";
        let requests = Opts::new(
            "driftline_registry_requests_total",
            "Schema ids asked for at the schema registry, by outcome: found, absent, or failed (it is asked again)",
        );
        let requests = IntCounterVec::new(requests, &["outcome"]).expect(valid);
        ["found", "absent", "failed"].iter().for_each(|word| drop(requests.with_label_values(&[word])));
        let since = "Time since which the schema registry fails and records wait for it, seconds since 1970; 0 while it does not";
        Gauges {
            requests,
            away_since: Gauge::new("driftline_registry_away_since_seconds", since).expect(valid),
            schemas: IntGauge::new("driftline_registry_schemas", "Schemas of the schema registry that this process has fetched")
                .expect(valid),
        }
    }
}

impl Gauges {
    /// All of them.
    pub fn all(&self) -> [&dyn Collector; 3] {
        [&self.requests, &self.away_since, &self.schemas]
    }

    /// An outage begins now.
    pub(super) fn begins(&self) {
        self.away_since.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(1.0, |d| d.as_secs_f64()));
    }
}
