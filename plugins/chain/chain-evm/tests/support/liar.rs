//! An endpoint in front of Anvil that lies, lags, hangs and disconnects, as the test sets.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{Response, header};
use axum::routing::any;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use streamgate_tests::abuse;

/// Its fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Lie {
    None,
    /// It claims to serve this chain.
    Chain(u64),
    /// For it, this is the last block.
    Stale(u64),
    /// This method's result is always this.
    Says(&'static str, Value),
    /// Every block has another hash.
    OtherHashes,
    /// In its logs, this field is always this.
    Logs(&'static str, Value),
    Hangs,
    /// It answers the head of a response, and then hangs.
    HangsInBody,
    Redirects(u16, String),
    Status(u16),
    Truncates,
    /// It sends more than should be read.
    Floods,
    Answers(&'static str),
    /// It answers the previous call.
    OtherId,
    /// It refuses the previous call, and claims that a contract reverted.
    OtherIdRefused,
    /// It says one thing, and then another.
    Twice,
    /// A few bytes now and then, forever.
    Drips,
    /// It answers in gzip, which was not requested: 64 MiB of spaces.
    Deflates,
    /// More fields than should be read before the answer.
    Fields,
    Refuses(i64, &'static str),
    /// It knows blocks by their number only.
    NoHashes,
    /// The same, and the block it reads at is replaced meanwhile.
    NoHashesAndReplaces,
    /// It reads the logs of only so many blocks at once.
    Limits(u64),
    /// It refuses this method, and passes nothing on.
    Drops(&'static str),
    /// It passes this method on, and claims that it did not.
    Denies(&'static str),
    /// This method's error is always this.
    Fails(&'static str, Value),
    /// It reports a revert by this error.
    Reverts(Value),
}

pub struct Liar {
    pub url: String,
    pub calls: Arc<AtomicUsize>,
    lie: Arc<Mutex<Lie>>,
}

#[derive(Clone)]
struct State {
    lie: Arc<Mutex<Lie>>,
    calls: Arc<AtomicUsize>,
    upstream: String,
    http: reqwest::Client,
}

impl Liar {
    pub async fn start(upstream: &str, lie: Lie) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (lie, calls) = (Arc::new(Mutex::new(lie)), Arc::default());
        let state = State {
            lie: Arc::clone(&lie),
            calls: Arc::clone(&calls),
            upstream: upstream.into(),
            http: reqwest::Client::new(),
        };
        let router = axum::Router::new().fallback(any(move |body: Bytes| answer(state.clone(), body)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, calls, lie }
    }

    pub fn now(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn answer(state: State, body: Bytes) -> Response<Body> {
    state.calls.fetch_add(1, Ordering::SeqCst);
    let lie = state.lie.lock().unwrap().clone();
    let mut call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = call["method"].as_str().unwrap_or_default().to_owned();
    if let Lie::Stale(block) = &lie {
        let number = json!(format!("{block:#x}"));
        if method == "eth_getBlockByNumber" && call["params"][0] == "latest" {
            call["params"][0] = number;
        }
    }
    match &lie {
        Lie::Hangs => std::future::pending().await,
        Lie::Redirects(status, to) => return abuse::redirects(*status, to),
        Lie::Status(status) => return abuse::status(*status),
        Lie::Drops(dropped) if method == *dropped => {
            return Response::new(Body::from(refusal(&call["id"]).to_string()));
        }
        Lie::Answers(text) => return Response::new(Body::from(*text)),
        Lie::Drips => return abuse::drips(),
        Lie::Fields => return abuse::fields(),
        Lie::Deflates => return abuse::deflates(16),
        Lie::Floods => return abuse::floods(),
        _ => {}
    }
    let sent = state.http.post(&state.upstream).json(&call).send().await.unwrap();
    let mut reply: Value = sent.json().await.unwrap();
    match lie {
        Lie::Chain(chain) if method == "eth_chainId" => reply["result"] = json!(format!("{chain:#x}")),
        Lie::Says(lied, result) if method == lied => {
            reply.as_object_mut().unwrap().remove("error");
            reply["result"] = result;
        }
        Lie::OtherHashes if method == "eth_getBlockByNumber" => {
            reply["result"]["hash"] = json!(format!("0x{}", "ab".repeat(32)));
        }
        Lie::Logs(field, value) if method == "eth_getLogs" => {
            for log in reply["result"].as_array_mut().into_iter().flatten() {
                log[field] = value.clone();
            }
        }
        Lie::OtherId => reply["id"] = json!(reply["id"].as_u64().unwrap_or_default().wrapping_sub(1)),
        Lie::OtherIdRefused if method == "eth_call" => {
            // OpenZeppelin 5: there is no token 7.
            let data = format!("0x7e273289{:064x}", 7);
            let error = json!({ "code": 3, "message": "execution reverted", "data": data });
            let id = reply["id"].as_u64().unwrap_or_default().wrapping_sub(1);
            reply = json!({ "jsonrpc": "2.0", "id": id, "error": error });
        }
        Lie::Twice => {
            let text = reply.to_string();
            let twice = format!("{},\"result\":{}}}", &text[..text.len() - 1], reply["result"]);
            return Response::new(Body::from(twice));
        }
        Lie::Refuses(code, message) if method != "eth_chainId" => {
            reply =
                json!({ "jsonrpc": "2.0", "id": reply["id"], "error": { "code": code, "message": message } });
        }
        Lie::NoHashes | Lie::NoHashesAndReplaces if call["params"][1]["blockHash"].is_string() => {
            let error = json!({ "code": -32602, "message": "invalid argument 1: hex string expected" });
            reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "error": error });
        }
        Lie::NoHashesAndReplaces
            if method == "eth_getBlockByNumber"
                && call["params"][0].as_str().unwrap_or_default().starts_with("0x") =>
        {
            reply["result"]["hash"] = json!(format!("0x{}", "ab".repeat(32)));
        }
        Lie::Limits(most) if call["params"][0]["fromBlock"].is_string() => {
            let block = |key: &str| {
                let text = call["params"][0][key].as_str().unwrap_or_default();
                u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
            };
            if block("toBlock") - block("fromBlock") >= most {
                let error = json!({ "code": -32005, "message": "query exceeds the limit" });
                reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "error": error });
            }
        }
        Lie::Denies(denied) if method == denied => reply = refusal(&call["id"]),
        Lie::Fails(failed, error) if method == failed => {
            reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "error": error });
        }
        Lie::Reverts(error) if reply["error"]["code"] == 3 => reply["error"] = error,
        Lie::Truncates => {
            let text = reply.to_string();
            let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
            let broken = std::io::Error::other("broken off");
            let body = Body::from_stream(futures_util::stream::iter([Ok(half), Err(broken)]));
            return Response::builder().header(header::CONTENT_LENGTH, text.len()).body(body).unwrap();
        }
        Lie::HangsInBody => {
            let half = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
            return Response::new(Body::from_stream(half.chain(futures_util::stream::pending())));
        }
        _ => {}
    }
    Response::new(Body::from(reply.to_string()))
}

fn refusal(id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "not now" } })
}
