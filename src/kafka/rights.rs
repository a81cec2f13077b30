//! Rights: what driftline must be allowed to do, asking Kafka whether it is, and saying what is missing.
//!
//! Guarantees: every right on a topic that is missing is said at start, all at once, with the command that grants it; not weeks later by
//! the first restart that reads a journal, or the first dead letter.
//! Never: lists a right that is not needed (`tests/kafka/secure` holds this list, that of docs/operations.md and Kafka together).

use super::patience::patiently;
use crate::config::settings::{Kafka, Settings};
use crate::log::Fatal;
use crate::stage::join::OUTLIERS;
use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_AclOperation_t as Native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use std::ffi::{CStr, CString};

/// What may be done, by Kafka's names. Read, Write and Delete imply Describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Fetch records; be in a group.
    Read,
    /// Produce records; have transactions.
    Write,
    /// Delete records.
    Delete,
    /// See that it is there.
    Describe,
    /// See a topic's settings.
    DescribeConfigs,
}

impl Operation {
    fn native(self) -> Native {
        match self {
            Operation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
            Operation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
            Operation::Delete => Native::RD_KAFKA_ACL_OPERATION_DELETE,
            Operation::Describe => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Operation::DescribeConfigs => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        }
    }
}

/// What it may be done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// The topic of this name.
    Topic(String),
    /// The group of this name.
    Group(String),
    /// Transactional ids that begin so.
    TransactionalIds(String),
}

/// Everything that a process needs.
pub fn needed(settings: &Settings) -> Vec<(Resource, Vec<Operation>)> {
    use Operation::{Delete, DescribeConfigs, Read, Write};
    let own = |name: &str| Resource::Topic(settings.topic(name));
    let group = |stage: &str| Resource::Group(format!("{}-{stage}", settings.app));
    let mut all = vec![
        (Resource::Topic(settings.predictions.topic.clone()), vec![Read, DescribeConfigs]),
        (Resource::Topic(settings.outcomes.topic.clone()), vec![Read, DescribeConfigs]),
        (own("journal"), vec![Read, Write, Delete, DescribeConfigs]),
    ];
    all.extend(["summaries", "plan", "state"].map(|t| (own(t), vec![Read, Write, DescribeConfigs])));
    all.push((Resource::Topic(settings.alerts.topic.clone()), vec![Write, DescribeConfigs]));
    all.push((own("dead-letters"), vec![Write, DescribeConfigs]));
    all.extend(settings.definitions.outliers.map(|_| (own(OUTLIERS), vec![Write, DescribeConfigs])));
    all.extend(["join", "detect"].map(|stage| (group(stage), vec![Read])));
    all.push((Resource::TransactionalIds(format!("{}-", settings.app)), vec![Write]));
    all
}

/// If Kafka has said that this right is missing: what to do. Asking again would change nothing.
pub fn denied(e: &KafkaError, kafka: &Kafka, resource: &Resource, operation: Operation) -> Option<Fatal> {
    let code = match resource {
        Resource::Topic(_) => Code::TopicAuthorizationFailed,
        Resource::Group(_) => Code::GroupAuthorizationFailed,
        Resource::TransactionalIds(_) => Code::TransactionalIdAuthorizationFailed,
    };
    (e.rdkafka_error_code() == Some(code)).then(|| Fatal(missing(kafka, resource, &[operation])))
}

/// Says who may not do what, and the command that allows it.
pub fn missing(kafka: &Kafka, resource: &Resource, operations: &[Operation]) -> String {
    let who = principal(kafka);
    let (what, flag, name, pattern) = match resource {
        Resource::Topic(name) => ("topic", "topic", name, ""),
        Resource::Group(name) => ("group", "group", name, ""),
        Resource::TransactionalIds(name) => {
            ("transactional ids that begin with", "transactional-id", name, " --resource-pattern-type prefixed")
        }
    };
    let words: Vec<String> = operations.iter().map(|o| format!("{o:?}")).collect();
    let flags: String = words.iter().map(|w| format!(" --operation {w}")).collect();
    format!(
        "{who} has no right to {} on {what} {name}. Grant it: kafka-acls.sh --bootstrap-server {} --add --allow-principal '{who}'{flags}{pattern} --{flag} {name} (docs/operations.md, `topics and rights`)",
        words.join(", "),
        kafka.brokers
    )
}

