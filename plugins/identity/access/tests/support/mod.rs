//! The access control over a real database and a real chain, with the bus between them.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

pub mod made_up;
pub mod slow;

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::Address;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde_json::{Value, json};
use streamgate_access::{Access, Dependencies, Settings};
use streamgate_chain_evm::Standalone;
use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{
    DecideRequest, Decision, Openness, PoliciesRequest, PolicyRequest, PolicyResponse,
};
use streamgate_contracts::catalogue::v1::Right;
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::events::{AccessChanged, AccessRevoked, TYPE_ACCESS_CHANGED, TYPE_ACCESS_REVOKED};
use streamgate_contracts::outbox::Bus;
use streamgate_metadata::Metadata;
use streamgate_plugin_api::time::{Clock, now_ms};
use streamgate_plugin_api::{Body, Client, Event, Principal, Problem, address};
use streamgate_sqlite::Engine;
use streamgate_tests::anvil::CHAIN;
use streamgate_tests::wait::eventually;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Maximum time a test waits for an expected event.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A content.
pub const CONTENT: &str = "0190a0a0-0000-7000-8000-0000000000c0";
/// Principals.
pub const ALICE: &str = "0190a0a0-0000-7000-8000-00000000000a";
pub const BOB: &str = "0190a0a0-0000-7000-8000-00000000000b";

/// The address of the signed-in viewer.
pub const SENDER: &str = "192.0.2.7";

pub fn creator() -> Principal {
    Principal {
        id: "0190a0a0-0000-7000-8000-00000000000f".into(),
        roles: vec!["creator".into(), "admin".into()],
        scopes: vec!["content:write".into(), "admin".into()],
        ..Principal::default()
    }
}

pub fn viewer(id: &str, wallets: &[Address]) -> Principal {
    let wallets = wallets.iter().map(|wallet| format!("eip155:{}", wallet.to_checksum(None))).collect();
    Principal { id: id.into(), roles: vec!["viewer".into()], wallets, ..Principal::default() }
}

/// A capability without a provider.
pub fn nobody() -> Client {
    let answer = || async { Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "No provider") };
    Client::from_service(axum::Router::new().fallback(answer))
}

/// A catalogue without owners: each caller's right is `right`.
fn unowned(right: Arc<AtomicU8>) -> Client {
    let answer = move |uri: Uri| async move {
        if !uri.path().ends_with("/Standing") {
            return nobody().send(Request::new(Body::empty())).await.unwrap();
        }
        // A frame of gRPC with `StandingResponse.rights`.
        let message = vec![0, 0, 0, 0, 3, 0x0a, 1, right.load(SeqCst)];
        let mut answer = Response::new(Body::from(message));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        answer
    };
    Client::from_service(axum::Router::new().fallback(answer))
}

pub struct World {
    pub folder: TempDir,
    engine: Engine,
    catalogue: Mutex<Client>,
    /// The catalogue's answer for everyone and everything, until there is a real one.
    right: Arc<AtomicU8>,
    /// Milliseconds by which the clock is ahead.
    ahead: Arc<AtomicI64>,
}

/// One run of the plugin.
pub struct Life {
    pub access: Access,
    pub service: AccessClient<Client>,
    public: Client,
    pub heard: Arc<Mutex<Vec<Event>>>,
    /// The ids of those that the plugin has handled itself.
    taken: Arc<Mutex<Vec<String>>>,
    bus: mpsc::UnboundedSender<Event>,
    tasks: Vec<JoinHandle<()>>,
    chain: Option<Standalone>,
}

impl Drop for Life {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub tag: String,
    pub json: Value,
}

