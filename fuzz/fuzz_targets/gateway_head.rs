//! Heads of requests at the gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    streamgate_gateway::fuzz::head(data);
});