/// A right was there at start and is no more.
pub fn lost(kafka: &Kafka, operation: Operation, topics: &[String]) -> Fatal {
    Fatal(format!(
        "{} has lost the right to {operation:?} on one of the topics {}: a restart says which",
        principal(kafka),
        topics.join(", ")
    ))
}

/// Who brokers take this process for, as far as the configuration tells.
pub fn principal(kafka: &Kafka) -> String {
    let protocol = kafka.client.get("security.protocol").map(|p| p.to_ascii_lowercase()).unwrap_or_default();
    match kafka.client.get("sasl.username") {
        Some(name) if protocol.starts_with("sasl") => format!("User:{name}"),
        None if protocol.starts_with("sasl") => "User:(sasl.username)".into(),
        _ if protocol == "ssl" => "User:(subject of the client's certificate)".into(),
        _ => "User:ANONYMOUS".into(),
    }
}

/// What is missing of the rights on topics. A broker that does not tell them is believed to grant all. `shows`: a topic's settings can be
/// seen.
pub fn missing_on_topics<C: ClientContext>(
    client: &Client<C>,
    settings: &Settings,
    shows: impl Fn(&str) -> bool,
) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for (resource, operations) in needed(settings) {
        let Resource::Topic(name) = &resource else { continue };
        let topic = CString::new(name.as_str()).map_err(|e| e.to_string())?;
        // SAFETY: the client is alive.
        let granted =
            patiently(|| unsafe { granted(client.native_ptr(), &topic) }).map_err(|e| format!("asking for the rights on {name}: {e}"))?;
        let lacking: Vec<Operation> = match granted {
            Granted::Unknown => continue,
            Granted::Nothing => operations.into_iter().filter(|o| *o != Operation::DescribeConfigs || !shows(name)).collect(),
            Granted::These(have) => operations.into_iter().filter(|o| !have.contains(&o.native())).collect(),
        };
        if !lacking.is_empty() {
            problems.push(missing(&settings.kafka, &resource, &lacking));
        }
    }
    Ok(problems)
}

enum Granted {
    /// Kafka does not say, or the topic is not there.
    Unknown,
    /// Nothing that would let us see the topic.
    Nothing,
    These(Vec<Native>),
}

/// Asks what we may do with a topic.
///
/// # Safety
/// `client` is alive.
unsafe fn granted(client: *mut native::rd_kafka_t, topic: &CStr) -> KafkaResult<Granted> {
    // SAFETY: everything that is made here is destroyed here, after its last use; the client is alive as the caller says.
    unsafe {
        let queue = native::rd_kafka_queue_new(client);
        let options = native::rd_kafka_AdminOptions_new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        native::rd_kafka_error_destroy(native::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
        let topics = native::rd_kafka_TopicCollection_of_topic_names([topic.as_ptr()].as_mut_ptr(), 1);
        native::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = native::rd_kafka_queue_poll(queue, super::topics::REQUEST.as_millis() as i32);
        let answer = read(event);
        if !event.is_null() {
            native::rd_kafka_event_destroy(event);
        }
        native::rd_kafka_TopicCollection_destroy(topics);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is null or the answer to `rd_kafka_DescribeTopics` for one topic.
unsafe fn read(event: *mut native::rd_kafka_event_t) -> KafkaResult<Granted> {
    if event.is_null() {
        return Err(KafkaError::AdminOp(Code::OperationTimedOut));
    }
    // SAFETY: as the caller says; arrays have as many elements as the client says.
    unsafe {
        match Code::from(native::rd_kafka_event_error(event)) {
            Code::NoError => {}
            Code::UnsupportedFeature | Code::UnsupportedVersion => return Ok(Granted::Unknown),
            code => return Err(KafkaError::AdminOp(code)),
        }
        let (mut n, result) = (0, native::rd_kafka_event_DescribeTopics_result(event));
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &mut n);
        if result.is_null() || n != 1 {
            return Ok(Granted::Unknown);
        }
        let error = native::rd_kafka_TopicDescription_error(*topics);
        match Code::from(native::rd_kafka_error_code(error)) {
            Code::NoError => {}
            Code::TopicAuthorizationFailed => return Ok(Granted::Nothing),
            Code::UnknownTopicOrPartition => return Ok(Granted::Unknown),
            code => return Err(KafkaError::AdminOp(code)),
        }
        let operations = native::rd_kafka_TopicDescription_authorized_operations(*topics, &mut n);
        if operations.is_null() || n == 0 {
            return Ok(Granted::Unknown);
        }
        Ok(Granted::These(std::slice::from_raw_parts(operations, n).to_vec()))
    }
}
