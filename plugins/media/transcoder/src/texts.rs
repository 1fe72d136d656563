//! Text tracks: packets of a file's subtitle tracks, and captions carried by its video, become WebVTT.
//! Bounded, whatever a file contains. It never decodes media.

use bytes::Bytes;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::{Packet, codec};
use streamgate_captions::{
    CaptionsError, Cue, MAX_CUE_BYTES, Markup, Style, document, event_line, markup, write,
};

use crate::closed::Closed;
use crate::input::{Chosen, nanoseconds};
use crate::segment::insides;
use crate::sink::Text;
use crate::tracks::{About, language, ordinal};

/// Maximum cues of all tracks of a file together, and bytes of their text.
const MAX_CUES: usize = 200_000;
const MAX_BYTES: usize = 32 << 20;
/// Duration of a cue that states none, unless the next one follows sooner.
const SHOWN_NS: i64 = 5_000_000_000;
/// Cues of a TTML track that a new document may continue: those of its previous document, which ended there.
const GOING_ON: usize = 16;
/// Times of the file may be negative; those of [`Closed`] are not.
const ORIGIN_MS: i64 = 1 << 40;

/// Sample entries of text that libav does not recognize: WebVTT and TTML (ISO/IEC 14496-30).
const WEB_VTT: &[u8; 4] = b"wvtt";
const TTML: &[u8; 4] = b"stpp";

/// Whether a sample entry of this name is text.
pub(crate) fn is_text(entry: [u8; 4]) -> bool {
    [WEB_VTT, TTML].contains(&&entry)
}

/// The format of a track's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Lines with HTML-like marks.
    SubRip,
    /// Events of Advanced SubStation Alpha.
    Events,
    /// 3GPP timed text: a length, the text, and boxes (3GPP TS 26.245 §5.17).
    TimedText,
    /// A cue's payload, or boxes with it (ISO/IEC 14496-30 §7.5).
    WebVtt,
    /// TTML documents by the track's clock, each shown as long as its sample (ISO/IEC 14496-30 §5).
    Ttml,
    /// Line 21 data (CTA-608).
    Closed,
}

impl Form {
    fn of(text: &Chosen) -> Option<Self> {
        match text.entry.as_ref() {
            Some(WEB_VTT) => return Some(Self::WebVtt),
            Some(TTML) => return Some(Self::Ttml),
            _ => {}
        }
        Some(match text.parameters.id() {
            codec::Id::SUBRIP | codec::Id::SRT | codec::Id::TEXT => Self::SubRip,
            codec::Id::ASS | codec::Id::SSA => Self::Events,
            codec::Id::MOV_TEXT => Self::TimedText,
            codec::Id::WEBVTT => Self::WebVtt,
            codec::Id::EIA_608 => Self::Closed,
            _ => return None,
        })
    }
}

const PICTURES: &str = "it consists of pictures, not of text";

/// Why a text track is not read.
pub(crate) fn unreadable(text: &Chosen) -> Option<&'static str> {
    match text.parameters.id() {
        _ if Form::of(text).is_some() => None,
        codec::Id::HDMV_PGS_SUBTITLE
        | codec::Id::DVD_SUBTITLE
        | codec::Id::DVB_SUBTITLE
        | codec::Id::XSUB => Some(PICTURES),
        _ => Some("this server cannot read its format"),
    }
}

/// A cue with the file's own times in nanoseconds; without an end it is shown until the next one.
struct Shown {
    from: i64,
    until: Option<i64>,
    settings: String,
    text: String,
}

struct Track {
    chosen: Chosen,
    form: Form,
    cues: Vec<Shown>,
    closed: Closed,
    /// Why the first of its unreadable documents failed.
    unread: Option<CaptionsError>,
}

