//! Confluent's five bytes and message indexes, the partitioner and the join's key: what is done to bytes before they mean anything.
#![no_main]
use driftline::codec::framing::{Framing, unframe};
use driftline::codec::protobuf::indexes;
use driftline::engine::types::RequestKey;
use driftline::log::partitioner::partition_of;

driftline_fuzz::target!(|data| {
    if let Ok((id, rest)) = unframe(data) {
        let again = [&[0][..], &id.0.to_be_bytes(), rest].concat();
        assert_eq!(again, data, "framed again it is the same");
    }
    for framing in Framing::ALL {
        if let Ok(rest) = framing.open(data, [7; 8]) {
            assert!(data.ends_with(rest));
        }
    }
    let mut count = 0;
    if let Ok(rest) = indexes(data, |_| count += 1) {
        assert!(data.ends_with(rest) && count > 0 && count <= data.len(), "each index takes a byte, but one stands for itself");
    }
    for partitions in [1, 7, 1 << 30] {
        assert!((0..partitions as i32).contains(&partition_of(data, partitions).0));
    }
    std::hint::black_box(RequestKey::of(&String::from_utf8_lossy(data)));
});
