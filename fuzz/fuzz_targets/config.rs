//! Lengths of time and sizes in settings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_plugin_api::fuzz::config(data);
});
