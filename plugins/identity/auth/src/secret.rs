//! How secrets are stored: as digests, and in files.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use streamgate_plugin_api::secret;
pub(crate) use streamgate_plugin_api::secret::{random, token, write};

/// SHA-256. Secrets here have at least 128 random bits, so nothing slower is needed.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// The key in this file, which is created if missing.
pub(crate) fn key(file: &Path) -> io::Result<[u8; 32]> {
    let text = secret::once(file, || token::<32>().into_bytes())?;
    let key = URL_SAFE_NO_PAD.decode(text.trim_ascii()).ok().and_then(|key| key.try_into().ok());
    key.ok_or_else(|| {
        let text = format!("{} contains no key; remove it, and a new one is created", file.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// The text of a file that only its owner can read; `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    let text = secret::read(path)?.map(String::from_utf8).transpose();
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}
