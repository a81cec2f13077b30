//! A summaries partition: partials, marks, definitions and proposals in any order; then its state, rebuilt, is the same.
#![no_main]
use driftline::codec::wire::Kind;
use driftline::engine::monitor::restore::Restore;
use driftline::engine::monitor::state::Rewrite;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::types::{EpochSeq, Offset, Partition};
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let (mut monitor, mut offset, mut effects) = (Monitor::new(Partition(0)), 0, Effects::default());
    while let Some(record) = input.record() {
        if monitor.observe(Offset(offset), &record, &mut effects).is_err() {
            return;
        }
        offset += 1;
        for versioned in std::mem::take(&mut effects.definitions) {
            monitor.observe(Offset(offset), &versioned.to_bytes(), &mut effects).expect("our own definitions");
            offset += 1;
        }
    }
    let (written, _) = monitor.state(EpochSeq(1), Offset(offset), Rewrite::ALL);
    let mut restore = Restore::default();
    written.iter().for_each(|r| restore.observe(&r.value).expect("what was written is read"));
    let Ok(replay) = restore.begin(Partition(0)) else { panic!("what was written is rebuilt") };
    let rebuilt = replay.finish().expect("nothing is to be replayed");
    assert_eq!(rebuilt.progress(), monitor.progress());
    assert_eq!(rebuilt.versions().len(), monitor.versions().len());
    assert_eq!(rebuilt.streams().count(), monitor.streams().count());
    std::hint::black_box(Kind::Partial);
});
