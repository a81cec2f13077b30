//! A topic's settings: the names and defaults of Apache Kafka, and the few that this broker obeys.
//!
//! Guarantees: a name that Kafka doesn't know, or a value that it would refuse, is refused; what nobody set has Kafka's default.
//! Obeyed: `cleanup.policy` (as far as deletion goes), `retention.ms`, `retention.bytes`, `message.timestamp.type`,
//! `message.timestamp.after.max.ms`, `max.message.bytes`; all others are kept and shown only.
//! Never: compacts, whatever `cleanup.policy` says.

use super::partition::Retention;
use std::collections::BTreeMap;

/// Kafka 4.3's settings of a topic with their defaults.
const DEFAULTS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("index.interval.bytes", "4096"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

/// A topic's settings.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    chosen: BTreeMap<String, String>,
}

/// One setting as `DescribeConfigs` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value in force.
    pub value: &'a str,
    /// True if nobody chose it.
    pub is_default: bool,
}

impl Settings {
    /// Checks what somebody chose.
    pub fn new(chosen: BTreeMap<String, String>) -> Result<Settings, String> {
        chosen.iter().try_for_each(|(name, value)| check(name, value))?;
        Ok(Settings { chosen })
    }

    /// The value in force; empty for a name that Kafka doesn't know.
    pub fn get(&self, name: &str) -> &str {
        let default = || DEFAULTS.iter().find(|known| known.0 == name).map_or("", |known| known.1);
        self.chosen.get(name).map_or_else(default, String::as_str)
    }

    /// All settings, by name.
    pub fn all(&self) -> impl Iterator<Item = Setting<'_>> {
        DEFAULTS.iter().map(|(name, _)| Setting { name, value: self.get(name), is_default: !self.chosen.contains_key(*name) })
    }

    /// True if records may be deleted by age, size or request.
    pub fn deletes(&self) -> bool {
        self.get("cleanup.policy").split(',').any(|policy| policy.trim() == "delete")
    }

    /// True if the broker's clock replaces the records' timestamps.
    pub fn append_time(&self) -> bool {
        self.get("message.timestamp.type") == "LogAppendTime"
    }

    /// The largest batch.
    pub fn max_batch_bytes(&self) -> usize {
        self.number("max.message.bytes").try_into().unwrap_or(0)
    }

    /// How far a record's timestamp may lie ahead of the broker's clock.
    pub fn max_ahead_ms(&self) -> i64 {
        self.number("message.timestamp.after.max.ms")
    }

    /// How long records are kept.
    pub fn retention(&self) -> Retention {
        if !self.deletes() {
            return Retention { age_ms: None, bytes: None };
        }
        let age_ms = Some(self.number("retention.ms")).filter(|age| *age >= 0);
        Retention { age_ms, bytes: self.number("retention.bytes").try_into().ok() }
    }

    fn number(&self, name: &str) -> i64 {
        self.get(name).parse().unwrap_or(-1)
    }
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let Some((_, default)) = DEFAULTS.iter().find(|known| known.0 == name) else {
        return Err(format!("Unknown topic config name: {name}"));
    };
    let fits = match name {
        "cleanup.policy" => value.split(',').all(|policy| matches!(policy.trim(), "delete" | "compact")),
        "message.timestamp.type" => matches!(value, "CreateTime" | "LogAppendTime"),
        "retention.ms" | "retention.bytes" => value.parse::<i64>().is_ok_and(|number| number >= -1),
        _ if default.parse::<i64>().is_ok() => value.parse::<i64>().is_ok(),
        _ if default.parse::<f64>().is_ok() => value.parse::<f64>().is_ok(),
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("Invalid value {value} for configuration {name}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(chosen: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::new(chosen.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn what_nobody_chose_has_kafkas_default() {
        let none = settings(&[]).expect("no settings");
        assert_eq!((none.get("retention.ms"), none.get("cleanup.policy")), ("604800000", "delete"));
        assert_eq!(none.retention(), Retention { age_ms: Some(604_800_000), bytes: None });
    }

    #[test]
    fn a_retention_of_minus_one_is_for_ever_and_compacted_topics_delete_nothing() {
        let ever = settings(&[("retention.ms", "-1")]).expect("for ever");
        assert_eq!(ever.retention(), Retention { age_ms: None, bytes: None });
        let compacted = settings(&[("cleanup.policy", "compact"), ("retention.ms", "1")]).expect("compacted");
        assert_eq!(compacted.retention(), Retention { age_ms: None, bytes: None });
        assert!(settings(&[("cleanup.policy", "compact,delete")]).expect("both").deletes());
    }

    #[test]
    fn unknown_names_and_impossible_values_are_refused() {
        assert_eq!(settings(&[("retention", "1")]).unwrap_err(), "Unknown topic config name: retention");
        assert!(settings(&[("retention.ms", "a week")]).is_err());
        assert!(settings(&[("message.timestamp.type", "Sometimes")]).is_err());
    }
}
