//! The one thread that writes to a namespace. It takes all waiting batches, runs them in one transaction with
//! a savepoint each, commits once, and only then answers: durability costs one fsync for the whole group, and
//! a batch that fails rolls back alone.
//!
//! It never answers a batch that is not on disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::Connection;
use streamgate_contracts::database::v1::{MigrateResponse, Migration, Statement, StatementResult};
use streamgate_plugin_api::failpoint;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::answered::Answered;
use crate::condition::{Condition, Reporter};
use crate::connection::{Link, LinkOptions};
use crate::error::{Class, SqlError};
use crate::migrate;
use crate::reserve::Reserve;
use crate::statement::{Allowance, changes_schema, execute};

/// After this time without a batch the log is written back into the file.
const IDLE: Duration = Duration::from_secs(20);

type Results = Vec<StatementResult>;

/// A batch and its waiting caller.
pub(crate) struct Batch {
    pub(crate) statements: Vec<Statement>,
    /// It may use the reserve.
    pub(crate) frees_space: bool,
    /// Empty: a repetition is not safe.
    pub(crate) key: Bytes,
    pub(crate) allowance: Allowance,
    pub(crate) reply: oneshot::Sender<Result<Results, SqlError>>,
    /// Its place in the queue, freed when it is answered.
    pub(crate) place: OwnedSemaphorePermit,
}

/// The requests to the writer.
pub(crate) enum Command {
    Batch(Batch),
    Migrate { migrations: Vec<Migration>, reply: oneshot::Sender<Result<MigrateResponse, SqlError>> },
}

/// The state of the thread.
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) options: LinkOptions,
    pub(crate) group: usize,
    pub(crate) link: Link,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) report: Arc<Reporter>,
    pub(crate) answered: Answered,
    /// Something was written since the log was last emptied.
    pub(crate) dirty: bool,
}

/// The result of one attempt to commit a group.
enum Attempt {
    /// Committed: an outcome for each batch.
    Done(Vec<Result<Results, SqlError>>),
    /// The batch at this index rolled back the whole transaction.
    Spoiled(usize, SqlError),
    /// The transaction could not begin: nothing was attempted.
    Refused(SqlError),
    /// The commit failed: nothing took effect.
    Failed(SqlError),
}

impl Attempt {
    /// Whether there was no space for a deletion.
    fn met_a_full_disk(&self, group: &[Batch]) -> bool {
        match self {
            Self::Done(_) => false,
            Self::Spoiled(index, error) => error.class == Class::Full && group[*index].frees_space,
            Self::Refused(error) | Self::Failed(error) => {
                error.class == Class::Full && group.iter().any(|batch| batch.frees_space)
            }
        }
    }
}

/// Reports a panic of the thread.
struct Watchdog(Arc<Reporter>);

impl Drop for Watchdog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set(Condition::Unhealthy("the writer panicked; restart the plugin".into()));
        }
    }
}

