//! Sign-In with Solana: the text for a wallet to sign, and the check of its signature. The server builds the
//! text, and builds it again to verify a signature: a text from the client is never trusted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Serialize;

use crate::error::{AuthError, Why};
use crate::sign_in::envelope;

/// The input of a wallet's `signIn` (Wallet Standard, `solana:signIn`). A wallet builds the same text from it
/// as [`SignIn::text`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignIn {
    pub(crate) domain: String,
    pub(crate) address: String,
    pub(crate) statement: String,
    pub(crate) uri: String,
    pub(crate) version: &'static str,
    pub(crate) chain_id: String,
    pub(crate) nonce: String,
    pub(crate) issued_at: String,
    pub(crate) expiration_time: String,
}

impl SignIn {
    /// The message in the text form of Sign-In with Solana.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} wants you to sign in with your Solana account:\n{}\n\n{}\n\nURI: {}\nVersion: {}\n\
             Chain ID: {}\nNonce: {}\nIssued At: {}\nExpiration Time: {}",
            self.domain,
            self.address,
            self.statement,
            self.uri,
            self.version,
            self.chain_id,
            self.nonce,
            self.issued_at,
            self.expiration_time
        )
    }
}

/// The part of the challenge in a nonce, from which the text is rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Which of this server's sites.
    pub(crate) site: u16,
    /// The expected signer.
    pub(crate) key: [u8; 32],
}

impl Known {
    pub(crate) fn bytes(&self) -> [u8; 34] {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&self.site.to_be_bytes());
        bytes[2..].copy_from_slice(&self.key);
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (site, key) = bytes.split_first_chunk()?;
        Some(Self { site: u16::from_be_bytes(*site), key: key.try_into().ok()? })
    }

    pub(crate) fn address(&self) -> String {
        bs58::encode(self.key).into_string()
    }
}

/// The public key of an address: 32 bytes in canonical base58.
pub(crate) fn address(text: &str) -> Result<VerifyingKey, String> {
    let wrong = || format!("`{text}` is not a Solana address");
    // 32 bytes are 32 to 44 digits.
    if !(32..=44).contains(&text.len()) {
        return Err("a Solana address has 32 to 44 characters".into());
    }
    let bytes = bs58::decode(text).into_vec().map_err(|_| wrong())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong())?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())?;
    // Anyone can sign for a key of small order.
    if key.is_weak() || bs58::encode(bytes).into_string() != text {
        return Err(wrong());
    }
    Ok(key)
}

/// Whether the wallet of this address signed the message; `signature` is 64 bytes in base58, and `signed` the
/// bytes that the wallet claims to have signed, in base64, if they are not the bare text.
pub(crate) fn verify(
    wallet: &str,
    message: &str,
    signed: Option<&str>,
    signature: &str,
) -> Result<(), AuthError> {
    let wrong = |detail: &str| Why::InvalidSignature.because(detail);
    let key = address(wallet).map_err(|reason| Why::InvalidRequest.because(format!("{reason}.")))?;
    if signature.len() > 88 {
        return Err(wrong("A Solana signature must be 64 bytes in base58."));
    }
    let bytes = bs58::decode(signature).into_vec().ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| wrong("A Solana signature must be 64 bytes in base58."))?;
    let signed = match signed {
        None => message.as_bytes().to_vec(),
        // In base64 four characters are three bytes.
        Some(text) if text.len() / 4 * 3 > message.len() + envelope::MOST_ADDED => {
            return Err(wrong("`signed_message` is longer than the message in any envelope."));
        }
        Some(text) => STANDARD.decode(text).map_err(|_| wrong("`signed_message` is not base64."))?,
    };
    if !envelope::holds(&signed, message, key.as_bytes()) {
        return Err(wrong("`signed_message` is not the requested message in a known envelope."));
    }
    key.verify_strict(&signed, &Signature::from_bytes(&bytes))
        .map_err(|_| wrong("It is not a signature of this message by this wallet."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verify(wallet: &str, message: &str, signature: &str) -> Result<(), AuthError> {
        super::verify(wallet, message, None, signature)
    }

    use alloy_primitives::hex;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    fn signed(message: &str) -> (String, String) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signature = key.sign(message.as_bytes()).to_bytes();
        (bs58::encode(key.verifying_key().to_bytes()).into_string(), bs58::encode(signature).into_string())
    }

    #[test]
    fn a_signature_holds_for_its_message_and_its_wallet_alone() {
        let (wallet, signature) = signed("hello");
        assert!(verify(&wallet, "hello", &signature).is_ok());
        assert!(verify(&wallet, "hello ", &signature).is_err());
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
        assert!(verify(&bs58::encode(other).into_string(), "hello", &signature).is_err());
    }

    #[test]
    fn what_is_verified_are_the_bytes_that_the_wallet_says_it_signed() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let (wallet, bare) = signed("hello");
        let envelope = |text: &str| [b"\xffsolana offchain\x00\x00\x05\x00", text.as_bytes()].concat();
        let verify = |text: &str, bytes: &[u8], signature: &str| {
            super::verify(&wallet, text, Some(&STANDARD.encode(bytes)), signature).is_ok()
        };
        let enveloped = bs58::encode(key.sign(&envelope("hello")).to_bytes()).into_string();
        assert!(verify("hello", b"hello", &bare) && verify("hello", &envelope("hello"), &enveloped));
        assert!(!verify("hello", &envelope("hello"), &bare) && !verify("hello", b"hello", &enveloped));
        assert!(!verify("hellO", &envelope("hello"), &enveloped));
        assert!(super::verify(&wallet, "hello", Some("~"), &bare).is_err());
        assert!(!verify("hello", &[b'x'; 10_000], &bare));
    }

    #[test]
    fn a_signature_with_a_scalar_beyond_the_order_is_refused() {
        // S + L verifies under laxer rules: the same signature in another form.
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let (wallet, signature) = signed("hello");
        let mut bytes = bs58::decode(signature).into_vec().unwrap();
        let mut carry = 0_u16;
        for (byte, order) in bytes[32..].iter_mut().zip(L) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert!(verify(&wallet, "hello", &bs58::encode(bytes).into_string()).is_err());
    }

    #[test]
    fn keys_of_small_order_have_no_wallet() {
        // All eight points, and their forms beyond the field's order: any message "verifies" under them
        // without strictness.
        let eighth = hex!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
        let other = hex!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
        let (mut identity, mut least) = ([0; 32], [0xff; 32]);
        (identity[0], least[31]) = (1, 0x7f);
        let near = [0xec, 0xed, 0xee].map(|first| {
            least[0] = first;
            least
        });
        for mut bytes in [identity, [0; 32], eighth, other].into_iter().chain(near) {
            for _ in 0..2 {
                assert!(address(&bs58::encode(bytes).into_string()).is_err(), "{bytes:x?}");
                bytes[31] ^= 0x80;
            }
        }
        // A signature with such a point, or without a valid scalar, does not verify either.
        let (wallet, _) = signed("hello");
        for point in [identity, [0; 32], eighth, other] {
            let signature = bs58::encode([point, [0; 32]].concat()).into_string();
            assert!(verify(&wallet, "hello", &signature).is_err());
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_no_signature_passes_or_panics(wallet in ".{0,60}", signature in "[1-9A-HJ-NP-Za-km-z]{0,100}") {
            prop_assert!(verify(&wallet, "x", &signature).is_err());
            let (good, _) = signed("x");
            prop_assert!(verify(&good, "x", &signature).is_err());
        }
    }
}
