//! The live changes: one task turns "this content was touched" into what it looks like
//! now, for the event streams of clients. It never holds a queue of changes: a content touched
//! twice before its turn is shown once, as it is by then. The bus is told of each change, by the
//! outbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_plugin_api::time::now_ms;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::graves::Buried;
use crate::policies::{Policies, is_addressed, is_listed, is_presentable};
use crate::rights::Holders;
use crate::store::{Entry, Store, StoreError};
use crate::view::ContentView;

/// The least time between two shows of the same content while only its progress moves.
const QUIET: Duration = Duration::from_millis(250);
/// When a content could not be read, it is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// How soon a change must be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// At once: a state, a title, a segment.
    Now,
    /// Within [`QUIET`]: progress.
    Soon,
}

/// What a client of the live changes is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) content: String,
    /// When it happened, Unix milliseconds: the id of the server-sent event.
    pub(crate) at_ms: i64,
    pub(crate) what: What,
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

/// The two kinds of change.
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
    pub(crate) fn changed(entry: &Entry, (others, addressed): (Others, Others)) -> Self {
        let json = |whole| ContentView::new(entry, whole).to_json();
        let content = &entry.content;
        Self {
            content: content.id.clone(),
            at_ms: content.updated_at_ms,
            what: What::Changed { json: json(false), whole: json(true) },
            holders: content.into(),
            others,
            addressed,
        }
    }

    /// A content is gone.
    pub(crate) fn deleted(id: String, at_ms: i64, buried: Buried) -> Self {
        let others = if buried.listed { Others::Same } else { Others::Nothing };
        // Who follows it alone was let to: it existed for them.
        let addressed = Others::Same;
        Self { content: id, at_ms, what: What::Deleted, holders: buried.holders, others, addressed }
    }
}

#[derive(Debug)]
struct Touched {
    due: Instant,
    /// It was deleted.
    deleted: Option<Buried>,
}

/// What there is to show.
#[derive(Debug, Clone, PartialEq)]
struct Due {
    id: String,
    deleted: Option<Buried>,
}

#[derive(Debug, Default)]
struct Desk {
    touched: HashMap<String, Touched>,
    shown: HashMap<String, Instant>,
}

/// Where changes are announced, and where clients listen. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    desk: Arc<Mutex<Desk>>,
    wake: Arc<Notify>,
    notices: broadcast::Sender<Arc<Notice>>,
}

impl Feed {
    /// A feed whose clients may be `backlog` notices behind.
    pub(crate) fn new(backlog: usize) -> Self {
        Self { desk: Arc::default(), wake: Arc::default(), notices: broadcast::Sender::new(backlog) }
    }

    /// A content changed.
    pub(crate) fn touch(&self, id: &str, urgency: Urgency) {
        self.put(id, urgency, None);
    }

    /// A content's policy changed.
    pub(crate) fn policy(&self, id: &str) {
        self.put(id, Urgency::Now, None);
    }

    /// A content was deleted.
    pub(crate) fn delete(&self, id: &str, buried: Buried) {
        self.put(id, Urgency::Now, Some(buried));
    }

    /// A credential ended.
    pub(crate) fn end(&self, credential: String) {
        let what = What::Ended(credential);
        let (others, addressed) = (Others::Nothing, Others::Nothing);
        let (content, holders) = (String::new(), Holders::default());
        self.tell(Notice { content, at_ms: now_ms(), what, holders, others, addressed });
    }

    fn put(&self, id: &str, urgency: Urgency, deleted: Option<Buried>) {
        self.put_at(id, urgency, deleted, Instant::now());
        self.wake.notify_one();
    }

