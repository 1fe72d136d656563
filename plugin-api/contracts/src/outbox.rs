//! Reliable events: written in the transaction of the change that they report, into a table of the plugin's
//! own namespace, and published from there at least once, always with the same `id`. Events whose subjects
//! differ only in the last token (`content.42`) come in the order of their commits.
//!
//! A row stays for [`LINGER`] after it was published: the bus is in memory, and events that a subscriber has
//! not processed are lost with the process. After a restart those rows are published once more, when all
//! plugins have started.
//!
//! ```no_run
//! use streamgate_contracts::db::{Db, params};
//! use streamgate_contracts::outbox::{Bus, Outbox};
//! use streamgate_plugin_api::Event;
//!
//! # async fn example(host: streamgate_plugin_api::Host, db: Db) -> Result<(), Box<dyn std::error::Error>> {
//! let outbox = Outbox::new(db.clone(), Bus::of(&host));
//! host.spawn(async move { outbox.run().await });
//! db.batch()
//!     .push("DELETE FROM note WHERE id = $1", params!["a"])
//!     .publish(Event::json("note.a.deleted", "example.note.deleted.v1", &"a"))
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::{BusError, Event, Host, failpoint};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::db::{Batch, Db, DbError, Param, Row, params, places};

/// The migration that creates the tables of waiting events. It never changes.
pub const TABLE: &str = include_str!("outbox.sql");

/// How long a published event stays, for subscribers that are lost with the process.
pub const LINGER: Duration = Duration::from_secs(5);

/// Maximum waiting events of one namespace; beyond that the oldest are dropped.
const MAX_WAITING: i64 = 100_000;
/// Events that are read, or removed, at once.
const PAGE: usize = 200;
/// How long the bus may take for one.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a request waits for that.
const SOON: Duration = Duration::from_secs(5);
/// Events that the bus refuses before a round ends.
const MAX_FAILURES: usize = 4;
/// Rounds in which the bus refuses an event before it is dropped: more than an hour.
const MAX_TRIES: u32 = 100;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(60) };
/// How often the table is looked at without a word: what another run wrote is told by this one.
const IDLE: Duration = Duration::from_secs(5);
/// How long to wait for the start of the other plugins.
const START: Duration = Duration::from_secs(300);

type Publish = dyn Fn(Event) -> Pin<Box<dyn Future<Output = Result<(), BusError>> + Send>> + Send + Sync;

