//! Authorizes requests for contents that are not public. A request with a valid token of a cached playback
//! session makes no call; for every other one, `auth` authenticates the caller and `access` decides.

pub(crate) mod clock;
pub(crate) mod playback;
mod policies;
pub(crate) mod provider;
pub(crate) mod refusal;
mod standings;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod viewers;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Response, header};
use streamgate_contracts::events::{AccessChanged, AccessRevoked, CredentialEnded};
use streamgate_plugin_api::{Body, address};

use crate::gate::clock::Clock;
use crate::gate::playback::{Lifetimes, PlaybackSession, PlaybackSessions};
use crate::gate::policies::{Openness, Policies};
use crate::gate::provider::Provider;
use crate::gate::refusal::{Refusal, VARY};
use crate::gate::standings::{Standing, Standings};
use crate::gate::store::Store;
use crate::gate::token::{Claims, Key};
use crate::gate::viewers::{Viewer, Viewers};
use crate::object::path::{ContentId, Item};

/// For segments: only the viewer may cache them, long enough to seek back.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=300");

/// What the gate calls.
pub(crate) struct Capabilities {
    pub(crate) access: Provider,
    pub(crate) auth: Provider,
    pub(crate) database: Provider,
}

/// Enforces access policies.
pub(crate) struct Gate {
    key: Key,
    clock: Arc<Clock>,
    policies: Arc<Policies>,
    viewers: Arc<Viewers>,
    standings: Arc<Standings>,
    playbacks: PlaybackSessions,
    store: Arc<Store>,
}

/// Why a request is allowed.
pub(crate) enum Pass {
    /// The content is public.
    Open,
    /// The request carries the token of this playback session.
    Token(Arc<PlaybackSession>),
    /// The request carries credentials, and has a playback session for playlists to carry.
    Credentials(Arc<PlaybackSession>),
    /// The request carries credentials, and plays nothing.
    Looking,
}

/// The result of checking a token.
enum Verified {
    Valid(Arc<PlaybackSession>),
    /// It was valid and has ended, with the reason.
    Refused(Refusal),
    /// None, forged, of another content, or expired.
    None,
}

impl Pass {
    fn playback(&self) -> Option<&Arc<PlaybackSession>> {
        match self {
            Self::Token(playback) | Self::Credentials(playback) => Some(playback),
            Self::Open | Self::Looking => None,
        }
    }

    /// The token that playlists put into their URIs.
    pub(crate) fn token(&self) -> Option<&str> {
        self.playback().map(|playback| playback.token.as_str())
    }

