//! The MPEG-DASH manifest as text (ISO/IEC 23009-1, ISO base media live profile): one period,
//! `SegmentTemplate` with `SegmentTimeline`, over the same segments as HLS. Every number is
//! measured from the segments. Never does I/O.

use std::fmt::{self, Write};

use crate::timeline::{Kind, NotPlayable, Offer, Timeline, Track, peak};

/// The media type of a manifest (ISO/IEC 23009-1 annex C).
pub(crate) const MEDIA_TYPE: &str = "application/dash+xml";

/// Seconds between a player's looks at a growing manifest.
const UPDATE_SECONDS: u64 = 2;
/// Where the time line of a growing content is anchored. Segments come faster than they
/// play, so the anchor lies far enough back that each one counts as available at once,
/// whatever the viewer's clock says; players find the edge from the segments themselves.
const ANCHOR_MS: i64 = 24 * 3600 * 1000;
/// The latency that players which heed service descriptions are to aim at, in milliseconds:
/// longer than any content, so that they begin at its beginning. 30 days.
const LATENCY_MS: u32 = 30 * 24 * 3600 * 1000;

/// Text under construction; writing to memory does not fail.
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

/// The manifest. `floor` as in [`Timeline::target_duration`]; `query` stands behind every URI, also
/// behind that of the manifest itself, which players fetch again while it grows.
pub(crate) fn manifest(timeline: &Timeline, floor: u64, query: &str) -> Result<String, NotPlayable> {
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
        if !query.is_empty() {
            xml.line(1, format_args!("<Location>manifest.mpd{query}</Location>"));
        }
        xml.line(
            1,
            format_args!(
                "<ServiceDescription id=\"0\"><Latency target=\"{LATENCY_MS}\"/></ServiceDescription>"
            ),
        );
    }
    xml.line(1, format_args!("<Period id=\"0\" start=\"PT0S\">"));
    adaptation_sets(&mut xml, &offer, start, target, query);
    xml.line(1, format_args!("</Period>"));
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

/// What tells a player that more is to come, and to start at the beginning all the same.
///
/// Some players take the suggested delay for the distance from the live edge to where they
/// begin, and never let a viewer come nearer to it: it is what there is now, and a little for
/// the time until they begin.
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

/// One set for the pictures and one for each language's sound.
fn adaptation_sets(xml: &mut Xml, offer: &Offer<'_>, start: u64, target: u64, query: &str) {
    let mut id = 0;
    if !offer.video.is_empty() {
        let largest = offer.video.iter().filter_map(|track| match track.kind {
            Kind::Video { width, height, .. } => Some((width, height)),
            Kind::Audio { .. } => None,
        });
        let (width, height) =
            largest.fold((0, 0), |(width, height), (w, h)| (u32::max(width, w), u32::max(height, h)));
        xml.line(
            2,
            format_args!(
                "<AdaptationSet id=\"{id}\" contentType=\"video\" mimeType=\"video/mp4\" \
                 segmentAlignment=\"true\" startWithSAP=\"1\" maxWidth=\"{width}\" maxHeight=\"{height}\">"
            ),
        );
        adaptation_set(xml, &offer.video, start, target, query);
        id += 1;
    }
    let mut languages: Vec<&Option<String>> = Vec::new();
    for track in &offer.audio {
        if !languages.contains(&&track.language) {
            languages.push(&track.language);
        }
    }
    for language in languages {
        xml.write(format_args!(
            "    <AdaptationSet id=\"{id}\" contentType=\"audio\" mimeType=\"audio/mp4\" \
             segmentAlignment=\"true\" startWithSAP=\"1\""
        ));
        if let Some(language) = language {
            xml.write(format_args!(" lang=\"{language}\""));
        }
        xml.write(format_args!(">\n"));
        let tracks: Vec<_> =
            offer.audio.iter().copied().filter(|track| &track.language == language).collect();
        adaptation_set(xml, &tracks, start, target, query);
        id += 1;
    }
}

/// The inside of a set and its end tag.
fn adaptation_set(xml: &mut Xml, tracks: &[&Track], start: u64, target: u64, query: &str) {
    xml.line(3, format_args!("<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>"));
    for track in tracks {
        representation(xml, track, start, target, query);
    }
    xml.line(2, format_args!("</AdaptationSet>"));
}

fn representation(xml: &mut Xml, track: &Track, start: u64, target: u64, query: &str) {
    let bandwidth = peak(track.pieces(), target);
    xml.write(format_args!(
        "      <Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{bandwidth}\"",
        track.name, track.codec
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
    xml.write(format_args!(
        " startNumber=\"0\" initialization=\"$RepresentationID$/init.mp4{query}\" \
         media=\"$RepresentationID$/$Number$.m4s{query}\">\n"
    ));
    segment_timeline(xml, track);
    xml.line(4, format_args!("</SegmentTemplate>"));
    xml.line(3, format_args!("</Representation>"));
}

/// `SegmentTimeline` (§5.3.9.6): runs of equal durations, with an explicit time at the first
/// segment and after every gap.
fn segment_timeline(xml: &mut Xml, track: &Track) {
    xml.line(5, format_args!("<SegmentTimeline>"));
    let mut expected = None;
    let mut rest = track.segments.as_slice();
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
#[path = "dash_tests.rs"]
mod tests;
