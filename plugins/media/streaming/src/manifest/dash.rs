//! The MPEG-DASH manifest as text (ISO/IEC 23009-1, ISO base media live profile): one period,
//! `SegmentTemplate` with `SegmentTimeline`, over the same segments as HLS. Every number is
//! measured from the segments. Never does I/O.

use std::fmt::{self, Write};
use std::ops::Range;

use crate::manifest::choices::{Caption, Sound, captions, sounds};
use crate::manifest::rates::{peak, rate};
use crate::manifest::texts::Escaped;
use crate::manifest::timeline::{Kind, NotPlayable, Offer, Segment, Timeline, Track, micros};
use crate::object::path::BEGAN;

/// The media type of a manifest (ISO/IEC 23009-1 annex C).
pub(crate) const MEDIA_TYPE: &str = "application/dash+xml";

/// Seconds between a player's reloads of a growing manifest.
const UPDATE_SECONDS: u64 = 2;
/// Where the time line of a growing content is anchored. Segments come faster than they
/// play, so the anchor lies far enough back that each one counts as available at once,
/// whatever the viewer's clock says; players find the edge from the segments themselves.
const ANCHOR_MS: i64 = 24 * 3600 * 1000;
/// The target latency, in milliseconds, for players that follow service descriptions: longer than any
/// content, so that they begin at its start. 30 days.
const LATENCY_MS: u32 = 30 * 24 * 3600 * 1000;

/// `id` of the first set of texts; video has 0, and sounds their number plus 1.
const FIRST_TEXT_ID: usize = 1000;
/// Roles (§5.8.5.5).
const ROLES: &str = "urn:mpeg:dash:role:2011";
/// The audience of a set (TV-Anytime, as DVB-DASH uses it): 1 visually impaired, 2 hearing impaired.
const PURPOSE: &str = "urn:tva:metadata:cs:AudioPurposeCS:2007";

/// Text being written; writing to memory does not fail.
struct Xml(String);

impl Xml {
    fn line(&mut self, depth: usize, line: fmt::Arguments<'_>) {
        write!(self.0, "{:1$}", "", depth * 2).expect("writing to a String does not fail");
        self.write(line);
        self.0.push('\n');
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String does not fail");
    }
}

/// Microseconds as `xs:duration`: `PT9.984S`.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction, mut digits) = (self.0 / 1_000_000, self.0 % 1_000_000, 6);
        if fraction == 0 {
            return write!(f, "PT{whole}S");
        }
        while fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        write!(f, "PT{whole}.{fraction:0digits$}S")
    }
}

/// Unix milliseconds as `xs:dateTime` in UTC.
struct DateTime(i64);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        // Days since 1970-01-01 to a Gregorian date, years starting in March.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// A fraction in lowest terms, without a denominator of 1: `30000/1001`, `25`.
struct Fraction(u32, u32);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut a, mut b) = (self.0, self.1.max(1));
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a.max(1);
        match self.1.max(1) / divisor {
            1 => write!(f, "{}", self.0 / divisor),
            denominator => write!(f, "{}/{denominator}", self.0 / divisor),
        }
    }
}

/// The manifest. `floor` as in [`Timeline::target_duration`]; `query` is appended to every URI, also to that
/// of the manifest itself, which players reload while it grows.
pub(crate) fn manifest(timeline: &Timeline, floor: u64, query: &str) -> Result<String, NotPlayable> {
    manifest_since(timeline, &[], floor, query)
}

