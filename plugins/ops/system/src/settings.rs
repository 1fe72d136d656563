//! The settings of the system report: there are none yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings under `[plugins.system]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {}
