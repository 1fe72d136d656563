//! What an operator can set for storage-fs. Never reads a file or the environment.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use streamgate_plugin_api::grants::{Access, Grants};
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
    /// Buckets that are open to other plugins than the one of the same name: by bucket, then by plugin,
    /// `read` or `write`. What is set for a bucket takes the place of what is built in for it: `media` is
    /// what contents consist of.
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

/// What the plugins that make, keep and deliver contents need.
fn grants() -> Grants {
    let of_media = [
        ("upload", Access::Write),
        ("transcoder", Access::Write),
        ("metadata", Access::Write),
        ("streaming", Access::Read),
        ("registry-evm", Access::Read),
    ];
    let of_media = of_media.map(|(plugin, access)| (plugin.to_owned(), access));
    [("media".to_owned(), of_media.into())].into()
}

/// Who opens a bucket of a third party's must not close that of contents.
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
        assert_eq!(settings.grants["reports"]["metadata"], Access::Read);
        let closed: Settings = serde_json::from_str(r#"{ "grants": { "media": {} } }"#).unwrap();
        assert!(closed.grants["media"].is_empty());
    }
}
