//! The plugin's namespace, and the data it takes over from `chain-evm`, which had the registries before.
//!
//! The copy is made once, before anything is read or sent, and a row marks it as complete. A process that
//! ends before that row is written repeats the copy over the existing rows, so that no key of a transaction
//! is ever missing, and none belongs to two.

use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::value::Kind;
use streamgate_contracts::database::v1::{QueryRequest, Row, Value};
use streamgate_contracts::db::{Db, DbError, Migrations, Param, params, places};
use streamgate_contracts::{MAX_MESSAGE_BYTES, audit, outbox};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::time::now_ms;
use tonic::{Code, Status};

/// The namespace of `chain-evm`.
const BEFORE: &str = "chain_evm";
/// Rows that are copied at once.
const PAGE: usize = 250;
/// What is copied: tables, their order, and their columns.
const TABLES: [(&str, &str, &str); 7] = [
    (
        "transaction_queue",
        "chain, key",
        "chain, key, place, recipient, data, state, signer, nonce, block_number, block_hash, detail",
    ),
    (
        "transaction_signed",
        "chain, key, attempt",
        "chain, key, attempt, hash, raw, gas, max_fee, priority_fee, at",
    ),
    ("transaction_change", "chain, key, change", "chain, key, change, state, detail, at"),
    ("registry_place", "chain, registry", "chain, registry, number, hash"),
    (
        "registry_log",
        "chain, registry, block_hash, log_index",
        "chain, registry, block_hash, log_index, number, content, kind, event",
    ),
    (
        "publication",
        "chain, registry, content",
        "chain, registry, content, attempt, key, action, cid, policy, asked, trouble, at",
    ),
    ("audit", "id", "id, entry"),
];

/// Why the namespace cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The plugin's own.
    #[error(transparent)]
    Db(#[from] DbError),
    /// That of `chain-evm`.
    #[error("the registry data of `chain-evm` cannot be taken over: {0}")]
    Before(String),
}

impl From<Status> for StoreError {
    fn from(status: Status) -> Self {
        Self::Before(status.message().to_owned())
    }
}

/// A stored text that is invalid.
pub(crate) fn broken(what: &str) -> DbError {
    DbError::Other { message: format!("a row holds no {what}") }
}

/// Opens the namespace, with all earlier data.
pub(crate) async fn open(client: Client) -> Result<Db, StoreError> {
    let migrations = Migrations::new(&[
        ("0001_registry", include_str!("../migrations/0001_registry.sql")),
        ("0002_publication", include_str!("../migrations/0002_publication.sql")),
        ("0003_audit", audit::TABLE),
        ("0004_outbox", outbox::TABLE),
        ("0005_taken_over", include_str!("../migrations/0005_taken_over.sql")),
    ]);
    let db = Db::open(client.clone(), "registry_evm", migrations).await?;
    take_over(&db, client).await?;
    Ok(db)
}

async fn take_over(db: &Db, client: Client) -> Result<(), StoreError> {
    if db.query_opt("SELECT at FROM taken_over", params![]).await?.is_some() {
        return Ok(());
    }
    let mut before = DatabaseClient::new(client).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut copied = 0;
    // Without `chain-evm` there may be no such namespace, and then no data.
    match read(&mut before, "SELECT 1", Vec::new()).await {
        Err(status) if status.code() == Code::InvalidArgument => {}
        found => {
            found?;
            for table in TABLES {
                copied += copy(db, &mut before, table).await?;
            }
        }
    }
    db.execute("INSERT INTO taken_over (at) VALUES ($1) ON CONFLICT DO NOTHING", params![now_ms()]).await?;
    if copied > 0 {
        tracing::info!(rows = copied, "the registry data of `chain-evm` was taken over");
    }
    Ok(())
}

async fn copy(
    db: &Db,
    before: &mut DatabaseClient<Client>,
    (table, order, columns): (&str, &str, &str),
) -> Result<usize, StoreError> {
    let select = format!("SELECT {columns} FROM {table} ORDER BY {order} LIMIT $1 OFFSET $2");
    let places = places(columns.split(',').count());
    let insert = format!("INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING");
    let mut copied = 0;
    loop {
        let rows = read(before, &select, vec![integer(PAGE), integer(copied)]).await?;
        let count = rows.len();
        let values = rows.into_iter().map(|row| row.values.into_iter().map(Param::from).collect());
        values.fold(db.batch(), |batch, values| batch.push(&insert, values)).run().await?;
        copied += count;
        if count < PAGE {
            return Ok(copied);
        }
    }
}

fn integer(number: usize) -> Value {
    Value { kind: Some(Kind::Integer(number as i64)) }
}

async fn read(
    before: &mut DatabaseClient<Client>,
    sql: &str,
    params: Vec<Value>,
) -> Result<Vec<Row>, Status> {
    let (namespace, sql) = (BEFORE.to_owned(), sql.to_owned());
    let request = QueryRequest { namespace, sql, params, ..QueryRequest::default() };
    Ok(before.query(request).await?.into_inner().rows)
}
