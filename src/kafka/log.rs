//! `Log` over rdkafka: one group member, one transactional producer, one reader.
//!
//! Guarantees: changes of assignment are acted upon by the member's thread, between polls; records of partitions that were not
//! started are never handed over; records are read where the client has put them (`queues`); a client that the group fences because of
//! its own outage is replaced by a new one, a few times an hour.
//! Never: takes a name back from another process that has come by it without such an outage.

use super::client;
use super::context::{MemberContext, Rebalanced};
use super::outage::{OUTAGE, is_absence};
use super::produce::Transactions;
use super::queues::Queues;
use super::reader::{Reader, insist};
use super::refusal::no_client;
use super::rights::{Operation, Resource, denied, lost};
use crate::config::settings::Settings;
use crate::engine::types::{Offset, Partition};
use crate::log::{Commit, CommittedPosition, Ends, Fatal, Handed, Log, OutRecord, Polled, Position, Record, Sink, TopicIx};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::bindings as native;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Which member this is.
pub struct MemberName {
    /// `join` or `detect`.
    pub stage: &'static str,
    /// Thread of the process.
    pub thread: usize,
}

/// New clients that a member may have within `HOUR`: more often is no bad day but a fault that somebody must see.
const NEW_CLIENTS: usize = 10;
const HOUR: Duration = Duration::from_secs(3_600);

type Client = BaseConsumer<MemberContext>;

/// `Log` over rdkafka.
pub struct KafkaLog {
    kafka: crate::config::settings::Kafka,
    /// Its group's.
    name: String,
    /// The group member's.
    config: ClientConfig,
    topics: Vec<String>,
    /// Before the consumers, so that it ends first.
    queues: Queues,
    consumer: Client,
    transactions: Transactions,
    reader: Reader,
    group: Option<Arc<ConsumerGroupMetadata>>,
    errors: Vec<KafkaError>,
    /// The client can't go on; `release` replaces it.
    fenced: bool,
    /// When that was done.
    replaced: VecDeque<Instant>,
}

impl KafkaLog {
    /// Opens a member of `<app>-<stage>` that subscribes to `topics` and follows partition 0 of `follow`.
    pub fn open(settings: &Settings, name: &MemberName, topics: Vec<String>, follow: Option<&str>) -> Result<KafkaLog, Fatal> {
        let group = format!("{}-{}", settings.app, name.stage);
        let instance = format!("{group}-{}-{:04}", client::padded(&settings.instance), name.thread);
        let config = client::member(&settings.kafka, &group, &instance);
        let consumer = create(&config)?;
        // before it joins: a transaction that this member left open when it was killed would hold up its own recovery, and everybody
        // who reads what it has written, until the broker gives it up
        // hashes and packed counts, which the join publishes, compress badly
        let compression = if name.stage == "join" { "none" } else { "lz4" };
        let mut transactions = Transactions::new(&settings.kafka, &instance, &group, compression);
        transactions.renew()?;
        subscribe(&consumer, &topics)?;
        let reader = Reader::new(&settings.kafka, &group, follow)?;
        // SAFETY: both consumers outlive the queues, which are declared before them.
        let queues = unsafe { queues_of(&consumer, &reader) };
        Ok(KafkaLog {
            kafka: settings.kafka.clone(),
            name: group,
            config,
            topics,
            queues,
            consumer,
            transactions,
            reader,
            group: None,
            errors: Vec::new(),
            fenced: false,
            replaced: VecDeque::new(),
        })
    }

    /// A new client and a new producer instead of those that the group has fenced.
    fn replace_client(&mut self) -> Result<(), Fatal> {
        tracing::info!("the session with the group ended while its broker was away; joining again as a new member");
        self.transactions.renew()?; // before it joins, as in `open`
        let consumer = create(&self.config)?;
        // SAFETY: as in `open`; the old queues end here, before their client.
        self.queues = unsafe { queues_of(&consumer, &self.reader) };
        self.consumer.context().close();
        self.consumer = consumer;
        (self.fenced, self.errors) = (false, Vec::new());
        self.replaced.push_back(Instant::now());
        subscribe(&self.consumer, &self.topics)
    }

