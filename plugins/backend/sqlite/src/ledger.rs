//! The known namespaces with the identity stored in each file, so that a lost, emptied or exchanged database
//! is noticed instead of quietly created anew beside the rest of its data.
//!
//! The record is `namespaces.json` in the directory of the databases. It follows the files: a database
//! exists, with its identity, before its entry does. Entries are never removed automatically; an operator who
//! wants to start a namespace over removes the entry by hand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};

use crate::connection::IDENTITY_TABLE;
use crate::error::{Class, SqlError};
use crate::files;

const FILE: &str = "namespaces.json";

/// The record of one directory.
#[derive(Debug)]
pub(crate) struct Ledger {
    directory: PathBuf,
    /// Held while an entry is added.
    adding: Mutex<()>,
}

impl Ledger {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), adding: Mutex::default() }
    }

    /// The identity of the namespace when it was last seen. Blocks.
    pub(crate) fn known(&self, name: &str) -> Result<Option<String>, SqlError> {
        Ok(self.read()?.remove(name))
    }

    /// The known namespaces whose files are missing or empty. Blocks.
    pub(crate) fn lost(&self) -> Result<Vec<SqlError>, SqlError> {
        let missing = |name: &String| !is_there(&self.directory.join(format!("{name}.db")));
        Ok(self.read()?.into_keys().filter(missing).map(|name| self.is_lost(&name)).collect())
    }

    /// Why a known namespace with a missing or empty file is not created.
    pub(crate) fn is_lost(&self, name: &str) -> SqlError {
        self.refusal(name, &format!("{name}.db is missing or empty"))
    }

    /// Checks that an open database is the one recorded under this name, and records a new one. Blocks.
    pub(crate) fn recognize(&self, name: &str, own: &Connection) -> Result<(), SqlError> {
        let known = self.known(name)?;
        match (known, identity(own)?) {
            (Some(known), Some(found)) if known == found => Ok(()),
            (Some(_), Some(_)) => Err(self.refusal(name, &format!("{name}.db is a different database"))),
            (Some(_), None) => Err(self.refusal(name, &format!("{name}.db was emptied"))),
            (None, Some(found)) => self.add(name, found),
            (None, None) => match new_identity(own) {
                Ok(made) => self.add(name, made),
                // Of an earlier version, on a full disk: it is recorded the next time.
                Err(error) if error.class == Class::Full => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    fn add(&self, name: &str, identity: String) -> Result<(), SqlError> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.read()?;
        entries.insert(name.to_owned(), identity);
        match self.write(&entries) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            done => done.map_err(|error| self.broken(&format!("cannot be written: {error}"))),
        }
    }

    fn read(&self) -> Result<BTreeMap<String, String>, SqlError> {
        match std::fs::read(self.path()) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| self.broken(&format!("is not a valid record of namespaces: {error}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(self.broken(&format!("cannot be read: {error}"))),
        }
    }

    fn write(&self, entries: &BTreeMap<String, String>) -> io::Result<()> {
        let new = self.directory.join(format!("{FILE}.new"));
        files::make_private(&new)?;
        let mut file = File::options().write(true).truncate(true).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(entries)?)?;
        file.sync_all()?;
        std::fs::rename(&new, self.path())?;
        File::open(&self.directory)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn refusal(&self, name: &str, what: &str) -> SqlError {
        let ledger = self.path();
        let message = format!(
            "the database of `{name}` is not the one it was: {what}. Restore it from a backup; or, to begin without \
             what it held, take `{name}` out of {} and start again",
            ledger.display()
        );
        SqlError::new(Class::Broken, message)
    }

    fn broken(&self, what: &str) -> SqlError {
        let text = format!("{} {what}; restore it from a backup, or remove it", self.path().display());
        SqlError::new(Class::Broken, text)
    }
}

/// Whether a database exists and is not empty.
pub(crate) fn is_there(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| there.len() > 0)
}

fn identity(own: &Connection) -> Result<Option<String>, SqlError> {
    let known: bool = own.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1)",
        [IDENTITY_TABLE],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(None);
    }
    Ok(own.query_row(&format!("SELECT id FROM {IDENTITY_TABLE}"), [], |row| row.get(0)).optional()?)
}

fn new_identity(own: &Connection) -> Result<String, SqlError> {
    own.execute_batch(&format!(
        "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS {IDENTITY_TABLE} (id TEXT NOT NULL); \
         INSERT INTO {IDENTITY_TABLE} SELECT lower(hex(randomblob(16))); COMMIT"
    ))
    .inspect_err(|_| crate::writer::roll_back(own))?;
    identity(own)?.ok_or_else(|| SqlError::new(Class::Broken, "the identity of the database was not kept"))
}
