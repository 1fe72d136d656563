//! TTML (W3C TTML2) within the text profile of IMSC 1.1: paragraphs and their parts with times, breaks,
//! italic, bold and underlined text, and whether a region is at the top. No entity is expanded, no other file
//! is opened, and pictures instead of text are refused. Namespaces of names are ignored: documents of earlier
//! drafts have others.

mod clock;
mod look;

use std::collections::BTreeSet;
use std::ops::Range;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion, escape};

use crate::styled::Markup;
use crate::time;
use crate::upload::{CaptionsError, quoted};
use crate::{Cue, MAX_BYTES, MAX_CUE_BYTES, MAX_CUES, decode};
use clock::{Clock, Nanoseconds};
use look::{Grid, Look, Named, Sheet};

/// Maximum depth of elements.
const MAX_DEPTH: usize = 64;
const MAX_ATTRIBUTES: usize = 128;
/// Maximum styles and regions together.
const MAX_STYLES: usize = 4_096;
/// Maximum parts of one paragraph: texts, breaks and references.
const MAX_PARTS: usize = 10_000;
/// Times at which parts of one paragraph appear or disappear.
const MAX_MOMENTS: usize = 256;
/// Maximum bytes of parts, each counted once per cue that it is in.
const MAX_PART_BYTES: usize = 2 * MAX_BYTES;

/// The content of a TTML document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// The first `xml:lang` of the root, the body or a division, unchanged; may be empty.
    pub language: String,
    /// Its cues, in its order.
    pub cues: Vec<Cue>,
}

/// Reads a document that a file carries as one sample: what it shows from `within.start` to `within.end`, in
/// milliseconds by the document's own clock (ISO/IEC 14496-30 §5.4).
///
/// # Errors
/// If it is not TTML, or consists of pictures; the message states the reason.
pub fn document(bytes: &[u8], within: Range<u64>) -> Result<Document, CaptionsError> {
    if bytes.len() > MAX_BYTES {
        return Err(CaptionsError::TooLarge { bytes: bytes.len() });
    }
    read(&decode::text(bytes)?, Some(within))
}

/// Whether a file is XML; TTML is the only supported kind.
pub(crate) fn is_announced(text: &str) -> bool {
    let text = text.trim_start();
    ["<?xml", "<!--", "<!DOCTYPE", "<tt"].iter().any(|start| text.starts_with(start))
}

