//! TTML times (TTML2 §12.3): clock times and offsets, by the rates of the document's root.

use crate::time::MAX_HOURS;

/// A time or a duration.
pub(super) type Nanoseconds = u64;

pub(super) const SECOND: Nanoseconds = 1_000_000_000;
/// Rates beyond these limits are invalid.
const MAX_RATE: f64 = 1e9;

/// The rates of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Nominal frames of a second of clock time.
    frame_rate: f64,
    sub_frame_rate: f64,
    /// The factor for real frames per second: 1000/1001 for 29.97.
    multiplier: f64,
    tick_rate: Option<f64>,
    says_frames: bool,
    timecode: bool,
    drops: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            frame_rate: 30.0,
            sub_frame_rate: 1.0,
            multiplier: 1.0,
            tick_rate: None,
            says_frames: false,
            timecode: false,
            drops: false,
        }
    }
}

impl Clock {
    /// Applies a parameter of the root (TTML2 §7.2), if it is one of time.
    pub(super) fn parameter(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("{name}={value:?} is not a valid rate");
        let rate = || rate(value).ok_or_else(wrong);
        match name {
            "frameRate" => (self.frame_rate, self.says_frames) = (rate()?, true),
            "subFrameRate" => self.sub_frame_rate = rate()?,
            "tickRate" => self.tick_rate = Some(rate()?),
            "frameRateMultiplier" => {
                let mut parts = value.split([' ', ':']).filter(|part| !part.is_empty()).map(self::rate);
                let (over, under) = (parts.next().flatten(), parts.next().unwrap_or(Some(1.0)));
                self.multiplier = over.zip(under).map(|(over, under)| over / under).ok_or_else(wrong)?;
            }
            "timeBase" if value == "clock" => {
                let problem = "timeBase=\"clock\" is the time of day; only media times are supported";
                return Err(problem.to_owned());
            }
            "timeBase" => self.timecode = value == "smpte",
            "dropMode" => self.drops = value == "dropNTSC",
            _ => {}
        }
        Ok(())
    }

    fn frames_a_second(&self) -> f64 {
        self.frame_rate * self.multiplier
    }

    /// `None`: this is not a time of at most 999 hours.
    pub(super) fn parse(&self, text: &str) -> Option<Nanoseconds> {
        let text = text.trim();
        let seconds = if text.contains(':') { self.clock(text)? } else { self.offset(text)? };
        let most = (MAX_HOURS * 3_600) as f64;
        (0.0..=most).contains(&seconds).then(|| (seconds * SECOND as f64).round() as Nanoseconds)
    }

    /// `HH:MM:SS`, with a fraction of a second or with frames.
    fn clock(&self, text: &str) -> Option<f64> {
        let mut parts = text.split(':');
        let hours = whole(parts.next()?)?;
        let minutes = whole(parts.next()?).filter(|minutes| *minutes < 60.0)?;
        let seconds = decimal(parts.next()?).filter(|seconds| *seconds < 61.0)?;
        let clock = (hours * 60.0 + minutes) * 60.0 + seconds;
        let Some(frames) = parts.next() else { return Some(clock) };
        let (frames, sub_frames) = frames.split_once('.').unwrap_or((frames, "0"));
        let frames = whole(frames)? + whole(sub_frames)? / self.sub_frame_rate;
        if parts.next().is_some() || seconds.fract() != 0.0 {
            return None;
        }
        if !self.timecode {
            return Some(clock + frames / self.frames_a_second());
        }
        // A timecode counts frames, and its seconds last as long as those. Drop-frame timecode skips two
        // numbers each minute except every tenth (SMPTE ST 12-1 §5.2.2).
        let all_minutes = hours * 60.0 + minutes;
        let dropped = if self.drops { 2.0 * (all_minutes - (all_minutes / 10.0).floor()) } else { 0.0 };
        Some((clock * self.frame_rate + frames - dropped) / self.frames_a_second())
    }

