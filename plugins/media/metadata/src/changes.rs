//! The live changes: one task reads the changes from the database, in the order of the commits, and sends
//! clients' event streams the current state. Notifications only wake it: changes by another node, or by an
//! earlier run, are found as well. It never queues changes: a content that changes twice before its turn is
//! shown once, in its latest state. The outbox publishes each change on the bus.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::ContentState;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::policies::{Policies, is_addressed, is_presentable};
use crate::positions::{Grave, Moved, Now};
use crate::rights::Holders;
use crate::store::{Entry, Store, StoreError};
use crate::tail::{Held, Tail};
use crate::view::ContentView;

/// Retry after a failed read, or an openness check that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How often changes of other nodes are polled for, while there are clients.
const LOOK: Duration = Duration::from_secs(1);
/// The same without clients.
const LOOK_UNHEARD: Duration = Duration::from_secs(5);
/// Contents that are read at once, and policies that are checked at once.
const PAGE: usize = 64;

/// How soon a change must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// At once: a state, a title, a segment.
    Now,
    /// Within [`QUIET`](crate::tail::QUIET): progress.
    Soon,
}

/// A notice for a client of the live changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) content: String,
    /// Of the content's last change that it includes.
    pub(crate) position: i64,
    /// Everything up to here has been sent with this: the id of the server-sent event.
    pub(crate) told: i64,
    pub(crate) what: What,
    /// Of the last change that took a share back; 0: none did.
    pub(crate) taken: i64,
    /// The content's owner and shares.
    pub(crate) holders: Holders,
    pub(crate) others: Others,
    /// The same for clients that follow this content alone, and so have its address.
    pub(crate) addressed: Others,
}

/// The view of a client that may not see every content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// The same.
    Same,
    /// The content is gone.
    Gone,
    Nothing,
}

/// The kinds of notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The content as JSON, and the same for users who may change it.
    Changed {
        json: String,
        whole: String,
    },
    Deleted,
    /// The credential of this name ended, and with it the streams of its holder.
    Ended(String),
}

impl Notice {
    /// The views of a content.
    fn changed(entry: &Entry, told: i64, (others, addressed): (Others, Others)) -> Self {
        let json = |whole| ContentView::new(entry, whole).to_json();
        let content = &entry.content;
        Self {
            content: content.id.clone(),
            position: entry.position,
            told,
            taken: entry.taken,
            what: What::Changed { json: json(false), whole: json(true) },
            holders: content.into(),
            others,
            addressed,
        }
    }

    /// A content was deleted. Clients that follow it alone could see it.
    fn deleted(grave: &Grave, told: i64, was_hidden: bool) -> Self {
        let others = if grave.listed || was_hidden { Others::Same } else { Others::Nothing };
        let (content, holders) = (grave.id.clone(), grave.holders.clone());
        let (what, addressed) = (What::Deleted, Others::Same);
        let Grave { position, taken, .. } = *grave;
        Self { content, position, told, taken, what, holders, others, addressed }
    }
}

/// What the notifications leave for the task.
#[derive(Debug, Default)]
struct Desk {
    /// Contents of which more than the progress changed.
    urgent: HashSet<String>,
    /// Contents whose policy may have changed.
    policies: HashSet<String>,
    /// Contents from which others are blocked than before.
    bars: HashSet<String>,
}

/// The sender of changes, and the subscription for clients. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    desk: Arc<Mutex<Desk>>,
    wake: Arc<Notify>,
    notices: broadcast::Sender<Arc<Notice>>,
    /// The last change before the feed began.
    begin: i64,
}

impl Feed {
    /// A feed of the changes after a position, whose clients may be `backlog` notices behind.
    pub(crate) fn new(backlog: usize, begin: i64) -> Self {
        let notices = broadcast::Sender::new(backlog);
        Self { desk: Arc::default(), wake: Arc::default(), notices, begin }
    }

    /// A content changed, or was deleted.
    pub(crate) fn touch(&self, id: &str, urgency: Urgency) {
        if urgency == Urgency::Now {
            self.desk().urgent.insert(id.to_owned());
        }
        self.wake.notify_one();
    }

    /// A content's policy changed.
    pub(crate) fn policy(&self, id: &str) {
        self.desk().policies.insert(id.to_owned());
        self.touch(id, Urgency::Now);
    }

    /// Others are blocked from a content than before.
    pub(crate) fn bars(&self, id: &str) {
        self.desk().bars.insert(id.to_owned());
        self.touch(id, Urgency::Now);
    }

    /// A credential ended.
    pub(crate) fn end(&self, credential: String) {
        let what = What::Ended(credential);
        let (others, addressed) = (Others::Nothing, Others::Nothing);
        let (content, holders) = (String::new(), Holders::default());
        self.notify(Notice { content, position: 0, told: 0, taken: 0, what, holders, others, addressed });
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every notice from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Notice>> {
        let notices = self.notices.subscribe();
        self.wake.notify_one();
        notices
    }

    fn is_heard(&self) -> bool {
        self.notices.receiver_count() > 0
    }

    /// Shows changes until the end of the process.
    pub(crate) async fn run(self, store: Store, policies: Policies) {
        let tail = Tail::from(self.begin);
        let mut show = Show { feed: self, store, policies, tail, silent_until: Instant::now() };
        loop {
            let next = match show.round().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "changes cannot be shown yet");
                    Some(Instant::now() + RETRY)
                }
            };
            let look = Instant::now() + if show.feed.is_heard() { LOOK } else { LOOK_UNHEARD };
            tokio::select! {
                () = tokio::time::sleep_until(next.map_or(look, |next| next.min(look))) => {}
                () = show.feed.wake.notified() => {}
            }
        }
    }

    fn notify(&self, notice: Notice) {
        // An error only means that no client listens.
        let _ = self.notices.send(Arc::new(notice));
    }
}

