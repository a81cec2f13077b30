//! Protobuf values of messages that are drawn from the input: what prost-reflect accepts is accepted, and the same is found in it.
#![no_main]
use driftline::codec::avro::oracle::Dice;
use driftline::codec::protobuf::oracle::{Drawn, agree};
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let schema = Drawn::schema(&mut Dice::new(input.piece()));
    let (paths, features) = input.wanted();
    agree(&schema, input.0, &paths, features);
});
