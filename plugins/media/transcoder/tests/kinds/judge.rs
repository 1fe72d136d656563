//! Encodes an input and describes where the result is wrong.

use std::path::Path;

use streamgate_transcoder::sink::Kind as Rendition;

use super::Kind;
use super::measure::{Pictures, Sound, measure};
use crate::support::{Encoded, check_rules, encode_file, joined, quick};

/// Maximum distance of video and audio, seconds: a frame, and sampling error.
const IN_STEP: f64 = 0.045;
/// The audio rendition that is checked.
const SOUND: &str = "audio-128k";
/// A mark is searched this far around its time, seconds.
const AROUND: f64 = 0.3;
/// No frame counts for longer than this, seconds.
const FRAME: f64 = 0.04;
/// Seconds that an access unit of AAC lasts.
const UNIT: f64 = 1024.0 / 48_000.0;

/// Encodes `path` into `out` and compares.
pub(crate) fn differences(kind: &Kind, path: &Path, out: &Path) -> Vec<String> {
    match encode_file(path, out, &quick()) {
        Ok(encoded) => {
            check_rules(&encoded);
            let mut wrong = Vec::new();
            if let Err(problem) = compare(kind, path, &encoded, &mut wrong) {
                wrong.push(format!("what came out cannot be read: {problem}"));
            }
            wrong
        }
        Err(error) => vec![format!("refused: {error:?}")],
    }
}

fn compare(kind: &Kind, path: &Path, encoded: &Encoded, wrong: &mut Vec<String>) -> Result<(), String> {
    wrong.extend(encoded.report.note.iter().map(|note| format!("the note {note:?}")));
    let top = top(encoded);
    let with_sound = encoded.taken.renditions.contains_key(SOUND);
    for (what, is, right) in [
        ("a picture", top.is_some(), !kind.picture.is_empty()),
        ("sound", with_sound, !kind.sound.is_empty()),
    ] {
        if is != right {
            wrong.push(format!("{what} is there: {is}, right: {right}"));
        }
    }
    let sounds = encoded.taken.renditions.keys().filter(|name| name.ends_with("-128k")).count();
    if sounds != kind.right.sounds {
        wrong.push(format!("{sounds} sounds instead of {}", kind.right.sounds));
    }
    let rendition = |name: &str| joined(&encoded.folder, name);
    let picture = top.map(|(name, size)| (rendition(name), size));
    let sound = with_sound.then(|| rendition(SOUND));
    let measured = measure(kind, path, &encoded.folder, picture, sound)?;
    let shown = measured.pictures.as_ref().map(|pictures| {
        judge_pictures(kind, pictures, measured.reference.as_ref(), wrong);
        pictures.count() as f64 * kind.frame()
    });
    let heard = measured.sound.as_ref().map(|sound| sound.seconds());
    if let Some(lasts) = heard {
        let right = shown.unwrap_or(kind.right.seconds);
        if (lasts - right).abs() > UNIT + kind.frame().min(FRAME) + 0.001 {
            wrong.push(format!("{lasts:.3} s of sound beside {right:.3} s"));
        }
    }
    let longest = shown.into_iter().chain(heard).fold(0.0, f64::max);
    let said = encoded.report.duration.as_secs_f64();
    if (said - longest).abs() > kind.frame() + UNIT {
        wrong.push(format!("{said:.3} s are announced, {longest:.3} s are there"));
    }
    let flashes = measured.pictures.as_ref().map(Pictures::flashes);
    let beeps = measured.sound.as_ref().map(Sound::beeps);
    marks(kind, flashes.as_deref(), beeps.as_deref(), wrong);
    Ok(())
}

/// The largest video rendition.
fn top(encoded: &Encoded) -> Option<(&str, (u32, u32))> {
    let sizes = encoded.taken.renditions.iter().filter_map(|(name, written)| match written.rendition.kind {
        Rendition::Video { width, height, .. } => Some((name.as_str(), (width, height))),
        Rendition::Audio { .. } => None,
    });
    sizes.max_by_key(|(_, (width, height))| width * height)
}

fn judge_pictures(kind: &Kind, pictures: &Pictures, reference: Option<&Pictures>, wrong: &mut Vec<String>) {
    let right = kind.right;
    if pictures.size != right.size() {
        wrong.push(format!("{:?} instead of {:?}", pictures.size, right.size()));
    }
    let (frames, wanted) = (pictures.count(), kind.frames());
    if frames.abs_diff(wanted) > 1 {
        wrong.push(format!("{frames} frames instead of {wanted}"));
    }
    let late = |(at, time): (usize, &f64)| (*time - at as f64 * kind.frame()).abs() > 0.002;
    if let Some(first) = pictures.times.iter().enumerate().position(late) {
        wrong.push(format!("frame {first} is shown at {} s", pictures.times[first]));
    }
    if let Some(decibels) = reference.map(|reference| pictures.decibels(reference))
        && decibels < right.decibels
    {
        wrong.push(format!(
            "{decibels:.1} dB from ffmpeg's conversion, at least {} are right",
            right.decibels
        ));
    }
}

/// Checks that flashes and beeps are where they should be, and together.
fn marks(kind: &Kind, flashes: Option<&[f64]>, beeps: Option<&[f64]>, wrong: &mut Vec<String>) {
    for mark in kind.right.marks {
        let near = |times: &[f64]| times.iter().copied().find(|time| (time - mark).abs() < AROUND);
        let (flash, beep) = (flashes.map(near), beeps.map(near));
        let is_right = match (flash, beep) {
            (Some(Some(flash)), Some(Some(beep))) => (beep - flash).abs() <= IN_STEP,
            (Some(None), _) | (_, Some(None)) => false,
            (Some(Some(alone)), None) | (None, Some(Some(alone))) => (alone - mark).abs() <= 0.1,
            (None, None) => true,
        };
        if !is_right {
            let said = |found: Option<Option<f64>>, others: Option<&[f64]>| match (found, others) {
                (Some(Some(time)), _) => format!("{time:.3}"),
                (Some(None), Some(others)) => format!("nowhere, but at {others:.2?}"),
                _ => "is not there".to_owned(),
            };
            let (flash, beep) = (said(flash, flashes), said(beep, beeps));
            wrong.push(format!("at {mark} s: flash {flash}, beep {beep}"));
        }
    }
}
