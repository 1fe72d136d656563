//! [`Db`]: a plugin's SQL client. It calls the provider of the `database` capability, in one namespace; it
//! has no connection and no cache.
//!
//! A batch whose answer was lost (the database was killed while it answered) is repeated, for up to 20
//! seconds, under a key that makes this harmless: it takes effect at most once, and its answer is that of the
//! first time. What fails before the database has begun is never repeated here ([`DbError::Unavailable`]).
//!
//! ```no_run
//! use streamgate_contracts::db::{Db, Migrations, params};
//!
//! # async fn example(host: streamgate_plugin_api::Host) -> Result<(), streamgate_contracts::db::DbError> {
//! let migrations = Migrations::new(&[("0001_init", "CREATE TABLE note (id TEXT PRIMARY KEY, stars BIGINT NOT NULL)")]);
//! let db = Db::open(host.service("database"), "notes", migrations).await?;
//! db.batch()
//!     .push("INSERT INTO note (id, stars) VALUES ($1, $2)", params!["a", 3])
//!     .push_expect("UPDATE note SET stars = stars + 1 WHERE id = $1", params!["a"], 1)
//!     .run()
//!     .await?;
//! for row in db.query("SELECT id, stars FROM note WHERE stars > $1", params![2]).await? {
//!     let (id, stars): (String, u32) = (row.get("id")?, row.get("stars")?);
//!     println!("{id}: {stars}");
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod value;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamgate_plugin_api::Client;
use streamgate_plugin_api::backoff::Backoff;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::MAX_MESSAGE_BYTES;
use crate::database::v1::database_client::DatabaseClient;
use crate::database::v1::{
    ExecuteRequest, MigrateRequest, Migration, QueryRequest, QueryResponse, Row as WireRow, Statement,
    StatementResult, Value,
};

pub use crate::params;
pub use error::{DbError, STATEMENT_INDEX};
pub use value::{FromValue, Param};

/// How long a batch whose answer was lost is repeated, by default.
const REPEAT_WITHIN: Duration = Duration::from_secs(20);
/// Providers keep the key of a batch for two minutes.
const LONGEST_REPEAT: Duration = Duration::from_secs(60);
/// How often an interrupted query is retried: once for each swap of the provider.
const QUERY_TRIES: usize = 4;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(1) };

/// Parameters of a statement, for `$1`, `$2`, …: integers, floats, `bool` (as 0 or 1),
/// text, bytes, and `Option` of these (`None` is NULL).
#[macro_export]
macro_rules! params {
    () => { ::std::vec::Vec::<$crate::db::Param>::new() };
    ($($value:expr),+ $(,)?) => { ::std::vec![$($crate::db::Param::from($value)),+] };
}

/// The migrations of a namespace, in order; the first is version 1. A migration that has
/// once run anywhere must never change: the database compares checksums.
#[derive(Debug, Clone, Default)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// From pairs of name and SQL (one or more statements).
    pub fn new(migrations: &[(&str, &str)]) -> Self {
        let numbered = (1..).zip(migrations);
        Self(
            numbered
                .map(|(version, (name, sql))| Migration { version, name: (*name).into(), sql: (*sql).into() })
                .collect(),
        )
    }
}

/// One namespace of the database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    client: DatabaseClient<Client>,
    namespace: Arc<str>,
    repeat_within: Duration,
    /// A batch added events, see [`crate::outbox`].
    events_added: Arc<Notify>,
}

impl Db {
    /// Migrates the namespace to the last migration. `namespace` is
    /// `[a-z][a-z0-9_]{0,62}`, by convention the plugin's name.
    ///
    /// # Errors
    /// [`DbError::Migration`] if an applied migration differs or is unknown here.
    pub async fn open(client: Client, namespace: &str, migrations: Migrations) -> Result<Self, DbError> {
        let mut client = DatabaseClient::new(client)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let request = MigrateRequest { namespace: namespace.into(), migrations: migrations.0 };
        client.migrate(request).await.map_err(DbError::from_migrate)?;
        Ok(Self {
            client,
            namespace: namespace.into(),
            repeat_within: REPEAT_WITHIN,
            events_added: Arc::default(),
        })
    }

