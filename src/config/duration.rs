//! Lengths of time as people type them: `250ms`, `90s`, `15m`, `1h`, `15d`, `10y`.
//!
//! Guarantees: `format` and `parse` are inverse; a year is 365 days, a day 24 hours. Never: accepts a number without a unit.

use crate::engine::types::{Span, UNITS};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::borrow::Cow;

/// The `format` of lengths of time in the schema.
pub const FORMAT: &str = "driftline-duration";

/// A length of time in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub Span);

/// Reads a length of time.
///
/// ```
/// # use driftline::{config::duration::parse, engine::types::Span};
/// assert_eq!(parse("15m"), Ok(Span::minutes(15)));
/// assert_eq!(parse("1h30m"), Ok(Span::minutes(90)));
/// assert!(parse("15").unwrap_err().contains("unit"));
/// ```
pub fn parse(text: &str) -> Result<Span, String> {
    const EXAMPLES: &str = "250ms, 90s, 15m, 1h, 15d or 10y";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(format!("a length of time is missing; write for example {EXAMPLES}"));
    }
    let (mut total, mut smallest) = (0i64, i64::MAX);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let word_end = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |n| digits + n);
        let (number, unit) = (&rest[..digits], &rest[digits..word_end]);
        let wrong = || format!("\"{text}\" is no length of time; write for example {EXAMPLES}");
        if number.is_empty() {
            return Err(wrong());
        }
        if unit.is_empty() {
            return Err(format!("\"{text}\" has no unit; write for example {EXAMPLES}"));
        }
        let millis = UNITS.iter().find(|u| u.0 == unit).map(|u| u.1).ok_or_else(wrong)?;
        if millis >= smallest {
            return Err(wrong()); // 5m5m, 5s1h: a slip, not a length
        }
        smallest = millis;
        let too_long = || format!("\"{text}\" is too long: at most 290,000,000y");
        let part = number.parse::<i64>().ok().and_then(|n| n.checked_mul(millis)).ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        rest = &rest[word_end..];
    }
    Ok(Span(total))
}

/// The shortest way to type a span.
pub fn format(span: Span) -> String {
    span.to_string()
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format(self.0))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(from)?).map(Duration).map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": FORMAT,
            "pattern": r"^([0-9]+(ms|s|m|h|d|y))+$|\$\{",
            "description": "A length of time: 250ms, 90s, 15m, 1h, 15d, 10y (a year is 365 days)."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written_the_same_way() {
        for (text, span) in [
            ("250ms", Span(250)),
            ("90s", Span::seconds(90)),
            ("15m", Span::minutes(15)),
            ("1h", Span::hours(1)),
            ("15d", Span::days(15)),
            ("10y", Span::days(3650)),
        ] {
            assert_eq!(parse(text), Ok(span));
            assert_eq!(format(span), text);
        }
        assert_eq!(format(Span::ZERO), "0s");
        assert_eq!(parse("0s"), Ok(Span::ZERO));
    }

    #[test]
    fn what_is_no_length_is_refused_with_examples() {
        for text in ["", "h", "1", "1 h", "1.5h", "-1h", "1w", "5m5m", "5s1h", "99999999999999999999y", "300000000000y"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
        assert!(parse("12").unwrap_err().contains("no unit"));
    }

    proptest::proptest! {
        #[test]
        fn format_and_parse_are_inverse(ms in 0i64..i64::MAX) {
            proptest::prop_assert_eq!(parse(&format(Span(ms))), Ok(Span(ms)));
        }

        #[test]
        fn no_text_makes_parse_panic(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
