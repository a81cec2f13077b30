//! JSON values: accepted if and only if serde_json accepts them, and the same is found in them.
#![no_main]
use driftline::codec::json::oracle::agree;
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let (paths, features) = input.wanted();
    agree(input.0, &paths, features);
});
