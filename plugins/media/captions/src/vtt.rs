//! WebVTT (W3C WebVTT: The Web Video Text Tracks Format), written and read.

use std::fmt::Write as _;

use crate::time::{self, Form};
use crate::upload::{CaptionsError, cue_times, quoted};
use crate::{Cue, MAX_CUES, MAX_TIMING_BYTES};

/// Places a file in an MPEG transport stream (RFC 8216 §3.5). Meaningless for whole files: a player would
/// show them at another time.
const TIMESTAMP_MAP: &str = "X-TIMESTAMP-MAP";

/// A WebVTT file (WebVTT §4.1) of these cues, in the order of their starts. Cues without text, and those that
/// do not end after their start, are left out, because a file must not contain any.
#[must_use]
pub fn write(cues: &[Cue]) -> String {
    let mut sorted: Vec<&Cue> = cues.iter().filter(|cue| cue.end_ms > cue.start_ms).collect();
    sorted.sort_by_key(|cue| cue.start_ms);
    let mut file = "WEBVTT\n".to_owned();
    for cue in sorted {
        let text = payload(&cue.text);
        if text.is_empty() {
            continue;
        }
        let (start, end) = (time::webvtt(cue.start_ms), time::webvtt(cue.end_ms));
        let settings = settings(&cue.settings);
        let space = if settings.is_empty() { "" } else { " " };
        let _ = write!(file, "\n{start} --> {end}{space}{settings}\n{text}\n");
    }
    file
}

/// A text without anything that would end its cue.
fn payload(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}").replace("-->", "--&gt;");
    let lines: Vec<&str> = text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).collect();
    lines.join("\n")
}

/// Settings in one line, without anything that could be read as a time.
fn settings(settings: &str) -> String {
    let words: Vec<&str> = settings.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let words: Vec<&str> =
        words.into_iter().filter(|word| !word.is_empty() && !word.contains("-->")).collect();
    words.join(" ")
}