    /// Sets who may cache an object's answer.
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
            playbacks: PlaybackSessions::new(lifetimes),
            store: Arc::new(Store::new(capabilities.database)),
            clock,
        }
    }

    /// The pass of a request for an item of this content, if it is known without a call.
    pub(crate) fn at_hand(&self, content: ContentId, item: Item<'_>, request: &Parts) -> Option<Pass> {
        if self.policies.fresh(content)? == Openness::Public {
            return Some(Pass::Open);
        }
        let claims = self.key.claims(content, request.uri.query())?;
        let playback = self.playbacks.find(&claims.playback)?;
        let now = self.clock.now_ms();
        let touched =
            || self.note_address(&playback, item, request, now).is_ok() && touch(&playback, item, now);
        (self.warm(&playback, now) && touched()).then_some(Pass::Token(playback))
    }

    /// Records the viewer's address, if it is known.
    fn note_address(
        &self,
        playback: &PlaybackSession,
        item: Item<'_>,
        request: &Parts,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let most = self.playbacks.lifetimes.addresses;
        let Some(client) = address::client(&request.headers).filter(|_| most > 0 && item.is_played()) else {
            return Ok(());
        };
        let from = playback.played_from(address::network(client), now_ms, most);
        from.map_err(|wait_ms| Refusal::too_many_addresses(most, wait_ms.div_ceil(1000)))
    }

    /// Whether the playback session is valid without a new decision.
    fn warm(&self, playback: &PlaybackSession, now_ms: u64) -> bool {
        let warm = playback.standing.holds(playback.generation, now_ms)
            && playback.alive(now_ms, &self.playbacks.lifetimes);
        if warm {
            self.standings.renew(&playback.standing, now_ms);
        }
        warm
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
        if let Some(playback) = pass.playback() {
            self.note_use(playback, item, request)?;
        }
        Ok(pass)
    }

    /// Records the use of a playback session. At the first playback its owner is stored in the background: if
    /// a crash loses that, the credentials are checked once more.
    fn note_use(
        &self,
        playback: &Arc<PlaybackSession>,
        item: Item<'_>,
        request: &Parts,
    ) -> Result<(), Refusal> {
        let now = self.clock.now_ms();
        self.note_address(playback, item, request, now)?;
        if !touch(playback, item, now) && self.playbacks.claim_slot(playback, now)? {
            let (store, playback) = (self.store.clone(), playback.clone());
            tokio::spawn(async move {
                store.keep(&playback.id, &playback.standing.viewer, playback.issued_at).await;
            });
        }
        Ok(())
    }

    async fn permitted(&self, content: ContentId, item: Item<'_>, request: &Parts) -> Result<Pass, Refusal> {
        if self.policies.get(content).await? == Openness::Public {
            return Ok(Pass::Open);
        }
        let before = match self.verify(content, request).await {
            Verified::Valid(playback) => return Ok(Pass::Token(playback)),
            Verified::Refused(refusal) if !refusal.is_final() => return Err(refusal),
            Verified::Refused(refusal) => Some(refusal),
            Verified::None => None,
        };
        let answer = match (self.viewers.of(request).await, &before) {
            (Ok(viewer), Some(refusal)) if viewer.is_anonymous() => Err(refusal.clone()),
            (Ok(viewer), _) => self.by_credentials(content, item, viewer).await,
            (Err(refusal), _) => Err(refusal),
        };
        // A viewer who was playing gets the reason for the end, not the refusal for a new viewer.
        answer.map_err(|refusal| before.filter(|_| refusal.is_final()).unwrap_or(refusal))
    }

    async fn verify(&self, content: ContentId, request: &Parts) -> Verified {
        let Some(claims) = self.key.claims(content, request.uri.query()) else { return Verified::None };
        let playback = match self.playbacks.find(&claims.playback) {
            Some(playback) => playback,
            None => match self.revived(content, &claims).await {
                Ok(Some(playback)) => playback,
                Ok(None) => return Verified::None,
                Err(refusal) => return Verified::Refused(refusal),
            },
        };
        let now = self.clock.now_ms();
        if !playback.alive(now, &self.playbacks.lifetimes) {
            return Verified::None;
        }
        if self.warm(&playback, now) {
            return Verified::Valid(playback);
        }
        if let Some(refusal) = playback.standing.ended(playback.generation) {
            return Verified::Refused(refusal);
        }
        let asked = self.standings.ask(&playback.standing).await;
        // Access may have been granted again, under another generation; and a viewer who was playing gets the
        // reason for the end.
        match playback.standing.ended(playback.generation).or(asked.err()) {
            Some(refusal) => Verified::Refused(refusal),
            None => Verified::Valid(playback),
        }
    }

    /// A playback session that is not in memory: created by another run, or evicted. `None` if it is too old
    /// or its owner is unknown.
    async fn revived(
        &self,
        content: ContentId,
        claims: &Claims,
    ) -> Result<Option<Arc<PlaybackSession>>, Refusal> {
        let now = self.clock.now_ms();
        let lifetimes = &self.playbacks.lifetimes;
        let age = now.saturating_sub(claims.issued_at * 1000);
        if age > lifetimes.idle_ms.min(lifetimes.max_ms) {
            return Ok(None);
        }
        let holder = self.store.holder(&claims.playback).await;
        let Some(viewer) = holder.filter(|viewer| claims.is_of(&viewer.principal)) else {
            return Ok(None);
        };
        let standing = self.standings.of(content, viewer);
        self.standings.decided(&standing).await?;
        if let Some(refusal) = standing.ended(claims.generation) {
            return Err(refusal);
        }
        let playback = PlaybackSession::new(claims, standing, self.key.mint(content, claims), now).again();
        Ok(Some(self.playbacks.admit(playback, now)))
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
            // Each player has its own.
            Item::Multivariant | Item::Manifest => None,
            _ => self.playbacks.latest(&standing, now),
        };
        if present.is_none() && item.is_beside() {
            return Ok(Pass::Looking);
        }
        let playback = present.unwrap_or_else(|| self.begin(content, standing, generation, now));
        Ok(Pass::Credentials(playback))
    }

    /// A new playback session.
    fn begin(
        &self,
        content: ContentId,
        standing: Arc<Standing>,
        generation: u64,
        now_ms: u64,
    ) -> Arc<PlaybackSession> {
        let claims = Claims::new(&standing.viewer.principal, generation, now_ms);
        let token = self.key.mint(content, &claims);
        self.playbacks.admit(PlaybackSession::new(&claims, standing, token, now_ms), now_ms)
    }

    /// An event reports a changed policy.
    pub(crate) fn changed(&self, change: &AccessChanged) {
        if let Some(content) = ContentId::parse(&change.content) {
            self.policies.changed(content);
            self.standings.policy_changed(content);
        }
    }

    /// An event reports a revocation.
    pub(crate) fn revoked(&self, revocation: &AccessRevoked) {
        if let Some(content) = ContentId::parse(&revocation.content) {
            let AccessRevoked { principal, generation, reason, .. } = revocation;
            self.standings.revoked(content, principal, *generation, reason);
        }
    }

    /// An event reports that a session or an API key has ended.
    pub(crate) fn ended(&self, ending: &CredentialEnded) {
        self.standings.ended(&ending.credential);
    }

    /// Removes expired rows from the database.
    pub(crate) async fn sweep(&self) {
        let oldest = self.clock.now_ms().saturating_sub(self.playbacks.lifetimes.max_ms) / 1000;
        self.store.sweep(oldest).await;
    }
}

/// Records the use of a playback session. False: it has no slot, and playback needs one.
fn touch(playback: &PlaybackSession, item: Item<'_>, now_ms: u64) -> bool {
    if item.is_played() {
        return playback.play(now_ms);
    }
    playback.used(now_ms);
    true
}
