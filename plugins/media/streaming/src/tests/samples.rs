//! Contents for tests.

use streamgate_contracts::catalogue::v1::{self, ContentState, TimelineResponse};

use crate::manifest::texts::{Chapter, Text};
use crate::manifest::timeline::{Kind, Phase, Segment, SyncPoint, Timeline, Track};

pub(crate) fn video(name: &str, width: u32, height: u32, target_bitrate: u32) -> Track {
    Track {
        name: name.to_owned(),
        generation: 0,
        codec: "avc1.64001f".to_owned(),
        timescale: 30_000,
        kind: Kind::Video { width, height, fps: (30, 1) },
        language: None,
        number: 0,
        label: None,
        commentary: false,
        described: false,
        target_bitrate,
        init_bytes: 800,
        complete: false,
        segments: Vec::new(),
        sync_points: Vec::new(),
        offered: false,
    }
}

pub(crate) fn audio(name: &str, target_bitrate: u32) -> Track {
    Track {
        name: name.to_owned(),
        codec: "mp4a.40.2".to_owned(),
        timescale: 48_000,
        kind: Kind::Audio { channels: 2, sample_rate: 48_000 },
        target_bitrate,
        ..video(name, 0, 0, 0)
    }
}

/// Six seconds of one rendition of a sound in a language.
pub(crate) fn sound(name: &str, number: u32, language: &str, target_bitrate: u32) -> Track {
    let language = Some(language.to_owned());
    with_segments(Track { number, language, ..audio(name, target_bitrate) }, 3, 2)
}

/// The first version of a text in a language.
pub(crate) fn text(name: &str, language: &str) -> Text {
    Text {
        name: name.to_owned(),
        version: 1,
        bytes: 2000,
        language: Some(language.to_owned()),
        label: None,
        default: false,
        forced: false,
        hearing_impaired: false,
        commentary: false,
        earlier: Vec::new(),
    }
}

pub(crate) fn chapter(start_ms: u64, title: &str) -> Chapter {
    Chapter { start_ms, title: title.to_owned() }
}

/// Adds a segment of `duration` ticks with one key frame at its start.
pub(crate) fn push(track: &mut Track, duration: u64, bytes: u32) {
    let start = track.end();
    if track.is_video() {
        track.sync_points.push(SyncPoint {
            segment: track.segments.len() as u32,
            time: start,
            offset: 100,
            length: bytes / 4,
        });
    }
    track.segments.push(Segment { start, duration, bytes });
}

/// Adds `count` segments of `seconds` each, at the track's target bit rate.
pub(crate) fn with_segments(mut track: Track, count: u32, seconds: u64) -> Track {
    let bytes = (u64::from(track.target_bitrate) * seconds / 8) as u32;
    let duration = seconds * u64::from(track.timescale);
    for _ in 0..count {
        push(&mut track, duration, bytes);
    }
    track
}

pub(crate) fn growing(tracks: Vec<Track>) -> Timeline {
    Timeline {
        revision: 7,
        phase: Phase::Growing,
        created_at_ms: 1_760_000_000_000,
        updated_at_ms: 1_760_000_012_345,
        duration_ms: 0,
        has_poster: false,
        has_thumbnails: false,
        tracks,
        replaced: Vec::new(),
        texts: Vec::new(),
        chapters: Vec::new(),
    }
}

/// A settled content whose tracks are all complete.
pub(crate) fn ended(mut tracks: Vec<Track>) -> Timeline {
    for track in &mut tracks {
        track.complete = true;
    }
    settled(Timeline { phase: Phase::Ended, ..growing(tracks) })
}

pub(crate) fn settled(mut timeline: Timeline) -> Timeline {
    timeline.settle(None);
    timeline
}

/// 20.02 s in the ladder's upper four rungs at 29.97 frames a second, with two audio tracks.
pub(crate) fn ntsc() -> Vec<Track> {
    let mut tracks = Vec::new();
    for (name, width, height, rate) in [
        ("1080p", 1920, 1080, 6_000_000),
        ("720p", 1280, 720, 3_000_000),
        ("540p", 960, 540, 2_000_000),
        ("360p", 640, 360, 730_000),
    ] {
        let mut track = video(name, width, height, rate);
        track.kind = Kind::Video { width, height, fps: (30_000, 1001) };
        for n in 0..10_u32 {
            push(&mut track, 60_060, rate / 4 + n * 1000);
        }
        tracks.push(track);
    }
    for (name, rate) in [("audio-128k", 128_000), ("audio-64k", 64_000)] {
        let mut track = audio(name, rate);
        let mut end = 0_u64;
        for n in 1..=10_u64 {
            // Whole AAC frames, as near to the video's cuts as possible.
            let cut = (n * 60_060 * 48_000 / 30_000 + 512) / 1024 * 1024;
            push(&mut track, cut - end, rate / 4);
            end = cut;
        }
        tracks.push(track);
    }
    tracks
}

pub(crate) const ID: &str = "0199c3a4-5b6c-7d8e-9f01-23456789abcd";

/// The catalogue's answer for a content with one video and one audio rendition.
pub(crate) fn response(state: ContentState, segments: u32) -> TimelineResponse {
    let rows = |duration: u64, bytes: u32| -> Vec<v1::Segment> {
        (0..segments)
            .map(|number| {
                let start = u64::from(number) * duration;
                let key = v1::SyncPoint { time: start, offset: 100, length: 250 };
                v1::Segment { number, start, duration, bytes: bytes + number, sync_points: vec![key] }
            })
            .collect()
    };
    let complete = state == ContentState::Ready;
    let picture = v1::Rendition {
        name: "360p".into(),
        kind: v1::RenditionKind::Video.into(),
        codec: "avc1.64001e".into(),
        timescale: 30_000,
        width: 640,
        height: 360,
        fps_numerator: 30,
        fps_denominator: 1,
        target_bitrate: 730_000,
        init_bytes: 10,
        complete,
        ..v1::Rendition::default()
    };
    let sound = v1::Rendition {
        name: "audio-64k".into(),
        kind: v1::RenditionKind::Audio.into(),
        codec: "mp4a.40.2".into(),
        timescale: 48_000,
        sample_rate: 48_000,
        channels: 2,
        target_bitrate: 64_000,
        init_bytes: 10,
        complete,
        ..v1::Rendition::default()
    };
    let rendition = |rendition, segments| v1::RenditionTimeline { rendition: Some(rendition), segments };
    TimelineResponse {
        unchanged: false,
        content: Some(v1::Content {
            id: ID.into(),
            state: state.into(),
            revision: 5,
            updated_at_ms: 1_760_000_012_345,
            ..v1::Content::default()
        }),
        renditions: vec![rendition(picture, rows(60_000, 1000)), rendition(sound, rows(96_000, 500))],
    }
}