/// Whether a file declares itself as WebVTT.
pub(crate) fn is_announced(first_line: &str) -> bool {
    first_line.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// The cues of a file with `\n` at its line ends, in its order.
pub(crate) fn cues(text: &str) -> Result<Vec<Cue>, CaptionsError> {
    let mut cues = Vec::new();
    let mut lines = text.split('\n').zip(1..);
    for (line, number) in lines.by_ref().take_while(|(line, _)| !line.is_empty()) {
        if line.contains("-->") {
            let problem = "an empty line belongs between WEBVTT and the first cue";
            return Err(CaptionsError::at(number, problem.to_owned()));
        }
    }
    let mut block: Vec<(&str, usize)> = Vec::new();
    for (line, number) in lines.chain([("", 0)]) {
        if !line.is_empty() {
            block.push((line, number));
            continue;
        }
        cues.extend(read_block(&block, cues.is_empty())?);
        if cues.len() > MAX_CUES {
            return Err(CaptionsError::TooMany);
        }
        block.clear();
    }
    Ok(cues)
}

/// A cue, or `None` for other blocks (WebVTT §4.1: NOTE, STYLE and REGION).
fn read_block(block: &[(&str, usize)], first: bool) -> Result<Option<Cue>, CaptionsError> {
    let Some(&(head, number)) = block.first() else { return Ok(None) };
    let word = head.split([' ', '\t']).next().unwrap_or_default();
    let apart = word == "NOTE" || (matches!(word, "STYLE" | "REGION") && head.trim_end() == word);
    let (timing, rest) = match block {
        [(timing, _), rest @ ..] if timing.contains("-->") => ((*timing, number), rest),
        [_, (timing, number), rest @ ..] if timing.contains("-->") && !apart => ((*timing, *number), rest),
        _ if apart => {
            if word != "NOTE" && !first {
                let problem = format!("{word} must precede the first cue");
                return Err(CaptionsError::at(number, problem));
            }
            no_arrow(block)?;
            return Ok(None);
        }
        _ => {
            let problem = format!(
                "{} has no time; write, for example, 00:00:05.000 --> 00:00:07.000 before a text, or NOTE before a \
                 remark",
                quoted(head)
            );
            return Err(CaptionsError::at(number, problem));
        }
    };
    no_arrow(rest)?;
    let (start_ms, end_ms, settings) = read_timing(timing.0, timing.1)?;
    let lines: Vec<&str> = rest.iter().map(|(line, _)| *line).collect();
    let text = lines.join("\n");
    CaptionsError::unless_short(&text, timing.1 + 1)?;
    Ok(Some(Cue { start_ms, end_ms, settings, text }))
}

fn no_arrow(lines: &[(&str, usize)]) -> Result<(), CaptionsError> {
    match lines.iter().find(|(line, _)| line.contains("-->")) {
        Some((line, number)) => {
            let problem = format!(
                "{} is within a text; write an empty line before a time, and --&gt; for an arrow",
                quoted(line)
            );
            Err(CaptionsError::at(*number, problem))
        }
        None => Ok(()),
    }
}

fn read_timing(line: &str, number: usize) -> Result<(u64, u64, String), CaptionsError> {
    if line.len() > MAX_TIMING_BYTES {
        let problem =
            format!("a time with its settings has {} bytes; at most {MAX_TIMING_BYTES}", line.len());
        return Err(CaptionsError::at(number, problem));
    }
    let (start, rest) = line.split_once("-->").unwrap_or_default();
    let rest = rest.trim_start();
    let (end, settings) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    if settings.contains("-->") {
        return Err(CaptionsError::at(number, "there are two arrows in one line".to_owned()));
    }
    let (start_ms, end_ms) = cue_times(Form::WebVtt, start.trim(), end, number)?;
    Ok((start_ms, end_ms, settings.trim().to_owned()))
}

/// A file as stored: with one line end at its end, and without [`TIMESTAMP_MAP`].
pub(crate) fn kept(text: &str) -> String {
    let text = text.trim_end_matches('\n');
    let end = text.find("\n\n").unwrap_or(text.len());
    let (head, body) = text.split_at(end);
    let head: Vec<&str> = head.split('\n').filter(|line| !line.starts_with(TIMESTAMP_MAP)).collect();
    format!("{}{body}\n", head.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::MAX_CUE_BYTES;
    use proptest::prelude::*;

    fn cue(start_ms: u64, end_ms: u64, text: &str) -> Cue {
        Cue { start_ms, end_ms, settings: String::new(), text: text.into() }
    }

    #[test]
    fn cues_are_written_by_their_start_and_what_would_break_the_file_is_not() {
        let top = Cue { settings: "line:0\n align:left -->".into(), ..cue(1_000, 2_000, "a\n\nb\r\n-->") };
        let written = write(&[cue(3_600_000, 3_600_500, "c"), top, cue(5, 5, "never"), cue(5, 6, " \n")]);
        assert_eq!(
            written,
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.000 line:0 align:left\na\nb\n--&gt;\n\n\
             01:00:00.000 --> 01:00:00.500\nc\n"
        );
    }

    #[test]
    fn notes_styles_regions_and_names_are_no_cues() {
        let file = "WEBVTT - a film\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:a\n\nNOTE a\nb\n\n\
            first\n00:01.000 --> 00:02.000 align:left\na\n\n\n00:03.000 --> 00:04.000\n\nNOTE\n\nSTYLED\n00:05.000 --> 00:06.000\n- b";
        let found = cues(file).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].settings.as_str(), found[0].text.as_str()), ("align:left", "a"));
        assert_eq!((found[1].start_ms, found[1].text.as_str()), (3_000, ""));
        assert_eq!(found[2].text, "- b");
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        for (body, error) in [
            ("00:00:05 --> 00:00:06.000\na", "line 3: \"00:00:05\" is not a time; write HH:MM:SS.mmm"),
            ("00:01.000 --> 00:02,000\na", "line 3: \"00:02,000\" is not a time"),
            ("00:02.000 --> 00:01.000\na", "line 3: ends at 00:00:01.000 and begins at 00:00:02.000"),
            ("a\nb", "line 3: \"a\" has no time"),
            ("00:01.000 --> 00:02.000\na\n00:02.000 --> 00:03.000\nb", "line 5: \"00:02.000 --> 00:03.000\""),
            ("00:01.000 --> 00:02.000 --> 00:03.000", "line 3: there are two arrows"),
            ("NOTE\n00:01.000 --> 00:02.000", "line 4: \"00:01.000 --> 00:02.000\" is within"),
            ("00:01.000 --> 00:02.000\na\n\nSTYLE\nx", "line 6: STYLE must precede"),
        ] {
            let found = cues(&format!("WEBVTT\n\n{body}")).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
        let found = cues("WEBVTT\n00:01.000 --> 00:02.000\na").unwrap_err().to_string();
        assert!(found.starts_with("line 2: an empty line belongs"), "{found}");
        let long = format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{}", "a".repeat(MAX_CUE_BYTES + 1));
        assert!(cues(&long).unwrap_err().to_string().starts_with("line 4: the text has 16385 bytes"));
    }

    #[test]
    fn a_file_that_is_kept_belongs_to_no_transport_stream() {
        let file = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\nKind: a\n\n00:01.000 --> 00:02.000\na\n\n\n";
        assert_eq!(kept(file), "WEBVTT\nKind: a\n\n00:01.000 --> 00:02.000\na\n");
        assert_eq!(kept("WEBVTT"), "WEBVTT\n");
    }

    fn any_cue() -> impl Strategy<Value = Cue> {
        let text = "[a-z<>/&{} äß\u{a0}-]{0,8}[a-z!]([\n][a-z-][a-z >]{0,8}){0,3}";
        (0..10_000_000u64, 1..100_000u64, "(line:[0-9]{1,2}( align:left)?)?", text).prop_map(
            |(start_ms, lasts, settings, text)| {
                // An arrow is escaped when written, and stays so.
                let text = text.replace("-->", "--&gt;");
                Cue { start_ms, end_ms: start_ms + lasts, settings, text }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(mut given in prop::collection::vec(any_cue(), 0..20)) {
            let written = write(&given);
            given.sort_by_key(|cue| cue.start_ms);
            prop_assert_eq!(cues(&written).unwrap(), given);
        }

        #[test]
        fn whatever_is_written_is_a_file(
            given in prop::collection::vec((0..1_000u64, 0..1_000u64, any::<String>(), any::<String>()), 0..10)
        ) {
            let given: Vec<Cue> = given
                .into_iter()
                .map(|(start_ms, end_ms, settings, text)| Cue { start_ms, end_ms, settings, text })
                .collect();
            prop_assert!(cues(&write(&given)).is_ok());
        }
    }
}