impl World {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
        let right = Arc::new(AtomicU8::new(Right::None as u8));
        let catalogue = Mutex::new(unowned(right.clone()));
        Self { folder, engine, catalogue, right, ahead: Arc::default() }
    }

    /// From now on everyone has this right as an owner would.
    pub fn everybody_may(&self, right: Right) {
        self.right.store(right as u8, SeqCst);
    }

    /// Removes the catalogue, from the next start on.
    pub fn without_catalogue(&self) {
        *self.catalogue.lock().unwrap() = nobody();
    }

    /// Adds the catalogue, from the next start on.
    pub async fn with_catalogue(&self) -> CatalogueClient<Client> {
        let settings = streamgate_storage_fs::Settings {
            min_free: streamgate_plugin_api::settings::ByteSize::bytes(0),
            ..streamgate_storage_fs::Settings::default()
        };
        let storage = streamgate_storage_fs::open_storage(&self.folder.path().join("objects"), &settings);
        let storage = Client::from_service(storage.unwrap());
        let bus = Bus::new(|_| std::future::ready(Ok(())));
        let dependencies = streamgate_metadata::Dependencies::new(storage, nobody(), nobody(), nobody(), bus);
        let settings = streamgate_metadata::Settings::default();
        let metadata =
            Metadata::open(self.database(), dependencies, settings, CancellationToken::new()).await;
        let catalogue = Client::from_service(metadata.unwrap().internal());
        *self.catalogue.lock().unwrap() = catalogue.clone();
        CatalogueClient::new(catalogue)
    }

    pub fn database(&self) -> Client {
        Client::from_service(self.engine.router())
    }

    pub fn pass(&self, time: Duration) {
        self.ahead.fetch_add(i64::try_from(time.as_millis()).unwrap(), SeqCst);
    }

    pub fn now_ms(&self) -> i64 {
        now_ms() + self.ahead.load(SeqCst)
    }

    /// The plugin of EVM chains: one at this endpoint, and one without.
    pub async fn chain(&self, url: &str, told: impl Fn(Event) + Send + Sync + 'static) -> Standalone {
        let settings = json!({
            "allow_private": true, "deadline": "1s", "hedge_after": "200ms", "head_ttl": "500ms",
            "poll": "200ms", "idle_poll": "200ms", "breaker_pause": "100ms",
            "chains": [
                { "id": CHAIN, "name": "Anvil", "endpoints": [url], "max_age": "0s", "max_lag": 2 },
                { "id": 1, "name": "Nowhere", "endpoints": [] },
            ],
        });
        let settings = serde_json::from_value(settings).unwrap();
        Standalone::start(self.database(), settings, told).await.unwrap()
    }

    /// Starts the plugin, over the chain at this endpoint if there is one.
    pub async fn live(&self, endpoint: Option<&str>, settings: Value) -> Life {
        let (bus, mut events) = mpsc::unbounded_channel::<Event>();
        let mut chain = nobody();
        let mut running = None;
        if let Some(url) = endpoint {
            let told = bus.clone();
            let standalone = self.chain(url, move |event| {
                let _ = told.send(event);
            });
            let standalone = standalone.await;
            chain = Client::from_service(standalone.router());
            running = Some(standalone);
        }
        self.over([chain, nobody()], nobody(), settings, bus, &mut events, running).await
    }

    /// Starts the plugin over a fake EVM chain.
    pub async fn live_over(&self, chain: Client, settings: Value) -> Life {
        self.live_over_both(chain, nobody(), settings).await
    }

    /// The same with a cluster of Solana.
    pub async fn live_over_both(&self, chain: Client, solana: Client, settings: Value) -> Life {
        let (bus, mut events) = mpsc::unbounded_channel::<Event>();
        self.over([chain, solana], nobody(), settings, bus, &mut events, None).await
    }

    /// Starts the plugin with a provider of the audit log.
    pub async fn live_with(&self, auth: Client) -> Life {
        let (bus, mut events) = mpsc::unbounded_channel::<Event>();
        self.over([nobody(), nobody()], auth, json!({}), bus, &mut events, None).await
    }

    async fn over(
        &self,
        [chain, solana]: [Client; 2],
        auth: Client,
        settings: Value,
        bus: mpsc::UnboundedSender<Event>,
        events: &mut mpsc::UnboundedReceiver<Event>,
        running: Option<Standalone>,
    ) -> Life {
        let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
        let (told, noted) = (bus.clone(), heard.clone());
        let taken: Arc<Mutex<Vec<String>>> = Arc::default();
        let taking = taken.clone();
        let publish = Bus::new(move |event: Event| {
            noted.lock().unwrap().push(event.clone());
            let _ = told.send(event);
            std::future::ready(Ok(()))
        });
        let catalogue = self.catalogue.lock().unwrap().clone();
        let dependencies =
            Dependencies { database: self.database(), chain, solana, auth, catalogue, bus: publish };
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let ahead = self.ahead.clone();
        let clock = Clock::told_by(move || now_ms() + ahead.load(SeqCst));
        let access = Access::open(dependencies, settings, clock).await.unwrap();
        let (listening, working) = (access.clone(), access.clone());
        let mut events = std::mem::replace(events, mpsc::unbounded_channel().1);
        let tasks = vec![
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    listening.on_event(&event).await;
                    taking.lock().unwrap().push(event.id);
                }
            }),
            tokio::spawn(async move { working.run(|_| {}).await }),
        ];
        let service = AccessClient::new(Client::from_service(access.internal()));
        let public = Client::from_service(access.public());
        Life { access, service, public, heard, taken, bus, tasks, chain: running }
    }
}

