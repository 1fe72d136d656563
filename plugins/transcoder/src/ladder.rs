//! Which renditions a source gets: pure arithmetic from its facts, after the table of
//! the project's video rules. Never upscales, never exceeds the source's frame rate or
//! bit rate, and never touches media itself.

use std::fmt;

/// Frames a second as a fraction, `30000/1001` for NTSC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Frames.
    pub num: u32,
    /// Seconds.
    pub den: u32,
}

impl Rate {
    /// `num` frames in `den` seconds, reduced. Zero in either place becomes 1.
    pub fn new(num: u32, den: u32) -> Self {
        let (num, den) = (num.max(1), den.max(1));
        let divisor = gcd(num, den);
        Self { num: num / divisor, den: den / divisor }
    }

    /// Frames a second.
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// When frame `index` is shown, in nanoseconds, rounded to the nearest.
    pub fn time_ns(self, index: u64) -> u64 {
        let num = u128::from(self.num);
        ((u128::from(index) * u128::from(self.den) * 1_000_000_000 + num / 2) / num) as u64
    }

    fn divided(self, by: u32) -> Self {
        Self::new(self.num, self.den.saturating_mul(by))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What the ladder needs to know of a source's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture {
    /// As shown: after rotation, in square pixels.
    pub width: u32,
    /// As shown.
    pub height: u32,
    /// Constant frame rate after [`output_rate`].
    pub rate: Rate,
    /// Bits a second of the source, made comparable to H.264; `None` if unknown.
    pub bitrate: Option<u64>,
}

/// One video rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// `720p`: the path element of the rendition.
    pub name: String,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames a second of this rung: the ladder's rate divided by `every`.
    pub rate: Rate,
    /// Takes each `every`-th frame of the ladder's rate.
    pub every: u32,
    /// Frames from one IDR to the next, at this rung's rate: one segment.
    pub gop: u32,
    /// Average bits a second.
    pub bitrate: u32,
    /// Bits a second the decoder's buffer is fed with at most.
    pub max_bitrate: u32,
}

/// One audio rendition: AAC-LC, 48 kHz, stereo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioRung {
    /// `audio-128k`
    pub name: String,
    /// Bits a second.
    pub bitrate: u32,
}

/// Samples a second of every audio rendition.
pub const AUDIO_RATE: u32 = 48_000;
/// Channels of every audio rendition.
pub const AUDIO_CHANNELS: u32 = 2;
/// Samples in an AAC-LC access unit.
pub const AAC_FRAME: u64 = 1024;
/// What a segment aims at, in seconds.
pub const SEGMENT_SECONDS: f64 = 2.0;

struct Bound {
    name: &'static str,
    width: u32,
    height: u32,
    average: u32,
    max: u32,
    max_fps: f64,
}

const BOUNDS: [Bound; 5] = [
    Bound { name: "234p", width: 416, height: 234, average: 145_000, max: 190_000, max_fps: 30.0 },
    Bound { name: "360p", width: 640, height: 360, average: 730_000, max: 1_100_000, max_fps: 30.0 },
    Bound { name: "540p", width: 960, height: 540, average: 2_000_000, max: 3_000_000, max_fps: 60.0 },
    Bound { name: "720p", width: 1280, height: 720, average: 3_000_000, max: 4_500_000, max_fps: 60.0 },
    Bound { name: "1080p", width: 1920, height: 1080, average: 6_000_000, max: 9_000_000, max_fps: 60.0 },
];

/// A rung must have this many times the pixels of the one below to be worth its bits.
const WORTHWHILE: f64 = 1.2;
/// Bits grow slower than pixels: by this power.
const BITS_PER_PIXEL_POWER: f64 = 0.75;
/// No rung goes below.
const LEAST_BITRATE: f64 = 64_000.0;

/// The video ladder, smallest rung first; never empty.
pub fn video_ladder(source: Picture) -> Vec<Rung> {
    let mut rungs: Vec<Rung> = Vec::new();
    let mut pixels_below = 0.0;
    for bound in &BOUNDS {
        let (width, height, touches) = fit(source.width, source.height, bound);
        let pixels = f64::from(width) * f64::from(height);
        if !rungs.is_empty() && pixels < pixels_below * WORTHWHILE {
            continue;
        }
        let name = if touches { bound.name.to_owned() } else { format!("{}p", width.min(height)) };
        if rungs.iter().any(|rung| rung.name == name) {
            continue;
        }
        pixels_below = pixels;
        let every = if source.rate.fps() > bound.max_fps + 0.01 { 2 } else { 1 };
        let gop = gop_frames(source.rate) / every;
        let share = (pixels / (f64::from(bound.width) * f64::from(bound.height))).min(1.0);
        let mut average = f64::from(bound.average) * share.powf(BITS_PER_PIXEL_POWER);
        if let Some(bitrate) = source.bitrate {
            let of_source = pixels / (f64::from(source.width) * f64::from(source.height)).max(1.0);
            average = average.min(bitrate as f64 * of_source.min(1.0).powf(BITS_PER_PIXEL_POWER));
        }
        let average = average.max(LEAST_BITRATE).min(f64::from(bound.average));
        let max = average * f64::from(bound.max) / f64::from(bound.average);
        rungs.push(Rung {
            name,
            width,
            height,
            rate: source.rate.divided(every),
            every,
            gop,
            bitrate: average as u32,
            max_bitrate: max as u32,
        });
    }
    rungs
}

