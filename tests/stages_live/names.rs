//! Features are numbered as a decoder meets them. A task that stays with its member over a rebalance meets a new decoder.

use crate::world::{MINUTE, SECOND, START, World};
use driftline::codec::wire::{Kind, Reader};
use driftline::engine::partial::read;
use driftline::engine::summary::form::NumericForm;
use driftline::engine::types::Partition;
use std::time::Duration;

fn predict(world: &World, id: &str, features: &str) {
    let at = world.now;
    let value = format!(
        r#"{{"request_id":"{id}","event_time":{at},"model":"fraud","score":0.5,"label":"yes","features":{{{features}}},"segments":{{}}}}"#
    );
    for partition in [0, 1] {
        world.cluster.write("p", Some(Partition(partition)), at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    }
}

#[test]
fn features_keep_their_names_when_a_task_stays_over_a_rebalance() {
    let mut world = World::new(START, |_| {});
    world.pass(MINUTE, SECOND, |_| {});
    predict(&world, "first", r#""x":1,"y":2"#);
    world.pass(MINUTE, SECOND, |_| {});
    let mut other = World::join(&world.cluster, &world.settings, "other");
    world.pass(MINUTE, SECOND, |_| {
        other.1.step(&mut other.0, Duration::ZERO).expect("the other member goes on");
    });
    assert_eq!(world.tasks().len(), 1, "the other member has one of the two");
    assert!(world.join.1.counters.restores_ms.is_empty(), "the task that stayed was not built again");
    predict(&world, "second", r#""y":2,"x":1"#);
    world.pass(MINUTE, SECOND, |_| {
        other.1.step(&mut other.0, Duration::ZERO).expect("the other member goes on");
    });
    let mut seen = [0, 0];
    for record in world.cluster.read_committed("shop.summaries").expect("read") {
        let value = record.value.expect("a value");
        let Ok(mut body) = Reader::open_as(&value, Kind::Partial) else { continue };
        for signals in read(&mut body).expect("a partial").entries.into_iter().map(|e| e.summary.signals) {
            for (count, (name, own)) in seen.iter_mut().zip([("feature:x", 1.0), ("feature:y", 2.0)]) {
                let form = signals.get(name).and_then(|s| s.numeric.as_ref());
                let Some(NumericForm::Learning { sample, .. }) = form else { continue };
                assert!(sample.values().all(|v| *v == own), "{name} has a value of another feature: {sample:?}");
                *count += sample.items().len();
            }
        }
    }
    assert_eq!(seen, [4, 4], "two predictions in each of two partitions");
}
