//! One question at a time: those who ask while it is under way get the same answer.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use streamgate_plugin_api::trace;
use tokio::task::AbortHandle;

/// What those who ask wait for. `None` when asking panicked.
type Answer<T> = Shared<BoxFuture<'static, Option<T>>>;

/// A question that may be under way.
pub(crate) struct Flight<T: Clone>(Mutex<Option<(AbortHandle, Answer<T>)>>);

impl<T: Clone> Default for Flight<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// The answer to the question under way, or else to `ask`, which goes to its end whether
    /// anybody waits or not.
    pub(crate) fn join<F>(&self, ask: impl FnOnce() -> F) -> Answer<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((task, answer)) = &*slot
            && !task.is_finished()
        {
            return answer.clone();
        }
        let task = tokio::spawn(trace::in_context(trace::current(), ask()));
        let handle = task.abort_handle();
        let answer = task.map(Result::ok).boxed().shared();
        *slot = Some((handle, answer.clone()));
        answer
    }
}
