//! One JSON-RPC endpoint: it must prove its chain before other calls, has a deadline and a size limit,
//! follows no redirect, and is paused after consecutive failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use streamgate_plugin_api::backoff::Backoff;
use tokio::sync::Semaphore;

use crate::resolve::Resolver;
use crate::rpc::{RpcError, answer};
use crate::settings::{Limits, endpoint_problem};

/// The maximum pause of an endpoint that keeps failing.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Concurrent calls to one endpoint; further ones wait.
const CALLS_AT_ONCE: usize = 64;

type Http = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// How an endpoint proves which chain it serves.
#[derive(Debug, Clone)]
pub struct Shows {
    /// The method to call, without parameters.
    pub method: &'static str,
    /// The chain in its result; `None` if it has another form.
    pub read: fn(&Value) -> Option<String>,
    /// The expected chain.
    pub wanted: String,
}

/// An endpoint and its state.
pub struct Endpoint {
    /// Its host, for people: the rest of the URL may be a secret.
    label: String,
    uri: Uri,
    shows: Shows,
    http: Http,
    limits: Limits,
    next_id: AtomicU64,
    /// The typical time of a call, microseconds.
    latency: AtomicU64,
    turns: Semaphore,
    state: Mutex<State>,
    checking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rests: u32,
    rests_until: Option<Instant>,
    /// When its chain was last checked, and the result.
    chain: Option<(Instant, String)>,
    last_error: String,
}

impl Endpoint {
    /// The endpoint at this URL; nothing is connected yet.
    ///
    /// # Errors
    /// The problem of the URL.
    pub fn new(url: &str, shows: Shows, limits: Limits) -> Result<Self, String> {
        if let Some(problem) = endpoint_problem(url, limits.allow_private) {
            return Err(problem);
        }
        let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
        let mut tcp = HttpConnector::new_with_resolver(Resolver { allow_private: limits.allow_private });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.deadline.get()));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(tls_provider())
            .map_err(|error| error.to_string())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(16)
            .build(https);
        Ok(Self {
            label: uri.authority().map(ToString::to_string).unwrap_or_default(),
            uri,
            shows,
            http,
            limits,
            next_id: AtomicU64::new(1),
            latency: AtomicU64::new(0),
            turns: Semaphore::new(CALLS_AT_ONCE),
            state: Mutex::default(),
            checking: tokio::sync::Mutex::default(),
        })
    }

    /// Its host and port, for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether it may be called now.
    pub(crate) fn rests(&self) -> bool {
        self.state.lock().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Why it is not in use; `None` if it is.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        match &state.chain {
            Some((_, found)) if *found != self.shows.wanted => Some(self.other_chain(found).to_string()),
            _ if state.failures >= self.limits.breaker_failures => Some(state.last_error.clone()),
            _ => None,
        }
    }

    pub(crate) fn latency(&self) -> u64 {
        self.latency.load(Ordering::Relaxed)
    }

    /// Calls the endpoint, once it has proved its chain.
    ///
    /// # Errors
    /// Why there is no answer of this form.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        self.verify_chain().await?;
        let read =
            |value| serde_json::from_value(value).map_err(|error| RpcError::Malformed(error.to_string()));
        self.call_unverified(method, params, read).await
    }

    fn other_chain(&self, found: &str) -> RpcError {
        RpcError::OtherChain { found: found.chars().take(64).collect(), wanted: self.shows.wanted.clone() }
    }

    async fn verify_chain(&self) -> Result<(), RpcError> {
        let fresh = |state: &State| {
            let known = state.chain.as_ref().filter(|(when, _)| when.elapsed() < self.limits.recheck.get());
            known.map(|(_, found)| found.clone())
        };
        let known = fresh(&self.state.lock());
        let found = match known {
            Some(found) => found,
            None => {
                let _turn = self.checking.lock().await;
                let known = fresh(&self.state.lock());
                match known {
                    Some(found) => found,
                    None => self.ask_chain().await?,
                }
            }
        };
        if found == self.shows.wanted { Ok(()) } else { Err(self.other_chain(&found)) }
    }

    async fn ask_chain(&self) -> Result<String, RpcError> {
        let Shows { method, read, .. } = self.shows;
        let read = |result: Value| {
            read(&result).ok_or_else(|| RpcError::Malformed(format!("its `{method}` names no chain")))
        };
        let found = self.call_unverified(method, json!([]), read).await?;
        self.state.lock().chain = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    async fn call_unverified<T>(
        &self,
        method: &str,
        params: Value,
        read: impl FnOnce(Value) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        // Waiting for a slot is no fault of the endpoint.
        let deadline = self.limits.deadline.get();
        let turn = tokio::time::timeout(deadline, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| RpcError::Busy(CALLS_AT_ONCE))?;
        let mut timing = Timing { endpoint: self, started: Instant::now(), ended: false };
        let exchange = tokio::time::timeout(deadline, self.exchange(method, params));
        let answered = match exchange.await {
            Ok(answered) => answered,
            Err(_) => Err(RpcError::Deadline(deadline)),
        };
        let answered = answered.and_then(read);
        timing.ended = true;
        drop(timing);
        self.record(answered.as_ref().err());
        answered
    }

    async fn exchange(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| RpcError::Transport(error.to_string()))?;
        let response =
            self.http.request(request).await.map_err(|error| RpcError::Transport(describe(&error)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(RpcError::Status(status.as_u16()));
        }
        let most = usize::try_from(self.limits.max_answer.get()).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| RpcError::Transport(describe(&*error)))?.to_bytes();
        answer(&body, id)
    }

    /// Counts consecutive failures; enough of them pause it.
    fn record(&self, failure: Option<&RpcError>) {
        let mut state = self.state.lock();
        match failure.filter(|error| error.counts()) {
            None => (state.failures, state.rests, state.rests_until) = (0, 0, None),
            Some(error) => {
                state.failures += 1;
                state.last_error = error.to_string();
                if state.failures >= self.limits.breaker_failures {
                    state.rests += 1;
                    let backoff = Backoff { first: self.limits.breaker_pause.get(), longest: LONGEST_PAUSE };
                    let pause = backoff.after(state.rests);
                    state.rests_until = Some(Instant::now() + pause);
                    // After a pause another server may answer.
                    state.chain = None;
                    tracing::warn!(endpoint = self.label, chain = self.shows.wanted, %error, pause_ms = pause.as_millis() as u64, "an endpoint is paused");
                }
            }
        }
    }

    /// Its answer contradicts that of enough others.
    pub(crate) fn contradicted(&self) {
        let error = RpcError::Malformed("other endpoints agree on a different answer".into());
        tracing::warn!(
            endpoint = self.label,
            chain = self.shows.wanted,
            "an endpoint contradicts those that agree"
        );
        self.record(Some(&error));
    }
}

fn tls_provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Measures how long calls take, including abandoned ones.
struct Timing<'a> {
    endpoint: &'a Endpoint,
    started: Instant,
    ended: bool,
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        let took = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let known = self.endpoint.latency.load(Ordering::Relaxed);
        let learnt = match (self.ended, known) {
            (true, 0) => took,
            (true, known) => (known.saturating_mul(7)).saturating_add(took) / 8,
            (false, known) => known.max(took.saturating_mul(2)),
        };
        self.endpoint.latency.store(learnt.max(1), Ordering::Relaxed);
    }
}
