//! Several recordings in one file: where the clock of a stream starts over, its times continue from where
//! they were. All streams are shifted by the same amount, so that they stay in sync.

use ffmpeg_next as av;
use ffmpeg_next::format::context::Input;

use crate::input::nanoseconds;

/// Formats whose files can be concatenated.
const JOINABLE: [&str; 5] = ["mpegts", "mpeg", "ogg", "flv", "mpegvideo"];
/// A clock that goes back by less is out of order, and does not start over: nanoseconds.
const BACK: i64 = 500_000_000;

/// The position of one stream.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The recording of the row that it is in.
    recording: usize,
    /// The end of its last packet, by the file's clock.
    end: Option<i64>,
}

/// The shift of each recording of a row.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    joinable: bool,
    bases: Vec<av::Rational>,
    places: Vec<Place>,
    /// The shift of each recording, nanoseconds.
    moved: Vec<i64>,
}

impl Joins {
    pub(crate) fn of(input: &Input) -> Self {
        let joinable = JOINABLE.contains(&input.format().name());
        Self::new(joinable, input.streams().map(|stream| stream.time_base()).collect())
    }

    fn new(joinable: bool, bases: Vec<av::Rational>) -> Self {
        Self { joinable, places: vec![Place::default(); bases.len()], bases, moved: vec![0] }
    }

    /// From here on a stream continues another one.
    pub(crate) fn follow(&mut self, stream: usize, base: av::Rational, before: usize) {
        if self.places.len() <= stream {
            self.places.resize_with(stream + 1, Place::default);
            self.bases.resize(stream + 1, av::Rational::new(0, 1));
        }
        let latest = self.places.iter().max_by_key(|place| (place.recording, place.end)).copied();
        let before = self.places.get(before).copied();
        // A stream that was absent in the previous recording continues with the others.
        let place = before.filter(|before| latest.is_none_or(|latest| before.recording == latest.recording));
        self.places[stream] = place.filter(|place| place.end.is_some()).or(latest).unwrap_or_default();
        self.bases[stream] = base;
    }

    /// Shifts the times of a packet, if it is of a later recording.
    pub(crate) fn close(&mut self, packet: &mut av::Packet) {
        let (Some(base), Some(time)) =
            (self.bases.get(packet.stream()).copied(), packet.dts().or(packet.pts()))
        else {
            return;
        };
        if !self.joinable || base.numerator() <= 0 {
            return;
        }
        let lasts = nanoseconds(packet.duration().max(0), base);
        let moved = self.place(packet.stream(), nanoseconds(time, base), lasts);
        let units =
            i128::from(moved) * i128::from(base.denominator()) / i128::from(base.numerator()) / 1_000_000_000;
        let by = i64::try_from(units).unwrap_or(0);
        packet.set_dts(packet.dts().map(|time| time.saturating_add(by)));
        packet.set_pts(packet.pts().map(|time| time.saturating_add(by)));
    }

    /// The shift of a packet of a stream at this time.
    fn place(&mut self, stream: usize, time: i64, lasts: i64) -> i64 {
        let latest = self.places.iter().map(|place| place.recording).max().unwrap_or(0);
        let Some(place) = self.places.get_mut(stream) else { return 0 };
        if place.end.is_none() {
            place.recording = latest;
        }
        let moved = |moved: &[i64], recording: usize| moved.get(recording).copied().unwrap_or(0);
        if let Some(end) = place.end
            && time.saturating_add(BACK) < end
        {
            place.recording += 1;
            if self.moved.len() <= place.recording {
                // The first stream that starts over determines the recording's position.
                let before = moved(&self.moved, place.recording - 1);
                tracing::info!(stream, back_ms = (end - time) / 1_000_000, "the clock starts over");
                self.moved.push(before.saturating_add(end - time));
            }
        }
        place.end = Some(time.saturating_add(lasts));
        moved(&self.moved, place.recording)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn joins() -> Joins {
        Joins::new(true, vec![av::Rational::new(1, 1000); 3])
    }

    #[test]
    fn a_recording_behind_another_continues_where_that_one_ended() {
        let mut joins = joins();
        for recording in 0..3 {
            for at in 0..100 {
                assert_eq!(joins.place(0, (1_400 + 40 * at) * MS, 40 * MS), recording * 4_000 * MS);
            }
        }
    }

    #[test]
    fn streams_are_moved_by_the_same_though_they_begin_anew_at_different_packets() {
        let mut joins = joins();
        joins.place(0, 4_000 * MS, 40 * MS);
        joins.place(1, 3_990 * MS, 20 * MS);
        assert_eq!(joins.place(0, 0, 40 * MS), 4_040 * MS);
        assert_eq!(joins.place(1, 4_010 * MS, 20 * MS), 0, "the sound of the first one is not over");
        assert_eq!(joins.place(1, 10 * MS, 20 * MS), 4_040 * MS);
        assert_eq!(joins.place(2, 10 * MS, 0), 4_040 * MS, "a text that begins with the second one");
    }

    #[test]
    fn a_stream_that_follows_another_one_continues_where_that_one_ended() {
        let mut joins = joins();
        joins.place(0, 4_000 * MS, 40 * MS);
        joins.place(1, 3_990 * MS, 20 * MS);
        joins.follow(5, av::Rational::new(1, 1000), 0);
        assert_eq!(joins.place(5, 0, 40 * MS), 4_040 * MS);
        joins.place(5, 4_000 * MS, 40 * MS);
        // The second recording had no sound.
        joins.follow(6, av::Rational::new(1, 1000), 1);
        joins.follow(0, av::Rational::new(1, 1000), 5);
        assert_eq!(joins.place(6, 10 * MS, 20 * MS), 8_070 * MS);
        assert_eq!(joins.place(0, 0, 40 * MS), 8_070 * MS, "moved by the same");
    }

    #[test]
    fn packets_out_of_order_are_no_join() {
        let mut joins = joins();
        joins.place(0, 4_000 * MS, 40 * MS);
        assert_eq!(joins.place(0, 3_600 * MS, 40 * MS), 0);
        assert_eq!(joins.place(0, 4_040 * MS, 40 * MS), 0);
    }
}
