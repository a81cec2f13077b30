//! Topics and their settings.

use super::{Broker, text};
use crate::broker::admin::{NewTopic, Refusal};
use crate::broker::settings::Setting;
use crate::engine::types::Offset;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

/// Kinds of resource in `DescribeConfigs`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a setting comes from.
const CHOSEN_FOR_TOPIC: i8 = 1;
const DEFAULT: i8 = 5;

/// What clients ask of a broker's settings.
const BROKER_SETTINGS: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("message.max.bytes", "1048588"),
    ("offsets.retention.minutes", "10080"),
    ("transaction.max.timeout.ms", "900000"),
];

fn told<T>(answer: &Result<T, Refusal>) -> (i16, Option<StrBytes>) {
    answer.as_ref().err().map_or((0, None), |refusal| (refusal.error.code(), Some(text(refusal.text.clone()))))
}

pub(super) fn create_topics(broker: &Broker, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let only_check = request.validate_only;
    let create = |topic: CreatableTopic| {
        let partitions = if topic.assignments.is_empty() { topic.num_partitions } else { topic.assignments.len() as i32 };
        let replication = if topic.assignments.is_empty() { topic.replication_factor } else { 1 };
        let chosen = topic.configs.into_iter().filter_map(|config| Some((config.name.to_string(), config.value?.to_string())));
        let wanted = NewTopic { name: topic.name.to_string(), partitions, replication, settings: chosen.collect() };
        let answer = broker.with(|cluster| cluster.create_topic(wanted, only_check));
        let (error, message) = told(&answer);
        CreatableTopicResult::default()
            .with_name(topic.name)
            .with_error_code(error)
            .with_error_message(message)
            .with_num_partitions(answer.unwrap_or(-1))
            .with_replication_factor(1)
    };
    CreateTopicsResponse::default().with_topics(request.topics.into_iter().map(create).collect())
}

pub(super) fn delete_topics(broker: &Broker, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let delete = |name: kafka_protocol::messages::TopicName| {
        let answer = broker.with(|cluster| cluster.delete_topic(name.as_str()));
        DeletableTopicResult::default().with_name(Some(name)).with_error_code(told(&answer).0)
    };
    DeleteTopicsResponse::default().with_responses(request.topic_names.into_iter().map(delete).collect())
}

pub(super) fn create_partitions(broker: &Broker, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let only_check = request.validate_only;
    let enlarge = |topic: kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic| {
        let answer = broker.with(|cluster| cluster.create_partitions(topic.name.as_str(), topic.count, only_check));
        let (error, message) = told(&answer);
        CreatePartitionsTopicResult::default().with_name(topic.name).with_error_code(error).with_error_message(message)
    };
    CreatePartitionsResponse::default().with_results(request.topics.into_iter().map(enlarge).collect())
}

pub(super) fn delete_records(broker: &Broker, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = broker.with(|cluster| {
        let mut topic = |topic: kafka_protocol::messages::delete_records_request::DeleteRecordsTopic| {
            let mut delete = |wanted: kafka_protocol::messages::delete_records_request::DeleteRecordsPartition| {
                let before = (wanted.offset >= 0).then_some(Offset(wanted.offset));
                let answer = cluster.delete_records(topic.name.as_str(), wanted.partition_index, before);
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(wanted.partition_index)
                    .with_error_code(told(&answer).0)
                    .with_low_watermark(answer.map_or(-1, |low| low.0))
            };
            let partitions = topic.partitions.into_iter().map(&mut delete).collect();
            DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
        };
        request.topics.into_iter().map(&mut topic).collect()
    });
    DeleteRecordsResponse::default().with_topics(topics)
}

pub(super) fn describe_configs(broker: &Broker, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| describe(broker, resource)).collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn describe(broker: &Broker, resource: DescribeConfigsResource) -> DescribeConfigsResult {
    let keys = resource.configuration_keys;
    let wanted = |name: &str| keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == name));
    let shown = |setting: Setting<'_>| {
        DescribeConfigsResourceResult::default()
            .with_name(text(setting.name))
            .with_value(Some(text(setting.value)))
            .with_config_source(if setting.is_default { DEFAULT } else { CHOSEN_FOR_TOPIC })
    };
    let configs = match resource.resource_type {
        TOPIC => broker.with(|cluster| {
            let topic = cluster.topic(resource.resource_name.as_str())?;
            Ok(topic.settings.all().filter(|setting| wanted(setting.name)).map(shown).collect())
        }),
        BROKER => {
            let settings = BROKER_SETTINGS.iter().filter(|setting| wanted(setting.0));
            Ok(settings.map(|(name, value)| shown(Setting { name, value, is_default: true })).collect())
        }
        _ => Err(ResponseError::InvalidRequest),
    };
    DescribeConfigsResult::default()
        .with_error_code(super::code(&configs))
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name)
        .with_configs(configs.unwrap_or_default())
}
