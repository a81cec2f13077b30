//! Consumer groups: join, sync, heartbeat, leave, describe.

use super::{Broker, code, text};
use crate::broker::group::{Group, Membership, Phase};
use crate::broker::rebalance::{Join, JoinRefused, Joined};
use crate::broker::state::Cluster;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

pub(super) fn instance(name: Option<&StrBytes>) -> Option<String> {
    name.map(|name| name.to_string())
}

/// Asks, and asks again whenever a group has answered somebody, until the answer is there.
async fn wait<T>(broker: &Broker, mut ask: impl FnMut(&mut Cluster) -> Option<T>) -> T {
    loop {
        let changed = broker.groups.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if let Some(answer) = broker.with(&mut ask) {
            return answer;
        }
        changed.await;
    }
}

/// Waits for the next generation.
pub(super) async fn join(broker: &Broker, request: JoinGroupRequest, version: i16, client: &str) -> JoinGroupResponse {
    let group = request.group_id.to_string();
    if group.is_empty() {
        return JoinGroupResponse::default().with_error_code(ResponseError::InvalidGroupId.code());
    }
    let session_ms = request.session_timeout_ms.into();
    let join = Join {
        id: request.member_id.to_string(),
        instance: instance(request.group_instance_id.as_ref()),
        client: client.to_string(),
        protocol_type: request.protocol_type.to_string(),
        protocols: request.protocols.into_iter().map(|protocol| (protocol.name.to_string(), protocol.metadata)).collect(),
        session_ms,
        rebalance_ms: if version >= 1 { request.rebalance_timeout_ms.into() } else { session_ms },
        learns_id_first: version >= 4,
    };
    let ticket = broker.with(|cluster| cluster.join(&group, join));
    match wait(broker, |cluster| cluster.joined(&group, ticket)).await {
        Ok(joined) => joined_response(joined),
        Err(JoinRefused { error, id }) => {
            JoinGroupResponse::default().with_error_code(error.code()).with_generation_id(-1).with_member_id(text(id))
        }
    }
}

fn joined_response(joined: Joined) -> JoinGroupResponse {
    let member = |(id, instance, metadata): (String, Option<String>, _)| {
        JoinGroupResponseMember::default().with_member_id(text(id)).with_group_instance_id(instance.map(text)).with_metadata(metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.id))
        .with_members(joined.members.into_iter().map(member).collect())
}

/// Waits for the leader's assignment.
pub(super) async fn sync(broker: &Broker, request: SyncGroupRequest) -> SyncGroupResponse {
    let group = request.group_id.to_string();
    let member = Membership {
        id: request.member_id.to_string(),
        instance: instance(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    let assignments = request.assignments.into_iter().map(|given| (given.member_id.to_string(), given.assignment)).collect();
    let ticket = broker.with(|cluster| cluster.sync(&group, &member, assignments));
    match wait(broker, |cluster| cluster.synced(&group, ticket)).await {
        Ok(synced) => SyncGroupResponse::default()
            .with_assignment(synced.assignment)
            .with_protocol_type(Some(text(synced.protocol_type)))
            .with_protocol_name(Some(text(synced.protocol))),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}

pub(super) fn heartbeat(broker: &Broker, request: HeartbeatRequest) -> HeartbeatResponse {
    let member = Membership {
        id: request.member_id.to_string(),
        instance: instance(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    let answer = broker.with(|cluster| cluster.heartbeat(request.group_id.as_str(), &member));
    HeartbeatResponse::default().with_error_code(code(&answer))
}

/// Before version 3 one member goes, since then several may.
pub(super) fn leave(broker: &Broker, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let group = request.group_id.to_string();
    if version < 3 {
        let answer = broker.with(|cluster| cluster.leave(&group, request.member_id.as_str(), None));
        return LeaveGroupResponse::default().with_error_code(code(&answer));
    }
    let members = broker.with(|cluster| {
        let mut leave = |member: kafka_protocol::messages::leave_group_request::MemberIdentity| {
            let answer = cluster.leave(&group, member.member_id.as_str(), member.group_instance_id.as_deref());
            MemberResponse::default()
                .with_error_code(code(&answer))
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
        };
        request.members.into_iter().map(&mut leave).collect()
    });
    LeaveGroupResponse::default().with_members(members)
}

fn phase(group: &Group) -> &'static str {
    match group.phase() {
        Phase::Empty => "Empty",
        Phase::PreparingRebalance => "PreparingRebalance",
        Phase::CompletingRebalance => "CompletingRebalance",
        Phase::Stable => "Stable",
    }
}

pub(super) fn list(broker: &Broker) -> ListGroupsResponse {
    let groups = broker.with(|cluster| {
        let names: Vec<String> = cluster.group_names().map(str::to_string).collect();
        let listed = |name: String| {
            let kind = cluster.group(&name).map(|group| group.protocol().0.to_string()).unwrap_or_default();
            ListedGroup::default().with_group_id(GroupId(text(name))).with_protocol_type(text(kind))
        };
        names.into_iter().map(listed).collect()
    });
    ListGroupsResponse::default().with_groups(groups)
}

pub(super) fn describe(broker: &Broker, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = broker.with(|cluster| {
        let describe = |id: GroupId| {
            let group = cluster.group(id.as_str());
            let described = DescribedGroup::default().with_group_id(id.clone());
            group.map_or_else(|| described.clone().with_group_state(text("Dead")), |group| filled(described.clone(), group))
        };
        request.groups.into_iter().map(describe).collect()
    });
    DescribeGroupsResponse::default().with_groups(groups)
}

fn filled(described: DescribedGroup, group: &Group) -> DescribedGroup {
    let (kind, assignor) = group.protocol();
    let member = |(id, member): (&str, &crate::broker::Member)| {
        DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.instance.clone().map(text))
            .with_client_id(text(member.client.clone()))
            .with_client_host(text("/127.0.0.1"))
            .with_member_metadata(group.metadata_of(member))
            .with_member_assignment(member.assignment.clone())
    };
    described
        .with_group_state(text(phase(group)))
        .with_protocol_type(text(kind))
        .with_protocol_data(text(assignor))
        .with_members(group.members().map(member).collect())
}
