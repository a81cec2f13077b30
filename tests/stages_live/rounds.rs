//! Chunks of detect state come round in time, and an epoch writes little.

use crate::world::{MINUTE, PARTITIONS, SECOND, START, World};
use driftline::engine::monitor::chunks::CHUNKS;
use std::collections::BTreeMap;

#[test]
fn every_chunk_is_rewritten_within_fifteen_minutes_and_no_epoch_writes_many() {
    let mut world = World::new(START, |_| {});
    world.pass(40 * MINUTE, SECOND, |w| {
        if w.now % (5 * SECOND) == 0 {
            (0..PARTITIONS).for_each(|p| w.predict(p, w.now, &format!("{p}-{}", w.now)));
        }
    });
    let mut written: BTreeMap<Vec<u8>, Vec<i64>> = BTreeMap::new();
    let mut chunks_at: BTreeMap<i64, usize> = BTreeMap::new();
    for record in world.cluster.read_committed("shop.state").expect("read") {
        let key = record.key.expect("records of state have keys");
        if key.starts_with(b"chunk/") {
            *chunks_at.entry(record.timestamp).or_default() += 1;
            written.entry(key).or_default().push(record.timestamp);
        }
    }
    assert_eq!(written.len(), CHUNKS);
    for (key, mut times) in written {
        times.insert(0, START);
        times.push(world.now);
        let longest = times.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(longest <= 15 * MINUTE, "{} was not written for {} s", String::from_utf8_lossy(&key), longest / SECOND);
        assert!(times.len() < 10, "{} was written {} times in 40 minutes", String::from_utf8_lossy(&key), times.len() - 2);
    }
    assert!(chunks_at.values().all(|n| *n <= CHUNKS / 8), "chunks by epoch: {chunks_at:?}");
}
