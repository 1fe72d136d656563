//! Which sounds and texts of a file are used, and notes about the others. Depends on the file alone.

use ffmpeg_next::codec::decoder;
use ffmpeg_next::format::context::Input;

use crate::container::TrackFacts;
use crate::decode::Want;
use crate::input::{self, Chosen};
use crate::texts::{is_text, unreadable};
use crate::tracks::ordinal;

/// Maximum texts of a content in the catalogue.
const MAX_TEXTS: usize = 64;
/// Sample entries of ISO base media files that no decoder here reads, whatever they declare: Apple's
/// positional audio.
const UNDECODED: [&[u8; 4]; 1] = [b"apac"];

/// The index of a sound of which nothing can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent(pub(crate) usize);

/// The sounds and texts in use, and notes for people about the others.
pub(crate) struct Choice {
    pub(crate) sounds: Vec<Chosen>,
    pub(crate) texts: Vec<Chosen>,
    pub(crate) notes: Vec<String>,
}

impl Choice {
    /// Of the first recording, if there are several in a row: `later` streams do not belong to it.
    pub(crate) fn of(
        input: &Input,
        later: &[usize],
        facts: &[TrackFacts],
        want: Want,
        silent: &[Silent],
    ) -> Self {
        let mut notes = Vec::new();
        let streams = input.streams().count();
        if streams > want.max_streams {
            notes.push(format!("Of its {streams} streams, the first {} were looked at.", want.max_streams));
        }
        let entry = |index: usize| facts.get(index).and_then(|track| track.entry);
        let with_entry = |chosen: Vec<Chosen>| {
            let known = chosen.into_iter().filter(|chosen| chosen.index < want.max_streams);
            known.map(|chosen| Chosen { entry: entry(chosen.index), ..chosen }).collect::<Vec<_>>()
        };
        let mut leave = |kind: &str, stream: &Chosen, why: &str| {
            let codec = match stream.entry {
                Some(entry) if stream.codec() == "none" || UNDECODED.contains(&&entry) => {
                    String::from_utf8_lossy(&entry).into_owned()
                }
                _ => stream.codec(),
            };
            tracing::info!(kind, stream.place, codec, why, "a track is left out");
            notes.push(format!("The {} {kind} track, {codec}, was left out: {why}.", ordinal(stream.place)));
        };
        let mut sounds = with_entry(input::sounds(input, later));
        sounds.retain(|sound| {
            let why = match () {
                () if sound.entry.is_some_and(|entry| UNDECODED.contains(&&entry))
                    || decoder::find(sound.parameters.id()).is_none() =>
                {
                    "this server cannot decode it"
                }
                () if silent.contains(&Silent(sound.index)) => "none of it could be decoded",
                () => return true,
            };
            leave("sound", sound, why);
            false
        });
        let mut texts = match want.texts {
            true => with_entry(input::texts(input, |index| entry(index).is_some_and(is_text))),
            false => Vec::new(),
        };
        texts.retain(|text| match unreadable(text) {
            Some(why) => {
                leave("subtitle", text, why);
                false
            }
            None => true,
        });
        for (kind, tracks, most) in
            [("sound", &mut sounds, want.max_sound_tracks), ("subtitle", &mut texts, MAX_TEXTS)]
        {
            if tracks.len() > most {
                let all = tracks.len();
                notes.push(format!(
                    "Of its {all} {kind} tracks, {most} can be chosen; this server takes no more."
                ));
                tracks.truncate(most);
            }
        }
        Self { sounds, texts, notes }
    }
}
