//! Producer ids and transactions.

use super::{Broker, code};
use crate::broker::batch::Producer;
use crate::broker::{Answer, Downfall};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse,
    InitProducerIdRequest, InitProducerIdResponse, ProducerId,
};

/// Older clients know a fenced producer only as one with an invalid epoch.
fn since<T>(version: i16, first: i16, answer: Answer<T>) -> Answer<T> {
    answer.map_err(|error| match error {
        ResponseError::ProducerFenced if version < first => ResponseError::InvalidProducerEpoch,
        other => other,
    })
}

/// A producer id; with a transactional id, the youngest epoch.
pub(super) fn init(broker: &Broker, request: &InitProducerIdRequest, version: i16) -> InitProducerIdResponse {
    let known = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let current = (version >= 3 && known.id >= 0).then_some(known);
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    let answer = broker.with(|cluster| cluster.init_producer(id, request.transaction_timeout_ms.into(), current));
    let answer = since(version, 4, answer);
    let producer = answer.unwrap_or(Producer::NONE);
    InitProducerIdResponse::default()
        .with_error_code(code(&answer))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

/// Registers partitions with a transaction.
pub(super) fn add_partitions(broker: &Broker, request: AddPartitionsToTxnRequest, version: i16) -> AddPartitionsToTxnResponse {
    let id = request.v3_and_below_transactional_id.to_string();
    let producer = Producer { id: request.v3_and_below_producer_id.0, epoch: request.v3_and_below_producer_epoch };
    let results = broker.with(|cluster| {
        let mut topic = |topic: AddPartitionsToTxnTopic| {
            let mut add = |partition| {
                let answer = since(version, 2, cluster.add_partition(&id, producer, (topic.name.to_string(), partition)));
                AddPartitionsToTxnPartitionResult::default().with_partition_index(partition).with_partition_error_code(code(&answer))
            };
            let partitions = topic.partitions.into_iter().map(&mut add).collect();
            AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone()).with_results_by_partition(partitions)
        };
        request.v3_and_below_topics.into_iter().map(&mut topic).collect()
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results)
}

/// Registers a consumer group with a transaction.
pub(super) fn add_group(broker: &Broker, request: &AddOffsetsToTxnRequest, version: i16) -> AddOffsetsToTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let answer = broker.with(|cluster| cluster.add_group(request.transactional_id.as_str(), producer, request.group_id.as_str()));
    AddOffsetsToTxnResponse::default().with_error_code(code(&since(version, 2, answer)))
}

/// Commits or aborts; `None` if the broker goes down instead of answering, as a test wished.
pub(super) fn end(broker: &Broker, request: &EndTxnRequest, version: i16) -> Option<EndTxnResponse> {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let decide = || broker.with(|cluster| cluster.end_transaction(request.transactional_id.as_str(), producer, request.committed));
    if let Some(when) = request.committed.then(|| broker.take_downfall()).flatten() {
        if when == Downfall::AfterCommit {
            let committed = decide();
            tracing::debug!(?committed, "the embedded broker goes down after a commit");
        }
        broker.pause(true);
        return None;
    }
    Some(EndTxnResponse::default().with_error_code(code(&since(version, 2, decide()))))
}
