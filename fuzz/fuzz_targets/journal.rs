//! A join task's journal: any records are refused or give a task, and a task that was rebuilt can go on.
#![no_main]
use driftline::engine::definitions::JoinRules;
use driftline::engine::join::Recovery;
use driftline::engine::journal::{Changes, open};
use driftline::engine::types::Span;
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let hour = Span::hours(1);
    let rules = JoinRules { lateness: [hour; 2], window: Span::hours(24), early: hour, duplicates: hour, settle: hour, hold: hour };
    let (mut recovery, mut cells, mut last) = (Recovery::new(rules), Vec::new(), None);
    let mut input = Pieces(data);
    while let Some(record) = input.record() {
        let Ok(part) = open(&record) else { return };
        if let Some(facts) = &part.facts {
            let again = Changes::default().take(facts).remove(0);
            assert_eq!(open(&again).expect("what was written is read").facts.as_ref(), Some(facts));
            cells.clear();
            recovery.epoch(part.seq);
            last = Some(facts.clone());
        }
        if part.apply(&mut recovery, &mut cells).is_err() {
            return;
        }
        recovery.read(part.seq, record.len());
    }
    if let Some(facts) = last {
        let mut join = recovery.finish(&facts);
        join.expire(&mut Vec::new());
        join.copy_forward();
        std::hint::black_box(join.census());
    }
});
