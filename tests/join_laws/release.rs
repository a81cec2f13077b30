//! Release: what is let go is gone for good, the same rows for the engine, for the model and after a crash; and memory falls.

use crate::driver::Driver;
use crate::history::{Booking, Bookings, Draw, Event, History, STEP, all_rules, rules};
use crate::journal::{any_limits, at_or_after, end_epoch, recover};
use crate::model::Model;
use driftline::engine::definitions::JoinRules;
use driftline::engine::journal::open;
use driftline::engine::types::{EpochSeq, EventTime, Input, Span};

const HISTORIES: u64 = 60;

/// Who decides what is let go at an epoch's end.
#[derive(Clone, Copy, PartialEq)]
enum Edge {
    /// Time alone: what the rules call overdue.
    Time,
    /// A memory that is full whenever it likes.
    Memory,
}

/// Decides at the end of an epoch, for both.
fn let_go(driver: &mut Driver<'_>, model: &mut Model, edge: Edge, r: &mut Draw) -> u64 {
    let decided: Vec<_> = match edge {
        Edge::Time => driver.join.overdue().collect(),
        Edge::Memory if r.percent(30) => {
            Input::BOTH.into_iter().filter_map(|i| driver.join.oldest(i, r.below(12) as usize).map(|up_to| (i, up_to))).collect()
        }
        Edge::Memory => Vec::new(),
    };
    decided.into_iter().map(|(input, up_to)| (driver.release(input, up_to), model.release(input.index(), up_to)).0).sum()
}

/// Engine and model side by side, with crashes; how much was let go, or what went wrong.
fn side_by_side(rules: JoinRules, history: &History, seed: u64, share: u64, crashes: u64, edge: Edge) -> Result<u64, String> {
    let (mut driver, mut model, mut r, mut journal) = (Driver::new(rules, history), Model::new(rules), Draw(seed), Vec::new());
    let (limits, mut gone) = (any_limits(&mut r), 0);
    driver.join.cleaning.limits = limits;
    let mut committed = model.clone();
    while let Some(input) = driver.choose(&mut r, share) {
        let event = history.inputs[input][driver.next[input]];
        driver.step(input);
        if input == 0 {
            model.predict(event)
        } else {
            model.outcome(event)
        }
        if r.percent(15) {
            gone += let_go(&mut driver, &mut model, edge, &mut r);
            journal.extend(end_epoch(&mut driver));
            committed = model.clone();
        }
        if r.percent(crashes) && !journal.is_empty() {
            let floor = open(journal.last().unwrap()).unwrap().facts.unwrap().floor;
            let (mut join, facts) = recover(rules, &at_or_after(&journal, floor));
            let facts = facts.unwrap();
            if join.floor(facts.seq) != facts.floor {
                return Err(format!("floor {:?} instead of {:?}", join.floor(facts.seq), facts.floor));
            }
            if join.census() != facts.census {
                return Err(format!("census {:?} instead of {:?}", join.census(), facts.census));
            }
            driver.join = join;
            driver.join.cleaning.limits = limits;
            driver.next = facts.next.map(|o| o.0 as usize);
            driver.open = Bookings::default();
            model = committed.clone();
        }
    }
    end_epoch(&mut driver);
    if driver.booked == model.booked { Ok(gone) } else { Err("other bookings than the model's".into()) }
}

fn law(crashes: u64, edge: Edge) {
    let mut gone = 0;
    for rules in all_rules() {
        let rules = JoinRules { hold: Span(5 * STEP), ..rules };
        for seed in 0..HISTORIES {
            let history = History::random(seed);
            for (share, salt) in [(50, 1), (97, 2), (3, 3)] {
                let run = |h: &History| side_by_side(rules, h, seed * 10 + salt, share, crashes, edge);
                match run(&history) {
                    Ok(n) => gone += n,
                    Err(why) => {
                        let shortest = history.shrunk(|h| run(h).is_err());
                        panic!("history {seed} under {rules:?}, {share} % predictions: {why}; shortened: {:#?}", shortest.inputs)
                    }
                }
            }
        }
    }
    assert!(gone > 4_000, "only {gone} rows were let go");
}

#[test]
fn what_time_lets_go_is_what_the_model_lets_go() {
    law(0, Edge::Time);
}

#[test]
fn what_a_full_memory_lets_go_is_what_the_model_lets_go() {
    law(0, Edge::Memory);
}

#[test]
fn a_recovery_obeys_what_was_let_go() {
    law(12, Edge::Time);
    law(12, Edge::Memory);
}

