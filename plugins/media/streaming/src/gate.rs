//! Who may have what of contents that are not for everyone. A request with a good token of a warm
//! grant costs no call to anybody; every other one is decided by `access`, for whom `auth` says that
//! its sender is.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Response, header};
use streamgate_contracts::events::{AccessChanged, AccessRevoked, CredentialEnded};
use streamgate_plugin_api::{Body, address, secret};

use crate::clock::Clock;
use crate::grants::{Grant, Grants, Lifetimes};
use crate::neighbour::Neighbour;
use crate::path::{ContentId, Item};
use crate::policies::{Openness, Policies};
use crate::refusal::{Refusal, VARY};
use crate::standings::{Standing, Standings};
use crate::store::Store;
use crate::token::{self, Claims, Key};
use crate::viewers::{Viewer, Viewers};

/// Of segments: nobody else may keep them, and their viewer long enough to seek back.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=300");

/// What the gate asks.
pub(crate) struct Capabilities {
    pub(crate) access: Neighbour,
    pub(crate) auth: Neighbour,
    pub(crate) database: Neighbour,
}

/// Enforces who may play what.
pub(crate) struct Gate {
    key: Key,
    clock: Arc<Clock>,
    policies: Arc<Policies>,
    viewers: Arc<Viewers>,
    standings: Arc<Standings>,
    grants: Grants,
    store: Arc<Store>,
}

/// Leave to have something.
pub(crate) enum Pass {
    /// Everybody may.
    Open,
    /// One who showed the token of this grant.
    Token(Arc<Grant>),
    /// One who showed credentials, with a grant that playlists can carry.
    Credentials(Arc<Grant>),
    /// One who showed credentials and is not playing.
    Looking,
}

/// What a token comes to.
enum Shown {
    Good(Arc<Grant>),
    /// It was good once, and says why it is no more.
    Refused(Refusal),
    /// None, forged, of another content, or too old.
    Nothing,
}

impl Pass {
    fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Token(grant) | Self::Credentials(grant) => Some(grant),
            Self::Open | Self::Looking => None,
        }
    }

    /// The token that playlists carry on.
    pub(crate) fn token(&self) -> Option<&str> {
        self.grant().map(|grant| grant.token.as_str())
    }

    /// Says on an object's answer who may keep it.
    pub(crate) fn mark(&self, mut answer: Response<Body>) -> Response<Body> {
        if matches!(self, Self::Open) {
            return answer;
        }
        let head = answer.headers_mut();
        let kept =
            head.get(header::CACHE_CONTROL).is_none_or(|value| !value.as_bytes().ends_with(b"no-store"));
        if kept {
            head.insert(header::CACHE_CONTROL, PRIVATE);
        }
        if !matches!(self, Self::Token(_)) {
            head.insert(header::VARY, VARY);
        }
        answer
    }
}

impl Gate {
    pub(crate) fn new(
        key: Key,
        capabilities: Capabilities,
        lifetimes: Lifetimes,
        policy_max_age: Duration,
        clock: Arc<Clock>,
    ) -> Self {
        let access = Arc::new(capabilities.access);
        let viewers = Arc::new(Viewers::new(capabilities.auth));
        Self {
            key,
            policies: Arc::new(Policies::new(access.clone(), clock.clone(), policy_max_age)),
            standings: Arc::new(Standings::new(access, viewers.clone(), clock.clone())),
            viewers,
            grants: Grants::new(lifetimes),
            store: Arc::new(Store::new(capabilities.database)),
            clock,
        }
    }

    /// The pass of a request for an item of this content, if nobody has to be asked.
    pub(crate) fn at_hand(&self, content: ContentId, item: Item<'_>, request: &Parts) -> Option<Pass> {
        if self.policies.fresh(content)? == Openness::Public {
            return Some(Pass::Open);
        }
        let claims = self.claims(content, request)?;
        let grant = self.grants.find(&claims.grant)?;
        let now = self.clock.now_ms();
        let taken_up =
            || self.at_its_place(&grant, item, request, now).is_ok() && taken_up(&grant, item, now);
        (self.warm(&grant, now) && taken_up()).then_some(Pass::Token(grant))
    }

