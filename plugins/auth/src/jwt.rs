//! Access tokens: JWT (RFC 7519, RFC 9068) with one algorithm, EdDSA over Ed25519 (RFC 8037). The
//! library is given no other algorithm at all, and a header that is not byte for byte one of ours is
//! refused before anything in it is heeded.

use ed25519_dalek::ed25519::signature::{self, Signer, Verifier};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use crate::keys::Keys;
use crate::principal::Role;

/// Longest token that is read, in bytes.
const MAX_BYTES: usize = 4 * 1024;
/// Who tokens are for.
pub(crate) const AUDIENCE: &str = "streamgate";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The principal.
    pub(crate) sub: String,
    /// The session. The token is good as long as it goes on.
    pub(crate) sid: String,
    /// The roles when it was issued, for readers elsewhere; here those of the moment count.
    pub(crate) roles: Vec<Role>,
    /// Unix seconds, as the two below.
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
}

/// Why a token is not good.
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
/// When the key is none, which `Keys` rules out.
pub(crate) fn sign(keys: &Keys, claims: &Claims) -> JwtResult<String> {
    let _ = PROVIDER.install_default();
    let key = keys.current();
    jsonwebtoken::encode(&key.header, claims, &key.encoding)
}

/// Reads a token of `issuer` that is good at `now_ms`, give or take `skew_ms`.
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
    // The library knows the system's clock only; these are compared below.
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

    /// A token with this header and these claims, rightly signed.
    fn forged(keys: &Keys, header: &str, claims: &Value) -> String {
        let _ = PROVIDER.install_default();
        let text = format!("{header}.{}", encoded(claims));
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
        // With our own header the same claims pass: it was the header.
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
            let key = EncodingKey::from_secret(secret.as_bytes());
            assert!(jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256).is_err());
        }
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
