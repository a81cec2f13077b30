//! Markers on their way: the end of a transaction reaches each of its partitions at its own time.
//!
//! Guarantees: a transaction is decided once, by its coordinator; a partition shows it as undecided until its marker is there; a
//! producer begins nothing new, and nobody takes its name, before all its markers are written.
//! Without delays markers are written at once. Comes from: `transaction`. Goes to: `partition`.

use super::batch::Producer;
use super::state::{Cluster, TopicPartition};
use std::collections::VecDeque;

/// A marker that has not reached its partition.
#[derive(Debug)]
struct Marker {
    due_ms: i64,
    id: String,
    place: TopicPartition,
    producer: Producer,
    commit: bool,
}

/// All of them, and how long the next ones will take.
#[derive(Debug, Default)]
pub(super) struct Markers {
    coming: Vec<Marker>,
    delays_ms: VecDeque<i64>,
}

impl Cluster {
    /// How long the next markers take, one after the other; those beyond the list take no time.
    pub fn delay_markers(&mut self, delays_ms: impl IntoIterator<Item = i64>) {
        self.markers.delays_ms.extend(delays_ms);
    }

    /// Writes all markers that are still on their way.
    pub fn write_markers(&mut self) {
        self.write_markers_if(|_| true);
    }

    pub(super) fn send_marker(&mut self, id: &str, place: TopicPartition, producer: Producer, commit: bool) {
        let delay_ms = self.markers.delays_ms.pop_front().unwrap_or(0);
        let marker = Marker { due_ms: self.now_ms + delay_ms, id: id.to_string(), place, producer, commit };
        if delay_ms > 0 { self.markers.coming.push(marker) } else { self.write_marker(marker) }
    }

    pub(super) fn write_due_markers(&mut self) {
        let now_ms = self.now_ms;
        self.write_markers_if(|marker| marker.due_ms <= now_ms);
    }

    /// Writes those of one transactional id: its next transaction waits for them.
    pub(super) fn finish_markers(&mut self, id: &str) {
        self.write_markers_if(|marker| marker.id == id);
    }

    fn write_markers_if(&mut self, wanted: impl Fn(&Marker) -> bool) {
        if !self.markers.coming.iter().any(&wanted) {
            return;
        }
        let (now, later) = std::mem::take(&mut self.markers.coming).into_iter().partition(wanted);
        self.markers.coming = later;
        let now: Vec<Marker> = now;
        now.into_iter().for_each(|marker| self.write_marker(marker));
    }

    fn write_marker(&mut self, marker: Marker) {
        let now_ms = self.now_ms;
        // a topic that was deleted meanwhile needs no marker
        if let Ok(log) = self.partition_mut(&marker.place.0, marker.place.1) {
            log.end(marker.producer, marker.commit, now_ms);
            self.changes.records = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Batch, Content, Head, NewTopic};
    use bytes::Bytes;
    use std::collections::BTreeMap;

    fn stable(cluster: &Cluster) -> [i64; 2] {
        [0, 1].map(|partition| cluster.partition("t", partition).expect("there").ends().last_stable.0)
    }

    /// A transaction over both partitions of `t`, committed while markers take 0 and 500 ms.
    fn committed() -> (Cluster, Producer) {
        let mut cluster = Cluster::new();
        let topic = NewTopic { name: "t".into(), partitions: 2, replication: 1, settings: BTreeMap::new() };
        cluster.create_topic(topic, false).expect("made");
        let producer = cluster.init_producer(Some("tx"), 10_000, None).expect("a producer");
        for partition in 0..2 {
            cluster.add_partition("tx", producer, ("t".into(), partition)).expect("added");
            let head = Head { count: 1, max_timestamp_ms: 0, producer, sequence: 0, transactional: true };
            let batch = Batch { head, content: Content::Records(Bytes::from_static(b"opaque")) };
            cluster.produce("t", partition, Some("tx"), batch).expect("written");
        }
        cluster.delay_markers([0, 500]);
        cluster.end_transaction("tx", producer, true).expect("committed");
        (cluster, producer)
    }

    #[test]
    fn a_commit_shows_in_each_partition_when_its_marker_is_there() {
        let (mut cluster, _) = committed();
        assert_eq!(stable(&cluster), [2, 0]);
        cluster.advance(499);
        assert_eq!(stable(&cluster), [2, 0]);
        cluster.advance(500);
        assert_eq!(stable(&cluster), [2, 2]);
    }

    #[test]
    fn the_next_transaction_and_the_next_producer_wait_for_all_markers() {
        let (mut cluster, producer) = committed();
        cluster.add_partition("tx", producer, ("t".into(), 0)).expect("added");
        assert_eq!(stable(&cluster), [2, 2]);
        let (mut cluster, _) = committed();
        cluster.init_producer(Some("tx"), 10_000, None).expect("a producer");
        assert_eq!(stable(&cluster), [2, 2]);
    }
}
