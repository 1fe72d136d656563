//! The rules of RFC 8216 and of Apple's HLS authoring specification, one test each.

use m3u8_rs::{MasterPlaylist, MediaPlaylist, MediaPlaylistType};
use proptest::prelude::*;

use super::*;
use crate::samples::{audio, ended, growing, ntsc, push, settled, video, with_segments};

#[path = "hls_tracks.rs"]
mod tracks;

const FLOOR: u64 = 2;

fn master(timeline: &Timeline) -> MasterPlaylist {
    let text = multivariant(timeline, FLOOR, "").unwrap();
    m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap()
}

fn media(timeline: &Timeline, name: &str) -> MediaPlaylist {
    let text = media_playlist(timeline, &[], timeline.track(name).unwrap(), FLOOR, "");
    m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap()
}

fn i_frames(timeline: &Timeline, name: &str) -> MediaPlaylist {
    let text = i_frame_playlist(timeline, &[], timeline.track(name).unwrap(), FLOOR, "");
    m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap()
}

fn growing_ntsc() -> Timeline {
    settled(growing(ntsc()))
}

#[test]
fn a_complete_content_at_29_97_frames_a_second() {
    let timeline = ended(ntsc());
    insta::assert_snapshot!("complete_master", multivariant(&timeline, FLOOR, "").unwrap());
    let track = timeline.track("540p").unwrap();
    insta::assert_snapshot!("complete_video", media_playlist(&timeline, &[], track, FLOOR, ""));
    insta::assert_snapshot!("complete_i_frames", i_frame_playlist(&timeline, &[], track, FLOOR, ""));
    let track = timeline.track("audio-64k").unwrap();
    insta::assert_snapshot!("complete_audio", media_playlist(&timeline, &[], track, FLOOR, ""));
}

#[test]
fn a_growing_content() {
    let timeline = growing_ntsc();
    insta::assert_snapshot!("growing_master", multivariant(&timeline, FLOOR, "").unwrap());
    let track = timeline.track("360p").unwrap();
    insta::assert_snapshot!("growing_video", media_playlist(&timeline, &[], track, FLOOR, ""));
    insta::assert_snapshot!("growing_i_frames", i_frame_playlist(&timeline, &[], track, FLOOR, ""));
}

#[test]
fn a_content_that_is_not_for_everyone_has_its_token_behind_every_uri() {
    let query = "?t=TOKEN";
    let timeline = ended(ntsc());
    insta::assert_snapshot!("gated_master", multivariant(&timeline, FLOOR, query).unwrap());
    let track = timeline.track("540p").unwrap();
    insta::assert_snapshot!("gated_video", media_playlist(&timeline, &[], track, FLOOR, query));
    insta::assert_snapshot!("gated_i_frames", i_frame_playlist(&timeline, &[], track, FLOOR, query));
}

#[test]
fn a_content_with_sound_alone() {
    let tracks = ntsc().into_iter().filter(|track| !track.is_video()).collect();
    insta::assert_snapshot!("audio_only_master", multivariant(&ended(tracks), FLOOR, "").unwrap());
}

#[test]
fn a_content_with_pictures_alone() {
    let tracks = ntsc().into_iter().filter(Track::is_video).collect();
    insta::assert_snapshot!("video_only_master", multivariant(&ended(tracks), FLOOR, "").unwrap());
}

#[test]
fn rule_1_26_bandwidth_is_the_measured_peak_of_pictures_and_sound() {
    let timeline = ended(ntsc());
    let master = master(&timeline);
    let variant = master.variants.iter().find(|v| v.uri == "540p/index.m3u8").unwrap();
    // The heaviest segment of each: 2.002 s of 509,000 bytes and the shortest 32,000 bytes of sound.
    let sound = timeline.track("audio-128k").unwrap();
    let shortest = sound.segments.iter().map(|s| micros(s.duration, sound.timescale)).min().unwrap();
    let expected = 509_000.0 * 8.0 / 2.002 + 32_000.0 * 8.0 * 1e6 / shortest as f64;
    assert!((variant.bandwidth as f64 - expected).abs() < 3.0, "{} {expected}", variant.bandwidth);
}

