//! Batches whose answers are lost on the way, as when the process of an isolated database is killed
//! while it answers: they are repeated, and take effect once.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use common::Fixture;
use http::StatusCode;
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::{ExecuteRequest, Statement};
use streamgate_contracts::db::{Db, DbError, Migrations, params};
use streamgate_plugin_api::{Client, Problem};
use streamgate_sqlite::{Engine, Settings};

/// No natural key: a repeated insert adds another row.
const TABLES: &str = "CREATE TABLE entry (label TEXT NOT NULL); \
                      CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT NOT NULL); \
                      INSERT INTO counter VALUES (1, 0)";

/// The faults of the next batches, in order; after the last one none.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It runs and its answer is lost.
    AnswerLost,
    /// The request itself is lost, and the outcome is unknown.
    RequestLost,
    /// There is no provider.
    Down,
    Answered,
}

#[derive(Clone)]
struct Fates(Arc<(Vec<Fate>, AtomicUsize)>);

impl Fates {
    fn met(&self) -> usize {
        self.0.1.load(SeqCst)
    }
}

/// As the host answers for a provider that died or is missing.
async fn fate(State(fates): State<Fates>, request: Request, next: Next) -> Response {
    if !request.uri().path().ends_with("/Execute") {
        return next.run(request).await;
    }
    let (fates, met) = &*fates.0;
    let died = || Problem::new(StatusCode::BAD_GATEWAY, "plugin-died", "It ended while it answered");
    match fates.get(met.fetch_add(1, SeqCst)).unwrap_or(&Fate::Answered) {
        Fate::Answered => next.run(request).await,
        Fate::AnswerLost => {
            let answer = next.run(request).await;
            axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            died().into_response()
        }
        Fate::RequestLost => died().into_response(),
        Fate::Down => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "No provider").into_response()
        }
    }
}

async fn connect(router: axum::Router, namespace: &str) -> Db {
    let migrations = Migrations::new(&[("0001_tables", TABLES)]);
    Db::open(Client::from_service(router), namespace, migrations).await.unwrap()
}

async fn open(fixture: &Fixture, fates: Vec<Fate>) -> (Db, Fates) {
    let fates = Fates(Arc::new((fates, AtomicUsize::new(0))));
    let router = fixture.engine.router().layer(from_fn_with_state(fates.clone(), fate));
    (connect(router, "test").await, fates)
}

async fn add(db: &Db, label: &str) -> Result<i64, DbError> {
    let outcomes = db
        .batch()
        .push("INSERT INTO entry (label) VALUES ($1)", params![label])
        .push("UPDATE counter SET n = n + 1 WHERE id = 1 RETURNING n", params![])
        .run()
        .await?;
    outcomes[1].rows.clone().first().unwrap().get("n")
}

/// The counter, and how many entries there are.
async fn held(db: &Db) -> (i64, i64) {
    let sql = "SELECT n, (SELECT count(*) FROM entry) AS entries FROM counter";
    let row = db.query_one(sql, params![]).await.unwrap();
    (row.get("n").unwrap(), row.get("entries").unwrap())
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_takes_effect_once_and_is_answered_as_the_first_time() {
    use Fate::{AnswerLost, Answered, Down, RequestLost};
    let fixture = Fixture::new();
    let fates = vec![AnswerLost, Answered, RequestLost, AnswerLost, Down, Down, AnswerLost, Answered];
    let (db, fates) = open(&fixture, fates).await;
    assert_eq!(add(&db, "a").await, Ok(1));
    assert_eq!(add(&db, "b").await, Ok(2));
    assert_eq!(add(&db, "c").await, Ok(3));
    assert_eq!((held(&db).await, fates.met()), ((3, 3), 9));
}

#[tokio::test]
async fn a_batch_that_failed_is_said_to_have_failed_though_its_answer_was_lost() {
    let fixture = Fixture::new();
    let (db, _) = open(&fixture, vec![Fate::AnswerLost; 2]).await;
    let batch = db.batch().push("INSERT INTO entry (label) VALUES ('x')", params![]).push_expect(
        "UPDATE counter SET n = 9 WHERE id = 7",
        params![],
        1,
    );
    assert!(matches!(batch.run().await, Err(DbError::Conflict { statement: 1, .. })));
    assert_eq!(held(&db).await, (0, 0));
}

#[tokio::test]
async fn before_the_database_has_begun_nothing_is_repeated_and_nothing_took_effect() {
    let fixture = Fixture::new();
    let (db, fates) = open(&fixture, vec![Fate::Down]).await;
    assert!(matches!(add(&db, "a").await, Err(DbError::Unavailable { .. })));
    assert_eq!((held(&db).await, fates.met()), ((0, 0), 1));
}

#[tokio::test]
async fn what_stays_unknown_is_called_unknown_after_a_bounded_time() {
    let fixture = Fixture::new();
    let mut fates = vec![Fate::AnswerLost];
    fates.resize(1000, Fate::Down);
    let (db, fates) = open(&fixture, fates).await;
    let error = add(&db.clone().repeat_within(Duration::from_millis(300)), "a").await.unwrap_err();
    assert!(matches!(error, DbError::Unknown { .. }), "{error:?}");
    assert!(error.to_string().contains("may have been made or not"), "{error}");
    assert!((2..100).contains(&fates.met()), "asked {} times", fates.met());
    assert_eq!(held(&db).await, (1, 1));
}

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_to_its_own_namespace_alone() {
    let fixture = Fixture::new();
    let db = connect(fixture.engine.router(), "test").await;
    let request = |namespace: &str| ExecuteRequest {
        namespace: namespace.into(),
        statements: vec![Statement { sql: "INSERT INTO entry VALUES ('a')".into(), ..Statement::default() }],
        idempotency_key: "k".into(),
        ..ExecuteRequest::default()
    };
    let mut client = DatabaseClient::new(fixture.client());
    let first = client.execute(request("test")).await.unwrap().into_inner();
    drop((client, db));
    fixture.engine.close().await;
    let engine = Engine::new(fixture.directory.path(), Settings::default());
    let mut client = DatabaseClient::new(Client::from_service(engine.router()));
    assert_eq!(client.execute(request("test")).await.unwrap().into_inner(), first);
    let other = connect(engine.router(), "other").await;
    client.execute(request("other")).await.unwrap();
    assert_eq!(held(&other).await.1, 1);
    assert_eq!(held(&connect(engine.router(), "test").await).await.1, 1);
    let long = ExecuteRequest { idempotency_key: vec![1; 65].into(), ..request("test") };
    assert_eq!(client.execute(long).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_created_table_is_not_created_again_and_clients_cannot_read_or_write_the_keys() {
    let fixture = Fixture::new();
    let (db, _) = open(&fixture, vec![Fate::AnswerLost]).await;
    db.execute("CREATE TABLE more (id BIGINT)", params![]).await.unwrap();
    for sql in ["DELETE FROM _streamgate_batches", "DELETE FROM _STREAMGATE_batches"] {
        assert!(matches!(db.execute(sql, params![]).await, Err(DbError::Invalid { .. })), "{sql}");
    }
    let read = db.query("SELECT * FROM _streamgate_batches", params![]).await;
    assert!(matches!(read, Err(DbError::Invalid { .. })));
}
