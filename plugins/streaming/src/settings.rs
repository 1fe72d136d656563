//! What `plugins.toml` may say under `[plugins.streaming]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration};

/// Settings of the `streaming` plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Memory for segments that are asked for again and again. "0B" keeps none.
    pub segment_cache: ByteSize,
    /// Segments larger than this are streamed from storage and never kept in memory. At most an eighth of segment_cache is used.
    pub segment_cache_max_object: ByteSize,
    /// Memory for what is known of contents: the rows of their segments, playlists and manifests.
    pub timeline_cache: ByteSize,
    /// The longest time that something known of a complete content is served without asking the catalogue. Changes and deletions are seen at once through events; this bounds what a lost event can do.
    pub timeline_max_age: Duration,
    /// The same for a content that still grows.
    pub growing_max_age: Duration,
    /// How long players and proxies may keep the playlists and manifest of a complete content.
    pub playlist_max_age: Duration,
    /// What playlists announce as the longest segment, at least. A content with longer segments announces those.
    pub target_duration: Duration,
    /// How long the catalogue may take to answer.
    pub catalogue_timeout: Duration,
    /// How long storage may take to deliver a segment into memory, or to begin one that is streamed.
    pub storage_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_cache: ByteSize::mib(64),
            segment_cache_max_object: ByteSize::mib(8),
            timeline_cache: ByteSize::mib(32),
            timeline_max_age: Duration::secs(10),
            growing_max_age: Duration::secs(1),
            playlist_max_age: Duration::secs(60),
            target_duration: Duration::secs(2),
            catalogue_timeout: Duration::secs(5),
            storage_timeout: Duration::secs(30),
        }
    }
}

impl Settings {
    /// Everything wrong with them.
    pub(crate) fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, key: &str, message: String| {
            if !holds {
                problems.push(SettingsProblem::new(key, message));
            }
        };
        let target = self.target_duration.get();
        demand(
            target.subsec_nanos() == 0 && (1..=60).contains(&target.as_secs()),
            "target_duration",
            format!("`{}` is not a whole number of seconds from 1 to 60", self.target_duration),
        );
        for (key, value) in [
            ("timeline_max_age", self.timeline_max_age),
            ("growing_max_age", self.growing_max_age),
            ("catalogue_timeout", self.catalogue_timeout),
            ("storage_timeout", self.storage_timeout),
        ] {
            demand(
                !value.is_zero() && value.as_secs() <= 3600,
                key,
                format!("`{value}` must be more than nothing and at most 1h"),
            );
        }
        demand(
            self.playlist_max_age.as_secs() <= 86_400,
            "playlist_max_age",
            format!(
                "`{}` is longer than a day; deleted contents would live on in proxies",
                self.playlist_max_age
            ),
        );
        demand(
            self.timeline_cache.get() >= 1 << 20,
            "timeline_cache",
            format!(
                "`{}` is too little for the rows of one long content; give it 1MiB or more",
                self.timeline_cache
            ),
        );
        problems
    }

    /// The target duration in seconds.
    pub(crate) fn floor(&self) -> u64 {
        self.target_duration.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem() {
        assert!(Settings::default().problems().is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let settings = Settings {
            target_duration: Duration::millis(1500),
            timeline_max_age: Duration::secs(0),
            growing_max_age: Duration::secs(7200),
            playlist_max_age: Duration::secs(90_000),
            timeline_cache: ByteSize::kib(3),
            ..Settings::default()
        };
        let keys: Vec<_> = settings.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            ["target_duration", "timeline_max_age", "growing_max_age", "playlist_max_age", "timeline_cache"]
        );
    }
}
