//! The journal's topic stays short although its oldest rows live long, and what is left of it is enough.

use crate::world::{MINUTE, PARTITIONS, SECOND, START, World, outcome, prediction};
use driftline::config::settings::Settings;
use driftline::engine::join::Limits;
use driftline::engine::types::{Partition, Span};
use driftline::log::memory::{SharedCluster, Step};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Ten hours of window; nine of ten predictions have settled a minute after their outcome.
fn long_window(settings: &mut Settings) {
    settings.definitions.join.window = Span::hours(10);
    settings.definitions.join.settle = Span::minutes(1);
    settings.definitions.join.duplicates = Span::minutes(1);
}

fn live(w: &World) {
    if w.now % (5 * SECOND) == 0 {
        for p in 0..PARTITIONS {
            let (id, labelled) = (format!("{p}-{}", w.now), w.now % (50 * SECOND) != 0);
            w.predict(p, w.now, &id);
            w.outcome(p, w.now, if labelled { &id } else { "of nobody" });
        }
    }
}

/// Records of a partition's journal that are still there, from the first offset on.
fn left(world: &World) -> Vec<(i64, i64)> {
    let ends = |p| world.cluster.with(|c| c.partition("shop.journal", p).map(|log| log.ends())).expect("there");
    (0..PARTITIONS).map(|p| (ends(p).low.0, ends(p).high.0)).collect()
}

#[test]
fn old_rows_are_copied_and_what_lies_before_them_is_deleted() {
    let run = |limits: Limits| {
        let mut world = World::new(START, |s| {
            long_window(s);
            s.journal = limits;
        });
        world.pass(60 * MINUTE, SECOND, live);
        world.pass(MINUTE, SECOND, |_| {}); // the last epoch is committed
        world
    };
    let (mut cleaned, alone) = (run(Limits { least: 0, times: 2, per_epoch: 4_000 }), run(Limits::default()));
    assert!(left(&alone).iter().all(|(low, _)| *low == 0), "a short journal is left alone: {:?}", left(&alone));
    assert!(left(&cleaned).iter().all(|(low, high)| low * 2 > *high), "{:?}", left(&cleaned));

    assert_eq!(cleaned.rows(), alone.rows());
    let census: Vec<_> = cleaned.tasks().iter().map(|t| t.join.census()).collect();
    assert_eq!(census, alone.tasks().iter().map(|t| t.join.census()).collect::<Vec<_>>(), "cleaning changes no row");
    cleaned.restart_join();
    assert_eq!(census, cleaned.tasks().iter().map(|t| t.join.census()).collect::<Vec<_>>(), "nor does a restart from what is left");
}

#[test]
fn a_member_that_never_lives_for_two_minutes_does_not_leave_an_ever_longer_journal() {
    let mut world = World::new(START, |s| {
        long_window(s);
        s.journal = Limits { least: 0, times: 2, per_epoch: 4_000 };
    });
    for _ in 0..40 {
        world.pass(90 * SECOND, SECOND, live);
        world.restart_join();
    }
    assert!(left(&world).iter().all(|(low, high)| low * 2 > *high), "{:?}", left(&world));
}

/// While it stands still the group gives its partitions to another member, which writes on and leaves: what the sleeper then asks of the
/// journal's end is no longer the end of its own epoch.
#[test]
fn a_member_that_stands_still_after_a_commit_deletes_nothing_that_a_recovery_needs() {
    let mut world = World::new(START, |_| {});
    world.pass(10 * MINUTE, 10 * SECOND, |w| records_of_a_minute(&w.cluster, w.now));
    let (armed, slept) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)));
    let (other, cluster) = (RefCell::new(World::join(&world.cluster, &world.settings, "pod-2")), world.cluster.clone());
    world.join.0.between_steps(Rc::new({
        let slept = slept.clone();
        move |step| {
            if step != Step::Committed || !armed.replace(false) {
                return;
            }
            let (log, stage) = &mut *other.borrow_mut();
            for _ in 0..45 * 6 {
                let now = cluster.with(|c| c.now_ms()) + 10 * SECOND;
                cluster.advance(now);
                records_of_a_minute(&cluster, now);
                stage.step(log, Duration::ZERO).expect("the other one works");
            }
            assert!(stage.tasks().count() == PARTITIONS as usize && stage.counters.epochs > 40);
            stage.stop(log).expect("the other one leaves");
            slept.set(45 * MINUTE);
        }
    }));
    world.pass(MINUTE, 10 * SECOND, |w| records_of_a_minute(&w.cluster, w.now));
    world.now += slept.get();
    world.pass(4 * MINUTE, 10 * SECOND, |w| records_of_a_minute(&w.cluster, w.now));
    assert!(slept.get() > 0 && world.rows() > 0);
    world.restart_join();
}

/// A prediction and an outcome for each partition, once a minute.
fn records_of_a_minute(cluster: &SharedCluster, now: i64) {
    if now % MINUTE != 0 {
        return;
    }
    for p in 0..PARTITIONS {
        let id = format!("{p}-{now}");
        for (topic, value) in [("p", prediction(now, &id)), ("o", outcome(now, &format!("other-{id}")))] {
            cluster.write(topic, Some(Partition(p)), now, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
        }
    }
}
