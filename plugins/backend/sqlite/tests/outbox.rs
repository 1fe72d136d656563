//! Events from the outbox of a namespace: published if their batch took effect, and repeated until they are
//! received.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Fixture, TABLE, count};
use serde_json::{Value, json};
use streamgate_contracts::db::{Db, DbError, params};
use streamgate_contracts::outbox::{self, Bus, Each, Outbox};
use streamgate_plugin_api::{BusError, Event};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a bus received.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    /// Accepts what `deal` allows; it gets the subject, and how many came before.
    fn bus<F>(&self, deal: impl Fn(&str, usize) -> F + Send + Sync + 'static) -> Bus
    where
        F: Future<Output = Result<(), BusError>> + Send + 'static,
    {
        let (heard, calls) = (self.clone(), AtomicUsize::new(0));
        Bus::new(move |event: Event| {
            let taken = deal(&event.subject, calls.fetch_add(1, Ordering::SeqCst));
            let heard = heard.clone();
            async move {
                taken.await?;
                heard.0.lock().unwrap().push(event);
                Ok(())
            }
        })
    }

    fn willing(&self) -> Bus {
        self.bus(|_, _| std::future::ready(Ok(())))
    }

    fn subjects(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|event| event.subject.clone()).collect()
    }

    async fn holds(&self, what: impl Fn(&[Event]) -> bool) {
        until(async || what(&self.0.lock().unwrap())).await;
    }
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "it does not become so");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn db(fixture: &Fixture) -> Db {
    fixture.open("test", &[("0001_item", TABLE), ("0002_outbox", outbox::TABLE)]).await.unwrap()
}

fn run(db: &Db, bus: Bus) -> tokio::task::JoinHandle<()> {
    let outbox = Outbox::new(db.clone(), bus);
    tokio::spawn(async move { outbox.run().await })
}

/// Adds an item and publishes an event about it.
async fn add(db: &Db, id: i64, subject: &str) -> Result<(), DbError> {
    db.batch()
        .push("INSERT INTO item (id) VALUES ($1)", params![id])
        .publish(Event::json(subject, "test.added.v1", &json!({ "id": id })))
        .run()
        .await
        .map(drop)
}

