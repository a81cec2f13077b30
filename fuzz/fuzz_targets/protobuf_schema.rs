//! Any text as a .proto file, any bytes as a descriptor set, and any bytes as a value of the first message.
#![no_main]
use driftline::codec::oracle::mapping;
use driftline::codec::plan::Plan;
use driftline::codec::protobuf::{Protobuf, Schema, oracle::ours};
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let schema = input.text();
    let _ = Schema::of_set(schema.as_bytes());
    let (paths, features) = input.wanted();
    let Ok(schema) = Schema::of_text(&schema, &[]) else { return };
    let Some(message) = schema.at(&[0]) else { return };
    let mut plan = Plan::new(&mapping(&paths, features));
    if let Ok(protobuf) = Protobuf::compile(&message, &mut plan) {
        let _ = ours(&mut plan, &protobuf, input.0);
    }
});
