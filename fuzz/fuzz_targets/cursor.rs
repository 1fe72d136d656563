//! The cursors of lists' pages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_metadata::fuzz::cursor(data);
    streamgate_worker::fuzz::cursor(data);
});
