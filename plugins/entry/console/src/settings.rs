//! The settings of the console: there are none yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings under `[plugins.console]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {}
