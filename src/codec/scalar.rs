//! A single value on its way from bytes to an event: what was found, before anybody decides whether it is what was wanted.
//!
//! Guarantees: borrowed from the record wherever the bytes allow it; the text of a number is the same for every format.

use super::event::{Value, canonical_text};
use crate::config::settings::Wanted;
use std::borrow::Cow;

/// What was found at a path.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scalar<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer, with its digits where the format has them.
    Integer(i64, Option<&'a str>),
    /// A number; with its digits if it is an integer that is too large for `Integer`.
    Number(f64, Option<&'a str>),
    /// An instant: so many ticks since 1970.
    Instant(i64, Tick),
    /// Text.
    Text(Cow<'a, str>),
    /// Something else, in words.
    Other(&'static str),
}

/// Length of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// A day.
    Day,
    /// A second.
    Second,
    /// A millisecond.
    Milli,
    /// A microsecond.
    Micro,
    /// A nanosecond.
    Nano,
}

impl<'a> Scalar<'a> {
    /// The same without what it borrows: a number without its digits.
    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Scalar::Absent => Scalar::Absent,
            Scalar::Null => Scalar::Null,
            Scalar::Bool(b) => Scalar::Bool(b),
            Scalar::Integer(i, _) => Scalar::Integer(i, None),
            Scalar::Number(x, _) => Scalar::Number(x, None),
            Scalar::Instant(i, tick) => Scalar::Instant(i, tick),
            Scalar::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Scalar::Other(what) => Scalar::Other(what),
        }
    }

    /// As the value of a feature or class; `Err` in words if it can't be one.
    pub fn into_value(self) -> Result<Value<'a>, &'static str> {
        Ok(match self {
            Scalar::Absent | Scalar::Null => Value::Null,
            Scalar::Bool(b) => Value::Bool(b),
            Scalar::Integer(i, _) | Scalar::Instant(i, _) => Value::Number(i as f64),
            Scalar::Number(x, _) => Value::Number(x),
            Scalar::Text(text) => Value::Text(text),
            Scalar::Other(what) => return Err(what),
        })
    }

    /// As canonical text (`canonical_text`), borrowed if the digits are already that.
    pub fn into_text(self) -> Result<Option<Cow<'a, str>>, &'static str> {
        match self {
            Scalar::Integer(_, Some(digits)) if digits.len() <= 15 && digits != "-0" => Ok(Some(Cow::Borrowed(digits))),
            other => other.into_value().map(canonical_text),
        }
    }

    /// True if this, as canonical text, is `text`.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Scalar::Text(found) => **found == *text,
            Scalar::Absent | Scalar::Null | Scalar::Other(_) => false,
            other => other.clone().into_text().is_ok_and(|found| found.is_some_and(|found| *found == *text)),
        }
    }

    /// True if something is there, and it is not null.
    pub fn is_present(&self) -> bool {
        !matches!(self, Scalar::Absent | Scalar::Null)
    }

    /// As the id of a request: text, or the digits of an integer. `None` for anything else.
    pub fn into_id(self) -> Option<Cow<'a, str>> {
        match self {
            Scalar::Text(text) => Some(text),
            Scalar::Integer(_, Some(digits)) | Scalar::Number(_, Some(digits)) => Some(Cow::Borrowed(digits)),
            Scalar::Integer(i, None) => Some(Cow::Owned(i.to_string())),
            _ => None,
        }
    }

    /// What it is, without the value, for complaints that must not show it.
    pub fn kind(&self) -> &'static str {
        match self {
            Scalar::Absent => "nothing",
            Scalar::Null => "null",
            Scalar::Bool(_) => "a truth value",
            Scalar::Integer(..) | Scalar::Instant(..) | Scalar::Number(..) => "a number",
            Scalar::Text(_) => "a text",
            Scalar::Other(what) => what,
        }
    }

    /// In words, for complaints.
    pub fn describe(&self) -> String {
        match self {
            Scalar::Absent => "nothing".to_string(),
            Scalar::Null => "null".to_string(),
            Scalar::Bool(b) => b.to_string(),
            Scalar::Integer(i, _) | Scalar::Instant(i, _) => format!("the number {i}"),
            Scalar::Number(x, _) => format!("the number {x}"),
            Scalar::Text(text) => format!("the text {:?}", cropped(text)),
            Scalar::Other(what) => (*what).to_string(),
        }
    }
}

impl Wanted {
    /// True if what was found is what `when` wants.
    pub fn holds(&self, found: &Scalar<'_>) -> bool {
        match self {
            Wanted::OneOf(texts) => texts.iter().any(|text| found.is(text)),
            Wanted::Present(present) => found.is_present() == *present,
        }
    }
}

/// At most 40 characters: what is shown may be anything, and long.
fn cropped(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_the_canonical_text_of_their_number() {
        for digits in ["0", "1", "-1", "42", "-900719925474099", "123456789012345", "-0"] {
            let value: i64 = digits.parse().unwrap();
            let with = Scalar::Integer(value, Some(digits)).into_text();
            assert_eq!(with, Scalar::Integer(value, None).into_text());
            assert_eq!(with, Ok(canonical_text(Value::Number(value as f64))));
        }
    }

    #[test]
    fn ids_are_text_or_whole_numbers() {
        assert_eq!(Scalar::Integer(7, None).into_id().as_deref(), Some("7"));
        assert_eq!(Scalar::Number(1e20, Some("100000000000000000000")).into_id().as_deref(), Some("100000000000000000000"));
        assert_eq!(Scalar::Number(1.5, None).into_id(), None);
        assert_eq!(Scalar::Bool(true).into_id(), None);
    }

    #[test]
    fn what_is_shown_is_short() {
        assert_eq!(Scalar::Text("x".repeat(50).into()).describe(), format!("the text \"{}...\"", "x".repeat(40)));
        assert_eq!(Scalar::Other("an object").describe(), "an object");
    }
}
