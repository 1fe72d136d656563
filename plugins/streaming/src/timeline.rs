//! What a content consists of at one revision, in the form that playlists and manifests
//! are written from: which tracks a player is offered, and what was measured of them.
//! Never does I/O and never looks at a clock.

/// Ticks to microseconds, rounded to the nearest.
pub(crate) fn micros(ticks: u64, timescale: u32) -> u64 {
    let timescale = u128::from(timescale.max(1));
    let micros = (u128::from(ticks) * 1_000_000 + timescale / 2) / timescale;
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// How far a content has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing to play yet; the state's name, for people.
    Waiting(&'static str),
    /// Playable, and more is to come.
    Growing,
    /// All there will be is there.
    Ended,
}

/// Why there is nothing to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPlayable {
    /// The content's state, or what it still lacks.
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
}

/// One rendition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    /// `[a-z0-9-]{1,32}`
    pub(crate) name: String,
    /// RFC 6381.
    pub(crate) codec: String,
    /// Ticks a second; never 0.
    pub(crate) timescale: u32,
    pub(crate) kind: Kind,
    /// BCP 47.
    pub(crate) language: Option<String>,
    /// Bits a second that the encoder aimed at; 0 while unknown.
    pub(crate) target_bitrate: u32,
    pub(crate) init_bytes: u32,
    /// No more segments will come.
    pub(crate) complete: bool,
    /// The segment's number is its place.
    pub(crate) segments: Vec<Segment>,
    /// Of all segments, in order.
    pub(crate) sync_points: Vec<SyncPoint>,
    /// Listed in the multivariant playlist and the manifest. Set by [`Timeline::settle`].
    pub(crate) offered: bool,
}

/// What a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pictures; the rate is frames a second as a fraction.
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

/// The tracks that a player is offered; at least one, lowest bit rate first.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) video: Vec<&'a Track>,
    pub(crate) audio: Vec<&'a Track>,
}

/// Behind the furthest track of its kind by no more than this, a growing track is offered.
const LAG_MICROS: u64 = 4_500_000;
/// A growing track that is not the furthest is offered only from this length on: before it,
/// nothing tells one that keeps up from one that falls behind.
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

    /// Each key frame with the time until the next one, and the time at which that is over, in
    /// ticks. The last one lasts until the end of the track.
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

/// A stretch of media, for measuring bit rates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) micros: u64,
    pub(crate) bytes: u64,
}

/// Bits a second, rounded up.
fn rate(bytes: u64, micros: u64) -> u64 {
    let bits = u128::from(bytes) * 8_000_000;
    u64::try_from(bits.div_ceil(u128::from(micros.max(1)))).unwrap_or(u64::MAX)
}

/// The peak segment bit rate: the largest one of any run of segments that together last
/// between 0.5 and 1.5 target durations (draft-pantos-hls-rfc8216bis §4.1).
/// `target` is in seconds. Of media shorter than that it is the average.
pub(crate) fn peak(pieces: impl Iterator<Item = Piece>, target: u64) -> u64 {
    let (least, most) = (target * 500_000, target * 1_500_000);
    let mut window = std::collections::VecDeque::new();
    let (mut total, mut best) = (Piece { micros: 0, bytes: 0 }, None::<u64>);
    let mut all = Piece { micros: 0, bytes: 0 };
    for piece in pieces {
        all = Piece { micros: all.micros + piece.micros, bytes: all.bytes + piece.bytes };
        total = Piece { micros: total.micros + piece.micros, bytes: total.bytes + piece.bytes };
        window.push_back(piece);
        while total.micros > most {
            let Some(first) = window.pop_front() else { break };
            total = Piece { micros: total.micros - first.micros, bytes: total.bytes - first.bytes };
        }
        // Every run that ends here: from the longest to the shortest that is long enough.
        let mut run = total;
        for first in &window {
            if run.micros < least {
                break;
            }
            best = best.max(Some(rate(run.bytes, run.micros)));
            run = Piece { micros: run.micros - first.micros, bytes: run.bytes - first.bytes };
        }
    }
    best.unwrap_or_else(|| rate(all.bytes, all.micros))
}

/// The average segment bit rate of all pieces.
pub(crate) fn average(pieces: impl Iterator<Item = Piece>) -> u64 {
    let (bytes, micros) =
        pieces.fold((0, 0), |(bytes, micros), piece| (bytes + piece.bytes, micros + piece.micros));
    rate(bytes, micros)
}

