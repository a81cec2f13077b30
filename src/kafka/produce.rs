//! The transactional producer: one epoch, one transaction, in the order publish, drain, send offsets, commit.
//!
//! Why this order: sending offsets while records are in flight costs 100 ms more on the same broker (the client's flush sleeps).
//! Never: begins again on a producer whose last commit, or any request of it, is in doubt; waits for ever.

use super::client;
use super::context::ProducerContext;
use super::refusal::no_client;
use super::rights::{Operation, Resource, denied, lost};
use super::wake::{Wake, Watched};
use crate::config::settings::Kafka;
use crate::log::{Commit, Fatal, OutRecord};
use rdkafka::bindings::rd_kafka_queue_get_main;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

type Client = BaseProducer<ProducerContext>;

const REQUEST: Duration = Duration::from_secs(20);
/// For the offsets: less, because a coordinator that has moved is found at once by a new producer, and perhaps never by the old one.
const OFFSETS: Duration = Duration::from_secs(10);
/// The client has this much longer to say that the time is over.
const SLACK: Duration = Duration::from_secs(1);

/// One producer with its transactional id.
pub struct Transactions {
    kafka: Kafka,
    id: String,
    /// The group whose positions it commits.
    group: String,
    compression: &'static str,
    /// Rung when the broker has answered. Before the producer, so that the watch ends first.
    answers: Option<Watched>,
    producer: Option<Arc<Client>>,
    wake: Box<Wake>,
    /// Sending offsets takes no longer than this.
    offsets_within: Duration,
}

impl Transactions {
    /// Not connected yet: `renew` does that, or the first commit. `compression`: of its records, unless the user has a word about it.
    pub fn new(kafka: &Kafka, id: &str, group: &str, compression: &'static str) -> Transactions {
        Transactions {
            kafka: kafka.clone(),
            id: id.to_string(),
            group: group.to_string(),
            compression,
            answers: None,
            producer: None,
            wake: Box::default(),
            offsets_within: OFFSETS,
        }
    }

    /// A new producer: aborts what an older one with the same id left open, and fences it.
    pub fn renew(&mut self) -> Result<(), Fatal> {
        (self.answers, self.producer) = (None, None);
        let config = client::producer(&self.kafka, &self.id, self.compression);
        let producer = Client::from_config_and_context(&config, ProducerContext::default()).map_err(|e| Fatal(no_client(&e)))?;
        let right = (Operation::Write, self.ids());
        super::reader::insist(&format!("starting transactions as {}", self.id), &self.kafka, right, || {
            producer.init_transactions(REQUEST)
        })?;
        // SAFETY: the handle is ours alone; producer and bell outlive it, and the bell is in a box.
        self.answers = unsafe { Watched::new(rd_kafka_queue_get_main(producer.client().native_ptr()), &self.wake) };
        self.producer = Some(Arc::new(producer));
        Ok(())
    }

    /// What its id has in common with all ids of the application.
    fn ids(&self) -> Resource {
        Resource::TransactionalIds(self.group.rfind('-').map_or(self.group.as_str(), |at| &self.group[..=at]).to_string())
    }

    /// Fatal if the failure is a missing right.
    fn denied(&self, failed: &Failed, records: &[OutRecord]) -> Option<Fatal> {
        let written = || records.iter().map(|r| r.topic.clone()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let e = match failed {
            Failed::Before(e) | Failed::Commit(e) => e,
            Failed::Denied(_) => return Some(lost(&self.kafka, Operation::Write, &written())),
            Failed::Delivery(_) | Failed::Hanging => return None,
        };
        if e.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            return Some(lost(&self.kafka, Operation::Write, &written()));
        }
        let group = Resource::Group(self.group.clone());
        denied(e, &self.kafka, &group, Operation::Read).or_else(|| denied(e, &self.kafka, &self.ids(), Operation::Write))
    }

    /// One transaction.
    pub fn commit(
        &mut self,
        records: &[OutRecord],
        offsets: &TopicPartitionList,
        group: Option<&Arc<ConsumerGroupMetadata>>,
    ) -> Result<Commit, Fatal> {
        if self.producer.is_none() {
            self.renew()?;
        }
        let Some(producer) = &self.producer else { return Ok(Commit::Unknown("no producer".into())) };
        let sent = publish(producer, &self.wake, records).and_then(|()| match group.filter(|_| offsets.count() > 0) {
            Some(group) => send_offsets(producer, offsets, group, self.offsets_within),
            None => Ok(()),
        });
        match sent.and_then(|()| producer.commit_transaction(REQUEST).map_err(Failed::Commit)) {
            Ok(()) => Ok(Commit::Done),
            Err(failed) => self.denied(&failed, records).map_or_else(|| Ok(give_up(producer, failed)), Err),
        }
    }
}

enum Failed {
    /// Before the commit was asked for: an abort makes it certain.
    Before(KafkaError),
    /// A record could not be delivered.
    Delivery(String),
    /// Kafka has refused a record.
    Denied(String),
    /// The client is still busy with the offsets.
    Hanging,
    /// The commit itself has no clear answer.
    Commit(KafkaError),
}