    /// Repeats batches whose answers are lost for this long, at most a minute; the default is 20 seconds.
    #[must_use]
    pub fn repeat_within(self, limit: Duration) -> Self {
        Self { repeat_within: limit.min(LONGEST_REPEAT), ..self }
    }

    /// Notified by each batch that may have added events.
    pub(crate) fn events_added(&self) -> &Notify {
        &self.events_added
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Reads rows. Sees every batch that was acknowledged before the call.
    ///
    /// # Errors
    /// [`DbError::TooManyRows`] beyond the server's limit (10,000): use `LIMIT`.
    pub async fn query(&self, sql: &str, params: Vec<Param>) -> Result<Rows, DbError> {
        let request = QueryRequest {
            namespace: self.namespace.to_string(),
            sql: sql.into(),
            params: value::into_wire(params, 0)?,
            max_rows: 0,
        };
        for _ in 1..QUERY_TRIES {
            match self.client.clone().query(request.clone()).await {
                Err(status) if status.code() == Code::Aborted => {}
                answer => return rows(answer),
            }
        }
        rows(self.client.clone().query(request).await)
    }

    /// Reads the first row, if there is one.
    ///
    /// # Errors
    /// As [`Db::query`].
    pub async fn query_opt(&self, sql: &str, params: Vec<Param>) -> Result<Option<Row>, DbError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Reads the first row, which must exist.
    ///
    /// # Errors
    /// [`DbError::NotFound`] if there is none.
    pub async fn query_one(&self, sql: &str, params: Vec<Param>) -> Result<Row, DbError> {
        self.query_opt(sql, params).await?.ok_or(DbError::NotFound)
    }

    /// Runs one statement, durable when it returns; returns the number of affected rows.
    ///
    /// # Errors
    /// As [`Batch::run`].
    pub async fn execute(&self, sql: &str, params: Vec<Param>) -> Result<u64, DbError> {
        Ok(self.batch().push(sql, params).run_one().await?.rows_affected)
    }

    /// Runs one statement with a `RETURNING` clause, durable when it returns.
    ///
    /// # Errors
    /// As [`Batch::run`].
    pub async fn execute_returning(&self, sql: &str, params: Vec<Param>) -> Result<Rows, DbError> {
        Ok(self.batch().push(sql, params).run_one().await?.rows)
    }

    /// Begins a batch: statements that take effect together or not at all.
    pub fn batch(&self) -> Batch {
        Batch {
            db: self.clone(),
            statements: Vec::new(),
            frees_space: false,
            events: Vec::new(),
            invalid: None,
        }
    }
}

/// Statements that run in one transaction. Does nothing until [`Batch::run`].
#[derive(Debug, Clone)]
#[must_use = "a batch does nothing until `run`"]
pub struct Batch {
    db: Db,
    statements: Vec<Statement>,
    frees_space: bool,
    /// Which of the statements write events. They are not the caller's: neither outcomes nor the indexes in
    /// errors include them.
    events: Vec<usize>,
    invalid: Option<String>,
}

impl Batch {
    /// Adds a statement.
    pub fn push(self, sql: &str, params: Vec<Param>) -> Self {
        self.add(sql, params, None)
    }

    /// Adds a statement that must affect exactly `rows` rows, else the whole batch rolls
    /// back with [`DbError::Conflict`].
    pub fn push_expect(self, sql: &str, params: Vec<Param>, rows: u64) -> Self {
        self.add(sql, params, Some(rows))
    }

    /// The batch deletes, or records what is to be deleted: on a full disk it may use the database's reserve
    /// for deletions. Only for batches that end in more free space.
    pub fn frees_space(self) -> Self {
        Self { frees_space: true, ..self }
    }

