//! The rules of texts and chapters: names, the properties that an editor may set, and the texts of a file.
//! Pure: it never touches the database or storage.
//!
//! Names of texts that people add are random, and never those of a file's: no name is reused, so that no
//! address ever has the text of another one.

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Map, Value};
use streamgate_contracts::catalogue::v1::{Chapter, Content, EarlierText, FileTexts, TextTrack};

use crate::limits;
use crate::patch::{FieldError, line, pointer};
use crate::store::{Rung, StoreError};

/// The prefix of the names of texts that people added. A file's never have it.
const ADDED: &str = "captions-";

/// A name for a text that a person adds.
pub(crate) fn fresh_name() -> String {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    format!("{ADDED}{:012x}", random >> 16)
}

/// The object of a text, after `media/`.
pub(crate) fn object(id: &str, name: &str, version: u32) -> String {
    format!("{id}/{name}/{version}.vtt")
}

/// Texts and chapters in their stored form; `None`: there are none.
pub(crate) fn packed(content: &Content) -> Option<Bytes> {
    let Content { texts, chapters, texts_read, .. } = content.clone();
    let texts = Content { texts, chapters, texts_read, ..Content::default() };
    (texts != Content::default()).then(|| texts.encode_to_vec().into())
}

/// Replaced versions do not count against the limit of people; they have their own.
fn is_too_large(content: &Content) -> bool {
    let mut content =
        Content { texts: content.texts.clone(), chapters: content.chapters.clone(), ..Content::default() };
    content.texts.iter_mut().for_each(|text| text.earlier.clear());
    packed(&content).is_some_and(|packed| packed.len() > limits::TEXTS_BYTES)
}

/// Replaces a text by its next version. The previous one stays until `until_ms`, if that is in the future,
/// and never beside more than [`limits::EARLIER_TEXTS`] others.
pub(crate) fn replace(text: &mut TextTrack, version: u32, bytes: u32, now_ms: i64, until_ms: i64) {
    text.earlier.push(EarlierText { version: text.version, bytes: text.bytes, until_ms });
    (text.version, text.bytes) = (version, bytes);
    let surplus = text.earlier.len().saturating_sub(limits::EARLIER_TEXTS);
    text.earlier.drain(..surplus);
    text.earlier.retain(|earlier| earlier.until_ms > now_ms);
}

/// When the first of the earlier versions expires; `None`: there is none.
pub(crate) fn due_at_ms(content: &Content) -> Option<i64> {
    content.texts.iter().flat_map(|text| &text.earlier).map(|earlier| earlier.until_ms).min()
}

/// Removes the expired earlier versions; returns the texts that had some.
pub(crate) fn expire(content: &mut Content, now_ms: i64) -> Vec<TextTrack> {
    let mut changed = Vec::new();
    for text in &mut content.texts {
        let before = text.earlier.len();
        text.earlier.retain(|earlier| earlier.until_ms > now_ms);
        if text.earlier.len() < before {
            changed.push(text.clone());
        }
    }
    changed
}

/// Whether texts and chapters are within their bounds.
pub(crate) fn fits(content: &Content) -> Result<(), StoreError> {
    if content.texts.len() > limits::TEXTS {
        return Err(StoreError::Limit(format!(
            "a content has at most {} captions; remove some first",
            limits::TEXTS
        )));
    }
    if is_too_large(content) {
        return Err(StoreError::Limit(format!(
            "labels of captions and titles of chapters take too much room, more than {} bytes; shorten some",
            limits::TEXTS_BYTES
        )));
    }
    Ok(())
}

/// The index of the text of a name.
pub(crate) fn find<'a>(content: &'a Content, name: &str) -> Result<&'a TextTrack, StoreError> {
    let found = content.texts.iter().find(|text| text.name == name);
    found.ok_or_else(|| StoreError::NoText(name.chars().take(64).collect()))
}

