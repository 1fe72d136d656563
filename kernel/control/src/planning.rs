//! Evaluates the configuration for a change. Plugin code is part of that, and may hang: then the evaluation
//! is abandoned, and a bounded number of such threads is left behind.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Time limit for reading and checking a configuration, with all checks of plugins.
const WITHIN: Duration = Duration::from_secs(60);
/// Maximum concurrent evaluations, including abandoned ones that have not ended.
const MOST: usize = 8;

/// The evaluations in progress.
#[derive(Debug, Clone)]
pub struct Planning(Arc<Semaphore>);

impl Default for Planning {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Planning {
    /// Has a thread evaluate the configuration, and waits for its result; not longer than a minute, nor once
    /// everything stops.
    ///
    /// # Errors
    /// Why there is no result, for people.
    pub async fn look<T: Send + 'static>(
        &self,
        stopping: impl Future<Output = ()>,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let place = self.0.clone().try_acquire_owned().map_err(|_| {
            format!("{MOST} checks of the configuration hang in a plugin's check; stop streamgate, and start it without that plugin")
        })?;
        let looking = tokio::task::spawn_blocking(move || {
            let _place = place;
            look()
        });
        tokio::select! {
            found = looking => found.map_err(|error| error.to_string()),
            () = stopping => Err("streamgate stops".to_owned()),
            () = tokio::time::sleep(WITHIN) => Err(format!(
                "the configuration was not checked within {WITHIN:?}: a plugin's check hangs; nothing has changed"
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn looks_that_hang_are_left_to_themselves_until_there_are_too_many() {
        let planning = Planning::default();
        let mut hanging = Vec::new();
        for _ in 0..MOST {
            let (end, ended) = channel::<()>();
            hanging.push(end);
            let look = move || _ = ended.recv();
            assert_eq!(planning.look(ready(()), look).await, Err("streamgate stops".to_owned()));
        }
        let refused = planning.look(pending(), || 1).await.unwrap_err();
        assert!(refused.starts_with("8 checks of the configuration hang"), "{refused}");
        hanging.clear();
        while planning.look(pending(), || 1).await != Ok(1) {
            tokio::task::yield_now().await;
        }
    }
}
