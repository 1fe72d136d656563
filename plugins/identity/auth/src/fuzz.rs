//! Entries for the fuzz targets, not an API: bytes as a client may send them, and what must hold whatever they are.

use streamgate_contracts::ethereum::message_hash;

use crate::sign_in::siwe::{self, Message};
use crate::sign_in::typed_data::SignIn;
use crate::sign_in::{signature, siws};

/// What a wallet is said to have signed, its address and its signature: what is read is printed as it
/// was, and nothing that is made up signs anything.
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
