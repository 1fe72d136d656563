//! The order of a list, and the end of a page: opaque to clients, stable while contents are added and
//! removed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use streamgate_contracts::catalogue::v1::Content;

use crate::limits;

/// Longer than any result of [`Cursor::encode`].
const MAX_ENCODED: usize = 2_048;

/// The sort key of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// By time of creation.
    #[default]
    Newest,
    Oldest,
    /// By title, in lower case.
    Title,
}

impl Order {
    const ALL: [Self; 3] = [Self::Newest, Self::Oldest, Self::Title];

    /// The name of the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Title => "title",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.name() == name)
    }
}

/// The sort key of a title.
pub(crate) fn title_key(content: &Content) -> String {
    content.title.to_lowercase()
}

/// The last content of a page; the next page begins after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) order: Order,
    pub(crate) created_at_ms: i64,
    pub(crate) id: String,
    /// Only if sorted by title.
    pub(crate) title: String,
}

impl Cursor {
    pub(crate) fn of(order: Order, content: &Content) -> Self {
        let title = if order == Order::Title { title_key(content) } else { String::new() };
        Self { order, created_at_ms: content.created_at_ms, id: content.id.clone(), title }
    }

    /// The form for clients: `[A-Za-z0-9_-]+`.
    pub(crate) fn encode(&self) -> String {
        let Self { order, created_at_ms, id, title } = self;
        URL_SAFE_NO_PAD.encode(format!("{}.{created_at_ms}.{id}.{title}", order.name()))
    }

    /// `None` if [`Cursor::encode`] did not make it.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_ENCODED {
            return None;
        }
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = plain.splitn(4, '.');
        let (order, created_at_ms, id, title) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let order = Order::from_name(order)?;
        let cursor =
            Self { order, created_at_ms: created_at_ms.parse().ok()?, id: id.into(), title: title.into() };
        (limits::is_content_id(id) && (order == Order::Title || title.is_empty())).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(created_at_ms: i64, bits: u128, which in 0_usize..3, title in ".{0,200}") {
            let content = Content {
                id: uuid::Uuid::from_u128(bits).to_string(), created_at_ms, title, ..Content::default()
            };
            let cursor = Cursor::of(Order::ALL[which], &content);
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
