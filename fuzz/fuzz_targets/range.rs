//! `Range` and its conditions, and the names of objects: no key leaves the root.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_plugin_api::fuzz::range(data);
    streamgate_storage_fs::fuzz::key(data);
    streamgate_streaming::fuzz::range(data);
});
