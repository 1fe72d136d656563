//! The time: the system's clock, or one that a test sets.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells Unix time in milliseconds.
#[derive(Clone)]
pub(crate) struct Now(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Now {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        Self(Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)))
    }

    /// A clock that is whatever `tell` says.
    #[cfg(test)]
    pub(crate) fn told_by(tell: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn get(&self) -> i64 {
        (self.0)()
    }
}

impl std::fmt::Debug for Now {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Now({})", self.get())
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
