//! Automatic registration: registers ready contents, and publishes changes of their policies. Events only say
//! where to look; the work follows from the catalogue, the policies, the queue and the registry, so that lost
//! events and crashes only cost time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use parking_lot::Mutex;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::chain::v1::send_request::Action as Call;
use streamgate_contracts::chain::v1::{ContentEntry, RegisterContent, UpdateContent};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::Health;
use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::time::now_ms;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::caip::ChainId;
use crate::clients::{Clients, Silent};
use crate::contents;
use crate::index_store::IndexStore;
use crate::publication::{Action, New, Publication, Publications};
use crate::publish_settings::ID;
use crate::queue::{Queue, Queued, State};

/// Maximum transactions waiting for their number; beyond it no more are queued.
const MAX_WAITING: usize = 64;
/// Maximum contents named by events and not handled yet; beyond it, all are checked.
const MAX_NAMED: usize = 4096;
/// Requested contents that are handled in one round.
const MAX_ASKED: usize = 100;
/// After this many consecutive unknown contents, the others wait, too.
const MAX_FAILURES: usize = 3;
/// When all contents are looked at again then.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// The shared state of a publisher.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    named: Mutex<Named>,
    /// What prevents its work; empty: nothing.
    trouble: Mutex<String>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Named {
    contents: BTreeSet<String>,
    /// There were more.
    lost: bool,
}

impl Inbox {
    /// Something about a content changed.
    pub(crate) fn name(&self, content: &str) {
        let mut named = self.named.lock();
        if named.contents.len() < MAX_NAMED {
            named.contents.insert(content.to_owned());
        } else {
            named.lost = true;
        }
        drop(named);
        self.wake();
    }

    /// A content was requested.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(crate) fn trouble(&self) -> String {
        self.trouble.lock().clone()
    }
}

/// Why a round did less than it should.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("the registry has not been read yet")]
    Unread,
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A publisher's settings.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Whether contents are published without a request.
    pub(crate) publish: bool,
    /// The location of policies; without it none is published.
    pub(crate) policy_uri: Option<String>,
    /// An entry is not changed more often.
    pub(crate) pause: Duration,
    /// How often all contents are checked.
    pub(crate) reconcile: Duration,
    pub(crate) poll: Duration,
}

/// Updates one registry.
pub(crate) struct Publisher {
    pub(crate) chain: ChainId,
    /// The sender of transactions.
    pub(crate) server: Address,
    pub(crate) rules: Rules,
    pub(crate) clients: Clients,
    pub(crate) store: Publications,
    pub(crate) queue: Queue,
    pub(crate) index: IndexStore,
    /// Whether the index has reached the last block since the start.
    pub(crate) indexed: Arc<AtomicBool>,
    /// Wakes the sender.
    pub(crate) queued: Arc<Notify>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) health: Option<Health>,
}

/// State between rounds.
struct Agenda {
    /// When all contents are checked.
    all_at: Instant,
    /// When some are checked again.
    later: BTreeMap<String, Instant>,
    /// When more of the requested ones are handled.
    asked_at: Option<Instant>,
    failures: usize,
    trouble: Option<PublishError>,
}

impl Agenda {
    fn new() -> Self {
        Self { all_at: Instant::now(), later: BTreeMap::new(), asked_at: None, failures: 0, trouble: None }
    }

    fn later(&mut self, content: &str, pause: Duration) {
        let at = Instant::now() + pause;
        if self.later.len() < MAX_NAMED {
            self.later.insert(content.to_owned(), at);
        } else {
            self.all_at = self.all_at.min(at);
        }
    }

    /// Takes out those that are due.
    fn due(&mut self) -> Vec<String> {
        let now = Instant::now();
        let due: Vec<_> = self.later.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for content in &due {
            self.later.remove(content);
        }
        due
    }

    fn next(&self) -> Instant {
        self.later.values().copied().chain(self.asked_at).fold(self.all_at, Instant::min)
    }

