//! Gauges to which each member of a process contributes what it has.
//!
//! Guarantees: the page shows the sum (or the largest) over all members, whoever spoke last; a series that no member has any more is
//! gone, so that a partition or model that moved to another process is not shown at its last value for ever.
//! Comes from: `ops::service` (each member's thread). Goes to: the registry.

use prometheus::core::{Collector, Desc};
use prometheus::{GaugeVec, proto::MetricFamily};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// What a page shows of several members' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// All of them, together.
    Sum,
    /// The largest.
    Largest,
}

/// Values of labels, in the order of the gauge's.
type Labels = Vec<String>;

/// One gauge.
pub struct Shares {
    gauge: GaugeVec,
    how: How,
    said: Mutex<BTreeMap<String, BTreeMap<Labels, f64>>>,
}

impl Shares {
    pub(super) fn new(gauge: GaugeVec, how: How) -> Shares {
        Shares { gauge, how, said: Mutex::default() }
    }

    /// All that a member has now; what it had before and has no longer is taken back.
    pub fn say<'a>(&self, member: &str, values: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
        let mut now: BTreeMap<Labels, f64> = BTreeMap::new();
        for (labels, value) in values {
            let labels = labels.into_iter().map(str::to_string).collect();
            now.entry(labels).and_modify(|known| *known = self.combined(*known, value)).or_insert(value);
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.insert(member.to_string(), now).unwrap_or_default();
        let touched: BTreeSet<&Labels> = said[member].keys().chain(before.keys()).collect();
        for labels in touched {
            let values: Vec<&str> = labels.iter().map(String::as_str).collect();
            match said.values().filter_map(|of| of.get(labels)).copied().reduce(|a, b| self.combined(a, b)) {
                Some(value) => self.gauge.with_label_values(&values).set(value),
                None => drop(self.gauge.remove_label_values(&values)),
            }
        }
    }

    fn combined(&self, a: f64, b: f64) -> f64 {
        match self.how {
            How::Sum => a + b,
            How::Largest => a.max(b),
        }
    }
}

impl Collector for Shares {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;

    fn shown(shares: &Shares) -> BTreeMap<String, f64> {
        let families = shares.collect();
        let metrics = families.iter().flat_map(|f| f.get_metric());
        metrics.map(|m| (m.get_label()[0].value().to_string(), m.get_gauge().get_value())).collect()
    }

    fn shares(how: How) -> Shares {
        Shares::new(GaugeVec::new(Opts::new("a", "a"), &["partition"]).unwrap(), how)
    }

    #[test]
    fn two_members_are_shown_together_whoever_spoke_last() {
        for (how, both) in [(How::Sum, 12.0), (How::Largest, 7.0)] {
            let s = shares(how);
            s.say("join-0", [(vec!["x"], 5.0)]);
            s.say("join-1", [(vec!["x"], 7.0)]);
            s.say("join-0", [(vec!["x"], 5.0)]);
            assert_eq!(shown(&s), BTreeMap::from([("x".to_string(), both)]));
        }
    }

    #[test]
    fn a_partition_that_moves_within_the_process_stays_and_one_that_leaves_it_goes() {
        let s = shares(How::Largest);
        s.say("join-0", [(vec!["0"], 1.0), (vec!["1"], 2.0)]);
        s.say("join-1", [(vec!["1"], 3.0)]);
        s.say("join-0", [(vec!["0"], 4.0)]);
        assert_eq!(shown(&s), BTreeMap::from([("0".to_string(), 4.0), ("1".to_string(), 3.0)]));
        s.say("join-0", []);
        assert_eq!(shown(&s), BTreeMap::from([("1".to_string(), 3.0)]));
    }
}
