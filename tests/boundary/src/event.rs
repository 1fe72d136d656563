//! Events: one publisher and one subscription, each in its own task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use streamgate_bus::Bus;
use streamgate_plugin_api::abi::EventSource;
use streamgate_plugin_api::{Event, Host, SubscribeOptions};
use tokio::sync::Notify;

use crate::{median, nanoseconds};

/// The subject between driver and target.
pub const SUBJECT: &str = "bench.content.uploaded";

const BATCHES: usize = 9;
const BATCH: u32 = 20_000;
const LAST: &str = "last";

/// Receives events until there are no more, and reports the last of each batch.
pub async fn hear(events: impl Stream<Item = Event>, last: Arc<Notify>) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        if event.r#type == LAST {
            last.notify_one();
        }
    }
}

fn event(kind: &str) -> Event {
    let data = br#"{"id":"0198c0de-7a3b-7e21-9d54-3f1c6b2a9e10","bytes":1073741824}"#;
    Event {
        source: "streamgate/bench-driver".into(),
        ..Event::new(SUBJECT, kind, "application/json", &data[..])
    }
}

/// The cost of an event from creation to receipt, while many are in transit, in nanoseconds.
pub async fn throughput(publish: impl AsyncFn(Event), heard: impl AsyncFn()) -> f64 {
    let mut costs = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 1..BATCH {
            publish(event("some")).await;
        }
        publish(event(LAST)).await;
        heard().await;
        costs.push(nanoseconds(begun.elapsed()) / f64::from(BATCH));
    }
    median(costs)
}

/// The same over the bus as this library's own code.
pub async fn linked(host: &Host) -> f64 {
    let bus = Bus::new(Duration::from_secs(10), 1 << 20);
    let capacity = SubscribeOptions::new(SUBJECT).capacity;
    let mut receiver = bus.subscribe(("bench", 1, true), SUBJECT, "", capacity).expect("a subject");
    let last = Arc::new(Notify::new());
    let events =
        futures_util::stream::poll_fn(move |cx| receiver.poll_next(cx).map(|it| it.map(Event::from)));
    let hearing = host.spawn(hear(events, last.clone()));
    let publish = async |event: Event| bus.publish(event.into()).await.expect("it is heard");
    let heard = async || last.notified().await;
    let cost = throughput(publish, heard).await;
    hearing.abort();
    cost
}
