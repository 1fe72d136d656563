//! Which renditions a source gets: pure arithmetic from its properties, after the table of the project's
//! video rules. Never upscales, never exceeds the source's frame rate, and never touches media itself. The
//! source's bit rate is no limit: a rendition has a key frame every two seconds, which costs a slide show or
//! a screen recording many times the bits of its source, with few key frames.

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

    /// The time of frame `index`, in nanoseconds, rounded to the nearest.
    pub fn time_ns(self, index: u64) -> u64 {
        let num = u128::from(self.num);
        ((u128::from(index) * u128::from(self.den) * 1_000_000_000 + num / 2) / num) as u64
    }

    /// The frame shown at `time_ns`, or the one nearest to it.
    pub(crate) fn index_at(self, time_ns: u64) -> u64 {
        let den = u128::from(self.den) * 1_000_000_000;
        ((u128::from(time_ns) * u128::from(self.num) + den / 2) / den) as u64
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

/// The properties of a source's video that the ladder needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture {
    /// After rotation, in square pixels.
    pub width: u32,
    /// As shown.
    pub height: u32,
    /// Constant frame rate after [`output_rate`].
    pub rate: Rate,
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
    /// `audio-128k`, `audio-2-128k`
    pub name: String,
    /// Bits a second.
    pub bitrate: u32,
    /// Which sound it belongs to: 0 is the default.
    pub track: u32,
}

/// Samples a second of every audio rendition.
pub const AUDIO_RATE: u32 = 48_000;
/// Channels of every audio rendition.
pub const AUDIO_CHANNELS: u32 = 2;
/// Samples in an AAC-LC access unit.
pub const AAC_FRAME: u64 = 1024;
/// Target duration of a segment, in seconds.
pub const SEGMENT_SECONDS: f64 = 2.0;

/// A rung of the table: the limits of a 16:9 video of this size.
struct Bound {
    width: u32,
    height: u32,
    average: u32,
    max: u32,
    max_fps: f64,
}

const BOUNDS: [Bound; 5] = [
    Bound { width: 416, height: 234, average: 145_000, max: 190_000, max_fps: 30.0 },
    Bound { width: 640, height: 360, average: 730_000, max: 1_100_000, max_fps: 30.0 },
    Bound { width: 960, height: 540, average: 2_000_000, max: 3_000_000, max_fps: 60.0 },
    Bound { width: 1280, height: 720, average: 3_000_000, max: 4_500_000, max_fps: 60.0 },
    Bound { width: 1920, height: 1080, average: 6_000_000, max: 9_000_000, max_fps: 60.0 },
];
const LARGEST: &Bound = &BOUNDS[BOUNDS.len() - 1];

/// A rung must have this many times the pixels of the one below to be worth its bits.
const WORTHWHILE: f64 = 1.2;
/// Bits grow slower than pixels: by this power.
const BITS_PER_PIXEL_POWER: f64 = 0.75;
/// Minimum bit rate of a rung.
const LEAST_BITRATE: f64 = 145_000.0;
/// Minimum macroblocks of a rung: fewer at rates from 80 to 160 kb/s would be level 1b (ITU-T H.264 table
/// A-1), which browsers do not support (`avc1.640009`).
const LEAST_OF_TINY: f64 = 192_000.0;
const TINY_MACROBLOCKS: u32 = 99;

/// The video ladder, smallest rung first; never empty. The largest rung has the source's own size, within the
/// table's largest; the others have the table's heights as their short side, so that portrait and wide videos
/// have as many lines as others of the same name.
pub fn video_ladder(source: Picture) -> Vec<Rung> {
    let (width, height) = within(source.width, source.height, LARGEST);
    let top = width.min(height);
    let smaller = BOUNDS.iter().take_while(|bound| bound.height < top).filter_map(|bound| {
        let (across, down) = of_short_side(source.width, source.height, bound.height);
        (pixels(across, down) * WORTHWHILE <= pixels(width, height)).then_some((bound, across, down))
    });
    let own = BOUNDS.iter().find(|bound| bound.height >= top).unwrap_or(LARGEST);
    smaller
        .chain([(own, width, height)])
        .map(|(bound, width, height)| rung(source.rate, bound, width, height))
        .collect()
}

fn rung(source: Rate, bound: &Bound, width: u32, height: u32) -> Rung {
    let every = if source.fps() > bound.max_fps + 0.01 { 2 } else { 1 };
    let share = pixels(width, height) / pixels(bound.width, bound.height);
    let average = f64::from(bound.average) * share.powf(BITS_PER_PIXEL_POWER);
    let is_tiny = width.div_ceil(16) * height.div_ceil(16) <= TINY_MACROBLOCKS;
    let least = if is_tiny { LEAST_OF_TINY } else { LEAST_BITRATE };
    let average = average.clamp(least, f64::from(LARGEST.average));
    let max = average * f64::from(bound.max) / f64::from(bound.average);
    Rung {
        name: format!("{}p", width.min(height)),
        width,
        height,
        rate: source.divided(every),
        every,
        gop: gop_frames(source) / every,
        bitrate: average as u32,
        max_bitrate: max as u32,
    }
}

fn pixels(width: u32, height: u32) -> f64 {
    f64::from(width) * f64::from(height)
}

/// The audio ladder of this many sounds: each one's rungs, smallest first.
pub fn audio_ladder(tracks: u32) -> Vec<AudioRung> {
    let rungs = |track: u32| {
        [64_000, 128_000].map(|bitrate| {
            let name = match track {
                0 => format!("audio-{}k", bitrate / 1000),
                _ => format!("audio-{}-{}k", track + 1, bitrate / 1000),
            };
            AudioRung { name, bitrate, track }
        })
    };
    (0..tracks).flat_map(rungs).collect()
}

