//! From the table to one endpoint: takes due deliveries, sends some of them concurrently, and records the
//! results.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::db::DbError;
use streamgate_plugin_api::time::{millis, now_ms};
use streamgate_plugin_api::trace::{self, TraceContext};
use tokio::task::{Id, JoinSet};

use crate::deliver::{Attempt, Verdict, attempt};
use crate::endpoint::Endpoint;
use crate::engine::{Engine, pause};
use crate::store::{After, Delivery};

/// How much longer than an attempt a delivery stays taken: time to record the result.
const MARGIN: Duration = Duration::from_secs(5);

/// The maximum time between two reads of the table.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// After a failure of the database.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// How often recording a result is attempted; after that the delivery is repeated.
const RECORD_TRIES: u32 = 5;

/// Delivers until the engine stops; then finishes active deliveries, or releases them.
pub(crate) async fn run(engine: Arc<Engine>, endpoint: Arc<Endpoint>) {
    let stop = engine.stopping();
    let parallel = engine.settings.max_parallel as usize;
    let mut sending = JoinSet::new();
    let mut taken = HashMap::new();
    while !stop.is_cancelled() {
        let sleep = match fill(&engine, &endpoint, parallel, &mut sending, &mut taken).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::warn!(endpoint = endpoint.name, %error, "deliveries wait for the database");
                DATABASE_PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            Some(done) = sending.join_next_with_id() => forget(&mut taken, done),
            () = endpoint.wake.notified(), if sending.len() < parallel => {}
            () = tokio::time::sleep(sleep), if sending.len() < parallel => {}
        }
    }
    let finish = async {
        while let Some(done) = sending.join_next_with_id().await {
            forget(&mut taken, done);
        }
    };
    if tokio::time::timeout(engine.settings.stop_timeout.get(), finish).await.is_err() {
        sending.shutdown().await;
        let left: Vec<_> = taken.into_values().collect();
        tracing::info!(endpoint = endpoint.name, deliveries = left.len(), "broken off, to be repeated");
        if let Err(error) = engine.store.give_back(&left, now_ms()).await {
            tracing::warn!(endpoint = endpoint.name, %error, "what was broken off is repeated a little later");
        }
    }
}

/// Active deliveries: the id of each, and until when it is taken.
type TakenUntil = HashMap<Id, (String, i64)>;

fn forget(taken: &mut TakenUntil, done: Result<(Id, ()), tokio::task::JoinError>) {
    let id = match &done {
        Ok((id, ())) => *id,
        // It panicked, which the SDK has counted. Its delivery becomes due again.
        Err(error) => error.id(),
    };
    taken.remove(&id);
}

/// Sends as many due deliveries as the limit of concurrency allows. Returns how long to wait, unless
/// something happens.
async fn fill(
    engine: &Arc<Engine>,
    endpoint: &Arc<Endpoint>,
    parallel: usize,
    sending: &mut JoinSet<()>,
    taken: &mut TakenUntil,
) -> Result<Duration, DbError> {
    if let Some(paused) = endpoint.paused_until() {
        return Ok(until(paused));
    }
    let free = parallel.saturating_sub(sending.len());
    if free == 0 || endpoint.is_gone() {
        return Ok(LONGEST_SLEEP);
    }
    let taken_until = now_ms() + millis(engine.settings.timeout.get() + MARGIN);
    let due = engine.store.take(&endpoint.name, free, now_ms(), taken_until).await?;
    let all = due.len() < free;
    for delivery in due {
        let proof = (delivery.id.clone(), delivery.due_at);
        let parent = delivery.event.traceparent.as_deref().and_then(|text| text.parse::<TraceContext>().ok());
        let work = trace::in_context(parent, deliver(engine.clone(), endpoint.clone(), delivery));
        taken.insert(sending.spawn(work).id(), proof);
    }
    if !all {
        return Ok(LONGEST_SLEEP);
    }
    let next = engine.store.next_due(&endpoint.name).await?;
    // A delivery that became due between both reads is taken at once.
    Ok(next.map_or(LONGEST_SLEEP, until))
}

/// The time until then, at most [`LONGEST_SLEEP`].
fn until(at: i64) -> Duration {
    Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0)).min(LONGEST_SLEEP)
}

/// One attempt, and its effect on the delivery.
async fn deliver(engine: Arc<Engine>, endpoint: Arc<Endpoint>, delivery: Delivery) {
    let settings = &engine.settings;
    let (timeout, most) = (settings.timeout.get(), settings.max_retry_after.get());
    let made = attempt(&engine.client, &endpoint, &delivery, timeout, most).await;
    let after = after(&engine, &delivery, &made);
    report(&endpoint, &delivery, &made, after);
    if let Verdict::Failed { retry_after: Some(pause) } = made.verdict {
        endpoint.pause(pause);
    }
    for tried in 1..=RECORD_TRIES {
        let Err(error) = record(&engine, &delivery, &made, after).await else { return };
        tracing::warn!(delivery = delivery.id, %error, tried, "the outcome of an attempt is not written down");
        pause(DATABASE_PAUSE / 4, &engine.stopping()).await;
    }
}

/// `None` when it was delivered.
fn after(engine: &Engine, delivery: &Delivery, made: &Attempt) -> Option<After> {
    let tries = delivery.tries + 1;
    match made.verdict {
        Verdict::Delivered => None,
        Verdict::Failed { retry_after } if tries < engine.settings.max_attempts => {
            // Full jitter: deliveries that failed together are not retried together.
            let pause = engine.backoff().after(tries).mul_f64(fastrand::f64());
            let pause = pause.max(retry_after.unwrap_or_default());
            Some(After::RetryAt(now_ms().saturating_add(millis(pause))))
        }
        Verdict::Gone | Verdict::Failed { .. } => Some(After::Dead),
    }
}

fn report(endpoint: &Endpoint, delivery: &Delivery, made: &Attempt, after: Option<After>) {
    let (name, id, error) = (&endpoint.name, &delivery.id, &made.error);
    let milliseconds = millis(made.duration);
    match (made.verdict, after) {
        (Verdict::Delivered, _) => {
            tracing::debug!(endpoint = name, delivery = id, milliseconds, "delivered");
            endpoint.succeeded();
        }
        (Verdict::Gone, _) => {
            tracing::warn!(endpoint = name, delivery = id, "the endpoint answered 410 Gone and is disabled");
            endpoint.leave();
        }
        (Verdict::Failed { .. }, Some(After::Dead)) => {
            tracing::warn!(endpoint = name, delivery = id, %error, "a delivery is a dead letter");
            endpoint.failed(error);
        }
        (Verdict::Failed { .. }, _) => {
            tracing::debug!(endpoint = name, delivery = id, %error, milliseconds, "a delivery failed");
            endpoint.failed(error);
        }
    }
}

async fn record(
    engine: &Engine,
    delivery: &Delivery,
    made: &Attempt,
    after: Option<After>,
) -> Result<(), DbError> {
    match after {
        None => engine.store.delivered(delivery, made, now_ms()).await,
        Some(after) => {
            engine.store.failed(delivery, made, after, now_ms()).await?;
            if made.verdict == Verdict::Gone {
                engine.store.gone(&delivery.endpoint, now_ms()).await?;
            }
            Ok(())
        }
    }
}
