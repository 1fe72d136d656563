//! English names of languages, for lists that people choose from.

/// ISO 639-1, ISO 639-2, and the name.
const NAMES: [(&str, &str, &str); 44] = [
    ("ar", "ara", "Arabic"),
    ("bg", "bul", "Bulgarian"),
    ("bn", "ben", "Bengali"),
    ("ca", "cat", "Catalan"),
    ("cs", "ces", "Czech"),
    ("da", "dan", "Danish"),
    ("de", "deu", "German"),
    ("el", "ell", "Greek"),
    ("en", "eng", "English"),
    ("es", "spa", "Spanish"),
    ("et", "est", "Estonian"),
    ("fa", "fas", "Persian"),
    ("fi", "fin", "Finnish"),
    ("fil", "fil", "Filipino"),
    ("fr", "fra", "French"),
    ("he", "heb", "Hebrew"),
    ("hi", "hin", "Hindi"),
    ("hr", "hrv", "Croatian"),
    ("hu", "hun", "Hungarian"),
    ("id", "ind", "Indonesian"),
    ("it", "ita", "Italian"),
    ("ja", "jpn", "Japanese"),
    ("ko", "kor", "Korean"),
    ("lt", "lit", "Lithuanian"),
    ("lv", "lav", "Latvian"),
    ("ms", "msa", "Malay"),
    ("nb", "nob", "Norwegian Bokm\u{e5}l"),
    ("nl", "nld", "Dutch"),
    ("no", "nor", "Norwegian"),
    ("pl", "pol", "Polish"),
    ("pt", "por", "Portuguese"),
    ("ro", "ron", "Romanian"),
    ("ru", "rus", "Russian"),
    ("sk", "slk", "Slovak"),
    ("sl", "slv", "Slovenian"),
    ("sr", "srp", "Serbian"),
    ("sv", "swe", "Swedish"),
    ("ta", "tam", "Tamil"),
    ("te", "tel", "Telugu"),
    ("th", "tha", "Thai"),
    ("tr", "tur", "Turkish"),
    ("uk", "ukr", "Ukrainian"),
    ("vi", "vie", "Vietnamese"),
    ("zh", "zho", "Chinese"),
];

/// The name of a language: its English name with the rest of the tag (BCP 47), or the tag itself.
pub(crate) fn named(tag: &str) -> String {
    let (language, rest) = tag.split_once('-').unwrap_or((tag, ""));
    let is_this = |code: &str| code.eq_ignore_ascii_case(language);
    match NAMES.iter().find(|(short, long, _)| is_this(short) || is_this(long)) {
        Some((_, _, name)) if rest.is_empty() => (*name).to_owned(),
        Some((_, _, name)) => format!("{name} ({rest})"),
        None => tag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_language_is_called_by_its_name_or_else_by_its_tag() {
        for (tag, name) in [
            ("de", "German"),
            ("DEU", "German"),
            ("pt-BR", "Portuguese (BR)"),
            ("zh-Hant-TW", "Chinese (Hant-TW)"),
            ("tlh", "tlh"),
            ("x-klingon", "x-klingon"),
        ] {
            assert_eq!(named(tag), name);
        }
    }
}
