//! Paths under `/v`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_streaming::fuzz::stream_path(data);
});
