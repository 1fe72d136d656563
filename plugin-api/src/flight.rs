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

/// Questions under way, by key. `C` is what others may look up of a question while it is under way. Cheap to clone.
pub struct Flights<K, T: Clone, C = ()>(Arc<Mutex<HashMap<K, Flight<T, C>>>>);

struct Flight<T: Clone, C> {
    answer: Answer<T>,
    context: Arc<C>,
}

impl<K, T: Clone, C> Clone for Flights<K, T, C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T: Clone, C> Default for Flights<K, T, C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash, T: Clone, C> Flights<K, T, C> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<T, C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context of the question under way.
    pub fn context(&self, key: &K) -> Option<Arc<C>> {
        self.lock().get(key).map(|flight| flight.context.clone())
    }

    /// Leaves the question under way to those who wait for it: the next caller asks another one.
    pub fn forget(&self, key: &K) -> Option<Arc<C>> {
        self.lock().remove(key).map(|flight| flight.context)
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
        self.join_with(key, || (), |_| ask()).0
    }
}

impl<K, T, C> Flights<K, T, C>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
    C: Send + Sync + 'static,
{
    /// The same with the question's context, which `context` makes while no other question of the key can begin.
    pub fn join_with<F>(
        &self,
        key: K,
        context: impl FnOnce() -> C,
        ask: impl FnOnce(Arc<C>) -> F,
    ) -> (Answer<T>, Arc<C>)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let answer = told.map(Result::ok).boxed().shared();
        let context = {
            let mut flights = self.lock();
            if let Some(flight) = flights.get(&key) {
                return (flight.answer.clone(), flight.context.clone());
            }
            let context = Arc::new(context());
            flights.insert(key.clone(), Flight { answer: answer.clone(), context: context.clone() });
            context
        };
        // Without the lock: a runtime that is shutting down drops the task, and with it the landing, at once.
        let landing = Landing { flights: self.clone(), key, context: context.clone() };
        let asking = ask(context.clone());
        tokio::spawn(trace::in_context(trace::current(), async move {
            let said = asking.await;
            drop(landing);
            let _ = tell.send(said);
        }));
        (answer, context)
    }
}

/// Ends a flight when it is dropped, also if asking panics.
struct Landing<K: Eq + Hash, T: Clone, C> {
    flights: Flights<K, T, C>,
    key: K,
    context: Arc<C>,
}

impl<K: Eq + Hash, T: Clone, C> Drop for Landing<K, T, C> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(&flight.context, &self.context)) {
            flights.remove(&self.key);
        }
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
    async fn a_question_that_was_forgotten_is_answered_and_does_not_end_the_next_one() {
        let flights = Flights::<_, u32, u32>::default();
        let (first, told) = oneshot::channel();
        let (one, context) = flights.join_with("a", || 7, |_| async { told.await.unwrap() });
        assert_eq!((*context, flights.context(&"a").as_deref()), (7, Some(&7)));
        assert_eq!(flights.forget(&"a").as_deref(), Some(&7));
        let (other, second) = oneshot::channel::<u32>();
        let (two, _) = flights.join_with("a", || 8, |_| async { second.await.unwrap() });
        first.send(1).unwrap();
        assert_eq!(one.await, Some(1));
        assert_eq!(flights.context(&"a").as_deref(), Some(&8));
        other.send(2).unwrap();
        assert_eq!(two.await, Some(2));
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn it_runs_to_its_end_when_nobody_waits() {
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
