//! Heads of requests and responses between host and plugin.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_plugin_api::fuzz::boundary_head(data);
    streamgate_plugin_api::fuzz::boundary_request(data);
});