#[test]
fn rule_1_27_average_bandwidth_is_measured_over_the_whole_length() {
    let timeline = ended(ntsc());
    let master = master(&timeline);
    let variant = master.variants.iter().find(|v| v.uri == "1080p/index.m3u8").unwrap();
    let rate = |name: &str| {
        let track = timeline.track(name).unwrap();
        let bytes: u64 = track.segments.iter().map(|s| u64::from(s.bytes)).sum();
        bytes as f64 * 8e6 / track.end_micros() as f64
    };
    let expected = rate("1080p") + rate("audio-128k");
    assert!((variant.average_bandwidth.unwrap() as f64 - expected).abs() < 20.0);
}

#[test]
fn rule_1_32_the_variant_nearest_two_megabits_comes_first() {
    assert_eq!(master(&ended(ntsc())).variants[0].uri, "540p/index.m3u8");
    assert_eq!(master(&growing_ntsc()).variants[0].uri, "540p/index.m3u8");
}

#[test]
fn rule_6_1_each_video_track_has_an_i_frame_playlist() {
    let timeline = ended(ntsc());
    let master = master(&timeline);
    let i_frame_uris: Vec<_> =
        master.variants.iter().filter(|v| v.is_i_frame).map(|v| v.uri.as_str()).collect();
    assert_eq!(
        i_frame_uris,
        ["360p/iframes.m3u8", "540p/iframes.m3u8", "720p/iframes.m3u8", "1080p/iframes.m3u8"]
    );
    let playlist = i_frames(&timeline, "720p");
    assert!(playlist.i_frames_only);
    assert_eq!(playlist.segments.len(), 10);
    let range = playlist.segments[3].byte_range.as_ref().unwrap();
    assert_eq!((range.length, range.offset), (188_250, Some(100)));
    assert_eq!(playlist.segments[3].uri, "3.m4s");
}

#[test]
fn i_frame_durations_sum_up_to_the_length_of_the_track_with_several_key_frames_a_segment() {
    let mut track = video("360p", 640, 360, 730_000);
    for n in 0..3_u32 {
        push(&mut track, 180_000, 400_000);
        let start = u64::from(n) * 180_000;
        for k in 1..3_u32 {
            track.sync_points.push(crate::manifest::timeline::SyncPoint {
                segment: n,
                time: start + u64::from(k) * 60_000,
                offset: k * 100_000,
                length: 9000,
            });
        }
    }
    let playlist = i_frames(&ended(vec![track]), "360p");
    assert_eq!(playlist.segments.len(), 9);
    assert!((playlist.segments.iter().map(|s| s.duration).sum::<f32>() - 18.0).abs() < 1e-4);
    let uris: Vec<_> = playlist.segments.iter().map(|s| s.uri.as_str()).collect();
    assert_eq!(uris, ["0.m4s", "0.m4s", "0.m4s", "1.m4s", "1.m4s", "1.m4s", "2.m4s", "2.m4s", "2.m4s"]);
}

#[test]
fn rule_7_7_no_segment_is_longer_than_the_target_and_half_a_second() {
    let timeline = ended(ntsc());
    for track in &timeline.tracks {
        let playlist = media(&timeline, &track.name);
        assert!(playlist.segments.iter().all(|s| s.duration <= playlist.target_duration as f32 + 0.5));
    }
}

#[test]
fn rule_8_1_the_durations_sum_up_to_the_length_within_a_frame() {
    let timeline = ended(ntsc());
    let sum: f32 = media(&timeline, "720p").segments.iter().map(|s| s.duration).sum();
    assert!((sum - 20.02).abs() < 0.001, "{sum}");
}

#[test]
fn rule_8_2_pictures_and_sound_have_the_same_target_duration_which_never_changes() {
    let mut targets = Vec::new();
    for length in [1, 5, 10] {
        let mut tracks = ntsc();
        for track in &mut tracks {
            track.segments.truncate(length);
        }
        let timeline = settled(growing(tracks));
        for track in &timeline.tracks {
            targets.push(media(&timeline, &track.name).target_duration);
            if track.is_video() {
                targets.push(i_frames(&timeline, &track.name).target_duration);
            }
        }
    }
    assert!(targets.iter().all(|target| *target == 2), "{targets:?}");
}

#[test]
fn rule_8_6_a_playlist_is_an_event_while_it_grows_and_vod_once_complete() {
    let playlist = media(&growing_ntsc(), "360p");
    assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Event));
    assert!(!playlist.end_list);
    let playlist = media(&ended(ntsc()), "360p");
    assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Vod));
    assert!(playlist.end_list);
}

#[test]
fn a_track_that_is_complete_ends_though_others_still_grow() {
    let mut tracks = ntsc();
    tracks[3].complete = true;
    let timeline = settled(growing(tracks));
    assert!(media(&timeline, "360p").end_list);
    assert!(!media(&timeline, "720p").end_list);
}

