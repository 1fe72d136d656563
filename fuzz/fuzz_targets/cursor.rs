//! Where a page of a list goes on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_metadata::fuzz::cursor(data);
    streamgate_worker::fuzz::cursor(data);
});
