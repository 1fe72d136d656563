//! From the catalogue's messages to a [`Timeline`]. Whatever a playlist cannot carry safely is left out here,
//! so that later code needs no escaping or checks.

use streamgate_contracts::catalogue::v1::{self, ContentState, RenditionKind, TimelineResponse};

use crate::manifest::texts::{Chapter, Earlier, Text};
use crate::manifest::timeline::{Kind, Phase, Replaced, Segment, SyncPoint, Timeline, Track};
use crate::object::path::is_rendition_name;

/// More of these than a content can have are left out.
const MAX_TEXTS: usize = 64;
const MAX_EARLIER: usize = 8;
const MAX_CHAPTERS: usize = 1000;
/// The highest number of a sound; manifests number what comes after them.
const MAX_NUMBER: u32 = 900;
/// Maximum characters of text from people; the rest is cut off.
const MAX_WRITTEN: usize = 200;

/// The answer contained neither "not modified" nor a content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue answered without a content")]
pub(crate) struct NoContent;

/// The timeline of an answer; what is offered is not decided yet.
pub(crate) fn timeline(response: TimelineResponse) -> Result<Timeline, NoContent> {
    let content = response.content.ok_or(NoContent)?;
    let (mut tracks, mut replaced) = (Vec::new(), Vec::new());
    for given in response.renditions {
        let rendition = given.rendition.clone().unwrap_or_default();
        if rendition.is_coming() {
            continue;
        }
        match (track(given), rendition.replaced_until_ms()) {
            (Some(track), None) => tracks.push(track),
            (Some(track), Some(until_ms)) => replaced.push(Replaced { track, until_ms }),
            (None, _) => {
                tracing::warn!(content = %content.id, rendition = %rendition.name, "a rendition that no playlist can carry is left out");
            }
        }
    }
    let phase = match content.state() {
        ContentState::Playable => Phase::Growing,
        ContentState::Ready => Phase::Ended,
        // Encoding failed: the finished part can be watched.
        ContentState::Failed if tracks.iter().any(Track::usable) => Phase::Ended,
        state => Phase::Waiting(state.name()),
    };
    let texts = texts(content.texts, &tracks);
    Ok(Timeline {
        revision: content.revision,
        phase,
        created_at_ms: content.created_at_ms,
        updated_at_ms: content.updated_at_ms,
        duration_ms: content.duration_ms,
        has_poster: content.has_poster,
        has_thumbnails: content.has_thumbnails,
        tracks,
        replaced,
        texts,
        chapters: chapters(content.chapters),
    })
}

fn track(timeline: v1::RenditionTimeline) -> Option<Track> {
    let rendition = timeline.rendition?;
    let kind = match rendition.kind() {
        RenditionKind::Video => Kind::Video {
            width: rendition.width,
            height: rendition.height,
            fps: (rendition.fps_numerator, rendition.fps_denominator.max(1)),
        },
        RenditionKind::Audio => {
            Kind::Audio { channels: rendition.channels, sample_rate: rendition.sample_rate }
        }
        RenditionKind::Unspecified => return None,
    };
    let codec_is_sound = matches!(rendition.codec.len(), 1..=64)
        && rendition.codec.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if !is_rendition_name(&rendition.name)
        || !codec_is_sound
        || rendition.timescale == 0
        || rendition.track > MAX_NUMBER
    {
        return None;
    }
    let mut segments = Vec::with_capacity(timeline.segments.len());
    let mut sync_points = Vec::new();
    for (place, segment) in (0_u32..).zip(timeline.segments) {
        // A segment after a gap cannot be played: its number would be wrong.
        if segment.number != place || segment.duration == 0 {
            break;
        }
        sync_points.extend(segment.sync_points.iter().map(|point| SyncPoint {
            segment: place,
            time: point.time,
            offset: point.offset,
            length: point.length,
        }));
        segments.push(Segment { start: segment.start, duration: segment.duration, bytes: segment.bytes });
    }
    if matches!(kind, Kind::Audio { .. }) {
        sync_points = Vec::new();
    }
    Some(Track {
        name: rendition.name,
        generation: rendition.generation,
        codec: rendition.codec,
        timescale: rendition.timescale,
        kind,
        language: Some(rendition.language).filter(|tag| is_language_tag(tag)),
        number: rendition.track,
        label: label(&rendition.label),
        commentary: rendition.commentary,
        described: rendition.described,
        target_bitrate: rendition.target_bitrate,
        init_bytes: rendition.init_bytes,
        complete: rendition.complete,
        segments,
        sync_points,
        offered: false,
    })
}

