//! One consumer group of the classic protocol: who its members are, in which generation, and its committed positions.
//!
//! Guarantees: at most one member holds a `group.instance.id`; a request of a member that was replaced, expired or belongs to
//! an older generation is refused with the error that Kafka gives.
//! Never: assigns partitions (the leader does, on its side), speaks KIP-848. Rebalancing itself is in `rebalance`.

use super::Answer;
use super::offsets::Committed;
use super::rebalance::{JoinRefused, Joined, Synced};
use super::state::{Ticket, TopicPartition};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::collections::BTreeMap;

/// Who a member says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The id that the group gave it; empty for none.
    pub id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<String>,
    /// The generation that it last joined; -1 for none.
    pub generation: i32,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Without members.
    #[default]
    Empty,
    /// Waiting for everybody to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// At work.
    Stable,
}

/// A member.
#[derive(Debug, Default)]
pub struct Member {
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// What the client calls itself.
    pub client: String,
    /// What it was assigned in this generation.
    pub assignment: Bytes,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) session_ms: i64,
    pub(super) rebalance_ms: i64,
    pub(super) seen_ms: i64,
    pub(super) joining: Option<Ticket>,
    pub(super) syncing: Option<Ticket>,
}

impl Member {
    /// A member that waits for the group can't send heartbeats.
    pub(super) fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|known| known.0 == protocol).map(|known| known.1.clone()).unwrap_or_default()
    }
}

/// An answer that waits to be fetched.
#[derive(Debug)]
pub(super) enum Reply {
    Join(Result<Joined, JoinRefused>),
    Sync(Answer<Synced>),
}

/// One group.
#[derive(Debug, Default)]
pub struct Group {
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) members: BTreeMap<String, Member>,
    /// Ids given to members that have not joined with them yet, and when they lapse.
    pub(super) announced: BTreeMap<String, i64>,
    pub(super) earliest_ms: i64,
    pub(super) deadline_ms: i64,
    pub(super) replies: BTreeMap<Ticket, (i64, Reply)>,
    positions: BTreeMap<TopicPartition, Committed>,
}

impl Group {
    /// Where the group stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The present generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What kind of group it is (`consumer`), and the assignor in force.
    pub fn protocol(&self) -> (&str, &str) {
        (&self.protocol_type, &self.protocol)
    }

    /// Members by id.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// What `member` offers to a rebalance under the assignor in force.
    pub fn metadata_of(&self, member: &Member) -> Bytes {
        member.metadata(&self.protocol)
    }

    /// A sign of life. An error tells the member what to do: rejoin, start over, or end.
    pub fn heartbeat(&mut self, member: &Membership, now_ms: i64) -> Answer<()> {
        self.check(member)?;
        self.seen(&member.id, now_ms);
        if self.phase == Phase::PreparingRebalance { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    }

    pub(super) fn check_committer(&mut self, member: &Membership, transactional: bool, now_ms: i64) -> Answer<()> {
        let anonymous = member.id.is_empty() && member.instance.is_none() && member.generation < 0;
        if anonymous {
            // in a transaction this is a producer from before KIP-447: nothing to check
            let allowed = transactional || self.phase == Phase::Empty;
            return if allowed { Ok(()) } else { Err(ResponseError::UnknownMemberId) };
        }
        self.check(member)?;
        self.seen(&member.id, now_ms);
        let busy = !transactional && self.phase == Phase::CompletingRebalance;
        if busy { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    }

    /// Checks id, instance and generation.
    pub(super) fn check(&self, member: &Membership) -> Answer<()> {
        if let Some(instance) = &member.instance {
            match self.holder(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(id) if id != member.id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(&member.id) {
            Err(ResponseError::UnknownMemberId)
        } else if self.generation != member.generation {
            Err(ResponseError::IllegalGeneration)
        } else {
            Ok(())
        }
    }

    /// The id of the member that holds `instance`.
    pub(super) fn holder(&self, instance: &str) -> Option<&str> {
        self.members().find(|known| known.1.instance.as_deref() == Some(instance)).map(|known| known.0)
    }

    pub(super) fn seen(&mut self, id: &str, now_ms: i64) {
        if let Some(member) = self.members.get_mut(id) {
            member.seen_ms = now_ms;
        }
    }

    pub(super) fn store(&mut self, place: TopicPartition, position: Committed) {
        self.positions.insert(place, position);
    }

    pub(super) fn position(&self, place: &TopicPartition) -> Option<&Committed> {
        self.positions.get(place)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &TopicPartition> {
        self.positions.keys()
    }

    pub(super) fn forget_positions(&mut self) {
        self.positions.clear();
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        self.positions.retain(|place, _| place.0 != topic);
    }
}
