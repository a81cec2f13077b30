//! Feeding the stream at a rate, and what was fed.
//!
//! Whoever is more than a second behind (the machine stood still, the broker was slow) lets that time go by: the rate stays as it is,
//! and event times go on from where they were, never ahead of the clock.

use super::stream::{Sink, Stream};
use crate::scene::PARTITIONS;
use crate::topics::{REQUEST, client};
use driftline::config::settings::Settings;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// What the feeder and those who watch it tell each other.
#[derive(Default)]
pub struct Fed {
    /// Records handed to the broker, by input and partition.
    pub records: [[AtomicI64; PARTITIONS as usize]; 2],
    pub positions: AtomicI64,
    /// Time that was let go by, ms.
    pub skipped: AtomicI64,
    /// Time in which nothing was fed because reading was too far behind, ms.
    pub held: AtomicI64,
    pub hold: AtomicBool,
    pub over: AtomicBool,
}

/// A producer of both inputs.
pub struct Feeder<'f> {
    producer: BaseProducer,
    topics: [String; 2],
    fed: &'f Fed,
}

impl Sink for Feeder<'_> {
    fn take(&mut self, input: usize, partition: usize, value: &str) {
        loop {
            let record: BaseRecord<'_, (), str> = BaseRecord::to(&self.topics[input]).partition(partition as i32).payload(value);
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => self.producer.poll(Duration::from_millis(5)),
                Err((e, _)) => panic!("feeding: {e}"),
            };
        }
        self.fed.records[input][partition].fetch_add(1, Ordering::Relaxed);
    }
}

impl<'f> Feeder<'f> {
    pub fn new(settings: &Settings, fed: &'f Fed) -> Result<Feeder<'f>, String> {
        let mut config = client(&settings.kafka.brokers);
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", "lz4");
        config.set("queue.buffering.max.messages", "50000").set("message.timeout.ms", "0");
        let producer = config.create().map_err(|e| e.to_string())?;
        Ok(Feeder { producer, topics: [settings.predictions.topic.clone(), settings.outcomes.topic.clone()], fed })
    }

    /// So many positions as fast as possible, `per_second` to a second of event time that ends at `until`.
    pub fn history(&mut self, stream: &mut Stream, n: i64, per_second: i64, until: i64) {
        for i in 0..n {
            stream.step(until - (n - i) * 1_000 / per_second, self);
            if i % 1_000 == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        self.flush();
    }

    /// At a rate, from now until it is over.
    pub fn steadily(&mut self, stream: &mut Stream, per_second: i64, now_ms: impl Fn() -> i64) {
        let (from, mut epoch, mut began) = (stream.predicted(), now_ms(), Instant::now());
        while !self.fed.over.load(Ordering::Relaxed) {
            let due = |began: Instant| (began.elapsed().as_secs_f64() * per_second as f64) as i64;
            let late = due(began) - (stream.predicted() - from) - per_second;
            if late > 0 {
                let ms = late * 1_000 / per_second;
                began += Duration::from_millis(ms as u64);
                epoch += ms;
                let why = if self.fed.hold.load(Ordering::Relaxed) { &self.fed.held } else { &self.fed.skipped };
                why.fetch_add(ms, Ordering::Relaxed);
            }
            for _ in 0..(due(began) - (stream.predicted() - from)).min(per_second / 50) {
                if self.fed.hold.load(Ordering::Relaxed) {
                    break;
                }
                stream.step(epoch + (stream.predicted() - from) * 1_000 / per_second, self);
            }
            self.fed.positions.store(stream.predicted(), Ordering::Relaxed);
            self.producer.poll(Duration::from_millis(2));
        }
        stream.finish(per_second, self);
        self.flush();
    }

    fn flush(&self) {
        self.producer.flush(REQUEST * 10).expect("the broker takes everything");
    }
}
