//! Times from the beginning, in the notations of the text formats.

/// Longer than any video.
pub(crate) const MAX_HOURS: u64 = 999;

/// The notation of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `[HH:]MM:SS.mmm` (WebVTT §3.3).
    WebVtt,
    /// `[H:]MM:SS,mmm`; a point instead of the comma is common.
    SubRip,
    /// `H:MM:SS.cc`; some files have milliseconds.
    Ass,
}

impl Form {
    /// An example for people.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::WebVtt => "HH:MM:SS.mmm",
            Self::SubRip => "HH:MM:SS,mmm",
            Self::Ass => "H:MM:SS.cc",
        }
    }

    /// Milliseconds; `None`: this is not a time of at most 999 hours.
    pub(crate) fn parse(self, text: &str) -> Option<u64> {
        let point = |c: char| c == '.' || (c == ',' && self == Self::SubRip);
        let (clock, fraction) = text.split_once(point)?;
        let fraction_ms = match (self, fraction.len()) {
            (Self::Ass, 2) => number(fraction)? * 10,
            (_, 3) => number(fraction)?,
            _ => return None,
        };
        let mut parts = clock.rsplit(':');
        let (seconds, minutes) = (sixtieths(parts.next()?)?, sixtieths(parts.next()?)?);
        let hours = match parts.next() {
            Some(hours) if hours.len() == 1 && self == Self::WebVtt => return None,
            Some(hours) => number(hours).filter(|hours| *hours <= MAX_HOURS)?,
            None if self == Self::Ass => return None,
            None => 0,
        };
        let whole = parts.next().is_none();
        whole.then_some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + fraction_ms)
    }
}

/// `HH:MM:SS.mmm`, with as many hour digits as needed.
pub(crate) fn webvtt(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!("{:02}:{:02}:{seconds:02}.{ms:03}", minutes / 60, minutes % 60)
}

/// At most nine digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn sixtieths(text: &str) -> Option<u64> {
    number(text).filter(|number| text.len() == 2 && *number < 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_their_format_writes_them() {
        for (form, text, ms) in [
            (Form::WebVtt, "00:05.250", Some(5_250)),
            (Form::WebVtt, "01:00:05.250", Some(3_605_250)),
            (Form::WebVtt, "100:00:00.000", Some(360_000_000)),
            (Form::WebVtt, "1:00:05.250", None),
            (Form::WebVtt, "00:05,250", None),
            (Form::WebVtt, "00:60.000", None),
            (Form::WebVtt, "00:00:05", None),
            (Form::WebVtt, "1000:00:00.000", None),
            (Form::SubRip, "1:00:05,250", Some(3_605_250)),
            (Form::SubRip, "00:05.250", Some(5_250)),
            (Form::SubRip, "00:05,5", None),
            (Form::SubRip, "00:00:00:05,500", None),
            (Form::SubRip, "-1:00:05,250", None),
            (Form::Ass, "0:00:05.25", Some(5_250)),
            (Form::Ass, "0:00:05.257", Some(5_257)),
            (Form::Ass, "00:05.25", None),
            (Form::Ass, "0:+1:05.25", None),
        ] {
            assert_eq!(form.parse(text), ms, "{form:?} {text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0..MAX_HOURS * 3_600_000) {
            prop_assert_eq!(Form::WebVtt.parse(&webvtt(ms)), Some(ms));
        }

        #[test]
        fn no_text_is_too_odd(text in "[0-9:.,+-]{0,24}") {
            for form in [Form::WebVtt, Form::SubRip, Form::Ass] {
                prop_assert!(form.parse(&text).is_none_or(|ms| ms < (MAX_HOURS + 1) * 3_600_000));
            }
        }
    }
}
