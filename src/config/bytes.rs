//! Amounts of memory as people type them: `512MiB`, `2GiB`, `800MB`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::borrow::Cow;

/// The `format` of amounts of memory in the schema.
pub const FORMAT: &str = "driftline-bytes";

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// An amount of memory in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Reads an amount of memory.
///
/// ```
/// # use driftline::config::bytes::parse;
/// assert_eq!(parse("512MiB"), Ok(512 << 20));
/// assert_eq!(parse("1.5GiB"), Ok(3 << 29));
/// ```
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let wrong = || format!("\"{text}\" is no amount of memory; write for example 512MiB, 2GiB or 800MB");
    let unit = UNITS.iter().find(|u| u.0 == text[end..].trim()).ok_or_else(wrong)?.1;
    let number: f64 = text[..end].parse().map_err(|_| wrong())?;
    let bytes = number * unit as f64;
    if bytes > 1e18 { Err(wrong()) } else { Ok(bytes as u64) }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}B", self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        parse(&String::deserialize(from)?).map(Bytes).map_err(D::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": FORMAT, "description": "An amount of memory: 512MiB, 2GiB, 800MB." })
    }
}

/// What a container (or, without one, driftline's default) allows: 80 % of the cgroup's limit, else 1 GiB.
pub fn memory_of_this_machine() -> u64 {
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .filter(|limit| *limit < 1 << 60); // cgroup v1 says "no limit" with a number near 2^63
    limit.map_or(1 << 30, |limit| limit / 5 * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_need_a_unit() {
        assert_eq!(parse("2GiB"), Ok(2 << 30));
        assert_eq!(parse("800 MB"), Ok(800_000_000));
        for text in ["", "12", "GiB", "1XB", "-1GiB", "1..2GiB", "9999999999TiB"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_machine_has_memory() {
        assert!(memory_of_this_machine() >= 1 << 20);
    }
}
