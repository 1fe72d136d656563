//! One JSON-RPC endpoint: it must show its chain before it is asked anything, gets a deadline and a
//! size, follows no redirect, and rests after failures in a row.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes as Data, U64, U256};
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
use tokio::sync::Semaphore;

use crate::address_rules::Resolver;
use crate::rpc::{Block, Log, RpcError, answer};
use crate::settings::{Settings, endpoint_problem};

/// The longest rest of an endpoint that keeps failing.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How far the clock of a block may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// More of what a contract gives back is never looked at.
const KEPT_RETURN: usize = 1024;

/// Calls to one endpoint that are under way at once; more wait.
const CALLS_AT_ONCE: usize = 64;

type Http = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// What all endpoints share.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    max_answer: usize,
    recheck: Duration,
    failures: u32,
    pause: Duration,
    gas: u64,
    allow_private: bool,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            deadline: settings.deadline.get(),
            max_answer: usize::try_from(settings.max_answer.get()).unwrap_or(usize::MAX),
            recheck: settings.recheck.get(),
            failures: settings.breaker_failures,
            pause: settings.breaker_pause.get(),
            gas: settings.call_gas,
            allow_private: settings.allow_private,
        }
    }
}

/// Which block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    Tag(&'static str),
    Number(u64),
}

impl At {
    fn param(self) -> Value {
        match self {
            Self::Tag(tag) => tag.into(),
            Self::Number(number) => quantity(number),
        }
    }
}

/// What can be read at a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    Call { to: Address, data: Data },
    Balance(Address),
    Code(Address),
}

/// What was read. A contract that reverts has answered, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At most the first [`KEPT_RETURN`] bytes, and how many there were.
    Returned(Data, usize),
    Reverted(Data),
}

/// An endpoint and what is known of it.
pub(crate) struct Endpoint {
    /// Its host, for people: the rest of the URL may be a secret.
    label: String,
    uri: Uri,
    chain: u64,
    http: Http,
    limits: Limits,
    next_id: AtomicU64,
    /// Whether it takes EIP-1898; it is tried until it says no.
    by_hash: AtomicBool,
    /// The usual time of a call, microseconds.
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
    /// When it was last asked for its chain, and what it said.
    chain: Option<(Instant, u64)>,
    last_error: String,
}