/// Predictions go on, one a step, after the outcomes have stopped at step `stop`.
fn outcomes_stop(predictions: i64, stop: i64) -> History {
    let predictions = (0..predictions).map(|i| Event { id: i as u64, at: 100 + i, said: 1 }).collect();
    History { inputs: [predictions, (0..stop).map(|i| Event { id: i as u64, at: 100 + i, said: 1 }).collect()] }
}

#[test]
fn nothing_is_overdue_within_window_and_hold() {
    // lateness 8 and 6: the two watermarks are 2 steps apart before the outcomes stop
    let rules = JoinRules { hold: Span(40 * STEP), ..rules(5, 0) };
    let history = outcomes_stop(200, 10);
    let mut driver = Driver::new(rules, &history);
    (0..10).for_each(|_| (driver.step(0), driver.step(1)).0);
    let lag = |d: &Driver<'_>| d.join.clocks[0].before().since(d.join.clocks[1].watermark());
    while lag(&driver) < Span(100 * STEP) {
        assert_eq!(driver.join.overdue().next(), None);
        driver.step(0);
    }
    assert_eq!(driver.join.overdue().next(), None, "at window + hold");
    driver.step(0);
    // the first rows are matched; unlabelled are those whose outcomes never came
    let up_to = driver.join.clocks[0].before().minus(Span(100 * STEP));
    assert_eq!(driver.join.overdue().collect::<Vec<_>>(), [(Input::Predictions, up_to)]);
}

#[test]
fn outcomes_of_released_predictions_are_orphans_and_predictions_of_released_outcomes_unlabelled() {
    let (rules, event) = (rules(5, 0), |id, at| Event { id, at, said: 1 });
    let history =
        History { inputs: [vec![event(1, 100), event(3, 400)], vec![event(3, 390), event(9, 400), event(1, 101), event(3, 401)]] };
    let mut driver = Driver::new(rules, &history);
    driver.step(0);
    driver.release(Input::Predictions, EventTime(100 * STEP));
    driver.step(1);
    driver.release(Input::Outcomes, EventTime(390 * STEP));
    driver.end_epoch();
    (0..3).for_each(|_| driver.step(1));
    driver.step(0);
    driver.end_epoch();
    let count = |what: fn(&Booking) -> bool| -> u64 { driver.booked.0.values().flatten().filter(|(b, _)| what(b)).map(|(_, n)| n).sum() };
    assert_eq!(count(|b| matches!(b, Booking::Unlabelled { .. })), 1);
    assert_eq!(count(|b| matches!(b, Booking::Pair { .. })), 1, "of the prediction that came later, with the outcome that came later");
    assert_eq!(count(|b| matches!(b, Booking::Orphan)), 1, "the outcome that was let go; the other two still wait or belong to nobody yet");
}

#[test]
fn memory_falls_when_rows_are_let_go() {
    let rules = JoinRules { window: Span(40_000 * STEP), hold: Span(0), ..rules(5, 0) };
    let history = outcomes_stop(90_000, 10);
    let mut driver = Driver::new(rules, &history);
    (0..10).for_each(|_| (driver.step(0), driver.step(1)).0);
    let mut most = 0;
    while driver.next[0] < 90_000 {
        driver.step(0);
        if driver.next[0].is_multiple_of(2_000) {
            let overdue: Vec<_> = driver.join.overdue().collect();
            for (input, up_to) in overdue {
                driver.release(input, up_to);
            }
            driver.end_epoch();
            most = most.max(driver.join.census().0);
        }
    }
    assert!((40_000..43_000).contains(&most), "{most} rows at most: those of window + hold");
    let before = driver.join.bytes();
    let up_to = driver.join.oldest(Input::Predictions, usize::MAX).unwrap();
    assert_eq!(up_to, driver.join.clocks[0].before().minus(Span(1)), "never into what may still be accepted");
    let gone = driver.release(Input::Predictions, up_to);
    assert!(gone > 39_000 && driver.join.bytes() * 10 < before, "{gone} rows gone, {} of {before} bytes left", driver.join.bytes());
    assert!(driver.join.live_bytes() < 200 * 200);
    let last = end_epoch(&mut driver);
    let facts = open(&last[0]).unwrap().facts.unwrap();
    assert!(facts.released().eq([(Input::Predictions, up_to)]) && facts.seq > EpochSeq(1));
    assert!(facts.floor.0 + 2 > facts.seq.0, "the outcomes' clock stands still, but the journal needs nothing of what was let go");
}
