//! The bus of events: subjects with NATS wildcards, queue groups, bounded subscriptions.
//!
//! A full subscription makes only the publisher wait; how often and how long is counted, and the slow
//! subscriber is shown in health. The bus never drops an event for which it returned `Ok`, never stores one,
//! and never looks into its data.

mod pattern;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{join_all, select_ok};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use streamgate_plugin_api::{Event, abi};
use tokio::sync::mpsc;

pub use self::pattern::Pattern;
use self::pattern::check_subject;

/// The maximum capacity of a subscription, and the maximum number of subscriptions.
const MAX_CAPACITY: usize = 65_536;
const MAX_SUBSCRIPTIONS: usize = 4_096;

/// Why an event was not published, or a subscription failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// It cannot be published on.
    #[error(
        "{0:?} is not a subject to publish on: tokens of letters, digits and the like, joined by single dots"
    )]
    Subject(String),
    /// It cannot be subscribed to.
    #[error(
        "{0:?} is not a subject to subscribe to: tokens joined by single dots, `*` for one of them, `>` for one or more at the end"
    )]
    Pattern(String),
    /// The size of the data, and the limit.
    #[error("the event's data has {0} bytes, and {1} are allowed")]
    TooLarge(usize, usize),
    /// The slow subscriber, and the time limit.
    #[error("{0} did not take the event within {1:?}; the others have it")]
    Deadline(String, Duration),
    /// The limit of subscriptions is reached.
    #[error("there are {MAX_SUBSCRIPTIONS} subscriptions already")]
    TooMany,
}

/// An event as it crossed the boundary, passed on unparsed.
pub struct Passing(abi::Event);

impl Passing {
    /// A copy that shares the data.
    fn again(&mut self) -> Self {
        let event = &mut self.0;
        let data = Bytes::from(std::mem::replace(&mut event.data, abi::FfiBytes::empty()));
        event.data = data.clone().into();
        Self(abi::Event {
            id: event.id.clone(),
            source: event.source.clone(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            time: event.time.clone(),
            datacontenttype: event.datacontenttype.clone(),
            traceparent: event.traceparent.clone(),
            data: data.into(),
            extra: event.extra.clone(),
        })
    }
}

impl From<abi::Event> for Passing {
    fn from(event: abi::Event) -> Self {
        Self(event)
    }
}

impl From<Event> for Passing {
    fn from(event: Event) -> Self {
        Self(event.into())
    }
}

struct Subscriber {
    plugin: String,
    /// The plugin's run that subscribed, and whether it has taken over from the previous one.
    run: u64,
    active: AtomicBool,
    pattern: Pattern,
    queue: String,
    sender: mpsc::Sender<Passing>,
    delivered: AtomicU64,
    missed: AtomicU64,
    /// When it got its last event, as the count of all deliveries.
    last: AtomicU64,
    /// Since when publishers wait for it, and how many.
    waited_for: Mutex<(Option<Instant>, usize)>,
}

/// Counts a publisher as waiting for a subscriber until it is dropped.
struct Waiting<'a>(&'a Subscriber);

impl<'a> Waiting<'a> {
    fn begin(subscriber: &'a Subscriber) -> Self {
        let mut waited_for = subscriber.waited_for.lock();
        waited_for.0.get_or_insert_with(Instant::now);
        waited_for.1 += 1;
        drop(waited_for);
        Self(subscriber)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waited_for = self.0.waited_for.lock();
        waited_for.1 -= 1;
        if waited_for.1 == 0 {
            waited_for.0 = None;
        }
    }
}

/// The counters of the bus.
#[derive(Default)]
struct Metrics {
    published: AtomicU64,
    delivered: AtomicU64,
    waits: AtomicU64,
    wait_micros: AtomicU64,
    deadlines: AtomicU64,
}

/// The bus.
pub struct Bus {
    subscribers: RwLock<Vec<Arc<Subscriber>>>,
    metrics: Metrics,
    publish_deadline: Duration,
    max_event_size: usize,
}

/// The first of them with room for an event.
fn room(members: &[Arc<Subscriber>]) -> Option<(&Subscriber, mpsc::Permit<'_, Passing>)> {
    members.iter().find_map(|member| Some((&**member, member.sender.try_reserve().ok()?)))
}

/// The receiving end, as passed to a plugin.
pub struct Receiver {
    events: mpsc::Receiver<Passing>,
    /// Taken from `events` in one go, the next one last, and at most an eighth of the capacity: so a waiting
    /// publisher is not woken for each single event.
    taken: Vec<Passing>,
    /// Weak, so that only the bus decides how long events may still come.
    subscriber: Weak<Subscriber>,
    bus: Arc<Bus>,
}