/// The same, to change it.
pub(crate) fn find_mut<'a>(content: &'a mut Content, name: &str) -> Result<&'a mut TextTrack, StoreError> {
    let found = content.texts.iter_mut().find(|text| text.name == name);
    found.ok_or_else(|| StoreError::NoText(name.chars().take(64).collect()))
}

/// Makes this text, if it is a default one, the only default.
pub(crate) fn settle_default(content: &mut Content, name: &str) {
    let counts = |text: &TextTrack| text.default && !text.forced;
    if content.texts.iter().any(|text| text.name == name && counts(text)) {
        for text in content.texts.iter_mut().filter(|text| text.name != name && counts(text)) {
            text.default = false;
        }
    }
}

/// Whether these can be the texts of a file.
pub(crate) fn check_file(file: &FileTexts) -> Result<(), StoreError> {
    for (index, TextTrack { name, version, .. }) in file.texts.iter().enumerate() {
        let problem = if !limits::is_text_name(name) {
            "is not a valid text name: [a-z0-9-]{1,32} and not `source`"
        } else if name.starts_with(ADDED) {
            "is reserved for texts that people add"
        } else if *version == 0 {
            "has no version"
        } else if file.texts[..index].iter().any(|earlier| earlier.name == *name) {
            "is given twice"
        } else {
            continue;
        };
        return Err(StoreError::Invalid(format!("the text `{name}` {problem}")));
    }
    if !file.chapters.is_sorted_by(|a, b| a.start_ms < b.start_ms) {
        return Err(StoreError::Invalid("the chapters are not in ascending order".into()));
    }
    Ok(())
}

/// Adds the texts of a file, unless that was done before. What exceeds the limits is left out, because
/// nothing could be done about it.
pub(crate) fn add_file(content: &mut Content, file: &FileTexts, rungs: &[Rung]) -> Result<(), StoreError> {
    if content.texts_read {
        return Ok(());
    }
    if let Some(text) = file.texts.iter().find(|text| rungs.iter().any(|it| it.spec.name == text.name)) {
        return Err(StoreError::Invalid(format!("`{}` is the name of a rendition", text.name)));
    }
    content.texts_read = true;
    let mut has_default = content.texts.iter().any(|text| text.default && !text.forced);
    let room = limits::TEXTS.saturating_sub(content.texts.len());
    let mut texts: Vec<TextTrack> = Vec::new();
    let new = file.texts.iter().filter(|text| content.texts.iter().all(|it| it.name != text.name));
    for text in new.take(room) {
        let mut text = TextTrack {
            language: limits::language(&text.language).unwrap_or_default(),
            label: limits::clean(&text.label, limits::LABEL_CHARS),
            earlier: Vec::new(),
            ..text.clone()
        };
        if !text.forced {
            text.default &= !has_default;
            has_default |= text.default;
        }
        texts.push(text);
    }
    texts.append(&mut content.texts);
    content.texts = texts;
    if content.chapters.is_empty() {
        let chapters = file.chapters.iter().filter(|it| it.start_ms <= limits::CHAPTER_START_MS);
        content.chapters = chapters.take(limits::CHAPTERS).cloned().collect();
        let mut chars = limits::CHAPTER_CHARS;
        for chapter in &mut content.chapters {
            chapter.title = limits::clean(&chapter.title, chars);
        }
        while is_too_large(content) && chars > 0 {
            chars /= 2;
            for chapter in &mut content.chapters {
                chapter.title = limits::clean(&chapter.title, chars);
            }
        }
    }
    Ok(())
}

/// An editor's changes of a text; `None` leaves a property unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct About {
    pub(crate) language: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) default: Option<bool>,
    pub(crate) forced: Option<bool>,
    pub(crate) hearing_impaired: Option<bool>,
}

