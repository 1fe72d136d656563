//! Analyses the result with ffmpeg's decoders: the times of flashes and beeps, the length, and how near its
//! colours are to ffmpeg's own conversion.

use std::path::{Path, PathBuf};

use super::Kind;
use super::make::ffmpeg;

/// I420 of BT.709 and limited range.
const PLAIN: &str = "out_color_matrix=bt709:out_range=tv,format=yuv420p";
/// Mean luma of a white frame, at least.
const WHITE: u32 = 160;
/// Amplitude of a beep, at least.
const LOUD: f32 = 0.05;
/// Samples of quiet between two beeps, at least.
const QUIET: usize = 9_600;
const SAMPLE_RATE: f64 = 48_000.0;
/// Samples that are enough to compare two frames.
const ENOUGH: usize = 20_000;
const PICTURES: &str = "pictures.raw";
const REFERENCE: &str = "reference.raw";
const SOUND: &str = "sound.raw";
/// Identical frames count as this near, decibels.
const EQUAL: f64 = 60.0;

/// What is measured of an encode.
pub(crate) struct Measured {
    pub(crate) pictures: Option<Pictures>,
    /// The input's frames as they should come out, made by ffmpeg alone.
    pub(crate) reference: Option<Pictures>,
    pub(crate) sound: Option<Sound>,
}

/// The frames of a rendition.
pub(crate) struct Pictures {
    /// Seconds.
    pub(crate) times: Vec<f64>,
    data: Vec<u8>,
    pub(crate) size: (u32, u32),
}

/// The samples of a rendition, one channel.
pub(crate) struct Sound(Vec<u8>);

/// Decodes the renditions of picture (with its size) and sound in `folder`, and the input that they come from.
pub(crate) fn measure(
    kind: &Kind,
    input: &Path,
    folder: &Path,
    picture: Option<(PathBuf, (u32, u32))>,
    sound: Option<PathBuf>,
) -> Result<Measured, String> {
    let right = kind.right;
    let is_compared = right.decibels > 0.0 && picture.as_ref().is_some_and(|(_, size)| *size == right.size());
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    let mut add = |path: &Path, stream: &str, rest: &[&str]| {
        let map = format!("{}:{stream}:0", inputs.len() / 2);
        inputs.extend(["-i".to_owned(), path.to_string_lossy().into_owned()]);
        outputs.extend(["-map".to_owned(), map]);
        outputs.extend(rest.iter().map(ToString::to_string));
    };
    if let Some((path, _)) = &picture {
        let filters = format!("showinfo=checksum=0,scale={PLAIN}");
        add(path, "v", &["-vf", &filters, "-vsync", "passthrough", "-f", "rawvideo", PICTURES]);
    }
    if is_compared {
        let before = if right.reference.is_empty() { "" } else { "," };
        let filters = format!(
            "{}{before}fps={}/{},scale={}:{}:{PLAIN}",
            right.reference, right.rate.0, right.rate.1, right.width, right.height
        );
        add(input, "v", &["-vf", &filters, "-vsync", "passthrough", "-f", "rawvideo", REFERENCE]);
    }
    if let Some(path) = &sound {
        add(path, "a", &["-af", "aresample=48000:async=1:first_pts=0", "-ac", "1", "-f", "f32le", SOUND]);
    }
    let told = ffmpeg(folder, &[inputs, outputs].concat())?.stderr;
    let told = String::from_utf8_lossy(&told);
    let time = |line: &str| line.split_once(" pts_time:")?.1.split_whitespace().next()?.parse().ok();
    let times: Vec<f64> = told.lines().filter_map(time).collect();
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| error.to_string());
    let size = picture.map(|(_, size)| size);
    let pictures = size.map(|size| Ok::<_, String>(Pictures { times, data: read(PICTURES)?, size }));
    let reference = is_compared
        .then(|| Ok::<_, String>(Pictures { times: Vec::new(), data: read(REFERENCE)?, size: right.size() }));
    Ok(Measured {
        pictures: pictures.transpose()?,
        reference: reference.transpose()?,
        sound: sound.map(|_| read(SOUND)).transpose()?.map(Sound),
    })
}

impl Pictures {
    fn luma(&self) -> usize {
        (self.size.0 * self.size.1) as usize
    }

    fn frames(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.chunks_exact(self.luma() * 3 / 2)
    }

    pub(crate) fn count(&self) -> u64 {
        self.frames().len() as u64
    }

    /// The time of each white frame, seconds.
    pub(crate) fn flashes(&self) -> Vec<f64> {
        let luma = self.luma();
        let is_white = |frame: &[u8]| {
            let some = frame[..luma].iter().step_by(7);
            let count = some.len() as u32;
            some.map(|byte| u32::from(*byte)).sum::<u32>() > WHITE * count
        };
        let frames = self.times.iter().zip(self.frames());
        frames.filter(|(_, frame)| is_white(frame)).map(|(time, _)| *time).collect()
    }

    /// Mean PSNR of the frames against those of a reference, decibels.
    pub(crate) fn decibels(&self, reference: &Self) -> f64 {
        let each: Vec<f64> =
            self.frames().zip(reference.frames()).map(|(one, other)| near(one, other)).collect();
        each.iter().sum::<f64>() / each.len().max(1) as f64
    }
}

/// PSNR of a frame; of a large one some samples are compared.
fn near(one: &[u8], other: &[u8]) -> f64 {
    let every = (one.len() / ENOUGH).max(1) | 1;
    let pairs = one.iter().step_by(every).zip(other.iter().step_by(every));
    let squares: u64 = pairs.clone().map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    let mean = squares as f64 / pairs.len() as f64;
    (10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()).min(EQUAL)
}

impl Sound {
    pub(crate) fn seconds(&self) -> f64 {
        (self.0.len() / 4) as f64 / SAMPLE_RATE
    }

    /// The start of each beep, seconds.
    pub(crate) fn beeps(&self) -> Vec<f64> {
        let (mut found, mut last) = (Vec::new(), None);
        for (at, bytes) in self.0.chunks_exact(4).enumerate() {
            let sample = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if sample.abs() > LOUD {
                if last.is_none_or(|last| at - last > QUIET) {
                    found.push(at as f64 / SAMPLE_RATE);
                }
                last = Some(at);
            }
        }
        found
    }
}
