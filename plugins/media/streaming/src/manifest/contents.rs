//! Cached contents: one [`Snapshot`] each, requested from the catalogue when it is missing, when an event
//! reported a newer revision, or when it is old. The catalogue is the only record; losing this cache costs
//! one request per content.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use streamgate_contracts::catalogue::v1::TimelineRequest;
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_plugin_api::Client;
use streamgate_plugin_api::flight::Flights;
use tonic::Code;

use crate::manifest::convert;
use crate::manifest::documents::{Snapshot, Style};
use crate::object::path::ContentId;

/// While the catalogue does not answer, cached contents are served for this long.
const GRACE: Duration = Duration::from_secs(300);
/// A content that changes faster than it can be read is read so often that reading takes a fifth of the time
/// at most, but at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a content is unknown.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("there is no such content")]
    NotFound,
    #[error("the catalogue did not answer: {0}")]
    Unavailable(Arc<str>),
}

/// Notified of changes.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// Objects of this content may have been removed or replaced.
    fn outdated(&self, id: ContentId);
    /// The catalogue answered (`None`), or did not.
    fn catalogue(&self, error: Option<&str>);
}

/// How long cached contents are valid.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) cache_bytes: u64,
    pub(crate) max_age: Duration,
    pub(crate) growing_max_age: Duration,
    pub(crate) timeout: Duration,
}

/// All contents.
pub(crate) struct Contents {
    catalogue: CatalogueClient<Client>,
    watcher: Arc<dyn Watcher>,
    limits: Limits,
    style: Style,
    /// Times are kept as milliseconds since here.
    epoch: Instant,
    known: Cache<ContentId, Arc<Known>, ByWeight>,
    /// Questions under way; at most one for each content.
    flights: Flights<ContentId, Answer, Asking>,
}

/// One content.
struct Known {
    snapshot: Arc<Snapshot>,
    /// The highest revision that an event reported.
    announced: Arc<AtomicU64>,
    /// When the catalogue was last called.
    asked_ms: AtomicU64,
    /// When it last answered.
    answered_ms: AtomicU64,
    /// No further request for this long, even if there is a newer revision.
    pause_ms: u64,
}

#[derive(Clone, Copy)]
struct ByWeight;

impl Weighter<ContentId, Arc<Known>> for ByWeight {
    fn weight(&self, _: &ContentId, known: &Arc<Known>) -> u64 {
        known.snapshot.timeline.weight()
    }
}

type Answer = Result<Arc<Snapshot>, ContentError>;

/// A question under way.
struct Asking {
    /// What is known until it is answered.
    before: Option<Arc<Known>>,
    announced: Arc<AtomicU64>,
    /// The content was deleted meanwhile: the answer must not be kept.
    doomed: AtomicBool,
}

