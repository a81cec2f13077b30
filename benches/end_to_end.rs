//! What a pair costs, end to end, beside what merely reading the same records costs.
//!
//! Three processes: an embedded broker (not measured), a bare consumer that polls both topics to their end, and the service. Both
//! measured ones have the same client settings and allocator. Run: `cargo bench --bench end_to_end [-- PAIRS]`.
//! Speeds depend on the machine; compare the ratio, not the seconds.

#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use driftline::broker::{Embedded, Options};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::kafka::client;
use driftline::kafka::topics::{TopicSpec, create, create_topic};
use driftline::ops::service::{AtEnd, Service, Stages};
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use split_mix::SplitMix64;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: i32 = 4;
/// Runs of each, by turns.
const ROUNDS: u32 = 3;
const START: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 10;

fn config(brokers: &str, app: &str) -> String {
    let doubles: String = (0..20).map(|i| format!("{{\"name\":\"f{i}\",\"type\":\"double\"}},")).collect();
    let prediction = format!(
        "{{\"type\":\"record\",\"name\":\"P\",\"fields\":[{{\"name\":\"id\",\"type\":\"string\"}},{{\"name\":\"at\",\"type\":\"long\"}},{doubles}{{\"name\":\"score\",\"type\":\"double\"}},{{\"name\":\"label\",\"type\":\"string\"}},{{\"name\":\"country\",\"type\":\"string\"}},{{\"name\":\"note\",\"type\":\"string\"}}]}}"
    );
    let outcome = "{\"type\":\"record\",\"name\":\"O\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"at\",\"type\":\"long\"},{\"name\":\"label\",\"type\":\"string\"},{\"name\":\"note\",\"type\":\"string\"}]}";
    let dir = std::env::temp_dir();
    let (p, o) = (dir.join("driftline-bench-p.avsc"), dir.join("driftline-bench-o.avsc"));
    std::fs::write(&p, prediction).expect("the temporary folder is writable");
    std::fs::write(&o, outcome).expect("the temporary folder is writable");
    let exclude: Vec<&str> = vec!["id", "at", "score", "label", "country", "note"];
    format!(
        "app: {app}\nkafka: {{ brokers: \"{brokers}\" }}\npredictions:\n  topic: bench.p\n  format: {{ avro: {{ schema: {} }} }}\n  fields: {{ request_id: id, event_time: {{ path: at, unit: millis }}, model: {{ const: m }}, score: score, label: label, features: {{ path: \"*\", exclude: [{}] }}, dimensions: {{ country: country }} }}\noutcomes:\n  topic: bench.o\n  format: {{ avro: {{ schema: {} }} }}\n  fields: {{ request_id: id, event_time: {{ path: at, unit: millis }}, label: label }}\njoin: {{ window: 10m }}\nmodels: {{ m: {{ task: binary, positive: \"1\" }} }}\nsegments: {{ by: [[country]] }}\npanes: {{ size: 10s }}\nbaseline: {{ from: 2023-11-14T00:00:00Z, to: 2023-11-14T23:40:00Z }}\nhttp: {{ listen: \"off\" }}\n",
        p.display(),
        exclude.join(", "),
        o.display()
    )
}

/// Of the application of a round; all of them read the same topics.
fn settings(brokers: &str, round: &str) -> Settings {
    load_text("bench", &config(brokers, &format!("bench-{round}")), &|name| std::env::var(name).ok(), Path::new("/"))
        .unwrap_or_else(|e| panic!("{e}"))
}

fn long(out: &mut Vec<u8>, v: i64) {
    let mut z = ((v << 1) ^ (v >> 63)) as u64;
    while z >= 0x80 {
        out.push(z as u8 | 0x80);
        z >>= 7;
    }
    out.push(z as u8);
}

fn text(out: &mut Vec<u8>, s: &str) {
    long(out, s.len() as i64);
    out.extend_from_slice(s.as_bytes());
}

/// A prediction of 258 bytes and an outcome of 38 bytes that is known up to 9 minutes later.
fn pair(i: u64, dice: &mut SplitMix64) -> (String, Vec<u8>, (i64, Vec<u8>)) {
    let id = format!("request-{i:012}");
    let at = START + i as i64 * STEP_MS;
    let (mut p, mut o) = (Vec::with_capacity(258), Vec::with_capacity(38));
    text(&mut p, &id);
    long(&mut p, at);
    for _ in 0..20 {
        p.extend_from_slice(&(dice.unit() + dice.unit() + dice.unit()).to_le_bytes());
    }
    let positive = dice.unit() < 0.3;
    p.extend_from_slice(&dice.unit().to_le_bytes());
    text(&mut p, if positive { "1" } else { "0" });
    text(&mut p, ["DE", "FR", "IT", "ES"][(dice.next() % 4) as usize]);
    let pad = "x".repeat(258 - p.len() - 1);
    text(&mut p, &pad);
    let known = at + (dice.next() % 540_000) as i64;
    text(&mut o, &id);
    long(&mut o, known);
    text(&mut o, if positive ^ (dice.unit() < 0.05) { "1" } else { "0" });
    let pad = "x".repeat(38 - o.len() - 1);
    text(&mut o, &pad);
    (id, p, (known, o))
}

