//! Changes by people to a content: a JSON merge patch (RFC 7396) of title, description and tags, validated as
//! a whole before any of it takes effect.

use serde::Serialize;
use serde_json::{Map, Value};
use streamgate_contracts::catalogue::v1::Content;

use crate::limits::{DESCRIPTION_CHARS, TAG_CHARS, TAGS, TITLE_CHARS};

/// A validated patch: `None` leaves the field unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Patch {
    title: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
}

/// One invalid field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// JSON pointer (RFC 6901) into the patch.
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl Patch {
    /// Validates every field; returns all problems at once.
    pub(crate) fn from_json(patch: Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut checked = Self::default();
        let mut errors = Vec::new();
        for (key, value) in patch {
            let outcome = match key.as_str() {
                "title" => line(value, TITLE_CHARS).map(|title| checked.title = Some(title)),
                "description" => prose(value).map(|text| checked.description = Some(text)),
                "tags" => labels(value).map(|tags| checked.tags = Some(tags)),
                _ => Err("cannot be changed; title, description and tags can".to_owned()),
            };
            if let Err(detail) = outcome {
                errors.push(FieldError { pointer: pointer(&key), detail });
            }
        }
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// Applies it. A removed title falls back to the file's name.
    pub(crate) fn apply(&self, content: &mut Content) {
        if let Some(title) = &self.title {
            content.title.clone_from(title);
            if title.is_empty() {
                let filename = content.source.as_ref().map_or("", |source| source.filename.as_str());
                content.title = default_title(filename);
            }
        }
        if let Some(description) = &self.description {
            content.description.clone_from(description);
        }
        if let Some(tags) = &self.tags {
            content.tags.clone_from(tags);
        }
    }
}

/// A JSON pointer to a member of an object.
pub(crate) fn pointer(key: &str) -> String {
    let name: String = key.chars().take(64).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The default title of a content: its file's name without the extension.
pub(crate) fn default_title(filename: &str) -> String {
    let stem = match filename.rsplit_once('.') {
        Some((stem, extension)) if !stem.trim().is_empty() && extension.len() <= 10 => stem,
        _ => filename,
    };
    let title = crate::limits::clean(stem, TITLE_CHARS);
    if title.is_empty() { "Untitled".to_owned() } else { title }
}

pub(crate) fn line(value: Value, chars: usize) -> Result<String, String> {
    let text = match value {
        Value::Null => return Ok(String::new()),
        Value::String(text) => text.trim().to_owned(),
        _ => return Err("must be text or null".into()),
    };
    if text.chars().any(char::is_control) {
        return Err("must be one line without control characters".into());
    }
    bounded(text, chars)
}

fn prose(value: Value) -> Result<String, String> {
    let text = match value {
        Value::Null => return Ok(String::new()),
        Value::String(text) => text.replace("\r\n", "\n").trim().to_owned(),
        _ => return Err("must be text or null".into()),
    };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err("must not contain control characters other than line breaks and tabs".into());
    }
    bounded(text, DESCRIPTION_CHARS)
}

fn labels(value: Value) -> Result<Vec<String>, String> {
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        _ => return Err("must be a list of texts or null".into()),
    };
    let mut tags: Vec<String> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let tag = match value {
            Value::String(_) => line(value, TAG_CHARS).map_err(|error| format!("item {index} {error}"))?,
            _ => return Err(format!("item {index} must be text")),
        };
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > TAGS {
            return Err(format!("must be at most {TAGS} tags"));
        }
    }
    Ok(tags)
}

fn bounded(text: String, chars: usize) -> Result<String, String> {
    let count = text.chars().count();
    if count > chars {
        return Err(format!("must be at most {chars} characters long, not {count}"));
    }
    Ok(text)
}

/// The changes of a person to a content, as text.
pub(crate) fn difference(before: &Content, after: &Content) -> String {
    let mut changed = Vec::new();
    if before.title != after.title {
        changed.push(format!("title from \"{}\" to \"{}\"", before.title, after.title));
    }
    if before.description != after.description {
        changed.push("description".to_owned());
    }
    if before.tags != after.tags {
        changed.push(format!("tags to {}", after.tags.join(", ")));
    }
    changed.join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use streamgate_contracts::catalogue::v1::Source;

    fn patch(value: Value) -> Result<Patch, Vec<FieldError>> {
        let Value::Object(map) = value else { panic!("a patch is an object") };
        Patch::from_json(map)
    }

    #[test]
    fn fields_that_are_not_named_stay() {
        let mut content = Content { title: "a".into(), description: "b".into(), ..Content::default() };
        patch(json!({"tags": [" x ", "y", "x", ""]})).unwrap().apply(&mut content);
        assert_eq!((content.title.as_str(), content.description.as_str()), ("a", "b"));
        assert_eq!(content.tags, ["x", "y"]);
    }

    #[test]
    fn null_takes_a_field_away_and_the_title_falls_back_to_the_file_name() {
        let source = Some(Source { filename: "My trip.2024.mp4".into(), ..Source::default() });
        let mut content =
            Content { title: "a".into(), description: "b".into(), source, ..Content::default() };
        patch(json!({"title": null, "description": null})).unwrap().apply(&mut content);
        assert_eq!((content.title.as_str(), content.description.as_str()), ("My trip.2024", ""));
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let errors = patch(json!({
            "title": "x".repeat(201), "description": 7, "tags": ["ok", 1], "state": "ready", "a/b": 1
        }))
        .unwrap_err();
        let mut pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/a~1b", "/description", "/state", "/tags", "/title"]);
    }

    #[test]
    fn titles_come_from_file_names_without_their_extension() {
        for (filename, title) in [
            ("film.mp4", "film"),
            (".mp4", ".mp4"),
            ("", "Untitled"),
            ("a.b c d e f g h", "a.b c d e f g h"),
            ("x", "x"),
        ] {
            assert_eq!(default_title(filename), title);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_within_bounds(title in any::<String>(), text in any::<String>(), tags: Vec<String>) {
            if let Ok(patch) = patch(json!({"title": title, "description": text, "tags": tags})) {
                let mut content = Content::default();
                patch.apply(&mut content);
                prop_assert!(content.title.chars().count() <= TITLE_CHARS);
                prop_assert!(!content.title.chars().any(char::is_control));
                prop_assert!(content.tags.len() <= TAGS);
            }
        }
    }
}
