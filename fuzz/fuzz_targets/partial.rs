//! Partial summaries: what is read and written again is the same, and merging is possible.
#![no_main]
use driftline::codec::wire::{Kind, Reader};
use driftline::engine::partial::{Origin, Partial, encode, read};
use driftline_fuzz::sealed;

fn again(p: &Partial) -> Vec<Vec<u8>> {
    encode(Origin { source: p.source, seq: p.seq, definitions: p.definitions }, &p.model, p.entries.clone())
}

driftline_fuzz::target!(|data| {
    let record = sealed(Kind::Partial as u8, data);
    let Ok(mut partial) = read(&mut Reader::open_as(&record, Kind::Partial).expect("a seal that fits")) else { return };
    for once in again(&partial) {
        let copy = read(&mut Reader::open_as(&once, Kind::Partial).expect("written just now")).expect("what was written is read");
        assert_eq!(again(&copy), [once], "written again it is the same");
    }
    if let Some(mut whole) = partial.entries.pop() {
        let kind = whole.kind();
        for entry in partial.entries.iter().filter(|e| e.kind() == kind) {
            whole.summary.merge(&entry.summary, |_| None);
        }
    }
});
