//! One prediction with 20 numbers, from bytes to an event and back: JSON and Avro by our own schema, and Avro by a registry's id.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driftline::codec::decoder::PredictionDecoder;
use driftline::codec::framing::SchemaId;
use driftline::codec::schemas::PREDICTION;
use driftline::codec::writers::{Answer, SchemaKind, Schemas, Written};
use driftline::config::load_text;
use driftline::engine::types::{Offset, Partition};
use driftline::log::{NoHeaders, Record, TopicIx};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

#[path = "../tests/kit/avro.rs"]
mod avro_bytes;
use avro_bytes::{long, text};

/// The example's shape: 577 bytes, ids and times as they come, doubles of 16 digits.
fn json() -> Vec<u8> {
    let features: Vec<String> = (0..20).map(|i| format!("\"f{i:02}\":{}", (i * 7919 + 13) as f64 / 9973.0)).collect();
    let head = "\"request_id\":\"7c9e6679-7425-40de\",\"event_time\":1760000000123,\"model\":\"fraud\",\"score\":0.8125,\"label\":1";
    format!("{{{head},\"features\":{{{}}},\"segments\":{{\"country\":\"DE\"}}}}", features.join(",")).into_bytes()
}

fn avro() -> Vec<u8> {
    let mut bytes = [text("7c9e6679-7425-40de"), long(1_760_000_000_123), text("fraud"), long(0)].concat();
    bytes.extend([long(1), 0.8125f64.to_le_bytes().to_vec(), long(1), text("1"), long(0), long(20)].concat());
    for i in 0..20 {
        bytes.extend([text(&format!("f{i:02}")), long(1), ((i * 7919 + 13) as f64 / 9973.0).to_le_bytes().to_vec()].concat());
    }
    bytes.extend([long(0), long(1), text("country"), text("DE"), long(0), long(0)].concat());
    bytes
}

/// A registry that has our own schema under every id.
struct Ours;

impl Schemas for Ours {
    fn answer(&self, _: SchemaId) -> Answer {
        Answer::Is(Arc::new(Written { kind: SchemaKind::Avro, text: PREDICTION.to_string(), references: Vec::new(), subject: None }))
    }
    fn news(&self) -> u64 {
        0
    }
    fn is_away(&self) -> bool {
        false
    }
}

fn bench(c: &mut Criterion) {
    for (format, value) in [("json", json()), ("avro", avro()), ("registry", [&[0, 0, 0, 0, 7], &avro()[..]].concat())] {
        let registry = if format == "registry" { "registry: { url: 'http://r:1' }" } else { "" };
        let text = format!(
            "app: a\nkafka: {{ brokers: 'b:1' }}\npredictions: {{ topic: p, format: {format} }}\noutcomes: {{ topic: o }}\nsegments: {{ by: [[country]] }}\n{registry}\n"
        );
        let settings = load_text("d.yaml", &text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
        let mut decoder = PredictionDecoder::with(&settings.predictions, &settings.definitions.dimensions, Some(Arc::new(Ours))).unwrap();
        let mut group = c.benchmark_group("decode");
        group.throughput(Throughput::Bytes(value.len() as u64));
        group.bench_function(format!("{format} {} B, 20 doubles", value.len()), |b| {
            b.iter(|| {
                let record = Record {
                    topic: TopicIx(0),
                    partition: Partition(0),
                    offset: Offset(0),
                    timestamp: 1_760_000_000_500,
                    append_time: false,
                    key: None,
                    value: Some(black_box(&value)),
                    headers: &NoHeaders,
                };
                assert!(decoder.ready(&record));
                let event = decoder.decode(&record).unwrap();
                black_box(&event);
                decoder.recycle(event);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