/// The destination of events. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    publish: Arc<Publish>,
    /// `None` in tests.
    host: Option<Host>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Bus {
    /// The bus of the host.
    pub fn of(host: &Host) -> Self {
        let bus = host.clone();
        let publish = move |event| {
            let bus = bus.clone();
            async move { bus.publish(event).await }
        };
        Self { host: Some(host.clone()), ..Self::new(publish) }
    }

    /// Any sink of events. An event is repeated after an error or a timeout.
    pub fn new<F>(publish: impl Fn(Event) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), BusError>> + Send + 'static,
    {
        Self { publish: Arc::new(move |event| Box::pin(publish(event))), host: None }
    }

    /// The same, where `first` sees each event before all others.
    #[must_use]
    pub fn seen_by(self, first: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let Self { publish, host } = self;
        let publish: Arc<Publish> = Arc::new(move |event| {
            first(&event);
            publish(event)
        });
        Self { publish, host }
    }

    /// Waits until the host has started all plugins.
    async fn started(&self) {
        let Some(host) = &self.host else { return };
        let until = Instant::now() + START;
        while host.report()["kernel"]["phase"] == "starting" && Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Batch {
    /// Adds an event: it is published if the batch takes effect, and not if it does not. The
    /// namespace has the tables of [`TABLE`], and an [`Outbox`] runs on it. The data is text.
    pub fn publish(self, event: Result<Event, BusError>) -> Self {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.spoilt(error.to_string()),
        };
        let Ok(data) = std::str::from_utf8(&event.data) else {
            return self.spoilt(format!("the data of an event on {} is not text", event.subject));
        };
        let values = params![
            event.id,
            event.subject,
            event.r#type,
            event.time,
            event.datacontenttype,
            event.traceparent.unwrap_or_default(),
            data
        ];
        self.push_event("UPDATE outbox_place SET last = last + 1", params![]).push_event(
            "INSERT INTO outbox (place, id, subject, kind, at, datacontenttype, traceparent, data) \
                 SELECT last, $1, $2, $3, $4, $5, $6, $7 FROM outbox_place",
            values,
        )
    }

    /// Adds an event for each row of a query, built in the database: for data that only the transaction
    /// itself knows. None if there is no row.
    pub fn publish_each(self, each: Each<'_>) -> Self {
        let Each { r#type, subject, data, key, from, params: mut values } = each;
        let now = Event::new("", r#type, "application/json", "");
        let first = values.len();
        values.extend(params![now.id, now.r#type, now.time, now.traceparent.unwrap_or_default()]);
        let [id, kind, at, trace] = [1, 2, 3, 4].map(|place| format!("${}", first + place));
        let sql = format!(
            "INSERT INTO outbox (place, id, subject, kind, at, datacontenttype, traceparent, data) \
             SELECT (SELECT last FROM outbox_place), {id} || '-' || {key}, {subject}, {kind}, {at}, \
             'application/json', {trace}, {data} FROM {from}"
        );
        self.push_event("UPDATE outbox_place SET last = last + 1", params![]).push_event(&sql, values)
    }
}

/// Events that a statement builds, one for each row. All but the type and the values is SQL.
#[derive(Debug)]
pub struct Each<'a> {
    /// CloudEvents `type`.
    pub r#type: &'a str,
    /// Text: the subject.
    pub subject: &'a str,
    /// Text: the data, JSON.
    pub data: &'a str,
    /// Text that is unique among the rows, without a dot: a part of the `id`.
    pub key: &'a str,
    /// The SQL after `FROM`.
    pub from: &'a str,
    /// The values of `$1` and so on in the others.
    pub params: Vec<Param>,
}

/// SQL for a JSON object with a number that only the transaction knows: `column` under `name`. The object is
/// the parameter `place` of the statement, made by [`open_json`].
pub fn with_number(place: usize, name: &str, column: &str) -> String {
    format!("${place} || '\"{name}\":' || CAST({column} AS TEXT) || '}}'")
}

/// JSON of an object that [`with_number`] completes: with a comma instead of its last brace.
///
/// # Errors
/// If it is not an object with at least one member.
pub fn open_json(object: &serde_json::Value) -> Result<String, BusError> {
    let text = object.to_string();
    match text.strip_suffix('}') {
        Some(open) if object.is_object() && text.len() > 2 => Ok(format!("{open},")),
        _ => Err(BusError::Data("it is not an object with members".into())),
    }
}

/// Why events are still waiting.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotTold {
    /// The namespace cannot be read or written.
    #[error("the waiting events cannot be read: {0}")]
    Db(#[from] DbError),
    /// The bus did not accept one.
    #[error("the bus did not accept the event on {subject}: {reason}")]
    Bus {
        /// Its subject.
        subject: String,
        /// The error of the bus.
        reason: String,
    },
}

/// Events of one namespace to be published. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    db: Db,
    bus: Bus,
    started: AtomicBool,
    /// Held while publishing, to keep the order.
    round: Mutex<Round>,
}

/// In the order of the commits.
type Place = (i64, String);

#[derive(Debug, Default)]
struct Round {
    /// Everything before this place was published, or dropped.
    low: i64,
    /// Published, and when; their rows still exist.
    published: BTreeMap<Place, Instant>,
    /// How often each was refused.
    failed: BTreeMap<Place, u32>,
}

impl Outbox {
    /// For a namespace that has the tables of [`TABLE`]. [`Outbox::run`] must run beside it.
    pub fn new(db: Db, bus: Bus) -> Self {
        let started = AtomicBool::new(bus.host.is_none());
        Self { shared: Arc::new(Shared { db, bus, started, round: Mutex::default() }) }
    }

    /// Publishes events until it is dropped: after each batch that added some, and again after a failure. It
    /// begins when all plugins of the host have started.
    pub async fn run(&self) {
        let Shared { db, bus, started, .. } = &*self.shared;
        bus.started().await;
        started.store(true, Ordering::Release);
        let mut failures = 0;
        loop {
            let sent = self.send().await;
            let swept = self.sweep().await;
            if let Err(error) = sent.and(swept) {
                failures += 1;
                let pause = BACKOFF.after(failures);
                tracing::warn!(namespace = db.namespace(), %error, ?pause, "events wait to be published");
                sleep(pause).await;
                continue;
            }
            failures = 0;
            let lingering = !self.shared.round.lock().await.published.is_empty();
            let idle = if lingering { LINGER / 5 } else { IDLE };
            let _ = timeout(idle, db.events_added().notified()).await;
        }
    }

    /// Publishes the waiting events, the oldest first: for callers that answer only afterwards. What is left
    /// after a few seconds is published by [`Outbox::run`]. Does nothing until the host has started.
    pub async fn soon(&self) {
        if self.shared.started.load(Ordering::Acquire) {
            // `run` meets the same error, and reports it.
            let _ = timeout(SOON, self.send()).await;
        }
    }

    async fn send(&self) -> Result<(), NotTold> {
        let mut round = self.shared.round.lock().await;
        let sent = self.send_page_by_page(&mut round).await;
        if sent.is_err() {
            self.drop_oldest().await?;
        }
        sent
    }

    async fn send_page_by_page(&self, round: &mut Round) -> Result<(), NotTold> {
        let mut after: Place = (round.low, String::new());
        let mut held = BTreeSet::new();
        let mut trouble = None;
        let mut failures = 0;
        while failures < MAX_FAILURES {
            let sql = "SELECT place, id, subject, kind, at, datacontenttype, traceparent, data FROM outbox \
                       WHERE place > $1 OR (place = $1 AND id > $2) ORDER BY place, id LIMIT $3";
            let rows = self.shared.db.query(sql, params![after.0, &after.1, PAGE]).await?;
            let last = rows.len() < PAGE;
            for row in rows {
                let (place, event) = read(&row)?;
                after.clone_from(&place);
                let waits = failures == MAX_FAILURES || held.contains(about(&event.subject));
                if waits || round.published.contains_key(&place) {
                    continue;
                }
                let subject = event.subject.clone();
                failpoint("outbox.read");
                let reason = match timeout(DEADLINE, (self.shared.bus.publish)(event)).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("it took longer than {DEADLINE:?}")),
                };
                let Some(reason) = reason else {
                    failpoint("outbox.published");
                    round.failed.remove(&place);
                    round.published.insert(place, Instant::now());
                    continue;
                };
                failures += 1;
                let tries = round.failed.entry(place.clone()).or_default();
                *tries += 1;
                if *tries >= MAX_TRIES {
                    let namespace = self.shared.db.namespace();
                    tracing::error!(namespace, subject, reason, "an event is dropped unpublished");
                    round.failed.remove(&place);
                    round.published.insert(place, Instant::now());
                } else {
                    held.insert(about(&subject).to_owned());
                    trouble.get_or_insert((place, NotTold::Bus { subject, reason }));
                }
            }
            if last {
                break;
            }
        }
        match trouble {
            // Events published after it are in `published`.
            Some((place, trouble)) => {
                round.low = place.0;
                Err(trouble)
            }
            None => {
                round.low = after.0;
                Ok(())
            }
        }
    }

    /// Removes events that were published long enough ago.
    async fn sweep(&self) -> Result<(), NotTold> {
        let mut round = self.shared.round.lock().await;
        let over: Vec<Place> = round
            .published
            .iter()
            .filter(|(_, at)| at.elapsed() >= LINGER)
            .map(|(place, _)| place.clone())
            .collect();
        for some in over.chunks(PAGE) {
            let sql = format!("DELETE FROM outbox WHERE id IN ({})", places(some.len()));
            let ids = some.iter().flat_map(|(_, id)| params![id]).collect();
            self.shared.db.batch().push(&sql, ids).frees_space().run().await?;
            failpoint("outbox.swept");
            for place in some {
                round.published.remove(place);
            }
        }
        Ok(())
    }

    /// Drops events above the limit.
    async fn drop_oldest(&self) -> Result<(), DbError> {
        let sql = "DELETE FROM outbox WHERE place <= (SELECT last FROM outbox_place) - $1";
        let dropped = self.shared.db.batch().push(sql, params![MAX_WAITING]).frees_space().run().await?;
        let dropped = dropped.first().map_or(0, |outcome| outcome.rows_affected);
        if dropped > 0 {
            let namespace = self.shared.db.namespace();
            tracing::error!(
                namespace,
                dropped,
                "the bus accepted nothing for too long; the oldest events are lost"
            );
        }
        Ok(())
    }
}

/// The ordering key of an event.
fn about(subject: &str) -> &str {
    subject.rsplit_once('.').map_or(subject, |(about, _)| about)
}

fn read(row: &Row) -> Result<(Place, Event), DbError> {
    let id: String = row.get("id")?;
    let traceparent: String = row.get("traceparent")?;
    let data: String = row.get("data")?;
    let event = Event {
        id: id.clone(),
        source: String::new(),
        r#type: row.get("kind")?,
        subject: row.get("subject")?,
        time: row.get("at")?,
        datacontenttype: row.get("datacontenttype")?,
        data: data.into(),
        traceparent: Some(traceparent).filter(|text| !text.is_empty()),
    };
    Ok(((row.get("place")?, id), event))
}