impl abi::EventSource for Receiver {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<abi::Event>> {
        if self.taken.is_empty() {
            let most = (self.events.max_capacity() / 8).max(1);
            ready!(self.events.poll_recv_many(cx, &mut self.taken, most));
            self.taken.reverse();
        }
        Poll::Ready(self.taken.pop().map(|event| event.0))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.bus.remove(|subscriber| Arc::as_ptr(subscriber) == self.subscriber.as_ptr());
    }
}

impl Bus {
    /// How long `publish` waits at most, and the maximum size of an event's data.
    pub fn new(publish_deadline: Duration, max_event_size: usize) -> Arc<Self> {
        Arc::new(Self {
            subscribers: RwLock::default(),
            metrics: Metrics::default(),
            publish_deadline,
            max_event_size,
        })
    }

    /// Subscribes a run of a plugin. Until it is `active`, it gets no events.
    ///
    /// # Errors
    /// If the subject is malformed, or there are too many subscriptions.
    pub fn subscribe(
        self: &Arc<Self>,
        (plugin, run, active): (&str, u64, bool),
        subject: &str,
        queue: &str,
        capacity: usize,
    ) -> Result<Receiver, BusError> {
        let pattern = Pattern::parse(subject)?;
        let capacity = capacity.clamp(1, MAX_CAPACITY);
        let (sender, events) = mpsc::channel(capacity);
        let subscriber = Arc::new(Subscriber {
            plugin: plugin.to_owned(),
            run,
            active: AtomicBool::new(active),
            pattern,
            queue: queue.to_owned(),
            sender,
            delivered: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            last: AtomicU64::new(0),
            waited_for: Mutex::new((None, 0)),
        });
        let mut subscribers = self.subscribers.write();
        if subscribers.len() >= MAX_SUBSCRIPTIONS {
            return Err(BusError::TooMany);
        }
        subscribers.push(subscriber.clone());
        let subscriber = Arc::downgrade(&subscriber);
        Ok(Receiver { events, taken: Vec::new(), subscriber, bus: self.clone() })
    }

    /// From now on a run gets the events instead of `old`.
    pub fn activate(&self, run: u64, old: Option<u64>) {
        // Exclusive, so that no event goes to both or to neither.
        for subscriber in self.subscribers.write().iter() {
            if subscriber.run == run || Some(subscriber.run) == old {
                subscriber.active.store(subscriber.run == run, Relaxed);
            }
        }
    }

    /// Ends all subscriptions of a run; queued events can still be read.
    pub fn remove_run(&self, run: u64) {
        self.remove(|subscriber| subscriber.run == run);
    }

    fn remove(&self, which: impl Fn(&Arc<Subscriber>) -> bool) {
        self.subscribers.write().retain(|subscriber| !which(subscriber));
    }

    /// Delivers an event to every matching subscription, and to one of each queue group. Waits for full ones
    /// concurrently. Needs a runtime with timers.
    ///
    /// # Errors
    /// If the subject or the size is invalid, or a subscription stayed full for too long.
    pub async fn publish(&self, mut event: Passing) -> Result<(), BusError> {
        check_subject(&event.0.subject)?;
        let size = event.0.data.as_slice().len();
        if size > self.max_event_size {
            return Err(BusError::TooLarge(size, self.max_event_size));
        }
        self.metrics.published.fetch_add(1, Relaxed);
        let mut alone = Vec::new();
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for subscriber in self.subscribers.read().iter() {
            if subscriber.active.load(Relaxed) && subscriber.pattern.matches(&event.0.subject) {
                if subscriber.queue.is_empty() {
                    alone.push(subscriber.clone());
                } else {
                    groups.entry(subscriber.queue.clone()).or_default().push(subscriber.clone());
                }
            }
        }
        for members in groups.values_mut() {
            members.sort_by_key(|member| member.last.load(Relaxed));
        }
        let mut full = Vec::new();
        let mut last = None;
        for members in alone.chunks(1).chain(groups.values().map(Vec::as_slice)) {
            match room(members) {
                // The last one gets the event itself.
                Some(found) => {
                    if let Some((member, permit)) = last.replace(found) {
                        self.hand(member, permit, event.again());
                    }
                }
                None if members.iter().all(|member| member.sender.is_closed()) => {}
                None => full.push(members),
            }
        }
        if full.is_empty() {
            if let Some((member, permit)) = last {
                self.hand(member, permit, event);
            }
            return Ok(());
        }
        if let Some((member, permit)) = last {
            self.hand(member, permit, event.again());
        }
        // Boxed, because it is rarely needed and large.
        let waits = full.into_iter().map(|members| self.wait(members, event.again()));
        Box::pin(join_all(waits)).await.into_iter().collect()
    }

    fn hand(&self, subscriber: &Subscriber, permit: mpsc::Permit<'_, Passing>, event: Passing) {
        permit.send(event);
        let count = self.metrics.delivered.fetch_add(1, Relaxed);
        subscriber.last.store(count + 1, Relaxed);
        subscriber.delivered.fetch_add(1, Relaxed);
    }