    /// True if a fence is no more than what the client has brought upon itself, and not too often.
    fn bears(&mut self, fence: &KafkaError) -> bool {
        let own = matches!(fence, KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId));
        let now = Instant::now();
        self.replaced.retain(|at| now.duration_since(*at) < HOUR);
        let bears = own && self.consumer.context().has_lapsed() && self.replaced.len() < NEW_CLIENTS;
        self.fenced |= bears;
        bears
    }

    fn topic(&self, ix: TopicIx) -> &str {
        &self.topics[usize::from(ix.0)]
    }

    fn changed(&mut self) -> Option<Polled> {
        Some(match self.consumer.context().next()? {
            Rebalanced::Revoked => Polled::Revoked,
            Rebalanced::Lost => Polled::Lost,
            Rebalanced::Assigned(pairs) => {
                let mut partitions: Vec<Partition> = pairs.iter().map(|p| Partition(p.1)).collect();
                partitions.sort_unstable();
                partitions.dedup();
                Polled::Assigned(partitions)
            }
        })
    }

    /// Changes of assignment and errors that concern the whole member.
    fn attend(&mut self) -> Result<(), Fatal> {
        // one event a call; `None` as well for a change of assignment, which is looked at before the next event
        while let Some(event) = self.consumer.poll(Duration::ZERO).map(Result::err) {
            // a partition that is read has its own queue: a record here is of one that was let go
            if let Some(e) = event.filter(|e| !self.bears(e)) {
                self.judge_error(&e)?;
            }
        }
        Ok(())
    }

    fn judge_errors(&mut self) -> Result<(), Fatal> {
        std::mem::take(&mut self.errors).iter().try_for_each(|e| self.judge_error(e))
    }

    fn judge_error(&self, e: &KafkaError) -> Result<(), Fatal> {
        if e.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            return Err(lost(&self.kafka, Operation::Read, &self.topics));
        }
        if let Some(fatal) = denied(e, &self.kafka, &Resource::Group(self.name.clone()), Operation::Read) {
            return Err(fatal);
        }
        match e {
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId) => {
                Err(Fatal("another process uses the same `instance` (its static group id has taken over): give each process its own `instance`, then restart this one. If each has its own, the group's broker has died: a restart is all that is needed".into()))
            }
            KafkaError::MessageConsumptionFatal(code) => Err(Fatal(format!("the group member can't go on: {code}; restart it"))),
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => Err(Fatal("a position is no longer in its topic (retention overtook the reader): restart, the loss will be recorded and counted".into())),
            away if is_absence(away) => {
                OUTAGE.noticed("reading", away);
                Ok(())
            }
            other => {
                tracing::warn!("reading: {other}; going on");
                Ok(())
            }
        }
    }
}

fn create(config: &ClientConfig) -> Result<Client, Fatal> {
    let session_ms = config.get("session.timeout.ms").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    Client::from_config_and_context(config, MemberContext::new(session_ms)).map_err(|e| Fatal(no_client(&e)))
}

fn subscribe(consumer: &Client, topics: &[String]) -> Result<(), Fatal> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&names).map_err(|e| Fatal(format!("subscribing to {names:?}: {e}")))
}

/// # Safety
/// Both outlive the result.
unsafe fn queues_of(consumer: &Client, reader: &Reader) -> Queues {
    // SAFETY: as the caller says.
    unsafe {
        let mut queues = Queues::new(consumer.client().native_ptr());
        reader.follower().into_iter().for_each(|follower| queues.watch(follower));
        queues
    }
}

impl KafkaLog {
    /// Records from `next` to the end of a partition, as far as the client has heard (markers of transactions count); it asks nobody.
    pub fn unread(&self, topic: TopicIx, partition: Partition, next: Offset) -> Option<u64> {
        if self.at_end(topic, partition) {
            return Some(0); // what lies behind are markers
        }
        let name = CString::new(self.topics.get(usize::from(topic.0))?.as_str()).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the consumer lives as long as `self`, the name is a C string; both numbers are this function's own.
        let heard = unsafe {
            native::rd_kafka_get_watermark_offsets(self.consumer.client().native_ptr(), name.as_ptr(), partition.0, &mut low, &mut high)
        };
        (heard == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then(|| high.saturating_sub(next.0).max(0) as u64)
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.consumer.context().close();
    }
}

impl Log for KafkaLog {
    fn poll(&mut self, patience: Duration) -> Result<Polled, Fatal> {
        self.attend()?;
        if !self.queues.fill(&mut self.errors) && !patience.is_zero() && !self.consumer.context().has_changed() {
            self.queues.wait(patience);
            self.attend()?;
            self.queues.fill(&mut self.errors);
        }
        self.judge_errors()?;
        OUTAGE.turned();
        if self.fenced {
            return Ok(Polled::Lost);
        }
        Ok(self.changed().unwrap_or(Polled::Records))
    }

    fn waits(&self, topic: TopicIx, partition: Partition) -> bool {
        self.queues.waits(topic, partition)
    }

    fn hand_over(&mut self, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) -> Result<(), Fatal> {
        self.queues.hand_over(topic, partition, &mut self.errors, sink);
        self.judge_errors()
    }

