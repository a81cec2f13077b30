//! A monitor's state: any records are refused or give a monitor, and what that one writes gives the same again.
#![no_main]
use driftline::engine::monitor::Monitor;
use driftline::engine::monitor::restore::Restore;
use driftline::engine::monitor::state::Rewrite;
use driftline::engine::types::{EpochSeq, Offset, Partition};
use driftline_fuzz::Pieces;

fn rebuilt<'a>(records: impl Iterator<Item = &'a [u8]>) -> Option<Monitor> {
    let mut restore = Restore::default();
    for record in records {
        restore.observe(record).ok()?;
    }
    let replay = restore.begin(Partition(0)).ok()?;
    replay.finish().ok()
}

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let records: Vec<Vec<u8>> = std::iter::from_fn(|| input.record()).collect();
    let Some(mut monitor) = rebuilt(records.iter().map(Vec::as_slice)) else { return };
    let write = |m: &mut Monitor| m.state(EpochSeq(u64::MAX), Offset(0), Rewrite::ALL).0;
    let once = write(&mut monitor);
    let mut copy = rebuilt(once.iter().map(|r| r.value.as_slice())).expect("what was written is rebuilt");
    let twice = write(&mut copy);
    assert!(once.iter().map(|r| &r.value).eq(twice.iter().map(|r| &r.value)), "written again it is the same");
});