/// The manifest for a player that began when the first of `before` was played. Players keep the
/// initialization of a representation, so another generation is another period, which begins where the
/// previous one ends.
pub(crate) fn manifest_since(
    timeline: &Timeline,
    before: &[Timeline],
    floor: u64,
    query: &str,
) -> Result<String, NotPlayable> {
    let offer = timeline.offer()?;
    let target = timeline.target_duration(floor);
    let (start, end) = timeline.span(&offer);
    let mut xml = Xml(String::with_capacity(4096));
    xml.line(0, format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    xml.write(format_args!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" \
         minBufferTime=\"PT{target}S\" maxSegmentDuration=\"{}\"",
        Duration(timeline.longest_micros())
    ));
    if timeline.growing() {
        growing_attributes(&mut xml, timeline, end - start, target);
    } else {
        let length = Duration(end - start);
        xml.write(format_args!(" type=\"static\" mediaPresentationDuration=\"{length}\""));
    }
    xml.write(format_args!(">\n"));
    if timeline.growing() {
        location(&mut xml, before.first().unwrap_or(timeline).generation(), query);
        xml.line(
            1,
            format_args!(
                "<ServiceDescription id=\"0\"><Latency target=\"{LATENCY_MS}\"/></ServiceDescription>"
            ),
        );
    }
    let mut media = Media { start, origin: start, end: u64::MAX, target, query };
    for earlier in before {
        let offer = earlier.offered();
        let tracks = if offer.video.is_empty() { &offer.audio } else { &offer.video };
        let end = tracks.iter().map(|track| track.end_micros()).min().unwrap_or(0);
        if end > media.start {
            period(&mut xml, earlier, &offer, Media { end, ..media }, &[]);
            media.start = end;
        }
    }
    if media.start == start {
        let captions = captions(timeline);
        let texts: Vec<_> = (FIRST_TEXT_ID..).zip(&captions).collect();
        period(&mut xml, timeline, &offer, media, &texts);
    } else if let Some(offer) = media.rest(&offer) {
        period(&mut xml, timeline, &offer, media, &[]);
    }
    if timeline.growing() {
        // Stops players from asking a time server elsewhere.
        xml.line(
            1,
            format_args!(
                "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>",
                DateTime(timeline.updated_at_ms)
            ),
        );
    }
    xml.line(0, format_args!("</MPD>"));
    Ok(xml.0)
}

/// Where the manifest is reloaded from: it states the generation that the player began with.
fn location(xml: &mut Xml, generation: u32, query: &str) {
    let more = if query.is_empty() { "?" } else { "&amp;" };
    xml.line(1, format_args!("<Location>manifest.mpd{query}{more}{BEGAN}{generation}</Location>"));
}

/// A period of one generation.
fn period(
    xml: &mut Xml,
    timeline: &Timeline,
    offer: &Offer<'_>,
    media: Media<'_>,
    texts: &[(usize, &Caption<'_>)],
) {
    let begins = Duration(media.start - media.origin);
    xml.line(1, format_args!("<Period id=\"{}\" start=\"{begins}\">", timeline.generation()));
    if !offer.video.is_empty() {
        picture_set(xml, &offer.video, media);
    }
    let sounds = sounds(offer);
    for sound in &sounds {
        sound_set(xml, sound, sounds.len() > 1, media);
    }
    let (start, end) = timeline.span(offer);
    for (id, caption) in texts {
        text_set(xml, *id, caption, end - start, media.query);
    }
    xml.line(1, format_args!("</Period>"));
}

/// Tells a player that more is to come, and to start at the beginning. Some players take the suggested delay
/// for the distance from the live edge at which they begin, and never let a viewer come closer: so it is the
/// current length, plus a little for the start.
fn growing_attributes(xml: &mut Xml, timeline: &Timeline, length: u64, target: u64) {
    let delay = length.div_ceil(1_000_000) + 2 * target;
    xml.write(format_args!(
        " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" \
         minimumUpdatePeriod=\"PT{UPDATE_SECONDS}S\" suggestedPresentationDelay=\"PT{delay}S\"",
        DateTime(timeline.created_at_ms.saturating_sub(ANCHOR_MS)),
        DateTime(timeline.updated_at_ms)
    ));
    if timeline.duration_ms > 0 {
        let length = Duration(timeline.duration_ms.saturating_mul(1000));
        xml.write(format_args!(" mediaPresentationDuration=\"{length}\""));
    }
}

/// What all representations of media have in common.
#[derive(Clone, Copy)]
struct Media<'a> {
    /// Where the period begins, in microseconds.
    start: u64,
    /// Where the content does.
    origin: u64,
    /// Where the period ends.
    end: u64,
    /// As in [`peak`].
    target: u64,
    query: &'a str,
}

impl Media<'_> {
    /// The segments of a track that are in the period. Sound is cut near the boundary.
    fn segments(self, track: &Track) -> Range<usize> {
        let middle =
            |segment: &Segment| micros(segment.start.saturating_add(segment.duration / 2), track.timescale);
        let place = |time| track.segments.partition_point(|segment| middle(segment) < time);
        let first = if self.start == self.origin { 0 } else { place(self.start) };
        first..place(self.end).max(first)
    }

    /// The part of an offer in the period; `None` while any of the choices has no segment in it yet.
    fn rest<'a>(self, offer: &Offer<'a>) -> Option<Offer<'a>> {
        let kept = |tracks: &[&'a Track]| {
            tracks.iter().copied().filter(|track| !self.segments(track).is_empty()).collect::<Vec<_>>()
        };
        let (video, audio) = (kept(&offer.video), kept(&offer.audio));
        let heard = offer.audio.iter().all(|track| audio.iter().any(|kept| kept.number == track.number));
        (video.is_empty() == offer.video.is_empty() && heard).then_some(Offer { video, audio })
    }
}

