//! Text tracks of a content: captions and chapters.

use std::fmt;

/// The media type of WebVTT, which is always in UTF-8 (WebVTT §7).
pub(crate) const MEDIA_TYPE: &str = "text/vtt; charset=utf-8";

/// Captions or subtitles: a whole WebVTT file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// `[a-z0-9-]{1,32}`, different from all tracks.
    pub(crate) name: String,
    /// From 1 on. The bytes of one version never change.
    pub(crate) version: u32,
    pub(crate) bytes: u32,
    /// BCP 47.
    pub(crate) language: Option<String>,
    /// Its name for people: one line without quotation marks.
    pub(crate) label: Option<String>,
    /// Shown unless the viewer chose otherwise.
    pub(crate) default: bool,
    /// Forced: only what every viewer needs to read.
    pub(crate) forced: bool,
    /// For viewers who do not hear.
    pub(crate) hearing_impaired: bool,
    /// It belongs to a commentary.
    pub(crate) commentary: bool,
    /// Earlier versions, for players that began with them.
    pub(crate) earlier: Vec<Earlier>,
}

/// An earlier version of a text that is still available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) version: u32,
    pub(crate) bytes: u32,
    /// When it is removed, Unix milliseconds.
    pub(crate) until_ms: i64,
}

impl Text {
    /// The size of a version, if it is available.
    pub(crate) fn bytes_of(&self, version: u32, now_ms: i64) -> Option<u32> {
        if version == self.version {
            return Some(self.bytes);
        }
        let there = |earlier: &&Earlier| earlier.version == version && earlier.until_ms > now_ms;
        self.earlier.iter().find(there).map(|earlier| earlier.bytes)
    }
}

/// From its start to that of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chapter {
    pub(crate) start_ms: u64,
    /// One line, perhaps empty.
    pub(crate) title: String,
}

/// Text for people inside markup: WebVTT cues and XML agree on these (WebVTT §4.2.2, XML 1.0 §2.4).
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>']) {
            let (before, entity) = match part.as_bytes().last() {
                Some(b'&') => (&part[..part.len() - 1], "&amp;"),
                Some(b'<') => (&part[..part.len() - 1], "&lt;"),
                Some(b'>') => (&part[..part.len() - 1], "&gt;"),
                _ => (part, ""),
            };
            f.write_str(before)?;
            f.write_str(entity)?;
        }
        Ok(())
    }
}
