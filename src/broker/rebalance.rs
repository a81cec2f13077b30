//! Joining, assigning and leaving: how a group gets from one generation to the next.
//!
//! Guarantees: a generation begins when everybody has joined or the rebalance timeout has passed; a static member that
//! comes back within its session keeps its assignment without disturbing the others, and fences whoever held its name.
//! Never: waits. Whoever must wait holds a ticket and asks again. Comes from: `Cluster`'s calls below. Goes to: `group`.

use super::Answer;
use super::group::{Group, Member, Membership, Phase, Reply};
use super::state::{Cluster, Ticket};
use bytes::Bytes;
use kafka_protocol::ResponseError;

/// Kafka's `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
const SESSION_MS: std::ops::RangeInclusive<i64> = 6_000..=1_800_000;
/// An answer that nobody fetched (its connection is gone) is forgotten after this long.
const REPLY_KEPT_MS: i64 = 60_000;

/// A wish to join.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// The id from an earlier join; empty for none.
    pub id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<String>,
    /// What the client calls itself.
    pub client: String,
    /// `consumer`.
    pub protocol_type: String,
    /// Assignors that it knows, the preferred one first, each with what it tells the leader.
    pub protocols: Vec<(String, Bytes)>,
    /// Without a sign of life for this long the member is out.
    pub session_ms: i64,
    /// How long it may take to join again.
    pub rebalance_ms: i64,
    /// True if a new dynamic member must first learn its id (KIP-394).
    pub learns_id_first: bool,
}

/// A member's place in a new generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// `consumer`.
    pub protocol_type: String,
    /// The assignor in force.
    pub protocol: String,
    /// Id of the leader.
    pub leader: String,
    /// The member's own id.
    pub id: String,
    /// For the leader: everybody's id, instance and metadata.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// A refused join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: ResponseError,
    /// The member's id; a new one if it must learn it first.
    pub id: String,
}

/// What the leader gave to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// `consumer`.
    pub protocol_type: String,
    /// The assignor in force.
    pub protocol: String,
    /// The assignment, in the assignor's own form.
    pub assignment: Bytes,
}

impl Cluster {
    /// Asks to join a group. The answer comes from `joined`.
    pub fn join(&mut self, group: &str, join: Join) -> Ticket {
        let ticket = Ticket(self.next_id());
        let name = join.instance.as_deref().unwrap_or(&join.client);
        let fresh = format!("{name}-{:08}", ticket.0);
        let (now_ms, delay_ms) = (self.now_ms, self.first_rebalance_delay_ms);
        let group = self.groups.entry(group.to_string()).or_default();
        group.join(join, fresh, ticket, now_ms, delay_ms);
        self.changes.groups = true;
        ticket
    }

    /// The answer to a join, once.
    pub fn joined(&mut self, group: &str, ticket: Ticket) -> Option<Result<Joined, JoinRefused>> {
        match self.groups.get_mut(group)?.replies.remove(&ticket)?.1 {
            Reply::Join(reply) => Some(reply),
            Reply::Sync(_) => None,
        }
    }

    /// Asks for the member's assignment, and gives everybody's if it is the leader. The answer comes from `synced`.
    pub fn sync(&mut self, group: &str, member: &Membership, assignments: Vec<(String, Bytes)>) -> Ticket {
        let ticket = Ticket(self.next_id());
        let now_ms = self.now_ms;
        self.groups.entry(group.to_string()).or_default().sync(member, assignments, ticket, now_ms);
        self.changes.groups = true;
        ticket
    }

    /// The answer to a sync, once.
    pub fn synced(&mut self, group: &str, ticket: Ticket) -> Option<Answer<Synced>> {
        match self.groups.get_mut(group)?.replies.remove(&ticket)?.1 {
            Reply::Sync(reply) => Some(reply),
            Reply::Join(_) => None,
        }
    }

    /// A member's sign of life.
    pub fn heartbeat(&mut self, group: &str, member: &Membership) -> Answer<()> {
        let now_ms = self.now_ms;
        self.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?.heartbeat(member, now_ms)
    }

