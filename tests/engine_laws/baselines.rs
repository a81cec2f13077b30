//! Files that say what is normal: the whole model is compared with them, from one pane on, whoever dies.

use super::monitor::{Told, definitions, detected_at, must_say_the_same, told_of};
use driftline::baseline::build::{Cell, Look, Names, Row};
use driftline::engine::baseline::profile::Profile;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::plan::Versioned;
use driftline::engine::types::{Offset, PaneId, Partition};

/// Of 20,000 rows in which x is normal around `mean`, t is like in the stream, and `gone` is a feature that the stream never has.
fn profile(model: &str, mean: f64) -> Profile {
    let mut names = Names::default();
    let [x, t, gone] = ["feature:x", "feature:t", "feature:gone"].map(|n| names.number(n));
    let rows: Vec<Row> = (0..20_000u32)
        .map(|i| {
            // a sum of three uniform numbers, with variance one: nearly normal
            let part = |k: u32| f64::from(i.wrapping_mul(k) % 20_011) / 20_011.0;
            let z = (part(7_919) + part(104_729) + part(1_299_709) - 1.5) * 2.0;
            let text = Cell::Text(["a", "a", "b", "c"][(i % 4) as usize].into());
            vec![(x, Cell::Number(z + mean)), (gone, Cell::Number(z * z))].into_iter().chain((i % 5 > 0).then_some((t, text))).collect()
        })
        .collect();
    let mut look = Look::default();
    rows.iter().for_each(|row| look.row(row.clone()));
    let mut count = look.fix(&names);
    rows.into_iter().for_each(|row| count.row(row));
    count.profile(model, 0, &names).unwrap().0
}

fn of_whole<'a>(told: &'a Told, signal: &str) -> Vec<&'a String> {
    let signal = format!("signal: \"{signal}\"");
    told.said.alerts.iter().filter(|a| a.contains(&signal) && a.contains("model: \"fraud\"") && a.contains("segment: {}")).collect()
}

#[test]
fn a_stream_that_never_changed_is_found_to_differ_from_the_file_and_no_segment_is_compared_with_it() {
    let shifted = profile("fraud", 1.0);
    for seed in 1..=2 {
        let told = told_of(seed, definitions(), vec![(-1, shifted.to_bytes())]);
        must_say_the_same(seed, &told.log, &told.said);
        let found = of_whole(&told, "feature:x");
        let first = found.first().expect("x lies one sigma below the file's");
        assert!(first.contains("reason: Opened") && first.contains("What is normal is a baseline file's."), "{first}");
        assert!((480_000..500_000).contains(&detected_at(first)), "as soon as it is known how panes vary: {first}");
        // segments know nothing of the file, and learn what they show
        let early = |a: &&String| a.contains("signal: \"feature:x\"") && a.contains("segment: {\"") && detected_at(a) < 560_000;
        assert_eq!(told.said.alerts.iter().filter(early).count(), 0);
        // bins are the file's from the first pane on that no source can have reached
        let bins: Vec<&String> = told.said.edges.iter().filter(|e| e.contains("\"feature:x\"") && e.contains("model: \"fraud\"")).collect();
        assert_eq!(bins.iter().filter(|e| e.contains("Numeric(")).count(), 1, "nobody learns them any more");
        assert_eq!(bins.iter().filter(|e| e.contains("Rarity(")).count(), 1);
        assert!(told.said.edges.iter().any(|e| e.contains("Loda(") && e.contains("model: \"fraud\"")));
    }
}

#[test]
fn a_feature_of_the_file_that_never_comes_is_missing() {
    let told = told_of(3, definitions(), vec![(-1, profile("fraud", 0.0).to_bytes())]);
    let missing = of_whole(&told, "null:gone");
    let first = missing.first().expect("it is missing in every prediction, and never in the file");
    assert!(first.contains("reason: Opened") && first.contains("What is normal is a baseline file's."), "{first}");
    assert!(of_whole(&told, "feature:x").iter().all(|a| detected_at(a) > 560_000), "x is as in the file until everything is different");
}

#[test]
fn a_file_takes_the_place_of_what_was_learnt_and_of_another_file_and_none_is_obeyed_twice() {
    let (first, second) = (profile("fraud", 1.0), profile("fraud", 0.0));
    let records = [(-1, &first), (495, &second), (600, &first), (610, &second)];
    for seed in 4..=5 {
        let told = told_of(seed, definitions(), records.iter().rev().map(|(at, p)| (*at, p.to_bytes())).collect());
        must_say_the_same(seed, &told.log, &told.said);
        let x = of_whole(&told, "feature:x");
        let ended: Vec<&&String> = x.iter().filter(|a| a.contains("reason: Accepted")).collect();
        assert_eq!(ended.len(), 1, "what differed from the first file is over: {x:?}");
        assert!((555_000..575_000).contains(&detected_at(ended[0])), "{}", ended[0]);
        let versions: Vec<&String> =
            told.said.edges.iter().filter(|e| e.contains("Numeric(") && e.contains("\"feature:x\"") && e.contains("fraud")).collect();
        assert_eq!(versions.len(), 2);
        assert!(versions[0].contains("version: 1") && versions[1].contains("version: 2"), "{versions:?}");
    }
}

#[test]
fn a_file_that_comes_before_anything_waits_until_panes_are_closed() {
    let (mut monitor, mut effects) = (Monitor::new(Partition(0)), Effects::default());
    let given = profile("fraud", 0.0);
    let first = Versioned { version: 1, effective_from: PaneId(i64::MIN), definitions: definitions() };
    for (offset, record) in [given.to_bytes(), first.to_bytes(), given.to_bytes()].into_iter().enumerate() {
        monitor.observe(Offset(offset as i64), &record, &mut effects).unwrap();
    }
    assert!(effects.edges.is_empty() && monitor.knows_baseline(given.id()));
    assert_eq!(monitor.baselines().collect::<Vec<_>>(), [("fraud", given.id(), None, 20_000)]);
    assert_eq!(monitor.take_tally().refused_commands, 0, "each process offers its file whenever it starts");
    let broken = Profile { rows: 1, ..given };
    monitor.observe(Offset(3), &broken.to_bytes(), &mut effects).unwrap();
    assert_eq!(monitor.take_tally().refused_commands, 1);
}
