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
use streamgate_plugin_api::time::now_ms;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::changes::{Notice, What};
use crate::store::StoreError;

/// More missed changes than this are not told one by one: the client lists anew.
const REPLAYED: usize = 500;
/// Deletions are remembered for a day.
const REPLAY_WINDOW_MS: i64 = 86_400_000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Opens streams of live changes, up to a number at once.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    clients: Arc<Semaphore>,
    heartbeat: Duration,
    shutdown: CancellationToken,
}

/// There is no room for one more client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Live {
    pub(crate) fn new(max_clients: usize, heartbeat: Duration, shutdown: CancellationToken) -> Self {
        Self { clients: Arc::new(Semaphore::new(max_clients)), heartbeat, shutdown }
    }

    /// A place for one client.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Full> {
        self.clients.clone().try_acquire_owned().map_err(|_| Full)
    }

    /// The changes of one content, beginning with how it is now.
    pub(crate) async fn one(
        &self,
        catalogue: &Catalogue,
        id: &str,
        place: OwnedSemaphorePermit,
    ) -> Result<Response, StoreError> {
        let notices = catalogue.feed.listen();
        let entry = catalogue.entry(id).await?;
        let first = VecDeque::from([event_of(&Notice::changed(&entry))]);
        Ok(self.stream(notices, first, Some(id.to_owned()), place))
    }

    /// The changes of all contents, beginning with those since `Last-Event-ID`.
    pub(crate) async fn all(
        &self,
        catalogue: &Catalogue,
        headers: &HeaderMap,
        place: OwnedSemaphorePermit,
    ) -> Result<Response, StoreError> {
        let notices = catalogue.feed.listen();
        let now = now_ms();
        let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let missed = match last {
            None => VecDeque::new(),
            Some(since) => missed(catalogue, since, now).await?,
        };
        // Whoever comes back before the first change tells from when on to look.
        let mut first = VecDeque::from([Event::default().id(now.to_string()).comment("open")]);
        first.extend(missed);
        Ok(self.stream(notices, first, None, place))
    }

    fn stream(
        &self,
        notices: broadcast::Receiver<Arc<Notice>>,
        first: VecDeque<Event>,
        only: Option<String>,
        place: OwnedSemaphorePermit,
    ) -> Response {
        let client = Client { notices, first, only, over: false, _place: place };
        let events = stream::unfold(client, next).take_until(self.shutdown.clone().cancelled_owned());
        let keep_alive = KeepAlive::new().interval(self.heartbeat).text("still here");
        let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

async fn missed(catalogue: &Catalogue, since: i64, now: i64) -> Result<VecDeque<Event>, StoreError> {
    let reset = || VecDeque::from([Event::default().event("reset").id(now.to_string()).data("{}")]);
    if since < now - REPLAY_WINDOW_MS {
        return Ok(reset());
    }
    let changed = catalogue.store.changed_since(since, REPLAYED + 1).await?;
    let deleted = catalogue.store.deleted_since(since, REPLAYED + 1).await?;
    if changed.len() + deleted.len() > REPLAYED {
        return Ok(reset());
    }
    let mut notices: Vec<Notice> = changed.iter().map(Notice::changed).collect();
    notices.extend(deleted.into_iter().map(|(id, at_ms)| Notice::deleted(id, at_ms)));
    notices.sort_by_key(|notice| notice.at_ms);
    Ok(notices.iter().map(event_of).collect())
}

struct Client {
    notices: broadcast::Receiver<Arc<Notice>>,
    first: VecDeque<Event>,
    only: Option<String>,
    over: bool,
    _place: OwnedSemaphorePermit,
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
        if client.only.as_ref().is_some_and(|only| *only != notice.content) {
            continue;
        }
        // Nothing follows the deletion of the only content.
        client.over = client.only.is_some() && notice.what == What::Deleted;
        return Some((Ok(event_of(&notice)), client));
    }
    None
}

fn event_of(notice: &Notice) -> Event {
    let event = Event::default().id(notice.at_ms.to_string());
    match &notice.what {
        What::Changed(json) => event.event("changed").data(json),
        What::Deleted => event.event("deleted").data(serde_json::json!({ "id": notice.content }).to_string()),
    }
}
