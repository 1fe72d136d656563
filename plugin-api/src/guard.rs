//! The wrapper of everything that crosses: it enters this library's runtime, restores the trace context and
//! catches panics, on **every** call, poll and drop. Missing only one of them leaks or aborts years later.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::trace::{self, TraceContext};
use crate::{panics, runtime};

/// Runs `work` inside this library's runtime and trace context. The error is the panic's message.
pub(crate) fn run<T>(context: Option<TraceContext>, work: impl FnOnce() -> T) -> Result<T, String> {
    runtime::inside(|| {
        let _trace = trace::enter(context);
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panics::message(&*panic))
    })
}

/// Drops a value inside the runtime; a panic in its `drop` ends here.
pub(crate) fn drop_inside<T>(context: Option<TraceContext>, value: T) {
    if let Err(message) = run(context, move || drop(value)) {
        tracing::error!(%message, "a drop panicked");
    }
}

pin_project_lite::pin_project! {
    /// A future that may be polled and dropped by the other side. After a panic it returns the result of
    /// `on_panic` for the message.
    pub(crate) struct Guarded<F, P> where F: Future, P: FnMut(String) -> F::Output {
        #[pin]
        pub(crate) inner: Option<F>,
        pub(crate) context: Option<TraceContext>,
        pub(crate) on_panic: P,
    }
    impl<F, P> PinnedDrop for Guarded<F, P> where F: Future, P: FnMut(String) -> F::Output {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.inner.is_some() {
                let context = *this.context;
                if let Err(message) = run(context, || this.inner.set(None)) {
                    tracing::error!(%message, "dropping a future panicked");
                }
            }
        }
    }
}

impl<F, P> Guarded<F, P>
where
    F: Future,
    P: FnMut(String) -> F::Output,
{
    pub(crate) fn new(context: Option<TraceContext>, inner: F, on_panic: P) -> Self {
        Self { inner: Some(inner), context, on_panic }
    }
}

impl<F, P> Future for Guarded<F, P>
where
    F: Future,
    P: FnMut(String) -> F::Output,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let context = *this.context;
        let polled = run(context, || {
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Pending };
            let polled = inner.poll(cx);
            if polled.is_ready() {
                // Dropped here, inside the runtime, not by the owner of the empty shell.
                this.inner.set(None);
            }
            polled
        });
        match polled {
            Ok(polled) => polled,
            Err(message) => {
                // A future that panicked is not polled again; its drop is guarded too.
                let _ = run(context, || this.inner.set(None));
                Poll::Ready((this.on_panic)(message))
            }
        }
    }
}