/// The texts, without those whose address would collide.
fn texts(given: Vec<v1::TextTrack>, tracks: &[Track]) -> Vec<Text> {
    let mut texts: Vec<Text> = Vec::with_capacity(given.len().min(MAX_TEXTS));
    for text in given {
        let taken = tracks.iter().any(|track| track.name == text.name)
            || texts.iter().any(|other| other.name == text.name);
        if taken || !is_rendition_name(&text.name) || text.version == 0 || texts.len() == MAX_TEXTS {
            tracing::warn!(text = %text.name, "a text that no playlist can carry is left out");
            continue;
        }
        texts.push(Text {
            language: Some(text.language).filter(|tag| is_language_tag(tag)),
            label: label(&text.label),
            name: text.name,
            version: text.version,
            bytes: text.bytes,
            default: text.default,
            forced: text.forced,
            hearing_impaired: text.hearing_impaired,
            commentary: text.commentary,
            earlier: earlier(text.version, text.earlier),
        });
    }
    texts
}

/// The earlier versions of a text, where their addresses differ from the current one.
fn earlier(present: u32, given: Vec<v1::EarlierText>) -> Vec<Earlier> {
    let others = given.into_iter().filter(|it| it.version < present).take(MAX_EARLIER);
    others.map(|it| Earlier { version: it.version, bytes: it.bytes, until_ms: it.until_ms }).collect()
}

/// The chapters, without those out of order.
fn chapters(given: Vec<v1::Chapter>) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::with_capacity(given.len().min(MAX_CHAPTERS));
    for chapter in given.into_iter().take(MAX_CHAPTERS) {
        if chapters.last().is_none_or(|before| before.start_ms < chapter.start_ms) {
            chapters.push(Chapter { start_ms: chapter.start_ms, title: plain(&chapter.title) });
        }
    }
    chapters
}

/// A name for people that a quoted string of a playlist can hold (RFC 8216 §4.2).
fn label(text: &str) -> Option<String> {
    Some(plain(text).replace('"', "'")).filter(|label| !label.is_empty())
}

/// One line of what people wrote, without what neither XML nor WebVTT can hold.
fn plain(text: &str) -> String {
    let is_between = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let words = text.split(is_between).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    words.chars().take(MAX_WRITTEN).collect::<String>().trim_end().to_owned()
}

