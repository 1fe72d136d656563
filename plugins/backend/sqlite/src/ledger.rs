//! Which namespaces there are, by the identity that each has in its file: so that a database that
//! was lost, emptied or exchanged is noticed, and not quietly begun anew beside all that belongs
//! to it.
//!
//! The record is `namespaces.json` in the directory of the databases. It follows the files: a
//! database is there, with its identity, before its entry is. Never takes an entry away; whoever
//! means to begin a namespace anew does that by hand.

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

    /// The identity that the namespace had when it was last seen. Blocks.
    pub(crate) fn known(&self, name: &str) -> Result<Option<String>, SqlError> {
        Ok(self.read()?.remove(name))
    }

    /// The namespaces whose files are missing or empty. Blocks.
    pub(crate) fn lost(&self) -> Result<Vec<SqlError>, SqlError> {
        let missing = |name: &String| !is_there(&self.directory.join(format!("{name}.db")));
        Ok(self.read()?.into_keys().filter(missing).map(|name| self.is_lost(&name)).collect())
    }

    /// Why a namespace that is known and has no file, or an empty one, is not made.
    pub(crate) fn is_lost(&self, name: &str) -> SqlError {
        self.refusal(name, &format!("{name}.db is missing or empty"))
    }

    /// Sees to it that an open database is the one that is known by this name, and knows it from
    /// now on. Blocks.
    pub(crate) fn recognize(&self, name: &str, own: &Connection) -> Result<(), SqlError> {
        let known = self.known(name)?;
        match (known, identity(own)?) {
            (Some(known), Some(found)) if known == found => Ok(()),
            (Some(_), Some(_)) => Err(self.refusal(name, &format!("{name}.db is another database"))),
            (Some(_), None) => Err(self.refusal(name, &format!("{name}.db was emptied"))),
            (None, Some(found)) => self.add(name, found),
            (None, None) => match new_identity(own) {
                Ok(made) => self.add(name, made),
                // Of an earlier version, on a full disk: it is known the next time.
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
                .map_err(|error| self.broken(&format!("is no record of namespaces: {error}"))),
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

/// Whether a database is there with anything in it.
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
