//! The first start of a catalogue. A new catalogue beside objects of unknown contents is no first start: its
//! database was lost, and an operator must decide to start over.

use streamgate_contracts::db::{DbError, params};
use streamgate_contracts::storage::StorageError;
use streamgate_plugin_api::time::now_ms;

use crate::objects::Media;
use crate::store::Store;

/// Why the catalogue is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database is unavailable, or does not match this version.
    #[error(transparent)]
    Db(#[from] DbError),
    /// It is unknown whether contents are in storage.
    #[error("the catalogue is new, and it is unknown whether the storage is new as well: {0}")]
    Unknown(String),
    /// The database was lost.
    #[error(
        "the catalogue is new, but the storage holds objects of contents, such as media/{0}: the databases were \
         lost. Stop the server, restore the folder `sqlite` of the data directory from a backup, and start again; or, \
         to begin without what they knew, set plugins.metadata.begin_anew = true. The objects stay where they are: \
         `streamgate fsck` lists them"
    )]
    Lost(String),
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Unknown(error.to_string())
    }
}

/// Initializes a catalogue, unless it is initialized. `anew`: even if the storage is not empty.
pub(crate) async fn begin(store: &Store, media: &Media, anew: bool) -> Result<(), OpenError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM begun) AS begun, EXISTS (SELECT 1 FROM contents) \
               OR EXISTS (SELECT 1 FROM tombstones) AS used";
    let row = store.db.query_one(sql, params![]).await?;
    let (begun, used) = (row.get::<i64>("begun")? != 0, row.get::<i64>("used")? != 0);
    if begun {
        return Ok(());
    }
    if !used && let Some(object) = media.any().await? {
        if !anew {
            return Err(OpenError::Lost(object));
        }
        tracing::warn!(object, "the catalogue starts over beside objects of unknown contents");
    }
    match store.db.execute("INSERT INTO begun (at_ms) VALUES ($1)", params![now_ms()]).await {
        // It is initialized by the next attempt.
        Ok(_) | Err(DbError::Full { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