    /// Notes where something is played, if that is known.
    fn at_its_place(
        &self,
        grant: &Grant,
        item: Item<'_>,
        request: &Parts,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let most = self.grants.lifetimes.addresses;
        let Some(client) = address::client(&request.headers).filter(|_| most > 0 && item.is_played()) else {
            return Ok(());
        };
        let from = grant.played_from(address::network(client), now_ms, most);
        from.map_err(|wait_ms| Refusal::too_many_addresses(most, wait_ms.div_ceil(1000)))
    }

    /// Whether the grant holds as it is.
    fn warm(&self, grant: &Grant, now_ms: u64) -> bool {
        let warm =
            grant.standing.holds(grant.generation, now_ms) && grant.alive(now_ms, &self.grants.lifetimes);
        if warm {
            self.standings.renew(&grant.standing, now_ms);
        }
        warm
    }

    fn claims(&self, content: ContentId, request: &Parts) -> Option<Claims> {
        self.key.read(content, token::in_query(request.uri.query())?)
    }

    /// The pass of a request for an item of this content.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn pass(
        &self,
        content: ContentId,
        item: Item<'_>,
        request: &Parts,
    ) -> Result<Pass, Refusal> {
        let pass = self.permitted(content, item, request).await?;
        if let Some(grant) = pass.grant() {
            self.take_up(grant, item, request)?;
        }
        Ok(pass)
    }

    /// Notes the use of a grant. When the first thing is played with it, it is written down who holds
    /// it, in the background: what a crash loses of that costs one look at credentials.
    fn take_up(&self, grant: &Arc<Grant>, item: Item<'_>, request: &Parts) -> Result<(), Refusal> {
        let now = self.clock.now_ms();
        self.at_its_place(grant, item, request, now)?;
        if !taken_up(grant, item, now) && self.grants.place(grant, now)? {
            let (store, grant) = (self.store.clone(), grant.clone());
            tokio::spawn(async move {
                store.keep(&grant.id, &grant.standing.viewer, grant.issued_at).await;
            });
        }
        Ok(())
    }

    async fn permitted(&self, content: ContentId, item: Item<'_>, request: &Parts) -> Result<Pass, Refusal> {
        if self.policies.get(content).await? == Openness::Public {
            return Ok(Pass::Open);
        }
        let before = match self.shown(content, request).await {
            Shown::Good(grant) => return Ok(Pass::Token(grant)),
            Shown::Refused(refusal) if !refusal.is_final() => return Err(refusal),
            Shown::Refused(refusal) => Some(refusal),
            Shown::Nothing => None,
        };
        let answer = match (self.viewers.of(request).await, &before) {
            (Ok(viewer), Some(refusal)) if viewer.is_anonymous() => Err(refusal.clone()),
            (Ok(viewer), _) => self.by_credentials(content, item, viewer).await,
            (Err(refusal), _) => Err(refusal),
        };
        // Who was playing is told why that ended, and not what somebody new is told.
        answer.map_err(|refusal| before.filter(|_| refusal.is_final()).unwrap_or(refusal))
    }

    async fn shown(&self, content: ContentId, request: &Parts) -> Shown {
        let Some(claims) = self.claims(content, request) else { return Shown::Nothing };
        let grant = match self.grants.find(&claims.grant) {
            Some(grant) => grant,
            None => match self.revived(content, &claims).await {
                Ok(Some(grant)) => grant,
                Ok(None) => return Shown::Nothing,
                Err(refusal) => return Shown::Refused(refusal),
            },
        };
        let now = self.clock.now_ms();
        if !grant.alive(now, &self.grants.lifetimes) {
            return Shown::Nothing;
        }
        if self.warm(&grant, now) {
            return Shown::Good(grant);
        }
        if let Some(refusal) = grant.standing.ended(grant.generation) {
            return Shown::Refused(refusal);
        }
        let asked = self.standings.ask(&grant.standing).await;
        // It may have been allowed anew, under another generation; and who was playing is told why that ended.
        match grant.standing.ended(grant.generation).or(asked.err()) {
            Some(refusal) => Shown::Refused(refusal),
            None => Shown::Good(grant),
        }
    }

    /// A grant that is not in memory: given by another run, or one that had to make room. `None`
    /// when it is too old, or nobody knows whose it was.
    async fn revived(&self, content: ContentId, claims: &Claims) -> Result<Option<Arc<Grant>>, Refusal> {
        let now = self.clock.now_ms();
        let lifetimes = &self.grants.lifetimes;
        let age = now.saturating_sub(claims.issued_at * 1000);
        if age > lifetimes.idle_ms.min(lifetimes.max_ms) {
            return Ok(None);
        }
        let holder = self.store.holder(&claims.grant).await;
        let Some(viewer) = holder.filter(|viewer| token::hash_of(&viewer.principal) == claims.principal)
        else {
            return Ok(None);
        };
        let standing = self.standings.of(content, viewer);
        self.standings.decided(&standing).await?;
        if let Some(refusal) = standing.ended(claims.generation) {
            return Err(refusal);
        }
        let grant = Grant::new(claims, standing, self.key.mint(content, claims), now).again();
        Ok(Some(self.grants.admit(grant, now)))
    }

    async fn by_credentials(
        &self,
        content: ContentId,
        item: Item<'_>,
        viewer: Viewer,
    ) -> Result<Pass, Refusal> {
        let standing = self.standings.of(content, viewer);
        let generation = self.standings.decided(&standing).await?;
        let now = self.clock.now_ms();
        let present = match item {
            // Each player has one of its own.
            Item::Multivariant | Item::Manifest => None,
            _ => self.grants.latest(&standing, now),
        };
        if present.is_none() && item.is_beside() {
            return Ok(Pass::Looking);
        }
        let grant = present.unwrap_or_else(|| self.grant(content, standing, generation, now));
        Ok(Pass::Credentials(grant))
    }

    /// A new grant.
    fn grant(&self, content: ContentId, standing: Arc<Standing>, generation: u64, now_ms: u64) -> Arc<Grant> {
        let claims = Claims {
            grant: secret::random(),
            principal: token::hash_of(&standing.viewer.principal),
            generation,
            issued_at: now_ms / 1000,
        };
        let token = self.key.mint(content, &claims);
        self.grants.admit(Grant::new(&claims, standing, token, now_ms), now_ms)
    }

    /// An event says that a policy is another one.
    pub(crate) fn changed(&self, change: &AccessChanged) {
        if let Some(content) = ContentId::parse(&change.content) {
            self.policies.changed(content);
            self.standings.policy_changed(content);
        }
    }

    /// An event says that something granted holds no more.
    pub(crate) fn revoked(&self, revocation: &AccessRevoked) {
        if let Some(content) = ContentId::parse(&revocation.content) {
            let AccessRevoked { principal, generation, reason, .. } = revocation;
            self.standings.revoked(content, principal, *generation, reason);
        }
    }

    /// An event says that a session or an API key is no more.
    pub(crate) fn ended(&self, ending: &CredentialEnded) {
        self.standings.ended(&ending.credential);
    }

    /// Removes what is too old to be of use from the database.
    pub(crate) async fn sweep(&self) {
        let oldest = self.clock.now_ms().saturating_sub(self.grants.lifetimes.max_ms) / 1000;
        self.store.sweep(oldest).await;
    }
}

/// Notes the use of a grant. False: something is to be played with it, and it has no place.
fn taken_up(grant: &Grant, item: Item<'_>, now_ms: u64) -> bool {
    if item.is_played() {
        return grant.play(now_ms);
    }
    grant.used(now_ms);
    true
}
