//! Kafka's record batches as the embedded broker and the in-memory log take them, with a checksum that fits.
#![no_main]

driftline_fuzz::target!(driftline::broker::fuzzing::batch);
