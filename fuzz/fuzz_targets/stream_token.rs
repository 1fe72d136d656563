//! Tokens of gated addresses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_streaming::fuzz::stream_token(data);
});
