//! Names of buckets and objects, from a request path to a path below the root.
//!
//! Everything that could leave the root or surprise a file system is refused here, before any system call:
//! this module never touches the disk. (Symbolic links are handled in `tree.rs`.)

use percent_encoding::percent_decode_str;

/// Longest key in bytes, decoded.
const MAX_KEY: usize = 1024;
/// Longest segment of a key in bytes: the limit of a name on Linux file systems.
const MAX_SEGMENT: usize = 255;
/// Longest bucket name in bytes.
const MAX_BUCKET: usize = 63;

/// Why a name is refused. The text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// The path has no bucket.
    #[error("the path names no bucket; use /<bucket>/<key>")]
    NoBucket,
    /// The bucket is not a plain lower-case name.
    #[error("a bucket is 1 to {MAX_BUCKET} of a-z, 0-9 and '-', beginning with a letter or digit")]
    Bucket,
    /// The key, or one of its segments, is too long.
    #[error("a key has at most {MAX_KEY} bytes, and {MAX_SEGMENT} between two slashes")]
    TooLong,
    /// A segment is empty, `.` or `..`.
    #[error("a key has no empty segment and no '.' or '..' as a segment")]
    Segment,
    /// Control characters, backslashes, encoded slashes or bytes that are not UTF-8.
    #[error("a key is UTF-8 without control characters, backslashes or encoded slashes")]
    Character,
}

/// The target of a request path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/<bucket>/`: the bucket as a whole.
    Bucket(String),
    /// `/<bucket>/<key>`: one object.
    Object(Name),
}

/// A checked `<bucket>/<key>`, safe to resolve below a root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    path: String,
    bucket: usize,
}

impl Name {
    /// The bucket and the key, unencoded.
    pub(crate) fn new(bucket: &str, key: &str) -> Result<Self, NameError> {
        check_bucket(bucket)?;
        check_key(key)?;
        Ok(Self { path: format!("{bucket}/{key}"), bucket: bucket.len() })
    }

    /// `<bucket>/<key>`, relative to a root.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The key without its bucket.
    #[cfg(test)]
    pub(crate) fn key(&self) -> &str {
        &self.path[self.bucket + 1..]
    }

    /// The bucket.
    pub(crate) fn bucket(&self) -> &str {
        &self.path[..self.bucket]
    }
}

impl Target {
    /// Parses the path of a request, percent-encoded as received.
    pub(crate) fn parse(path: &str) -> Result<Self, NameError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            return Err(NameError::NoBucket);
        }
        if key.is_empty() {
            check_bucket(bucket)?;
            return Ok(Self::Bucket(bucket.to_owned()));
        }
        if key.contains('%') {
            // Each segment separately, so that an encoded slash is seen and refused.
            let mut decoded = String::with_capacity(key.len());
            for (index, segment) in key.split('/').enumerate() {
                let segment = percent_decode_str(segment).decode_utf8().map_err(|_| NameError::Character)?;
                if segment.contains('/') {
                    return Err(NameError::Character);
                }
                if index > 0 {
                    decoded.push('/');
                }
                decoded.push_str(&segment);
            }
            return Name::new(bucket, &decoded).map(Self::Object);
        }
        Name::new(bucket, key).map(Self::Object)
    }
}

/// Whether `bucket` is a valid bucket name: never percent-encoded, never hidden.
pub(crate) fn check_bucket(bucket: &str) -> Result<(), NameError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let fits = (1..=MAX_BUCKET).contains(&bytes.len())
        && plain(bytes[0])
        && bytes.iter().all(|&b| plain(b) || b == b'-');
    if fits { Ok(()) } else { Err(NameError::Bucket) }
}

