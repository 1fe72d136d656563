//! Where a page of the list ended: opaque to clients, stable while contents come and go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::limits;

/// The last content of a page; the next page begins with what is older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) created_at_ms: i64,
    pub(crate) id: String,
}

impl Cursor {
    /// As clients see it: `[A-Za-z0-9_-]+`.
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.created_at_ms, self.id))
    }

    /// None if it was not made by [`Cursor::encode`].
    pub(crate) fn decode(text: &str) -> Option<Self> {
        if text.len() > 128 {
            return None;
        }
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created_at_ms, id) = plain.split_once('.')?;
        let cursor = Self { created_at_ms: created_at_ms.parse().ok()?, id: id.to_owned() };
        limits::is_content_id(id).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(created_at_ms: i64, bits: u128) {
            let cursor = Cursor { created_at_ms, id: uuid::Uuid::from_u128(bits).to_string() };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn anything_else_is_refused_without_a_panic(text in ".{0,200}") {
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
            }
        }
    }
}
