//! HLS playlists as text: RFC 8216 (with the terms of draft-pantos-hls-rfc8216bis) and the
//! rules of Apple's HLS authoring specification. Every number is measured from the segments.
//! Never does I/O.

use std::fmt::{self, Write};

use crate::manifest::choices::{Caption, Sound, captions, sounds};
use crate::manifest::rates::{average, peak};
use crate::manifest::texts::Text;
use crate::manifest::timeline::{Kind, NotPlayable, Offer, Timeline, Track, micros};
use crate::object::path::BEGAN;

/// Everything used here is in version 7; I-frame playlists of fMP4 and `EXT-X-MAP` need 6.
const VERSION: u32 = 7;
/// The variant nearest to this bit rate comes first, because players start with it (authoring specification
/// 1.32).
const FIRST_VARIANT: u64 = 2_000_000;
/// Players would start at the live edge of a growing playlist. A millisecond, because some players ignore an
/// offset of zero.
const FROM_THE_START: &str = "#EXT-X-START:TIME-OFFSET=0.001,PRECISE=YES\n";

/// Characteristics of a sound for viewers who do not see.
const DESCRIBED: &str = "public.accessibility.describes-video";
/// The group of all texts.
const TEXTS: &str = "text";
/// Characteristics of captions for viewers who do not hear (authoring specification 4.7).
const FOR_THE_DEAF: &str =
    "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound";

/// The media type of a playlist (RFC 8216 §4).
pub(crate) const MEDIA_TYPE: &str = "application/vnd.apple.mpegurl";

/// Segments of two generations are contiguous if they are no further apart: sound is cut in units of 21 ms.
const MEETS_MICROS: u64 = 50_000;

/// Text being written; writing to memory does not fail.
struct Playlist(String);

impl Playlist {
    fn new(capacity: usize) -> Self {
        let mut text = Self(String::with_capacity(capacity));
        text.line(format_args!("#EXTM3U\n#EXT-X-VERSION:{VERSION}"));
        text
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.write(line);
        self.0.push('\n');
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String does not fail");
    }
}

/// Microseconds as decimal seconds without needless zeros: `2.002`, `2.0`.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction, mut digits) = (self.0 / 1_000_000, self.0 % 1_000_000, 6);
        while digits > 1 && fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        write!(f, "{whole}.{fraction:0digits$}")
    }
}

/// Frames a second with three decimals (authoring specification 9.15).
struct FrameRate((u32, u32));

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (numerator, denominator) = (u64::from(self.0.0), u64::from(self.0.1.max(1)));
        let thousandths = (numerator * 1000 + denominator / 2) / denominator;
        write!(f, "{}.{:03}", thousandths / 1000, thousandths % 1000)
    }
}

/// Sounds of about the same bit rate: one rendition of each, the default first.
struct AudioGroup<'a> {
    id: &'a str,
    members: Vec<(&'a Sound<'a>, &'a Track)>,
}

impl<'a> AudioGroup<'a> {
    fn tracks(&self) -> impl Iterator<Item = &'a Track> + '_ {
        self.members.iter().map(|(_, track)| *track)
    }

    fn peak(&self, target: u64) -> u64 {
        self.tracks().map(|track| peak(track.pieces(), target)).max().unwrap_or(0)
    }

    fn average(&self) -> u64 {
        self.tracks().map(|track| average(track.pieces())).max().unwrap_or(0)
    }

    /// Of the default: a higher rate of another sound must not take anything from it.
    fn target_bitrate(&self) -> u32 {
        self.tracks().next().map_or(0, |track| track.target_bitrate)
    }
}

