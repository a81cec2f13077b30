//! The journal's topic stays short although its oldest rows live long, and what is left of it is enough.

use crate::world::{MINUTE, PARTITIONS, SECOND, START, World};
use driftline::config::settings::Settings;
use driftline::engine::join::Limits;
use driftline::engine::types::Span;

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
