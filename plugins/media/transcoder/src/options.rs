//! Encoding options and limits.

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
    /// All rungs side by side in one pass.
    One,
    /// The smallest watchable rung and sound first, then the rest.
    Two,
}

/// Encoding options and limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// x264 speed preset.
    pub preset: String,
    /// x264 constant rate factor, 0 (lossless) to 50; the rungs' bit rates cap it.
    pub quality: u32,
    /// Threads of each video encoder; 0 distributes the processors by size. With more than one, x264 does not
    /// always choose the same bits for the same frames where a rate limit applies.
    pub threads: u32,
    /// Niceness of the media threads, 0 to 19, once the first segments are there.
    pub nice: i32,
    /// Passes over the source.
    pub passes: Passes,
    /// With [`Passes::Auto`], sources at least this long get two passes.
    pub two_passes_from: Duration,
    /// Maximum length of a source.
    pub max_duration: Duration,
    /// Maximum pixels of a picture.
    pub max_pixels: u64,
    /// Maximum bytes of a source.
    pub max_bytes: u64,
    /// Maximum time of an encode.
    pub max_wall_time: Duration,
    /// Maximum streams of a source that are read.
    pub max_streams: usize,
    /// Maximum sounds of a source that viewers may choose from.
    pub max_sound_tracks: usize,
    /// Maximum time without progress.
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
