//! One namespace: its file, its writer thread and its readers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use streamgate_contracts::database::v1::{
    MigrateResponse, Migration, QueryResponse, Statement, StatementResult, Value,
};
use tokio::sync::{Semaphore, oneshot};

use crate::answered::{Answered, LONGEST_KEY};
use crate::condition::{Condition, Reporter};
use crate::connection::{Link, LinkOptions, Stop};
use crate::error::{Class, SqlError};
use crate::ledger::Ledger;
use crate::reserve::Reserve;
use crate::settings::{CheckOnOpen, Settings};
use crate::statement::{Allowance, query};
use crate::writer::{Batch, Command, Writer};

/// An open namespace. When it is dropped, the writer finishes its accepted batches.
pub(crate) struct Namespace {
    commands: mpsc::Sender<Command>,
    places: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    idle_readers: Arc<Mutex<Vec<Link>>>,
    path: PathBuf,
    options: LinkOptions,
    queue_timeout: Duration,
    allowance: Allowance,
    max_statements: usize,
    /// Long queries are stopped.
    leaving: Arc<AtomicBool>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Namespace {
    /// Opens or creates the file. Blocks.
    pub(crate) fn open(
        name: &str,
        path: &Path,
        settings: &Settings,
        reserve: Arc<Reserve>,
        ledger: &Ledger,
        report: Arc<Reporter>,
        leaving: Arc<AtomicBool>,
    ) -> Result<Self, SqlError> {
        let options = settings.link_options();
        let opened = open_checked(path, &options, settings.check_on_open)
            .and_then(|link| ledger.recognize(name, link.own()).map(|()| link));
        let link = opened.inspect_err(|error| report.set(Condition::Unhealthy(error.to_string())))?;
        report.set(Condition::Healthy);
        let (commands, queue) = mpsc::channel();
        let writer = Writer {
            path: path.to_owned(),
            options: options.clone(),
            reserve,
            group: settings.group as usize,
            link,
            report,
            answered: Answered::default(),
            dirty: true,
        };
        let thread = std::thread::Builder::new()
            .name(format!("sqlite-{name}"))
            .spawn(move || writer.run(&queue))
            .map_err(|error| SqlError::new(Class::Busy, format!("cannot start a writer thread: {error}")))?;
        Ok(Self {
            commands,
            places: Arc::new(Semaphore::new(settings.queue as usize)),
            reading: Arc::new(Semaphore::new(settings.readers as usize)),
            idle_readers: Arc::default(),
            path: path.to_owned(),
            options,
            queue_timeout: settings.queue_timeout.get(),
            allowance: Allowance {
                rows: settings.max_rows as usize,
                bytes: usize::try_from(settings.max_result_size.get()).unwrap_or(usize::MAX),
            },
            max_statements: settings.max_statements as usize,
            leaving,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) async fn migrate(&self, migrations: Vec<Migration>) -> Result<MigrateResponse, SqlError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Migrate { migrations, reply })?;
        answer.await.map_err(|_| stopped())?
    }

    pub(crate) async fn execute(
        &self,
        statements: Vec<Statement>,
        frees_space: bool,
        key: Bytes,
    ) -> Result<Vec<StatementResult>, SqlError> {
        if key.len() > LONGEST_KEY {
            let length = key.len();
            return Err(SqlError::invalid(format!(
                "the idempotency key has {length} bytes; at most {LONGEST_KEY} are allowed"
            )));
        }
        if statements.len() > self.max_statements {
            return Err(SqlError::invalid(format!(
                "the batch has {} statements; `max_statements` is {}",
                statements.len(),
                self.max_statements
            )));
        }
        let place = self.turn(&self.places, "the writer").await?;
        let (reply, answer) = oneshot::channel();
        let allowance = self.allowance.clone();
        self.send(Command::Batch(Batch { statements, frees_space, key, allowance, reply, place }))?;
        // The writer answers whatever it accepts, unless it panics.
        answer.await.map_err(|_| SqlError::new(Class::InDoubt, "the writer ended without an answer"))?
    }

    pub(crate) async fn query(
        &self,
        sql: String,
        params: Vec<Value>,
        max_rows: u32,
    ) -> Result<QueryResponse, SqlError> {
        let turn = self.turn(&self.reading, "a reader").await?;
        let mut allowance = self.allowance.clone();
        if max_rows > 0 {
            allowance.rows = allowance.rows.min(max_rows as usize);
        }
        let (idle, path, options) = (self.idle_readers.clone(), self.path.clone(), self.options.clone());
        let stop = Stop { leaving: self.leaving.clone(), ..Stop::default() };
        let guard = Abandon(stop.abandoned.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let link = match pooled {
                Some(link) => link,
                None => Link::reader(&path, &options)?,
            };
            let found =
                link.as_client_unless(stop, |connection| query(connection, &sql, &params, &mut allowance));
            if !found.as_ref().is_err_and(SqlError::spoils_connection) {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
            }
            let (columns, rows) = found?;
            Ok(QueryResponse { columns, rows })
        });
        let answer = reading.await;
        drop(guard);
        let found = answer.map_err(|_| SqlError::new(Class::Broken, "the query panicked"))?;
        found.map_err(|error: SqlError| match error.class {
            Class::TimedOut if self.leaving.load(Ordering::Relaxed) => SqlError::new(
                Class::Interrupted,
                "the database is being handed over to another run; try again",
            ),
            _ => error,
        })
    }

    /// Lets the writer finish, and waits for it. Blocks.
    pub(crate) fn close(self) {
        let Self { commands, thread, idle_readers, .. } = self;
        // Readers first: the last connection to close removes the log.
        idle_readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(commands);
        let thread = thread.into_inner().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a writer thread panicked");
        }
    }

    async fn turn(
        &self,
        places: &Arc<Semaphore>,
        whose: &str,
    ) -> Result<tokio::sync::OwnedSemaphorePermit, SqlError> {
        match tokio::time::timeout(self.queue_timeout, places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(SqlError::new(
                Class::Busy,
                format!(
                    "{whose} did not become free within {:?}; the database is overloaded",
                    self.queue_timeout
                ),
            )),
        }
    }

    fn send(&self, command: Command) -> Result<(), SqlError> {
        self.commands.send(command).map_err(|_| stopped())
    }
}

/// Stops a query whose caller went away.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn open_checked(path: &Path, options: &LinkOptions, check: CheckOnOpen) -> Result<Link, SqlError> {
    let link = Link::writer(path, options)?;
    let pragma = match check {
        CheckOnOpen::Off => return Ok(link),
        CheckOnOpen::Quick => "PRAGMA quick_check(1)",
        CheckOnOpen::Full => "PRAGMA integrity_check(1)",
    };
    let verdict: String = link.own().query_row(pragma, [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(link);
    }
    Err(SqlError::new(
        Class::Broken,
        format!("{} is damaged: {verdict}; restore it from a backup", path.display()),
    ))
}

fn stopped() -> SqlError {
    SqlError::new(Class::Busy, "the database is stopping")
}