impl About {
    /// From a JSON merge patch (RFC 7396), or all its problems. Null is the default of a new text.
    pub(crate) fn from_json(patch: Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut about = Self::default();
        let mut errors = Vec::new();
        for (key, value) in patch {
            let outcome = match key.as_str() {
                "language" => tag(value).map(|tag| about.language = Some(tag)),
                "label" => line(value, limits::LABEL_CHARS).map(|label| about.label = Some(label)),
                "default" => flag(value).map(|flag| about.default = Some(flag)),
                "forced" => flag(value).map(|flag| about.forced = Some(flag)),
                "hearing_impaired" => flag(value).map(|flag| about.hearing_impaired = Some(flag)),
                _ => {
                    Err("cannot be changed; language, label, default, forced and hearing_impaired can".into())
                }
            };
            if let Err(detail) = outcome {
                errors.push(FieldError { pointer: pointer(&key), detail });
            }
        }
        if errors.is_empty() { Ok(about) } else { Err(errors) }
    }

    /// Applies it to the text of a name.
    pub(crate) fn apply(&self, content: &mut Content, name: &str) -> Result<(), StoreError> {
        let text = find_mut(content, name)?;
        text.language = self.language.clone().unwrap_or_else(|| std::mem::take(&mut text.language));
        text.label = self.label.clone().unwrap_or_else(|| std::mem::take(&mut text.label));
        text.default = self.default.unwrap_or(text.default);
        text.forced = self.forced.unwrap_or(text.forced);
        text.hearing_impaired = self.hearing_impaired.unwrap_or(text.hearing_impaired);
        settle_default(content, name);
        Ok(())
    }
}

fn tag(value: Value) -> Result<String, String> {
    let shape = "must be a language such as `de` or `pt-BR` (BCP 47), or null";
    match value {
        Value::Null => Ok(String::new()),
        Value::String(tag) if tag.is_empty() => Ok(tag),
        Value::String(tag) => limits::language(&tag).ok_or_else(|| shape.to_owned()),
        _ => Err(shape.to_owned()),
    }
}

fn flag(value: Value) -> Result<bool, String> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(flag),
        _ => Err("must be true, false or null".to_owned()),
    }
}

/// Chapters from an editor: `[{"start": seconds, "title": ""}]`, or all their problems.
pub(crate) fn chapters(list: Vec<Value>) -> Result<Vec<Chapter>, Vec<FieldError>> {
    if list.len() > limits::CHAPTERS {
        let detail = format!("must be at most {} chapters, not {}", limits::CHAPTERS, list.len());
        return Err(vec![FieldError { pointer: String::new(), detail }]);
    }
    let mut chapters: Vec<Chapter> = Vec::with_capacity(list.len());
    let mut errors = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let mut wrong = |key: &str, detail: String| {
            errors.push(FieldError { pointer: format!("/{index}{key}"), detail });
        };
        let Value::Object(mut chapter) = value else {
            wrong("", "must be an object with `start` and `title`".into());
            continue;
        };
        let start_ms = match start(chapter.remove("start")) {
            Ok(start_ms) => start_ms,
            Err(detail) => {
                wrong("/start", detail);
                continue;
            }
        };
        if chapters.last().is_some_and(|last| last.start_ms >= start_ms) {
            wrong("/start", "must be later than the start of the chapter before".into());
        }
        let title = match line(chapter.remove("title").unwrap_or_default(), limits::CHAPTER_CHARS) {
            Ok(title) => title,
            Err(detail) => {
                wrong("/title", detail);
                String::new()
            }
        };
        if let Some(key) = chapter.keys().next() {
            wrong(&pointer(key), "is unknown; the members are `start` and `title`".into());
        }
        chapters.push(Chapter { start_ms, title });
    }
    if errors.is_empty() { Ok(chapters) } else { Err(errors) }
}

fn start(value: Option<Value>) -> Result<u64, String> {
    let seconds = value.as_ref().and_then(Value::as_f64).map(|seconds| (seconds * 1_000.0).round());
    let most = limits::CHAPTER_START_MS;
    match seconds {
        // Within these bounds it is exact.
        Some(ms) if (0.0..=most as f64).contains(&ms) => Ok(ms as u64),
        _ => Err(format!("must be seconds from 0 to {}", most / 1_000)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "texts_tests.rs"]
mod tests;
