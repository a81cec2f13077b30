//! Inputs that stop: memory ends somewhere, panes go on, and what was decided holds after a restart.

use crate::world::{HOUR, MINUTE, PARTITIONS, SECOND, START, World, outcome};
use driftline::config::settings::Settings;
use driftline::engine::journal::{Activity, open};
use driftline::engine::types::{EventTime, Input, Offset, Partition};
use driftline::log::memory::{CommitFault, MemberOptions, MemoryLog};
use driftline::log::{Commit, Log, OutRecord};
use driftline::ops::metrics::Metrics;
use driftline::ops::status::join_view;
use std::time::Duration;

/// The page of metrics. It takes what the member has counted.
fn page(world: &mut World) -> String {
    let metrics = Metrics::new(&world.settings);
    metrics.absorb_join("join-0", &mut world.join.1, world.now);
    metrics.render()
}

/// Six hours of predictions, one every 20 s and partition; outcomes for those of the first hour alone.
fn outcomes_stop(adapt: impl FnOnce(&mut Settings)) -> World {
    let world = World::new(START + 6 * HOUR, adapt);
    for i in 0..6 * 180 {
        let at = START + i * 20 * SECOND;
        for p in 0..PARTITIONS {
            world.predict(p, at, &format!("{p}-{i}"));
            if at < START + HOUR {
                world.outcome(p, at + SECOND, &format!("{p}-{i}"));
            }
        }
    }
    world
}

