//! Access tokens: JWT (RFC 7519, RFC 9068) with one algorithm, EdDSA over Ed25519 (RFC 8037). The library
//! gets no other algorithm, and a header that is not byte for byte one of ours is refused before it is
//! interpreted.

use ed25519_dalek::ed25519::signature::{self, Signer, Verifier};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use crate::principal::Role;
use crate::session::keys::Keys;

/// Maximum length of a token, in bytes.
const MAX_BYTES: usize = 4 * 1024;
/// The audience of tokens.
pub(crate) const AUDIENCE: &str = "streamgate";

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The principal.
    pub(crate) sub: String,
    /// The session. The token is valid while it exists.
    pub(crate) sid: String,
    /// The roles when it was issued, for external readers; here the current ones count.
    pub(crate) roles: Vec<Role>,
    /// Unix seconds, as the two below.
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
}

/// Why a token is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadToken {
    Invalid,
    Expired,
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => {
            let seed = key.as_bytes().try_into().map_err(|_| ErrorKind::InvalidKeyFormat)?;
            Ok(Box::new(Ed25519Signer(SigningKey::from_bytes(seed))))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => {
            let bytes = key.try_get_as_bytes()?.try_into().map_err(|_| ErrorKind::InvalidKeyFormat)?;
            let key = VerifyingKey::from_bytes(bytes).map_err(|_| ErrorKind::InvalidKeyFormat)?;
            Ok(Box::new(Ed25519Verifier(key)))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Ed25519Signer(SigningKey);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.try_sign(message)?.to_bytes().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(VerifyingKey);

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify_strict(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

/// Signs a token.
///
/// # Errors
/// If the key is invalid, which `Keys` rules out.
pub(crate) fn sign(keys: &Keys, claims: &Claims) -> JwtResult<String> {
    let _ = PROVIDER.install_default();
    let key = keys.current();
    jsonwebtoken::encode(&key.header, claims, &key.encoding)
}

/// Verifies a token of `issuer` at `now_ms`, with a tolerance of `skew_ms`.
pub(crate) fn verify(
    keys: &Keys,
    token: &str,
    issuer: &str,
    now_ms: i64,
    skew_ms: i64,
) -> Result<Claims, BadToken> {
    let _ = PROVIDER.install_default();
    if token.len() > MAX_BYTES {
        return Err(BadToken::Invalid);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken::Invalid)?;
    let key = header.kid.and_then(|kid| keys.find(&kid)).ok_or(BadToken::Invalid)?;
    if token.split('.').next() != Some(key.header_part.as_str()) {
        return Err(BadToken::Invalid);
    }
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[AUDIENCE]);
    // The library only knows the system's clock; these are compared below.
    rules.validate_exp = false;
    let claims: Claims =
        jsonwebtoken::decode(token, &key.decoding, &rules).map_err(|_| BadToken::Invalid)?.claims;
    let millis = |seconds: i64| seconds.saturating_mul(1_000);
    if millis(claims.exp) <= now_ms {
        return Err(BadToken::Expired);
    }
    let begun = now_ms.saturating_add(skew_ms);
    if millis(claims.nbf) > begun || millis(claims.iat) > begun {
        return Err(BadToken::Invalid);
    }
    Ok(claims)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://a.example";

    fn keys() -> (tempfile::TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), 0).unwrap();
        (folder, keys)
    }

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: "p".into(),
            sid: "s".into(),
            roles: vec![Role::Viewer],
            iat: 1_000,
            nbf: 1_000,
            exp: 1_600,
            jti: "j".into(),
        }
    }

    fn read(keys: &Keys, token: &str) -> Result<Claims, BadToken> {
        verify(keys, token, ISSUER, 1_000_000, 30_000)
    }

    fn encoded(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// A token with this header and these claims, correctly signed.
    fn forged(keys: &Keys, header: &str, claims: &Value) -> String {
        signed(keys, header, &claims.to_string())
    }

    fn signed(keys: &Keys, header: &str, claims: &str) -> String {
        let _ = PROVIDER.install_default();
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(text.as_bytes(), &keys.current().encoding, Algorithm::EdDSA).unwrap();
        format!("{text}.{signature}")
    }

    #[test]
    fn a_token_is_good_from_its_beginning_to_its_end() {
        let (_folder, keys) = keys();
        let token = sign(&keys, &claims()).unwrap();
        assert_eq!(read(&keys, &token), Ok(claims()));
        let at = |now_ms| verify(&keys, &token, ISSUER, now_ms, 30_000);
        assert_eq!(at(970_000), Ok(claims()));
        assert_eq!(at(969_999), Err(BadToken::Invalid));
        assert_eq!(at(1_599_999), Ok(claims()));
        assert_eq!(at(1_600_000), Err(BadToken::Expired));
        assert_eq!(verify(&keys, &token, "https://b.example", 1_000_000, 0), Err(BadToken::Invalid));
    }

    #[test]
    fn games_with_the_header_are_lost() {
        let (_folder, keys) = keys();
        let kid = keys.current().kid;
        let good = serde_json::to_value(claims()).unwrap();
        for header in [
            json!({"alg": "none", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "None", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "RS256", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "eddsa", "typ": "at+jwt", "kid": kid}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}),
            json!({"alg": "EdDSA", "typ": "at+jwt"}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "../../etc/passwd"}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "crit": ["exp"]}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jku": "https://evil.example/jwks"}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jwk": keys.jwks()["keys"][0]}),
        ] {
            let token = forged(&keys, &encoded(&header), &good);
            assert_eq!(read(&keys, &token), Err(BadToken::Invalid), "{header}");
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            assert_eq!(read(&keys, &unsigned), Err(BadToken::Invalid), "{header}");
        }
        // With our own header the same claims pass: the header was the reason.
        assert!(read(&keys, &forged(&keys, &keys.current().header_part, &good)).is_ok());
    }

    #[test]
    fn the_public_key_is_no_shared_secret() {
        let (_folder, keys) = keys();
        let token = sign(&keys, &claims()).unwrap();
        let (text, _) = token.rsplit_once('.').unwrap();
        let (_folder, others) = self::keys();
        let other = jsonwebtoken::crypto::sign(text.as_bytes(), &others.current().encoding, Algorithm::EdDSA);
        assert_eq!(read(&keys, &format!("{text}.{}", other.unwrap())), Err(BadToken::Invalid));
        for secret in [keys.jwks()["keys"][0]["x"].as_str().unwrap(), ""] {
            let signed = EncodingKey::from_secret(secret.as_bytes())
                .and_then(|key| jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256));
            assert!(signed.is_err());
        }
    }

    /// RFC 2104 over SHA-256.
    fn hmac(key: &[u8], text: &str) -> Vec<u8> {
        use sha2::{Digest as _, Sha256};
        let mut block = [0; 64];
        let hashed = Sha256::digest(key);
        let short = if key.len() > 64 { &hashed[..] } else { key };
        block[..short.len()].copy_from_slice(short);
        let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(text).finalize();
        Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().to_vec()
    }

    #[test]
    fn what_is_published_signs_nothing_as_a_shared_secret() {
        let (_folder, keys) = keys();
        let jwk = keys.jwks()["keys"][0].clone();
        let x = jwk["x"].as_str().unwrap();
        let raw = URL_SAFE_NO_PAD.decode(x).unwrap();
        // RFC 8410 §4: the key as SubjectPublicKeyInfo.
        let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &raw].concat();
        let claims = encoded(&serde_json::to_value(claims()).unwrap());
        let kid = keys.current().kid;
        for secret in [x.as_bytes(), &raw, &der, jwk.to_string().as_bytes(), b""] {
            for header in [
                keys.current().header_part,
                encoded(&json!({"alg": "HS256", "typ": "at+jwt", "kid": kid})),
                encoded(&json!({"alg": "HS256", "typ": "at+jwt", "kid": kid, "jwk": jwk})),
            ] {
                let text = format!("{header}.{claims}");
                let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac(secret, &text)));
                assert_eq!(read(&keys, &token), Err(BadToken::Invalid), "{token}");
            }
        }
        // RFC 4231 §4.3: it is that HMAC.
        let tag = hmac(b"Jefe", "what do ya want for nothing?");
        assert_eq!(tag[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    #[test]
    fn what_is_said_twice_or_at_length_or_in_more_parts_is_no_token() {
        let (_folder, keys) = keys();
        let header = keys.current().header_part;
        let good = serde_json::to_value(claims()).unwrap();
        let signed = |claims: &str| signed(&keys, &header, claims);
        assert!(read(&keys, &signed(&good.to_string())).is_ok());
        for (name, value) in good.as_object().unwrap() {
            let twice = format!("{{\"{name}\":{value},{}", &good.to_string()[1..]);
            assert_eq!(read(&keys, &signed(&twice)), Err(BadToken::Invalid), "{twice}");
        }
        let mut long = good.clone();
        long["jti"] = "x".repeat(MAX_BYTES).into();
        for claims in [long.to_string(), format!("[{good}]"), format!("{good}{good}"), String::new()] {
            assert_eq!(read(&keys, &signed(&claims)), Err(BadToken::Invalid), "{claims:.60}");
        }
        let token = sign(&keys, &claims()).unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        for bad in [
            format!("{token}."),
            format!("{token}.{signature}"),
            format!(".{token}"),
            format!("{text}..{signature}"),
            format!("{token}="),
            format!("{token}=="),
            format!("{text}.{signature}AA"),
            format!(" {token}"),
            format!("{token}\n"),
            format!("Bearer {token}"),
            text.to_owned(),
            format!("{text}."),
            format!("{text}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        ] {
            assert_eq!(read(&keys, &bad), Err(BadToken::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_signature_in_another_spelling_is_none() {
        // S + L, which a lax reading of RFC 8032 accepts for S.
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let (_folder, keys) = keys();
        let token = sign(&keys, &claims()).unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut carry = 0_u16;
        for (byte, order) in bytes[32..].iter_mut().zip(L) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        let other = format!("{text}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(read(&keys, &other), Err(BadToken::Invalid));
    }

    #[test]
    fn no_claim_may_be_missing_or_of_another_kind() {
        let (_folder, keys) = keys();
        let header = keys.current().header_part;
        let good = serde_json::to_value(claims()).unwrap();
        for (name, value) in [
            ("iss", json!(["https://a.example", "https://b.example"])),
            ("aud", json!(["streamgate"])),
            ("aud", json!("other")),
            ("iss", json!("https://a.example/")),
            ("exp", json!("1600")),
            ("exp", json!(1e300)),
            ("exp", json!(-1)),
            ("nbf", json!(9_999_999_999_u64)),
            ("iat", json!(9_999_999_999_u64)),
            ("sub", json!(null)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(read(&keys, &forged(&keys, &header, &bad)).is_err(), "{bad}");
        }
        for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "roles"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&keys, &forged(&keys, &header, &bad)), Err(BadToken::Invalid), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_no_token(at: prop::sample::Index, byte in 33_u8..127) {
            let (_folder, keys) = keys();
            let mut token = sign(&keys, &claims()).unwrap().into_bytes();
            let at = at.index(token.len());
            prop_assume!(token[at] != byte);
            token[at] = byte;
            prop_assert!(read(&keys, std::str::from_utf8(&token).unwrap()).is_err());
        }

        #[test]
        fn no_text_is_a_token(text in ".{0,200}") {
            let (_folder, keys) = keys();
            prop_assert!(read(&keys, &text).is_err());
        }
    }
}
