//! The TCP front: sockets and Kafka's wire format around the state machine.
//!
//! Guarantees: listens on loopback only; a request that can't be read closes its connection with a warning and harms no
//! other; requests of a connection are answered in order.
//! Never: holds the cluster's lock while it waits. Comes from: `Embedded`. Goes to: `Cluster`.

mod admin;
mod connection;
mod fetch;
mod groups;
mod metadata;
mod offsets;
mod produce;
mod shape;
mod transactions;

use super::Downfall;
use super::state::Cluster;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

/// How often the cluster does what has become due.
const TICK: Duration = Duration::from_millis(20);
/// This broker's number.
const NODE: i32 = 1;

/// Requests that are served, with their lowest and highest version; all of them within what librdkafka 2 asks for.
const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 8),
    (ApiKey::Fetch, 4, 11),
    (ApiKey::ListOffsets, 1, 5),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::OffsetCommit, 2, 7),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 3),
    (ApiKey::JoinGroup, 0, 6),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 4),
    (ApiKey::SyncGroup, 0, 4),
    (ApiKey::DescribeGroups, 0, 4),
    (ApiKey::ListGroups, 0, 3),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::CreateTopics, 2, 5),
    (ApiKey::DeleteTopics, 1, 4),
    (ApiKey::DeleteRecords, 0, 1),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::DescribeConfigs, 1, 3),
    (ApiKey::CreatePartitions, 0, 2),
];

/// What all connections share.
pub(super) struct Broker {
    cluster: Mutex<Cluster>,
    port: u16,
    started: (Instant, i64),
    records: Notify,
    groups: Notify,
    paused: watch::Sender<bool>,
    downfall: Mutex<Option<Downfall>>,
}

impl Broker {
    pub(super) fn new(mut cluster: Cluster, port: u16) -> Broker {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        cluster.advance(wall_ms);
        Broker {
            cluster: Mutex::new(cluster),
            port,
            started: (Instant::now(), wall_ms),
            records: Notify::new(),
            groups: Notify::new(),
            paused: watch::Sender::new(false),
            downfall: Mutex::new(None),
        }
    }

    /// Accepts connections until the runtime ends.
    pub(super) async fn serve(self: Arc<Broker>, listener: TcpListener) {
        let ticking = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                if !*ticking.paused.borrow() {
                    ticking.with(|cluster| cluster.advance(ticking.now_ms()));
                }
            }
        });
        loop {
            match listener.accept().await {
                // dropped at once, as good as refused: the port stays ours meanwhile
                Ok(_) if *self.paused.borrow() => {}
                Ok((stream, _)) => drop(tokio::spawn(connection::serve(self.clone(), stream))),
                Err(error) => {
                    tracing::warn!(%error, "the embedded broker could not accept a connection");
                    tokio::time::sleep(TICK).await;
                }
            }
        }
    }

    /// Closes all connections and takes no new ones, or ends that state.
    pub(super) fn pause(&self, paused: bool) {
        if *self.paused.borrow() && !paused {
            let now_ms = self.now_ms();
            self.with(|cluster| {
                cluster.restarted(now_ms);
                cluster.advance(now_ms);
            });
        }
        self.paused.send_replace(paused);
    }

    pub(super) fn go_down_at_next_commit(&self, when: Downfall) {
        *lock(&self.downfall) = Some(when);
    }

    fn take_downfall(&self) -> Option<Downfall> {
        lock(&self.downfall).take()
    }

    /// One look at the cluster, or one change of it; wakes whoever waits for what changed.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = lock(&self.cluster);
        let result = act(&mut cluster);
        let changes = cluster.take_changes();
        drop(cluster);
        if changes.records {
            self.records.notify_waiters();
        }
        if changes.groups {
            self.groups.notify_waiters();
        }
        result
    }

    /// Wall time that never goes back.
    fn now_ms(&self) -> i64 {
        self.started.1 + self.started.0.elapsed().as_millis() as i64
    }
}

#[cfg(fuzzing)]
pub(super) async fn ask(broker: &Broker, frame: bytes::Bytes) {
    let _ = connection::answer(broker, frame).await;
}

/// Every change leaves what it guards consistent, so a panic elsewhere is no reason to stop.
fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

/// 0 for no error.
fn code<T>(answer: &Result<T, ResponseError>) -> i16 {
    answer.as_ref().err().map_or(0, ResponseError::code)
}

fn milliseconds(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}
