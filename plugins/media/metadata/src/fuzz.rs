//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use serde_json::{Map, Value};
use streamgate_contracts::catalogue::v1::Content;

use crate::cursor::Cursor;
use crate::limits;
use crate::patch::Patch;

/// A `cursor` parameter.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(cursor) = Cursor::decode(text) {
        assert!(limits::is_content_id(&cursor.id));
        assert!(Cursor::decode(&cursor.encode()) == Some(cursor));
    }
}

/// The body of a `PATCH`: an accepted one is within its bounds, and changes nothing when it is applied again.
pub fn patch(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Map<String, Value>>(data) else { return };
    let empty = json.is_empty();
    let Ok(patch) = Patch::from_json(json) else { return };
    let before = Content { title: "before".to_owned(), ..Content::default() };
    let mut once = before.clone();
    patch.apply(&mut once);
    assert!(!empty || once == before);
    assert!(!once.title.is_empty() && once.title.chars().count() <= limits::TITLE_CHARS);
    assert!(once.description.chars().count() <= limits::DESCRIPTION_CHARS);
    assert!(once.tags.len() <= limits::TAGS);
    assert!(once.tags.iter().all(|tag| !tag.is_empty() && tag.chars().count() <= limits::TAG_CHARS));
    assert!(!once.title.chars().chain(once.tags.iter().flat_map(|tag| tag.chars())).any(char::is_control));
    let mut twice = once.clone();
    patch.apply(&mut twice);
    assert!(once == twice);
}
