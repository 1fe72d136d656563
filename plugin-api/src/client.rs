//! Calling services across the boundary, and answering calls that come across it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_ffi::{FfiFuture, FutureExt};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tower::Service;

use crate::body::{BoxError, to_abi};
use crate::deadline::{self, Deadline, Timer};
use crate::drain::{Open, Requests};
use crate::guard::{self, Guarded};
use crate::trace::{self, TraceContext};
use crate::upgrade::{self, Upgrading};
use crate::{Body, Problem, abi, grpc, panics, problems};

/// A handle to a service of another plugin: a tower service, and so a channel for tonic clients.
///
/// A call carries the `traceparent` of the request being handled, unless it has its own, and the time left
/// ([`deadline`](crate::deadline)). Without a provider it answers 503; a gRPC client gets that and every
/// other problem as a gRPC status with the problem's text.
#[derive(Debug, Clone)]
pub struct Client {
    service: abi::Service,
}

/// The other side violated the boundary's protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ClientError(#[from] abi::HeadError);

impl Client {
    /// A client of a service of this library: for tests, and for what has no boundary to cross.
    pub fn from_service(service: impl HttpService) -> Self {
        Self { service: service.into_abi() }
    }

    /// A client of a handle from the host.
    pub fn from_abi(service: abi::Service) -> Self {
        Self { service }
    }

    /// Sends a request. The response is returned with its head; its body may still be streaming.
    ///
    /// # Errors
    /// Only if the other side violates the boundary's protocol. A missing or panicked provider is a response
    /// of status 503 or 500.
    pub fn send<B>(&self, request: http::Request<B>) -> ResponseFuture
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let is_grpc = grpc::is_grpc(&parts.headers);
        let context = trace::current();
        if let Some(context) = context {
            context.put_on(&mut parts.headers);
        }
        upgrade::put_on(&mut parts);
        let timer = Timer::new(Deadline::pass_on(&mut parts.headers));
        let head = abi::RequestHead::encode(&parts);
        let body = to_abi(body, context, None);
        ResponseFuture {
            inner: self.service.call(abi::Request { head, body }),
            timer,
            is_grpc,
            failure: None,
        }
    }
}

impl<B> Service<http::Request<B>> for Client
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = ClientError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ResponseFuture {
        self.send(request)
    }
}

/// The future response.
pub struct ResponseFuture {
    inner: FfiFuture<abi::Response>,
    /// The provider has the same deadline; it may hang, or be missing.
    timer: Timer,
    /// Whether the request was gRPC.
    is_grpc: bool,
    /// A problem being converted to gRPC.
    failure: Option<BoxFuture<'static, http::Response<Body>>>,
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<Body>, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.failure.is_none() {
            let response = match Pin::new(&mut self.inner).poll(cx) {
                Poll::Ready(response) => {
                    http::Response::from_parts(response.head.decode()?, Body::crossed(response.body))
                }
                Poll::Pending => {
                    ready!(self.timer.poll(cx));
                    deadline::exceeded().into_http()
                }
            };
            if !self.is_grpc || grpc::is_grpc(response.headers()) {
                return Poll::Ready(Ok(response));
            }
            self.failure = Some(Box::pin(grpc::failure(response)));
        }
        self.failure.as_mut().map_or(Poll::Pending, |failure| failure.as_mut().poll(cx).map(Ok))
    }
}

/// Anything that answers requests: an axum `Router`, or any other tower service from a request to a response
/// that is infallible, clones and may be called from any thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer requests across the boundary",
    note = "it takes an axum `Router`, or a tower `Service<http::Request<Body>>` with `Error = Infallible` \
            that is `Clone + Send + Sync + 'static`"
)]
pub trait HttpService: Clone + Send + Sync + 'static {
    /// Puts it behind the boundary.
    #[doc(hidden)]
    fn into_abi(self) -> abi::Service;

    /// The same with its requests counted.
    #[doc(hidden)]
    fn counted(self, requests: &Arc<Requests>) -> abi::Service;
}

impl<S, B> HttpService for S
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_abi(self) -> abi::Service {
        abi::Service::new(Served { service: Some(Arc::new(self)), requests: None })
    }

    fn counted(self, requests: &Arc<Requests>) -> abi::Service {
        abi::Service::new(Served { service: Some(Arc::new(self)), requests: Some(requests.clone()) })
    }
}

struct Served<S> {
    /// `None` only while it is being dropped.
    service: Option<Arc<S>>,
    requests: Option<Arc<Requests>>,
}

