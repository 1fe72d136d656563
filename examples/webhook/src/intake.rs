//! From the bus into the table. The bus never waits for it: events that the database does not accept in time
//! wait here, up to a limit; beyond that they are lost and counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::time::now_ms;
use streamgate_plugin_api::{Event, Health, Host, StartError, Subscription};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoint::Endpoint;
use crate::engine::{Engine, pause};

/// The number and bytes of events that may wait for the database.
const MAX_EVENTS: usize = 8192;
const MAX_BYTES: usize = 32 << 20;

/// The number and bytes of deliveries that are written in one batch.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How long it keeps trying to write pending events while it stops.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// An event and its recipients.
struct Taken {
    event: Event,
    endpoints: Arc<[Arc<Endpoint>]>,
    _room: OwnedSemaphorePermit,
}

/// The queue of events that wait for the database.
#[derive(Clone)]
struct Waiting {
    sender: mpsc::Sender<Taken>,
    room: Arc<Semaphore>,
    lost: Arc<AtomicU64>,
}

/// Subscribes to the subjects of all endpoints, each once, and begins to write.
///
/// # Errors
/// When a subscription is refused.
pub(crate) fn start(engine: &Arc<Engine>, host: &Host, tasks: &TaskTracker) -> Result<(), StartError> {
    let (sender, events) = mpsc::channel(MAX_EVENTS);
    let lost = Arc::new(AtomicU64::new(0));
    let waiting = Waiting { sender, room: Arc::new(Semaphore::new(MAX_BYTES)), lost: lost.clone() };
    let mut wanted: BTreeMap<&str, Vec<Arc<Endpoint>>> = BTreeMap::new();
    for endpoint in engine.endpoints.values().filter(|endpoint| !endpoint.disabled) {
        for subject in &endpoint.subjects {
            wanted.entry(subject).or_default().push(endpoint.clone());
        }
    }
    let subscribed: Result<Vec<_>, _> = wanted
        .into_iter()
        .map(|(subject, endpoints)| Ok::<_, StartError>((host.subscribe(subject)?, Arc::from(endpoints))))
        .collect();
    for (subscription, endpoints) in subscribed? {
        let task = take(subscription, endpoints, waiting.clone(), engine.stopping());
        host.spawn(tasks.track_future(task));
    }
    let health = host.health("intake");
    health.healthy();
    host.spawn(tasks.track_future(write(engine.clone(), events, lost, health)));
    Ok(())
}

/// Receives events of one subject as fast as they arrive, including those that arrived before the end.
async fn take(
    mut subscription: Subscription,
    endpoints: Arc<[Arc<Endpoint>]>,
    waiting: Waiting,
    stop: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = subscription.next() => event,
        };
        let Some(event) = event else { return };
        waiting.push(event, &endpoints);
    }
    while let Some(Some(event)) = subscription.next().now_or_never() {
        waiting.push(event, &endpoints);
    }
}

impl Waiting {
    fn push(&self, event: Event, endpoints: &Arc<[Arc<Endpoint>]>) {
        let bytes = u32::try_from(event.data.len()).unwrap_or(u32::MAX);
        let taken = self.room.clone().try_acquire_many_owned(bytes).ok().and_then(|room| {
            let taken = Taken { event, endpoints: endpoints.clone(), _room: room };
            self.sender.try_send(taken).ok()
        });
        if taken.is_none() {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Writes received events until the source ends.
async fn write(engine: Arc<Engine>, mut events: mpsc::Receiver<Taken>, lost: Arc<AtomicU64>, health: Health) {
    let mut batch = Vec::new();
    while events.recv_many(&mut batch, BATCH).await > 0 {
        let wanted: Vec<(&Endpoint, &Event)> = batch
            .iter()
            .flat_map(|taken| taken.endpoints.iter().map(move |endpoint| (&**endpoint, &taken.event)))
            .filter(|(endpoint, _)| endpoint.is_open())
            .collect();
        for part in parts(&wanted) {
            put(&engine, part, &health).await;
        }
        batch.clear();
        match lost.swap(0, Relaxed) {
            0 => health.healthy(),
            lost => {
                tracing::error!(lost, "the database was too slow for the events, and some are lost");
                health.degraded(format!("{lost} events are lost: the database did not take them in time"));
            }
        }
    }
}

/// Splits rows into batches that the database accepts.
fn parts<'b, A>(mut wanted: &'b [(A, &Event)]) -> impl Iterator<Item = &'b [(A, &'b Event)]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = wanted.iter().take(BATCH).take_while(|(_, event)| {
            bytes += event.data.len();
            bytes <= BATCH_BYTES
        });
        let count = fits.count().max(1).min(wanted.len());
        let (part, rest) = wanted.split_at(count);
        wanted = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// Writes one batch, repeatedly until the database has it.
async fn put(engine: &Engine, part: &[(&Endpoint, &Event)], health: &Health) {
    let rows: Vec<_> = part.iter().map(|(endpoint, event)| (endpoint.name.as_str(), *event)).collect();
    let stop = engine.stopping();
    let (mut wait, mut stopping_since) = (FIRST_PAUSE, None);
    loop {
        let error = match engine.store.put(&rows, engine.settings.max_waiting, now_ms()).await {
            Ok(dropped) => {
                for (name, count) in dropped {
                    tracing::warn!(
                        endpoint = name,
                        count,
                        "as much waits as may; the oldest are dead letters"
                    );
                    if let Some(endpoint) = engine.endpoints.get(&name) {
                        endpoint.set_full(true);
                    }
                }
                part.iter().for_each(|(endpoint, _)| endpoint.wake.notify_one());
                return;
            }
            Err(error) => error,
        };
        let since =
            stop.is_cancelled().then(|| *stopping_since.get_or_insert_with(tokio::time::Instant::now));
        // After `Unknown` they may be there already: two deliveries are better than none.
        let hopeless = !matches!(
            error,
            DbError::Unavailable { .. }
                | DbError::Full { .. }
                | DbError::Unknown { .. }
                | DbError::Other { .. }
        );
        if hopeless || since.is_some_and(|since| since.elapsed() > LAST_WORDS) {
            tracing::error!(%error, events = rows.len(), "events are lost: the database does not take them");
            return health.degraded(format!("{} events are lost: {error}", rows.len()));
        }
        health.degraded(format!("events wait for the database: {error}"));
        match since {
            None => pause(wait, &stop).await,
            Some(_) => tokio::time::sleep(FIRST_PAUSE).await,
        }
        wait = (wait * 2).min(MAX_PAUSE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_hold_everything_in_order_and_none_is_too_large(
            sizes in prop::collection::vec((0_usize..4).prop_map(|mib| mib << 20), 0..600),
        ) {
            let events: Vec<_> = sizes.iter().map(|size| event(*size)).collect();
            let wanted: Vec<_> = events.iter().enumerate().collect();
            let batches: Vec<_> = parts(&wanted).collect();
            prop_assert_eq!(batches.concat(), wanted.clone());
            for batch in batches {
                let bytes: usize = batch.iter().map(|(_, event)| event.data.len()).sum();
                prop_assert!((1..=BATCH).contains(&batch.len()) && bytes <= BATCH_BYTES);
            }
        }
    }

    /// The data is shared, so that even large data is cheap to clone.
    fn event(bytes: usize) -> Event {
        static ZEROS: [u8; 4 << 20] = [0; 4 << 20];
        Event::new("a", "t", "application/octet-stream", &ZEROS[..bytes])
    }
}