    /// A member goes, or is sent away by its instance alone.
    pub fn leave(&mut self, group: &str, id: &str, instance: Option<&str>) -> Answer<()> {
        let now_ms = self.now_ms;
        let group = self.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        self.changes.groups = true;
        group.leave(id, instance, now_ms)
    }

    /// A group by name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Names of all groups.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }
}

impl Group {
    /// Does what has become due; true if somebody was answered.
    pub(super) fn advance(&mut self, now_ms: i64) -> bool {
        self.replies.retain(|_, reply| now_ms - reply.0 < REPLY_KEPT_MS);
        self.announced.retain(|_, until_ms| *until_ms > now_ms);
        let silent = |member: &Member| !member.waits() && now_ms - member.seen_ms > member.session_ms;
        let gone: Vec<String> = self.members.iter().filter(|entry| silent(entry.1)).map(|entry| entry.0.clone()).collect();
        gone.iter().for_each(|id| self.remove(id, now_ms));
        let before = self.generation;
        self.try_complete(now_ms);
        !gone.is_empty() || self.generation != before
    }

    pub(super) fn restarted(&mut self, now_ms: i64) {
        self.replies.clear();
        self.announced.clear();
        for member in self.members.values_mut() {
            (member.joining, member.syncing, member.seen_ms) = (None, None, now_ms);
        }
        self.deadline_ms = now_ms + self.longest_rebalance_ms();
    }

    fn join(&mut self, join: Join, fresh: String, ticket: Ticket, now_ms: i64, delay_ms: i64) {
        let refuse = |error, id: &str| Reply::Join(Err(JoinRefused { error, id: id.to_string() }));
        if let Err(error) = self.check_join(&join) {
            let id = join.id;
            return self.reply(ticket, now_ms, refuse(error, &id));
        }
        let held = join.instance.as_deref().and_then(|instance| self.holder(instance)).map(str::to_string);
        let static_member = join.instance.is_some();
        match (join.id.as_str(), held) {
            ("", Some(old)) => self.replace(&old, fresh, join, ticket, now_ms),
            ("", None) if static_member || !join.learns_id_first => self.add(fresh, join, ticket, now_ms, delay_ms),
            ("", None) => {
                self.announced.insert(fresh.clone(), now_ms + join.session_ms);
                self.reply(ticket, now_ms, refuse(ResponseError::MemberIdRequired, &fresh));
            }
            (id, Some(old)) if id != old => self.reply(ticket, now_ms, refuse(ResponseError::FencedInstanceId, id)),
            (id, None) if static_member => self.reply(ticket, now_ms, refuse(ResponseError::UnknownMemberId, id)),
            (id, _) if self.members.contains_key(id) => self.join_again(join, ticket, now_ms),
            (id, _) if self.announced.remove(id).is_some() => self.add(id.to_string(), join, ticket, now_ms, delay_ms),
            (id, _) => self.reply(ticket, now_ms, refuse(ResponseError::UnknownMemberId, id)),
        }
    }

    fn check_join(&self, join: &Join) -> Answer<()> {
        if !SESSION_MS.contains(&join.session_ms) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let known_by_all = |name: &str| self.members.values().all(|member| member.protocols.iter().any(|known| known.0 == name));
        let common = join.protocols.iter().any(|offered| known_by_all(&offered.0));
        let same_type = self.members.is_empty() || self.protocol_type == join.protocol_type;
        if common && same_type { Ok(()) } else { Err(ResponseError::InconsistentGroupProtocol) }
    }

    fn add(&mut self, id: String, join: Join, ticket: Ticket, now_ms: i64, delay_ms: i64) {
        self.protocol_type.clone_from(&join.protocol_type);
        let mut member = Member { instance: join.instance.clone(), ..Member::default() };
        renew(&mut member, join, now_ms);
        member.joining = Some(ticket);
        self.members.insert(id, member);
        let delay_ms = if self.phase == Phase::Empty { delay_ms } else { 0 };
        self.prepare(now_ms, delay_ms);
        self.try_complete(now_ms);
    }

