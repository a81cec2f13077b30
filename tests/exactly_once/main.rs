//! The promise under kills: two processes over 200,000 pairs publish the same alerts and summaries whether they are left alone or
//! killed twenty times, and both publish what the engine alone says.
//!
//! Plain `cargo test` runs it on the embedded broker; DRIFTLINE_TEST_KAFKA=1 on an Apache Kafka of its own (`tests/kafka/kafka.sh`).

mod brute;
mod compare;
mod config;
mod harness;
mod oracle;
mod process;
mod scene;
#[path = "../kit/split_mix.rs"]
mod split_mix;
mod topics;
#[path = "../kit/wait.rs"]
mod wait;

use compare::Published;
use config::offline;
use harness::{Blow, Violence, run};
use scene::Scene;
use split_mix::SplitMix64;
use std::sync::OnceLock;

const PREDICTIONS: usize = 204_000;
const KILLS: usize = 20;
/// Kills that must fall before the last prediction is committed.
const KILLS_IN_THE_STREAM: usize = 15;

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| Scene::new(PREDICTIONS))
}

fn expected() -> &'static Published {
    static EXPECTED: OnceLock<Published> = OnceLock::new();
    EXPECTED.get_or_init(|| oracle::publishes(scene(), &offline()))
}

fn calm() -> &'static Published {
    static CALM: OnceLock<Published> = OnceLock::new();
    CALM.get_or_init(|| {
        let run = run(scene(), &Violence::default());
        println!("undisturbed: {:?}, {} alerts, {} partials", run.took, run.published.alerts.count(), run.published.partials.len());
        run.published
    })
}

#[test]
fn the_scene_has_everything_that_real_topics_have() {
    let counted = brute::total(&brute::count(scene(), &offline().definitions.join));
    println!("{counted:?}");
    assert!(counted.accepted >= 200_000 && counted.pairs >= 190_000, "{counted:?}");
    let rare = [counted.late, counted.duplicates, counted.repeated, counted.conflicting, counted.unlabelled, counted.orphans];
    assert!(rare.iter().all(|n| *n >= 500) && counted.before_start > 0, "{counted:?}");
    let reasons = expected().alerts.reasons();
    println!("{reasons:?}");
    assert!(["opened", "escalated", "reminder", "recovered"].iter().all(|r| reasons.contains_key(*r)), "{reasons:?}");
    assert_eq!(expected().letters.0.len(), 40);
}

#[test]
fn the_engine_counts_what_the_rules_say() {
    let naive = brute::count(scene(), &offline().definitions.join);
    let summaries = brute::of_summaries(expected().merged());
    for pane in naive.keys().chain(summaries.keys()) {
        assert_eq!(summaries.get(pane), naive.get(pane), "(is a pair pane, pane) = {pane:?}: summaries against a naive count");
    }
}

#[test]
fn an_undisturbed_run_publishes_what_the_engine_says() {
    calm().must_equal("the undisturbed run", expected(), "the oracle");
}

#[test]
fn a_run_that_was_killed_twenty_times_publishes_the_same_alerts() {
    let predictions = Scene::count(&scene().predictions) as i64;
    let seed = std::env::var("DRIFTLINE_TEST_SEED").map_or(9, |s| s.parse().expect("a number"));
    let mut draw = SplitMix64(seed);
    let mut blows: Vec<_> = (0..KILLS).map(|_| (draw.between(predictions / 50, predictions * 19 / 20), Blow::Kill)).collect();
    blows[0] = (predictions * 2 / 5, Blow::Absence);
    blows.push((predictions / 2, Blow::Stop));
    let killed = run(scene(), &Violence { blows, seed });
    println!("killed: {:?}, {} kills, {} of them in the stream", killed.took, killed.kills, killed.kills_in_the_stream);
    assert_eq!(killed.kills, KILLS);
    assert!(
        killed.kills_in_the_stream >= KILLS_IN_THE_STREAM,
        "{} kills came too late: the run is too fast",
        KILLS - killed.kills_in_the_stream
    );
    killed.published.must_equal("the killed run", calm(), "the undisturbed run");
    killed.published.must_equal("the killed run", expected(), "the oracle");
}
