//! Committed positions of consumer groups.
//!
//! Guarantees: a position comes only from a member of the present generation (or from outside of an empty group); positions
//! in a transaction stay unseen until it commits, and `fetch_offset` says so instead of giving the older one.
//! Never: expires a position by itself.

use super::Answer;
use super::group::Membership;
use super::state::{Cluster, TopicPartition};
use kafka_protocol::ResponseError;

/// Kafka's `offset.metadata.max.bytes`.
const LONGEST_METADATA: usize = 4_096;

/// A committed position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the record before it; -1 if unknown.
    pub leader_epoch: i32,
    /// The committer's own text.
    pub metadata: String,
}

impl Cluster {
    /// Checks that `member` may commit for `group`, in a transaction (KIP-447) or plainly.
    pub fn check_committer(&mut self, group: &str, member: &Membership, transactional: bool) -> Answer<()> {
        let now_ms = self.now_ms;
        match self.groups.get_mut(group) {
            Some(group) => group.check_committer(member, transactional, now_ms),
            None if member.generation < 0 => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
        }
    }

    /// Checks what a commit says about one partition.
    pub fn check_position(&self, place: &TopicPartition, position: &Committed) -> Answer<()> {
        self.partition(&place.0, place.1)?;
        if position.metadata.len() > LONGEST_METADATA { Err(ResponseError::OffsetMetadataTooLarge) } else { Ok(()) }
    }

    /// Commits a position outside of a transaction. The member must have been checked before.
    pub fn commit_offset(&mut self, group: &str, place: TopicPartition, position: Committed) -> Answer<()> {
        self.check_position(&place, &position)?;
        self.groups.entry(group.to_string()).or_default().store(place, position);
        Ok(())
    }

    /// The position of `group` in `place`. With `stable`, an undecided transaction that holds it is an error to retry on.
    pub fn fetch_offset(&self, group: &str, place: &TopicPartition, stable: bool) -> Answer<Option<&Committed>> {
        if stable && self.is_undecided(group, place) {
            return Err(ResponseError::UnstableOffsetCommit);
        }
        Ok(self.groups.get(group).and_then(|group| group.position(place)))
    }

    /// Forgets all positions of a group, as Kafka does with a group that had no members for a week.
    pub fn expire_positions(&mut self, group: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.forget_positions();
        }
    }

    /// Where `group` has committed positions.
    pub fn positions(&self, group: &str) -> Vec<TopicPartition> {
        self.groups.get(group).map(|group| group.places().cloned().collect()).unwrap_or_default()
    }
}
