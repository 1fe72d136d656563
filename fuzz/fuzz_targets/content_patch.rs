//! JSON merge patches of a content.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_metadata::fuzz::patch(data);
});
