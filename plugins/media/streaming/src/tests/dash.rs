//! The rules of ISO/IEC 23009-1 that players rely on, one test each.

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;
use crate::manifest::timeline::Replaced;
use crate::samples::{audio, ended, growing, ntsc, push, settled, sound, text, video, with_segments};

const FLOOR: u64 = 2;

/// Each element's name and attributes in document order; panics unless well-formed.
fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut depth) = (Vec::new(), 0_i32);
    loop {
        let (start, open) = match reader.read_event().unwrap() {
            Event::Start(start) => (start, 1),
            Event::Empty(start) => (start, 0),
            Event::End(_) => {
                depth -= 1;
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        depth += open;
        let text = |text: &str| text.to_owned();
        let attributes = start
            .attributes()
            .map(|attribute| attribute.unwrap())
            .map(|attribute| (text(attribute.key.as_ref()), text(&attribute.value)))
            .collect();
        found.push((text(start.name().as_ref()), attributes));
    }
    assert_eq!(depth, 0);
    found
}

fn all<'a>(elements: &'a [(String, Vec<(String, String)>)], element: &str, attribute: &str) -> Vec<&'a str> {
    elements
        .iter()
        .filter(|(name, _)| name == element)
        .filter_map(|(_, attributes)| attributes.iter().find(|(name, _)| name == attribute))
        .map(|(_, value)| value.as_str())
        .collect()
}

#[test]
fn a_complete_content_at_29_97_frames_a_second() {
    insta::assert_snapshot!("complete_mpd", manifest(&ended(ntsc()), FLOOR, "").unwrap());
}

#[test]
fn a_content_that_is_not_for_everyone_has_its_token_behind_every_uri() {
    insta::assert_snapshot!("gated_mpd", manifest(&ended(ntsc()), FLOOR, "?t=TOKEN").unwrap());
    insta::assert_snapshot!(
        "gated_growing_mpd",
        manifest(&settled(growing(ntsc())), FLOOR, "?t=TOKEN").unwrap()
    );
}

#[test]
fn a_growing_content_with_a_track_ahead_of_the_others() {
    let mut tracks = ntsc();
    for track in &mut tracks[..3] {
        track.segments.truncate(8);
    }
    let mut timeline = growing(tracks);
    timeline.duration_ms = 600_000;
    let timeline = settled(timeline);
    insta::assert_snapshot!("growing_mpd", manifest(&timeline, FLOOR, "").unwrap());
}

#[test]
fn contents_with_sound_or_pictures_alone_have_one_set() {
    for video in [true, false] {
        let tracks = ntsc().into_iter().filter(|track| track.is_video() == video).collect();
        let xml = manifest(&ended(tracks), FLOOR, "").unwrap();
        let kinds = all(&elements(&xml), "AdaptationSet", "contentType").join(",");
        assert_eq!(kinds, if video { "video" } else { "audio" });
    }
}

#[test]
fn a_manifest_is_dynamic_while_the_content_grows_and_static_once_complete() {
    let xml = manifest(&settled(growing(ntsc())), FLOOR, "").unwrap();
    let parsed = elements(&xml);
    assert_eq!(all(&parsed, "MPD", "type"), ["dynamic"]);
    for attribute in ["availabilityStartTime", "publishTime", "minimumUpdatePeriod"] {
        assert_eq!(all(&parsed, "MPD", attribute).len(), 1, "{attribute}");
    }
    assert!(all(&parsed, "MPD", "timeShiftBufferDepth").is_empty(), "everything stays available");
    let xml = manifest(&ended(ntsc()), FLOOR, "").unwrap();
    let parsed = elements(&xml);
    assert_eq!(all(&parsed, "MPD", "type"), ["static"]);
    // The sound ends on its last whole frame, before the pictures.
    assert_eq!(all(&parsed, "MPD", "mediaPresentationDuration"), ["PT20.02S"]);
    assert!(all(&parsed, "MPD", "minimumUpdatePeriod").is_empty());
    assert!(all(&parsed, "UTCTiming", "value").is_empty());
}

#[test]
fn segments_are_addressed_by_number_from_zero() {
    let xml = manifest(&ended(ntsc()), FLOOR, "").unwrap();
    let parsed = elements(&xml);
    assert!(all(&parsed, "SegmentTemplate", "startNumber").iter().all(|n| *n == "0"));
    assert!(all(&parsed, "SegmentTemplate", "media").iter().all(|m| *m == "$RepresentationID$/$Number$.m4s"));
    assert!(
        all(&parsed, "SegmentTemplate", "initialization").iter().all(|i| *i == "$RepresentationID$/init.mp4")
    );
}

#[test]
fn a_representation_of_another_generation_is_another_one() {
    let mut tracks = ntsc();
    tracks[0].generation = 3;
    let id = format!("{}.3", tracks[0].name);
    let xml = manifest(&ended(tracks), FLOOR, "").unwrap();
    assert!(all(&elements(&xml), "Representation", "id").contains(&id.as_str()));
}

