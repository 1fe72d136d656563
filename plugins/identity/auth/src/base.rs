//! Shared by sessions, people, filters and sign-in.

use std::sync::Arc;

use streamgate_plugin_api::time::Clock;

use crate::settings::Settings;
use crate::store::Store;

/// See the module.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
}