    fn put_at(&self, id: &str, urgency: Urgency, deleted: Option<Buried>, now: Instant) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match (urgency, desk.shown.get(id)) {
            (Urgency::Soon, Some(shown)) => (*shown + QUIET).max(now),
            _ => now,
        };
        let entry = desk.touched.entry(id.to_owned()).or_insert(Touched { due, deleted: None });
        entry.due = entry.due.min(due);
        entry.deleted = entry.deleted.take().or(deleted);
    }

    /// From now on, every notice.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.notices.subscribe()
    }

    /// Those whose time has come, and when the next one's will.
    fn take_due(&self, now: Instant) -> (Vec<Due>, Option<Instant>) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        desk.touched.retain(|id, touched| {
            let later = touched.due > now;
            if !later {
                due.push(Due { id: id.clone(), deleted: touched.deleted.take() });
            }
            later
        });
        desk.shown.retain(|_, shown| now.duration_since(*shown) < QUIET);
        desk.shown.extend(due.iter().map(|due| (due.id.clone(), now)));
        (due, desk.touched.values().map(|touched| touched.due).min())
    }

    fn again(&self, id: String) {
        let due = Instant::now() + RETRY;
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.touched.entry(id).or_insert(Touched { due, deleted: None });
    }

    /// Shows changes until the end of the process.
    pub(crate) async fn run(self, store: Store, policies: Policies) {
        loop {
            let (due, next) = self.take_due(Instant::now());
            if due.is_empty() {
                match next {
                    Some(at) => tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.wake.notified() => {}
                    },
                    None => self.wake.notified().await,
                }
                continue;
            }
            for due in due {
                self.show(&store, &policies, due).await;
            }
        }
    }

    async fn show(&self, store: &Store, policies: &Policies, due: Due) {
        let Due { id, deleted } = due;
        if let Some(buried) = deleted {
            return self.tell(Notice::deleted(id, now_ms(), buried));
        }
        let mut entry = match store.entry(&id).await {
            Ok(entry) => entry,
            // Its deletion is announced by whoever deleted it.
            Err(StoreError::NotFound(_)) => return,
            Err(error) => {
                tracing::warn!(content = id, %error, "a change cannot be shown yet");
                return self.again(id);
            }
        };
        let others = match others(store, policies, &mut entry).await {
            Ok(others) => others,
            Err(error) => {
                tracing::warn!(content = id, %error, "a change is not shown to everybody yet");
                self.again(id);
                (Others::Nothing, Others::Nothing)
            }
        };
        // Whoever listens from now on reads what is there.
        if self.notices.receiver_count() > 0 {
            self.tell(Notice::changed(&entry, others));
        }
    }

    fn tell(&self, notice: Notice) {
        // An error only means that no client listens.
        let _ = self.notices.send(Arc::new(notice));
    }
}

/// What those are told of a content who know of it by its policy alone: of all contents, and of this one.
/// What is noted of its policy is brought up to date.
async fn others(
    store: &Store,
    policies: &Policies,
    entry: &mut Entry,
) -> Result<(Others, Others), StoreError> {
    let id = &entry.content.id;
    let openness = policies.openness(id).await?;
    let before = entry.openness;
    let was_listed = entry.listed;
    if openness != before {
        store.note_openness(id, openness).await?;
        (entry.openness, entry.listed) = (openness, is_listed(openness));
    }
    let state = entry.content.state();
    let told = |known: bool, was_known: bool| match (known, was_known) {
        (true, _) if is_presentable(state) => Others::Same,
        (true, _) if state == ContentState::Failed => Others::Gone,
        (false, true) => Others::Gone,
        _ => Others::Nothing,
    };
    let addressed = told(is_addressed(openness), was_listed || is_addressed(before));
    Ok((told(is_listed(openness), was_listed), addressed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_at_most_four_times_a_second_and_a_new_state_at_once() {
        let feed = Feed::new(16);
        let begin = Instant::now();
        let mut shown = 0;
        for ms in 0..1_000 {
            let now = begin + Duration::from_millis(ms);
            feed.put_at("a", Urgency::Soon, None, now);
            shown += feed.take_due(now).0.len();
        }
        assert_eq!(shown, 4);
        let now = begin + Duration::from_millis(1_001);
        feed.put_at("a", Urgency::Now, None, now);
        assert_eq!(feed.take_due(now).0.len(), 1);
    }

    #[test]
    fn a_content_deleted_while_a_change_waits_is_shown_as_deleted() {
        let feed = Feed::new(16);
        feed.touch("a", Urgency::Now);
        let buried = Buried { listed: true, holders: Holders { owner: "ann".into(), shares: Vec::new() } };
        feed.delete("a", buried.clone());
        let due = Due { id: "a".into(), deleted: Some(buried) };
        assert_eq!(feed.take_due(Instant::now()).0, [due]);
    }
}
