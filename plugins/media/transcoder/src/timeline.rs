//! Turns the decoders' times into the constant frame rate and the continuous sound of renditions: the
//! position of each frame, which are repeated or dropped, where silence is needed. Pure arithmetic on
//! nanoseconds; it never holds media.

use std::time::Duration;

use crate::ladder::{AUDIO_RATE, Rate};

/// A jump longer than this is a broken timestamp, not a pause: the timeline closes the gap.
pub(crate) const LONGEST_GAP: Duration = Duration::from_secs(3600);
/// Sound may be this far off for a moment before it is corrected.
const AUDIO_TOLERANCE: i64 = AUDIO_RATE as i64 / 25;
/// And this far for long: after a join, or with a clock that runs differently.
const LASTING_TOLERANCE: i64 = AUDIO_RATE as i64 / 200;
/// Number of samples that counts as long.
const LASTING: u64 = AUDIO_RATE as u64;

/// What happens to a decoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// It is too close to the previous one.
    Drop,
    /// The previous frame is shown `repeats` times more, then this one at `index`. Before the first frame
    /// there is none: then this one is repeated.
    Show {
        /// Index in the constant rate.
        index: u64,
        /// Frames missing before it.
        repeats: u64,
    },
}

/// Places decoded frames in a constant frame rate.
#[derive(Debug)]
pub(crate) struct FrameClock {
    rate: Rate,
    origin: Option<(i64, u64)>,
    next: u64,
    dropped: u64,
}

impl FrameClock {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, origin: None, next: 0, dropped: 0 }
    }

    /// Continues with frame `next` of a clock whose first frame was shown at `first` nanoseconds.
    pub(crate) fn resumed(rate: Rate, first: i64, next: u64) -> Self {
        let mut clock = Self::new(rate);
        clock.place(first);
        clock.next = next;
        clock
    }

    /// The index after the last shown frame.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Places a frame shown at `time` nanoseconds after the start of the presentation.
    pub(crate) fn place(&mut self, time: i64) -> Placement {
        let longest = (self.rate.fps() * LONGEST_GAP.as_secs_f64()) as u64;
        let (origin, base) = *self.origin.get_or_insert_with(|| {
            // The first frame fixes the phase: later ones are rounded relative to it, so that a start between
            // two ticks does not make every frame a toss-up. Sound may begin up to a frame earlier, because
            // of encoder delay: no frame is repeated for that.
            let base = if is_first_frame(time, self.rate) { 0 } else { frames(time, self.rate) };
            (time, if base > longest as i64 { 0 } else { base as u64 })
        });
        let wanted = base as i64 + frames(time.saturating_sub(origin), self.rate);
        let next = self.next as i64;
        if wanted < next {
            self.dropped += 1;
            if self.dropped as f64 <= self.rate.fps() * 2.0 {
                return Placement::Drop;
            }
            self.origin = Some((time, self.next));
            return self.show(self.next);
        }
        if wanted - next > longest as i64 {
            self.origin = Some((time, self.next));
            return self.show(self.next);
        }
        self.show(wanted as u64)
    }

    /// How many times the last frame is repeated if it lasts until `end`, up to this limit.
    pub(crate) fn finish(&mut self, end: i64, at_most: Duration) -> u64 {
        let Some((origin, base)) = self.origin else { return 0 };
        let wanted = base as i64 + frames(end.saturating_sub(origin), self.rate);
        let missing = wanted
            .saturating_sub(self.next as i64)
            .clamp(0, (self.rate.fps() * at_most.as_secs_f64()) as i64) as u64;
        self.next += missing;
        missing
    }

    fn show(&mut self, index: u64) -> Placement {
        let repeats = index - self.next;
        self.next = index + 1;
        self.dropped = 0;
        Placement::Show { index, repeats }
    }
}

/// Whether a first frame at this time, nanoseconds after the start, becomes the first of the presentation.
pub(crate) fn is_first_frame(time: i64, rate: Rate) -> bool {
    time <= rate.time_ns(1) as i64 + 1_000_000
}

/// The number of whole frames nearest to `time` nanoseconds.
fn frames(time: i64, rate: Rate) -> i64 {
    let scaled = i128::from(time) * i128::from(rate.num);
    let unit = i128::from(rate.den) * 1_000_000_000;
    ((scaled + unit / 2).div_euclid(unit)).clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

/// What happens to a run of decoded samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Splice {
    /// Samples of silence before it.
    pub(crate) silence: u64,
    /// Samples dropped from its beginning.
    pub(crate) skip: u64,
}

