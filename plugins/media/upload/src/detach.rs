//! Work that is done where it is awaited, and goes on without whoever awaited it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is driven by whoever awaits it: the bytes of a body are taken where they arrive, and no other thread
/// is woken for each of them. Dropped before its end, it goes on in a task of its own.
pub(crate) struct ToTheEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> ToTheEnd<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Put back only when it waits: what ended or panicked does not go on.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        if let Some(rest) = self.0.take() {
            drop(crate::spawn(rest));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn whoever_awaits_it_gets_what_it_makes() {
        let here = std::thread::current().id();
        assert_eq!(ToTheEnd::new(async { std::thread::current().id() }).await, here);
    }

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits_for_it_any_more() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut work = Box::pin(ToTheEnd::new(async move {
            gone.await.unwrap();
            done.send(7).unwrap();
        }));
        assert!(futures_util::poll!(work.as_mut()).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(ended.await.unwrap(), 7);
    }
}
