//! The plugins that know about contents, and the one that registers them, over one folder and with a bus
//! between them.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{Method, Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use prost::Message as _;
use serde_json::{Value, json};
use streamgate_access::Access;
use streamgate_contracts::audit::Entry;
use streamgate_contracts::auth::v1::{FindRequest, FindResponse, Person};
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::catalogue::v1::{ContentState, CreateRequest, UpdateRequest};
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::value::Kind;
use streamgate_contracts::database::v1::{QueryRequest, Row};
use streamgate_contracts::outbox::Bus;
use streamgate_metadata::Metadata;
use streamgate_plugin_api::settings::ByteSize;
use streamgate_plugin_api::time::Clock;
use streamgate_plugin_api::{Body, Client, Event, Principal};
use streamgate_registry_evm::{Clients, Standalone};
use streamgate_sqlite::Engine;
use streamgate_tests::anvil::CHAIN;
use streamgate_tests::wait::eventually;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{self, Both, PATIENCE};

/// One run of them all.
pub struct House {
    registry: Arc<Standalone>,
    chain: streamgate_chain_evm::Standalone,
    pub catalogue: CatalogueClient<Client>,
    pub storage: Client,
    access: Client,
    public: Client,
    /// Events are lost from now on.
    pub deaf: Arc<AtomicBool>,
    /// The access control answers no calls from now on.
    pub closed: Arc<AtomicBool>,
    database: Client,
    tasks: Vec<JoinHandle<()>>,
}

/// A capability without a provider.
fn nobody() -> Client {
    Client::from_service(axum::Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE))
}

/// A principal with a wallet on every chain, besides others, and one without here.
pub const ANN: &str = "0190a0a0-0000-7000-8000-00000000000a";
pub const BOB: &str = "0190a0a0-0000-7000-8000-00000000000b";
pub const ANNS: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";