impl Life {
    /// Ends it, and its chain.
    pub async fn stop(mut self) {
        if let Some(chain) = self.chain.take() {
            chain.stop().await;
        }
    }

    /// Puts an event on the bus.
    pub fn happens(&self, event: Event) {
        self.bus.send(event).unwrap();
    }

    pub async fn decide(&self, who: &Principal) -> Decision {
        let request = DecideRequest {
            content: CONTENT.into(),
            principal: who.id.clone(),
            roles: who.roles.clone(),
            scopes: who.scopes.clone(),
            wallets: who.wallets.clone(),
        };
        self.service.clone().decide(request).await.unwrap().into_inner()
    }

    pub async fn policy(&self) -> PolicyResponse {
        self.service.clone().policy(PolicyRequest { content: CONTENT.into() }).await.unwrap().into_inner()
    }

    pub async fn policies(&self, contents: &[String]) -> Result<Vec<PolicyResponse>, tonic::Status> {
        let request = PoliciesRequest { contents: contents.to_vec() };
        Ok(self.service.clone().policies(request).await?.into_inner().policies)
    }

    pub async fn openness(&self) -> Openness {
        self.policy().await.openness()
    }

    pub async fn call(
        &self,
        who: Option<&Principal>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.call_if(who, method, path, body, None).await
    }

    pub async fn call_if(
        &self,
        who: Option<&Principal>,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Answer {
        let path = path.replace("{c}", CONTENT);
        let mut request = Request::builder().method(method).uri(format!("http://access/api/v1/access{path}"));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(tag) = if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = request.body(Body::from(body)).unwrap();
        if let Some(who) = who {
            who.put_on(request.headers_mut());
            request.headers_mut().insert(address::CLIENT, HeaderValue::from_static(SENDER));
        }
        let response = self.public.send(request).await.unwrap();
        let status = response.status();
        let tag = response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
        let bytes = axum::body::to_bytes(axum::body::Body::new(response.into_body()), 1 << 20).await.unwrap();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status, tag: tag.unwrap_or_default(), json }
    }

    pub async fn put_policy(&self, policy: Value) -> u64 {
        let answer = self.call(Some(&creator()), Method::PUT, "/contents/{c}", Some(&policy)).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        // The plugin receives its own event, too, and restarts what is in progress then.
        eventually("the policy to be heard of", PATIENCE, async || {
            let heard = self.heard.lock().unwrap();
            let told = heard.iter().rfind(|event| event.r#type == TYPE_ACCESS_CHANGED)?.id.clone();
            self.taken.lock().unwrap().contains(&told).then_some(())
        })
        .await;
        answer.json["revision"].as_u64().unwrap()
    }

    pub async fn gate(&self, rule: Value) -> u64 {
        self.put_policy(json!({ "openness": "gated", "rule": rule })).await
    }

    pub fn revoked(&self) -> Vec<AccessRevoked> {
        self.events(TYPE_ACCESS_REVOKED)
    }

    pub fn changed(&self) -> Vec<AccessChanged> {
        self.events(TYPE_ACCESS_CHANGED)
    }

    fn events<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|event| event.r#type == kind).map(|event| event.parse().unwrap()).collect()
    }

    /// The matching revocation, once it has been published.
    pub async fn hears(&self, what: &str, fits: impl Fn(&AccessRevoked) -> bool) -> AccessRevoked {
        eventually(what, PATIENCE, async || self.revoked().into_iter().find(|event| fits(event))).await
    }

    /// The matching decision, once there is one.
    pub async fn decides(&self, what: &str, who: &Principal, fits: impl Fn(&Decision) -> bool) -> Decision {
        eventually(what, PATIENCE, async || Some(self.decide(who).await).filter(|decision| fits(decision)))
            .await
    }
}

pub fn slug(answer: &Answer) -> &str {
    answer.json["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default()
}