/// Lays decoded sound end to end at [`AUDIO_RATE`].
#[derive(Debug, Default)]
pub(crate) struct SampleClock {
    next: u64,
    shift: i64,
    started: bool,
    overlapped: u64,
    /// For this many samples it has been off by more than the lasting tolerance, always to the same side.
    off: (u64, bool),
}

impl SampleClock {
    /// Continues with sample `next`.
    pub(crate) fn resumed(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// The index after the last sample.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    fn is_off_for_long(&mut self, gap: i64, count: u64) -> bool {
        let late = gap > 0;
        let lasts = gap.abs() > LASTING_TOLERANCE;
        self.off =
            if lasts { (if self.off.1 == late { self.off.0 } else { 0 } + count, late) } else { (0, late) };
        let long = self.off.0 > LASTING;
        if long {
            self.off.0 = 0;
        }
        long
    }

    /// Places `count` samples heard at `time` nanoseconds after the start.
    pub(crate) fn place(&mut self, time: i64, count: u64) -> Splice {
        let wanted = (i128::from(time) * i128::from(AUDIO_RATE) / 1_000_000_000) as i64;
        let gap = wanted.saturating_add(self.shift).saturating_sub(self.next as i64);
        let longest = (LONGEST_GAP.as_secs() * u64::from(AUDIO_RATE)) as i64;
        let tolerance = match () {
            () if !self.started => 0,
            () if self.is_off_for_long(gap, count) => LASTING_TOLERANCE,
            () => AUDIO_TOLERANCE,
        };
        let mut splice = Splice { silence: 0, skip: 0 };
        if gap > longest {
            self.shift = self.shift.saturating_sub(gap);
        } else if gap > tolerance {
            splice.silence = gap as u64;
        } else if gap < -tolerance {
            splice.skip = gap.unsigned_abs().min(count);
        }
        if splice.skip == count && count > 0 {
            self.overlapped += count;
            if self.overlapped > 2 * u64::from(AUDIO_RATE) {
                self.shift = self.shift.saturating_sub(gap);
                self.overlapped = 0;
                splice.skip = 0;
            }
        } else {
            self.overlapped = 0;
        }
        self.started |= splice.silence + count > splice.skip;
        self.next += splice.silence + count - splice.skip;
        splice
    }
}

