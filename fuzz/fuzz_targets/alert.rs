//! Alerts as subscribers read them: JSON and Avro.
#![no_main]
use driftline::codec::alert::{Format, decode, encode, headers};

driftline_fuzz::target!(|data| {
    for format in [Format::Json, Format::Avro] {
        let Ok(alert) = decode(data, format) else { continue };
        let once = encode(&alert, format).expect("what was read is written");
        let copy = decode(&once, format).expect("what was written is read");
        assert_eq!(encode(&copy, format).expect("written"), once);
        std::hint::black_box(headers(&alert, format));
    }
});
