//! A disk that is really full: a small tmpfs, where the tests may mount one (root, or a user namespace).
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Fixture, count};
use streamgate_contracts::db::{Db, DbError, params};
use streamgate_plugin_api::settings::ByteSize;
use streamgate_sqlite::Settings;

/// A tmpfs over a directory, unmounted when dropped.
struct SmallDisk<'d>(&'d Path);

impl<'d> SmallDisk<'d> {
    /// `None` where mounting is not allowed; then the test is skipped.
    fn over(directory: &'d Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(directory)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: no tmpfs may be mounted here");
        }
        mounted.then_some(Self(directory))
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.0).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Fills the rest of the disk.
    fn eat(&self) {
        let eaten = std::fs::File::create(self.0.join("eaten")).unwrap();
        rustix::fs::fallocate(&eaten, rustix::fs::FallocateFlags::empty(), 0, self.free()).unwrap();
        assert_eq!(self.free(), 0);
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.reserve = ByteSize::mib(4);
    settings
}

/// Fails once the disk is full.
async fn insert(db: &Db, id: i64) -> Result<u64, DbError> {
    db.execute("INSERT INTO item (id, data) VALUES ($1, $2)", params![id, vec![7_u8; 20_000]]).await
}

async fn delete(db: &Db, id: i64) -> Result<u64, DbError> {
    let batch = db.batch().push("DELETE FROM item WHERE id = $1", params![id]);
    let tombstone = batch.push("INSERT INTO item (id) VALUES ($1)", params![-id]);
    tombstone.frees_space().run().await.map(|outcomes| outcomes[0].rows_affected)
}

#[tokio::test]
async fn a_full_disk_takes_deletions_and_refuses_the_rest_until_there_is_room() {
    let fixture = Fixture::with(settings());
    let Some(disk) = SmallDisk::over(fixture.directory.path()) else { return };
    let db = fixture.db().await;
    for id in 1..=100 {
        insert(&db, id).await.unwrap();
    }
    disk.eat();
    let mut added = 100;
    let error = loop {
        match insert(&db, added + 1).await {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DbError::Full { .. }), "{error:?}");
    for id in 1..=60 {
        assert_eq!(delete(&db, id).await, Ok(1), "{id}");
    }
    // The reserve is for deletions only, also while it is in use.
    let error = insert(&db, 1_000).await.unwrap_err();
    assert!(matches!(&error, DbError::Full { .. }) && error.to_string().contains("reserve"), "{error:?}");
    assert_eq!(delete(&db, 61).await, Ok(1));
    assert_eq!(count(&db).await, added, "each deletion left a tombstone");
    std::fs::remove_file(disk.0.join("eaten")).unwrap();
    insert(&db, 1_000).await.unwrap();
    assert_eq!(disk.0.join("reserve").metadata().unwrap().len(), 4 << 20, "it is set aside again");
    drop(db);
    fixture.engine.close().await;
}

#[tokio::test]
async fn databases_open_and_are_read_and_emptied_on_a_disk_that_was_full_before_the_start() {
    let fixture = Fixture::with(settings());
    let Some(disk) = SmallDisk::over(fixture.directory.path()) else { return };
    let db = fixture.db().await;
    insert(&db, 1).await.unwrap();
    drop(db);
    fixture.engine.close().await;
    disk.eat();
    let engine = streamgate_sqlite::Engine::new(disk.0, settings());
    let client = streamgate_plugin_api::Client::from_service(engine.router());
    let migrations = streamgate_contracts::db::Migrations::new(&[("0001_item", common::TABLE)]);
    let db = Db::open(client, "test", migrations).await.unwrap();
    assert_eq!(count(&db).await, 1);
    assert_eq!(delete(&db, 1).await, Ok(1));
    assert!(matches!(insert(&db, 2).await, Err(DbError::Full { .. })));
    drop(db);
    engine.close().await;
}

#[tokio::test]
async fn every_file_of_a_database_is_for_its_owner_alone_and_an_older_one_becomes_so() {
    let fixture = Fixture::with(settings());
    let path = |name: &str| fixture.directory.path().join(name);
    std::fs::write(path("test.db"), "").unwrap();
    std::fs::set_permissions(path("test.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let db = fixture.db().await;
    insert(&db, 1).await.unwrap();
    for name in ["test.db", "test.db-wal", "test.db-shm", "reserve"] {
        let mode = path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
