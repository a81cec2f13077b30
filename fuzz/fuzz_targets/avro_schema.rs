//! Any text as an Avro schema, and any bytes as a value of it.
#![no_main]
use driftline::codec::avro::{Avro, oracle::ours};
use driftline::codec::oracle::mapping;
use driftline::codec::plan::Plan;
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let schema = input.text();
    let (paths, features) = input.wanted();
    let mut plan = Plan::new(&mapping(&paths, features));
    if let Ok(avro) = Avro::compile(&schema, &mut plan) {
        let _ = ours(&mut plan, &avro, input.0);
    }
});