/// Reads a whole document.
pub(crate) fn read(text: &str, within: Option<Range<u64>>) -> Result<Document, CaptionsError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut reading = Reading { text, within, ..Reading::default() };
    loop {
        reading.at = place(reader.buffer_position());
        let event = reader.read_event().map_err(|error| {
            reading.at = place(reader.error_position());
            reading.wrong(&format!("invalid XML: {error}"))
        })?;
        match event {
            Event::Start(tag) => reading.open(&tag)?,
            Event::End(_) => reading.close()?,
            Event::Text(text) => reading.say(&text)?,
            Event::CData(text) => reading.say(&text)?,
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().ok().flatten().map(String::from);
                let known = || escape::resolve_predefined_entity(&name).map(str::to_owned);
                match character.or_else(known) {
                    Some(character) => reading.say(&character)?,
                    None => return Err(reading.unknown(&name)),
                }
            }
            Event::DocType(doctype) if doctype.contains('[') => {
                let problem = "the DOCTYPE declares entities, which are not expanded; remove it";
                return Err(reading.wrong(problem));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if let Some(open) = reading.open.last() {
        return Err(reading.wrong(&format!("the file ends within {:?}", open.kind)));
    }
    if !reading.begun {
        return Err(reading.wrong("this XML has no <tt>"));
    }
    Ok(reading.found)
}

fn place(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The role of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Root,
    Head,
    Styling,
    Style,
    Layout,
    Region,
    RegionStyle,
    /// The body, or a division of it.
    Division,
    Paragraph,
    Span,
    Break,
    /// Not shown, including its content.
    Other,
}

impl Kind {
    fn of(name: &str, within: Option<Self>) -> Option<Self> {
        Some(match (within, name) {
            (None, "tt") => Self::Root,
            (None, _) => return None,
            (Some(Self::Root), "head") => Self::Head,
            (Some(Self::Head), "styling") => Self::Styling,
            (Some(Self::Styling), "style") => Self::Style,
            (Some(Self::Head), "layout") => Self::Layout,
            (Some(Self::Layout), "region") => Self::Region,
            (Some(Self::Region), "style") => Self::RegionStyle,
            (Some(Self::Root), "body") | (Some(Self::Division), "div") => Self::Division,
            (Some(Self::Division), "p") => Self::Paragraph,
            (Some(Self::Paragraph | Self::Span), "span") => Self::Span,
            (Some(Self::Paragraph | Self::Span), "br") => Self::Break,
            _ => Self::Other,
        })
    }

    /// Whether it is shown or contains something that is.
    fn is_content(self) -> bool {
        matches!(self, Self::Division | Self::Paragraph | Self::Span)
    }
}

/// An open element.
#[derive(Debug)]
struct Element {
    kind: Kind,
    look: Look,
    region: Option<Look>,
    preserve: bool,
    begin: Nanoseconds,
    /// `None`: as long as its content.
    end: Option<Nanoseconds>,
    /// Its children are sequential; the last one ended at `last_end`.
    sequential: bool,
    last_end: Nanoseconds,
}

impl Element {
    /// The time that its content is relative to.
    fn origin(&self) -> Nanoseconds {
        if self.sequential { self.last_end } else { self.begin }
    }
}

/// The values of an element's attributes.
#[derive(Debug, Default)]
struct Said {
    named: Named,
    region: Option<String>,
    begin: Option<Nanoseconds>,
    end: Option<Nanoseconds>,
    duration: Option<Nanoseconds>,
    sequential: bool,
    preserve: Option<bool>,
    language: String,
    picture: bool,
}

/// A part of a paragraph with one style.
#[derive(Debug)]
struct Part {
    text: String,
    look: Look,
    region: Option<Look>,
    preserve: bool,
    begin: Nanoseconds,
    end: Option<Nanoseconds>,
}

/// A document being read.
#[derive(Debug, Default)]
struct Reading<'t> {
    text: &'t str,
    within: Option<Range<u64>>,
    /// Position of the current event in the text.
    at: usize,
    begun: bool,
    clock: Clock,
    grid: Grid,
    sheet: Sheet,
    /// The style or region being read.
    named: Named,
    /// The last one is the innermost.
    open: Vec<Element>,
    /// Of the paragraph being read, which begins at `paragraph_at`.
    parts: Vec<Part>,
    paragraph_at: usize,
    part_bytes: usize,
    bytes: usize,
    found: Document,
}

