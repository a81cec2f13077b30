//! The journal: a join that is built again from its records goes on as if nothing had happened.

use crate::driver::Driver;
use crate::history::{Booking, Bookings, Draw, History, all_rules};
use driftline::codec::wire::{Kind, Reader};
use driftline::engine::cell::{CellId, CellKey};
use driftline::engine::definitions::JoinRules;
use driftline::engine::join::{Join, Limits, NewPrediction, Recovery};
use driftline::engine::journal::{Activity, Changes, Epoch, open, read_cell_key};
use driftline::engine::types::{EpochSeq, EventTime, Input, Offset, RequestKey};
use std::collections::BTreeMap;

const HISTORIES: u64 = 120;
/// Bytes before a record's body: kind, version, length.
const HEAD: usize = 6;

/// What a journal record could lack.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Without {
    /// The outcomes that wait for their prediction.
    WaitingOutcomes,
    /// Their effective time: the event time stands in its place.
    EffectiveTime,
    /// The offset of a match's row: the first row with the id stands in its place.
    RowOffset,
    /// What the first outcome said.
    OutcomeValue,
    /// The match state of rows that were copied forward.
    CopiedMatch,
    /// Waiting outcomes that were copied forward (one that is there already is no copy).
    CopiedWaiting,
}

/// Ends an epoch as `flow::end_join_epoch` does and returns its journal records.
pub fn end_epoch(driver: &mut Driver<'_>) -> Vec<Vec<u8>> {
    let seq = driver.join.epoch;
    driver.end_epoch();
    driver.join.epoch = seq;
    driver.join.copy_forward();
    let epoch = Epoch {
        seq,
        floor: driver.join.floor(seq),
        next: driver.next.map(|n| Offset(n as i64)),
        clocks: driver.join.clocks.map(|c| (c.max, c.peeked)),
        first_prediction: driver.join.first_prediction(),
        activity: [Activity::Active; 2],
        definitions: 1,
        decisions: driver.join.released().collect(),
        census: driver.join.census(),
    };
    let records = driver.join.changes.take(&epoch);
    driver.join.wrote(seq, records.iter().map(|r| r.len() as u64).sum());
    driver.join.epoch = EpochSeq(seq.0 + 1);
    records
}

/// Builds a join from records and returns it with the facts of the last epoch.
pub fn recover(rules: JoinRules, journal: &[Vec<u8>]) -> (Join, Option<Epoch>) {
    let (mut recovery, mut cells, mut facts) = (Recovery::new(rules), Vec::new(), None);
    for record in journal {
        let part = open(record).unwrap();
        if part.part.0 == 0 {
            cells.clear();
            recovery.epoch(part.seq);
            facts = part.facts.clone();
        }
        part.apply(&mut recovery, &mut cells).unwrap();
        recovery.read(part.seq, record.len());
    }
    match &facts {
        None => (Join::new(rules), None),
        Some(f) => (recovery.finish(f), facts),
    }
}

