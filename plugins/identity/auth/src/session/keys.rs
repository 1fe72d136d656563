//! The keys that sign access tokens: created on the first start, rotated, and published.
//!
//! They are in a file of mode 0600 in the plugin's directory instead of the database: that is copied, backed
//! up and, with another backend, on another machine, and encrypting them there would need a key that is
//! stored here anyway.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::secret;

/// One key.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: String,
    /// The first part of every token that it signs.
    pub(crate) header: Header,
    pub(crate) header_part: String,
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    x: String,
    seed: [u8; 32],
    created_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    seed: String,
    created_at_ms: i64,
}

/// The keys of this server, the signing one first.
pub(crate) struct Keys {
    file: PathBuf,
    keys: RwLock<Vec<Key>>,
}

impl Key {
    fn new(seed: [u8; 32], created_at_ms: i64) -> Self {
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let x = URL_SAFE_NO_PAD.encode(public);
        let kid = thumbprint(&x);
        let mut header = Header::new(Algorithm::EdDSA);
        // RFC 9068 §2.1: an ID token or anything else signed is not an access token.
        header.typ = Some("at+jwt".into());
        header.kid = Some(kid.clone());
        let json = serde_json::to_vec(&header).expect("a header is JSON");
        Self {
            kid,
            header_part: URL_SAFE_NO_PAD.encode(json),
            header,
            encoding: EncodingKey::from_ed_der(&seed),
            decoding: DecodingKey::from_ed_der(&public),
            x,
            seed,
            created_at_ms,
        }
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": self.x, "kid": self.kid, "use": "sig", "alg": "EdDSA" })
    }
}

/// RFC 7638 with the members of RFC 8037 §2.
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
}

impl Keys {
    /// Reads the keys of this directory, or creates the first one. It blocks.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is readable by others.
    pub(crate) fn open(directory: &Path, now_ms: i64) -> io::Result<Self> {
        let file = directory.join("signing-keys.json");
        let keys = match secret::read(&file)? {
            Some(text) => read(&text).ok_or_else(|| {
                let text = format!(
                    "{} contains no keys; remove it, and new ones are created: all users have to sign in again",
                    file.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            None => Vec::new(),
        };
        let keys = Self { file, keys: RwLock::new(keys) };
        if keys.keys.read().is_empty() {
            keys.add(now_ms, i64::MAX)?;
        }
        Ok(keys)
    }

    /// The signing key.
    pub(crate) fn current(&self) -> Key {
        self.keys.read().first().cloned().expect("there is a key from `open` on, and the newest is kept")
    }

    /// The key of this id, if it is one of ours.
    pub(crate) fn find(&self, kid: &str) -> Option<Key> {
        self.keys.read().iter().find(|key| key.kid == kid).cloned()
    }

    /// Creates a new key if the signing one is older than `age_ms`, and removes those replaced longer than
    /// `overlap_ms` ago. It blocks.
    ///
    /// # Errors
    /// If the file cannot be written; then nothing has changed.
    pub(crate) fn rotate(&self, now_ms: i64, age_ms: i64, overlap_ms: i64) -> io::Result<bool> {
        let due = now_ms.saturating_sub(self.current().created_at_ms) >= age_ms;
        let done = {
            let keys = self.keys.read();
            keys.len() > 1 && retired(&keys, now_ms, overlap_ms) > 0
        };
        if due {
            self.add(now_ms, overlap_ms)?;
        } else if done {
            let kept = {
                let keys = self.keys.read();
                keys[..keys.len() - retired(&keys, now_ms, overlap_ms)].to_vec()
            };
            self.put(kept)?;
        }
        Ok(due)
    }

    /// RFC 7517 §5.
    pub(crate) fn jwks(&self) -> Value {
        let keys: Vec<_> = self.keys.read().iter().map(Key::jwk).collect();
        json!({ "keys": keys })
    }

    fn add(&self, now_ms: i64, overlap_ms: i64) -> io::Result<()> {
        let mut keys = self.keys.read().clone();
        keys.truncate(keys.len() - retired(&keys, now_ms, overlap_ms));
        keys.insert(0, Key::new(secret::random(), now_ms));
        self.put(keys)
    }

    fn put(&self, keys: Vec<Key>) -> io::Result<()> {
        let stored: Vec<_> = keys
            .iter()
            .map(|key| Stored { seed: URL_SAFE_NO_PAD.encode(key.seed), created_at_ms: key.created_at_ms })
            .collect();
        secret::write(&self.file, &serde_json::to_vec(&stored)?)?;
        *self.keys.write() = keys;
        Ok(())
    }
}

/// How many of the oldest keys were replaced longer ago than `overlap_ms`.
fn retired(keys: &[Key], now_ms: i64, overlap_ms: i64) -> usize {
    // A key was replaced when the previous one in the list was created.
    keys.windows(2).filter(|pair| now_ms.saturating_sub(pair[0].created_at_ms) > overlap_ms).count()
}

fn read(text: &str) -> Option<Vec<Key>> {
    let stored: Vec<Stored> = serde_json::from_str(text).ok()?;
    let keys = stored.into_iter().map(|key| {
        let seed = URL_SAFE_NO_PAD.decode(key.seed).ok()?.try_into().ok()?;
        Some(Key::new(seed, key.created_at_ms))
    });
    keys.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037 §A.3.
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn keys_outlive_a_restart_overlap_when_they_are_replaced_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), 0).unwrap();
        let first = keys.current().kid;
        assert_eq!(Keys::open(folder.path(), 5).unwrap().current().kid, first);
        assert!(!keys.rotate(99, 100, 50).unwrap());
        assert!(keys.rotate(100, 100, 50).unwrap());
        let second = keys.current().kid;
        assert_ne!(first, second);
        assert!(keys.find(&first).is_some());
        assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 2);
        keys.rotate(150, 100, 50).unwrap();
        assert!(keys.find(&first).is_some());
        keys.rotate(151, 100, 50).unwrap();
        assert!(keys.find(&first).is_none());
        let again = Keys::open(folder.path(), 160).unwrap();
        assert_eq!((again.current().kid, again.keys.read().len()), (second, 1));
    }

    #[test]
    fn what_is_published_holds_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), 0).unwrap();
        let jwk = &keys.jwks()["keys"][0];
        assert!(jwk.get("d").is_none());
        assert!(!jwk.to_string().contains(&URL_SAFE_NO_PAD.encode(keys.current().seed)));
    }
}
