//! Tests of the module above.

use super::*;
use crate::broker::{Committed, Phase};

const G: &str = "group";

fn join(id: &str, instance: Option<&str>) -> Join {
    Join {
        id: id.to_string(),
        instance: instance.map(str::to_string),
        client: "c".to_string(),
        protocol_type: "consumer".to_string(),
        protocols: vec![("range".to_string(), Bytes::from_static(b"topics"))],
        session_ms: 10_000,
        rebalance_ms: 30_000,
        learns_id_first: true,
    }
}

fn answer(cluster: &mut Cluster, join: Join) -> Option<Result<Joined, JoinRefused>> {
    let ticket = cluster.join(G, join);
    cluster.joined(G, ticket)
}

/// A dynamic member that has learnt its id and asked to join with it.
fn newcomer(cluster: &mut Cluster) -> (String, Ticket) {
    let Some(Err(refused)) = answer(cluster, join("", None)) else { panic!("a new member must learn its id") };
    assert_eq!(refused.error, ResponseError::MemberIdRequired);
    let ticket = cluster.join(G, join(&refused.id, None));
    (refused.id, ticket)
}

fn as_member(joined: &Joined, instance: Option<&str>) -> Membership {
    Membership { id: joined.id.clone(), instance: instance.map(str::to_string), generation: joined.generation }
}

fn expect(cluster: &mut Cluster, ticket: Ticket) -> Joined {
    cluster.joined(G, ticket).expect("an answer").expect("joined")
}

/// The leader gives everybody one byte: its place in the list.
fn lead(cluster: &mut Cluster, joined: &Joined) {
    let member = Membership { id: joined.id.clone(), instance: None, generation: joined.generation };
    let instance = joined.members.iter().find(|known| known.0 == joined.id).and_then(|known| known.1.clone());
    let gifts = joined.members.iter().enumerate().map(|(i, known)| (known.0.clone(), Bytes::from(vec![i as u8]))).collect();
    let ticket = cluster.sync(G, &Membership { instance, ..member }, gifts);
    assert!(matches!(cluster.synced(G, ticket), Some(Ok(_))));
}

/// A static member alone in its group, at work.
fn alone(cluster: &mut Cluster, instance: &str) -> Joined {
    let joined = answer(cluster, join("", Some(instance))).expect("at once").expect("joined");
    lead(cluster, &joined);
    joined
}

#[test]
fn a_rebalance_waits_for_everybody_and_everybody_learns_of_it_by_heartbeat() {
    let mut cluster = Cluster::new();
    let (_, first) = newcomer(&mut cluster);
    let first = expect(&mut cluster, first);
    lead(&mut cluster, &first);
    let (_, waiting) = newcomer(&mut cluster);
    assert_eq!(cluster.joined(G, waiting), None);
    assert_eq!(cluster.heartbeat(G, &as_member(&first, None)), Err(ResponseError::RebalanceInProgress));
    let again = cluster.join(G, join(&first.id, None));
    let (again, second) = (expect(&mut cluster, again), expect(&mut cluster, waiting));
    assert_eq!((again.generation, second.generation, &second.leader), (2, 2, &first.id));
    assert_eq!((again.members.len(), second.members.len()), (2, 0), "only the leader sees the members");
    let member = as_member(&second, None);
    let waiting = cluster.sync(G, &member, vec![]);
    assert_eq!(cluster.synced(G, waiting), None, "a follower waits for the leader");
    lead(&mut cluster, &again);
    assert_eq!(cluster.synced(G, waiting).map(|synced| synced.map(|synced| synced.assignment.to_vec())), Some(Ok(vec![1])));
}

