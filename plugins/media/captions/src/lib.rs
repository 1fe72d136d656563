//! Captions and subtitles as text: uploads and text tracks of files become WebVTT, the one format that is
//! stored and that all players read. Pure: it does no I/O.
//!
//! ```
//! use streamgate_captions::{Cue, event_line, read, write};
//!
//! let (text, settings) = event_line(r"0,0,Default,,0,0,0,,{\an8}{\i1}Somewhere{\i0}\Nelse").unwrap_or_default();
//! let vtt = write(&[Cue { start_ms: 1_000, end_ms: 2_500, settings, text }]);
//! assert_eq!(vtt, "WEBVTT\n\n00:00:01.000 --> 00:00:02.500 line:0\n<i>Somewhere</i>\nelse\n");
//!
//! let uploaded = read(b"1\r\n00:00:01,000 --> 00:00:02,500\r\nHello\r\n")?;
//! assert_eq!(uploaded.vtt, "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello\n");
//! # Ok::<(), streamgate_captions::CaptionsError>(())
//! ```

mod ass;
mod decode;
#[doc(hidden)]
pub mod fuzz;

mod srt;
mod styled;
mod time;
mod ttml;
mod upload;
mod vtt;

pub use ass::{event_line, event_text};
pub use srt::markup;
pub use styled::{Markup, Style};
pub use ttml::{Document, document};
pub use upload::{Captions, CaptionsError, Format, read};
pub use vtt::write;

/// Maximum bytes of a file, and of the resulting WebVTT.
pub const MAX_BYTES: usize = 10 << 20;
/// Cues of one file: four a second over seven hours.
pub const MAX_CUES: usize = 100_000;
/// Bytes of the text of one cue, as WebVTT.
pub const MAX_CUE_BYTES: usize = 16 << 10;
/// Bytes of a time line of WebVTT, with its settings.
pub const MAX_TIMING_BYTES: usize = 1 << 10;

/// A text and its time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cue {
    /// Milliseconds from the beginning.
    pub start_ms: u64,
    /// Milliseconds from the beginning, after the start.
    pub end_ms: u64,
    /// WebVTT cue settings (WebVTT §3.5), such as `line:0 align:left`; may be empty.
    pub settings: String,
    /// WebVTT cue text (WebVTT §3.2), with its markup; lines end with `\n`.
    pub text: String,
}
