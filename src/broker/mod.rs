//! A small Kafka broker in memory, for demos and tests.
//!
//! Two layers: `Cluster`, a pure state machine (topics, groups, transactions; no clock, no sockets), and a TCP front around
//! it that speaks Kafka's protocol to any client. `log::memory` drives the same `Cluster` without sockets.
//!
//! Guarantees: what a client sees is what Apache Kafka shows in everything that driftline relies on (`tests/broker_checks`
//! runs against both): offsets, isolation levels, fencing, generations, staged positions, timeouts, retention.
//! Never: writes to a disk (everything is lost with the process), replicates, authenticates, listens beyond loopback,
//! compacts topics, expires committed positions, speaks KIP-848, makes topics on demand, limits how much its clients store.
//! It is no Apache Kafka: a test on it proves nothing about one.

mod admin;
mod batch;
mod front;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod markers;
mod offsets;
mod partition;
mod rebalance;
pub mod records;
mod settings;
mod state;
mod transaction;
mod wire;

pub use admin::{NewTopic, Refusal};
pub use batch::{Batch, Content, Head, Producer, Stored};
pub use group::{Group, Member, Membership, Phase};
pub use offsets::Committed;
pub use partition::{Aborted, Isolation, PartitionLog, Retention};
pub use rebalance::{Join, JoinRefused, Joined, Synced};
pub use settings::{Setting, Settings};
pub use state::{Changes, Cluster, Ticket, Topic, TopicPartition};

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What the cluster answers, or Kafka's error.
pub type Answer<T> = Result<T, kafka_protocol::ResponseError>;

/// How to run the embedded broker.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1; `None` takes a free one.
    pub port: Option<u16>,
    /// How long an empty group waits for further members before its first rebalance, so that members which start together
    /// share one.
    pub first_rebalance_delay: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { port: None, first_rebalance_delay: Duration::from_millis(50) }
    }
}

/// When the broker goes down in `Embedded::go_down_at_next_commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downfall {
    /// The transaction stays open.
    BeforeCommit,
    /// The transaction is committed, but the producer never hears of it.
    AfterCommit,
}

/// A running broker, for demos and tests only: all data are in memory and end with it.
///
/// ```
/// # use driftline::broker::{Embedded, Options};
/// let broker = Embedded::start(Options::default())?;
/// assert!(broker.address().starts_with("127.0.0.1:"));
/// broker.stop();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Embedded {
    broker: Arc<front::Broker>,
    port: u16,
    runtime: Option<Runtime>,
}

impl Embedded {
    /// Starts a broker on two threads of its own.
    pub fn start(options: Options) -> std::io::Result<Embedded> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("embedded-broker")
            .enable_io()
            .enable_time()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port.unwrap_or(0)))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let mut cluster = Cluster::new();
        cluster.set_first_rebalance_delay_ms(options.first_rebalance_delay.as_millis() as i64);
        let broker = Arc::new(front::Broker::new(cluster, port));
        let inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(inside);
        runtime.spawn(broker.clone().serve(listener));
        Ok(Embedded { broker, port, runtime: Some(runtime) })
    }

    /// Where clients find it: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// With `true` drops all connections and takes no new ones, as a broker that is down; with `false` comes back with all
    /// data. The cluster's clock stands still meanwhile; afterwards sessions begin anew, overdue transactions are aborted.
    pub fn pause(&self, paused: bool) {
        self.broker.pause(paused);
    }

    /// Pauses the broker by itself when the next commit of a transaction arrives: the producer can't know what became of it.
    pub fn go_down_at_next_commit(&self, when: Downfall) {
        self.broker.go_down_at_next_commit(when);
    }

    /// Looks into the cluster, or changes it, behind the clients' backs.
    pub fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        self.broker.with(act)
    }

    /// Ends it. Dropping does the same.
    pub fn stop(self) {}
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