/// `Auth.Find`, and nothing else.
fn wallets() -> Client {
    let answer = async |request: axum::extract::Request| {
        if !request.uri().path().ends_with("/Find") {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
        let person = |id: String| match id.as_str() {
            ANN => Person {
                wallets: vec!["solana:x".into(), format!("eip155:5:{ANNS}"), format!("eip155:{ANNS}")],
                principal: id,
                ..Person::default()
            },
            BOB => Person { wallets: vec![format!("eip155:5:{ANNS}")], principal: id, ..Person::default() },
            _ => Person::default(),
        };
        let names = FindRequest::decode(body.slice(5..)).unwrap().names;
        let people = FindResponse { people: names.into_iter().map(person).collect() }.encode_to_vec();
        let frame = [&[0][..], &u32::try_from(people.len()).unwrap().to_be_bytes(), &people].concat();
        let headers = [("content-type", "application/grpc"), ("grpc-status", "0")];
        (headers, frame).into_response()
    };
    Client::from_service(axum::Router::new().fallback(answer))
}

pub fn admin() -> Principal {
    Principal {
        id: "0190a0a0-0000-7000-8000-00000000000f".into(),
        roles: vec!["admin".into()],
        scopes: vec!["content:write".into(), "admin".into()],
        ..Principal::default()
    }
}

/// The id of a content.
pub fn id(number: u8) -> String {
    format!("0190163d-8694-739b-aea5-966c26f8ad{number:02x}")
}

/// The file of a content.
pub fn file(number: u8) -> Vec<u8> {
    vec![number; 100_000]
}

impl House {
    pub async fn start(folder: &Path, settings: Both) -> Self {
        let engine = Engine::new(folder, streamgate_sqlite::Settings::default());
        let database = || Client::from_service(engine.router());
        let (bus, mut events) = mpsc::unbounded_channel::<Event>();
        let publish = Bus::new(move |event: Event| {
            let _ = bus.send(event);
            std::future::ready(Ok(()))
        });
        let storage = streamgate_storage_fs::Settings {
            min_free: ByteSize::bytes(0),
            ..streamgate_storage_fs::Settings::default()
        };
        let storage = streamgate_storage_fs::open_storage(&folder.join("objects"), &storage).unwrap();
        let storage = Client::from_service(storage);
        let outside = streamgate_metadata::Dependencies::new(
            storage.clone(),
            nobody(),
            nobody(),
            nobody(),
            publish.clone(),
        );
        let (shutdown, defaults) = (
            CancellationToken::new(),
            streamgate_metadata::Settings { gated: false, ..streamgate_metadata::Settings::default() },
        );
        let metadata = Metadata::open(database(), outside, defaults, shutdown).await.unwrap();
        let outside = streamgate_access::Dependencies {
            database: database(),
            chain: nobody(),
            solana: nobody(),
            auth: nobody(),
            catalogue: nobody(),
            bus: publish,
        };
        let access =
            Access::open(outside, streamgate_access::Settings::default(), Clock::system()).await.unwrap();
        let catalogue = Client::from_service(metadata.internal());
        let closed = Arc::new(AtomicBool::new(false));
        let shut = Arc::clone(&closed);
        let door = middleware::from_fn(move |request: axum::extract::Request, next: Next| {
            let shut = shut.load(Ordering::SeqCst);
            async move {
                if shut { StatusCode::SERVICE_UNAVAILABLE.into_response() } else { next.run(request).await }
            }
        });
        let clients = Clients {
            catalogue: catalogue.clone(),
            storage: storage.clone(),
            access: Client::from_service(access.internal().layer(door)),
            auth: wallets(),
        };
        let chain = support::chain(database(), settings.chain).await;
        let reads = Client::from_service(chain.router());
        let registry = Standalone::start(database(), reads, clients, settings.registry, |_| {});
        let (registry, deaf) = (Arc::new(registry.await.unwrap()), Arc::new(AtomicBool::new(false)));
        let (hears, loses) = (Arc::clone(&registry), Arc::clone(&deaf));
        let listening = async move {
            while let Some(event) = events.recv().await {
                if !loses.load(Ordering::SeqCst) {
                    hears.heard(&event);
                }
            }
        };
        Self {
            catalogue: CatalogueClient::new(catalogue),
            storage,
            access: Client::from_service(access.public()),
            public: Client::from_service(registry.public()),
            deaf,
            closed,
            database: database(),
            tasks: vec![tokio::spawn(listening), tokio::spawn(metadata.show_changes())],
            registry,
            chain,
        }
    }

    pub fn reconfigure(&self, settings: Both) {
        self.chain.reconfigure(settings.chain);
        self.registry.reconfigure(settings.registry);
    }

    pub async fn stop(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        Arc::into_inner(self.registry).unwrap().stop().await;
        self.chain.stop().await;
    }

    /// A content whose file was uploaded.
    pub async fn upload(&self, number: u8) {
        let uri = format!("http://storage/media/{}/source", id(number));
        let request = Request::builder().method(Method::PUT).uri(uri).body(Body::from(file(number))).unwrap();
        let answer = self.storage.send(request).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        self.create(number).await;
    }

    /// A content without a file.
    pub async fn create(&self, number: u8) {
        self.create_for(number, "").await;
    }

    /// The same of a principal's.
    pub async fn create_for(&self, number: u8, owner: &str) {
        let request = CreateRequest { id: id(number), owner: owner.into(), ..CreateRequest::default() };
        self.catalogue.clone().create(request).await.unwrap();
    }

    /// It was encoded.
    pub async fn finish(&self, number: u8) {
        for state in [ContentState::Uploaded, ContentState::Transcoding, ContentState::Ready] {
            let request = UpdateRequest { id: id(number), state: state.into(), ..UpdateRequest::default() };
            self.catalogue.clone().update(request).await.unwrap();
        }
    }

    pub async fn ready(&self, number: u8) {
        self.upload(number).await;
        self.finish(number).await;
    }

    /// Sets who may watch a content; returns the revision.
    pub async fn open(&self, number: u8, openness: &str) -> u64 {
        let uri = format!("http://access/api/v1/access/contents/{}", id(number));
        let body = json!({ "openness": openness }).to_string();
        let request = Request::builder().method(Method::PUT).uri(uri);
        let request = request.header("content-type", "application/json").body(Body::from(body)).unwrap();
        let (status, policy) = send(&self.access, request, Some(&admin())).await;
        assert_eq!(status, 200, "{policy}");
        policy["revision"].as_u64().unwrap()
    }

    /// The REST API's response about the chain of the test.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, Some(&admin())).await
    }

    pub async fn call(&self, method: Method, path: &str, who: Option<&Principal>) -> (u16, Value) {
        let uri = format!("http://registry/api/v1/registry/eip155:{CHAIN}{path}");
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        send(&self.public, request, who).await
    }

    /// The pending audit entries: action and subject.
    pub async fn audited(&self) -> Vec<(String, String)> {
        let (namespace, sql) = ("registry_evm".into(), "SELECT entry FROM audit ORDER BY id".into());
        let request = QueryRequest { namespace, sql, ..QueryRequest::default() };
        let answer = DatabaseClient::new(self.database.clone()).query(request).await.unwrap();
        let read = |row: Row| {
            let Some(Kind::Text(text)) = &row.values[0].kind else { panic!("{row:?}") };
            let entry: Entry = serde_json::from_str(text).unwrap();
            assert_eq!(entry.principal, admin().id);
            (entry.action, entry.subject)
        };
        answer.into_inner().rows.into_iter().map(read).collect()
    }

    /// The one registry.
    pub async fn registry(&self) -> Value {
        let request = Request::get("http://registry/api/v1/registry").body(Body::empty()).unwrap();
        let (status, mut registries) = send(&self.public, request, Some(&admin())).await;
        assert_eq!(status, 200, "{registries}");
        registries["items"][0].take()
    }

    /// The content, once the condition holds.
    pub async fn until(&self, number: u8, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("content {number}: {what}"), PATIENCE, async || {
            let (status, shown) = self.get(&format!("/{}", id(number))).await;
            Some(shown).filter(|shown| status == 200 && is(shown))
        })
        .await
    }

    pub async fn becomes(&self, number: u8, state: &str) -> Value {
        self.until(number, state, |shown| shown["state"] == state).await
    }

    /// The content, once the registry has it.
    pub async fn registered(&self, number: u8) -> Value {
        self.until(number, "registered", |shown| !shown["registered"].is_null()).await
    }

    /// What prevents registration, once the condition holds.
    pub async fn trouble(&self, is: impl Fn(&Value) -> bool) -> Value {
        eventually("trouble of the registry", PATIENCE, async || {
            Some(self.registry().await["trouble"].take()).filter(&is)
        })
        .await
    }
}

async fn send(client: &Client, mut request: Request<Body>, who: Option<&Principal>) -> (u16, Value) {
    if let Some(who) = who {
        who.put_on(request.headers_mut());
    }
    let answer = client.send(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes(1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
