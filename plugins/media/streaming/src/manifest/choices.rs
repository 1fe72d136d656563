//! The choices of a viewer: sounds and captions, each under a unique name, the same in HLS and DASH. Never
//! does I/O.

use crate::manifest::languages::named;
use crate::manifest::texts::Text;
use crate::manifest::timeline::{Offer, Phase, Timeline, Track};

/// One sound at several bit rates.
#[derive(Debug)]
pub(crate) struct Sound<'a> {
    /// Its name for people, unique among sounds.
    pub(crate) name: String,
    pub(crate) language: Option<&'a str>,
    pub(crate) number: u32,
    /// Plays unless the viewer chose another. Exactly the first one is.
    pub(crate) default: bool,
    /// May be selected automatically for the viewer's language and needs.
    pub(crate) automatic: bool,
    pub(crate) commentary: bool,
    pub(crate) described: bool,
    /// Lowest bit rate first; at least one.
    pub(crate) tracks: Vec<&'a Track>,
}

/// One text track.
#[derive(Debug)]
pub(crate) struct Caption<'a> {
    /// Its name for people, unique among texts.
    pub(crate) name: String,
    /// Shown unless the viewer chose otherwise; at most one is.
    pub(crate) default: bool,
    /// As for a sound.
    pub(crate) automatic: bool,
    pub(crate) text: &'a Text,
}

/// The sounds of an offer, the default first.
pub(crate) fn sounds<'a>(offer: &Offer<'a>) -> Vec<Sound<'a>> {
    let mut sounds: Vec<Sound<'a>> = Vec::new();
    for track in offer.audio.iter().copied() {
        if let Some(sound) = sounds.last_mut().filter(|sound| sound.number == track.number) {
            sound.tracks.push(track);
            continue;
        }
        let default = sounds.is_empty();
        let language = track.language.as_deref();
        let alike = |other: &Sound<'_>| {
            other.automatic && other.language == language && other.described == track.described
        };
        let name = name(
            track.label.as_deref(),
            language,
            &[(track.described, "described"), (track.commentary, "commentary")],
            if default { "Main".to_owned() } else { format!("Sound {}", sounds.len() + 1) },
        );
        sounds.push(Sound {
            name: unlike(name, sounds.iter().map(|sound| sound.name.as_str())),
            language,
            number: track.number,
            default,
            // Members that are selected automatically must differ (RFC 8216 §4.3.4.1.1).
            automatic: default || !track.commentary && !sounds.iter().any(alike),
            commentary: track.commentary,
            described: track.described,
            tracks: vec![track],
        });
    }
    sounds
}

/// The texts that players list. None while the content grows: a text's playlist states its length, which is
/// unknown before the end, when most texts arrive anyway.
pub(crate) fn captions(timeline: &Timeline) -> Vec<Caption<'_>> {
    let mut captions: Vec<Caption<'_>> = Vec::new();
    if timeline.phase != Phase::Ended {
        return captions;
    }
    // A forced text is shown anyway, so another one comes before it.
    let texts = &timeline.texts;
    let shown = texts
        .iter()
        .position(|text| text.default && !text.forced)
        .or_else(|| texts.iter().position(|text| text.default));
    for (place, text) in texts.iter().enumerate() {
        let default = shown == Some(place);
        let alike = |other: &Text| {
            other.language == text.language
                && other.forced == text.forced
                && other.hearing_impaired == text.hearing_impaired
        };
        // The default is selected automatically in any case, wherever it is.
        let is_taken = shown.is_some_and(|at| alike(&texts[at]))
            || captions.iter().any(|caption| caption.automatic && alike(caption.text));
        let name = name(
            text.label.as_deref(),
            text.language.as_deref(),
            &[(text.forced, "forced"), (text.hearing_impaired, "SDH"), (text.commentary, "commentary")],
            format!("Text {}", captions.len() + 1),
        );
        captions.push(Caption {
            name: unlike(name, captions.iter().map(|caption| caption.name.as_str())),
            default,
            automatic: default || !text.commentary && !is_taken,
            text,
        });
    }
    captions
}

/// The label, else the language with the other properties of the choice, else the fallback.
fn name(label: Option<&str>, language: Option<&str>, kinds: &[(bool, &str)], fallback: String) -> String {
    if let Some(label) = label {
        return label.to_owned();
    }
    let kinds: Vec<_> = kinds.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
    let name = language.map_or(fallback, named);
    if kinds.is_empty() { name } else { format!("{name} ({})", kinds.join(", ")) }
}

