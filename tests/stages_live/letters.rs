//! Dead letters: each is kept, and memory stays bounded, because they count towards the size at which an epoch ends.

use crate::world::{HOUR, SECOND, START, World};
use driftline::engine::types::Partition;

#[test]
fn dead_letters_of_64_mib_end_an_epoch_and_fewer_do_not() {
    let mut world = World::new(START, |s| (s.epoch.records, s.epoch.time.0) = (u64::MAX, HOUR));
    world.pass(60 * SECOND, SECOND, |_| {}); // inputs without records are idle, which ends an epoch, too
    let kept = |w: &World| w.cluster.with(|c| c.partition("shop.dead-letters", 0).map(|log| log.ends().last_stable.0)).expect("there");
    let bad = vec![b'x'; 1_000_000];
    let fits = (64 << 20) / (bad.len() + 1_000); // each has headers, too
    let write = |w: &World| w.cluster.write("p", Some(Partition(0)), w.now, None, Some(&bad), &[]).expect("written");
    (0..fits).for_each(|_| _ = write(&world));
    world.pass(10 * SECOND, 100, |_| {});
    assert_eq!((kept(&world), world.join.1.counters.dead_letters.len()), (0, 0), "the epoch goes on");
    write(&world);
    write(&world);
    world.pass(10 * SECOND, 100, |_| {});
    let counted: u64 = world.join.1.counters.dead_letters.values().sum();
    assert!(kept(&world) > fits as i64 && counted > fits as u64, "{} are kept, {counted} counted", kept(&world));
}
