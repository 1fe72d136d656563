//! Several sounds, and texts, in HLS.

use m3u8_rs::{AlternativeMedia, AlternativeMediaType};

use super::*;
use crate::samples::{sound, text, with_segments};

/// A film with two English sounds, of which one is a commentary, a French one that describes the
/// picture, and four texts.
pub(super) fn film() -> Timeline {
    let mut tracks = vec![
        with_segments(video("360p", 640, 360, 730_000), 3, 2),
        with_segments(video("720p", 1280, 720, 3_000_000), 3, 2),
        sound("audio-2-64k", 1, "en", 64_000),
        sound("audio-3-64k", 2, "fr", 64_000),
        sound("audio-64k", 0, "en", 64_000),
        sound("audio-128k", 0, "en", 128_000),
    ];
    (tracks[2].commentary, tracks[3].described) = (true, true);
    tracks[2].label = Some("The director, <at> 'work' & play".to_owned());
    let mut timeline = ended(tracks);
    timeline.texts =
        vec![text("text-1", "en"), text("text-2", "de"), text("text-3", "en"), text("text-4", "en")];
    (timeline.texts[0].hearing_impaired, timeline.texts[0].version) = (true, 3);
    timeline.texts[1].default = true;
    timeline.texts[2].forced = true;
    timeline.texts[3].commentary = true;
    timeline
}

fn of_kind(timeline: &Timeline, kind: AlternativeMediaType) -> Vec<AlternativeMedia> {
    master(timeline).alternatives.into_iter().filter(|media| media.media_type == kind).collect()
}

#[test]
fn a_film_with_several_sounds_and_texts() {
    insta::assert_snapshot!("film_master", multivariant(&film(), FLOOR, "").unwrap());
    let timeline = film();
    let playlist = text_playlist(&timeline, &timeline.offer().unwrap(), &timeline.texts[0], "?t=TOKEN");
    insta::assert_snapshot!("film_text", playlist);
}

#[test]
fn a_radio_play_with_several_sounds_and_a_text() {
    let mut timeline = film();
    timeline.tracks.retain(|track| !track.is_video());
    timeline.texts.truncate(1);
    insta::assert_snapshot!("radio_play_master", multivariant(&timeline, FLOOR, "").unwrap());
    let sounds = of_kind(&timeline, AlternativeMediaType::Audio);
    assert!(sounds.iter().all(|it| it.default == it.uri.is_none()), "the default is the variant itself");
}

#[test]
fn each_group_offers_every_sound_once_under_the_same_name_and_the_first_one_by_default() {
    let listed: Vec<_> = of_kind(&film(), AlternativeMediaType::Audio)
        .into_iter()
        .map(|a| (a.group_id, a.name, a.default, a.autoselect, a.uri.unwrap()))
        .collect();
    let director = "The director, <at> 'work' & play";
    let expected = [
        ("audio-64k", "English", true, true, "audio-64k/index.m3u8"),
        ("audio-64k", director, false, false, "audio-2-64k/index.m3u8"),
        ("audio-64k", "French (described)", false, true, "audio-3-64k/index.m3u8"),
        ("audio-128k", "English", true, true, "audio-128k/index.m3u8"),
        ("audio-128k", director, false, false, "audio-2-64k/index.m3u8"),
        ("audio-128k", "French (described)", false, true, "audio-3-64k/index.m3u8"),
    ];
    let expected = expected.map(|(group, name, default, automatic, uri)| {
        (group.to_owned(), name.to_owned(), default, automatic, uri.to_owned())
    });
    assert_eq!(listed, expected);
}

#[test]
fn a_second_sound_that_needs_more_takes_nothing_from_the_default() {
    let timeline = ended(vec![
        with_segments(video("540p", 960, 540, 2_000_000), 3, 2),
        sound("audio-64k", 0, "en", 64_000),
        sound("audio-128k", 0, "en", 128_000),
        sound("audio-2-384k", 1, "fr", 384_000),
    ]);
    let master = master(&timeline);
    assert_eq!(master.variants[0].audio.as_deref(), Some("audio-128k"));
    // Whatever of the group is played, its rate is at most this.
    assert_eq!(master.variants[0].bandwidth, 2_384_000);
}

#[test]
fn rule_4_3_4_1_a_default_may_be_chosen_without_asking_and_no_sound_is_forced() {
    let text = multivariant(&film(), FLOOR, "").unwrap();
    for line in text.lines().filter(|line| line.starts_with("#EXT-X-MEDIA")) {
        assert!(!line.contains("DEFAULT=YES") || line.contains("AUTOSELECT=YES"), "{line}");
        assert_eq!(line.contains("FORCED="), line.contains("TYPE=SUBTITLES"), "{line}");
    }
    let texts = of_kind(&film(), AlternativeMediaType::Subtitles);
    assert_eq!(texts.iter().map(|it| it.forced).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(texts.iter().filter(|it| it.default).count(), 1);
    let sdh = texts[0].characteristics.as_deref().unwrap();
    assert!(sdh.contains("transcribes-spoken-dialog") && sdh.contains("describes-music-and-sound"));
}

#[test]
fn every_variant_has_the_texts_of_which_there_are_some() {
    let texts = |timeline: &Timeline| -> Vec<_> {
        let variants = master(timeline).variants;
        variants.into_iter().filter(|it| !it.is_i_frame).map(|it| it.subtitles).collect()
    };
    assert_eq!(texts(&film()), [Some("text".to_owned()), Some("text".to_owned())]);
    assert_eq!(texts(&Timeline { texts: Vec::new(), ..film() }), [None, None]);
    // Its length is unknown before the end.
    let growing = Timeline { phase: crate::manifest::timeline::Phase::Growing, ..film() };
    assert_eq!(texts(&growing), [None, None]);
}

#[test]
fn rule_6_2_4_a_text_is_one_segment_as_long_as_the_content() {
    let timeline = Timeline { texts: vec![text("text-1", "en")], ..ended(ntsc()) };
    let playlist = text_playlist(&timeline, &timeline.offer().unwrap(), &timeline.texts[0], "");
    let playlist = m3u8_rs::parse_media_playlist_res(playlist.as_bytes()).unwrap();
    assert_eq!((playlist.segments.len(), playlist.segments[0].uri.as_str()), (1, "1.vtt"));
    assert!((playlist.segments[0].duration - 20.02).abs() < 1e-4);
    assert_eq!((playlist.target_duration, playlist.version), (21, Some(7)));
    assert!(playlist.end_list && playlist.playlist_type == Some(MediaPlaylistType::Vod));
}

proptest! {
    #[test]
    fn no_label_breaks_out_of_its_quotes(
        label in "[^\\p{Cc}\"]{1,40}|DEFAULT=YES,|#EXT-X-KEY:METHOD=NONE|\\{\\$x\\}",
        other in "[^\\p{Cc}\"]{1,40}",
    ) {
        let mut timeline = film();
        timeline.tracks[2].label = Some(label.clone());
        timeline.texts[1].label = Some(other.clone());
        let lines = multivariant(&film(), FLOOR, "").unwrap().lines().count();
        prop_assert_eq!(multivariant(&timeline, FLOOR, "").unwrap().lines().count(), lines);
        let sounds = of_kind(&timeline, AlternativeMediaType::Audio);
        prop_assert!(sounds.iter().any(|it| it.name == label && !it.default && it.group_id == "audio-64k"));
        let texts = of_kind(&timeline, AlternativeMediaType::Subtitles);
        prop_assert!(texts[1].name == other && texts[1].default);
    }
}
