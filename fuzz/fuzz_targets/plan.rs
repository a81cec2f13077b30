//! The plan topic: edges, categories, progress, definitions; and definitions alone.
#![no_main]
use driftline::engine::definitions::Definitions;
use driftline::engine::plan::{Plan, PlanRecord};
use driftline::engine::types::PaneId;
use driftline_fuzz::Pieces;

fn bytes(record: &PlanRecord) -> Vec<u8> {
    match record {
        PlanRecord::Edges(e) => e.to_bytes(),
        PlanRecord::Progress(p) => p.to_bytes(),
        PlanRecord::Definitions(d) => d.to_bytes(),
    }
}

driftline_fuzz::target!(|data| {
    for format in [1, 2] {
        if let Ok(definitions) = Definitions::from_bytes(data, format) {
            let once = definitions.to_bytes();
            let again = Definitions::from_bytes(&once, definitions.format()).expect("what was written is read");
            assert_eq!((again.to_bytes(), again.format()), (once, definitions.format()));
        }
    }
    let (mut input, mut plan) = (Pieces(data), Plan::default());
    while let Some(record) = input.record() {
        let Ok(record) = PlanRecord::read(&record) else { return };
        let once = bytes(&record);
        assert_eq!(bytes(&PlanRecord::read(&once).expect("what was written is read")), once);
        if let PlanRecord::Edges(e) = &record
            && let driftline::engine::plan::Bins::Numeric(edges) = &e.bins
        {
            [f64::NAN, f64::INFINITY, -0.0, 1e300].iter().for_each(|x| assert!(x.is_nan() || edges.bin_of(*x) < edges.bins()));
        }
        plan.observe(record);
    }
    std::hint::black_box((plan.closed(1), plan.numeric("", "", PaneId(0)).is_some()));
});