/// The task that shows changes.
struct Show {
    feed: Feed,
    store: Store,
    policies: Policies,
    tail: Tail,
    /// `access` did not answer, and is not called before this time.
    silent_until: Instant,
}

impl Show {
    /// Reads the changes and sends what is due. Returns when there is more to do.
    async fn round(&mut self) -> Result<Option<Instant>, StoreError> {
        // Taken before it is read: whatever was touched by now was committed before.
        let Desk { urgent, policies, mut bars } = std::mem::take(&mut *self.feed.desk());
        let mut left: Vec<String> = policies.into_iter().collect();
        let noted = match self.note_bars(&mut bars).await {
            Ok(()) => self.note_policies(&mut left).await,
            Err(error) => Err(error),
        };
        let done = match noted {
            Ok(()) => self.read(&urgent).await,
            Err(error) => Err(error),
        };
        let more = (!left.is_empty()).then_some(self.silent_until);
        self.feed.desk().policies.extend(left);
        self.feed.desk().bars.extend(bars);
        if let Err(error) = done {
            self.feed.desk().urgent.extend(urgent);
            return Err(error);
        }
        Ok(self.tail.next().into_iter().chain(more).min())
    }

    /// Moves contents that are shared and from which others are blocked: those whom it is shared with are told.
    async fn note_bars(&mut self, ids: &mut HashSet<String>) -> Result<(), StoreError> {
        while let Some(id) = ids.iter().next().cloned() {
            self.store.note_bars(&id).await?;
            ids.remove(&id);
        }
        Ok(())
    }

    /// Stores the openness of some of these, which counts as a change for those without a stored one. The
    /// rest follows the next time.
    async fn note_policies(&mut self, ids: &mut Vec<String>) -> Result<(), StoreError> {
        for _ in 0..PAGE {
            let Some(id) = ids.last() else { break };
            let Some(openness) = self.openness(id).await else { break };
            self.store.note_openness(id, openness).await?;
            ids.pop();
        }
        Ok(())
    }

    /// Reads page by page, and sends each before the next.
    async fn read(&mut self, urgent: &HashSet<String>) -> Result<(), StoreError> {
        let last = self.store.reach().await?.last;
        loop {
            if self.tail.read() < last && !self.tail.is_full() {
                let (moved, reached) = self.store.moved(self.tail.read(), last, None, PAGE).await?;
                self.tail.take(moved, reached, Instant::now());
            }
            self.tail.hurry(urgent, Instant::now());
            self.show_due().await?;
            if self.tail.read() >= last || self.tail.is_full() {
                return Ok(());
            }
        }
    }

    async fn show_due(&mut self) -> Result<(), StoreError> {
        for Held { moved, half_told, .. } in self.tail.due(Instant::now()) {
            self.show(moved, half_told).await?;
            // Clients keep up during a long round.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn show(&mut self, mut moved: Moved, half_told: bool) -> Result<(), StoreError> {
        if let Now::There(entry) = &moved.now {
            let id = &entry.content.id;
            let Some(openness) = self.openness(id).await else {
                // The others are notified once the openness is known.
                self.tail.hold(id, self.silent_until);
                if !half_told {
                    self.show_entry(entry, (Others::Nothing, Others::Nothing));
                }
                return Ok(());
            };
            if openness != entry.openness {
                // This changes its position.
                self.store.note_openness(id, openness).await?;
                match self.store.now(id).await? {
                    Some(now) => moved.now = now,
                    None => {
                        self.tail.report(id, entry.position, Instant::now());
                        return Ok(());
                    }
                }
            }
        }
        self.tail.report(moved.id(), moved.position(), Instant::now());
        match &moved.now {
            Now::Deleted(grave) => {
                self.feed.notify(Notice::deleted(grave, self.tail.reported(), moved.was_hidden()));
            }
            Now::There(entry) => self.show_entry(entry, others(entry, moved.was_hidden())),
        }
        Ok(())
    }

    fn show_entry(&self, entry: &Entry, others: (Others, Others)) {
        // A client that subscribes from now on reads the current state.
        if self.feed.is_heard() {
            self.feed.notify(Notice::changed(entry, self.tail.reported(), others));
        }
    }

    /// The openness of a content; `None`: `access` does not answer.
    async fn openness(&mut self, id: &str) -> Option<Openness> {
        // One failed call is enough for a while.
        if self.policies.are_asked() && Instant::now() < self.silent_until {
            return None;
        }
        match self.policies.openness(id).await {
            Ok(openness) => Some(openness),
            Err(error) => {
                tracing::warn!(content = id, %error, "the openness of a content is unknown; it is not shown to strangers");
                self.silent_until = Instant::now() + RETRY;
                None
            }
        }
    }
}

/// The views of clients that see a content only by its policy: in the list of all contents, and of this one
/// alone. The stored openness is current.
fn others(entry: &Entry, was_hidden: bool) -> (Others, Others) {
    let state = entry.content.state();
    let told = |known: bool, otherwise: Others| match known {
        true if is_presentable(state) => Others::Same,
        true if state == ContentState::Failed => Others::Gone,
        true => Others::Nothing,
        false => otherwise,
    };
    let hidden = if was_hidden { Others::Gone } else { Others::Nothing };
    // A client that follows it alone could see it.
    let addressed = told(is_addressed(entry.openness), Others::Gone);
    (told(entry.listed, hidden), addressed)
}
