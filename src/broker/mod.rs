//! A small Kafka broker in memory, for the demo and the tests.
mod admin;
mod batch;
mod group;
mod offsets;
mod partition;
mod rebalance;
mod settings;
mod state;
mod transaction;

pub use admin::{NewTopic, Refusal};
pub use batch::{Batch, Content, Head, Producer, Stored};
pub use group::{Group, Member, Membership, Phase};
pub use offsets::Committed;
pub use partition::{Aborted, Isolation, PartitionLog, Retention};
pub use rebalance::{Join, JoinRefused, Joined, Synced};
pub use settings::{Setting, Settings};
pub use state::{Changes, Cluster, Ticket, Topic, TopicPartition};

/// What the cluster answers, or Kafka's error.
pub type Answer<T> = Result<T, kafka_protocol::ResponseError>;