#[test]
fn a_growing_content_is_played_from_its_beginning() {
    let timeline = growing_ntsc();
    for start in [master(&timeline).start, media(&timeline, "360p").start] {
        assert!(start.unwrap().time_offset < 0.01, "within the first frame");
    }
    assert!(media(&ended(ntsc()), "360p").start.is_none());
}

#[test]
fn rule_8_20_every_media_playlist_has_a_map() {
    let timeline = ended(ntsc());
    for name in ["360p", "audio-64k"] {
        assert_eq!(media(&timeline, name).segments[0].map.as_ref().unwrap().uri, "init.mp4");
    }
    assert_eq!(i_frames(&timeline, "360p").segments[0].map.as_ref().unwrap().uri, "init.mp4");
}

#[test]
fn rules_9_1_9_2_9_14_9_15_each_variant_has_codecs_resolution_average_and_frame_rate() {
    for variant in &master(&ended(ntsc())).variants {
        assert!(variant.resolution.is_some() && variant.average_bandwidth.is_some());
        let codecs = variant.codecs.as_deref();
        if variant.is_i_frame {
            assert_eq!(codecs, Some("avc1.64001f"));
        } else {
            assert_eq!(codecs, Some("avc1.64001f,mp4a.40.2"));
            assert!((variant.frame_rate.unwrap() - 29.97).abs() < 1e-9);
        }
    }
    assert!(multivariant(&ended(ntsc()), FLOOR, "").unwrap().contains("FRAME-RATE=29.970,"));
}

#[test]
fn rule_9_5_sound_is_in_groups_of_its_own_that_look_alike() {
    let master = master(&ended(ntsc()));
    let groups: Vec<_> = master
        .alternatives
        .iter()
        .map(|a| (a.group_id.as_str(), a.name.as_str(), a.default, a.autoselect, a.channels.as_deref()))
        .collect();
    assert_eq!(
        groups,
        [("audio-64k", "Main", true, true, Some("2")), ("audio-128k", "Main", true, true, Some("2"))]
    );
    for variant in master.variants.iter().filter(|v| !v.is_i_frame) {
        let expected = if variant.uri.starts_with("360p") { "audio-64k" } else { "audio-128k" };
        assert_eq!(variant.audio.as_deref(), Some(expected), "{}", variant.uri);
    }
}

#[test]
fn nothing_is_said_of_a_content_that_is_not_playable_yet() {
    let mut timeline = growing_ntsc();
    timeline.phase = crate::manifest::timeline::Phase::Waiting("uploaded");
    assert_eq!(multivariant(&timeline, FLOOR, "").unwrap_err().why, "uploaded");
    assert!(multivariant(&growing(vec![video("360p", 640, 360, 730_000)]), FLOOR, "").is_err());
}

#[test]
fn seconds_are_written_without_needless_zeros() {
    for (micros, text) in [(2_000_000, "2.0"), (2_002_000, "2.002"), (33_367, "0.033367"), (0, "0.0")] {
        assert_eq!(Seconds(micros).to_string(), text);
    }
}