impl Track {
    /// Adds a document that is shown between two times.
    fn document(&mut self, from: i64, until: i64, data: &[u8]) -> Vec<Shown> {
        let within = [from, until].map(|time| milliseconds(time).max(0).unsigned_abs());
        let document = match document(data, within[0]..within[1]) {
            Ok(document) => document,
            Err(error) => {
                self.unread.get_or_insert(error);
                return Vec::new();
            }
        };
        if self.chosen.about.language.is_empty() {
            self.chosen.about.language = language(&document.language);
        }
        let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let shown = document.cues.into_iter().map(|cue| Shown {
            from: time(cue.start_ms),
            until: Some(time(cue.end_ms)),
            settings: cue.settings,
            text: cue.text,
        });
        shown.filter(|cue| !self.goes_on(cue)).collect()
    }

    /// Whether this is what was shown until then, which then is shown longer.
    fn goes_on(&mut self, cue: &Shown) -> bool {
        let same = |one: &&mut Shown| {
            (one.until, &one.text, &one.settings) == (Some(cue.from), &cue.text, &cue.settings)
        };
        let before = self.cues.iter_mut().rev().take(GOING_ON).find(same);
        before.map(|before| before.until = cue.until).is_some()
    }

    /// Notes for people about what could not be read.
    fn note(&self) -> Option<String> {
        let name = format!("{} subtitle track, {},", ordinal(self.chosen.place), self.codec());
        let why = match self.unread.as_ref()? {
            CaptionsError::Pictures { .. } => PICTURES.to_owned(),
            error => format!("what it has to show cannot be read ({error})"),
        };
        Some(match self.cues.is_empty() {
            true => format!("The {name} was left out: {why}."),
            false => format!("Of the {name} a part was left out: {why}."),
        })
    }

    fn codec(&self) -> String {
        let entry = |entry: [u8; 4]| String::from_utf8_lossy(&entry).into_owned();
        self.chosen.entry.map_or_else(|| self.chosen.codec(), entry)
    }
}

/// Collects the texts of a file while it is read.
pub(crate) struct Texts {
    tracks: Vec<Track>,
    /// Captions carried by the video.
    closed: Closed,
    room: Room,
}

/// The totals of all tracks.
#[derive(Default)]
struct Room {
    cues: usize,
    bytes: usize,
}

impl Room {
    /// Keeps a cue, unless there are too many.
    fn keep(&mut self, track: &mut Track, shown: Shown) {
        self.cues += 1;
        self.bytes += shown.text.len() + shown.settings.len();
        if !self.is_full() {
            track.cues.push(shown);
        }
    }

    fn is_full(&self) -> bool {
        self.cues > MAX_CUES || self.bytes > MAX_BYTES
    }

    fn note(&self) -> Option<String> {
        self.is_full().then(|| {
            format!(
                "The rest of its subtitles was left out: this server takes {MAX_CUES} of them and {} MiB of text.",
                MAX_BYTES >> 20
            )
        })
    }
}

impl Texts {
    pub(crate) fn new(chosen: Vec<Chosen>) -> Self {
        let tracks = chosen.into_iter().filter_map(|chosen| {
            let form = Form::of(&chosen)?;
            Some(Track { chosen, form, cues: Vec::new(), closed: Closed::new(), unread: None })
        });
        Self { tracks: tracks.collect(), closed: Closed::new(), room: Room::default() }
    }