impl Endpoint {
    /// An endpoint of chain `chain`.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub(crate) fn new(url: &str, chain: u64, limits: Limits) -> Result<Self, String> {
        if let Some(problem) = endpoint_problem(url, limits.allow_private) {
            return Err(problem);
        }
        let uri: Uri = url.parse().map_err(|_| "it is no URL".to_owned())?;
        let mut tcp = HttpConnector::new_with_resolver(Resolver { allow_private: limits.allow_private });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.deadline));
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
            chain,
            http,
            limits,
            next_id: AtomicU64::new(1),
            by_hash: AtomicBool::new(true),
            latency: AtomicU64::new(0),
            turns: Semaphore::new(CALLS_AT_ONCE),
            state: Mutex::default(),
            checking: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Whether it may be asked now.
    pub(crate) fn rests(&self) -> bool {
        self.state.lock().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Why it is not in use; none if it is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        match state.chain {
            Some((_, found)) if found != self.chain => {
                Some(RpcError::OtherChain { found, wanted: self.chain }.to_string())
            }
            _ if state.failures >= self.limits.failures => Some(state.last_error.clone()),
            _ => None,
        }
    }

    pub(crate) fn latency(&self) -> u64 {
        self.latency.load(Ordering::Relaxed)
    }

    /// Calls the endpoint, once it has shown its chain.
    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        self.verify_chain().await?;
        self.call_unverified(method, params).await
    }

    async fn verify_chain(&self) -> Result<(), RpcError> {
        let fresh = |state: &State| {
            state.chain.filter(|(when, _)| when.elapsed() < self.limits.recheck).map(|(_, found)| found)
        };
        let known = fresh(&self.state.lock());
        let found = match known {
            Some(found) => found,
            None => {
                let _turn = self.checking.lock().await;
                let known = fresh(&self.state.lock());
                match known {
                    Some(found) => found,
                    None => {
                        let found: U64 = self.call_unverified("eth_chainId", json!([])).await?;
                        self.state.lock().chain = Some((Instant::now(), found.to()));
                        found.to()
                    }
                }
            }
        };
        if found == self.chain { Ok(()) } else { Err(RpcError::OtherChain { found, wanted: self.chain }) }
    }

    async fn call_unverified<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        // Waiting for a turn is no fault of the endpoint.
        let turn = tokio::time::timeout(self.limits.deadline, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| RpcError::Busy(CALLS_AT_ONCE))?;
        let mut timing = Timing { endpoint: self, started: Instant::now(), ended: false };
        let exchange = tokio::time::timeout(self.limits.deadline, self.exchange(method, params));
        let answered = match exchange.await {
            Ok(answered) => answered,
            Err(_) => Err(RpcError::Deadline(self.limits.deadline)),
        };
        let answered = answered.and_then(|value| {
            serde_json::from_value(value).map_err(|error| RpcError::Malformed(error.to_string()))
        });
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
        let body = Limited::new(response.into_body(), self.limits.max_answer).collect().await;
        let body = body.map_err(|error| RpcError::Transport(describe(&*error)))?.to_bytes();
        answer(&body, id)
    }

    /// Counts failures in a row; enough of them, and it rests.
    fn record(&self, failure: Option<&RpcError>) {
        let mut state = self.state.lock();
        match failure.filter(|error| error.counts()) {
            None => (state.failures, state.rests, state.rests_until) = (0, 0, None),
            Some(error) => {
                state.failures += 1;
                state.last_error = error.to_string();
                if state.failures >= self.limits.failures {
                    let pause = self.limits.pause.saturating_mul(1 << state.rests.min(10)).min(LONGEST_PAUSE);
                    state.rests += 1;
                    state.rests_until = Some(Instant::now() + pause);
                    // Whoever comes back may be somebody else.
                    state.chain = None;
                    tracing::warn!(endpoint = self.label, chain = self.chain, %error, ?pause, "an endpoint rests");
                }
            }
        }
    }

    /// It gave an answer that enough others contradict.
    pub(crate) fn contradicted(&self) {
        let error = RpcError::Malformed("other endpoints agree on another one".into());
        tracing::warn!(endpoint = self.label, chain = self.chain, "an endpoint contradicts those that agree");
        self.record(Some(&error));
    }

    /// The block of this tag or number; none if it does not know it.
    pub(crate) async fn block(&self, at: At) -> Result<Option<Block>, RpcError> {
        let block: Option<Block> = self.call("eth_getBlockByNumber", json!([at.param(), false])).await?;
        if let (Some(block), At::Number(wanted)) = (&block, at)
            && block.number != wanted
        {
            return Err(RpcError::Malformed(format!("block {} instead of {wanted}", block.number)));
        }
        Ok(block)
    }

    /// The block of a tag, if it is not below `floor` and of a plausible time.
    pub(crate) async fn head(
        &self,
        tag: &'static str,
        floor: u64,
        max_age: Option<Duration>,
    ) -> Result<Block, RpcError> {
        let block = self.block(At::Tag(tag)).await?;
        let block = block.ok_or_else(|| RpcError::Behind(format!("it has no {tag} block")))?;
        if block.number < floor {
            return Err(RpcError::Behind(format!("block {} is below {floor}", block.number)));
        }
        let now = crate::clock::unix_now();
        let time = Duration::from_secs(block.timestamp);
        if time > now + CLOCK_SKEW {
            return Err(RpcError::Malformed(format!("block {} is of the future", block.number)));
        }
        if let Some(most) = max_age.filter(|most| time + *most < now) {
            return Err(RpcError::Behind(format!(
                "its last block, {}, is older than max_age = {most:?}",
                block.number
            )));
        }
        Ok(block)
    }

    /// Reads at a block, by its hash where the endpoint can (EIP-1898).
    pub(crate) async fn read(&self, block: &Block, read: &Read) -> Result<Outcome, RpcError> {
        if self.by_hash.load(Ordering::Relaxed) {
            let at = json!({ "blockHash": block.hash, "requireCanonical": true });
            match self.read_at(at, read).await {
                Err(RpcError::Refused { code: -32602 | -32600, message, .. }) => {
                    tracing::info!(
                        endpoint = self.label,
                        message,
                        "the endpoint takes no block hashes (EIP-1898)"
                    );
                    self.by_hash.store(false, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
        let outcome = self.read_at(quantity(block.number), read).await?;
        // The number may have meant another block meanwhile.
        match self.block(At::Number(block.number)).await? {
            Some(still) if still.hash == block.hash => Ok(outcome),
            _ => Err(RpcError::Behind(format!("block {} was replaced while it was read", block.number))),
        }
    }

    async fn read_at(&self, at: Value, read: &Read) -> Result<Outcome, RpcError> {
        let read: Result<Data, RpcError> = match read {
            Read::Call { to, data } => {
                let call = json!({ "to": to, "data": data, "gas": quantity(self.limits.gas) });
                self.call("eth_call", json!([call, at])).await
            }
            Read::Code(address) => self.call("eth_getCode", json!([address, at])).await,
            Read::Balance(address) => {
                let balance: Result<U256, _> = self.call("eth_getBalance", json!([address, at])).await;
                balance.map(|balance| balance.to_be_bytes::<32>().into())
            }
        };
        match read {
            Ok(data) => {
                let length = data.len();
                Ok(Outcome::Returned(data.slice(..length.min(KEPT_RETURN)).to_vec().into(), length))
            }
            Err(error) => match error.reverted() {
                Some(data) => {
                    Ok(Outcome::Reverted(data.slice(..data.len().min(KEPT_RETURN)).to_vec().into()))
                }
                None => Err(error),
            },
        }
    }

    /// What a call returns in full, for calls that carry many; with more gas.
    pub(crate) async fn call_many(
        &self,
        block: &Block,
        to: Address,
        data: &Data,
        calls: u64,
    ) -> Result<Data, RpcError> {
        if !self.by_hash.load(Ordering::Relaxed) {
            return Err(RpcError::Behind("it takes no block hashes".into()));
        }
        let at = json!({ "blockHash": block.hash, "requireCanonical": true });
        let gas = quantity(self.limits.gas.saturating_mul(calls.min(4)));
        self.call("eth_call", json!([{ "to": to, "data": data, "gas": gas }, at])).await
    }

    /// Logs of one block that are of these contracts and one of these topics.
    pub(crate) async fn logs_of(
        &self,
        block: B256,
        contracts: &[Address],
        topics: &[B256],
    ) -> Result<Vec<Log>, RpcError> {
        let filter = json!({ "blockHash": block, "address": contracts, "topics": [topics] });
        let logs: Vec<Log> = self.call("eth_getLogs", json!([filter])).await?;
        if logs.iter().any(|log| log.block_hash != block || !contracts.contains(&log.address)) {
            return Err(RpcError::Malformed("a log of another block or contract".into()));
        }
        Ok(logs)
    }

    /// The same of all blocks from `first` to `last`.
    pub(crate) async fn logs_between(
        &self,
        (first, last): (u64, u64),
        contracts: &[Address],
        topics: &[B256],
    ) -> Result<Vec<Log>, RpcError> {
        let (from, to) = (quantity(first), quantity(last));
        let filter = json!({ "fromBlock": from, "toBlock": to, "address": contracts, "topics": [topics] });
        let logs: Vec<Log> = self.call("eth_getLogs", json!([filter])).await?;
        let asked =
            |log: &Log| (first..=last).contains(&log.block_number) && contracts.contains(&log.address);
        if !logs.iter().all(asked) {
            return Err(RpcError::Malformed("a log of another block or contract".into()));
        }
        Ok(logs)
    }
}

fn tls_provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn quantity(number: u64) -> Value {
    format!("{number:#x}").into()
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

/// Learns how long calls take, also those that nobody waited for to their end.
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