    fn follow(&mut self, sink: &mut Sink<'_>) -> Result<(), Fatal> {
        self.reader.follow(sink)
    }

    fn start(&mut self, at: &[(TopicIx, Partition, Offset)]) -> Result<(), Fatal> {
        let mut list = TopicPartitionList::new();
        self.queues.clear();
        for (topic, partition, offset) in at {
            let name = &self.topics[usize::from(topic.0)];
            self.queues
                .start(*topic, name, *partition, *offset)
                .ok_or_else(|| Fatal(format!("the client has no queue for {name}[{}]", partition.0)))?;
            list.add_partition_offset(name, partition.0, At::Offset(offset.0)).map_err(|e| Fatal(format!("assigning: {e}")))?;
        }
        self.consumer.assign(&list).map_err(|e| Fatal(format!("assigning: {e}")))
    }

    fn release(&mut self) -> Result<(), Fatal> {
        self.queues.clear();
        self.group = None;
        if self.fenced {
            return self.replace_client();
        }
        self.consumer.unassign().map_err(|e| Fatal(format!("unassigning: {e}")))
    }

    fn leave(&mut self) {
        self.queues.clear();
        self.consumer.context().close();
        if let Err(e) = self.consumer.unassign() {
            tracing::debug!("unassigning: {e}");
        }
        self.consumer.unsubscribe();
    }

    fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset> {
        self.queues.rests_at(topic, partition)
    }

    fn ends(&mut self, topic: TopicIx, partition: Partition) -> Result<Ends, Fatal> {
        self.reader.ends(&self.topics[usize::from(topic.0)], partition)
    }

    fn end_of(&mut self, topic: &str, partition: Partition) -> Result<Offset, Fatal> {
        self.reader.stable(topic, partition).map(|e| e.1)
    }

    fn committed(&mut self, of: &[(TopicIx, Partition)]) -> Result<Vec<CommittedPosition>, Fatal> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in of {
            list.add_partition(self.topic(*topic), partition.0);
        }
        let right = (Operation::Read, Resource::Group(self.name.clone()));
        let answer = insist("asking for committed offsets", &self.kafka, right, || {
            self.consumer.committed_offsets(list.clone(), Duration::from_secs(10))
        })?;
        let position = |(topic, partition): &(TopicIx, Partition)| match answer.find_partition(self.topic(*topic), partition.0) {
            Some(e) => CommittedPosition {
                next: if let At::Offset(o) = e.offset() { Some(Offset(o)) } else { None },
                metadata: e.metadata().to_string(),
            },
            None => CommittedPosition { next: None, metadata: String::new() },
        };
        Ok(of.iter().map(position).collect())
    }

    fn begin_epoch(&mut self) {
        self.group = self.consumer.group_metadata().map(Arc::new);
    }

    fn commit(&mut self, records: &[OutRecord], positions: &[Position]) -> Result<Commit, Fatal> {
        if self.group.is_none() && !positions.is_empty() {
            // records without their positions would be published again by the next owner
            return Ok(Commit::Stale("the member has let go of its partitions".into()));
        }
        let mut list = TopicPartitionList::new();
        for p in positions {
            let mut element = list.add_partition(self.topic(p.topic), p.partition.0);
            element.set_offset(At::Offset(p.next.0)).map_err(|e| Fatal(format!("offset {}: {e}", p.next.0)))?;
            element.set_metadata(&p.metadata);
        }
        self.transactions.commit(records, &list, self.group.as_ref())
    }

    fn renew_producer(&mut self) -> Result<(), Fatal> {
        self.transactions.renew()
    }

    fn scan(
        &mut self,
        topic: &str,
        partition: Partition,
        from: Option<Offset>,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal> {
        self.reader.scan(topic, partition, from, sink)
    }

    fn trim(&mut self, topic: &str, partition: Partition, before: Offset) -> Result<(), Fatal> {
        let admin: AdminClient<DefaultClientContext> =
            AdminClient::from_config(&client::base(&self.kafka)).map_err(|e| Fatal(e.to_string()))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition.0, At::Offset(before.0)).map_err(|e| Fatal(e.to_string()))?;
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        let failed = |e: KafkaError| {
            let denied = denied(&e, &self.kafka, &Resource::Topic(topic.into()), Operation::Delete);
            denied.unwrap_or_else(|| Fatal(e.to_string()))
        };
        let answer = super::topics::block_on(admin.delete_records(&list, &options)).map_err(failed)?;
        answer.elements().iter().try_for_each(|e| e.error()).map_err(failed) // each partition has an answer of its own
    }

    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
    }
}