/// The same with a decoder of our own that leaves something out.
fn recover_without(rules: JoinRules, journal: &[Vec<u8>], lacks: Without, history: &History, floor: EpochSeq) -> Join {
    let (mut recovery, mut last) = (Recovery::new(rules), None);
    // without copies nothing is missed as long as the first writing is there
    let from = if matches!(lacks, Without::CopiedMatch | Without::CopiedWaiting) { floor } else { EpochSeq(0) };
    let mut before = Offset(0);
    let mut rows: BTreeMap<RequestKey, Offset> = BTreeMap::new();
    let mut key_of: BTreeMap<Offset, RequestKey> = BTreeMap::new();
    for record in journal {
        let facts = open(record).unwrap().facts.expect("short histories have one part an epoch");
        if facts.seq < from {
            before = facts.next[1];
            continue;
        }
        // the facts end where they end in the record of an epoch without changes
        let begin = Changes::default().take(&facts)[0].len() - HEAD;
        let mut r = Reader::open_as(record, Kind::Journal).unwrap();
        (0..begin).for_each(|_| assert!(r.byte().is_ok()));
        recovery.epoch(facts.seq);
        let mut cells: Vec<CellKey> = Vec::new();
        while !r.is_empty() {
            match r.byte().unwrap() {
                0 => cells.push(read_cell_key(&mut r).unwrap()),
                tag @ (1 | 5) => {
                    let (offset, key, time) = (Offset(r.int().unwrap()), RequestKey(r.key().unwrap()), EventTime(r.int().unwrap()));
                    let cell = &cells[r.uint().unwrap() as usize];
                    let (label, score) = values(&mut r);
                    let first = (tag == 5 && r.byte().unwrap() == 1).then(|| {
                        let (e, (label, value)) = (EventTime(r.int().unwrap()), values(&mut r));
                        (e, label, value)
                    });
                    let first = first.filter(|_| lacks != Without::CopiedMatch);
                    rows.entry(key).or_insert(offset);
                    key_of.insert(offset, key);
                    recovery.row(&NewPrediction { offset, key, time, cell: CellId(0), score, label }, cell, first);
                }
                2 => {
                    let (row, e, said) = (Offset(r.int().unwrap()), EventTime(r.int().unwrap()), values(&mut r));
                    let row = if lacks == Without::RowOffset { key_of.get(&row).map_or(row, |k| rows[k]) } else { row };
                    let said = if lacks == Without::OutcomeValue { (0, f64::NAN) } else { said };
                    recovery.matched(row, e, said.0, said.1);
                }
                3 => {
                    let (offset, key, e) = (Offset(r.int().unwrap()), RequestKey(r.key().unwrap()), EventTime(r.int().unwrap()));
                    let (label, value) = values(&mut r);
                    let e = if lacks == Without::EffectiveTime { history.inputs[1][offset.0 as usize].time() } else { e };
                    let copy = offset < before;
                    if lacks != Without::WaitingOutcomes && !(copy && lacks == Without::CopiedWaiting) {
                        recovery.waiting(key, offset, e, label, value);
                    }
                }
                4 => recovery.consumed(Offset(r.int().unwrap())),
                6 => {
                    let input = Input::BOTH[usize::from(r.byte().unwrap())];
                    recovery.copied(input, r.int().unwrap(), EpochSeq(r.uint().unwrap()));
                }
                other => panic!("a change of kind {other}"),
            }
        }
        before = facts.next[1];
        last = Some(facts);
    }
    last.map_or_else(|| Join::new(rules), |f| recovery.finish(&f))
}

fn values(r: &mut Reader<'_>) -> (u64, f64) {
    let there = r.byte().unwrap();
    let label = if there & 1 != 0 { r.fixed64().unwrap() } else { 0 };
    (label, if there & 2 != 0 { r.float().unwrap() } else { f64::NAN })
}

/// Never, now and then, always and in tiny steps.
pub fn any_limits(r: &mut Draw) -> Limits {
    match r.below(6) {
        0 => Limits { least: u64::MAX, times: 2, per_epoch: 0 },
        1 => Limits { least: 600, times: 2, per_epoch: 400 },
        n => Limits { least: 0, times: 0, per_epoch: [1, 60, 200, 2_000][n as usize - 2] },
    }
}

pub fn at_or_after(journal: &[Vec<u8>], floor: EpochSeq) -> Vec<Vec<u8>> {
    journal.iter().filter(|record| open(record).unwrap().seq >= floor).cloned().collect()
}

