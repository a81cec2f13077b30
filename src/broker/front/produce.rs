//! Writing records.

use super::Broker;
use crate::broker::state::Cluster;
use crate::broker::wire::{self, Malformed};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

/// Appends each partition's batch; `None` if the producer wants no answer.
pub(super) fn produce(broker: &Broker, request: &ProduceRequest) -> Option<ProduceResponse> {
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    let responses = broker.with(|cluster| {
        let topic = |data: &kafka_protocol::messages::produce_request::TopicProduceData| {
            let written = data.partition_data.iter().map(|partition| append(cluster, data.name.as_str(), id, partition)).collect();
            TopicProduceResponse::default().with_name(data.name.clone()).with_partition_responses(written)
        };
        request.topic_data.iter().map(topic).collect()
    });
    (request.acks != 0).then(|| ProduceResponse::default().with_responses(responses))
}

fn append(cluster: &mut Cluster, topic: &str, id: Option<&str>, data: &PartitionProduceData) -> PartitionProduceResponse {
    let low = cluster.partition(topic, data.index).map_or(-1, |log| log.ends().low.0);
    let parsed = wire::parse(data.records.as_deref().unwrap_or_default()).map_err(|malformed| match malformed {
        Malformed::Length | Malformed::Checksum => ResponseError::CorruptMessage,
        Malformed::Magic => ResponseError::UnsupportedForMessageFormat,
        Malformed::Head => ResponseError::InvalidRecord,
    });
    let written = parsed.and_then(|batch| cluster.produce(topic, data.index, id, batch));
    let response = PartitionProduceResponse::default().with_index(data.index).with_log_start_offset(low);
    match written {
        Ok((base, time_ms)) => response.with_base_offset(base.0).with_log_append_time_ms(time_ms.unwrap_or(-1)),
        Err(error) => response.with_error_code(error.code()).with_base_offset(-1).with_log_append_time_ms(-1),
    }
}
