//! Access to namespaces: a plugin's own one, and those granted to it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Fixture, TABLE, count};
use http::{HeaderValue, Request};
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::{ExecuteRequest, QueryRequest, Statement};
use streamgate_contracts::db::{Db, DbError, Migrations, params};
use streamgate_plugin_api::caller::CALLER;
use streamgate_plugin_api::grants::Access;
use streamgate_plugin_api::{Body, Client};
use streamgate_sqlite::Settings;
use tonic::{Code, Status};
use tower::ServiceExt;

/// The database as the kernel hands it to a plugin.
fn client(fixture: &Fixture, plugin: &'static str) -> Client {
    let router = fixture.engine.router().into_service::<Body>();
    Client::from_service(router.map_request(move |mut request: Request<Body>| {
        request.headers_mut().insert(CALLER, HeaderValue::from_static(plugin));
        request
    }))
}

async fn open(fixture: &Fixture, plugin: &'static str, namespace: &str) -> Result<Db, DbError> {
    Db::open(client(fixture, plugin), namespace, Migrations::new(&[("0001_item", TABLE)])).await
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, DbError>, line: &str) {
    let error = answer.unwrap_err();
    assert!(error.to_string().contains(line) && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_plugin_reaches_its_own_namespace_and_no_other() {
    let fixture = Fixture::new();
    let own = open(&fixture, "chain-evm", "chain_evm").await.unwrap();
    own.batch().push("INSERT INTO item (id) VALUES (1)", params![]).run().await.unwrap();
    assert_eq!(count(&own).await, 1);
    is_refused(open(&fixture, "prowler", "chain_evm").await, "grants.chain_evm.prowler = \"write\"");
    is_refused(open(&fixture, "prowler", "fresh").await, "grants.fresh.prowler = \"write\"");
    assert_eq!(count(&own).await, 1);
}

async fn read(fixture: &Fixture, plugin: &'static str) -> Result<usize, Status> {
    let sql = "SELECT count(*) FROM item".into();
    let request = QueryRequest { namespace: "owner".into(), sql, ..QueryRequest::default() };
    let answer = DatabaseClient::new(client(fixture, plugin)).query(request).await?;
    Ok(answer.into_inner().rows.len())
}

#[tokio::test]
async fn what_an_operator_opens_for_reading_is_read_and_not_changed() {
    let mut settings = Settings::default();
    settings.grants.insert("owner".into(), [("reader".into(), Access::Read)].into());
    let fixture = Fixture::with(settings);
    let own = open(&fixture, "owner", "owner").await.unwrap();
    assert_eq!(read(&fixture, "reader").await.unwrap(), 1);
    assert_eq!(read(&fixture, "stranger").await.unwrap_err().code(), Code::PermissionDenied);
    let statements = vec![Statement { sql: "DELETE FROM item".into(), ..Statement::default() }];
    let request = ExecuteRequest { namespace: "owner".into(), statements, ..ExecuteRequest::default() };
    let change = DatabaseClient::new(client(&fixture, "reader")).execute(request).await;
    assert!(change.unwrap_err().message().ends_with("grants.owner.reader = \"write\""));
    assert_eq!(count(&own).await, 0);
}