impl<S, B> abi::CallService for Served<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn call(&self, request: abi::Request) -> FfiFuture<abi::Response> {
        let Some(service) = self.service.clone() else {
            return std::future::ready(panicked("its service was dropped")).into_ffi();
        };
        let open = self.requests.as_ref().map(Open::new);
        if request.head.is_connect() {
            return answer(Arc::new(Upgrading(service)), request, open);
        }
        answer(service, request, open)
    }
}

pin_project_lite::pin_project! {
    /// The response to one request. Written by hand, because it is moved while it is built: as an `async`
    /// block it would be twice as large.
    struct Answer<S> where S: Service<http::Request<Body>> {
        #[pin]
        state: State<S>,
        request: Option<abi::Request>,
        // Those of the request, once it has been read.
        context: Option<TraceContext>,
        timer: Timer,
        open: Option<Open>,
    }
    impl<S> PinnedDrop for Answer<S> where S: Service<http::Request<Body>> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _trace = this.context.map(|context| trace::enter(Some(context)));
            this.state.set(State::Over);
        }
    }
}

/// The answer of a service. In one expression: each function in between would move it once more.
fn answer<S, B>(service: Arc<S>, request: abi::Request, open: Option<Open>) -> FfiFuture<abi::Response>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    FfiFuture::new(Guarded {
        inner: Some(Answer {
            state: State::Asked { service },
            request: Some(request),
            context: None,
            timer: Timer::Never,
            open,
        }),
        context: None,
        on_panic: |message: String| panicked(&message),
    })
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    enum State<S> where S: Service<http::Request<Body>> {
        Asked { service: Arc<S> },
        Waiting { service: S },
        Answering { #[pin] answering: S::Future },
        Over,
    }
}

impl<S, B> Answer<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible> + Clone,
{
    /// Hands the request to the service as soon as that takes it. The error is the answer to one that cannot
    /// be read.
    fn begin(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        let mut this = self.project();
        // Cloned in here, where this library's runtime is entered.
        if let StateProjection::Asked { service } = this.state.as_mut().project() {
            let service = S::clone(service);
            this.state.set(State::Waiting { service });
        }
        let StateProjection::Waiting { service } = this.state.as_mut().project() else {
            return Poll::Ready(Ok(()));
        };
        let _ = ready!(service.poll_ready(cx));
        let Some(request) = this.request.take() else { return Poll::Pending };
        let (parts, rare) = match request.head.decode_rare() {
            Ok(read) => read,
            Err(error) => {
                let detail = format!("The request was garbled: {error}");
                return Poll::Ready(Err(Problem::of(problems::BOUNDARY).detail(detail)));
            }
        };
        if rare.traceparent {
            *this.context = TraceContext::of_head(&parts.headers, rare.crossings);
        }
        if rare.grpc_timeout {
            *this.timer = Timer::new(Deadline::of(&parts.headers));
        }
        let _trace = this.context.map(|context| trace::enter(Some(context)));
        let _deadline = this.timer.enter();
        let answering = service.call(http::Request::from_parts(parts, Body::crossed(request.body)));
        this.state.set(State::Answering { answering });
        Poll::Ready(Ok(()))
    }
}

impl<S, B> Future for Answer<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = abi::Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<abi::Response> {
        panics::of_request(|| {
            if let Err(problem) = ready!(self.as_mut().begin(cx)) {
                return Poll::Ready(problem.into_abi());
            }
            let this = self.project();
            let _trace = this.context.map(|context| trace::enter(Some(context)));
            let _deadline = this.timer.enter();
            let StateProjection::Answering { answering } = this.state.project() else { return Poll::Pending };
            let Poll::Ready(Ok(response)) = answering.poll(cx) else {
                ready!(this.timer.poll(cx));
                return Poll::Ready(deadline::exceeded().into_abi());
            };
            let (parts, body) = response.into_parts();
            let head = abi::ResponseHead::encode(&parts);
            let open = this.open.take();
            let body = match &open {
                Some(open) => open.requests().events(&parts.headers, body),
                None => Err(body),
            };
            let body = match body {
                Ok(events) => to_abi(Body::new(events), *this.context, open),
                Err(body) => to_abi(body, *this.context, open),
            };
            Poll::Ready(abi::Response { head, body })
        })
    }
}

fn panicked(message: &str) -> abi::Response {
    tracing::error!(%message, "a request handler panicked; the request is answered with 500");
    Problem::of(problems::INTERNAL_ERROR)
        .detail("The request caused an internal error, which has been logged.")
        .into_abi()
}

impl<S> Drop for Served<S> {
    fn drop(&mut self) {
        guard::drop_inside(None, self.service.take());
    }
}
