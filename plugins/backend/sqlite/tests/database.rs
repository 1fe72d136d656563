//! The `database` contract from outside: through the client that plugins use.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use common::{Fixture, TABLE, count};
use streamgate_contracts::db::{Db, DbError, Migrations, params};
use streamgate_plugin_api::{Client, settings};
use streamgate_sqlite::{CheckOnOpen, Engine, Settings};

/// Counts to a billion: longer than any test waits.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) \
                       SELECT count(*) AS n FROM n";

#[tokio::test]
async fn what_is_written_is_read_back_in_every_type() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let written = db
        .execute(
            "INSERT INTO item (id, name, data, size) VALUES ($1, $2, $3, $4)",
            params![7_i64, "ü", vec![0_u8, 255], 0.25],
        )
        .await
        .unwrap();
    assert_eq!(written, 1);
    let row = db.query_one("SELECT * FROM item WHERE id = $1", params![7]).await.unwrap();
    assert_eq!(row.get::<i64>("id").unwrap(), 7);
    assert_eq!(row.get::<String>("name").unwrap(), "ü");
    assert_eq!(row.get::<Vec<u8>>("data").unwrap(), [0, 255]);
    assert!((row.get::<f64>("size").unwrap() - 0.25).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_numbered_parameter_means_its_number_in_whatever_order_and_how_often_it_stands() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let row = db.query_one("SELECT $2 AS b, $1 AS a, $2 AS again", params!["one", "two"]).await.unwrap();
    assert_eq!(row.get::<String>("a").unwrap(), "one");
    assert_eq!(row.get::<String>("b").unwrap(), "two");
    assert_eq!(row.get::<String>("again").unwrap(), "two");
}

#[tokio::test]
async fn a_batch_in_which_one_statement_fails_takes_no_effect_and_names_the_statement() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let insert = "INSERT INTO item (id, name) VALUES ($1, $2)";
    let error = db
        .batch()
        .push(insert, params![1, "a"])
        .push_expect("UPDATE item SET name = $1 WHERE id = $2", params!["b", 99], 1)
        .run()
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Conflict { statement: 1, .. }), "{error:?}");
    let error =
        db.batch().push(insert, params![1, "a"]).push(insert, params![2, "a"]).run().await.unwrap_err();
    assert!(matches!(error, DbError::UniqueViolation { statement: 1, .. }), "{error:?}");
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn rows_affected_counts_inserts_updates_deletes_and_nothing_else() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let outcomes = db
        .batch()
        .push("INSERT INTO item (id) VALUES (1), (2), (3)", params![])
        .push("SELECT * FROM item", params![])
        .push("CREATE TABLE other (id BIGINT)", params![])
        .push("UPDATE item SET size = 1 WHERE id > 1", params![])
        .push("INSERT INTO item (id) VALUES (1) ON CONFLICT DO NOTHING", params![])
        .push("DELETE FROM item", params![])
        .run()
        .await
        .unwrap();
    let affected: Vec<u64> = outcomes.iter().map(|outcome| outcome.rows_affected).collect();
    assert_eq!(affected, [3, 0, 0, 2, 0, 3]);
}

#[tokio::test]
async fn returning_hands_out_the_rows_of_a_write() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let rows = db
        .execute_returning(
            "INSERT INTO item (id, name) VALUES (1, 'a'), (2, 'b') RETURNING id, name",
            params![],
        )
        .await
        .unwrap();
    let names: Vec<String> = rows.into_iter().map(|row| row.get("name").unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn concurrent_batches_succeed_and_fail_each_for_itself() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let tasks: Vec<_> = (0..200_i64)
        .map(|number| {
            let db = db.clone();
            // Every tenth one breaks its own batch.
            let bad = number % 10 == 0;
            tokio::spawn(async move {
                let batch = db.batch().push("INSERT INTO item (id) VALUES ($1)", params![number]);
                let expected = if bad { 1 } else { 0 };
                batch.push_expect("DELETE FROM item WHERE id = -1", params![], expected).run().await.is_ok()
            })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), number % 10 != 0, "batch {number}");
    }
    assert_eq!(count(&db).await, 180);
}

#[tokio::test]
async fn a_query_sees_every_acknowledged_batch() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    for number in 1..=100_i64 {
        db.execute("INSERT INTO item (id) VALUES ($1)", params![number]).await.unwrap();
        assert_eq!(count(&db).await, number);
    }
}

