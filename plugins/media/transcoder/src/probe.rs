//! Properties of an opened source, and why one could not be opened. Reads only what the decoder already has,
//! and a few box headers; it never decodes.

use std::sync::Arc;
use std::time::Duration;

use gstreamer_video as gst_video;

use crate::container;
use crate::decode::{Branch, Decoder};
use crate::ladder::{Picture, Rate, is_usual, output_rate};
use crate::media::FaultKind;
use crate::sink::Facts;
use crate::source::Blocks;

/// Compressed frames checked if the headers do not state the frame rate.
const FRAMES_FOR_RATE: usize = 60;
/// Seconds that these frames may take to arrive.
const PATIENCE: Duration = Duration::from_millis(400);

/// Sound may begin this much earlier than the video unintentionally: audio encoders have a delay.
const LEAD_IN_NS: i64 = 50_000_000;

/// The properties of a source after its first frame and samples.
#[derive(Debug, Clone)]
pub(crate) struct Probed {
    pub(crate) facts: Facts,
    pub(crate) picture: Option<Picture>,
    /// As declared by the headers.
    pub(crate) duration: Option<Duration>,
    /// When the earlier of video and audio starts, nanoseconds by the file's own clock.
    pub(crate) file_start: i64,
    /// When the presentation starts, likewise.
    pub(crate) start: i64,
    /// When the video starts, likewise.
    pub(crate) picture_start: i64,
}

/// Collects the properties.
pub(crate) fn probe(decoder: &Decoder) -> Result<Probed, String> {
    let duration = decoder.duration;
    let mut facts = Facts { duration_ms: duration.map(|d| d.as_millis() as u64), ..Facts::default() };
    let picture = decoder.video.as_ref().map(picture).transpose()?;
    if let (Some(picture), Some(video)) = (&picture, &decoder.video) {
        facts.width = picture.width;
        facts.height = picture.height;
        facts.rate = Some(picture.rate);
        facts.video_codec.clone_from(&video.codec);
    }
    if let Some(audio) = decoder.sounds.first() {
        facts.audio_codec.clone_from(&audio.codec);
        facts.audio_channels = audio.channels;
    }
    let begins = |branch: &Branch| branch.first.as_ref().and_then(|first| first.time);
    let start = decoder.video.iter().chain(decoder.sounds.first()).filter_map(begins).min().unwrap_or(0);
    let picture_start = decoder.video.as_ref().and_then(begins).unwrap_or(start);
    let file_start = start;
    // The priming samples of an audio encoder before the first frame are not played.
    let start = if picture_start - start <= LEAD_IN_NS { picture_start } else { start };
    Ok(Probed { facts, picture, duration, file_start, start, picture_start })
}

fn picture(video: &Branch) -> Result<Picture, String> {
    let first = video.first.as_ref().ok_or("the picture has no first frame")?;
    let caps = first.sample.caps().ok_or("the first frame has no caps")?;
    let info = gst_video::VideoInfo::from_caps(caps).map_err(|error| error.to_string())?;
    let par = info.par();
    let stretched = f64::from(info.width()) * f64::from(par.numer().max(1)) / f64::from(par.denom().max(1));
    let width = (stretched.round() as u32).clamp(1, info.width().saturating_mul(8));
    let fps = info.fps();
    let nominal = (fps.numer() > 0 && fps.denom() > 0)
        .then(|| Rate::new(fps.numer().unsigned_abs(), fps.denom().unsigned_abs()));
    let patience = if nominal.is_some_and(is_usual) { Duration::ZERO } else { PATIENCE };
    let times = video.times(FRAMES_FOR_RATE, patience);
    let rate = output_rate(nominal, usual_distance(&times));
    Ok(Picture { width, height: info.height(), rate })
}

/// Frames a second from the distance of ascending times in nanoseconds: the lower quartile, because a
/// variable rate drops frames but seldom adds some.
fn usual_distance(times: &[u64]) -> Option<f64> {
    if times.len() < 12 {
        return None;
    }
    let mut distances: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_unstable();
    // Millisecond timestamps alternate, 33 and 34: average those within one of it.
    let quartile = distances[distances.len() / 4];
    let near: Vec<u64> =
        distances.into_iter().filter(|distance| distance.abs_diff(quartile) <= 1_100_000).collect();
    let average = near.iter().sum::<u64>() as f64 / near.len() as f64;
    (average > 0.0).then(|| 1e9 / average)
}

/// Why a file that could not be opened is not a video, in one sentence.
pub(crate) fn explain(blocks: &Arc<Blocks>, kind: Option<FaultKind>) -> String {
    if blocks.size() == 0 {
        return "The file is empty.".to_owned();
    }
    let head = blocks.read(0, 4096).map(|parts| parts.concat()).unwrap_or_default();
    if lacks_index(blocks) {
        return "The file is incomplete: the index (moov) that an MP4 or MOV file cannot be read without is \
                missing. It was probably cut off while it was recorded or copied."
            .to_owned();
    }
    if is_text(&head) {
        return "This is a text file, not a video or a sound file.".to_owned();
    }
    match kind {
        Some(FaultKind::UnknownType) => "This is not a video or a sound file that this server knows.",
        Some(FaultKind::Codec) => "This server cannot decode the format of this file.",
        Some(FaultKind::Damaged) => "The file is damaged: no picture or sound in it can be decoded.",
        _ => "There is no picture or sound in this file that can be played.",
    }
    .to_owned()
}

/// Whether this is an MP4 or MOV file without a `moov`: its frames cannot be located.
pub(crate) fn lacks_index(blocks: &Arc<Blocks>) -> bool {
    let head = blocks.read(4, 4).map(|parts| parts.concat()).unwrap_or_default();
    head == b"ftyp" && !container::has_tracks(blocks)
}

fn is_text(head: &[u8]) -> bool {
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 0x80;
    !head.is_empty() && std::str::from_utf8(head).is_ok_and(|_| head.iter().all(printable))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::segment::tests::bx;
    use crate::source::tests::Memory;

    fn reason(data: Vec<u8>, kind: Option<FaultKind>) -> String {
        explain(&Arc::new(Blocks::new(Arc::new(Memory(data.into()))).unwrap()), kind)
    }

    #[test]
    fn reasons_are_what_a_person_would_say() {
        assert_eq!(reason(Vec::new(), None), "The file is empty.");
        assert!(reason(b"Dear diary,\n".to_vec(), None).contains("text file"));
        let cut = [bx(b"ftyp", b"isom"), vec![0, 0, 0xff, 0xff], b"mdat....".to_vec()].concat();
        assert!(reason(cut, None).contains("moov"));
        let whole = [bx(b"ftyp", b"isom"), bx(b"moov", b"")].concat();
        assert!(reason(whole, Some(FaultKind::Damaged)).contains("damaged"));
        assert!(reason(vec![1, 2, 3, 0xff], Some(FaultKind::UnknownType)).contains("knows"));
    }

    #[test]
    fn the_rate_is_the_usual_distance_of_frames() {
        let times: Vec<u64> = (0..60u64).map(|at| at * 33_366_667 / 1_000_000 * 1_000_000).collect();
        let rate = usual_distance(&times).unwrap();
        assert!((29.5..30.5).contains(&rate), "{rate}");
        assert_eq!(usual_distance(&times[..5]), None);
    }
}
