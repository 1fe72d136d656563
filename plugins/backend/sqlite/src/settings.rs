//! The settings of the plugin and the checks of their values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_plugin_api::grants::Grants;
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem, outside};

use crate::connection::LinkOptions;

/// Settings of the `sqlite` plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// Maximum concurrent queries per namespace, each on its own connection.
    pub readers: u32,
    /// How many batches of one namespace may wait for the writer; further ones wait outside the
    /// queue.
    pub queue: u32,
    /// How long a call waits for its turn before it is answered UNAVAILABLE.
    pub queue_timeout: Duration,
    /// Maximum number of waiting batches that are committed with one fsync.
    pub group: u32,
    /// How long the statements of one batch, or one query, may run in total.
    pub statement_timeout: Duration,
    /// Maximum number of rows that one call returns; more are an error, never silently truncated.
    pub max_rows: u32,
    /// Maximum size of the result of one call.
    pub max_result_size: ByteSize,
    /// Maximum number of statements in a batch.
    pub max_statements: u32,
    /// Maximum number of namespaces, each of which is a file.
    pub max_namespaces: u32,
    /// Maximum size of the file of a namespace; 0 means as large as the disk allows.
    pub max_file_size: ByteSize,
    /// Page cache of each connection.
    pub cache_size: ByteSize,
    /// Size of the write-ahead log at which it is written back into the file.
    pub checkpoint_size: ByteSize,
    /// Free space on the disk below which this plugin is degraded.
    pub min_free_space: ByteSize,
    /// Space on the disk that is reserved for deletions, so that a full disk can be emptied: a file
    /// beside the databases. While it is in use, other writes are refused. 0 reserves nothing.
    pub reserve: ByteSize,
    /// Check when a namespace is opened: `off`, `quick` (structure) or `full` (indexes too). SQLite
    /// recovers from a crash in any case; a check reads the whole file.
    pub check_on_open: CheckOnOpen,
    /// Namespaces that other plugins may use, in addition to the namespace of their own name: by
    /// namespace, then by plugin, "read" or "write".
    pub grants: Grants,
}

/// How thoroughly a file is checked when it is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckOnOpen {
    /// Not at all.
    #[default]
    Off,
    /// The structure of tables and indexes.
    Quick,
    /// That, and whether the indexes match their tables.
    Full,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            readers: 4,
            queue: 1024,
            queue_timeout: Duration::secs(5),
            group: 256,
            statement_timeout: Duration::secs(10),
            max_rows: 10_000,
            max_result_size: ByteSize::mib(16),
            max_statements: 10_000,
            max_namespaces: 64,
            max_file_size: ByteSize::bytes(0),
            cache_size: ByteSize::mib(1),
            checkpoint_size: ByteSize::mib(4),
            min_free_space: ByteSize::mib(256),
            reserve: ByteSize::mib(16),
            check_on_open: CheckOnOpen::Off,
            grants: Grants::new(),
        }
    }
}

impl Settings {
    /// All problems of these values.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        for (key, value, most) in [
            ("readers", self.readers, 64),
            ("queue", self.queue, 65_536),
            ("group", self.group, 4096),
            ("max_rows", self.max_rows, 1_000_000),
            ("max_statements", self.max_statements, 100_000),
            ("max_namespaces", self.max_namespaces, 1024),
        ] {
            problems.extend(outside(key, value, 1, most));
        }
        for (key, value) in
            [("queue_timeout", self.queue_timeout), ("statement_timeout", self.statement_timeout)]
        {
            problems.extend(outside(key, value, Duration::millis(1), Duration::secs(600)));
        }
        let message = MAX_MESSAGE_BYTES as u64;
        for (key, value, least, most) in [
            ("max_result_size", self.max_result_size, 64 << 10, message - (1 << 20)),
            ("cache_size", self.cache_size, 64 << 10, 4 << 30),
            ("checkpoint_size", self.checkpoint_size, 64 << 10, 4 << 30),
        ] {
            problems.extend(outside(key, value, ByteSize::bytes(least), ByteSize::bytes(most)));
        }
        let reserve = self.reserve.get();
        if reserve != 0 && !(4 << 20..=4 << 30).contains(&reserve) {
            let text = format!("{} is not between 4MiB and 4GiB; use 0 for none", self.reserve);
            problems.push(SettingsProblem::new("reserve", text));
        }
        let file = self.max_file_size.get();
        if file != 0 && file < 1 << 20 {
            problems.push(SettingsProblem::new(
                "max_file_size",
                format!("{} is less than 1MiB; use 0 for no limit", self.max_file_size),
            ));
        }
        problems
    }

    pub(crate) fn link_options(&self) -> LinkOptions {
        LinkOptions {
            cache_bytes: self.cache_size.get(),
            checkpoint_bytes: self.checkpoint_size.get(),
            max_file_bytes: self.max_file_size.get(),
            busy_timeout: self.queue_timeout.get(),
            statement_timeout: self.statement_timeout.get(),
        }
    }
}