fn load(brokers: &str, pairs: u64) {
    let s = &settings(brokers, "1");
    for topic in [&s.predictions.topic, &s.outcomes.topic] {
        let config = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
        create_topic(s, &TopicSpec { name: topic.clone(), partitions: PARTITIONS, config }).unwrap_or_else(|e| panic!("{e}"));
    }
    for round in 1..=ROUNDS {
        create(&settings(brokers, &round.to_string()), false).unwrap_or_else(|e| panic!("{e}"));
    }
    let mut c = client::base(&s.kafka);
    c.set("partitioner", "murmur2_random").set("linger.ms", "20").set("compression.type", "lz4");
    let producer = BaseProducer::from_config(&c).expect("a producer");
    let mut dice = SplitMix64(7);
    let mut outcomes = Vec::new();
    for i in 0..pairs {
        let (id, p, o) = pair(i, &mut dice);
        send(&producer, &s.predictions.topic, &id, &p);
        outcomes.push((o.0, id, o.1));
    }
    outcomes.sort();
    outcomes.iter().for_each(|(_, id, o)| send(&producer, &s.outcomes.topic, id, o));
    producer.flush(Duration::from_secs(120)).expect("the broker takes all records");
}

fn send(producer: &BaseProducer, topic: &str, key: &str, value: &[u8]) {
    while let Err((e, _)) = producer.send(BaseRecord::to(topic).key(key).payload(value)) {
        assert!(matches!(e, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{e}");
        producer.poll(Duration::from_millis(5));
    }
}

/// Polls both topics to their end, as the service does, and nothing else.
fn bare(s: &Settings) -> u64 {
    let consumer: BaseConsumer = BaseConsumer::from_config(&client::reader(&s.kafka, "bench-bare")).expect("a consumer");
    let mut list = TopicPartitionList::new();
    for topic in [&s.predictions.topic, &s.outcomes.topic] {
        (0..PARTITIONS).for_each(|p| list.add_partition_offset(topic, p, Offset::Beginning).expect("a partition"));
    }
    consumer.assign(&list).expect("an assignment");
    let (mut n, mut bytes, mut ended) = (0, 0, 0);
    while ended < 2 * PARTITIONS {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(m)) => {
                n += 1;
                bytes += m.payload().map_or(0, <[u8]>::len);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(e)) => panic!("{e}"),
            None => {}
        }
    }
    assert!(bytes > 0);
    n
}

/// User and system time of this process so far, in seconds (ticks of 10 ms), and its peak memory in MB.
fn usage() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|v| v.split_whitespace().next()?.parse::<f64>().ok());
    (ticks.iter().sum::<f64>() / 100.0, peak.unwrap_or(0.0) / 1024.0)
}

/// Runs `work` in this process and prints: seconds, CPU seconds, peak MB, records.
fn measured(work: impl FnOnce() -> u64) {
    let (began, before) = (Instant::now(), usage().0);
    let n = work();
    let (cpu, peak) = usage();
    println!("{} {} {} {n}", began.elapsed().as_secs_f64(), cpu - before, peak);
}

fn service(brokers: &str, round: &str) -> u64 {
    let s = Arc::new(settings(brokers, round));
    let service = Service::start(s, Stages { join: true, detect: true }, AtEnd::Exit).unwrap_or_else(|e| panic!("{e}"));
    service.wait().unwrap_or_else(|e| panic!("{e}"));
    0
}

fn child(args: &[&str]) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(args)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .expect("a child process")
}

fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("the child speaks");
    line.trim().to_string()
}

fn figures(args: &[&str]) -> Vec<f64> {
    let mut c = child(args);
    let text = line(&mut c);
    assert!(c.wait().expect("the child ends").success());
    text.split(' ').map(|v| v.parse().expect("a number")).collect()
}

fn main() {
    driftline::ops::memory::ordinary_pages(); // as the service's main does
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["broker"] => {
            let broker = Embedded::start(Options::default()).expect("a free port");
            println!("{}", broker.address());
            std::io::stdin().read_line(&mut String::new()).ok();
        }
        ["load", brokers, pairs] => load(brokers, pairs.parse().expect("a number of pairs")),
        ["bare", brokers, round] => measured(|| bare(&settings(brokers, round))),
        ["service", brokers, round] => measured(|| service(brokers, round)),
        ref rest => report(rest.first().and_then(|n| n.parse().ok()).unwrap_or(1_000_000)),
    }
}

fn report(pairs: u64) {
    let mut broker = child(&["broker"]);
    let address = line(&mut broker);
    load(&address, pairs);
    println!(
        "{pairs} pairs: predictions of 258 B (Avro, 20 doubles), outcomes of 38 B, window 10 min, {PARTITIONS} partitions, 1 join and 1 detect thread"
    );
    // in turns: a machine's speed changes from one second to the next
    let mut cpu = [0.0; 2];
    for round in 1..=ROUNDS {
        for (who, sum) in ["bare", "service"].into_iter().zip(&mut cpu) {
            let f = figures(&[who, &address, &round.to_string()]);
            let (speed, per_cpu) = (pairs as f64 / f[0], pairs as f64 / f[1]);
            println!("{who:>9} {round}: {speed:>9.0} pairs/s {per_cpu:>9.0} pairs per CPU second, peak {:.0} MB", f[2]);
            *sum += f[1];
        }
    }
    println!("CPU per pair: {:.2} times that of the bare poll", cpu[1] / cpu[0]);
    drop(broker.stdin.take());
    broker.wait().ok();
}