fn picture_set(xml: &mut Xml, tracks: &[&Track], media: Media<'_>) {
    let largest = tracks.iter().filter_map(|track| match track.kind {
        Kind::Video { width, height, .. } => Some((width, height)),
        Kind::Audio { .. } => None,
    });
    let (width, height) =
        largest.fold((0, 0), |(width, height), (w, h)| (u32::max(width, w), u32::max(height, h)));
    xml.line(
        2,
        format_args!(
            "<AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" \
             segmentAlignment=\"true\" startWithSAP=\"1\" maxWidth=\"{width}\" maxHeight=\"{height}\">"
        ),
    );
    roles(xml, &[(true, "main")]);
    for track in tracks {
        representation(xml, track, media);
    }
    xml.line(2, format_args!("</AdaptationSet>"));
}

/// The default has the higher priority for players that would take the highest bit rate instead.
fn sound_set(xml: &mut Xml, sound: &Sound<'_>, choice: bool, media: Media<'_>) {
    xml.write(format_args!(
        "    <AdaptationSet id=\"{}\" contentType=\"audio\"",
        u64::from(sound.number) + 1
    ));
    language(xml, sound.language);
    if choice && sound.default {
        xml.write(format_args!(" selectionPriority=\"2\""));
    }
    xml.write(format_args!(" mimeType=\"audio/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n"));
    label(xml, &sound.name);
    if sound.described {
        purpose(xml, 1);
    }
    let plain = !sound.commentary && !sound.described;
    roles(
        xml,
        &[
            (sound.default, "main"),
            (sound.commentary, "commentary"),
            (sound.described, "description"),
            // It may be a dub or the original: this is unknown.
            (!sound.default && plain, "alternate"),
        ],
    );
    for track in &sound.tracks {
        representation(xml, track, media);
    }
    xml.line(2, format_args!("</AdaptationSet>"));
}

/// A text is one file, which needs no segments.
fn text_set(xml: &mut Xml, id: usize, caption: &Caption<'_>, length: u64, query: &str) {
    let text = caption.text;
    xml.write(format_args!("    <AdaptationSet id=\"{id}\" contentType=\"text\""));
    language(xml, text.language.as_deref());
    xml.write(format_args!(" mimeType=\"text/vtt\">\n"));
    label(xml, &caption.name);
    if text.hearing_impaired {
        purpose(xml, 2);
    }
    roles(
        xml,
        &[
            (caption.default, "main"),
            (text.forced, "forced-subtitle"),
            (text.hearing_impaired, "caption"),
            (!text.forced && !text.hearing_impaired, "subtitle"),
            (text.commentary, "commentary"),
        ],
    );
    let bandwidth = rate(u64::from(text.bytes), length).max(1);
    xml.line(3, format_args!("<Representation id=\"{}\" bandwidth=\"{bandwidth}\">", text.name));
    xml.line(4, format_args!("<BaseURL>{}/{}.vtt{query}</BaseURL>", text.name, text.version));
    xml.line(3, format_args!("</Representation>"));
    xml.line(2, format_args!("</AdaptationSet>"));
}

