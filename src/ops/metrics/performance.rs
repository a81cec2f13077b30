//! How well each model does, as gauges.
//!
//! Guarantees: a number that is not known any more (no pairs in the last 24 hours, a model that has moved to another process) is not shown.
//! Comes from: `Monitor::performance`. Goes to: the registry, after everything else: with many models these series are cut first.

use super::Maker;
use prometheus::{GaugeVec, IntCounter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Name of the gauges.
pub const PERFORMANCE: &str = "driftline_performance";

/// The gauges, and which of them each member has set.
pub struct Performances {
    pub(super) gauge: GaugeVec,
    pub(super) outside: IntCounter,
    shown: Mutex<BTreeMap<String, BTreeSet<(String, &'static str)>>>,
}

impl Performances {
    pub(super) fn new(make: &Maker<'_>) -> Performances {
        Performances {
            gauge: make.floats(
                PERFORMANCE,
                "How well a model did in the newest 24 hours of closed pair panes since the process has it (docs/metrics.md says how)",
                &["model", "metric"],
            ),
            outside: make.counter(
                "driftline_scores_outside_total",
                "Pairs of binary models whose score is not within [0, 1]; they are in no calibration, AUC, log loss or Brier score",
            ),
            shown: Mutex::default(),
        }
    }

    /// Shows what a member's monitors know now, and takes back what they knew before.
    pub(super) fn show<'a>(&self, member: &str, models: impl Iterator<Item = (&'a str, Vec<(&'static str, f64)>)>) {
        let mut now = BTreeSet::new();
        for (model, metrics) in models {
            for (metric, value) in metrics {
                self.gauge.with_label_values(&[model, metric]).set(value);
                now.insert((model.to_string(), metric));
            }
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.insert(member.to_string(), now).unwrap_or_default();
        for gone in before.iter().filter(|key| shown.values().all(|s| !s.contains(*key))) {
            self.gauge.remove_label_values(&[gone.0.as_str(), gone.1]).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::config::load_text;
    use prometheus::core::Collector;
    use prometheus::{Registry, proto::Metric};

    fn values(p: &Performances) -> Vec<(String, f64)> {
        let label = |m: &Metric| m.get_label().iter().map(|l| l.value().to_string()).collect::<Vec<_>>().join(" ");
        let mut all: Vec<_> = p.gauge.collect()[0].get_metric().iter().map(|m| (label(m), m.get_gauge().get_value())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    #[test]
    fn a_model_that_moves_to_another_member_stays_and_one_that_leaves_the_process_goes() {
        let registry = Registry::new();
        let p = Performances::new(&Maker(&registry));
        p.show("detect-0", [("a", vec![("recall", 0.5), ("mcc", 0.1)]), ("b", vec![("recall", 0.7)])].into_iter());
        p.show("detect-1", [("b", vec![("recall", 0.8)])].into_iter());
        p.show("detect-0", [("a", vec![("recall", 0.6)])].into_iter());
        assert_eq!(values(&p), [("recall a".to_string(), 0.6), ("recall b".to_string(), 0.8)], "mcc of a is not known any more");
        p.show("detect-1", std::iter::empty());
        assert_eq!(values(&p), [("recall a".to_string(), 0.6)]);
    }

    #[test]
    fn many_models_push_nothing_else_off_the_page() {
        let example = include_str!("../../../examples/car-loan.yaml");
        let mut settings = load_text("the example", example, &|_| None, std::path::Path::new(".")).unwrap();
        settings.max_series = 300;
        let metrics = Metrics::new(&settings);
        let series = |page: String| {
            let names = page.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit_once(' '));
            names.map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>()
        };
        let before = series(metrics.render());
        let models: Vec<String> = (0..1_000).map(|i| format!("model-{i}")).collect();
        metrics.performance.show("detect-0", models.iter().map(|m| (m.as_str(), vec![("recall", 0.5)])));
        let after = series(metrics.render());
        assert!(before.is_subset(&after), "{:?}", before.difference(&after).collect::<Vec<_>>());
        assert!(after.len() > before.len() && after.len() <= 300, "{} series", after.len());
    }
}
