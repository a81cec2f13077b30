//! The embedded broker's wire: requests of one client, each answered, refused, or left waiting.
#![no_main]
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let frames: Vec<&[u8]> = std::iter::from_fn(|| (!input.0.is_empty()).then(|| input.piece())).collect();
    driftline::broker::fuzzing::client(&frames);
});
