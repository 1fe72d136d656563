//! The playable parts of a content at one revision, in the form that playlists and manifests are written
//! from: the tracks offered to a player, and their measurements. Never does I/O and never reads a clock.

use std::collections::BTreeMap;

use streamgate_contracts::renditions;

use crate::manifest::rates::{Piece, average};
use crate::manifest::texts::{Chapter, Text};
use crate::object::path::Folder;

/// Ticks to microseconds, rounded to the nearest.
pub(crate) fn micros(ticks: u64, timescale: u32) -> u64 {
    let timescale = u128::from(timescale.max(1));
    let micros = (u128::from(ticks) * 1_000_000 + timescale / 2) / timescale;
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// The progress of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing to play yet; the state's name, for people.
    Waiting(&'static str),
    /// Playable, and still growing.
    Growing,
    /// Complete.
    Ended,
}

/// Why there is nothing to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPlayable {
    /// The content's state, or what is missing.
    pub(crate) why: &'static str,
}

/// One content at one revision.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    pub(crate) revision: u64,
    pub(crate) phase: Phase,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
    /// Of the source; 0 while unknown.
    pub(crate) duration_ms: u64,
    pub(crate) has_poster: bool,
    pub(crate) has_thumbnails: bool,
    pub(crate) tracks: Vec<Track>,
    /// Tracks that were replaced, for players that began with them.
    pub(crate) replaced: Vec<Replaced>,
    /// In the order in which players list them; names are unique.
    pub(crate) texts: Vec<Text>,
    /// Ordered by start.
    pub(crate) chapters: Vec<Chapter>,
}

/// A track of an earlier generation, which no playlist lists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replaced {
    pub(crate) track: Track,
    /// When it is removed, Unix milliseconds.
    pub(crate) until_ms: i64,
}

/// One rendition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    /// `[a-z0-9-]{1,32}`
    pub(crate) name: String,
    /// Each has its own folder.
    pub(crate) generation: u32,
    /// RFC 6381.
    pub(crate) codec: String,
    /// Ticks a second; never 0.
    pub(crate) timescale: u32,
    pub(crate) kind: Kind,
    /// BCP 47.
    pub(crate) language: Option<String>,
    /// Of sound: renditions with the same number are one sound at several bit rates. The lowest number is the
    /// default.
    pub(crate) number: u32,
    /// The sound's name for people: one line without quotation marks.
    pub(crate) label: Option<String>,
    /// The sound is a commentary.
    pub(crate) commentary: bool,
    /// The sound describes the video to viewers who do not see it.
    pub(crate) described: bool,
    /// The encoder's target, bits a second; 0 while unknown.
    pub(crate) target_bitrate: u32,
    pub(crate) init_bytes: u32,
    /// No further segments will come.
    pub(crate) complete: bool,
    /// The index is the segment's number.
    pub(crate) segments: Vec<Segment>,
    /// Of all segments, in order.
    pub(crate) sync_points: Vec<SyncPoint>,
    /// Listed in the multivariant playlist and the manifest. Set by [`Timeline::settle`].
    pub(crate) offered: bool,
}

/// What a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Video; the rate is frames a second as a fraction.
    Video { width: u32, height: u32, fps: (u32, u32) },
    /// Sound.
    Audio { channels: u32, sample_rate: u32 },
}

/// Times in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) bytes: u32,
}

/// A key frame: `length` bytes at `offset` of `segment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncPoint {
    pub(crate) segment: u32,
    pub(crate) time: u64,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// The tracks that a player is offered; at least one.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    /// Lowest bit rate first.
    pub(crate) video: Vec<&'a Track>,
    /// In the order of their numbers, then lowest bit rate first.
    pub(crate) audio: Vec<&'a Track>,
}

/// A growing track is offered if it is behind the furthest of its kind by no more than this.
const LAG_MICROS: u64 = 4_500_000;
/// A growing track that is not the furthest is offered only from this length on: before that, nothing
/// distinguishes one that keeps up from one that falls behind.
const PROVEN_MICROS: u64 = 10_000_000;

impl Segment {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.duration)
    }
}

impl Track {
    pub(crate) fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Video { .. })
    }

    /// What a viewer chooses: the video, or one of the sounds.
    fn choice(&self) -> Option<u32> {
        (!self.is_video()).then_some(self.number)
    }

    /// Where its objects are.
    pub(crate) fn folder(&self) -> String {
        renditions::folder(&self.name, self.generation)
    }

    fn is_in(&self, folder: Folder<'_>) -> bool {
        (self.name.as_str(), self.generation) == (folder.name, folder.generation)
    }

    /// Has something to play.
    pub(crate) fn usable(&self) -> bool {
        !self.segments.is_empty()
    }

    /// The end of its last segment in ticks.
    pub(crate) fn end(&self) -> u64 {
        self.segments.last().map_or(0, Segment::end)
    }

    pub(crate) fn end_micros(&self) -> u64 {
        micros(self.end(), self.timescale)
    }

    fn start_micros(&self) -> u64 {
        micros(self.segments.first().map_or(0, |s| s.start), self.timescale)
    }

    /// The rungs of its segments, for [`peak`] and [`average`].
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.segments
            .iter()
            .map(|s| Piece { micros: micros(s.duration, self.timescale), bytes: u64::from(s.bytes) })
    }

    /// Each key frame with the time until the next one, and the time at which that ends, in ticks. The last
    /// one lasts until the end of the track.
    pub(crate) fn key_frames(&self) -> impl Iterator<Item = (SyncPoint, u64)> + '_ {
        let next = self.sync_points.iter().skip(1).map(|p| p.time).chain([self.end()]);
        self.sync_points.iter().copied().zip(next).filter(|(point, next)| *next > point.time)
    }

    /// The pieces of its I-frame playlist.
    pub(crate) fn key_pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.key_frames().map(|(point, next)| Piece {
            micros: micros(next - point.time, self.timescale),
            bytes: u64::from(point.length),
        })
    }
}

