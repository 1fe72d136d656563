//! Closed captions as broadcast within the video: line 21 (CTA-608) and DTVCC (CTA-708), from their bytes to
//! cues. Its input is untrusted: it never fails, and its memory is bounded.

mod line21;
mod paint;
mod service;
#[cfg(test)]
mod tests;
mod track;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use streamgate_captions::Cue;

use line21::Field;
use service::Services;
use track::Track;

/// Maximum cues of all channels together; later ones are not read.
const MAX_CUES: usize = 100_000;
/// Bytes of text and settings of all cues.
const MAX_BYTES: usize = 8 << 20;
/// Maximum triplets read of one frame or packet: over two minutes of field 1.
const MAX_TRIPLETS: usize = 4_096;
/// Maximum different words of a channel that are compared.
const MAX_WORDS: usize = 20_000;
/// Minimum percentage of the words of each channel that the other must have too for both to be the same text.
const SAME_WORDS: usize = 80;

/// Reads the A53 side data of a decoded frame from libavcodec, or a packet of codec `eia_608`: `cc_data` in
/// triplets (CTA-708 §4.4.1, ATSC A/53 part 4).
pub(crate) struct Closed {
    fields: [Field; 2],
    services: Services,
    now_ms: u64,
}

/// The captions of one language or kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    /// `CC1` to `CC4`, `Service 1` to `Service 6`.
    pub(crate) name: String,
    /// At least one; in ascending order without overlap.
    pub(crate) cues: Vec<Cue>,
}

impl Closed {
    pub(crate) fn new() -> Self {
        Self { fields: [Field::new(), Field::new()], services: Services::new(), now_ms: 0 }
    }

    /// Adds the triplets of the frame shown at this time; times ascend.
    pub(crate) fn take(&mut self, time_ms: u64, triplets: &[u8]) {
        self.now_ms = self.now_ms.max(time_ms);
        if self.is_full() {
            return;
        }
        let triplets = triplets.as_chunks::<3>().0;
        let triplets = &triplets[..triplets.len().min(MAX_TRIPLETS)];
        for &[marker, first, second] in triplets {
            // CTA-708 §4.4.1: cc_valid, then cc_type.
            match marker & 0b111 {
                0b100 => self.fields[0].take(self.now_ms, [first, second]),
                0b101 => self.fields[1].take(self.now_ms, [first, second]),
                _ => {}
            }
        }
        self.services.take(self.now_ms, triplets);
    }

    /// All channels with text, with their cues; what is still shown ends at `end_ms`. A service with the
    /// words of a channel of line 21 is left out: it is the same text.
    pub(crate) fn finish(self, end_ms: u64) -> Vec<Channel> {
        let captions = self.fields.into_iter().flat_map(Field::into_captions);
        let captions =
            captions.enumerate().map(|(at, caption)| (format!("CC{}", at + 1), caption.finish(end_ms)));
        let mut channels: Vec<Channel> = captions.filter_map(Channel::of).collect();
        let known: Vec<HashSet<u64>> = channels.iter().map(Channel::words).collect();
        let services = self.services.finish(end_ms);
        let services = services.enumerate().map(|(at, cues)| (format!("Service {}", at + 1), cues));
        channels.extend(services.filter_map(Channel::of).filter(|service| {
            let words = service.words();
            !known.iter().any(|known| are_same(known, &words))
        }));
        channels
    }

    /// Times within one frame make at most one cue per channel, so checking between frames is enough.
    fn is_full(&self) -> bool {
        let tracks = || self.fields.iter().flat_map(Field::tracks).chain(self.services.tracks());
        tracks().map(Track::cues).sum::<usize>() + tracks().count() * 2 > MAX_CUES
            || tracks().map(Track::bytes).sum::<usize>() > MAX_BYTES
    }
}

impl Channel {
    fn of((name, cues): (String, Vec<Cue>)) -> Option<Self> {
        (!cues.is_empty()).then_some(Self { name, cues })
    }

    /// Hashes of its words, without what the two standards write differently: case, punctuation and markup.
    fn words(&self) -> HashSet<u64> {
        let mut words = HashSet::new();
        for word in self.cues.iter().flat_map(|cue| cue.text.split_whitespace()) {
            if words.len() >= MAX_WORDS {
                break;
            }
            let plain = word.replace("<i>", "").replace("</i>", "");
            let mut letters = plain.chars().filter(|letter| letter.is_alphanumeric()).peekable();
            let mut hasher = DefaultHasher::new();
            if letters.peek().is_some() {
                letters.flat_map(char::to_lowercase).for_each(|letter| letter.hash(&mut hasher));
            } else {
                plain.hash(&mut hasher);
            }
            words.insert(hasher.finish());
        }
        words
    }
}

fn are_same(one: &HashSet<u64>, other: &HashSet<u64>) -> bool {
    let common = one.intersection(other).count() * 100;
    common >= one.len() * SAME_WORDS && common >= other.len() * SAME_WORDS
}
