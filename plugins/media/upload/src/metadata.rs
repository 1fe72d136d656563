//! `Upload-Metadata` (tus 1.0 §Creation): the client's description of the file. Untrusted: it ends up in
//! lists that people read.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::fault::Fault;
use crate::protocol::UPLOAD_METADATA_NAME;

const MAX_HEADER_BYTES: usize = 8 * 1024;
const MAX_KEYS: usize = 64;
const MAX_FILENAME_CHARS: usize = 255;
const MAX_TITLE_CHARS: usize = 200;
const MAX_TYPE_CHARS: usize = 127;
/// Some clients omit the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is known about the file before its first byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FileFacts {
    /// The header as received, for HEAD.
    pub(crate) header: String,
    /// Without directories. May be empty.
    pub(crate) filename: String,
    /// A media type, or empty.
    pub(crate) filetype: String,
    /// Never empty.
    pub(crate) title: String,
}

impl FileFacts {
    /// Reads the header's value.
    ///
    /// # Errors
    /// 400 for anything but `key base64, key base64, key`, for a duplicate key, and for values of the known
    /// keys that are too long, not UTF-8, or contain control characters.
    pub(crate) fn parse(header: &[u8]) -> Result<Self, Fault> {
        let refuse = |problem: String| Fault::header(UPLOAD_METADATA_NAME, problem);
        if header.len() > MAX_HEADER_BYTES {
            return Err(refuse(format!("is longer than {MAX_HEADER_BYTES} bytes")));
        }
        let header = std::str::from_utf8(header).ok().filter(|text| text.is_ascii());
        let header = header.ok_or_else(|| refuse("is not ASCII".into()))?.trim();
        let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
        for pair in header.split(',').map(str::trim) {
            if pair.is_empty() && header.is_empty() {
                break;
            }
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() || key.bytes().any(|byte| !byte.is_ascii_graphic()) {
                return Err(refuse("has a pair without a key".into()));
            }
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(refuse(format!("has the key `{}` twice", short(key))));
            }
            if pairs.len() == MAX_KEYS {
                return Err(refuse(format!("has more than {MAX_KEYS} keys")));
            }
            let value = BASE64
                .decode(value.trim())
                .map_err(|_| refuse(format!("has a value for `{}` that is not Base64", short(key))))?;
            pairs.push((key, value));
        }
        let text = |keys: &[&str], chars: usize| {
            let found = keys.iter().find_map(|key| pairs.iter().find(|(known, _)| known == key));
            let Some((key, value)) = found else { return Ok(String::new()) };
            let text =
                std::str::from_utf8(value).map_err(|_| refuse(format!("has a `{key}` that is not UTF-8")))?;
            if text.chars().any(is_unfit) {
                return Err(refuse(format!("has a `{key}` with control characters")));
            }
            if text.chars().count() > chars {
                return Err(refuse(format!("has a `{key}` of more than {chars} characters")));
            }
            Ok(text.trim().to_owned())
        };
        let path = text(&["filename", "name"], MAX_FILENAME_CHARS)?;
        let filename = path.rsplit(['/', '\\']).next().unwrap_or_default().trim().to_owned();
        let filetype = text(&["filetype", "type", "contentType"], MAX_TYPE_CHARS)?;
        let filetype = if is_media_type(&filetype) { filetype.to_ascii_lowercase() } else { String::new() };
        let mut title = text(&["title"], MAX_TITLE_CHARS)?;
        if title.is_empty() {
            title = default_title(&filename);
        }
        Ok(Self { header: header.to_owned(), filename, filetype, title })
    }
}

/// The file's name without its extension.
fn default_title(filename: &str) -> String {
    let stem = match filename.rsplit_once('.') {
        Some((stem, extension)) if !stem.trim().is_empty() && extension.len() <= 10 => stem,
        _ => filename,
    };
    let title: String = stem.trim().chars().take(MAX_TITLE_CHARS).collect();
    if title.trim().is_empty() { "Untitled".to_owned() } else { title.trim().to_owned() }
}

