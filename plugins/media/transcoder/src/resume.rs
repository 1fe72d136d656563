//! The state of an earlier attempt: the progress of each rendition, and where to continue. It never reads the
//! source.

use std::time::Duration;

use crate::control::EncodeError;
use crate::ladder::{AAC_FRAME, AUDIO_CHANNELS, AUDIO_RATE, AudioRung, Rate, Rung};
use crate::pipeline::Track;
use crate::sink::{Earlier, Existing, Kind};
use crate::timeline::first_unit;

/// The end of the longest complete rendition; of audio to within a unit.
pub(crate) fn earlier_duration(earlier: &Earlier) -> Duration {
    let complete = earlier.renditions.iter().filter(|existing| existing.complete);
    let ends = complete.filter_map(|existing| {
        let (start, duration) = existing.segments.last()?;
        // The last unit of audio is padded.
        let filled = if matches!(existing.rendition.kind, Kind::Audio { .. }) { AAC_FRAME } else { 0 };
        let end = (start + duration).saturating_sub(filled);
        Some(Duration::from_secs_f64(end as f64 / f64::from(existing.rendition.timescale.max(1))))
    });
    ends.max().unwrap_or_default()
}

/// The track of a rung, continuing after the existing segments; `None` when it is complete. A mismatch is
/// [`EncodeError::Changed`]: bytes at an address never change.
pub(crate) fn video_track(
    rung: Rung,
    timescale: Option<u32>,
    earlier: &Earlier,
) -> Result<Option<Track<Rung>>, EncodeError> {
    let kind = Kind::Video { width: rung.width, height: rung.height, rate: rung.rate };
    let Some(existing) = earlier.renditions.iter().find(|it| it.rendition.name == rung.name) else {
        return Ok(Some(Track { rung, write_from: 0, init: None, last: None }));
    };
    if existing.rendition.kind != kind || Some(existing.rendition.timescale) != timescale {
        return Err(EncodeError::Changed);
    }
    let scale = u64::from(existing.rendition.timescale);
    let duration = scale * u64::from(rung.rate.den) * u64::from(rung.gop) / u64::from(rung.rate.num);
    go_on(rung, existing, |number| (number * duration, duration))
}

pub(crate) fn audio_track(
    rung: AudioRung,
    segment: Rate,
    earlier: &Earlier,
) -> Result<Option<Track<AudioRung>>, EncodeError> {
    let kind = Kind::Audio { sample_rate: AUDIO_RATE, channels: AUDIO_CHANNELS };
    let Some(existing) = earlier.renditions.iter().find(|it| it.rendition.name == rung.name) else {
        return Ok(Some(Track { rung, write_from: 0, init: None, last: None }));
    };
    if existing.rendition.kind != kind {
        return Err(EncodeError::Changed);
    }
    go_on(rung, existing, |number| {
        let (from, to) =
            (first_unit(number, segment) * AAC_FRAME, first_unit(number + 1, segment) * AAC_FRAME);
        (from, to - from)
    })
}

/// `place`: start and duration of a whole segment. Only the last one may differ: a short one at the end.
fn go_on<R>(
    rung: R,
    existing: &Existing,
    place: impl Fn(u64) -> (u64, u64),
) -> Result<Option<Track<R>>, EncodeError> {
    if existing.complete {
        return Ok(None);
    }
    let segments = &existing.segments;
    let whole = segments.iter().zip(0..).take_while(|(segment, number)| **segment == place(*number)).count();
    if segments.len() > whole + 1 {
        return Err(EncodeError::Changed);
    }
    let last = segments.get(whole).copied();
    Ok(Some(Track { rung, write_from: whole as u32, init: Some(existing.init.clone()), last }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sink::Rendition;
    use crate::tracks::About;

    fn sound(segments: Vec<(u64, u64)>) -> Earlier {
        let rendition = Rendition {
            name: "audio-64k".to_owned(),
            codec: "mp4a.40.2".to_owned(),
            timescale: AUDIO_RATE,
            kind: Kind::Audio { sample_rate: AUDIO_RATE, channels: AUDIO_CHANNELS },
            target_bitrate: 64_000,
            track: 0,
            about: About::default(),
        };
        let existing = Existing { rendition, init: bytes::Bytes::new(), segments, complete: false };
        Earlier { renditions: vec![existing], ..Earlier::default() }
    }

    #[test]
    fn a_short_segment_at_the_end_stays_and_one_before_the_end_makes_all_be_begun_anew() {
        let rung = || crate::ladder::audio_ladder(1).remove(0);
        let segment = Rate::new(1, 2);
        let place = |number| {
            let (from, to) =
                (first_unit(number, segment) * AAC_FRAME, first_unit(number + 1, segment) * AAC_FRAME);
            (from, to - from)
        };
        let at = |segments| {
            let mut earlier = sound(segments);
            earlier.renditions[0].rendition.name = rung().name;
            audio_track(rung(), segment, &earlier).map(|track| track.map(|it| (it.write_from, it.last)))
        };
        let short = (place(2).0, AAC_FRAME);
        assert_eq!(at(vec![place(0), place(1)]).unwrap(), Some((2, None)));
        assert_eq!(at(vec![place(0), place(1), short]).unwrap(), Some((2, Some(short))));
        assert!(matches!(at(vec![place(0), short, place(2)]), Err(EncodeError::Changed)));
    }
}
