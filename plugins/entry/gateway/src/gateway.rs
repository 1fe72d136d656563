//! One request through the gateway: checked, routed, cleaned up, answered by a plugin (or here, with a
//! problem), and its response cleaned up. The plugin's handler is polled in the connection's own task.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use streamgate_plugin_api::deadline::Deadline;
use streamgate_plugin_api::fair::{Full, Holder, Place, Places};
use streamgate_plugin_api::{Body, ClientError, Principal, Problem, problems, upgrade};
use tokio_util::sync::CancellationToken;

use crate::access_log::Log;
use crate::body::{Content, Cut, Cuts, Pace, RequestBody, ResponseBody};
use crate::compress::{Compressor, Decision};
use crate::connection::Switched;
use crate::figures::Figures;
use crate::filters::Filters;
use crate::head::{self, Peer, Survey};
use crate::health::{Health, Report};
use crate::settings::{Network, Settings};
use crate::sockets::Sockets;
use crate::table::Table;
use crate::tunnel::{self, Tunnel};
use crate::turns::Turns;
use crate::vet::{self, HeadLimits};
use crate::watch::InFlight;
use crate::websocket::{Close, Opening};

/// How much longer a plugin's deadline is than the gateway's, so that the 504 comes from the gateway.
const GRACE: Duration = Duration::from_secs(1);

/// The shutdown of the gateway: a flag for frequent checks, a token for waiters, and a second token for the
/// end of the drain timeout.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    begun: AtomicBool,
    token: CancellationToken,
    hurry: CancellationToken,
}

impl Stopping {
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// From now on it has its drain timeout, and no longer.
    pub(crate) fn hurry(&self) {
        self.begin();
        self.hurry.cancel();
    }