/// Control characters, and those that change the direction of the following text.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// RFC 9110 §8.3.1 without parameters.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

fn short(key: &str) -> &str {
    &key[..key.len().min(32)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(key: &str, value: &str) -> String {
        format!("{key} {}", BASE64.encode(value))
    }

    fn facts(pairs: &[(&str, &str)]) -> Result<FileFacts, Fault> {
        let header: Vec<String> = pairs.iter().map(|(key, value)| pair(key, value)).collect();
        FileFacts::parse(header.join(", ").as_bytes())
    }

    #[test]
    fn names_types_and_titles_are_read_and_other_keys_are_kept() {
        let header = format!(
            "{},{},is_confidential,{}",
            pair("filename", "Ü b.mp4"),
            pair("filetype", "video/MP4"),
            pair("x", "y")
        );
        let facts = FileFacts::parse(header.as_bytes()).unwrap();
        assert_eq!(
            (facts.filename.as_str(), facts.filetype.as_str(), facts.title.as_str()),
            ("Ü b.mp4", "video/mp4", "Ü b")
        );
        assert_eq!(facts.header, header);
    }

    #[test]
    fn a_path_is_cut_down_to_the_file() {
        assert_eq!(facts(&[("filename", "../../etc/passwd")]).unwrap().filename, "passwd");
        assert_eq!(facts(&[("filename", "C:\\films\\a.mkv")]).unwrap().filename, "a.mkv");
    }

    #[test]
    fn an_empty_title_falls_back_to_the_name_and_then_to_a_word() {
        assert_eq!(facts(&[("title", " "), ("filename", "a.tar.gz")]).unwrap().title, "a.tar");
        assert_eq!(FileFacts::parse(b"").unwrap().title, "Untitled");
        assert_eq!(facts(&[("filename", ".mp4")]).unwrap().title, ".mp4");
    }

    #[test]
    fn hostile_values_are_refused_with_a_reason() {
        for (pairs, reason) in [
            (vec![("title", "a\nb")], "control characters"),
            (vec![("filename", "a\u{202e}4pm.exe")], "control characters"),
            (vec![("title", &*"x".repeat(201))], "more than 200"),
            (vec![("filename", &*"x".repeat(256))], "more than 255"),
        ] {
            let fault = facts(&pairs).unwrap_err().to_string();
            assert!(fault.contains(reason), "{fault}");
        }
        for (header, reason) in [
            (&b"filename %%%"[..], "not Base64"),
            (b"filename YQ==,filename YQ==", "twice"),
            (b"filename YQ==,,x", "without a key"),
            (b"title /w==", "not UTF-8"),
            (b"title \xff", "not ASCII"),
        ] {
            let fault = FileFacts::parse(header).unwrap_err().to_string();
            assert!(fault.contains(reason), "{fault}");
        }
        assert!(FileFacts::parse(&[b'a'; 9_000]).is_err());
    }

    #[test]
    fn a_type_that_is_none_is_forgotten() {
        assert_eq!(facts(&[("filetype", "null")]).unwrap().filetype, "");
        assert_eq!(facts(&[("type", "video/x-matroska")]).unwrap().filetype, "video/x-matroska");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(header in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(facts) = FileFacts::parse(&header) {
                prop_assert!(!facts.title.is_empty());
                prop_assert!(!facts.filename.contains('/'));
            }
        }

        #[test]
        fn almost_valid_headers_are_read_or_refused(header in "([a-z]{1,8} [A-Za-z0-9+/=]{0,12}[, ]{0,2}){0,6}") {
            let _ = FileFacts::parse(header.as_bytes());
        }

        #[test]
        fn whatever_text_is_accepted_comes_out_fit_to_be_shown(title in any::<String>(), name in any::<String>()) {
            if let Ok(facts) = facts(&[("title", &title), ("filename", &name)]) {
                prop_assert!(!facts.title.chars().any(is_unfit) && !facts.filename.chars().any(is_unfit));
                prop_assert!(facts.title.chars().count() <= MAX_TITLE_CHARS);
            }
        }
    }
}
