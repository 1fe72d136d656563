//! What an earlier attempt left: how far each rendition is, and where to go on with it. It never looks at the source.

use std::time::Duration;

use crate::ladder::{AAC_FRAME, AUDIO_CHANNELS, AUDIO_RATE, AudioRung, Rate, Rung};
use crate::pipeline::Track;
use crate::sink::{Earlier, Existing, Kind};
use crate::timeline::first_unit;

/// The end of the longest rendition that is complete already; of sound to within a unit.
pub(crate) fn earlier_duration(earlier: &Earlier) -> Duration {
    let complete = earlier.renditions.iter().filter(|existing| existing.complete);
    let ends = complete.filter_map(|existing| {
        let (start, duration) = existing.segments.last()?;
        // The last unit of sound is filled up.
        let filled = if matches!(existing.rendition.kind, Kind::Audio { .. }) { AAC_FRAME } else { 0 };
        let end = (start + duration).saturating_sub(filled);
        Some(Duration::from_secs_f64(end as f64 / f64::from(existing.rendition.timescale.max(1))))
    });
    ends.max().unwrap_or_default()
}

/// The track of a rung, going on after the whole segments that are there; `None` when it
/// is complete.
pub(crate) fn video_track(rung: Rung, timescale: Option<u32>, earlier: &Earlier) -> Option<Track<Rung>> {
    let kind = Kind::Video { width: rung.width, height: rung.height, rate: rung.rate };
    let fits = |existing: &&Existing| {
        let rendition = &existing.rendition;
        rendition.name == rung.name && rendition.kind == kind && Some(rendition.timescale) == timescale
    };
    let Some(existing) = earlier.renditions.iter().find(fits) else {
        return Some(Track { rung, write_from: 0, init: None });
    };
    if existing.complete {
        return None;
    }
    let scale = u64::from(existing.rendition.timescale);
    let duration = scale * u64::from(rung.rate.den) * u64::from(rung.gop) / u64::from(rung.rate.num);
    let whole = existing
        .segments
        .iter()
        .enumerate()
        .take_while(|(number, segment)| **segment == (*number as u64 * duration, duration))
        .count();
    Some(Track { rung, write_from: whole as u32, init: Some(existing.init.clone()) })
}

pub(crate) fn audio_track(rung: AudioRung, segment: Rate, earlier: &Earlier) -> Option<Track<AudioRung>> {
    let kind = Kind::Audio { sample_rate: AUDIO_RATE, channels: AUDIO_CHANNELS };
    let fits = |existing: &&Existing| existing.rendition.name == rung.name && existing.rendition.kind == kind;
    let Some(existing) = earlier.renditions.iter().find(fits) else {
        return Some(Track { rung, write_from: 0, init: None });
    };
    if existing.complete {
        return None;
    }
    let whole = existing
        .segments
        .iter()
        .enumerate()
        .take_while(|(number, (start, duration))| {
            let number = *number as u64;
            let (from, to) =
                (first_unit(number, segment) * AAC_FRAME, first_unit(number + 1, segment) * AAC_FRAME);
            (*start, *duration) == (from, to - from)
        })
        .count();
    Some(Track { rung, write_from: whole as u32, init: Some(existing.init.clone()) })
}