#[test]
fn a_dynamic_member_that_misses_the_deadline_is_out() {
    let mut cluster = Cluster::new();
    let (_, first) = newcomer(&mut cluster);
    let first = expect(&mut cluster, first);
    lead(&mut cluster, &first);
    let (_, waiting) = newcomer(&mut cluster);
    for now_ms in (5_000..30_000).step_by(5_000) {
        cluster.advance(now_ms);
        assert_eq!(cluster.heartbeat(G, &as_member(&first, None)), Err(ResponseError::RebalanceInProgress));
    }
    cluster.advance(30_000);
    let second = expect(&mut cluster, waiting);
    assert_eq!((second.members.len(), &second.leader), (1, &second.id));
    assert_eq!(cluster.heartbeat(G, &as_member(&first, None)), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_static_member_that_misses_the_deadline_keeps_its_place_until_its_session_ends() {
    let mut cluster = Cluster::new();
    let first = alone(&mut cluster, "m-0");
    let waiting = cluster.join(G, join("", Some("m-1")));
    cluster.advance(9_000);
    assert_eq!(cluster.heartbeat(G, &as_member(&first, Some("m-0"))), Err(ResponseError::RebalanceInProgress));
    assert_eq!(cluster.joined(G, waiting), None);
    cluster.advance(19_001);
    let second = expect(&mut cluster, waiting);
    assert_eq!(second.members.len(), 1, "the session ended before the deadline");
}

#[test]
fn a_static_member_comes_back_with_its_assignment_and_without_a_rebalance() {
    let mut cluster = Cluster::new();
    let first = alone(&mut cluster, "m-0");
    let back = answer(&mut cluster, join("", Some("m-0"))).expect("at once").expect("joined");
    assert_eq!(back.generation, first.generation);
    assert_ne!(back.id, first.id);
    assert_eq!((back.leader.as_str(), back.members.len()), (first.id.as_str(), 0), "it must not assign anew");
    let ticket = cluster.sync(G, &as_member(&back, Some("m-0")), vec![]);
    let synced = cluster.synced(G, ticket).expect("at once").expect("synced");
    assert_eq!(synced.assignment.to_vec(), [0]);
    let old = as_member(&first, Some("m-0"));
    assert_eq!(cluster.heartbeat(G, &old), Err(ResponseError::FencedInstanceId));
    assert_eq!(cluster.check_committer(G, &old, true), Err(ResponseError::FencedInstanceId));
    let late = cluster.join(G, join(&first.id, Some("m-0")));
    assert_eq!(cluster.joined(G, late).map(|refused| refused.unwrap_err().error), Some(ResponseError::FencedInstanceId));
}

#[test]
fn a_join_of_the_old_instance_that_still_waits_is_answered_when_it_is_replaced() {
    let mut cluster = Cluster::new();
    alone(&mut cluster, "m-0");
    let old = cluster.join(G, join("", Some("m-1")));
    let new = cluster.join(G, join("", Some("m-1")));
    assert_eq!(cluster.joined(G, old).map(|refused| refused.unwrap_err().error), Some(ResponseError::FencedInstanceId));
    assert_eq!(cluster.joined(G, new), None);
}

#[test]
fn commits_are_checked_against_member_and_generation() {
    let mut cluster = Cluster::new();
    let nobody = Membership { generation: -1, ..Membership::default() };
    assert_eq!(cluster.check_committer(G, &nobody, false), Ok(()), "a group without members takes plain commits");
    let ghost = Membership { id: "ghost".into(), instance: None, generation: 1 };
    assert_eq!(cluster.check_committer(G, &ghost, true), Err(ResponseError::IllegalGeneration));
    let first = alone(&mut cluster, "m-0");
    let member = as_member(&first, Some("m-0"));
    assert_eq!(cluster.check_committer(G, &nobody, false), Err(ResponseError::UnknownMemberId));
    assert_eq!(cluster.check_committer(G, &ghost, true), Err(ResponseError::UnknownMemberId));
    let stale = Membership { generation: first.generation - 1, ..member.clone() };
    assert_eq!(cluster.check_committer(G, &stale, true), Err(ResponseError::IllegalGeneration));
    cluster.join(G, join("", Some("m-1")));
    assert_eq!(cluster.check_committer(G, &member, true), Ok(()), "the old generation may commit until the new one begins");
}

#[test]
fn sessions_begin_anew_after_a_restart() {
    let mut cluster = Cluster::new();
    let first = alone(&mut cluster, "m-0");
    cluster.restarted(60_000);
    cluster.advance(70_000);
    assert_eq!(cluster.heartbeat(G, &as_member(&first, Some("m-0"))), Ok(()));
    cluster.advance(80_001);
    assert_eq!(cluster.group(G).map(Group::phase), Some(Phase::Empty));
}

#[test]
fn joins_that_kafka_refuses_are_refused() {
    let mut cluster = Cluster::new();
    let refused = |cluster: &mut Cluster, wish| answer(cluster, wish).expect("at once").expect_err("refused").error;
    let hasty = Join { session_ms: 5_999, ..join("", Some("m-0")) };
    assert_eq!(refused(&mut cluster, hasty), ResponseError::InvalidSessionTimeout);
    assert_eq!(refused(&mut cluster, join("ghost", None)), ResponseError::UnknownMemberId);
    alone(&mut cluster, "m-0");
    let sticky = Join { protocols: vec![("sticky".to_string(), Bytes::new())], ..join("", Some("m-1")) };
    assert_eq!(refused(&mut cluster, sticky), ResponseError::InconsistentGroupProtocol);
}

#[test]
fn members_that_start_together_share_the_first_rebalance() {
    let mut cluster = Cluster::new();
    cluster.set_first_rebalance_delay_ms(50);
    let tickets = ["m-0", "m-1"].map(|instance| cluster.join(G, join("", Some(instance))));
    assert_eq!(cluster.joined(G, tickets[0]), None);
    cluster.advance(50);
    assert_eq!(tickets.map(|ticket| expect(&mut cluster, ticket).generation), [1, 1]);
}

#[test]
fn leaving_starts_a_rebalance_and_the_last_one_leaves_an_empty_group_with_its_positions() {
    let mut cluster = Cluster::new();
    let topic = crate::broker::NewTopic { name: "t".into(), partitions: 1, replication: 1, settings: Default::default() };
    cluster.create_topic(topic, false).expect("made");
    let first = alone(&mut cluster, "m-0");
    let position = Committed { offset: 7, leader_epoch: -1, metadata: "m".into() };
    cluster.commit_offset(G, ("t".into(), 0), position.clone()).expect("committed");
    assert_eq!(cluster.leave(G, "someone else", Some("m-0")), Err(ResponseError::FencedInstanceId));
    assert_eq!(cluster.leave(G, &first.id, Some("m-0")), Ok(()));
    assert_eq!(cluster.group(G).map(|group| (group.phase(), group.generation())), Some((Phase::Empty, 2)));
    assert_eq!(cluster.fetch_offset(G, &("t".into(), 0), true), Ok(Some(&position)));
}
