//! The `auth` capability: the internal contract of `auth.proto` over [`Auth`].

use streamgate_contracts::auth::v1::auth_server::{self, AuthServer};
use streamgate_contracts::auth::v1::authenticate_response::Outcome;
use streamgate_contracts::auth::v1::identify_response::Outcome as Now;
use streamgate_contracts::auth::v1::revoke_request::Target as Wanted;
use streamgate_contracts::auth::v1::{
    AuditOutcome, AuditRequest, AuditResponse, AuthenticateRequest, AuthenticateResponse, FindRequest,
    FindResponse, FirstAdminRequest, FirstAdminResponse, IdentifyRequest, IdentifyResponse, Identity,
    QuotaRequest, QuotaResponse, RevokeRequest, RevokeResponse, Role,
};
use tonic::{Request, Response, Status};

use crate::audit::Entry;
use crate::auth::Auth;
use crate::principal::{self, Credential};
use crate::session::credentials::Credentials;
use crate::session::sessions::Target;
use crate::sign_in::wallet_of;

/// Requests here are a few header fields.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Maximum names in one call.
const MAX_NAMES: usize = 100;

impl Auth {
    /// The `auth` capability.
    pub fn internal(&self) -> axum::Router {
        let server = AuthServer::new(Service(self.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).into_axum_router()
    }
}

struct Service(Auth);

#[tonic::async_trait]
impl auth_server::Auth for Service {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let request = request.into_inner();
        let credentials = Credentials {
            authorization: request.authorization,
            cookie: request.cookie,
            method: request.method,
            origin: request.origin,
            sec_fetch_site: request.sec_fetch_site,
            ..Credentials::default()
        };
        let outcome = match self.0.filters.authenticate(&credentials).await {
            Ok(identity) => Outcome::Identity(identity_of(identity)),
            Err(error) => Outcome::Refusal(error.into_refusal()?),
        };
        Ok(Response::new(AuthenticateResponse { outcome: Some(outcome) }))
    }

    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let credential = Credential::parse(&request.get_ref().credential);
        let credential = credential.ok_or_else(|| {
            Status::invalid_argument("a credential is named `session:` or `key:` and its id")
        })?;
        let outcome = match self.0.filters.identify(&credential).await {
            Ok(identity) => Now::Identity(identity_of(identity)),
            Err(error) => Now::Refusal(error.into_refusal()?),
        };
        Ok(Response::new(IdentifyResponse { outcome: Some(outcome) }))
    }

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditResponse>, Status> {
        let request = request.into_inner();
        let outcome = request.outcome();
        if outcome == AuditOutcome::Unspecified || request.action.is_empty() {
            return Err(Status::invalid_argument("an entry needs an action and an outcome"));
        }
        let entry = Entry {
            action: request.action,
            outcome,
            principal: request.principal,
            subject: request.subject,
            detail: request.detail,
            address: request.address,
        };
        let id = self.0.base.store.record(&entry, self.0.base.clock.now_ms()).await?;
        Ok(Response::new(AuditResponse { id }))
    }

    async fn revoke(&self, request: Request<RevokeRequest>) -> Result<Response<RevokeResponse>, Status> {
        let request = request.into_inner();
        let target = match &request.target {
            Some(Wanted::Session(id)) => Target::Session(id),
            Some(Wanted::ApiKey(id)) => Target::ApiKey(id),
            Some(Wanted::Principal(id)) => Target::Principal(id),
            None => return Err(Status::invalid_argument("the request names nothing to revoke")),
        };
        let ended = self.0.sessions.revoke(target, "", &request.reason).await?;
        Ok(Response::new(RevokeResponse { ended }))
    }

    async fn first_admin(
        &self,
        _request: Request<FirstAdminRequest>,
    ) -> Result<Response<FirstAdminResponse>, Status> {
        let principal = self.0.base.store.first_admin().await?.unwrap_or_default();
        Ok(Response::new(FirstAdminResponse { principal }))
    }

    async fn find(&self, request: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
        let names = request.into_inner().names;
        if names.len() > MAX_NAMES {
            return Err(Status::invalid_argument(format!("{} names; at most {MAX_NAMES}", names.len())));
        }
        let mut people = Vec::with_capacity(names.len());
        for name in &names {
            people.push(self.0.people.find(name, wallet_of(name)).await?.unwrap_or_default());
        }
        Ok(Response::new(FindResponse { people }))
    }

    async fn quota(&self, request: Request<QuotaRequest>) -> Result<Response<QuotaResponse>, Status> {
        let QuotaRequest { principal, address } = request.get_ref();
        let mut quota = self.0.people.quota(principal).await?;
        if !address.is_empty() {
            let (most, used) = self.0.filters.challenges(address);
            (quota.challenges, quota.challenges_used) = (Some(most.into()), used.into());
        }
        Ok(Response::new(quota))
    }
}

fn identity_of(identity: principal::Identity) -> Identity {
    let credential = identity.credential.name();
    let (session, api_key) = match identity.credential {
        Credential::Session(id) => (id, String::new()),
        Credential::ApiKey(id) => (String::new(), id),
    };
    Identity {
        principal: identity.principal,
        roles: identity.roles.into_iter().map(|role| Role::from(role).into()).collect(),
        scopes: identity.scopes.into_iter().map(|scope| scope.name().to_owned()).collect(),
        session,
        api_key,
        expires_at_ms: identity.expires_at_ms.unwrap_or_default(),
        wallets: identity.wallets,
        credential,
    }
}