    pub(crate) async fn hurried(&self) {
        self.hurry.cancelled().await;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Gateway {
    table: Arc<Table>,
    filters: Filters,
    health: Health,
    figures: Figures,
    log: Log,
    compressor: Option<Compressor>,
    limits: HeadLimits,
    max_body: u64,
    pace: Pace,
    answer_timeout: Duration,
    /// Slots of HTTP/2 streams: one connection may have a hundred, and each costs memory for as long as its
    /// client wants.
    streams: Places,
    pub(crate) sockets: Sockets,
    pub(crate) proxies: Arc<[Network]>,
    /// Whether the warning about an untrusted proxy was logged.
    warned_of_proxy: AtomicBool,
    pub(crate) stopping: Stopping,
}

impl Gateway {
    pub(crate) fn new(
        settings: &Settings,
        table: Arc<Table>,
        filters: Filters,
        report: Report,
        figures: Figures,
    ) -> Self {
        Self {
            table,
            filters,
            health: Health::new(report),
            figures,
            log: Log::new(settings.access_log, settings.slow_request.get()),
            compressor: settings.compression.then(|| Compressor::new(settings.compress_min.get())),
            limits: HeadLimits {
                fields: settings.max_headers,
                bytes: settings.max_header_bytes.get() as usize,
            },
            max_body: settings.max_body.get(),
            pace: Pace { patience: settings.body_timeout.get(), rate: settings.min_body_rate.get() },
            answer_timeout: settings.answer_timeout.get(),
            streams: Places::new(settings.max_connections, settings.max_connections),
            sockets: Sockets::new(settings),
            proxies: settings.trusted_proxies.iter().filter_map(|proxy| Network::parse(proxy)).collect(),
            warned_of_proxy: AtomicBool::new(false),
            stopping: Stopping::default(),
        }
    }

    /// A slot for an HTTP/2 stream; a trusted proxy needs none, because it serves many clients.
    pub(crate) fn stream_place(&self, peer: &Peer) -> Result<Option<Place>, Full> {
        if peer.is_trusted() {
            return Ok(None);
        }
        self.streams.take(Holder::Address(peer.network)).map(Some)
    }

    /// Answers one request, in its turn.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Arc<Peer>,
        in_flight: InFlight,
        turns: Option<Turns>,
        switched: Switched,
    ) -> Result<Response<ResponseBody>, Infallible> {
        if let Some(turns) = turns {
            turns.take(peer.network).await;
        }
        let (mut parts, incoming) = request.into_parts();
        let one_at_a_time = parts.version <= Version::HTTP_11;
        let has_body = !incoming.is_end_stream();
        let began = (!has_body).then(Instant::now);
        let survey = Survey::of(&parts.headers);
        if survey.origin && !peer.is_trusted() && !self.warned_of_proxy.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = peer.address.to_str().unwrap_or_default(),
                "requests carry X-Forwarded-For or a similar field from an address that plugins.gateway.trusted_proxies does \
                 not list: all clients behind it count as one. List it if it is your proxy. This is logged once"
            );
        }
        let sent = parts.method.clone();
        let settled = vet::settle_method(&mut parts, &survey);
        let beginning = self.log.begin(&parts, has_body);
        // A request with both a length and chunked framing is ambiguous; hyper reads the chunks, as RFC 9112
        // §6.3 requires, and the connection closes after it, so that no second request can be smuggled.
        let mut close = one_at_a_time && survey.chunked;
        let opening = Opening::of(&mut parts, &survey);
        let vetted = settled.and_then(|()| vet::vet(&parts, &survey, &self.limits));
        // Fields of a HEAD response under a method whose response has a body: the client would wait for that
        // length.
        let no_length = parts.method == Method::HEAD && sent != Method::HEAD;
        let request_id = head::put_on(&mut parts, &survey, &peer);
        let wish = match &self.compressor {
            Some(compressor) if survey.accept_encoding => compressor.wish(&parts),
            _ => None,
        };
        let mut open = None;
        let response = match vetted {
            Err(problem) => {
                close = true;
                problem.into_http()
            }
            Ok(()) => match self.health.answer(&parts.method, parts.uri.path()) {
                Some(response) => response,
                None => match opening {
                    Ok(None) => self.forward(parts, incoming, has_body, &mut close).await,
                    Err(problem) => problem.into_http(),
                    Ok(Some(opening)) => match Box::pin(self.clone().open(parts)).await {
                        Ok((response, tunnel)) => {
                            open = Some((opening, tunnel));
                            response
                        }
                        Err(response) => response,
                    },
                },
            },
        };
        let mut response = match &self.compressor {
            None => response.map(Content::Plain),
            Some(compressor) => match compressor.decide(wish, response) {
                Decision::Settled(response) => response,
                Decision::Compress(work) => Box::pin(compressor.compress(work)).await,
            },
        };
        head::finish(response.headers_mut(), request_id.clone());
        if no_length {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        if let Some((opening, tunnel)) = open {
            opening.say(&mut response);
            match opening {
                Opening::Switch(_) => switched.put(tunnel),
                Opening::Stream(upgrade) => drop(tokio::spawn(stream(upgrade, tunnel, in_flight.also()))),
            }
        } else if close || (one_at_a_time && self.stopping.has_begun()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.figures.answered(response.status(), began.map(|began| began.elapsed()));
        let ending = self.log.answer(beginning, response.status(), &peer.address, &request_id);
        let endless = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        Ok(response.map(|content| {
            let mut body = ResponseBody::new(content, in_flight);
            if let Some(ending) = ending {
                body.report_to(ending);
            }
            if endless {
                body.until(self.stopping.token().cancelled_owned());
            }
            body
        }))
    }

    /// Has the plugin of the path answer, if the filters let the request pass.
    async fn forward(
        &self,
        mut parts: Parts,
        incoming: Incoming,
        has_body: bool,
        close: &mut bool,
    ) -> Response<Body> {
        let cuts = Cuts::default();
        let head_only = parts.method == Method::HEAD;
        // Boxed, so that the future of requests without filters stays small.
        if self.filters.apply(&parts)
            && let Err(refusal) = Box::pin(self.filters.judge(&mut parts)).await
        {
            *close |= has_body;
            return explained(*refusal, head_only);
        }
        // The route is released before any await: a long response must not hold the table.
        let answer = {
            let Some(route) = self.table.find(parts.uri.path()) else {
                *close |= has_body;
                return no_route(&parts);
            };
            if has_body {
                let limit = if route.unlimited { u64::MAX } else { self.max_body };
                let announced =
                    parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
                if announced.is_some_and(|announced: u64| announced > limit) {
                    *close = true;
                    return self.too_large().into_http();
                }
                let body = RequestBody::new(incoming, limit, self.pace, cuts.clone());
                route.service.send(Request::from_parts(parts, body))
            } else {
                // Not for a request with a body, whose arrival extends the time.
                Deadline::within(self.answer_timeout + GRACE).put_on(&mut parts.headers);
                route.service.send(Request::from_parts(parts, Body::empty()))
            }
        };
        let Some(answered) = self.in_time(answer, &cuts).await else {
            *close |= has_body;
            return self.no_answer();
        };
        if let Some(cut) = cuts.get() {
            // Whatever the plugin answered to a body that was cut off here, the response states the reason.
            *close = true;
            return match cut {
                Cut::TooLarge => self.too_large(),
                Cut::TooSlow => slow(&format!(
                    "The body stalled for {:?}, or arrived at less than {} bytes per second.",
                    self.pace.patience, self.pace.rate
                )),
                Cut::Malformed => Problem::of(problems::MALFORMED_BODY)
                    .detail("The body's chunks are not framed as RFC 9112 §7.1 requires."),
            }
            .into_http();
        }
        answered.map_or_else(unreadable, |response| explained(response, head_only))
    }

    /// Lets the plugin of the path take a WebSocket up, once the filters have let its handshake pass.
    async fn open(self: Arc<Self>, mut parts: Parts) -> Result<(Response<Body>, Tunnel), Response<Body>> {
        Opening::shape(&mut parts);
        let asked = parts.clone();
        let listening = self.sockets.listen();
        if self.filters.apply(&parts) {
            self.filters.judge(&mut parts).await.map_err(|refusal| explained(*refusal, false))?;
        }
        let credential = Principal::of(&parts.headers).map(|principal| principal.credential);
        let place = self.sockets.take(&parts.headers).map_err(|problem| problem.into_http())?;
        let (to_plugin, body) = tunnel::channel();
        let answer = {
            let route = self.table.find(parts.uri.path()).ok_or_else(|| no_route(&parts))?;
            Deadline::within(self.answer_timeout + GRACE).put_on(&mut parts.headers);
            route.service.send(Request::from_parts(parts, body))
        };
        let answered = self.in_time(answer, &Cuts::default()).await.ok_or_else(|| self.no_answer())?;
        let mut response = answered.map_err(unreadable)?;
        if !upgrade::is_taken_up(response.headers()) {
            return Err(match response.status().is_success() {
                true => Problem::of(problems::NO_WEBSOCKET)
                    .detail(format!("{} takes no WebSocket.", asked.uri.path()))
                    .into_http(),
                false => explained(response, false),
            });
        }
        response.headers_mut().remove(upgrade::PROTOCOL);
        let from_plugin = std::mem::take(response.body_mut());
        let pace = self.sockets.pace;
        let ended = Box::pin(async move {
            let credential = credential.unwrap_or_default();
            tokio::select! {
                () = self.stopping.token.cancelled() => Close::GoingAway,
                () = place.displaced() => Close::TryAgain,
                () = listening.end_of(&credential) => Close::Policy,
                () = self.refused(&asked, &credential) => Close::Policy,
            }
        });
        Ok((response, Tunnel { to_plugin, from_plugin, ended, pace }))
    }

    /// Comes when a request that goes on would not be let pass any more, or not as sent by the same caller.
    async fn refused(&self, asked: &Parts, credential: &str) {
        if credential.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.sockets.recheck).await;
            let mut parts = asked.clone();
            let passes = self.filters.judge_again(&mut parts).await.is_ok();
            if !passes
                || Principal::of(&parts.headers).is_none_or(|principal| principal.credential != credential)
            {
                return;
            }
        }
    }

    /// The response, unless it does not begin in time while the request's body is not read either.
    async fn in_time<F: Future>(&self, answer: F, cuts: &Cuts) -> Option<F::Output> {
        let mut answer = pin!(answer);
        // Most responses are ready at once, and creating a timer takes longer than some of them.
        if let Poll::Ready(answered) = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            return Some(answered);
        }
        loop {
            let pieces = cuts.pieces();
            if let Ok(answered) = tokio::time::timeout(self.answer_timeout, &mut answer).await {
                return Some(answered);
            }
            if cuts.pieces() == pieces {
                return None;
            }
        }
    }

    fn no_answer(&self) -> Response<Body> {
        let limit = self.answer_timeout;
        Problem::of(problems::NO_ANSWER)
            .detail(format!("The plugin that serves this path did not begin its response within {limit:?}."))
            .into_http()
    }

    fn too_large(&self) -> Problem {
        Problem::of(problems::BODY_TOO_LARGE)
            .detail(format!("Bodies have at most {} bytes here.", self.max_body))
            .with("max_bytes", self.max_body)
    }
}