    /// Records the result for one content; false: continuing is pointless.
    fn went(&mut self, done: Result<(), PublishError>) -> bool {
        match done {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                self.trouble = Some(error);
            }
        }
        self.failures < MAX_FAILURES
    }
}

/// The action for a content.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Nothing,
    Later(Duration),
    /// Without a CID, its file has to be read.
    Queue(Action, Option<Bytes>),
}

impl Publisher {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut agenda = Agenda::new();
        let mut failures = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round(&mut agenda) => {}
            }
            let trouble = agenda.trouble.take();
            self.tell(trouble.as_ref());
            let next = if trouble.is_some() {
                // Whatever was not done is found again.
                agenda.all_at = Instant::now() + BACKOFF.after(failures + 1);
                agenda.all_at
            } else {
                agenda.next()
            };
            let counts = !matches!(trouble, None | Some(PublishError::Unread));
            failures = if counts { failures + 1 } else { 0 };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inbox.woken.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn tell(&self, trouble: Option<&PublishError>) {
        let text = trouble.map(ToString::to_string).unwrap_or_default();
        if let Some(health) = &self.health {
            if text.is_empty() { health.healthy() } else { health.degraded(&text) }
        }
        let mut known = self.inbox.trouble.lock();
        // An unread registry is normal at a start.
        if *known != text && !matches!(trouble, None | Some(PublishError::Unread)) {
            tracing::warn!(chain = %self.chain, trouble = text, "contents wait to be registered");
        }
        *known = text;
    }

    async fn round(&self, agenda: &mut Agenda) {
        agenda.failures = 0;
        if let Err(error) = self.look(agenda).await {
            agenda.trouble = Some(error);
        }
    }

    /// Handles requests, contents named by events, and periodically everything.
    async fn look(&self, agenda: &mut Agenda) -> Result<(), PublishError> {
        if !self.indexed.load(Ordering::Acquire) {
            return Err(PublishError::Unread);
        }
        let asked = self.store.asked(MAX_ASKED).await?;
        agenda.asked_at = (asked.len() == MAX_ASKED).then(|| Instant::now() + self.rules.poll);
        for content in asked {
            let done = self.settle(&content, true, agenda).await;
            if !agenda.went(done) {
                return Ok(());
            }
        }
        let Named { contents, lost } = std::mem::take(&mut *self.inbox.named.lock());
        let due = agenda.due();
        let all = lost || agenda.all_at <= Instant::now();
        if all {
            agenda.all_at = Instant::now() + self.rules.reconcile;
        }
        if !self.rules.publish {
            return Ok(());
        }
        for content in contents.into_iter().chain(due) {
            let done = self.settle(&content, false, agenda).await;
            if !agenda.went(done) {
                return Ok(());
            }
        }
        if all { self.look_at_all(agenda).await } else { Ok(()) }
    }

    async fn look_at_all(&self, agenda: &mut Agenda) -> Result<(), PublishError> {
        let mut after = String::new();
        loop {
            let page = self.clients.ready(&after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for content in page {
                let done = self.settle(&content, false, agenda).await;
                if !agenda.went(done) {
                    return Ok(());
                }
            }
        }
    }

    /// Executes the action for a content.
    async fn settle(&self, content: &str, asked: bool, agenda: &mut Agenda) -> Result<(), PublishError> {
        let policy = match self.rules.policy_uri {
            Some(_) => Some(self.clients.policy(content).await?),
            None => None,
        };
        let known = self.store.get(content).await?;
        let entry = match known.as_ref().is_some_and(Publication::holds) {
            true => None,
            false => self.index.content(content).await?.and_then(|registered| registered.entry),
        };
        let pause = if asked { Duration::ZERO } else { self.rules.pause };
        let quiet = known.as_ref().map_or(pause, |known| since(known.at));
        match step(known.as_ref(), entry.as_ref(), policy, asked, pause.saturating_sub(quiet)) {
            Step::Nothing if asked => Ok(self.store.answered(content).await?),
            Step::Nothing => Ok(()),
            Step::Later(pause) => {
                agenda.later(content, pause.max(self.rules.poll));
                Ok(())
            }
            Step::Queue(action, cid) => {
                let found = self.clients.content(content).await?;
                let Some(found) = found.filter(|found| found.state() == ContentState::Ready) else {
                    // It was deleted, or is not ready yet; another event comes when it is.
                    return Ok(self.store.answered(content).await?);
                };
                let owner = match action {
                    Action::Register if !found.owner.is_empty() => {
                        self.clients.account(&found.owner, self.chain).await?
                    }
                    Action::Register | Action::Update => None,
                };
                self.room().await?;
                let cid = match cid {
                    Some(cid) => cid,
                    None => match self.clients.cid(content).await? {
                        Some(cid) => cid,
                        None => {
                            let trouble = "the file that was uploaded is not in storage, so it has no CID";
                            return Ok(self.store.block(content, trouble).await?);
                        }
                    },
                };
                let after = known.map_or(0, |known| known.attempt);
                let about = About { content, action, owner, cid, policy: policy.unwrap_or_default() };
                self.queue(about, after, agenda).await
            }
        }
    }

    /// Waits until the queue has room; it does not grow while a chain is stalled.
    async fn room(&self) -> Result<(), PublishError> {
        while self.queue.waiting().await? >= MAX_WAITING {
            tokio::time::sleep(self.rules.poll).await;
        }
        Ok(())
    }

    async fn queue(&self, about: About<'_>, after: u32, agenda: &mut Agenda) -> Result<(), PublishError> {
        let About { content, action, owner, cid, policy } = about;
        let uri = self.rules.policy_uri.as_ref().map(|uri| uri.replace(ID, content));
        let entry = Some(ContentEntry {
            content: content.to_owned(),
            cid: cid.to_vec().into(),
            policy: policy.to_vec().into(),
            policy_uri: uri.unwrap_or_default(),
        });
        let call = match action {
            Action::Register => Call::Register(RegisterContent { entry, owner: owner.unwrap_or_default() }),
            Action::Update => Call::Update(UpdateContent { entry }),
        };
        let data = match contents::call(self.chain, self.server, call) {
            Ok(data) => data,
            Err(error) => return Ok(self.store.block(content, &error.to_string()).await?),
        };
        let new = New { content: content.to_owned(), after, action, cid, policy, data };
        match self.store.queue(&self.queue, new, MAX_WAITING).await? {
            Queued::Taken => {
                tracing::info!(chain = %self.chain, content, action = action.name(), "queued for the registry");
                self.queued.notify_one();
            }
            // A concurrent one was faster.
            Queued::Other | Queued::Full => agenda.later(content, self.rules.poll),
        }
        Ok(())
    }
}

