//! Cleaning the journal: it stays near twice what its live rows need, in bounded steps, and a half copied bucket counts for nothing.

use crate::driver::Driver;
use crate::history::{Draw, Event, History, rules};
use crate::journal::{end_epoch, recover};
use driftline::engine::definitions::JoinRules;
use driftline::engine::join::Limits;
use driftline::engine::journal::open;
use driftline::engine::types::{EpochSeq, Span};

/// What a live row of these histories takes in the journal with its share of the dictionary, rounded up.
const ROW: u64 = 40;
/// Facts, copies and changes of the epochs between two looks at the journal.
const ROOM: u64 = 8 * 1024;

/// Three predictions a step over three windows; nine of ten get their outcome at once, the rest never does.
fn few_old_rows() -> (JoinRules, History) {
    let rules = JoinRules { window: Span(2_000 * crate::history::STEP), ..rules(5, 0) };
    let (mut predictions, mut outcomes) = (Vec::new(), Vec::new());
    for i in 0..18_000u64 {
        let at = 100 + i as i64 / 3;
        predictions.push(Event { id: i, at, said: i % 4 });
        // the clock of the outcomes goes on whether or not there is one for this prediction
        outcomes.push(if i % 10 == 3 { Event { id: 1_000_000 + i, at, said: 1 } } else { Event { id: i, at: at + 1, said: i % 3 } });
    }
    (rules, History { inputs: [predictions, outcomes] })
}

/// What each epoch left behind.
struct Epochs {
    /// Bytes from the floor, live entries, bytes of the epoch itself.
    weights: Vec<(u64, u64, u64)>,
    journal: Vec<Vec<u8>>,
}

fn epochs(limits: Limits) -> Epochs {
    let (rules, history) = few_old_rows();
    let (mut driver, mut r) = (Driver::new(rules, &history), Draw(3));
    driver.join.cleaning.limits = limits;
    let mut all = Epochs { weights: Vec::new(), journal: Vec::new() };
    let mut lengths: Vec<u64> = Vec::new();
    loop {
        for _ in 0..30 + r.below(40) {
            let slower = usize::from(driver.next[1] < driver.next[0]);
            if driver.next[slower] < history.inputs[slower].len() {
                driver.step(slower);
            }
        }
        let records = end_epoch(&mut driver);
        lengths.push(records.iter().map(|r| r.len() as u64).sum());
        let (rows, waiting, _) = driver.join.census();
        let floor = open(&records[0]).unwrap().facts.unwrap().floor;
        let from_floor = lengths[floor.0 as usize - 1..].iter().sum();
        assert!(driver.join.cleaning.journal_bytes() >= from_floor, "the ledger may lag behind the floor, never run ahead of it");
        all.weights.push((from_floor, rows + waiting, *lengths.last().unwrap()));
        all.journal.extend(records);
        if driver.next.iter().zip(&history.inputs).all(|(n, all)| *n == all.len()) {
            return all;
        }
    }
}

const EAGER: Limits = Limits { least: 0, times: 2, per_epoch: 2 * 1024 };
const NEVER: Limits = Limits { least: u64::MAX, times: 2, per_epoch: 2 * 1024 };

#[test]
fn the_journal_from_its_floor_stays_near_twice_the_live_rows() {
    let weights = epochs(EAGER).weights;
    let most = weights.iter().map(|(bytes, live, _)| *bytes as i64 - 2 * (*live * ROW) as i64).max().unwrap();
    assert!(most < ROOM as i64, "{most} bytes above twice the live rows");
    let (left_alone, live, _) = *epochs(NEVER).weights.last().unwrap();
    assert!(left_alone > 4 * live * ROW + ROOM, "without cleaning it has {left_alone} bytes for {live} entries: the law says nothing");
}

#[test]
fn an_epoch_copies_a_bounded_number_of_bytes() {
    let (cleaned, alone) = (epochs(EAGER).weights, epochs(NEVER).weights);
    let more = cleaned.iter().zip(&alone).map(|(c, a)| (c.2 - a.2).saturating_sub(a.2.max(EAGER.per_epoch as u64))).max().unwrap();
    assert!(more < 256, "{more} bytes more than an epoch may copy");
    assert!(cleaned.iter().zip(&alone).any(|(c, a)| c.2 - a.2 > 256), "nothing was copied");
}

#[test]
fn a_short_journal_is_left_alone() {
    let (least, alone) = (epochs(Limits { least: 64 * 1024, ..EAGER }).weights, epochs(NEVER).weights);
    let begun = least.iter().zip(&alone).position(|(l, a)| l.2 > a.2).expect("it grows long");
    assert!(least[begun].0 + least[begun].2 > 60 * 1024, "begun with {} bytes", least[begun].0);
}

#[test]
fn a_restart_from_the_floor_goes_on_with_the_same_floor() {
    let (rules, _) = few_old_rows();
    let journal = epochs(EAGER).journal;
    let mut moved = 0;
    for end in (1..=journal.len()).step_by(23) {
        let facts = open(&journal[end - 1]).unwrap().facts.unwrap();
        let from = facts.floor.0 as usize - 1;
        let (mut join, _) = recover(rules, &journal[from..end]);
        assert_eq!((join.census(), join.floor(facts.seq)), (facts.census, facts.floor), "after epoch {end}");
        moved += u64::from(facts.floor > EpochSeq(facts.seq.0 / 2));
    }
    assert!(moved > 5, "the floor follows the copies");
}

/// History is read in one long epoch that holds every bucket; the number of the epoch that does not need it any more.
fn first_epoch_without_the_backlog(restart_after: Option<u64>) -> u64 {
    let (rules, history) = few_old_rows();
    let limits = Limits { times: 0, ..EAGER };
    let (mut driver, mut journal) = (Driver::new(rules, &history), Vec::new());
    driver.join.cleaning.limits = limits;
    (0..10_000).for_each(|i| driver.step(i % 2));
    for seq in 1.. {
        journal.extend(end_epoch(&mut driver));
        if driver.join.floor(EpochSeq(seq)) > EpochSeq(1) {
            return seq;
        }
        if restart_after == Some(seq) {
            driver.join = recover(rules, &journal).0;
            driver.join.cleaning.limits = limits;
        }
        (0..20).for_each(|i| driver.step(i % 2));
    }
    unreachable!()
}

#[test]
fn a_restart_does_not_undo_what_was_copied() {
    let undisturbed = first_epoch_without_the_backlog(None);
    assert!(undisturbed > 8, "the backlog was copied in {undisturbed} epochs: too few for a restart between them");
    let restarted = first_epoch_without_the_backlog(Some(undisturbed - 3));
    assert!(restarted <= undisturbed + 1, "{restarted} epochs instead of {undisturbed}: at most the half copied bucket is begun again");
}
