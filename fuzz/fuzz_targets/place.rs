//! Places as they are typed, and a record that they are looked up in: a place that is read is shown as one that means the same.
#![no_main]
use driftline::codec::decoder::PredictionDecoder;
use driftline::config::place::{parse, shown};
use driftline::config::settings::{Features, FieldSource, Fields, Format, Source};
use driftline::engine::types::{Offset, Partition};
use driftline::log::{NoHeaders, Record, TopicIx};
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let texts = [input.text(), input.text(), input.text()];
    let mut places = Vec::new();
    for text in &texts {
        match parse(text) {
            Ok(steps) => {
                assert_eq!(parse(&shown(&steps)).as_ref(), Ok(&steps), "{text:?}");
                places.push(steps);
            }
            Err(fault) => assert!(fault.width > 0 && fault.at <= text.chars().count(), "{text:?}: {fault:?}"),
        }
    }
    let mut places = places.into_iter();
    let (score, label, features) = (places.next(), places.next(), places.next());
    let constant = || Some(FieldSource::Const("1".to_string()));
    let fields = Fields {
        request_id: constant(),
        event_time: Some((FieldSource::Timestamp, driftline::config::settings::TimeUnit::Millis)),
        model: constant(),
        score: score.map(FieldSource::Path),
        label: label.map(FieldSource::Path),
        features: features.map(|path| Features { path, exclude: Vec::new(), names: Vec::new() }),
        ..Fields::default()
    };
    let source = Source { topic: "t".to_string(), format: Format::Json, fields, when: Vec::new(), explode: None, protect: None };
    let mut decoder = PredictionDecoder::new(&source, &[]).expect("JSON needs no schema");
    let record = Record {
        topic: TopicIx(0),
        partition: Partition(0),
        offset: Offset(0),
        timestamp: 1_760_000_000_000,
        append_time: true,
        key: None,
        value: Some(input.0),
        headers: &NoHeaders,
    };
    let first = decoder.decode(&record).map(|p| format!("{p:?}"));
    assert_eq!(first, decoder.decode(&record).map(|p| format!("{p:?}")), "a warm decoder says the same");
});