    /// A number and its unit.
    fn offset(&self, text: &str) -> Option<f64> {
        let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, unit) = text.split_at(unit);
        let length = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "f" => 1.0 / self.frames_a_second(),
            "t" => {
                let frames =
                    if self.says_frames { self.frames_a_second() * self.sub_frame_rate } else { 1.0 };
                1.0 / self.tick_rate.unwrap_or(frames)
            }
            _ => return None,
        };
        Some(decimal(count)? * length)
    }
}

fn rate(text: &str) -> Option<f64> {
    whole(text.trim()).filter(|rate| (1.0..=MAX_RATE).contains(rate))
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<f64> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Digits, optionally with a decimal point and more digits.
fn decimal(text: &str) -> Option<f64> {
    let (units, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let fraction_is_one = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    whole(units).filter(|_| fraction_is_one && text.len() < 40)?;
    text.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(parameters: &[(&str, &str)]) -> Clock {
        let mut clock = Clock::default();
        for (name, value) in parameters {
            clock.parameter(name, value).unwrap();
        }
        clock
    }

    #[test]
    fn times_are_counted_by_the_rates_of_the_document() {
        let film = &[("frameRate", "24"), ("frameRateMultiplier", "1000 1001")][..];
        let ticks = &[("tickRate", "10000000")][..];
        for (parameters, text, ms) in [
            (&[][..], "00:00:05", Some(5_000.0)),
            (&[], "01:00:05.25", Some(3_605_250.0)),
            (&[], "100:00:00.000", Some(360_000_000.0)),
            (&[], "5.5s", Some(5_500.0)),
            (&[], "1.5h", Some(5_400_000.0)),
            (&[], "2m", Some(120_000.0)),
            (&[], "1234ms", Some(1_234.0)),
            (&[], "3t", Some(3_000.0)),
            (&[], "00:00:01:15", Some(1_500.0)),
            (&[("frameRate", "25")], "00:00:01:05", Some(1_200.0)),
            (&[("frameRate", "25"), ("subFrameRate", "2")], "00:00:01:05.1", Some(1_220.0)),
            (&[("frameRate", "25")], "30f", Some(1_200.0)),
            (&[("frameRate", "25")], "25t", Some(1_000.0)),
            (ticks, "15000000t", Some(1_500.0)),
            (film, "24f", Some(1_001.0)),
            (film, "00:01:00:12", Some(60_500.5)),
            (
                &[("frameRate", "24"), ("frameRateMultiplier", "1000 1001"), ("timeBase", "smpte")],
                "00:01:00:00",
                Some(60_060.0),
            ),
            (
                &[
                    ("frameRate", "30"),
                    ("frameRateMultiplier", "1000 1001"),
                    ("timeBase", "smpte"),
                    ("dropMode", "dropNTSC"),
                ],
                "00:10:00:00",
                Some(599_999.4),
            ),
            (&[], "5", None),
            (&[], "00:05", None),
            (&[], "00:60:00", None),
            (&[], "00:00:00,5", None),
            (&[], "-1s", None),
            (&[], "1.s", None),
            (&[], "1e9s", None),
            (&[], "9999999h", None),
            (&[], "00:00:01.5:03", None),
            (&[], "wallclock(\"2020-01-01\")", None),
            (&[], "", None),
        ] {
            let found = clock(parameters).parse(text).map(|time| time as f64 / 1e6);
            assert_eq!(found, ms, "{text}");
        }
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        for (name, value) in
            [("frameRate", "0"), ("tickRate", "-1"), ("frameRateMultiplier", "1000 0"), ("timeBase", "clock")]
        {
            assert!(Clock::default().parameter(name, value).unwrap_err().contains(value));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[0-9:.,+hmsft-]{0,24}", rate in "[0-9]{0,12}") {
            let mut clock = Clock::default();
            let _ = clock.parameter("frameRate", &rate);
            prop_assert!(clock.parse(&text).is_none_or(|time| time <= MAX_HOURS * 3_600 * SECOND));
        }
    }
}