/// The groups, lowest bit rate first: the n-th has the n-th rendition of each sound, or its best if it has
/// fewer, so that each group offers the same choice (RFC 8216 §4.3.4.1.1).
fn audio_groups<'a>(sounds: &'a [Sound<'a>]) -> Vec<AudioGroup<'a>> {
    let tiers = sounds.iter().map(|sound| sound.tracks.len()).max().unwrap_or(0);
    (0..tiers)
        .filter_map(|tier| {
            let id = sounds.iter().find_map(|sound| sound.tracks.get(tier))?.name.as_str();
            let members = sounds
                .iter()
                .filter_map(|sound| Some((sound, *sound.tracks.get(tier).or(sound.tracks.last())?)))
                .collect();
            Some(AudioGroup { id, members })
        })
        .collect()
}

/// The group for a video track: the best whose sound takes at most a tenth of the video's bit rate, else the
/// lowest. Based on the encoder's target rates, so that it does not change while the content grows.
fn group_for<'g, 'a>(groups: &'g [AudioGroup<'a>], video: &Track) -> Option<&'g AudioGroup<'a>> {
    let budget = u64::from(video.target_bitrate) / 10;
    groups.iter().rev().find(|group| u64::from(group.target_bitrate()) <= budget).or(groups.first())
}

/// One `EXT-X-STREAM-INF`.
struct Variant<'a> {
    track: &'a Track,
    group: Option<&'a AudioGroup<'a>>,
    peak: u64,
    average: u64,
}

fn variants<'a>(offer: &Offer<'a>, groups: &'a [AudioGroup<'a>], target: u64) -> Vec<Variant<'a>> {
    let measure = |track: &'a Track, group: Option<&'a AudioGroup<'a>>| Variant {
        track,
        group,
        peak: peak(track.pieces(), target) + group.map_or(0, |group| group.peak(target)),
        average: average(track.pieces()) + group.map_or(0, AudioGroup::average),
    };
    let mut variants: Vec<_> = if offer.video.is_empty() {
        // Sound alone: each group's default is the variant itself, and any other sound takes its place.
        let choice = groups.iter().any(|group| group.members.len() > 1);
        let alone = |group: &'a AudioGroup<'a>| {
            let (peak, average) = (group.peak(target), group.average());
            Some(Variant { track: group.tracks().next()?, group: choice.then_some(group), peak, average })
        };
        groups.iter().filter_map(alone).collect()
    } else {
        offer.video.iter().map(|track| measure(track, group_for(groups, track))).collect()
    };
    let first = variants
        .iter()
        .enumerate()
        .min_by_key(|(_, variant)| variant.average.abs_diff(FIRST_VARIANT))
        .map_or(0, |(place, _)| place);
    variants[..=first].rotate_right(1);
    variants
}

