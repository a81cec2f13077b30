//! What texts hold: JSON, comma-separated values, Base64. A text that the plan looks into is opened here and walked like the record itself.
//!
//! Guarantees: a text of the record's own bytes is walked in place, without allocating; one that had to be made (escapes, Base64) is walked
//! apart, and what was found in it is owned. A blank text holds nothing. What can't be read is the record's fault, said with the reason.
//! Never: opens a text that nobody looks into. Comes from: `found::Sink::put`. Goes to: `json`, `found::Sink`.

use super::event::{Reason, Value};
use super::found::{Found, Sink};
use super::json;
use super::mapping::Slot;
use super::plan::{NodeIx, Role, Stop};
use super::scalar::Scalar;
use crate::config::place::Payload;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const USUAL: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Opens what was found at `node`, if it is a text, in every way that is wanted. What can't be read is remembered: perhaps the record does
/// not count anyway. Apart, so that `put` stays small.
#[inline(never)]
pub(super) fn open<'a>(sink: &mut Sink<'_, 'a>, node: NodeIx, found: &Scalar<'a>) -> Result<(), Stop> {
    let Scalar::Text(text) = found else { return Ok(()) };
    for k in 0..sink.plan.node(node).payloads.len() {
        let (payload, to) = sink.plan.node(node).payloads[k];
        let opened = match (payload, text) {
            (Payload::Base64, text) => {
                decoded(text).and_then(|inner| sink.put(Role { node: Some(to), feature: None }, Scalar::Text(Cow::Owned(inner))))
            }
            (_, Cow::Borrowed(text)) => walk(sink, payload, to, text),
            (_, Cow::Owned(text)) => apart(sink, payload, to, text),
        };
        if let Err(stop) = opened {
            sink.found.unread.get_or_insert(stop);
        }
    }
    Ok(())
}

fn decoded(text: &str) -> Result<String, Stop> {
    let fault = |what: String| Stop { reason: Reason::Undecodable, detail: format!("base64(...): the text {what}") };
    let text = text.trim();
    let engine = if text.contains(['-', '_']) { FOR_URLS } else { USUAL };
    let bytes = engine.decode(text).map_err(|e| fault(format!("is no Base64: {e}")))?;
    String::from_utf8(bytes).map_err(|_| fault("holds bytes that are not UTF-8; only text can be read".to_string()))
}

fn walk<'a>(sink: &mut Sink<'_, 'a>, payload: Payload, to: NodeIx, text: &'a str) -> Result<(), Stop> {
    match payload {
        Payload::Csv => columns(sink, to, text),
        _ => json::read_within(text, Role { node: Some(to), feature: None }, sink),
    }
}

/// Walks a text that lives shorter than the record, and takes over what was found.
fn apart(sink: &mut Sink<'_, '_>, payload: Payload, to: NodeIx, text: &str) -> Result<(), Stop> {
    let mut found = Found::default();
    found.slots.resize_with(sink.plan.slot_count(), Scalar::default);
    walk(&mut Sink { plan: sink.plan, found: &mut found, marks: sink.marks }, payload, to, text)?;
    let Found { features, no_features, rows, unread, .. } = found;
    sink.found.unread = sink.found.unread.take().or(unread);
    let node = sink.plan.node(to);
    sink.found.rows.adopt(sink.plan.rows.as_ref(), rows, &node.below, node.features_below);
    let mut slots = found.slots;
    for slot in &node.below {
        let scalar = std::mem::take(&mut slots[slot.ix()]);
        sink.found.slots[slot.ix()] = match scalar {
            // an id of more than 18 digits is its digits
            Scalar::Number(_, Some(digits)) if *slot == Slot::REQUEST_ID => Scalar::Text(Cow::Owned(digits.to_string())),
            other => other.into_owned(),
        };
    }
    if node.features_below {
        sink.found.no_features = no_features;
        sink.found.features.extend(features.into_iter().map(|(ix, value)| (ix, value_owned(value))));
    }
    Ok(())
}

fn value_owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Null => Value::Null,
        Value::Number(x) => Value::Number(x),
        Value::Bool(b) => Value::Bool(b),
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
    }
}

