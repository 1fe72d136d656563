//! W3C Trace Context.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_plugin_api::fuzz::traceparent(data);
});
