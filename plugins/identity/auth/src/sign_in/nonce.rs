//! Stateless nonces: each contains its expiry, the needed data of its challenge, and a code (HMAC, RFC 2104)
//! by which the server recognizes it. So there may be any number of open challenges. Single use is ensured
//! elsewhere: see [`Store::taking`].

use std::io;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use streamgate_contracts::db::{Batch, DbError, params};

use crate::secret;
use crate::store::Store;

/// Bytes of the code; half of what HMAC-SHA-256 gives (RFC 2104 §5).
const CODE: usize = 16;
/// Random bytes, which distinguish two challenges of the same time.
const RANDOM: usize = 8;
/// Code, expiry and random bytes; the rest is the data of the challenge.
const HEAD: usize = CODE + size_of::<i64>() + RANDOM;
/// Maximum length of a nonce, in characters.
const MAX_CHARACTERS: usize = 128;
/// The only purpose of this key.
const LABEL: &str = "streamgate challenge nonce 1";

/// The purpose of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purpose<'a> {
    /// The kind of the wallet.
    pub(crate) kind: &'a str,
    /// The principal that links a wallet; empty: a sign-in.
    pub(crate) principal: &'a str,
    /// What else must be the same when it is used.
    pub(crate) terms: &'a str,
}

/// A nonce of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// Base58, which consists of letters and digits, as EIP-4361 requires.
    pub(crate) text: String,
    pub(crate) expires_at_ms: i64,
    /// The data of the challenge.
    pub(crate) known: Vec<u8>,
}

/// The key of the nonces.
pub(crate) struct Nonces(Hmac<Sha256>);

impl Nonces {
    /// Reads the key of this directory, or creates one. It blocks.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is readable by others.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let key = secret::key(&directory.join("challenge-key"))?;
        Ok(Self(Hmac::new_from_slice(&key).expect("HMAC takes a key of any length")))
    }

    /// A new nonce. Its recipient can read `known`.
    pub(crate) fn make(&self, purpose: Purpose<'_>, known: &[u8], expires_at_ms: i64) -> Nonce {
        let mut body = expires_at_ms.to_be_bytes().to_vec();
        body.extend_from_slice(&secret::random::<RANDOM>());
        body.extend_from_slice(known);
        let code = self.code(purpose, &body).finalize().into_bytes();
        let text = bs58::encode([&code[..CODE], &body].concat()).into_string();
        Nonce { text, expires_at_ms, known: known.to_vec() }
    }

    /// A nonce that was created here for this purpose, and has not expired.
    pub(crate) fn read(&self, text: &str, purpose: Purpose<'_>, now_ms: i64) -> Option<Nonce> {
        if text.len() > MAX_CHARACTERS {
            return None;
        }
        let bytes = bs58::decode(text).into_vec().ok()?;
        let (code, body) = bytes.split_at_checked(CODE)?;
        self.code(purpose, body).verify_truncated_left(code).ok()?;
        let (end, _) = body.split_first_chunk()?;
        let expires_at_ms = i64::from_be_bytes(*end);
        let known = bytes.get(HEAD..)?.to_vec();
        (expires_at_ms > now_ms).then(|| Nonce { text: text.to_owned(), expires_at_ms, known })
    }

    fn code(&self, purpose: Purpose<'_>, body: &[u8]) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        // Each preceded by its length: no two purposes are one text.
        for part in [LABEL, purpose.kind, purpose.principal, purpose.terms] {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part.as_bytes());
        }
        code.update(body);
        code
    }
}

impl Store {
    /// Whether this nonce was used.
    pub(crate) async fn is_used(&self, nonce: &Nonce) -> Result<bool, DbError> {
        let sql = "SELECT nonce FROM used_nonces WHERE nonce = $1";
        Ok(self.db.query_opt(sql, params![&nonce.text]).await?.is_some())
    }

    /// A batch that fails at its first statement if the nonce was used before.
    pub(crate) fn taking(&self, nonce: &Nonce) -> Batch {
        self.db.batch().push_expect(
            "INSERT INTO used_nonces (nonce, expires_at_ms) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING",
            params![&nonce.text, nonce.expires_at_ms],
            1,
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGN_IN: Purpose<'_> = Purpose { kind: "ethereum", principal: "", terms: "" };

    #[test]
    fn a_nonce_is_recognized_for_its_purpose_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let nonces = Nonces::open(folder.path()).unwrap();
        let made = nonces.make(SIGN_IN, b"known", 1_000);
        assert_ne!(made.text, nonces.make(SIGN_IN, b"known", 1_000).text);
        assert_eq!(nonces.read(&made.text, SIGN_IN, 999).as_ref(), Some(&made));
        assert_eq!(nonces.read(&made.text, SIGN_IN, 1_000), None);
        for other in [
            Purpose { kind: "solana", ..SIGN_IN },
            Purpose { principal: "somebody", ..SIGN_IN },
            Purpose { terms: "other", ..SIGN_IN },
            Purpose { kind: "ethereu", principal: "m", ..SIGN_IN },
        ] {
            assert_eq!(nonces.read(&made.text, other, 0), None, "{other:?}");
        }
        // It survives a restart, and is valid on no other server.
        assert!(Nonces::open(folder.path()).unwrap().read(&made.text, SIGN_IN, 0).is_some());
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(Nonces::open(elsewhere.path()).unwrap().read(&made.text, SIGN_IN, 0), None);
    }

    #[test]
    fn a_nonce_is_letters_and_digits_and_short_enough_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let nonces = Nonces::open(folder.path()).unwrap();
        for known in [&[][..], &[0xff; 40]] {
            let made = nonces.make(SIGN_IN, known, i64::MAX);
            assert!(made.text.len() >= 8 && made.text.bytes().all(|b| b.is_ascii_alphanumeric()));
            assert_eq!(nonces.read(&made.text, SIGN_IN, 0).unwrap().known, known);
        }
    }

    proptest! {
        #[test]
        fn no_bit_of_a_nonce_can_be_changed(at in 0_usize..HEAD + 3, bit in 0_u8..8, text in ".{0,140}") {
            let folder = tempfile::tempdir().unwrap();
            let nonces = Nonces::open(folder.path()).unwrap();
            let made = nonces.make(SIGN_IN, b"abc", 1_000);
            let mut bytes = bs58::decode(&made.text).into_vec().unwrap();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(nonces.read(&bs58::encode(bytes).into_string(), SIGN_IN, 0), None);
            prop_assert_eq!(nonces.read(&text, SIGN_IN, 0), None);
        }
    }
}
