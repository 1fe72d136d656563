//! A test setup with access control: a fake `access` and `auth`, and a real database.

use std::collections::BTreeSet;

use streamgate_contracts::access::v1::access_server::{Access, AccessServer};
use streamgate_contracts::access::v1::{
    BarsRequest, BarsResponse, DecideRequest, Decision, Openness, PoliciesRequest, PoliciesResponse,
    PolicyRequest, PolicyResponse, Verdict,
};
use streamgate_contracts::auth::v1::auth_server::{Auth, AuthServer};
use streamgate_contracts::auth::v1::authenticate_response::Outcome;
use streamgate_contracts::auth::v1::identify_response::Outcome as Now;
use streamgate_contracts::auth::v1::{
    AuditRequest, AuditResponse, AuthenticateRequest, AuthenticateResponse, FindRequest, FindResponse,
    FirstAdminRequest, FirstAdminResponse, IdentifyRequest, IdentifyResponse, Identity, QuotaRequest,
    QuotaResponse, Refusal, RevokeRequest, RevokeResponse, Role,
};
use streamgate_contracts::events::{AccessChanged, AccessRevoked, CredentialEnded};
use streamgate_sqlite::Engine;
use tokio::sync::Semaphore;

use super::*;
use crate::gate::Capabilities;
use crate::gate::clock::Clock;
use crate::gate::playback::Lifetimes;
use crate::gate::provider::Provider;
use crate::gate::token::Key;
use crate::object::path::Folder;

pub(super) const ADA: (&str, &str) = ("cookie", "session=ada");
pub(super) const BOB: (&str, &str) = ("cookie", "session=bob");
pub(super) const OTHER_ID: &str = "0199c3a4-5b6c-7d8e-9f01-23456789abce";
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// An `access` that allows whom the test names.
#[derive(Clone)]
pub(super) struct Doorman {
    pub(super) openness: Arc<Mutex<Option<Openness>>>,
    pub(super) says: Arc<Mutex<Result<Decision, Status>>>,
    /// How long its decisions hold.
    pub(super) holds: Arc<Mutex<Duration>>,
    /// Decisions wait for one of these.
    pub(super) leave: Arc<Semaphore>,
    pub(super) asked: Arc<Mutex<Vec<DecideRequest>>>,
    pub(super) policies: Arc<AtomicU32>,
    pub(super) clock: Arc<Clock>,
}

#[tonic::async_trait]
impl Access for Doorman {
    async fn policy(&self, _: Call<PolicyRequest>) -> Result<Reply<PolicyResponse>, Status> {
        self.policies.fetch_add(1, Ordering::SeqCst);
        let openness = self.openness.lock().unwrap().ok_or_else(|| Status::unavailable("asleep"))?;
        Ok(Reply::new(PolicyResponse { openness: openness.into(), revision: 1 }))
    }

    async fn policies(&self, _: Call<PoliciesRequest>) -> Result<Reply<PoliciesResponse>, Status> {
        Err(Status::unimplemented("streaming asks for one at a time"))
    }

    async fn bars(&self, _: Call<BarsRequest>) -> Result<Reply<BarsResponse>, Status> {
        Err(Status::unimplemented("streaming asks for decisions"))
    }

    async fn decide(&self, call: Call<DecideRequest>) -> Result<Reply<Decision>, Status> {
        let call = call.into_inner();
        let mut decision = self.says.lock().unwrap().clone();
        if let (Ok(decision), true) = (&mut decision, call.principal.is_empty()) {
            decision.set_verdict(Verdict::Denied);
            (decision.r#type, decision.reason) = ("not-signed-in".into(), "Only for members.".into());
        }
        let holds = *self.holds.lock().unwrap();
        self.asked.lock().unwrap().push(call);
        self.leave.acquire().await.unwrap().forget();
        self.leave.add_permits(1);
        let mut decision = decision?;
        decision.valid_until_ms = self.clock.now_ms() as i64 + holds.as_millis() as i64;
        Ok(Reply::new(decision))
    }
}

/// An `auth` that accepts `session=NAME` and `Bearer NAME`, except `expired`. A name is that of a principal,
/// then optionally `#` and its session, then scopes with `/` before each.
#[derive(Clone, Default)]
pub(super) struct Reception {
    pub(super) asked: Arc<AtomicU32>,
    pub(super) broken: Arc<Mutex<bool>>,
    /// Names of sessions that ended.
    pub(super) over: Arc<Mutex<BTreeSet<String>>>,
    /// Whether every principal has lost the wallet.
    pub(super) lost: Arc<Mutex<bool>>,
}

impl Reception {
    fn find(&self, name: &str) -> Result<Identity, Refusal> {
        let refusal = |slug: &str, title: &str, detail: &str| Refusal {
            r#type: slug.into(),
            title: title.into(),
            detail: detail.into(),
            status: 401,
        };
        if name == "expired" {
            return Err(refusal("token-expired", "The token has expired", "Refresh the session."));
        }
        if self.over.lock().unwrap().contains(name) {
            return Err(refusal("session-ended", "The session has ended", "Sign in again."));
        }
        let wallets = if *self.lost.lock().unwrap() { vec![] } else { vec!["eip155:0xab".into()] };
        Ok(Identity {
            principal: name.split(['/', '#']).next().unwrap().to_owned(),
            credential: format!("session:{name}"),
            roles: vec![Role::Viewer.into()],
            scopes: name.split('/').skip(1).map(str::to_owned).collect(),
            wallets,
            ..Identity::default()
        })
    }

