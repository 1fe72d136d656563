//! The properties of a file's sounds and texts, in the terms of the platform: languages by BCP 47, names and
//! flags.

use ffmpeg_next::Stream;
use ffmpeg_next::format::stream::Disposition;

/// Characters of a track's name that are kept.
const LABEL_CHARS: usize = 64;
/// And of a chapter's title.
pub(crate) const TITLE_CHARS: usize = 200;

/// The properties of a sound or a text besides its media.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// BCP 47; empty: unknown.
    pub language: String,
    /// The file's name for it; may be empty.
    pub label: String,
    /// The default: it plays, or is shown, unless the viewer chose another.
    pub default: bool,
    /// A commentary.
    pub commentary: bool,
    /// Of sound: describes the video to viewers who do not see it.
    pub described: bool,
    /// Of text: for viewers who do not hear.
    pub hearing_impaired: bool,
    /// Of text: forced, every viewer needs to read it.
    pub forced: bool,
}

impl About {
    pub(crate) fn of(stream: &Stream<'_>) -> Self {
        let metadata = stream.metadata();
        // The bytes are the file's: they may not be UTF-8.
        let text =
            |key: &str| metadata.get(key).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let label = text("title").map(|title| clean(&title, LABEL_CHARS)).unwrap_or_default();
        let disposition = stream.disposition();
        let says = |words: &[&str]| {
            let label = label.to_lowercase();
            words.iter().any(|word| label.split(|c: char| !c.is_alphanumeric()).any(|part| part == *word))
        };
        Self {
            language: text("language").map(|code| language(&code)).unwrap_or_default(),
            default: disposition.contains(Disposition::DEFAULT),
            commentary: disposition.contains(Disposition::COMMENT) || says(&["commentary"]),
            described: disposition.intersects(Disposition::VISUAL_IMPAIRED | Disposition::DESCRIPTIONS),
            hearing_impaired: disposition.intersects(Disposition::HEARING_IMPAIRED | Disposition::CAPTIONS)
                || says(&["sdh", "cc"]),
            forced: disposition.contains(Disposition::FORCED) || says(&["forced"]),
            label,
        }
    }
}

/// Text from a file as a single line.
pub(crate) fn clean(text: &str, characters: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(characters).collect();
    text.trim().to_owned()
}

/// The three-letter codes that files use for some languages besides the usual ones (ISO 639-2, table B).
const BIBLIOGRAPHIC: [(&str, &str); 20] = [
    ("alb", "sq"),
    ("arm", "hy"),
    ("baq", "eu"),
    ("bur", "my"),
    ("chi", "zh"),
    ("cze", "cs"),
    ("dut", "nl"),
    ("fre", "fr"),
    ("geo", "ka"),
    ("ger", "de"),
    ("gre", "el"),
    ("ice", "is"),
    ("mac", "mk"),
    ("mao", "mi"),
    ("may", "ms"),
    ("per", "fa"),
    ("rum", "ro"),
    ("slo", "sk"),
    ("tib", "bo"),
    ("wel", "cy"),
];

/// The language as BCP 47: two letters where there are two (RFC 5646 §2.2.1). Empty: unknown.
pub(crate) fn language(code: &str) -> String {
    let code = code.trim().to_lowercase();
    let (first, rest) =
        code.split_once(['-', '_']).map_or((code.as_str(), ""), |(first, rest)| (first, rest));
    let bibliographic = BIBLIOGRAPHIC.iter().find(|(of_file, _)| *of_file == first).map(|(_, two)| *two);
    let known = || match first.len() {
        2 => isolang::Language::from_639_1(first),
        3 => isolang::Language::from_639_3(first),
        _ => None,
    };
    let first =
        match bibliographic.or_else(|| known().map(|found| found.to_639_1().unwrap_or(found.to_639_3()))) {
            // "Undetermined", "none" and "multiple" are no languages to choose.
            Some("und" | "zxx" | "mul" | "mis") | None => return String::new(),
            Some(found) => found,
        };
    // A region or a script, and nothing longer.
    let rest: Vec<_> = rest
        .split(['-', '_'])
        .filter(|part| matches!(part.len(), 2 | 4) && part.is_ascii())
        .take(2)
        .collect();
    let alphabetic = rest.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let mut tag = first.to_owned();
    for part in rest.iter().filter(|_| alphabetic) {
        tag.push('-');
        if part.len() == 2 {
            tag.push_str(&part.to_uppercase());
        } else {
            tag.push_str(&part[..1].to_uppercase());
            tag.push_str(&part[1..]);
        }
    }
    tag
}

/// The ordinal of a position, from 1: `first`.
pub(crate) fn ordinal(place: usize) -> String {
    const WORDS: [&str; 10] =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    let suffix = match (place % 10, place % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    WORDS.get(place.wrapping_sub(1)).map_or_else(|| format!("{place}{suffix}"), |word| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_written_as_players_know_them() {
        for (of_file, tag) in [
            ("eng", "en"),
            ("deu", "de"),
            ("ger", "de"),
            ("fre", "fr"),
            ("de", "de"),
            ("haw", "haw"),
            ("pt-br", "pt-BR"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("und", ""),
            ("", ""),
            ("xx", ""),
            ("not a language", ""),
        ] {
            assert_eq!(language(of_file), tag, "{of_file}");
        }
    }

    #[test]
    fn names_are_one_line_and_not_too_long() {
        assert_eq!(clean(" Director\u{27}s\ncut \0", LABEL_CHARS), "Director's cut");
        assert_eq!(clean(&"x".repeat(500), LABEL_CHARS).len(), LABEL_CHARS);
    }

    #[test]
    fn places_are_said_in_words() {
        let said = [2, 11, 12, 21, 32].map(ordinal);
        assert_eq!(said, ["second", "11th", "12th", "21st", "32nd"]);
    }
}
