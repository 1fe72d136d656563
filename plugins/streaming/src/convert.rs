//! From the catalogue's messages to a [`Timeline`]. What a playlist cannot carry safely is
//! left out here, so that nothing behind it needs to escape or to doubt.

use streamgate_contracts::catalogue::v1::{self, ContentState, RenditionKind, TimelineResponse};

use crate::path::is_rendition_name;
use crate::timeline::{Kind, Phase, Segment, SyncPoint, Timeline, Track};

/// The answer said neither that nothing changed nor what there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue answered without a content")]
pub(crate) struct NoContent;

/// The timeline of an answer; what is offered is not settled yet.
pub(crate) fn timeline(response: TimelineResponse) -> Result<Timeline, NoContent> {
    let content = response.content.ok_or(NoContent)?;
    let tracks: Vec<_> = response
        .renditions
        .into_iter()
        .filter_map(|rendition| {
            let name = rendition.rendition.as_ref().map(|r| r.name.clone()).unwrap_or_default();
            let track = track(rendition);
            if track.is_none() {
                tracing::warn!(content = %content.id, rendition = %name, "a rendition that no playlist can carry is left out");
            }
            track
        })
        .collect();
    let phase = match content.state() {
        ContentState::Playable => Phase::Growing,
        ContentState::Ready => Phase::Ended,
        // Encoding broke off: what is there can be watched.
        ContentState::Failed if tracks.iter().any(Track::usable) => Phase::Ended,
        state => Phase::Waiting(state.name()),
    };
    Ok(Timeline {
        revision: content.revision,
        phase,
        created_at_ms: content.created_at_ms,
        updated_at_ms: content.updated_at_ms,
        duration_ms: content.duration_ms,
        has_poster: content.has_poster,
        has_thumbnails: content.has_thumbnails,
        tracks,
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
    if !is_rendition_name(&rendition.name) || !codec_is_sound || rendition.timescale == 0 {
        return None;
    }
    let mut segments = Vec::with_capacity(timeline.segments.len());
    let mut sync_points = Vec::new();
    for (place, segment) in (0_u32..).zip(timeline.segments) {
        // What comes after a gap cannot be played: its number would be another's.
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
        codec: rendition.codec,
        timescale: rendition.timescale,
        kind,
        language: Some(rendition.language).filter(|tag| is_language_tag(tag)),
        target_bitrate: rendition.target_bitrate,
        init_bytes: rendition.init_bytes,
        complete: rendition.complete,
        segments,
        sync_points,
        offered: false,
    })
}

/// The characters of BCP 47.
fn is_language_tag(tag: &str) -> bool {
    matches!(tag.len(), 1..=35) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
}
