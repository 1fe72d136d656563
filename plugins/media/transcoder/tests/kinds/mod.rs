//! An input, how it is made and its expected result. The tables beside this file list them.

pub(crate) mod judge;
pub(crate) mod make;
pub(crate) mod measure;
pub(crate) mod page;

mod colours;
mod frames;
mod patches;
mod pictures;
mod professional;
mod sounds;
mod times;

use std::path::Path;

/// Inputs with a known wrong result, and what is wrong. They are made and judged as the others are, and a
/// repaired one must be removed from this list.
pub(crate) const PENDING: &[(&str, &str)] = &[];

/// The source of an input before it is encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Frames in seconds.
    pub(crate) rate: (u32, u32),
    pub(crate) seconds: f64,
    pub(crate) sample_rate: u32,
    /// ffmpeg's name of it, and the number of channels.
    pub(crate) layout: (&'static str, usize),
}

/// The expected result of an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Right {
    /// Of the top rung.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rate: (u32, u32),
    /// Of picture and sound.
    pub(crate) seconds: f64,
    /// That can be chosen.
    pub(crate) sounds: usize,
    /// Seconds at which the video flashes and the audio beeps, where there are both.
    pub(crate) marks: &'static [f64],
    /// Mean PSNR against ffmpeg's own conversion; zero without a frame-by-frame comparison.
    pub(crate) decibels: f64,
    /// Filters in front of that conversion.
    pub(crate) reference: &'static str,
}

impl Right {
    /// Of the top rung.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// One input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Of the file, with its usual extension.
    pub(crate) name: &'static str,
    pub(crate) container: &'static str,
    /// Codec; empty without video.
    pub(crate) picture: &'static str,
    /// Codec; empty without audio.
    pub(crate) sound: &'static str,
    pub(crate) special: &'static str,
    pub(crate) source: Source,
    /// ffmpeg's arguments, one call after the other; the last one makes the file. `PICTURE` and `SOUND` stand for the
    /// source; a call without `-i` reads both.
    pub(crate) make: &'static [&'static str],
    /// What no program writes.
    pub(crate) patch: Option<fn(&Path)>,
    pub(crate) right: Right,
}

/// An input of the usual size, rate and length.
pub(crate) const fn kind(
    name: &'static str,
    container: &'static str,
    picture: &'static str,
    sound: &'static str,
    make: &'static [&'static str],
) -> Kind {
    Kind {
        name,
        container,
        picture,
        sound,
        special: "",
        source: Source {
            width: 160,
            height: 90,
            rate: (25, 1),
            seconds: 4.0,
            sample_rate: 48_000,
            layout: ("stereo", 2),
        },
        make,
        patch: None,
        right: Right {
            width: 160,
            height: 90,
            rate: (25, 1),
            seconds: 4.0,
            sounds: if sound.is_empty() { 0 } else { 1 },
            marks: &[1.0, 2.0, 3.0],
            decibels: if picture.is_empty() { 0.0 } else { 38.0 },
            reference: "",
        },
    }
}

impl Kind {
    const fn special(mut self, special: &'static str) -> Self {
        self.special = special;
        self
    }

    /// Size of source and top rung.
    const fn size(mut self, width: u32, height: u32) -> Self {
        (self.source.width, self.source.height) = (width, height);
        self.shown(width, height)
    }

    /// Size of the top rung.
    const fn shown(mut self, width: u32, height: u32) -> Self {
        (self.right.width, self.right.height) = (width, height);
        self
    }

    /// Frame rate of source and top rung.
    const fn rate(mut self, num: u32, den: u32) -> Self {
        self.source.rate = (num, den);
        self.at(num, den)
    }

    /// Frame rate of the top rung.
    const fn at(mut self, num: u32, den: u32) -> Self {
        self.right.rate = (num, den);
        self
    }

    /// Rate and layout of the source's sound.
    const fn samples(mut self, rate: u32, layout: &'static str, channels: usize) -> Self {
        self.source.sample_rate = rate;
        self.source.layout = (layout, channels);
        self
    }

    const fn lasts(mut self, seconds: f64) -> Self {
        self.right.seconds = seconds;
        self
    }

    const fn sounds(mut self, sounds: usize) -> Self {
        self.right.sounds = sounds;
        self
    }

    const fn marks(mut self, marks: &'static [f64]) -> Self {
        self.right.marks = marks;
        self
    }

    const fn decibels(mut self, decibels: f64) -> Self {
        self.right.decibels = decibels;
        self
    }

    /// Filters that ffmpeg's own conversion needs.
    const fn beside(mut self, filters: &'static str) -> Self {
        self.right.reference = filters;
        self
    }

    const fn make_with(mut self, make: &'static [&'static str]) -> Self {
        self.make = make;
        self
    }

    const fn patched(mut self, patch: fn(&Path)) -> Self {
        self.patch = Some(patch);
        self
    }

    /// Frames of the top rung.
    pub(crate) fn frames(&self) -> u64 {
        let (num, den) = self.right.rate;
        (self.right.seconds * f64::from(num) / f64::from(den)).round() as u64
    }

    /// Seconds that a frame of the top rung is shown.
    pub(crate) fn frame(&self) -> f64 {
        f64::from(self.right.rate.1) / f64::from(self.right.rate.0)
    }
}

/// All inputs, in the order of the page.
pub(crate) fn all() -> Vec<Kind> {
    [pictures::KINDS, professional::KINDS, sounds::KINDS, frames::KINDS, times::KINDS, colours::KINDS]
        .concat()
}