#[test]
fn predictions_whose_outcomes_have_stopped_are_released_after_window_and_hold() {
    let mut world = outcomes_stop(|s| s.epoch.records = 100);
    world.pass(5 * MINUTE, 100, |_| {});
    let tally = world.tally();
    assert_eq!((tally.accepted, tally.joined), (2 * 6 * 180, 2 * 180), "{tally:?}");
    // what is younger than window + hold (90 minutes) and the lateness still waits
    let young = 2 * 90 * 3;
    assert!((young..young + 20).contains(&world.rows()), "{} rows, {tally:?}", world.rows());
    assert_eq!(tally.unlabelled + tally.joined + world.rows(), tally.accepted, "every prediction is one of these: {tally:?}");
    assert!(tally.released[0] > 0 && tally.released[1] == 0, "{tally:?}");

    // their outcomes come after all: nobody waits for them, but those of younger predictions are welcome
    let census: Vec<_> = world.tasks().iter().map(|t| t.join.census()).collect();
    world.restart_join();
    assert_eq!(world.tasks().iter().map(|t| t.join.census()).collect::<Vec<_>>(), census, "the rows that were let go do not come back");
    let (old, young) = (START + 2 * HOUR, START + 6 * HOUR - 10 * MINUTE);
    for at in [old, young] {
        for p in 0..PARTITIONS {
            (0..6).for_each(|i| world.outcome(p, at + i * 20 * SECOND, &format!("{p}-{}", (at - START) / 20 / SECOND + i)));
        }
    }
    world.pass(5 * MINUTE, 100, |_| {});
    let later = world.tally();
    assert_eq!((later.joined - tally.joined, later.orphans - tally.orphans), (12, 12), "{later:?}");
    assert!(!page(&mut world).contains(r#"driftline_input_stuck{input="outcomes",partition="0"} 1"#), "an end is no hanging transaction");
}

#[test]
fn a_full_memory_lets_the_oldest_rows_go() {
    let most_rows = 200;
    let mut world = outcomes_stop(|s| (s.epoch.records, s.memory_limit) = (50, 100 * most_rows));
    let mut most = 0;
    world.pass(5 * MINUTE, 100, |w| most = most.max(w.rows()));
    let tally = world.tally();
    assert_eq!(tally.accepted, 2 * 6 * 180, "{tally:?}");
    // within an epoch there may be more: what one turn judges
    assert!(world.rows() <= most_rows && most < 800, "{} rows, {most} at most; {tally:?}", world.rows());
    assert!(tally.released[0] > 1_000, "{tally:?}");
    assert!(page(&mut world).contains(&format!(r#"driftline_released_total{{input="predictions"}} {}"#, tally.released[0])));
    let census: Vec<_> = world.tasks().iter().map(|t| t.join.census()).collect();
    world.restart_join();
    assert_eq!(world.tasks().iter().map(|t| t.join.census()).collect::<Vec<_>>(), census);
}

/// Begins a transaction in the outcomes of partition 0 that nobody ends; where it begins.
fn hang(world: &World) -> Offset {
    let options = MemberOptions { patience: Duration::from_secs(900), ..MemberOptions::new("labels", "job", &["o"]) };
    let mut producer = MemoryLog::open(world.cluster.clone(), options).expect("opened");
    producer.fail_next_commit(CommitFault::Unknown { happened: false });
    let (key, value) = (Some(b"late".to_vec()), Some(outcome(world.now, "late").into_bytes()));
    let at = world.cluster.with(|c| c.partition("o", 0).map(|log| log.ends().high)).expect("there");
    let record = OutRecord { topic: "o".into(), partition: Some(Partition(0)), key, value, headers: Vec::new() };
    assert!(matches!(producer.commit(&[record], &[]), Ok(Commit::Unknown(_))));
    at
}

#[test]
fn an_input_behind_a_transaction_that_nobody_ends_is_stuck_after_ten_minutes_and_holds_nobody_back() {
    let mut world = World::new(START, |_| {});
    let live = |w: &World| {
        if w.now % (5 * SECOND) == 0 {
            for p in 0..PARTITIONS {
                w.predict(p, w.now, &format!("{p}-{}", w.now));
                w.outcome(p, w.now, &format!("{p}-{}", w.now));
            }
        }
    };
    world.pass(5 * MINUTE, SECOND, live);
    let (hung, at) = (world.now, hang(&world));
    let activity = |w: &World| w.tasks()[0].activity;
    world.pass(9 * MINUTE + 30 * SECOND, SECOND, |w| {
        live(w);
        assert_eq!(activity(w), [Activity::Active; 2], "never idle while a transaction is open");
    });
    assert!(world.pair_time() <= hung, "until then it holds pair panes back: what it hides may come");
    world.pass(2 * MINUTE, SECOND, live);
    assert_eq!((activity(&world), world.tasks()[0].hanging[1].stuck_at), ([Activity::Active, Activity::Stuck], Some(at)));
    assert!(world.pair_time() > hung + 9 * MINUTE, "panes go on");

    let status = join_view(&world.join.1, &|_, _, _| None).to_string();
    assert!(status.contains(r#""activity":"Stuck""#) && status.contains(&format!(r#""open_transaction_at_offset":{}"#, at.0)), "{status}");
    assert!(page(&mut world).contains(r#"driftline_input_stuck{input="outcomes",partition="0"} 1"#));

    let journal = world.cluster.read_committed("shop.journal").expect("read");
    let last = journal.iter().filter(|r| r.partition == Partition(0)).filter_map(|r| open(r.value.as_deref()?).ok()?.facts).next_back();
    assert_eq!(last.expect("an epoch").activity[Input::Outcomes.index()], Activity::Stuck, "it is recorded");
    world.restart_join();
    assert_eq!(activity(&world)[1], Activity::Stuck, "and obeyed by a successor");

    // the broker ends the transaction after 15 minutes
    world.pass(5 * MINUTE, SECOND, live);
    assert_eq!((activity(&world), world.tasks()[0].hanging[1].stuck_at), ([Activity::Active; 2], None));
    let clock = world.tasks()[0].join.clocks[1].watermark();
    assert!(clock > EventTime(hung + 11 * MINUTE), "what it held back is read: {clock:?}");
    assert!(world.tally().joined > 100, "and finds its predictions: {:?}", world.tally());
}
