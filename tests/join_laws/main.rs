//! The join against an independent model, under random interleavings, epochs and crashes.

mod copy_forward;
mod driver;
mod history;
mod journal;
mod model;
mod release;
#[path = "../kit/split_mix.rs"]
mod split_mix;

use driftline::engine::definitions::JoinRules;
use driver::{Course, Driver};
use history::{Draw, History, all_rules};
use model::Model;

/// The oracle of a law runs on this many histories under each of nine rules.
const HISTORIES: u64 = 300;
/// Shares of predictions, in percent, among the next records: both even, one input far ahead of the other.
const COURSES: [u64; 6] = [50, 50, 90, 10, 1, 99];

fn courses(seed: u64) -> impl Iterator<Item = Course> {
    COURSES.into_iter().zip(0..).map(move |(predictions, i)| {
        let (epochs, peeks) = [(10, 20), (100, 0), (3, 50), (30, 10), (10, 100), (0, 0)][i];
        Course { seed: seed * 10 + i as u64, predictions, epochs, peeks }
    })
}

fn expected(rules: JoinRules, history: &History, seed: u64, share: u64) -> history::Bookings {
    let mut r = Draw(seed);
    Model::run(rules, history, || usize::from(!r.percent(share)))
}

/// Checks `law` on every history under all rules; a failure shows the shortest history that breaks it.
fn for_all_histories(law: impl Fn(JoinRules, &History, u64) -> bool) {
    for rules in all_rules() {
        for seed in 0..HISTORIES {
            let history = History::random(seed);
            if !law(rules, &history, seed) {
                let shortest = history.shrunk(|h| !law(rules, h, seed));
                panic!(
                    "history {seed} under {rules:?}, shortened:\npredictions {:#?}\noutcomes {:#?}",
                    shortest.inputs[0], shortest.inputs[1]
                );
            }
        }
    }
}

#[test]
fn the_model_does_not_see_how_the_inputs_interleave() {
    for_all_histories(|rules, history, seed| {
        let first = expected(rules, history, seed, 50);
        [90, 10, 1].into_iter().all(|share| expected(rules, history, seed + 1, share) == first)
    });
}

#[test]
fn what_is_booked_is_what_the_model_books_however_inputs_interleave_and_epochs_end() {
    for_all_histories(|rules, history, seed| {
        let wanted = expected(rules, history, seed, 50);
        courses(seed).all(|course| Driver::run(rules, history, course).0 == wanted)
    });
}

#[test]
fn nothing_is_booked_below_the_mark_that_was_published_before() {
    for_all_histories(|rules, history, seed| courses(seed).all(|course| Driver::run(rules, history, course).1.is_empty()));
}

#[test]
fn a_prediction_that_waits_for_the_look_ahead_is_still_a_duplicate() {
    let (rules, at) = (history::rules(20, 0), |id, at| history::Event { id, at, said: 1 });
    // the second prediction ends, by its own time, the span in which it is a duplicate itself
    let history = History { inputs: [vec![at(1, 100), at(1, 129)], vec![at(1, 100), at(2, 300)]] };
    let mut driver = Driver::new(rules, &history);
    [0, 1, 1].into_iter().for_each(|input| driver.step(input));
    driver.peek(0);
    driver.end_epoch();
    driver.step(0);
    driver.end_epoch();
    let booked: Vec<_> = driver.booked.0.values().flat_map(|counts| counts.keys()).collect();
    assert!(booked.contains(&&history::Booking::DuplicatePrediction), "{booked:?}");
}

#[test]
fn the_histories_hold_every_verdict_often() {
    use history::Booking as B;
    let mut counts = [0u64; 9];
    for (seed, rules) in (0..HISTORIES).flat_map(|s| all_rules().into_iter().map(move |r| (s, r))) {
        for (what, n) in expected(rules, &History::random(seed), seed, 50).0.into_values().flatten() {
            let i = match what {
                B::Accepted { .. } => 0,
                B::Late => 1,
                B::DuplicatePrediction => 2,
                B::Pair { .. } => 3,
                B::DuplicateOutcome => 4,
                B::ConflictingOutcome => 5,
                B::Unlabelled { .. } => 6,
                B::Orphan => 7,
                B::BeforeStart => 8,
            };
            counts[i] += n;
        }
    }
    assert!(counts.iter().all(|n| *n > 300), "{counts:?}");
}
