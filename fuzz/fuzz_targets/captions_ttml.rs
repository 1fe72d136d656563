//! Documents of TTML, as MP4 carries them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_captions::fuzz::document(data);
});