/// The rung that is encoded first, as an index: the smallest watchable one, 640x360, or the only one of a
/// smaller source.
pub fn watchable(rungs: &[Rung]) -> usize {
    rungs.len().saturating_sub(1).min(1)
}

/// Frames of the ladder's rate in one segment: 2 s, as closely as whole frames allow, but at most 0.5 s more
/// (Apple's authoring specification, 7.7) unless a single frame lasts longer; also for a rung with every
/// other frame.
pub fn gop_frames(rate: Rate) -> u32 {
    let nearest = (rate.fps() * SEGMENT_SECONDS).round();
    let most = (rate.fps() * (SEGMENT_SECONDS + 0.5)).floor();
    let frames = nearest.min(most).max(1.0) as u32;
    if rate.fps() > 30.01 { frames.next_multiple_of(2) } else { frames }
}

/// The constant rate that a source is encoded with. `nominal` is from its headers, `measured` the median
/// distance of its frames as frames a second. Headers win if they state a standard rate that the frames do
/// not contradict.
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

/// Standard rates of cameras and editors.
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

/// Whether a rate is standard.
pub fn is_usual(rate: Rate) -> bool {
    USUAL.into_iter().any(|(num, den)| rate == Rate::new(num, den))
}

/// Whether it differs from a standard rate by at most this share.
pub(crate) fn is_near_usual(fps: f64, share: f64) -> bool {
    USUAL.into_iter().any(|(num, den)| (fps / Rate::new(num, den).fps() - 1.0).abs() <= share)
}

/// The standard rate nearest to `fps`, or `fps` itself in whole thousandths.
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

/// The largest even size with the source's aspect ratio, within the bound (rotated for portraits) and the
/// source's size.
fn within(width: u32, height: u32, bound: &Bound) -> (u32, u32) {
    let (bound_width, bound_height) =
        if width >= height { (bound.width, bound.height) } else { (bound.height, bound.width) };
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let scale = (f64::from(bound_width) / w).min(f64::from(bound_height) / h).min(1.0);
    (even(w * scale, width), even(h * scale, height))
}

/// The even size with the source's aspect ratio and this short side.
fn of_short_side(width: u32, height: u32, short: u32) -> (u32, u32) {
    let scale = f64::from(short) / f64::from(width.min(height).max(1));
    (even(f64::from(width) * scale, width), even(f64::from(height) * scale, height))
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
        Picture { width, height, rate: Rate::new(num, den) }
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
    fn upright_phones_and_wide_films_keep_their_own_size_and_the_lines_of_each_rung() {
        assert_eq!(
            sizes(&video_ladder(picture(720, 1600, 30, 1))),
            [("234p", 234, 520), ("360p", 360, 800), ("540p", 540, 1200), ("720p", 720, 1600)]
        );
        assert_eq!(
            sizes(&video_ladder(picture(1720, 720, 24, 1))),
            [("234p", 560, 234), ("360p", 860, 360), ("540p", 1290, 540), ("720p", 1720, 720)]
        );
        let film = video_ladder(picture(1920, 800, 24, 1));
        assert_eq!(sizes(&film)[3..], [("720p", 1728, 720), ("800p", 1920, 800)]);
        assert_eq!(film.last().map(|rung| rung.bitrate < 6_000_000), Some(true));
    }

    #[test]
    fn what_is_larger_than_the_largest_rung_is_fitted_into_it() {
        assert_eq!(sizes(&video_ladder(picture(3840, 1600, 24, 1))).last(), Some(&("800p", 1920, 800)));
        assert_eq!(sizes(&video_ladder(picture(1600, 3840, 24, 1))).last(), Some(&("800p", 800, 1920)));
        assert_eq!(sizes(&video_ladder(picture(4000, 300, 24, 1))), [("144p", 1920, 144)]);
    }

    #[test]
    fn the_own_size_of_a_source_wins_over_a_rung_that_is_nearly_as_large() {
        let names = |width, height| {
            video_ladder(picture(width, height, 25, 1)).into_iter().map(|rung| rung.name).collect::<Vec<_>>()
        };
        assert_eq!(names(1000, 562), ["234p", "360p", "562p"]);
        assert_eq!(names(1024, 576), ["234p", "360p", "576p"]);
        assert_eq!(names(1100, 620), ["234p", "360p", "540p", "620p"]);
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
        ) {
            let rate = output_rate(Some(Rate::new(num, den)), None);
            prop_assert!(rate.fps() <= 60.02);
            let rungs = video_ladder(Picture { width, height, rate });
            prop_assert!(!rungs.is_empty());
            for rung in &rungs {
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0);
                prop_assert!(rung.width <= width.max(16) && rung.height <= height.max(16));
                prop_assert!(rung.bitrate <= rung.max_bitrate && rung.max_bitrate <= 9_000_000);
                prop_assert!(rung.bitrate >= 145_000);
                prop_assert!(pixels(rung.width, rung.height) <= pixels(1920, 1080));
                prop_assert!(rung.gop >= 1);
                let seconds = f64::from(rung.gop) / rung.rate.fps();
                prop_assert!(seconds <= 2.5 || rung.gop == 1, "{seconds}");
                prop_assert!((seconds - f64::from(gop_frames(rate)) / rate.fps()).abs() < 1e-9);
            }
            prop_assert!(rungs.windows(2).all(|pair| pair[0].bitrate <= pair[1].bitrate));
            let mut names: Vec<_> = rungs.iter().map(|rung| rung.name.clone()).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), rungs.len());
            prop_assert!(watchable(&rungs) < rungs.len());
        }
    }
}
