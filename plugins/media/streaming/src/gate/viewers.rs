//! The sender of a request, authenticated by `auth`.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use sha2::{Digest as _, Sha256};
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::auth::v1::authenticate_response::Outcome;
use streamgate_contracts::auth::v1::identify_response::Outcome as Now;
use streamgate_contracts::auth::v1::{AuthenticateRequest, IdentifyRequest, Identity, Role};

use crate::gate::provider::Provider;
use crate::gate::refusal::Refusal;

const NO_OUTCOME: &str = "The auth plugin answered without an outcome";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A viewer; the default is one who is not signed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Viewer {
    /// A UUID; empty when not signed in.
    pub(crate) principal: Arc<str>,
    /// The credential: `session:` or `key:` and an id.
    pub(crate) credential: Arc<str>,
    /// `viewer`, `creator`, `admin`.
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// As CAIP-10 without the chain.
    pub(crate) wallets: Vec<String>,
}

/// Identifies a viewer with everything that decisions depend on: two API keys of one principal may have
/// different rights, and one session ends without the other.
pub(crate) type ViewerKey = [u8; 16];

impl Viewer {
    pub(crate) fn is_anonymous(&self) -> bool {
        self.principal.is_empty()
    }

    pub(crate) fn key(&self) -> ViewerKey {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        };
        part(&self.principal);
        part(&self.credential);
        for list in [&self.roles, &self.scopes, &self.wallets] {
            part(&list.len().to_string());
            list.iter().for_each(|item| part(item));
        }
        let digest = digest.finalize();
        std::array::from_fn(|place| digest[place])
    }
}

impl From<Identity> for Viewer {
    fn from(identity: Identity) -> Self {
        let roles = identity.roles().filter_map(|role| match role {
            Role::Viewer => Some("viewer".to_owned()),
            Role::Creator => Some("creator".to_owned()),
            Role::Admin => Some("admin".to_owned()),
            Role::Unspecified => None,
        });
        Self {
            roles: roles.collect(),
            principal: identity.principal.into(),
            credential: identity.credential.into(),
            scopes: identity.scopes,
            wallets: identity.wallets,
        }
    }
}

/// The `auth` capability.
pub(crate) struct Viewers {
    auth: Provider,
}

impl Viewers {
    pub(crate) fn new(auth: Provider) -> Self {
        Self { auth }
    }

    /// Authenticates the sender of this request.
    ///
    /// # Errors
    /// Its credentials are invalid, or `auth` does not answer.
    pub(crate) async fn of(&self, request: &Parts) -> Result<Viewer, Refusal> {
        let fields = &request.headers;
        let request = AuthenticateRequest {
            authorization: text(fields, header::AUTHORIZATION),
            cookie: if from_elsewhere(fields) { String::new() } else { text(fields, header::COOKIE) },
            method: request.method.to_string(),
            origin: text(fields, header::ORIGIN),
            sec_fetch_site: text(fields, SEC_FETCH_SITE),
        };
        if request.authorization.is_empty() && request.cookie.is_empty() {
            return Ok(Viewer::default());
        }
        let mut client = AuthClient::new(self.auth.client.clone());
        let Some(response) = self.auth.call(client.authenticate(request)).await else {
            return Err(Refusal::unavailable("The auth plugin returned no identity for this request"));
        };
        match response.into_inner().outcome {
            Some(Outcome::Identity(identity)) => known(identity),
            Some(Outcome::Refusal(refusal)) => Err(Refusal::of_credentials(&refusal)),
            None => Err(Refusal::unavailable(NO_OUTCOME)),
        }
    }

    /// The current state of this viewer, by the credential used.
    ///
    /// # Errors
    /// The credential has ended, or `auth` does not answer.
    pub(crate) async fn now(&self, viewer: &Viewer) -> Result<Viewer, Refusal> {
        if viewer.is_anonymous() {
            return Ok(viewer.clone());
        }
        let request = IdentifyRequest { credential: viewer.credential.to_string() };
        let mut client = AuthClient::new(self.auth.client.clone());
        let Some(response) = self.auth.call(client.identify(request)).await else {
            return Err(Refusal::unavailable(
                "The auth plugin returned no state for your session. It is unknown whether you are still signed in",
            ));
        };
        match response.into_inner().outcome {
            Some(Now::Identity(identity)) => known(identity),
            Some(Now::Refusal(refusal)) => Err(Refusal::of_credentials(&refusal)),
            None => Err(Refusal::unavailable(NO_OUTCOME)),
        }
    }
}

fn known(identity: Identity) -> Result<Viewer, Refusal> {
    match identity.principal.is_empty() || identity.credential.is_empty() {
        true => Err(Refusal::unavailable(NO_OUTCOME)),
        false => Ok(identity.into()),
    }
}

/// Whether a page of another origin sent this: a cookie counts only for pages of this origin. Browsers send
/// no `Origin` with same-origin reads.
fn from_elsewhere(fields: &HeaderMap) -> bool {
    match fields.get(SEC_FETCH_SITE) {
        Some(site) => site != "same-origin" && site != "none",
        None => fields.contains_key(header::ORIGIN),
    }
}

/// A field's text; several lines of `Cookie` are one (RFC 9113 §8.2.3).
fn text(fields: &HeaderMap, name: HeaderName) -> String {
    let lines: Vec<_> = fields.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    lines.join("; ")
}
