//! Limits that hold whatever is normal: a rate, or a number of rows, above or below a fixed number for some time.
//!
//! Guarantees: numbers are exact, so 10 of 100 is not above 0.1; a rule that differs in anything is another rule, with other streams.
//! Never: judges a pane; `detect::limit` does.
//! Comes from: `config` (`models.NAME.limits`), by way of the log. Goes to: `monitor::limits`, which finds the segments that it holds for.

use crate::engine::alert::{Severity, is_limit};
use crate::engine::types::{PaneSize, Span};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// Limits of a model at most: each is a stream of its own in every segment that it holds for.
pub const MOST_LIMITS: usize = 64;
/// Panes of `over` at most: each stream keeps the counts of so many.
pub const LONGEST_OVER: i64 = 1_440;
/// Panes of `for` at most.
pub const LONGEST_FOR: i64 = 1_000_000;
/// No limit is larger.
pub const LARGEST: Billionths = Billionths(1_000_000_000 * Billionths::ONE.0);

/// A number that is not negative, in billionths: it is what people typed, without the rounding of floating point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Billionths(pub u64);

impl Billionths {
    /// 1.
    pub const ONE: Billionths = Billionths(1_000_000_000);

    /// Of a number as it was typed; none if it is negative, more than a billion, or has more than nine decimals.
    ///
    /// ```
    /// # use driftline::engine::definitions::limit::Billionths;
    /// assert_eq!(Billionths::of(0.1), Some(Billionths(100_000_000)));
    /// assert_eq!(Billionths::of(123_456_789.0), Some(Billionths(123_456_789_000_000_000)));
    /// assert_eq!([-0.1, 2e9, 0.000_000_000_1, f64::NAN].map(Billionths::of), [None; 4]);
    /// ```
    pub fn of(x: f64) -> Option<Billionths> {
        if !(0.0..=1e9).contains(&x) {
            return None;
        }
        if x == libm::trunc(x) {
            return Some(Billionths(x as u64 * Self::ONE.0));
        }
        // the quotient of two whole numbers is the floating-point number that stands for their decimal fraction
        let parts = libm::round(x * 1e9);
        (parts / 1e9 == x).then_some(Billionths(parts as u64))
    }

    /// As the nearest floating-point number.
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// How `k / n` compares with it.
    pub fn compared_with(self, k: u64, n: u64) -> Ordering {
        (u128::from(k) * u128::from(Self::ONE.0)).cmp(&(u128::from(self.0) * u128::from(n)))
    }
}

impl fmt::Display for Billionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / Self::ONE.0, self.0 % Self::ONE.0);
        match parts {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{}", format!("{parts:09}").trim_end_matches('0')),
        }
    }
}

/// On which side of its limit a value is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BadSide {
    /// Values above it.
    Above,
    /// Values below it.
    Below,
}

impl BadSide {
    /// The word in the configuration and in alerts.
    pub fn word(self) -> &'static str {
        match self {
            BadSide::Above => "above",
            BadSide::Below => "below",
        }
    }
}

/// One limit of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Limit {
    /// The signal: a rate (`error`, `null:NAME`, ...), or rows (`volume`, `labels`).
    pub signal: String,
    /// On which side values are bad.
    pub bad: BadSide,
    /// Beyond this they are.
    pub bound: Billionths,
    /// And good again from here on; never on the bad side of `bound`.
    pub clear: Billionths,
    /// What is looked at: the last so many panes.
    pub over: Span,
    /// It fires after so long beyond the limit, and resolves after so long within `clear`. Zero: one pane.
    pub lasts: Span,
    /// Fewer events in `over` say nothing. Where rows are counted: 0.
    pub at_least: u64,
    /// The segments that it holds for, by their dimensions, sorted; none: the model as a whole.
    pub by: Vec<String>,
    /// Of its alerts.
    pub severity: Severity,
}

impl Limit {
    /// Whether a number of rows is limited, not a rate.
    pub fn counts_rows(&self) -> bool {
        counts_rows(&self.signal)
    }

    /// Panes of `over`.
    pub fn panes(&self, size: PaneSize) -> i64 {
        size.panes_in(self.over).max(1)
    }

    /// Panes in a row after which it fires, or resolves.
    pub fn run(&self, size: PaneSize) -> u32 {
        size.panes_in(self.lasts).clamp(1, LONGEST_FOR) as u32
    }

