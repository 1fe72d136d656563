//! Ethereum signatures: who signed a digest. Only the canonical form of a signature is accepted: 65 bytes `r
//! s v`, `s` in the lower half, `v` 0, 1, 27 or 28.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use streamgate_contracts::ethereum::{Address, Hash, from_hex};

/// Why a signature identifies no signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSignature {
    #[error("It is not 65 bytes as 0x and 130 hexadecimal digits.")]
    Form,
    #[error("Its last byte is none of 0, 1, 27 and 28.")]
    Parity,
    #[error("Its r or s is zero or beyond the curve's order.")]
    Range,
    #[error("Its s is in the upper half, so it is a second form of another signature.")]
    HighS,
    #[error("It belongs to no key.")]
    NoKey,
}

/// The bytes of `0x…`.
pub(crate) fn bytes(hex: &str) -> Result<Vec<u8>, BadSignature> {
    hex.strip_prefix("0x").and_then(from_hex).ok_or(BadSignature::Form)
}

/// The address whose key signed this digest.
pub(crate) fn recover(digest: &Hash, signature: &[u8]) -> Result<Address, BadSignature> {
    let raw: &[u8; 65] = signature.try_into().map_err(|_| BadSignature::Form)?;
    let parity = match raw[64] {
        0 | 27 => false,
        1 | 28 => true,
        _ => return Err(BadSignature::Parity),
    };
    // k256 accepts no scalar that is zero or beyond the order.
    let signature = Signature::from_slice(&raw[..64]).map_err(|_| BadSignature::Range)?;
    if signature.normalize_s() != signature {
        return Err(BadSignature::HighS);
    }
    let recovery = RecoveryId::new(parity, false);
    let key = VerifyingKey::recover_from_prehash(digest, &signature, recovery);
    let point = key.map_err(|_| BadSignature::NoKey)?.to_sec1_point(false);
    // After the tag of an uncompressed point.
    Ok(Address::of_key(&point.as_bytes()[1..]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, hex};
    use k256::ecdsa::SigningKey;
    use proptest::prelude::*;
    use streamgate_contracts::ethereum::message_hash;

    const ORDER: U256 =
        U256::from_be_slice(&hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));

    fn recover(message: &str, signature: &[u8]) -> Result<Address, BadSignature> {
        super::recover(&message_hash(message), signature)
    }

    fn signed(seed: u8, message: &str) -> (Address, [u8; 65]) {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let (signature, recovery) = key.sign_prehash_recoverable(&message_hash(message));
        let mut raw = [0; 65];
        raw[..64].copy_from_slice(&signature.to_bytes());
        raw[64] = 27 + recovery.to_byte();
        (Address::of_key(&key.verifying_key().to_sec1_point(false).as_bytes()[1..]), raw)
    }

    #[test]
    fn the_signer_is_recovered_with_either_spelling_of_v() {
        let (address, mut raw) = signed(1, "hello");
        assert_eq!(recover("hello", &raw), Ok(address));
        raw[64] -= 27;
        assert_eq!(recover("hello", &raw), Ok(address));
        assert_ne!(recover("hellO", &raw), Ok(address));
    }

    #[test]
    fn the_message_of_web3_js_is_recovered_to_its_signer() {
        // web3.js documentation, `eth.accounts.sign('Some data', '0x4c08…2318')`.
        let raw = hex!(
            "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
        );
        let address = Address::parse_checked("0x2c7536E3605D9C16a7a3D7b1898e529396a65c23").unwrap();
        assert_eq!(recover("Some data", &raw), Ok(address));
    }

    #[test]
    fn every_other_spelling_of_a_signature_is_refused() {
        let (_, raw) = signed(1, "hello");
        for v in (0..=255_u8).filter(|v| ![0, 1, 27, 28].contains(v)) {
            let mut odd = raw;
            odd[64] = v;
            assert_eq!(recover("hello", &odd), Err(BadSignature::Parity), "{v}");
        }
        // The same signature mirrored: s becomes n - s, and the parity flips.
        let mut high = raw;
        let s = ORDER - U256::from_be_slice(&raw[32..64]);
        high[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        high[64] = 27 + 28 - high[64];
        assert_eq!(recover("hello", &high), Err(BadSignature::HighS));
        for at in [0..32, 32..64] {
            for value in [U256::ZERO, ORDER, U256::MAX] {
                let mut bad = raw;
                bad[at.clone()].copy_from_slice(&value.to_be_bytes::<32>());
                assert_eq!(recover("hello", &bad), Err(BadSignature::Range));
            }
        }
        // EIP-2098, and a byte more.
        assert_eq!(recover("hello", &raw[..64]), Err(BadSignature::Form));
        assert_eq!(recover("hello", &[&raw[..], &[0]].concat()), Err(BadSignature::Form));
    }

    #[test]
    fn hexadecimal_digits_are_read_strictly() {
        assert_eq!(bytes("0x00fF"), Ok(vec![0, 255]));
        for bad in ["00ff", "0x0", "0xg0", "0x0x00", "0X00", "0x 00", ""] {
            assert_eq!(bytes(bad), Err(BadSignature::Form), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_signature_names_its_signer_and_no_other_text_has_it(seed in 1_u8..255, text in "[ -~]{0,80}", other in "[ -~]{0,80}") {
            let (address, raw) = signed(seed, &text);
            prop_assert_eq!(recover(&text, &raw), Ok(address));
            prop_assume!(text != other);
            prop_assert_ne!(recover(&other, &raw), Ok(address));
        }

        #[test]
        fn no_bytes_make_it_panic(raw in prop::collection::vec(any::<u8>(), 0..80), hex in ".{0,40}") {
            let _ = recover("hello", &raw);
            let _ = bytes(&hex);
        }
    }
}