fn check_key(key: &str) -> Result<(), NameError> {
    if key.len() > MAX_KEY {
        return Err(NameError::TooLong);
    }
    if key.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\') {
        return Err(NameError::Character);
    }
    for segment in key.split('/') {
        match segment {
            "" | "." | ".." => return Err(NameError::Segment),
            long if long.len() > MAX_SEGMENT => return Err(NameError::TooLong),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;
    use std::path::{Component, Path};

    fn object(path: &str) -> Result<Name, NameError> {
        match Target::parse(path)? {
            Target::Object(name) => Ok(name),
            Target::Bucket(_) => Err(NameError::Segment),
        }
    }

    #[test]
    fn a_plain_path_is_a_bucket_and_a_key() {
        let name = object("/media/0190-abc/720p/1.m4s").unwrap();
        assert_eq!((name.bucket(), name.key()), ("media", "0190-abc/720p/1.m4s"));
        assert_eq!(Target::parse("/media/").unwrap(), Target::Bucket("media".into()));
        assert_eq!(Target::parse("/media").unwrap(), Target::Bucket("media".into()));
    }

    #[test]
    fn every_known_trick_to_leave_the_root_is_refused() {
        for path in [
            "/media/../etc/passwd",
            "/media/a/../../b",
            "/../etc/passwd",
            "/./a",
            "/media/.",
            "/media/..",
            "/media//etc/passwd",
            "//etc/passwd",
            "/media/a//b",
            "/media/a/",
            "/media/%2e%2e/b",
            "/media/%2E%2e",
            "/media/a%2f..%2f..%2fb",
            "/media/%2fetc/passwd",
            "/media/a%00b",
            "/media/%00",
            "/media/a\\..\\b",
            "/media/%5c..",
            "/.incomplete/tmp/1",
            "/%2eincomplete/x",
            "/media/%ff",
            "/media/a%0ab",
            "/",
            "",
            "/Media/x",
            "/me dia/x",
            "/media/%2e/a",
            "/media/\u{7f}",
        ] {
            assert!(object(path).is_err(), "{path:?} was let through");
        }
        assert!(object(&format!("/media/{}", "a".repeat(256))).is_err());
        assert!(object(&format!("/media/{}", "a/".repeat(600) + "a")).is_err());
        assert!(object(&format!("/{}/a", "b".repeat(64))).is_err());
    }

    #[test]
    fn dots_and_double_encoding_inside_a_name_are_plain_characters() {
        assert_eq!(object("/media/..a/b..").unwrap().key(), "..a/b..");
        assert_eq!(object("/media/%252e%252e/b").unwrap().key(), "%2e%2e/b");
        assert_eq!(object("/media/caf%C3%A9 au lait").unwrap().key(), "café au lait");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below_the_root(path in ".{0,80}") {
            if let Ok(name) = object(&path) {
                prop_assert!(Path::new(name.path()).components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert!(!name.path().starts_with('.') && !name.path().contains('\0'));
                prop_assert_eq!(Path::new(name.path()).components().count(), name.path().split('/').count());
            }
        }

        #[test]
        fn hostile_pieces_in_any_order_stay_below_the_root(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["..", ".", "/", "%2e", "%2E%2e", "%2f", "%5c", "%00", "a", "media", "%", "%2", "\\"]),
                0..12)
        ) {
            if let Ok(name) = object(&format!("/media/{}", pieces.concat())) {
                prop_assert!(Path::new(name.path()).components().all(|c| matches!(c, Component::Normal(_))));
            }
        }

        #[test]
        fn an_encoded_key_is_the_key_itself(segments in prop::collection::vec("[a-zA-Z0-9 ._~é+-]{1,20}", 1..5)) {
            prop_assume!(segments.iter().all(|s| s != "." && s != ".."));
            let encoded: Vec<_> =
                segments.iter().map(|s| utf8_percent_encode(s, NON_ALPHANUMERIC).to_string()).collect();
            let name = object(&format!("/media/{}", encoded.join("/"))).unwrap();
            prop_assert_eq!(name.key(), segments.join("/"));
        }
    }
}
