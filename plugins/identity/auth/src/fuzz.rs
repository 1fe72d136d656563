//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use streamgate_contracts::ethereum::message_hash;

use crate::sign_in::siwe::{self, Message};
use crate::sign_in::typed_data::SignIn;
use crate::sign_in::{signature, siws};

/// A claimed message, address and signature of a wallet: a parsed message prints unchanged, and no made-up
/// signature verifies.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(message) = Message::parse(text) {
        assert!(message.to_string() == text);
        assert!(text.is_ascii() && text.len() <= siwe::MAX_BYTES);
        assert!(message.nonce.len() >= 8 && !message.domain.is_empty());
    }
    if let Ok(typed) = serde_json::from_slice::<SignIn>(data)
        && let Ok(message) = typed.message()
    {
        assert!(SignIn::of(&message) == typed && typed.digest().is_ok());
    }
    if let Ok(address) = siwe::address(text) {
        assert!(address.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(key) = siws::address(text) {
        assert!(!key.is_weak());
    }
    if let Ok(bytes) = signature::bytes(text) {
        assert!(bytes.len() * 2 + 2 == text.len());
    }
    assert!(signature::recover(&message_hash("x"), data).is_err() || data.len() == 65);
}
