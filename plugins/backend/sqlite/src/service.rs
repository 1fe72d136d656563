//! The `database` contract over gRPC: requests in, statuses out.

use axum::Router;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::database::v1::database_server::{Database, DatabaseServer};
use streamgate_contracts::database::v1::{
    ExecuteRequest, ExecuteResponse, MigrateRequest, MigrateResponse, QueryRequest, QueryResponse,
};
use streamgate_plugin_api::grants::{Access, Keeper};
use tonic::{Request, Response, Status};

use crate::engine::Engine;
use crate::error::SqlError;

/// Answers the calls of other plugins.
pub(crate) struct DatabaseService {
    engine: Engine,
    keeper: Keeper,
}

impl DatabaseService {
    pub(crate) fn router(engine: Engine, keeper: Keeper) -> Router {
        let server = DatabaseServer::new(Self { engine, keeper })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).into_axum_router()
    }

    /// Whether the caller may use a namespace.
    fn ask<T>(&self, request: &Request<T>, namespace: &str, access: Access) -> Result<(), Status> {
        let headers = request.metadata().as_ref();
        self.keeper.ask(headers, namespace, access).map_err(Status::permission_denied)
    }
}

#[tonic::async_trait]
impl Database for DatabaseService {
    async fn migrate(&self, request: Request<MigrateRequest>) -> Result<Response<MigrateResponse>, Status> {
        self.ask(&request, &request.get_ref().namespace, Access::Write)?;
        let request = request.into_inner();
        let namespace = self.engine.create(&request.namespace).await?;
        let answer = namespace.migrate(request.migrations).await;
        answer.map(Response::new).map_err(|error| logged(&request.namespace, error))
    }

    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        self.ask(&request, &request.get_ref().namespace, Access::Write)?;
        let request = request.into_inner();
        let namespace = self.engine.find(&request.namespace).await?;
        match namespace.execute(request.statements, request.frees_space, request.idempotency_key).await {
            Ok(results) => Ok(Response::new(ExecuteResponse { results })),
            Err(error) => Err(logged(&request.namespace, error)),
        }
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        self.ask(&request, &request.get_ref().namespace, Access::Read)?;
        let QueryRequest { namespace: name, sql, params, max_rows } = request.into_inner();
        let namespace = self.engine.find(&name).await?;
        let answer = namespace.query(sql, params, max_rows).await;
        answer.map(Response::new).map_err(|error| logged(&name, error))
    }
}

/// Failures of the file, the disk or the machine are logged by this plugin; the rest is for the caller.
fn logged(namespace: &str, error: SqlError) -> Status {
    use crate::error::Class;
    match error.class {
        Class::Broken | Class::InDoubt | Class::Full => {
            tracing::error!(namespace, %error, "the database failed")
        }
        Class::Busy | Class::TimedOut => tracing::warn!(namespace, %error, "the database refused a call"),
        _ => tracing::debug!(namespace, %error, statement = error.statement, "a call failed"),
    }
    error.into()
}