fn no_route(parts: &Parts) -> Response<Body> {
    let text = format!("No plugin serves the path {}.", parts.uri.path());
    Problem::of(problems::NO_ROUTE).detail(text).into_http()
}

fn unreadable(error: ClientError) -> Response<Body> {
    tracing::error!(%error, "a plugin's response could not be read");
    Problem::of(problems::BAD_GATEWAY).detail("The plugin's response could not be read.").into_http()
}

/// Runs a WebSocket on a stream of HTTP/2, until it ends or somebody else has the stream's place.
async fn stream(upgrade: OnUpgrade, tunnel: Tunnel, in_flight: InFlight) {
    let Ok(upgraded) = upgrade.await else { return };
    let displaced = async {
        match in_flight.progress() {
            Some(progress) => progress.displaced().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = tunnel.run(TokioIo::new(upgraded), Bytes::new()) => {}
        () = displaced => {}
    }
}

/// A failure without a body (a router's own 404 and 405 have none) gets at least the meaning of its status.
fn explained(response: Response<Body>, head_only: bool) -> Response<Body> {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed
        || head_only
        || response.body().size_hint().exact() != Some(0)
        || response.headers().contains_key(CONTENT_TYPE)
    {
        return response;
    }
    let title = status.canonical_reason().unwrap_or("The request failed");
    let slug = title.to_ascii_lowercase().replace(' ', "-");
    let mut explained = Problem::new(status, &slug, title).into_http();
    let own = explained.headers().clone();
    *explained.headers_mut() = response.into_parts().0.headers;
    explained.headers_mut().extend(own);
    explained.headers_mut().remove(CONTENT_LENGTH);
    explained
}

/// The answer to a client that is too slow.
pub(crate) fn slow(detail: &str) -> Problem {
    Problem::of(problems::REQUEST_TIMEOUT).detail(detail)
}

/// The answer when there are too many connections, or streams of HTTP/2.
pub(crate) fn busy() -> Problem {
    Problem::of(problems::TOO_MANY_CONNECTIONS)
        .detail("Too many connections are open.")
        .header(RETRY_AFTER, "2")
}