    /// Adds a statement that writes events.
    pub(crate) fn push_event(mut self, sql: &str, params: Vec<Param>) -> Self {
        self.events.push(self.statements.len());
        self.add(sql, params, None)
    }

    /// Marks the batch as invalid.
    pub(crate) fn spoilt(mut self, message: String) -> Self {
        self.invalid.get_or_insert(message);
        self
    }

    fn add(mut self, sql: &str, params: Vec<Param>, expect_rows: Option<u64>) -> Self {
        match value::into_wire(params, self.statements.len()) {
            Ok(params) => self.statements.push(Statement { sql: sql.into(), params, expect_rows }),
            Err(error) => {
                self.invalid.get_or_insert(error.to_string());
                self.statements.push(Statement::default());
            }
        }
        self
    }

    /// The number of statements, without those that write events.
    pub fn len(&self) -> usize {
        self.statements.len() - self.events.len()
    }

    /// Whether there is no statement.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs the batch; one outcome for each statement except those that write events, in order. An empty
    /// batch returns at once. One whose answer is lost is repeated for up to 20 seconds, which never applies
    /// it twice.
    ///
    /// # Errors
    /// [`DbError::Conflict`], [`DbError::UniqueViolation`] or any other: nothing took
    /// effect, except after [`DbError::Unknown`], where it may have.
    pub async fn run(self) -> Result<Vec<Outcome>, DbError> {
        if let Some(message) = self.invalid {
            return Err(DbError::Invalid { message });
        }
        if self.statements.is_empty() {
            return Ok(Vec::new());
        }
        let expected = self.statements.len();
        let request = ExecuteRequest {
            namespace: self.db.namespace.to_string(),
            statements: self.statements,
            frees_space: self.frees_space,
            // In the order of time, so that keys of the same time are adjacent in the database.
            idempotency_key: Bytes::copy_from_slice(Uuid::now_v7().as_bytes()),
        };
        let answer = execute(&self.db, request).await;
        if !self.events.is_empty() {
            // Also after a failure: a batch whose outcome is unknown may have taken effect.
            self.db.events_added.notify_one();
        }
        let own = |index: usize| index - self.events.iter().filter(|event| **event < index).count();
        let results = answer.map_err(|error| error.renumbered(own))?;
        if results.len() != expected {
            return Err(DbError::Unknown {
                message: format!("the database answered {} results to {expected} statements", results.len()),
            });
        }
        let own = results.into_iter().enumerate().filter(|(index, _)| !self.events.contains(index));
        Ok(own.map(|(_, result)| Outcome::from(result)).collect())
    }

    async fn run_one(self) -> Result<Outcome, DbError> {
        let outcome = self.run().await?.pop();
        outcome.ok_or_else(|| DbError::Unknown { message: "the database answered without a result".into() })
    }
}

/// A list of parameters in SQL: `$1, $2` for two.
pub fn places(count: usize) -> String {
    let places: Vec<_> = (1..=count).map(|number| format!("${number}")).collect();
    places.join(", ")
}

fn rows(answer: Result<Response<QueryResponse>, Status>) -> Result<Rows, DbError> {
    let answer = answer.map_err(DbError::from_harmless)?.into_inner();
    Ok(Rows::new(answer.columns, answer.rows))
}

/// Sends a batch, and repeats it while its outcome is unknown.
async fn execute(db: &Db, request: ExecuteRequest) -> Result<Vec<StatementResult>, DbError> {
    let mut doubt: Option<(Instant, String)> = None;
    let mut failures = 0;
    loop {
        let error = match db.client.clone().execute(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner().results),
            Err(status) => DbError::from_status(status),
        };
        doubt = match (error, doubt) {
            (DbError::Unknown { message }, None) => Some((Instant::now(), message)),
            // Refused before its key was checked: that says nothing about earlier attempts.
            (
                DbError::Unknown { .. }
                | DbError::Unavailable { .. }
                | DbError::Full { .. }
                | DbError::Other { .. },
                Some(doubt),
            ) => Some(doubt),
            // The database would have recognized the key of a batch that took effect.
            (error, _) => return Err(error),
        };
        if let Some((since, message)) = &doubt
            && since.elapsed() >= db.repeat_within
        {
            return Err(DbError::Unknown { message: message.clone() });
        }
        failures += 1;
        tokio::time::sleep(BACKOFF.after(failures)).await;
    }
}

