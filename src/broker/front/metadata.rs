//! Who is there: versions, topics, the one broker that leads and coordinates everything.

use super::{Broker, NODE, SERVED, text};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{ApiVersionsResponse, BrokerId, FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName};

const HOST: &str = "127.0.0.1";

/// What is served.
pub(super) fn api_versions() -> ApiVersionsResponse {
    let version = |served: &(_, i16, i16)| {
        ApiVersion::default().with_api_key(api_number(served.0)).with_min_version(served.1).with_max_version(served.2)
    };
    ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(version).collect())
}

fn api_number(key: kafka_protocol::messages::ApiKey) -> i16 {
    key as i16
}

/// The topics that were asked for, or all. Topics are never made by asking.
pub(super) fn describe(broker: &Broker, request: &MetadataRequest, version: i16) -> MetadataResponse {
    let node = MetadataResponseBroker::default().with_node_id(BrokerId(NODE)).with_host(text(HOST)).with_port(broker.port.into());
    let topics = broker.with(|cluster| {
        let asked = request.topics.as_ref().filter(|topics| version > 0 || !topics.is_empty());
        let names: Vec<String> = match asked {
            Some(topics) => topics.iter().filter_map(|topic| topic.name.as_ref()).map(|name| name.to_string()).collect(),
            None => cluster.topic_names().map(str::to_string).collect(),
        };
        let counted = |name: String| {
            let count = cluster.topic(&name).map(|topic| topic.partitions.len());
            topic_of(name, count)
        };
        names.into_iter().map(counted).collect()
    });
    MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(text("driftline-embedded")))
        .with_controller_id(BrokerId(NODE))
        .with_topics(topics)
}

fn topic_of(name: String, count: Result<usize, ResponseError>) -> MetadataResponseTopic {
    let error = super::code(&count);
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE))
            .with_leader_epoch(0)
            .with_replica_nodes(vec![BrokerId(NODE)])
            .with_isr_nodes(vec![BrokerId(NODE)])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(name))))
        .with_error_code(error)
        .with_partitions((0..count.unwrap_or(0) as i32).map(partition).collect())
}

/// The coordinator of every group and transaction is this broker.
pub(super) fn coordinator(broker: &Broker) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default().with_node_id(BrokerId(NODE)).with_host(text(HOST)).with_port(broker.port.into())
}
