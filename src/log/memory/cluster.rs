//! The cluster that memory logs share, and short ways for tests to fill it and look into it.

use super::{Fatal, fatal, reader};
use crate::broker::records::{NewRecord, encode};
use crate::broker::{Cluster, NewTopic, Producer};
use crate::engine::types::{Offset, Partition};
use crate::log::partitioner::partition_of;
use std::sync::{Arc, Mutex, PoisonError};

/// A cluster with several users in one process. Cloning gives another handle to the same cluster.
#[derive(Clone, Debug, Default)]
pub struct SharedCluster(Arc<Mutex<Cluster>>);

/// A record with everything that its reader saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Kafka's timestamp in ms.
    pub timestamp: i64,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl SharedCluster {
    /// An empty cluster at time 0.
    pub fn new() -> SharedCluster {
        SharedCluster::default()
    }

    /// One look at the cluster, or one change of it.
    pub fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the clock to `now_ms` and does what has become due.
    pub fn advance(&self, now_ms: i64) {
        self.with(|cluster| cluster.advance(now_ms));
    }

    /// Makes a topic.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<(), Fatal> {
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let topic = NewTopic { name: name.to_string(), partitions, replication: 1, settings };
        self.with(|cluster| cluster.create_topic(topic, false)).map(drop).map_err(|refusal| Fatal(refusal.text))
    }

    /// Writes one record outside of any transaction; without a partition Kafka's murmur2 of the key decides.
    pub fn write(
        &self,
        topic: &str,
        partition: Option<Partition>,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(String, Option<Vec<u8>>)],
    ) -> Result<Offset, Fatal> {
        let batch = encode(&[NewRecord { timestamp_ms: timestamp, key, value, headers }], Producer::NONE, -1, false);
        let place = match partition {
            Some(partition) => partition,
            None => self.partition_of(topic, key)?,
        };
        let written = self.with(|cluster| cluster.produce(topic, place.0, None, batch));
        written.map(|written| written.0).map_err(|error| fatal(topic, error))
    }

    /// All committed records of a topic, partition by partition.
    pub fn read_committed(&self, topic: &str) -> Result<Vec<MemoryRecord>, Fatal> {
        let mut records = Vec::new();
        for partition in 0..self.partitions(topic)? {
            let mut keep = |record: crate::log::Record<'_>| {
                let header = |i| record.headers.get(i).map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec)));
                records.push(MemoryRecord {
                    partition: record.partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: (0..record.headers.len()).filter_map(header).collect(),
                });
                true
            };
            reader::scan(self, topic, Partition(partition as i32), None, &mut keep)?;
        }
        Ok(records)
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str) -> Result<usize, Fatal> {
        self.with(|cluster| cluster.topic(topic).map(|found| found.partitions.len())).map_err(|error| fatal(topic, error))
    }

    /// Where a record goes; a record without a key goes to partition 0, so that runs are repeatable.
    pub(super) fn partition_of(&self, topic: &str, key: Option<&[u8]>) -> Result<Partition, Fatal> {
        let count = self.partitions(topic)? as u32;
        Ok(key.map_or(Partition(0), |key| partition_of(key, count)))
    }
}