#[test]
fn a_player_that_began_with_another_generation_gets_it_as_a_period_and_what_follows_as_the_next_one() {
    let of = |generation, segments| {
        let tracks =
            [video("360p", 640, 360, 730_000), video("720p", 1280, 720, 2_400_000), audio("a", 64_000)];
        let tracks = tracks.map(|track| Track { generation, ..with_segments(track, segments, 2) });
        tracks.to_vec()
    };
    let mut timeline = settled(growing(of(2, 9)));
    let replaced = |generation, segments| {
        of(generation, segments).into_iter().map(|track| Replaced { track, until_ms: 7 })
    };
    timeline.replaced.extend(replaced(0, 6).chain(replaced(1, 3)));
    // Its sound is ahead, and one of its pictures is behind.
    push(&mut timeline.replaced[2].track, 96_000, 9);
    timeline.replaced[0].track.segments.pop();

    let before = timeline.played_since(0, 6);
    let xml = manifest_since(&timeline, &before, FLOOR, "?t=T").unwrap();
    let parsed = elements(&xml);
    assert_eq!(all(&parsed, "Period", "id"), ["0", "2"]);
    assert_eq!(all(&parsed, "Period", "start"), ["PT0S", "PT10S"]);
    assert_eq!(all(&parsed, "Representation", "id"), ["360p", "720p", "a", "360p.2", "720p.2", "a.2"]);
    assert_eq!(all(&parsed, "SegmentTemplate", "startNumber"), ["0", "0", "0", "5", "5", "5"]);
    let offsets = all(&parsed, "SegmentTemplate", "presentationTimeOffset");
    assert_eq!(offsets, ["300000", "300000", "480000"]);
    assert_eq!(all(&parsed, "S", "r"), ["4", "4", "4", "3", "3", "3"]);
    assert!(xml.contains("<Location>manifest.mpd?t=T&amp;g=0</Location>"));

    for (generation, now_ms) in [(2, 6), (3, 6), (0, 7)] {
        assert!(timeline.played_since(generation, now_ms).is_empty(), "{generation} at {now_ms}");
    }
    let xml = manifest(&timeline, FLOOR, "").unwrap();
    assert_eq!(all(&elements(&xml), "Period", "id"), ["2"]);
    assert!(xml.contains("<Location>manifest.mpd?g=2</Location>"));
}

#[test]
fn representations_tell_what_is_measured_and_what_they_are() {
    let xml = manifest(&ended(ntsc()), FLOOR, "").unwrap();
    let parsed = elements(&xml);
    let ids = all(&parsed, "Representation", "id");
    assert_eq!(ids, ["360p", "540p", "720p", "1080p", "audio-64k", "audio-128k"]);
    assert!(all(&parsed, "Representation", "frameRate").iter().all(|rate| *rate == "30000/1001"));
    assert_eq!(all(&parsed, "Representation", "sar").len(), 4);
    assert_eq!(all(&parsed, "AudioChannelConfiguration", "value"), ["2", "2"]);
    let heaviest = (191_500.0_f64 * 8.0 / 2.002).ceil() as u64;
    assert_eq!(all(&parsed, "Representation", "bandwidth")[0], heaviest.to_string());
}

#[test]
fn times_before_the_first_segment_are_cut_off() {
    let mut track = video("360p", 640, 360, 730_000);
    push(&mut track, 60_000, 1000);
    track.segments[0].start = 90_000;
    let xml = manifest(&ended(vec![track]), FLOOR, "").unwrap();
    let parsed = elements(&xml);
    assert_eq!(all(&parsed, "SegmentTemplate", "presentationTimeOffset"), ["90000"]);
    assert_eq!(all(&parsed, "S", "t"), ["90000"]);
    assert_eq!(all(&parsed, "MPD", "mediaPresentationDuration"), ["PT2S"]);
}

/// Two sounds of one language and a third one, and three texts.
fn film() -> Timeline {
    let mut tracks = vec![
        with_segments(video("360p", 640, 360, 730_000), 3, 2),
        sound("audio-3-64k", 2, "fr", 64_000),
        sound("audio-2-64k", 1, "en", 64_000),
        sound("audio-64k", 0, "en", 64_000),
        sound("audio-128k", 0, "en", 128_000),
    ];
    (tracks[2].commentary, tracks[1].described) = (true, true);
    tracks[2].label = Some("<b>Tom</b> & \u{201c}Jerry\u{201d} ]]>".to_owned());
    let mut timeline = ended(tracks);
    timeline.texts = vec![text("text-1", "en"), text("text-2", "de"), text("text-3", "en")];
    (timeline.texts[0].hearing_impaired, timeline.texts[0].version) = (true, 3);
    timeline.texts[1].default = true;
    timeline.texts[2].forced = true;
    timeline
}