    /// Adds a packet, if it is one of a text.
    pub(crate) fn take(&mut self, packet: &Packet) {
        let Self { tracks, room, .. } = self;
        let Some(track) = tracks.iter_mut().find(|track| track.chosen.index == packet.stream()) else {
            return;
        };
        let (Some(data), Some(time)) = (packet.data(), packet.pts().or(packet.dts())) else { return };
        let base = track.chosen.time_base;
        let from = nanoseconds(time, base);
        let until =
            (packet.duration() > 0).then(|| nanoseconds(time.saturating_add(packet.duration()), base));
        let read = match track.form {
            Form::Closed => return track.closed.take(biased(from), data),
            Form::Ttml => {
                let shown = track.document(from, until.unwrap_or(i64::MAX), data);
                return shown.into_iter().for_each(|shown| room.keep(track, shown));
            }
            Form::SubRip => markup(&String::from_utf8_lossy(data)),
            Form::Events => event_line(&String::from_utf8_lossy(data)),
            Form::TimedText => timed_text(data).map(|text| (text, String::new())),
            Form::WebVtt => {
                let settings = packet
                    .side_data()
                    .find(|data| data.kind() == side_data::Type::WebVTTSettings)
                    .map(|data| String::from_utf8_lossy(data.data()).into_owned());
                web_vtt(data, settings.unwrap_or_default())
            }
        };
        let Some((text, settings)) = read.filter(|(text, _)| text.len() <= MAX_CUE_BYTES) else { return };
        // An event of zero length is not shown; other formats may omit the length.
        if track.form == Form::Events && until.is_none() {
            return;
        }
        room.keep(track, Shown { from, until, settings, text });
    }

    /// Adds the captions of the frame shown at this time, in nanoseconds by the file's own clock.
    pub(crate) fn ride(&mut self, time: i64, captions: &[u8]) {
        self.closed.take(biased(time), captions);
    }

    /// The texts between `start` and `end`, nanoseconds by the file's own clock, and notes for people.
    pub(crate) fn finish(self, start: i64, end: i64) -> (Vec<Text>, Vec<String>) {
        let mut notes: Vec<String> = self.tracks.iter().filter_map(Track::note).collect();
        notes.extend(self.room.note());
        let mut found: Vec<(About, Vec<Cue>)> = Vec::new();
        let channels = |closed: Closed, about: &About| {
            let named = closed.finish(biased(end)).into_iter().map(|channel| {
                let label = if about.label.is_empty() { channel.name } else { about.label.clone() };
                let about = About { label, hearing_impaired: true, ..about.clone() };
                (about, moved(channel.cues, start))
            });
            named.collect::<Vec<_>>()
        };
        for track in self.tracks {
            match track.form {
                Form::Closed => found.extend(channels(track.closed, &track.chosen.about)),
                _ => found.push((track.chosen.about, placed(track.cues, start, end))),
            }
        }
        found.extend(channels(self.closed, &About::default()));
        let mut has_default = false;
        let mut texts = Vec::new();
        for (mut about, cues) in found {
            if cues.is_empty() {
                continue;
            }
            // At most one is shown by default.
            about.default &= !has_default && !about.forced;
            has_default |= about.default;
            let name = format!("text-{}", texts.len() + 1);
            texts.push(Text { name, about, data: Bytes::from(write(&cues)) });
        }
        (texts, notes)
    }
}

fn biased(time: i64) -> u64 {
    milliseconds(time).saturating_add(ORIGIN_MS).unsigned_abs()
}

/// The nearest millisecond.
fn milliseconds(time: i64) -> i64 {
    time.saturating_add(500_000).div_euclid(1_000_000)
}

/// The cues of [`Closed`] by the presentation's clock.
fn moved(cues: Vec<Cue>, start: i64) -> Vec<Cue> {
    let origin = biased(start);
    let cues = cues.into_iter().filter(|cue| cue.end_ms > origin).map(|cue| Cue {
        start_ms: cue.start_ms.saturating_sub(origin),
        end_ms: cue.end_ms - origin,
        ..cue
    });
    cues.collect()
}

