//! ASS events, as in files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_captions::fuzz::event(data);
});
