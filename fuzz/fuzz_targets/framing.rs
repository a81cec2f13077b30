#![no_main]
use driftline::codec::framing::unframe;
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = unframe(data);
});
