//! Possible additions of the next minor version: one field for each type that crosses.
//!
//! Only for tests. A host built with the feature `next` has them, plugins do not; each reader finds a field
//! as its writer set it, or none.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Extra;

/// Of the field in every [`Extra`].
pub(super) const NUMBER: u16 = u16::MAX;
pub(super) const VALUE: &[u8] = b"next";

/// The function at the end of every table.
pub(crate) extern "C" fn entry() -> u64 {
    u64::from_le_bytes(*b"the next")
}

/// Of the field of every head.
const FIELD: HeaderName = HeaderName::from_static("x-streamgate-next");

pub(super) fn with_field(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.insert(FIELD, HeaderValue::from_static("next"));
    headers
}

/// Checks what the other side has put into a head.
pub(super) fn take_field(headers: &mut HeaderMap) {
    let found = headers.remove(FIELD);
    assert!(found.is_none_or(|value| value == "next"), "the field of the next version is damaged");
}

/// Checks what the other side has set.
pub(super) fn check(extra: &Extra) {
    assert!(extra.get(NUMBER).is_none_or(|value| value == VALUE), "the field of the next version is damaged");
}

/// Checks what the other side's table has.
pub(super) fn check_entry(found: Option<extern "C" fn() -> u64>) {
    assert!(found.is_none_or(|found| found() == entry()), "the entry of the next version is another one");
}
