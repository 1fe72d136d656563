//! The settings of the plugin and the checks of their values.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem, outside};

use crate::policy::is_queue;
use crate::schedule;

/// Settings of the `worker` plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// How long a lease lasts without a heartbeat, unless the worker requests another time.
    pub lease: Duration,
    /// Maximum lease that a worker may request.
    pub max_lease: Duration,
    /// How often a job is attempted, unless it was enqueued with another number.
    pub max_attempts: u32,
    /// How often a job may lose its worker (the server ended, or the worker stopped responding)
    /// before it is set aside as failed. Such an attempt does not count.
    pub max_interruptions: u32,
    /// How often a process that works on this job alone may crash before the job is set aside.
    /// Stopping, swapping or restarting it does not count.
    pub max_crashes: u32,
    /// Maximum running jobs of one owner in a queue, if `auth` has no limit (`plugins.auth.quotas`)
    /// or is unavailable; 0: unlimited.
    pub max_running_per_owner: u32,
    /// The wait after the first failure; it doubles with each further one, with jitter.
    pub backoff: Duration,
    /// Maximum wait between two attempts.
    pub max_backoff: Duration,
    /// How often expired leases and due schedules are checked.
    pub sweep_interval: Duration,
    /// How long completed and cancelled jobs are kept for inspection.
    pub retention: Duration,
    /// How long dead jobs are kept, for inspection and retries.
    pub dead_retention: Duration,
    /// Maximum size of the payload and of the result of a job.
    pub max_payload: ByteSize,
    /// Jobs that are enqueued on a schedule.
    pub schedules: Vec<Schedule>,
}

/// A job that is enqueued on a schedule. A run is skipped while the previous one has not ended;
/// missed runs are combined into one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name, unique among the schedules: `[a-z][a-z0-9-]*`.
    pub name: String,
    /// The queue that the job goes to.
    pub queue: String,
    /// Cron expression in UTC: minute, hour, day of month, month, day of week; an optional sixth
    /// field in front is seconds. `@daily` and similar names work too.
    pub cron: String,
    /// The job's payload.
    #[serde(default)]
    pub payload: serde_json::Value,
    /// The job's priority: higher first.
    #[serde(default)]
    pub priority: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::secs(30),
            max_lease: Duration::secs(3600),
            max_attempts: 5,
            max_interruptions: 100,
            max_crashes: 2,
            max_running_per_owner: 0,
            backoff: Duration::secs(5),
            max_backoff: Duration::secs(15 * 60),
            sweep_interval: Duration::secs(1),
            retention: Duration::secs(7 * 24 * 3600),
            dead_retention: Duration::secs(30 * 24 * 3600),
            max_payload: ByteSize::kib(256),
            schedules: Vec::new(),
        }
    }
}

impl Settings {
    /// All problems of these values.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let days = |days: u64| Duration::secs(days * 24 * 3600);
        let bounds = [
            outside("lease", self.lease, Duration::secs(1), self.max_lease),
            outside("max_lease", self.max_lease, Duration::secs(1), days(1)),
            outside("backoff", self.backoff, Duration::millis(10), self.max_backoff),
            outside("max_backoff", self.max_backoff, Duration::millis(10), days(7)),
            outside("sweep_interval", self.sweep_interval, Duration::millis(50), Duration::secs(60)),
            outside("retention", self.retention, Duration::secs(60), days(3650)),
            outside("dead_retention", self.dead_retention, Duration::secs(60), days(3650)),
            outside("max_attempts", self.max_attempts, 1, 10_000),
            outside("max_interruptions", self.max_interruptions, 1, 10_000),
            outside("max_crashes", self.max_crashes, 1, 10_000),
            outside("max_payload", self.max_payload, ByteSize::kib(1), ByteSize::mib(4)),
        ];
        let mut problems: Vec<_> = bounds.into_iter().flatten().collect();
        let mut say = |key: &str, message: String| problems.push(SettingsProblem::new(key, message));
        if self.max_running_per_owner > 10_000 {
            let count = self.max_running_per_owner;
            say("max_running_per_owner", format!("{count} is more than 10000; use 0 for no limit"));
        }
        let mut names = HashSet::new();
        for (index, schedule) in self.schedules.iter().enumerate() {
            let key = |field: &str| format!("schedules.{index}.{field}");
            if !is_queue(&schedule.name) {
                say(&key("name"), format!("`{}` is not [a-z][a-z0-9-]{{0,62}}", schedule.name));
            }
            if !names.insert(&schedule.name) {
                say(&key("name"), format!("`{}` is the name of two schedules", schedule.name));
            }
            if !is_queue(&schedule.queue) {
                say(&key("queue"), format!("`{}` is not [a-z][a-z0-9-]{{0,62}}", schedule.queue));
            }
            if let Err(error) = schedule::parse(&schedule.cron) {
                say(&key("cron"), error.to_string());
            }
            if schedule.payload.to_string().len() as u64 > self.max_payload.get() {
                say(
                    &key("payload"),
                    format!("the payload is larger than `max_payload` = {}", self.max_payload),
                );
            }
        }
        problems
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff.get(), longest: self.max_backoff.get() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys(toml: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(toml).unwrap();
        settings.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_defaults_have_no_problem() {
        assert!(Settings::default().problems().is_empty());
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let found = keys(serde_json::json!({
            "lease": "2h",
            "max_attempts": 0,
            "max_payload": "1GiB",
            "schedules": [
                { "name": "a", "queue": "Q", "cron": "61 * * * *" },
                { "name": "a", "queue": "q", "cron": "@daily" },
            ],
        }));
        let expected = [
            "lease",
            "max_attempts",
            "max_payload",
            "schedules.0.queue",
            "schedules.0.cron",
            "schedules.1.name",
        ];
        assert_eq!(found, expected);
    }
}