/// The audio ladder, smallest first.
pub fn audio_ladder() -> Vec<AudioRung> {
    [64_000, 128_000]
        .into_iter()
        .map(|bitrate| AudioRung { name: format!("audio-{}k", bitrate / 1000), bitrate })
        .collect()
}

/// Which rung is encoded first, as an index: the smallest that is worth watching, the
/// one of 640x360, or the only one of a smaller source.
pub fn watchable(rungs: &[Rung]) -> usize {
    rungs.len().saturating_sub(1).min(1)
}

/// Frames of the ladder's rate in one segment: 2 s, as nearly as whole frames allow, but at
/// most 0.5 s more (Apple's authoring specification, 7.7) unless a single frame lasts longer;
/// even where a rung takes every other frame.
pub fn gop_frames(rate: Rate) -> u32 {
    let nearest = (rate.fps() * SEGMENT_SECONDS).round();
    let most = (rate.fps() * (SEGMENT_SECONDS + 0.5)).floor();
    let frames = nearest.min(most).max(1.0) as u32;
    if rate.fps() > 30.01 { frames.next_multiple_of(2) } else { frames }
}

/// The constant rate a source is encoded with. `nominal` is what its headers say,
/// `measured` the usual distance of its frames as frames a second. Headers win where they
/// say a usual rate that the frames do not contradict.
pub fn output_rate(nominal: Option<Rate>, measured: Option<f64>) -> Rate {
    let believable = nominal.filter(|rate| (0.2..=240.0).contains(&rate.fps()));
    let measured = measured.filter(|fps| (0.2..=240.0).contains(fps));
    let rate = match (believable, measured) {
        (Some(rate), Some(fps)) if is_usual(rate) && (fps / rate.fps() - 1.0).abs() < 0.1 => rate,
        (_, Some(fps)) => snap(fps),
        (Some(rate), None) if rate.den <= 1_001 && rate.num <= 240_000 => rate,
        (Some(rate), None) => snap(rate.fps()),
        (None, None) => Rate::new(25, 1),
    };
    let divisor = (1..).find(|by| rate.divided(*by).fps() <= 60.01).unwrap_or(1);
    rate.divided(divisor)
}

/// Rates that cameras and editors make.
const USUAL: [(u32, u32); 15] = [
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1_001),
    (24, 1),
    (25, 1),
    (30_000, 1_001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1_001),
    (60, 1),
    (100, 1),
    (120, 1),
];

/// Whether a rate is one of those that cameras and editors make.
pub fn is_usual(rate: Rate) -> bool {
    USUAL.into_iter().any(|(num, den)| rate == Rate::new(num, den))
}

/// The usual rate nearest to `fps`, or `fps` itself in whole thousandths.
fn snap(fps: f64) -> Rate {
    let nearest = USUAL
        .into_iter()
        .map(|(num, den)| Rate::new(num, den))
        .min_by(|a, b| (a.fps() - fps).abs().total_cmp(&(b.fps() - fps).abs()));
    match nearest {
        Some(rate) if (rate.fps() / fps - 1.0).abs() < 0.03 => rate,
        _ => Rate::new((fps * 1000.0).round() as u32, 1000),
    }
}

/// The largest even size with the source's shape inside the bound, which is turned for
/// portraits. Also whether it reaches an edge of the bound (the source's size did not
/// limit it).
fn fit(width: u32, height: u32, bound: &Bound) -> (u32, u32, bool) {
    let (bound_width, bound_height) =
        if width >= height { (bound.width, bound.height) } else { (bound.height, bound.width) };
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let scale = (f64::from(bound_width) / w).min(f64::from(bound_height) / h);
    let limited = scale.min(1.0);
    let touches = scale <= 1.0;
    (even(w * limited, width), even(h * limited, height), touches)
}

