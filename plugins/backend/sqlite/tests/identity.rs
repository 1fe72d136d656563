//! A database that was lost, emptied or exchanged is noticed.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{TABLE, count};
use streamgate_contracts::db::{Db, DbError, Migrations, params};
use streamgate_plugin_api::Client;
use streamgate_sqlite::{Engine, Settings};

/// One run over the directory; the files are closed when it answers.
async fn run(directory: &Path, name: &str) -> Result<i64, DbError> {
    let engine = Engine::new(directory, Settings::default());
    let client = Client::from_service(engine.router());
    let opened = Db::open(client, name, Migrations::new(&[("0001_item", TABLE)])).await;
    let counted = match opened {
        Ok(db) => {
            db.execute("INSERT INTO item (name) VALUES (NULL)", params![]).await?;
            Ok(count(&db).await)
        }
        Err(error) => Err(error),
    };
    engine.close().await;
    counted
}

#[tokio::test]
async fn a_database_that_is_lost_or_emptied_is_not_recreated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    assert_eq!(run(directory.path(), "test").await, Ok(1));
    assert_eq!(run(directory.path(), "test").await, Ok(2));
    let kept = std::fs::read(&path).unwrap();

    let emptied = || std::fs::write(&path, "").unwrap();
    let lost = || std::fs::remove_file(&path).unwrap();
    let hollow = || {
        std::fs::remove_file(&path).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE item (id BIGINT)").unwrap();
    };
    for (what, harm) in [("emptied", &emptied as &dyn Fn()), ("hollow", &hollow), ("lost", &lost)] {
        std::fs::write(&path, &kept).unwrap();
        harm();
        let error = run(directory.path(), "test").await.unwrap_err().to_string();
        let says = |text: &str| assert!(error.contains(text), "{what}: {error}");
        says("test.db");
        says("Restore it from a backup");
        says("namespaces.json");
    }
    assert!(!path.exists(), "no replacement was created");

    // Both remedies of the message work.
    std::fs::write(&path, &kept).unwrap();
    assert_eq!(run(directory.path(), "test").await, Ok(3));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(directory.path().join("namespaces.json"), "{}").unwrap();
    assert_eq!(run(directory.path(), "test").await, Ok(1));
}

#[tokio::test]
async fn the_database_of_another_namespace_is_not_taken_for_this_one() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), "one").await.unwrap();
    run(directory.path(), "two").await.unwrap();
    std::fs::copy(directory.path().join("two.db"), directory.path().join("one.db")).unwrap();
    let error = run(directory.path(), "one").await.unwrap_err().to_string();
    assert!(error.contains("a different database"), "{error}");
    assert_eq!(run(directory.path(), "two").await, Ok(2));
}

#[tokio::test]
async fn a_database_of_an_earlier_version_is_known_from_its_first_start_on() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), "test").await.unwrap();
    let path = directory.path().join("test.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE _streamgate_identity").unwrap();
    drop(connection);
    std::fs::remove_file(directory.path().join("namespaces.json")).unwrap();
    assert_eq!(run(directory.path(), "test").await, Ok(2));
    std::fs::remove_file(&path).unwrap();
    assert!(run(directory.path(), "test").await.is_err());
}
