//! The join alone: one prediction in, its outcome out, with 100,000 and 1,000,000 rows alive. Run: `cargo bench --bench join`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use driftline::engine::definitions::JoinRules;
use driftline::engine::join::{Join, NewOutcome, NewPrediction};
use driftline::engine::journal::{Activity, Epoch};
use driftline::engine::types::{EpochSeq, EventTime, Offset, RequestKey, Span};
use std::hint::black_box;

fn rules(window_ms: i64) -> JoinRules {
    JoinRules {
        lateness: [Span::seconds(1); 2],
        window: Span(window_ms),
        early: Span::ZERO,
        duplicates: Span::seconds(1),
        settle: Span::ZERO,
        hold: Span::hours(24),
    }
}

/// A prediction a millisecond, its outcome `live` ms later; an epoch every 10,000 records.
fn run(join: &mut Join, at: &mut i64, live: i64) {
    let key = |i: i64| RequestKey((i as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let cell = join.cells.intern("m", None, &[]);
    let (mut pairs, mut decisions) = (Vec::new(), Vec::new());
    for _ in 0..10_000 {
        let t = *at;
        join.predict(&NewPrediction { offset: Offset(t), key: key(t), time: EventTime(t), cell, score: 0.5, label: 1 }, &mut pairs);
        if t >= live {
            black_box(join.outcome(&NewOutcome { offset: Offset(t), key: key(t - live), time: EventTime(t), label: 1, value: f64::NAN }));
        }
        *at += 1;
    }
    join.expire(&mut decisions);
    let clocks = join.clocks.map(|c| (c.max, c.peeked));
    let epoch = Epoch {
        seq: join.epoch,
        floor: join.floor(join.epoch),
        next: [Offset(*at); 2],
        clocks,
        first_prediction: None,
        activity: [Activity::Active; 2],
        definitions: 1,
        decisions: Vec::new(),
        census: join.census(),
    };
    black_box(join.changes.take(&epoch));
    join.epoch = EpochSeq(join.epoch.0 + 1);
}

fn pairs(c: &mut Criterion) {
    let mut group = c.benchmark_group("join_pair_with_journal");
    group.throughput(Throughput::Elements(10_000)).sample_size(20);
    for live in [100_000i64, 1_000_000] {
        let mut join = Join::new(rules(2 * live));
        let mut at = 0;
        while at < live + 50_000 {
            run(&mut join, &mut at, live);
        }
        group.bench_function(BenchmarkId::from_parameter(live), |b| b.iter(|| run(&mut join, &mut at, live)));
    }
    group.finish();
}

criterion_group!(benches, pairs);
criterion_main!(benches);
