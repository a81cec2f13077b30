//! Lengths of time, amounts of memory, instants, event times: text that becomes a number. And the offsets' metadata.
#![no_main]
use driftline::codec::scalar::{Scalar, Tick};
use driftline::codec::time::{EARLIEST, LATEST, event_time};
use driftline::config::settings::TimeUnit;
use driftline::config::{bytes, duration, nearest::advice, raw};
use driftline::log::Pointer;
use driftline_fuzz::Pieces;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let number = i64::from_le_bytes(std::array::from_fn(|_| input.byte()));
    let float = f64::from_bits(number as u64);
    let text = String::from_utf8_lossy(input.0);
    if let Ok(span) = duration::parse(&text) {
        assert_eq!(duration::parse(&duration::format(span)), Ok(span));
    }
    let _ = (bytes::parse(&text), raw::Time::parse(&text), advice(&text, ["country", "channel"]));
    if let Ok(pointer) = text.parse::<Pointer>() {
        assert_eq!(pointer.to_string().parse(), Ok(pointer));
    }
    for unit in [TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos, TimeUnit::Auto] {
        let scalars =
            [Scalar::Text(text.clone()), Scalar::Integer(number, None), Scalar::Number(float, None), Scalar::Instant(number, Tick::Day)];
        for scalar in scalars {
            if let Ok(time) = event_time(&scalar, unit, number) {
                assert!((EARLIEST..LATEST).contains(&time.0));
            }
        }
    }
});
