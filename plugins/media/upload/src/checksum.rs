//! `Upload-Checksum` (tus 1.0 §Checksum): the digest of one request's body.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::protocol::UPLOAD_CHECKSUM_NAME;

/// `Tus-Checksum-Algorithm`.
pub(crate) const ALGORITHMS: &str = "sha1,sha256,md5,crc32";
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A body's digest being computed, and the expected one.
#[derive(Debug, Clone)]
pub(crate) struct Checksum {
    running: Running,
    expected: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Running {
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
    Crc32(crc32fast::Hasher),
}

impl Checksum {
    /// Reads `<algorithm> <Base64 of the digest>`.
    ///
    /// # Errors
    /// 400 for an unsupported algorithm and for a digest of the wrong form.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, Fault> {
        let refuse = |problem: String| Fault::header(UPLOAD_CHECKSUM_NAME, problem);
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii() && text.len() <= 256);
        let text = text.ok_or_else(|| refuse("is not an algorithm and a Base64 digest".into()))?;
        let (algorithm, digest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let (running, length) = match algorithm.to_ascii_lowercase().as_str() {
            "sha1" => (Running::Sha1(Sha1::new()), 20),
            "sha256" => (Running::Sha256(Sha256::new()), 32),
            "md5" => (Running::Md5(Md5::new()), 16),
            "crc32" => (Running::Crc32(crc32fast::Hasher::new()), 4),
            _ => return Err(refuse(format!("names an algorithm that is not among {ALGORITHMS}"))),
        };
        let expected = BASE64.decode(digest.trim()).ok().filter(|digest| digest.len() == length);
        let expected = expected.ok_or_else(|| refuse(format!("needs a Base64 digest of {length} bytes")))?;
        Ok(Self { running, expected })
    }

    /// Adds the next bytes of the body.
    pub(crate) fn update(&mut self, data: &[u8]) {
        match &mut self.running {
            Running::Sha1(digest) => digest.update(data),
            Running::Sha256(digest) => digest.update(data),
            Running::Md5(digest) => digest.update(data),
            Running::Crc32(digest) => digest.update(data),
        }
    }

    /// Whether the body arrived unchanged.
    pub(crate) fn holds(self) -> bool {
        let digest = match self.running {
            Running::Sha1(digest) => digest.finalize().to_vec(),
            Running::Sha256(digest) => digest.finalize().to_vec(),
            Running::Md5(digest) => digest.finalize().to_vec(),
            Running::Crc32(digest) => digest.finalize().to_be_bytes().to_vec(),
        };
        digest == self.expected
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of the body `hello world`, computed with standard tools.
    const HELLO: [&str; 4] = [
        "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
        "md5 XrY7u+Ae7tCTyyK7j1rNww==",
        "crc32 DUoRhQ==",
    ];

    #[test]
    fn the_four_algorithms_hold_for_the_body_they_were_made_of_and_no_other() {
        for header in HELLO {
            let mut whole = Checksum::parse(header.as_bytes()).unwrap();
            whole.update(b"hello ");
            whole.update(b"world");
            assert!(whole.holds(), "{header}");
            let mut cut = Checksum::parse(header.as_bytes()).unwrap();
            cut.update(b"hello worl");
            assert!(!cut.holds(), "{header}");
        }
    }

    #[test]
    fn unknown_algorithms_and_short_digests_are_refused() {
        for (header, reason) in [
            ("sha512 AAAA", "not among"),
            ("", "not among"),
            ("sha1", "20 bytes"),
            ("sha1 !!!!", "20 bytes"),
            ("md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "16 bytes"),
        ] {
            let fault = Checksum::parse(header.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(reason), "{header}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(header in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Checksum::parse(&header);
        }

        #[test]
        fn a_digest_does_not_depend_on_where_the_body_is_cut(body: Vec<u8>, at: prop::sample::Index) {
            let header = format!("sha1 {}", BASE64.encode(Sha1::digest(&body)));
            let mut checksum = Checksum::parse(header.as_bytes()).unwrap();
            let (one, two) = body.split_at(if body.is_empty() { 0 } else { at.index(body.len()) });
            checksum.update(one);
            checksum.update(two);
            prop_assert!(checksum.holds());
        }
    }
}
