//! The settings of the console: there is nothing to set yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `plugins.toml` may say under `[plugins.console]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {}
