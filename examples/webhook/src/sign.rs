//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// A symmetric key of 24 to 64 bytes. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Vec<u8>);

/// Why a text is not a key. It never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidKey {
    #[error("it does not begin with `whsec_`; make one with: echo whsec_$(openssl rand -base64 32)")]
    Prefix,
    #[error("what follows `whsec_` is not base64")]
    Base64,
    #[error("it holds {0} bytes; a secret has 24 to 64")]
    Length(usize),
}

impl Key {
    /// Parses `whsec_<base64>`; surrounding white space is ignored.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvalidKey::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidKey::Base64)?;
        if (24..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidKey::Length(bytes.len())) }
    }

    /// `v1,<base64>`.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// The value of `webhook-signature`: one signature for each key, so that receivers may have the old or the
/// new one during a rotation. `timestamp` is in Unix seconds.
pub(crate) fn signatures(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    keys.iter().map(|key| key.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

    fn example() -> Key {
        Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    #[test]
    fn the_published_example_of_standard_webhooks_is_signed_alike() {
        let signed = signatures(&[example()], ID, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_exchanged_both_sign() {
        let old = Key::parse(&format!("{PREFIX}{}", STANDARD.encode([7; 32]))).unwrap();
        let both = signatures(&[example(), old.clone()], ID, 1, b"x");
        let expected = [signatures(&[example()], ID, 1, b"x"), signatures(&[old], ID, 1, b"x")].join(" ");
        assert_eq!(both, expected);
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_repeated() {
        for (text, error) in [
            ("hunter2", InvalidKey::Prefix),
            ("whsec_%%", InvalidKey::Base64),
            ("whsec_c2hvcnQ=", InvalidKey::Length(5)),
        ] {
            let found = Key::parse(text).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains(text));
        }
        assert_eq!(Key::parse(" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap(), example());
        assert_eq!(format!("{:?}", example()), "Key([redacted])");
    }

    proptest! {
        #[test]
        fn another_id_time_or_body_has_another_signature(
            id in "[a-z0-9-]{1,40}", timestamp in 0_i64..4_000_000_000, body: Vec<u8>, at: prop::sample::Index,
        ) {
            let signed = example().sign(&id, timestamp, &body);
            let later = example().sign(&id, timestamp + 1, &body);
            let other = example().sign(&format!("{id}x"), timestamp, &body);
            prop_assert!(signed != later && signed != other);
            let mut changed = body.clone();
            changed.insert(at.index(body.len() + 1), 0);
            prop_assert_ne!(signed, example().sign(&id, timestamp, &changed));
        }
    }
}
