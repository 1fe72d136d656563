//! TTML documents, as in MP4 files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_captions::fuzz::document(data);
});