/// A run with crashes in `crashes` percent of the places where an epoch may end; `Err` says what a recovery got wrong.
fn with_crashes(rules: JoinRules, history: &History, seed: u64, crashes: u64, lacks: Option<Without>) -> Result<Bookings, String> {
    let (mut driver, mut r, mut journal) = (Driver::new(rules, history), Draw(seed), Vec::new());
    // how eagerly the journal is cleaned is nobody's business
    let limits = any_limits(&mut r);
    driver.join.cleaning.limits = limits;
    while let Some(input) = driver.choose(&mut r, 50) {
        if r.percent(15) {
            driver.peek(input);
        } else {
            driver.step(input);
        }
        if r.percent(12) {
            journal.extend(end_epoch(&mut driver));
        }
        if r.percent(crashes) {
            let (whole, facts) = recover(rules, &journal);
            let Some(facts) = facts else { continue };
            if whole.census() != facts.census {
                return Err(format!("census {:?} instead of {:?}", whole.census(), facts.census));
            }
            let (mut short, again) = recover(rules, &at_or_after(&journal, facts.floor));
            if short.floor(facts.seq) != facts.floor {
                return Err(format!("floor {:?} instead of {:?}", short.floor(facts.seq), facts.floor));
            }
            if short.census() != facts.census || again.as_ref() != Some(&facts) {
                return Err(format!("without what lies below floor {:?}: census {:?}", facts.floor, short.census()));
            }
            driver.join = match lacks {
                Some(lacks) => recover_without(rules, &journal, lacks, history, facts.floor),
                None if r.percent(50) => whole,
                None => short,
            };
            if driver.join.epoch != EpochSeq(facts.seq.0 + 1) {
                return Err(format!("epoch {:?} after {:?}", driver.join.epoch, facts.seq));
            }
            driver.join.cleaning.limits = limits;
            driver.next = facts.next.map(|o| o.0 as usize);
            driver.open = Bookings::default();
        }
    }
    end_epoch(&mut driver);
    match driver.below.first() {
        Some((at, what)) if lacks.is_none() => Err(format!("{what:?} at {at:?} lies below the mark")),
        _ => Ok(driver.booked),
    }
}

#[test]
fn crashes_change_nothing_and_what_lies_below_the_floor_is_not_missed() {
    for rules in all_rules() {
        for seed in 0..HISTORIES {
            let history = History::random(seed);
            let wanted = crate::expected(rules, &history, seed, 50);
            for (crashes, salt) in [(2, 1), (15, 2)] {
                let law = |h: &History| with_crashes(rules, h, seed + salt, crashes, None);
                match law(&history) {
                    Err(why) => panic!("history {seed} under {rules:?}: {why}"),
                    Ok(booked) if booked != wanted => {
                        let fails = |h: &History| law(h).is_ok_and(|b| b != crate::expected(rules, h, seed, 50));
                        panic!("history {seed} under {rules:?}: other bookings, shortened: {:#?}", history.clone().shrunk(fails).inputs)
                    }
                    Ok(_) => {}
                }
            }
        }
    }
}

#[test]
fn the_floor_rises_behind_what_is_over() {
    let rules = all_rules()[0];
    let history = History::random(7);
    let (mut driver, mut journal) = (Driver::new(rules, &history), Vec::new());
    let mut r = Draw(7);
    while let Some(input) = driver.choose(&mut r, 50) {
        driver.step(input);
        journal.extend(end_epoch(&mut driver));
    }
    let last = open(journal.last().unwrap()).unwrap().facts.unwrap();
    assert!(last.floor.0 * 4 > last.seq.0 * 3, "epoch {:?} still needs {:?}", last.seq, last.floor);
    assert!(driver.booked.0.values().any(|counts| counts.keys().any(|b| matches!(b, Booking::Orphan))));
}

fn histories_that_differ(lacks: Without) -> usize {
    let differs = |seed: &u64| {
        let rules = all_rules()[*seed as usize % 9];
        let history = History::random(*seed);
        with_crashes(rules, &history, seed + 2, 10, Some(lacks)).as_ref() != Ok(&crate::expected(rules, &history, *seed, 50))
    };
    (0..HISTORIES).filter(differs).count()
}

#[test]
fn a_journal_without_waiting_outcomes_would_be_noticed() {
    assert!(histories_that_differ(Without::WaitingOutcomes) > 100);
}

#[test]
fn a_journal_with_event_times_in_place_of_effective_ones_would_be_noticed() {
    assert!(histories_that_differ(Without::EffectiveTime) > 20);
}

#[test]
fn a_journal_that_names_matches_by_request_id_would_be_noticed() {
    assert!(histories_that_differ(Without::RowOffset) > 20);
}

#[test]
fn copies_without_match_state_would_be_noticed() {
    assert!(histories_that_differ(Without::CopiedMatch) > 20);
}

#[test]
fn a_cleaning_that_forgets_waiting_outcomes_would_be_noticed() {
    assert!(histories_that_differ(Without::CopiedWaiting) > 20);
}

#[test]
fn a_journal_without_the_outcomes_value_would_be_noticed() {
    assert!(histories_that_differ(Without::OutcomeValue) > 20);
}
