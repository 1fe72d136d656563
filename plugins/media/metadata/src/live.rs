//! Server-sent events (WHATWG HTML §9.2): the live changes of one content or of all. Each client may be a
//! bounded number of changes behind; a slower one is disconnected, reconnects with `Last-Event-ID` and gets
//! what it missed from the database.
//!
//! An id is a position (see `positions.rs`), and states that everything up to there has been sent. Ids
//! ascend; an event beyond what is complete has none.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use streamgate_contracts::auth::v1::QuotaRequest;
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_plugin_api::fair::{Full, Holder, Place, Places};
use streamgate_plugin_api::{Client as Plugin, Principal};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::changes::{Notice, Others, What};
use crate::dependencies::answered;
use crate::policies::{Policies, Sight, Where};
use crate::positions::{Moved, Now};
use crate::shares;
use crate::store::{Entry, StoreError};
use crate::view::ContentView;

/// Beyond this many missed changes, the client has to list again.
const REPLAYED: usize = 500;
/// How long a client that reconnects is told that a content is no longer shared with it, and how long a
/// connected one is told so with each change of the content.
const LOST: Duration = shares::REMEMBERED;
const LOST_LIVE: Duration = Duration::from_secs(60);
/// Contents whose removal is sent to a client only once.
const REMEMBERED_GONE: usize = 256;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Streams of one caller while `auth` does not say how many they may have.
const USUAL: usize = 50;

/// Opens streams of live changes, up to a limit, which callers share fairly.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    places: Places,
    /// Says how many each caller may have.
    auth: Plugin,
    heartbeat: Duration,
    shutdown: CancellationToken,
}

/// The caller of a stream.
pub(crate) struct Follower {
    place: Place,
    sight: Sight,
    /// Of the principal; empty: not signed in.
    credential: String,
    policies: Policies,
}

impl Live {
    pub(crate) fn new(
        at_once: usize,
        auth: Plugin,
        heartbeat: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        Self { places: Places::new(at_once, USUAL), auth, heartbeat, shutdown }
    }

    /// How many streams of a principal are open.
    pub(crate) fn open_of(&self, principal: &str) -> u64 {
        self.places.held_by(&Holder::Principal(principal.to_owned())) as u64
    }

    /// How many streams this caller may have. Streams are for reading, so they open while `auth` is away.
    async fn most(&self, holder: &Holder) -> usize {
        let principal = match holder {
            Holder::Principal(id) => id.clone(),
            Holder::Address(_) | Holder::Unknown => String::new(),
        };
        let request = QuotaRequest { principal, ..QuotaRequest::default() };
        match answered(AuthClient::new(self.auth.clone()).quota(request)).await {
            Ok(quota) => {
                quota.event_streams.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
            }
            Err(reason) => {
                tracing::debug!(reason, "the quota of event streams is unknown");
                USUAL
            }
        }
    }

