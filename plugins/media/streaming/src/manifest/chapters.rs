//! The chapters of a content as a WebVTT file. Never does I/O.

use std::fmt::{self, Write};

use crate::manifest::texts::Escaped;
use crate::manifest::timeline::{Phase, Timeline};

/// The chapters as a WebVTT file of chapter cues; `None` when there is none before the end.
pub(crate) fn chapters(timeline: &Timeline) -> Option<String> {
    let end_ms = length_ms(timeline);
    let chapters = &timeline.chapters;
    let nexts = chapters.iter().skip(1).map(|next| next.start_ms).chain([end_ms]);
    let mut text = String::from("WEBVTT\n");
    let mut any = false;
    for (number, (chapter, next)) in (1_u32..).zip(chapters.iter().zip(nexts)) {
        let end = next.min(end_ms);
        if chapter.start_ms >= end {
            break;
        }
        any = true;
        let (from, to, title) = (Time(chapter.start_ms), Time(end), Escaped(&chapter.title));
        let written = match chapter.title.as_str() {
            "" => write!(text, "\n{number}\n{from} --> {to}\nChapter {number}\n"),
            _ => write!(text, "\n{number}\n{from} --> {to}\n{title}\n"),
        };
        written.expect("writing to a String does not fail");
    }
    any.then_some(text)
}

/// The length of the content: as measured, or the source's while the content grows.
fn length_ms(timeline: &Timeline) -> u64 {
    let measured = timeline.offer().map_or(0, |offer| {
        let (start, end) = timeline.span(&offer);
        (end - start).div_ceil(1000)
    });
    if timeline.phase == Phase::Ended { measured } else { measured.max(timeline.duration_ms) }
}

/// Milliseconds as a WebVTT timestamp.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0 / 1000, self.0 % 1000);
        write!(f, "{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::texts::Chapter;
    use crate::samples::{chapter, ended, growing, ntsc, settled};

    fn with(chapters: Vec<Chapter>) -> Timeline {
        Timeline { chapters, ..ended(ntsc()) }
    }

    #[test]
    fn each_chapter_lasts_until_the_next_one_and_the_last_until_the_end() {
        let timeline =
            with(vec![chapter(0, "Opening"), chapter(7_500, ""), chapter(12_000, "Tom & <Jerry>")]);
        assert_eq!(
            chapters(&timeline).unwrap(),
            "WEBVTT\n\n1\n00:00:00.000 --> 00:00:07.500\nOpening\n\n2\n00:00:07.500 --> 00:00:12.000\nChapter \
             2\n\n3\n00:00:12.000 --> 00:00:20.020\nTom &amp; &lt;Jerry&gt;\n"
        );
    }

    #[test]
    fn a_chapter_behind_the_end_is_left_out_and_without_any_there_is_no_file() {
        let timeline = with(vec![chapter(0, "One"), chapter(20_020, "Two"), chapter(90_000, "Three")]);
        assert_eq!(chapters(&timeline).unwrap(), "WEBVTT\n\n1\n00:00:00.000 --> 00:00:20.020\nOne\n");
        assert_eq!(chapters(&with(vec![chapter(30_000, "Late")])), None);
        assert_eq!(chapters(&with(Vec::new())), None);
    }

    #[test]
    fn while_a_content_grows_its_chapters_are_those_of_the_whole_source() {
        let mut timeline = settled(growing(ntsc()));
        timeline.chapters = vec![chapter(0, "One"), chapter(3_600_000, "Two")];
        timeline.duration_ms = 7_200_500;
        assert!(chapters(&timeline).unwrap().contains("\n01:00:00.000 --> 02:00:00.500\nTwo\n"));
    }

    proptest! {
        #[test]
        fn no_title_ends_its_cue_or_begins_another(titles in prop::collection::vec("[^\\p{Cc}]{0,20}|-->|</c>", 1..8)) {
            let all = (0_u64..).zip(&titles).map(|(n, title)| chapter(n * 1000, title)).collect();
            let text = chapters(&with(all)).unwrap();
            prop_assert_eq!(text.matches("-->").count(), titles.len());
            prop_assert_eq!(text.lines().count(), 1 + 4 * titles.len());
            prop_assert!(!text.contains('<'));
        }
    }
}
