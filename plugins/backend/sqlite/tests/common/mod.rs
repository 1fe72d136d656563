//! What the tests share: an engine over a temporary directory, and clients to it.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use streamgate_contracts::db::{Db, DbError, Migrations};
use streamgate_plugin_api::Client;
use streamgate_sqlite::{Engine, Settings};
use tempfile::TempDir;

pub const TABLE: &str =
    "CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT UNIQUE, data BYTEA, size DOUBLE PRECISION)";

pub struct Fixture {
    pub engine: Engine,
    pub directory: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { engine: Engine::new(directory.path(), settings), directory }
    }

    pub fn client(&self) -> Client {
        Client::from_service(self.engine.router())
    }

    pub async fn open(&self, namespace: &str, migrations: &[(&str, &str)]) -> Result<Db, DbError> {
        Db::open(self.client(), namespace, Migrations::new(migrations)).await
    }

    pub async fn db(&self) -> Db {
        self.open("test", &[("0001_item", TABLE)]).await.unwrap()
    }
}

pub async fn count(db: &Db) -> i64 {
    db.query_one("SELECT count(*) AS n FROM item", Vec::new()).await.unwrap().get("n").unwrap()
}
