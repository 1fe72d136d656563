//! The settings of the system report: there is nothing to set yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `plugins.toml` may say under `[plugins.system]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {}
