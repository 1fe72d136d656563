//! What an operator can set for storage-fs. Never reads a file or the environment.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::settings::ByteSize;

/// Settings of `storage-fs`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of the objects, `<root>/<bucket>/<key>`; relative to the working directory. It must be one
    /// file system. Not set: `objects` in the plugin's data directory.
    pub root: Option<PathBuf>,
    /// Below this much free space writes are refused with 507 and the component `disk` is degraded.
    pub min_free: ByteSize,
    /// Write resumable uploads past the page cache (O_DIRECT), which costs less CPU and evicts nothing that is
    /// being served. File systems that cannot do it are noticed and written to the ordinary way.
    pub direct_io: bool,
    /// Memory for small objects (up to 2 MiB) that are asked for again and again; 0 turns it off.
    pub cache: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { root: None, min_free: ByteSize::mib(256), direct_io: true, cache: ByteSize::mib(32) }
    }
}