impl Timeline {
    pub(crate) fn track(&self, name: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| track.name == name && track.usable())
    }

    pub(crate) fn growing(&self) -> bool {
        self.phase == Phase::Growing
    }

    /// Whether more segments of this track are to come.
    pub(crate) fn track_grows(&self, track: &Track) -> bool {
        self.growing() && !track.complete
    }

    /// Decides which tracks are offered, given the revision that was served before.
    ///
    /// A growing content offers what is complete, what is furthest, and what keeps up with
    /// it. A track far behind would stop a player that switches to it: its playlist ends
    /// before the place where the viewer is. What was offered once stays offered. An ended
    /// content offers the complete tracks, or the longest if none is (encoding broke off).
    pub(crate) fn settle(&mut self, before: Option<&Timeline>) {
        for video in [true, false] {
            let of_kind = |track: &&Track| track.is_video() == video && track.usable();
            let furthest = self.tracks.iter().filter(of_kind).map(Track::end_micros).max().unwrap_or(0);
            let any_complete = self.tracks.iter().filter(of_kind).any(|track| track.complete);
            let growing = self.growing();
            for track in self.tracks.iter_mut().filter(|track| track.is_video() == video) {
                let end = track.end_micros();
                let was_offered = before
                    .and_then(|before| before.track(&track.name))
                    .is_some_and(|old| old.offered && old.is_video() == video);
                let keeps_up = end >= PROVEN_MICROS && end.saturating_add(LAG_MICROS) >= furthest;
                track.offered = track.usable()
                    && (track.complete
                        || if growing {
                            end == furthest || keeps_up || was_offered
                        } else {
                            !any_complete && end == furthest
                        });
            }
        }
    }

    /// What a player is offered.
    ///
    /// # Errors
    /// Nothing can be played yet: also while a growing content has sound or pictures of which
    /// the first segment is still to come, because a player reads the list of tracks once.
    pub(crate) fn offer(&self) -> Result<Offer<'_>, NotPlayable> {
        if let Phase::Waiting(why) = self.phase {
            return Err(NotPlayable { why });
        }
        let pick = |video: bool| {
            let mut tracks: Vec<_> =
                self.tracks.iter().filter(|track| track.offered && track.is_video() == video).collect();
            tracks.sort_by_key(|track| (average(track.pieces()), track.target_bitrate));
            tracks
        };
        let awaited = |video: bool| {
            self.growing() && self.tracks.iter().any(|track| track.is_video() == video && !track.complete)
        };
        let (video, audio) = (pick(true), pick(false));
        if video.is_empty() && awaited(true) {
            return Err(NotPlayable { why: "waiting for the first pictures" });
        }
        if audio.is_empty() && awaited(false) {
            return Err(NotPlayable { why: "waiting for the first sound" });
        }
        if video.is_empty() && audio.is_empty() {
            return Err(NotPlayable { why: "without any segment" });
        }
        Ok(Offer { video, audio })
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

    /// About how many bytes this takes, its playlists and manifest included.
    pub(crate) fn weight(&self) -> u64 {
        let segments: usize = self.tracks.iter().map(|track| track.segments.len()).sum();
        let points: usize = self.tracks.iter().map(|track| track.sync_points.len()).sum();
        (2048 + 1024 * self.tracks.len() + 64 * segments + 80 * points) as u64
    }

    /// Whether an object that `before` has is another one now: then nothing cached of this
    /// content may be served any more.
    pub(crate) fn replaces(&self, before: &Timeline) -> bool {
        before.tracks.iter().any(|old| {
            let Some(new) = self.tracks.iter().find(|track| track.name == old.name) else { return true };
            new.init_bytes != old.init_bytes && old.usable()
                || new.codec != old.codec
                || new.timescale != old.timescale
                || !new.segments.starts_with(&old.segments)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::{audio, growing, video, with_segments};

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
    fn the_peak_is_the_heaviest_run_between_half_and_one_and_a_half_targets() {
        let piece = |ms: u64, bytes: u64| Piece { micros: ms * 1000, bytes };
        // A short burst counts only together with what stands beside it.
        let pieces = [piece(2000, 1000), piece(500, 4000), piece(2000, 1000)];
        assert_eq!(peak(pieces.into_iter(), 2), 5000 * 8 * 10 / 25);
        // One target long each: none can be joined.
        let pieces = [piece(2000, 1000), piece(2000, 3000), piece(2000, 2000)];
        assert_eq!(peak(pieces.into_iter(), 2), 12_000);
        // Shorter than half a target altogether: the average.
        assert_eq!(peak([piece(400, 100)].into_iter(), 2), 2000);
        assert_eq!(peak([].into_iter(), 2), 0);
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
}
