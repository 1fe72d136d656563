//! The wall clock, which tests can set forward.

use std::time::{SystemTime, UNIX_EPOCH};

/// The current time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    ahead_ms: std::sync::atomic::AtomicU64,
}

impl Clock {
    /// Unix time, milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        #[cfg(test)]
        let now = now + self.ahead_ms.load(std::sync::atomic::Ordering::SeqCst);
        now
    }

    #[cfg(test)]
    pub(crate) fn pass(&self, time: std::time::Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(crate) fn back(&self, time: std::time::Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_sub(ms, std::sync::atomic::Ordering::SeqCst);
    }
}
