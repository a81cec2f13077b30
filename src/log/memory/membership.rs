//! A member's way through its group: join, sync, work, let go, join again.
//!
//! Guarantees: the caller is told of every change before the group sees the member agree to it; the assignment is Kafka's
//! `range`, which gives partition i of co-partitioned topics to one member.
//! Comes from: `Log::poll`. Goes to: `broker::Cluster`.

use super::{Fatal, MemberOptions, SharedCluster, fatal};
use crate::broker::{Cluster, Join, JoinRefused, Joined, Membership, Ticket};
use crate::engine::types::Partition;
use crate::log::Polled;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::collections::{BTreeMap, BTreeSet};

/// Where a member stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Joins at the next turn.
    #[default]
    Outside,
    /// Has asked to join.
    Joining(Ticket),
    /// Has asked for its assignment.
    Syncing(Ticket),
    /// At work.
    Working,
    /// Has told the caller to let go, and waits for `release`.
    Ending,
    /// Has left for good.
    Left,
}

/// A member's place in its group.
#[derive(Debug)]
pub(super) struct Seat {
    stage: Stage,
    id: String,
    generation: i32,
    owned: BTreeSet<(String, i32)>,
    /// For the leader: the partition counts that it assigned by.
    counted: BTreeMap<String, i32>,
}

impl Default for Seat {
    fn default() -> Seat {
        Seat { stage: Stage::Outside, id: String::new(), generation: -1, owned: BTreeSet::new(), counted: BTreeMap::new() }
    }
}

/// What every member tells the leader: the topics that it wants.
fn subscription(options: &MemberOptions) -> Bytes {
    Bytes::from(options.topics.join("\n"))
}

fn lines(bytes: &Bytes) -> impl Iterator<Item = &str> {
    std::str::from_utf8(bytes).unwrap_or_default().lines()
}

impl Seat {
    /// Does what can be done without waiting. Returns a change of assignment if there is one.
    pub(super) fn turn(&mut self, cluster: &SharedCluster, options: &MemberOptions) -> Result<Option<Polled>, Fatal> {
        loop {
            let before = std::mem::take(&mut self.stage);
            self.stage = match before {
                Stage::Outside => cluster.with(|cluster| self.join(cluster, options)),
                Stage::Joining(ticket) => match cluster.with(|cluster| cluster.joined(&options.group, ticket)) {
                    Some(answer) => cluster.with(|cluster| self.after_join(cluster, options, answer))?,
                    None => Stage::Joining(ticket),
                },
                Stage::Syncing(ticket) => match cluster.with(|cluster| cluster.synced(&options.group, ticket)) {
                    Some(Ok(synced)) => {
                        self.take_over(&synced.assignment);
                        self.stage = Stage::Working;
                        return Ok(Some(Polled::Assigned(self.partitions())));
                    }
                    Some(Err(error)) => self.start_over(error)?,
                    None => Stage::Syncing(ticket),
                },
                Stage::Working => return self.work(cluster, options),
                Stage::Ending => {
                    // still alive while the caller ends its epoch; what the group thinks of it shows at the commit
                    let _ = cluster.with(|cluster| cluster.heartbeat(&options.group, &self.membership(options)));
                    Stage::Ending
                }
                Stage::Left => Stage::Left,
            };
            if self.stage == before {
                return Ok(None);
            }
        }
    }

    /// Forgets what it has asked the group for, and joins once more.
    pub(super) fn ask_again(&mut self) {
        if matches!(self.stage, Stage::Joining(_) | Stage::Syncing(_)) {
            self.stage = Stage::Outside;
        }
    }

