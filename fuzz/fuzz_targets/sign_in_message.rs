//! The message that a wallet claims to have signed, its address and its signature.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| streamgate_auth::fuzz::message(data));
