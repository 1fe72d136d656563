//! The operator's settings, with defaults for a small machine. It never reads files or the environment: the
//! kernel passes the values.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration, outside};

use crate::encode::Options;
use crate::encode::Passes;

/// Settings of the transcoder.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Contents encoded at the same time; 0 means one per four processors, at least one.
    pub jobs: usize,
    /// x264 speed preset of all rungs: ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow.
    pub preset: String,
    /// x264 constant rate factor, 1 (best) to 50; the bit rates of the ladder limit the size.
    pub quality: u32,
    /// Threads of each video encoder; 0 distributes the processors by size. Renditions of up to 360
    /// lines use one. With more than one, the frames are the same each time, but their bytes may
    /// differ where a rate limit applies.
    pub encoder_threads: u32,
    /// Priority of encoding relative to everything else on the machine: 0 (equal) to 19 (lowest).
    pub nice: i32,
    /// Passes over a source: "one" encodes all rungs side by side, "two" the smallest watchable one
    /// and audio first, "auto" uses two for sources that are long or heavy.
    pub passes: Passes,
    /// With passes = "auto": sources at least this long use two passes.
    pub two_passes_from: Duration,
    /// Maximum length of a source.
    pub max_duration: Duration,
    /// Maximum size of a source.
    pub max_bytes: ByteSize,
    /// Maximum pixels of a source's video (width times height).
    pub max_pixels: u64,
    /// Maximum number of streams of a source that are read.
    pub max_streams: usize,
    /// Maximum audio tracks of a source that viewers can choose from (languages, commentaries); the
    /// others are left out.
    pub max_sound_tracks: usize,
    /// Maximum time of one encode.
    pub max_wall_time: Duration,
    /// An encode without progress for this long is aborted.
    pub stall_timeout: Duration,
    /// How long the lease of a job lasts without a heartbeat.
    pub lease: Duration,
    /// How long a job waits on a full disk before it checks again.
    pub no_room_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let options = Options::default();
        Self {
            jobs: 0,
            preset: options.preset,
            quality: options.quality,
            encoder_threads: options.threads,
            nice: options.nice,
            passes: options.passes,
            two_passes_from: Duration::secs(options.two_passes_from.as_secs()),
            max_duration: Duration::secs(options.max_duration.as_secs()),
            max_bytes: ByteSize::bytes(options.max_bytes),
            max_pixels: options.max_pixels,
            max_streams: options.max_streams,
            max_sound_tracks: options.max_sound_tracks,
            max_wall_time: Duration::secs(options.max_wall_time.as_secs()),
            stall_timeout: Duration::secs(options.stall_timeout.as_secs()),
            lease: Duration::secs(10),
            no_room_pause: Duration::secs(20),
        }
    }
}

const PRESETS: [&str; 9] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];

impl Settings {
    /// All problems beyond the types.
    pub(crate) fn problems(&self) -> Vec<SettingsProblem> {
        let preset = self.preset.as_str();
        let no_preset = || {
            let text = format!("`{preset}` is not an x264 preset; choose one of {}", PRESETS.join(", "));
            SettingsProblem::new("preset", text)
        };
        let bounds = [
            (!PRESETS.contains(&preset)).then(no_preset),
            outside("quality", self.quality, 1, 50),
            outside("nice", self.nice, 0, 19),
            outside("max_sound_tracks", self.max_sound_tracks, 1, 32),
            outside("lease", self.lease, Duration::secs(3), Duration::secs(600)),
            outside("no_room_pause", self.no_room_pause, Duration::secs(1), Duration::secs(600)),
        ];
        let mut problems: Vec<_> = bounds.into_iter().flatten().collect();
        let mut check = |good: bool, key: &str, message: String| {
            if !good {
                problems.push(SettingsProblem::new(key, message));
            }
        };
        check(self.jobs <= 64, "jobs", format!("{} is more than 64", self.jobs));
        check(
            self.encoder_threads <= 128,
            "encoder_threads",
            format!("{} is more than 128", self.encoder_threads),
        );
        check(self.max_pixels >= 256, "max_pixels", "no picture has fewer than 256 pixels".to_owned());
        check(self.max_streams >= 1, "max_streams", "0 would refuse every file; set at least 1".to_owned());
        check(self.max_bytes.get() >= 1, "max_bytes", "0 would refuse every file; set at least 1".to_owned());
        for (key, value, least) in [
            ("max_duration", self.max_duration, 1),
            ("max_wall_time", self.max_wall_time, 1),
            ("stall_timeout", self.stall_timeout, 5),
        ] {
            check(value.get().as_secs() >= least, key, format!("is too short; set at least {least}s"));
        }
        problems
    }

    /// Contents encoded concurrently on this machine.
    pub(crate) fn slots(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        if self.jobs > 0 { self.jobs } else { (processors / 4).max(1) }
    }

    /// The engine's part of the settings.
    pub(crate) fn options(&self) -> Options {
        Options {
            preset: self.preset.clone(),
            quality: self.quality,
            threads: self.encoder_threads,
            nice: self.nice,
            passes: self.passes,
            two_passes_from: self.two_passes_from.get(),
            max_duration: self.max_duration.get(),
            max_pixels: self.max_pixels,
            max_bytes: self.max_bytes.get(),
            max_wall_time: self.max_wall_time.get(),
            max_streams: self.max_streams,
            max_sound_tracks: self.max_sound_tracks,
            stall_timeout: self.stall_timeout.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problems() {
        assert_eq!(Settings::default().problems(), []);
        assert!(Settings::default().slots() >= 1);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let settings = Settings {
            preset: "turbo".to_owned(),
            quality: 99,
            nice: -5,
            stall_timeout: Duration::secs(0),
            ..Settings::default()
        };
        let keys: Vec<_> = settings.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["preset", "quality", "nice", "stall_timeout"]);
    }
}
