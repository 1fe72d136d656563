//! A viewer's rights on a content because of its owner and its shares, from the catalogue. If it does not
//! answer, the rights are unknown, never granted.

use std::time::Duration;

use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::auth::v1::{FindRequest, Role};
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::catalogue::v1::{GetRequest, Right, StandingRequest};
use streamgate_plugin_api::Client;
use tonic::Code;

use crate::viewer::Viewer;

/// How long the catalogue may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why it is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the content's owner is unknown: `catalogue` failed: {0}; try again")]
pub(crate) struct Unsaid(String);

/// Calls the `catalogue` capability.
#[derive(Debug, Clone)]
pub(crate) struct Standings(CatalogueClient<Client>);

impl Standings {
    pub(crate) fn new(catalogue: Client) -> Self {
        Self(CatalogueClient::new(catalogue))
    }

    /// Whether there is such a content.
    pub(crate) async fn is_there(&self, content: &str) -> Result<bool, Unsaid> {
        let mut catalogue = self.0.clone();
        let asked = catalogue.get(GetRequest { id: content.to_owned() });
        let answer = tokio::time::timeout(DEADLINE, asked).await;
        match answer.map_err(|_| Unsaid(format!("no answer within {DEADLINE:?}")))? {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(Unsaid(status.message().to_owned())),
        }
    }

    /// A viewer's rights on a content. No call is needed for admins, and for viewers who are not signed in.
    pub(crate) async fn of(&self, content: &str, viewer: &Viewer) -> Result<Right, Unsaid> {
        if !viewer.is_signed_in() {
            return Ok(Right::None);
        }
        if viewer.is_admin() {
            return Ok(Right::Own);
        }
        let mut catalogue = self.0.clone();
        let asked = catalogue.standing(StandingRequest {
            principal: viewer.principal.clone(),
            scopes: viewer.scopes.clone(),
            contents: vec![content.to_owned()],
            roles: viewer.roles.clone(),
        });
        let answer = tokio::time::timeout(DEADLINE, asked).await;
        let answer = answer
            .map_err(|_| Unsaid(format!("no answer within {DEADLINE:?}")))?
            .map_err(|status| Unsaid(status.message().to_owned()))?;
        match answer.into_inner().rights[..] {
            [right] => Ok(Right::try_from(right).unwrap_or_default()),
            _ => Err(Unsaid("its answer is about something else".into())),
        }
    }
}

/// The roles of principals, from the `auth` capability.
#[derive(Debug, Clone)]
pub(crate) struct People(AuthClient<Client>);

impl People {
    pub(crate) fn new(auth: Client) -> Self {
        Self(AuthClient::new(auth))
    }

    /// The names of a principal's roles. `None`: `auth` does not answer.
    pub(crate) async fn roles(&self, principal: &str) -> Option<Vec<String>> {
        let mut auth = self.0.clone();
        let asked = auth.find(FindRequest { names: vec![principal.to_owned()] });
        let found = tokio::time::timeout(DEADLINE, asked).await.ok()?.ok()?.into_inner();
        let name = |role| match role {
            Role::Unspecified => None,
            Role::Viewer => Some("viewer"),
            Role::Creator => Some("creator"),
            Role::Admin => Some("admin"),
        };
        let roles = found.people.iter().flat_map(|person| person.roles());
        Some(roles.filter_map(name).map(str::to_owned).collect())
    }
}