async fn waiting(db: &Db) -> i64 {
    db.query_one("SELECT count(*) AS n FROM outbox", params![]).await.unwrap().get("n").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_batch_follow_the_order_of_the_commits_and_a_failed_one_has_none() {
    let (fixture, heard) = (Fixture::new(), Heard::default());
    let db = db(&fixture).await;
    let running = run(&db, heard.willing());
    for id in 0..50 {
        add(&db, id, &format!("item.{}.added", id % 3)).await.unwrap();
        assert!(add(&db, id, "item.never.added").await.is_err(), "it is there already");
    }
    heard.holds(|events| events.len() == 50).await;
    let ids: Vec<u64> = heard
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|it| it.parse::<Value>().unwrap()["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    until(async || waiting(&db).await == 0).await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_before_a_crash_comes_after_it_with_the_same_id() {
    let (fixture, lost, heard) = (Fixture::new(), Heard::default(), Heard::default());
    let db = db(&fixture).await;
    let given = Arc::new(Mutex::new(Vec::new()));
    let seen = given.clone();
    // The process ends while the bus publishes.
    let dying = run(
        &db,
        lost.bus(|_, _| std::future::pending())
            .seen_by(move |event| seen.lock().unwrap().push(event.clone())),
    );
    add(&db, 1, "item.1.added").await.unwrap();
    until(async || !given.lock().unwrap().is_empty()).await;
    add(&db, 2, "item.2.added").await.unwrap();
    dying.abort();
    let _ = dying.await;
    assert_eq!(lost.subjects(), Vec::<String>::new());

    let running = run(&db, heard.willing());
    heard.holds(|events| events.len() == 2).await;
    assert_eq!(heard.0.lock().unwrap()[0], given.lock().unwrap()[0], "the same to the last letter");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_a_moment_before_a_crash_is_published_again() {
    let (fixture, first, second) = (Fixture::new(), Heard::default(), Heard::default());
    let db = db(&fixture).await;
    let running = run(&db, first.willing());
    add(&db, 1, "item.1.added").await.unwrap();
    first.holds(|events| events.len() == 1).await;
    // A subscriber that has it in a queue dies as well.
    running.abort();
    let running = run(&db, second.willing());
    second.holds(|events| events.len() == 1).await;
    assert_eq!(first.0.lock().unwrap()[0].id, second.0.lock().unwrap()[0].id);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_bus_never_answers_for_comes_in_the_next_round() {
    let (fixture, heard) = (Fixture::new(), Heard::default());
    let db = db(&fixture).await;
    let bus = heard.bus(|_, call| async move {
        if call == 0 {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let running = run(&db, bus);
    add(&db, 1, "item.1.added").await.unwrap();
    heard.holds(|events| events.len() == 1).await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_holds_up_those_about_the_same_and_no_others() {
    let (fixture, heard) = (Fixture::new(), Heard::default());
    let db = db(&fixture).await;
    let refusals = Arc::new(AtomicUsize::new(0));
    let refused = refusals.clone();
    let bus = heard.bus(move |subject, _| {
        let refuse = subject == "item.1.added" && refused.fetch_add(1, Ordering::SeqCst) < 3;
        std::future::ready(if refuse { Err(BusError::Refused("it is full".into())) } else { Ok(()) })
    });
    for (id, subject) in [(1, "item.1.added"), (2, "item.1.changed"), (3, "item.2.added")] {
        add(&db, id, subject).await.unwrap();
    }
    let running = run(&db, bus);
    heard.holds(|events| events.len() == 3).await;
    assert_eq!(heard.subjects(), ["item.2.added", "item.1.added", "item.1.changed"]);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_tells_of_each_row_what_only_the_transaction_knows() {
    let (fixture, heard) = (Fixture::new(), Heard::default());
    let db = db(&fixture).await;
    for id in [1, 2, 3] {
        db.execute("INSERT INTO item (id, name) VALUES ($1, $2)", params![id, format!("n{id}")])
            .await
            .unwrap();
    }
    let each = Each {
        r#type: "test.removed.v1",
        subject: "'item.' || name || '.removed'",
        data: &outbox::with_number(2, "id", "id"),
        key: "name",
        from: "item WHERE id > $1",
        params: params![1, outbox::open_json(&json!({ "why": "it is \"old\"" })).unwrap()],
    };
    let batch = db.batch().publish_each(each).push("DELETE FROM item WHERE id > 1", params![]);
    batch.run().await.unwrap();
    assert_eq!(count(&db).await, 1);
    let running = run(&db, heard.willing());
    heard.holds(|events| events.len() == 2).await;
    let events = heard.0.lock().unwrap().clone();
    assert_eq!(events[1].subject, "item.n3.removed");
    assert_eq!(events[1].parse::<Value>().unwrap(), json!({ "id": 3, "why": "it is \"old\"" }));
    assert_eq!(events.iter().map(|event| &event.id).collect::<BTreeSet<_>>().len(), 2);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_tells_counts_neither_among_its_outcomes_nor_in_its_errors() {
    let fixture = Fixture::new();
    let db = db(&fixture).await;
    let told = || db.batch().publish(Event::json("item.1.added", "test.added.v1", &1));
    let insert = "INSERT INTO item (id) VALUES ($1)";
    let outcomes = told().push(insert, params![1]).run().await.unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.rows_affected).collect::<Vec<_>>(), [1]);
    let taken = told().push("DELETE FROM item WHERE id = 9", params![]).push(insert, params![1]).run().await;
    assert!(matches!(taken, Err(DbError::UniqueViolation { statement: 1, .. })), "{taken:?}");
}
