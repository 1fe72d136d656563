//! ASS and SSA (Sub Station Alpha): events, and the files that contain them. Properties that WebVTT does not
//! support, such as fonts, positions and drawings, are left out.

use crate::Cue;
use crate::styled::{Markup, Style};
use crate::time::Form;
use crate::upload::{CaptionsError, cue_times, quoted};

/// Commas before the text of an event in the form of libavcodec's decoders.
const FIELDS: usize = 9;
/// Lighter weights are not bold: CSS 400 is normal and 700 is bold.
const BOLD: u32 = 500;

/// The text and the cue settings of a whole event line, in the form of libavcodec's decoders:
/// `ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text`. `None`: it is empty.
#[must_use]
pub fn event_line(line: &str) -> Option<(String, String)> {
    event_text(line.splitn(FIELDS, ',').nth(FIELDS - 1)?)
}

/// The text and the cue settings of the text field of an event. `None`: it is empty.
#[must_use]
pub fn event_text(ass: &str) -> Option<(String, String)> {
    let mut event = Event::default();
    let mut rest = ass;
    let mut closed = true;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '{' if closed => match rest.split_once('}') {
                Some((block, after)) => {
                    event.overrides(block);
                    rest = after;
                }
                None => {
                    closed = false;
                    event.push('{');
                }
            },
            '\\' => {
                let escaped = match rest.chars().next() {
                    Some('N' | 'n') => '\n',
                    Some('h') => '\u{a0}',
                    Some(brace @ ('{' | '}')) => brace,
                    _ => {
                        event.push('\\');
                        continue;
                    }
                };
                event.push(escaped);
                rest = &rest[1..];
            }
            _ => event.push(c),
        }
    }
    event.finish()
}

/// An event being parsed.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) markup: Markup,
    drawing: bool,
    /// The first one counts.
    place: Option<&'static str>,
}

impl Event {
    /// A character of the text.
    pub(crate) fn push(&mut self, c: char) {
        if !self.drawing {
            self.markup.push(c);
        }
    }

    /// The tags of an override block, without its braces. Text in parentheses is animated, or no text.
    pub(crate) fn overrides(&mut self, block: &str) {
        let mut rest = block;
        while let Some((_, after)) = rest.split_once('\\') {
            let end = after.find(['\\', '(']).unwrap_or(after.len());
            self.apply(after[..end].trim());
            rest = &after[end..];
            if rest.starts_with('(') {
                rest = rest.split_once(')').map_or("", |(_, after)| after);
            }
        }
    }

    fn apply(&mut self, tag: &str) {
        let value = |name: &str| -> Option<u32> {
            let value = tag.strip_prefix(name)?;
            if value.is_empty() { Some(0) } else { value.parse().ok() }
        };
        if let Some(place) = value("an") {
            let place = match place {
                7 => "line:0 align:left",
                8 => "line:0",
                9 => "line:0 align:right",
                _ => "",
            };
            self.place.get_or_insert(place);
        } else if let Some(place) = value("a") {
            let place = match place {
                5 => "line:0 align:left",
                6 => "line:0",
                7 => "line:0 align:right",
                _ => "",
            };
            self.place.get_or_insert(place);
        } else if let Some(on) = value("i") {
            self.markup.set(Style::Italic, on > 0);
        } else if let Some(weight) = value("b") {
            self.markup.set(Style::Bold, weight == 1 || weight >= BOLD);
        } else if let Some(on) = value("u") {
            self.markup.set(Style::Underline, on > 0);
        } else if let Some(scale) = value("p") {
            self.drawing = scale > 0;
        } else if tag.starts_with('r') {
            self.markup.plain();
        }
    }

    /// Its text and its settings.
    pub(crate) fn finish(self) -> Option<(String, String)> {
        let text = self.markup.finish()?;
        Some((text, self.place.unwrap_or_default().to_owned()))
    }
}

/// The events of a whole file, in its order. Those with no duration are left out: editors keep notes in them.
pub(crate) fn cues(text: &str) -> Result<Vec<Cue>, CaptionsError> {
    let mut cues = Vec::new();
    let mut columns: Option<Columns> = None;
    let mut within = false;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.starts_with('[') {
            within = line.eq_ignore_ascii_case("[Events]");
            continue;
        }
        let Some((kind, fields)) = line.split_once(':').filter(|_| within) else { continue };
        if kind.eq_ignore_ascii_case("Format") {
            let problem = "the Format of [Events] needs Start, End, and Text as its last field";
            columns =
                Some(Columns::new(fields).ok_or_else(|| CaptionsError::at(number, problem.to_owned()))?);
        } else if kind.eq_ignore_ascii_case("Dialogue") {
            let problem = "a Dialogue precedes the Format line of [Events]";
            let columns = columns.as_ref().ok_or_else(|| CaptionsError::at(number, problem.to_owned()))?;
            cues.extend(columns.cue(fields, number)?);
        }
    }
    Ok(cues)
}

/// The positions of the fields of a Dialogue.
#[derive(Debug)]
struct Columns {
    count: usize,
    start: usize,
    end: usize,
}

impl Columns {
    fn new(format: &str) -> Option<Self> {
        let names: Vec<&str> = format.split(',').map(str::trim).collect();
        let place = |name: &str| names.iter().position(|it| it.eq_ignore_ascii_case(name));
        let (start, end, text) = (place("Start")?, place("End")?, place("Text")?);
        (text + 1 == names.len()).then_some(Self { count: names.len(), start, end })
    }

