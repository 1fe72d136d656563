//! Work that runs where it is awaited, and continues if its caller is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that its awaiting task drives: the bytes of a body are processed where they arrive, and no other
/// thread is woken for each of them. Dropped before its end, it continues in its own task.
pub(crate) struct ToTheEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> ToTheEnd<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Put back only while it is pending: a finished or panicked future does not continue.
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
    async fn awaiting_it_returns_its_result() {
        let here = std::thread::current().id();
        assert_eq!(ToTheEnd::new(async { std::thread::current().id() }).await, here);
    }

    #[tokio::test]
    async fn it_continues_when_it_is_no_longer_awaited() {
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
