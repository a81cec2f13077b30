//! Event times: from a number in a unit, or RFC 3339 text, to milliseconds, with a check that it can be a time at all.
//!
//! Guarantees: no wall clock (whether a time lies in the future is decided at the edge); a wrong unit is named in the complaint.

use super::scalar::{Scalar, Tick};
use crate::config::settings::TimeUnit;
use crate::engine::types::EventTime;

/// 1990-01-01: a time before it is a wrong unit.
pub const EARLIEST: i64 = 631_152_000_000;
/// 2200-01-01: a time after it is a wrong unit.
pub const LATEST: i64 = 7_258_118_400_000;

/// Why a scalar is no event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTime {
    /// It has a type that no time has.
    Type,
    /// It can't be a time; what it would be, and what to do.
    Value(String),
}

/// Reads an event time. `kafka` is the record's own timestamp, for the complaint.
pub fn event_time(scalar: &Scalar<'_>, unit: TimeUnit, kafka: i64) -> Result<EventTime, NoTime> {
    let ticks = |tick| match unit {
        TimeUnit::Seconds => Tick::Second,
        TimeUnit::Millis => Tick::Milli,
        TimeUnit::Micros => Tick::Micro,
        TimeUnit::Nanos => Tick::Nano,
        TimeUnit::Auto => tick,
    };
    match scalar {
        Scalar::Integer(value, _) => plausible(*value, ticks(Tick::Milli), kafka),
        Scalar::Instant(value, Tick::Day) => plausible(*value, Tick::Day, kafka),
        Scalar::Instant(value, tick) => plausible(*value, ticks(*tick), kafka),
        Scalar::Number(value, _) => from_float(*value, ticks(Tick::Milli), kafka),
        Scalar::Text(text) => from_text(text, ticks(Tick::Milli), kafka),
        _ => Err(NoTime::Type),
    }
}

fn millis(value: i64, tick: Tick) -> Option<i64> {
    match tick {
        Tick::Day => value.checked_mul(86_400_000),
        Tick::Second => value.checked_mul(1_000),
        Tick::Milli => Some(value),
        Tick::Micro => Some(value.div_euclid(1_000)),
        Tick::Nano => Some(value.div_euclid(1_000_000)),
    }
}

fn plausible(value: i64, tick: Tick, kafka: i64) -> Result<EventTime, NoTime> {
    match millis(value, tick) {
        Some(ms) if (EARLIEST..LATEST).contains(&ms) => Ok(EventTime(ms)),
        ms => Err(NoTime::Value(complaint(value, ms, tick, kafka))),
    }
}

fn from_float(value: f64, tick: Tick, kafka: i64) -> Result<EventTime, NoTime> {
    let factor = match tick {
        Tick::Day => 86_400_000.0,
        Tick::Second => 1_000.0,
        Tick::Milli => 1.0,
        Tick::Micro => 1e-3,
        Tick::Nano => 1e-6,
    };
    let ms = (value * factor).floor();
    if ms >= EARLIEST as f64 && ms < LATEST as f64 {
        return Ok(EventTime(ms as i64));
    }
    if value.is_finite() && value.abs() < 9e18 {
        let whole = value as i64;
        return Err(NoTime::Value(complaint(whole, millis(whole, tick), tick, kafka)));
    }
    Err(NoTime::Value(format!("{value} can't be a time")))
}

fn from_text(text: &str, tick: Tick, kafka: i64) -> Result<EventTime, NoTime> {
    let text = text.trim();
    if !text.is_empty() && text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit()) {
        // headers, keys and careless producers write numbers as text
        if let Ok(value) = text.parse() {
            return plausible(value, tick, kafka);
        }
    }
    let has_offset = text.bytes().skip(10).any(|b| matches!(b, b'Z' | b'z' | b'+' | b'-'));
    let instant = if has_offset {
        text.parse::<jiff::Timestamp>().ok()
    } else {
        text.parse::<jiff::civil::DateTime>().ok().and_then(|t| t.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|z| z.timestamp())
    };
    match instant.map(|t| t.as_nanosecond().div_euclid(1_000_000) as i64) {
        Some(ms) if (EARLIEST..LATEST).contains(&ms) => Ok(EventTime(ms)),
        Some(_) => Err(NoTime::Value("the year can't be right".to_string())),
        None => Err(NoTime::Value("this is no time; write RFC 3339 (2026-01-31T08:00:00Z) or a number".to_string())),
    }
}