    fn cue(&self, fields: &str, number: usize) -> Result<Option<Cue>, CaptionsError> {
        let fields: Vec<&str> = fields.splitn(self.count, ',').collect();
        let (Some(start), Some(end), Some(text), true) =
            (fields.get(self.start), fields.get(self.end), fields.last(), fields.len() == self.count)
        else {
            let problem = format!("{} has fewer fields than the Format line", quoted(&fields.join(",")));
            return Err(CaptionsError::at(number, problem));
        };
        if start.trim() == end.trim() && Form::Ass.parse(start.trim()).is_some() {
            return Ok(None);
        }
        let (start_ms, end_ms) = cue_times(Form::Ass, start.trim(), end.trim(), number)?;
        let Some((text, settings)) = event_text(text) else { return Ok(None) };
        CaptionsError::unless_short(&text, number)?;
        Ok(Some(Cue { start_ms, end_ms, settings, text }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(ass: &str) -> String {
        event_text(ass).unwrap_or_default().0
    }

    #[test]
    fn breaks_spaces_and_styles_become_those_of_webvtt() {
        for (ass, vtt) in [
            (r"one\Ntwo\nthree\hfour", "one\ntwo\nthree\u{a0}four"),
            (r"{\i1}a{\i0} b", "<i>a</i> b"),
            (r"{\b1}a{\i1}b{\b0}c", "<b>a<i>b</i></b><i>c</i>"),
            (r"{\b700}a{\b400}b{\u1}c", "<b>a</b>b<u>c</u>"),
            (r"{\i1\b1}a{\r}b", "<i><b>a</b></i>b"),
            (r"{\i1}a{\i}b", "<i>a</i>b"),
            (r"a < b & c > d", "a &lt; b &amp; c &gt; d"),
            (r"a\N\N\N b ", "a\nb"),
            (r"a --> b", "a --&gt; b"),
            (r"\{a\} \x", r"{a} \x"),
            ("a {not closed", "a {not closed"),
            ("a}b", "a}b"),
        ] {
            assert_eq!(text(ass), vtt, "{ass}");
        }
    }

    #[test]
    fn what_webvtt_cannot_say_is_left_out() {
        for (ass, vtt) in [
            (r"{\fnArial\fs20\c&H00FF00&\bord2\blur3\iclip(1,2,3,4)\pos(3,4)\k20}a", "a"),
            (r"{\t(0,100,\i1)}a", "a"),
            (r"{a remark}a", "a"),
            (r"{\p1}m 0 0 l 1 1{\p0}a{\pbo2}b", "ab"),
            (r"{\p1}m 0 0 l 1 1", ""),
            (r"{\i1} \N\h", ""),
            ("", ""),
        ] {
            assert_eq!(text(ass), vtt, "{ass}");
        }
        assert_eq!(event_text(r"{\p1}m 0 0 l 1 1"), None);
    }

    #[test]
    fn texts_at_the_top_stay_at_the_top() {
        for (ass, settings) in [
            (r"{\an8}a", "line:0"),
            (r"{\an7}a", "line:0 align:left"),
            (r"{\an9\i1}a", "line:0 align:right"),
            (r"{\a6}a", "line:0"),
            (r"{\a5}a", "line:0 align:left"),
            (r"{\a7}a", "line:0 align:right"),
            (r"{\an2}a{\an8}b", ""),
            (r"{\a10}a", ""),
            (r"{\alpha&HFF&}a", ""),
            ("a", ""),
        ] {
            assert_eq!(event_text(ass).unwrap().1, settings, "{ass}");
        }
    }

    #[test]
    fn the_text_of_a_decoded_event_begins_after_eight_commas() {
        let line = "7,0,Default,Ann,0,0,0,,Well, yes\r\n";
        assert_eq!(event_line(line), Some(("Well, yes".into(), String::new())));
        assert_eq!(event_line("7,0,Default,Ann,0,0,0,"), None);
    }

    #[test]
    fn the_events_of_a_file_are_found_by_its_format() {
        let file = "[Script Info]\nDialogue: no event\n[Events]\n; remark\n\
            Format: Layer, Start, End, Style, Text\n\
            Comment: 0,0:00:00.00,0:00:01.00,Default,a remark\n\
            Dialogue: 0,0:00:01.00,0:00:02.50,Default,Well, yes\n\
            Dialogue: 0,0:00:03.00,0:00:03.00,Default,never shown\n\
            Dialogue: 0,0:00:04.00,0:00:05.00,Default,{\\p1}m 0 0\n";
        let cue = Cue { start_ms: 1_000, end_ms: 2_500, settings: String::new(), text: "Well, yes".into() };
        assert_eq!(cues(file).unwrap(), [cue]);
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        for (events, error) in [
            ("Dialogue: 0,0:00:01.00,0:00:02.00,a", "line 2: a Dialogue precedes the Format line"),
            ("Format: Start, Text, End", "line 2: the Format of [Events]"),
            (
                "Format: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00",
                "line 3: \" 0:00:01.00,0:00:02.00\" has",
            ),
            ("Format: Start, End, Text\nDialogue: 1,2,a", "line 3: \"1\" is not a time; write H:MM:SS.cc"),
            ("Format: Start, End, Text\nDialogue: 0:00:02.00,0:00:01.00,a", "line 3: ends at 00:00:01.000"),
        ] {
            let found = cues(&format!("[Events]\n{events}")).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
