//! Limits of everything that people or other plugins may write into a content.

/// Characters of a title.
pub(crate) const TITLE_CHARS: usize = 200;
/// Characters of a description.
pub(crate) const DESCRIPTION_CHARS: usize = 5_000;
/// Tags of one content.
pub(crate) const TAGS: usize = 32;
/// Characters of one tag.
pub(crate) const TAG_CHARS: usize = 50;
/// Characters of a reason of failure.
pub(crate) const REASON_CHARS: usize = 1_000;
/// Characters of a file name.
pub(crate) const FILENAME_CHARS: usize = 255;
/// Characters of a codec or a content type.
pub(crate) const WORD_CHARS: usize = 127;
/// Renditions of one content.
pub(crate) const RENDITIONS: usize = 64;
/// Segments of one `PutSegments` call.
pub(crate) const SEGMENTS_PER_CALL: usize = 10_000;
/// Segments of one rendition: ten hours of two seconds, twice over.
pub(crate) const SEGMENTS: u32 = 40_000;
/// Sync points of one segment.
pub(crate) const SYNC_POINTS: usize = 1_024;

/// Bytes of the pictures of one content, as they are counted: 1 TiB.
pub(crate) const PICTURE_BYTES: u64 = 1 << 40;

/// Texts of one content.
pub(crate) const TEXTS: usize = 64;
/// Characters of the label of a text.
pub(crate) const LABEL_CHARS: usize = 64;
/// Chapters of one content.
pub(crate) const CHAPTERS: usize = 1_000;
/// Characters of the title of a chapter.
pub(crate) const CHAPTER_CHARS: usize = 200;
/// The latest start of a chapter: 999 hours.
pub(crate) const CHAPTER_START_MS: u64 = 999 * 3_600_000;
/// Bytes of texts and chapters of one content in its row. 500 contents are read at once, and have to fit into
/// one message.
pub(crate) const TEXTS_BYTES: usize = 32 * 1024;
/// Earlier versions of a text that are kept.
pub(crate) const EARLIER_TEXTS: usize = 8;
/// Earlier generations of renditions that are kept.
pub(crate) const EARLIER_GENERATIONS: usize = 4;
/// Characters of a language (RFC 5646 §4.4.1).
pub(crate) const LANGUAGE_CHARS: usize = 35;

/// Sanitizes a line of text from another plugin: control characters become spaces, the ends are trimmed, and
/// what exceeds `chars` characters is cut.
pub(crate) fn clean(text: &str, chars: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().chars().take(chars).collect::<String>().trim_end().to_owned()
}

/// Whether this is a rendition's name: `[a-z0-9-]{1,32}`.
pub(crate) fn is_rendition_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether this is a valid text name: as for a rendition, but not that of the uploaded object.
pub(crate) fn is_text_name(name: &str) -> bool {
    is_rendition_name(name) && name != "source"
}

/// A language in the form of BCP 47 (RFC 5646 §2.1), in its usual case (§2.1.1): `de`, `zh-Hant`, `pt-BR`.
/// `None`: it has another form. Whether the language exists is not checked.
pub(crate) fn language(tag: &str) -> Option<String> {
    let mut parts = Vec::new();
    for (index, part) in tag.split('-').enumerate() {
        let fits = match index {
            0 => part.bytes().all(|byte| byte.is_ascii_alphabetic()) && (2..=8).contains(&part.len()),
            _ => part.bytes().all(|byte| byte.is_ascii_alphanumeric()) && (1..=8).contains(&part.len()),
        };
        // Subtags after a single letter, such as `x`, have no case of their own.
        let plain = index == 0 || parts.iter().any(|part: &String| part.len() == 1);
        let part = part.to_ascii_lowercase();
        parts.push(match part.len() {
            _ if !fits => return None,
            2 if !plain => part.to_ascii_uppercase(),
            4 if !plain => part[..1].to_ascii_uppercase() + &part[1..],
            _ => part,
        });
    }
    Some(parts.join("-")).filter(|tag| tag.len() <= LANGUAGE_CHARS)
}

/// Whether this is a content's id: a UUID in lower case with hyphens.
pub(crate) fn is_content_id(id: &str) -> bool {
    uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.hyphenated().to_string() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned_text_is_one_line_within_its_bounds() {
        assert_eq!(clean("  a\r\nb\u{0}\u{7f}  ", 20), "a  b");
        assert_eq!(clean("äöü", 2), "äö");
    }

    #[test]
    fn only_lower_case_uuids_with_hyphens_are_ids() {
        assert!(is_content_id("0190163d-8694-739b-aea5-966c26f8ad91"));
        for id in ["0190163D-8694-739B-AEA5-966C26F8AD91", "0190163d8694739baea5966c26f8ad91", "", "../x"] {
            assert!(!is_content_id(id), "{id}");
        }
    }

    #[test]
    fn languages_have_the_shape_and_the_case_of_bcp_47() {
        for (given, found) in [
            ("DE", Some("de")),
            ("pt-br", Some("pt-BR")),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("de-x-ab", Some("de-x-ab")),
            ("und", Some("und")),
            ("", None),
            ("d", None),
            ("de_DE", None),
            ("de-", None),
            ("4-de", None),
            ("Deutschland", None),
            ("de-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa", None),
        ] {
            assert_eq!(language(given).as_deref(), found, "{given}");
        }
    }

    #[test]
    fn rendition_names_fit_into_a_path() {
        assert!(is_rendition_name("720p") && is_rendition_name("audio-128k"));
        for name in ["", "a/b", "..", "A", "a_b", "é", &"a".repeat(33)] {
            assert!(!is_rendition_name(name), "{name}");
        }
    }
}
