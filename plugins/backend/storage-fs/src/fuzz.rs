//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use std::path::{Component, Path};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::key::{Name, Target};

/// A request path.
pub fn key(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    match Target::parse(path) {
        Ok(Target::Object(name)) => {
            assert_below(name.path());
            let encoded: Vec<_> = name.path().split('/').map(encoded).collect();
            let again = Target::parse(&encoded.join("/"));
            assert!(again == Ok(Target::Object(name.clone())), "{name:?} has become {again:?}");
            let (bucket, key) = name.path().split_once('/').unwrap_or_default();
            assert!(Name::new(bucket, key) == Ok(name.clone()));
        }
        Ok(Target::Bucket(bucket)) => {
            assert_below(&bucket);
            assert!(!bucket.contains('/'));
        }
        Err(_) => {}
    }
}

fn encoded(segment: &str) -> String {
    // A bucket is never encoded, and has only letters, digits and '-'.
    utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string().replace("%2D", "-")
}

/// Whatever it names is below the root, segment by segment, and none of the plugin's own files.
fn assert_below(path: &str) {
    let root = Path::new("/root-of-objects");
    let normal = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).count();
    assert!(normal == path.split('/').count(), "{path:?}");
    assert!(root.join(path).starts_with(root) && !path.starts_with('.'), "{path:?}");
    assert!(!path.bytes().any(|byte| byte < b' ' || byte == b'\\'), "{path:?}");
}