    /// A member that the group knows joins again: because it was told to, or because an answer was lost.
    fn join_again(&mut self, join: Join, ticket: Ticket, now_ms: i64) {
        let id = join.id.clone();
        let leads = self.leader == id;
        let Some(member) = self.members.get_mut(&id) else { return };
        let unchanged = member.protocols == join.protocols;
        let lost = member.joining.take();
        renew(member, join, now_ms);
        if let Some(lost) = lost {
            let refused = JoinRefused { error: ResponseError::RebalanceInProgress, id: id.clone() };
            self.reply(lost, now_ms, Reply::Join(Err(refused)));
        }
        let settled = match self.phase {
            Phase::CompletingRebalance => unchanged,
            Phase::Stable => unchanged && !leads,
            Phase::Empty | Phase::PreparingRebalance => false,
        };
        if settled {
            let joined = self.place(&id, self.leader.clone(), leads);
            return self.reply(ticket, now_ms, Reply::Join(Ok(joined)));
        }
        self.await_join(&id, ticket, now_ms);
    }

    /// A new instance takes the place of a static member; requests of the old one are refused from now on.
    fn replace(&mut self, old: &str, fresh: String, join: Join, ticket: Ticket, now_ms: i64) {
        let Some(mut member) = self.members.remove(old) else { return };
        if let Some(lost) = member.joining.take() {
            let refused = JoinRefused { error: ResponseError::FencedInstanceId, id: old.to_string() };
            self.reply(lost, now_ms, Reply::Join(Err(refused)));
        }
        if let Some(lost) = member.syncing.take() {
            self.reply(lost, now_ms, Reply::Sync(Err(ResponseError::FencedInstanceId)));
        }
        let unchanged = member.protocols == join.protocols;
        renew(&mut member, join, now_ms);
        self.members.insert(fresh.clone(), member);
        // The newcomer is told the old leader's id, so that it doesn't take itself for the leader and assign anew.
        let told = self.leader.clone();
        if self.leader == old {
            self.leader.clone_from(&fresh);
        }
        if self.phase == Phase::Stable && unchanged {
            let joined = self.place(&fresh, told, false);
            return self.reply(ticket, now_ms, Reply::Join(Ok(joined)));
        }
        self.await_join(&fresh, ticket, now_ms);
    }

    fn await_join(&mut self, id: &str, ticket: Ticket, now_ms: i64) {
        if let Some(member) = self.members.get_mut(id) {
            member.joining = Some(ticket);
        }
        self.prepare(now_ms, 0);
        self.try_complete(now_ms);
    }

    fn sync(&mut self, member: &Membership, assignments: Vec<(String, Bytes)>, ticket: Ticket, now_ms: i64) {
        let refusal = match self.check(member) {
            Err(refusal) => Some(refusal),
            Ok(()) if self.phase == Phase::PreparingRebalance => Some(ResponseError::RebalanceInProgress),
            Ok(()) => None,
        };
        if let Some(refusal) = refusal {
            return self.reply(ticket, now_ms, Reply::Sync(Err(refusal)));
        }
        if let Some(known) = self.members.get_mut(&member.id) {
            (known.seen_ms, known.syncing) = (now_ms, Some(ticket));
        }
        if self.phase == Phase::CompletingRebalance && member.id == self.leader {
            for (id, assignment) in assignments {
                if let Some(known) = self.members.get_mut(&id) {
                    known.assignment = assignment;
                }
            }
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            self.answer_syncs(now_ms);
        }
    }

    fn answer_syncs(&mut self, now_ms: i64) {
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        for member in self.members.values_mut() {
            let Some(ticket) = member.syncing.take() else { continue };
            member.seen_ms = now_ms;
            let (protocol_type, protocol) = (protocol_type.clone(), protocol.clone());
            let synced = Synced { protocol_type, protocol, assignment: member.assignment.clone() };
            self.replies.insert(ticket, (now_ms, Reply::Sync(Ok(synced))));
        }
    }