/// The multivariant playlist (RFC 8216 §4.3.4). `floor` as in [`Timeline::target_duration`]; `query` is
/// appended to every URI.
pub(crate) fn multivariant(timeline: &Timeline, floor: u64, query: &str) -> Result<String, NotPlayable> {
    let offer = timeline.offer()?;
    let target = timeline.target_duration(floor);
    let sounds = sounds(&offer);
    let groups = audio_groups(&sounds);
    let captions = captions(timeline);
    let mut text = Playlist::new(2048);
    text.line(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
    if timeline.growing() {
        text.0.push_str(FROM_THE_START);
    }
    if !offer.video.is_empty() || sounds.len() > 1 {
        for group in &groups {
            for (sound, track) in &group.members {
                // For sound alone the variant is the default: hls.js (1.7) switches at once only if this says
                // so.
                let address = !(offer.video.is_empty() && sound.default);
                audio_media(&mut text, group.id, sound, track, address.then_some(query));
            }
        }
    }
    for caption in &captions {
        text_media(&mut text, caption, query);
    }
    for variant in variants(&offer, &groups, target) {
        stream_inf(&mut text, &variant, !captions.is_empty(), query);
    }
    for track in offer.video.iter().filter(|track| !track.sync_points.is_empty()) {
        i_frame_stream_inf(&mut text, track, target, query);
    }
    Ok(text.0)
}

fn yes(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

/// `EXT-X-MEDIA` of a sound (§4.3.4.1). It is the same in every group except for its URI and channels, so
/// that players see the groups as one choice in several qualities. Without a URI (`query` is `None`) it is
/// what the variant itself contains.
fn audio_media(text: &mut Playlist, group: &str, sound: &Sound<'_>, track: &Track, query: Option<&str>) {
    let Kind::Audio { channels, .. } = track.kind else { return };
    text.write(format_args!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"{}\"", sound.name));
    if let Some(language) = sound.language {
        text.write(format_args!(",LANGUAGE=\"{language}\""));
    }
    text.write(format_args!(",DEFAULT={},AUTOSELECT={}", yes(sound.default), yes(sound.automatic)));
    if sound.described {
        text.write(format_args!(",CHARACTERISTICS=\"{DESCRIBED}\""));
    }
    text.write(format_args!(",CHANNELS=\"{}\"", channels.max(1)));
    if let Some(query) = query {
        text.write(format_args!(",URI=\"{}/index.m3u8{}\"", track.name, began(track, query)));
    }
    text.0.push('\n');
}

/// `EXT-X-MEDIA` of a text (§4.3.4.1).
fn text_media(text: &mut Playlist, caption: &Caption<'_>, query: &str) {
    text.write(format_args!("#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{TEXTS}\",NAME=\"{}\"", caption.name));
    if let Some(language) = &caption.text.language {
        text.write(format_args!(",LANGUAGE=\"{language}\""));
    }
    text.write(format_args!(
        ",DEFAULT={},AUTOSELECT={},FORCED={}",
        yes(caption.default),
        yes(caption.automatic),
        yes(caption.text.forced)
    ));
    if caption.text.hearing_impaired {
        text.write(format_args!(",CHARACTERISTICS=\"{FOR_THE_DEAF}\""));
    }
    text.line(format_args!(",URI=\"{}/index.m3u8{query}\"", caption.text.name));
}

/// `EXT-X-STREAM-INF` (§4.3.4.2) and its URI.
fn stream_inf(text: &mut Playlist, variant: &Variant<'_>, texts: bool, query: &str) {
    let track = variant.track;
    text.write(format_args!(
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}",
        variant.peak, variant.average, track.codec
    ));
    let mut codecs = vec![track.codec.as_str()];
    for member in variant.group.iter().flat_map(|group| group.tracks()) {
        if !codecs.contains(&member.codec.as_str()) {
            text.write(format_args!(",{}", member.codec));
            codecs.push(&member.codec);
        }
    }
    text.0.push('"');
    if let Kind::Video { width, height, fps } = track.kind {
        text.write(format_args!(",RESOLUTION={width}x{height},FRAME-RATE={}", FrameRate(fps)));
    }
    if let Some(group) = variant.group {
        text.write(format_args!(",AUDIO=\"{}\"", group.id));
    }
    if texts {
        text.write(format_args!(",SUBTITLES=\"{TEXTS}\""));
    }
    if track.is_video() {
        text.write(format_args!(",CLOSED-CAPTIONS=NONE"));
    }
    text.line(format_args!("\n{}/index.m3u8{}", track.name, began(track, query)));
}

/// `EXT-X-I-FRAME-STREAM-INF` (§4.3.4.3).
fn i_frame_stream_inf(text: &mut Playlist, track: &Track, target: u64, query: &str) {
    let Kind::Video { width, height, .. } = track.kind else { return };
    text.line(format_args!(
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",\
         RESOLUTION={width}x{height},URI=\"{}/iframes.m3u8{}\"",
        peak(track.key_pieces(), target),
        average(track.key_pieces()),
        track.codec,
        track.name,
        began(track, query)
    ));
}

/// The head of media and I-frame playlists (§4.3.3).
fn media_head(timeline: &Timeline, track: &Track, target: u64) -> Playlist {
    let grows = timeline.track_grows(track);
    let mut text = Playlist::new(256 + 24 * track.segments.len());
    let kind = if grows { "EVENT" } else { "VOD" };
    text.line(format_args!(
        "#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{kind}"
    ));
    text.line(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
    if grows {
        text.0.push_str(FROM_THE_START);
    }
    text
}

fn end(mut text: Playlist, timeline: &Timeline, track: &Track) -> String {
    if !timeline.track_grows(track) {
        text.line(format_args!("#EXT-X-ENDLIST"));
    }
    text.0
}

/// The prefix of a track's objects; its playlists are in the folder of its name.
fn way(track: &Track) -> String {
    if track.generation == 0 { String::new() } else { format!("../{}/", track.folder()) }
}

/// The query of a playlist: except for the first generation, it also states the generation that its player
/// began with.
fn began(track: &Track, query: &str) -> String {
    match (track.generation, query) {
        (0, _) => query.to_owned(),
        (generation, "") => format!("?{BEGAN}{generation}"),
        (generation, _) => format!("{query}&{BEGAN}{generation}"),
    }
}

/// The segments of a track from `first` to before `end`.
struct Part<'a> {
    track: &'a Track,
    first: usize,
    end: usize,
}