/// The name with a number behind it if it is taken.
fn unlike<'n>(name: String, taken: impl Iterator<Item = &'n str> + Clone) -> String {
    let is_free = |name: &String| !taken.clone().any(|other| other == name);
    if is_free(&name) {
        return name;
    }
    let numbered = (2_u32..).map(|number| format!("{name} {number}"));
    numbered.into_iter().find(is_free).unwrap_or(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{audio, ended, ntsc, settled, sound, text, with_segments};

    fn names(timeline: &Timeline) -> Vec<String> {
        sounds(&timeline.offer().unwrap()).into_iter().map(|sound| sound.name).collect()
    }

    #[test]
    fn sounds_are_those_of_the_file_and_not_languages() {
        let timeline = ended(vec![
            sound("b-128k", 1, "en", 128_000),
            sound("b-64k", 1, "en", 64_000),
            sound("a-64k", 0, "en", 64_000),
            sound("c-64k", 2, "fr", 64_000),
        ]);
        let offer = timeline.offer().unwrap();
        let sounds = sounds(&offer);
        let listed: Vec<Vec<_>> = sounds
            .iter()
            .map(|sound| sound.tracks.iter().map(|track| track.name.as_str()).collect())
            .collect();
        assert_eq!(listed, [vec!["a-64k"], vec!["b-64k", "b-128k"], vec!["c-64k"]]);
        assert_eq!(sounds.iter().map(|sound| sound.default).collect::<Vec<_>>(), [true, false, false]);
        // The second English one differs from the first in nothing that a player knows of.
        assert_eq!(sounds.iter().map(|sound| sound.automatic).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(names(&timeline), ["English", "English 2", "French"]);
    }

    #[test]
    fn what_has_no_label_is_called_by_its_language_and_kind_or_its_place() {
        let mut tracks =
            vec![with_segments(audio("a", 64_000), 3, 2), with_segments(audio("b", 64_000), 3, 2)];
        tracks[1].number = 5;
        assert_eq!(names(&ended(tracks.clone())), ["Main", "Sound 2"]);
        for track in &mut tracks {
            track.language = Some("de".to_owned());
        }
        (tracks[1].described, tracks[1].commentary) = (true, true);
        assert_eq!(names(&ended(tracks.clone())), ["German", "German (described, commentary)"]);
        tracks[1].label = Some("Regie".to_owned());
        assert_eq!(names(&ended(tracks)), ["German", "Regie"]);
    }

    #[test]
    fn of_texts_one_is_the_default_and_those_that_look_alike_are_not_chosen_without_asking() {
        let mut timeline = ended(ntsc());
        timeline.texts = ["a", "b", "c", "d", "e"].map(|name| text(name, "en")).into();
        (timeline.texts[1].default, timeline.texts[2].default) = (true, true);
        timeline.texts[2].forced = true;
        timeline.texts[3].hearing_impaired = true;
        timeline.texts[4].commentary = true;
        let captions = captions(&timeline);
        let names: Vec<_> = captions.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            names,
            ["English", "English 2", "English (forced)", "English (SDH)", "English (commentary)"]
        );
        assert_eq!(captions.iter().filter(|it| it.default).count(), 1);
        assert!(captions[1].default && captions[1].automatic);
        let automatic: Vec<_> = captions.iter().map(|it| it.automatic).collect();
        assert_eq!(automatic, [false, true, true, true, false]);
    }

    #[test]
    fn a_forced_text_is_the_default_only_if_no_other_is() {
        let default = |flags: &[(bool, bool)]| {
            let mut timeline = ended(ntsc());
            for (n, (default, forced)) in flags.iter().enumerate() {
                timeline.texts.push(Text {
                    default: *default,
                    forced: *forced,
                    ..text(&format!("t{n}"), "en")
                });
            }
            captions(&timeline).iter().position(|it| it.default)
        };
        assert_eq!(default(&[(true, true), (false, false), (true, false)]), Some(2));
        assert_eq!(default(&[(false, false), (true, true)]), Some(1));
        assert_eq!(default(&[(false, true)]), None);
    }

    #[test]
    fn while_a_content_grows_no_text_is_listed() {
        let mut timeline = settled(crate::samples::growing(ntsc()));
        timeline.texts = vec![text("text-1", "en")];
        assert!(captions(&timeline).is_empty());
    }

    proptest! {
        #[test]
        fn no_two_have_the_same_name(labels in prop::collection::vec(prop::option::of("[ab]( [23])?"), 1..12)) {
            let mut timeline = ended(ntsc());
            let all = (1..).zip(&labels);
            timeline.texts = all.map(|(n, label)| Text { label: label.clone(), ..text(&format!("t{n}"), "en") }).collect();
            let names: std::collections::BTreeSet<_> = captions(&timeline).into_iter().map(|it| it.name).collect();
            prop_assert_eq!(names.len(), labels.len());
        }
    }
}
