//! SubRip, which has no standard: numbers are ignored, and times decide where a cue begins.

use crate::Cue;
use crate::ass::Event;
use crate::styled::Style;
use crate::time::Form;
use crate::upload::{CaptionsError, cue_times, quoted};

/// Longer than any known tag.
const MAX_TAG_BYTES: usize = 512;
/// Character references that WebVTT supports as well.
const REFERENCES: [&str; 6] = ["&amp;", "&lt;", "&gt;", "&nbsp;", "&lrm;", "&rlm;"];

/// The cues of a file, in its order; cues without a text are left out.
pub(crate) fn cues(text: &str) -> Result<Vec<Cue>, CaptionsError> {
    let mut cues = Vec::new();
    let mut times: Option<(u64, u64)> = None;
    let mut lines: Vec<&str> = Vec::new();
    let mut first = 1;
    for (line, number) in text.split('\n').map(str::trim).zip(1..) {
        if !line.contains("-->") {
            if lines.is_empty() {
                first = number;
            }
            if is_timing_with_another_arrow(line) {
                let problem = format!("{} contains no arrow; write --> between the two times", quoted(line));
                return Err(CaptionsError::at(number, problem));
            }
            // An empty line within a text is meaningless.
            if !line.is_empty() {
                lines.push(line);
            }
            continue;
        }
        if lines.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            lines.pop();
        }
        match times {
            Some(times) => cues.extend(cue(times, &lines, first)?),
            None if lines.is_empty() => {}
            None => {
                let problem = format!("{} precedes the first time", quoted(lines[0]));
                return Err(CaptionsError::at(first, problem));
            }
        }
        lines.clear();
        let (start, end) = line.split_once("-->").unwrap_or_default();
        let end = end.split_whitespace().next().unwrap_or_default();
        times = Some(cue_times(Form::SubRip, start.trim(), end, number)?);
    }
    if let Some(times) = times {
        cues.extend(cue(times, &lines, first)?);
    }
    Ok(cues)
}

/// For example `00:00:01,000 -> 00:00:02,000`, which would be shown as text.
fn is_timing_with_another_arrow(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let (first, last) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
    Form::SubRip.parse(first).is_some() && Form::SubRip.parse(last).is_some()
}

fn cue((start_ms, end_ms): (u64, u64), lines: &[&str], first: usize) -> Result<Option<Cue>, CaptionsError> {
    let Some((text, settings)) = markup(&lines.join("\n")) else { return Ok(None) };
    CaptionsError::unless_short(&text, first)?;
    Ok(Some(Cue { start_ms, end_ms, settings, text }))
}

/// The text and the cue settings of lines with HTML tags, as SubRip has them; many files have override blocks
/// of ASS as well. `None`: it is empty.
#[must_use]
pub fn markup(text: &str) -> Option<(String, String)> {
    let mut event = Event::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '<' => tag(&mut event, rest),
            '{' => block(&mut event, rest),
            '&' => REFERENCES.into_iter().find(|it| rest.starts_with(it)).map(|reference| {
                event.markup.reference(reference);
                reference.len()
            }),
            _ => None,
        };
        let taken = taken.unwrap_or_else(|| {
            event.push(c);
            c.len_utf8()
        });
        rest = &rest[taken..];
    }
    event.finish()
}

/// Parses a tag, known or not; returns its length.
fn tag(event: &mut Event, rest: &str) -> Option<usize> {
    let end = rest.bytes().take(MAX_TAG_BYTES).position(|byte| byte == b'>')?;
    let inner = rest[1..end].trim();
    let (on, inner) = inner.strip_prefix('/').map_or((true, inner), |inner| (false, inner));
    let name = inner.split([' ', '\t', '\n', '/']).next().unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "i" | "em" => event.markup.set(Style::Italic, on),
        "b" | "strong" => event.markup.set(Style::Bold, on),
        "u" => event.markup.set(Style::Underline, on),
        "br" => event.push('\n'),
        "font" | "s" | "strike" | "span" => {}
        _ => return None,
    }
    Some(end + 1)
}

fn block(event: &mut Event, rest: &str) -> Option<usize> {
    if !rest.starts_with("{\\") {
        return None;
    }
    let end = rest.bytes().take(MAX_TAG_BYTES).position(|byte| byte == b'}')?;
    event.overrides(&rest[1..end]);
    Some(end + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u64, u64, String)> {
        let cues = cues(text).unwrap();
        cues.into_iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text)).collect()
    }

    #[test]
    fn files_as_they_are_found_are_read() {
        let expected = vec![(1_000, 2_000, "one\ntwo".to_owned()), (3_000, 4_500, "42".to_owned())];
        for file in [
            "1\n00:00:01,000 --> 00:00:02,000\none\ntwo\n\n2\n00:00:03,000 --> 00:00:04,500\n42\n",
            "00:00:01.000 --> 00:00:02.000\none\ntwo\n\n00:00:03.000-->00:00:04.500\n42",
            "\n\n7\n0:00:01,000  -->  0:00:02,000 X1:1 X2:2\n one \n\n two\n9\n00:03,000 --> 00:04,500\n42\n\n",
            "1\n00:00:01,000 --> 00:00:02,000\none\ntwo\n \n2\n00:00:02,000 --> 00:00:03,000\n\n\n3\n00:00:03,000 --> 00:00:04,500\n42\n",
        ] {
            assert_eq!(found(file), expected, "{file}");
        }
    }

    #[test]
    fn tags_are_nested_and_those_that_mean_nothing_are_left_out() {
        for (srt, vtt) in [
            ("<i>a</i> <B>b</B> <u>c", "<i>a</i> <b>b</b> <u>c</u>"),
            ("<b><i>a</b>b</i>", "<b><i>a</i></b><i>b</i>"),
            ("<font color=\"#ff0000\">a</font>", "a"),
            ("a</i> <3 & b > c", "a &lt;3 &amp; b &gt; c"),
            ("&lt;a&gt; &amp; &nbsp;&copy;", "&lt;a&gt; &amp; &nbsp;&amp;copy;"),
            ("{\\i1}a{\\i0} {b}", "<i>a</i> {b}"),
            ("a<br/>b<br><x>", "a\nb\n&lt;x&gt;"),
            ("<i", "&lt;i"),
        ] {
            assert_eq!(markup(srt).unwrap().0, vtt, "{srt}");
        }
        assert_eq!(markup("{\\an8}a").unwrap().1, "line:0");
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        for (file, error) in [
            (
                "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:05 --> 00:00:06,000\nb",
                "line 6: \"00:00:05\" is not a time; write HH:MM:SS,mmm",
            ),
            ("00:00:02,000 --> 00:00:02,000\na", "line 1: ends at 00:00:02.000 and begins at 00:00:02.000"),
            ("\nhello\n1\n00:00:01,000 --> 00:00:02,000", "line 2: \"hello\" precedes the first time"),
            (
                "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:05,000 -> 00:00:06,000\nb",
                "line 6: \"00:00:05,000 -> 00:00:06,000\" contains no arrow",
            ),
        ] {
            let found = cues(file).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
