//! The rules of gated contents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_access::fuzz::rule(data);
});
