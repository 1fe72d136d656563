//! The registry data of `chain-evm`, from before the registry was a plugin of its own, is taken over once and
//! completely.
#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use serde_json::json;
use streamgate_contracts::chain::v1::content_registry_client::ContentRegistryClient;
use streamgate_contracts::chain::v1::{GetTransactionRequest, Transaction, TransactionState};
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::value::Kind;
use streamgate_contracts::database::v1::{ExecuteRequest, QueryRequest, Statement};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::caller::CALLER;
use streamgate_plugin_api::grants::Access;
use streamgate_registry_evm::{Clients, Standalone, StoreError};
use streamgate_sqlite::Engine;
use support::{Both, CHAIN, name, settings};
use tempfile::TempDir;
use world::World;

const TABLES: [&str; 7] = [
    "transaction_queue",
    "transaction_signed",
    "transaction_change",
    "registry_place",
    "registry_log",
    "publication",
    "audit",
];
/// More than are copied at once, twice.
const ROWS: i64 = 601;

/// The database, as the kernel passes it to the plugin, of which `calls` are answered.
fn database(engine: &Engine, calls: i64) -> Client {
    let left = Arc::new(AtomicI64::new(calls));
    let answers = middleware::from_fn(move |mut request: Request, next: Next| {
        let answered = left.fetch_sub(1, Ordering::SeqCst) > 0;
        request.headers_mut().insert(CALLER, HeaderValue::from_static("registry-evm"));
        async move { if answered { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() } }
    });
    Client::from_service(engine.router().layer(answers))
}

fn engine(folder: &TempDir) -> Engine {
    let mut settings = streamgate_sqlite::Settings::default();
    settings.grants.insert("chain_evm".into(), [("registry-evm".into(), Access::Read)].into());
    Engine::new(folder.path(), settings)
}

async fn execute(engine: &Engine, statements: Vec<String>) {
    let statements = statements.into_iter().map(|sql| Statement { sql, ..Statement::default() }).collect();
    let request = ExecuteRequest { namespace: "chain_evm".into(), statements, ..ExecuteRequest::default() };
    DatabaseClient::new(Client::from_service(engine.router())).execute(request).await.unwrap();
}

async fn counts(engine: &Engine, namespace: &str) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let request = QueryRequest { namespace: namespace.into(), sql, ..QueryRequest::default() };
        let answer = DatabaseClient::new(Client::from_service(engine.router())).query(request).await.unwrap();
        let Some(Kind::Integer(count)) = answer.into_inner().rows[0].values[0].kind else {
            panic!("{table}")
        };
        counts.push(count);
    }
    counts
}

/// What an earlier version left: waiting transactions, a signed and sent one, and the rest.
fn left(registry: &str) -> Vec<String> {
    let chain = format!("eip155:{CHAIN}");
    let mut rows: Vec<String> = (1..ROWS)
        .map(|place| {
            format!(
                "INSERT INTO transaction_queue (chain, key, place, recipient, data, state, detail) VALUES \
                 ('{chain}', 'waits-{place}', {place}, '0x00000000000000000000000000000000000000aa', '0x01', \
                 'failed', 'it would revert')"
            )
        })
        .collect();
    rows.extend([
        format!(
            "INSERT INTO transaction_queue VALUES ('{chain}', 'sent', {ROWS}, \
             '0x00000000000000000000000000000000000000aa', '0x02', 'confirmed', \
             '0x00000000000000000000000000000000000000bb', 7, 5, '0x{0}', 'done')",
            "ab".repeat(32)
        ),
        format!(
            "INSERT INTO transaction_signed VALUES ('{chain}', 'sent', 1, '0x{0}', '0x02', 1, '2', '3', 4)",
            "cd".repeat(32)
        ),
        format!("INSERT INTO transaction_change VALUES ('{chain}', 'sent', 1, 'confirmed', 'done', 4)"),
        format!("INSERT INTO registry_place VALUES ('{chain}', '{registry}', 5, '0x{0}')", "ab".repeat(32)),
        format!(
            "INSERT INTO registry_log VALUES ('{chain}', '{registry}', '0xab', 0, 5, 'x', 'set', '{{}}')"
        ),
        format!(
            "INSERT INTO publication VALUES ('{chain}', '{registry}', 'x', 1, 'sent', 'register', '0x01', \
             '0x02', 0, '', 4)"
        ),
        "INSERT INTO audit VALUES ('0190', '{\"action\":\"registry.publish\",\"principal\":\"p\",\
         \"subject\":\"x\",\"detail\":\"\"}')"
            .to_owned(),
    ]);
    rows
}

async fn start(database: Client, reads: Client, settings: Both) -> Result<Standalone, StoreError> {
    Standalone::start(database, reads, Clients::none(), settings.registry, |_| {}).await
}

async fn transaction(running: &Standalone, key: &str) -> Result<Transaction, tonic::Status> {
    let request = GetTransactionRequest { chain: format!("eip155:{CHAIN}"), key: key.into() };
    let mut client = ContentRegistryClient::new(Client::from_service(running.router()));
    Ok(client.get_transaction(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_before_is_taken_over_whole_however_often_that_is_cut_short() {
    let world = World::new().await;
    let engine = engine(&world.folder);
    let wanted = || settings(&[&world.anvil.url], json!({ "registry": name(world.registry) }));
    let chain = support::chain(Client::from_service(engine.router()), wanted().chain).await;
    let reads = || Client::from_service(chain.router());
    execute(&engine, left(&name(world.registry))).await;

    let mut cut_short = 0;
    loop {
        // Without a registry in the settings only the copy touches these rows.
        match start(database(&engine, 2 + cut_short), reads(), settings(&[], json!({}))).await {
            Ok(running) => break running.stop().await,
            Err(_) => cut_short += 1,
        }
    }
    assert!(cut_short > 10, "{cut_short}");
    assert_eq!(counts(&engine, "registry_evm").await, [ROWS, 1, 1, 1, 1, 1, 1]);
    let running = start(database(&engine, i64::MAX), reads(), wanted()).await.unwrap();
    let sent = transaction(&running, "sent").await.unwrap();
    assert_eq!((sent.state(), sent.nonce, sent.hashes.len()), (TransactionState::Confirmed, Some(7), 1));
    assert_eq!((sent.block, sent.history.len()), (Some(5), 1));
    assert_eq!(transaction(&running, "waits-600").await.unwrap().nonce, None);
    running.stop().await;

    // Once: what is missing then never comes.
    execute(&engine, vec!["UPDATE transaction_queue SET key = 'late' WHERE key = 'waits-1'".into()]).await;
    let running = start(database(&engine, i64::MAX), reads(), wanted()).await.unwrap();
    assert!(transaction(&running, "late").await.is_err());
    assert!(transaction(&running, "waits-1").await.is_ok());
    running.stop().await;
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_what_was_kept_before_nothing_begins_and_the_key_is_named() {
    let folder = TempDir::new().unwrap();
    let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
    let chain = support::chain(Client::from_service(engine.router()), settings(&[], json!({})).chain).await;
    let reads = Client::from_service(chain.router());
    let refused = start(database(&engine, i64::MAX), reads, settings(&[], json!({}))).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("grants.chain_evm.registry-evm = \"read\""), "{refused}");
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_kept_before_there_is_nothing_to_take_over() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder);
    let nobody = Client::from_service(axum::Router::new());
    let running = start(database(&engine, i64::MAX), nobody, settings(&[], json!({}))).await.unwrap();
    assert_eq!(counts(&engine, "registry_evm").await, [0; 7]);
    running.stop().await;
}