/// The form of BCP 47 that `xs:language` has: parts of one to eight letters and digits, letters first.
fn is_language_tag(tag: &str) -> bool {
    let is_part = |part: &str| matches!(part.len(), 1..=8) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    tag.len() <= 35
        && tag.split('-').all(is_part)
        && tag.split('-').take(1).all(|first| first.bytes().all(|byte| byte.is_ascii_alphabetic()))
        && !tag.eq_ignore_ascii_case("und")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::response;

    #[test]
    fn segments_keep_their_times_and_key_frames() {
        let timeline = timeline(response(ContentState::Playable, 3)).unwrap();
        assert_eq!(timeline.phase, Phase::Growing);
        let track = timeline.track("360p").unwrap();
        assert_eq!(track.segments[2], Segment { start: 120_000, duration: 60_000, bytes: 1002 });
        assert_eq!(track.sync_points[1], SyncPoint { segment: 1, time: 60_000, offset: 100, length: 250 });
        assert!(timeline.track("audio-64k").unwrap().sync_points.is_empty());
    }

    #[test]
    fn what_was_replaced_is_kept_beside_the_tracks_and_what_is_coming_is_not_known() {
        let mut response = response(ContentState::Playable, 3);
        let (mut old, mut coming) = (response.renditions[0].clone(), response.renditions[0].clone());
        let turn = |of: &mut v1::RenditionTimeline, generation, turn| {
            let rendition = of.rendition.as_mut().unwrap();
            (rendition.generation, rendition.turn) = (generation, Some(turn));
        };
        turn(&mut old, 0, v1::Turn { coming: false, until_ms: 7 });
        turn(&mut coming, 2, v1::Turn { coming: true, until_ms: 0 });
        response.renditions[0].rendition.as_mut().unwrap().generation = 1;
        response.renditions.extend([old, coming]);
        let timeline = timeline(response).unwrap();
        let names: Vec<_> = timeline.tracks.iter().map(|it| (it.name.as_str(), it.generation)).collect();
        assert_eq!(names, [("360p", 1), ("audio-64k", 0)]);
        let folder = |generation| crate::object::path::Folder { name: "360p", generation };
        assert!(timeline.at(folder(0), 6).is_some() && timeline.at(folder(0), 7).is_none());
        assert!(timeline.at(folder(1), 7).is_some() && timeline.at(folder(2), 0).is_none());
    }

    #[test]
    fn what_follows_a_gap_is_left_out() {
        let mut response = response(ContentState::Playable, 5);
        response.renditions[0].segments.remove(2);
        assert_eq!(timeline(response).unwrap().track("360p").unwrap().segments.len(), 2);
    }

    #[test]
    fn renditions_that_would_break_out_of_a_playlist_are_left_out() {
        for (name, codec, timescale) in [
            ("360p\"", "avc1.64001f", 30_000),
            ("../360p", "avc1.64001f", 30_000),
            ("360p", "avc1\"\n#EXT-X-KEY", 30_000),
            ("360p", "", 30_000),
            ("360p", "avc1.64001f", 0),
        ] {
            let mut response = response(ContentState::Ready, 2);
            let rendition = response.renditions[0].rendition.as_mut().unwrap();
            (rendition.name, rendition.codec, rendition.timescale) = (name.into(), codec.into(), timescale);
            assert_eq!(timeline(response).unwrap().tracks.len(), 1, "{name} {codec}");
        }
        let mut response = response(ContentState::Ready, 2);
        response.renditions[1].rendition.as_mut().unwrap().language = "en\"><x".into();
        assert_eq!(timeline(response).unwrap().tracks[1].language, None);
    }

    #[test]
    fn a_failed_content_can_be_watched_as_far_as_it_came() {
        assert_eq!(timeline(response(ContentState::Failed, 2)).unwrap().phase, Phase::Ended);
        assert_eq!(timeline(response(ContentState::Failed, 0)).unwrap().phase, Phase::Waiting("failed"));
        assert_eq!(
            timeline(response(ContentState::Transcoding, 2)).unwrap().phase,
            Phase::Waiting("transcoding")
        );
    }

    #[test]
    fn an_answer_without_a_content_is_an_error() {
        assert_eq!(timeline(TimelineResponse::default()).unwrap_err(), NoContent);
    }

    #[test]
    fn sounds_texts_and_chapters_are_taken_as_the_catalogue_has_them() {
        let mut response = response(ContentState::Ready, 2);
        let sound = response.renditions[1].rendition.as_mut().unwrap();
        (sound.track, sound.commentary, sound.described) = (3, true, true);
        (sound.language, sound.label) = ("de-CH".into(), " Der \"Alte\"\n".into());
        let content = response.content.as_mut().unwrap();
        let text = |name: &str, version| v1::TextTrack { name: name.into(), version, ..Default::default() };
        content.texts = vec![
            v1::TextTrack { bytes: 9, language: "en".into(), default: true, ..text("text-1", 2) },
            v1::TextTrack { forced: true, hearing_impaired: true, commentary: true, ..text("text-2", 1) },
        ];
        let chapter = |start_ms, title: &str| v1::Chapter { start_ms, title: title.into() };
        content.chapters = vec![
            chapter(0, "One"),
            chapter(5, "a\u{0}b\u{2028}c\u{ffff}"),
            chapter(5, "again"),
            chapter(4, "back"),
        ];
        let timeline = timeline(response).unwrap();
        let track = timeline.track("audio-64k").unwrap();
        assert_eq!((track.number, track.commentary, track.described), (3, true, true));
        assert_eq!((track.language.as_deref(), track.label.as_deref()), (Some("de-CH"), Some("Der 'Alte'")));
        assert_eq!(
            timeline.texts[0],
            Text { bytes: 9, default: true, version: 2, ..crate::samples::text("text-1", "en") }
        );
        assert!(
            timeline.texts[1].forced && timeline.texts[1].hearing_impaired && timeline.texts[1].commentary
        );
        assert_eq!(timeline.texts[1].language, None);
        let chapters: Vec<_> = timeline.chapters.iter().map(|it| (it.start_ms, it.title.as_str())).collect();
        assert_eq!(chapters, [(0, "One"), (5, "a b c")]);
    }

    #[test]
    fn texts_whose_address_is_no_address_or_another_s_are_left_out() {
        let mut response = response(ContentState::Ready, 2);
        let texts = ["360p", "audio-64k", "../text", "TEXT", "", "text-1", "text-1"]
            .map(|name| v1::TextTrack { name: name.into(), version: 1, ..Default::default() });
        response.content.as_mut().unwrap().texts = texts.into();
        response
            .content
            .as_mut()
            .unwrap()
            .texts
            .push(v1::TextTrack { name: "text-2".into(), ..Default::default() });
        let names: Vec<_> = timeline(response).unwrap().texts.into_iter().map(|text| text.name).collect();
        assert_eq!(names, ["text-1"]);
    }

    #[test]
    fn languages_are_those_that_both_a_playlist_and_a_manifest_can_name() {
        for tag in ["en", "de-CH-1996", "zh-Hant", "x-klingon"] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for tag in ["", "und", "e n", "en-", "-en", "en--us", "12", "abcdefghi", "en\"", "\u{e9}n"] {
            assert!(!is_language_tag(tag), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn whatever_people_wrote_becomes_one_line_that_a_quoted_string_holds(text in "\\PC{0,30}[\\x00-\\x1f\"\\x{2028}\\x{fffe}]{0,9}.{0,250}") {
            let label = label(&text).unwrap_or_default();
            let broken = |c: char| c.is_control() || matches!(c, '"' | '\u{2028}' | '\u{fffe}');
            prop_assert_eq!(label.chars().find(|c| broken(*c)), None);
            prop_assert!(label.chars().count() <= MAX_WRITTEN);
            prop_assert_eq!(label.trim(), label.as_str());
        }
    }
}