/// How far off a time is, and which unit would make it a time.
fn complaint(value: i64, ms: Option<i64>, tick: Tick, kafka: i64) -> String {
    const YEAR: f64 = 365.25 * 86_400_000.0;
    let ms = ms.map_or(f64::from(i32::MAX) * YEAR * value.signum() as f64, |ms| ms as f64);
    let (reference, name) = if kafka >= 0 { (kafka as f64, "the Kafka timestamp") } else { (0.0, "1970") };
    let years = ((ms - reference) / YEAR).round();
    let far = match years {
        0.0 => format!("within a year of {name}, but before 1990 or after 2200"),
        y if y > 0.0 => format!("{} years after {name}", thousands(y)),
        y => format!("{} years before {name}", thousands(-y)),
    };
    let units = [
        (Tick::Second, "Seconds", "seconds"),
        (Tick::Milli, "Milliseconds", "millis"),
        (Tick::Micro, "Microseconds", "micros"),
        (Tick::Nano, "Nanoseconds", "nanos"),
    ];
    let fits = |t: Tick| t != tick && millis(value, t).is_some_and(|ms| (EARLIEST..LATEST).contains(&ms));
    match units.iter().find(|u| fits(u.0)) {
        Some((_, name, word)) => format!("{far}. {name}? Set `unit: {word}`"),
        None => format!("{far}. In no unit is this a time between 1990 and 2200"),
    }
}

fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_760_000_000_000;

    fn text(s: &str) -> Result<EventTime, NoTime> {
        event_time(&Scalar::Text(s.into()), TimeUnit::Auto, -1)
    }

    #[test]
    fn numbers_are_read_in_their_unit() {
        for (value, unit) in [
            (T / 1000, TimeUnit::Seconds),
            (T, TimeUnit::Millis),
            (T * 1000, TimeUnit::Micros),
            (T * 1_000_000, TimeUnit::Nanos),
            (T, TimeUnit::Auto),
        ] {
            assert_eq!(event_time(&Scalar::Integer(value, None), unit, -1), Ok(EventTime(T)));
        }
        assert_eq!(event_time(&Scalar::Number(1_760_000_000.5, None), TimeUnit::Seconds, -1), Ok(EventTime(T + 500)));
        assert_eq!(event_time(&Scalar::Instant(20_000, Tick::Day), TimeUnit::Auto, -1), Ok(EventTime(20_000 * 86_400_000)));
        assert_eq!(event_time(&Scalar::Instant(T * 1000, Tick::Micro), TimeUnit::Auto, -1), Ok(EventTime(T)));
    }

    #[test]
    fn text_is_rfc_3339_with_or_without_an_offset() {
        for s in [
            "2025-10-09T08:53:20Z",
            "2025-10-09 08:53:20",
            "2025-10-09T08:53:20",
            "2025-10-09T10:53:20+02:00",
            "2025-10-09t08:53:20.000z",
            "1760000000000",
        ] {
            assert_eq!(text(s), Ok(EventTime(T)), "{s}");
        }
        for s in ["", "yesterday", "2025-13-01T00:00:00Z", "09.10.2025"] {
            assert!(matches!(text(s), Err(NoTime::Value(why)) if why.contains("RFC 3339")), "{s}");
        }
    }

    #[test]
    fn a_wrong_unit_is_named() {
        let Err(NoTime::Value(why)) = event_time(&Scalar::Integer(T * 1000, None), TimeUnit::Millis, T) else { panic!("accepted") };
        assert_eq!(why, "55,715 years after the Kafka timestamp. Microseconds? Set `unit: micros`");
        let Err(NoTime::Value(why)) = event_time(&Scalar::Integer(T / 1000, None), TimeUnit::Auto, -1) else { panic!("accepted") };
        assert!(why.ends_with("Seconds? Set `unit: seconds`"), "{why}");
        let Err(NoTime::Value(why)) = event_time(&Scalar::Integer(17, None), TimeUnit::Millis, T) else { panic!("accepted") };
        assert!(why.contains("In no unit"), "{why}");
        assert_eq!(event_time(&Scalar::Bool(true), TimeUnit::Millis, T), Err(NoTime::Type));
    }

    proptest::proptest! {
        #[test]
        fn no_number_makes_it_panic(value: i64, float: f64, kafka: i64) {
            for unit in [TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos, TimeUnit::Auto] {
                let _ = event_time(&Scalar::Integer(value, None), unit, kafka);
                let _ = event_time(&Scalar::Number(float, None), unit, kafka);
                let _ = event_time(&Scalar::Instant(value, Tick::Day), unit, kafka);
            }
        }
    }
}