impl Timeline {
    pub(crate) fn track(&self, name: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| track.name == name && track.usable())
    }

    /// The track of a folder, also of a replaced one.
    pub(crate) fn at(&self, folder: Folder<'_>, now_ms: i64) -> Option<&Track> {
        let replaced = self.replaced.iter().filter(|it| it.until_ms > now_ms).map(|it| &it.track);
        let mut all = self.tracks.iter().chain(replaced).filter(|track| track.usable());
        all.find(|track| track.is_in(folder))
    }

    /// The current generation.
    pub(crate) fn generation(&self) -> u32 {
        self.tracks.iter().map(|track| track.generation).max().unwrap_or(0)
    }

    /// What was played since a generation and is still available, each as if it grew; empty if that one was
    /// removed.
    pub(crate) fn played_since(&self, generation: u32, now_ms: i64) -> Vec<Timeline> {
        let mut all: BTreeMap<u32, Vec<Track>> = BTreeMap::new();
        for track in self.replaced_since(generation, now_ms) {
            all.entry(track.generation).or_default().push(track.clone());
        }
        if !all.contains_key(&generation) {
            return Vec::new();
        }
        let as_it_grew = |tracks| {
            let mut timeline = Timeline {
                phase: Phase::Growing,
                tracks,
                replaced: Vec::new(),
                texts: Vec::new(),
                chapters: Vec::new(),
                ..*self
            };
            timeline.settle(None);
            timeline
        };
        all.into_values().map(as_it_grew).collect()
    }

    /// The tracks of a name that were played since a generation and are still available; empty if that one
    /// was removed, or nothing is played.
    pub(crate) fn tracks_since(&self, name: &str, generation: u32, now_ms: i64) -> Vec<&Track> {
        if matches!(self.phase, Phase::Waiting(_)) {
            return Vec::new();
        }
        let mut tracks: Vec<&Track> =
            self.replaced_since(generation, now_ms).filter(|track| track.name == name).collect();
        tracks.sort_by_key(|track| track.generation);
        let is_there = tracks.first().is_some_and(|first| first.generation == generation);
        if is_there { tracks } else { Vec::new() }
    }

    fn replaced_since(&self, generation: u32, now_ms: i64) -> impl Iterator<Item = &Track> {
        let there = self.replaced.iter().filter(move |it| it.until_ms > now_ms).map(|it| &it.track);
        there.filter(move |track| track.generation >= generation)
    }

    /// Whether anything was replaced that may still be available.
    pub(crate) fn has_replaced(&self) -> bool {
        !self.replaced.is_empty()
    }

    pub(crate) fn growing(&self) -> bool {
        self.phase == Phase::Growing
    }

    /// Whether more segments of this track are to come.
    pub(crate) fn track_grows(&self, track: &Track) -> bool {
        self.growing() && !track.complete
    }

    /// The text of this name.
    pub(crate) fn text(&self, name: &str) -> Option<&Text> {
        self.texts.iter().find(|text| text.name == name)
    }

    /// Decides which tracks are offered, given the previously served revision.
    ///
    /// A growing content offers what is complete, what is furthest of its choice, and what keeps up with the
    /// furthest of its kind. A track far behind would stall a player that switches to it: its playlist ends
    /// before the viewer's position. An offered track stays offered. An ended content offers the complete
    /// tracks, or if none of a choice is (encoding failed) the longest, unless it ends long before the other
    /// sounds.
    pub(crate) fn settle(&mut self, before: Option<&Timeline>) {
        let growing = self.growing();
        let furthest = |tracks: &[Track], of: &dyn Fn(&Track) -> bool| {
            tracks.iter().filter(|track| of(track)).map(Track::end_micros).max().unwrap_or(0)
        };
        for place in 0..self.tracks.len() {
            let track = &self.tracks[place];
            let (video, choice) = (track.is_video(), track.choice());
            let same = |other: &Track| other.is_video() == video && other.choice() == choice;
            let of_kind = furthest(&self.tracks, &|other| other.is_video() == video);
            let first = track.end_micros() == furthest(&self.tracks, &same);
            let any_complete =
                self.tracks.iter().any(|other| same(other) && other.usable() && other.complete);
            let was_offered = before
                .and_then(|before| before.track(&track.name))
                .is_some_and(|old| old.offered && old.is_video() == video);
            let near = track.end_micros().saturating_add(LAG_MICROS) >= of_kind;
            let keeps_up = track.end_micros() >= PROVEN_MICROS && near;
            let offered = track.usable()
                && (track.complete
                    || if growing {
                        first || keeps_up || was_offered
                    } else {
                        !any_complete && first && near
                    });
            self.tracks[place].offered = offered;
        }
    }

    /// The tracks offered to a player.
    ///
    /// # Errors
    /// Nothing can be played yet: also while the first segment of a sound or of the video of a growing
    /// content is missing, because a player reads the list of tracks once.
    pub(crate) fn offer(&self) -> Result<Offer<'_>, NotPlayable> {
        if let Phase::Waiting(why) = self.phase {
            return Err(NotPlayable { why });
        }
        let Offer { video, audio } = self.offered();
        if video.is_empty() && self.awaits(true, &video) {
            return Err(NotPlayable { why: "waiting for the first pictures" });
        }
        // The other sounds come together with the first one. A late one is not waited for longer.
        let early = audio.iter().all(|track| track.end_micros() < PROVEN_MICROS);
        let without_default = audio.iter().all(|track| Some(track.number) != self.default_sound());
        if (early || without_default) && self.awaits(false, &audio) {
            return Err(NotPlayable { why: "waiting for the first sound" });
        }
        if video.is_empty() && audio.is_empty() {
            return Err(NotPlayable { why: "without any segment" });
        }
        Ok(Offer { video, audio })
    }

    /// The offered tracks, possibly none.
    pub(crate) fn offered(&self) -> Offer<'_> {
        let pick = |video: bool| {
            let mut tracks: Vec<_> =
                self.tracks.iter().filter(|track| track.offered && track.is_video() == video).collect();
            tracks.sort_by_key(|track| (track.choice(), average(track.pieces()), track.target_bitrate));
            tracks
        };
        Offer { video: pick(true), audio: pick(false) }
    }

    /// Whether the video, or any of the sounds, is still to come and not among the offered.
    fn awaits(&self, video: bool, offered: &[&Track]) -> bool {
        self.growing()
            && self.tracks.iter().any(|track| {
                track.is_video() == video
                    && !track.complete
                    && offered.iter().all(|other| other.choice() != track.choice())
            })
    }

    /// The number of the default sound.
    fn default_sound(&self) -> Option<u32> {
        self.tracks.iter().filter_map(Track::choice).min()
    }

    /// EXT-X-TARGETDURATION of every playlist of this content, in seconds: at least `floor`,
    /// and no segment, rounded to the nearest second, is longer (RFC 8216 §4.3.3.1).
    pub(crate) fn target_duration(&self, floor: u64) -> u64 {
        self.longest_micros().saturating_add(500_000).div_euclid(1_000_000).max(floor).max(1)
    }

    /// The longest segment of any track, in microseconds.
    pub(crate) fn longest_micros(&self) -> u64 {
        let durations = |track: &Track| {
            track.segments.iter().map(|s| s.duration).max().map(|d| micros(d, track.timescale))
        };
        self.tracks.iter().filter_map(durations).max().unwrap_or(0)
    }

    /// The earliest start and the latest end of the given tracks, in microseconds.
    pub(crate) fn span(&self, offer: &Offer<'_>) -> (u64, u64) {
        let tracks = || offer.video.iter().chain(&offer.audio);
        let start = tracks().map(|track| track.start_micros()).min().unwrap_or(0);
        let end = tracks().map(|track| track.end_micros()).max().unwrap_or(0);
        (start, end.max(start))
    }

    /// Approximate size in bytes, including its playlists and manifest.
    pub(crate) fn weight(&self) -> u64 {
        let tracks = || self.tracks.iter().chain(self.replaced.iter().map(|it| &it.track));
        let segments: usize = tracks().map(|track| track.segments.len()).sum();
        let points: usize = tracks().map(|track| track.sync_points.len()).sum();
        let titles: usize = self.chapters.iter().map(|chapter| 128 + 2 * chapter.title.len()).sum();
        let listed = tracks().count() + self.texts.len();
        (2048 + 1024 * listed + 64 * segments + 80 * points + titles) as u64
    }

    /// Whether an object of `before` has changed: then no cached object of this content may be served any
    /// more.
    pub(crate) fn replaces(&self, before: &Timeline) -> bool {
        before.tracks.iter().any(|old| {
            let folder = Folder { name: &old.name, generation: old.generation };
            let mut all = self.tracks.iter().chain(self.replaced.iter().map(|it| &it.track));
            let Some(new) = all.find(|track| track.is_in(folder)) else { return true };
            new.init_bytes != old.init_bytes && old.usable()
                || new.codec != old.codec
                || new.timescale != old.timescale
                || !new.segments.starts_with(&old.segments)
        }) || before.texts.iter().any(|old| {
            self.text(&old.name).is_none_or(|new| new.version <= old.version && new.bytes != old.bytes)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "../tests/timeline.rs"]
mod tests;
