//! A server's sign-in on a real database, with a clock that tests set, and wallets that sign.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, eip191_hash_message, hex};
use ed25519_dalek::Signer as _;
use http::Request;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use streamgate_auth::{Auth, ContractWallets, NoContractWallets, RoleQuota, Settings};
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::auth::v1::authenticate_response::Outcome;
use streamgate_contracts::auth::v1::{AuthenticateRequest, Identity, Refusal};
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::settings::Duration;
use streamgate_plugin_api::time::Clock;
use streamgate_plugin_api::{Body, Client, Event};
use streamgate_sqlite::Engine;

/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600_000;
pub const SITE: &str = "https://video.example.org";

/// What survives a restart.
pub struct World {
    now: Arc<AtomicI64>,
    engine: Engine,
    asked: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Event>>>,
    folder: tempfile::TempDir,
}

/// The sign-in from one start to the next.
#[derive(Clone)]
pub struct Life {
    pub auth: Auth,
    pub internal: AuthClient<Client>,
    public: Client,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub json: Value,
    pub cookies: Vec<String>,
    pub headers: http::HeaderMap,
}

pub fn settings() -> Settings {
    Settings {
        public_url: SITE.into(),
        origins: vec!["http://localhost:8080".into()],
        attempts_per_address: 1_000_000,
        attempts_per_wallet: 1_000_000,
        quotas: challenges(Some(1_000_000)),
        ..Settings::default()
    }
}

/// Quotas with as many sign-in challenges of an address per minute.
pub fn challenges(challenges: Option<u64>) -> BTreeMap<String, RoleQuota> {
    BTreeMap::from([("anonymous".to_owned(), RoleQuota { challenges, ..RoleQuota::default() })])
}

/// A refresh token that is used twice ends its session at once.
pub fn strict() -> Settings {
    Settings { refresh_grace: Duration::secs(0), ..settings() }
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
        Self {
            now: Arc::new(AtomicI64::new(START)),
            engine,
            asked: Arc::default(),
            told: Arc::default(),
            folder,
        }
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// How often the database was called.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The events published since the last call.
    pub fn told(&self) -> Vec<Event> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    pub async fn live(&self, settings: Settings) -> Life {
        self.live_with(settings, Arc::new(NoContractWallets)).await
    }

    pub async fn live_with(&self, settings: Settings, wallets: Arc<dyn ContractWallets>) -> Life {
        let now = self.now.clone();
        let clock = Clock::told_by(move || now.load(Ordering::SeqCst));
        let asked = self.asked.clone();
        let counted = axum::middleware::map_request(move |request: axum::extract::Request| {
            asked.fetch_add(1, Ordering::SeqCst);
            async { request }
        });
        let database = Client::from_service(self.engine.router().layer(counted));
        let told = self.told.clone();
        let publish = Bus::new(move |event| {
            told.lock().unwrap().push(event);
            std::future::ready(Ok(()))
        });
        let auth = Auth::open(database, self.folder.path(), settings, clock, wallets, publish).await.unwrap();
        Life {
            internal: AuthClient::new(Client::from_service(auth.internal())),
            public: Client::from_service(auth.public()),
            auth,
        }
    }
}

impl Life {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/v1/auth/{path}") };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = Body::from(body.map(|body| body.to_string()).unwrap_or_default());
        self.exchange(request.body(body).unwrap()).await
    }

    /// JSON, however its bytes arrive.
    pub async fn post_body(&self, path: &str, body: Body) -> Answer {
        let request =
            Request::post(format!("/api/v1/auth/{path}")).header("content-type", "application/json");
        self.exchange(request.body(body).unwrap()).await
    }

    async fn exchange(&self, request: Request<Body>) -> Answer {
        let answer = self.public.send(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect_bytes(1 << 20).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            json: serde_json::from_slice(&body).unwrap_or_default(),
            cookies: parts
                .headers
                .get_all("set-cookie")
                .iter()
                .map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned())
                .collect(),
            headers: parts.headers,
        }
    }

    /// With a bearer token.
    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {token}");
        self.send(method, path, &[("authorization", &bearer)], body).await
    }

    /// The same with a body that [`Value`] cannot represent.
    pub async fn send_text(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(format!("/api/v1/auth/{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json");
        self.exchange(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    /// The tokens of a sign-in.
    pub async fn sign_in(&self, wallet: &Wallet) -> Value {
        let proof = self.proof(wallet).await;
        let answer = self.post("sign-in", proof).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        answer.json
    }

    /// A challenge, signed.
    pub async fn proof(&self, wallet: &Wallet) -> Value {
        let asked = json!({ "kind": wallet.kind(), "address": wallet.address() });
        wallet.answer(&self.post("challenge", asked).await.json)
    }

    /// The first admin's token.
    pub async fn admin(&self, world: &World) -> String {
        let first = self.auth.bootstrap(&world.directory()).await.unwrap();
        std::fs::read_to_string(first.token_file).unwrap().trim().to_owned()
    }

    pub async fn authenticate(&self, request: AuthenticateRequest) -> Result<Identity, Refusal> {
        match self.internal.clone().authenticate(request).await.unwrap().into_inner().outcome.unwrap() {
            Outcome::Identity(identity) => Ok(identity),
            Outcome::Refusal(refusal) => Err(refusal),
        }
    }

    pub async fn whose(&self, token: &str) -> Result<Identity, Refusal> {
        let authorization = format!("Bearer {token}");
        self.authenticate(AuthenticateRequest { authorization, ..AuthenticateRequest::default() }).await
    }
}

/// The last part of the problem's type.
pub fn slug(answer: &Answer) -> &str {
    let text = answer.json["type"].as_str().unwrap_or_default();
    text.strip_prefix("urn:streamgate:problem:").unwrap_or_default()
}

/// A text of a response.
pub fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}"))
}

/// The answer of an Ethereum wallet to a digest: r, s and 27 or 28.
pub fn signed(key: &SigningKey, digest: &[u8]) -> [u8; 65] {
    let (signature, recovery) = key.sign_prehash_recoverable(digest);
    let mut raw = [27 + recovery.to_byte(); 65];
    raw[..64].copy_from_slice(&signature.to_bytes());
    raw
}

pub enum Wallet {
    Ethereum(SigningKey),
    Solana(ed25519_dalek::SigningKey),
}

impl Wallet {
    pub fn ethereum(seed: u8) -> Self {
        Self::Ethereum(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn solana(seed: u8) -> Self {
        Self::Solana(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ethereum(_) => "ethereum",
            Self::Solana(_) => "solana",
        }
    }

    pub fn address(&self) -> String {
        match self {
            Self::Ethereum(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                Address::from_raw_public_key(&point.as_bytes()[1..]).to_checksum(None)
            }
            Self::Solana(key) => bs58::encode(key.verifying_key().to_bytes()).into_string(),
        }
    }

    pub fn sign(&self, message: &str) -> String {
        match self {
            Self::Ethereum(key) => {
                let hash = eip191_hash_message(message);
                hex::encode_prefixed(signed(key, hash.as_slice()))
            }
            Self::Solana(key) => bs58::encode(key.sign(message.as_bytes()).to_bytes()).into_string(),
        }
    }

    pub fn answer(&self, challenge: &Value) -> Value {
        let message = text(challenge, "message");
        match self {
            Self::Ethereum(_) => {
                json!({ "kind": "ethereum", "message": message, "signature": self.sign(message) })
            }
            Self::Solana(_) => {
                json!({ "kind": "solana", "nonce": challenge["nonce"], "signature": self.sign(message) })
            }
        }
    }
}