/// Cues by the presentation's clock, within it.
fn placed(mut shown: Vec<Shown>, start: i64, end: i64) -> Vec<Cue> {
    shown.sort_by_key(|cue| cue.from);
    let next: Vec<_> = shown.iter().skip(1).map(|cue| cue.from).collect();
    let place = |time: i64| milliseconds(time.clamp(start, end).saturating_sub(start)).unsigned_abs();
    let cues = shown.into_iter().enumerate().map(|(at, cue)| {
        let until = cue.until.unwrap_or_else(|| {
            let longest = cue.from.saturating_add(SHOWN_NS);
            next.get(at).copied().filter(|next| *next > cue.from).unwrap_or(longest).min(longest)
        });
        Cue { start_ms: place(cue.from), end_ms: place(until), settings: cue.settings, text: cue.text }
    });
    cues.filter(|cue| cue.end_ms > cue.start_ms).collect()
}

/// The cue text of 3GPP timed text; `None`: it is empty.
fn timed_text(data: &[u8]) -> Option<String> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (text, boxes) = rest.split_at(length);
    let text = match text {
        [0xfe, 0xff, wide @ ..] => {
            let units: Vec<u16> =
                wide.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(text).into_owned(),
    };
    let styles = styles(boxes);
    let mut markup = Markup::default();
    for (at, character) in text.chars().enumerate() {
        let face = styles.iter().find(|(from, to, _)| (*from..*to).contains(&at)).map_or(0, |style| style.2);
        for (flag, style) in FACES {
            markup.set(style, face & flag != 0);
        }
        markup.push(if character == '\r' { '\n' } else { character });
    }
    markup.finish()
}

/// Bold, italic and underlined, from the flags of a style record.
const FACES: [(u8, Style); 3] = [(1, Style::Bold), (2, Style::Italic), (4, Style::Underline)];

/// The style records after a text: from which character to which, and their style (3GPP TS 26.245 §5.17.1.1).
fn styles(boxes: &[u8]) -> Vec<(usize, usize, u8)> {
    let Some((_, body)) = insides(boxes).find(|(kind, _)| kind == b"styl") else { return Vec::new() };
    let record = |record: &[u8]| {
        let number = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
        (number(0), number(2), record[6] & 7)
    };
    let records = body.get(2..).unwrap_or_default().chunks_exact(12).map(record);
    records.filter(|(from, to, face)| from < to && *face != 0).collect()
}

/// Reads bytes as a packet of each form.
pub(crate) fn fuzz(data: &[u8]) {
    let text = timed_text(data).map(|text| (text, String::new()));
    let read = [text, web_vtt(data, String::new()), event_line(&String::from_utf8_lossy(data))];
    for (text, settings) in read.into_iter().flatten() {
        let cue = Cue { start_ms: 0, end_ms: 1_000, settings, text };
        assert!(write(&[cue]).starts_with("WEBVTT"));
    }
}