/// Begins a transaction; every record is delivered.
fn publish(producer: &Client, wake: &Wake, records: &[OutRecord]) -> Result<(), Failed> {
    producer.context().take_failure();
    producer.begin_transaction().map_err(Failed::Before)?;
    for r in records {
        send(producer, r)?;
    }
    let deadline = Instant::now() + Duration::from_millis(client::TRANSACTION_TIMEOUT_MS);
    while producer.in_flight_count() > 0 {
        // one event a call, and the bell rings only when the first one comes; the client's own waiting poll spins through its last
        // millisecond
        let before = producer.in_flight_count();
        producer.poll(Duration::ZERO);
        if let Some(why) = producer.context().take_denial() {
            return Err(Failed::Denied(why)); // the client keeps the records until their time is over
        }
        if producer.in_flight_count() == before {
            wake.wait(Duration::from_millis(20));
        }
        if Instant::now() > deadline {
            return Err(Failed::Delivery("records were in flight for longer than the transaction may last".into()));
        }
    }
    if let Some(why) = producer.context().take_failure() {
        return Err(Failed::Delivery(why));
    }
    Ok(())
}

/// Adds the positions to the transaction, on a thread that is left behind if it does not come back.
///
/// Why: when the coordinator that the client knows has left the cluster, the call waits for a broker's change of state, not for its
/// timeout (librdkafka 2.12.1; its issues 5456 and 5511). The thread keeps the producer alive until then. What it may still send belongs
/// to a transaction that the next producer of this name has aborted, and is refused.
fn send_offsets(
    producer: &Arc<Client>,
    offsets: &TopicPartitionList,
    group: &Arc<ConsumerGroupMetadata>,
    within: Duration,
) -> Result<(), Failed> {
    let (sender, answer) = channel();
    let (producer, offsets, group) = (producer.clone(), offsets.clone(), group.clone());
    let thread = std::thread::Builder::new().name("offsets".into()).spawn(move || {
        let result = producer.send_offsets_to_transaction(&offsets, &group, within);
        drop(producer);
        sender.send(result).ok();
    });
    thread.map_err(|e| Failed::Delivery(format!("no thread for the offsets: {e}")))?;
    answer.recv_timeout(within + SLACK).map_err(|_| Failed::Hanging)?.map_err(Failed::Before)
}

fn send(producer: &Client, r: &OutRecord) -> Result<(), Failed> {
    loop {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&r.topic);
        record.partition = r.partition.map(|p| p.0);
        record.key = r.key.as_deref();
        record.payload = r.value.as_deref();
        if !r.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(r.headers.len());
            record.headers = Some(r.headers.iter().fold(headers, |h, (key, value)| h.insert(Header { key, value: value.as_deref() })));
        }
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(Duration::from_millis(1)),
            Err((e, _)) => return Err(Failed::Before(e)),
        }
    }
}

fn is_stale(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as C;
    matches!(code, Some(C::IllegalGeneration | C::UnknownMemberId | C::FencedInstanceId | C::StaleMemberEpoch | C::RebalanceInProgress))
}

/// Aborts where that is certain; everything else is in doubt.
fn give_up(producer: &Client, failed: Failed) -> Commit {
    let (text, code, certain) = match &failed {
        Failed::Before(e) => (e.to_string(), e.rdkafka_error_code(), true),
        Failed::Delivery(why) | Failed::Denied(why) => (why.clone(), None, true),
        Failed::Hanging => ("the group's coordinator can't be found".into(), None, false),
        Failed::Commit(e) => (e.to_string(), e.rdkafka_error_code(), matches!(e, KafkaError::Transaction(t) if t.txn_requires_abort())),
    };
    let fatal = matches!(&failed, Failed::Before(KafkaError::Transaction(t)) | Failed::Commit(KafkaError::Transaction(t)) if t.is_fatal());
    if !certain || fatal {
        return Commit::Unknown(text);
    }
    // What is still queued must not be sent after the abort.
    producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
    producer.poll(Duration::ZERO);
    match producer.abort_transaction(REQUEST) {
        Ok(()) if is_stale(code) => Commit::Stale(text),
        Ok(()) => Commit::Aborted(text),
        Err(e) => Commit::Unknown(format!("{text}; abort: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::topic_partition_list::Offset;

    #[test]
    fn a_group_coordinator_that_goes_away_holds_a_member_up_only_for_a_while() {
        let brokers = MockCluster::new(2).expect("a cluster in memory");
        brokers.coordinator(MockCoordinator::Transaction("t".into()), 1).expect("a coordinator");
        brokers.coordinator(MockCoordinator::Group("g".into()), 2).expect("a coordinator");
        brokers.create_topic("in", 1, 1).expect("a topic");
        let kafka = Kafka { brokers: brokers.bootstrap_servers(), client: Default::default(), secrets: Default::default() };
        let member: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &kafka.brokers).set("group.id", "g").create().expect("a consumer");
        member.subscribe(&["in"]).expect("subscribed");
        let group = member.group_metadata().map(Arc::new);
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("in", 0, Offset::Offset(1)).expect("an offset");
        let mut transactions = Transactions { offsets_within: Duration::from_secs(1), ..Transactions::new(&kafka, "t", "g", "none") };
        assert_eq!(transactions.commit(&[], &offsets, group.as_ref()), Ok(Commit::Done));
        brokers.broker_down(2).expect("a broker");
        let held_up = transactions.commit(&[], &offsets, group.as_ref());
        assert!(matches!(&held_up, Ok(Commit::Aborted(_) | Commit::Unknown(_))), "{held_up:?}");
        brokers.broker_up(2).expect("a broker");
        transactions.renew().expect("a new producer");
        assert_eq!(transactions.commit(&[], &offsets, group.as_ref()), Ok(Commit::Done));
    }
}
