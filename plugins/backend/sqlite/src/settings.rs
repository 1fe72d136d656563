//! The settings of the plugin, and what a value of the right type may still get wrong.

use std::time;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_plugin_api::grants::Grants;
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem};

use crate::connection::LinkOptions;

/// Settings of the `sqlite` plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// How many queries of one namespace run at the same time, each on a connection of its own.
    pub readers: u32,
    /// How many batches of one namespace may wait for the writer; more wait outside.
    pub queue: u32,
    /// How long a call waits for its turn before it is answered UNAVAILABLE.
    pub queue_timeout: Duration,
    /// How many waiting batches at most become durable with one fsync.
    pub group: u32,
    /// How long the statements of one batch, or one query, may run together.
    pub statement_timeout: Duration,
    /// How many rows one call may hand out; more are an error, never a silent cut.
    pub max_rows: u32,
    /// How many bytes one call may hand out.
    pub max_result_size: ByteSize,
    /// How many statements a batch may have.
    pub max_statements: u32,
    /// How many namespaces, and with them files, there may be.
    pub max_namespaces: u32,
    /// How large the file of a namespace may grow; 0 means as large as the disk allows.
    pub max_file_size: ByteSize,
    /// Memory for pages of each connection.
    pub cache_size: ByteSize,
    /// How large the write-ahead log grows before it is written back into the file.
    pub checkpoint_size: ByteSize,
    /// Free space on the disk below which this plugin reports itself as degraded.
    pub min_free_space: ByteSize,
    /// Room on the disk that is set aside for deletions, so that a full disk can be emptied: a file
    /// beside the databases. While it is in use, other writes are refused. 0 sets nothing aside.
    pub reserve: ByteSize,
    /// What is checked when a namespace is opened: `off`, `quick` (structure) or `full` (indexes
    /// too). SQLite repairs what a crash left behind in any case; a check reads the whole file.
    pub check_on_open: CheckOnOpen,
    /// Namespaces that are open to other plugins than the one of the same name: by namespace, then by
    /// plugin, `read` or `write`. Without it a plugin reaches its own and no other.
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
    /// Everything that is wrong with these values.
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
            if value == 0 || value > most {
                problems.push(SettingsProblem::new(key, format!("{value} is not between 1 and {most}")));
            }
        }
        for (key, value) in
            [("queue_timeout", self.queue_timeout), ("statement_timeout", self.statement_timeout)]
        {
            if value.get().is_zero() || value.get() > time::Duration::from_secs(600) {
                problems.push(SettingsProblem::new(key, format!("{value} is not between 1ms and 10m")));
            }
        }
        let message = MAX_MESSAGE_BYTES as u64;
        for (key, value, least, most) in [
            ("max_result_size", self.max_result_size, 64 << 10, message - (1 << 20)),
            ("cache_size", self.cache_size, 64 << 10, 4 << 30),
            ("checkpoint_size", self.checkpoint_size, 64 << 10, 4 << 30),
        ] {
            if !(least..=most).contains(&value.get()) {
                let (least, most) = (ByteSize::bytes(least), ByteSize::bytes(most));
                problems
                    .push(SettingsProblem::new(key, format!("{value} is not between {least} and {most}")));
            }
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
