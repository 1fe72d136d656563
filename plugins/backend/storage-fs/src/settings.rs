//! The operator's settings of storage-fs. Never reads a file or the environment.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use streamgate_plugin_api::grants::{Access, Grants};
use streamgate_plugin_api::settings::ByteSize;

/// Settings of `storage-fs`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of the objects, `<root>/<bucket>/<key>`; relative to the working directory. It
    /// must be one file system. Default: `objects` in the plugin's data directory.
    pub root: Option<PathBuf>,
    /// Free space that is reserved. Below it, writes are refused with 507 and the component `disk`
    /// is degraded.
    pub min_free: ByteSize,
    /// Write resumable uploads past the page cache (O_DIRECT), which uses less CPU and evicts
    /// nothing that is being served. File systems without support are detected and written
    /// normally.
    pub direct_io: bool,
    /// Memory for small, frequently read objects (up to 2 MiB); 0 disables it.
    pub cache: ByteSize,
    /// Buckets that other plugins may use, in addition to the bucket of their own name: by bucket,
    /// then by plugin, "read" or "write". The bucket of contents is open to the plugins that
    /// produce, keep and deliver them; a setting for a bucket replaces its default.
    #[serde(deserialize_with = "with_built_in")]
    pub grants: Grants,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: None,
            min_free: ByteSize::mib(256),
            direct_io: true,
            cache: ByteSize::mib(32),
            grants: grants(),
        }
    }
}

/// The buckets that the plugins which produce, keep and deliver contents need.
fn grants() -> Grants {
    let of_media = [
        ("upload", Access::Write),
        ("transcoder", Access::Write),
        ("metadata", Access::Write),
        ("streaming", Access::Read),
        ("registry-evm", Access::Read),
    ];
    let of_uploads = [("upload", Access::Write)];
    let named = |(plugin, access): (&str, Access)| (plugin.to_owned(), access);
    let of_media = of_media.into_iter().map(named).collect();
    let of_uploads = of_uploads.into_iter().map(named).collect();
    [("media".to_owned(), of_media), ("uploads".to_owned(), of_uploads)].into()
}

/// A grant for another bucket must not remove that of contents.
fn with_built_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Grants, D::Error> {
    let mut all = grants();
    all.extend(Grants::deserialize(deserializer)?);
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn opening_another_bucket_leaves_that_of_contents_open() {
        let text = r#"{ "grants": { "reports": { "metadata": "read" } } }"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.grants["media"]["streaming"], Access::Read);
        assert_eq!(settings.grants["uploads"]["upload"], Access::Write);
        assert_eq!(settings.grants["reports"]["metadata"], Access::Read);
        let closed: Settings = serde_json::from_str(r#"{ "grants": { "media": {} } }"#).unwrap();
        assert!(closed.grants["media"].is_empty());
    }
}
