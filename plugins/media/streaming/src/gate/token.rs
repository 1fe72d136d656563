//! What a gated URL carries: a few bytes that name a playback session, with an HMAC-SHA256 over them and the
//! content, in base64url. It is a bearer token for that playback session, and contains nothing readable about
//! the viewer. Never logged.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use streamgate_plugin_api::secret;

use crate::object::path::ContentId;

const PARAMETER: &str = "t=";
/// The key's file in the plugin's data directory.
const KEY_FILE: &str = "token.key";
const VERSION: u8 = 1;
/// Of the tag; half of SHA-256 (RFC 2104 §5).
const TAG_BYTES: usize = 16;
const CLAIM_BYTES: usize = 1 + 16 + 8 + 8 + 5;
const BYTES: usize = CLAIM_BYTES + TAG_BYTES;
/// In base64url. A multiple of four from a multiple of three bytes: each token has one form only.
pub(crate) const LENGTH: usize = BYTES / 3 * 4;

/// A playback session's name: 128 random bits.
pub(crate) type PlaybackId = [u8; 16];

/// The fields of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) playback: PlaybackId,
    /// The first bytes of SHA-256 of its id.
    pub(crate) principal: [u8; 8],
    /// Of the decision that allowed the playback session.
    pub(crate) generation: u64,
    /// Unix time, seconds; 40 bits.
    pub(crate) issued_at: u64,
}

impl Claims {
    /// The fields of a new playback session.
    pub(crate) fn new(principal: &str, generation: u64, now_ms: u64) -> Self {
        Self {
            playback: secret::random(),
            principal: hash_of(principal),
            generation,
            issued_at: now_ms / 1000,
        }
    }

    /// Whether the playback session was issued to this principal.
    pub(crate) fn is_of(&self, principal: &str) -> bool {
        self.principal == hash_of(principal)
    }
}

/// The first bytes of SHA-256 of a principal's id.
fn hash_of(principal: &str) -> [u8; 8] {
    let digest = Sha256::digest(principal.as_bytes());
    std::array::from_fn(|place| digest[place])
}

/// The token of a request's query.
fn in_query(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(PARAMETER))
}