proptest! {
    #[test]
    fn extinf_is_exact_whatever_the_timescale_and_the_durations(
        timescale in prop_oneof![Just(30_000_u32), Just(90_000), Just(44_100), Just(48_000), Just(12_800), 1_u32..1_000_000],
        durations in prop::collection::vec(1_u64..400_000, 1..120),
    ) {
        let mut track = audio("a", 64_000);
        track.timescale = timescale;
        for duration in &durations {
            push(&mut track, *duration, 1000);
        }
        let timeline = ended(vec![track]);
        let text = media_playlist(&timeline, &[], &timeline.tracks[0], FLOOR, "");
        let written: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','))
            .map(|seconds| {
                let (whole, fraction) = seconds.split_once('.').unwrap();
                format!("{whole}{fraction:0<6}").parse().unwrap()
            })
            .collect();
        prop_assert_eq!(written.len(), durations.len());
        prop_assert_eq!(written.iter().sum::<u64>(), timeline.tracks[0].end_micros());
        for (written, duration) in written.iter().zip(&durations) {
            prop_assert!(written.abs_diff(micros(*duration, timescale)) <= 1);
            let target = timeline.target_duration(FLOOR);
            prop_assert!((written + 500_000) / 1_000_000 <= target + u64::from(written % 1_000_000 == 500_000));
        }
        prop_assert!(m3u8_rs::parse_media_playlist_res(text.as_bytes()).is_ok());
    }

    #[test]
    fn the_average_never_exceeds_the_peak_and_the_peak_never_the_heaviest_segment(
        pieces in prop::collection::vec((500_u64..3000, 1_u32..2_000_000), 1..60),
    ) {
        let mut track = video("v", 640, 360, 730_000);
        track.timescale = 1000;
        for (duration, bytes) in &pieces {
            push(&mut track, *duration, *bytes);
        }
        let mut sound = audio("a", 64_000);
        push(&mut sound, 48_000, 8000);
        let timeline = ended(vec![track.clone(), sound]);
        let target = timeline.target_duration(FLOOR);
        let heaviest = pieces.iter().map(|(ms, bytes)| u64::from(*bytes) * 8000 / ms + 1).max().unwrap();
        let peak = peak(track.pieces(), target);
        prop_assert!(peak <= heaviest);
        // Segments between half and one and a half targets each count on their own.
        if pieces.iter().all(|(ms, _)| (target * 500..=target * 1500).contains(ms)) {
            prop_assert!(peak + 1 >= heaviest);
            prop_assert!(average(track.pieces()) <= peak);
        }
        prop_assert_eq!(master(&timeline).variants[0].bandwidth, peak + 64_000);
    }
}

#[test]
fn what_is_of_another_generation_is_in_a_folder_of_its_own_and_its_playlist_stays_where_it_was() {
    let mut tracks = ntsc();
    tracks[0].generation = 3;
    let timeline = ended(tracks);
    let name = &timeline.tracks[0].name;
    let segments = media(&timeline, name).segments;
    assert_eq!(segments[0].map.as_ref().unwrap().uri, format!("../{name}.3/init.mp4"));
    assert_eq!(segments[1].uri, format!("../{name}.3/1.m4s"));
    assert_eq!(i_frames(&timeline, name).segments[0].uri, format!("../{name}.3/0.m4s"));
    let master = multivariant(&timeline, 2, "").unwrap();
    assert!(master.contains(&format!("\n{name}/index.m3u8?g=3\n")));
    assert!(master.contains(&format!("URI=\"{name}/iframes.m3u8?g=3\"")));
    assert!(multivariant(&timeline, 2, "?t=T").unwrap().contains(&format!("\n{name}/index.m3u8?t=T&g=3\n")));
}

#[test]
fn a_playlist_goes_on_in_another_generation_behind_what_it_told_before() {
    let old = with_segments(video("360p", 640, 360, 730_000), 3, 2);
    let shorter = Track { generation: 1, ..with_segments(video("360p", 640, 360, 730_000), 2, 2) };
    let new = |segments, seconds| Track {
        generation: 2,
        ..with_segments(video("360p", 640, 360, 730_000), segments, seconds)
    };
    let listed = |before: &[&Track], track: Track| {
        let timeline = settled(growing(vec![track]));
        let text = media_playlist(&timeline, before, &timeline.tracks[0], FLOOR, "");
        let frames = i_frame_playlist(&timeline, before, &timeline.tracks[0], FLOOR, "");
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        let frames = m3u8_rs::parse_media_playlist_res(frames.as_bytes()).unwrap();
        let uris = |it: MediaPlaylist| it.segments.into_iter().map(|it| it.uri).collect::<Vec<_>>();
        let lasts: f32 = parsed.segments.iter().map(|it| it.duration).sum();
        assert_eq!(lasts, 2.0 * parsed.segments.len() as f32);
        assert_eq!(
            text.matches("#EXT-X-MAP").count(),
            if text.contains("\n0.m4s") && text.contains("..") { 2 } else { 1 }
        );
        assert_eq!(uris(parsed.clone()), uris(frames));
        uris(parsed)
    };
    let on = "../360p.2/3.m4s";
    assert_eq!(listed(&[&old, &shorter], new(4, 2)), ["0.m4s", "1.m4s", "2.m4s", on]);
    assert_eq!(listed(&[&old], new(3, 2)), ["0.m4s", "1.m4s", "2.m4s"]);
    assert_eq!(listed(&[], new(1, 2)), ["../360p.2/0.m4s"]);
    // Nothing begins where it ends.
    let timeline = settled(growing(vec![new(4, 3)]));
    assert!(!media_playlist(&timeline, &[&old], &timeline.tracks[0], FLOOR, "").contains("\n0.m4s"));
}