impl Writer {
    /// Runs until all senders are dropped and the queue is empty, then closes the file cleanly.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let _watchdog = Watchdog(self.report.clone());
        let mut waiting = None;
        loop {
            let command = match waiting.take() {
                Some(command) => command,
                None => match commands.recv_timeout(IDLE) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => {
                        while self.forget() {}
                        self.checkpoint();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                },
            };
            match command {
                Command::Migrate { migrations, reply } => {
                    let result = migrate::run(&self.link, &self.reserve, &migrations);
                    self.observe(result.as_ref().err());
                    self.dirty = true;
                    // The caller may have gone away; the migrations stay.
                    let _ = reply.send(result);
                }
                Command::Batch(first) => {
                    let mut group = vec![first];
                    while group.len() < self.group && waiting.is_none() {
                        match commands.try_recv() {
                            Ok(Command::Batch(batch)) => group.push(batch),
                            Ok(other) => waiting = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.commit(group);
                    self.forget();
                }
            }
        }
        self.checkpoint();
        let _ = self.link.own().execute_batch("PRAGMA optimize");
    }

    /// Answers every batch of the group. Each iteration removes at least one.
    fn commit(&mut self, mut group: Vec<Batch>) {
        group.retain(|batch| !batch.reply.is_closed());
        self.refuse_what_fits_no_more(&mut group);
        let mut refused = false;
        while !group.is_empty() {
            let attempt = self.attempt(&group);
            if attempt.met_a_full_disk(&group) && self.reserve.release() {
                // Once, because this may restore the reserve: another disk may be the full one.
                if !std::mem::replace(&mut refused, true) {
                    self.refuse_what_fits_no_more(&mut group);
                }
                continue;
            }
            match attempt {
                Attempt::Done(outcomes) => {
                    self.dirty = true;
                    self.observe(None);
                    for (batch, outcome) in group.drain(..).zip(outcomes) {
                        answer(batch, outcome);
                    }
                }
                Attempt::Spoiled(index, error) => {
                    self.observe(Some(&error));
                    answer(group.remove(index), Err(error));
                }
                // A batch that does not fit on the disk, or that a check at the commit refuses, must not fail
                // the others of its group.
                Attempt::Failed(error) if group.len() > 1 && error.class != Class::Broken => {
                    let rest = group.split_off(1);
                    self.commit(group);
                    group = rest;
                }
                Attempt::Refused(error) => self.answer_all(&mut group, &error),
                Attempt::Failed(error) => self.answer_all(&mut group, &error.of_commit()),
            }
        }
    }

    fn answer_all(&mut self, group: &mut Vec<Batch>, error: &SqlError) {
        self.observe(Some(error));
        for batch in group.drain(..) {
            answer(batch, Err(error.clone()));
        }
    }

    /// Answers the ordinary batches when only the reserve is left, or not even that.
    fn refuse_what_fits_no_more(&self, group: &mut Vec<Batch>) {
        if group.iter().all(|batch| batch.frees_space) {
            return;
        }
        if let Err(error) = self.reserve.hold() {
            self.report.set(Condition::Unhealthy(format!("cannot write: {error}")));
            for batch in group.extract_if(.., |batch| !batch.frees_space) {
                // Batches that took effect before the disk was full are not refused now.
                let before = self.answered.find(self.link.own(), &batch.key);
                let outcome = before.ok().flatten().ok_or_else(|| error.clone());
                answer(batch, outcome);
            }
        }
    }

    fn attempt(&mut self, group: &[Batch]) -> Attempt {
        if let Err(error) = self.link.own().execute_batch("BEGIN IMMEDIATE") {
            return Attempt::Refused(error.into());
        }
        if let Err(error) = self.answered.begin(self.link.own()) {
            roll_back(self.link.own());
            return Attempt::Refused(error);
        }
        let mut outcomes = Vec::with_capacity(group.len());
        for (index, batch) in group.iter().enumerate() {
            match self.run_batch(batch) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    roll_back(self.link.own());
                    return Attempt::Spoiled(index, error);
                }
            }
        }
        let own = self.link.own();
        if outcomes.iter().all(Result::is_err) {
            roll_back(own);
            return Attempt::Done(outcomes);
        }
        failpoint("sqlite.before-commit");
        match own.execute_batch("COMMIT") {
            Ok(()) => {
                failpoint("sqlite.committed");
                self.answered.committed(Instant::now());
                Attempt::Done(outcomes)
            }
            Err(error) => {
                roll_back(own);
                Attempt::Failed(error.into())
            }
        }
    }

    /// The inner result is the batch's own; an outer error means that the transaction is lost.
    fn run_batch(&mut self, batch: &Batch) -> Result<Result<Results, SqlError>, SqlError> {
        let own = self.link.own();
        if let Some(before) = self.answered.find(own, &batch.key)? {
            return Ok(Ok(before));
        }
        own.execute_batch("SAVEPOINT batch")?;
        let mut allowance = batch.allowance.clone();
        let changes = own.total_changes();
        let outcome = self.link.as_client(|connection| {
            let numbered = batch.statements.iter().enumerate();
            numbered
                .map(|(index, statement)| {
                    execute(connection, statement, &mut allowance).map_err(|error| error.at(index))
                })
                .collect::<Result<Results, SqlError>>()
        });
        // In the savepoint, so that the answer is kept with the effect, or neither is.
        let outcome = outcome.and_then(|results| {
            let changed = own.total_changes() != changes || batch.statements.iter().any(changes_schema);
            if changed { self.answered.keep(own, &batch.key, results) } else { Ok(results) }
        });
        match outcome {
            Ok(results) => {
                own.execute_batch("RELEASE batch")?;
                Ok(Ok(results))
            }
            // A full disk, an I/O error and an interrupt make SQLite roll back everything.
            Err(error) if own.is_autocommit() => Err(error),
            Err(error) => {
                own.execute_batch("ROLLBACK TO batch; RELEASE batch")?;
                Ok(Err(error))
            }
        }
    }

    /// Reports what a commit shows about the file, and replaces a connection after an I/O error.
    fn observe(&mut self, error: Option<&SqlError>) {
        let Some(error) = error else {
            self.report.set(Condition::Healthy);
            return;
        };
        match error.class {
            Class::Full => self.report.set(Condition::Unhealthy(format!("cannot write: {error}"))),
            Class::Broken | Class::InDoubt => self.report.set(Condition::Unhealthy(error.to_string())),
            _ => {}
        }
        if error.spoils_connection() || !self.link.own().is_autocommit() {
            match Link::writer(&self.path, &self.options) {
                Ok(link) => self.link = link,
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "cannot reopen the database")
                }
            }
        }
    }

    /// Removes a bounded number of expired answers; whether there may be more.
    fn forget(&mut self) -> bool {
        match self.answered.forget(self.link.own(), Instant::now()) {
            Ok(forgotten) => {
                self.dirty |= forgotten;
                forgotten
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove old answers; will retry");
                false
            }
        }
    }

    fn checkpoint(&mut self) {
        if !self.dirty {
            return;
        }
        let emptied =
            self.link.own().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match emptied {
            Ok(busy) => self.dirty = busy != 0,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot empty the write-ahead log")
            }
        }
    }
}

/// Ends a failed transaction, if there is one.
pub(crate) fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(error) = connection.execute_batch("ROLLBACK") {
        tracing::error!(%error, "cannot roll back");
    }
}

fn answer(batch: Batch, outcome: Result<Results, SqlError>) {
    let Batch { reply, place, .. } = batch;
    drop(place);
    // The caller may have gone away; what is committed stays.
    let _ = reply.send(outcome);
}