/// Signs and verifies tokens.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl Key {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// The key of this data directory; created at the first start.
    ///
    /// # Errors
    /// The file cannot be written or read, is no key, or is readable by others.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(KEY_FILE);
        let secret = secret::once(&path, || secret::random::<32>().to_vec())?;
        let secret = <[u8; 32]>::try_from(secret).map_err(|_| {
            let text = format!(
                "{}: not a key of 32 bytes: remove the file, and a new key is created",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        Ok(Self::new(&secret))
    }

    fn mac(&self, content: ContentId, claims: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(content.bytes()).chain_update(claims)
    }

    /// The token of a playback session for this content.
    pub(crate) fn mint(&self, content: ContentId, claims: &Claims) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend(claims.playback);
        bytes.extend(claims.principal);
        bytes.extend(claims.generation.to_be_bytes());
        bytes.extend(&claims.issued_at.to_be_bytes()[3..]);
        let tag = self.mac(content, &bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The fields of the token in a request's query, as [`Key::read`].
    pub(crate) fn claims(&self, content: ContentId, query: Option<&str>) -> Option<Claims> {
        self.read(content, in_query(query)?)
    }

    /// The fields of a token, if this key made it for this content. Takes the same time wherever a tag is
    /// wrong.
    pub(crate) fn read(&self, content: ContentId, token: &str) -> Option<Claims> {
        let bytes = decode(token)?;
        let (claims, tag) = bytes.split_at(CLAIM_BYTES);
        self.mac(content, claims).verify_truncated_left(tag).ok()?;
        parse(claims)
    }
}

fn decode(token: &str) -> Option<[u8; BYTES]> {
    if token.len() != LENGTH {
        return None;
    }
    let mut bytes = [0; BYTES];
    let length = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
    (length == BYTES).then_some(bytes)
}

fn parse(claims: &[u8]) -> Option<Claims> {
    let (version, rest) = claims.split_first()?;
    let (playback, rest) = rest.split_first_chunk()?;
    let (principal, rest) = rest.split_first_chunk()?;
    let (generation, issued_at) = rest.split_first_chunk()?;
    let seconds: &[u8; 5] = issued_at.try_into().ok()?;
    (*version == VERSION).then(|| Claims {
        playback: *playback,
        principal: *principal,
        generation: u64::from_be_bytes(*generation),
        issued_at: seconds.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::samples::ID;
    use proptest::prelude::*;

    fn content() -> ContentId {
        ContentId::parse(ID).unwrap()
    }

    fn claims() -> Claims {
        Claims { playback: [7; 16], principal: hash_of("ada"), generation: 3, issued_at: 1_760_000_000 }
    }

    #[test]
    fn a_token_reads_back_for_its_content_and_key_and_for_no_other() {
        let key = Key::new(&[1; 32]);
        let token = key.mint(content(), &claims());
        assert_eq!(token.len(), LENGTH);
        assert_eq!(key.read(content(), &token), Some(claims()));
        let other = ContentId::parse("0199c3a4-5b6c-7d8e-9f01-23456789abce").unwrap();
        assert_eq!(key.read(other, &token), None);
        assert_eq!(Key::new(&[2; 32]).read(content(), &token), None);
    }

    #[test]
    fn a_token_that_was_cut_lengthened_or_changed_anywhere_is_none() {
        let key = Key::new(&[1; 32]);
        let token = key.mint(content(), &claims());
        for length in 0..LENGTH {
            assert_eq!(key.read(content(), &token[..length]), None, "cut to {length}");
        }
        assert_eq!(key.read(content(), &format!("{token}A")), None);
        assert_eq!(key.read(content(), &format!("{token}====")), None);
        for place in 0..LENGTH {
            for other in "AZaz09-_+/=. ".chars() {
                let mut changed = token.clone();
                changed.replace_range(place..=place, &other.to_string());
                assert!(changed == token || key.read(content(), &changed).is_none(), "{changed}");
            }
        }
    }

    #[test]
    fn a_token_of_another_version_is_none_though_its_tag_is_right() {
        let key = Key::new(&[1; 32]);
        let mut bytes = decode(&key.mint(content(), &claims())).unwrap();
        bytes[0] = 2;
        let tag = key.mac(content(), &bytes[..CLAIM_BYTES]).finalize().into_bytes();
        bytes[CLAIM_BYTES..].copy_from_slice(&tag[..TAG_BYTES]);
        assert_eq!(key.read(content(), &URL_SAFE_NO_PAD.encode(bytes)), None);
    }

    #[test]
    fn the_token_of_a_query_is_found_among_others() {
        assert_eq!(in_query(Some("t=abc")), Some("abc"));
        assert_eq!(in_query(Some("_=1&t=abc&x=t=d")), Some("abc"));
        assert_eq!(in_query(Some("at=abc")), None);
        assert_eq!(in_query(Some("")), None);
        assert_eq!(in_query(None), None);
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_refused_when_others_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let token = Key::open(folder.path()).unwrap().mint(content(), &claims());
        assert!(Key::open(folder.path()).unwrap().read(content(), &token).is_some());
        let path = folder.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Key::open(folder.path()).err().unwrap().to_string().contains("mode 644"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(Key::open(folder.path()).err().unwrap().to_string().contains("not a key of 32 bytes"));
    }

    #[test]
    fn of_many_that_make_the_key_at_once_all_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let tokens: Vec<_> = std::thread::scope(|scope| {
            let open = || Key::open(folder.path()).unwrap().mint(content(), &claims());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }

    proptest! {
        #[test]
        fn every_token_reads_back(playback: [u8; 16], principal: [u8; 8], generation: u64, issued_at in 0_u64..1 << 40) {
            let key = Key::new(&[1; 32]);
            let claims = Claims { playback, principal, generation, issued_at };
            prop_assert_eq!(key.read(content(), &key.mint(content(), &claims)), Some(claims));
        }

        #[test]
        fn no_text_makes_it_panic_and_none_is_taken(text in "[A-Za-z0-9_-]{0,80}|[A-Za-z0-9_-]{72}|\\PC{0,80}") {
            prop_assert_eq!(Key::new(&[1; 32]).read(content(), &text), None);
        }
    }
}
