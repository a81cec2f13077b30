//! Avro values of schemas that are drawn from the input: what apache-avro accepts is accepted, and the same is found in it.
#![no_main]
use driftline::codec::avro::oracle::{Dice, agree};
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let schema = Dice::new(input.piece()).schema(4);
    let (paths, features) = input.wanted();
    agree(&schema, input.0, &paths, features);
});