impl Contents {
    pub(crate) fn new(catalogue: Client, watcher: Arc<dyn Watcher>, limits: Limits, style: Style) -> Self {
        let catalogue = CatalogueClient::new(catalogue)
            .max_decoding_message_size(streamgate_contracts::MAX_MESSAGE_BYTES);
        // Some 16 KiB a content: ten minutes in seven tracks.
        let items = usize::try_from(limits.cache_bytes >> 14).unwrap_or(usize::MAX).clamp(32, 4096);
        Self {
            catalogue,
            watcher,
            style,
            epoch: Instant::now(),
            known: Cache::with_weighter(items, limits.cache_bytes, ByWeight),
            limits,
            flights: Flights::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The cached content, if it may be served without a request. Takes no lock that is held for long.
    pub(crate) fn fresh(&self, id: ContentId) -> Option<Arc<Snapshot>> {
        let known = self.known.get(&id)?;
        let age = self.now_ms().saturating_sub(known.asked_ms.load(Ordering::Relaxed));
        let outdated = known.snapshot.timeline.revision < known.announced.load(Ordering::Acquire);
        let good = age <= self.max_age(&known.snapshot) && !(outdated && age >= known.pause_ms);
        good.then(|| known.snapshot.clone())
    }

    fn max_age(&self, snapshot: &Snapshot) -> u64 {
        let still = matches!(snapshot.timeline.phase, crate::manifest::timeline::Phase::Ended);
        let age = if still { self.limits.max_age } else { self.limits.growing_max_age };
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// The current content.
    ///
    /// # Errors
    /// [`ContentError`].
    pub(crate) async fn get(self: &Arc<Self>, id: ContentId) -> Answer {
        if let Some(snapshot) = self.fresh(id) {
            return Ok(snapshot);
        }
        let (wanted, answer) = self.ask(id);
        let snapshot = answer.await?;
        if snapshot.timeline.revision >= wanted {
            return Ok(snapshot);
        }
        // The request was in progress before the event came: one more.
        match self.fresh(id) {
            Some(snapshot) => Ok(snapshot),
            None => self.ask(id).1.await,
        }
    }

    /// Asks the catalogue, or joins those who wait for its answer; and the revision that is announced so far.
    fn ask(self: &Arc<Self>, id: ContentId) -> (u64, impl Future<Output = Answer> + use<>) {
        let context = || {
            let before = self.known.peek(&id);
            let announced = before.as_ref().map(|known| known.announced.clone()).unwrap_or_default();
            Asking { before, announced, doomed: AtomicBool::new(false) }
        };
        let (answer, asking) = self.flights.join_with(id, context, |asking| self.clone().asked(id, asking));
        let failed = || Err(ContentError::Unavailable("the answer could not be read".into()));
        (asking.announced.load(Ordering::Acquire), async move { answer.await.unwrap_or_else(failed) })
    }

    /// Asks, and keeps the answer.
    async fn asked(self: Arc<Self>, id: ContentId, asking: Arc<Asking>) -> Answer {
        let before = asking.before.clone();
        let started = self.now_ms();
        let asked = self.question(id, before.as_deref()).await;
        let now = self.now_ms();
        let pause_ms = (now.saturating_sub(started) * 4).min(LONGEST_PAUSE.as_millis() as u64);
        match &asked {
            Err(ContentError::Unavailable(error)) => self.watcher.catalogue(Some(error)),
            _ => self.watcher.catalogue(None),
        }
        match asked {
            Ok(Some(snapshot)) => {
                if before.as_ref().is_some_and(|known| snapshot.timeline.replaces(&known.snapshot.timeline)) {
                    self.watcher.outdated(id);
                }
                let snapshot = Arc::new(snapshot);
                let known = Arc::new(Known {
                    snapshot: snapshot.clone(),
                    announced: asking.announced.clone(),
                    asked_ms: AtomicU64::new(now),
                    answered_ms: AtomicU64::new(now),
                    pause_ms,
                });
                self.known.insert(id, known);
                // A deletion comes either before and is seen, or after and removes.
                if asking.doomed.load(Ordering::SeqCst) {
                    self.known.remove(&id);
                }
                Ok(snapshot)
            }
            Ok(None) => {
                let known =
                    before.ok_or_else(|| ContentError::Unavailable("it knows no first revision".into()))?;
                known.asked_ms.store(now, Ordering::Relaxed);
                known.answered_ms.store(now, Ordering::Relaxed);
                Ok(known.snapshot.clone())
            }
            Err(ContentError::NotFound) => {
                self.known.remove(&id);
                self.watcher.outdated(id);
                Err(ContentError::NotFound)
            }
            Err(error) => match before {
                Some(known)
                    if now.saturating_sub(known.answered_ms.load(Ordering::Relaxed))
                        < GRACE.as_millis() as u64
                        && !asking.doomed.load(Ordering::SeqCst) =>
                {
                    known.asked_ms.store(now, Ordering::Relaxed);
                    Ok(known.snapshot.clone())
                }
                _ => Err(error),
            },
        }
    }

    /// A newer snapshot, or `None` when the one before is the newest.
    async fn question(
        &self,
        id: ContentId,
        before: Option<&Known>,
    ) -> Result<Option<Snapshot>, ContentError> {
        let known_revision = before.map_or(0, |known| known.snapshot.timeline.revision);
        let request = TimelineRequest { id: id.to_string(), known_revision };
        let mut catalogue = self.catalogue.clone();
        let response = match tokio::time::timeout(self.limits.timeout, catalogue.timeline(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if status.code() == Code::NotFound => return Err(ContentError::NotFound),
            Ok(Err(status)) => return Err(ContentError::Unavailable(status.to_string().into())),
            Err(_) => {
                let text = format!("no answer within {:?}", self.limits.timeout);
                return Err(ContentError::Unavailable(text.into()));
            }
        };
        if response.unchanged {
            return Ok(None);
        }
        let mut timeline = convert::timeline(response)
            .map_err(|error| ContentError::Unavailable(error.to_string().into()))?;
        timeline.settle(before.map(|known| &known.snapshot.timeline));
        Ok(Some(Snapshot::new(timeline, self.style.clone())))
    }

    /// An event reported this revision.
    pub(crate) fn changed(&self, id: ContentId, revision: u64) {
        if let Some(asking) = self.flights.context(&id) {
            asking.announced.fetch_max(revision, Ordering::AcqRel);
        }
        if let Some(known) = self.known.peek(&id) {
            known.announced.fetch_max(revision, Ordering::AcqRel);
        }
    }

    /// The current content, ignoring the cache: a caller requests an item that is missing in it, and may have
    /// learned of it before the event arrives.
    pub(crate) async fn anew(self: &Arc<Self>, id: ContentId) -> Answer {
        self.ask(id).1.await
    }

    /// An event reported that the content was deleted.
    pub(crate) fn deleted(&self, id: ContentId) {
        if let Some(asking) = self.flights.forget(&id) {
            asking.doomed.store(true, Ordering::SeqCst);
        }
        self.known.remove(&id);
        self.watcher.outdated(id);
    }
}