    /// What a commit says of this member.
    pub(super) fn membership(&self, options: &MemberOptions) -> Membership {
        Membership { id: self.id.clone(), instance: options.instance.clone(), generation: self.generation }
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn reads(&self) -> bool {
        self.stage == Stage::Working
    }

    pub(super) fn owns(&self, topic: &str, partition: Partition) -> bool {
        self.owned.contains(&(topic.to_string(), partition.0))
    }

    pub(super) fn release(&mut self) {
        self.owned.clear();
        if matches!(self.stage, Stage::Ending | Stage::Working) {
            self.stage = Stage::Outside;
        }
    }

    pub(super) fn leave(&mut self, cluster: &SharedCluster, options: &MemberOptions) {
        // a refusal means that the group has already forgotten the member
        let _ = cluster.with(|cluster| cluster.leave(&options.group, &self.id, options.instance.as_deref()));
        *self = Seat { stage: Stage::Left, ..Seat::default() };
    }

    fn partitions(&self) -> Vec<Partition> {
        let numbers: BTreeSet<i32> = self.owned.iter().map(|place| place.1).collect();
        numbers.into_iter().map(Partition).collect()
    }

    fn join(&self, cluster: &mut Cluster, options: &MemberOptions) -> Stage {
        let join = Join {
            id: self.id.clone(),
            instance: options.instance.clone(),
            client: "driftline".to_string(),
            protocol_type: "consumer".to_string(),
            protocols: vec![("range".to_string(), subscription(options))],
            session_ms: options.session.as_millis() as i64,
            rebalance_ms: options.patience.as_millis() as i64,
            learns_id_first: true,
        };
        Stage::Joining(cluster.join(&options.group, join))
    }

    fn after_join(&mut self, cluster: &mut Cluster, options: &MemberOptions, answer: Result<Joined, JoinRefused>) -> Result<Stage, Fatal> {
        match answer {
            Ok(joined) => {
                (self.id, self.generation) = (joined.id.clone(), joined.generation);
                let assignments = self.assign(cluster, &joined.members);
                Ok(Stage::Syncing(cluster.sync(&options.group, &self.membership(options), assignments)))
            }
            Err(JoinRefused { error: ResponseError::MemberIdRequired, id }) => {
                self.id = id;
                Ok(Stage::Outside)
            }
            Err(refused) => self.start_over(refused.error),
        }
    }

    /// What an error of the group means for the next step.
    fn start_over(&mut self, error: ResponseError) -> Result<Stage, Fatal> {
        match error {
            ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration => Ok(Stage::Outside),
            ResponseError::UnknownMemberId => {
                self.id.clear();
                Ok(Stage::Outside)
            }
            ResponseError::FencedInstanceId => Err(fatal("another process has this member's group.instance.id", error)),
            other => Err(fatal("the group refused the member", other)),
        }
    }

    fn work(&mut self, cluster: &SharedCluster, options: &MemberOptions) -> Result<Option<Polled>, Fatal> {
        self.stage = Stage::Working;
        let alive = cluster.with(|cluster| cluster.heartbeat(&options.group, &self.membership(options)));
        let change = match alive {
            Ok(()) if self.counted == cluster.with(|cluster| counts(cluster, self.counted.keys())) => return Ok(None),
            Ok(()) | Err(ResponseError::RebalanceInProgress) => Polled::Revoked,
            Err(error) => {
                self.start_over(error)?;
                Polled::Lost
            }
        };
        self.stage = Stage::Ending;
        Ok(Some(change))
    }

    /// The leader's work: Kafka's range assignor. Empty for everybody else.
    fn assign(&mut self, cluster: &Cluster, members: &[(String, Option<String>, Bytes)]) -> Vec<(String, Bytes)> {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by_key(|member| (member.1.as_ref().unwrap_or(&member.0), &member.0));
        let topics: BTreeSet<&str> = sorted.iter().flat_map(|member| lines(&member.2)).collect();
        self.counted = counts(cluster, topics.iter());
        let mut given: BTreeMap<&str, String> = sorted.iter().map(|member| (member.0.as_str(), String::new())).collect();
        for topic in topics {
            let takers: Vec<&str> =
                sorted.iter().filter(|member| lines(&member.2).any(|name| name == topic)).map(|member| member.0.as_str()).collect();
            let count = self.counted.get(topic).copied().unwrap_or(0);
            for partition in 0..count {
                let taker = takers[range_owner(partition, count, takers.len() as i32)];
                given.entry(taker).or_default().push_str(&format!("{topic} {partition}\n"));
            }
        }
        given.into_iter().map(|(id, places)| (id.to_string(), Bytes::from(places))).collect()
    }

    fn take_over(&mut self, assignment: &Bytes) {
        let place = |line: &str| line.split_once(' ').and_then(|(topic, number)| Some((topic.to_string(), number.parse().ok()?)));
        self.owned = lines(assignment).filter_map(place).collect();
    }
}

/// Which of `members` has `partition` of `count`: consecutive ranges, the first ones longer by one.
fn range_owner(partition: i32, count: i32, members: i32) -> usize {
    let (each, longer) = (count / members, count % members);
    let in_longer = longer * (each + 1);
    let owner = if partition < in_longer { partition / (each + 1) } else { longer + (partition - in_longer) / each };
    owner as usize
}

fn counts<'a>(cluster: &Cluster, topics: impl Iterator<Item = impl AsRef<str> + 'a>) -> BTreeMap<String, i32> {
    let count = |name: &str| cluster.topic(name).map_or(0, |topic| topic.partitions.len() as i32);
    topics.map(|name| (name.as_ref().to_string(), count(name.as_ref()))).collect()
}

#[cfg(test)]
mod tests {
    use super::range_owner;

    #[test]
    fn ranges_are_consecutive_and_the_first_ones_longer() {
        let owners = |count, members| -> Vec<usize> { (0..count).map(|partition| range_owner(partition, count, members)).collect() };
        assert_eq!(owners(4, 2), [0, 0, 1, 1]);
        assert_eq!(owners(7, 3), [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(owners(2, 3), [0, 1]);
    }
}