    /// A place for the sender of a request, who may know of what `sight` says.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        sight: Sight,
        policies: Policies,
    ) -> Result<Follower, Full> {
        let holder = Holder::of(headers);
        let most = self.most(&holder).await;
        let place = self.places.take_within(holder, most)?;
        let credential = Principal::of(headers).map(|principal| principal.credential).unwrap_or_default();
        Ok(Follower { place, sight, credential, policies })
    }

    /// The changes of one content, beginning with its current state.
    pub(crate) async fn one(
        &self,
        catalogue: &Catalogue,
        id: &str,
        follower: Follower,
    ) -> Result<Response, StoreError> {
        let notices = catalogue.feed.listen();
        let entry = catalogue.seen(id, &follower.sight).await?;
        let first = VecDeque::from([changed(&entry, &follower.sight).id(entry.position.to_string())]);
        let begin = Begin { first, position: entry.position, told: HashMap::new() };
        Ok(self.stream(notices, begin, Some(id.to_owned()), follower))
    }

    /// The changes of all contents, beginning with those since `Last-Event-ID`.
    pub(crate) async fn all(
        &self,
        catalogue: &Catalogue,
        headers: &HeaderMap,
        follower: Follower,
    ) -> Result<Response, StoreError> {
        // Subscribed first: changes during the reading appear twice, and are sent once.
        let notices = catalogue.feed.listen();
        let begin = match headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
            None => Begin::at(catalogue.store.reach().await?.last),
            Some(id) => missed(catalogue, position(id), &follower.sight).await?,
        };
        Ok(self.stream(notices, begin, None, follower))
    }

    fn stream(
        &self,
        notices: broadcast::Receiver<Arc<Notice>>,
        begin: Begin,
        only: Option<String>,
        follower: Follower,
    ) -> Response {
        let displaced = follower.place.displacement().cancelled_owned();
        let last = begin.position;
        let client = Client { notices, begin, last, only, over: false, follower, gone: VecDeque::new() };
        let events = stream::unfold(client, next)
            .take_until(displaced)
            .take_until(self.shutdown.clone().cancelled_owned());
        let keep_alive = KeepAlive::new().interval(self.heartbeat).text("still here");
        let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

/// What a client gets before the notices.
struct Begin {
    first: VecDeque<Event>,
    /// With that, it has everything up to here.
    position: i64,
    /// What it gets beyond, and the position of its last change.
    told: HashMap<String, i64>,
}

impl Begin {
    /// From here on.
    fn at(position: i64) -> Self {
        // A client that reconnects before the first change sends this position.
        let first = VecDeque::from([Event::default().id(position.to_string()).comment("open")]);
        Self { first, position, told: HashMap::new() }
    }

    /// It has to list again.
    fn anew(position: i64) -> Self {
        let reset = Event::default().event("reset").id(position.to_string()).data("{}");
        Self { first: VecDeque::from([reset]), position, told: HashMap::new() }
    }
}

/// The position that a client claims to have. An invalid one means none.
fn position(id: &HeaderValue) -> i64 {
    id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or(i64::MAX)
}

/// The changes since a position, in their current state.
async fn missed(catalogue: &Catalogue, since: i64, sight: &Sight) -> Result<Begin, StoreError> {
    let store = &catalogue.store;
    let last = store.reach().await?.last;
    if since > last {
        // The database is another one, or a backup; or the id is from when ids were times.
        return Ok(Begin::anew(last));
    }
    let owners = sight.caller.owners();
    let only = (!sight.all).then_some(&owners[..]);
    let (moved, reached) = store.moved(since, last, only, REPLAYED).await?;
    // Checked after the deletions were read: none of them was forgotten before.
    if reached < last || since < store.reach().await?.forgotten {
        return Ok(Begin::anew(last));
    }
    let mut first = VecDeque::with_capacity(moved.len() + 1);
    let (mut marked, mut told) = (since, HashMap::new());
    for one in moved {
        if one.position() > last {
            told.insert(one.id().to_owned(), one.position());
        }
        if let Some(event) = missed_event(catalogue, &one, since, sight).await? {
            marked = one.first;
            first.push_back(event.id(marked.to_string()));
        }
    }
    if marked < last {
        first.extend(Begin::at(last).first);
    }
    Ok(Begin { first, position: last, told })
}

async fn missed_event(
    catalogue: &Catalogue,
    moved: &Moved,
    since: i64,
    sight: &Sight,
) -> Result<Option<Event>, StoreError> {
    let is_gone = match &moved.now {
        Now::There(entry) if catalogue.policies.show(&entry.content, sight, Where::List).await? => {
            return Ok(Some(changed(entry, sight)));
        }
        Now::There(entry) => {
            let failed = entry.listed && entry.content.state() == ContentState::Failed;
            moved.was_hidden() || failed || (entry.taken > since && sight.caller.lost(&entry.content, LOST))
        }
        Now::Deleted(grave) => {
            grave.listed
                || moved.was_hidden()
                || sight.is_sure(&grave.holders)
                || (grave.taken > since && sight.caller.lost(&grave.holders, LOST))
        }
    };
    Ok(is_gone.then(|| gone(moved.id())))
}

struct Client {
    notices: broadcast::Receiver<Arc<Notice>>,
    begin: Begin,
    /// The last id.
    last: i64,
    only: Option<String>,
    over: bool,
    follower: Follower,
    /// Contents whose removal was sent to it, and which have not been sent since. The oldest are dropped.
    gone: VecDeque<String>,
}

impl Client {
    /// Whether the notice was sent before the notices began.
    fn knows(&self, notice: &Notice) -> bool {
        let told = self.begin.told.get(&notice.content).copied().unwrap_or(0);
        notice.position <= self.begin.position.max(told)
    }

    /// Whether an event says more than the previous one about its content: a removed one changes invisibly.
    fn is_news(&mut self, content: &str, gone: bool) -> bool {
        let known = self.gone.iter().position(|id| id == content);
        match (gone, known) {
            (true, Some(_)) => return false,
            (true, None) => {
                self.gone.truncate(REMEMBERED_GONE - 1);
                self.gone.push_front(content.to_owned());
            }
            (false, Some(index)) => drop(self.gone.remove(index)),
            (false, None) => {}
        }
        true
    }

    /// Sets the id of an event, if it is a new one.
    fn marked(&mut self, event: Event, told: i64) -> Event {
        if told <= self.last {
            return event;
        }
        self.last = told;
        event.id(told.to_string())
    }
}

async fn next(mut client: Client) -> Option<(Result<Event, Infallible>, Client)> {
    if let Some(event) = client.begin.first.pop_front() {
        return Some((Ok(event), client));
    }
    while !client.over {
        let notice = match client.notices.recv().await {
            Ok(notice) => notice,
            // Too slow: the end of the stream makes the client reconnect and catch up.
            Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
        };
        if let What::Ended(credential) = &notice.what {
            // A client that reconnects is authenticated again.
            if *credential == client.follower.credential {
                return None;
            }
            continue;
        }
        if client.only.as_ref().is_some_and(|only| *only != notice.content) || client.knows(&notice) {
            continue;
        }
        if !client.follower.judge(&notice).await {
            return None;
        }
        let Some((event, gone)) = event_of(&notice, &client) else {
            continue;
        };
        if !client.is_news(&notice.content, gone) {
            continue;
        }
        // Nothing follows the deletion of the only content.
        client.over = client.only.is_some() && gone;
        let event = client.marked(event, notice.told);
        return Some((Ok(event), client));
    }
    None
}

impl Follower {
    /// Brings up to date what the caller is blocked from, where that matters. False: it is unknown, and the caller has to
    /// come back.
    async fn judge(&mut self, notice: &Notice) -> bool {
        let caller = &self.sight.caller;
        if self.sight.all || !caller.is_named(&notice.holders) {
            return true;
        }
        let bars = self.policies.bars(&caller.id).await;
        let known = bars.is_some();
        self.sight.caller = std::mem::take(&mut self.sight.caller).with_bars(bars);
        known
    }
}

/// What of a notice is for whom, and whether the content is gone for them.
fn event_of(notice: &Notice, client: &Client) -> Option<(Event, bool)> {
    let sight = &client.follower.sight;
    // What was taken back before was told when they came back, or is not there for them to miss.
    let lost = || notice.taken > client.begin.position && sight.caller.lost(&notice.holders, LOST_LIVE);
    let others = match client.only.is_some() {
        _ if sight.is_sure(&notice.holders) => Others::Same,
        true => notice.addressed,
        false if notice.others == Others::Nothing && lost() => Others::Gone,
        false => notice.others,
    };
    match (&notice.what, others) {
        (What::Ended(_), _) | (_, Others::Nothing) => None,
        (What::Deleted, _) | (_, Others::Gone) => Some((gone(&notice.content), true)),
        (What::Changed { json, whole }, Others::Same) => {
            let json = if sight.shows_owner(&notice.holders) { whole } else { json };
            Some((Event::default().event("changed").data(json), false))
        }
    }
}

fn changed(entry: &Entry, sight: &Sight) -> Event {
    let view = ContentView::new(entry, sight.shows_owner(&entry.content));
    Event::default().event("changed").data(view.to_json())
}

fn gone(id: &str) -> Event {
    Event::default().event("deleted").data(serde_json::json!({ "id": id }).to_string())
}