/// The nearest even number, not above `limit` unless that is below 16.
fn even(value: f64, limit: u32) -> u32 {
    let nearest = ((value / 2.0).round() as u32).saturating_mul(2);
    nearest.min(limit & !1).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picture(width: u32, height: u32, num: u32, den: u32) -> Picture {
        Picture { width, height, rate: Rate::new(num, den), bitrate: None }
    }

    fn sizes(rungs: &[Rung]) -> Vec<(&str, u32, u32)> {
        rungs.iter().map(|rung| (rung.name.as_str(), rung.width, rung.height)).collect()
    }

    #[test]
    fn full_hd_gets_the_whole_table() {
        let rungs = video_ladder(picture(1920, 1080, 25, 1));
        assert_eq!(
            sizes(&rungs),
            [
                ("234p", 416, 234),
                ("360p", 640, 360),
                ("540p", 960, 540),
                ("720p", 1280, 720),
                ("1080p", 1920, 1080)
            ]
        );
        let bitrates: Vec<_> = rungs.iter().map(|rung| (rung.bitrate, rung.max_bitrate)).collect();
        assert_eq!(
            bitrates,
            [
                (145_000, 190_000),
                (730_000, 1_100_000),
                (2_000_000, 3_000_000),
                (3_000_000, 4_500_000),
                (6_000_000, 9_000_000)
            ]
        );
        assert_eq!(rungs[watchable(&rungs)].name, "360p");
    }

    #[test]
    fn four_k_is_capped_at_full_hd() {
        assert_eq!(video_ladder(picture(3840, 2160, 25, 1)).last().map(|r| r.height), Some(1080));
    }

    #[test]
    fn an_odd_size_becomes_even_without_growing() {
        assert_eq!(sizes(&video_ladder(picture(641, 361, 25, 1))), [("234p", 416, 234), ("360p", 640, 360)]);
        assert_eq!(sizes(&video_ladder(picture(301, 201, 25, 1))), [("200p", 300, 200)]);
    }

    #[test]
    fn a_size_between_two_rungs_is_kept_and_named_by_its_lines() {
        assert_eq!(
            sizes(&video_ladder(picture(854, 480, 25, 1))),
            [("234p", 416, 234), ("360p", 640, 360), ("480p", 854, 480)]
        );
    }

    #[test]
    fn a_portrait_turns_the_bounds() {
        assert_eq!(
            sizes(&video_ladder(picture(720, 1280, 30, 1))),
            [("234p", 234, 416), ("360p", 360, 640), ("540p", 540, 960), ("720p", 720, 1280)]
        );
    }

    #[test]
    fn small_rungs_of_fast_sources_take_every_other_frame() {
        let rungs = video_ladder(picture(1280, 720, 60_000, 1_001));
        let rates: Vec<_> = rungs.iter().map(|r| (r.rate.num, r.rate.den, r.gop)).collect();
        assert_eq!(
            rates,
            [(30_000, 1_001, 60), (30_000, 1_001, 60), (60_000, 1_001, 120), (60_000, 1_001, 120)]
        );
    }

    #[test]
    fn a_group_of_pictures_lasts_two_seconds() {
        assert_eq!(gop_frames(Rate::new(30_000, 1_001)), 60);
        assert_eq!(gop_frames(Rate::new(24_000, 1_001)), 48);
        assert_eq!(gop_frames(Rate::new(25, 1)), 50);
        assert_eq!(gop_frames(Rate::new(1, 5)), 1);
    }

    #[test]
    fn two_slow_frames_that_would_last_too_long_are_two_groups() {
        assert_eq!(gop_frames(Rate::new(1_143, 1_430)), 1);
        assert_eq!(gop_frames(Rate::new(4, 5)), 2);
    }

    #[test]
    fn a_thin_source_is_not_inflated() {
        let rungs = video_ladder(Picture { bitrate: Some(1_000_000), ..picture(1920, 1080, 25, 1) });
        assert_eq!(rungs.last().map(|r| r.bitrate), Some(1_000_000));
        assert!(rungs.windows(2).all(|pair| pair[0].bitrate <= pair[1].bitrate));
    }

    #[test]
    fn headers_are_believed_unless_the_frames_contradict_them() {
        assert_eq!(output_rate(Some(Rate::new(30_000, 1_001)), Some(29.97)), Rate::new(30_000, 1_001));
        assert_eq!(output_rate(Some(Rate::new(90_000, 1)), Some(24.9)), Rate::new(25, 1));
        assert_eq!(output_rate(None, Some(23.98)), Rate::new(24_000, 1_001));
        assert_eq!(output_rate(Some(Rate::new(120, 1)), None), Rate::new(60, 1));
        assert_eq!(output_rate(Some(Rate::new(60, 1)), Some(30.0)), Rate::new(30, 1));
        assert_eq!(output_rate(None, None), Rate::new(25, 1));
    }

    proptest! {
        #[test]
        fn every_ladder_keeps_the_rules(
            width in 1u32..9000, height in 1u32..9000, num in 1u32..300_000, den in 1u32..2000,
            bitrate in proptest::option::of(0u64..100_000_000),
        ) {
            let rate = output_rate(Some(Rate::new(num, den)), None);
            prop_assert!(rate.fps() <= 60.02);
            let rungs = video_ladder(Picture { width, height, rate, bitrate });
            prop_assert!(!rungs.is_empty());
            for rung in &rungs {
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0);
                prop_assert!(rung.width <= width.max(16) && rung.height <= height.max(16));
                prop_assert!(rung.bitrate <= rung.max_bitrate && rung.bitrate >= 64_000);
                prop_assert!(rung.gop >= 1);
                let seconds = f64::from(rung.gop) / rung.rate.fps();
                prop_assert!(seconds <= 2.5 || rung.gop == 1, "{seconds}");
                prop_assert!((seconds - f64::from(gop_frames(rate)) / rate.fps()).abs() < 1e-9);
            }
            let mut names: Vec<_> = rungs.iter().map(|rung| rung.name.clone()).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), rungs.len());
            prop_assert!(watchable(&rungs) < rungs.len());
        }
    }
}
