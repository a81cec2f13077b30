//! Committed positions, plain and in transactions.

use super::groups::instance;
use super::{Broker, code, text};
use crate::broker::batch::Producer;
use crate::broker::group::Membership;
use crate::broker::offsets::Committed;
use crate::broker::state::Cluster;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use kafka_protocol::messages::txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

fn position(offset: i64, leader_epoch: i32, metadata: Option<StrBytes>) -> Committed {
    Committed { offset, leader_epoch, metadata: metadata.map(|metadata| metadata.to_string()).unwrap_or_default() }
}

/// Commits outside of transactions.
pub(super) fn commit(broker: &Broker, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group = request.group_id.to_string();
    let member = Membership {
        id: request.member_id.to_string(),
        instance: instance(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
    };
    let topics = broker.with(|cluster| {
        let allowed = cluster.check_committer(&group, &member, false);
        let mut topic = |topic: kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic| {
            let name = topic.name.to_string();
            let mut partition = |wanted: kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition| {
                let place = (name.clone(), wanted.partition_index);
                let position = position(wanted.committed_offset, wanted.committed_leader_epoch, wanted.committed_metadata);
                let answer = allowed.and_then(|()| cluster.commit_offset(&group, place, position));
                OffsetCommitResponsePartition::default().with_partition_index(wanted.partition_index).with_error_code(code(&answer))
            };
            let partitions = topic.partitions.into_iter().map(&mut partition).collect();
            OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        };
        request.topics.into_iter().map(&mut topic).collect()
    });
    OffsetCommitResponse::default().with_topics(topics)
}

/// Stages positions in a transaction.
pub(super) fn stage(broker: &Broker, request: TxnOffsetCommitRequest, version: i16) -> TxnOffsetCommitResponse {
    let group = request.group_id.to_string();
    let id = request.transactional_id.to_string();
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    // older versions don't say who the member is
    let member = if version >= 3 {
        let instance = instance(request.group_instance_id.as_ref());
        Membership { id: request.member_id.to_string(), instance, generation: request.generation_id }
    } else {
        Membership { generation: -1, ..Membership::default() }
    };
    let topics = broker.with(|cluster| {
        let allowed = cluster.check_committer(&group, &member, true);
        let mut topic = |topic: kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic| {
            let name = topic.name.to_string();
            let mut partition = |wanted: kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition| {
                let place = (name.clone(), wanted.partition_index);
                let position = position(wanted.committed_offset, wanted.committed_leader_epoch, wanted.committed_metadata);
                let answer = allowed
                    .and_then(|()| cluster.check_position(&place, &position))
                    .and_then(|()| cluster.stage_offset(&id, producer, &group, place, position));
                TxnOffsetCommitResponsePartition::default().with_partition_index(wanted.partition_index).with_error_code(code(&answer))
            };
            let partitions = topic.partitions.into_iter().map(&mut partition).collect();
            TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        };
        request.topics.into_iter().map(&mut topic).collect()
    });
    TxnOffsetCommitResponse::default().with_topics(topics)
}

/// Positions of a group, of the partitions asked for or of all that it has.
pub(super) fn fetch(broker: &Broker, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let group = request.group_id.to_string();
    let stable = request.require_stable;
    let topics = broker.with(|cluster| {
        let wanted: Vec<(TopicName, Vec<i32>)> = match request.topics {
            Some(topics) => topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect(),
            None => everything(cluster, &group),
        };
        let topic = |(name, partitions): (TopicName, Vec<i32>)| {
            let find = |partition| find(cluster, &group, name.as_str(), partition, stable);
            let partitions = partitions.into_iter().map(find).collect();
            OffsetFetchResponseTopic::default().with_name(name.clone()).with_partitions(partitions)
        };
        wanted.into_iter().map(topic).collect()
    });
    OffsetFetchResponse::default().with_topics(topics)
}

fn everything(cluster: &Cluster, group: &str) -> Vec<(TopicName, Vec<i32>)> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in cluster.positions(group) {
        topics.entry(topic).or_default().push(partition);
    }
    topics.into_iter().map(|(topic, partitions)| (TopicName(text(topic)), partitions)).collect()
}

fn find(cluster: &Cluster, group: &str, topic: &str, partition: i32, stable: bool) -> OffsetFetchResponsePartition {
    let found = cluster.fetch_offset(group, &(topic.to_string(), partition), stable);
    let response = OffsetFetchResponsePartition::default()
        .with_partition_index(partition)
        .with_error_code(code(&found))
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(text("")));
    match found {
        Ok(Some(position)) => response
            .with_committed_offset(position.offset)
            .with_committed_leader_epoch(position.leader_epoch)
            .with_metadata(Some(text(position.metadata.clone()))),
        Ok(None) | Err(_) => response,
    }
}