    /// Whether it holds for a segment.
    pub fn holds_for(&self, segment: &BTreeMap<String, String>) -> bool {
        segment.len() == self.by.len() && self.by.iter().all(|name| segment.contains_key(name))
    }

    /// Tells rules apart; any difference makes another rule.
    pub fn id(&self) -> u64 {
        xxh3_64(&postcard::to_stdvec(self).expect("plain data encodes"))
    }

    /// The detector in alerts and fingerprints: `limit:above=0.1,over=1h,for=30m`. Fixed for ever.
    pub fn word(&self) -> String {
        let lasts = if self.lasts == Span::ZERO { String::new() } else { format!(",for={}", self.lasts) };
        let word = format!("limit:{}={},over={}{lasts}", self.bad.word(), self.bound, self.over);
        debug_assert!(is_limit(&word));
        word
    }

    /// Whether a configuration could say it.
    pub fn possible(&self, size: PaneSize) -> bool {
        let whole = |span: Span, panes: std::ops::RangeInclusive<i64>| span.0 % size.0.0 == 0 && panes.contains(&(span.0 / size.0.0));
        let largest = if self.counts_rows() { LARGEST } else { Billionths::ONE };
        let (low, high) = match self.bad {
            BadSide::Above => (self.clear, self.bound),
            BadSide::Below => (self.bound, self.clear),
        };
        let reachable = match self.bad {
            BadSide::Above => self.counts_rows() || self.bound < Billionths::ONE,
            BadSide::Below => self.bound > Billionths(0),
        };
        whole(self.over, 1..=LONGEST_OVER)
            && whole(self.lasts, 0..=LONGEST_FOR)
            && low <= high
            && high <= largest
            && reachable
            && (self.at_least == 0) == self.counts_rows()
    }
}

/// Whether a signal is a number of rows.
pub fn counts_rows(signal: &str) -> bool {
    matches!(signal, "volume" | "labels")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> Limit {
        Limit {
            signal: "error".into(),
            bad: BadSide::Above,
            bound: Billionths(100_000_000),
            clear: Billionths(80_000_000),
            over: Span::hours(1),
            lasts: Span::minutes(30),
            at_least: 100,
            by: vec!["country".into()],
            severity: Severity::Warning,
        }
    }

    #[test]
    fn numbers_are_compared_and_written_as_they_were_typed() {
        let tenth = Billionths::of(0.1).unwrap();
        assert_eq!([9, 10, 11].map(|k| tenth.compared_with(k, 100)), [Ordering::Less, Ordering::Equal, Ordering::Greater]);
        for text in ["0", "0.1", "0.05", "0.000000001", "0.999999999", "12.5", "100", "1000000000"] {
            assert_eq!(Billionths::of(text.parse().unwrap()).map(|b| b.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_rule_is_named_by_what_it_says() {
        assert_eq!(limit().word(), "limit:above=0.1,over=1h,for=30m");
        let rows = Limit { bad: BadSide::Below, bound: Billionths(100 * Billionths::ONE.0), lasts: Span::ZERO, ..limit() };
        assert_eq!(rows.word(), "limit:below=100,over=1h");
        assert_ne!(Limit { at_least: 99, ..limit() }.id(), limit().id());
        assert_eq!(limit().id(), limit().id());
    }

    #[test]
    fn what_no_configuration_says_is_not_possible() {
        let size = PaneSize(Span::minutes(5));
        assert!(limit().possible(size));
        for (change, what) in [
            ((|l| l.over = Span::minutes(7)) as fn(&mut Limit), "over in panes"),
            (|l| l.over = Span::ZERO, "over something"),
            (|l| l.over = Span::minutes(5 * 1_441), "not over too many panes"),
            (|l| l.lasts = Span::minutes(-5), "for some time"),
            (|l| l.lasts = Span::minutes(1), "for some panes"),
            (|l| l.clear = Billionths(100_000_001), "clear within the limit"),
            (|l| l.bad = BadSide::Below, "clear within the limit, below"),
            (|l| l.bound = Billionths::ONE, "no rate is above 1"),
            (|l| l.at_least = 0, "events"),
            (|l| l.signal = "volume".into(), "rows need no events"),
        ] {
            let mut changed = limit();
            change(&mut changed);
            assert!(!changed.possible(size), "{what}: {changed:?}");
        }
    }
}
