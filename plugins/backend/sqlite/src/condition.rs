//! The plugin's health reports, sent only on a change: writers report after every commit.

use std::sync::{Mutex, PoisonError};

/// The state of a part of the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Healthy,
    Degraded(String),
    Unhealthy(String),
}

type Tell = Box<dyn Fn(&Condition) + Send + Sync>;

/// Passes on changes.
pub(crate) struct Reporter {
    last: Mutex<Option<Condition>>,
    tell: Tell,
}

impl Reporter {
    pub(crate) fn new(tell: impl Fn(&Condition) + Send + Sync + 'static) -> Self {
        Self { last: Mutex::new(None), tell: Box::new(tell) }
    }

    pub(crate) fn set(&self, condition: Condition) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&condition) {
            (self.tell)(&condition);
            *last = Some(condition);
        }
    }
}
