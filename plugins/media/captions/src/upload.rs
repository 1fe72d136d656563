//! An uploaded file: its format, and its conversion.

use crate::time::{self, Form};
use crate::{Cue, MAX_BYTES, MAX_CUE_BYTES, MAX_CUES, ass, decode, srt, ttml, vtt};

/// Maximum characters of a file that an error quotes.
const QUOTED_CHARS: usize = 40;

/// The original format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// WebVTT, which is kept unchanged.
    WebVtt,
    /// SubRip (`.srt`).
    SubRip,
    /// ASS or SSA.
    Ass,
    /// TTML, also called DFXP.
    Ttml,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    /// Its original format.
    pub format: Format,
    /// The result: WebVTT in UTF-8 with `\n` at the ends of lines, of at most [`MAX_BYTES`].
    pub vtt: String,
    /// Number of cues, at least one.
    pub cues: usize,
    /// The language that the file declares, unchanged; mostly empty, because only TTML declares one.
    pub language: String,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptionsError {
    /// It has more than [`MAX_BYTES`], or would have as WebVTT.
    #[error("the captions have {bytes} bytes; at most {MAX_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It has more than [`MAX_CUES`].
    #[error("the captions have more than {MAX_CUES} cues")]
    TooMany,
    /// It contains no text.
    #[error("the file has no cue with text")]
    Empty,
    /// It is none of the four formats.
    #[error(
        "this is not WebVTT, SubRip, ASS or TTML: it neither begins with WEBVTT, nor has [Events], nor a time such as \
         00:00:05,000 --> 00:00:07,000, nor is it XML"
    )]
    Unknown,
    /// It contains pictures instead of text.
    #[error("line {line}: this is a picture instead of text; only text is supported")]
    Pictures {
        /// The first such line, from 1.
        line: usize,
    },
    /// One line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// The problem and what to write instead.
        problem: String,
    },
}

impl CaptionsError {
    /// The number of the wrong line, from 1, if it is one line.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Line { line, .. } | Self::Pictures { line } => Some(*line),
            _ => None,
        }
    }

    pub(crate) fn at(line: usize, problem: String) -> Self {
        Self::Line { line, problem }
    }

    /// Refuses a text that is longer than [`MAX_CUE_BYTES`].
    pub(crate) fn unless_short(text: &str, line: usize) -> Result<(), Self> {
        match text.len() {
            0..=MAX_CUE_BYTES => Ok(()),
            bytes => Err(Self::at(line, format!("the text has {bytes} bytes; at most {MAX_CUE_BYTES}"))),
        }
    }
}

/// Reads a file of WebVTT, SubRip, ASS or TTML in UTF-8, or in UTF-16 with a byte order mark. WebVTT is kept
/// unchanged, except for line ends, the byte order mark and `X-TIMESTAMP-MAP`, which is about another stream.
///
/// # Errors
/// If it is none of these, or one of its lines is wrong; the message states which, and what to write.
pub fn read(bytes: &[u8]) -> Result<Captions, CaptionsError> {
    if bytes.len() > MAX_BYTES {
        return Err(CaptionsError::TooLarge { bytes: bytes.len() });
    }
    let text = decode::text(bytes)?;
    let format = recognise(&text)?;
    let mut language = String::new();
    let (vtt, cues) = match format {
        Format::WebVtt => {
            let cues = vtt::cues(&text)?.len();
            (vtt::kept(&text), cues)
        }
        Format::SubRip => converted(srt::cues(&text)?)?,
        Format::Ass => converted(ass::cues(&text)?)?,
        Format::Ttml => {
            let document = ttml::read(&text, None)?;
            language = document.language;
            converted(document.cues)?
        }
    };
    if cues == 0 {
        return Err(CaptionsError::Empty);
    }
    if vtt.len() > MAX_BYTES {
        return Err(CaptionsError::TooLarge { bytes: vtt.len() });
    }
    Ok(Captions { format, vtt, cues, language })
}

fn recognise(text: &str) -> Result<Format, CaptionsError> {
    let mut lines = text.split('\n').zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let (first, number) = lines.next().ok_or(CaptionsError::Empty)?;
    if vtt::is_announced(first) && number == 1 {
        return Ok(Format::WebVtt);
    }
    if vtt::is_announced(first.trim_start()) {
        let problem = "WEBVTT has to be the first word of the file; remove what is before it";
        return Err(CaptionsError::at(number, problem.to_owned()));
    }
    if ttml::is_announced(first) {
        return Ok(Format::Ttml);
    }
    let events = |line: &str| line.trim().eq_ignore_ascii_case("[Events]");
    if events(first) || lines.clone().any(|(line, _)| events(line)) {
        return Ok(Format::Ass);
    }
    if first.contains("-->") || lines.any(|(line, _)| line.contains("-->")) {
        return Ok(Format::SubRip);
    }
    Err(CaptionsError::Unknown)
}

/// The file of these cues, and their number. Identical ASS layers at the same time are merged.
fn converted(mut cues: Vec<Cue>) -> Result<(String, usize), CaptionsError> {
    cues.sort_by_key(|cue| cue.start_ms);
    cues.dedup();
    if cues.len() > MAX_CUES {
        return Err(CaptionsError::TooMany);
    }
    Ok((vtt::write(&cues), cues.len()))
}

