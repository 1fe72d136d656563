//! What is offered while a content grows, when it is complete, and after encoding failed.

use super::*;
use crate::samples::{audio, growing, text, video, with_segments};

#[test]
fn a_track_far_behind_is_not_offered_while_the_content_grows() {
    let mut timeline = growing(vec![
        with_segments(video("360p", 640, 360, 730_000), 30, 2),
        with_segments(video("720p", 1280, 720, 3_000_000), 8, 2),
        with_segments(audio("audio-64k", 64_000), 30, 2),
    ]);
    timeline.settle(None);
    let names: Vec<_> = timeline.offer().unwrap().video.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["360p"]);
}

#[test]
fn a_track_that_keeps_up_is_offered_and_stays_offered_when_it_falls_behind() {
    let content = |high: u32| {
        growing(vec![
            with_segments(video("360p", 640, 360, 730_000), 30, 2),
            with_segments(video("720p", 1280, 720, 3_000_000), high, 2),
        ])
    };
    let mut first = content(29);
    first.settle(None);
    assert_eq!(first.offer().unwrap().video.len(), 2);
    let mut second = content(10);
    second.settle(Some(&first));
    assert_eq!(second.offer().unwrap().video.len(), 2);
    let mut without_history = content(10);
    without_history.settle(None);
    assert_eq!(without_history.offer().unwrap().video.len(), 1);
}

#[test]
fn a_complete_track_is_offered_however_short_it_is() {
    let mut short = with_segments(video("720p", 1280, 720, 3_000_000), 3, 2);
    short.complete = true;
    let mut timeline = growing(vec![with_segments(video("360p", 640, 360, 730_000), 30, 2), short]);
    timeline.settle(None);
    assert_eq!(timeline.offer().unwrap().video.len(), 2);
}

#[test]
fn when_encoding_broke_off_only_complete_tracks_are_offered_or_else_the_longest() {
    let mut low = with_segments(video("360p", 640, 360, 730_000), 30, 2);
    let high = with_segments(video("720p", 1280, 720, 3_000_000), 8, 2);
    let mut timeline = growing(vec![low.clone(), high.clone()]);
    timeline.phase = Phase::Ended;
    timeline.settle(None);
    assert_eq!(timeline.offer().unwrap().video[0].name, "360p");
    low.complete = true;
    let mut timeline = growing(vec![low, high]);
    timeline.phase = Phase::Ended;
    timeline.settle(None);
    assert_eq!(timeline.offer().unwrap().video.len(), 1);
}

#[test]
fn a_content_whose_sound_is_still_to_come_is_not_playable_yet() {
    let mut timeline =
        growing(vec![with_segments(video("360p", 640, 360, 730_000), 3, 2), audio("audio-64k", 64_000)]);
    timeline.settle(None);
    assert_eq!(timeline.offer().unwrap_err().why, "waiting for the first sound");
}

#[test]
fn a_replaced_segment_is_noticed_and_an_added_one_is_not() {
    let before = growing(vec![with_segments(video("360p", 640, 360, 730_000), 3, 2)]);
    let more = growing(vec![with_segments(video("360p", 640, 360, 730_000), 5, 2)]);
    assert!(!more.replaces(&before));
    assert!(before.replaces(&more));
    let mut other = before.clone();
    other.tracks[0].segments[1].bytes += 1;
    assert!(other.replaces(&before));
}

#[test]
fn every_sound_is_waited_for_a_while_and_the_default_one_until_it_comes() {
    let sound = |name: &str, number, count| {
        let mut track = with_segments(audio(name, 64_000), count, 2);
        track.number = number;
        track
    };
    let of = |first: u32, second: u32| {
        let picture = with_segments(video("360p", 640, 360, 730_000), 9, 2);
        let mut timeline = growing(vec![picture, sound("b", 1, second), sound("a", 0, first)]);
        timeline.settle(None);
        let offer = timeline.offer();
        offer.map(|offer| offer.audio.iter().map(|track| track.name.clone()).collect::<Vec<_>>())
    };
    assert_eq!(of(1, 0).unwrap_err().why, "waiting for the first sound");
    assert_eq!(of(9, 0).unwrap(), ["a"]);
    assert_eq!(of(0, 9).unwrap_err().why, "waiting for the first sound");
    // Behind the other one, but complete.
    assert_eq!(of(9, 1).unwrap(), ["a", "b"]);
}

#[test]
fn when_encoding_broke_off_every_sound_that_came_as_far_is_offered() {
    let of = |second: u32| {
        let mut tracks =
            vec![with_segments(audio("a", 64_000), 30, 2), with_segments(audio("b", 64_000), second, 2)];
        tracks[1].number = 1;
        let mut timeline = growing(tracks);
        timeline.phase = Phase::Ended;
        timeline.settle(None);
        timeline.offer().unwrap().audio.len()
    };
    assert_eq!((of(29), of(3)), (2, 1));
}

#[test]
fn a_text_that_goes_or_changes_under_its_version_is_noticed_and_a_new_one_is_not() {
    let with = |texts: &[(&str, u32, u32)]| {
        let mut timeline = growing(Vec::new());
        for (name, version, bytes) in texts {
            timeline.texts.push(Text { version: *version, bytes: *bytes, ..text(name, "en") });
        }
        timeline
    };
    let before = with(&[("a", 1, 10)]);
    for (after, replaced) in [
        (with(&[("a", 1, 10), ("b", 1, 5)]), false),
        (with(&[("a", 2, 99)]), false),
        (with(&[("a", 1, 11)]), true),
        (with(&[("b", 1, 10)]), true),
    ] {
        assert_eq!(after.replaces(&before), replaced);
    }
}
