//! The calls that wait for a job of a queue, so that an enqueued job is leased at once and not at the next
//! poll. Losing them is harmless: a waiter polls the database too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The waiting calls of every queue.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queues: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Waiting {
    /// A slot to wait for jobs of a queue. It is removed when all its holders are dropped.
    pub(crate) fn slot(&self, queue: &str) -> Arc<Notify> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|name, slot| name == queue || Arc::strong_count(slot) > 1);
        queues.entry(queue.to_owned()).or_default().clone()
    }

    /// Makes all waiting calls of this queue check again.
    pub(crate) fn wake(&self, queue: &str) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = queues.get(queue) {
            slot.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_for_a_queue_are_woken_and_leave_nothing_behind() {
        let waiting = Waiting::default();
        let slot = waiting.slot("a");
        {
            let mut woken = std::pin::pin!(slot.notified());
            woken.as_mut().enable();
            waiting.wake("b");
            waiting.wake("a");
            woken.await;
        }
        drop(slot);
        let _other = waiting.slot("b");
        assert_eq!(waiting.queues.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }
}