/// The planned entry.
struct About<'a> {
    content: &'a str,
    action: Action,
    /// CAIP-10; `None`: the server's account.
    owner: Option<String>,
    cid: Bytes,
    policy: B256,
}

fn since(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms().saturating_sub(ms)).unwrap_or(0))
}

/// The action for a ready content, by its queued transaction, its entry, and its current policy, if policies
/// are published. A change of policy waits for `pause`.
fn step(
    known: Option<&Publication>,
    entry: Option<&ContentEntry>,
    policy: Option<B256>,
    asked: bool,
    pause: Duration,
) -> Step {
    let differs = |told: &[u8]| policy.is_some_and(|policy| policy.as_slice() != told);
    let by_entry = if entry.is_some() { Action::Update } else { Action::Register };
    let Some(told) = known.and_then(|known| known.told.as_ref()) else {
        return match entry {
            None => Step::Queue(Action::Register, None),
            Some(entry) if differs(&entry.policy) && pause.is_zero() => {
                Step::Queue(Action::Update, Some(entry.cid.to_vec().into()))
            }
            Some(entry) if differs(&entry.policy) => Step::Later(pause),
            Some(_) => Step::Nothing,
        };
    };
    let changed = differs(told.policy.as_slice());
    let action = match told.state {
        State::Queued | State::Signed | State::Sent if changed => return Step::Later(Duration::ZERO),
        State::Queued | State::Signed | State::Sent => return Step::Nothing,
        // Its number was used by another transaction; it was never mined.
        State::Replaced => return Step::Queue(by_entry, Some(told.cid.clone())),
        State::Failed if asked => by_entry,
        State::Failed if changed => by_entry,
        State::Mined | State::Confirmed if changed => Action::Update,
        State::Failed | State::Mined | State::Confirmed => return Step::Nothing,
    };
    if pause.is_zero() { Step::Queue(action, Some(told.cid.clone())) } else { Step::Later(pause) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::publication::Told;

    const OLD: B256 = B256::repeat_byte(1);
    const NEW: B256 = B256::repeat_byte(2);

    fn known(state: State) -> Publication {
        let told = Told {
            key: "key".into(),
            action: Action::Register,
            cid: Bytes::from_static(&[7]),
            policy: OLD,
            state,
            detail: String::new(),
            hash: None,
            block: None,
        };
        let (content, trouble) = ("content".into(), String::new());
        Publication { content, attempt: 1, told: Some(told), asked: false, trouble, at: 0 }
    }

    fn entry(policy: B256) -> ContentEntry {
        ContentEntry { cid: vec![9].into(), policy: policy.to_vec().into(), ..ContentEntry::default() }
    }

    fn after(state: State, policy: B256) -> Step {
        step(Some(&known(state)), None, Some(policy), false, Duration::ZERO)
    }

    fn queue(action: Action) -> Step {
        Step::Queue(action, Some(Bytes::from_static(&[7])))
    }

    #[test]
    fn what_is_under_way_or_done_is_not_done_again() {
        for state in State::ALL.into_iter().filter(|state| *state != State::Replaced) {
            assert_eq!(after(state, OLD), Step::Nothing, "{state}");
        }
        assert_eq!(after(State::Replaced, OLD), queue(Action::Register));
        let adopted = step(None, Some(&entry(OLD)), Some(OLD), false, Duration::ZERO);
        assert_eq!(adopted, Step::Nothing);
        assert_eq!(step(None, None, None, false, Duration::ZERO), Step::Queue(Action::Register, None));
    }

    #[test]
    fn a_change_of_policy_is_published_when_nothing_is_in_progress_and_not_too_often() {
        for state in [State::Queued, State::Signed, State::Sent] {
            assert_eq!(after(state, NEW), Step::Later(Duration::ZERO), "{state}");
        }
        for state in [State::Mined, State::Confirmed] {
            assert_eq!(after(state, NEW), queue(Action::Update), "{state}");
            let pause = Duration::from_secs(9);
            let paced = step(Some(&known(state)), None, Some(NEW), false, pause);
            assert_eq!(paced, Step::Later(pause));
            // Policies are not published.
            assert_eq!(step(Some(&known(state)), None, None, false, Duration::ZERO), Step::Nothing);
        }
        let other = step(None, Some(&entry(OLD)), Some(NEW), false, Duration::ZERO);
        assert_eq!(other, Step::Queue(Action::Update, Some(Bytes::from_static(&[9]))));
    }

    #[test]
    fn what_failed_is_tried_again_when_somebody_asks_or_its_policy_changes() {
        let failed = known(State::Failed);
        let asked = |entry| step(Some(&failed), entry, Some(OLD), true, Duration::ZERO);
        assert_eq!(asked(None), queue(Action::Register));
        assert_eq!(asked(Some(&entry(OLD))), queue(Action::Update));
        assert_eq!(after(State::Failed, NEW), queue(Action::Register));
    }
}