/// The outcome of one statement of a batch.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Rows inserted, updated or deleted.
    pub rows_affected: u64,
    /// The rows of a `RETURNING` clause.
    pub rows: Rows,
}

impl From<StatementResult> for Outcome {
    fn from(result: StatementResult) -> Self {
        Self { rows_affected: result.rows_affected, rows: Rows::new(result.columns, result.rows) }
    }
}

/// Rows in the order of the query. Iterate over it to get [`Row`]s.
#[derive(Debug, Clone)]
pub struct Rows {
    columns: Arc<[String]>,
    rows: Vec<WireRow>,
}

impl Rows {
    fn new(columns: Vec<String>, rows: Vec<WireRow>) -> Self {
        Self { columns: columns.into(), rows }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first row, if there is one.
    pub fn first(self) -> Option<Row> {
        self.into_iter().next()
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = RowsIter;

    fn into_iter(self) -> RowsIter {
        RowsIter { columns: self.columns, rows: self.rows.into_iter() }
    }
}

/// The iterator over [`Rows`].
#[derive(Debug)]
pub struct RowsIter {
    columns: Arc<[String]>,
    rows: std::vec::IntoIter<WireRow>,
}

impl Iterator for RowsIter {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.rows.next()?;
        Some(Row { columns: self.columns.clone(), values: row.values })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl ExactSizeIterator for RowsIter {}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The value of a column by its name. `Option<T>` accepts NULL.
    ///
    /// # Errors
    /// [`DbError::Column`] if there is no such column, or its value is not a `T`.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, DbError> {
        let failed = |reason: String| DbError::Column { column: column.to_owned(), reason };
        let index = self.columns.iter().position(|name| name == column);
        let value = index.and_then(|index| self.values.get(index)).ok_or_else(|| {
            failed(format!("there is no such column; the row has {}", self.columns.join(", ")))
        })?;
        T::from_value(value).map_err(failed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::database::v1::value::Kind;

    fn row() -> Row {
        let kinds = [Some(Kind::Integer(-1)), Some(Kind::Text("x".into())), None];
        Row {
            columns: Arc::from(["n".to_owned(), "t".to_owned(), "nothing".to_owned()]),
            values: kinds.into_iter().map(|kind| Value { kind }).collect(),
        }
    }

    #[test]
    fn a_column_is_read_as_the_requested_type() {
        assert_eq!(row().get::<i64>("n").unwrap(), -1);
        assert_eq!(row().get::<String>("t").unwrap(), "x");
        assert_eq!(row().get::<Option<String>>("nothing").unwrap(), None);
        assert_eq!(row().get::<Option<i32>>("n").unwrap(), Some(-1));
    }

    #[test]
    fn a_wrong_type_a_null_and_an_unknown_column_name_the_column() {
        for (column, error) in [
            ("n", row().get::<u64>("n").unwrap_err()),
            ("t", row().get::<i64>("t").unwrap_err()),
            ("nothing", row().get::<String>("nothing").unwrap_err()),
            ("m", row().get::<i64>("m").unwrap_err()),
        ] {
            assert!(error.to_string().contains(&format!("`{column}`")), "{error}");
        }
    }

    #[test]
    fn migrations_are_numbered_from_one() {
        let migrations = Migrations::new(&[("a", "SELECT 1"), ("b", "SELECT 2")]);
        let versions: Vec<u32> = migrations.0.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, [1, 2]);
    }
}