/// The two times of a cue; the second one must be later.
pub(crate) fn cue_times(
    form: Form,
    start: &str,
    end: &str,
    line: usize,
) -> Result<(u64, u64), CaptionsError> {
    let parse = |text: &str| {
        let problem = || format!("{} is not a time; write {}", quoted(text), form.example());
        form.parse(text).ok_or_else(|| CaptionsError::at(line, problem()))
    };
    let (start_ms, end_ms) = (parse(start)?, parse(end)?);
    if end_ms <= start_ms {
        let (start, end) = (time::webvtt(start_ms), time::webvtt(end_ms));
        let problem = format!("ends at {end} and begins at {start}; a cue has to end after its beginning");
        return Err(CaptionsError::at(line, problem));
    }
    Ok((start_ms, end_ms))
}

/// The beginning of a text, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut start: String = text.chars().take(QUOTED_CHARS).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SRT: &str = "1\n00:00:01,000 --> 00:00:02,000\na\n";
    const TTML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tt xmlns=\"http://www.w3.org/ns/ttml\" xml:lang=\"de\">\n\
        <body><div><p begin=\"1s\" end=\"2s\">a</p></div></body></tt>\n";

    #[test]
    fn each_format_is_recognised_and_becomes_webvtt() {
        let vtt = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\na\n";
        let ass = "[Script Info]\n\n[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,a\n";
        let formats =
            [(vtt, Format::WebVtt), (SRT, Format::SubRip), (ass, Format::Ass), (TTML, Format::Ttml)];
        for (text, format) in formats {
            let found = read(text.as_bytes()).unwrap();
            let language = if format == Format::Ttml { "de" } else { "" }.to_owned();
            assert_eq!(found, Captions { format, vtt: vtt.to_owned(), cues: 1, language });
            let with_marks = format!("\u{feff}{}", text.replace('\n', "\r\n"));
            assert_eq!(read(with_marks.as_bytes()).unwrap(), found);
        }
    }

    #[test]
    fn valid_webvtt_is_kept_as_it_is() {
        let file = "WEBVTT - x\n\nNOTE\n\na\n00:03.000 --> 00:04.000  line:0\n<c.x>b</c>\n\n\n00:01.000 --> 00:02.000\nc\n";
        assert_eq!(read(file.as_bytes()).unwrap().vtt, file);
    }

    #[test]
    fn what_none_of_the_formats_is_says_what_would_be() {
        for (bytes, error) in [
            (&b"hello"[..], "this is not WebVTT, SubRip, ASS or TTML"),
            (b" \n", "the file has no cue"),
            (b"WEBVTT\n", "the file has no cue"),
            (b"[Events]\nFormat: Start, End, Text\n", "the file has no cue"),
            (b"\n\nWEBVTT\n\n", "line 3: WEBVTT has to be the first word"),
            (b"WEBVTTX\n", "this is not WebVTT"),
        ] {
            let found = read(bytes).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_as_webvtt_is_refused_with_its_line() {
        let text = "&".repeat(MAX_CUE_BYTES / 5 + 1);
        let srt = format!("{SRT}\n00:00:03,000 --> 00:00:04,000\n{text}");
        let ass = format!("[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,{text}");
        for (file, line) in [(srt, 6), (ass, 3)] {
            assert_eq!(read(file.as_bytes()).unwrap_err().line(), Some(line));
        }
    }

    #[test]
    fn bounds_hold_for_the_file_and_for_what_becomes_of_it() {
        let large = vec![b'a'; MAX_BYTES + 1];
        assert_eq!(read(&large), Err(CaptionsError::TooLarge { bytes: MAX_BYTES + 1 }));
        let many = "00:00:01,000 --> 00:00:02,000\na\n".repeat(2);
        assert_eq!(read(many.as_bytes()).unwrap().cues, 1);
        let many: String = (0..=MAX_CUES)
            .map(|n| format!("{} --> 999:00:00,000\na\n", time::webvtt(n as u64 * 10)))
            .collect();
        assert_eq!(read(many.as_bytes()), Err(CaptionsError::TooMany));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            crate::fuzz::file(&bytes);
        }

        #[test]
        fn files_with_anything_in_them_are_read_or_refused(
            head in prop::sample::select(vec!["", TTML, "WEBVTT\n\n", "[Events]\nFormat: Start, End, Text\nDialogue: 0:00:00.00,0:00:01.00,", SRT]),
            parts in prop::collection::vec(prop::sample::select(vec![
                "-->", "00:00:01.000 --> 00:00:02.000", "00:00:01,000 --> 00:00:02,000", "\n", "\n\n", "NOTE", "STYLE",
                "1", "{\\an8}", "{\\p1}", "<i>", "</i>", "<b", "&", "é", " ", "\\N", "}", "Dialogue: 0:00:01.00,0:00:02.00,",
            ]), 0..30)
        ) {
            crate::fuzz::file(format!("{head}{}", parts.concat()).as_bytes());
        }

        #[test]
        fn events_with_anything_in_them_are_text(
            parts in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "\\", "N", "i1", "b0", "\\u1", "p1", "(", ")", "an8", "{\\i1}", "{\\i0}", "{\\b1}", "{\\r}", "a", "-->", "\n", " ",
            ]), 0..40)
        ) {
            crate::fuzz::event(parts.concat().as_bytes());
        }
    }
}