    fn awake(&self) -> Result<(), Status> {
        if *self.broken.lock().unwrap() { Err(Status::unavailable("asleep")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl Auth for Reception {
    async fn authenticate(
        &self,
        call: Call<AuthenticateRequest>,
    ) -> Result<Reply<AuthenticateResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.awake()?;
        let call = call.into_inner();
        let name = call.authorization.strip_prefix("Bearer ").or(call.cookie.strip_prefix("session="));
        let outcome = match self.find(name.unwrap_or("expired")) {
            Ok(identity) => Outcome::Identity(identity),
            Err(refusal) => Outcome::Refusal(refusal),
        };
        Ok(Reply::new(AuthenticateResponse { outcome: Some(outcome) }))
    }

    async fn identify(&self, call: Call<IdentifyRequest>) -> Result<Reply<IdentifyResponse>, Status> {
        self.awake()?;
        let outcome = match self.find(call.get_ref().credential.strip_prefix("session:").unwrap()) {
            Ok(identity) => Now::Identity(identity),
            Err(refusal) => Now::Refusal(refusal),
        };
        Ok(Reply::new(IdentifyResponse { outcome: Some(outcome) }))
    }

    async fn audit(&self, _: Call<AuditRequest>) -> Result<Reply<AuditResponse>, Status> {
        Err(Status::unimplemented("not used here"))
    }
    async fn revoke(&self, _: Call<RevokeRequest>) -> Result<Reply<RevokeResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn first_admin(&self, _: Call<FirstAdminRequest>) -> Result<Reply<FirstAdminResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn find(&self, _: Call<FindRequest>) -> Result<Reply<FindResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn quota(&self, _: Call<QuotaRequest>) -> Result<Reply<QuotaResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// A setup with access control.
pub(super) struct House {
    pub(super) stage: Stage,
    pub(super) doorman: Doorman,
    pub(super) reception: Reception,
    pub(super) clock: Arc<Clock>,
    pub(super) gate: Arc<Gate>,
    pub(super) engine: Engine,
    pub(super) lifetimes: Lifetimes,
    pub(super) folder: tempfile::TempDir,
}

impl House {
    /// With a complete content that viewers who are signed in may play.
    pub(super) fn open() -> Self {
        Self::with(ContentState::Ready, Lifetimes::new(30 * MINUTE, 12 * 60 * MINUTE, 5, 100))
    }

    pub(super) fn with(state: ContentState, lifetimes: Lifetimes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
        let clock = Arc::new(Clock::default());
        let doorman = Doorman {
            openness: Arc::new(Mutex::new(Some(Openness::Gated))),
            says: Arc::new(Mutex::new(Ok(allowed(1)))),
            holds: Arc::new(Mutex::new(MINUTE)),
            leave: Arc::new(Semaphore::new(1)),
            asked: Arc::default(),
            policies: Arc::default(),
            clock: clock.clone(),
        };
        let mut stage = Stage::with(state, 3);
        let reception = Reception::default();
        let gate = gate(&doorman, &reception, &engine, lifetimes, 7);
        stage.site = Site::new(stage.contents.clone(), stage.objects.clone(), Some(gate.clone()));
        Self { stage, doorman, reception, clock, gate, engine, lifetimes, folder }
    }

    /// Another run of the plugin over the same key and database.
    pub(super) fn restart(&mut self) {
        self.gate = gate(&self.doorman, &self.reception, &self.engine, self.lifetimes, 7);
        let (contents, objects) = (self.stage.contents.clone(), self.stage.objects.clone());
        self.stage.site = Site::new(contents, objects, Some(self.gate.clone()));
    }

    pub(super) async fn get(&self, rest: &str, fields: &[(&'static str, &str)]) -> Got {
        self.stage.request(Method::GET, &format!("/v/{ID}/{rest}"), fields).await
    }

    /// Starts a player; the token that it got.
    pub(super) async fn start(&self, viewer: (&'static str, &str)) -> String {
        let got = self.get("master.m3u8", &[viewer]).await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text());
        token_in(got.text())
    }

    /// Starts a player that plays; the token that it got.
    pub(super) async fn play(&self, viewer: (&'static str, &str)) -> String {
        let token = self.start(viewer).await;
        let got = self.segment(&token).await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text());
        token
    }

    /// The answer to a player with this token and no credentials.
    pub(super) async fn segment(&self, token: &str) -> Got {
        self.get(&format!("360p/1.m4s?t={token}"), &[]).await
    }

    pub(super) fn say(&self, decision: Decision) {
        *self.doorman.says.lock().unwrap() = Ok(decision);
    }

    pub(super) fn decisions(&self) -> usize {
        self.doorman.asked.lock().unwrap().len()
    }

    pub(super) fn authentications(&self) -> u32 {
        self.reception.asked.load(Ordering::SeqCst)
    }

    pub(super) fn revoke(&self, principal: &str, generation: u64) {
        self.gate.revoked(&AccessRevoked {
            content: ID.into(),
            principal: principal.into(),
            generation,
            bar: false,
            reason: "The token went to another wallet.".into(),
        });
    }

    /// A session ends, without an event.
    pub(super) fn end_unheard(&self, name: &str) {
        self.reception.over.lock().unwrap().insert(name.into());
    }

    /// A session ends.
    pub(super) fn end(&self, name: &str) {
        self.end_unheard(name);
        let principal = name.split(['/', '#']).next().unwrap().into();
        self.gate.ended(&CredentialEnded { credential: format!("session:{name}"), principal });
    }

    /// Whether a token would be valid without a call half a minute from now.
    pub(super) fn gate_is_warm(&self, token: &str) -> bool {
        self.clock.pass(MINUTE / 2);
        let uri = format!("/v/{ID}/360p/1.m4s?t={token}");
        let (parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        let folder = Folder { name: "360p", generation: 0 };
        let warm = self.gate.at_hand(self.stage.id(), Item::Segment(folder, 1), &parts).is_some();
        self.clock.back(MINUTE / 2);
        warm
    }

    pub(super) fn change(&self) {
        self.gate.changed(&AccessChanged { content: ID.into(), revision: 2 });
    }

    /// How many playback sessions are stored.
    pub(super) async fn written(&self) -> i64 {
        let database = Client::from_service(self.engine.router());
        let db = streamgate_contracts::db::Db::open(database, "streaming", crate::gate::store::migrations());
        let row = db.await.unwrap().query_one("SELECT COUNT(*) AS n FROM grants", Vec::new()).await;
        row.unwrap().get("n").unwrap()
    }

    /// Waits until so many are.
    pub(super) async fn settled(&self, playbacks: i64) {
        until(async || self.written().await >= playbacks).await;
    }
}

pub(super) fn gate(
    doorman: &Doorman,
    reception: &Reception,
    engine: &Engine,
    lifetimes: Lifetimes,
    key: u8,
) -> Arc<Gate> {
    let routes = tonic::service::Routes::new(AccessServer::new(doorman.clone()));
    let auth = tonic::service::Routes::new(AuthServer::new(reception.clone()));
    let provider = |name, client| Provider::new(name, client, Duration::from_secs(5), None);
    let capabilities = Capabilities {
        access: provider("access", Client::from_service(routes.into_axum_router())),
        auth: provider("auth", Client::from_service(auth.into_axum_router())),
        database: provider("database", Client::from_service(engine.router())),
    };
    Arc::new(Gate::new(Key::new(&[key; 32]), capabilities, lifetimes, MINUTE, doorman.clock.clone()))
}

pub(super) fn allowed(generation: u64) -> Decision {
    Decision { verdict: Verdict::Allowed.into(), generation, ..Decision::default() }
}

pub(super) fn denied(slug: &str, reason: &str, generation: u64) -> Decision {
    Decision {
        verdict: Verdict::Denied.into(),
        r#type: slug.into(),
        reason: reason.into(),
        generation,
        ..Decision::default()
    }
}

pub(super) fn unknown() -> Decision {
    Decision { verdict: Verdict::Unknown.into(), ..denied("chain-unavailable", "Two endpoints disagree.", 0) }
}

pub(super) fn tokens_in(text: &str) -> BTreeSet<String> {
    let after = text.split("?t=").skip(1);
    after.map(|rest| rest.chars().take(crate::gate::token::LENGTH).collect()).collect()
}

pub(super) fn token_in(text: &str) -> String {
    tokens_in(text).into_iter().next().unwrap()
}

pub(super) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it becomes so");
}

pub(super) fn assert_refused(got: &Got, status: u16, slug: &str, says: &str) {
    assert_eq!(got.status, status, "{}", got.text());
    assert_eq!(got.field("content-type"), "application/problem+json");
    assert!(got.text().contains(&format!("urn:streamgate:problem:{slug}\"")), "{}", got.text());
    assert!(got.text().contains(says), "{}", got.text());
    assert_eq!(got.field("cache-control"), "no-store");
    assert_eq!(got.field("vary"), "cookie, authorization");
    assert_eq!(got.field("access-control-allow-origin"), "*");
}