impl Reading<'_> {
    fn line_at(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn wrong(&self, problem: &str) -> CaptionsError {
        CaptionsError::at(self.line_at(self.at), problem.to_owned())
    }

    fn unknown(&self, name: &str) -> CaptionsError {
        let name = quoted(&format!("&{name};"));
        self.wrong(&format!("{name} is unknown, and entities are not expanded; write the character itself"))
    }

    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), CaptionsError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.wrong(&format!("elements are nested more than {MAX_DEPTH} deep")));
        }
        let name = tag.local_name();
        let name: &str = name.as_ref();
        let parent = self.open.last();
        if self.begun && parent.is_none() {
            return Err(self.wrong("a second element follows the root"));
        }
        let Some(mut kind) = Kind::of(name, parent.map(|parent| parent.kind)) else {
            let found = quoted(name);
            return Err(self.wrong(&format!("{found} is not the root of TTML, which is <tt>")));
        };
        let within_content = parent.is_some_and(|parent| parent.kind.is_content());
        if kind == Kind::Root {
            self.begun = true;
            self.parameters(tag)?;
        }
        let said = if kind == Kind::Other { Said::default() } else { self.said(tag)? };
        if within_content && name == "image" || kind.is_content() && said.picture {
            return Err(CaptionsError::Pictures { line: self.line_at(self.at) });
        }
        if matches!(kind, Kind::Root | Kind::Division) && self.found.language.is_empty() {
            self.found.language.clone_from(&said.language);
        }
        match kind {
            Kind::RegionStyle => {
                self.named.own = said.named.own.over(self.named.own);
                self.named.others.extend(said.named.others.clone());
            }
            Kind::Style | Kind::Region => self.named = said.named.clone(),
            Kind::Paragraph => self.paragraph_at = self.at,
            _ => {}
        }
        let element = self.element(kind, &said)?;
        // Nothing within a hidden element is shown.
        if kind.is_content() && element.look.gone == Some(true) {
            kind = Kind::Other;
        }
        self.open.push(Element { kind, look: element.look.inherited(), ..element });
        if kind == Kind::Break {
            self.say("\n")?;
        }
        Ok(())
    }

    /// An element from its attributes and its parent.
    fn element(&self, kind: Kind, said: &Said) -> Result<Element, CaptionsError> {
        let parent = self.open.last();
        if let (Some(begin), Some(end)) = (said.begin, said.end)
            && end < begin
        {
            let [begin, end] = [begin, end].map(|time| time::webvtt(milliseconds(time)));
            let problem =
                format!("ends at {end} and begins at {begin}; a text has to end after its beginning");
            return Err(self.wrong(&problem));
        }
        let origin = parent.map_or(0, Element::origin);
        let begin = origin.saturating_add(said.begin.unwrap_or(0));
        let whole = match parent {
            Some(parent) => parent.end,
            None => self.within.as_ref().map(|within| within.end.saturating_mul(1_000_000)),
        };
        let end = said.end.map(|end| origin.saturating_add(end));
        let lasts = said.duration.map(|duration| begin.saturating_add(duration));
        let look = self.sheet.resolved(said.named.own, &said.named.others);
        let region = said.region.as_deref().and_then(|id| self.sheet.region(id));
        Ok(Element {
            kind,
            look: parent.map_or(look, |parent| look.over(parent.look)),
            region: region.or(parent.and_then(|parent| parent.region)),
            // A break stays one.
            preserve: kind == Kind::Break
                || said.preserve.unwrap_or(parent.is_some_and(|parent| parent.preserve)),
            begin,
            end: [whole, end, lasts].into_iter().flatten().min(),
            sequential: said.sequential,
            last_end: begin,
        })
    }

    /// The parameters of the root for times and lengths.
    fn parameters(&mut self, tag: &BytesStart<'_>) -> Result<(), CaptionsError> {
        for (name, value) in self.attributes(tag)? {
            self.clock.parameter(&name, &value).map_err(|problem| self.wrong(&problem))?;
            self.grid.parameter(&name, &value);
        }
        Ok(())
    }

    fn said(&self, tag: &BytesStart<'_>) -> Result<Said, CaptionsError> {
        let mut said = Said::default();
        let time = |value: &str| {
            let problem =
                || format!("{} is not a time; write, for example, 00:00:05.000 or 5s", quoted(value));
            self.clock.parse(value).map(Some).ok_or_else(|| self.wrong(&problem()))
        };
        for (name, value) in self.attributes(tag)? {
            match name.as_str() {
                "id" => said.named.id = value,
                "style" => said.named.others = value.split_whitespace().map(str::to_owned).collect(),
                "region" => said.region = Some(value),
                "begin" => said.begin = time(&value)?,
                "end" => said.end = time(&value)?,
                "dur" => said.duration = time(&value)?,
                "timeContainer" => said.sequential = value == "seq",
                "space" => said.preserve = Some(value == "preserve"),
                "lang" => said.language = value,
                "backgroundImage" => said.picture = value != "none",
                name => said.named.own.style(name, &value, &self.grid),
            }
        }
        Ok(said)
    }

    fn attributes(&self, tag: &BytesStart<'_>) -> Result<Vec<(String, String)>, CaptionsError> {
        let mut found = Vec::new();
        // The check for duplicates takes time that grows with the square of their number.
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| self.wrong(&format!("invalid XML: {error}")))?;
            if found.len() >= MAX_ATTRIBUTES {
                return Err(self.wrong(&format!("an element has more than {MAX_ATTRIBUTES} attributes")));
            }
            let name = attribute.key.local_name();
            let name: &str = name.as_ref();
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| self.wrong(&format!("the value of {name} cannot be read: {error}")))?;
            found.push((name.to_owned(), value.into_owned()));
        }
        Ok(found)
    }

    fn say(&mut self, text: &str) -> Result<(), CaptionsError> {
        let spoken = |element: &&Element| matches!(element.kind, Kind::Paragraph | Kind::Span | Kind::Break);
        let Some(element) = self.open.last().filter(spoken) else { return Ok(()) };
        if self.parts.len() >= MAX_PARTS {
            return Err(
                self.wrong(&format!("a paragraph has more than {MAX_PARTS} parts; make several of it"))
            );
        }
        let &Element { look, region, preserve, begin, end, .. } = element;
        self.parts.push(Part { text: text.to_owned(), look, region, preserve, begin, end });
        Ok(())
    }

    fn close(&mut self) -> Result<(), CaptionsError> {
        let Some(element) = self.open.pop() else { return Ok(()) };
        if let Some(parent) = self.open.last_mut().filter(|_| element.kind.is_content()) {
            parent.last_end = parent.last_end.max(element.end.unwrap_or(Nanoseconds::MAX));
        }
        match element.kind {
            Kind::Style => self.sheet.add_style(std::mem::take(&mut self.named)),
            Kind::Region => self.sheet.add_region(std::mem::take(&mut self.named)),
            Kind::Paragraph => {
                let parts = std::mem::take(&mut self.parts);
                self.paragraph(&parts)?;
            }
            _ => {}
        }
        if self.sheet.len() > MAX_STYLES {
            return Err(self.wrong(&format!("there are more than {MAX_STYLES} styles and regions")));
        }
        Ok(())
    }

    /// Splits a paragraph into as many cues as its parts need.
    fn paragraph(&mut self, parts: &[Part]) -> Result<(), CaptionsError> {
        let mut moments = BTreeSet::new();
        for part in parts {
            let Some(end) = part.end else {
                if part.text.trim().is_empty() {
                    continue;
                }
                self.at = self.paragraph_at;
                return Err(self.wrong("a text has no end; add end or dur"));
            };
            if end > part.begin {
                moments.extend([part.begin, end]);
            }
        }
        if moments.len() > MAX_MOMENTS {
            self.at = self.paragraph_at;
            return Err(self.wrong(&format!(
                "parts of a paragraph come and go more than {MAX_MOMENTS} times; make several paragraphs of it"
            )));
        }
        let moments: Vec<Nanoseconds> = moments.into_iter().collect();
        let own = self.found.cues.len();
        for span in moments.windows(2) {
            let Some((text, settings)) = self.shown(parts, span[0])? else { continue };
            if text.len() > MAX_CUE_BYTES {
                return CaptionsError::unless_short(&text, self.line_at(self.paragraph_at));
            }
            let whole = self.within.clone().unwrap_or(0..u64::MAX);
            let start_ms = milliseconds(span[0]).max(whole.start);
            let end_ms = milliseconds(span[1]).min(whole.end);
            if start_ms >= end_ms {
                continue;
            }
            // Where an empty part ends, nothing changes.
            if let Some(last) = self.found.cues.get_mut(own..).and_then(<[Cue]>::last_mut)
                && (last.end_ms, &last.text, &last.settings) == (start_ms, &text, &settings)
            {
                last.end_ms = end_ms;
                continue;
            }
            self.bytes += text.len();
            if self.bytes > MAX_BYTES {
                return Err(CaptionsError::TooLarge { bytes: self.bytes });
            }
            if self.found.cues.len() >= MAX_CUES {
                return Err(CaptionsError::TooMany);
            }
            self.found.cues.push(Cue { start_ms, end_ms, settings, text });
        }
        Ok(())
    }

    /// The text and the settings of a cue with a paragraph's parts at a time.
    fn shown(
        &mut self,
        parts: &[Part],
        moment: Nanoseconds,
    ) -> Result<Option<(String, String)>, CaptionsError> {
        let mut markup = Markup::default();
        let mut at_top = None;
        // No visible character since the last space.
        let mut spaced = true;
        let present = |part: &&Part| part.begin <= moment && part.end.is_some_and(|end| end > moment);
        for part in parts.iter().filter(present) {
            let region = part.region.unwrap_or_default();
            let look = part.look.over(region);
            if !look.is_visible() || region.gone == Some(true) {
                continue;
            }
            self.part_bytes += part.text.len();
            if self.part_bytes > MAX_PART_BYTES {
                self.at = self.paragraph_at;
                return Err(self.wrong("its parts come and go too often; make several paragraphs of it"));
            }
            look.set(&mut markup);
            for c in part.text.chars() {
                let is_space = matches!(c, ' ' | '\t' | '\n');
                match is_space && !part.preserve {
                    true if spaced => {}
                    true => markup.push(' '),
                    false => markup.push(c),
                }
                spaced = is_space;
                at_top = at_top.or_else(|| (!c.is_whitespace()).then(|| region.is_at_top()));
            }
        }
        let settings = if at_top == Some(true) { "line:0" } else { "" };
        Ok(markup.finish().map(|text| (text, settings.to_owned())))
    }
}

/// The nearest millisecond.
fn milliseconds(time: Nanoseconds) -> u64 {
    time.saturating_add(500_000) / 1_000_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
