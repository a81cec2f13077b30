//! Mapping expressions (paths, units, constants, keys, headers) as they are typed, and records that they are applied to.
#![no_main]
use driftline::codec::decoder::{OutcomeDecoder, PredictionDecoder};
use driftline::config::load_text;
use driftline::engine::types::{Offset, Partition};
use driftline::log::{Record, TopicIx};
use driftline_fuzz::Pieces;
use std::path::Path;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let (predictions, outcomes) = (input.text(), input.text());
    let head = "app: a\nkafka: { brokers: 'b:1' }\n";
    let text = format!("{head}predictions: {{ topic: p, fields: {predictions} }}\noutcomes: {{ topic: o, fields: {outcomes} }}\n");
    // a quick refusal, or most of the time would go into the words of complaints
    let Ok(settings) = load_text("fuzz.yaml", &text, &|_| None, Path::new("/nonexistent")) else { return };
    let timestamp = i64::from(i32::from_le_bytes(std::array::from_fn(|_| input.byte()))) * 1_000_000;
    let headers = [(input.text(), Some(input.piece().to_vec()))];
    let (key, value) = (input.piece(), input.0);
    let dimensions: Vec<String> = settings.predictions.fields.dimensions.keys().cloned().collect();
    let mut decoder = PredictionDecoder::new(&settings.predictions, &dimensions).expect("JSON needs no schema");
    let record = Record {
        topic: TopicIx(0),
        partition: Partition(0),
        offset: Offset(0),
        timestamp,
        append_time: true,
        key: Some(key),
        value: Some(value),
        headers: &headers.to_vec(),
    };
    let first = decoder.decode(&record).map(|p| format!("{p:?}"));
    let second = decoder.decode(&record).map(|p| format!("{p:?}"));
    assert_eq!(first, second, "a warm decoder says the same");
    let _ = OutcomeDecoder::new(&settings.outcomes).expect("JSON needs no schema").decode(&record);
});
