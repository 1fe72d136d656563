//! The live changes: one task reads from the database what changed, in the order of the commits, and
//! tells the event streams of clients what it looks like now. Touches only wake it: what another node wrote, or a run
//! before, is found as well. It never holds a queue of changes: a content that changed twice before its
//! turn is shown once, as it is by then. The bus is told of each change, by the outbox.

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

/// What could not be read, or whose policy could not be looked at, is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked for what others wrote, while somebody listens.
const LOOK: Duration = Duration::from_secs(1);
/// The same while nobody does.
const LOOK_UNHEARD: Duration = Duration::from_secs(5);
/// Contents that are read at once, and policies that are looked at.
const PAGE: usize = 64;

/// How soon a change must be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// At once: a state, a title, a segment.
    Now,
    /// Within [`QUIET`](crate::tail::QUIET): progress.
    Soon,
}

/// What a client of the live changes is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) content: String,
    /// Of the content's last change that it tells of.
    pub(crate) position: i64,
    /// Everything up to here was told with this: the id of the server-sent event.
    pub(crate) told: i64,
    pub(crate) what: What,
    /// Of the last change that took a share back; 0: none did.
    pub(crate) taken: i64,
    /// Whose the content is, and with whom it is shared.
    pub(crate) holders: Holders,
    pub(crate) others: Others,
    /// The same of those who follow this content alone, and so have its address.
    pub(crate) addressed: Others,
}

/// What those are told who may not know of every content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// The same.
    Same,
    /// That it is gone.
    Gone,
    Nothing,
}

/// The kinds of notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The content as JSON, and the same for those who may change it.
    Changed {
        json: String,
        whole: String,
    },
    Deleted,
    /// The credential of this name ended, and with it the streams of whoever came by it.
    Ended(String),
}

impl Notice {
    /// What a content looks like.
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

    /// A content is gone. Who follows it alone was let to: it existed for them.
    fn deleted(grave: &Grave, told: i64, was_hidden: bool) -> Self {
        let others = if grave.listed || was_hidden { Others::Same } else { Others::Nothing };
        let (content, holders) = (grave.id.clone(), grave.holders.clone());
        let (what, addressed) = (What::Deleted, Others::Same);
        let Grave { position, taken, .. } = *grave;
        Self { content, position, told, taken, what, holders, others, addressed }
    }
}

/// What its touches leave for the task.
#[derive(Debug, Default)]
struct Desk {
    /// Contents of which more than the progress changed.
    urgent: HashSet<String>,
    /// Contents whose policy may be another one.
    policies: HashSet<String>,
    /// Contents from which others are blocked than before.
    bars: HashSet<String>,
}

/// Where changes are announced, and where clients listen. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    desk: Arc<Mutex<Desk>>,
    wake: Arc<Notify>,
    notices: broadcast::Sender<Arc<Notice>>,
    /// The last change before there was a feed.
    begin: i64,
}

impl Feed {
    /// A feed of what changes after a position, whose clients may be `backlog` notices behind.
    pub(crate) fn new(backlog: usize, begin: i64) -> Self {
        let notices = broadcast::Sender::new(backlog);
        Self { desk: Arc::default(), wake: Arc::default(), notices, begin }
    }

    /// A content changed, or is gone.
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

    /// From now on, every notice.
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
    /// `access` did not answer, and is not asked before then.
    silent_until: Instant,
}

impl Show {
    /// Reads what there is and tells what is due. Answers when there is more to do.
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

    /// Notes what the policies of some of these say, which moves the contents of which it was not noted yet. What is
    /// left comes the next time.
    async fn note_policies(&mut self, ids: &mut Vec<String>) -> Result<(), StoreError> {
        for _ in 0..PAGE {
            let Some(id) = ids.last() else { break };
            let Some(openness) = self.openness(id).await else { break };
            self.store.note_openness(id, openness).await?;
            ids.pop();
        }
        Ok(())
    }

    /// Reads page by page, and tells each before the next.
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
            // Clients keep up with a long round.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn show(&mut self, mut moved: Moved, half_told: bool) -> Result<(), StoreError> {
        if let Now::There(entry) = &moved.now {
            let id = &entry.content.id;
            let Some(openness) = self.openness(id).await else {
                // The others hear of it when it is known what they may know of.
                self.tail.hold(id, self.silent_until);
                if !half_told {
                    self.show_entry(entry, (Others::Nothing, Others::Nothing));
                }
                return Ok(());
            };
            if openness != entry.openness {
                // This moves it.
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
        // Whoever listens from now on reads what is there.
        if self.feed.is_heard() {
            self.feed.notify(Notice::changed(entry, self.tail.reported(), others));
        }
    }

    /// How open a content is; none: `access` does not say.
    async fn openness(&mut self, id: &str) -> Option<Openness> {
        // One question that is not answered is enough for a while.
        if self.policies.are_asked() && Instant::now() < self.silent_until {
            return None;
        }
        match self.policies.openness(id).await {
            Ok(openness) => Some(openness),
            Err(error) => {
                tracing::warn!(content = id, %error, "what strangers may know of is not known, and not told");
                self.silent_until = Instant::now() + RETRY;
                None
            }
        }
    }
}

/// What those are told of a content who know of it by its policy alone: of all contents, and of this one. What is
/// noted of its policy is what the policy says.
fn others(entry: &Entry, was_hidden: bool) -> (Others, Others) {
    let state = entry.content.state();
    let told = |known: bool, otherwise: Others| match known {
        true if is_presentable(state) => Others::Same,
        true if state == ContentState::Failed => Others::Gone,
        true => Others::Nothing,
        false => otherwise,
    };
    let hidden = if was_hidden { Others::Gone } else { Others::Nothing };
    // Who follows it alone was let to.
    let addressed = told(is_addressed(entry.openness), Others::Gone);
    (told(entry.listed, hidden), addressed)
}