#[test]
fn a_film_with_several_sounds_and_texts() {
    insta::assert_snapshot!("film_mpd", manifest(&film(), FLOOR, "?t=TOKEN").unwrap());
}

#[test]
fn each_sound_has_a_set_of_its_own_and_the_default_is_the_first() {
    let xml = manifest(&film(), FLOOR, "").unwrap();
    let parsed = elements(&xml);
    assert_eq!(all(&parsed, "AdaptationSet", "id"), ["0", "1", "2", "3", "1000", "1001", "1002"]);
    assert_eq!(all(&parsed, "AdaptationSet", "lang"), ["en", "en", "fr", "en", "de", "en"]);
    assert_eq!(all(&parsed, "AdaptationSet", "selectionPriority"), ["2"]);
    assert_eq!(
        all(&parsed, "Role", "value"),
        ["main", "main", "commentary", "description", "caption", "main", "subtitle", "forced-subtitle"]
    );
    let ids = all(&parsed, "Representation", "id");
    assert_eq!(ids[1..5], ["audio-64k", "audio-128k", "audio-2-64k", "audio-3-64k"]);
    assert_eq!(ids[5..], ["text-1", "text-2", "text-3"]);
    assert_eq!(all(&parsed, "Accessibility", "value"), ["1", "2"]);
    assert_eq!(ids.len(), ids.iter().collect::<std::collections::BTreeSet<_>>().len());
}

#[test]
fn inside_a_set_everything_stands_in_the_order_of_the_schema() {
    let order = ["Label", "Accessibility", "Role", "Representation"];
    let xml = manifest(&film(), FLOOR, "").unwrap();
    let mut last = 0;
    for (name, _) in elements(&xml) {
        if name == "AdaptationSet" {
            last = 0;
        } else if let Some(place) = order.iter().position(|one| *one == name) {
            assert!(place >= last, "{name} is too late");
            last = place;
        }
    }
}

#[test]
fn sounds_keep_their_ids_while_others_come() {
    let mut early = film();
    early.tracks.retain(|track| track.number != 1);
    let xml = manifest(&early, FLOOR, "").unwrap();
    assert_eq!(all(&elements(&xml), "AdaptationSet", "id")[..3], ["0", "1", "3"]);
}

#[test]
fn texts_are_listed_once_the_content_is_whole() {
    let growing = Timeline { phase: crate::manifest::timeline::Phase::Growing, ..film() };
    let xml = manifest(&growing, FLOOR, "").unwrap();
    assert!(!xml.contains("text/vtt"));
}

#[test]
fn dates_and_fractions_are_written_as_the_schema_wants_them() {
    assert_eq!(DateTime(0).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(DateTime(951_827_696_789).to_string(), "2000-02-29T12:34:56.789Z");
    assert_eq!(DateTime(1_760_000_012_345).to_string(), "2025-10-09T08:53:32.345Z");
    assert_eq!(DateTime(-1).to_string(), "1969-12-31T23:59:59.999Z");
    assert_eq!(Fraction(30_000, 1001).to_string(), "30000/1001");
    assert_eq!(Fraction(50, 2).to_string(), "25");
    assert_eq!(Fraction(0, 0).to_string(), "0");
}

proptest! {
    #[test]
    fn the_segment_timeline_reads_back_as_the_segments(
        durations in prop::collection::vec((1_u64..4, 1_usize..5, prop::bool::weighted(0.1)), 1..30),
    ) {
        let mut track = video("v", 640, 360, 730_000);
        for (duration, times, gap) in durations {
            for _ in 0..times {
                push(&mut track, duration * 1001, 1000);
            }
            if gap {
                track.segments.last_mut().unwrap().start += 77;
            }
        }
        let expected: Vec<_> = track.segments.iter().map(|s| (s.start, s.duration)).collect();
        let xml = manifest(&ended(vec![track]), FLOOR, "").unwrap();
        let mut read = Vec::new();
        let mut time = 0_u64;
        for (_, attributes) in elements(&xml).iter().filter(|(name, _)| name == "S") {
            let get = |wanted: &str| {
                attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.parse::<u64>().unwrap())
            };
            time = get("t").unwrap_or(time);
            for _ in 0..=get("r").unwrap_or(0) {
                read.push((time, get("d").unwrap()));
                time += get("d").unwrap();
            }
        }
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn every_label_reads_back_as_it_is(label in "[^\\p{Cc}\u{fffe}\u{ffff}]{1,40}|</Label>|&amp;|<!--|]]>") {
        let mut timeline = film();
        timeline.tracks[2].label = Some(label.clone());
        timeline.texts[1].label = Some(label.clone());
        let xml = manifest(&timeline, FLOOR, "").unwrap();
        prop_assert_eq!(elements(&xml).len(), elements(&manifest(&film(), FLOOR, "").unwrap()).len());
        let escaped = label.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        prop_assert_eq!(xml.matches(&format!("<Label>{escaped}</Label>")).count(), 2);
    }
}
