//! Refresh tokens: `sgr_<session>.<family>.<once>`. The first one of a session is random, and each next one
//! is computed from the previous (HMAC, RFC 2104): a client that retries because an answer was lost gets the
//! same token again, although the server stores no token.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret;

const PREFIX: &str = "sgr_";
/// The only purpose of this key.
const LABEL: &[u8] = b"streamgate refresh token 1\0";

/// A refresh token: the session, and the part shared by all of the session. The rest is valid once.
pub(crate) struct Refresh<'a> {
    pub(crate) session: &'a str,
    pub(crate) family: &'a str,
}

impl<'a> Refresh<'a> {
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let mut parts = token.strip_prefix(PREFIX)?.split('.');
        let (session, family, once) = (parts.next()?, parts.next()?, parts.next()?);
        let sound = parts.next().is_none() && token.len() <= 200 && family.len() == 22 && once.len() == 43;
        sound.then_some(Self { session, family })
    }

    /// The first token of a session.
    pub(crate) fn first(session: &str, family: &str) -> String {
        format!("{PREFIX}{session}.{family}.{}", secret::token::<32>())
    }
}

/// The key that derives the next tokens.
pub(crate) struct Successors(Hmac<Sha256>);

impl Successors {
    /// Reads the key of this directory, or creates one. It blocks.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is readable by others.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let key = secret::key(&directory.join("refresh-key"))?;
        Ok(Self(Hmac::new_from_slice(&key).expect("HMAC takes a key of any length")))
    }

    /// The token after `token`, whose parts these are.
    pub(crate) fn of(&self, token: &str, parts: &Refresh<'_>) -> String {
        let mut code = self.0.clone();
        code.update(LABEL);
        code.update(token.as_bytes());
        let once = URL_SAFE_NO_PAD.encode(code.finalize().into_bytes());
        format!("{PREFIX}{}.{}.{once}", parts.session, parts.family)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_successor_which_is_a_token_of_the_same_session_and_the_servers_alone() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let successors = Successors::open(folder.path()).unwrap();
        let family = secret::token::<16>();
        let first = Refresh::first("0190", &family);
        let parts = Refresh::parse(&first).unwrap();
        let second = successors.of(&first, &parts);
        let next = Refresh::parse(&second).unwrap();
        assert_eq!((next.session, next.family), ("0190", family.as_str()));
        assert_ne!(second, first);
        assert_ne!(successors.of(&second, &next), second);
        // Also after a restart, and on no other server.
        assert_eq!(Successors::open(folder.path()).unwrap().of(&first, &parts), second);
        assert_ne!(Successors::open(elsewhere.path()).unwrap().of(&first, &parts), second);
        assert_ne!(Refresh::first("0190", &family), first);
    }
}
