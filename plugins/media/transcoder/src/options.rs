//! How to encode, and within which limits.

use std::time::Duration;

/// How often a source is decoded.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Passes {
    /// Once, unless it is long: then the smallest watchable rung first.
    #[default]
    Auto,
    /// Once, all rungs side by side.
    One,
    /// The smallest watchable rung and sound first, then the rest.
    Two,
}

/// How to encode, and within which limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// x264 speed preset.
    pub preset: String,
    /// x264 constant rate factor, 0 (lossless) to 50; the rungs' bit rates cap it.
    pub quality: u32,
    /// Threads of each video encoder; 0 shares the processors out by size. With more than one x264 does not always
    /// choose the same bits for the same frames where a rate bound holds.
    pub threads: u32,
    /// Niceness of the media threads, 0 to 19, once the first segments are there.
    pub nice: i32,
    /// Passes over the source.
    pub passes: Passes,
    /// With [`Passes::Auto`], sources at least this long get two passes.
    pub two_passes_from: Duration,
    /// Longest source.
    pub max_duration: Duration,
    /// Most pixels of a picture.
    pub max_pixels: u64,
    /// Most bytes of a source.
    pub max_bytes: u64,
    /// Longest time an encode may take.
    pub max_wall_time: Duration,
    /// Streams of a source that are looked at.
    pub max_streams: usize,
    /// Sounds of a source that viewers may choose from.
    pub max_sound_tracks: usize,
    /// Longest time without any progress.
    pub stall_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preset: "veryfast".to_owned(),
            quality: 23,
            threads: 0,
            nice: 10,
            passes: Passes::Auto,
            two_passes_from: Duration::from_secs(20 * 60),
            max_duration: Duration::from_secs(12 * 3600),
            max_pixels: 8192 * 4352,
            max_bytes: 1 << 40,
            max_wall_time: Duration::from_secs(24 * 3600),
            max_streams: 128,
            max_sound_tracks: 8,
            stall_timeout: Duration::from_secs(30),
        }
    }
}