#[tokio::test]
async fn clients_cannot_touch_files_switches_transactions_or_the_record_of_migrations() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    for sql in [
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "PRAGMA synchronous = OFF",
        "PRAGMA journal_mode",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT batch",
        "RELEASE batch",
        "ROLLBACK TO batch",
        "VACUUM INTO '/tmp/x.db'",
        "DELETE FROM _streamgate_migrations",
        "DROP TABLE _streamgate_migrations",
        "UPDATE _streamgate_identity SET id = 'x'",
        "UPDATE _streamgate_migrations SET version = 9",
        "CREATE TEMP TABLE t (id BIGINT)",
        "SELECT load_extension('x')",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELECT \"text\"",
        "SELEC 1",
    ] {
        let error = db.execute(sql, params![]).await.unwrap_err();
        assert!(matches!(error, DbError::Invalid { .. }), "{sql}: {error:?}");
        let error = db.query(sql, params![]).await.unwrap_err();
        assert!(matches!(error, DbError::Invalid { .. }), "{sql}: {error:?}");
    }
    db.execute("INSERT INTO item (id) VALUES (1)", params![]).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_query_does_not_write() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    for sql in ["INSERT INTO item (id) VALUES (1)", "DROP TABLE item", "DELETE FROM item RETURNING id"] {
        let error = db.query(sql, params![]).await.unwrap_err();
        assert!(matches!(error, DbError::Invalid { .. }), "{sql}: {error:?}");
    }
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn wrong_parameters_are_refused_with_their_number() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    for (sql, params, hint) in [
        ("SELECT $1 AS a", params![], "$1"),
        ("SELECT $1 AS a", params![1, 2], "2 values"),
        ("SELECT ?1 AS a", params![1], "?1"),
        ("SELECT ? AS a", params![1], "`?`"),
        ("SELECT :a AS a", params![1], ":a"),
        ("SELECT $a AS a", params![1], "$a"),
    ] {
        let error = db.query(sql, params).await.unwrap_err();
        assert!(error.to_string().contains(hint), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_constraint_other_than_a_unique_key_is_the_callers_mistake() {
    let fixture = Fixture::new();
    let migration = "CREATE TABLE a (id BIGINT PRIMARY KEY, n BIGINT NOT NULL CHECK (n > 0));
                     CREATE TABLE b (a BIGINT REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)";
    let db = fixture.open("test", &[("0001", migration)]).await.unwrap();
    for sql in
        ["INSERT INTO a (id, n) VALUES (1, 0)", "INSERT INTO a (id) VALUES (1)", "INSERT INTO b VALUES (9)"]
    {
        let error = db.execute(sql, params![]).await.unwrap_err();
        assert!(matches!(error, DbError::Invalid { .. }), "{sql}: {error:?}");
    }
    let error = db.execute("INSERT INTO a (id, n) VALUES (1, 1), (1, 1)", params![]).await.unwrap_err();
    assert!(matches!(error, DbError::UniqueViolation { .. }), "{error:?}");
}

#[tokio::test]
async fn a_check_that_fails_at_the_commit_fails_its_own_batch_alone() {
    let fixture = Fixture::new();
    let migration = "CREATE TABLE a (id BIGINT PRIMARY KEY);
                     CREATE TABLE b (a BIGINT REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)";
    let db = fixture.open("test", &[("0001", migration)]).await.unwrap();
    let tasks: Vec<_> = (0..60_i64)
        .map(|number| {
            let db = db.clone();
            let sql = if number % 6 == 0 { "INSERT INTO b VALUES ($1)" } else { "INSERT INTO a VALUES ($1)" };
            tokio::spawn(async move { db.execute(sql, params![1000 + number]).await.is_ok() })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), number % 6 != 0, "batch {number}");
    }
}

#[tokio::test]
async fn more_rows_or_bytes_than_a_call_may_hand_out_are_an_error() {
    let settings = |settings: &mut Settings| {
        settings.max_rows = 10;
        settings.max_result_size = settings::ByteSize::kib(64);
    };
    let mut limited = Settings::default();
    settings(&mut limited);
    let fixture = Fixture::with(limited);
    let db = fixture.db().await;
    let numbers = |count: i64| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n"
        )
    };
    assert_eq!(db.query(&numbers(10), params![]).await.unwrap().len(), 10);
    let error = db.query(&numbers(11), params![]).await.unwrap_err();
    assert!(matches!(error, DbError::TooManyRows { .. }), "{error:?}");
    let error = db.query("SELECT zeroblob(70000) AS z", params![]).await.unwrap_err();
    assert!(matches!(error, DbError::TooManyRows { .. }), "{error:?}");
    let insert = format!("INSERT INTO item (id) {} RETURNING id", numbers(11));
    let error = db.execute(&insert, params![]).await.unwrap_err();
    assert!(matches!(error, DbError::TooManyRows { .. }), "{error:?}");
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped_and_the_next_ones_run() {
    let mut settings = Settings::default();
    settings.statement_timeout = settings::Duration::millis(50);
    let fixture = Fixture::with(settings);
    let db = fixture.db().await;
    let began = Instant::now();
    assert!(db.query(ENDLESS, params![]).await.is_err());
    let update = format!("INSERT INTO item (id) {ENDLESS}");
    let neighbour = {
        let db = db.clone();
        tokio::spawn(async move { db.execute("INSERT INTO item (id) VALUES (1)", params![]).await })
    };
    assert!(db.execute(&update, params![]).await.is_err());
    assert!(neighbour.await.unwrap().is_ok());
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_query_whose_caller_went_away_gives_its_reader_back() {
    let mut settings = Settings::default();
    settings.readers = 1;
    settings.statement_timeout = settings::Duration::secs(300);
    let fixture = Fixture::with(settings);
    let db = fixture.db().await;
    {
        let db = db.clone();
        let abandoned = tokio::spawn(async move { db.query(ENDLESS, params![]).await });
        tokio::task::yield_now().await;
        abandoned.abort();
        let _ = abandoned.await;
    }
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn migrations_apply_once_and_in_order() {
    let fixture = Fixture::new();
    let second = (
        "0002_more",
        "ALTER TABLE item ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'; CREATE INDEX e ON item (extra)",
    );
    let first = ("0001_item", TABLE);
    let db = fixture.open("test", &[first]).await.unwrap();
    db.execute("INSERT INTO item (id) VALUES (1)", params![]).await.unwrap();
    let db = fixture.open("test", &[first, second]).await.unwrap();
    let db2 = fixture.open("test", &[first, second]).await.unwrap();
    let row = db2.query_one("SELECT extra FROM item", params![]).await.unwrap();
    assert_eq!(row.get::<String>("extra").unwrap(), "x");
    let applied = db.query("SELECT version FROM _streamgate_migrations", params![]).await.unwrap();
    assert_eq!(applied.len(), 2);
}

#[tokio::test]
async fn a_changed_or_unknown_migration_is_refused_by_name() {
    let fixture = Fixture::new();
    fixture.open("test", &[("0001_item", TABLE), ("0002_b", "CREATE TABLE b (id BIGINT)")]).await.unwrap();
    let error = fixture.open("test", &[("0001_item", "CREATE TABLE item (id BIGINT)")]).await.unwrap_err();
    assert!(matches!(&error, DbError::Migration { message } if message.contains("0001_item")), "{error:?}");
    let error = fixture.open("test", &[("0001_item", TABLE)]).await.unwrap_err();
    assert!(matches!(&error, DbError::Migration { message } if message.contains("0002_b")), "{error:?}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind_and_can_be_mended() {
    let fixture = Fixture::new();
    for broken in
        ["CREATE TABLE a (id BIGINT); CREATE TABLE a (id BIGINT)", "CREATE TABLE a (id BIGINT); COMMIT"]
    {
        let error = fixture.open("test", &[("0001_a", broken)]).await.unwrap_err();
        assert!(error.to_string().contains("0001_a"), "{error}");
    }
    let db = fixture.open("test", &[("0001_a", "CREATE TABLE a (id BIGINT)")]).await.unwrap();
    db.execute("INSERT INTO a VALUES (1)", params![]).await.unwrap();
}

#[tokio::test]
async fn namespaces_see_nothing_of_each_other() {
    let fixture = Fixture::new();
    let one = fixture.open("one", &[("0001_item", TABLE)]).await.unwrap();
    let two = fixture.open("two", &[("0001_item", TABLE)]).await.unwrap();
    one.execute("INSERT INTO item (id) VALUES (1)", params![]).await.unwrap();
    assert_eq!(count(&two).await, 0);
    assert!(fixture.directory.path().join("one.db").exists());
    let error = fixture.open("../three", &[]).await.unwrap_err();
    assert!(matches!(error, DbError::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_file_is_said_to_be_full_and_works_again_once_there_is_room() {
    let mut settings = Settings::default();
    settings.max_file_size = settings::ByteSize::mib(1);
    let fixture = Fixture::with(settings);
    let db = fixture.db().await;
    let insert = "INSERT INTO item (id, data) VALUES ($1, $2)";
    let mut stored = 0_i64;
    let error = loop {
        match db.execute(insert, params![stored, vec![0_u8; 50_000]]).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DbError::Full { .. }), "{error:?}");
    assert_eq!(count(&db).await, stored);
    // A small batch in the same group as one that does not fit succeeds.
    let (large, small) = tokio::join!(
        db.execute(insert, params![-1, vec![0_u8; 500_000]]),
        db.execute("UPDATE item SET size = 1 WHERE id = 0", params![]),
    );
    assert!(matches!(large, Err(DbError::Full { .. })), "{large:?}");
    assert_eq!(small, Ok(1));
    db.execute("DELETE FROM item WHERE id >= $1", params![stored / 2]).await.unwrap();
    db.execute(insert, params![-2, vec![0_u8; 50_000]]).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_refused_when_checks_are_on() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    let insert = "INSERT INTO item (id, name, data) VALUES ($1, $2, $3)";
    for number in 0..50_i64 {
        db.execute(insert, params![number, number.to_string(), vec![7_u8; 3000]]).await.unwrap();
    }
    drop(db);
    fixture.engine.close().await;
    let path = fixture.directory.path().join("test.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let mut settings = Settings::default();
    settings.check_on_open = CheckOnOpen::Quick;
    let engine = streamgate_sqlite::Engine::new(fixture.directory.path(), settings);
    let client = streamgate_plugin_api::Client::from_service(engine.router());
    let migrations = streamgate_contracts::db::Migrations::new(&[("0001_item", TABLE)]);
    let error = streamgate_contracts::db::Db::open(client, "test", migrations).await.unwrap_err();
    assert!(matches!(error, DbError::Other { .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_engine_has_written_back_its_log_and_answers_unavailable() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    db.execute("INSERT INTO item (id) VALUES (1)", params![]).await.unwrap();
    fixture.engine.close().await;
    assert!(!fixture.directory.path().join("test.db-wal").exists());
    let error = db.query("SELECT 1 AS a", params![]).await.unwrap_err();
    assert!(matches!(error, DbError::Unavailable { .. }), "{error:?}");
    let reopened = streamgate_sqlite::Engine::new(fixture.directory.path(), Settings::default());
    let client = streamgate_plugin_api::Client::from_service(reopened.router());
    let migrations = streamgate_contracts::db::Migrations::new(&[("0001_item", TABLE)]);
    let db = streamgate_contracts::db::Db::open(client, "test", migrations).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_namespace_that_was_never_migrated_is_not_made_by_a_query() {
    let fixture = Fixture::new();
    let db = fixture.db().await;
    drop(db);
    let mut client =
        streamgate_contracts::database::v1::database_client::DatabaseClient::new(fixture.client());
    let request = streamgate_contracts::database::v1::QueryRequest {
        namespace: "nothing".into(),
        sql: "SELECT 1".into(),
        ..Default::default()
    };
    let status = client.query(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(!fixture.directory.path().join("nothing.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_holds_no_hand_over_up_and_is_answered_by_the_next_run() {
    let fixture = Fixture::new();
    fixture.db().await.execute("INSERT INTO item (id) VALUES (1)", params![]).await.unwrap();
    let old = fixture.client();
    let now = Arc::new(Mutex::new(old.clone()));
    // Calls whichever run has the files, as the host does.
    let host = axum::Router::new()
        .fallback(async |State(now): State<Arc<Mutex<Client>>>, request: Request| {
            let run = now.lock().unwrap().clone();
            run.send(request).await.unwrap()
        })
        .with_state(now.clone());
    let migrations = Migrations::new(&[("0001_item", TABLE)]);
    let db = Db::open(Client::from_service(host), "test", migrations).await.unwrap();
    // Longer than any test waits while there is one item.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \
               (SELECT CASE count(*) WHEN 1 THEN 1000000000 ELSE 5 END FROM item)) SELECT count(*) AS n FROM n";
    let asked = {
        let db = db.clone();
        tokio::spawn(async move { db.query_one(sql, params![]).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    db.execute("INSERT INTO item (id) VALUES (2)", params![]).await.unwrap();
    let next = Engine::new(fixture.directory.path(), Settings::default());
    *now.lock().unwrap() = Client::from_service(next.router());
    fixture.engine.stop_long_queries();
    let row = asked.await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 5);
}
