//! An endpoint in front of the cluster that lies, lags, hangs and disconnects, as the test sets.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::collections::HashMap;
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
    /// This method's result is always this.
    Says(&'static str, Value),
    /// Its answers are its earlier ones, if it gave one to the same query.
    Remembers,
    /// The same, and it claims that they are current.
    RemembersAsOfNow,
    /// Every block has another hash.
    OtherHashes,
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
    /// It says one thing, and then another.
    Twice,
    /// A few bytes now and then, forever.
    Drips,
    /// It answers in gzip, which was not requested: 64 MiB of spaces.
    Deflates,
    /// More fields than should be read before the answer.
    Fields,
    /// All but the question for its genesis.
    Refuses(i64, &'static str),
}

pub struct Liar {
    pub url: String,
    state: State,
}

#[derive(Clone)]
struct State {
    lie: Arc<Mutex<Lie>>,
    calls: Arc<AtomicUsize>,
    memory: Arc<Mutex<HashMap<String, Value>>>,
    upstream: String,
    http: reqwest::Client,
}

impl Liar {
    pub async fn start(upstream: &str, lie: Lie) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            lie: Arc::new(Mutex::new(lie)),
            calls: Arc::default(),
            memory: Arc::default(),
            upstream: upstream.into(),
            http: reqwest::Client::new(),
        };
        let answering = state.clone();
        let router = axum::Router::new().fallback(any(move |body: Bytes| answer(answering.clone(), body)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    pub fn now(&self, lie: Lie) {
        *self.state.lie.lock().unwrap() = lie;
    }

    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }
}

/// A query without the parts that change each time.
fn question(call: &Value) -> String {
    let mut params = call["params"].clone();
    for part in params.as_array_mut().into_iter().flatten() {
        if let Some(config) = part.as_object_mut() {
            config.remove("minContextSlot");
        }
    }
    if call["method"] == "getBlock" {
        params = json!([]);
    }
    format!("{} {params}", call["method"])
}

async fn answer(state: State, body: Bytes) -> Response<Body> {
    state.calls.fetch_add(1, Ordering::SeqCst);
    let lie = state.lie.lock().unwrap().clone();
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = call["method"].as_str().unwrap_or_default();
    match &lie {
        Lie::Hangs => std::future::pending().await,
        Lie::Redirects(status, to) => return abuse::redirects(*status, to),
        Lie::Status(status) => return abuse::status(*status),
        Lie::Answers(text) => return Response::new(Body::from(*text)),
        Lie::Drips => return abuse::drips(),
        Lie::Fields => return abuse::fields(),
        Lie::Deflates => return abuse::deflates(16),
        Lie::Floods => return abuse::floods(),
        _ => {}
    }
    let sent = state.http.post(&state.upstream).json(&call).send().await.unwrap();
    let mut reply: Value = sent.json().await.unwrap();
    let remembered = state.memory.lock().unwrap().get(&question(&call)).cloned();
    match (lie, remembered) {
        (Lie::None, _) => {
            state.memory.lock().unwrap().insert(question(&call), reply["result"].clone());
        }
        (Lie::Remembers, Some(result)) => {
            reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "result": result });
        }
        (Lie::RemembersAsOfNow, Some(result)) if result["context"].is_object() => {
            let now = reply["result"]["context"].clone();
            reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "result": result });
            reply["result"]["context"] = now;
        }
        (Lie::Says(lied, result), _) if method == lied => {
            reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "result": result });
        }
        (Lie::OtherHashes, _) if method == "getBlock" => {
            reply["result"]["blockhash"] = json!("11111111111111111111111111111112");
        }
        (Lie::Twice, _) => {
            let text = reply.to_string();
            let twice = format!("{},\"result\":{}}}", &text[..text.len() - 1], reply["result"]);
            return Response::new(Body::from(twice));
        }
        (Lie::OtherId, _) => reply["id"] = json!(reply["id"].as_u64().unwrap_or_default().wrapping_sub(1)),
        (Lie::Refuses(code, message), _) if method != "getGenesisHash" => {
            let error = json!({ "code": code, "message": message });
            reply = json!({ "jsonrpc": "2.0", "id": reply["id"], "error": error });
        }
        (Lie::Truncates, _) => {
            let text = reply.to_string();
            let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
            let broken = std::io::Error::other("broken off");
            let body = Body::from_stream(futures_util::stream::iter([Ok(half), Err(broken)]));
            return Response::builder().header(header::CONTENT_LENGTH, text.len()).body(body).unwrap();
        }
        (Lie::HangsInBody, _) => {
            let half = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
            return Response::new(Body::from_stream(half.chain(futures_util::stream::pending())));
        }
        _ => {}
    }
    Response::new(Body::from(reply.to_string()))
}