/// The columns of the first line; for rows, those of each line.
fn columns<'a>(sink: &mut Sink<'_, 'a>, node: NodeIx, text: &'a str) -> Result<(), Stop> {
    let mut csv = Csv { rest: text.trim() };
    if csv.rest.is_empty() {
        return Ok(());
    }
    sink.put_list(Role { node: Some(node), feature: None })?;
    let first = csv.rest;
    line(sink, node, &mut csv)?;
    if !sink.plan.picks_rows(node) {
        return Ok(());
    }
    let (mut csv, mut lines) = (Csv { rest: first }, 0);
    while !csv.rest.is_empty() {
        let start = csv.rest;
        for k in 0..sink.choices(node) {
            if let Some(row) = sink.choose_line(node, lines, k)? {
                csv.rest = start;
                line(sink, row, &mut csv)?;
                sink.chosen(node, lines, k);
            }
        }
        if csv.rest.len() == start.len() {
            while csv.column()?.1 {} // nobody wants this line
        }
        csv.rest = csv.rest.trim_start();
        lines += 1;
    }
    sink.end_list(node, lines)
}

/// The columns of one line, which are the list at `node`.
fn line<'a>(sink: &mut Sink<'_, 'a>, node: NodeIx, csv: &mut Csv<'a>) -> Result<(), Stop> {
    let (mut count, choices) = (0, sink.choices(node));
    loop {
        let (column, goes_on) = csv.column()?;
        for k in 0..choices {
            if let Some(role) = sink.choose_column(node, count, k)? {
                sink.put(role, scalar(column.clone()))?;
            }
        }
        count += 1;
        if !goes_on {
            return sink.plan.list_ended(node, count);
        }
    }
}

/// A column's text as what it means: a number if it is written like one, nothing if it is empty.
fn scalar(column: Cow<'_, str>) -> Scalar<'_> {
    let number = |text: &str| {
        let digit = text.trim_start_matches(['+', '-']).trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
        let code = text.trim_start_matches(['+', '-']).starts_with('0') && !text.contains(['.', 'e', 'E']);
        let number = if digit && !code || text.eq_ignore_ascii_case("nan") { text.parse::<f64>().ok() } else { None };
        number.filter(|x| !x.is_infinite()).map(|x| Scalar::Number(x, None))
    };
    match column {
        Cow::Borrowed("") => Scalar::Null,
        Cow::Borrowed(text) => json::number(text).or_else(|| number(text)).unwrap_or(Scalar::Text(Cow::Borrowed(text))),
        Cow::Owned(text) => Scalar::Text(Cow::Owned(text)),
    }
}

/// Comma-separated values after RFC 4180; blanks around a column do not belong to it.
struct Csv<'a> {
    rest: &'a str,
}

impl<'a> Csv<'a> {
    /// The next column, and whether another follows in this line.
    fn column(&mut self) -> Result<(Cow<'a, str>, bool), Stop> {
        let start = self.rest.trim_start_matches([' ', '\t']);
        let (column, rest) = match start.strip_prefix('"') {
            Some(quoted) => {
                let Some((column, rest)) = unquoted(quoted) else {
                    return Err(Stop { reason: Reason::Undecodable, detail: "csv(...): a quoted column has no end".to_string() });
                };
                (column, rest.trim_start_matches([' ', '\t']))
            }
            None => {
                let end = start.find([',', '\n', '\r']).unwrap_or(start.len());
                (Cow::Borrowed(start[..end].trim_end()), &start[end..])
            }
        };
        match rest.strip_prefix(',') {
            Some(rest) => {
                self.rest = rest;
                Ok((column, true))
            }
            None if rest.is_empty() || rest.starts_with(['\r', '\n']) => {
                self.rest = rest;
                Ok((column, false))
            }
            None => Err(Stop { reason: Reason::Undecodable, detail: "csv(...): something follows after a quoted column".to_string() }),
        }
    }
}

/// A column after its first quote, and what follows after its last one.
fn unquoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (mut from, mut column) = (0, String::new());
    loop {
        let end = from + text[from..].find('"')?;
        if !text[end + 1..].starts_with('"') {
            let last = &text[from..end];
            let column = if column.is_empty() { Cow::Borrowed(last) } else { Cow::Owned(column + last) };
            return Some((column, &text[end + 1..]));
        }
        column.push_str(&text[from..=end]);
        from = end + 2;
    }
}
