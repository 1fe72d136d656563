//! Single flight: one call at a time for each key; concurrent callers get the same result.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use crate::trace;

/// What callers wait for; `None` after a panic.
pub type Answer<T> = Shared<BoxFuture<'static, Option<T>>>;

/// Calls in progress, by key. Cheap to clone.
pub struct Flights<K, T: Clone>(Arc<Mutex<HashMap<K, Answer<T>>>>);

impl<K, T: Clone> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, T: Clone> Flights<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Answer<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The result of the call in progress, or else of `ask`, which runs to its end even if no caller waits.
    pub fn join<F>(&self, key: K, ask: impl FnOnce() -> F) -> Answer<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let answer = told.map(Result::ok).boxed().shared();
        {
            let mut flights = self.lock();
            if let Some(answer) = flights.get(&key) {
                return answer.clone();
            }
            flights.insert(key.clone(), answer.clone());
        }
        // Without the lock: a runtime that is shutting down drops the task, and with it the landing, at once.
        let (landing, asking) = (Landing { flights: self.clone(), key }, ask());
        tokio::spawn(trace::in_context(trace::current(), async move {
            let said = asking.await;
            drop(landing);
            let _ = tell.send(said);
        }));
        answer
    }
}

/// Ends a flight when it is dropped, also after a panic.
struct Landing<K: Eq + Hash, T: Clone> {
    flights: Flights<K, T>,
    key: K,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn callers_that_come_while_it_is_under_way_get_the_same_answer_and_later_ones_another() {
        let (flights, asked) = (Flights::default(), Arc::new(AtomicU32::new(0)));
        let ask = |key: &'static str| {
            let asked = asked.clone();
            flights.join(key, move || async move {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::SeqCst)
            })
        };
        let (one, same, other) = (ask("a"), ask("a"), ask("b"));
        let (one, same, other) = tokio::join!(one, same, other);
        assert!(one == same && one != other && other.is_some());
        assert_eq!(ask("a").await, Some(2));
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn it_runs_to_its_end_when_no_caller_waits() {
        let (flights, (tell, told)) = (Flights::default(), oneshot::channel());
        drop(flights.join((), move || async move { tell.send(()).unwrap() }));
        told.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_no_answer_and_the_next_caller_asks_again() {
        let flights = Flights::default();
        let panics = || async { panic!("as the test wants it") };
        assert_eq!(flights.join("a", panics).await, None::<u32>);
        assert_eq!(flights.join("a", || async { 1 }).await, Some(1));
    }
}
