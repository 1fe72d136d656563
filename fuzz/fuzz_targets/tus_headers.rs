//! The header fields of tus 1.0.0.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_upload::fuzz::tus_headers(data);
});