fn language(xml: &mut Xml, language: Option<&str>) {
    if let Some(language) = language {
        xml.write(format_args!(" lang=\"{language}\""));
    }
}

/// Must precede `Accessibility` and `Role` in the schema (`RepresentationBaseType`).
fn label(xml: &mut Xml, name: &str) {
    xml.line(3, format_args!("<Label>{}</Label>", Escaped(name)));
}

fn purpose(xml: &mut Xml, value: u32) {
    xml.line(3, format_args!("<Accessibility schemeIdUri=\"{PURPOSE}\" value=\"{value}\"/>"));
}

fn roles(xml: &mut Xml, roles: &[(bool, &str)]) {
    for (_, role) in roles.iter().filter(|(has, _)| *has) {
        xml.line(3, format_args!("<Role schemeIdUri=\"{ROLES}\" value=\"{role}\"/>"));
    }
}

/// A representation is named like its folder: another generation is another representation and needs its own
/// initialization.
fn representation(xml: &mut Xml, track: &Track, media: Media<'_>) {
    let Media { start, target, query, .. } = media;
    let bandwidth = peak(track.pieces(), target);
    xml.write(format_args!(
        "      <Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{bandwidth}\"",
        track.folder(),
        track.codec
    ));
    match track.kind {
        Kind::Video { width, height, fps } => xml.write(format_args!(
            " width=\"{width}\" height=\"{height}\" frameRate=\"{}\" sar=\"1:1\">\n",
            Fraction(fps.0, fps.1)
        )),
        Kind::Audio { channels, sample_rate } => {
            xml.write(format_args!(" audioSamplingRate=\"{sample_rate}\">\n"));
            xml.line(
                4,
                format_args!(
                    "<AudioChannelConfiguration \
                     schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" \
                     value=\"{}\"/>",
                    channels.max(1)
                ),
            );
        }
    }
    xml.write(format_args!("        <SegmentTemplate timescale=\"{}\"", track.timescale));
    let offset = u128::from(start) * u128::from(track.timescale) / 1_000_000;
    if offset > 0 {
        xml.write(format_args!(" presentationTimeOffset=\"{offset}\""));
    }
    let segments = media.segments(track);
    xml.write(format_args!(
        " startNumber=\"{}\" initialization=\"$RepresentationID$/init.mp4{query}\" \
         media=\"$RepresentationID$/$Number$.m4s{query}\">\n",
        segments.start
    ));
    segment_timeline(xml, &track.segments[segments]);
    xml.line(4, format_args!("</SegmentTemplate>"));
    xml.line(3, format_args!("</Representation>"));
}

/// `SegmentTimeline` (§5.3.9.6): runs of equal durations, with an explicit time at the first
/// segment and after every gap.
fn segment_timeline(xml: &mut Xml, segments: &[Segment]) {
    xml.line(5, format_args!("<SegmentTimeline>"));
    let mut expected = None;
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let mut end = first.start.saturating_add(first.duration);
        let mut run = 1;
        while let Some(next) = rest.get(run) {
            if next.start != end || next.duration != first.duration {
                break;
            }
            end = end.saturating_add(next.duration);
            run += 1;
        }
        xml.write(format_args!("            <S"));
        if expected != Some(first.start) {
            xml.write(format_args!(" t=\"{}\"", first.start));
        }
        xml.write(format_args!(" d=\"{}\"", first.duration));
        if run > 1 {
            xml.write(format_args!(" r=\"{}\"", run - 1));
        }
        xml.write(format_args!("/>\n"));
        expected = Some(end);
        rest = &rest[run..];
    }
    xml.line(5, format_args!("</SegmentTimeline>"));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "../tests/dash.rs"]
mod tests;
