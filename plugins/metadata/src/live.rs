//! Server-sent events (WHATWG HTML §9.2): the live changes of one content or of all. Each
//! client may be a bounded number of changes behind; one that is slower is disconnected,
//! comes back with `Last-Event-ID` and is told what it missed from the database.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_plugin_api::Principal;
use streamgate_plugin_api::fair::{Full, Holder, Place, Places};
use streamgate_plugin_api::time::now_ms;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::changes::{Notice, Others, What};
use crate::policies::{Sight, Where};
use crate::store::{Entry, StoreError};
use crate::view::ContentView;

/// More missed changes than this are not told one by one: the client lists anew.
const REPLAYED: usize = 500;
/// Deletions are remembered for a day.
const REPLAY_WINDOW_MS: i64 = 86_400_000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Opens streams of live changes, up to a number at once, which callers share fairly.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    places: Places,
    heartbeat: Duration,
    shutdown: CancellationToken,
}

/// Whoever follows the changes.
pub(crate) struct Follower {
    place: Place,
    sight: Sight,
    /// Of the principal; empty: nobody is signed in.
    credential: String,
}

impl Live {
    pub(crate) fn new(places: Places, heartbeat: Duration, shutdown: CancellationToken) -> Self {
        Self { places, heartbeat, shutdown }
    }

    /// A place for the sender of a request, who may know of what `sight` says.
    pub(crate) fn admit(&self, headers: &HeaderMap, sight: Sight) -> Result<Follower, Full> {
        let place = self.places.take(Holder::of(headers))?;
        let credential = Principal::of(headers).map(|principal| principal.credential).unwrap_or_default();
        Ok(Follower { place, sight, credential })
    }

    /// The changes of one content, beginning with how it is now.
    pub(crate) async fn one(
        &self,
        catalogue: &Catalogue,
        id: &str,
        follower: Follower,
    ) -> Result<Response, StoreError> {
        let notices = catalogue.feed.listen();
        let entry = catalogue.seen(id, &follower.sight).await?;
        let first = VecDeque::from([changed(&entry, &follower.sight)]);
        Ok(self.stream(notices, first, Some(id.to_owned()), follower))
    }

    /// The changes of all contents, beginning with those since `Last-Event-ID`.
    pub(crate) async fn all(
        &self,
        catalogue: &Catalogue,
        headers: &HeaderMap,
        follower: Follower,
    ) -> Result<Response, StoreError> {
        let notices = catalogue.feed.listen();
        let now = now_ms();
        let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let missed = match last {
            None => VecDeque::new(),
            Some(since) => missed(catalogue, since, now, &follower.sight).await?,
        };
        // Whoever comes back before the first change tells from when on to look.
        let mut first = VecDeque::from([Event::default().id(now.to_string()).comment("open")]);
        first.extend(missed);
        Ok(self.stream(notices, first, None, follower))
    }

    fn stream(
        &self,
        notices: broadcast::Receiver<Arc<Notice>>,
        first: VecDeque<Event>,
        only: Option<String>,
        follower: Follower,
    ) -> Response {
        let displaced = follower.place.displacement().cancelled_owned();
        let client = Client { notices, first, only, over: false, follower };
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

async fn missed(
    catalogue: &Catalogue,
    since: i64,
    now: i64,
    sight: &Sight,
) -> Result<VecDeque<Event>, StoreError> {
    let reset = || VecDeque::from([Event::default().event("reset").id(now.to_string()).data("{}")]);
    if since < now - REPLAY_WINDOW_MS {
        return Ok(reset());
    }
    let store = &catalogue.store;
    let changes = store.changed_since(since, REPLAYED + 1).await?;
    let owners = sight.caller.owners();
    let mut ended = store.deleted_since(since, (!sight.all).then_some(&owners[..]), REPLAYED + 1).await?;
    ended.retain(|ended| ended.listed || sight.is_sure(&ended.holders));
    if !sight.all {
        let mut unlisted = store.unlisted_since(since, REPLAYED + 1).await?;
        unlisted.retain(|ended| !sight.is_sure(&ended.holders));
        ended.extend(unlisted);
    }
    if changes.len() + ended.len() > REPLAYED {
        return Ok(reset());
    }
    let mut events = Vec::with_capacity(changes.len() + ended.len());
    for entry in changes {
        let content = &entry.content;
        if catalogue.policies.show(content, sight, Where::List).await? {
            events.push((content.updated_at_ms, changed(&entry, sight)));
        } else if entry.listed && content.state() == ContentState::Failed {
            events.push((content.updated_at_ms, gone(&content.id, content.updated_at_ms)));
        }
    }
    events.extend(ended.into_iter().map(|ended| (ended.at_ms, gone(&ended.id, ended.at_ms))));
    events.sort_by_key(|(at_ms, _)| *at_ms);
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

struct Client {
    notices: broadcast::Receiver<Arc<Notice>>,
    first: VecDeque<Event>,
    only: Option<String>,
    over: bool,
    follower: Follower,
}

async fn next(mut client: Client) -> Option<(Result<Event, Infallible>, Client)> {
    if let Some(event) = client.first.pop_front() {
        return Some((Ok(event), client));
    }
    while !client.over {
        let notice = match client.notices.recv().await {
            Ok(notice) => notice,
            // Too slow: the end of the stream makes the client come back and catch up.
            Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
        };
        if let What::Ended(credential) = &notice.what {
            // Who comes back is authenticated anew.
            if *credential == client.follower.credential {
                return None;
            }
            continue;
        }
        if client.only.as_ref().is_some_and(|only| *only != notice.content) {
            continue;
        }
        let Some((event, gone)) = event_of(&notice, &client.follower.sight, client.only.is_some()) else {
            continue;
        };
        // Nothing follows the end of the only content.
        client.over = client.only.is_some() && gone;
        return Some((Ok(event), client));
    }
    None
}

/// What of a notice is for whom, and whether the content is gone for them.
fn event_of(notice: &Notice, sight: &Sight, only: bool) -> Option<(Event, bool)> {
    let others = match only {
        _ if sight.is_sure(&notice.holders) => Others::Same,
        true => notice.addressed,
        false => notice.others,
    };
    match (&notice.what, others) {
        (What::Ended(_), _) | (_, Others::Nothing) => None,
        (What::Deleted, _) | (_, Others::Gone) => Some((gone(&notice.content, notice.at_ms), true)),
        (What::Changed { json, whole }, Others::Same) => {
            let json = if sight.shows_owner(&notice.holders) { whole } else { json };
            let event = Event::default().id(notice.at_ms.to_string());
            Some((event.event("changed").data(json), false))
        }
    }
}

fn changed(entry: &Entry, sight: &Sight) -> Event {
    let view = ContentView::new(entry, sight.shows_owner(&entry.content));
    let event = Event::default().id(entry.content.updated_at_ms.to_string());
    event.event("changed").data(view.to_json())
}

fn gone(id: &str, at_ms: i64) -> Event {
    let event = Event::default().id(at_ms.to_string());
    event.event("deleted").data(serde_json::json!({ "id": id }).to_string())
}