    fn leave(&mut self, id: &str, instance: Option<&str>, now_ms: i64) -> Answer<()> {
        let id = match instance.map(|instance| self.holder(instance)) {
            Some(None) => return Err(ResponseError::UnknownMemberId),
            Some(Some(holder)) if !id.is_empty() && holder != id => return Err(ResponseError::FencedInstanceId),
            Some(Some(holder)) => holder.to_string(),
            None => id.to_string(),
        };
        if self.announced.remove(&id).is_some() {
            self.try_complete(now_ms);
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.remove(&id, now_ms);
        Ok(())
    }

    fn remove(&mut self, id: &str, now_ms: i64) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(lost) = member.joining {
            let refused = JoinRefused { error: ResponseError::UnknownMemberId, id: id.to_string() };
            self.reply(lost, now_ms, Reply::Join(Err(refused)));
        }
        if let Some(lost) = member.syncing {
            self.reply(lost, now_ms, Reply::Sync(Err(ResponseError::UnknownMemberId)));
        }
        self.prepare(now_ms, 0);
        self.try_complete(now_ms);
    }

    /// Calls everybody to join; whoever is at work learns it from its next heartbeat.
    fn prepare(&mut self, now_ms: i64, delay_ms: i64) {
        if self.phase == Phase::PreparingRebalance {
            return;
        }
        self.phase = Phase::PreparingRebalance;
        self.earliest_ms = now_ms + delay_ms;
        self.deadline_ms = self.earliest_ms + self.longest_rebalance_ms();
        let waiting: Vec<Ticket> = self.members.values_mut().filter_map(|member| member.syncing.take()).collect();
        for ticket in waiting {
            self.reply(ticket, now_ms, Reply::Sync(Err(ResponseError::RebalanceInProgress)));
        }
    }

    /// Begins the next generation if nobody is missing, or if those who are have had their time.
    fn try_complete(&mut self, now_ms: i64) {
        if self.phase != Phase::PreparingRebalance || now_ms < self.earliest_ms {
            return;
        }
        let missing = !self.announced.is_empty() || self.members.values().any(|member| member.joining.is_none());
        if missing && !self.members.is_empty() && now_ms < self.deadline_ms {
            return;
        }
        // A static member that is away keeps its place until its session ends.
        self.members.retain(|_, member| member.joining.is_some() || member.instance.is_some());
        let first = self.members.iter().find(|entry| entry.1.joining.is_some()).map(|entry| entry.0.clone());
        match first {
            Some(first) => self.begin_generation(first, now_ms),
            None if self.members.is_empty() => {
                self.phase = Phase::Empty;
                self.generation += 1;
            }
            None => self.deadline_ms = now_ms + self.longest_rebalance_ms(),
        }
    }

    fn begin_generation(&mut self, first: String, now_ms: i64) {
        self.generation += 1;
        self.phase = Phase::CompletingRebalance;
        let leads = self.members.get(&self.leader).is_some_and(|leader| leader.joining.is_some());
        if !leads {
            self.leader = first;
        }
        let candidates = self.members.get(&self.leader).map(|leader| leader.protocols.clone()).unwrap_or_default();
        let known_by_all = |name: &str| self.members.values().all(|member| member.protocols.iter().any(|known| known.0 == name));
        self.protocol = candidates.into_iter().map(|offered| offered.0).find(|name| known_by_all(name)).unwrap_or_default();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = Bytes::new();
            let Some(ticket) = member.joining.take() else { continue };
            member.seen_ms = now_ms;
            let joined = self.place(&id, self.leader.clone(), self.leader == id);
            self.reply(ticket, now_ms, Reply::Join(Ok(joined)));
        }
    }

    fn place(&self, id: &str, leader: String, with_members: bool) -> Joined {
        let entry = |(id, member): (&String, &Member)| (id.clone(), member.instance.clone(), member.metadata(&self.protocol));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            id: id.to_string(),
            members: if with_members { self.members.iter().map(entry).collect() } else { Vec::new() },
        }
    }

    fn longest_rebalance_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_ms).max().unwrap_or(0)
    }

    fn reply(&mut self, ticket: Ticket, now_ms: i64, reply: Reply) {
        self.replies.insert(ticket, (now_ms, reply));
    }
}

fn renew(member: &mut Member, join: Join, now_ms: i64) {
    member.client = join.client;
    member.protocols = join.protocols;
    member.session_ms = join.session_ms;
    member.rebalance_ms = join.rebalance_ms;
    member.seen_ms = now_ms;
}

#[cfg(test)]
mod tests;
