//! What a wallet is said to have signed, its address and its signature.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| streamgate_auth::fuzz::message(data));