/// Each track from the end of the previous one, so that a playlist never changes what it listed (RFC 8216
/// §6.2.1): hls.js refuses that. If segments are not contiguous it is the last track alone.
fn parts<'a>(before: &[&'a Track], track: &'a Track) -> Vec<Part<'a>> {
    let alone = || vec![Part { track, first: 0, end: track.segments.len() }];
    let (mut parts, mut first, mut until) = (Vec::new(), 0, 0);
    for &track in before.iter().chain([&track]) {
        let Some(next) = track.segments.get(first) else { continue };
        if first > 0 && micros(next.start, track.timescale).abs_diff(until) > MEETS_MICROS {
            return alone();
        }
        parts.push(Part { track, first, end: track.segments.len() });
        (first, until) = (track.segments.len(), track.end_micros());
    }
    if parts.is_empty() { alone() } else { parts }
}

/// The media playlist of one track (§4.3.3), which replaced `before`. The sum of its EXTINF is the track's
/// length to the microsecond: each one is the difference of two rounded times. Another initialization is no
/// discontinuity: times continue, and so does everything but the encoder's parameters (§4.3.2.3).
pub(crate) fn media_playlist(
    timeline: &Timeline,
    before: &[&Track],
    track: &Track,
    floor: u64,
    query: &str,
) -> String {
    let mut text = media_head(timeline, track, timeline.target_duration(floor));
    let mut begin = 0;
    for Part { track: part, first, end } in parts(before, track) {
        let way = way(part);
        text.line(format_args!("#EXT-X-MAP:URI=\"{way}init.mp4{query}\""));
        let (mut ticks, mut written) = (0_u64, begin);
        for (number, segment) in part.segments.iter().enumerate().take(end).skip(first) {
            ticks = ticks.saturating_add(segment.duration);
            let end = begin + micros(ticks, part.timescale);
            text.line(format_args!("#EXTINF:{},\n{way}{number}.m4s{query}", Seconds(end - written)));
            written = end;
        }
        begin = written;
    }
    end(text, timeline, track)
}

/// The media playlist of a text: one segment, the whole file, as long as the content. It may have its own
/// target duration, because it does not change any more (§6.2.4).
pub(crate) fn text_playlist(timeline: &Timeline, offer: &Offer<'_>, text: &Text, query: &str) -> String {
    let (start, end) = timeline.span(offer);
    let length = (end - start).max(1);
    let mut playlist = Playlist::new(256);
    playlist.line(format_args!(
        "#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD",
        length.div_ceil(1_000_000)
    ));
    let version = text.version;
    playlist.line(format_args!("#EXTINF:{},\n{version}.vtt{query}\n#EXT-X-ENDLIST", Seconds(length)));
    playlist.0
}

/// The I-frame playlist of one video track (§4.3.3.6): each key frame is a byte range of its
/// segment and lasts until the next one. `before` as in [`media_playlist`].
pub(crate) fn i_frame_playlist(
    timeline: &Timeline,
    before: &[&Track],
    track: &Track,
    floor: u64,
    query: &str,
) -> String {
    let mut text = media_head(timeline, track, timeline.target_duration(floor));
    text.line(format_args!("#EXT-X-I-FRAMES-ONLY"));
    let mut begin = 0;
    for Part { track: part, first, end } in parts(before, track) {
        let way = way(part);
        text.line(format_args!("#EXT-X-MAP:URI=\"{way}init.mp4{query}\""));
        let frames = part.key_frames().filter(|(point, _)| (first..end).contains(&(point.segment as usize)));
        let (mut origin, mut written) = (None, begin);
        for (point, next) in frames {
            let end = begin + micros(next - *origin.get_or_insert(point.time), part.timescale);
            text.line(format_args!(
                "#EXTINF:{},\n#EXT-X-BYTERANGE:{}@{}\n{way}{}.m4s{query}",
                Seconds(end.saturating_sub(written)),
                point.length,
                point.offset,
                point.segment
            ));
            written = end;
        }
        begin = written;
    }
    end(text, timeline, track)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "../tests/hls.rs"]
mod tests;
