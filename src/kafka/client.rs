//! Client settings: what driftline sets itself, and why; the user's own properties go beneath them.
//!
//! Never: shows a secret; lets a user property undo what exactly-once needs (`config` refuses those by name).

use crate::config::settings::Kafka;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use secrecy::ExposeSecret;

/// Milliseconds until the broker aborts a transaction that nobody ends.
pub const TRANSACTION_TIMEOUT_MS: u64 = 30_000;

/// Address, user properties, secrets.
pub fn base(kafka: &Kafka) -> ClientConfig {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", &kafka.brokers).set("client.id", "driftline");
    for (k, v) in &kafka.client {
        c.set(k, v);
    }
    for (k, v) in &kafka.secrets {
        c.set(k, v.expose_secret());
    }
    if cfg!(feature = "tls-vendored") && c.get("ssl.ca.pem").is_none() {
        default(&mut c, "ssl.ca.location", "probe"); // an OpenSSL of our own does not know where the system keeps its authorities
    }
    c
}

fn reading(kafka: &Kafka, group: &str) -> ClientConfig {
    let mut c = base(kafka);
    c.set("group.id", group)
        .set("isolation.level", "read_committed") // also makes offset fetches wait for open transactions
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error") // a hole is recorded, never jumped over silently
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true");
    default(&mut c, "fetch.queue.backoff.ms", "10"); // 1,000 by default: a second's gap when the queue was full
    // of one partition: a fetch brings up to 1 MiB anyway, more in store is memory without speed
    default(&mut c, "queued.min.messages", "2000");
    default(&mut c, "queued.max.messages.kbytes", "4096");
    default(&mut c, "fetch.wait.max.ms", "100");
    default(&mut c, "topic.metadata.refresh.interval.ms", "30000");
    c
}

fn default(c: &mut ClientConfig, key: &str, value: &str) {
    if c.get(key).is_none() {
        c.set(key, value);
    }
}

/// A group member.
pub fn member(kafka: &Kafka, group: &str, instance: &str) -> ClientConfig {
    let mut c = reading(kafka, group);
    c.set("group.instance.id", instance).set("partition.assignment.strategy", "range"); // pairs partition i of both inputs
    default(&mut c, "session.timeout.ms", "45000");
    default(&mut c, "max.poll.interval.ms", "900000"); // a restore or a broker that is away for minutes
    if (c.log_level as i32) < RDKafkaLogLevel::Warning as i32 {
        c.set_log_level(RDKafkaLogLevel::Warning); // `context` must hear that a session is over, however little is logged
    }
    c
}

/// A reader without membership: journals, state, the plan.
pub fn reader(kafka: &Kafka, group: &str) -> ClientConfig {
    reading(kafka, group)
}

/// A reader that sees undecided records: for high watermarks.
pub fn uncommitted(kafka: &Kafka, group: &str) -> ClientConfig {
    let mut c = reading(kafka, group);
    c.set("isolation.level", "read_uncommitted");
    c
}

/// A producer of single records, outside of transactions.
pub fn plain_producer(kafka: &Kafka) -> ClientConfig {
    let mut c = producing(kafka);
    c.set("enable.idempotence", "true").set("message.timeout.ms", "20000");
    c
}

/// Settings of readers left out.
fn producing(kafka: &Kafka) -> ClientConfig {
    let mut c = base(kafka);
    for consumer_only in [
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "fetch.wait.max.ms",
        "queued.min.messages",
        "queued.max.messages.kbytes",
    ] {
        c.remove(consumer_only);
    }
    c
}

/// A transactional producer. `compression`: of its records, unless the user has a word about it.
pub fn producer(kafka: &Kafka, transactional_id: &str, compression: &str) -> ClientConfig {
    let mut c = producing(kafka);
    c.set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
        .set("message.timeout.ms", (TRANSACTION_TIMEOUT_MS - 5_000).to_string()) // must not outlive the transaction
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", "100000000") // uncompressed; what a topic takes is the topic's to say
        .set("linger.ms", "0");
    if !["compression.type", "compression.codec"].iter().any(|key| kafka.client.contains_key(*key)) {
        c.set("compression.type", compression);
    }
    default(&mut c, "queue.buffering.max.messages", "1000000");
    c
}

/// Zero-pads the digits at the end of an instance's name, so that members sort as numbers do: `app-7` → `app-0007`.
pub fn padded(instance: &str) -> String {
    let digits = instance.len() - instance.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (name, number) = instance.split_at(instance.len() - digits);
    if number.is_empty() { format!("{name}-0000") } else { format!("{name}{number:0>4}") }
}

#[cfg(test)]
mod tests {
    use super::padded;

    #[test]
    fn instances_sort_as_numbers_do() {
        assert_eq!(padded("driftline-7"), "driftline-0007");
        assert_eq!(padded("12"), "0012");
        assert_eq!(padded("laptop"), "laptop-0000");
    }
}
