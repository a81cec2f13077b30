//! Topics: made, enlarged, described, emptied, deleted.
//!
//! Guarantees: refuses what a Kafka cluster of one broker refuses: replication beyond 1, unknown settings, fewer partitions.

use super::partition::PartitionLog;
use super::settings::Settings;
use super::state::{Cluster, Topic};
use crate::engine::types::Offset;
use kafka_protocol::ResponseError;
use std::collections::BTreeMap;

/// Why an administrator's request was refused, and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error.
    pub error: ResponseError,
    /// Words for a person.
    pub text: String,
}

impl Refusal {
    fn new(error: ResponseError, text: impl Into<String>) -> Refusal {
        Refusal { error, text: text.into() }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Refusal {
        Refusal::new(error, error.to_string())
    }
}

/// A topic to make.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default of 1.
    pub partitions: i32,
    /// How many replicas; -1 for the default of 1.
    pub replication: i16,
    /// Settings other than the defaults.
    pub settings: BTreeMap<String, String>,
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if fits && (1..=249).contains(&name.len()) && name != "." && name != ".." {
        return Ok(());
    }
    Err(Refusal::new(ResponseError::InvalidTopicException, format!("{name:?} is no name for a topic")))
}

impl Cluster {
    /// Makes a topic, or with `only_check` says whether it could. Returns the number of its partitions.
    pub fn create_topic(&mut self, topic: NewTopic, only_check: bool) -> Result<i32, Refusal> {
        check_name(&topic.name)?;
        if self.topics.contains_key(&topic.name) {
            return Err(Refusal::new(ResponseError::TopicAlreadyExists, format!("Topic '{}' already exists.", topic.name)));
        }
        let count = if topic.partitions == -1 { 1 } else { topic.partitions };
        if !(1..=10_000).contains(&count) {
            return Err(Refusal::new(ResponseError::InvalidPartitions, "a topic has 1 to 10,000 partitions here"));
        }
        if !matches!(topic.replication, -1 | 1) {
            let text = format!("replication factor {} on a cluster of 1 broker", topic.replication);
            return Err(Refusal::new(ResponseError::InvalidReplicationFactor, text));
        }
        let settings = Settings::new(topic.settings).map_err(|text| Refusal::new(ResponseError::InvalidConfig, text))?;
        if !only_check {
            let partitions = (0..count).map(|_| PartitionLog::default()).collect();
            self.topics.insert(topic.name, Topic { settings, partitions });
        }
        Ok(count)
    }

    /// Deletes a topic with its records and with every group's positions in it.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), Refusal> {
        self.topics.remove(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        self.groups.values_mut().for_each(|group| group.forget_topic(name));
        self.changes.records = true;
        Ok(())
    }

    /// Gives a topic more partitions, `count` in all.
    pub fn create_partitions(&mut self, name: &str, count: i32, only_check: bool) -> Result<(), Refusal> {
        let topic = self.topics.get_mut(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let wanted = usize::try_from(count).unwrap_or(0);
        if wanted <= topic.partitions.len() || wanted > 10_000 {
            let text = format!("topic has {} partitions, {count} were asked for", topic.partitions.len());
            return Err(Refusal::new(ResponseError::InvalidPartitions, text));
        }
        if !only_check {
            topic.partitions.resize_with(wanted, PartitionLog::default);
        }
        Ok(())
    }

    /// Deletes everything below `before` (the high watermark if `None`). Returns the first offset that is left.
    pub fn delete_records(&mut self, topic: &str, partition: i32, before: Option<Offset>) -> Result<Offset, Refusal> {
        let deletes = self.topic(topic)?.settings.deletes();
        let log = self.partition_mut(topic, partition)?;
        if !deletes {
            return Err(Refusal::new(ResponseError::PolicyViolation, "records of a compacted topic can't be deleted by offset"));
        }
        log.trim(before.unwrap_or(log.ends().high))?;
        let low = log.ends().low;
        self.changes.records = true;
        Ok(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> NewTopic {
        NewTopic { name: name.to_string(), partitions: 2, replication: -1, settings: BTreeMap::new() }
    }

    #[test]
    fn a_cluster_of_one_broker_refuses_three_replicas() {
        let mut cluster = Cluster::new();
        let refused = cluster.create_topic(NewTopic { replication: 3, ..topic("t") }, false).unwrap_err();
        assert_eq!(refused.error, ResponseError::InvalidReplicationFactor);
    }

    #[test]
    fn a_topic_is_made_once_grows_only_and_goes() {
        let mut cluster = Cluster::new();
        assert_eq!(cluster.create_topic(topic("t"), true), Ok(2));
        assert_eq!(cluster.create_topic(topic("t"), false), Ok(2));
        assert_eq!(cluster.create_topic(topic("t"), false).unwrap_err().error, ResponseError::TopicAlreadyExists);
        assert_eq!(cluster.create_partitions("t", 2, false).unwrap_err().error, ResponseError::InvalidPartitions);
        assert_eq!(cluster.create_partitions("t", 3, false), Ok(()));
        assert_eq!(cluster.topic("t").expect("there").partitions.len(), 3);
        assert_eq!(cluster.delete_topic("t"), Ok(()));
        assert!(cluster.topic("t").is_err());
    }

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        let mut cluster = Cluster::new();
        for name in ["", ".", "a b", "ä"] {
            assert_eq!(cluster.create_topic(topic(name), false).unwrap_err().error, ResponseError::InvalidTopicException);
        }
    }
}