/// The first AAC access unit of audio segment `number`, for segments of
/// `seconds_num / seconds_den` seconds: the first that starts at or after its time.
pub(crate) fn first_unit(number: u64, segment: Rate) -> u64 {
    // `segment` is segments a second.
    let samples = u128::from(number) * u128::from(segment.den) * u128::from(AUDIO_RATE);
    let per_unit = u128::from(segment.num) * u128::from(crate::ladder::AAC_FRAME);
    samples.div_ceil(per_unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn show(index: u64, repeats: u64) -> Placement {
        Placement::Show { index, repeats }
    }

    #[test]
    fn frames_of_the_right_rate_pass_one_to_one_even_with_millisecond_times() {
        let mut clock = FrameClock::new(Rate::new(30_000, 1_001));
        for index in 0..3000u64 {
            let time = (index as f64 * 1001.0 / 30.0).round() as i64 * MS;
            assert_eq!(clock.place(time), show(index, 0));
        }
    }

    #[test]
    fn sound_that_stays_a_little_off_is_put_right_and_jitter_is_left_alone() {
        let unit = |clock: &mut SampleClock, off: i64| {
            let time = clock.next() as i64 * 1_000_000_000 / i64::from(AUDIO_RATE);
            clock.place(time + off * MS, 1024)
        };
        for (off, silence, skip) in [(24, 1152, 0), (-24, 0, 1024)] {
            let mut clock = SampleClock::default();
            clock.place(0, 1024);
            // The time is always ahead by the same amount.
            let splices: Vec<_> = (0..60).map(|_| unit(&mut clock, off)).collect();
            let changed: Vec<_> = splices.iter().filter(|splice| splice.silence + splice.skip > 0).collect();
            assert_eq!(changed.len(), 1, "{off}");
            assert!(changed[0].silence.abs_diff(silence) <= 1 && changed[0].skip == skip, "{changed:?}");
        }
        let mut clock = SampleClock::default();
        clock.place(0, 1024);
        for index in 0..600 {
            assert_eq!(
                unit(&mut clock, if index % 2 == 0 { 20 } else { -20 }),
                Splice { silence: 0, skip: 0 }
            );
        }
    }

    #[test]
    fn a_start_between_two_frames_does_not_repeat_or_drop() {
        let mut clock = FrameClock::new(Rate::new(25, 1));
        let mut shown = 0;
        for index in 0..500 {
            let jitter = if index % 2 == 0 { -MS / 2 } else { MS / 2 };
            match clock.place(20 * MS + index * 40 * MS + jitter) {
                Placement::Show { repeats, .. } => shown += repeats + 1,
                Placement::Drop => panic!("dropped {index}"),
            }
        }
        assert!((500..=501).contains(&shown), "{shown}");
    }

    #[test]
    fn a_clock_that_continues_places_frames_as_one_that_never_stopped() {
        let rate = Rate::new(30_000, 1_001);
        let time = |index: u64| 20 * MS + (index as f64 * 1001.0 / 30.0).round() as i64 * MS;
        let mut whole = FrameClock::new(rate);
        let mut resumed = FrameClock::resumed(rate, time(0), 600);
        for index in 0..1000 {
            let placed = whole.place(time(index));
            match placed {
                Placement::Show { index: 0..598, .. } => {}
                Placement::Show { index: 598..600, .. } => {
                    assert_eq!(resumed.place(time(index)), Placement::Drop);
                }
                _ => assert_eq!(resumed.place(time(index)), placed),
            }
        }
        let mut sound = SampleClock::resumed(48_000);
        assert_eq!(sound.place(970 * MS, 960), Splice { silence: 0, skip: 960 });
        assert_eq!(sound.place(990 * MS, 960), Splice { silence: 0, skip: 480 });
        assert_eq!(sound.next(), 48_480);
    }

    #[test]
    fn gaps_repeat_and_crowds_drop() {
        let mut clock = FrameClock::new(Rate::new(10, 1));
        assert_eq!(clock.place(0), show(0, 0));
        assert_eq!(clock.place(400 * MS), show(4, 3));
        assert_eq!(clock.place(410 * MS), Placement::Drop);
        assert_eq!(clock.place(500 * MS), show(5, 0));
        assert_eq!(clock.finish(1000 * MS, LONGEST_GAP), 4);
    }

    #[test]
    fn a_late_first_frame_is_shown_from_the_start() {
        let mut clock = FrameClock::new(Rate::new(10, 1));
        assert_eq!(clock.place(500 * MS), show(5, 5));
    }

    #[test]
    fn a_jump_of_hours_closes_up() {
        let mut clock = FrameClock::new(Rate::new(10, 1));
        assert_eq!(clock.place(0), show(0, 0));
        assert_eq!(clock.place(36_000_000 * MS), show(1, 0));
        assert_eq!(clock.place(36_000_100 * MS), show(2, 0));
    }

    #[test]
    fn a_clock_that_starts_over_continues_after_two_seconds() {
        let mut clock = FrameClock::new(Rate::new(10, 1));
        for index in 0..100 {
            clock.place(index * 100 * MS);
        }
        let shown = (0..40).filter(|i| clock.place(i * 100 * MS) != Placement::Drop).count();
        assert_eq!(shown, 20);
    }

    #[test]
    fn sound_is_joined_padded_and_trimmed() {
        let mut clock = SampleClock::default();
        assert_eq!(clock.place(10 * MS, 960), Splice { silence: 480, skip: 0 });
        assert_eq!(clock.place(35 * MS, 960), Splice { silence: 0, skip: 0 });
        assert_eq!(clock.place(1000 * MS, 960), Splice { silence: 48_000 - 2400, skip: 0 });
        assert_eq!(clock.place(960 * MS, 4800), Splice { silence: 0, skip: 2880 });
        assert_eq!(clock.next(), 48_960 + 1920);
    }

    #[test]
    fn audio_segments_start_next_to_the_video_segments() {
        let two_seconds = Rate::new(1, 2);
        let starts: Vec<_> = (0..4).map(|number| first_unit(number, two_seconds)).collect();
        assert_eq!(starts, [0, 94, 188, 282]);
        let start = first_unit(1000, two_seconds) as f64 * 1024.0 / 48_000.0;
        assert!((2000.0..2000.022).contains(&start), "{start}");
    }

    proptest! {
        #[test]
        fn indexes_grow_without_gaps(times in proptest::collection::vec(-10_000i64..1_000_000, 1..200)) {
            let mut clock = FrameClock::new(Rate::new(25, 1));
            let mut next = 0;
            for time in times {
                if let Placement::Show { index, repeats } = clock.place(time * MS) {
                    prop_assert_eq!(index - repeats, next);
                    next = index + 1;
                }
            }
            prop_assert_eq!(next, clock.next());
        }

        #[test]
        fn sound_never_skips_more_than_there_is(
            runs in proptest::collection::vec((-10_000i64..1_000_000, 0u64..5000), 1..200),
        ) {
            let mut clock = SampleClock::default();
            let mut total = 0;
            for (time, count) in runs {
                let splice = clock.place(time * MS, count);
                prop_assert!(splice.skip <= count);
                total += splice.silence + count - splice.skip;
            }
            prop_assert_eq!(total, clock.next());
        }
    }
}
