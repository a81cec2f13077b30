//! Topics: what driftline needs, creating it, checking it at start.
//!
//! Guarantees: a missing topic, unequal partition counts or a setting that loses data is said at start, all at once, with the remedy.
//! Never: creates or changes a topic of the user's.

use super::client;
use super::patience::patiently;
use super::refusal::{Ear, hopeless, no_client};
use super::rights::{Operation, Resource, missing, missing_on_topics, principal};
use crate::config::settings::Settings;
use crate::stage::join::OUTLIERS;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

pub(super) const REQUEST: Duration = Duration::from_secs(15);
const DAY_MS: i64 = 86_400_000;

/// Waits for an admin request.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without I/O can always be built").block_on(future)
}

/// A topic of driftline's own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Topic settings.
    pub config: BTreeMap<String, String>,
}

/// What the inputs are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Partitions of each.
    pub partitions: i32,
    /// The larger `max.message.bytes` of the two.
    pub max_bytes: i64,
}

/// The topics that `settings` need.
pub fn own_topics(settings: &Settings, inputs: Inputs) -> Vec<TopicSpec> {
    let sources = inputs.partitions;
    let spec = |name: String, partitions, config: &[(&str, &str)]| TopicSpec {
        name,
        partitions,
        config: config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
    };
    let shards = settings.summaries_partitions;
    let for_people = [("cleanup.policy", "delete"), ("retention.ms", "2592000000")];
    let outliers = settings.definitions.outliers.map(|_| spec(settings.topic(OUTLIERS), sources, &for_people));
    let kept = ("retention.bytes", "-1");
    let own = vec![
        spec(settings.topic("journal"), sources, &[("cleanup.policy", "delete"), ("retention.ms", "-1"), kept]),
        spec(settings.topic("summaries"), shards, &[("cleanup.policy", "delete"), ("retention.ms", "604800000"), kept]),
        spec(settings.topic("plan"), 1, &[("cleanup.policy", "compact")]),
        spec(settings.topic("state"), shards, &[("cleanup.policy", "compact")]),
        spec(
            settings.alerts.topic.clone(),
            shards * 2,
            &[("cleanup.policy", "compact,delete"), ("min.compaction.lag.ms", "604800000"), ("retention.ms", "2592000000")],
        ),
        spec(
            settings.topic("dead-letters"),
            sources,
            &[("cleanup.policy", "delete"), ("retention.ms", "2592000000"), ("max.message.bytes", &room(inputs).to_string())],
        ),
    ];
    own.into_iter().chain(outliers).collect()
}

/// Room for any record of the inputs with the headers of a dead letter, though another codec may compress it less.
fn room(inputs: Inputs) -> i64 {
    (2 * inputs.max_bytes).max(4_000_000)
}

/// What became of a topic.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Created {
    /// It was not there.
    Created,
    /// It was there already; nothing was changed.
    Exists,
    /// It would be created (`--dry-run`).
    Would,
}

/// Creates what is missing.
pub fn create(settings: &Settings, dry_run: bool) -> Result<Vec<(TopicSpec, Created)>, String> {
    let cluster = Cluster::connect(settings)?;
    let inputs = cluster.inputs(settings)?;
    let mut report = Vec::new();
    for spec in own_topics(settings, inputs) {
        let outcome = match cluster.partitions(settings, &spec.name)? {
            Some(_) => Created::Exists,
            None if dry_run => Created::Would,
            None => {
                create_topic(settings, &spec)?;
                cluster.wait_until_seen(settings, &spec.name)?;
                Created::Created
            }
        };
        report.push((spec, outcome));
    }
    Ok(report)
}

/// Creates one topic; that it exists already is no error.
pub fn create_topic(settings: &Settings, spec: &TopicSpec) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(&client::base(&settings.kafka)).map_err(|e| e.to_string())?;
    let mut topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(settings.replication));
    for (k, v) in &spec.config {
        topic = topic.set(k, v);
    }
    let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
    match block_on(admin.create_topics(&[topic], &options)).map_err(|e| format!("creating {}: {e}", spec.name))?.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
        Some(Err((_, code @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)))) => Err(format!(
            "creating {}: {code}: {} has no right to Create it. Let somebody run this who has, or create the topics by hand (`--dry-run` prints them)",
            spec.name,
            principal(&settings.kafka)
        )),
        Some(Err((_, code))) => Err(format!("creating {}: {code}", spec.name)),
    }
}

