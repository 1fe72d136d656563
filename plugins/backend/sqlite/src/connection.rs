//! How a connection to a namespace's file is opened, what its clients may do with it, and for how long. All
//! SQL runs on a [`Link`].

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::error::SqlError;

/// The table that records which migrations a namespace has. Clients may only read it.
pub(crate) const MIGRATIONS_TABLE: &str = "_streamgate_migrations";

/// The table with the one row that identifies this database. Clients may only read it.
pub(crate) const IDENTITY_TABLE: &str = "_streamgate_identity";

/// The table of the keys of batches with their answers. Clients have no access to it.
pub(crate) const BATCHES_TABLE: &str = "_streamgate_batches";

const MAX_SQL_BYTES: i32 = 256 * 1024;
const MAX_VALUE_BYTES: i32 = 32 * 1024 * 1024;
const MAX_PARAMS: i32 = 32_000;
const CACHED_STATEMENTS: usize = 128;
/// Steps of SQLite's virtual machine between two checks of the clock.
const STEPS_BETWEEN_CHECKS: i32 = 2_000;

/// Whose SQL is being prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Author {
    Plugin = 0,
    Client = 1,
    Migration = 2,
}

#[derive(Debug, Default)]
struct Watch {
    deadline: Option<Instant>,
    stop: Option<Stop>,
}

/// Why a query is stopped before its time limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// The caller has gone away.
    pub(crate) abandoned: Arc<AtomicBool>,
    /// Another run waits for the files.
    pub(crate) leaving: Arc<AtomicBool>,
}

/// The options of every connection.
#[derive(Debug, Clone)]
pub(crate) struct LinkOptions {
    pub(crate) cache_bytes: u64,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) max_file_bytes: u64,
    pub(crate) busy_timeout: Duration,
    pub(crate) statement_timeout: Duration,
}

/// A connection with its guards.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    author: Arc<AtomicU8>,
    watch: Arc<Mutex<Watch>>,
    statement_timeout: Duration,
}

impl Link {
    /// The connection that writes; creates the file.
    pub(crate) fn writer(path: &Path, options: &LinkOptions) -> Result<Self, SqlError> {
        let link =
            Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, options)?;
        let connection = &link.connection;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update(None, "wal_autocheckpoint", pages(options.checkpoint_bytes, page))?;
        let keep = i64::try_from(options.checkpoint_bytes.saturating_mul(8)).unwrap_or(i64::MAX);
        connection.pragma_update(None, "journal_size_limit", keep)?;
        if options.max_file_bytes > 0 {
            connection.pragma_update(None, "max_page_count", pages(options.max_file_bytes, page))?;
        }
        Ok(link)
    }

    /// A connection that reads. The writer must be open.
    pub(crate) fn reader(path: &Path, options: &LinkOptions) -> Result<Self, SqlError> {
        let link = Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
        link.connection.pragma_update(None, "query_only", true)?;
        Ok(link)
    }

    fn open(path: &Path, flags: OpenFlags, options: &LinkOptions) -> Result<Self, SqlError> {
        let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        for (switch, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            // In both databases "x" is a column, never a text.
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        ] {
            connection.set_db_config(switch, on)?;
        }
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES),
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMS),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
        ] {
            connection.set_limit(limit, value)?;
        }
        let cache_kib = i64::try_from(options.cache_bytes / 1024).unwrap_or(i64::MAX).max(64);
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;

        let author = Arc::new(AtomicU8::new(Author::Plugin as u8));
        let asked = author.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            if may(asked.load(Ordering::Relaxed), &context.action) {
                Authorization::Allow
            } else {
                Authorization::Deny
            }
        }))?;
        let watch = Arc::new(Mutex::new(Watch::default()));
        let watched = watch.clone();
        connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || is_over(&watched)))?;
        Ok(Self { connection, author, watch, statement_timeout: options.statement_timeout })
    }

    /// For the plugin's own SQL, without restrictions.
    pub(crate) fn own(&self) -> &Connection {
        &self.connection
    }

    /// Runs a client's SQL: restricted, and stopped at its time limit.
    pub(crate) fn as_client<T>(&self, run: impl FnOnce(&Connection) -> T) -> T {
        self.run_as(Author::Client, None, run)
    }

    /// As [`Link::as_client`], also stopped when `stop` says so.
    pub(crate) fn as_client_unless<T>(&self, stop: Stop, run: impl FnOnce(&Connection) -> T) -> T {
        self.run_as(Author::Client, Some(stop), run)
    }

    /// Runs a migration: restricted like a client, without a time limit.
    pub(crate) fn as_migration<T>(&self, run: impl FnOnce(&Connection) -> T) -> T {
        let _end = Turn::begin(self, Author::Migration, Watch::default());
        run(&self.connection)
    }

    fn run_as<T>(&self, author: Author, stop: Option<Stop>, run: impl FnOnce(&Connection) -> T) -> T {
        let deadline = Some(Instant::now() + self.statement_timeout);
        let _end = Turn::begin(self, author, Watch { deadline, stop });
        run(&self.connection)
    }
}

/// Gives the connection back to the plugin on drop, also after a panic.
struct Turn<'a>(&'a Link);

impl<'a> Turn<'a> {
    fn begin(link: &'a Link, author: Author, watch: Watch) -> Self {
        *link.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch;
        link.author.store(author as u8, Ordering::Relaxed);
        Self(link)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.author.store(Author::Plugin as u8, Ordering::Relaxed);
        *self.0.watch.lock().unwrap_or_else(PoisonError::into_inner) = Watch::default();
    }
}

fn is_over(watch: &Mutex<Watch>) -> bool {
    let watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
    let stopped =
        |stop: &Stop| stop.abandoned.load(Ordering::Relaxed) || stop.leaving.load(Ordering::Relaxed);
    watch.stop.as_ref().is_some_and(stopped)
        || watch.deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Transactions, other files and pragmas are reserved for this plugin.
fn may(author: u8, action: &AuthAction<'_>) -> bool {
    if author == Author::Plugin as u8 {
        return true;
    }
    match *action {
        // `ALTER TABLE … ADD COLUMN` with a constraint checks the existing rows with it.
        AuthAction::Pragma { pragma_name, .. } => {
            author == Author::Migration as u8 && pragma_name.eq_ignore_ascii_case("quick_check")
        }
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::CreateTempIndex { .. } => false,
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. } => {
            ![MIGRATIONS_TABLE, IDENTITY_TABLE, BATCHES_TABLE].contains(&table_name)
        }
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Unknown { .. } => false,
        _ => true,
    }
}

fn pages(bytes: u64, page: i64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).checked_div(page).unwrap_or(1).clamp(1, i64::from(u32::MAX) - 1)
}
