//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use crate::caip::{Asset, wallet};
use crate::rule::{MAX_BYTES, Rule};
use crate::truth::Truth;

/// The rule of a policy: a parsed one is written and parsed the same, and grants no access while nothing is
/// known.
pub fn rule(data: &[u8]) {
    if let Ok((rule, tree)) = Rule::parse(data) {
        assert!(data.len() <= MAX_BYTES && (1..=64).contains(&tree.leaves.len()));
        let written = serde_json::to_vec(&rule).expect("what was read can be written");
        if written.len() <= MAX_BYTES {
            assert!(Rule::parse(&written) == Ok((rule, tree.clone())));
        }
        let nothing = vec![Truth::Unknown; tree.leaves.len()];
        assert!(tree.root.truth(&nothing) == Truth::Unknown);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(asset) = Asset::parse(text) {
        assert!(Asset::parse(&asset.to_string()) == Some(asset));
    }
    if let Some(name) = wallet(text) {
        assert!(wallet(&name) == Some(name));
    }
}