/// A connection that asks about topics.
pub struct Cluster {
    consumer: BaseConsumer<Ear>,
    admin: AdminClient<DefaultClientContext>,
}

impl Cluster {
    /// Connects; waits until a broker answers.
    pub fn connect(settings: &Settings) -> Result<Cluster, String> {
        let kafka = &settings.kafka;
        let config = client::base(kafka);
        let consumer = BaseConsumer::from_config_and_context(&config, Ear::default()).map_err(|e| no_client(&e))?;
        let admin = AdminClient::from_config(&config).map_err(|e| no_client(&e))?;
        let cluster = Cluster { consumer, admin };
        let mut told = None;
        while let Err(e) = cluster.consumer.fetch_metadata(None, Duration::from_secs(3)) {
            let heard = Instant::now(); // errors go to the context, after what is only logged; they may come without a pause
            while heard.elapsed() < Duration::from_secs(1) && cluster.consumer.poll(Duration::from_millis(100)).is_some() {}
            let (e, why) = cluster.consumer.context().take().unwrap_or_else(|| (e.clone(), e.to_string()));
            if let Some(end) = hopeless(kafka, &e, &why) {
                return Err(end);
            }
            if told.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(60)) {
                told = Some(Instant::now());
                tracing::warn!(
                    "no broker answers at {} ({why}); trying again until one does. Check `kafka.brokers`, and whether `security.protocol` in kafka.client is the listener's",
                    kafka.brokers
                );
            }
        }
        Ok(cluster)
    }

    /// A broker says that a topic is made a little before it shows it; `run`, started at once, would miss it.
    fn wait_until_seen(&self, settings: &Settings, topic: &str) -> Result<(), String> {
        let began = Instant::now();
        while self.partitions(settings, topic)?.is_none() {
            if began.elapsed() > REQUEST {
                return Err(format!("{topic} was created, but no broker shows it after {} s; try again", REQUEST.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Partitions of a topic; `None` if it does not exist.
    pub fn partitions(&self, settings: &Settings, topic: &str) -> Result<Option<i32>, String> {
        let metadata = patiently(|| self.consumer.fetch_metadata(Some(topic), REQUEST)).map_err(|e| format!("asking for {topic}: {e}"))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        if found.and_then(|t| t.error()).is_some_and(|e| RDKafkaErrorCode::from(e) == RDKafkaErrorCode::TopicAuthorizationFailed) {
            return Err(missing(&settings.kafka, &Resource::Topic(topic.into()), &[Operation::DescribeConfigs, Operation::Describe]));
        }
        Ok(found.map(|t| t.partitions().len() as i32).filter(|n| *n > 0))
    }

    /// What the inputs are like; a broker that does not tell its topics' settings is taken to have Kafka's defaults.
    fn inputs(&self, settings: &Settings) -> Result<Inputs, String> {
        let partitions = self.sources(settings)?;
        let bytes = |topic: &String| self.config(topic).ok().and_then(|c| c.get("max.message.bytes")?.parse().ok()).unwrap_or(1_048_588);
        Ok(Inputs { partitions, max_bytes: bytes(&settings.predictions.topic).max(bytes(&settings.outcomes.topic)) })
    }

    /// Partitions of the inputs, which must be equal.
    pub fn sources(&self, settings: &Settings) -> Result<i32, String> {
        let (p, o) = (&settings.predictions.topic, &settings.outcomes.topic);
        let missing = |t: &str| {
            format!(
                "topic {t} does not exist: create it (it is yours, driftline never creates it), or correct the name in the configuration"
            )
        };
        match (self.partitions(settings, p)?, self.partitions(settings, o)?) {
            (Some(a), Some(b)) if a == b => Ok(a),
            (Some(a), Some(b)) => Err(format!(
                "{p} has {a} partitions, {o} has {b}: driftline joins partition i with partition i, so both need the same number and the same partitioner. Re-create one of them with the other's count"
            )),
            (None, _) => Err(missing(p)),
            (_, None) => Err(missing(o)),
        }
    }

    fn config(&self, topic: &str) -> Result<BTreeMap<String, String>, String> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        let ask = || {
            let answer = block_on(self.admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options))?;
            answer.into_iter().next().transpose().map_err(KafkaError::AdminOp)
        };
        let resource = patiently(ask).map_err(|e| format!("settings of {topic}: {e}"))?;
        Ok(resource.into_iter().flat_map(|r| r.entries).filter_map(|e| Some((e.name, e.value?))).collect())
    }
}

/// Everything that must hold before a stage starts; the number of input partitions.
pub fn check(settings: &Settings) -> Result<u32, Vec<String>> {
    let cluster = Cluster::connect(settings).map_err(|e| vec![e])?;
    // first: a topic that may not be seen looks like one that does not exist
    let denied = missing_on_topics(cluster.admin.inner(), settings, |topic| cluster.config(topic).is_ok()).map_err(|e| vec![e])?;
    if !denied.is_empty() {
        return Err(denied);
    }
    let inputs = cluster.inputs(settings).map_err(|e| vec![e])?;
    let mut problems = Vec::new();
    for topic in [&settings.predictions.topic, &settings.outcomes.topic] {
        match cluster.config(topic) {
            Ok(c) if c.get("cleanup.policy").is_some_and(|p| p.contains("compact")) => problems.push(format!(
                "{topic} is compacted (cleanup.policy={}): a later read would see other \"first\" records. Use a topic with cleanup.policy=delete",
                c["cleanup.policy"]
            )),
            Ok(_) => {}
            Err(e) => problems.push(e),
        }
    }
    for spec in own_topics(settings, inputs) {
        match cluster.partitions(settings, &spec.name) {
            Ok(None) => problems.push(format!("topic {} does not exist: run `driftline topics create -c FILE`", spec.name)),
            Ok(Some(n)) if n != spec.partitions => problems.push(format!(
                "topic {} has {n} partitions and needs {}: partition counts cannot change under a running application; see docs/operations.md, `partition counts`",
                spec.name, spec.partitions
            )),
            Ok(Some(_)) => problems.extend(cluster.config(&spec.name).map_or_else(Some, |c| own_config_problem(settings, inputs, &spec, &c))),
            Err(e) => problems.push(e),
        }
    }
    if problems.is_empty() { Ok(inputs.partitions as u32) } else { Err(problems) }
}

fn own_config_problem(settings: &Settings, inputs: Inputs, spec: &TopicSpec, config: &BTreeMap<String, String>) -> Option<String> {
    let number = |key: &str| config.get(key).and_then(|v| v.parse::<i64>().ok());
    let name = &spec.name;
    if *name == settings.topic("journal")
        && (number("retention.ms").is_some_and(|v| v != -1) || number("retention.bytes").is_some_and(|v| v != -1))
    {
        return Some(format!(
            "{name} must keep everything (retention.ms=-1, retention.bytes=-1): it is the join's memory; driftline trims it itself"
        ));
    }
    if *name == settings.topic("summaries") && number("retention.ms").is_some_and(|v| v != -1 && v < 3 * DAY_MS) {
        return Some(format!("{name} must keep at least 3 days (retention.ms >= {}): a restart replays from it", 3 * DAY_MS));
    }
    if *name == settings.topic("dead-letters")
        && let Some(bytes) = number("max.message.bytes").filter(|v| *v <= inputs.max_bytes)
    {
        return Some(format!(
            "{name} takes records of {bytes} bytes, the inputs of {}: a long bad record could not be kept. Set max.message.bytes={} on {name}",
            inputs.max_bytes,
            room(inputs)
        ));
    }
    let compacted = [settings.topic("plan"), settings.topic("state")].contains(name);
    (compacted && config.get("cleanup.policy").is_some_and(|p| p != "compact")).then(|| format!("{name} must have cleanup.policy=compact"))
}