    async fn wait(&self, members: &[Arc<Subscriber>], event: Passing) -> Result<(), BusError> {
        let began = Instant::now();
        self.metrics.waits.fetch_add(1, Relaxed);
        let open = || members.iter().filter(|member| !member.sender.is_closed());
        let _waiting: Vec<_> = open().map(|member| Waiting::begin(member)).collect();
        let rooms = members.iter().map(|member| {
            Box::pin(
                async move { Ok::<_, mpsc::error::SendError<()>>((member, member.sender.reserve().await?)) },
            )
        });
        let result = match tokio::time::timeout(self.publish_deadline, select_ok(rooms)).await {
            Ok(Ok(((member, permit), _))) => {
                self.hand(member, permit, event);
                Ok(())
            }
            // All of them have ended.
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                self.metrics.deadlines.fetch_add(1, Relaxed);
                let left: Vec<_> = open().collect();
                for member in &left {
                    member.missed.fetch_add(1, Relaxed);
                }
                let names: Vec<_> =
                    left.iter().map(|m| format!("{} ({})", m.plugin, m.pattern.as_str())).collect();
                Err(BusError::Deadline(names.join(", "), self.publish_deadline))
            }
        };
        self.metrics.wait_micros.fetch_add(began.elapsed().as_micros() as u64, Relaxed);
        result
    }

    /// Subscriptions of a plugin that publishers have been waiting for at least that long: since when, and a
    /// description.
    pub fn slow(&self, plugin: &str, at_least: Duration) -> Option<(Duration, String)> {
        let subscribers = self.subscribers.read();
        let waits = subscribers.iter().filter(|subscriber| subscriber.plugin == plugin).filter_map(|s| {
            let (since, publishers) = *s.waited_for.lock();
            let waited = since?.elapsed();
            (waited >= at_least).then(|| {
                let (subject, capacity) = (s.pattern.as_str(), s.sender.max_capacity());
                let text =
                    format!("the subscription to {subject} is full ({capacity} events); publishers waiting: {publishers}");
                (waited, text)
            })
        });
        waits.max_by_key(|(waited, _)| *waited)
    }

    /// The counters for the report.
    pub fn report(&self) -> Value {
        let metrics = &self.metrics;
        let subscribers = self.subscribers.read();
        let subscriptions = subscribers.iter().map(|s| {
            json!({
                "plugin": s.plugin,
                "subject": s.pattern.as_str(),
                "queue": (!s.queue.is_empty()).then_some(&s.queue),
                "capacity": s.sender.max_capacity(),
                "queued": s.sender.max_capacity() - s.sender.capacity(),
                "delivered": s.delivered.load(Relaxed),
                "missed": s.missed.load(Relaxed),
                "publishers_waiting": s.waited_for.lock().1,
            })
        });
        json!({
            "published": metrics.published.load(Relaxed),
            "delivered": metrics.delivered.load(Relaxed),
            "waits": metrics.waits.load(Relaxed),
            "wait_seconds": metrics.wait_micros.load(Relaxed) as f64 / 1e6,
            "deadlines": metrics.deadlines.load(Relaxed),
            "subscriptions": subscriptions.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use streamgate_plugin_api::abi::EventSource;

    fn event(subject: &str) -> Passing {
        Event::new(subject, "t", "", "").into()
    }

    fn bus() -> Arc<Bus> {
        Bus::new(Duration::from_secs(3600), 16)
    }

    async fn next(receiver: &mut Receiver) -> Option<String> {
        poll_fn(|cx| receiver.poll_next(cx)).await.map(|event| event.subject.into())
    }

    fn queued(bus: &Bus) -> Vec<u64> {
        let report = bus.report();
        report["subscriptions"].as_array().unwrap().iter().map(|s| s["queued"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn an_event_reaches_every_match_and_one_of_each_queue_group() {
        let bus = bus();
        let mut all = bus.subscribe(("p", 1, true), "content.>", "", 8).unwrap();
        let _other = bus.subscribe(("p", 1, true), "job.>", "", 8).unwrap();
        let _one = bus.subscribe(("p", 1, true), "content.*.changed", "workers", 8).unwrap();
        let _two = bus.subscribe(("p", 1, true), "content.*.changed", "workers", 8).unwrap();
        for _ in 0..4 {
            bus.publish(event("content.1.changed")).await.unwrap();
        }
        assert_eq!(next(&mut all).await.unwrap(), "content.1.changed");
        assert_eq!(queued(&bus), [3, 0, 2, 2]);
        assert_eq!(bus.report()["delivered"], 8);
    }

    #[tokio::test]
    async fn a_full_member_of_a_group_leaves_the_event_to_another() {
        let bus = bus();
        let _small = bus.subscribe(("p", 1, true), "a", "g", 1).unwrap();
        let _large = bus.subscribe(("p", 1, true), "a", "g", 9).unwrap();
        for _ in 0..10 {
            bus.publish(event("a")).now_or_never().expect("there is room").unwrap();
        }
        assert_eq!(queued(&bus), [1, 9]);
    }

    #[tokio::test]
    async fn a_full_subscription_holds_only_its_publisher() {
        let bus = bus();
        let mut slow = bus.subscribe(("slow", 1, true), "a.>", "", 1).unwrap();
        let mut quick = bus.subscribe(("quick", 2, true), "a.>", "", 8).unwrap();
        bus.publish(event("a.1")).await.unwrap();
        let mut held = Box::pin(bus.publish(event("a.2")));
        assert!((&mut held).now_or_never().is_none());
        assert_eq!(next(&mut quick).await.unwrap(), "a.1");
        assert_eq!(next(&mut quick).await.unwrap(), "a.2");
        bus.publish(event("b")).now_or_never().expect("another subject continues").unwrap();
        let (_, reason) = bus.slow("slow", Duration::ZERO).unwrap();
        assert_eq!(reason, "the subscription to a.> is full (1 events); publishers waiting: 1");
        assert!(bus.slow("quick", Duration::ZERO).is_none());
        assert_eq!(next(&mut slow).await.unwrap(), "a.1");
        held.await.unwrap();
        assert_eq!(next(&mut slow).await.unwrap(), "a.2");
        assert!(bus.slow("slow", Duration::ZERO).is_none());
        assert_eq!(bus.report()["waits"], 1);
    }

    #[tokio::test]
    async fn a_publisher_that_gives_up_leaves_no_waiting_count() {
        let bus = bus();
        let _full = bus.subscribe(("p", 1, true), "a", "", 1).unwrap();
        bus.publish(event("a")).await.unwrap();
        assert!(bus.publish(event("a")).now_or_never().is_none());
        assert!(bus.slow("p", Duration::ZERO).is_none());
    }

    #[tokio::test]
    async fn waiting_ends_at_the_deadline_with_the_name_of_the_slow_one() {
        let bus = Bus::new(Duration::from_millis(1), 16);
        let _full = bus.subscribe(("sleepy", 1, true), "a", "", 1).unwrap();
        bus.publish(event("a")).await.unwrap();
        let error = bus.publish(event("a")).await.unwrap_err();
        assert_eq!(error, BusError::Deadline("sleepy (a)".into(), Duration::from_millis(1)));
        assert_eq!(bus.report()["subscriptions"][0]["missed"], 1);
    }

    #[tokio::test]
    async fn a_dropped_subscription_frees_its_publisher() {
        let bus = bus();
        let full = bus.subscribe(("p", 1, true), "a", "", 1).unwrap();
        bus.publish(event("a")).await.unwrap();
        let mut held = Box::pin(bus.publish(event("a")));
        assert!((&mut held).now_or_never().is_none());
        drop(full);
        held.await.unwrap();
        assert!(queued(&bus).is_empty());
    }

    #[tokio::test]
    async fn a_removed_plugin_sees_the_end_of_its_subscriptions() {
        let bus = bus();
        let mut events = bus.subscribe(("p", 1, true), "a", "", 4).unwrap();
        bus.publish(event("a")).await.unwrap();
        bus.remove_run(1);
        bus.publish(event("a")).await.unwrap();
        assert!(next(&mut events).await.is_some());
        assert_eq!(next(&mut events).now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn data_beyond_the_limit_is_refused() {
        let large = Event::new("a", "t", "", &[0; 17][..]).into();
        assert_eq!(bus().publish(large).await, Err(BusError::TooLarge(17, 16)));
    }

    /// The same by definition: token by token, recursively.
    fn model(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([">"], [_, ..]) | ([], []) => true,
            ([want, pattern @ ..], [token, subject @ ..]) => {
                (*want == "*" || want == token) && model(pattern, subject)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(
            mut pattern in prop::collection::vec(prop_oneof!["a", "b", "\\*"], 1..5),
            tail in any::<bool>(),
            subject in prop::collection::vec("[ab]", 1..6),
        ) {
            if tail {
                pattern.push(">".into());
            }
            let parsed = Pattern::parse(&pattern.join(".")).unwrap();
            let strs = |list: &[String]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
            let (p, s) = (strs(&pattern), strs(&subject));
            let (p, s): (Vec<_>, Vec<_>) =
                (p.iter().map(String::as_str).collect(), s.iter().map(String::as_str).collect());
            prop_assert_eq!(parsed.matches(&subject.join(".")), model(&p, &s));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = Pattern::parse(&text).map(|pattern| pattern.matches(&text));
            let _ = check_subject(&text);
        }
    }
}