/// A WebVTT cue of a file: its payload, and its settings. In MP4 they are in boxes.
fn web_vtt(data: &[u8], settings: String) -> Option<(String, String)> {
    let (mut payload, mut settings) = (data.to_vec(), settings.into_bytes());
    if insides(data).next().is_some_and(|(kind, _)| matches!(&kind, b"vttc" | b"vtte" | b"vtta")) {
        payload.clear();
        // Several cues at the same time become one.
        let cues = insides(data).filter(|(kind, _)| kind == b"vttc");
        for (kind, body) in cues.flat_map(|(_, cue)| insides(cue)) {
            match &kind {
                b"payl" => {
                    payload.extend_from_slice(body);
                    payload.push(b'\n');
                }
                b"sttg" => settings = body.to_vec(),
                _ => {}
            }
        }
    }
    let line = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ");
    let text = String::from_utf8_lossy(&payload).replace('\r', "");
    let text = text.trim();
    // Text contains no zeros: these bytes are not what they are declared to be.
    (!text.is_empty() && !text.contains('\0')).then(|| (text.to_owned(), line(&settings).trim().to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::segment::tests::bx;
    use proptest::prelude::*;

    #[test]
    fn timed_text_keeps_its_italics() {
        let style = [&[0, 1][..], &[0, 4, 0, 9, 0, 1, 2, 18, 255, 255, 255, 255]].concat();
        let data = [&[0, 9][..], b"Who said?", &bx(b"styl", &style)].concat();
        assert_eq!(timed_text(&data).unwrap(), "Who <i>said?</i>");
    }

    #[test]
    fn timed_text_that_looks_like_marks_is_text() {
        assert_eq!(timed_text(b"\0\x0b<b> \\ &amp;").unwrap(), "&lt;b&gt; \\ &amp;amp;");
    }

    #[test]
    fn a_text_that_continues_in_the_next_document_is_one_cue() {
        let document =
            |shown: &str| format!("<tt xml:lang='de'><body><div>{shown}</div></body></tt>").into_bytes();
        let chosen = Chosen {
            index: 0,
            parameters: codec::Parameters::new(),
            time_base: ffmpeg_next::Rational::new(1, 1_000),
            rate: ffmpeg_next::Rational::new(0, 1),
            turn: None,
            aspect: None,
            entry: Some(*TTML),
            about: About::default(),
            place: 1,
        };
        let mut texts = Texts::new(vec![chosen]);
        let Texts { tracks, room, .. } = &mut texts;
        for (from, shown) in [
            (0, "<p begin='1s' end='3s'>a</p>"),
            (2, "<p begin='1s' end='3s'>a</p><p begin='3s' end='7s' >b</p>"),
            (4, "<p begin='3s' end='7s'>b</p><p begin='5s' end='5.5s'>c</p>"),
            (6, "<p begin='6s' end='6.5s'>b</p><p>"),
        ] {
            let time = |seconds: i64| seconds * 1_000_000_000;
            let shown = tracks[0].document(time(from), time(from + 2), &document(shown));
            shown.into_iter().for_each(|shown| room.keep(&mut tracks[0], shown));
        }
        let (texts, notes) = texts.finish(0, 60_000_000_000);
        assert_eq!(texts[0].about.language, "de");
        let vtt = String::from_utf8(texts[0].data.to_vec()).unwrap();
        assert_eq!(
            vtt,
            "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\na\n\n00:00:03.000 --> 00:00:06.000\nb\n\n\
             00:00:05.000 --> 00:00:05.500\nc\n"
        );
        let note = "Of the first subtitle track, stpp, a part was left out: what it has to show cannot be read (line 1: ";
        assert!(notes[0].starts_with(note), "{notes:?}");
    }

    #[test]
    fn web_vtt_lies_bare_or_in_boxes() {
        let bare = web_vtt(b"<v Ann>Hello", "line:0".to_owned()).unwrap();
        assert_eq!(bare, ("<v Ann>Hello".to_owned(), "line:0".to_owned()));
        let cue = [bx(b"sttg", b"line:1"), bx(b"payl", b"Hello")].concat();
        assert_eq!(
            web_vtt(&bx(b"vttc", &cue), String::new()).unwrap(),
            ("Hello".to_owned(), "line:1".to_owned())
        );
        assert_eq!(web_vtt(&bx(b"vtte", b""), String::new()), None);
    }

    #[test]
    fn a_cue_without_an_end_is_shown_until_the_next_one() {
        let shown = |from: i64, until: Option<i64>| Shown {
            from: from * 1_000_000,
            until: until.map(|until| until * 1_000_000),
            settings: String::new(),
            text: "text".to_owned(),
        };
        let cues = placed(
            vec![
                shown(9_000, None),
                shown(500, Some(1_200)),
                shown(2_000, None),
                shown(4_000, Some(90_000)),
                shown(0, Some(900)),
            ],
            1_000_000_000,
            20_000_000_000,
        );
        let times: Vec<_> = cues.iter().map(|cue| (cue.start_ms, cue.end_ms)).collect();
        assert_eq!(times, [(0, 200), (1_000, 3_000), (3_000, 19_000), (8_000, 13_000)]);
    }

    proptest! {
        #[test]
        fn hostile_packets_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            crate::fuzz::texts(&data);
        }
    }
}
